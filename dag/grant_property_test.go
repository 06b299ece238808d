package dag_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// granter is a store of waiters and holds, and what the rules of grants say of it, in the plainest way.
type granter struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	keys    []dag.LimitKey
	max     map[dag.LimitKey]int32 // of limits; each task asks by it, now and then by one more
	rules   map[dag.LimitKey]dag.LimitState
	due     map[dag.LimitKey]time.Time
	starts  map[dag.LimitKey][]time.Time // since the rule of the rate was last changed
	waiting []*dag.Waiter
	holding []dag.Granted
	single  bool // each task asks for one key
	whole   bool // all is known in each round, and no pool is short of room
	tasks   int
}

func newGranter(t *testing.T, seed uint64) *granter {
	g := &granter{t: t, rng: rand.New(rand.NewPCG(seed, 0x61)), now: time.Unix(1e9, 0), max: map[dag.LimitKey]int32{}, rules: map[dag.LimitKey]dag.LimitState{}, due: map[dag.LimitKey]time.Time{},
		starts: map[dag.LimitKey][]time.Time{}}
	g.single, g.whole = g.rng.IntN(3) == 0, g.rng.IntN(3) == 0
	for kind := dag.KindLimit; kind <= dag.KindRate; kind++ {
		for n := range 1 + g.rng.IntN(4) {
			k := dag.LimitKey{Namespace: 1, Kind: kind, Key: fmt.Sprint("k", n)}
			g.keys = append(g.keys, k)
			g.max[k] = 1 + g.rng.Int32N(6)
		}
	}
	return g
}

// arrive lets a task wait.
func (g *granter) arrive() {
	g.tasks++
	w := &dag.Waiter{Task: dag.TreeKey(1 + g.rng.IntN(3)).Key(g.tasks), Attempt: 1, Priority: dag.Priority(g.rng.IntN(dag.Priorities)), Line: int64(g.tasks), Pool: int32(1 + g.rng.IntN(2)),
		Share: int32(1 + g.rng.IntN(3)), Contended: dag.OnContention(max(0, g.rng.IntN(6)-3)), At: g.now}
	n := 1
	if !g.single {
		n += g.rng.IntN(3)
	}
	for _, i := range g.rng.Perm(len(g.keys))[:min(n, len(g.keys))] {
		want := dag.Want{LimitKey: g.keys[i], Cost: 1, Max: g.max[g.keys[i]]}
		switch want.Kind {
		case dag.KindLimit:
			if g.rng.IntN(4) == 0 {
				want.Max++
			}
			want.Cost = 1 + g.rng.Int32N(want.Max)
		case dag.KindLock:
			want.Max = 1
		case dag.KindRate:
			want.Per, want.Burst = time.Second, want.Max/2
		}
		w.Wants = append(w.Wants, want)
	}
	g.waiting = append(g.waiting, w)
}

// end gives back what some task held.
func (g *granter) end() {
	if len(g.holding) > 0 {
		i := g.rng.IntN(len(g.holding))
		g.holding = slices.Delete(g.holding, i, i+1)
	}
}

// rule has an operator set or take back a limit.
func (g *granter) rule() {
	k := slices.Concat(g.keys, []dag.LimitKey{dag.PoolLimitKey(1), dag.UserLimitKey(2)})[g.rng.IntN(len(g.keys)+2)]
	if k.Kind == dag.KindLock {
		return
	}
	delete(g.starts, k)
	if _, has := g.rules[k]; has {
		delete(g.rules, k)
		return
	}
	g.rules[k] = dag.LimitState{Ruled: true, Max: g.rng.Int32N(5), Per: time.Second, Burst: 1 + g.rng.Int32N(3)}
}

func (g *granter) held(k dag.LimitKey) (n int64) {
	for _, h := range g.holding {
		for _, want := range h.Holds {
			if want.LimitKey == k {
				n += int64(want.Cost)
			}
		}
	}
	return n
}

// line are those who wait for a key, in order.
func (g *granter) line(k dag.LimitKey) (out []*dag.Waiter) {
	for _, w := range g.waiting {
		if wanted(w, k) != nil {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *dag.Waiter) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Line, b.Line))
	})
	return out
}

// wanted is what a task asks of a key; nil: nothing.
func wanted(w *dag.Waiter, k dag.LimitKey) *dag.Want {
	for i := range w.Wants {
		if w.Wants[i].LimitKey == k {
			return &w.Wants[i]
		}
	}
	return nil
}

// needs are what a task asks for, with its pool and its user if they have limits.
func (g *granter) needs(w *dag.Waiter) []dag.Want {
	out := slices.Clone(w.Wants)
	for _, k := range []dag.LimitKey{dag.PoolLimitKey(w.Pool), dag.UserLimitKey(w.Share)} {
		if _, ruled := g.rules[k]; ruled {
			out = append(out, dag.Want{LimitKey: k, Cost: 1})
		}
	}
	return out
}

