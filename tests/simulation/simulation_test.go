package simulation

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// number reads a setting of the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSimulation plays histories: 2000, or as many as TASKGROVE_HISTORIES says, or 100 000 with TASKGROVE_FULL=1, which has more than as many trees that say more than the protocol.
// TASKGROVE_SEED plays one again. Each is played in one goroutine, so under the race detector only a few are, and the others in a program that is built without it.
func TestSimulation(t *testing.T) {
	if underRace && os.Getenv("TASKGROVE_SEED") == "" && os.Getenv("TASKGROVE_HISTORIES") == "" && !testing.Short() {
		play := exec.CommandContext(t.Context(), build(t.Context(), t, filepath.Join(t.TempDir(), "simulation.test")), "-test.run", "^TestSimulation$", "-test.v")
		out, err := play.CombinedOutput()
		t.Logf("without the race detector:\n%s", out)
		if err != nil {
			t.Error(err)
		}
		t.Setenv("TASKGROVE_HISTORIES", "100")
	}
	if seed := number(t, "TASKGROVE_SEED", 0); seed != 0 {
		par := Random(seed)
		par.Trace = true
		report := Run(par)
		t.Logf("%+v", par)
		t.Log(strings.Join(report.Trace, "\n"))
		if report.Broken != "" {
			t.Errorf("seed %d: %s", seed, report.Broken)
		}
		return
	}
	histories := 2000
	if os.Getenv("TASKGROVE_FULL") != "" {
		histories = 100_000
	}
	histories = int(number(t, "TASKGROVE_HISTORIES", uint64(histories)))
	first := number(t, "TASKGROVE_FIRST", uint64(time.Now().UnixNano())&0xffffffff)
	t.Logf("histories %d, seeds from %d", histories, first)
	begin := time.Now()
	var next, starts, overlaps, killed, back, early, handed, missed atomic.Int64
	var virtual atomic.Int64
	var mu sync.Mutex
	var lines Lines
	var beyond Beyond
	var limits Limits
	failed := -1
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				mu.Lock()
				stop := n >= histories || failed >= 0 && n > failed
				mu.Unlock()
				if stop {
					return
				}
				r := Run(Random(first + uint64(n)))
				starts.Add(int64(r.Starts))
				overlaps.Add(int64(r.Overlapping))
				killed.Add(int64(r.Killed))
				back.Add(int64(r.TakenBack))
				early.Add(int64(r.Early))
				handed.Add(int64(r.HandedOver))
				missed.Add(int64(r.Missed))
				virtual.Add(int64(r.Time))
				mu.Lock()
				lines.add(r.Lines)
				beyond.add(r.Beyond)
				limits.add(r.Limits)
				if r.Broken != "" && (failed < 0 || n < failed) {
					failed = n
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	t.Logf("%d histories in %s, %.0f a minute; %s of virtual time, %d starts (%d early, %d handed over and %d of those in vain, %d beside another that may), %d kills, %d attempts taken back",
		histories, took.Round(time.Millisecond), float64(histories)/took.Minutes(), time.Duration(virtual.Load()).Round(time.Second),
		starts.Load(), early.Load(), handed.Load(), missed.Load(), overlaps.Load(), killed.Load(), back.Load())
	t.Logf("in lines: %+v", lines)
	t.Logf("beyond the protocol: %+v", beyond)
	t.Logf("limits: %+v", limits)
	if failed < 0 {
		if least := min(lines.Claimed, lines.Started, lines.HandedBack, lines.Cancelled, lines.Drained, lines.Fenced, lines.Crashed); histories >= 2000 && least == 0 {
			t.Errorf("of what may happen to attempts in line, something never did: %+v", lines)
		}
		if least := beyond.least(); histories >= 2000 && least == 0 {
			t.Errorf("of what the protocol does not have, something never happened: %+v", beyond)
		}
		if histories >= 2000 && limits.least() == 0 {
			t.Errorf("of what may happen to tasks that ask for limits, something never did: %+v", limits)
		}
		return
	}
	explain(t, first+uint64(failed), failed+1)
}

// explain fails the test with the history of a seed and with the shortest like it.
func explain(t *testing.T, seed uint64, n int) {
	budget := 300
	if os.Getenv("TASKGROVE_NOSHRINK") != "" {
		budget = 0
	}
	par := Random(seed)
	t.Errorf("history %d is broken: %s\nTASKGROVE_SEED=%d plays it again: %+v", n, Run(par).Broken, seed, par)
	if budget == 0 {
		return
	}
	small := Shrink(par, budget)
	small.Trace = true
	report := Run(small)
	from := max(0, len(report.Trace)-120)
	t.Errorf("smaller: %+v: %s\n%s", small, report.Broken, strings.Join(report.Trace[from:], "\n"))
}

// TestSameSeedSameHistory: nothing but the parameters decides what happens.
func TestSameSeedSameHistory(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(100) {
		a, b := Run(Random(seed)), Run(Random(seed))
		if a.Hash != b.Hash || a.Time != b.Time {
			t.Errorf("seed %d: two histories: %x, %x", seed, a.Hash, b.Hash)
		}
		seen[a.Hash] = true
	}
	if len(seen) < 100 {
		t.Errorf("%d different histories of 100", len(seen))
	}
}

// TestJudgeTurn: a stretch passes an interrupted task only if something of it starts. One of an attempt that is over, as its tree was cancelled and runs again, does not.
func TestJudgeTurn(t *testing.T) {
	for _, row := range []struct {
		taken int32 // the attempt of the stretch
		again bool  // its task was interrupted, too
		wrong bool
	}{{3, false, true}, {3, true, false}, {2, false, false}} {
		w := &world{}
		w.store = &store{w: w, trees: []*tree{{key: 1, tasks: []*task{{}, {}}}}}
		first, second := w.store.trees[0].tasks[0], w.store.trees[0].tasks[1]
		first.row = dag.Row{Key: dag.TreeKey(1).Key(0), State: dag.Ready, Attempt: 3}
		second.row = dag.Row{Key: dag.TreeKey(1).Key(1), State: dag.Ready, Attempt: 2}
		first.truth.again, second.truth.again = row.again, true
		w.judgeTurn(run{first: first.row.Key, n: 1, attempt: row.taken}, []run{{first: second.row.Key, n: 1, attempt: 2}})
		if wrong := w.report.Broken != ""; wrong != row.wrong {
			t.Errorf("attempt %d, interrupted %v: %q", row.taken, row.again, w.report.Broken)
		}
	}
}

func FuzzSimulation(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if r := Run(Random(seed)); r.Broken != "" {
			t.Errorf("seed %d: %s", seed, r.Broken)
		}
	})
}
