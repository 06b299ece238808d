package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// using is a task of an executor.
func using(executor, id, parent, inputs string, deps ...string) *dag.Task {
	t := &dag.Task{ID: id, ParentRef: parent, Name: id, Executor: executor, Inputs: json.RawMessage(inputs)}
	for _, d := range deps {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: d})
	}
	return t
}

// inState waits until a task is in a state.
func inState(t *testing.T, c *cluster.Cluster, id string, state dag.State) (got *coordinator.Task) {
	t.Helper()
	c.For(t).Eventually(fmt.Sprintf("%s is %s", id, state), func() (err error) {
		if got, err = c.Service().Task(t.Context(), id); err == nil && got.State != state {
			err = fmt.Errorf("it is %s (%s)", got.State, got.Error)
		}
		return err
	})
	return got
}

// sound fails the test if a rule does not hold.
func sound(t *testing.T, c *cluster.Cluster, tree string) {
	t.Helper()
	for v, err := range c.Service().Verify(t.Context(), tree) {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%+v", *v)
	}
}

func wantConflict(t *testing.T, err error, text string) {
	t.Helper()
	if !errors.Is(err, coordinator.ErrConflict) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a conflict with %q", err, text)
	}
}

func wantInvalid(t *testing.T, err error, field, text string) {
	t.Helper()
	invalid, ok := errors.AsType[*coordinator.InvalidArgumentError](err)
	if !ok || invalid.Field != field || !strings.Contains(invalid.Reason, text) {
		t.Errorf("got %v, want %s: … %s …", err, field, text)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	svc := c.Service()
	signal := func(id, name, payload, key string) (coordinator.SignalStatus, error) {
		got, err := svc.Signal(t.Context(), id, coordinator.Signal{Name: name, Payload: json.RawMessage(payload), IdempotencyKey: key})
		if err != nil {
			return "", err
		}
		return got.Status, nil
	}
	want := func(id, name, payload, key string, status coordinator.SignalStatus) {
		t.Helper()
		if got, err := signal(id, name, payload, key); got != status || err != nil {
			t.Errorf("signal %s of %s: %q, %v, want %q", name, id, got, err, status)
		}
	}
	c.Submit(coordinator.SubmitOptions{}, using("wait_executor", "w", "", `{"signal": "go", "schema": {"type": "object", "required": ["n"]}}`))
	waiting := inState(t, c, "w", dag.Awaiting)
	if w := waiting.Waiting; w == nil || w.Kind != "signal" || w.Name != "go" || w.Since.IsZero() || !w.Until.IsZero() || waiting.State.Status() != dag.StatusInProgress || waiting.Worker != "" {
		t.Errorf("it is shown as %+v, %+v", waiting, w)
	}
	_, err := signal("w", "go", `{"m": 1}`, "k1")
	wantInvalid(t, err, "payload", "missing property 'n'")
	_, err = signal("w", "stop", `{}`, "")
	wantInvalid(t, err, "name", `it waits for "go"`)
	_, err = signal("w", "go", `{`, "")
	wantInvalid(t, err, "payload", "is ")
	_, err = signal("w", "go", `"`+strings.Repeat("x", dag.MaxSignalBytes)+`"`, "")
	wantInvalid(t, err, "payload", "the most is 262144")
	_, err = signal("w", "", `{}`, "")
	wantInvalid(t, err, "name", "no name")
	_, err = signal("nobody", "go", `{}`, "")
	if !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a signal to nobody: %v", err)
	}
	want("w", "go", `{"n": 1}`, "k1", coordinator.SignalTaken)
	c.Settled("w")
	if done := inState(t, c, "w", dag.Completed); string(done.Result) != `{"n":1}` && string(done.Result) != `{"n": 1}` {
		t.Errorf("the result is %s", done.Result)
	}
	want("w", "go", `{"n": 1}`, "k1", coordinator.SignalTaken)
	_, err = signal("w", "go", `{"n": 2}`, "k2")
	wantConflict(t, err, "was answered by anonymous at ")
	sound(t, c, "w")

	// before it waits
	c.Submit(coordinator.SubmitOptions{Hold: true}, using("wait_executor", "early", "", `{"signal": "go", "schema": {"required": ["n"]}}`))
	want("early", "go", `{"m": 1}`, "", coordinator.SignalKept)
	want("early", "go", `{"n": 1}`, "", coordinator.SignalLate)
	if _, err := svc.Execute(t.Context(), "early", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	inState(t, c, "early", dag.Awaiting) // what was kept is dropped
	c.Eventually("the kept signal was dropped", func() error {
		if got, err := signal("early", "go", `{"n": 3}`, ""); err != nil || got != coordinator.SignalTaken {
			return fmt.Errorf("%s, %v", got, err)
		}
		return nil
	})
	c.Settled("early")
	sound(t, c, "early")
	c.Submit(coordinator.SubmitOptions{Hold: true}, using("wait_executor", "kept", "", `{"signal": "go"}`))
	want("kept", "go", `[1]`, "x", coordinator.SignalKept)
	want("kept", "go", `[1]`, "x", coordinator.SignalKept)
	if _, err := svc.Execute(t.Context(), "kept", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	if done := inState(t, c, "kept", dag.Completed); string(done.Result) != `[1]` {
		t.Errorf("the result is %s", done.Result)
	}
	want("kept", "go", `[1]`, "x", coordinator.SignalKept)
	sound(t, c, "kept")

	// runs anew: what was sent is forgotten
	if _, err := svc.Execute(t.Context(), "kept", coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	inState(t, c, "kept", dag.Awaiting)
	if got, err := svc.Cancel(t.Context(), "kept", coordinator.CancelOptions{}); err != nil || got.Outcome != coordinator.Cancelled {
		t.Errorf("cancel: %+v, %v", got, err)
	}
	c.Settled("kept")
	_, err = signal("kept", "go", `[1]`, "x")
	wantConflict(t, err, "has ended (cancelled)")
	sound(t, c, "kept")

	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("never", ""))
	_, err = signal("never", "go", ``, "")
	wantInvalid(t, err, "name", "its executor is noop_executor")
}

func TestTimeoutsOfWaits(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	retried := using("wait_executor", "retried", "", `{"signal": "s", "timeout": 0.2}`)
	retried.Retry = dag.RetryPolicy{MaxAttempts: 2, InitialDelay: 10 * time.Millisecond}
	for _, task := range []*dag.Task{
		using("wait_executor", "fails", "", `{"signal": "s", "timeout": 0.2}`),
		using("wait_executor", "skips", "", `{"signal": "s", "timeout": 0.2, "on_timeout": "skip"}`),
		using("wait_executor", "takes", "", `{"signal": "s", "timeout": 0.2, "on_timeout": {"a": 1}}`),
		using("approval_executor", "unanswered", "", `{"message": "?", "timeout": 0.2}`),
		using("approval_executor", "silent", "", `{"message": "?", "timeout": 0.2, "on_timeout": {"choice": "approve", "comment": "silence"}}`),
		using("sleep_executor", "sleeps", "", `{"seconds": 0.3, "durable": true}`),
		retried,
	} {
		c.Submit(coordinator.SubmitOptions{}, task)
	}
	for id, want := range map[string]struct {
		state dag.State
		text  string
	}{
		"fails": {dag.Failed, `no signal "s" came in time`}, "skips": {dag.Skipped, `"reason":"timeout"`}, "takes": {dag.Completed, `"a"`},
		"unanswered": {dag.Failed, "nobody has answered in time"}, "silent": {dag.Completed, `"by":"timeout"`}, "sleeps": {dag.Completed, `"slept_seconds":0.3`},
		"retried": {dag.Failed, "in time"},
	} {
		c.Settled(id)
		got := inState(t, c, id, want.state)
		if text := got.Error + string(got.Result); !strings.Contains(text, want.text) {
			t.Errorf("%s: %s, want %s", id, text, want.text)
		}
		if id == "retried" && got.Attempt != 2 {
			t.Errorf("it was tried %d times", got.Attempt)
		}
		sound(t, c, id)
	}
}

func TestApprovals(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2})
	svc := c.Service()
	ask := func(id, more string) {
		t.Helper()
		c.Submit(coordinator.SubmitOptions{}, using("approval_executor", id, "", `{"message": "Deploy?"`+more+`}`))
		got := inState(t, c, id, dag.Awaiting)
		if got.Waiting == nil || got.Waiting.Kind != "approval" || !strings.Contains(string(got.Waiting.Data), "Deploy?") {
			t.Errorf("%s waits for %+v", id, got.Waiting)
		}
	}
	ask("yes", ``)
	_, err := svc.Approve(t.Context(), "yes", coordinator.Approval{Choice: "perhaps"})
	wantInvalid(t, err, "choice", `"perhaps" is none of the choices: approve, reject`)
	_, err = svc.Approve(t.Context(), "yes", coordinator.Approval{Choice: "approve", Comment: strings.Repeat("x", dag.MaxComment+1)})
	wantInvalid(t, err, "comment", "at most")
	_, err = svc.Approve(t.Context(), "yes", coordinator.Approval{Choice: "approve", Payload: json.RawMessage(`1`)})
	wantInvalid(t, err, "payload", "nothing can be changed")
	if _, err = svc.Approve(t.Context(), "yes", coordinator.Approval{Choice: "approve", Comment: "fine"}); err != nil {
		t.Fatal(err)
	}
	_, err = svc.Approve(t.Context(), "yes", coordinator.Approval{Choice: "reject"})
	wantConflict(t, err, "was answered by anonymous at ")
	c.Settled("yes")
	if got := inState(t, c, "yes", dag.Completed); !strings.Contains(string(got.Result), `"comment":"fine"`) {
		t.Errorf("the result is %s", got.Result)
	}
	ask("no", ``)
	if _, err = svc.Approve(t.Context(), "no", coordinator.Approval{Choice: "reject", Comment: "not today"}); err != nil {
		t.Fatal(err)
	}
	c.Settled("no")
	if got := inState(t, c, "no", dag.Failed); got.Error != "rejected by anonymous: not today" {
		t.Errorf("the error is %s", got.Error)
	}
	ask("skips", `, "on_reject": "skip", "choices": ["now", "later", "reject"]`)
	if _, err = svc.Approve(t.Context(), "skips", coordinator.Approval{Choice: "reject"}); err != nil {
		t.Fatal(err)
	}
	c.Settled("skips")
	if got := inState(t, c, "skips", dag.Skipped); !strings.Contains(string(got.Result), `"reason":"rejected"`) {
		t.Errorf("the result is %s", got.Result)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("never", ""))
	_, err = svc.Approve(t.Context(), "never", coordinator.Approval{Choice: "approve"})
	wantInvalid(t, err, "task_id", "never waits for an approval")
	for _, id := range []string{"yes", "no", "skips"} {
		sound(t, c, id)
	}
}

