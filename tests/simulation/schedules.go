package simulation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// timing is a history of one schedule: a store in memory, coordinators that look after it, crash, are away and are slow, and users.
type timing struct {
	rng    *rand.Rand
	rules  dag.Schedule
	oracle oracle.Schedule
	clock  oracle.Clock
	calm   bool // it ends: nobody interferes any more
	reran  bool // a tree that had ended

	now     time.Time
	made    time.Time
	decided time.Time
	counted int
	paused  bool
	passed  [][2]time.Time // pauses: after the first, up to the second
	fires   []*fire
	locked  bool // by a decision that is under way
	calls   []string
	agenda  []planned

	broken string
	counts TimingCounts
}

// TimingCounts says what histories of schedules had.
type TimingCounts struct {
	Instants, Runs, Missed, Skipped, Calls, Decisions, Crashes, Stale int
}

// planned is a step that somebody is about to take.
type planned struct {
	at time.Time
	f  func()
}

// fire is a row of a run, and its tree.
type fire struct {
	history.Fire
	claimed time.Time
	stopped bool
	started time.Time
	trees   []*grown
}

// grown is a tree of a run.
type grown struct {
	made, over time.Time
	end        dag.FireState
	noted      bool // its end is in the row of its run
}

// newTiming draws a history. The zone's clocks are changed in it. crontab gives the instants of a crontab in a zone.
func newTiming(seed uint64, crontab func(text, zone string) dag.Instants) *timing {
	rng := rand.New(rand.NewPCG(seed, 0x71e))
	t := &timing{rng: rng}
	change := changesOfClocks[rng.IntN(len(changesOfClocks))]
	zone, err := time.LoadLocation(change.zone)
	if err != nil {
		panic(err)
	}
	t.now = change.at.Add(-time.Duration(rng.IntN(30*60)) * time.Minute).Add(time.Duration(rng.IntN(60_000)) * time.Millisecond)
	t.made, t.decided = t.now, t.now
	t.clock = oracle.Clock{Zone: zone, Hour: -1, Minute: rng.IntN(60)}
	text := fmt.Sprintf("%d * * * *", t.clock.Minute)
	if rng.IntN(3) == 0 {
		t.clock.Hour = rng.IntN(4)
		text = fmt.Sprintf("%d %d * * *", t.clock.Minute, t.clock.Hour)
	}
	t.rules = dag.Schedule{ID: fmt.Sprint(seed), Instants: crontab(text, change.zone), Overlap: dag.Overlap(1 + rng.IntN(4)), MisfireGrace: []time.Duration{time.Minute, 40 * time.Minute, 3 * time.Hour, 300 * time.Hour}[rng.IntN(4)],
		Coalesce: rng.IntN(2) == 0, Jitter: []time.Duration{0, 0, 10 * time.Minute, 2 * time.Hour}[rng.IntN(4)], MaxRuns: []int{0, 0, 0, 1 + rng.IntN(8)}[rng.IntN(4)]}
	t.rules.AfterSuccess = t.rules.Overlap != dag.OverlapCancelOther && rng.IntN(3) == 0
	if rng.IntN(4) == 0 {
		t.rules.StartAt = t.now.Add(time.Duration(rng.IntN(20*60)-600) * time.Minute)
	}
	if rng.IntN(4) == 0 {
		t.rules.EndAt = t.now.Add(time.Duration(60+rng.IntN(60*60)) * time.Minute)
	}
	t.oracle = oracle.Schedule{Instants: t.clock.Instants, Start: t.rules.StartOf, Grace: t.rules.MisfireGrace, Coalesce: t.rules.Coalesce, AfterSuccess: t.rules.AfterSuccess,
		Begin: t.rules.StartAt, End: t.rules.EndAt, MaxRuns: t.rules.MaxRuns,
		Overlap: map[dag.Overlap]oracle.Overlap{dag.OverlapSkip: oracle.Skips, dag.OverlapQueueOne: oracle.Queues, dag.OverlapAllow: oracle.Allows, dag.OverlapCancelOther: oracle.Cancels}[t.rules.Overlap]}
	return t
}

