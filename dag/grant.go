package dag

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// LimitKey names what tasks hold, or start by: a line of its own.
type LimitKey struct {
	Namespace NamespaceKey // of the key; 0 for pools and users
	Kind      LimitKind
	Key       string // of a pool, or of a user: its number, or that of the share
}

// PoolLimitKey is what running tasks of a pool hold that has a limit.
func PoolLimitKey(pool int32) LimitKey {
	return LimitKey{Kind: KindPool, Key: strconv.Itoa(int(pool))}
}

// UserLimitKey is what running tasks of a share hold whose user has a limit.
func UserLimitKey(share int32) LimitKey {
	return LimitKey{Kind: KindUser, Key: strconv.Itoa(int(share))}
}

// compare is the order of keys in the store.
func (k LimitKey) compare(other LimitKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Kind, other.Kind), cmp.Compare(k.Key, other.Key))
}

// Want is one key that a task asks for.
type Want struct {
	LimitKey
	Cost  int32         // of a limit; 1 for others
	Max   int32         // by which the task is judged unless an operator has set another; 0: only an operator's
	Per   time.Duration // of a rate
	Burst int32         // of a rate; 0: as Max
}

// Waiter is a ready task that waits for what it asks for. Those with less Priority, then with less Line come first, in each of its lines.
type Waiter struct {
	Task      Key
	Attempt   int32
	Priority  Priority
	Line      int64 // its place: when it asked, in the order of the store. No two tasks have the same
	Pool      int32
	Share     int32
	Contended OnContention // what becomes of it if its lock is held
	At        time.Time    // since when it waits
	Wants     []Want
	// Partly: not all that it asks for is at hand, so that it can't be granted. It keeps its place in the lines that are.
	Partly bool
}

// before compares waiters of a line: negative if this one comes first.
func (w *Waiter) before(other *Waiter) int {
	return cmp.Or(cmp.Compare(w.Priority, other.Priority), cmp.Compare(w.Line, other.Line), cmp.Compare(w.Task, other.Task))
}

// LimitState is how a key stands.
type LimitState struct {
	Held int64 // sum of costs
	// Ruled: an operator has set Max, and for a rate Per and Burst, which are in force whatever tasks say.
	Ruled bool
	Max   int32
	Per   time.Duration
	Burst int32
	Due   time.Time // of a rate: when the next start is due if starts come as fast as they may; zero: long ago
	// Cut: more tasks wait in this line than are at hand.
	Cut bool
}

// Granting is all that a round of grants is decided by, as of one moment. [Granting.Grant] decides.
//
// The rules:
//   - A task gets all that it asks for, at once, or nothing.
//   - A line is served in its order. If there is no room on its key for the first of it, those behind wait, too, however little they ask for: so nobody
//     that asks for much is passed for ever.
//   - Who lacks something else only - another key, room in its pool - is passed: it holds up nobody.
//   - Where the room of a pool does not do for all, it goes by priority, then to the share that has the least in flight for its weight, then by place.
//   - Pools and users with a limit of their own are keys that each task of them asks for beside its own.
type Granting struct {
	Now     time.Time // the store's
	Waiters []*Waiter
	Keys    map[LimitKey]*LimitState // of all that Waiters want; and of the pools and users that have a limit
	Room    map[int32]int            // how many tasks may be published, by pool; none: none
	Flight  map[int32]float64        // what each share has in flight, divided by its weight
	Weight  map[int32]float64        // of each share; none: 1
}

// Granted is a task that gets its place.
type Granted struct {
	*Waiter
	Holds []Want // of limits, its lock, its pool and its user: Cost is what it holds, Max the one in force, 0 for none
}

// Grants is what a round decides.
type Grants struct {
	Granted   []Granted
	Contended []*Waiter              // whose lock is held, and who do not wait for it
	Due       map[LimitKey]time.Time // of the rates that were used: as [LimitState.Due]
	Next      map[LimitKey]time.Time // of rates that hold back the first of their line: when they let it start
	NoRoom    map[LimitKey]Priority  // lines with a task that lacks nothing but room in its pool, or for its user: the most urgent one
	Deeper    []LimitKey             // lines of which all that is at hand was passed or granted: there may be others behind
}

