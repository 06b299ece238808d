// Package flowtest makes random flows of which it is known what they come to.
//
// It owns a reading of the documentation that is independent of the compiler: order of jobs, gates, skips, blocks, failures, and what templates of steps see. It must not know how flows
// are compiled, nor what runs them: tests hold both against it.
package flowtest
