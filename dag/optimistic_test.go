package dag_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// remembered is a [dag.Memory] of tree 7.
type remembered struct {
	execution  int32
	dependents map[dag.Key][]dag.Dependent
	waiting    map[dag.Key]int32
	flags      map[dag.Key]dag.Flags
}

func (m remembered) Dependents(k dag.Key) ([]dag.Dependent, int32) {
	return m.dependents[k], m.execution
}

func (m remembered) Waiting(k dag.Key) (dag.Facts, int32) {
	return dag.FactsOf(1, m.flags[k], dag.Normal, 1), m.waiting[k]
}

// fan is a memory in which tasks 0 and 1 unlock task 2, and 1 unlocks task 3 too.
func fan() remembered {
	return remembered{
		execution: 1,
		dependents: map[dag.Key][]dag.Dependent{
			key(0): {{Key: key(2), Required: true}},
			key(1): {{Key: key(2), Required: true}, {Key: key(3), Required: true}},
		},
		waiting: map[dag.Key]int32{key(2): 2, key(3): 1},
		flags:   map[dag.Key]dag.Flags{},
	}
}

// by sets the mode of the edges from a task.
func (m *remembered) by(i int, mode dag.EdgeMode) {
	for at := range m.dependents[key(i)] {
		m.dependents[key(i)][at].Mode = mode
	}
}

// assumed is what an optimistic decision writes, and what it assumes, in short.
func assumed(o *dag.Optimistic) string {
	var b strings.Builder
	for _, r := range o.Decision.Changed() {
		was := r.Expected()
		fmt.Fprintf(&b, "%d: %s", r.Key.Index(), was.State)
		if was.State == dag.Waiting {
			fmt.Fprintf(&b, " for %d", was.Remaining)
		}
		if was.Worker != 0 {
			fmt.Fprintf(&b, " at %d", was.Worker)
		}
		fmt.Fprintf(&b, " -> %s", r.State)
		if r.State == dag.Waiting {
			fmt.Fprintf(&b, " for %d", r.Remaining)
		}
		b.WriteString("; ")
	}
	fmt.Fprintf(&b, "alive %v, vacant %v", o.Assumed.Workers, o.Assumed.Vacant)
	for _, tree := range slices.Sorted(maps.Keys(o.Assumed.Trees)) {
		fmt.Fprintf(&b, ", tree %d in %d", tree, o.Assumed.Trees[tree])
	}
	return b.String()
}

// TestOptimisticClaims: which claims are decided without reading, and what that assumes.
func TestOptimisticClaims(t *testing.T) {
	claim := func(i int, worker dag.WorkerKey) dag.Claim {
		return dag.Claim{Task: key(i), Attempt: 1, Worker: worker, Facts: dag.FactsOf(1, 0, dag.Normal, 1)}
	}
	flagged := func(f dag.Flags) dag.Claim {
		c := claim(0, 9)
		c.Facts = dag.FactsOf(1, f, dag.Normal, 1)
		return c
	}
	for name, tc := range map[string]struct {
		claims []dag.Claim
		want   string // empty: they are read
	}{
		"of ready tasks, by workers that are alive, in trees that are not cancelled": {
			[]dag.Claim{claim(1, 9), claim(0, 9), claim(2, 8)},
			"0: ready -> running; 1: ready -> running; 2: ready -> running; alive [9 8], vacant [], tree 7 in 0"},
		"a leaf that unlocks others":         {[]dag.Claim{flagged(dag.FlagLeaf | dag.FlagDependents | dag.FlagWide)}, "0: ready -> running; alive [9], vacant [], tree 7 in 0"},
		"one that is repeatable":             {[]dag.Claim{flagged(dag.FlagRepeatable)}, ""},
		"one with a time":                    {[]dag.Claim{flagged(dag.FlagTimed)}, ""},
		"one with a timeout":                 {[]dag.Claim{flagged(dag.FlagTimeout)}, ""},
		"one that nobody has an executor of": {[]dag.Claim{flagged(dag.FlagUnknown)}, ""},
		"a later attempt":                    {[]dag.Claim{{Task: key(0), Attempt: 2, Worker: 9, Facts: dag.FactsOf(1, 0, dag.Normal, 1)}}, ""},
		"without facts":                      {[]dag.Claim{{Task: key(0), Attempt: 1, Worker: 9}}, ""},
		"two of one task":                    {[]dag.Claim{claim(0, 9), claim(0, 8)}, ""},
		"one among many that can't be":       {[]dag.Claim{claim(0, 9), {Task: key(1), Attempt: 1, Worker: 9}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := dag.NewOptimistic()
			verdicts, ok := o.Claim(tc.claims)
			if !ok {
				if tc.want != "" || verdicts != nil {
					t.Errorf("it is read, with verdicts %v", verdicts)
				}
				return
			}
			if got := assumed(o); got != tc.want || slices.ContainsFunc(verdicts, func(v dag.Verdict) bool { return v != dag.Yes }) || len(verdicts) != len(tc.claims) {
				t.Errorf("verdicts %v\ngot  %s\nwant %s", verdicts, got, tc.want)
			}
		})
	}
}

