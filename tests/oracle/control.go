package oracle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// The words for outcomes.
const (
	Success     = "success"
	WasSkipped  = "skipped"
	HasFailed   = "failed"
	IsCancelled = "cancelled"
	IsBlocked   = "blocked"
	Any         = "any" // of them
)

// Words are the words for outcomes.
var Words = []string{Success, WasSkipped, HasFailed, IsCancelled, IsBlocked}

// outcome is the word for how a task ended; empty: it has not.
func outcome(s dag.State) string {
	switch s {
	case dag.Completed:
		return Success
	case dag.Skipped:
		return WasSkipped
	case dag.Failed:
		return HasFailed
	case dag.Cancelled:
		return IsCancelled
	case dag.Blocked:
		return IsBlocked
	}
	return ""
}

func stateOf(word string) dag.State {
	for _, s := range []dag.State{dag.Completed, dag.Skipped, dag.Failed, dag.Cancelled, dag.Blocked} {
		if outcome(s) == word {
			return s
		}
	}
	panic(word)
}

// When is a condition, of what the dependency with the place Dep in the list came to.
type When struct {
	Dep  int
	Is   []string // its outcome is one of these
	Odd  bool     // instead: its result has an odd sum; an error if it has none
	Errs bool     // instead: it can't be evaluated
}

// CEL is the condition as it is submitted. Sums are whole numbers. An error names a member that no result has.
func (w When) CEL(ref string) string {
	switch {
	case w.Errs:
		return "inputs.nothing.of.the.kind == 1"
	case w.Odd:
		return fmt.Sprintf("int(deps[%q].result.sum) %% 2 == 1", ref)
	}
	return fmt.Sprintf("deps[%q].outcome in %s", ref, celList(w.Is))
}

func celList(words []string) string {
	out := "["
	for i, w := range words {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%q", w)
	}
	return out + "]"
}

// verdict is what the condition comes to.
func (w When) verdict(on End) (holds, errs bool) {
	switch {
	case w.Errs:
		return false, true
	case w.Odd:
		m, _ := on.Result.(map[string]any)
		sum, ok := m["sum"].(float64)
		return int(sum)%2 == 1, !ok
	}
	return slices.Contains(w.Is, outcome(on.State)), false
}

// Wait is what an attempt of a task waits for before it ends, or, with Resume, before it goes on in a further attempt.
type Wait struct {
	Kind    string `json:"kind"`              // "signal", "approval" or "time"
	Comes   bool   `json:"comes,omitempty"`   // what it waits for; a rejection, if Rejects
	Rejects bool   `json:"rejects,omitempty"` // the approval
	Skips   bool   `json:"skips,omitempty"`   // a timeout, or a rejection, skips the task
	Gives   bool   `json:"gives,omitempty"`   // a timeout completes the task
	Resume  bool   `json:"resume,omitempty"`
}

// Repeat is how often a task runs.
type Repeat struct {
	Until int `json:"until"` // the number of the attempt that is enough
	Max   int `json:"max"`   // runs
}

// Map says how tasks are made for items, which are those that are By the task: in their order, and alike but for their scripts.
type Map struct {
	Window int  `json:"window,omitempty"` // items in progress at most; 0: all
	Stop   bool `json:"stop,omitempty"`   // no further items once one has failed; with a window of 1, so that it is known which
}

// Collect says what becomes of the results of the tasks that a run found.
type Collect string

// What may become of them.
const (
	CollectNone Collect = "none"
	CollectList Collect = "list"
	CollectMap  Collect = "map"
)

// kind is what a dependency's end means by an edge.
type kind int

const (
	accepted kind = iota
	blocks
	skips
)

// means is what the end of a dependency means by an edge (control 2 and 13).
func (t Tree) means(task Task, d Dep, end dag.State) kind {
	word := outcome(end)
	if task.Fold {
		return accepted
	}
	accept := d.Accept
	if accept == nil {
		switch on := t.Tasks[d.On]; {
		case d.Optional:
			accept = []string{Any}
		case on.Group && on.When != nil:
			accept = []string{Success}
		default:
			accept = []string{Success, WasSkipped}
		}
	}
	switch {
	case slices.Contains(accept, Any) || slices.Contains(accept, word):
		return accepted
	case d.Otherwise == "block":
		return blocks
	case d.Otherwise == "skip":
		return skips
	case word == Success || word == WasSkipped:
		return skips
	}
	return blocks
}

