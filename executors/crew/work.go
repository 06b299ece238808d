package crew

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/budget"
)

// work is an attempt at work.
type work struct {
	call    *executors.Call
	order   *order
	session *agent.Session
	room    *room
	tally   tally
}

func newWork(call *executors.Call, o *order, s *agent.Session, r *room) *work {
	w := &work{call: call, order: o, session: s, room: r}
	for _, c := range o.crews {
		w.tally.all += len(c.tasks)
	}
	w.tally.reporter = call.Reporter
	return w
}

// crew runs one of the crews. The result is there in any case.
func (w *work) crew(ctx context.Context, i int, s *agent.Session) (*Result, error) {
	r := &run{crew: w.order.crews[i], number: i, session: s, room: w.room, finished: w.tally.done}
	err := r.all(ctx)
	result := &Result{Status: statusSuccess, Tasks: r.done()}
	result.spend(s.Usage())
	if n := len(result.Tasks); n > 0 {
		result.Value = result.Tasks[n-1].Value
	}
	if err != nil {
		w.ended(ctx, result, err, fmt.Sprintf("%d/%d tasks", len(result.Tasks), len(r.crew.tasks)))
		result.Interrupted = cut(s.Interrupted(), maxInterrupted)
	}
	return result, err
}

// ended makes the result say how work ended that was not done to its end.
func (w *work) ended(ctx context.Context, result *Result, err error, done string) {
	result.Status, result.Error = statusFailed, err.Error()
	switch spent := budget.ExhaustedOf(err); {
	case spent != nil && w.order.limits.On == budget.Partial:
		result.Status = statusPartial
		return
	case spent == nil && ctx.Err() != nil:
		result.Status, result.Error = statusCancelled, "Task was cancelled. Completed "+done+". Token usage preserved."
	}
	result.Value = nil
}

// batch runs all crews, one after the other, whatever becomes of them. The result is there in any case.
func (w *work) batch(ctx context.Context) (*Result, error) {
	var done, all works
	var failed failures
	var total executors.Usage
	for i, name := range w.order.names {
		w.call.Reporter.Log("log", fmt.Sprintf("work %s begins (%d of %d)", name, i+1, len(w.order.names)))
		session := w.session.Fork()
		result, err := w.crew(ctx, i, session)
		total.Add(session.Usage())
		all.set(name, result)
		if waiting(err) != nil {
			return result, err
		}
		if err != nil && (ctx.Err() != nil || budget.ExhaustedOf(err) != nil) {
			return w.cutShort(ctx, &all, len(done.names), total, err)
		}
		if done.set(name, result); err != nil {
			w.call.Reporter.Log("log", "work "+name+" failed: "+err.Error())
			failed.add(name, err)
		}
	}
	result := &Result{Status: statusSuccess, Value: &all}
	result.spend(total)
	if len(failed.names) == 0 {
		return result, nil
	}
	result.Status, result.Error, result.Value, result.Partial = statusFailed, failed.Error(), nil, &all
	return result, failed.classed()
}

// cutShort is the result of a batch that can't go on.
func (w *work) cutShort(ctx context.Context, all *works, done int, total executors.Usage, err error) (*Result, error) {
	result := &Result{Value: all, Partial: all}
	result.spend(total)
	w.ended(ctx, result, err, fmt.Sprintf("%d/%d works", done, len(w.order.names)))
	if result.Status == statusPartial {
		result.Partial = nil
	}
	return result, err
}

// failures are the works of a batch that have failed.
type failures struct {
	names []string
	errs  []error
}

func (f *failures) add(name string, err error) {
	f.names, f.errs = append(f.names, name), append(f.errs, err)
}

// Error is the reference's text.
func (f *failures) Error() string { return "Failed works: " + strings.Join(f.names, ", ") }

// classed is the error of the batch: another attempt helps if it may help any of the works, and not before it may help them all.
func (f *failures) classed() error {
	err, lasting, delay := error(f), true, time.Duration(0)
	for _, one := range f.errs {
		lasting = lasting && executors.IsPermanent(one)
		delay = max(delay, executors.RetryAfterOf(one))
	}
	if lasting {
		return executors.Permanent(err)
	}
	return executors.RetryAfter(err, delay)
}

// tally tells how much of the work is done.
type tally struct {
	reporter executors.Reporter
	all      int
	n        atomic.Int64
}

func (t *tally) done(finished *task) {
	n := t.n.Add(1)
	t.reporter.Progress(float64(n)/float64(t.all), fmt.Sprintf("task %s is done (%d of %d)", cut(finished.key, 60), n, t.all))
}