// optimisticResult is a batch of results, and what comes of it when what memory remembers is fan, changed.
type optimisticResult struct {
	results []dag.Result
	memory  func(*remembered)
	full    bool   // others wait
	want    string // empty: they are read
}

// optimisticResults are batches by what they are.
func optimisticResults() map[string]optimisticResult {
	result := func(i int) dag.Result {
		var f dag.Flags
		if i < 2 {
			f = dag.FlagDependents
		}
		return dag.Result{Task: key(i), Attempt: 1, Worker: 9, Outcome: dag.OutcomeCompleted, Value: []byte("1"), Facts: dag.FactsOf(1, f, dag.Normal, 1)}
	}
	with := func(r dag.Result, f func(*dag.Result)) []dag.Result { f(&r); return []dag.Result{r} }
	flagged := func(f dag.Flags) []dag.Result {
		return with(result(0), func(r *dag.Result) { r.Facts = dag.FactsOf(1, f, dag.Normal, 1) })
	}
	offer := with(result(1), func(r *dag.Result) { r.Offer = true })
	both := []dag.Result{result(1), result(0)}
	marked := func(f dag.Flags) func(*remembered) { return func(m *remembered) { m.flags[key(2)] = f } }
	failedOrBlocked, _ := dag.EdgeOf([]string{"failed"}, "block", false, false)
	failedOrSkipped, _ := dag.EdgeOf([]string{"failed"}, "skip", false, false)
	const waitsOn = "0: running at 9 -> completed; 2: waiting for 2 -> waiting for 1; alive [], vacant [], tree 7 in 1"
	const alone = "0: running at 9 -> completed; alive [], vacant []"
	return map[string]optimisticResult{
		"one that unlocks nothing": {
			results: []dag.Result{result(4)}, memory: func(m *remembered) { *m = remembered{} },
			want: "4: running at 9 -> completed; alive [], vacant []"},
		"one of two that a task waits for": {
			results: []dag.Result{result(0)},
			want:    "0: running at 9 -> completed; 2: waiting for 2 -> waiting for 1; alive [], vacant [], tree 7 in 1"},
		"both that a task waits for": {
			results: []dag.Result{result(1), result(0)},
			want: "0: running at 9 -> completed; 1: running at 9 -> completed; 2: waiting for 2 -> ready; 3: waiting for 1 -> ready; " +
				"alive [], vacant [], tree 7 in 1"},
		"one that offers its slot": {
			results: offer,
			want: "1: running at 9 -> completed; 2: waiting for 2 -> waiting for 1; 3: waiting for 1 -> running; " +
				"alive [9], vacant [{1 2}], tree 7 in 1"},
		"one that offers its slot while others wait": {
			results: offer, full: true,
			want: "1: running at 9 -> completed; 2: waiting for 2 -> waiting for 1; 3: waiting for 1 -> ready; alive [], vacant [], tree 7 in 1"},

		"a wide one: a followup tells its dependents": {results: flagged(dag.FlagDependents | dag.FlagWide), want: alone},

		"a repeatable one":   {results: flagged(dag.FlagRepeatable), want: alone},
		"one with a timeout": {results: flagged(dag.FlagTimeout), want: alone},

		"a failure":                    {results: with(result(4), func(r *dag.Result) { r.Outcome = dag.OutcomeFailed })},
		"one handed back":              {results: with(result(4), func(r *dag.Result) { r.Outcome = dag.OutcomeReturned })},
		"one that started early":       {results: with(result(4), func(r *dag.Result) { r.Early = true })},
		"one in parts":                 {results: with(result(4), func(r *dag.Result) { r.Chunked = true })},
		"one with an error":            {results: with(result(4), func(r *dag.Result) { r.Error = "e" })},
		"one with a detail":            {results: with(result(4), func(r *dag.Result) { r.Detail = "d" })},
		"one of nobody known":          {results: with(result(4), func(r *dag.Result) { r.Worker = 0 })},
		"one of a later attempt":       {results: with(result(4), func(r *dag.Result) { r.Attempt = 2 })},
		"one without facts":            {results: with(result(4), func(r *dag.Result) { r.Facts = 0 })},
		"two of one task":              {results: []dag.Result{result(4), result(4)}},
		"one about a dependent too":    {results: []dag.Result{result(0), result(2)}},
		"a tree that is not in memory": {results: []dag.Result{result(0)}, memory: func(m *remembered) { *m = remembered{execution: 1} }},
		"a tree that is cancelled":     {results: []dag.Result{result(0)}, memory: func(m *remembered) { m.execution = 0 }},
		"a tree that runs again":       {results: []dag.Result{result(0)}, memory: func(m *remembered) { m.execution = 2 }},
		"a dependent not in memory":    {results: []dag.Result{result(1)}, memory: func(m *remembered) { delete(m.waiting, key(3)) }},
		"a dependent with a time":      {results: both, memory: marked(dag.FlagTimed)},
		"a dependent with a timeout":   {results: both, memory: marked(dag.FlagTimeout)},
		"a dependent of no executor":   {results: both, memory: marked(dag.FlagUnknown)},
		"a dependent that is a group":  {results: both, memory: marked(dag.FlagGroup)},
		"a dependent that is judged":   {results: both, memory: marked(dag.FlagJudged)},
		"a dependent with a condition": {results: both, memory: marked(dag.FlagWhen)},

		"a dependent that is a fold, and waits on":            {results: both[1:], memory: marked(dag.FlagGroup | dag.FlagFold | dag.FlagJudged), want: waitsOn},
		"a dependent that has a timeout, and waits on":        {results: both[1:], memory: marked(dag.FlagTimeout), want: waitsOn},
		"a dependent that a success blocks":                   {results: both[1:], memory: func(m *remembered) { m.by(0, failedOrBlocked) }},
		"a dependent that a success skips, while it waits on": {results: both[1:], memory: func(m *remembered) { marked(dag.FlagJudged)(m); m.by(0, failedOrSkipped) }, want: waitsOn},
	}
}

