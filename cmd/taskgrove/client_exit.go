package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/client"
)

// exitOf is what a result says of a command that did not succeed, or of a request ("exit 2", "HTTP 404"), else empty: by the
// protocol such tasks complete, too.
func exitOf(result json.RawMessage) string {
	var r struct {
		Success    *bool `json:"success"`
		ReturnCode *int  `json:"return_code"`
		StatusCode *int  `json:"status_code"`
	}
	if json.Unmarshal(result, &r) != nil || r.Success == nil || *r.Success {
		return ""
	}
	switch {
	case r.ReturnCode != nil:
		return fmt.Sprint("exit ", *r.ReturnCode)
	case r.StatusCode != nil:
		return fmt.Sprint("HTTP ", *r.StatusCode)
	}
	return ""
}

// firstFailed is a line about the task of a tree that failed first, and why; empty if nobody can say. Of a large tree it looks at the
// first tasks that failed in the order of its document.
func (s *session) firstFailed(ctx context.Context, t *client.Tree) string {
	first := s.firstOf(ctx, t, client.StatusFailed)
	if first == nil {
		return ""
	}
	line := oneLine(called(first.Name, first.ID) + " failed: " + first.Error)
	if t.Failed == 1 {
		return "\n  " + line
	}
	return "\n  first, " + line + "\n  \"taskgrove list --tree " + oneLine(t.ID) + " --status failed\" lists all that failed"
}

// whyCancelled is what a cancelled tree says of it; empty if nobody can say.
func (s *session) whyCancelled(ctx context.Context, t *client.Tree) string {
	first := s.firstOf(ctx, t, client.StatusCancelled)
	switch {
	case first == nil || first.Error == "":
		return ""
	case t.Cancelled == 1 && t.Tasks > 1:
		return "\n  " + oneLine(called(first.Name, first.ID)+": "+first.Error)
	}
	return ": " + oneLine(first.Error)
}

// firstOf is the task of a tree that came first to a status in which tasks end; nil if nobody can say, or if it runs again.
func (s *session) firstOf(ctx context.Context, t *client.Tree, status client.Status) *client.Task {
	page, err := s.TasksPage(ctx, client.TaskFilter{TreeOf: t.ID, Status: status, PageSize: wholeTree})
	if err != nil || len(page.Items) == 0 {
		return nil
	}
	return slices.MinFunc(page.Items, func(a, b *client.Task) int { return a.CompletedAt.Compare(b.CompletedAt) })
}

// noteExits names the completed tasks of a tree whose commands or requests did not succeed. It leaves large trees out, which it
// would have to read whole.
func (s *session) noteExits(ctx context.Context, t *client.Tree) error {
	if t.Completed == 0 || t.Tasks > wholeTree {
		return nil
	}
	var named []string
	n := 0
	for task, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: t.ID, Status: client.StatusCompleted}) {
		if err != nil {
			return err
		}
		exit := exitOf(task.Result)
		if exit == "" {
			continue
		}
		if n++; n <= 5 {
			named = append(named, fmt.Sprintf("%s (%s)", oneLine(task.Name), exit))
		}
	}
	switch {
	case n > len(named):
		named = append(named, fmt.Sprintf("and %d more", n-len(named)))
	case n == 0:
		return nil
	}
	_, err := fmt.Fprintf(s.notes, "completed without success: %s\n", strings.Join(named, ", "))
	return err
}
