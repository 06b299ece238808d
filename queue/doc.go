// Package queue carries work, claims, results, news, events and logs over NATS.
//
// It owns stream, consumer and subject names, headers, accounts, permissions and acknowledgement. It must not know what a
// task means: payloads are bytes, and nothing here touches Postgres. Delivery is at least once, and a message may get lost with
// its stream: callers must cope with both (ARCHITECTURE.md).
//
// It gives no promise to programs outside the module.
package queue