// changeOfClocks is a moment at which clocks of a zone are changed.
type changeOfClocks struct {
	zone string
	at   time.Time
}

// changesOfClocks are both changes of a year in ten zones, as IANA has them.
var changesOfClocks = func() (list []changeOfClocks) {
	for zone, both := range map[string][2]string{
		"Europe/Berlin": {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"}, "Europe/Dublin": {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"},
		"America/New_York": {"2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"}, "America/Santiago": {"2026-09-06T04:00:00Z", "2026-04-05T03:00:00Z"},
		"Australia/Lord_Howe": {"2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"}, "Australia/Sydney": {"2026-10-03T16:00:00Z", "2026-04-04T16:00:00Z"},
		"Africa/Cairo": {"2026-04-23T22:00:00Z", "2026-10-29T21:00:00Z"}, "Asia/Beirut": {"2026-03-28T22:00:00Z", "2026-10-24T21:00:00Z"},
		"Antarctica/Troll": {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"}, "America/Sao_Paulo": {"2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"},
	} {
		for _, text := range both {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				panic(err)
			}
			list = append(list, changeOfClocks{zone, at})
		}
	}
	slices.SortFunc(list, func(a, b changeOfClocks) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.zone, b.zone)) })
	return list
}()

// fail notes the first rule that is broken.
func (t *timing) fail(format string, args ...any) {
	if t.broken == "" {
		t.broken = fmt.Sprintf(format, args...)
	}
}

// later plans a step.
func (t *timing) later(most time.Duration, f func()) {
	t.agenda = append(t.agenda, planned{t.now.Add(time.Duration(t.rng.Int64N(int64(most)))), f})
}

// play plays the history, and gives what is broken; empty: nothing.
func (t *timing) play() string {
	for range 3 + t.rng.IntN(3) {
		t.later(time.Minute, t.coordinate)
	}
	t.later(time.Hour, t.use)
	const long = 70 * time.Hour
	for end := t.made.Add(long); t.broken == "" && len(t.agenda) > 0; {
		next := 0
		for i, p := range t.agenda {
			if p.at.Before(t.agenda[next].at) {
				next = i
			}
		}
		p := t.agenda[next]
		t.agenda = slices.Delete(t.agenda, next, next+1)
		switch {
		case p.at.After(end) && t.calm:
			t.fail("runs never end: %+v", t.fires[len(t.fires)-1].Fire)
		case p.at.After(end):
			t.calm = true
			t.settle()
			end = end.Add(1000 * time.Hour)
		}
		if t.now.Before(p.at) {
			t.now = p.at
		}
		p.f()
		if t.calm && !slices.ContainsFunc(t.fires, func(f *fire) bool { return f.State.Open() }) && !t.locked {
			break
		}
	}
	if t.broken == "" {
		t.judge()
	}
	return t.broken
}

