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
