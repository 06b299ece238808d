package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// broken breaks each rule that its features promise.
type broken struct{}

func (broken) Describe() executors.Description {
	return executors.Description{
		ID: "broken", Name: "Broken", Type: "test", Description: "Breaks the rules", Cancelable: true,
		Inputs:   json.RawMessage(`{"type": "object", "properties": {"do": {"type": "string"}}}`),
		Output:   json.RawMessage(`{"type": "string"}`),
		Examples: []executors.Example{{Title: "wrong", Inputs: json.RawMessage(`{"do": 1}`)}},
	}
}

func (broken) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct{ Do string }
	_ = json.Unmarshal(call.Inputs, &in)
	switch in.Do {
	case "much":
		return executors.Completed(strings.Repeat("x", 2000)), nil
	case "hang":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "time out":
		return nil, errors.New("enough")
	case "hunter2":
		call.Reporter.Log("log", "password hunter2")
		return nil, errors.New("no")
	}
	return executors.Completed("x"), nil
}

func (broken) Demo(*executors.Call) (any, time.Duration) { return map[string]any{"a": 1}, 0 }

const asBroken = "TASKGROVE_TEST_BROKEN"

// TestBroken fails, where TestTheSuiteFindsWhatIsBroken runs it.
func TestBroken(t *testing.T) {
	if os.Getenv(asBroken) == "" {
		t.Skip("TestTheSuiteFindsWhatIsBroken runs it")
	}
	conformance.Test(t, func(*testing.T) executors.Executor { return broken{} }, conformance.Features{
		Quick: `{}`, Slow: `{"do": "hang"}`, Large: `{"do": "much"}`, LargestResult: 1000, StopWithin: time.Second,
		TimesOut: map[string]string{`{"do": "time out"}`: "broken timeout after"},
		Left:     func() error { return errors.New("a process") },
		Failing:  []string{`{"do": "hunter2"}`}, Secret: "hunter2",
		Demo: map[string][]string{`{}`: {"b"}},
	})
}

func TestTheSuiteFindsWhatIsBroken(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestBroken$", "-test.v")
	cmd.Env = append(os.Environ(), asBroken+"=1")
	said, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the suite passes")
	}
	for _, want := range []string{
		"the result has 2002 bytes, want 1000 at most",
		`got <nil>, enough, want "broken timeout after"`,
		"something is left of a run that has ended: a process",
		`the secret shows in "log: password <secret>"`,
		`the demo has no "b"`,
		`result {"a":1}: [broken]`,
		`example "wrong": [broken]`,
	} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the suite does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", said)
	}
}
