package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// patience is how long a taker waits for more free slots before it asks for few, while its pool has a backlog.
const patience = time.Millisecond

// takes takes work for one pool until ctx ends.
func (s *session) takes(ctx context.Context, p *pool) error {
	select {
	case <-s.lease.granted:
	case <-ctx.Done():
		return nil
	}
	taker := s.w.conn.Taker(p.name)
	p.taker.Store(taker)
	backlog := false // the last take brought all that was asked for
	each := 1.0      // attempts in a message, a moving average
	for {
		want := 1
		if backlog {
			want = max(1, s.w.book.most(p)/8)
		}
		free, err := p.room(ctx, want, patience, s.w.book.free)
		if err != nil {
			return nil
		}
		most := max(1, int(float64(free)/each))
		deliveries, err := taker.Take(ctx, most)
		p.more.Store(taker.More())
		if len(deliveries) > 0 {
			n := s.arrive(p, deliveries, free)
			each += (float64(n)/float64(len(deliveries)) - each) / 2
		}
		backlog = len(deliveries) >= most
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("take from pool %s: %w", p.name, err)
		}
	}
}

// arrive enters the attempts of deliveries in the ledger, and asks for them. Messages whose attempts are far more than there is room
// for are given back, and those beyond lineBytes for which there is no slot. It returns how many attempts there were.
func (s *session) arrive(p *pool, deliveries []*queue.WorkDelivery, room int) (n int) {
	now := time.Now()
	batch := make([]*attempt, 0, room)
	bytes := 0
	for _, d := range deliveries {
		more := s.read(p, d, now)
		n, bytes = n+len(more), bytes+len(d.Data)
		if len(batch) > 0 && (n > 2*room || n > p.slots && bytes > lineBytes) {
			d.Nak()
			continue
		}
		batch = append(batch, more...)
	}
	out := s.w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
		for _, a := range batch {
			if l.Take(a, out) != ledger.Entered {
				a.stop(nil)
			}
		}
	})
	s.w.do(&out)
	return n
}

// read makes attempts of a message. None: it can't be understood, and was dealt with.
func (s *session) read(p *pool, d *queue.WorkDelivery, now time.Time) []*attempt {
	w := s.w
	work, err := readWork(d.Data)
	switch {
	case errors.Is(err, errTooNew):
		// Not acknowledged: after the ack wait a newer worker may get it.
		w.log.Error("work message is too new for this worker", "pool", p.name, "version", work.Version, "task_id", work.TaskId, "tree_id", work.TreeId)
		return nil
	case err != nil:
		w.log.Error("work message can't be read and is dropped", "pool", p.name, "bytes", len(d.Data), "error", err)
		d.Ack() // the coordinator offers its attempt again
		return nil
	}
	if d.Delivered > 1 {
		w.metrics.redelivered.Add(context.Background(), 1, p.attrs)
	}
	all := append([]*workerv1.Work{work}, work.More...)
	m := ledger.Bundle(d, len(all))
	attempts := make([]*attempt, len(all))
	for i, one := range all {
		one.More = nil // none has more of its own
		a := s.newAttempt(p, one, d.Header, now)
		a.Message, a.Delivered, a.Priority, a.Bytes = m, d.Delivered, dag.Priority(d.Priority), len(d.Data)/len(all)
		a.Ahead, a.Passes = one.Ahead, one.Passes
		attempts[i] = a
	}
	return attempts
}

// mostMore is how many attempts a message may hold beside its first: some times what coordinators put into one.
const mostMore = 127

// errTooNew: the message is of a version that we may not understand.
var errTooNew = errors.New("too new")

// readWork decodes a message.
func readWork(data []byte) (*workerv1.Work, error) {
	work := &workerv1.Work{}
	switch err := proto.Unmarshal(data, work); {
	case err != nil:
		return nil, err
	case work.Attempt == nil, slices.ContainsFunc(work.More, func(m *workerv1.Work) bool { return m.Attempt == nil }):
		return nil, errors.New("it names no attempt")
	case work.Version > workerv1.Version+1:
		return work, errTooNew
	case len(work.More) > mostMore:
		return nil, fmt.Errorf("it names %d attempts", 1+len(work.More))
	}
	return work, nil
}

func (s *session) newAttempt(p *pool, work *workerv1.Work, header nats.Header, now time.Time) *attempt {
	a := &attempt{
		Entry: ledger.Entry{Key: keyOf(work.Attempt), Token: work.Token, Session: &s.Session, Pool: p.index, Repeatable: work.Repeatable && len(work.Sealed) == 0, Taken: now},
		work:  work, header: header, session: s, pool: p, kind: s.w.kinds[work.Executor],
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	a.out.init(s.w, a)
	a.files.w, a.files.a = s.w, a
	return a
}
