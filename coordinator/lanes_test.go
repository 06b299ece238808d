package coordinator

import (
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// quick are lanes of one pool whose tasks leave at that rate.
func quick(rate float64, of capacity) (*lanes, dag.Lane) {
	l, id := newLanes(256), dag.Lane{Pool: 1, Priority: dag.Normal}
	l.setCapacity(map[int32]capacity{1: of})
	l.of(id).pace = pace{rate: rate, since: time.Now()}
	return l, id
}

func TestBundlesStartSoonAndAreForAllWorkers(t *testing.T) {
	one := capacity{slots: 16, workers: 1, bundles: true}
	for name, tt := range map[string]struct {
		rate float64
		of   capacity
		n    int
		want int
	}{
		"what one worker starts in 10 ms":   {2000, one, 1000, 20},
		"no more than one message holds":    {1e6, one, 1000, mostBundled},
		"half of what there is":             {1e6, one, 10, 5},
		"one at a time where few leave":     {50, one, 1000, 1},
		"each worker gets some":             {1e6, capacity{slots: 64, workers: 4, bundles: true}, 40, 5},
		"four workers start a quarter each": {2000, capacity{slots: 64, workers: 4, bundles: true}, 1000, 5},
		"a worker that takes none of them":  {1e6, capacity{slots: 16, workers: 1}, 1000, 1},
		"no worker":                         {1e6, capacity{}, 1000, 1},
		"a hop has a message of its own":    {1e6, one, 1, 1},
	} {
		l, id := quick(tt.rate, tt.of)
		if got := l.bundle(id, tt.n); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
	l, id := quick(1e6, one)
	l.of(id).pace.since = time.Now().Add(-time.Minute)
	if got := l.bundle(id, 1000); got != 1 {
		t.Errorf("a lane that was idle: got %d, want 1", got)
	}
}

// TestMessagesAreCountedByWhatTheyHold: what NATS holds is told in messages.
func TestMessagesAreCountedByWhatTheyHold(t *testing.T) {
	l, id := quick(1e6, capacity{slots: 16, workers: 1, bundles: true})
	l.correct(id, 20)
	if got := l.of(id).out; got != 20 {
		t.Errorf("messages of one attempt: got %d, want 20", got)
	}
	for range 100 {
		l.bundle(id, 1000)
	}
	l.bundle(id, 1) // a hop says nothing about the others
	l.correct(id, 20)
	if got, most := l.of(id).out, 20*mostBundled; got < most*9/10 || got > most {
		t.Errorf("messages of %d: got %d, want about %d", mostBundled, got, most)
	}
}

func TestWhatSharesAMessage(t *testing.T) {
	work := func(pool int32, size int, attempt int32) *pg.Work {
		return &pg.Work{Pool: pool, Priority: dag.Normal, Attempt: attempt, Run: 1, Inputs: make([]byte, size)}
	}
	half := bundledBytes / 2
	lane := []*pg.Work{work(1, 10, 1), work(1, 10, 1), work(1, half, 1), work(1, half, 1), work(1, 10, 2), work(1, 10, 1), work(1, 2*bundledBytes, 1), work(1, 10, 1)}
	var got []int
	for rest := lane; len(rest) > 0; {
		n := fits(rest, 3)
		got, rest = append(got, n), rest[n:]
	}
	if want := []int{3, 1, 1, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("messages of %v, want %v", got, want)
	}
	for n, mixed := range map[int][]*pg.Work{
		3: lane[:3], 1: {work(1, 0, 1), work(2, 0, 1), work(1, 0, 1)}, 2: {work(2, 0, 1), work(2, 0, 1), {Pool: 2, Priority: dag.Urgent}},
	} {
		if got := adjacent(mixed); got != n {
			t.Errorf("%d adjacent ones, want %d", got, n)
		}
	}
}
