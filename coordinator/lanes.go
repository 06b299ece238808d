package coordinator

import (
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// lanes keeps, for each pool and priority, how much of it lies in NATS, by this process's count, and whether more may
// wait in Postgres. The count is soft: other coordinators publish and claim too, so it is set right from NATS whenever
// it says that there is no room (design §4: shallow NATS, deep Postgres). What lies in NATS has its place in the line; so it is no more than begins
// soon, and who comes later does not stand behind the whole backlog of somebody else (control 7).
type lanes struct {
	floor int // of a pool without workers

	mu       sync.Mutex
	capacity map[int32]capacity
	running  map[int32]int // attempts that run in each pool, as softly counted
	lane     map[dag.Lane]*lane
	unsure   bool          // more may wait in lanes of which this is not known
	wake     chan struct{} // capacity 1: a lane may have room and a backlog
}

type lane struct {
	out     int          // published and not known to be claimed
	backlog bool         // ready tasks may wait in Postgres
	several bool         // as far as is known, those of several shares
	only    dag.ShareKey // whose they are, if those of one wait only; 0: that is not known
	newer   bool         // those of another share have come since
	used    time.Time    // when something was published or left last, as far as is known
	shared  time.Time    // when those of several shares waited last
	spare   int          // tasks that may be published though no slot is free by our count: workers ask for them
	guess   int          // the last that spare was set to
	asked   time.Time    // since when workers ask, whenever we look; zero: they don't
	unasked time.Time    // since when none asks, though nothing lies there; zero: it is not so
	each    float64      // attempts in a message, at most: a moving average over publications of several tasks
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
	fairStock = 50 * time.Millisecond  // the same where several share it; what short tasks use in that time counts as slots
	aFew      = 64                     // so many may leave in the longer time where several share it
	fairFor   = 30 * time.Second       // so long after tasks of several shares waited in a lane it is taken for one that several share
	maxStock  = 8192
)

// left counts tasks that left the lane. What was slow for long begins anew; what gets quicker does so at once.
func (p *pace) left(now time.Time, n int) {
	p.n += n
	switch took := now.Sub(p.since); {
	case took > 10*paceEvery:
		p.rate, p.n, p.since = 0, 0, now
	case took >= paceEvery:
		rate := float64(p.n) / took.Seconds()
		p.rate = max(rate, p.rate+(rate-p.rate)/2)
		p.n, p.since = 0, now
	}
}

// soon is how many tasks leave within that time, as far as is known.
func (p *pace) soon(now time.Time, stock time.Duration) int {
	rate := p.rate
	if since := now.Sub(p.since); since > 2*paceEvery {
		rate = min(rate, float64(p.n)/since.Seconds())
	}
	return min(maxStock, int(rate*stock.Seconds()))
}

func newLanes(floor int) *lanes {
	return &lanes{floor: floor, capacity: map[int32]capacity{}, running: map[int32]int{}, lane: map[dag.Lane]*lane{}, wake: make(chan struct{}, 1)}
}

func (l *lanes) of(id dag.Lane) *lane {
	ln := l.lane[id]
	if ln == nil {
		ln = &lane{}
		l.lane[id] = ln
	}
	return ln
}

// window is how many tasks of a lane may lie in NATS: what leaves it soon, and at least twice as many as there are slots. Where several share it, as many as
// there are free slots, or leave very soon; a few, if these leave soon, and who comes can pass them: a lane that holds less than leaves it until more can
// come is slow, and stays so. Free slots are known roughly only, so the count of them decides nowhere else.
func (l *lanes) window(id dag.Lane, ln *lane) int {
	slots, now := l.capacity[id.Pool].slots, time.Now()
	switch {
	case slots == 0:
		return l.floor
	case now.Sub(ln.shared) < fairFor:
		few := 0
		if l.overtakes(id) {
			few = min(aFew, ln.pace.soon(now, stock))
		}
		return max(l.free(id), ln.spare, ln.pace.soon(now, fairStock), few)
	}
	return max(2*slots, ln.pace.soon(now, stock))
}

// free is how many slots of the pool are free for the lane, by our count.
func (l *lanes) free(id dag.Lane) int {
	n := l.capacity[id.Pool].slots - l.running[id.Pool]
	for p := dag.Urgent; p < id.Priority; p++ {
		if ln := l.lane[dag.Lane{Pool: id.Pool, Priority: p}]; ln != nil {
			n -= ln.out
		}
	}
	return min(max(0, n), l.capacity[id.Pool].slots)
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
	if n > 0 {
		ln.used = time.Now()
	}
	return true
}

// settle notes tasks that left their lanes, what runs more or less than before, and that lanes have a backlog.
func (l *lanes) settle(taken map[dag.Lane]int, flights []pg.Flight, waiting []pg.Stretch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ready, now := l.run(flights), time.Now()
	for id, n := range taken {
		ln := l.of(id)
		ln.used = now
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

// run counts attempts that began and ended. It reports whether a lane got room for what waits.
func (l *lanes) run(flights []pg.Flight) (room bool) {
	for _, f := range flights {
		l.running[f.Pool] += f.Running // an end may be counted before its claim
	}
	last := int32(0)
	for _, f := range flights {
		if f.Running >= 0 || f.Pool == last || room {
			continue
		}
		last = f.Pool
		for p := dag.Urgent; p < dag.Priorities && !room; p++ {
			id := dag.Lane{Pool: f.Pool, Priority: p}
			ln := l.lane[id]
			room = ln != nil && ln.backlog && l.worthwhile(id, ln)
		}
	}
	return room
}

// worthwhile keeps dispatches from becoming many small ones: a quarter of the window must be free.
func (l *lanes) worthwhile(id dag.Lane, ln *lane) bool {
	w := l.window(id, ln)
	return w-ln.out >= max(1, (w+3)/4)
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
				out = append(out, openLane{id, room, ln.several, ln.newer})
				ln.newer = false
			}
		}
	}
	return out
}

