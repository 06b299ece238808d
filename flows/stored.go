package flows

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
)

// Register says what is wrong with a flow that is to be kept, and by which id it is: that which it has for every run. The id is empty unless the report is OK.
func Register(name string, text []byte, opts Options) (id string, _ *Report) {
	opts.Env, opts.StrictEnv, opts.Set = nil, false, nil
	r, d := read(name, text, opts)
	if report := r.done(); !report.OK {
		return "", report
	}
	c := &compiler{reader: r, doc: d}
	at := r.root.Get("flow").Get("id")
	if id, _ = c.literal(d.ID, at, "flow.id", nil).(string); !ValidID(id) {
		c.at(CodeBadID, at, "flow.id", "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor .., and the same for every run", shorten(id), maxIDChars)
	}
	report := r.done()
	if !report.OK {
		id = ""
	}
	return id, report
}

// IDOf is the id of a flow, as [Register] finds it, whatever else is wrong with the text; empty: it has none.
func IDOf(text []byte) string {
	r, d := read("flow", text, Options{})
	if d == nil {
		return ""
	}
	c := &compiler{reader: r, doc: d}
	if id, _ := c.literal(d.ID, r.root.Get("flow").Get("id"), "flow.id", nil).(string); ValidID(id) {
		return id
	}
	return ""
}

// storedTree is what is kept of a tree to say later what its run has come to: a later version may compile the flow to another one.
type storedTree struct {
	Flow  string              `json:"flow"`
	Run   string              `json:"run"`
	Tasks []storedTask        `json:"tasks"`
	Needs map[string][]string `json:"needs,omitempty"`
	Locks map[string][]string `json:"locks,omitempty"`

	Handlers map[string]bool `json:"handlers,omitempty"`
}

// storedTask is a task: its name, kind, job, step, and a digest of what it does, of steps.
type storedTask [5]string

// Stored is what [ReadTree] makes the tree of again, but for its document.
func (t *Tree) Stored() (json.RawMessage, error) {
	var tasks []json.RawMessage
	if err := json.Unmarshal(t.Document, &tasks); err != nil {
		return nil, err
	}
	if len(tasks) != len(t.Tasks) {
		return nil, fmt.Errorf("the tree has %d tasks, and coordinates of %d", len(tasks), len(t.Tasks))
	}
	out := storedTree{Flow: t.FlowID, Run: t.RunID, Needs: t.needs, Locks: t.locks, Handlers: t.handlers}
	for i, w := range t.Tasks {
		one := storedTask{w.Name, string(w.Kind), w.Job, w.Step}
		if w.Kind == KindStep {
			does, err := digestOf(tasks[i])
			if err != nil {
				return nil, err
			}
			one[4] = does
		}
		out.Tasks = append(out.Tasks, one)
	}
	return json.Marshal(out)
}

// digestOf stands for what a step does: its executor, its inputs and its outputs.
func digestOf(task json.RawMessage) (string, error) {
	var does struct {
		Schemas, Inputs, Outputs json.RawMessage
		Template                 bool
	}
	if err := json.Unmarshal(task, &does); err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%t", does.Schemas, does.Inputs, does.Outputs, does.Template))
	return hex.EncodeToString(sum[:12]), nil
}

// ReadTree reads what [Tree.Stored] gave. The tree has no document.
func ReadTree(stored []byte) (*Tree, error) {
	var s storedTree
	if err := json.Unmarshal(stored, &s); err != nil {
		return nil, err
	}
	t := &Tree{FlowID: s.Flow, RunID: s.Run, needs: s.Needs, locks: s.Locks, handlers: s.Handlers, gates: map[string]string{}, does: map[string]string{}}
	for _, one := range s.Tasks {
		w := Coordinates{Name: one[0], Kind: TaskKind(one[1]), Job: one[2], Step: one[3]}
		if t.Tasks = append(t.Tasks, w); w.Kind == KindGate {
			t.gates[w.Job] = w.Name
		}
		t.does[w.Name] = one[4]
	}
	return t, nil
}

// Kept are the steps of an earlier tree of the run, by how its tasks have ended, that don't run again in this one.
type Kept struct {
	Ends    map[string]End // by names of tasks of this tree
	Changed []string       // JOB.STEP: those of them that do something else in this one
	Removed []string       // steps that this one has no more
}

// Keep finds what of an earlier tree of the run stays as it has ended: steps with success, and those that were skipped by themselves.
func (t *Tree) Keep(before *Tree, ends map[string]End) (*Kept, error) {
	stored, err := t.Stored()
	if err != nil {
		return nil, err
	}
	now, err := ReadTree(stored)
	if err != nil {
		return nil, err
	}
	type place struct{ job, step string }
	names := map[place]string{}
	for _, w := range now.Tasks {
		if w.Kind == KindStep {
			names[place{w.Job, w.Step}] = w.Name
		}
	}
	kept := &Kept{Ends: map[string]End{}}
	for _, w := range before.Tasks {
		if w.Kind != KindStep {
			continue
		}
		name, is := names[place{w.Job, w.Step}]
		if !is {
			kept.Removed = append(kept.Removed, w.Job+"."+w.Step)
			continue
		}
		end := ends[w.Name]
		switch end.Outcome {
		case dag.Completed.Outcome():
		case dag.Skipped.Outcome():
			if dag.SkipJudged(end.SkipReason) {
				continue
			}
		default:
			continue
		}
		if kept.Ends[name] = end; now.does[name] != before.does[w.Name] {
			kept.Changed = append(kept.Changed, w.Job+"."+w.Step)
		}
	}
	return kept, nil
}