// fits reports whether there is room for what is asked of a key, beside what is held.
func (g *granter) fits(want dag.Want) bool {
	rule, ruled := g.rules[want.LimitKey]
	most, per, burst := want.Max, want.Per, want.Burst
	if ruled {
		most, per, burst = rule.Max, rule.Per, rule.Burst
	}
	if want.Kind == dag.KindLock {
		return g.held(want.LimitKey) == 0
	}
	if want.Kind != dag.KindRate {
		return most > 0 && g.held(want.LimitKey)+int64(min(want.Cost, most)) <= int64(most)
	}
	if most == 0 {
		return false
	}
	if burst == 0 {
		burst = most
	}
	list := g.starts[want.LimitKey]
	for i, at := range list { // from any start on: the burst, and what the time allows
		if len(list)-i+1 > int(burst)+int(g.now.Sub(at)*time.Duration(most)/per) {
			return false
		}
	}
	return true
}

// round has Grant decide about all that waits, or about a part, and holds that against the rules.
func (g *granter) round() {
	asked, most, room := slices.Clone(g.keys), 1<<20, map[int32]int{1: 1 << 20, 2: 1 << 20}
	if !g.whole {
		g.rng.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
		asked, most = asked[:1+g.rng.IntN(len(asked))], 1+g.rng.IntN(8)
		room[1], room[2] = g.rng.IntN(6), g.rng.IntN(6)
	}
	in := g.load(asked, most, room)
	known := map[dag.Key]*dag.Waiter{}
	for _, w := range in.Waiters {
		known[w.Task] = w
	}
	full := map[dag.LimitKey][]dag.Key{} // who lacked room on a key as the round began
	for _, k := range g.keys {
		for _, w := range g.line(k) {
			if !g.fits(*wanted(w, k)) {
				full[k] = append(full[k], w.Task)
			}
		}
	}
	flight := maps.Clone(in.Flight)
	out := in.Grant()
	for _, granted := range out.Granted {
		g.check(granted, known, full)
		flight[granted.Share]++
		g.place(granted)
	}
	for k, due := range out.Due {
		g.due[k] = due
	}
	for share, n := range flight {
		if in.Flight[share] != n {
			g.t.Errorf("share %d has %v in flight, want %v", share, in.Flight[share], n)
		}
	}
	g.contended(out, known)
	g.nobodyLeft(in, known)
}

// load is what a round knows of the lines that are asked for, and of the others that their first tasks stand in.
func (g *granter) load(asked []dag.LimitKey, most int, room map[int32]int) *dag.Granting {
	in := &dag.Granting{Now: g.now, Keys: map[dag.LimitKey]*dag.LimitState{}, Room: maps.Clone(room), Flight: map[int32]float64{1: 3, 2: 1}}
	keys := slices.Clone(asked)
	for _, k := range asked {
		line := g.line(k)
		for _, w := range line[:min(len(line), most)] {
			for _, want := range w.Wants {
				if !slices.Contains(keys, want.LimitKey) {
					keys = append(keys, want.LimitKey)
				}
			}
		}
	}
	known := map[dag.Key]*dag.Waiter{}
	for _, k := range keys {
		line := g.line(k)
		for _, w := range line[:min(len(line), most)] {
			c := known[w.Task]
			if c == nil {
				copied := *w
				c = &copied
				c.Wants = nil
				known[w.Task] = c
				in.Waiters = append(in.Waiters, c)
			}
			c.Wants = append(c.Wants, *wanted(w, k))
			c.Partly = len(c.Wants) < len(w.Wants)
		}
		s := g.rules[k]
		s.Held, s.Due, s.Cut = g.held(k), g.due[k], len(line) > most
		in.Keys[k] = &s
	}
	for k, s := range g.rules {
		if k.Kind == dag.KindPool || k.Kind == dag.KindUser {
			s.Held = g.held(k)
			in.Keys[k] = &s
		}
	}
	return in
}

