package history

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// Rule names what a history broke.
type Rule string

// The rules, in the words of issue 3.
const (
	Settles      Rule = "every accepted tree settles"
	Outcomes     Rule = "outcomes equal the oracle"
	SettlesOnce  Rule = "no attempt settles twice"
	RunsOnce     Rule = "no two runs of a task overlap"
	Order        Rule = "dependents start after what they require has settled"
	NeverStarts  Rule = "what was cancelled before its start never starts"
	NothingLeft  Rule = "no process is left over"
	Concurrency  Rule = "a pool's concurrency is never exceeded"
	OneKey       Rule = "what runs in one execution has one idempotency key, and nothing else has it; a repetition has its own"
	Window       Rule = "no more items of a map are in progress than its window"
	Limits       Rule = "no more is held of a key than its max"
	Fencing      Rule = "a lock's tokens grow from one holder to the next"
	EventsInLine Rule = "events come without gaps, and one final event last"
)

// Problem is a rule that a history broke.
type Problem struct {
	Rule   Rule
	Task   string // or the tree's root; empty when a process is at fault
	Detail string
}

// String is the problem for people.
func (p Problem) String() string { return fmt.Sprintf("%s: task %s: %s", p.Rule, p.Task, p.Detail) }

// Excused counts what would break a rule, had it not been allowed: runs of repeatable tasks, and work inside of processes
// that were frozen past their leases.
type Excused struct{ Repeatable, Frozen int }

// checker collects what Check finds.
type checker struct {
	h        History
	byHand   map[string]bool  // tasks that were ended by a user's word
	runs     map[string][]Run // by task, by start
	problems []Problem
	excused  Excused
}

// Check holds a history against the rules, and its ends against what the oracle says of the trees. Trees whose submission
// was refused, or is not in the history, must not be there at all; one whose answer got lost may be. The problems come in
// the order of trees and tasks. It returns nil and what was excused when all rules were kept.
func Check(h History, trees []oracle.Tree) ([]Problem, Excused) {
	c := &checker{h: h, byHand: map[string]bool{}, runs: map[string][]Run{}}
	for _, r := range h.Runs {
		c.runs[r.Task] = append(c.runs[r.Task], r)
	}
	for _, runs := range c.runs {
		slices.SortFunc(runs, func(a, b Run) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Attempt, b.Attempt)) })
	}
	submits := map[string]Submit{}
	for _, s := range h.Submits {
		submits[s.Root] = s
	}
	for _, t := range trees {
		for _, task := range t.Tasks {
			c.byHand[task.ID] = task.ByHand != nil
		}
		root := t.Tasks[0].ID
		submit, called := submits[root]
		_, there := h.Ends[root]
		switch {
		case !called || submit.Answer == Refused:
			c.absent(t)
		case there || submit.Answer == Accepted:
			c.tree(t, submit)
		default:
			c.absent(t)
		}
	}
	c.concurrency()
	c.held()
	c.keys()
	for _, name := range slices.Sorted(maps.Keys(h.Events)) {
		_, last := submits[name]
		c.events(name, last)
	}
	for _, l := range h.Left {
		c.broke(NothingLeft, l.Task, "process %d", l.Process)
	}
	return c.problems, c.excused
}

func (c *checker) broke(r Rule, task, format string, args ...any) {
	c.problems = append(c.problems, Problem{r, task, fmt.Sprintf(format, args...)})
}

// absent checks that nothing of a tree was stored or run, or is there after it was deleted.
func (c *checker) absent(t oracle.Tree) {
	for _, task := range t.Tasks {
		c.gone(task, "its tree was not accepted, or deleted")
	}
}

func (c *checker) gone(task oracle.Task, why string) {
	if _, there := c.h.Ends[task.ID]; there || len(c.runs[task.ID]) > 0 {
		c.broke(Outcomes, task.ID, "%s, and it is there: %v", why, c.runs[task.ID])
	}
}