func TestLinksToApprovals(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2})
	svc, other := c.Service(), c.Coordinators[1].P
	c.Submit(coordinator.SubmitOptions{}, using("approval_executor", "a", "", `{"message": "Deploy?"}`))
	inState(t, c, "a", dag.Awaiting)
	link, err := svc.ApprovalLink(t.Context(), "a", coordinator.LinkOptions{Name: "ops@example.org"})
	if err != nil || !strings.HasPrefix(link.Path, coordinator.LinkPath) || time.Until(link.Expires) < 6*24*time.Hour {
		t.Fatalf("%+v, %v", link, err)
	}
	short, err := svc.ApprovalLink(t.Context(), "a", coordinator.LinkOptions{Name: "ops", Expires: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // looking changes nothing
		if got, err := other.LinkedApproval(t.Context(), link.Token); err != nil || got.Message != "Deploy?" || len(got.Choices) != 2 || got.For != "ops@example.org" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	for _, forged := range []string{"", "x", ".", link.Token[:len(link.Token)-2] + "AA", "e30." + strings.Split(link.Token, ".")[1], link.Token + "=", strings.Repeat("a", 5000)} {
		if _, err := other.ApproveByLink(t.Context(), forged, coordinator.Approval{Choice: "approve"}); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("a forged link: %v", err)
		}
	}
	time.Sleep(time.Until(short.Expires) + 200*time.Millisecond)
	if _, err := other.ApproveByLink(t.Context(), short.Token, coordinator.Approval{Choice: "approve"}); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a link whose time is over: %v", err)
	}
	_, err = other.ApproveByLink(t.Context(), link.Token, coordinator.Approval{Choice: "maybe"})
	wantInvalid(t, err, "choice", "none of the choices")
	if got, err := other.ApproveByLink(t.Context(), link.Token, coordinator.Approval{Choice: "approve", Comment: "ok"}); err != nil || got.Choice != "approve" {
		t.Fatalf("%+v, %v", got, err)
	}
	c.Settled("a")
	if got := inState(t, c, "a", dag.Completed); !strings.Contains(string(got.Result), `"by":"link:ops@example.org"`) {
		t.Errorf("the result is %s", got.Result)
	}
	_, err = other.ApproveByLink(t.Context(), link.Token, coordinator.Approval{Choice: "reject"})
	wantConflict(t, err, "was answered by link:ops@example.org at ")
	_, err = other.LinkedApproval(t.Context(), link.Token)
	wantConflict(t, err, "was answered by link:ops@example.org at ")
	_, err = svc.ApprovalLink(t.Context(), "a", coordinator.LinkOptions{Name: "ops"})
	wantConflict(t, err, "has ended")

	// another run asks anew: the old link is none of its business
	if _, err := svc.Execute(t.Context(), "a", coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	inState(t, c, "a", dag.Awaiting)
	_, err = other.ApproveByLink(t.Context(), link.Token, coordinator.Approval{Choice: "reject"})
	wantConflict(t, err, "")
	if got := inState(t, c, "a", dag.Awaiting); got.Attempt != 2 {
		t.Errorf("attempt %d", got.Attempt)
	}
}

