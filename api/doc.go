// Package api is what the client protocols share: the classing of the service's errors, and the trace that a request
// belongs to.
//
// It owns the closed list of kinds that an error can have at the edge, and the rule that everything else is internal: an
// id for the client, the whole for the log. It must not know any protocol; those are the packages below it, which map
// [Fault] to their own codes in one function each.
package api
