package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// The rules of schedules.
const (
	DecidedOnce Rule = "each instant is decided once, and none is left out"
	InTime      Rule = "no instant is missed within its grace, and none runs after it"
	OneTree     Rule = "each run has one tree, and each tree one run"
	RunsMeet    Rule = "runs meet only as their schedule says"
	RunsFollow  Rule = "one run begins with each end of another one, and with each call"
)

// Schedule is what was recorded of a schedule after all its runs had ended. Times are the store's.
type Schedule struct {
	ID           string
	Overlap      dag.Overlap // that is in force
	Coalesce     bool
	AfterSuccess bool
	Grace        time.Duration
	Jitter       time.Duration // by so much later a run may start
	Instants     []time.Time   // up to where it is decided, in order
	MaxRuns      int           // after so many the rest of Instants is not decided; 0: any number
	Calls        []string      // causes of the runs that somebody asked for
	On           string        // the schedule that begins its runs; empty: none
	Ends         dag.FireEnds  // of that one's runs
	Known        time.Time     // it was there for sure: what ends later begins a run
	Fires        []Fire        // in the order in which they were stored
}

// Fire is what is stored of a run, or of an instant that has none.
type Fire struct {
	Key         int64
	Kind        dag.FireKind
	Instant     time.Time
	Decided     time.Time
	State       dag.FireState
	Reason      string
	Cause       string
	Many        bool      // it is several instants that were missed
	Ended       time.Time // zero: it has not
	Trees       int       // that are of this run
	Own         bool      // the tree that it names is one of them
	Begun, Over time.Time // of its tree: when it was stored and ended; zero: there is none
}

// runs reports whether it is a run that has a tree.
func (f *Fire) runs() bool { return f.Trees > 0 }

// Clock says what the store's times are worth.
type Clock struct {
	Moved bool          // somebody moved it
	Late  time.Duration // so long after its time a transaction may have taken effect
}

// CheckSchedules holds what became of schedules against the rules.
func CheckSchedules(all []Schedule, clock Clock) []Problem {
	c := &checker{}
	for i := range all {
		s := &all[i]
		c.decided(s)
		c.inTime(s)
		c.trees(s)
		c.meet(s, clock)
		c.calls(s)
		if j := slices.IndexFunc(all, func(o Schedule) bool { return o.ID == s.On }); j >= 0 {
			c.followed(s, &all[j], clock)
		}
	}
	return c.problems
}

// decided checks that the instants of a schedule and what is stored of them are the same.
func (c *checker) decided(s *Schedule) {
	var got []time.Time
	runs := 0
	for _, f := range s.Fires {
		if f.State.Open() || f.State > dag.FireSkipped {
			c.broke(DecidedOnce, s.ID, "run %d of %s has not ended: %s", f.Key, f.Instant, f.State.Word())
		}
		if f.Kind != dag.FireInstant {
			continue
		}
		if f.Many {
			c.broke(DecidedOnce, s.ID, "many instants are in one line at %s", f.Instant)
		}
		if f.State != dag.FireMissed && f.State != dag.FireSkipped {
			runs++
		}
		got = append(got, f.Instant)
	}
	slices.SortFunc(got, time.Time.Compare)
	for i, at := range got {
		if i > 0 && at.Equal(got[i-1]) {
			c.broke(DecidedOnce, s.ID, "%s is decided twice", at)
		}
	}
	want := s.Instants
	if s.MaxRuns > 0 && runs >= s.MaxRuns {
		if runs > s.MaxRuns {
			c.broke(DecidedOnce, s.ID, "there are %d runs, of at most %d", runs, s.MaxRuns)
		}
		want = want[:min(len(want), len(got))]
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		c.broke(DecidedOnce, s.ID, "instants %s are decided, want %s", shown(got), shown(want))
	}
}

// shown are times for people.
func shown(list []time.Time) (out []string) {
	for _, at := range list {
		out = append(out, at.UTC().Format("15:04:05.000"))
	}
	return out
}

// inTime checks why instants had no run, and that those which run were not too late.
func (c *checker) inTime(s *Schedule) {
	for _, f := range s.Fires {
		if f.Kind != dag.FireInstant {
			continue
		}
		later := func(ok func(Fire) bool) bool {
			return slices.ContainsFunc(s.Fires, func(o Fire) bool { return o.Kind == dag.FireInstant && o.Instant.After(f.Instant) && ok(o) })
		}
		age := f.Decided.Sub(f.Instant)
		switch {
		case f.State != dag.FireMissed:
			if age < 0 || age > s.Grace+s.Jitter {
				c.broke(InTime, s.ID, "%s is %s, decided %s later, and its grace is %s", f.Instant, f.State.Word(), age, s.Grace)
			}
			if s.Coalesce && later(func(o Fire) bool { return o.Decided.Equal(f.Decided) && o.State != dag.FireMissed }) {
				c.broke(InTime, s.ID, "%s is %s, and so is a later one of the same decision, though instants coalesce", f.Instant, f.State.Word())
			}
		case f.Reason == dag.MissedGrace:
			if age <= s.Grace {
				c.broke(InTime, s.ID, "%s is missed, decided %s later, within its grace of %s", f.Instant, age, s.Grace)
			}
		case f.Reason == dag.MissedCoalesced:
			if !s.Coalesce || !later(func(o Fire) bool { return o.Decided.Equal(f.Decided) && o.State != dag.FireMissed }) {
				c.broke(InTime, s.ID, "%s is coalesced, and no later one was decided with it", f.Instant)
			}
		default:
			c.broke(InTime, s.ID, "%s is missed: %s", f.Instant, f.Reason)
		}
	}
}

