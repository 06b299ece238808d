package oracle

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// Dep is an edge: the task waits for Tasks[On].
type Dep struct {
	On       int
	Optional bool
	Plain    bool // given as a plain string, which is read as the same (spec 1.4)

	Accept    []string // outcomes, or Any alone; nil: as the protocol has it
	Otherwise string   // "block", "skip"; empty: as the outcome has it
	Order     bool     // the result is not merged
	Skips     bool     // of a fold: the dependency's skip is its own
}

// Value says what a task's result looks like.
type Value int

// The shapes of results.
const (
	Object Value = iota // {"sum": n, "keys": [...]}, which is long now and then
	Number              // n
	Null
)

// Script is what the attempts of a task do. It travels in the task's inputs under the key [ScriptKey].
type Script struct {
	Add        int    `json:"add"`                   // what this task adds to the sum of its inputs
	Fail       int    `json:"fail,omitempty"`        // attempts 1 to this fail; below 0: all
	Permanent  bool   `json:"permanent,omitempty"`   // a failure is not to be retried
	Kind       string `json:"kind,omitempty"`        // the word for its failures; empty: none
	RetryAfter int    `json:"retry_after,omitempty"` // milliseconds that a failure asks the next attempt to wait
	Hang       bool   `json:"hang,omitempty"`        // every attempt runs into its timeout
	Value      Value  `json:"value,omitempty"`
	Millis     int    `json:"millis,omitempty"` // how long an attempt works
	Gate       bool   `json:"gate,omitempty"`   // every attempt waits until the test lets it go

	// What an attempt that does not fail ends with; at most one of them.
	Skip    string  `json:"skip,omitempty"`    // the reason of a skip
	Wait    *Wait   `json:"wait,omitempty"`    // a wait
	Collect Collect `json:"collect,omitempty"` // the tasks that are By it
	Map     *Map    `json:"map,omitempty"`     // they are made for items; nil: it names them
	Repeat  *Repeat `json:"repeat,omitempty"`  // a further run

	// Found are the tasks of Collect as they are submitted, if somebody wrote them.
	Found json.RawMessage `json:"found,omitempty"`
}

// ScriptKey is the member of a task's inputs that holds its script.
const ScriptKey = "script"

// Task is one task of a scripted tree.
type Task struct {
	ID          string
	Parent      int // index; -1: the root
	Deps        []Dep
	Group       bool // has no executor: completes as soon as its dependencies let it
	Mapped      bool // its schema names "sum" and "keys": only those of an object get into its inputs (spec 3.6)
	MaxAttempts int  // from 1
	Script      Script
	Cancelled   bool // by a user, before it can have started

	Fold         bool  // a group that ends as its dependencies do
	When         *When // nil: no condition
	AllowFailure bool
	RetryOn      []string // kinds of failures that are tried again; nil: all
	NoRetryOn    []string // those that are not, whatever RetryOn says
	Imported     *End     // it was settled when it was submitted
	Kept         bool     // it completed in an earlier execution, and was left so when what it depends on ran again
	Skipped      bool     // by a user, before it can have started
	By           int      // index + 1 of the task whose run finds it; 0: it is submitted. Such a task depends on others of the same only
	Local        string   // its id there

	// Limiting is what it asks for before each of its attempts starts. That delays the task, and changes nothing of how it ends, but for a lock
	// that it does not get: Denied says how it ended then, which depends on who else asked.
	Limiting *dag.Limiting
	Denied   *End

	Reused bool // an earlier success of an equal task ended it, which depends on who else ran

	Ref     string // under which those that depend on it get its result; empty: its id
	Deleted bool   // by a user, before it can have started; nothing depends on it
	ByHand  *End   // it was ended by a user's word, before it can have started: its state, and its result
}

// ref is what results of the task are called.
func (t Task) ref() string { return cmp.Or(t.Ref, t.ID) }

// Tree is a scripted tree.
type Tree struct{ Tasks []Task }

// End is how a task ends.
type End struct {
	State    dag.State      // settled
	Attempts int            // that count against the policy
	Result   any            // as encoding/json decodes it; nil unless completed or skipped
	Inputs   map[string]any // merged, without the script; nil unless it ran
	Reason   string         // of a skip
	Idle     bool           // it ended without a run, by the rules or by a user's word
	Absent   bool           // it was never found; the rest is empty
	found    bool           // its run found tasks
}

// Run works out how each task ends, by index.
func (t Tree) Run() []End { return t.settle(true) }

