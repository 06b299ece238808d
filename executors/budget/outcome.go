package budget

import (
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
)

// Skipped is the result of a task that its budget has kept from being done.
type Skipped struct {
	Skipped bool   `json:"skipped"` // true
	Reason  string `json:"reason"`
}

// End turns the end of an attempt whose error may be an [Exhausted] into what its task wants then. sofar is the result as far as it goes, a
// JSON object or what is encoded as one; nil: nothing. With any other error, sofar is the partial result.
func (l *Limits) End(err error, sofar any) (*executors.Outcome, error) {
	spent := ExhaustedOf(err)
	if spent != nil {
		switch l.On {
		case Skip:
			return executors.Completed(Skipped{true, spent.Error()}), nil
		case Partial:
			result, err := marked(sofar, spent.Which)
			return executors.Completed(result), err
		}
		err = executors.Permanent(err)
	}
	if sofar == nil {
		return nil, err
	}
	return executors.Partial(sofar), err
}

// marked is a result that says which part of the budget was used up.
func marked(sofar any, which string) (json.RawMessage, error) {
	text, err := json.Marshal(sofar)
	if err != nil {
		return nil, fmt.Errorf("partial result: %w", err)
	}
	fields := map[string]json.RawMessage{}
	if string(text) != "null" {
		if err := json.Unmarshal(text, &fields); err != nil {
			fields = map[string]json.RawMessage{"result": text}
		}
	}
	fields["budget_exhausted"], _ = json.Marshal(which) // a text
	return json.Marshal(fields)
}

// TokenUsage is a usage as results have it (spec 8.11).
type TokenUsage struct {
	Total      int64 `json:"total_tokens"`
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Cached     int64 `json:"cached_prompt_tokens"`
	Requests   int64 `json:"successful_requests"`
}

// TokenUsageOf is the usage of a result.
func TokenUsageOf(u executors.Usage) *TokenUsage {
	return &TokenUsage{u.TotalTokens(), u.PromptTokens, u.CompletionTokens, u.CachedTokens, u.Calls}
}

// Cost is what calls cost, as results have it.
type Cost struct {
	Amount   json.Number `json:"amount"`
	Currency string      `json:"currency,omitempty"`
	Unpriced int64       `json:"unpriced_calls,omitempty"` // that Amount lacks
}

// CostOf is what a usage cost; nil: no call of it has a price.
func CostOf(u executors.Usage) *Cost {
	if u.Calls == 0 || u.Unpriced >= u.Calls {
		return nil
	}
	return &Cost{json.Number(Money(u.CostNanos)), u.Currency, u.Unpriced}
}
