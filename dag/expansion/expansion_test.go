package expansion_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// all makes every task of a plan, in steps of a size.
func all(t *testing.T, p *expansion.Plan, step int) (made []expansion.Made) {
	t.Helper()
	var tm *expansion.Template
	if p.Template != nil {
		var err error
		if tm, err = expansion.ReadTemplate(p.Template, dag.Known{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range p.Parts {
		first := len(made)
		for skip := 0; skip < part.Tasks; {
			more, err := expansion.Tasks(tm, part.Body, first, skip, max(step, p.PerItem), dag.Known{})
			if err != nil {
				t.Fatal(err)
			}
			if len(more) == 0 {
				t.Fatalf("nothing is made of %d tasks after %d", part.Tasks, skip)
			}
			made, skip = append(made, more...), skip+len(more)
		}
	}
	if len(made) != p.Tasks {
		t.Fatalf("%d tasks are made, the plan has %d", len(made), p.Tasks)
	}
	return made
}

// twin is what an item makes of a string, found the slow way.
func twin(s string, item any, index int) any {
	switch s {
	case "{{item}}":
		return item
	case "{{index}}":
		return float64(index)
	}
	text, _ := json.Marshal(item)
	if s, is := item.(string); is {
		text = []byte(s)
	}
	s = strings.ReplaceAll(s, "{{item}}", string(text))
	return strings.ReplaceAll(s, "{{ index }}", strconv.Itoa(index))
}

func twinOf(v any, item any, index int) any {
	switch v := v.(type) {
	case string:
		return twin(v, item, index)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = twinOf(v[i], item, index)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = twinOf(v[k], item, index)
		}
		return out
	}
	return v
}

// TestItemsAgainstATwin makes random items of random templates, in random steps, and compares them with what a slow twin makes.
func TestItemsAgainstATwin(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 1))
		items := make([]any, r.IntN(2500))
		for i := range items {
			items[i] = []any{float64(i), fmt.Sprintf("a \"b\" %d,]", i), map[string]any{"k": []any{"x", float64(i)}}, []any{}, true}[r.IntN(5)]
		}
		strs := []string{"{{item}}", "{{index}}", "plain", "a {{item}} b {{ index }}", "{{deps.x.result}}", "{{ .Go }}", "{{item}}{{item}}", "\u00e4 {{items}} \\ {{index_of}}", "}} {{"}
		var value func(depth int) any
		value = func(depth int) any {
			switch n := r.IntN(6); {
			case n == 0 && depth < 3:
				return []any{value(depth + 1), value(depth + 1)}
			case n == 1 && depth < 3:
				return map[string]any{"k": value(depth + 1), "{{item}}": value(depth + 1)}
			case n == 2:
				return 1.5
			}
			return strs[r.IntN(len(strs))]
		}
		n := 1 + r.IntN(3)
		var tasks []map[string]any
		for i := range n {
			task := map[string]any{"id": fmt.Sprintf("t%d", i), "name": "n{{ index }}", "inputs": map[string]any{"v": value(0)}, "schemas": map[string]any{"method": "x"}}
			if i > 0 {
				task["parent_id"], task["dependencies"] = "t0", []any{fmt.Sprintf("t%d", r.IntN(i))}
			}
			tasks = append(tasks, task)
		}
		var each any = tasks
		if n == 1 && r.IntN(2) == 0 {
			each = tasks[0]
		}
		doc, _ := json.Marshal(map[string]any{"items": items, "each": each, "window": r.IntN(5)})
		plan, err := expansion.Read(doc, expansion.Options{Name: "m"})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		made := all(t, plan, 1+r.IntN(1500))
		for i, m := range made {
			item, of := i/n, tasks[i%n]
			var got, want any
			if err := json.Unmarshal(m.Task.Inputs, &got); err != nil {
				t.Fatalf("seed %d, task %d: %v: %s", seed, i, err, m.Task.Inputs)
			}
			text, _ := json.Marshal(twinOf(of["inputs"], items[item], item))
			_ = json.Unmarshal(text, &want)
			ref, parent := of["id"].(string), int32(item*n)
			if i%n == 0 {
				parent = -1
			}
			if n == 1 {
				ref = strconv.Itoa(i)
			}
			if !reflect.DeepEqual(got, want) || m.Task.Name != fmt.Sprintf("n%d", item) || m.Ref != ref || m.Parent != parent {
				t.Fatalf("seed %d, task %d: got %q, %q below %d, %v\nwant %q below %d, %v", seed, i, m.Task.Name, m.Ref, m.Parent, got, ref, parent, want)
			}
			for _, e := range m.Edges {
				if int(e.Task)/n != item || int(e.Task) >= i {
					t.Fatalf("seed %d, task %d depends on %d", seed, i, e.Task)
				}
			}
		}
	}
}

