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
			if got := outcomeOf(tt.cancelled, tt.cause, tt.err); got != tt.want {
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

// TestLateAttemptsAreHandedBack: the store counts an attempt's own timeout from a claim that may be as old as the first
// request for it.
func TestLateAttemptsAreHandedBack(t *testing.T) {
	for _, tt := range []struct {
		fact          string
		timeout, wait time.Duration
		early         bool
		want          bool
	}{
		{"an answer in time lets it start", time.Minute, dag.StartWithin / 2, false, false},
		{"one that comes late does not", time.Minute, dag.StartWithin + time.Second, false, true},
		{"without a timeout there is nothing to overrun", 0, time.Hour, false, false},
		{"what starts beside its claim is never late", time.Minute, time.Hour, true, false},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			d := newDesk(t)
			a := d.taken(tt.early, true)
			a.work.TimeoutMs = tt.timeout.Milliseconds()
			if got := a.late(a.asked.Add(tt.wait)); got != tt.want {
				t.Errorf("late is %v", got)
			}
		})
	}
	t.Run("its executor never starts", func(t *testing.T) {
		d := newDesk(t)
		d.session.lease = newLease(time.Second)
		d.session.lease.extend(time.Now(), time.Minute)
		a := d.taken(false, true)
		a.work.TimeoutMs = 60_000
		a.asked = a.asked.Add(-2 * dag.StartWithin)
		d.verdict(a, yes)
		if r := (&Worker{}).work(a); endOf(r) != dag.OutcomeReturned || r.Error != ErrLate.Error() {
			t.Errorf("got %v", r)
		}
	})
	t.Run("asking again makes it no younger", func(t *testing.T) {
		d := newDesk(t)
		a := d.taken(false, true)
		first := a.asked
		d.asking([]*attempt{a})
		if first.IsZero() || a.asked != first {
			t.Errorf("asked at %v, then at %v", first, a.asked)
		}
	})
	t.Run("what is handed over is as old as the offer", func(t *testing.T) {
		d := newDesk(t)
		a, b := d.offered(), d.handed()
		if got := d.accept(b, a.key, nil); got != acceptStart || b.asked.IsZero() || b.asked != a.offered {
			t.Errorf("accepted as %v, asked at %v, offered at %v", got, b.asked, a.offered)
		}
	})
}
