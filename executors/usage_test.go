package executors_test

import (
	"math"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
)

func TestUsageAdds(t *testing.T) {
	t.Parallel()
	sum := executors.Usage{Calls: 1, PromptTokens: 10, CostNanos: math.MaxInt64 - 1}
	sum.Add(executors.Usage{Calls: 2, PromptTokens: 5, CompletionTokens: 7, CachedTokens: 3, CostNanos: 5, Unpriced: 1})
	sum.Add(executors.Usage{PromptTokens: -4}) // nobody gives tokens back
	want := executors.Usage{Calls: 3, PromptTokens: 15, CompletionTokens: 7, CachedTokens: 3, CostNanos: math.MaxInt64, Unpriced: 1}
	if sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
	if got := sum.TotalTokens(); got != 22 {
		t.Errorf("total: got %d, want 22", got)
	}
}

func TestUsageKeepsCurrenciesApart(t *testing.T) {
	t.Parallel()
	sum := executors.Usage{Calls: 1, Unpriced: 1}
	sum.Add(executors.Usage{Calls: 2, CostNanos: 5, Currency: "USD"})
	sum.Add(executors.Usage{Calls: 3, CostNanos: 7, Currency: "EUR", CompletionTokens: 4})
	sum.Add(executors.Usage{Calls: 1, Unpriced: 1})
	want := executors.Usage{Calls: 7, CompletionTokens: 4, CostNanos: 5, Unpriced: 5, Currency: "USD"}
	if sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}

func TestCallsWithoutListenersMayTell(t *testing.T) {
	t.Parallel()
	call := &executors.Call{}
	call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "x"})
	call.Record("gpt-4o", executors.Usage{Calls: 1})
	var told []executors.Piece
	used := map[string]executors.Usage{}
	call.Live = func(p executors.Piece) { told = append(told, p) }
	call.Used = func(model string, u executors.Usage) { used[model] = u }
	call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "x"})
	call.Record("gpt-4o", executors.Usage{Calls: 1})
	if len(told) != 1 || told[0].Text != "x" || used["gpt-4o"].Calls != 1 {
		t.Errorf("told %v, used %v", told, used)
	}
}
