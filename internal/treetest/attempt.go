package treetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/condition"
)

// maxRendered is how many bytes the inputs of an attempt may have, and maxOutputs the values that it gives: the defaults of workers.
const (
	maxRendered = 64 << 20
	maxOutputs  = 256 << 10
)

// attempt is one that runs.
type attempt struct {
	t       *task
	number  int32
	merged  json.RawMessage // inputs, with templates as they were submitted
	inputs  json.RawMessage // rendered
	data    []string        // inputs that count as data
	scope   json.RawMessage // what was loaded for templates
	mock    *mock           // nil: its executor runs
	stopped bool
}

// start claims an attempt and runs it.
func (w *world) start(t *task) {
	if t.row.State != dag.Ready {
		return // it was cancelled, or skipped
	}
	if w.attempts++; w.attempts > maxAttempts {
		w.giveUp("it takes over %d attempts, the last one of %s: does it come to an end?", maxAttempts, t.path())
		return
	}
	a := &attempt{t: t, number: t.row.Attempt}
	w.decide(func(d *dag.Decision) { d.Claim(t.row.Key, a.number, me) }, t)
	if t.row.State != dag.Running {
		return
	}
	t.running, t.mock = a, nil
	if t.runs++; t.runs == 1 {
		t.started, t.startedAt = w.now, w.moment
	}
	w.note(t, "attempt %d starts", a.number)
	w.run(a)
}

// end settles an attempt after a time; one that would take longer than it may is timed out.
func (w *world) end(a *attempt, after time.Duration, result func() dag.Result) {
	limit, whose := a.t.Timeout, "the task's timeout"
	if limit <= 0 {
		limit, whose = w.timeouts[a.t.Executor], "the executor's default: set the task's timeout"
	}
	if limit > 0 && after >= limit {
		after = limit
		result = func() dag.Result {
			return dag.Result{Outcome: dag.OutcomeTimedOut, Error: fmt.Sprintf("attempt timed out after %v (%s)", limit, whose)}
		}
	}
	if after == forever {
		a.t.stuck = fmt.Sprintf("hangs in attempt %d, and has no timeout", a.number)
		return
	}
	w.at(after, func() {
		if !a.stopped {
			w.settle(a, result())
		}
	})
}

// forever is how long an attempt takes that hangs.
const forever = time.Duration(1<<63 - 1)

// settle records the result of an attempt.
func (w *world) settle(a *attempt, res dag.Result) {
	a.stopped, a.t.running = true, nil
	res.Task, res.Attempt, res.Worker = a.t.row.Key, a.number, me
	w.decide(func(d *dag.Decision) { d.Settle(res) }, a.t)
}

// stop stops an attempt that was cancelled: its worker does so at once.
func (w *world) stop(t *task, number int32) {
	if a := t.running; a != nil && a.number == number {
		w.settle(a, dag.Result{Outcome: dag.OutcomeCancelled})
	}
}

// failed is the result of an attempt that failed.
func failed(err error) dag.Result {
	return dag.Result{Outcome: dag.OutcomeFailed, Error: err.Error(), Permanent: executors.IsPermanent(err), Kind: dag.Kind(executors.KindOf(err)), RetryAfter: executors.RetryAfterOf(err)}
}

func permanent(kind dag.Kind, format string, args ...any) dag.Result {
	return dag.Result{Outcome: dag.OutcomeFailed, Permanent: true, Kind: kind, Error: fmt.Sprintf(format, args...)}
}

// run runs an attempt, by its executor or its mock.
func (w *world) run(a *attempt) {
	t := a.t
	if fault := w.render(a); fault != nil {
		w.end(a, 0, func() dag.Result { return *fault })
		return
	}
	t.inputs = a.inputs
	m, named := w.mockOf(a)
	own := runners[t.Executor]
	switch {
	case m != nil && !m.answers():
		a.mock = m
	case own != nil:
		t.mock = m
		w.runOwn(a, own)
		return
	case m != nil:
		w.problem(m.place, "%s runs %s, which waits for nothing that a mock can answer", t.path(), t.Executor)
		fallthrough
	default:
		if m == nil && w.c.byDefault != nil && !named {
			a.mock = w.c.byDefault
			break
		}
		if m == nil {
			w.unmocked(a, named)
		}
		w.end(a, 0, func() dag.Result { return permanent("", "it has no mock") })
		return
	}
	if fault := w.validate(a); fault != nil {
		w.end(a, 0, func() dag.Result { return *fault })
		return
	}
	w.runMock(a)
}

