package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	maxErrorBytes  = 16 << 10
	maxDetailBytes = 64 << 10
)

// start runs an attempt in a goroutine of the crew, which has it until its executor has returned and its result is the
// reporter's.
func (w *Worker) start(a *attempt) {
	w.working.Add(1)
	a.pool.started.Add(1)
	w.crew.do(func() {
		defer w.working.Done()
		defer a.pool.ended.Add(1)
		defer w.hand(a) // deferred, as an executor may end its goroutine
		w.work(a)
	})
}

// hand gives the result of an attempt whose work has stopped to the reporter, and its slot back.
func (w *Worker) hand(a *attempt) {
	out := w.book.finish(a, a.ended(), w.mayOffer(a))
	a.stop(nil) // releases the context
	if len(out.Report) > 0 {
		a.seal()
		w.metrics.attempt(a, a.result)
	}
	w.do(&out)
}

// work runs an attempt to its end and sets its result, which it does also when the executor ends its goroutine. The
// executor has returned then, and large values are stored.
func (w *Worker) work(a *attempt) {
	if !a.session.lease.holds() { // we were frozen: others may have it by now
		a.result = a.unstarted(dag.OutcomeReturned, executors.ErrLeaseLost)
		return
	}
	started, timeout, whose := time.Now(), time.Duration(a.work.TimeoutMs)*time.Millisecond, "the task's timeout"
	if a.Late(started, timeout) {
		a.result = a.unstarted(dag.OutcomeReturned, ErrLate)
		return
	}
	ctx, span := w.trace(a)
	a.out.span = trace.SpanContextFromContext(ctx)
	if timeout <= 0 && a.kind != nil {
		timeout, whose = a.kind.description.Timeout, "the executor's default: set the task's timeout"
	}
	release := context.CancelFunc(func() {})
	if timeout > 0 {
		ctx, release = context.WithTimeoutCause(ctx, timeout, executors.ErrTimeout)
	}
	var done finished
	defer func() {
		cause := context.Cause(ctx)
		release()
		a.out.close()
		a.ran = max(time.Since(started), 1)
		a.result = w.conclude(a, started, timeout, whose, cause, &done)
		a.result.Usage = a.used.close()
		if failed(endOf(a.result)) {
			span.SetStatus(codes.Error, a.result.Error)
		}
		span.End()
	}()
	w.execute(ctx, a, &done)
}

// conclude makes the result of an attempt that ran. whose is who set its timeout; cause is why its context ended, nil if it did not.
func (w *Worker) conclude(a *attempt, started time.Time, timeout time.Duration, whose string, cause error, done *finished) *workerv1.Result {
	failure := done.failure
	outcome := outcomeOf(errors.Is(cause, executors.ErrCancelled), cause, failure != nil)
	r := a.newResult(outcome, started, time.Now())
	switch outcome {
	case dag.OutcomeCompleted:
		w.complete(a, r, done)
	case dag.OutcomeCancelled:
		r.Error = cause.Error()
		w.attach(a, r, done.value)
	case dag.OutcomeTimedOut:
		r.Error = fmt.Sprintf("attempt timed out after %v (%s)", timeout, whose)
		if failure != nil && !failure.ofContext {
			r.Error += ": " + failure.text
		}
	case dag.OutcomeReturned:
		r.Error = cause.Error()
	default:
		r.Error = cmp.Or(failure.text, "executor failed and did not say why")
		r.Detail = clean(a.out.redact().Text(failure.detail), maxDetailBytes)
		r.GetFailed().Permanent = failure.permanent
		r.GetFailed().RetryAfterMs = millisUp(failure.retryAfter)
		r.Kind = failure.kind
	}
	r.Error = clean(a.out.redact().Text(r.Error), maxErrorBytes)
	a.out.bring(r)
	return r
}

// finished is what came of an executor.
type finished struct {
	product
	failure *failure // nil: there was no error
}

// product is what an executor returned.
type product struct {
	value   []byte                   // JSON; empty: null. What is attached to the result, whatever its kind
	outcome *executors.Outcome       // of another kind than completed; nil: it has completed
	outputs []byte                   // JSON object: the values that the task names; empty: none
	again   *workerv1.Control_Repeat // it has completed, and the task runs once more, by this; nil: it has ended
}

