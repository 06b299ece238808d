package coordinator

import (
	"context"
	"fmt"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/condition"
	conditions "github.com/taskgrove/taskgrove/internal/condition/tasks"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// checkConditions adds to the tasks of a submission, on their way, what is wrong with their conditions.
func (c *Coordinator) checkConditions(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		index := 0
		for t, err := range tasks {
			if err == nil {
				conditions.Check(index, t)
			}
			index++
			if !yield(t, err) {
				return
			}
		}
	}
}

// Bounds of evaluating conditions.
const (
	conditionsAtOnce = 2000    // in one transaction
	valuesAtOnce     = 128     // attempts, and inputs, that are read at once
	valueBytes       = 8 << 20 // of them together
)

// conditionWalk goes through pending conditions by the keys of their tasks, so that one that can't be decided yet holds up no others.
type conditionWalk struct {
	after   dag.Key
	decided bool // any, since the beginning
}

// step evaluates a batch of conditions, and has what follows decided. Nothing is locked while it evaluates. more: there may be others.
func (w *conditionWalk) step(ctx context.Context, c *Coordinator) (more bool, err error) {
	list, last, err := c.store.PendingConditions(ctx, w.after, conditionsAtOnce)
	w.after = last // 0 after the last one: from the beginning, next time
	if err != nil || last == 0 {
		more, w.decided = err == nil && w.decided, false // meanwhile others may have come before it
		return more, err
	}
	e := evaluation{c: c}
	if err := e.all(ctx, list); err != nil {
		return false, err
	}
	if len(e.verdicts) == 0 {
		return true, nil
	}
	failpoint.Hit("coordinator.after-conditions-evaluated")
	eff, err := c.store.DecideConditions(ctx, e.verdicts, c.lanes.room)
	if eff != nil {
		failpoint.Hit("coordinator.after-conditions-commit")
		w.decided = true
		c.after(ctx, eff)
	}
	return err == nil, err
}

// evaluation evaluates the conditions of one batch.
type evaluation struct {
	c        *Coordinator
	verdicts []pg.Verdict

	// What waits for values that are to be read together.
	waiting  []*evaluated
	attempts map[pg.AttemptOf]bool
	inputs   int
}

// evaluated is one condition, and what it needs.
type evaluated struct {
	*pg.Condition
	program  *condition.Program
	attempts []pg.AttemptOf // whose values it may look at, by dependency; a zero one: it does not
	inputs   bool
}

func (e *evaluation) all(ctx context.Context, list []*pg.Condition) error {
	for _, p := range list {
		one, verdict := prepare(p)
		switch {
		case one == nil:
			e.verdicts = append(e.verdicts, pg.Verdict{Condition: p, Is: verdict})
		case !one.inputs && one.attempts == nil:
			e.judge(one, nil, nil)
		default:
			if err := e.wait(ctx, one); err != nil {
				return err
			}
		}
	}
	if err := e.read(ctx); err != nil {
		return err
	}
	return e.lookUp(ctx)
}

// prepare compiles a condition and says what it needs; nil: there is nothing to evaluate.
func prepare(p *pg.Condition) (*evaluated, dag.Condition) {
	switch {
	case !p.Waits:
		return nil, dag.Condition{}
	case p.Unreadable != nil:
		return nil, dag.Condition{Known: true, Error: "what the task carries can't be read"}
	case p.Control == nil || p.Control.When == "":
		return nil, dag.Condition{Known: true, Holds: true}
	}
	program, err := condition.Compile(condition.When, p.Control.When)
	if err != nil {
		return nil, dag.Condition{Known: true, Error: err.Error()}
	}
	one := &evaluated{Condition: p, program: program, inputs: program.Needs().Inputs}
	if needs := program.Needs(); needs.Results || needs.Errors {
		one.attempts = make([]pg.AttemptOf, len(p.Dependencies))
		for i := range p.Dependencies {
			d := &p.Dependencies[i]
			if needs.Errors || needs.ResultOf(&condition.Dependency{Ref: d.Ref, ID: d.ID, Name: d.Name}) {
				one.attempts[i] = pg.AttemptOf{Task: d.Task, Number: d.Attempt}
			}
		}
	}
	return one, dag.Condition{}
}

