package dag

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Told is how one dependency of a judged task has ended. In the order of its list.
type Told struct {
	Ref      string // what the submission calls it
	Task     Key
	Attempt  int32 // the one that ended
	Required bool
	Mode     EdgeMode
	State    State
	Allowed  bool      // its failure was allowed
	Cause    Key       // of a blocked one
	Reason   string    // of a skipped one
	Error    string    // of a failed or cancelled one
	Kind     Kind      // of the error of a failed one
	At       time.Time // when it failed, of what a fold waits for; zero: just now
}

func (t *Told) edge() Dependent { return Dependent{Key: t.Task, Required: t.Required, Mode: t.Mode} }

// cause is the task that others are blocked by.
func (t *Told) cause() Key {
	if t.State == Blocked {
		return t.Cause
	}
	return t.Task
}

// Condition is what the condition of a task has come to. The zero value: it was not evaluated.
type Condition struct {
	Known bool
	Holds bool
	Error string // why it could not be evaluated; it holds not then
	// Looked: an earlier success was looked for, if the task may end by one. Cached is that; nil: there is none.
	Looked bool
	Cached *Cached
}

// The reasons of skips that the rules give.
const (
	SkipWhenFalse  = "when_false"
	SkipFold       = "dependency_skipped"
	SkipDependency = "dependency_" // and the outcome
	SkipUser       = "user"
	// SkipNotSelected is of a job of a flow that a run is not for.
	SkipNotSelected = "not_selected"
	SkipLocked      = "locked" // its lock was held, and it does not wait for it
)

// SkipJudged reports whether the rules gave the reason of a skip, by what the task depends on: it is judged anew where that runs again.
func SkipJudged(reason string) bool {
	return reason == SkipWhenFalse || strings.HasPrefix(reason, SkipDependency)
}

// Judge decides about a task whose dependencies have all ended: it runs, is skipped, blocked, or ends as its fold does (control 2, 3). when is what
// its condition has come to; a task of which this decision has ended the last dependency stays as it is, as deps are of before; see [Decision.JudgeAtOnce]. So does one with a condition that was not evaluated, or for which no earlier success was looked for, unless its edges decide alone. It reports whether anything changed.
func (d *Decision) Judge(k Key, deps []Told, when Condition) bool {
	r := d.rows[k]
	if r == nil || r.State != Waiting || r.Remaining != 0 || r.Flags&FlagsJudged == 0 || r.cancelled || r.judging {
		return false
	}
	if r.Flags&FlagFold != 0 {
		d.fold(r, deps)
		return true
	}
	for i := range deps {
		switch t := &deps[i]; t.edge().fate(t.State) {
		case fateBlocks: // told before the edge was changed
			d.block(r, t.cause())
			return true
		case fateSkips:
			d.skip(r, SkipDependency+t.State.Outcome())
			return true
		}
	}
	switch {
	case r.Flags&FlagWhen == 0:
	case !when.Known:
		return false
	case when.Error != "":
		d.unstarted(r, Ended{Outcome: OutcomeFailed, Kind: KindWhen, Error: string(KindWhen) + ": " + when.Error}, Failed)
		return true
	case !when.Holds:
		d.skip(r, SkipWhenFalse)
		return true
	}
	switch {
	case r.Flags&FlagCache == 0:
	case !when.Looked:
		return false
	case when.Cached != nil && r.Flags&FlagFresh == 0:
		d.reuse(r, when.Cached)
		return true
	}
	d.proceed(r)
	return true
}

