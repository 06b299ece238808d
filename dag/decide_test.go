package dag_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// key is task i of tree 7.
func key(i int) dag.Key { return dag.TreeKey(7).Key(i) }

func decision(rows ...dag.Row) *dag.Decision {
	d := dag.NewDecision(now, func() float64 { return 0.5 })
	for _, r := range rows {
		if r.Attempt == 0 {
			r.Attempt = 1
		}
		d.Add(r, false)
	}
	return d
}

func runningRow(i int) dag.Row {
	return dag.Row{Key: key(i), State: dag.Running, Attempt: 2, Worker: 9, StartedAt: now.Add(-time.Second)}
}

// what is a decision's outcome for task 0, in short.
func what(d *dag.Decision) string {
	r := d.Row(key(0))
	return fmt.Sprintf("%s attempt %d worker %d failures %d crashes %d ended %d timers %d", r.State, r.Attempt, r.Worker, r.Failures, r.Crashes, len(d.Ended), len(d.Timers))
}

func TestRetryWaitsAsLongAsTheFailureAsks(t *testing.T) {
	row := runningRow(0)
	row.Policy = &dag.Policy{Retry: dag.RetryPolicy{MaxAttempts: 3}}
	d := decision(row)
	d.Settle(dag.Result{Task: key(0), Attempt: 2, Worker: 9, Outcome: dag.OutcomeFailed, RetryAfter: time.Minute})
	if r := d.Row(key(0)); r.State != dag.Delayed || len(d.Timers) != 1 || d.Timers[0].Delay < time.Minute {
		t.Errorf("got %s with timers %+v, want a delay of a minute at least", r.State, d.Timers)
	}
}