// TestListsAgainstATwin: whatever the parts are, each task of a list keeps its place, its parent and its dependencies.
func TestListsAgainstATwin(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 2))
		n := r.IntN(3000)
		parent, deps, pad := make([]int, n), make([][]int, n), strings.Repeat("x", r.IntN(2000))
		order := r.Perm(n) // dependencies lead from later ones of this order to earlier ones
		place := make([]int, n)
		for at, i := range order {
			place[i] = at
		}
		var tasks []map[string]any
		dependents := make([]int32, n)
		for i := range n {
			task := map[string]any{"id": strconv.Itoa(i), "name": "t", "inputs": map[string]any{"pad": pad}}
			parent[i] = -1
			if i > 0 && r.IntN(3) == 0 {
				parent[i] = r.IntN(i)
				task["parent_id"] = strconv.Itoa(parent[i])
			}
			var list []any
			for range r.IntN(3) {
				if at := place[i]; at > 0 {
					on := order[r.IntN(at)]
					if !contains(deps[i], on) {
						deps[i], list = append(deps[i], on), append(list, strconv.Itoa(on))
						dependents[on]++
					}
				}
			}
			task["dependencies"] = list
			tasks = append(tasks, task)
		}
		doc, _ := json.Marshal(map[string]any{"tasks": append([]map[string]any{}, tasks...)})
		plan, err := expansion.Read(doc, expansion.Options{Name: "m"})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, m := range all(t, plan, 1+r.IntN(1500)) {
			var got []int
			for _, e := range m.Edges {
				got = append(got, int(e.Task))
			}
			if m.Ref != strconv.Itoa(i) || int(m.Parent) != parent[i] || !reflect.DeepEqual(got, deps[i]) || m.Dependents != dependents[i] {
				t.Fatalf("seed %d, task %d: %q below %d, depends on %v, %d on it; want %d, %v, %d", seed, i, m.Ref, m.Parent, got, m.Dependents, parent[i], deps[i], dependents[i])
			}
		}
	}
}

func contains(all []int, n int) bool {
	for _, o := range all {
		if o == n {
			return true
		}
	}
	return false
}

func TestFaultsOfExpansions(t *testing.T) {
	for _, test := range []struct {
		doc  string
		want []string
	}{
		{`{}`, []string{"it has tasks, or items with each"}},
		{`{"tasks":[],"items":[]}`, []string{"it has tasks, or items with each"}},
		{`{"tasks":[],"each":{}}`, []string{"there are none"}},
		{`{"tasks":{}}`, []string{"tasks: must be an array"}},
		{`{"items":{},"each":{"name":"x"}}`, []string{"items: must be an array"}},
		{`{"items":[]}`, []string{"each: is required"}},
		{`{"items":[],"each":[]}`, []string{"each: has no task"}},
		{`{"items":[],"each":3}`, []string{"each: must be a task"}},
		{`{"items":[1],"each":{"name":"a"},"more":1}`, []string{"more"}},
		{`{"items":[1],"each":[{"name":"a"},{"name":"b"}]}`, []string{"root"}},
		{`{"items":[{},{"a":1},{}],"each":{"inputs":{"a":"{{item.a}}"}}}`, []string{"items[0]: inputs", "items[2]: inputs", "template.missing_key"}},
		{`{"items":[1],"each":{"name":"a","inputs":{"x":"{{item|upper}}","y":"{{index-1}}"}}}`, []string{"{{item|upper}}", "{{index-1}}"}},
		{`{"items":[1],"each":{"name":"a","inputs":{"h":{"secret":"{{item}}"},"connection":"db_{{index}}"}}}`, []string{"tasks[0].inputs.h.secret: an item can't name", "tasks[0].inputs.connection: an item can't name"}},
		{`{"items":[1],"each":{"name":"a","template":true,"schemas":{"method":"x"},"inputs":{"h":{"secret":"{{item}}"}}}}`, []string{"can't name a secret"}},
		{`{"tasks":[{"name":"a","dependencies":["b"],"user_id":"eve","labels":{"a":"b"}},{"name":"c","outcome":"success"},{"name":"c"}],"collect":"some","window":-1}`,
			[]string{"collect: must be", "window: must be", "there are none"}},
		{`{"tasks":[{"name":"a","dependencies":["b"],"user_id":"eve","labels":{"a":"b"}},{"name":"c","outcome":"success"},{"name":"c"}]}`,
			[]string{"'b' which is not", "tasks[0].user_id", "tasks[0].labels", "tasks[1].outcome", "not unique"}},
		{`{"tasks":[{"name":"a","dependencies":["b"]},{"name":"b","dependencies":["a"]}]}`, []string{"ircular"}},
	} {
		_, err := expansion.Read([]byte(test.doc), expansion.Options{Name: "m"})
		if err == nil {
			t.Errorf("%s: no error", test.doc)
			continue
		}
		for _, w := range test.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", test.doc, err, w)
			}
		}
	}
}