// tree judges a tree that is there, or has to be.
func (c *checker) tree(t oracle.Tree, s Submit) {
	ends := t.Run()
	if s.Steered || s.Partial {
		ends = c.ends(t)
	}
	for i, task := range t.Tasks {
		if task.Deleted {
			c.gone(task, "it was deleted")
			continue
		}
		if ends[i].Absent && !s.Partial {
			c.gone(task, "no run found it")
			continue
		}
		got, there := c.h.Ends[task.ID]
		if !s.Partial {
			c.end(task, got, there, ends[i])
			c.attempts(task, got, ends[i], s)
		}
		if s.Steered {
			c.follows(t, i)
		}
		c.overlaps(task.ID)
		last := c.within(task.ID, got.Execution)
		switch {
		case len(last) == 0:
			if there && got.State == dag.Completed && !task.Group && !s.Partial && task.ByHand == nil && task.Imported == nil && !task.Reused {
				c.broke(Outcomes, task.ID, "it completed and never ran")
			}
		case s.Partial:
		case task.ByHand != nil, task.Cancelled && !s.Whole, s.Steered && got.State == dag.Cancelled && len(c.h.Attempts[task.ID]) == 0 && !last[0].Repeatable:
			c.broke(NeverStarts, task.ID, "%v", last)
		case ends[i].State == dag.Blocked:
			c.broke(Order, task.ID, "it must be blocked, and ran: %v", last)
		case ends[i].Idle && !(task.Skipped && s.Whole): // it may have been tried before
			c.broke(Order, task.ID, "it must be %s without a run, and ran: %v", ends[i].State, last)
		}
		c.order(t, ends, i)
		c.window(t, i)
	}
}

// window checks how many items of a map are in progress, at each start of one. One whose process stood still, or that may run twice, may be over for the system.
func (c *checker) window(t oracle.Tree, finder int) {
	m := t.Tasks[finder].Script.Map
	if m == nil || m.Window == 0 {
		return
	}
	var runs []Run
	for _, task := range t.Tasks {
		if task.By == finder+1 {
			runs = append(runs, c.runs[task.ID]...)
		}
	}
	for _, r := range runs {
		busy := map[string]bool{}
		for _, o := range runs {
			if o.Start <= r.Start && !o.over(r.Start) && !o.Frozen && !o.Abandoned && !o.Repeatable {
				busy[o.Task] = true
			}
		}
		if len(busy) > m.Window {
			c.broke(Window, t.Tasks[finder].ID, "%d items run at %s, of at most %d", len(busy), r.Start, m.Window)
		}
	}
}

// within are the runs of a task in one of its executions.
func (c *checker) within(task string, execution int) (out []Run) {
	for _, r := range c.runs[task] {
		if r.Execution == execution {
			out = append(out, r)
		}
	}
	return out
}

// ends takes what the system says of a steered tree for how it had to end; whether that is possible, follows checks.
func (c *checker) ends(t oracle.Tree) []oracle.End {
	ends := make([]oracle.End, len(t.Tasks))
	for i, task := range t.Tasks {
		got := c.h.Ends[task.ID]
		ends[i] = oracle.End{State: got.State, Result: got.Result, Attempts: task.MaxAttempts}
	}
	return ends
}

// follows checks that a task of a steered tree ended in a way that its dependencies and its script allow.
func (c *checker) follows(t oracle.Tree, i int) {
	task, end := t.Tasks[i], c.h.Ends[t.Tasks[i].ID]
	switch {
	case task.ByHand != nil || task.Imported != nil, end.State == dag.Cancelled:
		return
	case end.State == dag.Skipped && byUser(end):
		if runs := c.within(task.ID, end.Execution); len(runs) > 0 && !runs[0].Repeatable {
			c.broke(NeverStarts, task.ID, "a user skipped it: %v", runs)
		}
		return
	}
	first := ""
	for _, ends := range c.earlier(t, i, c.ends(t)) {
		wrong := against(t, i, ends, end.State)
		if wrong == "" {
			return
		}
		first = cmp.Or(first, wrong)
	}
	c.broke(Outcomes, task.ID, "%s", first)
}

// against says what is wrong with a state of a task, by how the others have ended; empty: nothing.
func against(t oracle.Tree, i int, ends []oracle.End, state dag.State) string {
	task := t.Tasks[i]
	end, decided, runs := t.Decide(i, ends)
	fails := task.Script.Hang || task.Script.Fail < 0
	switch {
	case decided && state != end.State:
		return fmt.Sprintf("it is %s, and its dependencies make it %s", state, end.State)
	case !decided && !runs:
		return fmt.Sprintf("it is %s, and its dependencies have not ended", state)
	case runs && state == dag.Blocked:
		return "it is blocked by nothing"
	case runs && state == dag.Completed && fails:
		return "it completed, though all its attempts fail"
	case runs && state == dag.Failed && !fails && !mayFail(task):
		return "it failed, though it is bound to succeed"
	}
	return ""
}

// earlier are the ends of what a task depends on as they may have been before: what was cancelled may have been blocked when the task was told of it.
func (c *checker) earlier(t oracle.Tree, i int, ends []oracle.End) (all [][]oracle.End) {
	all = [][]oracle.End{ends}
	for _, d := range t.Tasks[i].Deps {
		if ends[d.On].State != dag.Cancelled {
			continue
		}
		if was, decided, _ := t.Decide(d.On, ends); !decided || was.State != dag.Blocked {
			continue
		}
		for _, e := range all {
			if len(all) > 1<<10 {
				return all
			}
			e = slices.Clone(e)
			e[d.On].State = dag.Blocked
			all = append(all, e)
		}
	}
	return all
}