func TestSettle(t *testing.T) {
	result := func(o dag.Outcome) dag.Result { return dag.Result{Task: key(0), Attempt: 2, Worker: 9, Outcome: o} }
	with := func(r dag.Row, f func(*dag.Row)) dag.Row { f(&r); return r }
	retries := &dag.Policy{Retry: dag.RetryPolicy{MaxAttempts: 3}}
	for name, tc := range map[string]struct {
		row     dag.Row
		result  dag.Result
		want    string
		refused bool
	}{
		"a completed attempt completes its task": {
			row: runningRow(0), result: result(dag.OutcomeCompleted),
			want: "completed attempt 2 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"a failed one fails it, when there is no policy": {
			row: runningRow(0), result: result(dag.OutcomeFailed),
			want: "failed attempt 2 worker 0 failures 1 crashes 0 ended 1 timers 0"},
		"a failed one is tried again later, when the policy says so": {
			row: with(runningRow(0), func(r *dag.Row) { r.Policy = retries }), result: result(dag.OutcomeFailed),
			want: "delayed attempt 3 worker 0 failures 1 crashes 0 ended 1 timers 1"},
		"a timeout counts like a failure": {
			row: with(runningRow(0), func(r *dag.Row) { r.Policy = retries }), result: result(dag.OutcomeTimedOut),
			want: "delayed attempt 3 worker 0 failures 1 crashes 0 ended 1 timers 1"},
		"the last attempt of the policy fails it": {
			row: with(runningRow(0), func(r *dag.Row) { r.Policy, r.Failures = retries, 2 }), result: result(dag.OutcomeFailed),
			want: "failed attempt 2 worker 0 failures 3 crashes 0 ended 1 timers 0"},
		"a permanent failure is not tried again": {
			row:    with(runningRow(0), func(r *dag.Row) { r.Policy = retries }),
			result: func() dag.Result { r := result(dag.OutcomeFailed); r.Permanent = true; return r }(),
			want:   "failed attempt 2 worker 0 failures 1 crashes 0 ended 1 timers 0"},
		"what is handed back is ready again, uncounted": {
			row: runningRow(0), result: result(dag.OutcomeReturned),
			want: "ready attempt 3 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"what must not start twice fails when it is handed back": {
			row: with(runningRow(0), func(r *dag.Row) { r.Policy = &dag.Policy{OnLost: dag.FailLost} }), result: result(dag.OutcomeReturned),
			want: "failed attempt 2 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"what must not start twice is ready again when it never began": {
			row:    with(runningRow(0), func(r *dag.Row) { r.Policy = &dag.Policy{OnLost: dag.FailLost} }),
			result: func() dag.Result { r := result(dag.OutcomeReturned); r.Unstarted = true; return r }(),
			want:   "ready attempt 3 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"so is what was lost before": {
			row:    with(runningRow(0), func(r *dag.Row) { r.Crashes = dag.PoisonLimit - 1 }),
			result: func() dag.Result { r := result(dag.OutcomeReturned); r.Unstarted = true; return r }(),
			want:   "ready attempt 3 worker 0 failures 0 crashes 2 ended 1 timers 0"},
		"a failure that says it never began is a failure": {
			row:    runningRow(0),
			result: func() dag.Result { r := result(dag.OutcomeFailed); r.Unstarted = true; return r }(),
			want:   "failed attempt 2 worker 0 failures 1 crashes 0 ended 1 timers 0"},
		"an older attempt's result changes nothing": {
			row: with(runningRow(0), func(r *dag.Row) { r.Attempt = 3 }), result: result(dag.OutcomeCompleted), refused: true},
		"another worker's result changes nothing": {
			row: with(runningRow(0), func(r *dag.Row) { r.Worker = 8 }), result: result(dag.OutcomeCompleted), refused: true},
		"the worker's next life reports for the one before": {
			row:    runningRow(0),
			result: dag.Result{Task: key(0), Attempt: 2, Worker: 11, Before: []dag.WorkerKey{9}, Outcome: dag.OutcomeReturned},
			want:   "ready attempt 3 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"a second copy changes nothing": {
			row: dag.Row{Key: key(0), State: dag.Completed, Attempt: 2}, result: result(dag.OutcomeCompleted), refused: true},
		"a cancelled attempt's receipt closes it": {
			row: dag.Row{Key: key(0), State: dag.Cancelled, Attempt: 2, Worker: 9}, result: result(dag.OutcomeCompleted),
			want: "cancelled attempt 2 worker 0 failures 0 crashes 0 ended 1 timers 0"},
		"a second receipt changes nothing": {
			row: dag.Row{Key: key(0), State: dag.Cancelled, Attempt: 2}, result: result(dag.OutcomeCompleted), refused: true},
		"a result before the claim counts only for what is repeatable": {
			row:    dag.Row{Key: key(0), State: dag.Ready, Attempt: 2},
			result: dag.Result{Task: key(0), Attempt: 2, Worker: 9, Outcome: dag.OutcomeCompleted, Early: true}, refused: true},
		"an early result is claim and result": {
			row:    dag.Row{Key: key(0), State: dag.Ready, Attempt: 2, Flags: dag.FlagRepeatable},
			result: dag.Result{Task: key(0), Attempt: 2, Worker: 9, Outcome: dag.OutcomeCompleted, Early: true},
			want:   "completed attempt 2 worker 0 failures 0 crashes 0 ended 1 timers 0"},
	} {
		t.Run(name, func(t *testing.T) {
			d := decision(tc.row)
			changed := d.Settle(tc.result)
			if changed == tc.refused {
				t.Errorf("changed: got %t", changed)
			}
			if tc.refused {
				if len(d.Changed())+len(d.Ended)+len(d.Trees) > 0 {
					t.Errorf("a refused result left %s", what(d))
				}
				return
			}
			if got := what(d); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if d.Settle(tc.result) {
				t.Error("the same result changed something twice")
			}
		})
	}
}

