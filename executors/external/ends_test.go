package external_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// ends is a program of testdata that ends its attempts in the way it is told.
func ends(t testing.TB) workerfile.Executor {
	program(t, "python3")
	return workerfile.Executor{Command: []string{"python3", "testdata/ends.py"}, KeepEnv: []string{"PYENV_VERSION"}}
}

// TestProgramsConform has the outcomes that the protocol's second version added.
func TestProgramsConform(t *testing.T) {
	conformance.Test(t, func(t *testing.T) executors.Executor {
		all := external.Open(t.Context(), external.Config{Programs: []workerfile.Executor{ends(t)}})
		if why := all[0].(executors.Disabler).Disabled(); why != "" {
			t.Fatal(why)
		}
		return all[0]
	}, conformance.Features{
		Quick: `{"how": "well"}`, Instant: true,
		Ends: map[string]executors.Kind{
			`{"how": "skip"}`: executors.KindSkipped, `{"how": "expand"}`: executors.KindExpanding, `{"how": "ask"}`: executors.KindAwaiting,
		},
		Resumes: `{"how": "count"}`,
	})
}

// TestALockIsToldToPrograms: an attempt knows the key that it holds, and its token; who holds none is told none.
func TestALockIsToldToPrograms(t *testing.T) {
	t.Parallel()
	e := opened(t, ends(t))
	for lock, want := range map[*executors.Lock]string{{Key: "ledger", Token: 41}: `{"key":"ledger","token":41}`, nil: "null"} {
		call, _ := conformance.Call(t, `{"how": "locked"}`)
		call.Lock = lock
		out, err := e.Run(t.Context(), call)
		if got, _ := json.Marshal(out.Value()); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestEndsOfPrograms(t *testing.T) {
	t.Parallel()
	e := opened(t, ends(t))
	in := func(how string) string { return fmt.Sprintf(`{"how": %q}`, how) }
	out, _, err := run(t, e, in("skip"))
	if value, _ := json.Marshal(out.Value()); err != nil || out.Reason() != "nothing_new" || string(value) != `{"seen":3}` {
		t.Errorf("skip: %s %s, %v", out.Reason(), value, err)
	}
	if out, _, err = run(t, e, in("skip without a reason")); err != nil || conformance.Valid(out) == nil {
		t.Errorf("a skip without a reason: %v, %v", conformance.Valid(out), err)
	}
	out, _, err = run(t, e, in("expand"))
	if x := out.Expand(); err != nil || x == nil || !strings.Contains(string(x.Tasks), `"id": "a"`) || x.Collect != "map" {
		t.Errorf("expand: %+v, %v", x, err)
	}
	out, _, err = run(t, e, in("ask"))
	if a := out.Await(); err != nil || a == nil || a.Kind != executors.AwaitApproval || a.Timeout != 1500*time.Millisecond || !a.Resume || a.Data == nil {
		t.Errorf("ask: %+v, %v", a, err)
	}
	if out, _, err = run(t, e, in("wait for nothing")); err != nil || conformance.Valid(out) == nil {
		t.Errorf("a wait for nothing: %v, %v", conformance.Valid(out), err)
	}
	call, _ := conformance.Call(t, in("ask"))
	call.Attempt, call.Answer = 2, &executors.Answer{Choice: "yes", By: "ann", Payload: json.RawMessage(`{"x":1}`), At: time.Unix(0, 0)}
	out, err = e.Run(t.Context(), call)
	value, _ := json.Marshal(out.Value())
	if want := `{"choice":"yes","payload":{"x":1},"by":"ann","at":"1970-01-01T00:00:00Z"}`; err != nil || strings.ReplaceAll(string(value), " ", "") != want {
		t.Errorf("the answer is %s, %v", value, err)
	}
	_, _, err = run(t, e, in("busy"))
	if executors.KindOf(err) != "http_429" || executors.RetryAfterOf(err) != 7*time.Second || executors.IsPermanent(err) {
		t.Errorf("busy: %v of kind %q", err, executors.KindOf(err))
	}
	if _, _, err = run(t, e, in("wrong")); executors.KindOf(err) != "no_such_page" || !executors.IsPermanent(err) {
		t.Errorf("wrong: %v of kind %q", err, executors.KindOf(err))
	}
	if _, _, err = run(t, e, in("large")); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "it wrote a bad checkpoint: the checkpoint has 70002 bytes, the most is 65536") {
		t.Errorf("large: %v", err)
	}
	if _, _, err = run(t, e, in("well")); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

// TestCheckpointsOfPrograms goes on from one.
func TestCheckpointsOfPrograms(t *testing.T) {
	t.Parallel()
	e := opened(t, ends(t))
	_, said, err := run(t, e, `{"how": "count"}`)
	if got := fmt.Sprintf("%s", said.Checkpoints()); err != nil || strings.ReplaceAll(got, " ", "") != `[{"done":1}{"done":2}{"done":3}]` {
		t.Fatalf("noted %s, %v", got, err)
	}
	call, again := conformance.Call(t, `{"how": "count"}`)
	call.Attempt, call.Checkpoint = 2, said.Checkpoints()[1]
	out, err := e.Run(t.Context(), call)
	value, _ := json.Marshal(out.Value())
	if err != nil || !strings.Contains(strings.ReplaceAll(string(value), " ", ""), `"from":2`) || len(again.Lines()) != 1 {
		t.Errorf("got %s, %v, said %q", value, err, again.Lines())
	}
}
