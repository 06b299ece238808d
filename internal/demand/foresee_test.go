package demand_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/demand"
)

const (
	group = int32(iota)
	slow  // pool whose tasks last 20 s
	fast  // 1 s
	odd   // nobody knows how long
)

func lasts(pool int32, since time.Duration) (time.Duration, bool) {
	switch pool {
	case slow:
		return max(0, 20*time.Second-since), true
	case fast:
		return max(0, time.Second-since), true
	}
	return 0, false
}

func running(k dag.Key, pool int32, since time.Duration) demand.Task {
	return demand.Task{Key: k, Pool: pool, State: dag.Running, Since: since}
}

func ready(k dag.Key, pool int32) demand.Task {
	return demand.Task{Key: k, Pool: pool, State: dag.Ready}
}

func delayed(k dag.Key, pool int32, due time.Duration) demand.Task {
	return demand.Task{Key: k, Pool: pool, State: dag.Delayed, Due: due}
}

func waiting(k dag.Key, pool int32, remaining int) demand.Task {
	return demand.Task{Key: k, Pool: pool, State: dag.Waiting, Remaining: remaining}
}

// fan are n tasks of a pool that wait for one.
func fan(on dag.Key, from dag.Key, n int, pool int32) (tasks []demand.Task, edges []demand.Edge) {
	for k := from; k < from+dag.Key(n); k++ {
		tasks, edges = append(tasks, waiting(k, pool, 1)), append(edges, demand.Edge{Dependency: on, Dependent: k})
	}
	return tasks, edges
}

