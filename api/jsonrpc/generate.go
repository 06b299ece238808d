package jsonrpc

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// generation is the answer of tasks.generate (spec 5.3), with what we add.
type generation struct {
	Tasks      json.RawMessage   `json:"tasks"`
	Count      int               `json:"count"`
	Message    string            `json:"message"`
	RootTaskID string            `json:"root_task_id,omitempty"`
	TaskID     string            `json:"task_id"` // that generated them
	Model      string            `json:"model,omitempty"`
	Repaired   bool              `json:"repaired,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	IDMap      map[string]string `json:"id_map,omitempty"`
}

// generate answers tasks.generate: it has a model make a tree of a requirement, waits for it, and stores it if asked to.
func (h *Handler) generate(_ context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	key, err := x.modelKey()
	if err != nil {
		return nil, err
	}
	opts := coordinator.GenerateOptions{
		ModelKey:    key,
		Requirement: p.text("requirement"), UserID: p.text("user_id"), Provider: p.text("llm_provider"), Model: p.text("model"),
		MaxTokens: p.number("max_tokens", 0, 1, 1_000_000), MaxTasks: p.number("max_tasks", 0, 1, 10_000),
		Executors: p.list("executors"), AllowCommands: p.flag("allow_commands", false), OnExhausted: p.text("on_exhausted"),
		Timeout: time.Duration(p.seconds("timeout", coordinator.DefaultGenerateTimeout.Seconds()) * float64(time.Second)),
		Save:    p.flag("save", false),
	}
	if p.given("temperature") {
		if json.Unmarshal(p.values["temperature"], &opts.Temperature) != nil {
			p.refuse("temperature", "a number from 0 to 2")
		}
	}
	if p.given("budget") {
		if opts.Budget = p.values["budget"]; kind(opts.Budget) != '{' {
			p.refuse("budget", "an object")
		}
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case strings.TrimSpace(opts.Requirement) == "":
		return nil, invalid("requirement", "Requirement is required")
	case opts.Timeout > coordinator.MaxGenerateTimeout:
		return nil, invalid("timeout", "timeout must be at most %v seconds", coordinator.MaxGenerateTimeout.Seconds())
	}
	leave, err := h.enter(x.r.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	opts.Budget = append(json.RawMessage(nil), opts.Budget...)
	x.release() // what is waited for has its own copy
	out, err := x.svc.Generate(x.r.Context(), opts)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, generationOf(out)), nil
}

func generationOf(g *coordinator.Generated) generation {
	return generation{Tasks: g.Tasks, Count: g.Count, Message: g.Message, RootTaskID: g.RootTaskID, TaskID: g.TaskID, Model: g.Model,
		Repaired: g.Repaired, Warnings: g.Warnings, IDMap: g.IDMap}
}
