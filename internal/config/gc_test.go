package config

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestRoomFor(t *testing.T) {
	t.Parallel()
	for used, want := range map[int64]int64{0: memoryLimit, 200 << 20: memoryLimit, 300 << 20: 480 << 20, 400 << 20: 608 << 20, 1 << 30: 1536 << 20} {
		if got := roomFor(used); got != want {
			t.Errorf("%d MiB in use: got a limit of %d MiB, want %d", used>>20, got>>20, want>>20)
		}
	}
	for _, name := range needed {
		sample := []metrics.Sample{{Name: name}}
		if metrics.Read(sample); sample[0].Value.Kind() != metrics.KindUint64 {
			t.Errorf("this version of Go has no metric %s", name)
		}
	}
}

// TestTheLimitLeavesRoom: while more than the limit is needed, collections stay rare, and the limit comes back afterwards.
func TestTheLimitLeavesRoom(t *testing.T) {
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	before := limit()
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(before) })
	TuneGC(GCCoordinator)
	need := make([][]byte, 450) // 450 MiB that are in use, though never touched
	for i := range need {
		need[i] = make([]byte, 1<<20)
	}
	became := func(what string, ok func() bool) {
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the limit stays at %d MiB", what, limit()>>20)
			}
			runtime.GC()
		}
	}
	became("with 450 MiB", func() bool { return limit() >= 450<<20*3/2 && limit() != math.MaxInt64 })
	runtime.KeepAlive(need)
	need = nil
	became("without them", func() bool { return limit() == memoryLimit })
}
