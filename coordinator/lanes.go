package coordinator

import (
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// lanes keeps, for each pool and priority, how much of it lies in NATS, by this process's count, and whether more may
// wait in Postgres. The count is soft: other coordinators publish and claim too, so it is set right from NATS whenever
// it says that there is no room (design §4: shallow NATS, deep Postgres).
type lanes struct {
	floor int

	mu       sync.Mutex
	capacity map[int32]capacity
	lane     map[dag.Lane]*lane
	wake     chan struct{} // capacity 1: a lane may have room and a backlog
}

type lane struct {
	out     int     // published and not known to be claimed
	backlog bool    // ready tasks may wait in Postgres
	each    float64 // attempts in a message, at most: a moving average over publications of several tasks
	pace    pace
}

// pace is how many tasks leave a lane in a second, a moving average.
type pace struct {
	rate  float64
	n     int
	since time.Time // n is counted since then
}

const (
	paceEvery = 50 * time.Millisecond  // how long tasks are counted for the rate
	stock     = 150 * time.Millisecond // a lane holds what leaves it in that time
	maxStock  = 8192
)

// left counts tasks that left the lane. What was slow for long begins anew.
func (p *pace) left(now time.Time, n int) {
	p.n += n
	switch took := now.Sub(p.since); {
	case took > 10*paceEvery:
		p.rate, p.n, p.since = 0, 0, now
	case took >= paceEvery:
		p.rate += (float64(p.n)/took.Seconds() - p.rate) / 2
		p.n, p.since = 0, now
	}
}

func newLanes(floor int) *lanes {
	return &lanes{floor: floor, capacity: map[int32]capacity{}, lane: map[dag.Lane]*lane{}, wake: make(chan struct{}, 1)}
}

func (l *lanes) of(id dag.Lane) *lane {
	ln := l.lane[id]
	if ln == nil {
		ln = &lane{}
		l.lane[id] = ln
	}
	return ln
}

// window is how many tasks of a lane may lie in NATS.
func (l *lanes) window(id dag.Lane, ln *lane) int {
	return max(l.floor, 2*l.capacity[id.Pool].slots, min(maxStock, int(ln.pace.rate*stock.Seconds())))
}

// maxDirect is the most tasks that one transaction publishes beside its own work; more go through the dispatcher.
const maxDirect = 256

// room reserves room for n tasks, if there is, and no backlog is known; for none it only tells whether there is. It is a [pg.Room].
func (l *lanes) room(pool int32, priority dag.Priority, n int32) bool {
	if n > maxDirect {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := dag.Lane{Pool: pool, Priority: priority}
	ln := l.of(id)
	if ln.backlog || ln.out+int(n) > l.window(id, ln) {
		return false
	}
	ln.out += int(n)
	return true
}

// taken notes tasks that left their lanes, and that lanes have a backlog.
func (l *lanes) settle(taken map[dag.Lane]int, waiting []pg.Stretch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ready, now := false, time.Now()
	for id, n := range taken {
		ln := l.of(id)
		ln.pace.left(now, n)
		ln.out = max(0, ln.out-n)
		ready = ready || ln.backlog && l.worthwhile(id, ln)
	}
	for _, r := range waiting {
		ln := l.of(dag.Lane{Pool: r.Pool, Priority: r.Priority})
		if r.Direct { // was reserved, and then was not placed
			ln.out = max(0, ln.out-int(r.N))
		}
		ln.backlog, ready = true, true
	}
	if ready {
		wake(l.wake)
	}
}

// worthwhile keeps dispatches from becoming many small ones: a quarter of the window must be free.
func (l *lanes) worthwhile(id dag.Lane, ln *lane) bool {
	w := l.window(id, ln)
	return w-ln.out >= (w+3)/4
}

// found sets the backlog, as Postgres knows it.
func (l *lanes) found(backlog []dag.Lane) {
	if len(backlog) == 0 {
		return
	}
	l.mu.Lock()
	for _, id := range backlog {
		l.of(id).backlog = true
	}
	l.mu.Unlock()
	wake(l.wake)
}

// open lists lanes with a backlog and what room they have, urgent ones first.
func (l *lanes) open() (out []openLane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := dag.Urgent; p < dag.Priorities; p++ {
		for id, ln := range l.lane {
			if id.Priority == p && ln.backlog {
				room := 0
				if l.worthwhile(id, ln) {
					room = l.window(id, ln) - ln.out
				}
				out = append(out, openLane{id, room})
			}
		}
	}
	return out
}

type openLane struct {
	id   dag.Lane
	room int
}

// published notes a dispatch of n tasks; drained: nothing more waited.
func (l *lanes) published(id dag.Lane, n int, drained bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.of(id)
	ln.out += n
	if drained {
		ln.backlog = false
	}
}

// correct sets a lane's count to what NATS holds, at most, in so many messages.
func (l *lanes) correct(id dag.Lane, messages int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.of(id)
	ln.out = int(float64(messages) * max(1, ln.each))
}

// capacity is what the live workers of a pool can do.
type capacity struct {
	slots, workers int
	bundles        bool // all of them take messages of several attempts
}

// bundleTime is how long the attempts of one message may take to start on one worker.
const bundleTime = 10 * time.Millisecond

// bundle is how many attempts one message of the lane may hold when n of the lane are published together: so few that each worker gets some, and
// starts them soon.
func (l *lanes) bundle(id dag.Lane, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ln := l.capacity[id.Pool], l.of(id)
	most := 1
	if c.bundles && c.workers > 0 && time.Since(ln.pace.since) < 10*paceEvery {
		most = max(1, min(int(ln.pace.rate*bundleTime.Seconds()/float64(c.workers)), n/(2*c.workers), mostBundled))
	}
	if n > 1 {
		ln.each += (float64(most) - ln.each) / 8
	}
	return most
}

// capacities are what the live workers of all pools can do. The map must not be changed.
func (l *lanes) capacities() map[int32]capacity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.capacity
}

// setCapacity sets the capacity of all pools.
func (l *lanes) setCapacity(capacity map[int32]capacity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.capacity = capacity
}
