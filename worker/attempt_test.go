package worker

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

func TestOutcomeOf(t *testing.T) {
	failure := errors.New("exit status 1")
	for _, tt := range []struct {
		fact       string
		cancelled  bool
		cause, err error
		want       dag.Outcome
	}{
		{"no error is a completion", false, nil, nil, dag.OutcomeCompleted},
		{"an error is a failure", false, nil, failure, dag.OutcomeFailed},
		{"a cancellation stands over a failure", true, executors.ErrCancelled, failure, dag.OutcomeCancelled},
		{"a cancellation stands over a completion", true, executors.ErrCancelled, nil, dag.OutcomeCancelled},
		{"a cancellation stands over a drain", true, executors.ErrDraining, failure, dag.OutcomeCancelled},
		{"a timeout stands over what came too late", false, executors.ErrTimeout, nil, dag.OutcomeTimedOut},
		{"a drain hands back", false, executors.ErrDraining, failure, dag.OutcomeReturned},
		{"a lost lease hands back", false, executors.ErrLeaseLost, failure, dag.OutcomeReturned},
		{"work done in spite of a drain is done", false, executors.ErrDraining, nil, dag.OutcomeCompleted},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			if got := outcomeOf(tt.cancelled, tt.cause, tt.err != nil); got != tt.want {
				t.Errorf("outcomeOf(%v, %v, %v) = %v, want %v", tt.cancelled, tt.cause, tt.err, got, tt.want)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		fact  string
		value any
		want  string
		fails bool
	}{
		{"nil is null, which is empty", nil, "", false},
		{"a nil map is null too", map[string]any(nil), "", false},
		{"markup stays as it is", map[string]string{"a": "<b>&"}, `{"a":"<b>&"}`, false},
		{"raw JSON is passed on", json.RawMessage(`{"a": 1}`), `{"a": 1}`, false},
		{"raw JSON must be JSON", json.RawMessage(`{"a":`), "", true},
		{"raw JSON becomes valid UTF-8", json.RawMessage("\"a\xff\""), "\"a\uFFFD\"", false},
		{"raw JSON nests 256 levels at most", json.RawMessage(strings.Repeat("[", 257) + strings.Repeat("]", 257)), "", true},
		{"so do values", map[string]json.RawMessage{"a": json.RawMessage(strings.Repeat("[", 256) + strings.Repeat("]", 256))}, "", true},
		{"of repeated names the last counts", json.RawMessage(`{"a":1,"b":{"c":1,"c":2},"a":{}}`), `{"b":{"c":2},"a":{}}`, false},
		{"also below a value", map[string]json.RawMessage{"body": json.RawMessage(`{"a":1,"a":2}`)}, `{"body":{"a":2}}`, false},
		{"a channel can't be encoded", make(chan int), "", true},
		{"nor can infinity", math.Inf(1), "", true},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			got, err := encode(tt.value)
			if string(got) != tt.want || (err != nil) != tt.fails {
				t.Errorf("encode(%v) = %q, %v, want %q, fails %v", tt.value, got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ fact, text, want string }{
		{"plain text stays", "exit status 1", "exit status 1"},
		{"NUL has no place in Postgres", "a\x00b", "a\uFFFDb"},
		{"invalid UTF-8 has no place in protobuf", "a\xffb", "a\uFFFDb"},
		{"long text is cut between runes", strings.Repeat("ä", 30), strings.Repeat("ä", 14) + " … (cut)"},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			got := clean(tt.text, 39)
			if got != tt.want || len(got) > 39 || !utf8.ValidString(got) {
				t.Errorf("clean(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	cfg := Config{Pools: []Pool{{"a", 1}, {"a", -1}, {"", 2}, {"b", maxInHand}}, MaxKept: maxInHand + 1, Beat: -1}
	cfg.setDefaults()
	err := cfg.validate()
	for _, want := range []string{"id is empty", "no executors", `pool "a": concurrency is -1`, "a pool has no name", "of all pools is 20002", "max kept", "beat is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("validate() = %v, lacks %q", err, want)
		}
	}
	cfg = Config{ID: "w", Pools: []Pool{{"a", 1}, {"a", 1}}, Executors: []executors.Executor{noop.New()}}
	cfg.setDefaults()
	if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("validate() = %v, lacks the pool that is named twice", err)
	}
	cfg.Pools = cfg.Pools[:1]
	if err := cfg.validate(); err != nil {
		t.Errorf("validate() = %v, want nil", err)
	}
}

// TestLateAttemptsDoNotStart: the executor of an attempt that was granted too late never starts.
func TestLateAttemptsDoNotStart(t *testing.T) {
	s := &session{w: &Worker{}, lease: newLease(time.Second)}
	s.lease.extend(time.Now(), time.Minute)
	p := newPool(0, Pool{"p", 1})
	b := newBook(ledger.Limits{Kept: 1, KeptBytes: 1}, []*pool{p})
	a := s.newAttempt(p, &workerv1.Work{Attempt: &workerv1.Attempt{Task: 1, Number: 1}, TimeoutMs: 60_000}, nil, time.Now())
	b.step(func(l *ledger.Ledger[*attempt], out *todo) {
		l.Take(a, out)
		l.Ask(time.Now().Add(-2*dag.StartWithin), a)
		l.Answer(time.Now(), a, dag.Yes, ledger.None, out)
	})
	s.w.work(a)
	if r := a.result; endOf(r) != dag.OutcomeReturned || r.Error != ErrLate.Error() {
		t.Errorf("got %v", r)
	}
}

// TestResultsSayWhetherTheyUnlock: a result says that nothing waits for it unless its work said otherwise.
func TestResultsSayWhetherTheyUnlock(t *testing.T) {
	for _, unlocks := range []bool{false, true} {
		a := &attempt{work: &workerv1.Work{Unlocks: unlocks}}
		if r := a.newResult(dag.OutcomeCompleted, time.Now(), time.Now()); r.UnlocksNothing == unlocks {
			t.Errorf("unlocks %v: the result says alone %v", unlocks, r.UnlocksNothing)
		}
	}
}

// TestSealedResults: what is reported is what the ledger says.
func TestSealedResults(t *testing.T) {
	for _, row := range []struct {
		fact        string
		made        *workerv1.Result // by the executor; nil: it never ran
		says        ledger.Result
		error, want string
	}{
		{"as it ended", &workerv1.Result{End: &workerv1.Result_Failed{Failed: &workerv1.Failed{Permanent: true}}, Error: "x"},
			ledger.Result{Outcome: dag.OutcomeFailed, Early: true}, "x", ""},
		{"cancelled in its last moment", &workerv1.Result{End: &workerv1.Result_Completed{Completed: []byte("1")}},
			ledger.Result{Outcome: dag.OutcomeCancelled}, "", "1"},
		{"never began", nil, ledger.Result{Outcome: dag.OutcomeReturned, Why: ledger.Draining}, executors.ErrDraining.Error(), ""},
		{"cancelled before it began", nil, ledger.Result{Outcome: dag.OutcomeCancelled, Why: ledger.Cancelled}, executors.ErrCancelled.Error(), ""},
	} {
		a := &attempt{work: &workerv1.Work{Inputs: []byte("{}")}, result: row.made}
		a.Result = row.says
		a.seal()
		r := a.result
		if endOf(r) != row.says.Outcome || r.Error != row.error || string(valueOf(r)) != row.want || r.Early != row.says.Early || r.Offer != row.says.Offer ||
			endOf(r) == dag.OutcomeFailed && !r.GetFailed().Permanent {
			t.Errorf("%s: got %v", row.fact, r)
		}
		if a.work.Inputs != nil {
			t.Errorf("%s: what the executor was given is kept", row.fact)
		}
	}
}
