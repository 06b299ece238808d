package flows_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/flowtest"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
)

// mocksOf are what its steps come to.
func mocksOf(f *flowtest.Flow) []byte {
	mocks := map[string]any{}
	for _, j := range f.Jobs {
		for i, s := range j.Steps {
			add := func(name, comes string, n int) {
				mock := map[string]any{"result": map[string]any{"n": n}}
				switch comes {
				case "skipped":
					mock["skip"] = "no_data"
				case "failed":
					mock = map[string]any{"error": "as it is told"}
				}
				mocks[name] = mock
			}
			name := fmt.Sprintf("%s__s%d", j.ID, i)
			if s.Items == nil {
				add(name, s.Comes, s.N)
			}
			if s.Calls && s.Comes == "success" {
				mocks[name] = map[string]any{"result": map[string]any{"run_id": "r2", "flow_id": flowtest.CalleeID, "outcome": "SUCCESS", "jobs": map[string]any{"inner": map[string]any{"status": "SUCCESS", "outputs": map[string]any{"n": s.N}}}}}
			} else if s.Calls {
				mocks[name] = map[string]any{"error": "as it is told", "kind": "child"}
			}
			for n, comes := range s.Items {
				add(fmt.Sprintf("%s[%d]", name, n), comes, n)
			}
		}
	}
	text, _ := json.Marshal(map[string]any{"taskgrove": 1, "mocks": mocks, "default": map[string]any{"result": map[string]any{}}})
	return text
}

// noops has all steps do nothing: mocks say what they come to.
func noops(*flowtest.Job, int) (string, map[string]any) { return "noop", map[string]any{} }

// TestFlowsPlayAsTheyRead: every random flow compiles to a tree that is taken as one, and played by the rules that decide in a cluster its jobs and steps come to what the
// documentation says: the order of jobs, gates, skips, blocks, failures, and handlers.
func TestFlowsPlayAsTheyRead(t *testing.T) {
	flowsPlayed, seen := 300, map[string]int{}
	if testing.Short() {
		flowsPlayed = 100
	}
	for seed := range uint64(flowsPlayed) {
		f := flowtest.Random(rand.New(rand.NewPCG(seed, 7)))
		if seed%2 == 1 {
			f.Lock(rand.New(rand.NewPCG(seed, 9)))
		}
		if seed%3 > 0 {
			f.Each(rand.New(rand.NewPCG(seed, 11)))
		}
		if seed%4 > 1 {
			f.Call(rand.New(rand.NewPCG(seed, 13)))
		}
		text := f.Text(noops)
		tree, report := flows.Compile("f.json", text, "r", options())
		if tree == nil {
			t.Fatalf("seed %d: %v\n%s", seed, report.Errors, text)
		}
		known := options().Executors
		suite, err := treetest.Load("mocks.json", mocksOf(f), treetest.Options{Executors: known, Described: func(func(executors.Description) bool) {}, Tree: func(args *treefile.Arguments) (*treefile.File, error) {
			return treefile.Read("-", treefile.Options{Stdin: strings.NewReader(string(tree.Document)), Arguments: args, Executors: known})
		}})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, tree.Document)
		}
		c := suite.Run().Cases[0]
		if err := f.Run(); err != nil {
			t.Fatal(err)
		}
		got, inputs, ended := map[string]string{}, map[string]json.RawMessage{}, map[string]float64{}
		for _, task := range c.Tasks {
			if got[task.Name], inputs[task.Name] = task.Outcome, task.Inputs; task.Ended != nil {
				ended[task.Name] = *task.Ended
			}
		}
		failed, failure, first := false, "", 0.0
		expect := func(name, want string) {
			seen[want]++
			if got[name] != want {
				t.Errorf("seed %d: %s is %s, want %s\n%s", seed, name, got[name], want, text)
			}
		}
		for _, j := range f.Jobs {
			expect(j.ID, strings.ToLower(j.Status))
			if j.Status == "FAILED" && (!failed || ended[j.ID] < first) {
				if failed {
					seen["a failure before another in the list"]++
				}
				failed, failure, first = true, j.Failure, ended[j.ID]
			}
			for i, outcome := range j.Ends {
				name := fmt.Sprintf("%s__s%d", j.ID, i)
				if expect(name, outcome); j.Steps[i].Saw == nil {
					continue
				}
				for _, path := range j.Steps[i].Reads {
					seen[strings.Join(strings.Split(path, ".")[:1], "")]++
				}
				saw := func(name string, want map[string]any) {
					var in any
					if err := json.Unmarshal(inputs[name], &in); err != nil && len(want) > 0 {
						t.Errorf("seed %d: %s has the inputs %s: %v", seed, name, inputs[name], err)
					}
					got, _ := json.Marshal(in)
					if text, _ := json.Marshal(want); string(got) != string(text) && len(want) > 0 {
						t.Errorf("seed %d: %s sees %s, want %s, of %v", seed, name, got, text, j.Steps[i].Reads)
					}
				}
				switch step := &j.Steps[i]; {
				case step.Calls:
					saw(name, map[string]any{"flow": flowtest.CalleeID, "params": map[string]any{"sees": step.Saw}})
					seen["call"]++
				case step.Items == nil:
					saw(name, step.Saw)
				}
				for n, outcome := range j.Steps[i].Items {
					item := maps.Clone(j.Steps[i].Saw)
					item["item"], item["index"] = flowtest.Item(n), n
					one := fmt.Sprintf("%s[%d]", name, n)
					expect(one, outcome)
					saw(one, item)
					seen["item"]++
				}
			}
		}
		if f.OnFailure {
			expect("on_failure__s", map[bool]string{true: "success", false: "skipped"}[failed])
			var in struct{ What string }
			if err := json.Unmarshal(inputs["on_failure__s"], &in); failed && (err != nil || !strings.HasPrefix(in.What, failure)) {
				t.Errorf("seed %d: on_failure is told %q, want %q: %v\n%s", seed, in.What, failure, err, text)
			}
		}
		if f.Finally {
			expect("finally__s", "success")
		}
		if want := map[bool]string{true: "failed", false: "completed"}[failed]; c.Outcome != want {
			t.Errorf("seed %d: the run is %s, want %s\n%s", seed, c.Outcome, want, text)
		}
		if t.Failed() {
			for _, s := range c.Failures {
				t.Log(s.Text)
			}
			t.Logf("%s", tree.Document)
			return
		}
	}
	t.Log(seen)
	for _, word := range []string{"success", "skipped", "failed", "blocked", "steps", "job", "jobs", "item", "call", "a failure before another in the list"} {
		if seen[word] == 0 {
			t.Errorf("nothing is %s: %v", word, seen)
		}
	}
}
