package coordinator

import (
	"testing"

	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// TestLeasesDoNotWaitForConsumers: only the first beat of an instance is answered when its pools are made, and that by the
// loop that makes them; all others, and the first one when that loop is far behind, are answered at once.
func TestLeasesDoNotWaitForConsumers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fact   string
		number uint64
		pools  []string
		behind bool // the loop
		waits  bool
		unmade int
	}{
		{"the first beat", 1, []string{"new", "made"}, false, true, 1},
		{"a later beat", 2, []string{"new"}, false, false, 1},
		{"the first beat, of pools that are there", 1, []string{"made"}, false, false, 0},
		{"the first beat, when the loop is behind", 1, []string{"new"}, true, false, 0},
		{"a later beat, when the loop is behind", 3, []string{"new"}, true, false, 0},
		{"no pools", 1, nil, false, false, 0},
	} {
		c := &Coordinator{engine: &engine{announced: make(chan announcement, 1)}}
		c.ensured.Store("made", true)
		if row.behind {
			c.announced = make(chan announcement)
		}
		m := &workerv1.Beat{Number: row.number}
		for _, name := range row.pools {
			m.Pools = append(m.Pools, &workerv1.PoolCapacity{Pool: name})
		}
		answered := false
		if got := c.announcePools(m, func() { answered = true }); got != row.waits {
			t.Errorf("%s: waits: %t, want %t", row.fact, got, row.waits)
		}
		if answered {
			t.Errorf("%s: answered twice or too early", row.fact)
		}
		select {
		case a := <-c.announced:
			if len(a.pools) != row.unmade {
				t.Errorf("%s: pools to make: %v, want %d", row.fact, a.pools, row.unmade)
			}
			if a.made(); answered != row.waits {
				t.Errorf("%s: answered when they are made: %t, want %t", row.fact, answered, row.waits)
			}
		default:
			if row.unmade > 0 {
				t.Errorf("%s: nothing is to be made", row.fact)
			}
		}
	}
}

// TestBeatsTellTheLine: what waits for slots is counted over all pools, and is never more than what the beat lists, whatever it says.
func TestBeatsTellTheLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fact         string
		inLine       []uint32 // of each pool
		listed, want int
	}{
		{"none waits", []uint32{0, 0}, 3, 0},
		{"of two pools", []uint32{1, 2}, 5, 3},
		{"nobody was asked for some", []uint32{4}, 3, 3},
		{"a lie", []uint32{1<<32 - 1, 1<<32 - 1}, 1, 1},
		{"none listed", []uint32{7}, 0, 0},
	} {
		m := &workerv1.Beat{}
		for _, n := range row.inLine {
			m.Pools = append(m.Pools, &workerv1.PoolCapacity{Pool: "p", InLine: n})
		}
		for i := range row.listed {
			m.Running = append(m.Running, &workerv1.Attempt{Task: int64(i), Number: 1})
		}
		if got := (&beating{m: m}).row(); got.InLine != row.want || got.State != pg.WorkerAlive {
			t.Errorf("%s: got %d, want %d", row.fact, got.InLine, row.want)
		}
	}
}
