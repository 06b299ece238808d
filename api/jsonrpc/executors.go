package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/taskgrove/taskgrove/coordinator"
)

// executorObject is an executor in the answers of executors.list and executors.get, which are ours.
type executorObject struct {
	ID           string            `json:"id"`
	Type         string            `json:"type"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Tags         []string          `json:"tags"`
	InputSchema  json.RawMessage   `json:"input_schema"` // null: anything, or nobody has said
	OutputSchema json.RawMessage   `json:"output_schema"`
	Cancelable   bool              `json:"cancelable"`
	Repeatable   bool              `json:"repeatable"`
	Timeout      float64           `json:"timeout,omitempty"` // seconds
	Secrets      bool              `json:"secrets"`
	Connection   *connectionObject `json:"connection,omitempty"`
	Examples     []exampleObject   `json:"examples"`
	BuiltIn      bool              `json:"built_in"`
	Pools        []string          `json:"pools"`
	Workers      int               `json:"workers"`
	Differs      string            `json:"differs,omitempty"`
}

type connectionObject struct {
	Types  []string `json:"types"`
	Fields []string `json:"fields"`
}

type exampleObject struct {
	Title   string          `json:"title"`
	Inputs  json.RawMessage `json:"inputs"`
	Params  json.RawMessage `json:"params,omitempty"`
	Schemas json.RawMessage `json:"schemas,omitempty"` // beside the executor's id
}

func executorOf(e *coordinator.Executor) executorObject {
	out := executorObject{
		ID: e.ID, Type: e.Type, Name: e.Name, Description: e.Description, Tags: orEmpty(e.Tags), InputSchema: e.Inputs, OutputSchema: e.Output,
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, Timeout: e.Timeout.Seconds(), Secrets: e.Secrets, Examples: []exampleObject{},
		BuiltIn: e.BuiltIn, Pools: orEmpty(e.Pools), Workers: e.Workers, Differs: e.Differs,
	}
	if c := e.Connection; c != nil {
		out.Connection = &connectionObject{Types: orEmpty(c.Types), Fields: orEmpty(c.Fields)}
	}
	for _, x := range e.Examples {
		out.Examples = append(out.Examples, exampleObject(x))
	}
	return out
}

// orEmpty is [] where there is nothing.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// executorsList answers executors.list: a page of the executors that tasks may name.
func (h *Handler) executorsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	cursor := p.first("cursor")
	if p.err != nil {
		return nil, p.err
	}
	got, err := x.svc.Executors(ctx, cursor)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Executors []executorObject `json:"executors"`
		Next      string           `json:"next_cursor,omitempty"`
	}{[]executorObject{}, got.Next}
	for _, e := range got.Items {
		answer.Executors = append(answer.Executors, executorOf(e))
	}
	return appendJSON(nil, answer), nil
}

// executorsGet answers executors.get.
func (h *Handler) executorsGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.first("executor_id", "id")
	if p.err != nil {
		return nil, p.err
	}
	if id == "" {
		return nil, invalid("executor_id", "Executor ID is required. Please provide 'executor_id' or 'id' parameter.")
	}
	got, err := x.svc.Executor(ctx, id)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, named404(err, "Executor "+id+" not found")
	}
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, executorOf(got)), nil
}