// ToJudgeAtOnce are those of ToJudge that [Decision.JudgeAtOnce] may decide about: nothing but the ends of their dependencies counts.
func (d *Decision) ToJudgeAtOnce() (keys []Key) {
	for _, k := range d.ToJudge {
		if d.rows[k].Flags&FlagsEvaluated == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// SettledHere are the tasks that this decision settles, by key, and how.
func (d *Decision) SettledHere() (keys []Key, states []State) {
	for _, r := range d.Changed() {
		if r.settledHere() {
			keys, states = append(keys, r.Key), append(states, r.State)
		}
	}
	return keys, states
}

func (r *Row) settledHere() bool { return r.changed && r.State.Settled() && r.State != r.was.State }

// JudgeAtOnce decides about those of ToJudge of which told says how their dependencies have ended: as the store has it, and, of those that this decision settles, in
// which state. It completes the latter. The others stay in ToJudge, for followups.
func (d *Decision) JudgeAtOnce(told map[Key][]Told) {
	if len(told) == 0 {
		return
	}
	ends := make(map[Key]*Ended, len(d.Ended))
	for i := range d.Ended {
		ends[d.Ended[i].Task] = &d.Ended[i]
	}
	judge := d.ToJudge
	d.ToJudge = nil
	for _, k := range judge {
		deps, r := told[k], d.rows[k]
		if r.judging = len(deps) == 0 || !d.completeTold(deps, ends); r.judging || !d.Judge(k, deps, Condition{}) {
			r.judging = true
			d.ToJudge = append(d.ToJudge, k)
		}
	}
}

// completeTold adds what is not stored yet. false: it is not known before it is.
func (d *Decision) completeTold(deps []Told, ends map[Key]*Ended) bool {
	for i := range deps {
		t := &deps[i]
		r := d.rows[t.Task]
		if r == nil || !r.settledHere() {
			continue
		}
		t.Attempt, t.Cause = r.Attempt, r.BlockedBy
		e := ends[t.Task]
		if e == nil {
			continue
		}
		if e.Unknown || e.Chunked {
			return false
		}
		t.Error, t.Kind = e.Error, e.Kind
		if t.State == Skipped {
			t.Reason = SkipReason(e.Result)
		}
	}
	return true
}

// unstarted ends a task that no attempt of was started.
func (d *Decision) unstarted(r *Row, e Ended, to State) {
	e.Task, e.Attempt, e.Counted = r.Key, r.Attempt, true
	d.Ended = append(d.Ended, e)
	d.finish(r, to)
}

// block settles a task that can't run.
func (d *Decision) block(r *Row, cause Key) {
	r.BlockedBy = cause
	d.move(r, Blocked)
	d.announce(r)
}

// skip ends a task without a run.
func (d *Decision) skip(r *Row, reason string) {
	d.unstarted(r, Ended{Outcome: OutcomeSkipped, Result: SkippedResult(reason, nil)}, Skipped)
}

// Skip ends a task that has not started, at a user's word; run is the first attempt of its run. It reports whether anything changed.
func (d *Decision) Skip(k Key, run int32) bool {
	r := d.rows[k]
	if r == nil || r.cancelled || !r.Skippable(run) {
		return false
	}
	d.skip(r, SkipUser)
	return true
}

// Skippable reports whether a user may skip the task: an execution waits for it, and no attempt of its run, whose first one is run, has begun. One that
// was handed back counts as begun, since nobody can tell.
func (r *Row) Skippable(run int32) bool {
	switch r.State {
	case Waiting, Delayed, Ready:
		return r.Attempt == run && r.Failures == 0 && r.Crashes == 0 && r.Repeats == 0
	}
	return false
}

// folding is what a fold takes: a worse outcome has a higher number.
var folding = map[State]int{Completed: 1, Skipped: 1, Blocked: 2, Cancelled: 3, Failed: 4}

// fold ends a fold as the worst of its dependencies: failed, the one that failed first, then cancelled, then blocked, then success. It is skipped only if all were, or if an edge
// that says so was, with its reason. An allowed failure folds as success.
func (d *Decision) fold(r *Row, deps []Told) {
	worst := -1
	for i := range deps {
		if rank := deps[i].rank(); rank > 1 && (worst < 0 || rank > deps[worst].rank() || rank == deps[worst].rank() && deps[i].earlier(&deps[worst])) {
			worst = i
		}
	}
	if worst >= 0 {
		t := &deps[worst]
		switch t.State {
		case Failed:
			d.unstarted(r, Ended{Outcome: OutcomeFailed, Kind: t.Kind, Error: t.Ref + ": " + cmp.Or(t.Error, "failed")}, Failed)
		case Cancelled:
			d.unstarted(r, Ended{Outcome: OutcomeCancelled, Error: t.Ref + ": " + cmp.Or(t.Error, "cancelled")}, Cancelled)
		default:
			d.block(r, t.cause())
		}
		return
	}
	skipped := func(t Told) bool { return t.State == Skipped }
	if i := slices.IndexFunc(deps, func(t Told) bool { return skipped(t) && t.Mode.Skips() }); i >= 0 {
		d.skip(r, cmp.Or(deps[i].Reason, SkipFold))
		return
	}
	if len(deps) > 0 && !slices.ContainsFunc(deps, func(t Told) bool { return !skipped(t) }) {
		d.skip(r, SkipFold)
		return
	}
	d.proceed(r)
}

// earlier reports whether it failed before another one: one that failed just now has no time yet.
func (t *Told) earlier(than *Told) bool {
	return !t.At.IsZero() && (than.At.IsZero() || t.At.Before(than.At))
}

func (t *Told) rank() int {
	if t.State == Failed && t.Allowed {
		return folding[Completed]
	}
	return folding[t.State]
}
