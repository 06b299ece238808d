package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// A large result goes to coordinators in parts. When none can store them, the parts go into RESULTS and the result after them, so that
// they wait there as small results do: nothing is taken back from a worker before what lies in RESULTS is settled. What RESULTS
// refuses waits here, in the slot of its attempt. A value whose parts went that way is kept until its receipt, as NATS may lose
// them; it counts towards [Config.MaxKeptBytes].

// chunkBytes is the most that one part of a large result carries.
const chunkBytes = 512 << 10

// partsInFlight bounds the requests for parts of payloads of the whole process: 4 MiB or so, a quarter of what a
// coordinator keeps waiting for one worker.
const partsInFlight = 8

// partWithin is how long one of them may take before it is repeated. Coordinators answer at once when they have no room;
// only one that died says nothing.
func (w *Worker) partWithin() time.Duration { return 4 * w.cfg.AskWithin }

// uploading is the context in which an attempt's value is sent. It ends when the attempt is cancelled or no longer ours. A drain lets
// it go on until the drain's end. A lease that has run out lets it go on: what is done is done, and coordinators decide whether it
// counts.
func (w *Worker) uploading(a *attempt) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(a.ctx))
	stop := context.AfterFunc(a.ctx, func() {
		var end <-chan time.Time
		switch cause := context.Cause(a.ctx); {
		case errors.Is(cause, executors.ErrDraining):
			end = time.After(w.cfg.KillGrace / 2)
		case !errors.Is(cause, executors.ErrLeaseLost) || a.session.lease.holds():
			cancel(cause)
		}
		select {
		case <-end:
			cancel(executors.ErrDraining)
		case <-w.over:
			cancel(executors.ErrDraining)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// upload sends a large value in parts, some at a time, until all are stored: by coordinators or, if inResults, some of them in
// RESULTS. It gives up when a coordinator refuses for good, and when ctx ends.
func (w *Worker) upload(ctx context.Context, a *attempt, value []byte) (inResults bool, err error) {
	part := min(chunkBytes, w.conn.MaxPayload()*3/4)
	count := (len(value) + part - 1) / part
	var along atomic.Bool
	group, gctx := errgroup.WithContext(ctx)
	for i := range count {
		if w.enter(gctx) != nil {
			break // the group or ctx knows why
		}
		group.Go(func() error {
			defer w.leave()
			request := &workerv1.ChunkRequest{
				Version: workerv1.Version, Grant: a.grant(), Index: uint32(i), Count: uint32(count),
				Data: value[i*part : min((i+1)*part, len(value))],
			}
			if k := a.key.Load(); k != nil {
				envelope.SealPart(k, request)
			}
			if err := w.sendPart(gctx, a.session.instance, request, &along); err != nil {
				return fmt.Errorf("store result of %d bytes, part %d of %d: %w", len(value), i+1, count, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, fmt.Errorf("store result of %d bytes: %w", len(value), context.Cause(ctx))
	}
	return along.Load(), nil
}

// enter waits for a turn to request a part.
func (w *Worker) enter(ctx context.Context) error {
	select {
	case w.parts <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *Worker) leave() { <-w.parts }

// sendPart sends a part until it is stored: by a coordinator or, when none can and all of them would read it there, in RESULTS.
// inResults is set then, and other parts of the value follow without asking.
func (w *Worker) sendPart(ctx context.Context, instance string, part *workerv1.ChunkRequest, inResults *atomic.Bool) error {
	return w.insist(ctx, func() error {
		if !inResults.Load() {
			err := w.requestPart(ctx, part)
			if err == nil || executors.IsPermanent(err) || errors.Is(err, errBusy) || ctx.Err() != nil || !w.partsInResults.Load() {
				return err
			}
		}
		if err := w.publishBatch(ctx, &workerv1.ResultBatch{Version: workerv1.Version, Instance: instance, Parts: []*workerv1.ChunkRequest{part}}); err != nil {
			return err
		}
		inResults.Store(true)
		failpoint.Hit("worker.after-part-in-results")
		return nil
	})
}

// requestPart asks a coordinator to store a part.
func (w *Worker) requestPart(ctx context.Context, part *workerv1.ChunkRequest) error {
	reply := &workerv1.ChunkReply{}
	if err := w.requestWithin(ctx, w.partWithin(), queue.Chunk, part, reply); err != nil {
		return err
	}
	if err := refusal(reply.Error, reply.Final, reply.Busy, reply.Away); err != nil {
		return err
	}
	failpoint.Hit("worker.after-chunk")
	return nil
}

// sendAgain sends the parts of results again that a coordinator found incomplete, and then the results.
func (w *Worker) sendAgain(incomplete []*workerv1.Attempt) {
	for _, name := range incomplete {
		var a *attempt
		w.book.step(func(l *ledger.Ledger[*attempt], _ *todo) { a, _ = l.Kept(keyOf(name)) })
		if a == nil || a.value == nil || !a.resending.CompareAndSwap(false, true) {
			continue
		}
		w.working.Add(1)
		w.crew.do(func() {
			defer w.working.Done()
			defer a.resending.Store(false)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			go func() {
				select {
				case <-w.over:
					cancel(executors.ErrDraining)
				case <-ctx.Done():
				}
			}()
			if _, err := w.upload(ctx, a, a.value); err != nil {
				w.quiet.warn("parts", "parts of a result could not be sent again", "task_id", a.work.TaskId, "error", err)
				return // the result comes again without a receipt, and so does the question for its parts
			}
			out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Again(a, out) })
			w.do(&out)
		})
	}
}
