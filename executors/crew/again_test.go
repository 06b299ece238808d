package crew_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// saver is a reporter that keeps the last checkpoint until the attempt is killed, after so many of them.
type saver struct {
	executors.Reporter
	saved  json.RawMessage
	left   int
	cancel context.CancelCauseFunc
	dead   atomic.Bool
}

var errKilled = errors.New("killed")

func (s *saver) Checkpoint(data json.RawMessage) error {
	if s.dead.Load() {
		return nil
	}
	s.saved = append(json.RawMessage{}, data...)
	if s.left--; s.left == 0 {
		s.dead.Store(true)
		s.cancel(errKilled)
	}
	return nil
}

// attempt runs one attempt that goes on from a checkpoint, and is killed after so many of its own; 0: it is not.
func (b *bench) attempt(t *testing.T, checkpoint json.RawMessage, kill int, answer *executors.Answer) (*saver, *executors.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &saver{Reporter: b.report, left: kill, cancel: cancel, saved: checkpoint}
	call := *b.call
	call.Reporter, call.Checkpoint, call.Answer = s, checkpoint, answer
	out, err := b.single.Run(ctx, &call)
	return s, out, err
}

// big is a crew of a manager, of coworkers with tools, and of tasks beside one another.
const big = `{
	"process": "hierarchical",
	"agents": {"analyst": {"role": "Analyst", "tools": ["SearchTool()"]}, "critic": {"role": "Critic"}},
	"tasks": {"rating": {"description": "Rate ACME"}, "letter": {"description": "Write a letter"}}
}`

// TestACrewGoesOnWhereItWasKilled kills a crew after each thing that it stores. No question and no use of a tool that was stored is made again, and
// what all of it took is counted once.
func TestACrewGoesOnWhereItWasKilled(t *testing.T) {
	t.Parallel()
	manager := "You are Crew Manager."
	script := func() modeltest.Script {
		return play(
			modeltest.Turn{When: manager + "\nRate ACME", Calls: []modeltest.Call{
				{Name: "delegate_work_to_coworker", Arguments: `{"task":"Look at the debts","context":"","coworker":"Analyst"}`}}},
			modeltest.Turn{When: "You are Analyst.\nLook at the debts", Calls: []modeltest.Call{{Name: "search", Arguments: `{"q":"debts"}`}, {Name: "search", Arguments: `{"q":"more"}`}}},
			modeltest.Turn{When: "You are Analyst.\nfound debts\nfound more", Text: "They are high"},
			modeltest.Turn{When: manager, Last: "They are high", Text: "Rating: 3"},
			modeltest.Turn{When: manager + "\nWrite a letter\nRating: 3", Text: "Dear ACME"},
		)
	}
	bench := func() (*bench, *[]string) {
		made := &[]string{}
		b := newBench(t, "openai", kindOf("SearchTool", "search", func(ctx context.Context, q string) (string, error) {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			*made = append(*made, q)
			return "found " + q, nil
		}))
		b.Play("m", script())
		b.set(big, `{}`)
		return b, made
	}
	const stored = 9 // five answers, two uses and a delegation, and the end of each of three jobs, less what follows the last
	for kill := 1; kill <= stored; kill++ {
		b, made := bench()
		first, _, err := b.attempt(t, nil, kill, nil)
		if !errors.Is(err, errKilled) {
			t.Fatalf("kill %d: got %v", kill, err)
		}
		b.used = executors.Usage{} // nobody has heard of it
		_, out, err := b.attempt(t, first.saved, 0, nil)
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		got := seen(t, out)
		if got["result"] != "Dear ACME" || len(got["tasks_output"].([]any)) != 2 {
			t.Errorf("kill %d: got %v", kill, got)
		}
		if n, u := len(b.Requests()), got["token_usage"].(map[string]any)["successful_requests"]; n != 5 || u != 5.0 || b.used.Calls != 5 {
			t.Errorf("kill %d: %d questions, of which the result has %v and the record %d", kill, n, u, b.used.Calls)
		}
		if fmt.Sprint(*made) != "[debts more]" {
			t.Errorf("kill %d: used %v", kill, *made)
		}
	}
}

// TestABudgetCountsWhatLostAttemptsUsed: a budget is of the run, whatever becomes of its attempts.
func TestABudgetCountsWhatLostAttemptsUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{When: "Find facts", Text: "They move heat"}, modeltest.Turn{When: "Write an article", Text: "The end"}))
	b.set(pair, `{"topic":"heat","budget":{"calls":1}}`)
	first, _, err := b.attempt(t, nil, 1, nil)
	if !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	_, _, err = b.attempt(t, first.saved, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "budget of 1 calls is exhausted: 1 used") || executors.KindOf(err) != "budget" || len(b.Requests()) != 1 {
		t.Errorf("got %v (%s) after %d questions", err, executors.KindOf(err), len(b.Requests()))
	}
}

