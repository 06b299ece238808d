// Package coordinator turns stored trees into finished ones: it submits, dispatches, answers claims, settles results,
// watches time and workers, and tells what happened.
//
// It owns the loops between Postgres and NATS and the service that all APIs stand on. It must not know any client
// protocol, nor how an executor works; the rules themselves are in dag. Any number of coordinators run at once.
//
// The service is [Service], five interfaces by role, which surfaces reach through [Access] on behalf of a [Caller]. Its
// parts: submit.go; read.go, list.go and why.go; steer.go; watch.go with the feeds that watchers share (feed.go, feeds.go),
// and logs.go; operate.go and audit.go. What they answer is in service.go, view.go, event.go, wait.go and errors.go.
//
// The loops of [Coordinator.Run]: claim.go, settle.go, beats.go, dispatch.go with lanes.go and room.go, payload.go,
// clock.go (timers, followups, reconcile, retention) and workers.go.
package coordinator
