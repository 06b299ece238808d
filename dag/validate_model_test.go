package dag

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// verdict is what a validator says: how many faults of each kind, and the faults that are about many tasks at once.
type verdict struct {
	owner, name, mixed, duplicateID, duplicateName, parent, reference, dependency int
	cycle, noRoot, manyRoots, unreachable                                         bool
}

// judge is the slow twin: spec 2.1 row by row, over all pairs.
func judge(tasks []*Task) (v verdict) {
	identity := func(t *Task) string {
		if t.ID != "" {
			return t.ID
		}
		return t.Name
	}
	find := func(ref string) int {
		return slices.IndexFunc(tasks, func(t *Task) bool { return identity(t) == ref })
	}
	ids, roots := 0, 0
	for i, t := range tasks {
		if t.ID != "" {
			ids++
		}
		if t.Name == "" {
			v.name++
		}
		if t.UserID != "" && slices.ContainsFunc(tasks[:i], func(o *Task) bool { return o.UserID != "" && o.UserID != t.UserID }) {
			v.owner = 1
		}
		if first := find(identity(t)); identity(t) != "" && first < i {
			switch o := tasks[first]; {
			case t.ID != "" && o.ID != "":
				v.duplicateID++
			case t.ID == "" && o.ID == "":
				v.duplicateName++
			}
		}
		if t.ParentRef == "" {
			roots++
		} else if find(t.ParentRef) < 0 {
			v.parent++
		}
		for _, d := range t.Dependencies {
			if d.Ref == "" {
				v.reference++
			} else if find(d.Ref) < 0 {
				v.dependency++
			}
		}
	}
	if ids > 0 && ids < len(tasks) {
		v.mixed = 1
	}
	reaches := reachability(tasks, find)
	for i := range tasks {
		v.cycle = v.cycle || reaches[i][i]
	}
	v.noRoot, v.manyRoots = roots == 0, roots > 1
	if roots == 1 && v.parent == 0 {
		for i := range tasks {
			at := i
			for range tasks {
				if tasks[at].ParentRef != "" {
					at = find(tasks[at].ParentRef)
				}
			}
			v.unreachable = v.unreachable || tasks[at].ParentRef != ""
		}
	}
	return v
}

// reachability is the transitive closure of the dependencies.
func reachability(tasks []*Task, find func(string) int) [][]bool {
	reaches := make([][]bool, len(tasks))
	for i, t := range tasks {
		reaches[i] = make([]bool, len(tasks))
		for _, d := range t.Dependencies {
			if at := find(d.Ref); at >= 0 && d.Ref != "" {
				reaches[i][at] = true
			}
		}
	}
	for via := range tasks {
		for from := range tasks {
			for to := range tasks {
				reaches[from][to] = reaches[from][to] || reaches[from][via] && reaches[via][to]
			}
		}
	}
	return reaches
}

// read counts the faults that Build reported.
func read(bad *InvalidTreeError) (v verdict) {
	for _, p := range bad.Problems {
		switch {
		case p.Code == WrongOwner:
			v.owner++
		case strings.HasSuffix(p.Reason, "must have a 'name' field"):
			v.name++
		case strings.HasPrefix(p.Reason, "Mixed mode"):
			v.mixed++
		case p.Code == DuplicateID && p.Field == "id":
			v.duplicateID++
		case p.Code == DuplicateID && p.Field == "name":
			v.duplicateName++
		case p.Code == InvalidParent:
			v.parent++
		case strings.HasSuffix(p.Reason, "must have 'id' or 'name' field"):
			v.reference++
		case p.Code == InvalidDependency:
			v.dependency++
		case p.Code == CircularDependency:
			v.cycle = true
		case strings.HasPrefix(p.Reason, "No root"):
			v.noRoot = true
		case strings.HasPrefix(p.Reason, "Multiple root"):
			v.manyRoots = true
		case strings.HasPrefix(p.Reason, "Tasks not in"):
			v.unreachable = true
		default:
			panic(p.Reason)
		}
	}
	return v
}

