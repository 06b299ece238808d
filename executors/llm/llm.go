// Package llm asks a language model one question (spec 8.10).
//
// It owns the inputs of such a task, the values that its messages take from them, and the shape of the result. It must not know how a model
// is asked: package model does.
package llm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/model"
)

// ID is the executor's id.
const ID = "llm_executor"

// defaultTimeout is in seconds, where neither inputs nor the task say.
const defaultTimeout = json.Number("600")

// Executor is llm_executor.
type Executor struct{ models *model.Models }

// New makes one. The models stay their owner's.
func New(models *model.Models) *Executor { return &Executor{models} }

// Check implements [executors.Checker]: prices, proxies and authorities must be usable.
func (e *Executor) Check(context.Context) error { return e.models.Check() }

// Close closes idle connections.
func (e *Executor) Close() error { return e.models.Close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "LLM Executor", Type: "llm",
		Description: "Asks a language model and returns its answer, as text or as JSON of a schema",
		Tags:        []string{"llm", "ai", "completion", "chat"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      model.Kinds(),
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"llm"}, Fields: []string{"api_base", "api_key", "api"}},
		Examples:   examples,
	}
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.10).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	name := "demo-model"
	if p, err := read(call); err == nil && len(p.request.Models) > 0 { // a demonstration takes any inputs
		name = p.request.Models[0]
	}
	const text = "This is a demonstration: no model was asked."
	used := budget.TokenUsage{Total: 30, Prompt: 20, Completion: 10, Requests: 1}
	quoted, _ := json.Marshal(name) // text
	data := fmt.Sprintf(`{"id":"chatcmpl-demo","object":"chat.completion","created":0,"model":%s,"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}}`, quoted, text)
	return &Result{Success: true, Data: json.RawMessage(data), Content: new(text), Model: name, Finish: "stop", TokenUsage: &used}, time.Second
}

// Result is what came of the question (spec 8.10).
type Result struct {
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Content *string         `json:"content"`
	Model   string          `json:"model"`
	Stream  bool            `json:"is_stream"`

	Structured json.RawMessage    `json:"structured,omitempty"`
	ToolCalls  []ToolCall         `json:"tool_calls,omitempty"`
	Finish     string             `json:"finish_reason,omitempty"`
	TokenUsage *budget.TokenUsage `json:"token_usage,omitempty"`
	Estimated  bool               `json:"usage_estimated,omitempty"`
	Cost       *budget.Cost       `json:"cost,omitempty"`
	Repaired   bool               `json:"repaired,omitempty"`
	Fallbacks  []model.Skipped    `json:"fallbacks,omitempty"`
}

// ToolCall is a call that the model wishes for, in OpenAI's form.
type ToolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Function is what is to be called. Arguments are as the model wrote them: JSON in most cases.
type Function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	p, err := read(call)
	if err != nil {
		return nil, err
	}
	limit := p.in.Timeout
	if _, bound := ctx.Deadline(); limit == "" && !bound {
		limit = defaultTimeout
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, limit, "Model timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	meter := p.limits.Meter(call.Spent)
	session, err := e.models.Session(call, model.Options{ID: ID, Meter: meter, Key: p.in.APIKey, BaseURL: p.in.APIBase, API: p.in.API})
	if err != nil {
		return nil, err
	}
	resp, err := session.Ask(ctx, &p.request)
	result := p.result(resp)
	if resp != nil {
		for _, s := range resp.Skipped {
			call.Reporter.Log("log", fmt.Sprintf("model %s could not answer: %s", s.Model, s.Reason))
		}
	}
	if err != nil {
		if result == nil {
			return p.limits.End(err, nil)
		}
		result.Success = false
		return p.limits.End(err, result)
	}
	for _, c := range result.ToolCalls {
		call.Tell(executors.Piece{Kind: executors.PieceToolCall, Name: c.Function.Name, Text: c.Function.Arguments})
	}
	return executors.Completed(result), nil
}

// result is a response as a task has it; nil: there is none.
func (p *plan) result(resp *model.Response) *Result {
	if resp == nil {
		return nil
	}
	r := &Result{
		Success: true, Data: resp.Completion, Model: p.request.Models[len(resp.Skipped)], Stream: p.request.Stream, Finish: resp.Finish,
		TokenUsage: budget.TokenUsageOf(resp.Usage), Estimated: resp.Estimated, Cost: budget.CostOf(resp.Usage),
		Repaired: resp.Repaired, Fallbacks: resp.Skipped,
	}
	if r.Data == nil {
		r.Data = json.RawMessage("null")
	}
	if text := resp.Message.Text(); text != "" {
		r.Content = &text
		if p.request.Schema != nil && len(resp.Message.Calls) == 0 && json.Valid([]byte(text)) {
			r.Structured = json.RawMessage(text)
		}
	}
	for _, c := range resp.Message.Calls {
		r.ToolCalls = append(r.ToolCalls, ToolCall{c.ID, "function", Function{c.Name, string(c.Arguments)}})
	}
	return r
}