// unmocked notes that an attempt has no mock.
func (w *world) unmocked(a *attempt, named bool) {
	if !named {
		w.problem(w.c.place, "%s runs %s and has no mock", a.t.path(), a.t.Executor)
		return
	}
	w.problem(w.c.place, "%s: none of its mocks fits attempt %d, with the inputs %s", a.t.path(), a.number, short(string(a.inputs)))
}

// runMock has an attempt come to what its mock says.
func (w *world) runMock(a *attempt) {
	m := a.mock
	switch {
	case m.hangs:
		w.end(a, forever, nil)
		return
	case m.lost:
		w.at(m.takes, func() {
			if a.stopped {
				return
			}
			a.stopped, a.t.running = true, nil
			w.decide(func(d *dag.Decision) { d.Lost(a.t.row.Key, me, true) }, a.t)
		})
		return
	}
	w.end(a, m.takes, func() dag.Result {
		switch {
		case m.fails:
			return dag.Result{Outcome: dag.OutcomeFailed, Error: m.failure, Kind: dag.Kind(m.kind), Permanent: m.permanent, RetryAfter: m.retryAfter}
		case m.skip != "":
			return w.skip(a, dag.Result{Outcome: dag.OutcomeSkipped, Value: dag.SkippedResult(m.skip, m.result)})
		case m.expand != nil:
			return w.expand(a, m.expand)
		}
		result := m.result
		if result == nil {
			result = json.RawMessage("{}")
		}
		return w.complete(a, result)
	})
}

// render merges results into the inputs of an attempt, and renders its templates. fault is how it ends otherwise.
func (w *world) render(a *attempt) (fault *dag.Result) {
	t := a.t
	var results []dag.DependencyResult
	var values []dag.DependencyValue
	for _, e := range t.deps {
		on := t.tree.tasks[e.Task]
		state, result := on.row.State, on.result()
		if dag.SuccessfulStates.Has(state) && !e.Mode.OrderOnly() {
			results = append(results, dag.DependencyResult{Ref: on.ref, Result: result, Skipped: state == dag.Skipped})
		}
		values = append(values, dag.DependencyValue{Ref: on.ref, Name: on.Name, State: state, Error: on.failure(), Kind: on.kind(), Result: result, Outputs: on.outputs()})
	}
	merged, err := dag.Merge(t.Inputs, t.Schemas, results)
	if err != nil {
		res := permanent(dag.KindInput, "%v", err)
		return &res
	}
	a.merged, a.inputs = merged, merged
	c := t.Control
	if !c.ToWorker() {
		return nil
	}
	if paths := c.ValuePaths(t.Executor, t.Inputs); paths != nil {
		a.scope = paths.Scope(values)
	}
	a.scope = c.AddItem(a.scope)
	if !c.Template {
		return nil
	}
	templated := dag.Templated(t.Executor, t.Inputs, merged)
	if len(templated) == 0 {
		return nil
	}
	if a.inputs, a.data, err = w.rendering(a).Inputs(merged, templated, a.scope, maxRendered); err != nil {
		res := templateFault(err)
		return &res
	}
	return nil
}

func templateFault(err error) dag.Result {
	if fault, ok := err.(*template.Error); ok {
		return permanent(dag.Kind(fault.Kind), "%v", fault)
	}
	return permanent("", "%v", err)
}

func (w *world) rendering(a *attempt) *dag.Rendering {
	t := a.t
	return &dag.Rendering{TaskID: t.id, Name: t.Name, TreeID: t.tree.id, UserID: t.user(), Attempt: int64(a.number)}
}

// user is the owner of the task's tree.
func (t *task) user() string {
	for of := t.tree; ; of = of.waiter.tree {
		if of.root.UserID != "" || of.waiter == nil {
			return of.root.UserID
		}
	}
}

// result is what the task ended with; nil: null.
func (t *task) result() json.RawMessage {
	if t.last == nil {
		return nil
	}
	return t.last.Result
}

func (t *task) outputs() json.RawMessage {
	if t.last == nil {
		return nil
	}
	return t.last.Outputs
}

// failure is why the task failed, or was cancelled.
func (t *task) failure() string {
	switch {
	case t.row.State == dag.Cancelled && (t.last == nil || t.last.Outcome != dag.OutcomeCancelled || t.last.Error == ""): // with its tree
		return t.tree.why
	case t.last == nil:
		return ""
	}
	return t.last.Error
}

