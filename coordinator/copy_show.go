package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of an answer that shows a copy. A larger one that is stored shows its root alone; a larger preview is refused.
const (
	shownCopy    = 1000
	previewTasks = 10_000
	previewBytes = 16 << 20 // of inputs, results and so on
)

// showCopy puts the tasks of a stored copy into the answer: all, parents first, or the root alone.
func (c *Coordinator) showCopy(ctx context.Context, got *pg.Copied, out *Copied) error {
	if got.Tasks <= shownCopy {
		page, err := c.Tasks(ctx, TaskFilter{TreeOf: got.RootID, Limit: shownCopy})
		if err != nil {
			return err
		}
		if page.Next == "" {
			out.Tasks = depthFirst(page.Items)
			return nil
		}
	}
	root, err := c.Task(ctx, got.RootID)
	if err != nil {
		return err
	}
	out.Tasks, out.Omitted = []*Task{root}, got.Tasks-1
	return nil
}

// depthFirst puts the tasks of a tree in the order of their nodes: each before what is below it, children by priority, then as they are.
func depthFirst(tasks []*Task) []*Task {
	children := map[string][]*Task{}
	for _, t := range tasks {
		children[t.ParentID] = append(children[t.ParentID], t)
	}
	out := make([]*Task, 0, len(tasks))
	stack := slices.Clone(children[""])
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		out = append(out, t)
		below := children[t.ID]
		slices.SortStableFunc(below, func(a, b *Task) int { return cmp.Compare(a.Priority, b.Priority) })
		for _, child := range slices.Backward(below) {
			stack = append(stack, child)
		}
	}
	return out
}

// previewCopy shows what a copy would store, fit to be submitted: with new ids, and names that differ.
func (c *Coordinator) previewCopy(ctx context.Context, what pg.Copying, resetFields []string) (*Copied, error) {
	keys, plan, err := c.store.CopyPlan(ctx, what)
	if err != nil {
		return nil, c.internal("copy", err)
	}
	if len(keys) > previewTasks {
		return nil, &InvalidArgumentError{Field: "save", Reason: fmt.Sprintf("a preview has at most %d tasks, and this one would have %d: store the copy instead", previewTasks, len(keys))}
	}
	tasks := make([]*Task, 0, len(keys))
	bytes := 0
	for part := range slices.Chunk(keys, 500) {
		list, err := c.store.TasksByKeys(ctx, part)
		if err != nil {
			return nil, c.internal("copy", err)
		}
		if len(list) < len(part) { // deleted since
			return nil, ErrNotFound
		}
		for _, t := range list {
			bytes += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom) + len(t.Result)
			tasks = append(tasks, c.show(t))
		}
		if bytes > previewBytes {
			return nil, &InvalidArgumentError{Field: "save", Reason: fmt.Sprintf("a preview has at most %d bytes of inputs and results: store the copy instead", previewBytes)}
		}
	}
	tasks = CopiesOf(tasks, plan, resetFields)
	DistinctNames(tasks)
	return &Copied{TreeID: tasks[0].ID, Tasks: tasks}, nil
}

// CopiesOf makes of the originals, which come in the order of the plan, what a copy has: new ids, and the rest of spec 4.3. It changes them, and gives
// them parents first.
func CopiesOf(tasks []*Task, plan dag.CopyPlan, resetFields []string) []*Task {
	reset := resetOf(resetFields)
	ids := make(map[string]string, len(tasks))
	for _, t := range tasks {
		ids[t.ID] = uuid.NewString()
	}
	rootID, parents := ids[tasks[plan.Root].ID], map[string]bool{}
	for at, t := range tasks {
		t.Key, t.OriginalID, t.ID, t.TreeID = 0, t.ID, ids[t.ID], rootID
		if t.ParentID = ids[t.ParentID]; at == plan.Root {
			t.ParentID = ""
		}
		parents[t.ParentID] = true
		for i, d := range t.Dependencies {
			t.Dependencies[i].ID = ids[d.ID]
		}
		t.HasCopy, t.Attempt, t.Worker, t.BlockedBy, t.DueAt, t.CreatedAt, t.UpdatedAt = false, 1, "", nil, time.Time{}, time.Time{}, time.Time{}
		if !plan.Keep[at] {
			t.State, t.Progress, t.Result, t.Error, t.StartedAt, t.CompletedAt = dag.Held, 0, nil, "", time.Time{}, time.Time{}
			continue
		}
		if reset.Result {
			t.Result = nil
		}
		if reset.Error {
			t.Error = ""
		}
		if reset.StartedAt {
			t.StartedAt = time.Time{}
		}
		if reset.CompletedAt {
			t.CompletedAt = time.Time{}
		}
	}
	for _, t := range tasks {
		t.HasChildren = parents[t.ID]
	}
	return depthFirst(tasks)
}

// DistinctNames gives repeated names a number: _1, _2 (spec 4.3).
func DistinctNames(tasks []*Task) {
	taken := make(map[string]bool, len(tasks))
	for _, t := range tasks {
		taken[t.Name] = true
	}
	seen := make(map[string]int, len(tasks))
	for _, t := range tasks {
		name := t.Name
		for n := seen[name]; n > 0; n++ {
			suffix := fmt.Sprint("_", n)
			t.Name = cutTo(name, dag.DefaultLimits.NameChars-len(suffix)) + suffix
			if !taken[t.Name] {
				taken[t.Name] = true
				seen[name] = n
				break
			}
		}
		seen[name]++
	}
}

// cutTo is the first characters of a text.
func cutTo(s string, chars int) string {
	if utf8.RuneCountInString(s) <= chars {
		return s
	}
	return string([]rune(s)[:chars])
}