// byUser reports whether a task was skipped at a user's word.
func byUser(end End) bool {
	result, _ := end.Result.(map[string]any)
	return result["reason"] == "user"
}

// mayFail reports whether a task may fail whose attempts end as their script says.
func mayFail(t oracle.Task) bool {
	return t.Script.Wait != nil || t.Script.Collect != "" || t.MayBeDenied(dag.Failed)
}

func (c *checker) end(task oracle.Task, got End, there bool, want oracle.End) {
	switch {
	case !there:
		c.broke(Settles, task.ID, "it is not there")
	case !got.State.Settled():
		c.broke(Settles, task.ID, "it is %s", got.State)
	case got.State != want.State:
		c.broke(Outcomes, task.ID, "got %s, want %s", got.State, want.State)
	case (want.State == dag.Completed || want.State == dag.Skipped) && !got.Unread && !reflect.DeepEqual(got.Result, want.Result):
		c.broke(Outcomes, task.ID, "got the result %v, want %v", got.Result, want.Result)
	case got.Inputs != nil && want.Inputs != nil && !reflect.DeepEqual(got.Inputs, want.Inputs):
		c.broke(Outcomes, task.ID, "got the inputs %v, want %v", got.Inputs, want.Inputs)
	}
}

// attempts checks that each attempt is listed once, that none follows the one that ended the task, that they end as the
// task did, and that it used as much of its policy as it had to.
func (c *checker) attempts(task oracle.Task, got End, want oracle.End, s Submit) {
	list, counted, uncounted, repeats, ends := c.h.Attempts[task.ID], 0, 0, 0, map[dag.State]int{}
	exact := c.h.Exact && !s.Steered
	for i, a := range list {
		if a.Counted {
			counted++
		}
		if a.Repeats {
			repeats++
		}
		if !a.Counted && (!a.Lost && a.Outcome == dag.Cancelled || a.Resumes) { // a fold's counts
			uncounted++
		}
		if !a.Lost && !a.Repeats {
			ends[a.Outcome]++
		}
		if number := max(1, got.First) + i; a.Number != number {
			c.broke(SettlesOnce, task.ID, "attempt %d is listed where attempt %d belongs", a.Number, number)
		}
		if ended := !a.Lost && !a.Repeats && (dag.SuccessfulStates.Has(a.Outcome) || a.Outcome == dag.Cancelled); ended && i < len(list)-1 {
			c.broke(SettlesOnce, task.ID, "attempt %d %s, and there are later ones", a.Number, a.Outcome)
		}
		exact = exact && !a.Excused
	}
	if n := len(list); got.State == dag.Completed && n > 0 && (list[n-1].Lost || list[n-1].Outcome != dag.Completed) {
		c.broke(SettlesOnce, task.ID, "it completed, but its last attempt did not")
	}
	for _, state := range []dag.State{dag.Completed, dag.Skipped, dag.Cancelled} {
		if ends[state] > 0 && got.State != state {
			c.broke(SettlesOnce, task.ID, "it is %s, but an attempt is %s", got.State, state)
		}
	}
	if task.Cancelled && !s.Whole && got.State == dag.Cancelled && ends[dag.Cancelled] != 1 {
		c.broke(SettlesOnce, task.ID, "it was cancelled, and %d attempts say so", ends[dag.Cancelled])
	}
	most := want.Attempts
	if got.State == dag.Cancelled && s.Whole { // it may have been tried before
		most = task.MaxAttempts
	}
	most += repeats * max(1, task.MaxAttempts) // each run has its own
	switch spent := got.State == dag.Failed && !s.Steered; {
	case got.State != want.State: // what is wrong is said already
	case exact && counted != want.Attempts, spent && counted < want.Attempts, !dag.SuccessfulStates.Has(got.State) && counted > most:
		c.broke(Outcomes, task.ID, "%d attempts count, want %d", counted, want.Attempts)
	case exact && len(list) != counted+uncounted:
		c.broke(Outcomes, task.ID, "%d attempts, of which %d count, though nothing was lost", len(list), counted)
	}
}

// overlaps checks that a task runs once at a time, and each attempt once, and that none runs which was cancelled before.
func (c *checker) overlaps(task string) {
	runs := c.runs[task]
	for i, r := range runs {
		if r.Barred && !r.Repeatable {
			c.broke(NeverStarts, task, "%v", r)
		}
		for _, before := range runs[:i] {
			if before.over(r.Start) && before.Attempt < r.Attempt {
				continue
			}
			switch {
			case before.Repeatable && r.Repeatable:
				c.excused.Repeatable++
			case before.stood(r.Start) && before.Attempt < r.Attempt, r.stood(r.Start) && r.Attempt < before.Attempt:
				c.excused.Frozen++
			default:
				c.broke(RunsOnce, task, "%v and %v", before, r)
			}
		}
	}
}

