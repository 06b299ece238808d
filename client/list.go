package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Next  string // cursor of the next part; empty: there is none. A page with a cursor may be short, or empty
}

// TaskFilter selects tasks; zero fields don't filter.
type TaskFilter struct {
	TreeOf      string // any task of the tree; then oldest first, else newest tree first
	ParentID    string
	UserID      string // of trees of this owner; without TreeOf and ParentID only
	Status      Status
	State       State
	Name        string
	Executor    string            // its id
	Since       time.Time         // of trees that were created then or later; without TreeOf and ParentID only
	Before      time.Time         // of trees that were created before; without TreeOf and ParentID only
	OriginalID  string            // copies of this task
	Custom      map[string]string // own keys of tasks, by the text of their value
	RootOnly    bool              // roots of trees only
	Labels      map[string]string // of the tree, at most 16; an empty value stands for any; with RootOnly only
	Places      []int             // of the tree TreeOf: tasks of these places in it, from 1, as in [SnapshotTask]; at most 1000. Beside it AsSubmitted and Cursor only
	Error       string            // that their errors have, in upper or lower case; with TreeOf
	Approvals   bool              // that wait for approvals; beside it UserID, Since, Before, AsSubmitted and the page only
	AsSubmitted bool              // with [Task.Options], and without results of dependencies among the inputs
	PageSize    int               // how many are asked for at a time; default 100, at most 1000
	Offset      int               // so many are left out, at most 100 000; prefer Cursor
	Cursor      string            // where to begin: Next of a page of a list with the same filter
}

// TasksPage asks for one page of the tasks that the filter selects.
func (c *Client) TasksPage(ctx context.Context, f TaskFilter) (*Page[*Task], error) {
	got, err := c.rpc.ListTasks(ctx, &pb.ListTasksRequest{
		TreeId: f.TreeOf, ParentId: f.ParentID, UserId: f.UserID, Status: string(f.Status), State: string(f.State), Name: f.Name, Executor: f.Executor,
		Since: stampOf(f.Since), Before: stampOf(f.Before), AsSubmitted: f.AsSubmitted, Limit: int32(f.PageSize), Cursor: f.Cursor,
		OriginalTaskId: f.OriginalID, Custom: f.Custom, Labels: f.Labels, RootOnly: f.RootOnly, Offset: int32(f.Offset), Approvals: f.Approvals, Error: f.Error, Places: int32s(f.Places),
	})
	if err != nil {
		return nil, wrap(ctx, err, "list tasks")
	}
	page := &Page[*Task]{Next: got.NextCursor}
	for _, t := range got.Tasks {
		page.Items = append(page.Items, taskOf(t))
	}
	return page, nil
}

func int32s(all []int) (out []int32) {
	for _, n := range all {
		out = append(out, int32(n))
	}
	return out
}

// Tasks yields all tasks that the filter selects, asking for them page by page. It ends after an error.
func (c *Client) Tasks(ctx context.Context, f TaskFilter) iter.Seq2[*Task, error] {
	return all(func(cursor string) (*Page[*Task], error) {
		if cursor != f.Cursor {
			f.Cursor, f.Offset = cursor, 0
		}
		return c.TasksPage(ctx, f)
	}, f.Cursor)
}

// TreeFilter selects trees; zero fields don't filter.
type TreeFilter struct {
	UserID   string
	Status   Status
	Name     string            // of the root
	Part     string            // that the name of the root has, in upper or lower case
	Since    time.Time         // created then or later
	Before   time.Time         // created before
	Running  bool              // with an execution in progress
	Labels   map[string]string // that the tree has, at most 16; an empty value stands for any
	PageSize int               // how many are asked for at a time; default 100, at most 1000
	Cursor   string            // where to begin: Next of a page of a list with the same filter
}

// TreesPage asks for one page of the trees that the filter selects, newest first.
func (c *Client) TreesPage(ctx context.Context, f TreeFilter) (*Page[*Tree], error) {
	got, err := c.rpc.ListTrees(ctx, &pb.ListTreesRequest{
		UserId: f.UserID, Status: string(f.Status), Name: f.Name, NamePart: f.Part, Since: stampOf(f.Since), Before: stampOf(f.Before), Running: f.Running, Labels: f.Labels,
		Limit: int32(f.PageSize), Cursor: f.Cursor,
	})
	if err != nil {
		return nil, wrap(ctx, err, "list trees")
	}
	page := &Page[*Tree]{Next: got.NextCursor}
	for _, t := range got.Trees {
		page.Items = append(page.Items, treeOf(t))
	}
	return page, nil
}

// Trees yields all trees that the filter selects, newest first, asking for them page by page. It ends after an error.
func (c *Client) Trees(ctx context.Context, f TreeFilter) iter.Seq2[*Tree, error] {
	return all(func(cursor string) (*Page[*Tree], error) {
		f.Cursor = cursor
		return c.TreesPage(ctx, f)
	}, f.Cursor)
}

// all yields what is on all pages from a cursor on. It ends after an error.
func all[T any](page func(cursor string) (*Page[T], error), cursor string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			got, err := page(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range got.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = got.Next; cursor == "" {
				return
			}
		}
	}
}
