package cancels

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "of the plans; 0: any")
	countFlag = flag.Int("cancels", 0, "how many; 0: 60, or 1000 with TASKGROVE_FULL=1")
)

// Of the whole run.
const (
	lanes  = 8  // trees at a time
	growth = 40 // descriptors and goroutines that connections may be kept for, between two moments without work
)

// full asks for the whole size.
var full = os.Getenv("TASKGROVE_FULL") == "1"

func size() int {
	switch {
	case *countFlag > 0:
		return *countFlag
	case full:
		return 1000
	}
	return 60
}

// TestRandomCancels cancels trees and tasks of every executor at random moments, waits for the receipts, and looks for what is left.
func TestRandomCancels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := newSite(t)
	plans := newPlans(seed, size(), len(s.kinds))
	t.Logf("seed %d: %d cancels in %d trees, of %d executors", seed, size(), len(plans), len(s.kinds))
	warm := len(plans) / 4
	began := time.Now()
	s.playAll(t, plans[:warm], 0)
	files, goroutines := held()
	s.playAll(t, plans[warm:], warm)
	err := eventually(noticed, func() error {
		if f, g := held(); f > files+growth || g > goroutines+growth {
			return fmt.Errorf("%d descriptors and %d goroutines, at first %d and %d", f, g, files, goroutines)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	f, g := held()
	t.Logf("%v; descriptors %d -> %d, goroutines %d -> %d\n%s", time.Since(began).Round(time.Millisecond), files, f, goroutines, g, s.table())
	s.close(t)
}

// playAll plays plans, some at a time.
func (s *site) playAll(t *testing.T, plans []*plan, first int) {
	var all sync.WaitGroup
	next := make(chan int)
	for range lanes {
		all.Go(func() {
			for i := range next {
				name := fmt.Sprintf("nap-%d-%04d", os.Getpid(), first+i)
				if err := s.play(t.Context(), name, plans[i]); err != nil {
					t.Errorf("%v\n%s", err, plans[i])
				}
			}
		})
	}
	for i := range plans {
		next <- i
	}
	close(next)
	all.Wait()
}

// close verifies what is stored, stops the worker, and looks for what it leaves.
func (s *site) close(t *testing.T) {
	for v, err := range s.c.Service().Verify(t.Context(), "") {
		t.Errorf("%+v, %v", v, err)
	}
	if err := s.c.Workers[0].Stop(); err != nil {
		t.Error(err)
	}
	if err := eventually(noticed, working); err != nil {
		t.Error(err)
	}
	if err := children(); err != nil {
		t.Error(err)
	}
	if err := processes(fmt.Sprintf("nap-%d-", os.Getpid())); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(s.temp); len(entries) > 0 || err != nil {
		t.Errorf("temporary files: %v, %v", entries, err)
	}
	for _, k := range s.kinds {
		if k.left != nil {
			if err := k.left(""); err != nil {
				t.Errorf("%s: %v", k.executor, err)
			}
		}
	}
}

// table shows what was counted.
func (s *site) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EXECUTOR\tCANCELLED\tCOMPLETED\tUNSTARTED\tMEDIAN\tWORST")
	for _, k := range s.kinds {
		sum := s.tallies[k.executor]
		if sum == nil {
			continue
		}
		var median, worst time.Duration
		if slices.Sort(sum.took); len(sum.took) > 0 {
			median, worst = sum.took[len(sum.took)/2], sum.took[len(sum.took)-1]
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t%v\n", k.executor, len(sum.took), sum.completed, sum.unstarted, median.Round(time.Millisecond), worst.Round(time.Millisecond))
	}
	w.Flush()
	return text.String()
}

func TestPlansComeFromTheirSeed(t *testing.T) {
	for seed := range uint64(20) {
		a, b := newPlans(seed, 100, 7), newPlans(seed, 100, 7)
		n := 0
		for _, p := range a {
			n += p.cancels()
		}
		if !reflect.DeepEqual(a, b) || n != 100 {
			t.Fatalf("seed %d: %d cancels", seed, n)
		}
	}
}
