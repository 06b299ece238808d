package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Agent keeps the tasks of the A2A protocol. Where an id names one that is not there, the error is [ErrNotFound].
type Agent interface {
	// KeepAgentTask stores a task of the A2A protocol with the tree that does it, before the tree is executed. Of a tree's tasks the newest
	// [MaxAgentTasks] are kept.
	KeepAgentTask(ctx context.Context, t AgentTask) error
	// DropAgentTask deletes one, of which nothing came.
	DropAgentTask(ctx context.Context, id string) error
	AgentTask(ctx context.Context, id string) (*AgentTask, error)
	// AgentTaskOf is the newest that is tied to the tree of a task.
	AgentTaskOf(ctx context.Context, taskID string) (*AgentTask, error)
	// AgentTasks lists them, newest first.
	AgentTasks(ctx context.Context, f AgentTaskFilter) (*AgentTasks, error)
}

// AgentTask is a task of the A2A protocol: what a client's message asked for. It has no state of its own: how far it has come, its tree
// tells. It goes with the tree.
type AgentTask struct {
	ID      string          // at most 255 characters; chosen by the surface, unique in its namespace
	Context string          // groups tasks; at most 255 characters
	TaskID  string          // the task that is executed: mostly a root
	History json.RawMessage // an array of messages; at most [MaxAgentHistory] bytes

	KeptAt time.Time   // given by the store
	Tree   *TreeStatus // given by the store, as of when it was read
}

// Bounds of what is kept of the A2A protocol.
const (
	MaxAgentTasks   = 100       // of one tree
	MaxAgentHistory = 256 << 10 // bytes of one task's history
)

const (
	agentCount  = 10_000 // among so many of the newest a list is counted
	agentStep   = 100    // read at a time: each may have a history
	agentLooked = 10_000 // after which a list gives a short page
)

// AgentTaskFilter selects tasks of the A2A protocol; zero fields don't filter.
type AgentTaskFilter struct {
	Context string
	UserID  string
	Status  dag.Status // of the tree, as [TreeStatus.ExecutionStatus] has it
	Since   time.Time  // whose trees changed then or later
	Limit   int        // default 100, at most 1000
	Cursor  string
}

// AgentTasks is a page of them.
type AgentTasks struct {
	Page[*AgentTask]
	// Total is how many there are in all pages, counted among the newest 10 000. Status and Since are not counted.
	Total int
}

func (g *guarded) KeepAgentTask(ctx context.Context, t AgentTask) error {
	_, err := ask(ctx, g, Call{Method: "KeepAgentTask", ID: t.TaskID}, func() (any, error) { return nil, g.next.KeepAgentTask(ctx, t) })
	return err
}

// DropAgentTask and AgentTask name a task of the protocol itself; which tree it is of, the policy finds out.
func (g *guarded) DropAgentTask(ctx context.Context, id string) error {
	_, err := ask(ctx, g, Call{Method: "DropAgentTask", AgentTask: id}, func() (any, error) { return nil, g.next.DropAgentTask(ctx, id) })
	return err
}

func (g *guarded) AgentTask(ctx context.Context, id string) (*AgentTask, error) {
	return ask(ctx, g, Call{Method: "AgentTask", AgentTask: id}, func() (*AgentTask, error) { return g.next.AgentTask(ctx, id) })
}

func (g *guarded) AgentTaskOf(ctx context.Context, taskID string) (*AgentTask, error) {
	return ask(ctx, g, Call{Method: "AgentTaskOf", ID: taskID}, func() (*AgentTask, error) { return g.next.AgentTaskOf(ctx, taskID) })
}

func (g *guarded) AgentTasks(ctx context.Context, f AgentTaskFilter) (*AgentTasks, error) {
	return askFor(ctx, g, Call{Method: "AgentTasks", UserID: f.UserID}, func(owner string) (*AgentTasks, error) {
		f.UserID = owner
		return g.next.AgentTasks(ctx, f)
	})
}

// Validate refuses what can't be kept, with an [InvalidArgumentError].
func (t *AgentTask) Validate() error {
	for _, part := range []struct{ field, value string }{{"id", t.ID}, {"context_id", t.Context}} {
		if part.value == "" || utf8.RuneCountInString(part.value) > 255 || !text(part.value) {
			return &InvalidArgumentError{Field: part.field, Reason: "must be 1 to 255 characters of UTF-8 without NUL"}
		}
	}
	if len(t.History) > MaxAgentHistory {
		return &InvalidArgumentError{Field: "history", Reason: fmt.Sprintf("must be at most %d bytes", MaxAgentHistory)}
	}
	return nil
}

