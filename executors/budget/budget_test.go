package budget_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		budget, on string
		want       budget.Limits
		faults     string
	}{
		"nothing":       {"", "", budget.Limits{On: budget.Fail}, ""},
		"null":          {"null", "skip", budget.Limits{On: budget.Skip}, ""},
		"all":           {`{"tokens": 1000, "calls": 3, "money": 0.25, "seconds": 1.5}`, "partial", budget.Limits{Tokens: 1000, Calls: 3, Money: 250_000_000, Time: 1500 * time.Millisecond, On: budget.Partial}, ""},
		"beyond reason": {`{"tokens": 1e30, "seconds": 1e30}`, "fail", budget.Limits{Tokens: 1 << 62, Time: 1 << 62, On: budget.Fail}, ""},
		"tiny money":    {`{"money": 1e-12}`, "", budget.Limits{Money: 1, On: budget.Fail}, ""},
		"faults": {`{"tokens": 0, "calls": 1.5, "money": "1", "seconds": -1, "time": 3}`, "stop", budget.Limits{},
			"budget.calls must be a whole number above 0; budget.money must be a number above 0; budget.seconds must be a number above 0; budget.time is unknown: a budget has tokens, calls, money and seconds; budget.tokens must be a whole number above 0; on_exhausted must be fail, skip or partial"},
		"a list": {`[]`, "", budget.Limits{}, "budget must be an object of tokens, calls, money and seconds"},
	} {
		got, faults := budget.Parse(json.RawMessage(row.budget), row.on)
		if strings.Join(faults, "; ") != row.faults || row.faults == "" && *got != row.want {
			t.Errorf("%s: got %+v, %q", name, got, faults)
		}
	}
}

func TestAMeterReservesAndSettles(t *testing.T) {
	t.Parallel()
	m := (&budget.Limits{Tokens: 1000, Calls: 3, Money: 1000}).Meter(executors.Usage{Calls: 1, PromptTokens: 100, CostNanos: 100})
	first, err := m.Reserve(budget.Need{Tokens: 600, Cost: 600})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(which, text string, need budget.Need) {
		t.Helper()
		_, err := m.Reserve(need)
		if spent := budget.ExhaustedOf(err); spent == nil || spent.Which != which || err.Error() != text || !executors.IsPermanent(err) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	refused("tokens", "budget of 1000 tokens is exhausted: 100 used, 600 reserved by calls under way, and the next call may take 400", budget.Need{Tokens: 400})
	refused("money", "budget of 0.000001 money is exhausted: 0.0000001 used, 0.0000006 reserved by calls under way, and the next call may take 0.0000005", budget.Need{Tokens: 1, Cost: 500})
	first.Settle(executors.Usage{Calls: 1, PromptTokens: 50, CompletionTokens: 50, CostNanos: 100})
	first.Settle(executors.Usage{Calls: 1, PromptTokens: 50}) // only the first counts
	second, err := m.Reserve(budget.Need{Tokens: 800, Cost: 1})
	if err != nil {
		t.Fatal(err)
	}
	refused("calls", "budget of 3 calls is exhausted: 2 used, 1 reserved by calls under way, and the next call may take 1", budget.Need{})
	second.Settle(executors.Usage{}) // it was not answered
	if _, err := m.Reserve(budget.Need{Tokens: 800}); err != nil {
		t.Error(err)
	}
	if used := m.Used(); used.Calls != 2 || used.TotalTokens() != 200 || used.CostNanos != 200 {
		t.Errorf("used %+v", used)
	}
}

// TestAMeterHoldsUnderConcurrency: agents that share it never reserve more than there is.
func TestAMeterHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	m := (&budget.Limits{Tokens: 10_000, Calls: 500}).Meter(executors.Usage{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 100 {
				r, err := m.Reserve(budget.Need{Tokens: 30})
				if err != nil {
					return
				}
				r.Settle(executors.Usage{Calls: 1, PromptTokens: 20, CompletionTokens: 10})
			}
		})
	}
	all.Wait()
	if used := m.Used(); used.TotalTokens() > 10_000 || used.TotalTokens() < 9_900 || used.Calls != used.TotalTokens()/30 {
		t.Errorf("used %+v", used)
	}
}

func TestTimeOfABudget(t *testing.T) {
	t.Parallel()
	m := (&budget.Limits{Time: time.Nanosecond}).Meter(executors.Usage{})
	ctx, cancel := m.Context(t.Context())
	defer cancel()
	<-ctx.Done()
	if spent := budget.ExhaustedOf(context.Cause(ctx)); spent == nil || spent.Which != "seconds" || !executors.IsPermanent(context.Cause(ctx)) {
		t.Errorf("got %v", context.Cause(ctx))
	}
	if _, err := m.Reserve(budget.Need{}); budget.ExhaustedOf(err) == nil {
		t.Errorf("got %v", err)
	}
}

