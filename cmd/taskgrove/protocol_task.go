package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"math"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// protocolTask is a task with the 20 keys of spec 1.1, and its children in trees: what the commands of spec section 9 print.
type protocolTask struct {
	ID             string               `json:"id"`
	ParentID       *string              `json:"parent_id"`
	UserID         *string              `json:"user_id"`
	Name           string               `json:"name"`
	Status         client.Status        `json:"status"`
	Priority       client.Priority      `json:"priority"`
	Dependencies   []protocolDependency `json:"dependencies"`
	Inputs         json.RawMessage      `json:"inputs"`
	Params         json.RawMessage      `json:"params"`
	Result         json.RawMessage      `json:"result"`
	Error          *string              `json:"error"`
	Schemas        json.RawMessage      `json:"schemas"`
	Progress       float64              `json:"progress"`
	CreatedAt      *time.Time           `json:"created_at"`
	StartedAt      *time.Time           `json:"started_at"`
	UpdatedAt      *time.Time           `json:"updated_at"`
	CompletedAt    *time.Time           `json:"completed_at"`
	HasChildren    bool                 `json:"has_children"`
	OriginalTaskID *string              `json:"original_task_id"`
	HasCopy        bool                 `json:"has_copy"`
	Children       []*protocolTask      `json:"children,omitempty"`
}

type protocolDependency struct {
	ID       string `json:"id"`
	Required bool   `json:"required"`
	Type     string `json:"type"`
}

func protocolTaskOf(t *client.Task) *protocolTask {
	out := &protocolTask{
		ID: t.ID, ParentID: orNull(t.ParentID), UserID: orNull(t.UserID), Name: t.Name, Status: t.Status, Priority: t.Priority,
		Inputs: orEmpty(t.Inputs), Params: orEmpty(t.Params), Schemas: orEmpty(t.Schemas), Result: t.Result, Error: orNull(t.Error),
		Progress:  math.Round(t.Progress*100) / 100,
		CreatedAt: timeOrNull(t.CreatedAt), StartedAt: timeOrNull(t.StartedAt), UpdatedAt: timeOrNull(t.UpdatedAt), CompletedAt: timeOrNull(t.CompletedAt),
		HasChildren: t.HasChildren, OriginalTaskID: orNull(t.OriginalID), HasCopy: t.HasCopy,
	}
	if t.ParentID == "" || len(t.Dependencies) > 0 {
		out.Dependencies = []protocolDependency{}
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, protocolDependency{d.Ref, !d.Optional, cmp.Or(d.Type, "result")})
	}
	return out
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(object json.RawMessage) json.RawMessage {
	if object == nil {
		return json.RawMessage("{}")
	}
	return object
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// writeProtocol writes a value as the reference's commands do: JSON of several lines.
func writeProtocol(w io.Writer, value any) error {
	var text, indented bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	if err := json.Indent(&indented, rawjson.Harmless(text.Bytes()), "", "  "); err != nil {
		return err
	}
	_, err := w.Write(indented.Bytes())
	return err
}

// nested are the tasks of a tree below its root, children by priority (spec 1.5).
func (s *session) nested(ctx context.Context, id string) (*protocolTask, error) {
	var root *protocolTask
	byID := map[string]*protocolTask{}
	var all []*protocolTask
	for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: id, PageSize: 1000}) {
		if err != nil {
			return nil, err
		}
		node := protocolTaskOf(t)
		byID[t.ID], all = node, append(all, node)
		if t.ParentID == "" {
			root = node
		}
	}
	for _, node := range all {
		if node.ParentID != nil && byID[*node.ParentID] != nil {
			parent := byID[*node.ParentID]
			parent.Children = append(parent.Children, node)
		}
	}
	for _, node := range all {
		slices.SortStableFunc(node.Children, func(a, b *protocolTask) int { return cmp.Compare(a.Priority, b.Priority) })
	}
	if root == nil {
		return nil, client.ErrNotFound
	}
	return root, nil
}