// check holds a grant against the rules, as of when it was made.
func (g *granter) check(granted dag.Granted, known map[dag.Key]*dag.Waiter, full map[dag.LimitKey][]dag.Key) {
	w := g.waiting[slices.IndexFunc(g.waiting, func(w *dag.Waiter) bool { return w.Task == granted.Task })]
	if known[w.Task].Partly {
		g.t.Errorf("task %d is granted what is not at hand", w.Line)
	}
	for _, want := range g.needs(w) {
		if !g.fits(want) {
			g.t.Errorf("task %d is granted %v, of which %d are held", w.Line, want, g.held(want.LimitKey))
		}
		if want.Kind == dag.KindRate {
			continue
		}
		if !slices.ContainsFunc(granted.Holds, func(h dag.Want) bool { return h.LimitKey == want.LimitKey }) {
			g.t.Errorf("task %d is granted %v, and not %v", w.Line, granted.Holds, want)
		}
	}
	for _, want := range w.Wants {
		for _, o := range g.line(want.LimitKey) {
			if o == w {
				break
			}
			if slices.Contains(full[want.LimitKey], o.Task) {
				g.t.Errorf("task %d is granted %v past task %d, which lacks room there", w.Line, want, o.Line)
			}
			if g.single && g.whole && !g.ruledOut(o) {
				g.t.Errorf("task %d is granted %v before task %d, which asks for nothing else", w.Line, want, o.Line)
			}
		}
	}
}

// ruledOut reports whether the limit of its pool or its user holds a task back.
func (g *granter) ruledOut(w *dag.Waiter) bool {
	return slices.ContainsFunc(g.needs(w)[len(w.Wants):], func(want dag.Want) bool { return !g.fits(want) })
}

// place has a task hold what it was granted.
func (g *granter) place(granted dag.Granted) {
	g.waiting = slices.DeleteFunc(g.waiting, func(w *dag.Waiter) bool { return w.Task == granted.Task })
	g.holding = append(g.holding, granted)
	for _, want := range granted.Wants {
		if want.Kind == dag.KindRate {
			g.starts[want.LimitKey] = append(g.starts[want.LimitKey], g.now)
		}
	}
}

// contended: those who do not wait for a lock that is held are named, and nobody else.
func (g *granter) contended(out dag.Grants, known map[dag.Key]*dag.Waiter) {
	for _, w := range g.waiting {
		c := known[w.Task]
		if c == nil || c.Partly {
			continue
		}
		locked := slices.ContainsFunc(w.Wants, func(want dag.Want) bool { return want.Kind == dag.KindLock && g.held(want.LimitKey) > 0 })
		if named := slices.Contains(out.Contended, c); named != (locked && w.Contended != dag.WaitForLock) {
			g.t.Errorf("task %d, whose lock is held: %v, waits for it: %v; named: %v", w.Line, locked, w.Contended == dag.WaitForLock, named)
		}
	}
}

// nobodyLeft: who is first in all its lines, and lacks nothing, is granted it.
func (g *granter) nobodyLeft(in *dag.Granting, known map[dag.Key]*dag.Waiter) {
	for _, w := range g.waiting {
		c := known[w.Task]
		if c == nil || c.Partly || in.Room[w.Pool] <= 0 || slices.ContainsFunc(w.Wants, func(want dag.Want) bool { return want.Kind == dag.KindRate }) {
			continue
		}
		if slices.ContainsFunc(g.needs(w), func(want dag.Want) bool { return !g.fits(want) }) {
			continue
		}
		behind := slices.ContainsFunc(w.Wants, func(want dag.Want) bool {
			line := g.line(want.LimitKey)
			return slices.ContainsFunc(line[:slices.Index(line, w)], func(o *dag.Waiter) bool { return !g.fits(*wanted(o, want.LimitKey)) })
		})
		if !behind {
			g.t.Errorf("task %d lacks nothing, and is granted nothing", w.Line)
		}
	}
}

// TestGrantsKeepTheRules plays waiters, ends and operators at random, and holds each grant against the rules: of each key there is never more held than its max, a task
// gets all or nothing, nobody who lacks room on a key is passed there, and in the end everybody has been served and nothing is held.
func TestGrantsKeepTheRules(t *testing.T) {
	for seed := range uint64(100) {
		g := newGranter(t, seed)
		for range 120 {
			switch g.rng.IntN(5) {
			case 0, 1:
				g.arrive()
			case 2:
				g.end()
			case 3:
				g.now = g.now.Add(time.Duration(g.rng.IntN(400)) * time.Millisecond)
			default:
				if g.rng.IntN(4) == 0 {
					g.rule()
				}
			}
			g.round()
		}
		g.rules, g.whole, g.starts = map[dag.LimitKey]dag.LimitState{}, true, map[dag.LimitKey][]time.Time{}
		for n := 0; len(g.waiting) > 0 && n < 4*g.tasks+100; n++ {
			g.end()
			g.now = g.now.Add(time.Second)
			g.round()
		}
		if len(g.waiting) > 0 {
			t.Errorf("%d tasks still wait", len(g.waiting))
		}
		for len(g.holding) > 0 {
			g.end()
		}
		for _, k := range g.keys {
			if n := g.held(k); n != 0 {
				t.Errorf("%v: %d are held", k, n)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
