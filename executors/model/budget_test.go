package model_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// priced is a file of prices: a million tokens read cost 1, written 2.
func priced(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(path, []byte("currency: EUR\nmodels:\n  m: {input: 1, output: 2, cached: 0.5}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABudgetEndsACallBeforeItIsMade(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		limits budget.Limits
		spent  executors.Usage
		which  string
	}{
		"calls":                     {budget.Limits{Calls: 2}, executors.Usage{}, "calls"},
		"calls of earlier attempts": {budget.Limits{Calls: 3}, executors.Usage{Calls: 1}, "calls"},
		"tokens":                    {budget.Limits{Tokens: 300}, executors.Usage{}, "tokens"},
		"money":                     {budget.Limits{Money: 400_000}, executors.Usage{}, "money"},
	} {
		for _, w := range wires {
			s := modeltest.Start(t)
			s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{Text: "Yes.", Times: -1, Usage: &modeltest.Usage{Prompt: 80, Completion: 60, Cached: 20}}}})
			b := newBench(t, model.Config{PricesFile: priced(t)})
			meter := row.limits.Meter(row.spent)
			o := w.at(s)
			o.Meter = meter
			session := b.session(o)
			r := say("Hi")
			r.Stream, r.MaxTokens = w.stream, 100
			var err error
			for range 3 {
				if _, err = session.Ask(t.Context(), r); err != nil {
					break
				}
			}
			if spent := budget.ExhaustedOf(err); spent == nil || spent.Which != row.which || !executors.IsPermanent(err) || len(s.Requests()) != 2 {
				t.Errorf("%s over %s: after %d calls %v", name, w.name, len(s.Requests()), err)
			}
			if want := (executors.Usage{Calls: 2, PromptTokens: 160, CompletionTokens: 120, CachedTokens: 40, CostNanos: 380_000, Currency: "EUR"}); b.used != want {
				t.Errorf("%s over %s: recorded %+v", name, w.name, b.used)
			}
		}
	}
}

// TestABudgetBoundsAnAnswer that nobody bounds: by what is left.
func TestABudgetBoundsAnAnswer(t *testing.T) {
	t.Parallel()
	for tokens, want := range map[int64]int64{100_000: 4096, 500: 495} {
		s := modeltest.Start(t)
		s.Play("m", modeltest.Recorded("good"))
		b := newBench(t, model.Config{})
		o := wires[0].at(s)
		o.Meter = (&budget.Limits{Tokens: tokens}).Meter(executors.Usage{})
		if _, err := b.session(o).Ask(t.Context(), say("Hi")); err != nil || s.Requests()[0].MaxTokens != want {
			t.Errorf("of %d: asked for %d, %v", tokens, s.Requests()[0].MaxTokens, err)
		}
	}
}

func TestABudgetsTimeEndsACallUnderWay(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{Text: "Well,", Hang: true}}})
	b := newBench(t, model.Config{})
	o := wires[1].at(s)
	o.Meter = (&budget.Limits{Time: 3 * time.Second}).Meter(executors.Usage{})
	r := say("Hi")
	r.Stream = true
	resp, err := b.session(o).Ask(t.Context(), r)
	if spent := budget.ExhaustedOf(err); spent == nil || spent.Which != "seconds" || resp == nil || resp.Message.Text() != "Well," || resp.Usage.CompletionTokens == 0 {
		t.Errorf("got %+v, %v", resp, err)
	}
}

// TestMoneyNeedsAPrice before anything is asked.
func TestMoneyNeedsAPrice(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	b := newBench(t, model.Config{PricesFile: priced(t)})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Money: 1}).Meter(executors.Usage{})
	if _, err := b.session(o).Ask(t.Context(), say("Hi", "other")); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "budget.money: model other has no price") || len(s.Requests()) > 0 {
		t.Errorf("got %v", err)
	}
}

// TestAgentsShareABudget: many at once never get more calls than there are.
func TestAgentsShareABudget(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Recorded("conversation"))
	b := newBench(t, model.Config{})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Calls: 10}).Meter(executors.Usage{})
	session := b.session(o)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if _, err := session.Ask(t.Context(), say("Hi")); err != nil && budget.ExhaustedOf(err) == nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(s.Requests()) != 10 || b.used.Calls != 10 {
		t.Errorf("%d calls, recorded %+v", len(s.Requests()), b.used)
	}
}

// TestFailedCallsCostNothing, and answers that can't be read are asked for once more.
func TestFailedCallsCostNothing(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{Fault: modeltest.FaultServer, Times: -1}}})
	b := newBench(t, model.Config{})
	o := wires[0].at(s)
	o.Meter = (&budget.Limits{Calls: 1, Tokens: 5000}).Meter(executors.Usage{})
	session := b.session(o)
	for range 3 {
		if _, err := session.Ask(t.Context(), say("Hi")); err == nil || budget.ExhaustedOf(err) != nil {
			t.Errorf("got %v", err)
		}
	}
	if b.used != (executors.Usage{}) || o.Meter.Used() != (executors.Usage{}) {
		t.Errorf("recorded %+v", b.used)
	}
}
