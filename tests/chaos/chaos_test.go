package main

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/tests/faults"
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
	for seed := range uint64(500) {
		p := newPlan(seed, kinds)
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
	for _, k := range kinds {
		if seen[k.name] < 20 {
			t.Errorf("%s is in 500 plans %d times", k.name, seen[k.name])
		}
	}
}

func TestMask(t *testing.T) {
	whole := newPlan(7, kinds)
	for whole.Seed = 7; len(whole.Faults) < 3; whole = newPlan(whole.Seed+1, kinds) {
	}
	part, err := masked(whole, []int{0, 2}, []int{1})
	if err != nil || len(part.Trees) != 2 || part.Trees[1].Prefix != whole.Trees[2].Prefix || !slices.Equal(part.Faults, whole.Faults[1:2]) {
		t.Errorf("got %s, %v", part, err)
	}
	if line := (settings{kinds: kinds}).command(whole, part); !strings.HasSuffix(line, " -trees 0,2 -faults 1") {
		t.Errorf("got %q", line)
	}
	if _, err := masked(whole, []int{99}, nil); err == nil {
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
