package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Config says how to reach NATS and what our things are called there.
type Config struct {
	URL       string        // nats://user:password@host:port, several separated by commas
	Name      string        // of the connection, for operators: "coordinator-1"
	Prefix    string        // of subjects and streams; default "tg"
	Replicas  int           // of streams; 1 in dev, 3 in production; default 1
	LogsAge   time.Duration // how long LOGS keeps lines; default 24 h
	LogsBytes int64         // how much LOGS keeps; default 1 GiB
	Worker    string        // a worker's id: subjects and inboxes are then its own; empty for a coordinator
}

// Errors that callers branch on.
var (
	// ErrNoCoordinator: nobody answered a request; try again later.
	ErrNoCoordinator = errors.New("no coordinator answers")
	// ErrClosed: the connection was closed by its owner.
	ErrClosed = errors.New("queue is closed")
)

// Conn is one process's connection. Safe for concurrent use.
type Conn struct{ todo *nats.Conn }

// Connect connects, and keeps reconnecting for ever once it was connected.
func Connect(ctx context.Context, cfg Config) (*Conn, error) { panic("todo") }

// Close flushes and closes the connection.
func (c *Conn) Close() { panic("todo") }

// Connected reports whether the server can be reached now.
func (c *Conn) Connected() bool { panic("todo") }

// Reconnected has a value after each reconnection (capacity 1: "it may have happened").
func (c *Conn) Reconnected() <-chan struct{} { panic("todo") }

// MaxPayload is the most bytes that one message may carry.
func (c *Conn) MaxPayload() int { panic("todo") }

// ---- coordinator: streams and work ----

// EnsureStreams creates or updates WORK, RESULTS and LOGS and the RESULTS consumer. Idempotent; a setting that can't
// be changed is reported.
func (c *Conn) EnsureStreams(ctx context.Context) error { panic("todo") }

// EnsurePool creates a pool's consumers, one for each priority. Idempotent.
func (c *Conn) EnsurePool(ctx context.Context, pool string) error { panic("todo") }

// WorkMessage is one attempt to offer.
type WorkMessage struct {
	Pool     string
	Priority int
	Data     []byte
	Header   nats.Header // trace context; may be nil
}

// PublishWork stores the messages in WORK. It returns nil when all are stored; after an error some may be. A missing
// stream or pool consumer is made again first. Not deduplicated: claims are the fence.
func (c *Conn) PublishWork(ctx context.Context, messages []WorkMessage) error { panic("todo") }

// Depth tells, for a pool and priority, how many messages lie in WORK, and when the oldest of them was published
// (zero time: none, or the stream is missing).
func (c *Conn) Depth(ctx context.Context, pool string, priority int) (messages int, oldest time.Time, err error) {
	panic("todo")
}

// ResultsEnd is the last sequence of RESULTS, and ResultsSettled the one up to which all is acknowledged; the stream's
// identity (its creation time) changes when it was deleted and made again.
func (c *Conn) ResultsEnd(ctx context.Context) (last, settled uint64, created time.Time, err error) {
	panic("todo")
}

// ResultMessage is one delivery from RESULTS.
type ResultMessage struct {
	Worker      string // id, proven by the subject that it was published on
	Data        []byte
	Redelivered bool
	todo        nats.Msg
}

// Ack drops the message from the stream; fire and forget.
func (m *ResultMessage) Ack() { panic("todo") }

// Nak asks for it again after the delay.
func (m *ResultMessage) Nak(after time.Duration) { panic("todo") }

// ConsumeResults calls handle, in one goroutine, for every message until ctx ends; at most maxPending are unacked. It
// survives a deleted stream or consumer by making it again.
func (c *Conn) ConsumeResults(ctx context.Context, maxPending int, handle func(*ResultMessage)) error {
	panic("todo")
}

// ---- coordinator: requests from workers ----

// A Kind of request or message that workers send: one subject each, ending in the worker's id.
type Kind string