type openLane struct {
	id      dag.Lane
	room    int
	several bool // shares wait
	came    bool // those of another share came since they were looked at
}

// published notes a dispatch of n tasks; drained: nothing more waited.
func (l *lanes) published(id dag.Lane, n int, drained bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.of(id)
	ln.out += n
	if n > 0 {
		ln.used = time.Now()
	}
	ln.spare = max(0, ln.spare-n)
	if drained {
		ln.backlog = false
	}
}

// sharedBy notes whether tasks of several shares wait in the lane; if not, whose they are.
func (l *lanes) sharedBy(id dag.Lane, several bool, only dag.ShareKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.of(id)
	ln.only = only
	if ln.several = several; several {
		ln.shared = time.Now()
	}
}

// shared reports whether several shares have waited in the lane lately.
func (l *lanes) shared(id dag.Lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.of(id).shared) < fairFor
}

// came notes that tasks of a share have begun to wait in a lane. If others waited before, the dispatcher looks at once whether these may pass.
func (l *lanes) came(id dag.Lane, share dag.ShareKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.lane[id]; share > 0 && ln != nil && ln.backlog && ln.only != share && !ln.newer && l.overtakes(id) {
		ln.newer = true
		wake(l.wake)
	}
}

// express is how many slots there are to pass others on the way to: what takes short tasks counts as more. 0: nothing may pass.
//
// What passes goes by the way of the next higher priority in NATS: workers take that first, also those of older versions, and there are no more ways that
// an idle worker must ask.
func (l *lanes) express(id dag.Lane) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := l.capacity[id.Pool].slots
	if slots == 0 || !l.overtakes(id) {
		return 0
	}
	return max(slots, l.of(id).pace.soon(time.Now(), fairStock))
}

// quiet is how long a lane must have been without use so that less urgent tasks may go that way; quieter, if by our count, which is soft, some lie there.
const (
	quiet   = time.Second
	quieter = time.Minute
)

// overtakes reports whether tasks of a lane may go by the way of the next higher priority: no task of that priority is on it, as far as is known.
func (l *lanes) overtakes(id dag.Lane) bool {
	if id.Priority == dag.Urgent {
		return false
	}
	up := l.lane[dag.Lane{Pool: id.Pool, Priority: id.Priority - 1}]
	if up == nil {
		return true
	}
	idle := time.Since(up.used)
	return !up.backlog && (up.out == 0 && idle > quiet || idle > quieter)
}

// inNATS is what NATS says of a lane.
type inNATS struct {
	messages int
	oldest   time.Time // when it was published
	shared   bool      // several share the lane
	asked    bool      // a worker waits for messages; not known unless several share the lane
}

const (
	askedLong   = correctEvery         // workers that ask so long have free slots: a result is settled sooner, as a rule
	askedLonger = 5 * dag.DeliveryTime // then our count of what runs is wrong
)

// correct sets a lane's count to what NATS holds, at most. Whether slots are free is seen there, too: other coordinators hear of claims and ends that we
// do not.
func (l *lanes) correct(id dag.Lane, is inNATS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln, slots := l.of(id), l.capacity[id.Pool].slots
	ln.out, ln.spare = int(float64(is.messages)*max(1, ln.each)), 0
	if !is.shared {
		ln.guess, ln.asked, ln.unasked = 0, time.Time{}, time.Time{}
		return
	}
	if !is.asked {
		ln.guess, ln.asked = 0, time.Time{}
		if is.messages > 0 {
			ln.unasked = time.Time{}
		} else if ln.unasked.IsZero() {
			ln.unasked = time.Now()
		}
		if is.messages == 0 && time.Since(ln.unasked) > askedLong || is.messages > 0 && time.Since(is.oldest) > dag.DeliveryTime {
			l.running[id.Pool] = max(l.running[id.Pool], slots) // nothing is on its way to a slot, so none is free
		}
		return
	}
	ln.unasked = time.Time{}
	if ln.asked.IsZero() {
		ln.asked = time.Now()
	}
	since := time.Since(ln.asked)
	if is.messages > 0 || l.free(id) > 0 || since < askedLong {
		return
	}
	ln.guess = min(slots, max(1, 2*ln.guess))
	ln.spare = ln.guess
	if since > askedLonger {
		l.running[id.Pool], ln.asked = slots-ln.guess, time.Time{}
	}
}

// capacity is what the live workers of a pool can do.
type capacity struct {
	slots, workers int
	held           int  // attempts in their hands when they last said so, of other pools, too
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

// bundleGranted is bundle for attempts that hold what they were granted, of which unclaimed are on their way: none is to wait for a slot while another worker has
// one. So half of the pool's slots have to be free beside these, as far as the workers have told, and a message holds what a small part of a worker's slots takes.
func (l *lanes) bundleGranted(id dag.Lane, n, unclaimed int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ln, most := l.capacity[id.Pool], l.of(id), 1
	if c.bundles && c.workers > 0 && 2*(c.held+max(n, unclaimed)) <= c.slots {
		most = max(1, min(c.slots/(8*c.workers), n/(2*c.workers), mostBundled))
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
	more := false
	for id, c := range capacity {
		more = more || c.slots > l.capacity[id].slots
	}
	for id := range l.running {
		if capacity[id].slots == 0 {
			delete(l.running, id)
		}
	}
	l.capacity = capacity
	if more {
		wake(l.wake)
	}
}