// Decide says what the dependencies of task i make of it, given all ends so far. Three answers: it is decided how it ends; it runs; or neither is known yet.
func (t Tree) Decide(i int, ends []End) (end End, decided, runs bool) {
	task := t.Tasks[i]
	if task.By > 0 {
		if there, known := t.made(i, ends); !there {
			return End{Absent: known}, known, false
		}
	}
	open, skip := false, ""
	for _, d := range task.Deps {
		if !ends[d.On].State.Settled() {
			open = true
			continue
		}
		switch t.means(task, d, ends[d.On].State) {
		case blocks:
			return End{State: dag.Blocked}, true, false
		case skips:
			if skip == "" {
				skip = "dependency_" + outcome(ends[d.On].State)
			}
		}
	}
	switch {
	case open:
		return End{}, false, false
	case skip != "":
		return skipped(skip, nil), true, false
	case task.Fold:
		return t.fold(task, ends), true, false
	case task.When == nil:
		return End{}, false, true
	}
	on := End{}
	if len(task.Deps) > 0 {
		on = ends[task.Deps[task.When.Dep].On]
	}
	holds, errs := task.When.verdict(on)
	switch {
	case errs:
		return End{State: dag.Failed, Attempts: 1, Idle: true}, true, false
	case !holds:
		return skipped("when_false", nil), true, false
	}
	return End{}, false, true
}

// made tells whether a run has found a task, if that is known.
func (t Tree) made(i int, ends []End) (there, known bool) {
	by := t.Tasks[i].By
	finder := ends[by-1]
	if !finder.found {
		return false, finder.State.Settled() || finder.Absent
	}
	if m := t.Tasks[by-1].Script.Map; m == nil || !m.Stop {
		return true, true
	}
	for j := range i {
		switch end := ends[j]; {
		case t.Tasks[j].By != by:
		case end.Absent || end.State == dag.Cancelled || end.State == dag.Failed && !t.Tasks[j].AllowFailure:
			return false, true
		case !end.State.Settled():
			return false, false
		}
	}
	return true, true
}

// fold is the end of a group that folds.
func (t Tree) fold(task Task, ends []End) End {
	has := func(s dag.State) bool {
		return slices.ContainsFunc(task.Deps, func(d Dep) bool {
			allowed := s == dag.Failed && t.Tasks[d.On].AllowFailure
			return ends[d.On].State == s && !allowed
		})
	}
	switch {
	case has(dag.Failed):
		return End{State: dag.Failed, Attempts: 1, Idle: true}
	case has(dag.Cancelled):
		return End{State: dag.Cancelled, Attempts: 1, Idle: true}
	case has(dag.Blocked):
		return End{State: dag.Blocked, Idle: true}
	}
	all := len(task.Deps) > 0
	for _, d := range task.Deps {
		all = all && ends[d.On].State == dag.Skipped
		if d.Skips && ends[d.On].State == dag.Skipped {
			return skipped(ends[d.On].Reason, nil)
		}
	}
	if all {
		return skipped("dependency_skipped", nil)
	}
	return End{State: dag.Completed, Attempts: 1, Result: map[string]any{}, Idle: true}
}

// skipped is the end of a task without a run; value is what its executor gave.
func skipped(reason string, value any) End {
	result := map[string]any{}
	switch v := value.(type) {
	case nil:
	case map[string]any:
		maps.Copy(result, v)
	default:
		result["value"] = v
	}
	result["skipped"], result["reason"] = true, reason
	return End{State: dag.Skipped, Attempts: 1, Result: result, Reason: reason, Idle: true}
}

// after is how a task ends whose attempt did what its script says, and gave the value.
func (t Tree) after(i int, end End) End {
	task, s := t.Tasks[i], t.Tasks[i].Script
	switch {
	case s.Skip != "":
		skip := skipped(s.Skip, end.Result)
		skip.Attempts, skip.Inputs, skip.Idle = end.Attempts, end.Inputs, false
		return skip
	case s.Wait != nil:
		return s.Wait.after(task, end)
	case s.Collect != "":
		end.State, end.found = dag.Expanded, true
	case s.Repeat != nil:
		runs := max(1, s.Repeat.Until-end.Attempts+1)
		if runs > s.Repeat.Max {
			runs = s.Repeat.Max
			if m, ok := end.Result.(map[string]any); ok {
				m["repeat_exhausted"] = true
			}
		}
		end.Attempts += runs - 1
	}
	return end
}