func TestSoon(t *testing.T) {
	t.Parallel()
	wide, wideEdges := fan(1, 100, 50, slow)
	for fact, tt := range map[string]struct {
		tasks []demand.Task
		edges []demand.Edge
		slots map[int32]int
		want  map[int32]int
	}{
		"nothing":        {nil, nil, nil, nil},
		"what only runs": {[]demand.Task{running(1, fast, 0)}, nil, nil, nil},
		"one behind another wants no second slot": {[]demand.Task{running(1, fast, 0), waiting(2, fast, 1)}, []demand.Edge{{1, 2}}, nil, nil},
		"one behind another, elsewhere":           {[]demand.Task{running(1, fast, 0), waiting(2, slow, 1)}, []demand.Edge{{1, 2}}, nil, map[int32]int{slow: 1}},
		"many behind one":                         {append([]demand.Task{running(1, slow, 0)}, wide...), wideEdges, nil, map[int32]int{slow: 49}},
		"behind one of which nobody knows":        {[]demand.Task{running(1, odd, 0), waiting(2, fast, 1)}, []demand.Edge{{1, 2}}, nil, nil},
		"behind one that nobody has started and nobody can": {
			[]demand.Task{ready(1, fast), waiting(2, slow, 1)}, []demand.Edge{{1, 2}}, nil, nil},
		"behind one that starts now": {
			[]demand.Task{ready(1, fast), waiting(2, slow, 1)}, []demand.Edge{{1, 2}}, map[int32]int{fast: 1}, map[int32]int{slow: 1}},
		"behind one whose slot is taken for too long": {
			[]demand.Task{running(3, slow, 0), ready(1, slow), waiting(2, fast, 1)}, []demand.Edge{{1, 2}}, map[int32]int{slow: 1}, nil},
		"behind one that gets a slot in time": {
			[]demand.Task{running(3, slow, 15*time.Second), ready(1, slow), waiting(2, fast, 1)}, []demand.Edge{{1, 2}}, map[int32]int{slow: 1}, map[int32]int{fast: 1}},
		"of two dependencies one does not end": {
			[]demand.Task{running(1, fast, 0), running(2, odd, 0), waiting(3, slow, 2)}, []demand.Edge{{1, 3}, {2, 3}}, nil, nil},
		"of two dependencies one was not seen": {[]demand.Task{running(1, fast, 0), waiting(3, slow, 2)}, []demand.Edge{{1, 3}}, nil, nil},
		"two dependencies that both end": {
			[]demand.Task{running(1, fast, 0), running(2, slow, 0), waiting(3, odd, 2)}, []demand.Edge{{1, 3}, {2, 3}}, nil, map[int32]int{odd: 1}},
		"behind a group": {
			[]demand.Task{running(1, fast, 0), waiting(2, group, 1), waiting(3, slow, 1)}, []demand.Edge{{1, 2}, {2, 3}}, nil, map[int32]int{slow: 1}},
		"two steps away": {
			[]demand.Task{running(1, fast, 0), waiting(2, fast, 1), waiting(3, slow, 1)}, []demand.Edge{{1, 2}, {2, 3}}, map[int32]int{fast: 1}, map[int32]int{slow: 1}},
		"two steps away, and the first has no slot": {
			[]demand.Task{running(1, fast, 0), waiting(2, slow, 1), waiting(3, fast, 1)}, []demand.Edge{{1, 2}, {2, 3}}, map[int32]int{fast: 1}, map[int32]int{slow: 1}},
		"due in time":        {[]demand.Task{delayed(1, fast, 29*time.Second)}, nil, nil, map[int32]int{fast: 1}},
		"overdue":            {[]demand.Task{delayed(1, fast, -time.Second)}, nil, nil, map[int32]int{fast: 1}},
		"due beyond":         {[]demand.Task{delayed(1, fast, 31*time.Second)}, nil, nil, nil},
		"behind what is due": {[]demand.Task{delayed(1, fast, 5*time.Second), waiting(2, slow, 1)}, []demand.Edge{{1, 2}}, map[int32]int{fast: 1}, map[int32]int{fast: 1, slow: 1}},
		"one takes what another leaves": {
			[]demand.Task{running(1, fast, 0), delayed(2, fast, 2*time.Second)}, nil, map[int32]int{fast: 1}, nil},
		"the most at a time, not the sum": {
			[]demand.Task{delayed(1, fast, 1*time.Second), delayed(2, fast, 5*time.Second)}, nil, map[int32]int{fast: 4}, map[int32]int{fast: 1}},
	} {
		scene := demand.Scene{Horizon: 30 * time.Second, Tasks: tt.tasks, Edges: tt.edges, Slots: tt.slots, Left: lasts, Running: map[int32]int{}}
		for _, task := range tt.tasks {
			if task.State == dag.Running {
				scene.Running[task.Pool]++
			}
		}
		if got := scene.Soon(); !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", fact, got, tt.want)
		}
	}
}

// TestSoonAtRandom holds the play against a slow twin that looks at each second, and against what must hold of any.
func TestSoonAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := randomScene(r)
		before := slices.Clone(s.Tasks)
		got := s.Soon()
		if !slices.Equal(s.Tasks, before) {
			t.Fatalf("seed %d: the scene was changed", seed)
		}
		if want := twin(s); !maps.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
		further := *s
		further.Horizon += 10 * time.Second
		for pool, n := range got {
			if n < 1 || further.Soon()[pool] < n {
				t.Fatalf("seed %d: %d, and %d further on", seed, n, further.Soon()[pool])
			}
		}
		if len(s.Tasks) > 0 { // nothing comes of what can't start
			fewer := *s
			fewer.Tasks = slices.DeleteFunc(slices.Clone(s.Tasks), func(t demand.Task) bool { return t.State != dag.Waiting })
			if left := fewer.Soon(); len(left) > 0 {
				t.Fatalf("seed %d: got %v of what only waits", seed, left)
			}
		}
	}
}

