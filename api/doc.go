// Package api holds what the client protocols share: the kinds of the service's errors, and the trace of a request.
//
// It owns the closed list of kinds that an error can have for clients. Any other error is internal: the client gets an id, the
// log gets the details. It must not know any protocol: each has a package below, which maps [Fault] to its own codes in one
// function.
//
// It gives no promise to programs outside the module.
package api
