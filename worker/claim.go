package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	claimsInFlight = 4    // requests under way at once
	claimBatch     = 1000 // grants in one request
	batchLinger    = 2 * time.Millisecond
	batchEnough    = 128
	backOffFirst   = 50 * time.Millisecond
	backOffMost    = 2 * time.Second
)

// backOff is how long to wait after the given number of tries (from 1): exponential, half of it random.
func backOff(tries int) time.Duration {
	d := min(backOffFirst<<min(tries-1, 10), backOffMost)
	return d/2 + rand.N(d/2)
}

func (s *session) newClaimer() *batcher[*attempt] {
	return &batcher[*attempt]{
		max: claimBatch, inFlight: claimsInFlight, linger: batchLinger, enough: batchEnough,
		send: s.ask, wake: make(chan struct{}, 1),
	}
}

// ask claims a batch, and does what the answers say. It returns what was not decided.
func (s *session) ask(ctx context.Context, batch []*attempt) ([]*attempt, time.Duration) {
	w := s.w
	if batch = w.ledger.asking(batch); len(batch) == 0 {
		return nil, 0
	}
	failpoint.Hit("worker.before-claim")
	request := &workerv1.ClaimRequest{Version: workerv1.Version, Instance: s.instance}
	request.Grants = make([]*workerv1.Grant, len(batch))
	for i, a := range batch {
		request.Grants[i] = a.grant()
	}
	sent := time.Now()
	reply := &workerv1.ClaimReply{}
	if err := w.request(ctx, queue.Claim, request, reply); err != nil && ctx.Err() == nil {
		w.quiet.warn("claim", "claims are not answered", "attempts", len(batch), "error", err)
	} else if reply.Error != "" {
		w.quiet.warn("claim", "claims are not decided", "attempts", len(batch), "error", reply.Error)
		reply.Verdicts = nil
	}
	if len(reply.Verdicts) > 0 {
		failpoint.Hit("worker.after-claim")
		w.metrics.claims(time.Since(sent), len(batch))
	}
	mayStart, whyNot := true, executors.ErrLeaseLost
	switch {
	case !s.lease.holds():
		mayStart, whyNot = false, executors.ErrLeaseLost
	case w.isDraining():
		mayStart, whyNot = false, executors.ErrDraining
	}
	out := w.ledger.answer(batch, reply.Verdicts, mayStart, whyNot)
	for _, d := range out.ack {
		d.Ack()
	}
	for _, a := range out.start {
		w.start(a)
	}
	w.results.add(out.report...)
	tries := 0
	for _, a := range out.again {
		a.claimTries++
		tries = max(tries, a.claimTries)
	}
	if tries == 0 {
		return nil, 0
	}
	return out.again, backOff(tries)
}

// request asks a coordinator once, within [Config.AskWithin], and decodes the answer.
func (w *Worker) request(ctx context.Context, kind queue.Kind, request, reply proto.Message) error {
	return w.requestWithin(ctx, w.cfg.AskWithin, kind, request, reply)
}

func (w *Worker) requestWithin(ctx context.Context, within time.Duration, kind queue.Kind, request, reply proto.Message) error {
	data, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer, err := w.conn.Request(ctx, kind, data)
	if err != nil {
		return err
	}
	return proto.Unmarshal(answer, reply) // an empty answer is one without any field set
}
