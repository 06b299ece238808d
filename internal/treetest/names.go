package treetest

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// maxDepth is how deep names of tasks are looked for in trees within trees.
const maxDepth = dag.MaxSubtreeDepth

// nameWalk collects the names and ids of the tasks that may come of a tree, with * for what items put into them; running are those of tasks with an executor.
type nameWalk struct {
	executors    dag.Known
	all, running []string
}

func (w *nameWalk) add(above, name string, runs bool) {
	if name == "" {
		return
	}
	added := []string{pattern(name)}
	if above != "" {
		added = append(added, above+"/"+added[0])
	}
	if w.all = append(w.all, added...); runs {
		w.running = append(w.running, added...)
	}
}

// tasks adds those of a document; above is the task that submits it.
func (w *nameWalk) tasks(document []byte, above string, depth int) {
	if depth > maxDepth || len(w.all) > maxTasks {
		return
	}
	for t, err := range treedoc.Parse(document, treedoc.Options{Executors: w.executors}) {
		if err != nil {
			return
		}
		w.task(t, above, depth)
	}
}

func (w *nameWalk) task(t *dag.Task, above string, depth int) {
	w.add(above, t.Name, t.Executor != "")
	w.add(above, t.ID, t.Executor != "")
	if t.Executor != dag.MapExecutor && t.Executor != dag.SubtreeExecutor {
		return
	}
	inputs := t.Inputs
	if rendered, was, err := treefile.Inputs(t.Executor, inputs, w.executors); was && err == nil {
		inputs = rendered
	}
	var in struct{ Task, Tasks, Tree json.RawMessage }
	if json.Unmarshal(inputs, &in) != nil {
		return
	}
	switch {
	case t.Executor == dag.SubtreeExecutor:
		w.tasks(in.Tree, pattern(t.Name), depth+1)
	case in.Tasks != nil:
		w.tasks(in.Tasks, above, depth+1)
	default:
		w.item(in.Task, t.Name, above, depth+1)
	}
}

// item adds the one task that is made for each item by a task of the name.
func (w *nameWalk) item(document []byte, of, above string, depth int) {
	for made, err := range treedoc.Parse(append(append([]byte{'['}, document...), ']'), treedoc.Options{Executors: w.executors}) {
		if err != nil || depth > maxDepth {
			return
		}
		if made.Name == "" {
			made.Name = of + "[{{index}}]"
		}
		w.task(made, above, depth)
	}
}

// foundNames are those of the tasks that a mock of tasks of the name finds.
func foundNames(expand json.RawMessage, of string, executors dag.Known) []string {
	var doc expansion.Document
	if len(expand) == 0 || json.Unmarshal(expand, &doc) != nil {
		return nil
	}
	w := nameWalk{executors: executors}
	if doc.Tasks != nil {
		w.tasks(doc.Tasks, "", 1)
	}
	switch each := strings.TrimSpace(string(doc.Each)); {
	case strings.HasPrefix(each, "["):
		w.tasks(doc.Each, "", 1)
	case each != "":
		w.item(doc.Each, of, "", 1)
	}
	return w.all
}

// names are those that tasks may have.
type names struct {
	all      []string
	exact    map[string]bool
	patterns []string
}

func newNames(all []string) *names {
	n := &names{exact: map[string]bool{}}
	n.add(all)
	return n
}

func (n *names) add(all []string) {
	for _, name := range all {
		if n.exact[name] {
			continue
		}
		n.exact[name] = true
		n.all = append(n.all, name)
		if strings.Contains(name, "*") {
			n.patterns = append(n.patterns, name)
		}
	}
}

// have reports whether a task may fit the name, in which * stands for any text.
func (n *names) have(name string) bool {
	among := n.patterns
	if strings.Contains(name, "*") {
		among = n.all
	}
	return n.exact[name] || slices.ContainsFunc(among, func(one string) bool { return meet(name, one) })
}

// maxCompared is how many names are compared with one that is not there.
const maxCompared = 1000

func (n *names) some() []string {
	return n.all[:min(len(n.all), maxCompared):min(len(n.all), maxCompared)]
}

// pattern is a name with * in the place of what items put into it.
func pattern(name string) string {
	for {
		from := strings.Index(name, "{{")
		if from < 0 {
			return name
		}
		end := strings.Index(name[from:], "}}")
		if end < 0 {
			return name
		}
		name = name[:from] + "*" + name[from+end+2:]
	}
}

// matches reports whether a name fits a pattern, in which * stands for any text.
func matches(pattern, name string) bool {
	if pattern == name {
		return true
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 || !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}

// maxMeet bounds the patterns that are compared with one another.
const maxMeet = 1 << 12

// meet reports whether there are names that fit both patterns.
func meet(a, b string) bool {
	switch {
	case a == b:
		return true
	case !strings.Contains(a, "*"):
		return matches(b, a)
	case !strings.Contains(b, "*"):
		return matches(a, b)
	case len(a) > maxMeet || len(b) > maxMeet:
		return true
	}
	// both are read from their beginnings; at[j] tells whether what was read of a, and the first j bytes of b, meet
	at := make([]bool, len(b)+1)
	at[0] = true
	for j := range b {
		at[j+1] = at[j] && b[j] == '*'
	}
	for i := range a {
		before := at[0]
		at[0] = at[0] && a[i] == '*'
		for j := range b {
			diagonal := before
			before = at[j+1]
			switch {
			case a[i] == '*':
				at[j+1] = before || at[j]
			case b[j] == '*':
				at[j+1] = at[j] || before
			default:
				at[j+1] = diagonal && a[i] == b[j]
			}
		}
	}
	return at[len(b)]
}
