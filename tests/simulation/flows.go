package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/flowtest"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// reading is what the tasks of a flow's tree come to by the documentation of flows, by their places.
type reading map[int]dag.State

// readAs are the states of words.
var readAs = map[string]dag.State{"SUCCESS": dag.Completed, "SKIPPED": dag.Skipped, "FAILED": dag.Failed, "BLOCKED": dag.Blocked,
	"success": dag.Completed, "skipped": dag.Skipped, "failed": dag.Failed, "blocked": dag.Blocked}

// randomFlow makes a random flow, and gives the tree that it compiles to and what that comes to by the documentation. A gate's verdict is that of the reading: conditions are not
// evaluated here.
func randomFlow(r *rand.Rand, prefix string) (oracle.Tree, reading) {
	var known dag.Known
	known.Add("noop_executor", "core")
	for {
		f := flowtest.Random(r)
		f.OnFailure = false // its steps see what failed first, which no one here reads
		if err := f.Run(); err != nil {
			panic(err)
		}
		text := f.Text(func(*flowtest.Job, int) (string, map[string]any) { return "noop", map[string]any{} })
		compiled, report := flows.Compile("flow", text, "run", flows.Options{Executors: known})
		if compiled == nil {
			panic(fmt.Sprint(report.Errors, string(text)))
		}
		if tree, read, ok := scripted(f, compiled.Document, known, prefix); ok {
			return tree, read
		}
	}
}

// scripted makes a scripted tree of a compiled flow. Not ok: a gate that does not hold has nothing to judge by.
func scripted(f *flowtest.Flow, document []byte, known dag.Known, prefix string) (tree oracle.Tree, read reading, ok bool) {
	read = reading{}
	places, gates, steps, comes := map[string]int{}, map[string]*flowtest.Job{}, map[string]flowtest.Step{}, map[string]string{}
	for _, j := range f.Jobs {
		gates[j.ID+"__gate"], comes[j.ID] = j, j.Status
		for n, end := range j.Ends {
			name := fmt.Sprintf("%s__s%d", j.ID, n)
			steps[name], comes[name] = j.Steps[n], end
		}
	}
	var tasks []*dag.Task
	for t, err := range treedoc.Parse(document, treedoc.Options{Limits: dag.DefaultLimits, Executors: known}) {
		if err != nil {
			panic(err)
		}
		places[t.Name] = len(tasks)
		tasks = append(tasks, t)
	}
	for i, t := range tasks {
		if word, is := comes[t.Name]; is {
			read[i] = readAs[word]
		}
		o := oracle.Task{ID: fmt.Sprintf("%s-%d", prefix, i), Parent: -1, Group: t.Executor == "", Fold: t.Fold, MaxAttempts: 1}
		if t.ParentRef != "" {
			o.Parent = places[t.ParentRef]
		}
		for _, d := range t.Dependencies {
			o.Deps = append(o.Deps, oracle.Dep{On: places[d.Ref], Optional: d.Optional, Accept: d.Mode.Accept(), Otherwise: d.Mode.Otherwise(), Order: d.Mode.OrderOnly(), Skips: d.Mode.Skips()})
		}
		switch s := steps[t.Name]; s.Comes {
		case "failed":
			o.Script.Fail = -1
		case "skipped":
			o.Script.Skip = "no_data"
		}
		if t.Control != nil && t.Control.When != "" {
			j := gates[t.Name]
			o.When = &oracle.When{Is: oracle.Words}
			switch {
			case j == nil:
				panic("a condition of " + t.Name)
			case strings.HasPrefix(j.Failure, j.ID+" when "):
				o.When.Errs = true
			case j.Status == "SKIPPED" && j.Reason == "condition=false":
				o.When.Is = nil
			}
			if len(o.Deps) == 0 {
				if o.When.Errs || o.When.Is == nil {
					return tree, nil, false
				}
				o.When = nil
			}
		}
		tree.Tasks = append(tree.Tasks, o)
	}
	return tree, read, true
}

// judgeFlows holds the trees of flows that nobody disturbed against the reading of the flows.
func (w *world) judgeFlows() {
	for _, t := range w.store.trees {
		if t.reading == nil || t.partial || t.execution == 0 || t.cancelled {
			continue
		}
		disturbed := false // by users, lost workers, time limits, and earlier successes of equal tasks
		for _, task := range t.tasks {
			disturbed = disturbed || task.row.State == dag.Cancelled || task.truth.cancelled || task.truth.skipped || task.truth.forced || task.truth.reused > 0 || task.row.Flags&dag.FlagUnknown != 0 // its executor is none that a worker has
		}
		if disturbed {
			continue
		}
		w.report.Beyond.Flows++
		for i, task := range t.tasks {
			if want, is := t.reading[i]; is && task.row.State != want {
				got := task.row.State
				w.broken("task %d of a flow is %s, and by the documentation %s", i, got, want)
			}
		}
	}
}