// KeepAgentTask stores a task of the A2A protocol; see [Agent].
func (c *Coordinator) KeepAgentTask(ctx context.Context, t AgentTask) error {
	if err := t.Validate(); err != nil {
		return err
	}
	k, err := c.keyOf(ctx, t.TaskID)
	if err != nil {
		return err
	}
	row := &pg.AgentTask{ID: t.ID, Context: t.Context, Tree: k.Tree(), TaskID: t.TaskID, History: t.History}
	if err := c.store.KeepAgentTask(ctx, row, MaxAgentTasks); err != nil {
		return c.internal("keep an agent's task", err)
	}
	return nil
}

// DropAgentTask deletes one; see [Agent].
func (c *Coordinator) DropAgentTask(ctx context.Context, id string) error {
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	if err := c.store.DropAgentTask(ctx, here, id); err != nil {
		return c.internal("drop an agent's task", err)
	}
	return nil
}

// AgentTask shows one; see [Agent].
func (c *Coordinator) AgentTask(ctx context.Context, id string) (*AgentTask, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	return c.showAgentTask(ctx, func() (*pg.AgentTask, error) { return c.store.AgentTask(ctx, here, id) })
}

// AgentTaskOf shows the newest of a tree; see [Agent].
func (c *Coordinator) AgentTaskOf(ctx context.Context, taskID string) (*AgentTask, error) {
	k, err := c.keyOf(ctx, taskID)
	if err != nil {
		return nil, err
	}
	return c.showAgentTask(ctx, func() (*pg.AgentTask, error) { return c.store.AgentTaskOf(ctx, k.Tree()) })
}

// showAgentTask shows the one that is read, with its tree. One whose tree is gone is, too.
func (c *Coordinator) showAgentTask(ctx context.Context, read func() (*pg.AgentTask, error)) (*AgentTask, error) {
	t, err := read()
	if err != nil {
		return nil, c.internal("read an agent's task", err)
	}
	shown, err := c.showAgentTasks(ctx, []*pg.AgentTask{t})
	if err == nil && shown[0] == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// showAgentTasks shows them with their trees, in their order; nil where a tree is gone.
func (c *Coordinator) showAgentTasks(ctx context.Context, list []*pg.AgentTask) ([]*AgentTask, error) {
	keys := make([]dag.TreeKey, len(list))
	for i, t := range list {
		keys[i] = t.Tree
	}
	trees, err := c.store.TreesByKeys(ctx, keys)
	if err != nil {
		return nil, c.internal("read the trees of agents' tasks", err)
	}
	byKey := map[dag.TreeKey]*TreeStatus{}
	for _, tree := range trees {
		byKey[tree.Key] = c.showTree(tree)
	}
	out := make([]*AgentTask, len(list))
	for i, t := range list {
		if tree := byKey[t.Tree]; tree != nil {
			out[i] = &AgentTask{ID: t.ID, Context: t.Context, TaskID: t.TaskID, History: t.History, KeptAt: t.CreatedAt, Tree: tree}
		}
	}
	return out, nil
}

// AgentTasks lists them; see [Agent]. Of a list of which few are selected it gives a short page when it has looked at many.
func (c *Coordinator) AgentTasks(ctx context.Context, f AgentTaskFilter) (*AgentTasks, error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return nil, err
	}
	page := &AgentTasks{}
	if !text(f.Context) || !text(f.UserID) {
		return page, nil
	}
	below := int64(0)
	if f.Cursor != "" {
		if err := cursorFrom("g", f.Cursor, &below); err != nil {
			return nil, err
		}
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	if page.Total, err = c.store.CountAgentTasks(ctx, here, f.Context, f.UserID, agentCount); err != nil {
		return nil, c.internal("count agents' tasks", err)
	}
	for looked := 0; looked < agentLooked; looked += agentStep {
		list, err := c.store.AgentTasks(ctx, here, below, f.Context, f.UserID, agentStep)
		if err != nil {
			return nil, c.internal("list agents' tasks", err)
		}
		shown, err := c.showAgentTasks(ctx, list)
		if err != nil {
			return nil, err
		}
		for i, t := range shown {
			below = list[i].Number
			if t != nil && f.selects(t.Tree) {
				page.Items = append(page.Items, t)
			}
			if len(page.Items) == limit && (i+1 < len(list) || len(list) == agentStep) {
				page.Next = cursorTo("g", below)
				return page, nil
			}
		}
		if len(list) < agentStep {
			return page, nil
		}
	}
	page.Next = cursorTo("g", below)
	return page, nil
}

func (f AgentTaskFilter) selects(tree *TreeStatus) bool {
	return (f.Status == "" || tree.ExecutionStatus() == f.Status) && (f.Since.IsZero() || !tree.ChangedAt().Before(f.Since))
}

// ChangedAt is when the tree's status last changed: it was created, was executed, or ended.
func (t *TreeStatus) ChangedAt() time.Time {
	switch {
	case !t.FinishedAt.IsZero() && t.Unfinished == 0:
		return t.FinishedAt
	case !t.StartedAt.IsZero():
		return t.StartedAt
	}
	return t.CreatedAt
}
