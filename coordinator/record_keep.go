package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/internal/record"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of what waits to be recorded, in one coordinator.
const (
	recordIntents = 4096                  // calls that wait until their beginning is recorded; more are refused
	recordLater   = 50_000                // entries that nobody waits for; more are lost, and their calls stay without an outcome
	recordBatch   = 1000                  // entries in one transaction
	recordLinger  = 20 * time.Millisecond // how long entries that nobody waits for wait for others
	recordFlush   = 10 * time.Second      // for what is left when the coordinator ends
)

// recordTopic tells coordinators that there are new entries.
const recordTopic = "record"

// inPostgres are the methods that change rows only: as they commit after the entry that they begin, it is on disk before what they change, without
// being waited for. Of all others the entry is on disk first.
var inPostgres = []string{"Submit", "Add", "Generate", "Execute", "Cancel", "Update", "Delete", "Copy", "Attach", "CreateWebhook", "UpdateWebhook", "DeleteWebhook"}

// recorder keeps the record of one coordinator: what its calls begin is appended before they do, in one transaction for all that wait.
type recorder struct {
	cfg    RecordConfig
	name   string // of this coordinator
	store  *pg.Store
	log    *slog.Logger
	hint   func() // tells coordinators that there are new entries
	mirror *recordMirror
	wake   chan struct{} // capacity 1: something waits
	meter  *meter        // nil: nothing is counted

	appending sync.Mutex // from an append to the mirror's line, so that it has entries in their order; before mu

	mu      sync.Mutex
	running bool
	waiting []*intent
	later   []*record.Entry
	since   time.Time // when the first of later came
	lost    int       // entries that found no room since that was logged
	folds   folds
	head    record.Head // that this coordinator knows; written by the loop
}

// intent is the entry of a call that waits for it.
type intent struct {
	entry     *record.Entry
	lasting   bool
	done      chan error // capacity 1
	abandoned bool       // the call is not made any more; guarded by the recorder's mu
}

var errNotRecorded = fmt.Errorf("%w: the audit record can't be kept", ErrUnavailable)

func newRecorder(cfg Config, store *pg.Store, hint func()) *recorder {
	return &recorder{cfg: cfg.Record, name: recordable(cfg.Name, maxDetailRunes), store: store, log: cfg.Log, hint: hint, wake: make(chan struct{}, 1)}
}

// Recorder keeps the record of calls to this coordinator; nil: nothing is recorded.
func (c *Coordinator) Recorder() Recorder {
	if c.recorder == nil {
		return nil
	}
	return c.recorder
}

// Begin implements [Recorder]: it returns when the entry is committed.
func (r *recorder) Begin(ctx context.Context, caller Caller, call Call) (end func(Details, error), err error) {
	w := &intent{entry: r.entry(ctx, record.Begun, caller, call), lasting: !slices.Contains(inPostgres, call.Method), done: make(chan error, 1)}
	r.mu.Lock()
	if !r.running || len(r.waiting) >= recordIntents {
		r.mu.Unlock()
		return nil, errNotRecorded
	}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	wake(r.wake)
	select {
	case err = <-w.done:
	case <-ctx.Done():
		if err = r.abandon(w); err == nil {
			err = fmt.Errorf("%w: %w", errNotRecorded, context.Cause(ctx))
		}
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit("coordinator.after-record-begun")
	return func(made Details, err error) { r.ended(w.entry, made, err) }, nil
}

// abandon notes that the call of an intent is not made; if it is recorded already, that it failed.
func (r *recorder) abandon(w *intent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case err := <-w.done:
		if err == nil {
			r.add(r.endOf(w.entry, nil, context.Canceled))
		}
		return err
	default:
		w.abandoned = true
		return nil
	}
}

// ended notes how a call ended.
func (r *recorder) ended(begun *record.Entry, made Details, err error) {
	failpoint.Hit("coordinator.before-record-ended")
	r.mu.Lock()
	r.add(r.endOf(begun, made, err))
	r.mu.Unlock()
	wake(r.wake)
}

func (r *recorder) endOf(begun *record.Entry, made Details, err error) *record.Entry {
	e := &record.Entry{Kind: record.Ended, Of: begun.Seq, Namespace: begun.Namespace, Method: begun.Method, Count: 1, Coordinator: r.name, Details: made}
	e.Outcome, e.Code, e.Error = recordedError(err)
	return e
}

// happened notes what the cluster did by itself.
func (r *recorder) happened(namespace, method, task string, details Details) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.add(r.event(namespace, method, task, details))
	r.mu.Unlock()
	wake(r.wake)
}

func (r *recorder) event(namespace, method, task string, details Details) *record.Entry {
	return &record.Entry{Kind: record.Happened, Namespace: namespace, Method: method, Outcome: record.Done, Task: recordable(task, maxDetailRunes), Count: 1, Coordinator: r.name, Details: details}
}

// Refused implements [Recorder]. Of reads it notes that they were not allowed, and nothing of other errors.
func (r *recorder) Refused(ctx context.Context, caller Caller, call Call, why error) {
	denied := errors.Is(why, ErrDenied) || errors.Is(why, ErrUnauthenticated)
	if !denied && !methods[call.Method].changes {
		return
	}
	e := r.entry(ctx, record.Refused, caller, call)
	e.Outcome, e.Code, e.Error = recordedError(why)
	r.mu.Lock()
	if r.folds.take(e, time.Now()) {
		r.add(e)
	}
	r.mu.Unlock()
	wake(r.wake)
}

// add puts an entry that nobody waits for into the line. The caller holds mu.
func (r *recorder) add(e *record.Entry) {
	if len(r.later) >= recordLater {
		r.lost++
		return
	}
	if len(r.later) == 0 {
		r.since = time.Now()
	}
	r.later = append(r.later, e)
}

// recordedIn is the namespace of a call's entry; empty: what it is about, or who it is of, is in none.
func recordedIn(caller Caller, call Call) string {
	line, known := policy.LineOf(methods[call.Method].permission)
	if namespace := call.namespace(caller); known && line.Where == policy.InNamespace && namespace != AllNamespaces {
		return namespace
	}
	return ""
}

// entry says who asks for what.
func (r *recorder) entry(ctx context.Context, kind record.Kind, caller Caller, call Call) *record.Entry {
	how := methods[call.Method]
	short := func(s string) string { return recordable(s, maxDetailRunes) }
	e := &record.Entry{Kind: kind, Namespace: short(recordedIn(caller, call)), Method: call.Method, Permission: string(cmp.Or(call.Permission, how.permission)), Task: short(call.ID), Count: 1,
		Coordinator: r.name,
		Caller: record.Caller{Kind: string(caller.Kind), Name: short(caller.Name), User: short(caller.User), Issuer: short(caller.Issuer), KeyID: short(caller.KeyID),
			From: short(caller.From), Surface: string(caller.Surface)}}
	if caller.Kind == "" {
		e.Caller.Kind = string(AnonymousCaller)
	}
	details := maps.Clone(call.Details)
	e.Details = details.with("user", call.UserID).with("webhook", call.Webhook).with("schedule", call.Schedule).with("flow", call.Flow).with("bundle", call.Bundle).with("profile", call.Profile).with("run", call.Run).with("key", call.APIKey)
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		e.Trace = span.TraceID().String()
	}
	return e
}