// AnsweredBy is who answers approvals in trees that are played by real clusters, where nobody says who they are; AnsweredAt stands for when.
const (
	AnsweredBy = "anonymous"
	AnsweredAt = "then"
	TimedOutBy = "timeout" // who has made the choice that a timeout makes
)

// Comment is what is said with the answer to the approval of a task.
func (s Script) Comment() string { return fmt.Sprintf("because of %d", s.Add) }

// Answer is what a wait completes with, or is skipped with: what somebody sent, or, if nothing comes, what stands for that.
func (s Script) Answer() any {
	switch w := s.Wait; {
	case w.Kind != "approval":
		return map[string]any{"sum": float64(s.Add), "keys": []any{}}
	case !w.Comes:
		return map[string]any{"choice": "approve", "by": TimedOutBy, "at": AnsweredAt, "comment": ""}
	case w.Rejects:
		return map[string]any{"choice": "reject", "by": AnsweredBy, "at": AnsweredAt, "comment": s.Comment()}
	}
	return map[string]any{"choice": "approve", "by": AnsweredBy, "at": AnsweredAt, "comment": s.Comment()}
}

// after is how a task ends that waits.
func (w *Wait) after(task Task, end End) End {
	skip := func(reason string, value any) End {
		e := skipped(reason, value)
		e.Attempts, e.Inputs, e.Idle = end.Attempts, end.Inputs, false
		return e
	}
	switch {
	case w.Comes && w.Rejects && w.Skips:
		return skip("rejected", task.Script.Answer())
	case w.Comes && w.Rejects: // nobody asks again
		return End{State: dag.Failed, Attempts: end.Attempts, Inputs: end.Inputs}
	case w.Resume && w.Comes: // the attempt that follows gives its result
		return end
	case w.Comes || w.Gives:
		end.Result = task.Script.Answer()
		return end
	case w.Skips:
		return skip("timeout", nil)
	case !task.retries("signal_timeout"):
		return End{State: dag.Failed, Attempts: end.Attempts, Inputs: end.Inputs}
	}
	return End{State: dag.Failed, Attempts: task.MaxAttempts, Inputs: end.Inputs} // each attempt waits in vain
}

// retries reports whether a failure of a kind is tried again, as long as there are attempts left.
func (t Task) retries(kind string) bool {
	return !slices.Contains(t.NoRetryOn, kind) && (len(t.RetryOn) == 0 || slices.Contains(t.RetryOn, kind))
}

// collect ends a task whose run found tasks, once all of them have ended.
func (t Tree) collect(i int, ends []End) (End, bool) {
	end := ends[i]
	list, byID, failed := []any{}, map[string]any{}, false
	for j, task := range t.Tasks {
		if task.By != i+1 {
			continue
		}
		if ends[j].Absent { // one before it has failed
			continue
		}
		if !ends[j].State.Settled() {
			return end, false
		}
		failed = failed || ends[j].State == dag.Failed && !task.AllowFailure
		if task.Parent != i {
			continue
		}
		var value any
		if ends[j].State == dag.Completed {
			value = ends[j].Result
		}
		list, byID[task.Local] = append(list, value), value
	}
	switch {
	case failed:
		return End{State: dag.Failed, Attempts: end.Attempts, Inputs: end.Inputs, found: true}, true
	case t.Tasks[i].Script.Collect == CollectList:
		end.Result = list
	case t.Tasks[i].Script.Collect == CollectMap:
		end.Result = byID
	default:
		end.Result = map[string]any{}
	}
	end.State = dag.Completed
	return end, true
}

// Outcome is how the tree has ended: Failed, Cancelled or Completed (control 13).
func (t Tree) Outcome(ends []End) dag.State {
	cancelled := false
	for i, e := range ends {
		if e.State == dag.Failed && !t.Tasks[i].AllowFailure {
			return dag.Failed
		}
		cancelled = cancelled || e.State == dag.Cancelled
	}
	if cancelled {
		return dag.Cancelled
	}
	return dag.Completed
}

// Found is the end so far of a task whose run found tasks, and which is in the state.
func Found(s dag.State) End { return End{State: s, found: true} }
