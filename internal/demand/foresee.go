package demand

import (
	"container/heap"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Task is a task that may end within the horizon, or that waits for such a one.
type Task struct {
	Key       dag.Key
	Pool      int32 // 0: a group, which ends as soon as it waits for nothing
	State     dag.State
	Since     time.Duration // Running: for how long it has run
	Due       time.Duration // Delayed: when it gets ready
	Remaining int           // Waiting: how many dependencies it was not told of
}

// Edge is a dependency.
type Edge struct{ Dependency, Dependent dag.Key }

// Scene is what is looked at: one moment of a cluster, as much of it as may matter.
type Scene struct {
	Horizon time.Duration
	Tasks   []Task // running ones; ready ones, in the order in which they start; delayed ones; waiting ones
	Edges   []Edge // from these to waiting ones, each once
	Slots   map[int32]int
	Running map[int32]int // attempts that take slots, those that are not in Tasks, too
	// Left is how much longer a task of a pool is expected to run that has run for so long; false: nobody can tell.
	Left func(pool int32, since time.Duration) (time.Duration, bool)
}

// Soon is by how much the running and ready tasks of each pool become more within the horizon, at the most at a time: what gets ready by then, less what
// ends before. So a chain of tasks wants one slot and not two, and what comes behind a slow task, or behind many others, is not counted yet.
//
// It plays what is expected to come: tasks end when they are expected to, those that wait for nothing else get ready, and start when their pool has
// a slot. What nobody can tell does not happen, and no slots are added: a task that has to wait for them does not end in time.
func (s *Scene) Soon() map[int32]int {
	p := &play{Scene: s, waiting: map[dag.Key]*Task{}, unlocks: map[dag.Key][]dag.Key{}, free: map[int32]int{}, queue: map[int32][]dag.Key{}, net: map[int32]int{}, peak: map[int32]int{}, touched: map[int32]bool{}}
	for pool, n := range s.Slots {
		p.free[pool] = n - s.Running[pool]
	}
	for i := range s.Tasks {
		switch t := s.Tasks[i]; t.State { // a copy
		case dag.Waiting:
			p.waiting[t.Key] = &t
		case dag.Running:
			if left, known := s.Left(t.Pool, t.Since); known {
				p.schedule(left, ends, t.Key, t.Pool)
			}
		case dag.Ready:
			p.queue[t.Pool] = append(p.queue[t.Pool], t.Key)
		case dag.Delayed:
			p.schedule(t.Due, getsReady, t.Key, t.Pool)
		}
	}
	for _, e := range s.Edges {
		if p.waiting[e.Dependent] != nil {
			p.unlocks[e.Dependency] = append(p.unlocks[e.Dependency], e.Dependent)
		}
	}
	for pool := range p.queue {
		p.start(0, pool)
	}
	for p.events.Len() > 0 {
		e := heap.Pop(&p.events).(event)
		p.happen(e)
		if p.events.Len() == 0 || p.events.all[0].at > e.at { // the moment is over
			for pool := range p.touched {
				if p.net[pool] > p.peak[pool] {
					p.peak[pool] = p.net[pool]
				}
			}
			clear(p.touched)
		}
	}
	return p.peak
}

// play is a scene as it goes on.
type play struct {
	*Scene
	waiting map[dag.Key]*Task
	unlocks map[dag.Key][]dag.Key
	free    map[int32]int       // slots
	queue   map[int32][]dag.Key // ready tasks
	net     map[int32]int       // by how many the running and ready tasks have become more
	peak    map[int32]int       // the most that it was; no entry: never above 0
	touched map[int32]bool      // pools, in this moment
	events  events
}

type eventKind uint8

const (
	ends eventKind = iota
	getsReady
)

type event struct {
	at    time.Duration
	order int // of those of one moment
	kind  eventKind
	key   dag.Key
	pool  int32
}

func (p *play) schedule(at time.Duration, kind eventKind, k dag.Key, pool int32) {
	if at <= p.Horizon {
		p.events.scheduled++
		heap.Push(&p.events, event{max(0, at), p.events.scheduled, kind, k, pool})
	}
}

// happen plays one event and all that it brings about at once.
func (p *play) happen(e event) {
	if e.kind == getsReady {
		p.ready(e.key, e.pool)
	} else {
		p.net[e.pool]--
		p.free[e.pool]++
		for told := []dag.Key{e.key}; len(told) > 0; told = told[1:] {
			for _, k := range p.unlocks[told[0]] {
				t := p.waiting[k]
				if t.Remaining--; t.Remaining != 0 {
					continue
				}
				if t.Pool == 0 {
					told = append(told, k)
					continue
				}
				p.ready(k, t.Pool)
			}
		}
		p.touched[e.pool] = true
	}
	for pool := range p.touched {
		p.start(e.at, pool)
	}
}

func (p *play) ready(k dag.Key, pool int32) {
	p.net[pool]++
	p.touched[pool] = true
	p.queue[pool] = append(p.queue[pool], k)
}

// start gives free slots to ready tasks.
func (p *play) start(at time.Duration, pool int32) {
	for p.free[pool] > 0 && len(p.queue[pool]) > 0 {
		k := p.queue[pool][0]
		p.queue[pool] = p.queue[pool][1:]
		p.free[pool]--
		if lasts, known := p.Left(pool, 0); known {
			p.schedule(at+lasts, ends, k, pool)
		}
	}
}

// events are what is to come, the next first.
type events struct {
	all       []event
	scheduled int
}

// Len implements [heap.Interface].
func (e *events) Len() int { return len(e.all) }

// Less implements [heap.Interface].
func (e *events) Less(i, j int) bool {
	a, b := e.all[i], e.all[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// Swap implements [heap.Interface].
func (e *events) Swap(i, j int) { e.all[i], e.all[j] = e.all[j], e.all[i] }

// Push implements [heap.Interface].
func (e *events) Push(x any) { e.all = append(e.all, x.(event)) }

// Pop implements [heap.Interface].
func (e *events) Pop() any {
	last := e.all[len(e.all)-1]
	e.all = e.all[:len(e.all)-1]
	return last
}
