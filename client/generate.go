package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Requirement says what a tree is generated of. Zero fields have the defaults of generate_executor.
type Requirement struct {
	Text          string // in plain language; required
	UserID        string // owner of the task that generates, and of the tree
	Provider      string // openai, anthropic, ...
	Model         string
	Temperature   *float64
	MaxTokens     int
	MaxTasks      int
	Executors     []string        // that the tree may use
	AllowCommands bool            // and those that run commands or code
	Budget        json.RawMessage // {"tokens", "calls", "money", "seconds"}
	OnExhausted   string          // fail, skip or partial
	Timeout       time.Duration   // for all; 0: 5 minutes; at most an hour
	Save          bool            // store the tree, held
	ModelKey      string          // as of [WithModelKey]
	// Started is told the id of the task that generates; it may be watched.
	Started func(taskID string)
}

// Generated is a tree that was generated.
type Generated struct {
	TaskID     string          // that generated it
	Tasks      json.RawMessage // an array, for [Client.SubmitJSON]
	Count      int
	Message    string
	Model      string
	Repaired   bool // the model's first answer had faults
	Warnings   []string
	RootTaskID string            // of the stored tree, with Save
	IDMap      map[string]string // ids that were taken: given -> actual, with Save
}

// Generate has a model make a tree of a requirement, and waits for it. [ErrConflict] when no tree came of it: the text says why. When ctx ends,
// the generation is cancelled.
func (c *Client) Generate(ctx context.Context, r Requirement) (*Generated, error) {
	request := &pb.GenerateRequest{
		Requirement: r.Text, UserId: r.UserID, Provider: r.Provider, Model: r.Model, Temperature: r.Temperature, MaxTokens: int64(r.MaxTokens),
		MaxTasks: int64(r.MaxTasks), Executors: r.Executors, AllowCommands: r.AllowCommands, Budget: r.Budget, OnExhausted: r.OnExhausted, Save: r.Save,
	}
	if r.Timeout != 0 {
		request.Timeout = durationpb.New(r.Timeout)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Generate(withKey(ctx, r.ModelKey), request)
	if err != nil {
		return nil, wrap(ctx, err, "generate")
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil, wrap(ctx, io.ErrUnexpectedEOF, "generate")
		case err != nil:
			return nil, wrap(ctx, err, "generate")
		case len(m.Tasks) > 0:
			return &Generated{TaskID: m.TaskId, Tasks: m.Tasks, Count: int(m.Count), Message: m.Message, Model: m.Model, Repaired: m.Repaired,
				Warnings: m.Warnings, RootTaskID: m.RootTaskId, IDMap: m.IdMap}, nil
		case r.Started != nil:
			r.Started(m.TaskId)
		}
	}
}