// settle has all come to its end: nobody pauses any more, no instant comes, and trees succeed.
func (t *timing) settle() {
	if t.paused {
		t.paused = false
		t.decided = latest(t.decided, t.now)
		t.passed[len(t.passed)-1][1] = t.decided
	}
	if t.rules.EndAt.IsZero() || t.rules.EndAt.After(t.now) {
		t.rules.EndAt = t.now
		t.oracle.End = t.now
	}
	for _, f := range t.fires {
		for _, tree := range f.trees {
			if tree.end == dag.FireFailed && t.rules.AfterSuccess {
				t.rerun(f, tree)
			}
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// coordinate is one turn of a coordinator: each step may be its last for a while.
func (t *timing) coordinate() {
	again := func() { t.later(10*time.Minute, t.coordinate) }
	if !t.calm && t.rng.IntN(12) == 0 { // it is down, and so are others now and then
		t.counts.Crashes++
		t.later([]time.Duration{time.Minute, time.Hour, 12 * time.Hour}[t.rng.IntN(3)], t.coordinate)
		return
	}
	t.noteEnds()
	if t.locked { // skip locked
		t.begin(again)
		return
	}
	t.decide(func(done bool) {
		if !done {
			t.later(20*time.Minute, t.coordinate)
			return
		}
		t.begin(again)
	})
}

// noteEnds writes into rows how trees have ended.
func (t *timing) noteEnds() {
	for _, f := range t.fires {
		for _, tree := range f.trees {
			if !tree.over.IsZero() && !tree.noted && (t.calm || t.rng.IntN(3) > 0) {
				tree.noted = true
				f.State, f.Ended = tree.end, tree.over
			}
		}
	}
}

// facts is what the store says of runs.
func (t *timing) facts() (s dag.ScheduleState, runs oracle.Runs) {
	s = dag.ScheduleState{Schedule: t.rules, Decided: t.decided, Paused: t.paused, Runs: t.counted}
	runs = oracle.Runs{Decided: t.decided, Paused: t.paused, Counted: t.counted}
	var last *fire
	for _, f := range t.fires {
		if !f.started.IsZero() && (last == nil || !f.started.Before(last.started)) {
			last = f
		}
		if !f.State.Open() || f.State == dag.FireRunning && !f.tree().over.IsZero() {
			continue
		}
		run := dag.ScheduleRun{Run: f.Key, Kind: f.Kind, Instant: f.Instant, Cancelled: f.stopped}
		theirs := oracle.Run{ID: f.Key, Asked: f.Kind != dag.FireInstant, Trigger: f.Kind == dag.FireTrigger, Told: f.stopped}
		if f.State == dag.FireQueued {
			s.Waiting, runs.Line = append(s.Waiting, run), append(runs.Line, theirs)
		} else {
			s.Open, runs.Open = append(s.Open, run), append(runs.Open, theirs)
		}
	}
	if last != nil {
		s.Before = dag.RunFailed
		if tree := last.tree(); tree != nil && tree.end == dag.FireCompleted {
			s.Before = dag.RunSucceeded
		}
		runs.Failed = s.Before == dag.RunFailed
	}
	return s, runs
}

// tree is that of the run; nil: it has none.
func (f *fire) tree() *grown {
	if len(f.trees) == 0 {
		return nil
	}
	return f.trees[0]
}

// decide decides in one transaction: what it reads may have changed before it writes, and nothing is written if its process dies.
func (t *timing) decide(then func(done bool)) {
	at := t.now
	state, runs := t.facts()
	got := state.Due(at)
	t.compare(got, t.oracle.Decide(runs, at), at)
	t.counts.Decisions++
	write := func() {
		t.locked = false
		if !t.calm && t.rng.IntN(10) == 0 {
			t.counts.Crashes++
			then(false)
			return
		}
		t.carryOut(got, at)
		t.decided, t.counted = got.Decided, got.Runs // with them, in one transaction
		if _, runs := t.facts(); !got.Ended && !t.paused {
			if left := t.oracle.Decide(runs, at).New; len(left) > 0 {
				t.fail("at %s instants are left: %+v", at, left)
			}
		}
		if !t.calm && t.rng.IntN(10) == 0 { // after its commit
			t.counts.Crashes++
			then(false)
			return
		}
		then(true)
	}
	if t.rng.IntN(3) > 0 {
		write()
		return
	}
	t.counts.Stale++
	t.locked = true
	t.later(5*time.Minute, write)
}

var said = map[dag.FireVerdict]string{dag.VerdictStarts: "starts", dag.VerdictWaits: "waits"}

// compare holds a decision against the oracle's.
func (t *timing) compare(got dag.Fires, want oracle.Decision, at time.Time) {
	var d oracle.Decision
	if m := got.Missed; m != nil {
		named := t.oracle.Instants(m.First.Add(-time.Nanosecond), m.Last)
		if len(named) != m.Count {
			t.fail("%d instants from %s to %s are missed, and there are %d", m.Count, m.First, m.Last, len(named))
		}
		for _, instant := range named {
			d.New = append(d.New, oracle.Said{Instant: instant, What: "many"})
		}
	}
	for _, f := range got.Fires {
		what := said[f.Verdict]
		if what == "" {
			what = f.Reason
		}
		switch {
		case f.Run == 0:
			d.New = append(d.New, oracle.Said{Instant: f.Instant, What: what})
		case f.Verdict == dag.VerdictStarts:
			d.Started = append(d.Started, f.Run)
		default:
			d.Dropped = append(d.Dropped, f.Run)
		}
	}
	d.Stopped = got.Cancel
	same := slices.EqualFunc(d.New, want.New, func(a, b oracle.Said) bool {
		return a.Instant.Equal(b.Instant) && (a.What == b.What || a.What == "many" && (b.What == "grace" || b.What == "coalesced" || b.What == "too_many"))
	})
	if !same || !slices.Equal(d.Started, want.Started) || !slices.Equal(d.Dropped, want.Dropped) || !slices.Equal(d.Stopped, want.Stopped) || want.Over && !got.Ended {
		t.fail("at %s it is decided %+v, want %+v; the schedule is %+v, decided up to %s, with %d runs", at, d, want, t.rules, t.decided, t.counted)
	}
}

// carryOut writes a decision down, as the statements do it.
func (t *timing) carryOut(d dag.Fires, at time.Time) {
	for _, id := range d.Cancel { // what has no tree by now gets none
		f := t.fires[id-1]
		switch f.State {
		case dag.FireDue:
			f.State, f.Ended, f.stopped = dag.FireCancelled, at, true
		case dag.FireRunning:
			f.stopped = true
			if tree := f.tree(); tree.over.IsZero() {
				t.later(10*time.Minute, func() { t.endTree(tree, dag.FireCancelled) })
			}
		}
	}
	if m := d.Missed; m != nil {
		t.insert(&fire{Fire: history.Fire{Kind: dag.FireInstant, Instant: m.First, State: dag.FireMissed, Reason: dag.MissedGrace, Decided: at, Ended: at, Many: true}})
		t.counts.Missed += m.Count
	}
	states := map[dag.FireVerdict]dag.FireState{dag.VerdictStarts: dag.FireDue, dag.VerdictWaits: dag.FireQueued, dag.VerdictMissed: dag.FireMissed, dag.VerdictSkipped: dag.FireSkipped}
	for _, f := range d.Fires {
		state := states[f.Verdict]
		if f.Run != 0 {
			if row := t.fires[f.Run-1]; row.State == dag.FireQueued {
				row.State, row.Reason = state, f.Reason
				if state == dag.FireDue {
					row.started = at
				} else {
					row.Ended = at
				}
			}
			continue
		}
		row := &fire{Fire: history.Fire{Kind: f.Kind, Instant: f.Instant, State: state, Reason: f.Reason, Decided: at}}
		switch state {
		case dag.FireDue:
			row.started = at
		case dag.FireMissed:
			row.Ended = at
			t.counts.Missed++
		case dag.FireSkipped:
			row.Ended = at
			t.counts.Skipped++
		}
		t.insert(row)
	}
}

// insert stores a run, unless it is there.
func (t *timing) insert(row *fire) {
	if slices.ContainsFunc(t.fires, func(f *fire) bool { return f.Kind == row.Kind && f.Instant.Equal(row.Instant) && f.Cause == row.Cause }) {
		return
	}
	row.Key = int64(len(t.fires) + 1)
	t.fires = append(t.fires, row)
}

// begin claims runs that are due, and stores their trees, each in a transaction of its own, later.
func (t *timing) begin(then func()) {
	for _, f := range t.fires {
		if f.State != dag.FireDue || f.claimed.After(t.now) {
			continue
		}
		f.claimed = t.now.Add(30 * time.Second)
		copies := 1 + t.rng.IntN(4)/3 // one that was slower than its claim, too
		for range copies {
			t.later(time.Minute, func() {
				if !t.calm && t.rng.IntN(8) == 0 {
					t.counts.Crashes++
					return
				}
				if f.State != dag.FireDue { // another coordinator was quicker
					return
				}
				tree := &grown{made: t.now}
				f.trees, f.State = append(f.trees, tree), dag.FireRunning
				end := dag.FireCompleted
				if !t.calm && t.rng.IntN(4) == 0 {
					end = dag.FireFailed
				}
				t.later([]time.Duration{time.Minute, 30 * time.Minute, 5 * time.Hour}[t.rng.IntN(3)], func() { t.endTree(tree, end) })
				if end == dag.FireFailed && t.rng.IntN(2) == 0 {
					t.later(20*time.Hour, func() { t.rerun(f, tree) })
				}
			})
		}
	}
	then()
}

func (t *timing) endTree(tree *grown, end dag.FireState) {
	if t.calm && end == dag.FireFailed {
		end = dag.FireCompleted
	}
	if tree.over.IsZero() {
		tree.over, tree.end = t.now, end
	}
}

// rerun has a tree that failed succeed.
func (t *timing) rerun(f *fire, tree *grown) {
	if !tree.over.IsZero() && tree.end == dag.FireFailed && !f.stopped {
		tree.over, tree.end, tree.noted, f.State, t.reran = time.Time{}, 0, false, dag.FireRunning, true
		t.later(time.Minute, func() { t.endTree(tree, dag.FireCompleted) })
	}
}

// use is what users do: they trigger, each key perhaps twice, and pause.
func (t *timing) use() {
	if t.calm {
		return
	}
	t.later(8*time.Hour, t.use)
	if t.locked { // the row is
		return
	}
	switch t.rng.IntN(3) {
	case 0:
		key := fmt.Sprint("key ", t.rng.IntN(20))
		if slices.Contains(t.calls, key) {
			return
		}
		t.calls = append(t.calls, key)
		state, _ := t.facts()
		d := state.Trigger(t.now, dag.OverlapAllow)
		for _, f := range d.Fires {
			t.insert(&fire{Fire: history.Fire{Kind: dag.FireTrigger, Instant: f.Instant, Cause: key, Decided: t.now, State: dag.FireDue}, started: t.now})
			if f.Verdict != dag.VerdictStarts {
				t.fail("a run that is asked for does not start: %+v", f)
			}
		}
		t.counts.Calls++
	case 1:
		if t.paused {
			t.paused = false
			t.decided = latest(t.decided, t.now)
			t.passed[len(t.passed)-1][1] = t.decided
			return
		}
		state, runs := t.facts()
		d := state.Due(t.now)
		t.compare(d, t.oracle.Decide(runs, t.now), t.now)
		t.carryOut(d, t.now)
		t.decided, t.counted = d.Decided, d.Runs
		t.paused, t.passed = true, append(t.passed, [2]time.Time{d.Decided, {}})
	}
}

// judge holds the whole history against the rules, once all has ended.
func (t *timing) judge() {
	end := t.decided
	if !t.rules.EndAt.IsZero() && t.rules.EndAt.Before(end) {
		end = t.rules.EndAt.Add(-time.Nanosecond)
	}
	s := history.Schedule{ID: t.rules.ID, Overlap: t.rules.Overlap, Coalesce: t.rules.Coalesce, Grace: t.rules.MisfireGrace, Jitter: t.rules.Jitter, MaxRuns: t.rules.MaxRuns, Calls: t.calls}
	for _, at := range t.oracle.Instants(t.made, end) {
		if at.Before(t.rules.StartAt) || slices.ContainsFunc(t.passed, func(p [2]time.Time) bool { return at.After(p[0]) && (p[1].IsZero() || !at.After(p[1])) }) {
			continue
		}
		s.Instants = append(s.Instants, at)
	}
	for _, f := range t.fires {
		one := f.Fire
		if one.Trees = len(f.trees); one.Trees > 0 {
			one.Own, one.Begun, one.Over = true, f.trees[0].made, f.trees[0].over
			t.counts.Runs++
		}
		s.Fires = append(s.Fires, one)
	}
	t.counts.Instants += len(s.Instants)
	s.AfterSuccess = t.rules.AfterSuccess && !t.reran
	if p := history.CheckSchedules([]history.Schedule{s}, history.Clock{Moved: t.reran}); len(p) > 0 {
		t.fail("%s", p[0])
	}
}

func (c *TimingCounts) add(of TimingCounts) {
	c.Instants += of.Instants
	c.Runs += of.Runs
	c.Missed += of.Missed
	c.Skipped += of.Skipped
	c.Calls += of.Calls
	c.Decisions += of.Decisions
	c.Crashes += of.Crashes
	c.Stale += of.Stale
}
