package treetest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/approval"
	"github.com/taskgrove/taskgrove/executors/wait"
	"github.com/taskgrove/taskgrove/internal/treetest"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestAsTheOracleSays plays random trees by mocks that do what their scripts say, and expects what the oracle says of each task, of its attempts, its inputs and its
// result: the oracle knows nothing of the rules that decide here.
func TestAsTheOracleSays(t *testing.T) {
	trees, outcomes := 200, map[string]int{}
	if testing.Short() {
		trees = 60
	}
	for seed := range uint64(trees) {
		tree := oracle.Random(rand.New(rand.NewPCG(seed, 31)), oracle.Shape{Prefix: "t", Tasks: 1 + int(seed)%25, Fails: 0.3, Optional: 0.3, Group: 0.1, Hang: 0.03, Beyond: float64(seed%3) / 2})
		tame(tree)
		s := scripted{tree: tree, ends: tree.Run(), mocks: map[string]any{}, expect: map[string]any{}}
		document, mocks := s.document(), s.file()
		suite, err := load(string(document), string(mocks))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, document, mocks)
		}
		c := suite.Run().Cases[0]
		for _, f := range c.Failures {
			t.Errorf("seed %d: %s", seed, f.Text)
		}
		for _, task := range c.Tasks {
			outcomes[task.Outcome]++
		}
		if c.Status != treetest.Passed && testing.Verbose() {
			t.Logf("%s\n%s", document, mocks)
		}
	}
	for _, word := range dag.Outcomes() {
		if outcomes[word] == 0 {
			t.Errorf("no task is %s: %v", word, outcomes)
		}
	}
	t.Logf("%d trees, tasks: %v", trees, outcomes)
}

// tame leaves out of the scripts what no mock can do: attempts that go on after a wait, waits for a time that have a payload, and results that are large.
func tame(tree oracle.Tree) {
	for i := range tree.Tasks {
		s := &tree.Tasks[i].Script
		if s.Add%8 == 7 {
			s.Add--
		}
		if s.Wait != nil {
			s.Wait.Resume = false
			if s.Wait.Kind == "time" {
				s.Wait.Kind = "signal"
			}
		}
	}
}

// scripted writes a tree of the oracle as a document and a mocks file.
type scripted struct {
	tree          oracle.Tree
	ends          []oracle.End
	mocks, expect map[string]any
}

type object = map[string]any

// document is the tree, but for what its tasks find.
func (s *scripted) document() []byte {
	var tasks []object
	for i, t := range s.tree.Tasks {
		if t.By > 0 {
			continue
		}
		task := s.task(i, func(j int) string { return s.tree.Tasks[j].ID })
		task["id"] = t.ID
		if t.Parent >= 0 {
			task["parent_id"] = s.tree.Tasks[t.Parent].ID
		}
		tasks = append(tasks, task)
	}
	return encoded(tasks)
}

// task is a task as it is submitted, and its mocks and what is expected of it. ref is what others call tasks.
func (s *scripted) task(i int, ref func(int) string) object {
	t, end := s.tree.Tasks[i], s.ends[i]
	task := object{"name": t.ID}
	s.policies(task, t)
	var deps []any
	for _, d := range t.Deps {
		dep := object{"id": ref(d.On), "required": !d.Optional}
		if d.Plain && !d.Skips {
			deps = append(deps, ref(d.On))
			continue
		}
		if d.Accept != nil {
			dep["accept"] = d.Accept
			if d.Accept[0] == oracle.Any {
				dep["accept"] = oracle.Any
			}
		}
		if d.Otherwise != "" {
			dep["otherwise"] = d.Otherwise
		}
		if d.Order {
			dep["merge"] = false
		}
		if d.Skips {
			dep["skips"] = true
		}
		deps = append(deps, dep)
	}
	if deps != nil {
		task["dependencies"] = deps
	}
	if w := t.When; w != nil {
		on := ""
		if len(t.Deps) > 0 {
			on = ref(t.Deps[w.Dep].On)
		}
		task["when"] = w.CEL(on)
	}
	if end.Absent {
		return task
	}
	s.mock(t.ID, i)
	s.expects(t.ID, i)
	return task
}

