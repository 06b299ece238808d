package treetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/condition"
)

// await has what a task waits for come, if its mock says so.
func (w *world) await(a *dag.Awaits) {
	t := w.task(a.Task)
	t.wait = a
	m := t.mock
	if t.stuck = ""; a.Kind == dag.AwaitTree {
		w.later(func() { w.submitFor(t, a) })
		return
	}
	for key, kind := range map[string]dag.AwaitKind{"signal": dag.AwaitSignal, "choice": dag.AwaitApproval} {
		if m == nil || a.Kind == kind || key == "signal" && m.signal == nil || key == "choice" && m.choice == "" {
			continue
		}
		w.problem(m.place, "%s runs %s, which does not wait for a %s", t.path(), t.Executor, key)
		m = nil
	}
	switch {
	case a.Kind == dag.AwaitTime:
	case m != nil:
		w.at(m.takes, func() { w.answer(t, a, m) })
	case a.Kind == dag.AwaitSignal:
		t.stuck = fmt.Sprintf("waits for the signal %q, which no mock sends", a.Name)
	case a.Kind == dag.AwaitApproval:
		t.stuck = "waits for an approval, and no mock has a choice"
	}
}

// answer gives a task what it waits for.
func (w *world) answer(t *task, a *dag.Awaits, m *mock) {
	if t.row.State != dag.Awaiting || t.row.Attempt != a.Attempt {
		return // its time was over
	}
	rules := a.Rules()
	answer := dag.WaitAnswer{By: m.by, At: w.now, Comment: m.comment}
	switch a.Kind {
	case dag.AwaitSignal:
		if len(rules.Schema) > 0 {
			if faults := w.schemas.Faults(rules.Schema, m.signal); len(faults) > 0 {
				w.problem(m.place, "the signal for %s is not what its schema asks for: %s", t.path(), strings.Join(faults, "; "))
			}
		}
		answer.Payload = m.signal
	case dag.AwaitApproval:
		if !slices.Contains(rules.Choices, m.choice) {
			w.problem(m.place, "%q is none of the choices of %s: %s", m.choice, t.path(), strings.Join(rules.Choices, ", "))
		}
		answer.Choice = m.choice
	}
	w.decide(func(d *dag.Decision) { d.Answer(t.row.Key, a.Attempt, answer.Ends(a.Await)) }, t)
}

// submitFor submits the tree that a task waits for.
func (w *world) submitFor(t *task, a *dag.Awaits) {
	if t.row.State != dag.Awaiting || t.row.Attempt != a.Attempt {
		return
	}
	end := func(answer dag.Answer) {
		w.decide(func(d *dag.Decision) { d.Answer(t.row.Key, a.Attempt, answer) }, t)
	}
	fail := func(format string, args ...any) {
		end(dag.Answer{Outcome: dag.OutcomeFailed, Kind: dag.KindInput, Error: fmt.Sprintf(format, args...)})
	}
	sub, err := a.Subtree()
	switch {
	case err != nil:
		fail("%v", err)
		return
	case t.tree.depth >= dag.MaxSubtreeDepth:
		fail("trees that tasks submit may be nested %d deep, and the tree of this task is", dag.MaxSubtreeDepth)
		return
	case sub.Flow != "":
		w.problem(w.c.place, "%s runs the flow %q, and no flow is stored here: it needs a mock", t.path(), sub.Flow)
		fail("there is no flow %q", sub.Flow)
		return
	case sub.CopyOf != "":
		w.problem(w.c.place, "%s copies the tree %q, and no tree is stored here: it needs a mock", t.path(), sub.CopyOf)
		fail("there is no tree %q", sub.CopyOf)
		return
	}
	document, err := w.renderTree(sub.Tree)
	if err != nil {
		fail("the tree is invalid: %v", err)
		return
	}
	made, err := w.submit(document, t, sub.Detach)
	switch {
	case err != nil:
		fail("%v", err)
	case sub.Detach:
		text, _ := json.Marshal(map[string]string{"subtree_id": made.id}) // it is text
		end(dag.Answer{Outcome: dag.OutcomeCompleted, Result: text})
	default:
		t.sub, t.below = made, made
	}
}

// judge decides about a task whose dependencies have ended.
func (w *world) judge(t *task) {
	if t.row.State != dag.Waiting {
		return
	}
	var told []dag.Told
	for _, e := range t.deps {
		on := t.tree.tasks[e.Task]
		one := dag.Told{Ref: on.ref, Task: on.row.Key, Attempt: on.row.Attempt, Required: e.Required, Mode: e.Mode, State: on.row.State,
			Allowed: on.row.Flags&dag.FlagAllowed != 0, Cause: on.row.BlockedBy, Error: on.failure(), Kind: on.kind()}
		switch on.row.State {
		case dag.Failed:
			one.At = on.ended
		case dag.Skipped:
			one.Reason = dag.SkipReason(on.result())
		}
		told = append(told, one)
	}
	var when dag.Condition
	if t.row.Flags&dag.FlagWhen != 0 {
		when = w.condition(t)
	}
	when.Looked = true // there is no cache: what is tested runs
	w.decide(func(d *dag.Decision) { d.Judge(t.row.Key, told, when) }, t)
}

// condition is what a task's condition comes to.
func (w *world) condition(t *task) dag.Condition {
	program, err := condition.Compile(condition.When, t.Control.When)
	if err != nil {
		return dag.Condition{Known: true, Error: err.Error()}
	}
	scope := &condition.Scope{Inputs: t.Inputs, Tree: condition.Tree{ID: t.tree.id, UserID: t.user()}, Task: condition.Task{ID: t.id, Name: t.Name}}
	for _, e := range t.deps {
		on := t.tree.tasks[e.Task]
		scope.Dependencies = append(scope.Dependencies, condition.Dependency{Ref: on.ref, ID: on.id, Name: on.Name, Outcome: on.row.State.Outcome(), Status: string(on.row.State.Status()),
			Attempts: int(on.row.Attempt), Result: on.result(), Outputs: on.outputs(), Error: on.failure()})
	}
	holds, err := program.Eval(scope)
	is := dag.Condition{Known: true, Holds: holds}
	if err != nil {
		is.Error = err.Error()
	}
	return is
}
