package dag

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// copyTree is a tree of a test: each line is "name parent state dependencies", a dependency that is optional with a question mark.
type copyTree struct {
	names []string
	nodes []CopyNode
	edges [][]Edge
}

func readCopyTree(t testing.TB, text string) *copyTree {
	t.Helper()
	tree := &copyTree{}
	var lines [][]string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 {
			lines = append(lines, f)
			tree.names = append(tree.names, f[0])
		}
	}
	for _, f := range lines {
		state, ok := ParseState(f[2])
		if !ok {
			t.Fatalf("no state %q", f[2])
		}
		tree.nodes = append(tree.nodes, CopyNode{State: state, Parent: int32(tree.index(f[1]))})
		var edges []Edge
		for _, d := range f[3:] {
			name, optional := strings.CutSuffix(d, "?")
			edges = append(edges, Edge{Task: int32(tree.index(name)), Required: !optional})
		}
		tree.edges = append(tree.edges, edges)
	}
	return tree
}

// index is the task's; -1 for no name.
func (c *copyTree) index(name string) int { return slices.Index(c.names, name) }

func (c *copyTree) deps(i int) []Edge { return c.edges[i] }

// show is a plan: the tasks in their order, the root in brackets, those that are kept with an equals sign.
func (c *copyTree) show(p CopyPlan) string {
	var out []string
	for n, i := range p.Tasks {
		s := c.names[i]
		if p.Keep[n] {
			s += "="
		}
		if n == p.Root {
			s = "[" + s + "]"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// What a copy holds, and what of it runs again (spec 4.2 R).
func TestPlanCopy(t *testing.T) {
	t.Parallel()
	const pipeline = `
		root - completed load
		fetch root completed
		rates root completed
		load root completed fetch rates?
		parts load completed
		mail root failed load
		other root completed`
	for _, tt := range []struct {
		fact, tree string
		asked      CopyRequest
		target     string
		named      string
		want       string
	}{
		{"a subtree that nothing depends on becomes a tree of its own", pipeline, CopyRequest{}, "other", "", "[other]"},
		{"what depends on the subtree runs again, with the root above, and what it needs is kept", pipeline, CopyRequest{}, "load", "",
			"[root] fetch= rates= load parts mail"},
		{"the children of what is kept stay behind", pipeline, CopyRequest{}, "mail", "", "[root] fetch= rates= load= mail"},
		{"a whole tree", pipeline, CopyRequest{}, "root", "", "[root] fetch rates load parts mail other"},
		{"full: what has nothing to do with it is kept as it ended", pipeline, CopyRequest{Mode: CopyFull}, "other", "",
			"[root=] fetch= rates= load= parts= mail= other"},
		{"full: with what it depends on, and what depends on it", pipeline, CopyRequest{Mode: CopyFull}, "load", "",
			"[root] fetch rates load parts mail other="},
		{"custom: the named ones and what they depend on", pipeline, CopyRequest{Mode: CopyCustom}, "root", "load", "[root] fetch rates load"},
		{"custom: with all below them", pipeline, CopyRequest{Mode: CopyCustom, Descendants: true}, "root", "load", "[root] fetch rates load parts"},
		{"custom: parents come along, and what they need is kept", pipeline, CopyRequest{Mode: CopyCustom}, "root", "other", "[root] fetch= rates= load= other"},
		{"nothing is kept", pipeline, CopyRequest{Fresh: true}, "mail", "", "[root] fetch rates load mail"},

		{"a dependency that did not complete runs again, too", `
			root - failed
			a root failed
			b root completed a?
			c root failed b`, CopyRequest{}, "c", "", "[root] a b= c"},
		{"a dependency of a dependency that runs again", `
			root - failed
			a root completed
			b root cancelled a
			c root blocked b`, CopyRequest{}, "c", "", "[root] a= b c"},
		{"what runs in the original runs again in the copy", `
			root - waiting a b
			a root running
			b root completed`, CopyRequest{Mode: CopyFull}, "b", "", "[root] a b"},
		{"full: what failed is kept failed, unless it is needed", `
			root - failed
			a root failed
			b root failed
			c root blocked a`, CopyRequest{Mode: CopyFull}, "c", "", "[root=] a b= c"},
		{"full: a dependent's other dependencies that did not complete", `
			root - blocked a b
			a root completed
			b root failed`, CopyRequest{Mode: CopyFull}, "a", "", "[root] a b"},
		{"a failed leaf leaves pending dependents out", `
			root - failed
			a root failed
			b root blocked a
			c root completed a?`, CopyRequest{}, "a", "", "[root] a c"},
		{"a failed task with children leaves none out", `
			root - failed
			a root failed
			a1 a completed
			b root blocked a`, CopyRequest{}, "a", "", "[root] a a1 b"},
		{"a failed leaf without other dependents is a tree of its own", `
			root - failed
			a root failed
			b root blocked a`, CopyRequest{}, "a", "", "[a]"},
		{"a dependency outside the subtree brings the root", `
			root - completed
			x root completed
			a root completed
			a1 a completed x`, CopyRequest{}, "a", "", "[root] x= a a1"},
		{"dependencies inside the subtree do not", `
			root - completed
			a root completed a1
			a1 a completed`, CopyRequest{}, "a", "", "[a] a1"},
		{"parents of what is kept come along, and are kept", `
			root - completed
			g root completed
			x g completed
			a root completed x`, CopyRequest{}, "a", "", "[root] g= x= a"},
	} {
		tree := readCopyTree(t, tt.tree)
		tt.asked.Target = tree.index(tt.target)
		for name := range strings.FieldsSeq(tt.named) {
			tt.asked.Named = append(tt.asked.Named, tree.index(name))
		}
		if got := tree.show(PlanCopy(tree.nodes, tree.deps, tt.asked)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.fact, got, tt.want)
		}
	}
}

// randomCopyTree is a tree of up to 12 tasks, of which some are deleted.
func randomCopyTree(rnd *rand.Rand) *copyTree {
	c := &copyTree{}
	n := 1 + rnd.IntN(12)
	states := AllStates.States()
	for i := range n {
		node := CopyNode{State: states[rnd.IntN(len(states))], Parent: int32(rnd.IntN(i+1)) - 1}
		if i > 0 && node.Parent < 0 {
			node.Parent = 0
		}
		for i > 0 && c.nodes[node.Parent].Absent {
			node.Parent = c.nodes[node.Parent].Parent
		}
		node.Absent = i > 1 && rnd.IntN(8) == 0
		var edges []Edge
		for j := range i {
			if !node.Absent && !c.nodes[j].Absent && rnd.IntN(3) == 0 {
				edges = append(edges, Edge{Task: int32(j), Required: rnd.IntN(2) == 0})
			}
		}
		c.names, c.nodes, c.edges = append(c.names, fmt.Sprint("t", i)), append(c.nodes, node), append(c.edges, edges)
	}
	return c
}

// slowCopy says by sets and repeated looks at everything what PlanCopy says in one pass.
func slowCopy(c *copyTree, asked CopyRequest) string {
	n := len(c.nodes)
	base := map[int]bool{asked.Target: true}
	if asked.Mode == CopyCustom {
		base = map[int]bool{}
		for _, i := range asked.Named {
			base[i] = true
		}
	}
	named := map[int]bool{}
	for i := range base {
		named[i] = true
	}
	if asked.Mode != CopyCustom || asked.Descendants {
		for range n {
			for i, node := range c.nodes {
				if !node.Absent && node.Parent >= 0 && base[int(node.Parent)] {
					base[i] = true
				}
			}
		}
	}
	leaf := func(i int) bool {
		return !slices.ContainsFunc(c.nodes, func(o CopyNode) bool { return !o.Absent && int(o.Parent) == i })
	}
	up, down, skip := map[int]bool{}, map[int]bool{}, false
	for range n {
		for i := range n {
			for _, e := range c.edges[i] {
				t := int(e.Task)
				if source := map[CopyMode]map[int]bool{CopyFull: base, CopyCustom: named}[asked.Mode]; source[i] || up[i] {
					up[t] = asked.Mode != CopyMinimal
				}
				if base[t] || down[t] {
					down[i] = asked.Mode != CopyCustom
				}
			}
		}
	}
	for i := range base {
		skip = skip || asked.Mode == CopyMinimal && c.nodes[i].State == Failed && leaf(i)
	}
	in, runs, chosen := map[int]bool{}, map[int]bool{}, map[int]bool{}
	put := func(i int, run bool) {
		in[i] = true
		runs[i] = runs[i] || run || asked.Fresh
	}
	for i := range n {
		if base[i] || up[i] || down[i] && !(skip && c.nodes[i].State.Status() == StatusPending) {
			put(i, true)
			chosen[i] = true
		}
		if asked.Mode == CopyFull && !c.nodes[i].Absent {
			put(i, !OutcomeStates.Has(c.nodes[i].State))
		}
	}
	settle := func(parents bool) {
		for range 3 * n {
			for i := range n {
				if !in[i] {
					continue
				}
				for _, e := range c.edges[i] {
					if t := int(e.Task); runs[i] || !in[t] {
						put(t, c.nodes[t].State != Completed)
					}
				}
				if p := int(c.nodes[i].Parent); parents && p >= 0 {
					put(p, chosen[i] || c.nodes[p].State != Completed && !in[p])
					chosen[p] = chosen[p] || chosen[i]
				}
			}
		}
	}
	settle(false)
	alone := asked.Mode == CopyMinimal
	for i := range in {
		alone = alone && base[i]
	}
	if !alone && asked.Mode != CopyFull {
		settle(true)
	}
	var p CopyPlan
	for i := range n {
		if in[i] {
			if alone && i == asked.Target || !alone && i == 0 {
				p.Root = len(p.Tasks)
			}
			p.Tasks, p.Keep = append(p.Tasks, int32(i)), append(p.Keep, !runs[i])
		}
	}
	return c.show(p)
}

// A plan is what the slow twin says, and a tree that can run: each task's parent and dependencies are in it, nothing that runs waits for what is
// kept and did not complete, and what is kept has ended.
func TestPlanCopyAtRandom(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		c := randomCopyTree(rnd)
		var there []int
		for i, node := range c.nodes {
			if !node.Absent {
				there = append(there, i)
			}
		}
		asked := CopyRequest{Mode: CopyMode(rnd.IntN(3)), Target: there[rnd.IntN(len(there))], Descendants: rnd.IntN(2) == 0, Fresh: rnd.IntN(8) == 0}
		if asked.Mode == CopyCustom {
			for range 1 + rnd.IntN(3) {
				asked.Named = append(asked.Named, there[rnd.IntN(len(there))])
			}
		}
		plan := PlanCopy(c.nodes, c.deps, asked)
		if got, want := c.show(plan), slowCopy(c, asked); got != want {
			t.Fatalf("%+v of %+v with %v: got %s, want %s", asked, c.nodes, c.edges, got, want)
		}
		place := map[int32]int{}
		for n, i := range plan.Tasks {
			place[i] = n
		}
		for n, i := range plan.Tasks {
			node := c.nodes[i]
			if _, has := place[node.Parent]; has == (n == plan.Root) {
				t.Fatalf("%+v: task %d of %s: its parent is in the copy: %t", asked, i, c.show(plan), has)
			}
			if plan.Keep[n] && !OutcomeStates.Has(node.State) {
				t.Fatalf("%+v: task %d of %s has not ended and is kept", asked, i, c.show(plan))
			}
			for _, e := range c.edges[i] {
				at, has := place[e.Task]
				if !has || !plan.Keep[n] && plan.Keep[at] && c.nodes[e.Task].State != Completed {
					t.Fatalf("%+v: task %d of %s can't run: its dependency %d", asked, i, c.show(plan), e.Task)
				}
			}
		}
	}
}