// resuming asks for a signal or a choice, and goes on with the answer in a further attempt.
type resuming struct{ told }

// Run implements [executors.Executor].
func (*resuming) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	if a := call.Answer; a != nil {
		return executors.Completed(map[string]any{"choice": a.Choice, "payload": a.Payload, "by": a.By, "comment": a.Comment, "attempt": call.Attempt}), nil
	}
	var in struct {
		Kind    executors.AwaitKind
		Timeout float64
		Silent  map[string]any
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	await := executors.Await{Kind: in.Kind, Resume: true, Timeout: time.Duration(in.Timeout * float64(time.Second))}
	if in.Kind == executors.AwaitSignal {
		await.Name = "more"
	}
	data := map[string]any{"message": "More?"}
	if in.Silent != nil {
		data["on_timeout"] = in.Silent
	}
	await.Data = data
	return executors.Awaiting(await), nil
}

// TestWaitsThatGoOn: with Resume, an answer makes a further attempt, which gets it, whether it was kept, is sent while the task waits, changes something, or
// is what silence means.
func TestWaitsThatGoOn(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Executors: func() []executors.Executor {
		return []executors.Executor{&resuming{told{executors.Description{ID: "asker", Name: "Asker", Type: "go"}}}}
	}})
	svc := c.Service()
	c.Submit(coordinator.SubmitOptions{}, using("asker", "signalled", "", `{"kind":"signal"}`))
	c.Submit(coordinator.SubmitOptions{Hold: true}, using("asker", "kept", "", `{"kind":"signal"}`))
	c.Submit(coordinator.SubmitOptions{}, using("asker", "asked", "", `{"kind":"approval"}`))
	c.Submit(coordinator.SubmitOptions{}, using("asker", "silent", "", `{"kind":"signal","timeout":0.3,"silent":{"n":4}}`))
	if got, err := svc.Signal(t.Context(), "kept", coordinator.Signal{Name: "more", Payload: json.RawMessage(`{"n":2}`)}); err != nil || got.Status != coordinator.SignalKept {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := svc.Execute(t.Context(), "kept", coordinator.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	inState(t, c, "signalled", dag.Awaiting)
	if got, err := svc.Signal(t.Context(), "signalled", coordinator.Signal{Name: "more", Payload: json.RawMessage(`{"n":1}`)}); err != nil || got.Status != coordinator.SignalTaken {
		t.Fatalf("%+v, %v", got, err)
	}
	inState(t, c, "asked", dag.Awaiting)
	if _, err := svc.Approve(t.Context(), "asked", coordinator.Approval{Choice: "approve", Comment: "but less", Payload: json.RawMessage(`{"n":3}`)}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"signalled": `{"n":1}`, "kept": `{"n":2}`, "asked": `{"n":3}`, "silent": `{"n":4}`} {
		c.Settled(id)
		got := inState(t, c, id, dag.Completed)
		var result struct {
			Choice, By, Comment string
			Payload             json.RawMessage
			Attempt             int
		}
		if err := json.Unmarshal(got.Result, &result); err != nil || string(result.Payload) != want || result.Attempt != 2 {
			t.Errorf("%s: got %s, %v, want the payload %s at the attempt 2", id, got.Result, err, want)
		}
		if id == "asked" && (result.Choice != "approve" || result.Comment != "but less" || result.By != coordinator.AnonymousName) {
			t.Errorf("%s: got %s", id, got.Result)
		}
		sound(t, c, id)
	}
}
