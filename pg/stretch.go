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
			if last.Pool == r.Pool && last.Priority == r.Priority && last.Attempt == r.Attempt && last.Again == r.Again() && last.First+dag.Key(last.N) == r.Key &&
				last.N < maxStretch && last.First.Tree() == r.Key.Tree() {
				last.N++
				continue
			}
		}
		out = append(out, Stretch{Pool: r.Pool, Priority: r.Priority, First: r.Key, N: 1, Attempt: r.Attempt, Again: r.Again()})
	}
	if room == nil {
		room = noRoom
	}
	for i := range out {
		out[i].Direct = room(out[i].Pool, out[i].Priority, out[i].N)
	}
	return out
}

// directOf are the stretches that the caller has room for.
func directOf(stretches []Stretch) []Stretch {
	return slices.DeleteFunc(slices.Clone(stretches), func(r Stretch) bool { return !r.Direct })
}

func queueStretches(b *pgx.Batch, stretches []Stretch, placed map[dag.Key]bool) {
	n := len(stretches)
	pools, prios, first := make([]int32, n), make([]int16, n), make([]int64, n)
	ns, attempts, direct, again := make([]int32, n), make([]int32, n), make([]bool, n), make([]bool, n)
	for i, r := range stretches {
		pools[i], prios[i], first[i], ns[i], attempts[i], direct[i], again[i] = r.Pool, int16(r.Priority), int64(r.First), r.N, r.Attempt, r.Direct, r.Again
	}
	b.Queue(sql("PlaceStretches"), pools, prios, first, ns, attempts, direct, again).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { placed[v.key()] = true })
	})
}
