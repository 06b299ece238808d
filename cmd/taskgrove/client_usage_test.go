package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestUsageIsShown: with a task, its attempts and its tree, and summed up; those that used no models don't speak of it.
func TestUsageIsShown(t *testing.T) {
	svc := double(t)
	for _, id := range []string{"ask", "plain"} {
		if _, err := svc.Submit(t.Context(), coordinator.SubmitOptions{UserID: "ann"}, func(yield func(*dag.Task, error) bool) {
			yield(&dag.Task{ID: id, Name: id, Executor: "hand_executor"}, nil)
		}); err != nil {
			t.Fatal(err)
		}
		svc.Start(id)
		if id == "ask" {
			svc.Use(id, dag.Used{Model: "m-large", Currency: "USD", Calls: 2, Prompt: 1000, Completion: 200, Cached: 50, CostNanos: 4_850_000})
			svc.Use(id, dag.Used{Model: "m-local", Calls: 1, Prompt: 7, Completion: 3, Unpriced: 1})
		}
		svc.Complete(id, `{}`)
	}
	shows := func(words []string, args ...string) {
		t.Helper()
		out, notes, code := runCommand(t, args...)
		for _, want := range words {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s%s", strings.Join(args, " "), want, out, notes)
			}
		}
	}
	const line = "3 calls, 1210 tokens (1007 read, 203 written), at least 0.00485 USD: m-large, m-local"
	shows([]string{line, "TOKENS", "1210"}, "get", "ask")
	shows([]string{"models  " + line}, "tree", "ask")
	shows([]string{"USER", "ann", "1007", "at least 0.00485 USD"}, "usage", "--by", "user", "--since", "1h")
	shows([]string{time.Now().UTC().Format(time.DateOnly)}, "usage")
	shows([]string{"m-local", "  -"}, "usage", "--by", "model", "--model", "m-local", "--tree", "ask")
	for _, args := range [][]string{{"get", "plain"}, {"tree", "plain"}, {"get", "plain", "-o", "json"}} {
		if out, _, _ := runCommand(t, args...); strings.Contains(out, "models") || strings.Contains(out, "TOKENS") || strings.Contains(out, "usage") {
			t.Errorf("%v speaks of usage:\n%s", args, out)
		}
	}
	for _, args := range [][]string{{"get", "ask"}, {"usage", "--by", "tree"}} {
		out, _, _ := runCommand(t, append(args, "-o", "json")...)
		var got struct {
			Key   string
			Usage *struct {
				TokenUsage map[string]int64 `json:"token_usage"`
			}
			TokenUsage map[string]int64 `json:"token_usage"`
			Cost       *struct {
				Amount   float64
				Complete bool
			}
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err, out)
		}
		tokens := got.TokenUsage
		if got.Usage != nil {
			tokens = got.Usage.TokenUsage
		}
		if tokens["total_tokens"] != 1210 || tokens["successful_requests"] != 3 || tokens["cached_prompt_tokens"] != 50 || got.Key != "" && (got.Cost == nil || got.Cost.Complete) {
			t.Errorf("%v: got %s", args, out)
		}
	}
	for _, args := range [][]string{{"usage", "--by", "hour"}, {"usage", "--limit", "0"}} {
		if _, _, code := runCommand(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	if _, notes, code := runCommand(t, "usage", "--user", "nobody"); code != 0 || !strings.Contains(notes, "no call of a model matches") {
		t.Errorf("nobody's: %q, %d", notes, code)
	}
}

func TestPlural(t *testing.T) {
	for what, want := range map[string]string{"task": "tasks", "call of a model": "calls of a model"} {
		if got := plural(what); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
}

func TestCostText(t *testing.T) {
	for want, u := range map[string]client.Usage{
		"-":                           {},
		"1.5 USD":                     {Cost: &client.Cost{Amount: 1.5, Currency: "USD", Complete: true}},
		"0.000000001 USD + 20000 EUR": {Cost: &client.Cost{Amount: 1e-9, Currency: "USD", Complete: true}, OtherCosts: []client.Cost{{Amount: 20000, Currency: "EUR", Complete: true}}},
		"at least 0 USD":              {Cost: &client.Cost{Currency: "USD"}},
	} {
		if got := costText(&u); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
