package simulation

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// TestSimulation plays histories: 2000, or as many as TASKGROVE_HISTORIES says, or 50 000 with TASKGROVE_FULL=1.
// TASKGROVE_SEED plays one again.
func TestSimulation(t *testing.T) {
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
		histories = 50_000
	}
	histories = int(number(t, "TASKGROVE_HISTORIES", uint64(histories)))
	first := number(t, "TASKGROVE_FIRST", uint64(time.Now().UnixNano())&0xffffffff)
	t.Logf("histories %d, seeds from %d", histories, first)
	begin := time.Now()
	var next, starts, overlaps, killed, back, early, handed, missed atomic.Int64
	var virtual atomic.Int64
	var mu sync.Mutex
	var lines Lines
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
	if failed < 0 {
		if least := min(lines.Claimed, lines.Started, lines.HandedBack, lines.Cancelled, lines.Drained, lines.Fenced, lines.Crashed); histories >= 2000 && least == 0 {
			t.Errorf("of what may happen to attempts in line, something never did: %+v", lines)
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

func FuzzSimulation(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if r := Run(Random(seed)); r.Broken != "" {
			t.Errorf("seed %d: %s", seed, r.Broken)
		}
	})
}
