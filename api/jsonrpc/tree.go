package jsonrpc

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/taskgrove/taskgrove/coordinator"
)

// pageSize is how many tasks are asked of the service at a time: its bound.
const pageSize = 1000

// collect gathers the tasks that the filter selects, page by page. It gives up, complete being false, once there are more
// than the answer may hold.
func (h *Handler) collect(ctx context.Context, svc coordinator.Reader, f coordinator.TaskFilter) (tasks []*coordinator.Task, complete bool, err error) {
	bytes := 0
	for f.Limit = pageSize; ; {
		page, err := svc.Tasks(ctx, f)
		if err != nil {
			return nil, false, err
		}
		for _, t := range page.Items {
			bytes += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom) + len(t.Result)
		}
		tasks = append(tasks, page.Items...)
		if len(tasks) > h.cfg.MaxAnswerTasks || bytes > h.cfg.MaxAnswerBytes {
			return tasks, false, nil
		}
		if page.Next == "" {
			return tasks, true, nil
		}
		f.Cursor, f.Offset = page.Next, 0
	}
}

// answerTree answers a call with a tree. A large one, unless its answer is part of a batch, is written as it is encoded: it is not in memory
// as a whole, and the client reads meanwhile. extra goes into the root node; without it, the nodes are those of the protocol in its dialect.
func (h *Handler) answerTree(x *exchange, tasks []*coordinator.Task, status *coordinator.TreeStatus, extra map[string]any) (json.RawMessage, error) {
	size := sizeOf(tasks)
	wrapped := x.protocol && extra == nil
	if !x.single || x.whole || size < wholeBytes || x.protocol && !wrapped {
		return appendTree(make([]byte, 0, size), tasks, status, extra, wrapped, nil), nil
	}
	answerHeaders(x.w, http.StatusOK)
	around := (&response{id: x.id, result: null, protocol: x.protocol}).parts()
	gone := false // the client, or it is too slow: nobody is left to tell
	rest := appendTree(append(make([]byte, 0, 2*pieceBytes), around[0]...), tasks, status, extra, wrapped, func(b []byte) ([]byte, bool) {
		_, err := x.w.Write(b)
		gone = err != nil
		return b[:0], !gone
	})
	if !gone {
		_, _ = x.w.Write(append(rest, around[2]...))
	}
	return nil, errStreamed
}

const (
	wholeBytes = 1 << 20   // a smaller tree is answered as a whole
	pieceBytes = 128 << 10 // of a larger one are written at a time
)

// appendTree appends the root node with its children (spec 1.5): each node's by priority, then submission order. tasks
// are all of the tree, in submission order. extra goes into the root node. wrapped nodes are those of the protocol (spec 12.5). flush, if given, takes what there is whenever it is a piece,
// gives what to append to, and ends the writing with false. It does not recurse: trees may be as deep as they have tasks.
func appendTree(b []byte, tasks []*coordinator.Task, status *coordinator.TreeStatus, extra map[string]any, wrapped bool,
	flush func(b []byte) (rest []byte, more bool)) []byte {
	root, children := family(tasks)
	if root == nil {
		return append(b, "null"...)
	}
	b = appendUsage(appendTask(openNode(b, wrapped), root, status), root, status)
	b = appendExtra(b, extra)
	type level struct {
		left []*coordinator.Task // siblings that are still to be written; nil without any
	}
	var stack []level
	open := func(id string) { // after a node was written up to its closing brace
		list := children[id]
		switch {
		case wrapped:
			b = append(b, `},"children":[`...)
		case len(list) > 0:
			b = append(b, `,"children":[`...)
		}
		stack = append(stack, level{list})
	}
	open(root.ID)
	first := true
	for len(stack) > 0 {
		if flush != nil && len(b) > pieceBytes {
			more := false
			if b, more = flush(b); !more {
				break
			}
		}
		top := &stack[len(stack)-1]
		if len(top.left) == 0 {
			if top.left != nil || wrapped {
				b = append(b, ']')
			}
			b = append(b, '}')
			stack = stack[:len(stack)-1]
			first = false
			continue
		}
		next := top.left[0]
		top.left = top.left[1:]
		if !first {
			b = append(b, ',')
		}
		b = appendTask(openNode(b, wrapped), next, nil)
		depth := len(children[next.ID])
		open(next.ID)
		first = depth > 0
	}
	return b
}

// openNode begins a node: of the protocol, which keeps a task and what is below it apart (spec 12.5), or the task itself.
func openNode(b []byte, wrapped bool) []byte {
	if wrapped {
		return append(b, `{"task":`...)
	}
	return b
}

// family are the root, nil without any, and the children of each task, by priority and then as they stand.
func family(tasks []*coordinator.Task) (root *coordinator.Task, children map[string][]*coordinator.Task) {
	children = map[string][]*coordinator.Task{}
	for _, t := range tasks {
		if t.ParentID == "" {
			root = t
		} else {
			children[t.ParentID] = append(children[t.ParentID], t)
		}
	}
	for _, list := range children {
		slices.SortStableFunc(list, func(a, b *coordinator.Task) int { return int(a.Priority) - int(b.Priority) })
	}
	return root, children
}

// sizeOf is about how long the objects of tasks are.
func sizeOf(tasks []*coordinator.Task) (bytes int) {
	const keys, dependency = 512, 64 // with their brackets and what they mostly have
	for _, t := range tasks {
		bytes += keys + len(t.Dependencies)*dependency + len(t.ID) + len(t.ParentID) + len(t.UserID) + len(t.Name) + len(t.Ref) +
			len(t.Executor) + len(t.Pool) + len(t.Error) + len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom) + len(t.Result)
	}
	return bytes
}

func appendExtra(b []byte, extra map[string]any) []byte {
	names := make([]string, 0, len(extra))
	for name := range extra {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = append(b, ',')
		b = appendJSON(b, name)
		b = append(b, ':')
		b = appendJSON(b, extra[name])
	}
	return b
}

// tree answers tasks.tree: the whole tree of any of its tasks.
func (h *Handler) tree(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.first("task_id", "root_id", "id")
	if p.err != nil {
		return nil, p.err
	}
	if id == "" {
		return nil, invalid("task_id", "Task ID or root_id is required")
	}
	status, err := x.svc.Tree(ctx, id)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	if status.Tasks > h.cfg.MaxAnswerTasks {
		return nil, h.tooLarge(status)
	}
	tasks, complete, err := h.collect(ctx, x.svc, coordinator.TaskFilter{TreeOf: status.ID})
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	if !complete {
		return nil, h.tooLarge(status)
	}
	return h.answerTree(x, tasks, status, nil)
}

func (h *Handler) tooLarge(status *coordinator.TreeStatus) error {
	return invalid("task_id", "Task tree %s is too large for one answer (%d tasks, at most %d tasks and %d bytes): "+
		"page through it with tasks.list and root_id", status.ID, status.Tasks, h.cfg.MaxAnswerTasks, h.cfg.MaxAnswerBytes)
}
