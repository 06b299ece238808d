package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// MaxSubtreeDepth is how deep trees may be nested that tasks submit: each is one deeper than the tree of its task (control 5).
const MaxSubtreeDepth = 16

// SubtreeExecutor is the executor whose tasks submit trees.
const SubtreeExecutor = "subtree_executor"

// Subtree is what a wait for a tree says of the tree: the data of an [Await] of the kind [AwaitTree].
type Subtree struct {
	Tree   json.RawMessage `json:"tree,omitempty"`    // a document of tasks
	CopyOf string          `json:"copy_of,omitempty"` // instead: the id of a tree that is stored
	// Inputs are the inputs that the copy gets instead of its own, by task, as the tree calls it: its id or its name.
	Inputs map[string]map[string]json.RawMessage `json:"inputs,omitempty"`
	Detach bool                                  `json:"detach,omitempty"` // nobody waits for its end

	// Instead of a tree: the id of a registered flow, of which a run is begun, and what that is given. Without a version it is the newest.
	Flow    string            `json:"flow,omitempty"`
	Version int               `json:"version,omitempty"`
	Params  json.RawMessage   `json:"params,omitempty"` // an object
	Env     map[string]string `json:"env,omitempty"`
	Job     string            `json:"job,omitempty"`

	// Of a step of a flow: its outputs, as templates, and what these name of the flow.
	Outputs json.RawMessage `json:"outputs,omitempty"`
	Values  json.RawMessage `json:"values,omitempty"`
}

// RunsFlow reports whether the task runs a registered flow, or may make tasks that do.
func (t *Task) RunsFlow() bool {
	switch t.Executor {
	case SubtreeExecutor:
		if at := bytes.TrimSpace(lookup(t.Inputs, "flow")); len(at) > 0 && string(at) != "null" {
			return true
		}
	case MapExecutor:
	default:
		return false
	}
	if !bytes.Contains(t.Inputs, []byte(`"flow"`)) && !bytes.Contains(t.Inputs, []byte(`\u`)) {
		return false
	}
	var v any
	if json.Unmarshal(t.Inputs, &v) != nil {
		return false
	}
	flow, runs := false, false
	walkJSON(v, func(key string) { flow = flow || key == "flow" }, func(text string) { runs = runs || text == SubtreeExecutor })
	return flow && runs
}

// walkJSON calls key for each key of objects in a value, and text for each text, at any depth.
func walkJSON(v any, key, text func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, in := range v {
			key(k)
			walkJSON(in, key, text)
		}
	case []any:
		for _, in := range v {
			walkJSON(in, key, text)
		}
	case string:
		text(v)
	}
}

// NamesSecret reports whether JSON has the form in which inputs name secrets, at any depth.
func NamesSecret(text json.RawMessage) bool {
	var v any
	return len(text) > 0 && json.Unmarshal(text, &v) == nil && holdsReference(v)
}

// Subtree reads the data of a wait for a tree.
func (a *Await) Subtree() (s Subtree, err error) {
	dec := json.NewDecoder(bytes.NewReader(a.Data))
	dec.DisallowUnknownFields()
	if err = dec.Decode(&s); err != nil {
		return s, fmt.Errorf("the wait says of its tree what can't be read: %w", err)
	}
	return s, nil
}

// Replace puts other inputs into a task that is copied. It gives what is wrong with them, by name: what grants anything, or holds tasks, is said by the
// stored tree alone, as the new ones may come from a result.
func (t *Task) Replace(inputs map[string]json.RawMessage) (faults []Fault) {
	names := make([]string, 0, len(inputs))
	for name, value := range inputs {
		switch {
		case Unrendered(t.Executor, name):
			faults = append(faults, Fault{name, "holds tasks: only the tree that is copied can say them"})
		case grantsAnything(name, value):
			faults = append(faults, Fault{name, "names a secret or a connection, or allows something: only the tree that is copied can say that"})
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.SortFunc(faults, func(a, b Fault) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	if len(faults) > 0 || len(names) == 0 {
		return faults
	}
	out := []byte{'{'}
	add := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(name)
		out = append(append(append(out, key...), ':'), value...)
	}
	for m := range members(t.Inputs) {
		if _, other := inputs[m.name()]; !other {
			add(m.name(), m.value)
		}
	}
	for _, name := range names {
		add(name, inputs[name])
	}
	t.Inputs = append(out, '}')
	return nil
}

// Fault is what is wrong with something that has a name.
type Fault struct{ Name, Reason string }

// grantsAnything reports whether an input names a secret or a connection, or allows something, at any depth.
func grantsAnything(name string, value json.RawMessage) bool {
	if name == "secret" || FixedInput(name) {
		return true
	}
	var v any
	return json.Unmarshal(value, &v) != nil || grantsWithin(v)
}

func grantsWithin(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name == "secret" || FixedInput(name) || grantsWithin(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, grantsWithin)
	}
	return false
}

// SubtreeEnd is how a tree has ended that a task waits for.
type SubtreeEnd struct {
	Ref     string // what its submission calls the root
	Status  Status // of the tree: completed, failed or cancelled
	Root    State  // of its root
	Result  []byte // of its root; of a run of a flow: what its jobs have come to
	Outputs []byte // that the task names of it, rendered; nil: none
	Failure string // why it failed, or was cancelled
	Kind    Kind   // why else the wait fails, though the tree did not; empty: it does not
}

// Answer is how the wait ends: with the result of the root. Of a tree that was cancelled only its error counts: the task is cancelled, too.
func (e *SubtreeEnd) Answer() Answer {
	kind := e.Kind
	switch {
	case kind != "":
	case e.Status == StatusCancelled || e.Status == StatusFailed:
		kind = KindChild
	case e.Root != Completed && e.Root != Skipped: // its failure is allowed, or that of what it needs
		return Answer{Outcome: OutcomeCompleted}
	default:
		return Answer{Outcome: OutcomeCompleted, Result: e.Result, Outputs: e.Outputs}
	}
	why := e.Failure
	switch {
	case why != "":
	case e.Status == StatusCancelled:
		why = "a task of the tree was cancelled"
	case e.Status == StatusFailed:
		why = "the tree failed"
	}
	return Answer{Outcome: OutcomeFailed, Kind: kind, Error: e.Ref + ": " + cutWhy(why)}
}

// maxWhy is how much is said of why a tree failed, in bytes.
const maxWhy = 4 << 10

func cutWhy(s string) string {
	if len(s) <= maxWhy {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:maxWhy]), nil)) + "…"
}

// SubtreeEnded tells a task that the tree has ended for which its attempt waits. It reports whether anything changed.
func (d *Decision) SubtreeEnded(k Key, attempt int32, e *SubtreeEnd) bool {
	r := d.rows[k]
	if r == nil || r.State != Awaiting || r.Attempt != attempt {
		return false
	}
	if a := e.Answer(); e.Status != StatusCancelled || e.Kind != "" {
		return d.Answer(k, attempt, a)
	} else {
		return d.Cancel(k, a.Error, false)
	}
}

// FailedTask is what is said of the task of a tree that failed first, where its root did not.
func FailedTask(name, id, why string) string {
	return fmt.Sprintf("task '%s' (%s) failed: %s", name, id, why)
}
