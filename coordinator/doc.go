// Package coordinator turns stored trees into finished ones: it submits, dispatches, answers claims, settles results,
// watches time and workers, and tells what happened.
//
// It owns the loops between Postgres and NATS and the service that all APIs stand on. It must not know any client
// protocol, nor how an executor works; the rules themselves are in dag. Any number of coordinators run at once.
package coordinator
