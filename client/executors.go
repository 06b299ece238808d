package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Executor is an executor that tasks may name: what it says of itself, and who has it.
type Executor struct {
	ID, Type, Name, Description string
	Tags                        []string
	Inputs, Output              json.RawMessage // JSON Schemas; nil: anything, or nobody has said
	Cancelable, Repeatable      bool
	Timeout                     time.Duration // of an attempt whose task has none; 0: none
	Secrets                     bool          // inputs may be {"secret": "name"}
	Connection                  *ConnectionUse
	Examples                    []ExecutorExample

	BuiltIn bool
	Pools   []string // of the live workers that have it
	Workers int      // live ones that have it
	Differs string   // how the descriptions of live workers differ; empty: they don't. Shown is the one that most have
}

// ConnectionUse says what an executor takes from a connection of its worker.
type ConnectionUse struct {
	Types  []string // that fit
	Fields []string // inputs that it sets; a task that names a connection sets none of them
}

// ExecutorExample is a use of an executor.
type ExecutorExample struct {
	Title           string
	Inputs          json.RawMessage // a JSON object
	Params, Schemas json.RawMessage // likewise; nil: none. Schemas are those beside the executor's id
}

// ExecutorsPage asks for one page of the executors that tasks may name, by id: the built-in ones, and those that workers describe.
// cursor is empty for the first page, then Next of the one before.
func (c *Client) ExecutorsPage(ctx context.Context, cursor string) (*Page[*Executor], error) {
	got, err := c.rpc.ListExecutors(ctx, &pb.ListExecutorsRequest{Cursor: cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list executors")
	}
	page := &Page[*Executor]{Next: got.NextCursor}
	for _, e := range got.Executors {
		page.Items = append(page.Items, executorOf(e))
	}
	return page, nil
}

// Executors yields all executors that tasks may name, by id. It ends after an error.
func (c *Client) Executors(ctx context.Context) iter.Seq2[*Executor, error] {
	return all(func(cursor string) (*Page[*Executor], error) { return c.ExecutorsPage(ctx, cursor) }, "")
}

// Executor shows one executor; _executor at the end of its id may be left out. [ErrNotFound].
func (c *Client) Executor(ctx context.Context, id string) (*Executor, error) {
	got, err := c.rpc.GetExecutor(ctx, &pb.GetExecutorRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "executor %s", id)
	}
	return executorOf(got), nil
}

func executorOf(e *pb.Executor) *Executor {
	out := &Executor{
		ID: e.Id, Type: e.Type, Name: e.Name, Description: e.Description, Tags: e.Tags, Inputs: rawOf(e.Inputs), Output: rawOf(e.Output),
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, Timeout: e.Timeout.AsDuration(), Secrets: e.Secrets,
		BuiltIn: e.BuiltIn, Pools: e.Pools, Workers: int(e.Workers), Differs: e.Differs,
	}
	if c := e.Connection; c != nil {
		out.Connection = &ConnectionUse{Types: c.Types, Fields: c.Fields}
	}
	for _, x := range e.Examples {
		out.Examples = append(out.Examples, ExecutorExample{Title: x.Title, Inputs: rawOf(x.Inputs), Params: rawOf(x.Params), Schemas: rawOf(x.Schemas)})
	}
	return out
}

// rawOf keeps absent JSON absent.
func rawOf(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	return text
}