// wait keeps a condition until values are read, which is when there are enough of them.
func (e *evaluation) wait(ctx context.Context, one *evaluated) error {
	if e.attempts == nil {
		e.attempts = map[pg.AttemptOf]bool{}
	}
	if len(e.waiting) > 0 && len(e.attempts)+len(one.attempts)+e.inputs >= valuesAtOnce {
		if err := e.read(ctx); err != nil {
			return err
		}
	}
	e.waiting = append(e.waiting, one)
	for _, a := range one.attempts {
		if a.Task != 0 {
			e.attempts[a] = true
		}
	}
	if one.inputs {
		e.inputs++
	}
	return nil
}

// read reads what the waiting conditions need, and evaluates them. What is too much together is read for each alone.
func (e *evaluation) read(ctx context.Context) error {
	waiting := e.waiting
	e.waiting, e.inputs = nil, 0
	clear(e.attempts)
	most := valueBytes
	if len(waiting) == 1 {
		most = 2 * condition.MaxScope // an envelope is larger than what is in it
	}
	values, err := e.c.conditionValues(ctx, waiting, most)
	if err != nil {
		if !pg.Unreadable(err) {
			return err
		}
		if len(waiting) == 1 {
			e.add(waiting[0], dag.Condition{Known: true, Error: "the values to look at can't be read"})
			return nil
		}
		values = conditionValues{}
	}
	for _, one := range waiting {
		switch {
		case values.whole(one):
			e.judge(one, values.attempts, values.inputs[one.Task])
		case len(waiting) == 1:
			e.add(one, dag.Condition{Known: true, Error: fmt.Sprintf("the values to look at have over %d bytes", condition.MaxScope)})
		default:
			e.waiting = []*evaluated{one}
			if err := e.read(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// conditionValues are what conditions may look at.
type conditionValues struct {
	attempts map[pg.AttemptOf]pg.AttemptValue
	inputs   map[dag.Key][]byte
	cut      map[dag.Key]bool // tasks whose inputs were too much
	read     bool
}

func (v *conditionValues) whole(one *evaluated) bool {
	if !v.read || one.inputs && v.cut[one.Task] {
		return false
	}
	for _, a := range one.attempts {
		if v.attempts[a].Cut {
			return false
		}
	}
	return true
}

func (c *Coordinator) conditionValues(ctx context.Context, of []*evaluated, most int) (v conditionValues, err error) {
	var attempts []pg.AttemptOf
	var tasks []*pg.Condition
	seen := map[pg.AttemptOf]bool{{}: true}
	for _, one := range of {
		for _, a := range one.attempts {
			if !seen[a] {
				seen[a], attempts = true, append(attempts, a)
			}
		}
		if one.inputs {
			tasks = append(tasks, one.Condition)
		}
	}
	v.read = true
	if len(attempts) > 0 {
		if v.attempts, err = c.store.AttemptValues(ctx, attempts, most); err != nil {
			return v, err
		}
	}
	if len(tasks) > 0 {
		if v.inputs, v.cut, err = c.store.ConditionInputs(ctx, tasks, most); err != nil {
			return v, err
		}
	}
	return v, nil
}

// judge evaluates a condition over what it needs.
func (e *evaluation) judge(one *evaluated, values map[pg.AttemptOf]pg.AttemptValue, inputs []byte) {
	scope := &condition.Scope{Inputs: inputs, Tree: condition.Tree{ID: one.Root, UserID: one.UserID}, Task: condition.Task{ID: one.ID, Name: one.Name},
		Dependencies: make([]condition.Dependency, len(one.Dependencies))}
	for i := range one.Dependencies {
		d, of := &scope.Dependencies[i], &one.Dependencies[i]
		*d = condition.Dependency{Ref: of.Ref, ID: of.ID, Name: of.Name, Outcome: of.State.Outcome(), Status: string(of.State.Status()), Attempts: int(of.Attempt)}
		if one.attempts != nil {
			v := values[one.attempts[i]]
			d.Result, d.Outputs, d.Error = v.Result, v.Outputs, v.Error
		}
	}
	holds, err := one.program.Eval(scope)
	is := dag.Condition{Known: true, Holds: holds}
	if err != nil {
		is.Error = err.Error()
	}
	e.add(one, is)
}

func (e *evaluation) add(one *evaluated, is dag.Condition) {
	e.verdicts = append(e.verdicts, pg.Verdict{Condition: one.Condition, Is: is})
}