// Grant decides. It changes Keys, Room and Flight as the grants do.
func (g *Granting) Grant() Grants {
	r := round{Granting: g, lines: map[LimitKey]*line{}, out: Grants{Due: map[LimitKey]time.Time{}, Next: map[LimitKey]time.Time{}, NoRoom: map[LimitKey]Priority{}}}
	for _, w := range g.Waiters {
		c := &candidate{Waiter: w, gone: w.Partly}
		for _, want := range w.Wants {
			l := r.lines[want.LimitKey]
			if l == nil {
				l = &line{key: want.LimitKey, state: g.state(want.LimitKey)}
				r.lines[want.LimitKey] = l
				r.order = append(r.order, l)
			}
			l.waiting = append(l.waiting, c)
			c.lines = append(c.lines, l)
		}
		r.all = append(r.all, c)
	}
	slices.SortFunc(r.order, func(a, b *line) int { return a.key.compare(b.key) })
	for _, l := range r.order {
		slices.SortFunc(l.waiting, func(a, b *candidate) int { return a.before(b.Waiter) })
	}
	r.advance(r.order)
	for {
		c := r.best()
		if c == nil {
			break
		}
		r.decide(c)
	}
	r.conclude()
	return r.out
}

func (g *Granting) state(k LimitKey) *LimitState {
	s := g.Keys[k]
	if s == nil {
		s = &LimitState{}
		if g.Keys == nil {
			g.Keys = map[LimitKey]*LimitState{}
		}
		g.Keys[k] = s
	}
	return s
}

// round is a Granting while it is decided.
type round struct {
	*Granting
	lines map[LimitKey]*line
	order []*line
	all   []*candidate
	next  []*candidate // that are the first of all their lines
	out   Grants
}

// line is the tasks that wait for one key.
type line struct {
	key     LimitKey
	state   *LimitState
	waiting []*candidate
	at      int        // those before are granted or passed
	stopped bool       // the one at at lacks room here: nobody goes past it
	short   *candidate // the first that was passed and lacks only room in its pool, or for its user
}

// candidate is a task that waits.
type candidate struct {
	*Waiter
	lines   []*line // in the order of Wants
	first   int     // in how many of them it is the first
	gone    bool    // it is decided about: it was granted, or it can't be in this round
	granted bool
	noRoom  bool // it lacked nothing but room in its pool, or for its user
}

// advance moves lines past those that are decided about, until none can be moved.
func (r *round) advance(lines []*line) {
	for len(lines) > 0 {
		l := lines[len(lines)-1]
		lines = lines[:len(lines)-1]
		for !l.stopped && l.at < len(l.waiting) {
			c := l.waiting[l.at]
			if !c.gone {
				if c.first++; c.first == len(c.lines) {
					r.next = append(r.next, c)
				}
				break
			}
			if !c.granted && !r.fits(c.want(l), l.state) {
				l.stopped = true
				for _, behind := range l.waiting[l.at+1:] {
					if !behind.gone {
						behind.gone = true
						lines = append(lines, behind.leads()...)
					}
				}
				break
			}
			if c.noRoom && l.short == nil {
				l.short = c
			}
			l.at++
		}
	}
}

// leads are the lines of which the task is the first.
func (c *candidate) leads() (lines []*line) {
	for _, l := range c.lines {
		if !l.stopped && l.at < len(l.waiting) && l.waiting[l.at] == c {
			lines = append(lines, l)
		}
	}
	return lines
}

func (c *candidate) want(l *line) *Want { return &c.Wants[slices.Index(c.lines, l)] }

