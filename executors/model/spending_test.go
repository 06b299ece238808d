package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// TestNoNumberTurnsABudgetOver: those of a task and of a service may be as large as numbers are.
func TestNoNumberTurnsABudgetOver(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Recorded("good"))
	b := newBench(t, model.Config{})
	for name, row := range map[string]struct {
		spent executors.Usage
		most  int
	}{
		"max_tokens":                   {executors.Usage{}, math.MaxInt},
		"tokens of earlier attempts":   {executors.Usage{PromptTokens: math.MaxInt64}, 100},
		"both of them":                 {executors.Usage{PromptTokens: math.MaxInt64, CompletionTokens: math.MaxInt64}, 100},
		"and nobody bounds the answer": {executors.Usage{PromptTokens: math.MaxInt64, CompletionTokens: 3}, 0},
	} {
		o := wires[0].at(s)
		o.Meter = (&budget.Limits{Tokens: 1000}).Meter(row.spent)
		r := say("Hi")
		r.MaxTokens = row.most
		if _, err := b.session(o).Ask(t.Context(), r); budget.ExhaustedOf(err) == nil || len(s.Requests()) > 0 {
			t.Errorf("%s: got %v after %d requests", name, err, len(s.Requests()))
		}
	}
}

// TestABudgetCountsAllAnswers that one question asks for.
func TestABudgetCountsAllAnswers(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Recorded("conversation"))
	b := newBench(t, model.Config{})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Tokens: 1000}).Meter(executors.Usage{})
	session := b.session(o)
	r := say("Hi")
	r.MaxTokens, r.Extra = 300, map[string]json.RawMessage{"n": json.RawMessage("4")}
	if _, err := session.Ask(t.Context(), r); budget.ExhaustedOf(err) == nil || len(s.Requests()) > 0 {
		t.Fatalf("got %v after %d requests", err, len(s.Requests()))
	}
	r.MaxTokens = 0
	if _, err := session.Ask(t.Context(), r); budget.ExhaustedOf(err) != nil || len(s.Requests()) != 1 || s.Requests()[0].MaxTokens > 250 {
		t.Errorf("got %v, %+v", err, s.Requests())
	}
}

// TestAnswersWithoutBelievableUsageAreCounted from the texts.
func TestAnswersWithoutBelievableUsageAreCounted(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("word ", 100)
	for _, usage := range []string{`{}`, `null`, `{"prompt_tokens":0,"completion_tokens":0}`, `{"prompt_tokens":-7,"completion_tokens":-8}`, `{"prompt_tokens":"9","completion_tokens":"100"}`, `{"prompt_tokens":5}`} {
		for _, stream := range []bool{false, true} {
			kind, body := asJSON, fmt.Sprintf(`{"choices":[{"message":{"content":%q},"finish_reason":"stop"}],"usage":%s}`, text, usage)
			if stream {
				kind, body = asEvents, sse(fmt.Sprintf(`{"choices":[{"delta":{"content":%q},"finish_reason":"stop"}]}`, text), `{"choices":[],"usage":`+usage+`}`, "[DONE]")
			}
			b := newBench(t, model.Config{})
			o := model.Options{Key: "k", BaseURL: raw(t, kind, body), Meter: (&budget.Limits{Tokens: 1000}).Meter(executors.Usage{})}
			r := say("Hi")
			r.Stream = stream
			resp, err := b.session(o).Ask(t.Context(), r)
			if err != nil || !resp.Estimated || resp.Usage.PromptTokens == 0 || resp.Usage.CompletionTokens != 125 || o.Meter.Used().CompletionTokens != 125 {
				t.Errorf("%s, %v: got %+v, %v", usage, stream, resp, err)
			}
		}
	}
}

// TestLaterNumbersAreNoSmaller: an event at the end can't take back what a service has said it used.
func TestLaterNumbersAreNoSmaller(t *testing.T) {
	t.Parallel()
	for api, body := range map[string]string{
		"openai": sse(`{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":70,"completion_tokens":50}}`, `{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":1}}`, "[DONE]"),
		"anthropic": sse(`{"type":"message_start","message":{"usage":{"input_tokens":70,"output_tokens":50}}}`, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}`,
			`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":1}}`, `{"type":"message_stop"}`),
	} {
		b := newBench(t, model.Config{})
		r := say("Hi")
		r.Stream = true
		resp, err := b.session(model.Options{Key: "k", BaseURL: raw(t, asEvents, body), API: api}).Ask(t.Context(), r)
		if err != nil || resp.Usage.PromptTokens != 70 || resp.Usage.CompletionTokens != 50 {
			t.Errorf("%s: got %+v, %v", api, resp, err)
		}
	}
}

