package protocol

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// idPrefix begins the ids of attempts; the number within the process follows.
const idPrefix = "a"

// ErrNotStarted is returned by [Process.Run] if the program had ended before it read anything of the attempt: another process may have it.
var ErrNotStarted = errors.New("the process of the executor had ended")

// Rules are how an attempt is run.
type Rules struct {
	Heartbeat  time.Duration // the longest silence; 0: it may be silent
	Cancelable bool          // it understands cancel; else its process is killed
}

// attempt is one that the program has in hand.
type attempt struct {
	id   string
	call *executors.Call
	end  chan *message // its last one; of capacity 1
	seen atomic.Int64  // when it last gave a sign, as nanoseconds since began
	outs map[string]*executors.Output

	began time.Time
}

// sign notes that the attempt is alive.
func (a *attempt) sign() { a.seen.Store(int64(time.Since(a.began))) }

// log passes on text by lines. It is called by the reader only.
func (a *attempt) log(m *message) error {
	stream := cmp.Or(m.Stream, "log")
	out := a.outs[stream]
	if out == nil {
		if stream != "stdout" && stream != "stderr" && stream != "log" {
			return fmt.Errorf("it wrote a log to the unknown stream %q", beginning([]byte(stream)))
		}
		out = executors.NewOutput(1, a.call.Reporter, stream)
		a.outs[stream] = out
	}
	_, _ = out.Write([]byte(m.Text))
	if stream == "log" {
		return out.Close() // each message ends its line
	}
	return nil
}

// Run runs an attempt: inputs are what the program is given, which may be others than the call's. When ctx ends, the program is asked to
// stop, and killed if it does not. If the program broke the protocol, the error says how, and nothing of the program is left.
func (p *Process) Run(ctx context.Context, call *executors.Call, inputs json.RawMessage, rules Rules) (*executors.Outcome, error) {
	a, err := p.begin(call)
	if err != nil {
		return nil, err
	}
	defer p.leave(a)
	wrote, err := p.send(ctx, p.startOf(ctx, a, inputs))
	switch {
	case err == nil:
	case ctx.Err() != nil && !wrote:
		return nil, context.Cause(ctx)
	case executors.IsPermanent(err):
		return nil, err
	default:
		p.end(fmt.Errorf("an attempt could not be written to it: %w", err))
		if !wrote {
			return nil, ErrNotStarted
		}
		return nil, executors.Ended(ctx, p.failure())
	}
	return p.wait(ctx, a, rules)
}

// begin gives the attempt an id.
func (p *Process) begin(call *executors.Call) (*attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != nil {
		return nil, ErrNotStarted
	}
	p.last++
	a := &attempt{
		id: idPrefix + strconv.Itoa(p.last), call: call, end: make(chan *message, 1), began: time.Now(),
		outs: map[string]*executors.Output{},
	}
	p.attempts[a.id] = a
	p.redactions.add(call.Redact)
	p.tenure.enter(call.Lease)
	p.redirect()
	return a, nil
}

// forget takes an attempt away whose last message has come.
func (p *Process) forget(a *attempt) {
	p.mu.Lock()
	delete(p.attempts, a.id)
	p.redirect() // what it wrote to stderr before its last message is its own
	p.mu.Unlock()
	a.flush()
}

// flush reports lines without an end. Nobody may be reading the program's output, but the caller.
func (a *attempt) flush() {
	for _, out := range a.outs {
		_ = out.Close()
	}
}

// leave is the end of an attempt for all but the program.
func (p *Process) leave(a *attempt) {
	p.tenure.leave(a.call.Lease)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.attempts[a.id]; ok { // its last message has not come
		delete(p.attempts, a.id)
		p.redirect()
	}
	if isClosed(p.gone) {
		a.flush()
	}
}

// redirect sends stderr to the attempt that it must be of, if there is one. The caller holds mu.
func (p *Process) redirect() {
	var to executors.Reporter
	if len(p.attempts) == 1 {
		for _, a := range p.attempts {
			to = a.call.Reporter
		}
	}
	p.stderr.direct(to)
}