// best takes the next task to be decided about: the most urgent one, of the share with the least in flight, that asked first.
func (r *round) best() *candidate {
	at := -1
	for i, c := range r.next {
		if at < 0 || r.prefers(c, r.next[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	c := r.next[at]
	r.next = slices.Delete(r.next, at, at+1)
	if c.gone {
		return r.best()
	}
	return c
}

func (r *round) prefers(a, b *candidate) bool {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(r.Flight[a.Share], r.Flight[b.Share]), a.before(b.Waiter)) < 0
}

// decide grants all that a task asks for that is the first of its lines, or passes it.
func (r *round) decide(c *candidate) {
	c.gone = true
	fits := true
	for i, l := range c.lines {
		fits = r.fits(&c.Wants[i], l.state) && fits
	}
	implied := r.implied(c.Waiter)
	room := r.Room[c.Pool] > 0
	for i := range implied {
		room = room && r.fits(&implied[i], r.Keys[implied[i].LimitKey])
	}
	if fits && room {
		r.grant(c, implied)
	}
	c.noRoom = fits && !room
	r.advance(slices.Clone(c.lines))
}

// implied is what a task asks for without saying so: its pool and its user, if they have limits.
func (r *round) implied(w *Waiter) (wants []Want) {
	for _, k := range [...]LimitKey{PoolLimitKey(w.Pool), UserLimitKey(w.Share)} {
		if s := r.Keys[k]; s != nil && s.Ruled {
			wants = append(wants, Want{LimitKey: k, Cost: 1})
		}
	}
	return wants
}

func (r *round) grant(c *candidate, implied []Want) {
	c.granted = true
	granted := Granted{Waiter: c.Waiter}
	for _, want := range slices.Concat(c.Wants, implied) {
		s := r.Keys[want.LimitKey]
		if want.Kind == KindRate {
			if due := want.after(s, r.Now); !due.IsZero() {
				s.Due = due
				r.out.Due[want.LimitKey] = due
			}
			continue
		}
		if most, limited := want.most(s); limited {
			want.Max, want.Cost = most, want.takes(s)
		}
		s.Held += int64(want.Cost)
		granted.Holds = append(granted.Holds, want)
	}
	r.Room[c.Pool]--
	if r.Flight == nil {
		r.Flight = map[int32]float64{}
	}
	weight := r.Weight[c.Share]
	if weight <= 0 {
		weight = 1
	}
	r.Flight[c.Share] += 1 / weight
	r.out.Granted = append(r.out.Granted, granted)
}

// fits reports whether there is room on a key for what a task asks of it.
func (r *round) fits(want *Want, s *LimitState) bool {
	if want.Kind == KindRate {
		at, ever := want.startsAt(s)
		return ever && !at.After(r.Now)
	}
	most, limited := want.most(s)
	return !limited || most > 0 && s.Held+int64(want.takes(s)) <= int64(most)
}

// takes is how much of a key the task holds: its cost, or all there is if an operator has set less since the task was submitted.
func (w *Want) takes(s *LimitState) int32 {
	if most, limited := w.most(s); limited && most > 0 {
		return min(w.Cost, most)
	}
	return w.Cost
}

// most is the max that is in force; false: nothing limits the key.
func (w *Want) most(s *LimitState) (int32, bool) {
	if w.Kind == KindLock {
		return 1, true
	}
	if s.Ruled {
		return s.Max, true
	}
	return w.Max, w.Max > 0
}

// pace is by what a rate lets tasks start: the time from one to the next, and how far they may run ahead of that. false: nothing limits the rate.
func (w *Want) pace(s *LimitState) (each, ahead time.Duration, limited bool) {
	most, per, burst := w.Max, w.Per, w.Burst
	if s.Ruled {
		most, per, burst = s.Max, s.Per, s.Burst
	} else if most <= 0 {
		return 0, 0, false
	}
	if most <= 0 || per <= 0 {
		return math.MaxInt64, 0, true
	}
	if burst <= 0 {
		burst = most
	}
	// Rounded up to what the store keeps: so many in a time, and never more.
	each = (per/time.Microsecond + time.Duration(most) - 1) / time.Duration(most) * time.Microsecond
	return each, each * time.Duration(burst-1), true
}

// startsAt is from when on the rate lets the next task start; false: never.
func (w *Want) startsAt(s *LimitState) (at time.Time, ever bool) {
	each, ahead, limited := w.pace(s)
	if !limited || s.Due.IsZero() && each < math.MaxInt64 {
		return time.Time{}, true
	}
	return s.Due.Add(-ahead), each < math.MaxInt64
}

// after is when the next start is due after one now; zero: nothing limits the rate.
func (w *Want) after(s *LimitState, now time.Time) time.Time {
	each, _, limited := w.pace(s)
	switch {
	case !limited:
		return time.Time{}
	case s.Due.After(now):
		return s.Due.Add(each)
	}
	// The store keeps microseconds; what is less is rounded up.
	return now.Truncate(time.Microsecond).Add(each + time.Microsecond)
}

// conclude finds out what follows of those that were not granted.
func (r *round) conclude() {
	for _, c := range r.all {
		if c.granted || c.Contended == WaitForLock || c.Partly {
			continue
		}
		for i, want := range c.Wants {
			if want.Kind == KindLock && c.lines[i].state.Held > 0 {
				r.out.Contended = append(r.out.Contended, c.Waiter)
				break
			}
		}
	}
	for _, l := range r.order {
		switch {
		case l.stopped && l.key.Kind == KindRate:
			if at, ever := l.waiting[l.at].want(l).startsAt(l.state); ever {
				r.out.Next[l.key] = at
			}
		case !l.stopped && l.at == len(l.waiting) && l.state.Cut:
			r.out.Deeper = append(r.out.Deeper, l.key)
		}
		if l.short != nil {
			r.out.NoRoom[l.key] = l.short.Priority
		}
	}
}
