// Package cancels cancels tasks of real executors at random moments, and proves that nothing is left of them (TestRandomCancels).
//
// It owns the work that is cancelled, the moments, and what it looks for afterwards: processes, containers, statements, requests, files. It must
// not know how an executor stops its work.
package cancels