func TestNoMeterHasNoLimits(t *testing.T) {
	t.Parallel()
	var m *budget.Meter
	r, err := m.Reserve(budget.Need{Tokens: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	r.Settle(executors.Usage{Calls: 1})
	ctx, cancel := m.Context(t.Context())
	defer cancel()
	if _, limited := m.Room(1, budget.Price{}); limited || ctx.Err() != nil || m.Used() != (executors.Usage{}) {
		t.Error("it has")
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	price := budget.Price{Input: 1, Output: 2} // 1000 and 2000 billionths per token
	m := (&budget.Limits{Tokens: 1000, Money: 400_000}).Meter(executors.Usage{PromptTokens: 100, CostNanos: 100_000})
	if got, ok := m.Room(100, budget.Price{}); got != 800 || !ok {
		t.Errorf("by tokens: %d", got)
	}
	if got, ok := m.Room(100, price); got != 100 || !ok {
		t.Errorf("by money: %d", got)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	_, spent := (&budget.Limits{Calls: 1}).Meter(executors.Usage{Calls: 1}).Reserve(budget.Need{})
	const text = "budget of 1 calls is exhausted: 1 used, and the next call may take 1"
	other := errors.New("the service is on fire")
	sofar := map[string]any{"content": "half"}
	for name, row := range map[string]struct {
		on    budget.Policy
		err   error
		sofar any
		kind  executors.Kind
		value string
		want  string // error
	}{
		"fail":                  {budget.Fail, spent, sofar, executors.KindPartial, `{"content":"half"}`, text},
		"skip":                  {budget.Skip, spent, sofar, executors.KindCompleted, `{"skipped":true,"reason":"` + text + `"}`, ""},
		"partial":               {budget.Partial, spent, sofar, executors.KindCompleted, `{"budget_exhausted":"calls","content":"half"}`, ""},
		"partial of nothing":    {budget.Partial, spent, nil, executors.KindCompleted, `{"budget_exhausted":"calls"}`, ""},
		"partial of a text":     {budget.Partial, spent, "half", executors.KindCompleted, `{"budget_exhausted":"calls","result":"half"}`, ""},
		"another error":         {budget.Partial, other, sofar, executors.KindPartial, `{"content":"half"}`, other.Error()},
		"another, with nothing": {budget.Skip, other, nil, executors.KindCompleted, "null", other.Error()},
	} {
		outcome, err := (&budget.Limits{On: row.on}).End(row.err, row.sofar)
		value, _ := json.Marshal(outcome.Value())
		if outcome.Kind() != row.kind || string(value) != row.value || (err == nil) != (row.want == "") || err != nil && err.Error() != row.want {
			t.Errorf("%s: got %v %s, %v", name, outcome.Kind(), value, err)
		}
		if err != nil && executors.IsPermanent(err) != (row.err == spent) {
			t.Errorf("%s: permanent is %v", name, executors.IsPermanent(err))
		}
	}
}

const prices = `
currency: USD
models:
  openai/gpt-4o: {input: 2.50, output: 10, cached: 1.25}
  gpt-4o: {input: 99, output: 99}
  gpt-4o-*: {input: 0.15, output: 0.60}
  gpt-*: {input: 5, output: 5}
  "*sonnet*": {input: 3, output: 15}
`

func TestPrices(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if at := time.Now().Add(-age); os.Chtimes(path, at, at) != nil {
			t.Fatal("chtimes")
		}
	}
	write(prices, time.Hour)
	p := budget.PricesAt(path)
	if p.Fault() != nil || p.Currency() != "USD" {
		t.Fatalf("got %v, %s", p.Fault(), p.Currency())
	}
	for names, want := range map[string]float64{
		"openai/gpt-4o gpt-4o": 2.5, "gpt-4o": 99, "gpt-4o-mini": 0.15, "openai/gpt-4o-mini gpt-4o-mini": 0.15, "gpt-5": 5, "anthropic/claude-sonnet-4-5": 3, "llama": -1, "x-gpt-5": -1,
	} {
		got, ok := p.Of(strings.Fields(names)...)
		if ok != (want >= 0) || ok && got.Input != want {
			t.Errorf("%s: got %+v, %v", names, got, ok)
		}
	}
	price, _ := p.Of("openai/gpt-4o")
	used := executors.Usage{Calls: 1, PromptTokens: 1_000_000, CachedTokens: 400_000, CompletionTokens: 100_000, Currency: "USD"}
	if used.CostNanos = price.Cost(used); used.CostNanos != 3_000_000_000 { // 0.6 * 2.50 + 0.4 * 1.25 + 0.1 * 10
		t.Errorf("costs %d", used.CostNanos)
	}
	if cost, _ := json.Marshal(budget.CostOf(used)); string(cost) != `{"amount":3,"currency":"USD"}` {
		t.Errorf("shown as %s", cost)
	}
	write("currency: USD\nmodels:\n  a: {input: 1, output: 1}\n", 0)
	soon(t, func() bool { _, ok := p.Of("a"); return ok })
	write("currenci: USD\nmodels:\n  a: {input: -1, outputs: 1}\n", time.Minute)
	soon(t, func() bool { return p.Fault() != nil })
	for _, want := range []string{"currenci: unknown key", "currency: is missing", "models.a.output: is missing", "models.a.outputs: unknown key", "models.a.input: want a price"} {
		if !strings.Contains(p.Fault().Error(), want) {
			t.Errorf("lacks %s: %v", want, p.Fault())
		}
	}
	if _, ok := p.Of("a"); !ok {
		t.Error("the version before does not count")
	}
	if err := budget.PricesAt(path + "x").Fault(); err == nil {
		t.Error("a file that is missing is no fault")
	}
	var no *budget.Prices
	if _, ok := no.Of("a"); ok || no.Fault() != nil || no.Currency() != "" {
		t.Error("no file has prices")
	}
}

func soon(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 1: "0.000000001", 1_500_000_000: "1.5", 250_000: "0.00025"} {
		if got := budget.Money(n); got != want {
			t.Errorf("%d: got %s", n, got)
		}
	}
	if budget.CostOf(executors.Usage{Calls: 2, Unpriced: 2}) != nil || budget.CostOf(executors.Usage{}) != nil || budget.CostOf(executors.Usage{Calls: 2, Unpriced: 1}).Unpriced != 1 {
		t.Error("what has no price costs nothing that could be shown")
	}
}
