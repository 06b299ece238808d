// Package workerv1 is the contract between coordinators and workers, generated from worker.proto.
//
// It owns the form of messages and its version. It must not know what anybody does with them.
package workerv1

// Version is the format version of messages between coordinators and workers. Readers understand the version before
// and, as far as they know its fields, the one after; what is further ahead is refused with a reason.
//
// Version 2 says the end of a result as a oneof; version 1 said it as an enum beside a value.
const Version = 2