// trees checks that runs and trees belong together.
func (c *checker) trees(s *Schedule) {
	for _, f := range s.Fires {
		switch none := f.State == dag.FireMissed || f.State == dag.FireSkipped; {
		case none && f.Trees > 0:
			c.broke(OneTree, s.ID, "%s is %s, and has %d trees", f.Instant, f.State.Word(), f.Trees)
		case none:
		case f.State == dag.FireCancelled && f.Trees == 0 && s.Overlap == dag.OverlapCancelOther: // a later one came before its tree was stored
		case f.Trees != 1 || !f.Own:
			c.broke(OneTree, s.ID, "the run of %s is %s (%s), and has %d trees, its own: %v", f.Instant, f.State.Word(), f.Reason, f.Trees, f.Own)
		}
	}
}

// meet checks runs that others may hold up.
func (c *checker) meet(s *Schedule, clock Clock) {
	for i, f := range s.Fires {
		if f.State == dag.FireSkipped {
			c.skipped(s, i, clock)
		}
	}
	if s.Overlap == dag.OverlapAllow && !s.AfterSuccess || clock.Moved {
		return
	}
	var line []Fire
	for _, f := range s.Fires {
		if f.runs() && f.Kind != dag.FireTrigger { // those that are asked for begin beside others
			line = append(line, f)
		}
	}
	slices.SortFunc(line, func(a, b Fire) int { return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.Key, b.Key)) })
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		if a.Over.IsZero() || a.Over.After(b.Begun) {
			c.broke(RunsMeet, s.ID, "the run of %s begins at %s, and that of %s ends at %s", b.Instant, b.Begun, a.Instant, a.Over)
		}
		if s.AfterSuccess && b.Kind == dag.FireInstant && b.Instant.Before(a.Instant) {
			c.broke(RunsMeet, s.ID, "the run of %s begins after that of %s", b.Instant, a.Instant)
		}
		if s.AfterSuccess && len(s.Calls) == 0 && a.State != dag.FireCompleted { // one that is asked for may have succeeded in between
			c.broke(RunsMeet, s.ID, "the run of %s begins after that of %s, which is %s", b.Instant, a.Instant, a.State.Word())
		}
	}
}

// skipped checks that there is what an instant was skipped for.
func (c *checker) skipped(s *Schedule, i int, clock Clock) {
	f := s.Fires[i]
	var by func(o Fire) bool
	switch {
	case f.Reason == dag.SkippedOverlap && s.Overlap != dag.OverlapAllow:
		by = func(o Fire) bool {
			waited := o.State != dag.FireMissed && o.State != dag.FireSkipped || o.Reason == dag.SkippedSuperseded
			return waited && !o.Decided.After(f.Decided) && (clock.Moved || !o.Ended.Add(clock.Late).Before(f.Decided))
		}
	case f.Reason == dag.SkippedSuperseded && s.Overlap == dag.OverlapCancelOther:
		by = func(o Fire) bool {
			return o.Kind == dag.FireInstant && o.Instant.After(f.Instant) && (o.State != dag.FireMissed && (o.State != dag.FireSkipped || o.Reason == dag.SkippedSuperseded))
		}
	default:
		c.broke(RunsMeet, s.ID, "%s is skipped (%s)", f.Instant, f.Reason)
		return
	}
	for j, o := range s.Fires {
		if j != i && by(o) {
			return
		}
	}
	c.broke(RunsMeet, s.ID, "%s is skipped (%s), and nothing was there that it was skipped for", f.Instant, f.Reason)
}

// calls checks that each call has begun one run.
func (c *checker) calls(s *Schedule) {
	var got []string
	for _, f := range s.Fires {
		if f.Kind == dag.FireTrigger {
			got = append(got, f.Cause)
		}
	}
	want := slices.Sorted(slices.Values(s.Calls))
	if slices.Sort(got); !slices.Equal(got, want) {
		c.broke(RunsFollow, s.ID, "runs began with the calls %q, want %q", got, want)
	}
}

// followed checks that each end of a run of one schedule began one run of another.
func (c *checker) followed(s, of *Schedule, clock Clock) {
	begun := map[string][]Fire{}
	for _, f := range s.Fires {
		if f.Kind != dag.FireEvent {
			c.broke(RunsFollow, s.ID, "%s is no event", f.Instant)
		}
		begun[f.Cause] = append(begun[f.Cause], f)
	}
	for _, f := range of.Fires {
		cause := fmt.Sprintf("%d.%d", f.Key, f.State)
		got := begun[cause]
		delete(begun, cause)
		ends, over := s.Ends.Has(f.State), f.Over
		if over.IsZero() { // it ended before its tree was stored
			over = f.Ended
		}
		switch {
		case !ends && len(got) > 0:
			c.broke(RunsFollow, s.ID, "the run of %s is %s, and began %d runs", f.Instant, f.State.Word(), len(got))
		case len(got) > 1, ends && len(got) == 0 && !clock.Moved && over.After(s.Known):
			c.broke(RunsFollow, s.ID, "the run of %s, %s at %s, began %d runs; the schedule was there at %s", f.Instant, f.State.Word(), over, len(got), s.Known)
		case len(got) == 1 && !got[0].Instant.Equal(f.Instant):
			c.broke(RunsFollow, s.ID, "the run of %s began one of %s", f.Instant, got[0].Instant)
		}
	}
	for cause := range begun {
		c.broke(RunsFollow, s.ID, "a run began with %q, which did not end so", cause)
	}
}