// kind is that of the error of a failed task.
func (t *task) kind() dag.Kind {
	if t.row.State != dag.Failed || t.last == nil {
		return ""
	}
	return cmp.Or(t.last.Kind, dag.KindExecutor)
}

// validate checks the inputs of an attempt by the schema of its executor, as far as this can be done without its secrets.
func (w *world) validate(a *attempt) (fault *dag.Result) {
	t := a.t
	faults := w.submitted.Tree()(inputs.Task{Executor: t.Executor, Inputs: a.inputs, Schemas: t.Schemas})
	if len(faults) == 0 {
		return nil
	}
	at := "inputs"
	if faults[0].Field != "" {
		at += "." + faults[0].Field
	}
	res := permanent(dag.KindInput, "[%s] %s: %s", t.Executor, at, faults[0].Reason)
	return &res
}

// complete is how an attempt ends that returned a result.
func (w *world) complete(a *attempt, result json.RawMessage) dag.Result {
	t, c := a.t, a.t.Control
	if string(result) == "null" {
		result = nil
	}
	if c == nil {
		return dag.Result{Outcome: dag.OutcomeCompleted, Value: result}
	}
	if r := c.Repeat; r != nil {
		holds, err := w.enough(a, r.Until, result)
		if err != nil {
			return permanent(dag.KindWhen, "%s: repeat.until: %v", dag.KindWhen, err)
		}
		again, end := dag.Loop(int(t.row.Repeats), r.Max, holds, raw(result))
		if again {
			return dag.Result{Outcome: dag.OutcomeRepeated, Value: result, After: dag.After{Delay: r.Delay}}
		}
		result = end
	}
	return w.outputs(a, dag.Result{Outcome: dag.OutcomeCompleted, Value: result})
}

// skip is how a skipped attempt ends: one of a step of a flow gives its outputs, too.
func (w *world) skip(a *attempt, res dag.Result) dag.Result {
	if c := a.t.Control; c == nil || c.FlowStep == nil {
		return res
	}
	return w.outputs(a, res)
}

// outputs adds what the task names of a result.
func (w *world) outputs(a *attempt, res dag.Result) dag.Result {
	c := a.t.Control
	if c.Outputs == nil {
		return res
	}
	outputs, err := w.rendering(a).Outputs(c.Outputs, a.merged, a.scope, res.Value, maxOutputs)
	if err != nil {
		return templateFault(err)
	}
	res.Outputs = outputs
	return res
}

// enough evaluates the condition of a repeated task.
func (w *world) enough(a *attempt, until string, result json.RawMessage) (bool, error) {
	program, err := condition.Compile(condition.Until, until)
	if err != nil {
		return false, err
	}
	t := a.t
	return program.Eval(&condition.Scope{Result: result, Attempt: int(a.number), Inputs: a.merged,
		Tree: condition.Tree{ID: t.tree.id, UserID: t.user()}, Task: condition.Task{ID: t.id, Name: t.Name}})
}

// mockOf is the mock that fits an attempt. named: there are some for the task.
func (w *world) mockOf(a *attempt) (m *mock, named bool) {
	t := a.t
	look := func(all []namedMocks) *mock {
		for _, n := range all {
			if !t.fits(n.name) {
				continue
			}
			named = true
			if i := slices.IndexFunc(n.mocks, func(m *mock) bool { return m.fits(a) }); i >= 0 {
				return n.mocks[i]
			}
		}
		return nil
	}
	for _, name := range t.names() {
		if m := look(w.c.exact[name]); m != nil {
			return m, true
		}
	}
	return look(w.c.patterns), named
}

// names are what a mocks file may call the task, without *, each once.
func (t *task) names() []string {
	all := []string{t.path()}
	for _, name := range []string{t.Task.ID, t.Name} {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// fits reports whether a name of a mocks file means the task.
func (t *task) fits(name string) bool {
	return matches(name, t.path()) || matches(name, t.Name) || t.Task.ID != "" && matches(name, t.Task.ID)
}

// fits reports whether the mock is for an attempt.
func (m *mock) fits(a *attempt) bool {
	if len(m.attempts) > 0 && !slices.Contains(m.attempts, int(a.number)) {
		return false
	}
	return m.inputs == nil || differs("inputs", m.inputs, a.inputs) == ""
}
