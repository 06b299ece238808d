// Package coordinator runs stored trees to their end: it submits, dispatches, answers claims, settles results, watches time and
// workers, and reports events.
//
// It owns the loops between Postgres and NATS, and the service that all APIs use. It must not know any client protocol, or how
// executors work; the rules themselves are in dag. Any number of coordinators may run at the same time.
//
// The service is [Service], five interfaces by role. Surfaces reach it through [Access], on behalf of a [Caller]. Its parts:
// submit.go; read.go, list.go and why.go; steer.go; watch.go with the feeds that watchers share (feed.go, feeds.go), and
// logs.go; operate.go and audit.go. Its answers are in service.go, view.go, event.go, wait.go and errors.go.
//
// The loops of [Coordinator.Run]: claim.go, settle.go, beats.go with announce.go, dispatch.go with lanes.go and room.go,
// payload.go, clock.go (timers, followups, reconcile, retention) and workers.go. What they tell workers unasked goes through
// news.go. What operators see of them, each fact's log line, metric and span, is in facts.go.
//
// It gives no promise to programs outside the module.
package coordinator
