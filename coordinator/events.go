package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Events are stored with the change that they tell of, in one transaction, and read from there. What goes over NATS is
// only the news that there are more: when it is lost, the next look finds them.

// watchFallback is how late an event may be whose news was lost.
const watchFallback = 2 * time.Second

func topic(t dag.TreeKey) string { return fmt.Sprintf("tree.%d", t) }

// announce tells all coordinators that trees have new events.
func (c *Coordinator) announce(trees []pg.TreeSequence) {
	for _, t := range trees {
		if err := c.queue.PublishEvent(topic(t.Tree), nil); err != nil {
			c.log.Debug("news of events", "tree", int64(t.Tree), "error", err)
			return
		}
	}
}

// announceProgress passes on what an executor reports.
func (c *Coordinator) announceProgress(k dag.Key, p *workerv1.Progress) {
	p.Token = nil
	if data, err := proto.Marshal(p); err == nil {
		_ = c.queue.PublishEvent(topic(k.Tree()), data) // at most once
	}
}

var eventTypes = map[dag.EventType]EventType{
	dag.EventExecution: EventExecution, dag.EventStart: EventStart, dag.EventCompleted: EventCompleted, dag.EventFailed: EventFailed,
	dag.EventCancelled: EventCancelled, dag.EventRetry: EventRetry, dag.EventFinal: EventFinal,
}

var eventStatus = map[dag.EventType]dag.Status{
	dag.EventExecution: dag.StatusInProgress, dag.EventStart: dag.StatusInProgress, dag.EventCompleted: dag.StatusCompleted,
	dag.EventFailed: dag.StatusFailed, dag.EventCancelled: dag.StatusCancelled, dag.EventRetry: dag.StatusPending,
}

// Watch yields the events of a tree; see [Service].
func (c *Coordinator) Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		k, err := c.keyOf(ctx, id)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		news, err := c.queue.SubscribeEvents(ctx, topic(k.Tree()), 64) // before the first look, so that nothing falls between
		if err != nil {
			yield(nil, unavailable(err))
			return
		}
		w := &watch{c: c, tree: k.Tree(), after: after, yield: yield, news: news}
		if err := w.run(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// watch is one reader of one tree.
type watch struct {
	c        *Coordinator
	tree     dag.TreeKey
	after    int64
	progress float64
	news     <-chan []byte
	yield    func(*Event, error) bool
	status   *TreeStatus
}

func (w *watch) run(ctx context.Context) error {
	first, err := w.c.treeStatus(ctx, w.tree)
	if err != nil {
		return err
	}
	if w.after == 0 {
		w.after = first.start
	}
	for {
		done, err := w.catchUp(ctx)
		if done || err != nil {
			return err
		}
		t := time.NewTimer(watchFallback)
		select {
		case data, ok := <-w.news:
			t.Stop()
			if !ok {
				return unavailable(errors.Join(ctx.Err(), queue.ErrClosed))
			}
			if len(data) > 0 && !w.reported(data) {
				return nil
			}
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// catchUp yields what is stored and not yet told. done: the reader has left, or the final event was told.
func (w *watch) catchUp(ctx context.Context) (done bool, err error) {
	for {
		events, err := w.c.store.Events(ctx, w.tree, w.after)
		if err != nil {
			return false, w.c.internal("read events", err)
		}
		st, err := w.c.treeStatus(ctx, w.tree)
		if err != nil {
			return false, err
		}
		if len(events) == 0 {
			return st.over && w.after >= st.Sequence, nil
		}
		w.status = st.TreeStatus
		for i := range events {
			w.after = events[i].Sequence
			e := w.event(&events[i])
			if !w.yield(e, nil) || e.Type == EventFinal && e.Sequence >= st.Sequence {
				return true, nil
			}
		}
		if st.Progress != w.progress && !st.over {
			w.progress = st.Progress
			if !w.yield(&Event{Type: EventProgress, TreeID: st.ID, TaskID: st.ID, Status: dag.StatusInProgress, Progress: st.Progress, At: time.Now()}, nil) {
				return true, nil
			}
		}
	}
}

func (w *watch) event(e *pg.TreeEvent) *Event {
	out := &Event{Sequence: e.Sequence, Type: eventTypes[e.Type], Status: eventStatus[e.Type], TreeID: w.status.ID, TaskID: e.ID,
		Name: e.Name, Attempt: int(e.Attempt), Progress: w.status.Progress, At: e.At, Result: e.Result}
	switch e.Type {
	case dag.EventFailed, dag.EventRetry, dag.EventCancelled:
		out.Error = e.Error
	case dag.EventExecution:
		out.TaskID, out.Name, out.Progress = w.status.ID, w.status.Name, 0
	case dag.EventFinal:
		out.TaskID, out.Name, out.Status, out.Tree = w.status.ID, w.status.Name, w.status.Status, w.status
	}
	return out
}

// reported passes on what an executor said, and reports whether the reader is still there.
func (w *watch) reported(data []byte) bool {
	p := &workerv1.Progress{}
	if proto.Unmarshal(data, p) != nil || w.status == nil {
		return true
	}
	e := &Event{Type: EventProgress, TreeID: w.status.ID, Status: dag.StatusInProgress, Attempt: int(p.GetAttempt().GetNumber()),
		Progress: p.Fraction, Message: p.Message, At: time.Now()}
	ids, err := w.c.store.IDs(context.Background(), []dag.Key{dag.Key(p.GetAttempt().GetTask())})
	if err != nil {
		return true
	}
	for _, id := range ids {
		e.TaskID = id
	}
	return w.yield(e, nil)
}