func TestNestedMapsKeepTheirOwnTemplates(t *testing.T) {
	plan, err := expansion.Read([]byte(`{"items":[["a","b"]],"each":{"schemas":{"method":"map_executor"},"inputs":{"items":"{{item}}","task":{"name":"{{item}}","inputs":{"x":["{{index}}"]}},"window":"{{index}}"}}}`), expansion.Options{Name: "m"})
	if err != nil {
		t.Fatal(err)
	}
	m := all(t, plan, 1)[0]
	want := `{"items":["a","b"],"task":{"name":"{{item}}","inputs":{"x":["{{index}}"]}},"window":0}`
	if string(m.Task.Inputs) != want || m.Task.Name != "m[0]" {
		t.Errorf("%q: got  %s\nwant %s", m.Task.Name, m.Task.Inputs, want)
	}
}

// TestItemsAreData: what an item holds is no template, names no secret, and allows nothing, wherever it is put.
func TestItemsAreData(t *testing.T) {
	t.Parallel()
	read := func(each string) *expansion.Template {
		t.Helper()
		tm, err := expansion.NewTemplate([]byte(each), "m", dag.Known{})
		if err != nil {
			t.Fatal(err)
		}
		return tm
	}
	for _, tt := range []struct{ each, item, inputs, control string }{
		{`{"inputs":{"a":"{{item}}","b":{"secret":"mine"}}}`, `{"secret":"theirs"}`, `{"a":{"secret":"theirs"},"b":{"secret":"mine"}}`, `{"data":["a"]}`},
		{`{"inputs":{"a":"{{item}}","b":{"secret":"mine"}}}`, `{"s\u0065cret":"theirs"}`, `{"a":{"s\u0065cret":"theirs"},"b":{"secret":"mine"}}`, `{"data":["a"]}`},
		{`{"inputs":{"a":"no {{item.x}}","b":{"secret":"mine"}}}`, `{"x":"secret"}`, `{"a":"no secret","b":{"secret":"mine"}}`, ``},
		{`{"schemas":{"method":"x"},"template":true,"inputs":{"a":"{{item}}"}}`, `"{{deps.a.result}}"`, `{"a":"{{item}}"}`, `{"template":true,"item":"{{deps.a.result}}","index":7}`},
		{`{"schemas":{"method":"x"},"template":true,"inputs":{"a":"b"}}`, `1`, `{"a":"b"}`, `{"template":true}`},
		{`{"schemas":{"method":"x"},"outputs":{"a":"{{item.n}}"},"inputs":{"a":"{{index}}"}}`, `{"n":1}`, `{"a":7}`, `{"outputs":{"a":"{{item.n}}"},"item":{"n":1},"index":7}`},
	} {
		made, err := read(tt.each).Make([]byte(tt.item), 7)
		if err != nil {
			t.Errorf("%s: %v", tt.each, err)
			continue
		}
		if got := made[0].Task; string(got.Inputs) != tt.inputs || string(got.Control.Stored()) != tt.control {
			t.Errorf("%s of %s: got %s with %s, want %s with %s", tt.each, tt.item, got.Inputs, got.Control.Stored(), tt.inputs, tt.control)
		}
	}
}