func randomScene(r *rand.Rand) *demand.Scene {
	s := &demand.Scene{Horizon: time.Duration(r.IntN(40)) * time.Second, Slots: map[int32]int{}, Running: map[int32]int{}, Left: lasts}
	for p := slow; p <= odd; p++ {
		s.Slots[p] = r.IntN(4)
	}
	for k := range dag.Key(r.IntN(30)) {
		pool := 1 + r.Int32N(odd)
		switch r.IntN(5) {
		case 0:
			s.Tasks = append(s.Tasks, running(k, pool, time.Duration(r.IntN(25))*time.Second))
			s.Running[pool]++
		case 1:
			s.Tasks = append(s.Tasks, ready(k, pool))
		case 2:
			s.Tasks = append(s.Tasks, delayed(k, pool, time.Duration(r.IntN(40))*time.Second))
		default:
			deps := 0
			for d := range k {
				if r.IntN(6) == 0 {
					s.Edges = append(s.Edges, demand.Edge{Dependency: d, Dependent: k})
					deps++
				}
			}
			s.Tasks = append(s.Tasks, waiting(k, r.Int32N(odd+1), max(1, deps+r.IntN(8)/7)))
		}
	}
	return s
}

// twin plays second by second, looking at everything each time.
func twin(s *demand.Scene) map[int32]int {
	type at struct {
		demand.Task
		order int           // in which it got ready
		end   time.Duration // of what runs; below 0: unknown
	}
	tasks, order := map[dag.Key]*at{}, 0
	in, begun, peak := map[int32]int{}, map[int32]int{}, map[int32]int{}
	hidden := map[int32]int{}
	for p, n := range s.Running {
		hidden[p] = n
	}
	for _, x := range s.Tasks {
		a := &at{Task: x, end: -1}
		switch x.State {
		case dag.Running:
			hidden[x.Pool]--
			in[x.Pool]++
			if left, ok := s.Left(x.Pool, x.Since); ok {
				a.end = left
			}
		case dag.Ready:
			order++
			a.order = order
			in[x.Pool]++
		}
		tasks[x.Key] = a
	}
	maps.Copy(begun, in)
	each := func(state dag.State, f func(*at)) {
		var list []*at
		for _, a := range tasks {
			if a.State == state {
				list = append(list, a)
			}
		}
		slices.SortFunc(list, func(a, b *at) int { return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Key, b.Key)) })
		for _, a := range list {
			f(a)
		}
	}
	fill := func(now time.Duration) {
		each(dag.Ready, func(a *at) {
			used := hidden[a.Pool]
			each(dag.Running, func(b *at) {
				if b.Pool == a.Pool {
					used++
				}
			})
			if used < s.Slots[a.Pool] {
				a.State, a.end = dag.Running, -1
				if left, ok := s.Left(a.Pool, 0); ok {
					a.end = now + left
				}
			}
		})
	}
	fill(0)
	for now := time.Duration(0); now <= s.Horizon; now += time.Second {
		for moved := true; moved; {
			moved = false
			var next *at // one event at a time: the order of one moment does not matter to any count below but the peak
			for _, a := range tasks {
				if a.State == dag.Running && a.end >= 0 && a.end <= now && (next == nil || a.Key < next.Key) {
					next = a
				}
			}
			if next != nil {
				moved = true
				next.State = dag.Completed
				in[next.Pool]--
				for told := []dag.Key{next.Key}; len(told) > 0; told = told[1:] {
					for _, e := range s.Edges {
						d := tasks[e.Dependent]
						if e.Dependency != told[0] || d == nil || d.State != dag.Waiting {
							continue
						}
						if d.Remaining--; d.Remaining > 0 {
							continue
						}
						if d.Pool == group {
							d.State = dag.Completed
							told = append(told, d.Key)
							continue
						}
						order++
						d.State, d.order = dag.Ready, order
						in[d.Pool]++
					}
				}
				fill(now)
				continue
			}
			each(dag.Delayed, func(a *at) {
				if a.Due <= now && !moved {
					moved = true
					order++
					a.State, a.order = dag.Ready, order
					in[a.Pool]++
				}
			})
			fill(now)
		}
		for p := range in {
			if n := in[p] - begun[p]; n > peak[p] {
				peak[p] = n
			}
		}
	}
	return peak
}
