package main

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestMain runs the tests, or a part of a cluster.
func TestMain(m *testing.M) {
	if code, part := faults.RunPart(); part {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestHistories plays a few histories of a real cluster, of seeds that nobody has chosen.
func TestHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	t.Parallel()
	var out strings.Builder
	sound, err := run(t.Context(), []string{"-histories", "3", "-clusters", "1", "-shrink=false"}, &out)
	if err != nil || !sound {
		t.Errorf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
}

func TestPlanComesFromItsSeed(t *testing.T) {
	for seed := range uint64(50) {
		a, b := newPlan(seed, kinds), newPlan(seed, kinds)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d makes two plans:\n%s\n%s", seed, a, b)
		}
	}
}

func TestSchedule(t *testing.T) {
	seen := map[string]int{}
	timed, killed := 0, 0
	for seed := range uint64(500) {
		p := newPlan(seed, kinds)
		if len(p.Timed) > 0 {
			timed++
			if slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == "coordinator-kill" }) {
				killed++
			}
		}
		lost := 0
		for i, f := range p.Faults {
			k := kindOf(f.Kind)
			seen[f.Kind]++
			if f.Target >= k.targets || f.At > window || f.For > k.longest {
				t.Errorf("seed %d: %s", seed, f)
			}
			if k.loses != nil && k.loses(f) {
				lost++
			}
			for _, o := range p.Faults[:i] {
				if kindOf(o.Kind).on == k.on && o.Target == f.Target && f.At < o.At+o.For {
					t.Errorf("seed %d: %s and %s are done to the same thing", seed, o, f)
				}
			}
		}
		if lost > losses {
			t.Errorf("seed %d: %d faults may cost a worker its lease", seed, lost)
		}
	}
	if killed < timed/2 {
		t.Errorf("a coordinator is killed in %d of %d plans with schedules", killed, timed)
	}
	for _, k := range kinds {
		if seen[k.name] < 20 {
			t.Errorf("%s is in 500 plans %d times", k.name, seen[k.name])
		}
	}
}

// TestOperatorsFailNoRun: while a key has less than a task asks for, a submission is refused, and asked for again; but a run that finds such a task would fail.
func TestOperatorsFailNoRun(t *testing.T) {
	held, found := 0, 0
	for seed := range uint64(2000) {
		p := newPlan(seed, kinds)
		for _, h := range p.Holds {
			if h.What != "key" || h.Max == 0 {
				continue
			}
			held++
			most := p.costOfFound(h.Name)
			if most > h.Max {
				t.Errorf("seed %d: %s, and a task that a run finds asks for %d", seed, h, most)
			}
			if most > 1 {
				found++
			}
		}
	}
	if held < 20 || found < 5 {
		t.Errorf("%d limits of keys, %d of them of keys that found tasks ask a lot of", held, found)
	}
	_, reason := (&dag.Limit{Key: "k", Max: 4, Cost: 2}).RuleFault(1, true)
	if err := (&client.Error{Op: "submit", Err: &client.InvalidError{Text: reason}}); !tooMuch(err) {
		t.Errorf("%v is not known as the word of an operator", err)
	}
	for _, err := range []error{nil, client.ErrUnavailable, &client.Error{Op: "submit", Err: &client.InvalidError{Text: "a task has no name"}}} {
		if tooMuch(err) {
			t.Errorf("%v is taken for the word of an operator", err)
		}
	}
}

// TestAddChangesNoOtherTask: the model of a tree to which tasks are added keeps the order of dependencies that others were given by an update.
func TestAddChangesNoOtherTask(t *testing.T) {
	tree := oracle.Tree{Tasks: []oracle.Task{{ID: "a", Parent: -1}, {ID: "b"}, {ID: "c", Deps: []oracle.Dep{{On: 0, Optional: true}, {On: 1}}}}}
	e := &edited{rng: rand.New(rand.NewPCG(1, 1)), held: true, trees: []oracle.Tree{tree}}
	mixed := false
	for range 20 {
		change, ok := e.add(0, "x")
		if !ok || len(change.after.Tasks) <= len(tree.Tasks) {
			t.Fatal("nothing is added")
		}
		if !reflect.DeepEqual(change.after.Tasks[2].Deps, tree.Tasks[2].Deps) {
			t.Fatalf("an older task depends on %v", change.after.Tasks[2].Deps)
		}
		for _, task := range change.after.Tasks[3:] {
			required := slices.ContainsFunc(task.Deps, func(d oracle.Dep) bool { return !d.Optional })
			mixed = mixed || required && task.Deps[len(task.Deps)-1].Optional
			if required && task.Deps[0].Optional {
				t.Errorf("a new task depends on %v", task.Deps)
			}
		}
	}
	if !mixed {
		t.Error("no new task has dependencies of both kinds")
	}
}