// failure is all that is asked of an executor's error. The error's own methods are the executor's code, which may panic.
type failure struct {
	text       string
	detail     string // the stack of a panic, or what the executor adds
	permanent  bool
	retryAfter time.Duration // that the next attempt waits at least
	kind       string        // a word for why; empty: none
	ofContext  bool          // it only says that the context ended
}

// failureOf asks an error, nil for none.
func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	return &failure{text: err.Error(), detail: executors.DetailOf(err), permanent: executors.IsPermanent(err), retryAfter: executors.RetryAfterOf(err), kind: kindOf(err), ofContext: isContextError(err)}
}

// execute finds the executor, completes and checks its call, runs it and encodes what it returns. Panics of the
// executor, of its errors, of the validation and of encoders are failures. So is the end of the goroutine, after which
// execute does not return: it sets done in each case.
func (w *Worker) execute(ctx context.Context, a *attempt, done *finished) {
	ended := false
	defer func() {
		if ended {
			return
		}
		*done = finished{failure: &failure{text: "executor ended its goroutine", detail: string(debug.Stack())}}
		if p := recover(); p != nil {
			done.failure.text, done.failure.kind = fmt.Sprintf("panic: %v", p), string(dag.KindPanic)
		}
	}()
	made, err := w.call(ctx, a)
	*done = finished{product: made, failure: failureOf(err)}
	ended = true
}

// call returns the encoded value. Both a value and an error stand for [executors.Partial].
func (w *Worker) call(ctx context.Context, a *attempt) (product, error) {
	if err := a.open(); err != nil {
		return product{}, err
	}
	a.out.begin(a.work.Checkpoint)
	if a.kind == nil {
		return product{}, executors.Permanent(w.unknownExecutor(a.work))
	}
	if err := context.Cause(ctx); err != nil {
		return product{}, err
	}
	in, err := w.inputs(ctx, a)
	if err == nil && !a.work.Demo { // what is demonstrated has no results to render
		in, err = w.render(a, in)
	}
	if err != nil {
		return product{}, err
	}
	a.given = in
	defer func() { a.given = given{} }()
	call := &executors.Call{
		TaskID: a.work.TaskId, TreeID: a.work.TreeId, Name: a.work.Name, UserID: a.work.UserId,
		Attempt: int(a.Key.Number), IdempotencyKey: a.work.IdempotencyKey,
		Checkpoint: a.work.Checkpoint, Answer: answerOf(a.work.Answer), Repeat: int(in.control.GetRepeat().GetBefore()), Lock: lockOf(a.work.Lock),
		Inputs: in.inputs, Pool: a.pool.name, Params: a.work.Params, Schemas: a.work.Schemas,
		Files: &a.files, JobDirs: w.runs.dirs, Artifacts: in.control.GetArtifacts(), KeepOutputs: in.control != nil, Reporter: &a.out, Lease: a.session.lease, Submitted: in.references, Live: a.out.Live, Trace: w.outward(ctx),
		Catalogue: func(ctx context.Context) ([]executors.Description, error) { return w.catalogue.of(ctx, w, a) },
	}
	if len(w.cfg.Hooks) == 0 {
		return w.carryOut(ctx, a, call)
	}
	w.before(ctx, call)
	seen := copied(call) // without secrets
	made, err := w.carryOut(ctx, a, call)
	if err == nil && made.outcome == nil {
		w.after(ctx, seen, made.value)
	}
	return made, err
}

// lockOf is the lock that an attempt holds; nil: none.
func lockOf(l *workerv1.Lock) *executors.Lock {
	if l == nil {
		return nil
	}
	return &executors.Lock{Key: l.Key, Token: l.Token}
}

