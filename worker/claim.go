package worker

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	claimsInFlight = 4    // requests under way at once
	claimBatch     = 1000 // grants in one request
	batchLinger    = 2 * time.Millisecond
	batchEnough    = 128
	rushLinger     = 500 * time.Microsecond // how long what comes first of a rush waits for the others
	rushOf         = 16                     // attempts that start together, or come in a message, are one
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
	w.book.step(func(l *ledger.Ledger[*attempt], _ *todo) {
		now := time.Now()
		batch = slices.DeleteFunc(batch, func(a *attempt) bool { return !l.Ask(now, a) })
	})
	if len(batch) == 0 {
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
	for i, raw := range reply.Keys[:min(len(reply.Keys), len(batch))] {
		batch[i].keyed(raw) // before it may start
	}
	out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
		now, whyNot := time.Now(), s.refusal()
		for i, a := range batch {
			l.Answer(now, a, verdict(reply.Verdicts, i), whyNot, out)
		}
	})
	w.do(&out)
	tries := 0
	for _, a := range out.Again {
		a.claimTries++
		tries = max(tries, a.claimTries)
	}
	if tries == 0 {
		return nil, 0
	}
	return out.Again, backOff(tries)
}

// verdict is the i-th of the verdicts.
func verdict(list []workerv1.Verdict, i int) dag.Verdict {
	switch {
	case i >= len(list):
		return dag.Undecided
	case list[i] == workerv1.Verdict_VERDICT_YES:
		return dag.Yes
	case list[i] == workerv1.Verdict_VERDICT_NO:
		return dag.No
	}
	return dag.Undecided
}

// refusal is why nothing may start now.
func (s *session) refusal() ledger.Cause { return ledger.Refusal(s.lease.holds(), s.w.isDraining()) }

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