// settle goes over the tree until nothing changes any more. While the gates are shut, their tasks do not end.
func (t Tree) settle(open bool) []End {
	ends := make([]End, len(t.Tasks))
	settled := func(i int) bool { return ends[i].State.Settled() }
	for i, task := range t.Tasks {
		switch {
		case task.ByHand != nil:
			ends[i] = *task.ByHand
		case task.Imported != nil:
			ends[i] = *task.Imported
			ends[i].Idle = true
		case task.Kept:
			ends[i] = End{State: dag.Completed, Attempts: 1}
		case task.Skipped:
			ends[i] = skipped("user", nil)
		case task.Cancelled:
			ends[i].State = dag.Cancelled
		}
	}
	for changed := true; changed; {
		changed = false
		for i, task := range t.Tasks {
			if settled(i) || task.Deleted || ends[i].Absent {
				continue
			}
			if ends[i].State == dag.Expanded {
				if end, all := t.collect(i, ends); all {
					ends[i], changed = end, true
				}
				continue
			}
			end, decided, runs := t.Decide(i, ends)
			switch {
			case decided:
				ends[i] = end
			case !runs || task.Script.Gate && !open:
				continue
			default:
				ends[i] = t.run(i, ends)
			}
			changed = true
		}
	}
	return ends
}

// Idle tells which tasks can't have started while the gates are shut: what waits for one, or is blocked.
func (t Tree) Idle() []bool {
	idle := make([]bool, len(t.Tasks))
	for i, end := range t.settle(false) {
		idle[i] = !t.Tasks[i].Script.Gate && !t.Tasks[i].Deleted && t.Tasks[i].By == 0 && (!end.State.Settled() && end.State != dag.Expanded || end.State == dag.Blocked)
	}
	return idle
}

// Cancellations are the tasks that the user cancels or skips, what depends before what it depends on: the other way round, the
// end of one could start the next before its turn comes.
func (t Tree) Cancellations() []int {
	var out []int
	done := make([]bool, len(t.Tasks))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, d := range t.Tasks[i].Deps {
			visit(d.On)
		}
		if task := t.Tasks[i]; (task.Cancelled || task.Skipped) && !task.Deleted && task.ByHand == nil && task.Imported == nil {
			out = append(out, i)
		}
	}
	for i := range t.Tasks {
		visit(i)
	}
	slices.Reverse(out)
	return out
}

// run is the life of a task that may start.
func (t Tree) run(i int, ends []End) End {
	task := t.Tasks[i]
	if task.Group {
		return End{State: dag.Completed, Attempts: 1, Result: map[string]any{}}
	}
	if task.Reused {
		return End{State: dag.Completed, Attempts: 1, Idle: true}
	}
	if task.Denied != nil {
		return *task.Denied
	}
	inputs := map[string]any{}
	for _, d := range task.Deps {
		if end := ends[d.On].State; end != dag.Completed && end != dag.Skipped || d.Order {
			continue
		}
		switch result := ends[d.On].Result.(type) {
		case nil:
		case map[string]any:
			if task.Mapped && ends[d.On].State == dag.Completed {
				for _, key := range []string{"sum", "keys"} {
					if v, has := result[key]; has {
						inputs[key] = v
					}
				}
				continue
			}
			inputs[t.Tasks[d.On].ref()] = result
		default:
			inputs[t.Tasks[d.On].ref()] = result
		}
	}
	for attempt := 1; ; attempt++ {
		if !task.Script.Fails(attempt) {
			return t.after(i, End{State: dag.Completed, Attempts: attempt, Result: task.Script.Result(inputs), Inputs: inputs})
		}
		if attempt == task.MaxAttempts || task.Script.Permanent && !task.Script.Hang || !task.retries(task.Script.kind()) {
			return End{State: dag.Failed, Attempts: attempt, Inputs: inputs}
		}
	}
}

// Fails reports whether an attempt, from 1, fails.
func (s Script) Fails(attempt int) bool { return s.Hang || s.Fail < 0 || attempt <= s.Fail }

// kind is the word for the failures of attempts.
func (s Script) kind() string {
	if s.Hang {
		return "timeout"
	}
	return cmp.Or(s.Kind, "executor")
}

// modulus keeps sums exact in a float64, however long the tree is.
const modulus = 1_000_003

// Result is what a task makes of its merged inputs, as encoding/json decodes it: a sum over all that its dependencies
// gave, and the keys under which it came. A result that was mixed up, lost or merged in another order shows in it.
func (s Script) Result(inputs map[string]any) any {
	sum := s.Add
	var keys []any
	for _, key := range slices.Sorted(maps.Keys(inputs)) {
		if key == ScriptKey {
			continue
		}
		keys = append(keys, key)
		switch v := inputs[key].(type) {
		case float64:
			sum += int(v)
		case []any:
			sum += len(v)
		case map[string]any:
			if n, ok := v["sum"].(float64); ok {
				sum += int(n)
			}
		}
	}
	sum %= modulus
	switch s.Value {
	case Null:
		return nil
	case Number:
		return float64(sum)
	}
	if len(keys) > maxKeys {
		keys = keys[:maxKeys]
	}
	if s.Add%bulky == bulky-1 {
		keys = append(keys, strings.Repeat("bülk", 1<<10))
	}
	return map[string]any{"sum": float64(sum), "keys": append([]any{}, keys...)}
}

// bulky: one task in so many has a result of more than 4 KiB, so that it can be made to travel in parts.
const bulky = 8

// maxKeys bounds the result of a task with very many dependencies.
const maxKeys = 300
