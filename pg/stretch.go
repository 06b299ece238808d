package pg

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Stretch is a stretch of adjacent ready tasks of one tree.
type Stretch struct {
	Pool     int32
	Priority dag.Priority
	First    dag.Key
	N        int32
	Attempt  int32
	Direct   bool // the caller has room to publish it at once
	Again    bool // it had its turn, and was interrupted: it goes ahead of what waits
	Limited  bool // its tasks wait for what they ask for, each in its lines, and not in the queue of the pool

	Share dag.ShareKey // of what waits: whose it is, if that is known
}

// among are the stretch's tasks among those that are to be published.
func (s Stretch) among(work map[dag.Key]*Work) []*Work {
	out := make([]*Work, 0, s.N)
	for k := s.First; k < s.First+dag.Key(s.N); k++ {
		if w := work[k]; w != nil {
			out = append(out, w)
		}
	}
	return out
}

// maxStretch is the most tasks in one stretch, so that several coordinators can share a long stretch.
const maxStretch = 4096

// Stretches joins ready tasks of adjacent keys, the same pool, priority and attempt; rows come by key.
func Stretches(rows []*dag.Row, room Room) []Stretch {
	var out []Stretch
	for _, r := range rows {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.continues(r.Key, r.Pool, r.Priority, r.Attempt) && last.Again == r.Again() && last.Limited == limited(r) {
				last.N++
				continue
			}
		}
		out = append(out, Stretch{Pool: r.Pool, Priority: r.Priority, First: r.Key, N: 1, Attempt: r.Attempt, Again: r.Again(), Limited: limited(r)})
	}
	if room == nil {
		room = noRoom
	}
	for i := range out {
		out[i].Direct = !out[i].Limited && room(out[i].Pool, out[i].Priority, out[i].N)
	}
	return out
}

// continues reports whether the stretch may go on with a task.
func (s *Stretch) continues(k dag.Key, pool int32, priority dag.Priority, attempt int32) bool {
	return s.First+dag.Key(s.N) == k && s.N < maxStretch && s.First.Tree() == k.Tree() && s.Pool == pool && s.Priority == priority && s.Attempt == attempt
}

// limited reports whether the task waits for what it asks for once it is ready.
func limited(r *dag.Row) bool { return r.Flags&dag.FlagLimited != 0 }

// directOf are the stretches that the caller has room for.
func directOf(stretches []Stretch) []Stretch {
	return slices.DeleteFunc(slices.Clone(stretches), func(r Stretch) bool { return !r.Direct })
}

// placement is where the stretches of a transaction went.
type placement struct {
	published map[dag.Key]bool         // by their first tasks; the others wait
	waits     map[dag.Key]dag.ShareKey // likewise: whose they are
	asked     []dag.LimitKey           // that limited ones wait for
}

// queueStretches places ready tasks: in the queue of their pool, or in the lines of what they ask for.
func queueStretches(b *pgx.Batch, stretches []Stretch, placed *placement) {
	if i := slices.IndexFunc(stretches, func(r Stretch) bool { return r.Limited }); i >= 0 {
		var plain, limited []Stretch
		for _, r := range stretches {
			if r.Limited {
				limited = append(limited, r)
			} else {
				plain = append(plain, r)
			}
		}
		queueWaiters(b, limited, placed)
		if stretches = plain; len(plain) == 0 {
			return
		}
	}
	n := len(stretches)
	pools, prios, first := make([]int32, n), make([]int16, n), make([]int64, n)
	ns, attempts, direct, again := make([]int32, n), make([]int32, n), make([]bool, n), make([]bool, n)
	for i, r := range stretches {
		pools[i], prios[i], first[i], ns[i], attempts[i], direct[i], again[i] = r.Pool, int16(r.Priority), int64(r.First), r.N, r.Attempt, r.Direct, r.Again
	}
	b.Queue(sql("PlaceStretches"), pools, prios, first, ns, attempts, direct, again).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { placed.put(v.key(), v.boolean(), dag.ShareKey(v.integer())) })
	})
}

func (p *placement) put(first dag.Key, published bool, share dag.ShareKey) {
	if p.published == nil {
		p.published, p.waits = map[dag.Key]bool{}, map[dag.Key]dag.ShareKey{}
	}
	if published {
		p.published[first] = true
	} else {
		p.waits[first] = share
	}
}