// TestAChangedCrewIsDoneAnew: what was done counts only for what the document still asks for.
func TestAChangedCrewIsDoneAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{When: "Find facts", Text: "They move heat", Times: 2}, modeltest.Turn{When: "Write an article", Text: "The end"}))
	b.set(pair, `{"topic":"heat"}`)
	first, _, _ := b.attempt(t, nil, 2, nil)
	b.set(pair, `{"topic":"cold"}`)
	if _, out, err := b.attempt(t, first.saved, 0, nil); err != nil || seen(t, out)["result"] != "The end" || len(b.Requests()) != 3 {
		t.Errorf("got %v after %d questions", err, len(b.Requests()))
	}
}

// TestACrewAsksBeforeATool ends the attempt for the time of the answer, and lets what goes on beside it come to its end first.
func TestACrewAsksBeforeATool(t *testing.T) {
	t.Parallel()
	var made []string
	b := newBench(t, "openai", kindOf("DeleteTool", "delete", func(_ context.Context, q string) (string, error) {
		made = append(made, q)
		return "deleted " + q, nil
	}))
	b.Play("m", play(
		modeltest.Turn{When: "Clean up", Calls: []modeltest.Call{{Name: "delete", Arguments: `{"q":"a"}`}}},
		modeltest.Turn{When: "Write it down", Text: "Written", Delay: 100_000_000},
		modeltest.Turn{Last: "deleted b", Text: "Clean"},
		modeltest.Turn{When: "Report\nClean\nWritten", Text: "All is done"},
	))
	b.set(`{"agents":{"a":{"role":"R","tools":[{"tool":"DeleteTool","approve":true}]},"b":{"role":"S"}},"tasks":{
		"clean":{"description":"Clean up","agent":"a","async_execution":true}, "write":{"description":"Write it down","agent":"b","async_execution":true},
		"report":{"description":"Report","agent":"b"}}}`, `{}`)
	first, out, err := b.attempt(t, nil, 0, nil)
	if err != nil || out.Kind() != executors.KindAwaiting || len(made) != 0 || len(b.Requests()) != 2 {
		t.Fatalf("got %v, %v after %d questions, used %v", out.Kind(), err, len(b.Requests()), made)
	}
	await := out.Await()
	data, _ := json.Marshal(await.Data)
	want := `{"message":"R wishes to use delete with {\"q\":\"a\"}","choices":["accept","edit","refuse"],"agent":"R","tool":"delete","arguments":{"q":"a"},
		"schema":{"type":"object","properties":{"q":{"type":"string"}},"required":["q"],"additionalProperties":false}}`
	var got map[string]any
	if json.Unmarshal(data, &got); await.Kind != executors.AwaitApproval || !await.Resume || !same(got, want) {
		t.Errorf("waits for %+v with %s", await, data)
	}
	again, out, err := b.attempt(t, first.saved, 0, &executors.Answer{Choice: "edit", Payload: json.RawMessage(`{"r":"b"}`)})
	if err != nil || out.Kind() != executors.KindAwaiting || len(made) != 0 {
		t.Fatalf("wrong arguments: got %v, %v, used %v", out.Kind(), err, made)
	}
	last, out, err := b.attempt(t, again.saved, 0, &executors.Answer{Choice: "edit", Payload: json.RawMessage(`{"q":"b"}`), By: "ann"})
	if err != nil || seen(t, out)["result"] != "All is done" || fmt.Sprint(made) != "[b]" || len(b.Requests()) != 4 {
		t.Errorf("got %v, %v after %d questions, used %v", seen(t, out), err, len(b.Requests()), made)
	}
	if strings.Contains(string(last.saved), `"awaits"`) {
		t.Errorf("it still waits: %s", last.saved)
	}
}

func TestAnAnswerToAnotherQuestionIsNone(t *testing.T) {
	t.Parallel()
	var made []string
	b := newBench(t, "openai", kindOf("DeleteTool", "delete", func(_ context.Context, q string) (string, error) {
		made = append(made, q)
		return "deleted " + q, nil
	}))
	one := func(q string) modeltest.Turn {
		return modeltest.Turn{When: "Clean " + q, Calls: []modeltest.Call{{Name: "delete", Arguments: `{"q":"` + q + `"}`}}}
	}
	b.Play("m", play(one("a"), one("b"), modeltest.Turn{Last: "A person has refused this use of delete. They say: keep it", Text: "Kept", Times: 2}))
	b.set(`{"agents":{"a":{"role":"R","tools":[{"tool":"DeleteTool","approve":true}]}},"tasks":{
		"x":{"description":"Clean a","async_execution":true}, "y":{"description":"Clean b","async_execution":true}}}`, `{}`)
	var checkpoint json.RawMessage
	var answer *executors.Answer
	for _, want := range []string{"a", "b"} {
		s, out, err := b.attempt(t, checkpoint, 0, answer)
		data, _ := json.Marshal(out.Await())
		if err != nil || out.Kind() != executors.KindAwaiting || !strings.Contains(string(data), `"arguments":{"q":"`+want+`"}`) {
			t.Fatalf("got %s, %v", data, err)
		}
		checkpoint, answer = s.saved, &executors.Answer{Choice: "refuse", Comment: "keep it"}
	}
	if _, out, err := b.attempt(t, checkpoint, 0, answer); err != nil || seen(t, out)["result"] != "Kept" || len(made) != 0 || len(b.Requests()) != 4 {
		t.Errorf("got %v, used %v after %d questions", err, made, len(b.Requests()))
	}
}
