package tools_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// rates is a tool of somebody's own.
type rates struct{ base string }

func (r *rates) Spec() model.Tool {
	return model.Tool{
		Name: "exchange_rate", Description: "Tells how much one " + r.base + " is in another currency.",
		Schema: json.RawMessage(`{"type": "object", "properties": {"currency": {"type": "string", "enum": ["USD", "CHF"]}}, "required": ["currency"], "additionalProperties": false}`),
	}
}

func (r *rates) Run(_ context.Context, _ *executors.Call, args json.RawMessage) (tools.Answer, error) {
	var in struct{ Currency string }
	if err := json.Unmarshal(args, &in); err != nil {
		return tools.Answer{}, err
	}
	return tools.Answer{Text: "1 " + r.base + " is 1.08 " + in.Currency}, nil
}

// A kind of tools that tasks name as ExchangeRateTool(), and what becomes of a task's list and of a model's wishes. A worker gets the kind
// from builtin.FromEnv(kind), or in builtin.Config.Tools.
func Example() {
	kind := tools.Kind{
		Description: executors.Description{ID: "ExchangeRateTool", Inputs: json.RawMessage(`{"type": "object", "properties": {"base": {"type": "string"}}, "additionalProperties": false}`)},
		New: func(call *executors.Call) (tools.Tool, error) { // call.Inputs are the arguments in the task's list
			in := struct {
				Base string `json:"base"`
			}{"EUR"}
			if err := inputs.Decode("ExchangeRateTool", call, &in); err != nil {
				return nil, err
			}
			return &rates{in.Base}, nil
		},
	}
	session := tools.NewRegistry(kind).Session(&executors.Call{})
	defer session.Close() //nolint:errcheck // this tool keeps nothing open
	set, faults := session.Resolve(context.Background(), "works.agents.banker.tools", json.RawMessage(`["ExchangeRateTool(base='GBP')", "ExchangeRatesTool()"]`))
	fmt.Println(faults)
	for _, arguments := range []string{`{"currency": "CHF"}`, `{"currency": "gold"}`} {
		answer, _ := set.Use(context.Background(), model.ToolCall{Name: "exchange_rate", Arguments: json.RawMessage(arguments)})
		fmt.Println(answer)
	}
	// Output:
	// [works.agents.banker.tools[1]: Tool 'ExchangeRatesTool' not found: did you mean 'ExchangeRateTool'?]
	// 1 GBP is 1.08 CHF
	// Error: [exchange_rate] Input validation failed for exchange_rate: currency: value must be one of 'USD', 'CHF'
}