// keys checks that attempts of one execution of a task were given one idempotency key, and no others that one. Each repetition counts as an execution.
func (c *checker) keys() {
	type execution struct {
		task               string
		number, repetition int
	}
	keyOf, ownerOf := map[execution]string{}, map[string]execution{}
	for _, r := range c.h.Runs {
		if r.Key == "" {
			continue
		}
		of := execution{r.Task, r.Execution, 0}
		for _, a := range c.h.Attempts[r.Task] {
			if a.Repeats && a.Number < r.Attempt {
				of.repetition++
			}
		}
		if key, had := keyOf[of]; had && key != r.Key {
			c.broke(OneKey, r.Task, "%s and %s", key, r.Key)
		}
		if owner, had := ownerOf[r.Key]; had && owner != of {
			c.broke(OneKey, r.Task, "%s is the key of execution %d of %s, too", r.Key, owner.number, owner.task)
		}
		keyOf[of], ownerOf[r.Key] = r.Key, of
	}
}

// order checks that the first run of a task in an execution comes after the last one of each of its dependencies, in that
// execution or an earlier one. A dependency that was cancelled has settled at once, while its run is still being stopped.
func (c *checker) order(t oracle.Tree, ends []oracle.End, i int) {
	task := t.Tasks[i]
	seen := map[int]bool{}
	for _, first := range c.runs[task.ID] {
		if seen[first.Execution] {
			continue
		}
		seen[first.Execution] = true
		for _, d := range task.Deps {
			if ends[d.On].State != dag.Cancelled {
				c.follow(task.ID, first, t.Tasks[d.On], ends[d.On])
			}
		}
	}
}

// follow checks that a run began after the runs of a dependency of its task.
func (c *checker) follow(task string, first Run, on oracle.Task, end oracle.End) {
	ran := slices.DeleteFunc(slices.Clone(c.runs[on.ID]), func(r Run) bool { return r.Execution > first.Execution })
	if len(ran) == 0 && !on.Group && on.ByHand == nil && on.Imported == nil && !on.Reused && end.State == dag.Completed && c.h.Ends[on.ID].Execution <= first.Execution {
		c.broke(Order, task, "it started at %s, and %s never", first.Start, on.ID)
	}
	for _, r := range ran {
		switch {
		case r.over(first.Start), r.Abandoned:
		case r.excused(first.Start) && slices.ContainsFunc(ran, func(o Run) bool { return o.over(first.Start) }):
			c.excuse(r) // another run of it had given the result
		default:
			c.broke(Order, task, "it started at %s, before %s had ended: %v", first.Start, on.ID, r)
		}
	}
}

func (c *checker) excuse(r Run) {
	if r.Repeatable {
		c.excused.Repeatable++
	} else {
		c.excused.Frozen++
	}
}

// events checks what a tree told of one or all of its executions. last: among them is the last one.
func (c *checker) events(root string, last bool) {
	list := c.h.Events[root]
	ended := map[string]bool{}
	started := map[string]map[int]bool{}
	for i, e := range list {
		if e.Sequence != int64(i)+1 {
			c.broke(EventsInLine, root, "event %d has the sequence number %d", i+1, e.Sequence)
		}
		if e.Final != (i == len(list)-1) {
			c.broke(EventsInLine, root, "event %d of %d: final is %v", i+1, len(list), e.Final)
		}
		if e.Ends && ended[e.Task] {
			c.broke(SettlesOnce, e.Task, "event %d ends it again", e.Sequence)
		}
		ended[e.Task] = ended[e.Task] || e.Ends
		if end, there := c.h.Ends[e.Task]; last && e.Ends && there && (end.State == dag.Blocked || end.State == dag.Held) {
			c.broke(Outcomes, e.Task, "event %d ends it, and it is %s", e.Sequence, end.State)
		}
		if started[e.Task] == nil {
			started[e.Task] = map[int]bool{}
		}
		if e.Starts && e.Attempt > 0 && started[e.Task][e.Attempt] {
			c.broke(EventsInLine, e.Task, "event %d starts attempt %d again", e.Sequence, e.Attempt)
		}
		started[e.Task][e.Attempt] = started[e.Task][e.Attempt] || e.Starts
		if e.Completes && e.Attempt > 0 && !started[e.Task][e.Attempt] && !c.byHand[e.Task] {
			c.broke(EventsInLine, e.Task, "event %d completes attempt %d, which never started", e.Sequence, e.Attempt)
		}
	}
	if len(list) == 0 {
		c.broke(EventsInLine, root, "there is none")
	}
}
