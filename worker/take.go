package worker

import (
	"context"
	"errors"
	"fmt"
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
	for {
		want := 1
		if backlog {
			want = max(1, s.w.book.most(p)/8)
		}
		free, err := p.room(ctx, want, patience, s.w.book.free)
		if err != nil {
			return nil
		}
		deliveries, err := taker.Take(ctx, free)
		p.more.Store(taker.More())
		if len(deliveries) > 0 {
			s.arrive(p, deliveries)
		}
		backlog = len(deliveries) >= free
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("take from pool %s: %w", p.name, err)
		}
	}
}

// arrive enters deliveries in the ledger and asks for them.
func (s *session) arrive(p *pool, deliveries []*queue.WorkDelivery) {
	now := time.Now()
	batch := make([]*attempt, 0, len(deliveries))
	for _, d := range deliveries {
		if a := s.read(p, d, now); a != nil {
			batch = append(batch, a)
		}
	}
	out := s.w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
		for _, a := range batch {
			if l.Take(a, out) != ledger.Entered {
				a.stop(nil)
			}
		}
	})
	s.w.do(&out)
	s.claims.add(out.Ask...)
}

// read makes an attempt of a message. nil: it can't be understood, and was dealt with.
func (s *session) read(p *pool, d *queue.WorkDelivery, now time.Time) *attempt {
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
	a := s.newAttempt(p, work, d.Header, now)
	a.Message, a.Delivered, a.Priority, a.Bytes = d, d.Delivered, dag.Priority(d.Priority), len(d.Data)
	a.Ahead = work.Ahead && d.Delivered == 1
	return a
}

// errTooNew: the message is of a version that we may not understand.
var errTooNew = errors.New("too new")

// readWork decodes a message.
func readWork(data []byte) (*workerv1.Work, error) {
	work := &workerv1.Work{}
	switch err := proto.Unmarshal(data, work); {
	case err != nil:
		return nil, err
	case work.Attempt == nil:
		return nil, errors.New("it names no attempt")
	case work.Version > workerv1.Version+1:
		return work, errTooNew
	}
	return work, nil
}

func (s *session) newAttempt(p *pool, work *workerv1.Work, header nats.Header, now time.Time) *attempt {
	a := &attempt{
		Entry: ledger.Entry{Key: keyOf(work.Attempt), Token: work.Token, Session: &s.Session, Pool: p.index, Repeatable: work.Repeatable, Taken: now},
		work:  work, header: header, session: s, pool: p, kind: s.w.kinds[work.Executor],
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	a.out.init(s.w, a)
	return a
}
