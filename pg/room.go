package pg

import "github.com/taskgrove/taskgrove/dag"

// Room tells whether the queue has room for n more tasks of a pool and priority, so that they may be published at once, and
// reserves it; with n = 0, whether there is any, as far as is known. It is called once for each stretch, in order.
type Room func(pool int32, priority dag.Priority, n int32) bool

func noRoom(int32, dag.Priority, int32) bool { return false }

// grants ask for room on behalf of a transaction that may be tried again: what was granted to a try that failed is there for
// the next one.
type grants struct {
	room  Room
	given map[dag.Lane]int32 // to this try
	left  map[dag.Lane]int32 // of what was given to those before
}

func newGrants(room Room) *grants {
	if room == nil {
		room = noRoom
	}
	return &grants{room: room, given: map[dag.Lane]int32{}, left: map[dag.Lane]int32{}}
}

// ask is a [Room].
func (g *grants) ask(pool int32, priority dag.Priority, n int32) bool {
	l := dag.Lane{Pool: pool, Priority: priority}
	switch {
	case n == 0:
		return g.room(pool, priority, 0)
	case g.left[l] >= n:
		g.left[l] -= n
	case !g.room(pool, priority, n):
		return false
	}
	g.given[l] += n
	return true
}

// vacant reports whether there is room in a lane, as far as is known: then nothing waits in Postgres for it.
func (g *grants) vacant(l dag.Lane) bool { return g.ask(l.Pool, l.Priority, 0) }

// again begins the next try.
func (g *grants) again() {
	for l, n := range g.given {
		g.left[l] += n
	}
	clear(g.given)
}