func TestMask(t *testing.T) {
	whole := newPlan(7, kinds)
	for whole.Seed = 7; len(whole.Faults) < 3 || len(whole.Holds) < 2; whole = newPlan(whole.Seed+1, kinds) {
	}
	part, err := mask{trees: []int{0, 2}, faults: []int{1}, holds: []int{0}}.of(whole)
	if err != nil || len(part.Trees) != 2 || part.Trees[1].Prefix != whole.Trees[2].Prefix || !slices.Equal(part.Faults, whole.Faults[1:2]) || !slices.Equal(part.Holds, whole.Holds[:1]) {
		t.Errorf("got %s, %v", part, err)
	}
	if line := (settings{kinds: kinds}).command(whole, part); !strings.HasSuffix(line, " -trees 0,2 -faults 1 -holds 0") {
		t.Errorf("got %q", line)
	}
	if _, err := (mask{trees: []int{99}}).of(whole); err == nil {
		t.Error("a tree that is not there was accepted")
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, args := range [][]string{{"-kinds", "flood"}, {"-faults", "x"}, {"-seed", "-1"}, {"more"}, {"-mutants", "nobody"}} {
		var out strings.Builder
		if _, err := run(t.Context(), append([]string{"-histories", "0"}, args...), &out); err == nil {
			t.Errorf("%v was accepted: %s", args, out.String())
		}
	}
}

// TestWhoRestsTakesNoPlace: what expanded, or waits for something from outside, does not run, and nobody knows from when on.
func TestWhoRestsTakesNoPlace(t *testing.T) {
	at := time.Unix(1000, 0)
	g := &game{places: []place{
		{task: "a", pool: "p", start: at.Add(-time.Second), end: at.Add(time.Second)},
		{task: "found", pool: "p", start: at.Add(-time.Second), rests: true},
		{task: "over", pool: "p", start: at.Add(-time.Second), end: at},
		{task: "other", pool: "q", start: at},
		{task: "b", pool: "p", start: at},
		{task: "waits", pool: "p", start: at, rests: true},
	}}
	for i, want := range map[int]int{4: 2, 5: 3} {
		if n := g.runningAt(g.places[i]); n != want {
			t.Errorf("as %s starts, %d run, want %d", g.places[i].task, n, want)
		}
	}
}

// TestJumpsExcuse: work that was there when Postgres's clock went ahead, or began before its worker could know, is excused.
func TestJumpsExcuse(t *testing.T) {
	at := time.Unix(1000, 0)
	c := &cluster{jumps: []time.Time{at}}
	for _, row := range []struct {
		fact         string
		began, ended time.Time
		want         bool
	}{
		{"ended before", at.Add(-2 * time.Second), at.Add(-time.Second), false},
		{"there at the jump", at.Add(-time.Second), at.Add(time.Second), true},
		{"still there", at.Add(-time.Second), time.Time{}, true},
		{"begun in the lease's time", at.Add(lease / 2), at.Add(lease), true},
		{"begun after it", at.Add(lease), at.Add(2 * lease), false},
	} {
		if got := c.leapt(&faults.Run{Began: row.began, Ended: row.ended}); got != row.want {
			t.Errorf("%s: got %v", row.fact, got)
		}
	}
}

func TestCrashesInALog(t *testing.T) {
	const log = `2026-11-22 04:21:29 UTC [90] LOG:  server process (PID 118) was terminated by signal 6: Aborted
2026-11-22 04:21:30 UTC [90] LOG:  checkpointer process (PID 91) was terminated by signal 11: Segmentation fault
2026-11-22 04:21:30 UTC [90] LOG:  server process (PID 119) was terminated by signal 9: Killed
2026-11-22 04:21:30 UTC [90] LOG:  server process (PID 120) exited with exit code 2
`
	if got := crashesIn([]byte(log)); got != 2 {
		t.Errorf("got %d crashes, want 2", got)
	}
}
