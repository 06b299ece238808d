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
	l.correct(id, inNATS{messages: 20, asked: true})
	if got := l.of(id).out; got != 20 {
		t.Errorf("messages of one attempt: got %d, want 20", got)
	}
	for range 100 {
		l.bundle(id, 1000)
	}
	l.bundle(id, 1) // a hop says nothing about the others
	l.correct(id, inNATS{messages: 20, asked: true})
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

// TestNATSHoldsWhatStartsSoon: twice as many tasks as there are slots, or what leaves soon, whichever is more; where several users share the lane, as many as
// there are free slots, or leave very soon; of a pool without workers a few.
func TestNATSHoldsWhatStartsSoon(t *testing.T) {
	for name, tt := range map[string]struct {
		slots, running int
		rate           float64
		shared         bool
		want           int
	}{
		"a pool without workers":                    {0, 0, 0, false, 256},
		"twice the slots":                           {16, 0, 0, false, 32},
		"whatever runs, as that is known softly":    {16, 40, 2, false, 32},
		"short tasks: what leaves in 150 ms":        {16, 40, 2000, false, 300},
		"no more than there is any sense in":        {16, 40, 1e9, false, maxStock},
		"shared, idle":                              {16, 0, 0, true, 16},
		"shared, with long tasks: the free slots":   {16, 13, 2, true, 3},
		"shared, none is free":                      {16, 16, 2, true, 0},
		"shared, more is claimed than runs":         {16, 40, 0, true, 0},
		"shared, short tasks: what leaves in 50 ms": {16, 40, 2000, true, 100},
		"shared, a slow lane gets quicker":          {16, 40, 300, true, 45},
		"shared, but only while it is slow":         {16, 40, 800, true, aFew},
		"shared: the free slots, if these are more": {400, 40, 2000, true, 360},
		"shared, many slots, a few that linger":     {4000, 3990, 1, true, 10},
	} {
		l, id := quick(tt.rate, capacity{slots: tt.slots, workers: 1})
		l.running[id.Pool] = tt.running
		if tt.shared {
			shared(l, id)
		}
		if got := l.window(id, l.of(id)); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
	l, id := quick(0, capacity{slots: 16, workers: 1})
	shared(l, id)
	l.published(dag.Lane{Pool: id.Pool, Priority: dag.Urgent}, 10, true)
	if got := l.window(id, l.of(id)); got != 6 {
		t.Errorf("beside 10 more urgent ones: got %d, want the 6 slots that are left", got)
	}
	l, id = quick(800, capacity{slots: 16, workers: 1})
	shared(l, id)
	l.running[id.Pool] = 16
	l.found([]dag.Lane{{Pool: id.Pool, Priority: dag.High}})
	if got := l.window(id, l.of(id)); got != 40 {
		t.Errorf("more urgent ones wait, so nothing may pass: got %d, want what leaves in 50 ms", got)
	}
	l, id = quick(20_000, capacity{slots: 16, workers: 1})
	shared(l, id)
	l.running[id.Pool] = 16
	l.of(id).pace.since = time.Now().Add(-time.Second)
	if got := l.window(id, l.of(id)); got != 0 {
		t.Errorf("short tasks came before long ones: got %d, want none", got)
	}
}

// shared has tasks of several users wait in the lane, and get their places: the next of them may come.
func shared(l *lanes, id dag.Lane) {
	l.sharedBy(id, true, 0)
	l.sharedBy(id, false, 1)
}

// TestEndsMakeRoom: an attempt that ends frees its slot for what waits, and wakes the dispatcher.
func TestEndsMakeRoom(t *testing.T) {
	l, id := quick(0, capacity{slots: 2, workers: 1})
	shared(l, id)
	l.settle(map[dag.Lane]int{id: 2}, []pg.Flight{{Pool: id.Pool, Running: 2}}, []pg.Stretch{{Pool: id.Pool, Priority: id.Priority, N: 9}})
	<-l.wake // something waits
	if open := l.open(); len(open) != 1 || open[0].room != 0 {
		t.Fatalf("both slots are taken: %+v", open)
	}
	l.settle(nil, []pg.Flight{{Pool: id.Pool, Running: -1}, {Pool: id.Pool, Tree: 7, Running: 0}}, nil)
	select {
	case <-l.wake:
	default:
		t.Error("nobody was woken")
	}
	if open := l.open(); len(open) != 1 || open[0].room != 1 {
		t.Errorf("one has ended: %+v", open)
	}
}

// TestAnEndMayBeHeardOfFirst: what is counted is the same in the end.
func TestAnEndMayBeHeardOfFirst(t *testing.T) {
	l, id := quick(0, capacity{slots: 2, workers: 1})
	for range 10 {
		l.settle(nil, []pg.Flight{{Pool: id.Pool, Running: -1}}, nil)
		l.settle(nil, []pg.Flight{{Pool: id.Pool, Running: 1}}, nil)
	}
	if got := l.free(id); got != 2 {
		t.Errorf("%d are free, want both", got)
	}
}

// TestWorkersThatAskHaveSlots: our count of what runs is wrong, as others claim and settle, too.
func TestWorkersThatAskHaveSlots(t *testing.T) {
	l, id := quick(0, capacity{slots: 16, workers: 1})
	shared(l, id)
	ln, room := l.of(id), func() int { return l.window(id, l.of(id)) - l.of(id).out }
	l.running[id.Pool] = 16
	l.correct(id, inNATS{shared: true, asked: true})
	if got := room(); got != 0 {
		t.Errorf("a result may be on its way: room for %d", got)
	}
	for _, want := range []int{1, 2, 4, 8, 16, 16} {
		ln.asked = time.Now().Add(-2 * askedLong)
		l.correct(id, inNATS{shared: true, asked: true})
		if got := room(); got != want {
			t.Errorf("they ask for long: room for %d, want %d", got, want)
		}
		l.published(id, want, false)
		if got := room(); got > 0 {
			t.Errorf("that was published: room for %d", got)
		}
	}
	if l.running[id.Pool] != 16 {
		t.Errorf("%d run by our count, as one result may be late", l.running[id.Pool])
	}
	ln.asked = time.Now().Add(-2 * askedLonger)
	l.correct(id, inNATS{shared: true, asked: true})
	if got := l.free(id); got != 16 {
		t.Errorf("they ask for very long: %d are free", got)
	}
	l.correct(id, inNATS{shared: true, messages: 3, oldest: time.Now(), asked: false})
	if got := l.free(id); got != 16 {
		t.Errorf("messages are on their way: %d are free", got)
	}
	l.correct(id, inNATS{shared: true, messages: 3, oldest: time.Now().Add(-time.Second), asked: false})
	if got := l.free(id); got != 0 {
		t.Errorf("nobody asks for what lies there: %d are free", got)
	}
}

// TestNewcomersMayPass: those of a share that come to what others fill have the dispatcher look at once, unless more urgent tasks are on the way that they would take.
func TestNewcomersMayPass(t *testing.T) {
	high := dag.Lane{Pool: 1, Priority: dag.High}
	for name, tt := range map[string]struct {
		share  dag.ShareKey
		before func(l *lanes, id dag.Lane)
		want   int // slots that it may pass on the way to
	}{
		"of another share":                      {2, func(*lanes, dag.Lane) {}, 16},
		"of the same":                           {1, func(*lanes, dag.Lane) {}, 0},
		"of one that is not known":              {0, func(*lanes, dag.Lane) {}, 0},
		"nothing waits":                         {2, func(l *lanes, id dag.Lane) { l.published(id, 0, true) }, 0},
		"more urgent ones wait":                 {2, func(l *lanes, _ dag.Lane) { l.found([]dag.Lane{high}) }, 0},
		"more urgent ones are on the way":       {2, func(l *lanes, _ dag.Lane) { l.published(high, 1, true) }, 0},
		"more urgent ones were":                 {2, func(l *lanes, _ dag.Lane) { l.of(high).used = time.Now().Add(-2 * quiet) }, 16},
		"more urgent ones, that nobody took":    {2, func(l *lanes, _ dag.Lane) { l.of(high).out, l.of(high).used = 1, time.Now().Add(-2*quiet) }, 0},
		"of which we hear nothing, for long":    {2, func(l *lanes, _ dag.Lane) { l.of(high).out, l.of(high).used = 1, time.Now().Add(-2*quieter) }, 16},
		"less urgent ones are of no importance": {2, func(l *lanes, _ dag.Lane) { l.published(dag.Lane{Pool: 1, Priority: dag.Low}, 1, false) }, 16},
		"no workers":                            {2, func(l *lanes, _ dag.Lane) { l.setCapacity(nil) }, 0},
		"short tasks":                           {2, func(l *lanes, id dag.Lane) { l.of(id).pace = pace{rate: 2000, since: time.Now()} }, 100},
	} {
		l, id := quick(0, capacity{slots: 16, workers: 1})
		l.settle(nil, nil, []pg.Stretch{{Pool: id.Pool, Priority: id.Priority, N: 100}})
		l.published(id, 32, false)
		l.sharedBy(id, false, 1)
		tt.before(l, id)
		l.came(id, tt.share)
		got := 0
		for _, o := range l.open() {
			if o.id == id && o.came {
				got = l.express(id)
			}
		}
		if got != tt.want {
			t.Errorf("%s: may pass on the way to %d slots, want %d", name, got, tt.want)
		}
		if slices.ContainsFunc(l.open(), func(o openLane) bool { return o.came }) {
			t.Errorf("%s: was looked at, and is told again", name)
		}
	}
	if l, _ := quick(0, capacity{slots: 16, workers: 1}); l.express(dag.Lane{Pool: 1, Priority: dag.Urgent}) != 0 {
		t.Error("there is no way before that of urgent tasks")
	}
}

// TestNobodyIsOwedWhatOneHadAlone: who had the only slot, and comes again once another had it alone, is the next.
func TestNobodyIsOwedWhatOneHadAlone(t *testing.T) {
	c := newContention()
	c.count(1, nil)
	both := func() []dag.Claimant {
		return []dag.Claimant{{Share: 1, Weight: 1, Waits: 9}, {Share: 2, Weight: 1, Waits: 1}}
	}
	for range 3 {
		c.alone(1, 1)
		if n, _ := c.divide(1, 1, 1, both()); !slices.Equal(n, []int{0, 1}) {
			t.Errorf("after one that the first had alone: got %v, want a task of the second", n)
		}
	}
	if n, _ := c.divide(1, 1, 1, both()); !slices.Equal(n, []int{1, 0}) {
		t.Errorf("both wait all the time: got %v, want a task of the first", n)
	}
}

// TestWhatPassesHasAMessageOfItsOwn: else what is beside it would go its way.
func TestWhatPassesHasAMessageOfItsOwn(t *testing.T) {
	work := func(express bool) *pg.Work { return &pg.Work{Pool: 1, Priority: dag.Normal, Express: express} }
	if got := adjacent([]*pg.Work{work(true), work(true), work(false)}); got != 2 {
		t.Errorf("%d share messages, want 2", got)
	}
	if got := adjacent([]*pg.Work{work(false), work(true)}); got != 1 {
		t.Errorf("%d share messages, want 1", got)
	}
}
