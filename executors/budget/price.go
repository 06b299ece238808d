package budget

import (
	"math"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Price is what a model costs, per million tokens, in units of the currency.
type Price struct {
	Input, Output, Cached float64 // Cached: of what was read from the service's cache
}

// perToken makes billionths per token of units per million tokens.
const perToken = nanos / 1e6

// Cost is what calls cost, in billionths of the currency.
func (p Price) Cost(u executors.Usage) int64 {
	cached := min(max(u.CachedTokens, 0), u.PromptTokens)
	total := float64(u.PromptTokens-cached)*p.Input + float64(cached)*p.Cached + float64(u.CompletionTokens)*p.Output
	return int64(min(math.Round(total*perToken), 1<<62))
}

// Most is what a call costs at most, in billionths, that reads and writes so many tokens: whether or not they come from the cache.
func (p Price) Most(prompt, completion int64) int64 {
	u := executors.Usage{PromptTokens: prompt, CompletionTokens: completion}
	cost := p.Cost(u)
	u.CachedTokens = prompt
	return max(cost, p.Cost(u))
}

// Money shows billionths of a currency as a decimal number.
func Money(billionths int64) string {
	text := strconv.FormatFloat(float64(billionths)/nanos, 'f', 9, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