// TestStarts: an attempt started when it was claimed, or as much later as its worker waited for a slot.
func TestStarts(t *testing.T) {
	claimed := runningRow(0).StartedAt // a second before now
	for name, tc := range map[string]struct {
		result dag.Result
		ready  bool      // it is not claimed
		want   time.Time // of the attempt
	}{
		"it did not wait":                     {dag.Result{Outcome: dag.OutcomeCompleted}, false, claimed},
		"it waited":                           {dag.Result{Outcome: dag.OutcomeCompleted, Waited: 300 * time.Millisecond}, false, claimed.Add(300 * time.Millisecond)},
		"it waited and failed":                {dag.Result{Outcome: dag.OutcomeFailed, Waited: 300 * time.Millisecond}, false, claimed.Add(300 * time.Millisecond)},
		"it waited, and was interrupted":      {dag.Result{Outcome: dag.OutcomeReturned, Waited: 300 * time.Millisecond}, false, claimed.Add(300 * time.Millisecond)},
		"its worker's clock is wrong":         {dag.Result{Outcome: dag.OutcomeCompleted, Waited: time.Hour}, false, now},
		"its worker's clock goes backwards":   {dag.Result{Outcome: dag.OutcomeCompleted, Waited: -time.Hour}, false, claimed},
		"it never began":                      {dag.Result{Outcome: dag.OutcomeReturned, Unstarted: true}, false, time.Time{}},
		"it never began, and says it waited":  {dag.Result{Outcome: dag.OutcomeReturned, Unstarted: true, Waited: time.Second / 2}, false, time.Time{}},
		"it started beside its claim":         {dag.Result{Outcome: dag.OutcomeCompleted, Early: true, Ran: 200 * time.Millisecond}, true, now.Add(-200 * time.Millisecond)},
		"early ones don't wait":               {dag.Result{Outcome: dag.OutcomeCompleted, Early: true, Ran: 200 * time.Millisecond, Waited: time.Hour}, true, now.Add(-200 * time.Millisecond)},
		"early, and its claim came meanwhile": {dag.Result{Outcome: dag.OutcomeCompleted, Early: true, Ran: 200 * time.Millisecond, Waited: time.Hour}, false, claimed},
	} {
		t.Run(name, func(t *testing.T) {
			row := runningRow(0)
			row.Flags = dag.FlagRepeatable
			if tc.ready {
				row.State, row.Worker, row.StartedAt = dag.Ready, 0, time.Time{}
			}
			d := decision(row)
			tc.result.Task, tc.result.Attempt, tc.result.Worker = key(0), 2, 9
			if !d.Settle(tc.result) || len(d.Ended) != 1 {
				t.Fatal("it changed nothing")
			}
			if got := d.Ended[0].StartedAt; !got.Equal(tc.want) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestTurns: what was interrupted has had its turn, and what failed has not.
func TestTurns(t *testing.T) {
	retried := &dag.Policy{Retry: dag.RetryPolicy{MaxAttempts: 3}}
	returned := func(o dag.Outcome, unstarted bool) func(d *dag.Decision) {
		return func(d *dag.Decision) {
			d.Settle(dag.Result{Task: key(0), Attempt: 2, Worker: 9, Outcome: o, Unstarted: unstarted})
		}
	}
	for name, tc := range map[string]struct {
		step func(d *dag.Decision)
		want bool
	}{
		"handed back":           {returned(dag.OutcomeReturned, false), true},
		"handed back unstarted": {returned(dag.OutcomeReturned, true), true},
		"lost":                  {func(d *dag.Decision) { d.Lost(key(0), 9, true) }, true},
		"disowned":              {func(d *dag.Decision) { d.Lost(key(0), 9, false) }, true},
		"failed":                {returned(dag.OutcomeFailed, false), false},
		"completed":             {returned(dag.OutcomeCompleted, false), false},
	} {
		t.Run(name, func(t *testing.T) {
			row := runningRow(0)
			row.Policy = retried
			d := decision(row)
			tc.step(d)
			if got := d.Row(key(0)).Again(); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestMayBeClaimedAhead(t *testing.T) {
	for _, row := range []struct {
		fact         string
		attempt, run int32
		flags        dag.Flags
		want         bool
	}{
		{"the first attempt", 1, 1, dag.FlagLeaf, true},
		{"the first of a later run", 5, 5, 0, true},
		{"one after another that was lost", 2, 1, 0, false},
		{"one that is repeatable", 1, 1, dag.FlagRepeatable, true},
		{"one that must not start twice", 1, 1, dag.FlagOnce, false},
	} {
		if got := dag.MayBeClaimedAhead(row.attempt, row.run, row.flags); got != row.want {
			t.Errorf("%s: %v", row.fact, got)
		}
	}
}

func TestClaim(t *testing.T) {
	ready := dag.Row{Key: key(0), State: dag.Ready, Attempt: 2}
	for name, tc := range map[string]struct {
		row       dag.Row
		attempt   int32
		cancelled bool
		want      dag.Verdict
	}{
		"a ready attempt is granted":              {row: ready, attempt: 2, want: dag.Yes},
		"an older attempt is not":                 {row: ready, attempt: 1, want: dag.No},
		"nor one of a cancelled tree":             {row: ready, attempt: 2, cancelled: true, want: dag.No},
		"its holder is granted it again":          {row: runningRow(0), attempt: 2, want: dag.Yes},
		"another worker is not":                   {row: dag.Row{Key: key(0), State: dag.Running, Attempt: 2, Worker: 8}, attempt: 2, want: dag.No},
		"a cancelled task is not granted":         {row: dag.Row{Key: key(0), State: dag.Cancelled, Attempt: 2}, attempt: 2, want: dag.No},
		"a task that waits for a time is not yet": {row: dag.Row{Key: key(0), State: dag.Delayed, Attempt: 2}, attempt: 2, want: dag.No},
	} {
		t.Run(name, func(t *testing.T) {
			d := dag.NewDecision(now, nil)
			d.Add(tc.row, tc.cancelled)
			if got := d.Claim(key(0), tc.attempt, 9); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
			if r := d.Row(key(0)); tc.want == dag.Yes && (r.State != dag.Running || r.Worker != 9) {
				t.Errorf("a yes left the task %s with worker %d", r.State, r.Worker)
			}
			if tc.want == dag.No && len(d.Changed()) > 0 {
				t.Error("a no changed the task")
			}
		})
	}
}

func TestLost(t *testing.T) {
	d := decision(runningRow(0))
	for crash := range dag.PoisonLimit {
		r := d.Row(key(0))
		if !d.Lost(r.Key, 9, true) {
			t.Fatalf("crash %d: nothing changed", crash+1)
		}
		if crash < dag.PoisonLimit-1 {
			if r.State != dag.Ready || r.Failures != 0 {
				t.Fatalf("crash %d: %s, %d failures", crash+1, r.State, r.Failures)
			}
			if d.Claim(r.Key, r.Attempt, 9) != dag.Yes {
				t.Fatal("claim refused")
			}
		}
	}
	if got := d.Row(key(0)).State; got != dag.Failed {
		t.Errorf("after %d crashes: got %s, want failed", dag.PoisonLimit, got)
	}
	if d.Lost(key(0), 9, true) {
		t.Error("a settled task was taken back")
	}
}

func TestUnlock(t *testing.T) {
	// 0 and 1 are dependencies of 2; 2 of 3.
	rows := func(required bool) *dag.Decision {
		d := decision(
			dag.Row{Key: key(0), State: dag.Running, Worker: 9, Flags: dag.FlagDependents},
			dag.Row{Key: key(1), State: dag.Running, Worker: 9, Flags: dag.FlagDependents},
			dag.Row{Key: key(2), State: dag.Waiting, Remaining: 2, Flags: dag.FlagDependents})
		d.AddDependent(key(0), dag.Dependent{Key: key(2), Required: required})
		d.AddDependent(key(1), dag.Dependent{Key: key(2), Required: true})
		return d
	}
	end := func(d *dag.Decision, i int, o dag.Outcome) {
		d.Settle(dag.Result{Task: key(i), Attempt: 1, Worker: 9, Outcome: o})
	}
	d := rows(true)
	end(d, 0, dag.OutcomeCompleted)
	if r := d.Row(key(2)); r.State != dag.Waiting || r.Remaining != 1 {
		t.Errorf("after one of two: got %s with %d remaining", r.State, r.Remaining)
	}
	end(d, 1, dag.OutcomeCompleted)
	if got := d.Readied(); len(got) != 1 || got[0].Key != key(2) {
		t.Errorf("readied: got %v", got)
	}
	d = rows(true)
	end(d, 0, dag.OutcomeFailed)
	if r := d.Row(key(2)); r.State != dag.Blocked || r.BlockedBy != key(0) {
		t.Errorf("after a required failure: got %s by %d", r.State, r.BlockedBy)
	}
	if len(d.Unlock) != 1 || d.Unlock[0] != key(2) {
		t.Errorf("what depends on the blocked task is left to a followup: got %v", d.Unlock)
	}
	end(d, 1, dag.OutcomeCompleted)
	if r := d.Row(key(2)); r.State != dag.Blocked {
		t.Errorf("a blocked task went on as %s", r.State)
	}
	d = rows(false)
	end(d, 0, dag.OutcomeFailed)
	end(d, 1, dag.OutcomeCompleted)
	if r := d.Row(key(2)); r.State != dag.Ready {
		t.Errorf("after an optional failure: got %s", r.State)
	}
}

func TestHandOver(t *testing.T) {
	any := func(*dag.Row) bool { return true }
	for _, tt := range []struct {
		fact  string
		offer bool
		may   func(*dag.Row) bool
		edit  func(rows []dag.Row)
		want  int // tasks that are handed over
	}{
		{"an unlocked task of the pool is", true, any, nil, 1},
		{"without an offer, none is", false, any, nil, 0},
		{"a task that would pass another is not", true, func(*dag.Row) bool { return false }, nil, 0},
		{"a task of another pool is not", true, any, func(rows []dag.Row) { rows[1].Pool, rows[2].Pool = 4, 4 }, 0},
		{"a task that waits for more is not", true, any, func(rows []dag.Row) { rows[1].Remaining, rows[2].Remaining = 2, 2 }, 0},
		{"a task that was ready before is not", true, any, func(rows []dag.Row) { rows[1].State, rows[2].State = dag.Ready, dag.Ready }, 0},
		{"a task with the key of a model is not, nor does another one pass it", true, any, func(rows []dag.Row) { rows[1].Flags = dag.FlagKeyed }, 0},
		{"a task before one with the key of a model is", true, any, func(rows []dag.Row) { rows[2].Flags = dag.FlagKeyed }, 1},
		{"a group is not", true, any, func(rows []dag.Row) { rows[1].Flags, rows[2].Flags = dag.FlagGroup, dag.FlagGroup }, 0},
	} {
		rows := []dag.Row{
			{Key: key(0), State: dag.Running, Worker: 9, Pool: 3, Flags: dag.FlagDependents},
			{Key: key(1), State: dag.Waiting, Remaining: 1, Pool: 3},
			{Key: key(2), State: dag.Waiting, Remaining: 1, Pool: 3},
		}
		if tt.edit != nil {
			tt.edit(rows)
		}
		d := decision(rows...)
		d.AddDependent(key(0), dag.Dependent{Key: key(1), Required: true})
		d.AddDependent(key(0), dag.Dependent{Key: key(2), Required: true})
		res := dag.Result{Task: key(0), Attempt: 1, Worker: 9, Outcome: dag.OutcomeCompleted, Offer: tt.offer}
		d.Settle(res)
		d.HandOver([]*dag.Result{&res}, tt.may)
		if len(d.Handovers) != tt.want {
			t.Errorf("%s: got %v", tt.fact, d.Handovers)
		}
		for _, h := range d.Handovers {
			if r := d.Row(h.Task); r.State != dag.Running || r.Worker != 9 || h.After != key(0) || h.AfterAttempt != 1 {
				t.Errorf("%s: %+v, row %+v", tt.fact, h, r)
			}
		}
	}
}

// TestTheBestIsHandedOver: of what a decision makes ready, the most urgent gets a slot, and nothing gets one before it.
func TestTheBestIsHandedOver(t *testing.T) {
	all := func(*dag.Row) bool { return true }
	for fact, tt := range map[string]struct {
		edges      map[int][]int // what waits for results 0, 1 and 2, which have ended in their order
		priorities map[int]dag.Priority
		pools      map[int]int32
		silent     map[int]bool // results that offer no slot
		may        func(*dag.Row) bool
		want       string // task after result
	}{
		"the most urgent of what a result unlocks": {
			edges: map[int][]int{0: {3, 4, 5}}, priorities: map[int]dag.Priority{3: dag.Low, 4: dag.Urgent, 5: dag.Normal}, want: "4 after 0"},
		"the first submitted of equal ones, in whatever order edges come": {
			edges: map[int][]int{0: {5, 4, 3}}, want: "3 after 0"},
		"of its own pool: more urgent ones of another don't count": {
			edges: map[int][]int{0: {3, 4}}, priorities: map[int]dag.Priority{3: dag.Low, 4: dag.Urgent}, pools: map[int]int32{4: 9}, want: "3 after 0"},
		"nothing, when another result unlocked a more urgent one that gets no slot": {
			edges: map[int][]int{0: {3}, 1: {4}}, priorities: map[int]dag.Priority{3: dag.Low, 4: dag.Urgent}, silent: map[int]bool{1: true}, want: ""},
		"also after a more urgent one that another result unlocked and that gets its slot": {
			edges: map[int][]int{0: {3}, 1: {4}}, priorities: map[int]dag.Priority{3: dag.Low, 4: dag.Urgent}, want: "4 after 1, 3 after 0"},
		"nothing, when a second urgent one gets no slot": {
			edges: map[int][]int{0: {3}, 1: {4, 5}}, priorities: map[int]dag.Priority{3: dag.Low, 4: dag.Urgent, 5: dag.Urgent}, want: "4 after 1"},
		"another one beside one that was ready at the same time": {
			edges: map[int][]int{0: {3}, 1: {4}}, silent: map[int]bool{0: true}, want: "4 after 1"},
		"one task once, though it waited for two results": {
			edges: map[int][]int{0: {3, 4}, 1: {3}}, want: "3 after 0"},
		"the next, when another slot has taken the best": {
			edges: map[int][]int{0: {3}, 1: {3, 4}}, want: "3 after 0, 4 after 1"},
		"nothing that would pass what waits in the store": {
			edges: map[int][]int{0: {3, 4}}, may: func(r *dag.Row) bool { return r.Priority == dag.Low }, priorities: map[int]dag.Priority{3: dag.Low}, want: ""},
	} {
		t.Run(fact, func(t *testing.T) {
			rows := make([]dag.Row, 6)
			for i := range rows {
				priority, set := tt.priorities[i]
				if !set {
					priority = dag.Normal
				}
				rows[i] = dag.Row{Key: key(i), State: dag.Waiting, Pool: 3, Priority: priority}
				if pool, set := tt.pools[i]; set {
					rows[i].Pool = pool
				}
				if i < 3 {
					rows[i].State, rows[i].Worker, rows[i].Flags = dag.Running, 9, dag.FlagDependents
				}
			}
			for _, tasks := range tt.edges {
				for _, k := range tasks {
					rows[k].Remaining++
				}
			}
			d := decision(rows...)
			var results []dag.Result
			for i := range 3 {
				for _, k := range tt.edges[i] {
					d.AddDependent(key(i), dag.Dependent{Key: key(k), Required: true})
				}
				results = append(results, dag.Result{Task: key(i), Attempt: 1, Worker: 9, Outcome: dag.OutcomeCompleted, Offer: !tt.silent[i]})
			}
			may := tt.may
			if may == nil {
				may = all
			}
			d.HandOverAll(results, d.SettleAll(results), func(dag.WorkerKey) bool { return true }, may)
			var got []string
			for _, h := range d.Handovers {
				got = append(got, fmt.Sprintf("%d after %d", h.Task.Index(), h.After.Index()))
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestNothingIsHandedOverForAResultThatChangedNothing(t *testing.T) {
	d := decision(
		dag.Row{Key: key(0), State: dag.Running, Attempt: 2, Worker: 9, Flags: dag.FlagDependents},
		dag.Row{Key: key(1), State: dag.Waiting, Remaining: 1})
	d.AddDependent(key(0), dag.Dependent{Key: key(1), Required: true})
	for _, res := range []dag.Result{
		{Task: key(0), Attempt: 1, Worker: 9, Outcome: dag.OutcomeCompleted, Offer: true},
		{Task: key(0), Attempt: 2, Worker: 8, Outcome: dag.OutcomeCompleted, Offer: true},
		{Task: key(0), Attempt: 2, Worker: 9, Outcome: dag.OutcomeFailed, Offer: true},
	} {
		d.Settle(res)
		d.HandOver([]*dag.Result{&res}, func(*dag.Row) bool { return true })
	}
	if len(d.Handovers) != 0 {
		t.Errorf("got %v", d.Handovers)
	}
}

// TestCountsFollowStates holds the trees' deltas against a recount of the rows.
func TestCountsFollowStates(t *testing.T) {
	d := decision(
		dag.Row{Key: key(0), State: dag.Running, Worker: 9, Flags: dag.FlagLeaf},
		dag.Row{Key: key(1), State: dag.Ready},
		dag.Row{Key: key(2), State: dag.Waiting, Remaining: 1},
		dag.Row{Key: key(3), State: dag.Held},
		dag.Row{Key: key(4), State: dag.Running, Worker: 9})
	d.Settle(dag.Result{Task: key(0), Attempt: 1, Worker: 9, Outcome: dag.OutcomeCompleted})
	d.Claim(key(1), 1, 9)
	d.DependencyEnded(dag.Dependent{Key: key(2), Required: true}, dag.Failed, key(9))
	d.Cancel(key(3), "", true)
	d.Cancel(key(4), "stop", false)
	got := *d.Trees[7]
	got.Events = nil
	want := dag.TreeDelta{Unfinished: -3, Running: 0, Completed: 1, LeavesCompleted: 1, Blocked: 1, Cancelled: 2, Held: -1}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(d.Stops) != 1 || d.Stops[0].Worker != 9 {
		t.Errorf("stops: got %v", d.Stops)
	}
}

func TestTransitionsLeaveSettledStatesOnlyByARerun(t *testing.T) {
	for _, from := range []dag.State{dag.Completed, dag.Failed, dag.Cancelled} {
		for _, to := range []dag.State{dag.Held, dag.Delayed, dag.Running, dag.Completed, dag.Failed, dag.Cancelled} {
			if dag.CanMove(from, to) {
				t.Errorf("%s may become %s", from, to)
			}
		}
	}
}

func TestPlanExecution(t *testing.T) {
	// 0 <- 1 <- 2 (required), 3 alone
	deps := [][]dag.Edge{nil, {{Task: 0, Required: true}}, {{Task: 1, Required: true}}, nil}
	nodes := func(states ...dag.State) (out []dag.Node) {
		for _, s := range states {
			out = append(out, dag.Node{State: s, Attempt: 1})
		}
		return out
	}
	for name, tc := range map[string]struct {
		nodes  []dag.Node
		target int
		whole  bool
		opts   dag.ExecutionOptions
		want   string
	}{
		"what a running task was told of stays as it is":                 {nodes(dag.Completed, dag.Running, dag.Waiting, dag.Held), 0, false, dag.ExecutionOptions{Force: true}, "busy"},
		"a held tree starts whole":                                       {nodes(dag.Held, dag.Held, dag.Held, dag.Held), 3, true, dag.ExecutionOptions{}, "0:ready/1 1:waiting/1 2:waiting/1 3:ready/1"},
		"a child starts with what it depends on":                         {nodes(dag.Held, dag.Held, dag.Held, dag.Held), 1, false, dag.ExecutionOptions{}, "0:ready/1 1:waiting/1"},
		"what failed runs again, and what depends on it":                 {nodes(dag.Completed, dag.Failed, dag.Blocked, dag.Completed), 3, true, dag.ExecutionOptions{}, "1:ready/2 2:waiting/1"},
		"dependencies run again when asked for":                          {nodes(dag.Completed, dag.Failed, dag.Blocked, dag.Completed), 3, true, dag.ExecutionOptions{RerunDependencies: true}, "0:ready/2 1:waiting/2 2:waiting/1"},
		"completed dependents run again":                                 {nodes(dag.Failed, dag.Completed, dag.Completed, dag.Completed), 3, true, dag.ExecutionOptions{}, "0:ready/2 1:waiting/2 2:waiting/2"},
		"what a cancelled task blocks stays blocked":                     {nodes(dag.Cancelled, dag.Blocked, dag.Blocked, dag.Completed), 3, true, dag.ExecutionOptions{}, ""},
		"and its execution says what was cancelled":                      {nodes(dag.Cancelled, dag.Blocked, dag.Blocked, dag.Completed), 2, false, dag.ExecutionOptions{}, "0 was cancelled"},
		"so does that of a blocked root":                                 {nodes(dag.Cancelled, dag.Blocked, dag.Blocked, dag.Completed), 2, true, dag.ExecutionOptions{}, "0 was cancelled"},
		"a cancelled task does not run":                                  {nodes(dag.Failed, dag.Cancelled, dag.Blocked, dag.Completed), 1, false, dag.ExecutionOptions{}, "1 was cancelled"},
		"nor does it when asked for what it depends on":                  {nodes(dag.Completed, dag.Cancelled, dag.Blocked, dag.Completed), 1, false, dag.ExecutionOptions{RerunDependencies: true}, "1 was cancelled"},
		"nor does a cancelled tree":                                      {nodes(dag.Completed, dag.Cancelled, dag.Cancelled, dag.Cancelled), 3, true, dag.ExecutionOptions{}, "3 was cancelled"},
		"but what failed in it does":                                     {nodes(dag.Failed, dag.Cancelled, dag.Cancelled, dag.Cancelled), 3, true, dag.ExecutionOptions{}, "0:ready/2"},
		"cancelled ones run again when asked for":                        {nodes(dag.Completed, dag.Cancelled, dag.Cancelled, dag.Completed), 3, true, dag.ExecutionOptions{RerunCancelled: true}, "1:ready/2 2:waiting/2"},
		"and what they blocked":                                          {nodes(dag.Cancelled, dag.Blocked, dag.Blocked, dag.Completed), 1, false, dag.ExecutionOptions{RerunCancelled: true}, "0:ready/2 1:waiting/1"},
		"and what completed beside an optional one":                      {nodes(dag.Completed, dag.Completed, dag.Completed, dag.Cancelled), 3, true, dag.ExecutionOptions{RerunCancelled: true}, "3:ready/2"},
		"force runs a child, not what it depends on":                     {nodes(dag.Completed, dag.Completed, dag.Completed, dag.Completed), 1, false, dag.ExecutionOptions{Force: true}, "1:ready/2"},
		"nor does it undo what could not run again":                      {nodes(dag.Cancelled, dag.Completed, dag.Completed, dag.Completed), 1, false, dag.ExecutionOptions{Force: true}, "0 was cancelled"},
		"a child that can't run leaves all as it is":                     {nodes(dag.Cancelled, dag.Failed, dag.Held, dag.Completed), 2, false, dag.ExecutionOptions{}, "0 was cancelled"},
		"force runs a cancelled child":                                   {nodes(dag.Completed, dag.Cancelled, dag.Blocked, dag.Completed), 1, false, dag.ExecutionOptions{Force: true}, "1:ready/2"},
		"unless that is asked for, too":                                  {nodes(dag.Completed, dag.Completed, dag.Completed, dag.Completed), 1, false, dag.ExecutionOptions{Force: true, RerunDependencies: true}, "0:ready/2 1:waiting/2"},
		"a completed tree has nothing to do":                             {nodes(dag.Completed, dag.Completed, dag.Completed, dag.Completed), 3, true, dag.ExecutionOptions{}, ""},
		"force runs all again":                                           {nodes(dag.Completed, dag.Completed, dag.Cancelled, dag.Completed), 3, true, dag.ExecutionOptions{Force: true}, "0:ready/2 1:waiting/2 2:waiting/2 3:ready/2"},
		"what was completed by hand stays, when what it waited for runs": {nodes(dag.Held, dag.Completed, dag.Held, dag.Held), 3, true, dag.ExecutionOptions{}, "0:ready/1 2:ready/1 3:ready/1"},
		"unless that runs again":                                         {nodes(dag.Failed, dag.Held, dag.Completed, dag.Completed), 3, true, dag.ExecutionOptions{}, "0:ready/2 1:waiting/1 2:waiting/2"},
		"what is unfinished makes it busy":                               {nodes(dag.Completed, dag.Running, dag.Waiting, dag.Completed), 3, true, dag.ExecutionOptions{}, "busy"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := dag.PlanExecution(tc.nodes, func(i int) []dag.Edge { return deps[i] }, tc.target, tc.whole, tc.opts)
			got := ""
			if plan.Busy >= 0 {
				got = "busy"
			}
			if plan.Cancelled >= 0 {
				got = fmt.Sprintf("%d was cancelled", plan.Cancelled)
			}
			for i, r := range plan.Restarts {
				if i > 0 {
					got += " "
				}
				got += fmt.Sprintf("%d:%s/%d", r.Index, r.State, r.Attempt)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