// policies are what a task says of itself alone.
func (s *scripted) policies(task object, t oracle.Task) {
	if t.AllowFailure {
		task["allow_failure"] = true
	}
	if t.Fold {
		task["fold"] = true
	}
	if i := t.Imported; i != nil {
		task["outcome"] = map[dag.State]string{dag.Completed: "success", dag.Skipped: "skipped", dag.Failed: "failed", dag.Cancelled: "cancelled"}[i.State]
		task["result"] = i.Result
		if i.Attempts > 0 {
			task["attempts"] = i.Attempts
		}
	}
	if t.Group {
		return
	}
	schemas := object{"method": "work"}
	if t.Mapped {
		schemas["input_schema"] = object{"properties": object{"sum": object{}, "keys": object{}}}
	}
	retry := object{"max_attempts": max(1, t.MaxAttempts), "initial_delay": 1, "max_delay": 10}
	if t.RetryOn != nil {
		retry["retry_on"] = t.RetryOn
	}
	if t.NoRetryOn != nil {
		retry["no_retry_on"] = t.NoRetryOn
	}
	task["schemas"], task["retry"] = schemas, retry
	sc := t.Script
	if sc.Hang {
		task["timeout"] = 5
	}
	if r := sc.Repeat; r != nil {
		task["repeat"] = object{"until": fmt.Sprintf("attempt >= %d", r.Until), "max": r.Max, "delay": 1}
	}
	if w := sc.Wait; w != nil {
		in := object{}
		schemas["method"], task["inputs"] = wait.ID, in
		given := any(sc.Answer())
		if in["signal"] = "go"; w.Kind == "approval" {
			delete(in, "signal")
			schemas["method"], in["message"], given = approval.ID, "?", object{"choice": "approve"}
			if w.Skips && w.Rejects {
				in["on_reject"] = "skip"
			}
		}
		in["timeout"] = 20
		switch {
		case w.Comes:
		case w.Skips:
			in["on_timeout"] = "skip"
		case w.Gives:
			in["on_timeout"] = given
		}
	}
}

// mock has the attempts of a task do what its script says.
func (s *scripted) mock(name string, i int) {
	t, end := s.tree.Tasks[i], s.ends[i]
	sc := t.Script
	if t.Group || t.Imported != nil {
		return
	}
	list := []any{}
	fails := object{"error": "as told"}
	switch {
	case sc.Hang:
		fails = object{"hangs": true}
	default:
		if sc.Kind != "" {
			fails["kind"] = sc.Kind
		}
		if sc.Permanent {
			fails["permanent"] = true
		}
		if sc.RetryAfter > 0 {
			fails["retry_after"] = float64(sc.RetryAfter) / 1000
		}
	}
	if sc.Hang || sc.Fail != 0 {
		if sc.Fail > 0 && !sc.Hang {
			var attempts []int
			for n := range sc.Fail {
				attempts = append(attempts, n+1)
			}
			fails["attempt"] = attempts
		}
		list = append(list, fails)
	}
	result := sc.Result(end.Inputs)
	switch w := sc.Wait; {
	case sc.Skip != "":
		list = append(list, object{"skip": sc.Skip, "result": result})
	case sc.Collect != "":
		list = append(list, object{"expand": s.expand(i)})
	case w != nil && !w.Comes:
	case w != nil && w.Kind == "approval":
		answer := sc.Answer().(object)
		list = append(list, object{"choice": answer["choice"], "by": answer["by"], "comment": answer["comment"]})
	case w != nil:
		list = append(list, object{"signal": sc.Answer()})
	default:
		list = append(list, object{"result": result})
	}
	s.mocks[name] = list
}

// expand is what the run of a task finds.
func (s *scripted) expand(finder int) object {
	script := s.tree.Tasks[finder].Script
	var tasks []object
	var items []int
	each := object{"name": "none", "schemas": object{"method": "work"}}
	for i, t := range s.tree.Tasks {
		if t.By != finder+1 {
			continue
		}
		task := s.task(i, func(j int) string { return s.tree.Tasks[j].Local })
		if script.Map != nil {
			items = append(items, i)
			task["name"] = "t-{{item}}"
			each = task
			continue
		}
		task["id"] = t.Local
		if t.Parent != finder {
			task["parent_id"] = s.tree.Tasks[t.Parent].Local
		}
		tasks = append(tasks, task)
	}
	if m := script.Map; m != nil {
		return object{"items": append([]int{}, items...), "each": each, "window": m.Window, "stop_on_failure": m.Stop, "collect": script.Collect}
	}
	return object{"tasks": append([]object{}, tasks...), "collect": script.Collect}
}

// expects is what the oracle says of a task.
func (s *scripted) expects(name string, i int) {
	t, end := s.tree.Tasks[i], s.ends[i]
	want := object{"attempts": end.Attempts, "outcome": end.State.Outcome()}
	if end.Idle || t.Group || end.State == dag.Blocked {
		want["attempts"] = 0
	}
	if end.State == dag.Completed || end.State == dag.Skipped {
		want["result"] = timeless(end.Result)
	}
	if end.Inputs != nil && want["attempts"] != 0 {
		want["inputs"] = timeless(end.Inputs)
	}
	if end.Reason != "" {
		want["reason"] = end.Reason
	}
	s.expect[name] = want
}

// timeless is a value without the times of answers.
func timeless(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for name, member := range v {
			if name != "at" || member != oracle.AnsweredAt {
				out[name] = timeless(member)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, timeless(e))
		}
		return out
	}
	return v
}

func (s *scripted) file() []byte {
	return encoded(object{"taskgrove": 1, "mocks": s.mocks, "expect": object{"outcome": s.tree.Outcome(s.ends).Status(), "tasks": s.expect}})
}

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
