package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// ackWait is how long a delivered message may stay unacknowledged before it is delivered again.
const ackWait = 30 * time.Second

type lane struct {
	pool     int32
	priority dag.Priority
}

// message is one of WORK: an attempt that may be claimed.
type message struct {
	lane       lane
	key        attemptKey
	token      []byte
	repeatable bool
	ahead      bool      // it may be claimed before it has a slot
	bytes      int       // its size
	more       []message // attempts that come in the same message

	seq       int
	at        time.Duration // stored
	due       time.Duration // may be delivered from then on
	delivered int
}

// batch is a message of RESULTS.
type batch struct {
	worker, session int
	results         []result
	seq             int
	at, due         time.Duration
	settled         bool
}

// result is what a worker reports of an attempt.
type result struct {
	key              attemptKey
	token            []byte
	outcome          dag.Outcome
	permanent, early bool
	kind             dag.Kind
	retryAfter       time.Duration
	offer            bool // its slot waits for a task that it unlocks
	unstarted        bool // it never began
	waited           time.Duration
	after            dag.After
	value            []byte
	ran              time.Duration
}

// nats is the queue: it redelivers, and it may forget everything.
type nats struct {
	w       *world
	created int // which incarnation of the streams this is
	seq     int
	work    []*message
	results []*batch
}

func (n *nats) publish(m *message) {
	n.seq++
	c := *m
	c.seq, c.at, c.due, c.delivered = n.seq, n.w.now, n.w.now, 0
	n.work = append(n.work, &c)
	n.w.trace("publish", -1, int(m.key.task.Tree())*1000+m.key.task.Index(), int(m.key.number))
	for _, wk := range n.w.workers {
		if wk.up && wk.taker != nil {
			wk.taker.wake()
		}
	}
}

// take delivers up to most messages of a pool, urgent ones first.
func (n *nats) take(pool int32, most int) []message {
	var found []*message
	for _, m := range n.work {
		if m.lane.pool == pool && m.due <= n.w.now {
			found = append(found, m)
		}
	}
	slices.SortStableFunc(found, func(a, b *message) int { return int(a.lane.priority) - int(b.lane.priority) })
	var out []message
	for _, m := range found[:min(most, len(found))] {
		m.delivered++
		m.due = n.w.now + ackWait
		out = append(out, *m)
	}
	return out
}

func (n *nats) ack(created, seq int) {
	if created == n.created {
		n.work = slices.DeleteFunc(n.work, func(m *message) bool { return m.seq == seq })
	}
}

func (n *nats) nak(created, seq int) {
	for _, m := range n.work {
		if m.seq == seq && created == n.created {
			m.due = n.w.now
		}
	}
}

// depth is how many messages lie in a lane, and when the oldest was published; zero for none.
func (n *nats) depth(l lane) (depth int, oldest time.Time) {
	for _, m := range n.work {
		if m.lane == l {
			if oldest.IsZero() {
				oldest = epoch.Add(m.at)
			}
			depth++
		}
	}
	return depth, oldest
}

// report stores results and pushes them to a coordinator.
func (n *nats) report(b batch) {
	n.seq++
	b.seq, b.at = n.seq, n.w.now
	n.results = append(n.results, &b)
	n.push(&b, n.created)
}

// push delivers a message of results, again and again until it is acknowledged.
func (n *nats) push(b *batch, created int) {
	if b.settled || created != n.created {
		return
	}
	var up []*coordinator
	for _, c := range n.w.coordinators {
		if c.up {
			up = append(up, c)
		}
	}
	if len(up) > 0 {
		c := up[n.w.rng.IntN(len(up))]
		n.w.send(func() { c.arrive(b, created) })
	}
	b.due = n.w.now + ackWait
	n.w.after(ackWait, func() {
		if b.due <= n.w.now {
			n.push(b, created)
		}
	})
}

func (n *nats) ackResults(b *batch) {
	b.settled = true
	n.results = slices.DeleteFunc(n.results, func(o *batch) bool { return o.settled })
}

func (n *nats) nakResults(b *batch, created int) {
	n.w.after(time.Second, func() { n.push(b, created) })
}

// settledTo is the last sequence up to which all results are settled.
func (n *nats) settledTo() int {
	if len(n.results) == 0 {
		return n.seq
	}
	return n.results[0].seq - 1
}

// wipe loses everything.
func (n *nats) wipe() {
	n.created++
	n.work, n.results = nil, nil
	n.w.trace("nats lost everything", -1, 0, n.created)
}