// anyTasks draws trees that are often valid: each kind of fault has its own, small chance.
func anyTasks(t *rapid.T) []*Task {
	rare := func(label string) bool { return rapid.IntRange(0, 60).Draw(t, label) == 0 }
	n := rapid.IntRange(1, 12).Draw(t, "tasks")
	byName := rapid.Bool().Draw(t, "by name")
	upwards := rapid.Bool().Draw(t, "root last")
	ref := func(label string) string { return fmt.Sprintf("t%d", rapid.IntRange(0, n).Draw(t, label)) } // t<n> is not there
	place := func(i int) int {
		if upwards {
			return n - 1 - i
		}
		return i
	}
	tasks := make([]*Task, n)
	for i := range n {
		self := fmt.Sprintf("t%d", i)
		task := &Task{Name: self, ID: self}
		if byName != rare("mixed") {
			task.ID = ""
		} else if rapid.Bool().Draw(t, "same name") {
			task.Name = "same"
		}
		if rare("duplicate") {
			if task.ID != "" {
				task.ID = ref("other id")
			} else {
				task.Name = ref("other name")
			}
		}
		if rare("no name") {
			task.Name = ""
		}
		if rare("owner") {
			task.UserID = rapid.SampledFrom([]string{"u", "v"}).Draw(t, "user")
		}
		if i > 0 {
			task.ParentRef = fmt.Sprintf("t%d", rapid.IntRange(0, i-1).Draw(t, "parent"))
		}
		if rare("any parent") {
			task.ParentRef = rapid.SampledFrom([]string{"", ref("other parent")}).Draw(t, "which")
		}
		for range rapid.IntRange(0, 3).Draw(t, "dependencies") {
			d := Dependency{Optional: rapid.Bool().Draw(t, "optional"), Legacy: rapid.Bool().Draw(t, "string form")}
			switch {
			case rare("no reference"):
			case i == 0 || rare("any dependency"):
				if rare("from the root") {
					d.Ref = ref("dependency")
				} else {
					continue
				}
			default:
				d.Ref = fmt.Sprintf("t%d", rapid.IntRange(0, i-1).Draw(t, "dependency"))
			}
			task.Dependencies = append(task.Dependencies, d)
		}
		tasks[place(i)] = task
	}
	return tasks
}

func TestBuildAgreesWithTheSlowTwin(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		tasks := anyTasks(t)
		g, err := build(Limits{}, tasks...)
		bad, refused := errors.AsType[*InvalidTreeError](err)
		var got verdict
		if refused {
			got = read(bad)
		}
		if want := judge(tasks); got != want {
			t.Fatalf("Build: %v\ngot  %+v\nwant %+v", err, got, want)
		}
		if refused {
			checkNamedCycles(t, tasks, bad)
			return
		}
		accepted++
		checkGraph(t, tasks, g)
	})
	if accepted == 0 {
		t.Error("no tree was accepted: the generator is off")
	}
}

// checkNamedCycles demands that every cycle reported is one.
func checkNamedCycles(t *rapid.T, tasks []*Task, bad *InvalidTreeError) {
	byLabel := func(label string) (all []*Task) {
		for _, task := range tasks {
			if task.Name == label || task.Name == "" && task.ID == label {
				all = append(all, task)
			}
		}
		return all
	}
	for _, p := range bad.Problems {
		if p.Code != CircularDependency {
			continue
		}
		if len(p.Cycle) < 2 || p.Cycle[0] != p.Cycle[len(p.Cycle)-1] {
			t.Fatalf("cycle %q is not closed", p.Cycle)
		}
		for i, label := range p.Cycle[1:] {
			step := false
			for _, from := range byLabel(p.Cycle[i]) {
				for _, to := range byLabel(label) {
					step = step || slices.ContainsFunc(from.Dependencies, func(d Dependency) bool {
						return d.Ref == to.ID || to.ID == "" && d.Ref == to.Name
					})
				}
			}
			if !step {
				t.Fatalf("cycle %q: %s does not depend on %s", p.Cycle, p.Cycle[i], label)
			}
		}
	}
}