// TestOptimisticResults: which results are decided without reading, and what that assumes.
func TestOptimisticResults(t *testing.T) {
	for name, tc := range optimisticResults() {
		t.Run(name, func(t *testing.T) {
			m := fan()
			if tc.memory != nil {
				tc.memory(&m)
			}
			o := dag.NewOptimistic()
			if !o.AssumeResults(tc.results, m) || !o.Settle(tc.results, func(dag.Lane) bool { return !tc.full }) {
				if tc.want != "" {
					t.Error("it is read")
				}
				return
			}
			if got := assumed(o); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestWhatIsMemorable: a row may be assumed later if its task waited and waits on, and nothing happened to it but that.
func TestWhatIsMemorable(t *testing.T) {
	waiting := dag.Row{Key: key(2), State: dag.Waiting, Attempt: 1, Remaining: 2, Pool: 1}
	with := func(f func(*dag.Row)) dag.Row { r := waiting; f(&r); return r }
	ends := func(d *dag.Decision) {
		d.DependencyEnded(dag.Dependent{Key: key(2), Required: true}, dag.Completed, key(0))
	}
	for name, tc := range map[string]struct {
		row  dag.Row
		then func(*dag.Decision)
		want bool
	}{
		"it waits for one less":     {waiting, ends, true},
		"it waits for nothing more": {with(func(r *dag.Row) { r.Remaining = 1 }), ends, false},
		"it is cancelled":           {waiting, func(d *dag.Decision) { d.Cancel(key(2), "", false) }, false},
		"it is blocked": {waiting, func(d *dag.Decision) {
			d.DependencyEnded(dag.Dependent{Key: key(2), Required: true}, dag.Failed, key(0))
		}, false},
		"it is in its second attempt": {with(func(r *dag.Row) { r.Attempt = 2 }), ends, false},
		"a failure was counted":       {with(func(r *dag.Row) { r.Failures = 1 }), ends, false},
		"a worker was lost":           {with(func(r *dag.Row) { r.Crashes = 1 }), ends, false},
		"it is a group":               {with(func(r *dag.Row) { r.Flags = dag.FlagGroup }), ends, true},
		"it has a time":               {with(func(r *dag.Row) { r.Flags = dag.FlagTimed }), ends, true},
		"it waits to be judged":       {with(func(r *dag.Row) { r.Flags, r.Remaining = dag.FlagJudged, 1 }), ends, false},
		"it was ready":                {with(func(r *dag.Row) { r.State = dag.Ready }), func(*dag.Decision) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := decision(tc.row)
			tc.then(d)
			if got := d.Row(key(2)).Memorable(); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