// TestCallsThatCantBeReadCount, as the service has done the work: else a budget of one call pays for as many as there are attempts.
func TestCallsThatCantBeReadCount(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":             func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"an empty stream":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", asEvents) },
		"too large":           func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 1<<20)) },
		"silent":              func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"silent after begins": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				readAll(r)
				answer(w, r)
			}))
			t.Cleanup(s.Close)
			b := newBench(t, model.Config{MaxAnswerBytes: 64 << 10, Wait: 300 * time.Millisecond, Silence: 300 * time.Millisecond})
			o := model.Options{Key: "k", BaseURL: s.URL, Meter: (&budget.Limits{Calls: 1}).Meter(executors.Usage{})}
			r := say("Hi")
			r.Stream = true
			session := b.session(o)
			for range 2 {
				if _, err := session.Ask(t.Context(), r); err == nil {
					t.Error("it is answered")
				}
			}
			if asked.Load() != 1 || b.used.Calls != 1 || b.used.PromptTokens == 0 || o.Meter.Used() != b.used {
				t.Errorf("asked %d times, recorded %+v", asked.Load(), b.used)
			}
		})
	}
}

func readAll(r *http.Request) { _ = json.NewDecoder(r.Body).Decode(new(any)) }

// TestACancelledCallCounts, whose answer nobody waits for any more; one that was not sent does not.
func TestACancelledCallCounts(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{HangFirst: true}}})
	b := newBench(t, model.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		s.Wait(t, 1)
		cancel(executors.ErrCancelled)
	}()
	session := b.session(wires[0].at(s))
	if resp, err := session.Ask(ctx, say("Hi")); err != executors.ErrCancelled || resp == nil || !resp.Estimated || b.used.Calls != 1 || b.used.PromptTokens == 0 {
		t.Errorf("got %+v, %v, recorded %+v", resp, err, b.used)
	}
	if resp, err := session.Ask(ctx, say("Hi")); err != executors.ErrCancelled || resp != nil || b.used.Calls != 1 {
		t.Errorf("got %+v, %v, recorded %+v", resp, err, b.used)
	}
}

// TestARepairGetsWhatIsLeft of a budget, though the first answer was allowed more.
func TestARepairGetsWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{Text: "no JSON", Usage: &modeltest.Usage{Prompt: 400, Completion: 100}}, {Text: `{"a":1}`}}})
	b := newBench(t, model.Config{})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Tokens: 2000}).Meter(executors.Usage{})
	r := say("Hi")
	r.Schema = json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`)
	resp, err := b.session(o).Ask(t.Context(), r)
	if err != nil || !resp.Repaired || len(s.Requests()) != 2 || s.Requests()[1].MaxTokens > 1500 {
		t.Errorf("got %+v, %v", resp, err)
	}
}

// TestABudgetOfMoneyKnowsItsCurrency: prices of another one can't be counted, and nothing is free for that.
func TestABudgetOfMoneyKnowsItsCurrency(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Recorded("good"))
	b := newBench(t, model.Config{PricesFile: priced(t)})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Money: 1e9}).Meter(executors.Usage{Calls: 1, CostNanos: 5, Currency: "USD"})
	if _, err := b.session(o).Ask(t.Context(), say("Hi")); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "budget.money: prices are in EUR now, and what the task has used is in USD") || len(s.Requests()) > 0 {
		t.Errorf("got %v", err)
	}
}

// TestAWholeAnswerIsTaken though its stream ends in a sloppy way: it is paid for.
func TestAWholeAnswerIsTaken(t *testing.T) {
	t.Parallel()
	whole := sse(`{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`)
	for _, end := range []string{"", "data: [DONE]", "data: [DONE]\n", ": ping", "data: {\"choi"} {
		b := newBench(t, model.Config{})
		r := say("Hi")
		r.Stream = true
		resp, err := b.session(model.Options{Key: "k", BaseURL: raw(t, asEvents, whole+end)}).Ask(t.Context(), r)
		if err != nil || resp.Message.Text() != "Hello" || resp.Usage.PromptTokens != 3 {
			t.Errorf("%q: got %+v, %v", end, resp, err)
		}
	}
}

// TestAKeyInPlaceOfATypeShowsNowhere, nor where an error cuts what a service says.
func TestAKeyInPlaceOfATypeShowsNowhere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"type":"` + canary + `"}`, `{"type":"` + strings.Repeat("x", 20) + canary + `"}`, strings.Repeat("x", 300-len(canary)/2) + canary, strings.Repeat(" ", 400) + canary} {
		for _, w := range wires {
			b := newBench(t, model.Config{})
			r := say("Hi")
			r.Stream = w.stream
			_, err := b.session(model.Options{Key: canary, BaseURL: raw(t, asJSON, body), API: w.api}).Ask(t.Context(), r)
			if err == nil || strings.Contains(err.Error(), canary[:8]) {
				t.Errorf("%s: got %v", w.name, err)
			}
		}
	}
}