// checkGraph compares a graph with the tasks that it was made of, edge by edge.
func checkGraph(t *rapid.T, tasks []*Task, g *Graph) {
	ref := func(i int32) string {
		if id := tasks[i].ID; id != "" {
			return id
		}
		return tasks[i].Name
	}
	for i, task := range tasks {
		if task.ID != "" && g.IDs[i] != task.ID || g.IDs[i] == "" {
			t.Fatalf("id %d = %q, want %q", i, g.IDs[i], task.ID)
		}
		if p := g.Parent[i]; p < 0 && (task.ParentRef != "" || int(g.Root) != i) || p >= 0 && ref(p) != task.ParentRef {
			t.Fatalf("parent of %d = %d, want %q", i, p, task.ParentRef)
		}
		if leaf := !slices.ContainsFunc(tasks, func(o *Task) bool { return o.ParentRef == ref(int32(i)) }); g.Leaf[i] != leaf {
			t.Fatalf("leaf %d = %v, want %v", i, g.Leaf[i], leaf)
		}
		type edge struct {
			ref      string
			required bool
		}
		var got, want []edge
		for _, e := range g.Dependencies(i) {
			got = append(got, edge{ref(e.Task), e.Required})
		}
		for _, d := range task.Dependencies {
			at := slices.IndexFunc(want, func(e edge) bool { return e.ref == d.Ref })
			if at < 0 {
				want = append(want, edge{d.Ref, !d.Optional})
			} else {
				want[at].required = want[at].required || !d.Optional
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("dependencies of %d = %v, want %v", i, got, want)
		}
	}
}

// shape is a large tree by formula: parent and dependency of task i, negative for none.
type shape struct {
	name               string
	parent, dependency func(i, n int) int
}

var shapes = []shape{
	{"a star", func(i, n int) int { return min(i, 1) - 1 }, func(i, n int) int { return -1 }},
	{"a chain, each below and after the one before", func(i, n int) int { return i - 1 }, func(i, n int) int { return i - 1 }},
	{"a chain, root last", func(i, n int) int { return (i+2)%(n+1) - 1 }, func(i, n int) int { return (i+2)%(n+1) - 1 }},
	{"a heap", func(i, n int) int { return (i+1)/2 - 1 }, func(i, n int) int { return (i+1)/2 - 1 }},
}

// large submits n tasks of the shape with ids of a UUID's length.
func (s shape) large(tb testing.TB, n int) (*Graph, error) {
	id := func(i int) string {
		if i < 0 {
			return ""
		}
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i)
	}
	b := NewBuilder(Limits{Tasks: n}, nil)
	for i := range n {
		task := Task{ID: id(i), Name: fmt.Sprintf("task %d", i), ParentRef: id(s.parent(i, n))}
		if d := s.dependency(i, n); d >= 0 {
			task.Dependencies = []Dependency{{Ref: id(d)}}
		}
		if _, err := b.Add(&task); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Build()
}

// TestBuildAMillionTasks would overflow the stack, which is held to a few frames' worth, if anything recursed.
func TestBuildAMillionTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const n = manyTasks
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 10))
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			g, err := s.large(t, n)
			if err != nil {
				t.Fatal(err)
			}
			if len(g.IDs) != n || g.Parent[g.Root] != -1 || int(g.DepStart[n]) != len(g.Dep) {
				t.Errorf("graph of %d ids, root %d, %d edges", len(g.IDs), g.Root, len(g.Dep))
			}
		})
	}
	t.Run("a ring of all tasks is refused", func(t *testing.T) {
		ring := shape{"", func(i, n int) int { return min(i, 1) - 1 }, func(i, n int) int { return (i + 1) % n }}
		_, err := ring.large(t, n)
		bad, ok := errors.AsType[*InvalidTreeError](err)
		if !ok || len(bad.Problems) != 1 || bad.Problems[0].Code != CircularDependency || len(bad.Error()) > 4000 {
			t.Errorf("Build = %.200v, want one cycle, shortened", err)
		}
	})
	t.Run("a ring of all parents is refused", func(t *testing.T) {
		ring := shape{"", func(i, n int) int {
			switch i {
			case 0:
				return -1
			case n - 1:
				return 1
			}
			return i + 1
		}, func(i, n int) int { return -1 }}
		_, err := ring.large(t, n)
		bad, ok := errors.AsType[*InvalidTreeError](err)
		if !ok || len(bad.Problems) != 1 || !strings.HasPrefix(bad.Problems[0].Reason, "Tasks not in the same tree: ['task 1', 'task 2', ") {
			t.Errorf("Build = %.200v, want unreachable tasks", err)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	const n = 1_000_000
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				g, err := s.large(b, n)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/n, "graph-B/task")
				runtime.KeepAlive(g)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/task")
		})
	}
}

func FuzzBuild(f *testing.F) {
	f.Add([]byte("a..;b.a.a;c.a.ab"), true)
	f.Add([]byte("a..b;b.a.a"), true)
	f.Add([]byte("a.b.;b.a."), false)
	f.Add([]byte("a..;a..;..;\x00.\xff.\x00"), true)
	// Each task is its name, its parent and its dependencies, one byte each, between dots.
	f.Fuzz(func(t *testing.T, text []byte, ids bool) {
		var tasks []*Task
		for line := range strings.SplitSeq(string(text), ";") {
			parts := append(strings.SplitN(line, ".", 3), "", "")
			task := &Task{Name: parts[0], ParentRef: parts[1]}
			if ids {
				task.ID = parts[0]
			}
			for i := range len(parts[2]) {
				task.Dependencies = append(task.Dependencies, Dependency{Ref: parts[2][i : i+1]})
			}
			tasks = append(tasks, task)
		}
		if len(tasks) > 100 {
			return // the twin is cubic
		}
		g, err := build(Limits{}, tasks...)
		bad, refused := errors.AsType[*InvalidTreeError](err)
		if refused == (g != nil) {
			t.Fatalf("Build = %v, %v", g, err)
		}
		if refused && (bad.More > 0 || slices.ContainsFunc(bad.Problems, func(p *InvalidTaskError) bool { return p.Code == InvalidField })) {
			return // the twin knows neither bounds nor bytes
		}
		var got verdict
		if refused {
			got = read(bad)
		}
		if want := judge(tasks); got != want {
			t.Fatalf("Build: %v\ngot  %+v\nwant %+v", err, got, want)
		}
	})
}