// carryOut runs a call, or shows what it would do.
func (w *Worker) carryOut(ctx context.Context, a *attempt, call *executors.Call) (product, error) {
	if a.work.Demo { // nothing secret is asked for
		value, err := w.demonstrate(ctx, a.kind.executor, call)
		return product{value: value}, err
	}
	call.Toolbox = w.newToolbox(call)
	call.Used, call.Spent = func(model string, u executors.Usage) { w.use(a, model, u) }, spent(a.work)
	if a.work.Keyed {
		call.Redact = a.out.text
		call.ModelKey = func(ctx context.Context, provider string) (string, error) { return w.modelKey(ctx, a, provider) }
	}
	leave, err := w.withBundle(ctx, a, call)
	if err != nil {
		return product{}, err
	}
	defer leave()
	shown, err := w.resolve(ctx, a, call, call.Submitted)
	if err == nil {
		err = w.validate(a.kind.description, call, shown)
	}
	if err != nil {
		return product{}, err
	}
	if !a.session.lease.holds() { // all that took time; the fence may not have been noticed yet
		a.stop(executors.ErrLeaseLost)
		return product{}, executors.ErrLeaseLost
	}
	failpoint.Hit("worker.mid-task")
	defer w.runs.note(a) // there is a directory then, if it has made one
	outcome, err := a.kind.executor.Run(ctx, call)
	if err == nil && outcome.Kind() == executors.KindPartial {
		err = errNoReason
	}
	if err != nil && outcome.Value() == nil {
		return product{}, err
	}
	made, encodeErr := produce(outcome, err == nil, a.given.control)
	made.value = withoutBundle(call.Bundle, made.value)
	if encodeErr == nil && err == nil && made.outcome == nil {
		made.value, encodeErr = withArtifacts(made.value, a.files.list())
	}
	if encodeErr == nil {
		made.value, encodeErr = redacted(a.out.redact(), made.value)
	}
	if encodeErr != nil {
		made = product{}
		if err == nil {
			err = executors.WithKind(executors.Permanent(encodeErr), string(dag.KindOutput))
		}
	}
	if err == nil {
		if err = unseen(a.given.control, made.outcome); err != nil {
			made = product{}
		}
	}
	if err == nil {
		made, err = w.loop(a, made)
	}
	if err == nil && made.again == nil && (made.outcome == nil || made.outcome.Kind() == executors.KindSkipped && a.given.control.GetFlowStep()) {
		if made.outputs, err = w.outputs(a, a.given, made.value); err != nil {
			made = product{}
		}
	}
	return made, err
}

// errNoReason is the failure of an executor that says it stopped midway, and not why.
var errNoReason = executors.Permanent(errors.New("executor returned a partial result without an error"))

// unknownExecutor is the failure of spec 1.3 item 4.
func (w *Worker) unknownExecutor(work *workerv1.Work) error {
	return errors.New(dag.UnknownExecutor(work.Executor, work.Schemas, w.kinds.types(), w.kinds.ids()))
}

var spanOptions = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}

// trace continues the tree's trace with a span for this attempt.
func (w *Worker) trace(a *attempt) (context.Context, trace.Span) {
	ctx := a.ctx
	if len(a.header) > 0 {
		ctx = propagation.TraceContext{}.Extract(ctx, headerCarrier(a.header))
	}
	name := "run"
	if a.kind != nil {
		name = a.kind.span
	}
	ctx, span := w.cfg.Trace.Start(ctx, name, spanOptions...)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("task_id", a.work.TaskId), attribute.String("tree_id", a.work.TreeId),
			attribute.Int64("attempt", int64(a.Key.Number)), attribute.String("worker_id", w.cfg.ID),
			attribute.Int64("claim_us", time.Since(a.Taken).Microseconds()),
		)
	}
	return ctx, span
}

// outward is the trace of a context for the world outside.
func (w *Worker) outward(ctx context.Context) executors.Trace {
	if w.cfg.TraceInside || !trace.SpanContextFromContext(ctx).IsValid() {
		return executors.Trace{}
	}
	told := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, told)
	return executors.Trace{Parent: told.Get("traceparent"), State: told.Get("tracestate")}
}

// headerCarrier reads a trace context from a message's headers, whichever way their case was written.
type headerCarrier nats.Header

func (h headerCarrier) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	if v := h[textproto.CanonicalMIMEHeaderKey(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (h headerCarrier) Set(name, value string) { h[name] = []string{value} }

func (h headerCarrier) Keys() []string {
	keys := make([]string, 0, len(h))
	for name := range h {
		keys = append(keys, name)
	}
	return keys
}

// millisUp rounds up: a service that is left alone for a little less than it asked for refuses again.
func millisUp(d time.Duration) int64 {
	millis := d.Milliseconds()
	if d > time.Duration(millis)*time.Millisecond {
		millis++
	}
	return millis
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, executors.ErrTimeout)
}

// clean makes text fit for protobuf and Postgres: valid UTF-8 without NUL, at most that many bytes.
func clean(text string, most int) string {
	const cut = " … (cut)"
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len(cut)], "") + cut
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
