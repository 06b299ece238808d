package main

import (
	"context"
	"encoding/json"
	"fmt"
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