func (p *Process) startOf(ctx context.Context, a *attempt, inputs json.RawMessage) start {
	c := a.call
	s := start{
		Type: typeStart, AttemptID: a.id, TaskID: c.TaskID, TreeID: c.TreeID, Name: c.Name, UserID: c.UserID, Pool: c.Pool,
		Attempt: c.Attempt, IdempotencyKey: c.IdempotencyKey, Traceparent: c.Trace.Parent, Tracestate: c.Trace.State, Inputs: inputs, Params: c.Params, Schemas: c.Schemas, Lock: lockOf(c.Lock),
	}
	if p.version.Load() >= outcomesVersion {
		s.Checkpoint, s.Answer, s.Repeat = c.Checkpoint, answerOf(c.Answer), c.Repeat
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.Deadline = deadline.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// wait waits for the attempt's last message.
func (p *Process) wait(ctx context.Context, a *attempt, rules Rules) (*executors.Outcome, error) {
	var silent <-chan time.Time
	if rules.Heartbeat > 0 {
		timer := time.NewTicker(max(rules.Heartbeat/4, time.Millisecond))
		defer timer.Stop()
		silent = timer.C
	}
	for {
		select {
		case m := <-a.end:
			return outcome(m)
		case <-p.gone:
			return p.lost(ctx, a)
		case <-ctx.Done():
			return p.cancel(ctx, a, rules)
		case <-silent:
			if quiet := time.Since(a.began) - time.Duration(a.seen.Load()); quiet > rules.Heartbeat {
				p.end(fmt.Errorf("it gave no sign of an attempt for %v", rules.Heartbeat))
			}
		}
	}
}

// lost is the end of an attempt whose process has gone; its last message may have come all the same.
func (p *Process) lost(ctx context.Context, a *attempt) (*executors.Outcome, error) {
	select {
	case m := <-a.end:
		return outcome(m)
	default:
		return nil, executors.Ended(ctx, p.failure())
	}
}

// failure is why the process has gone, for an attempt.
func (p *Process) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(p.reason, executors.ErrLeaseLost) {
		return p.reason
	}
	return fmt.Errorf("the executor's process was given up: %w", p.reason)
}

// cancel ends an attempt whose context has ended.
func (p *Process) cancel(ctx context.Context, a *attempt, rules Rules) (*executors.Outcome, error) {
	cause := context.Cause(ctx)
	if !rules.Cancelable {
		p.kill(errors.New("an attempt was cancelled that can't be ended otherwise"), false)
		<-p.gone
		return nil, cause
	}
	grace := time.NewTimer(p.cfg.Grace)
	defer grace.Stop()
	word := cancel{typeCancel, a.id, reasonOf(cause), p.cfg.Grace.Seconds()}
	within, done := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Grace)
	defer done()
	if _, err := p.send(within, word); err != nil {
		p.kill(fmt.Errorf("an attempt could not be cancelled: %w", err), true)
	}
	select {
	case m := <-a.end:
		if m.Type != typeError { // done before it heard of the end
			return outcome(m)
		}
		return partial(m), cause
	case <-p.gone:
	case <-grace.C:
		p.end(fmt.Errorf("it did not end an attempt within %v of being told to", p.cfg.Grace))
	}
	return nil, cause
}

// outcome is what a last message says. What it holds is checked where any executor's is.
func outcome(m *message) (*executors.Outcome, error) {
	switch m.Type {
	case typeSkip:
		return executors.Skip(m.Reason, value(m.Value)), nil
	case typeExpand:
		return executors.Expanding(executors.Expand{Tasks: m.Tasks, Items: m.Items, Each: m.Each, Window: m.Window, StopOnFailure: m.Stop, Collect: m.Collect}), nil
	case typeAwait:
		return m.Await.outcome()
	case typeResult:
		if len(m.Result) == 0 {
			return executors.Completed(nil), nil
		}
		result := rawjson.Storable(m.Result, 0)
		if result == nil {
			return nil, executors.Permanent(errors.New("the executor's result nests too deep to be stored"))
		}
		return executors.Completed(json.RawMessage(result)), nil
	}
	err := executors.WithKind(errors.New(cmp.Or(m.Error, "the executor failed and did not say why")), m.Kind)
	if m.Detail != "" {
		err = executors.WithDetail(err, m.Detail)
	}
	if m.Retryable != nil && !*m.Retryable {
		return partial(m), executors.Permanent(err)
	}
	return partial(m), executors.RetryAfter(err, seconds(m.RetryAfter))
}

// outcome is a wait as any executor's.
func (a *await) outcome() (*executors.Outcome, error) {
	if a == nil {
		return nil, executors.WithKind(executors.Permanent(errors.New("the executor waits, and does not say for what")), "output")
	}
	if a.Kind == string(executors.AwaitTree) || a.Timeout < 0 {
		return nil, executors.WithKind(executors.Permanent(fmt.Errorf("the executor waits for what it can't: the kind is %.20q, the timeout %g s", a.Kind, a.Timeout)), "output")
	}
	return executors.Awaiting(executors.Await{Kind: executors.AwaitKind(a.Kind), Name: a.Name, Timeout: seconds(a.Timeout), Until: a.Until,
		Resume: a.Resume == nil || *a.Resume, Data: value(a.Data)}), nil
}

// value is JSON as the value of an outcome; nil: there is none.
func value(text json.RawMessage) any {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return text
}

// partial is what was done until an error; nil: nothing.
func partial(m *message) *executors.Outcome {
	if result := rawjson.Storable(m.Partial, 0); result != nil && string(result) != "null" {
		return executors.Partial(json.RawMessage(result))
	}
	return nil
}