// The kinds of requests, and of messages without an answer (Progress).
const (
	Claim    Kind = "claim"
	Beat     Kind = "beat"
	Chunk    Kind = "chunk"
	Inputs   Kind = "inputs"
	Progress Kind = "progress"
)

// Serve calls handle, in one goroutine, for each request of the kind, shared with the other coordinators (one of them
// gets it), until ctx ends. reply may be called later, from any goroutine, once or never; it is a no-op for messages
// that want no answer.
func (c *Conn) Serve(ctx context.Context, kind Kind, handle func(worker string, data []byte, reply func([]byte))) error {
	panic("todo")
}

// Tell sends news to one worker, at most once.
func (c *Conn) Tell(worker string, data []byte) error { panic("todo") }

// ---- coordinator: events between coordinators ----

// PublishEvent announces something about a topic ("tree.42", "ready"), at most once, to all coordinators.
func (c *Conn) PublishEvent(topic string, data []byte) error { panic("todo") }

// SubscribeEvents delivers announcements until ctx ends; the subscription is active when the call returns. When the
// reader is slow and buffer messages wait, later ones are dropped. The channel is closed after ctx ends. topic may
// end in "*".
func (c *Conn) SubscribeEvents(ctx context.Context, topic string, buffer int) (<-chan []byte, error) {
	panic("todo")
}

// ---- logs ----

// PublishLogs stores log lines of a task (by its internal key), fire and forget. Worker side.
func (c *Conn) PublishLogs(task int64, data []byte) error { panic("todo") }

// ReadLogs calls handle for each stored batch of the task's lines, oldest first, and, if follow, for later ones until
// ctx ends. Without follow it returns after the last stored one.
func (c *Conn) ReadLogs(ctx context.Context, task int64, follow bool, handle func([]byte) error) error {
	panic("todo")
}

// ---- worker ----

// WorkDelivery is one offered attempt.
type WorkDelivery struct {
	Pool      string
	Priority  int
	Data      []byte
	Header    nats.Header
	Delivered int // 1: first delivery
	todo      nats.Msg
}

// Ack drops the message from WORK; fire and forget.
func (d *WorkDelivery) Ack() { panic("todo") }

// Nak gives it back at once, for another worker.
func (d *WorkDelivery) Nak() { panic("todo") }

// Taker takes work for one pool. One goroutine.
type Taker struct{ todo int }

// Taker makes one for the pool. It needs the pool's consumers to exist at the time of Take, not yet now.
func (c *Conn) Taker(pool string) *Taker { panic("todo") }

// Take waits for work and returns as soon as it has any: up to max messages, urgent first, but with low priorities
// first in every tenth take so that they are never starved. What arrives beyond max is naked at once. Missing
// consumers or streams are waited for. It returns ctx's error when ctx ends, with nothing taken.
func (t *Taker) Take(ctx context.Context, max int) ([]*WorkDelivery, error) { panic("todo") }

// Request asks a coordinator, under the worker's own subject. [ErrNoCoordinator] when nobody listens.
func (c *Conn) Request(ctx context.Context, kind Kind, data []byte) ([]byte, error) { panic("todo") }

// Send is Request without an answer, at most once.
func (c *Conn) Send(kind Kind, data []byte) error { panic("todo") }

// PublishResults stores a batch of results in RESULTS; nil means stored.
func (c *Conn) PublishResults(ctx context.Context, data []byte) error { panic("todo") }

// News delivers what coordinators tell this worker, until ctx ends.
func (c *Conn) News(ctx context.Context, handle func([]byte)) error { panic("todo") }

// ---- permissions ----

// Permissions are the subjects that a NATS user may publish and subscribe to.
type Permissions struct{ Publish, Subscribe []string }

// WorkerPermissions are what a worker of the id needs for its pools, and no more.
func WorkerPermissions(prefix, worker string, pools []string) Permissions { panic("todo") }

// CoordinatorPermissions are what a coordinator needs.
func CoordinatorPermissions(prefix string) Permissions { panic("todo") }
