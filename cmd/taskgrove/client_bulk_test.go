package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// editing is a service that notes what it was told to delete and copy, and refuses some of it.
type editing struct {
	*apitest.Service
	refuse map[string]error

	mu      sync.Mutex
	deleted []string
	options coordinator.DeleteOptions
	change  coordinator.TaskChange
	copying coordinator.CopyOptions
}

func (e *editing) Delete(_ context.Context, id string, opts coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse[id]; err != nil {
		return nil, err
	}
	e.deleted, e.options = append(e.deleted, id), opts
	return &coordinator.Deletion{Tasks: 2}, nil
}

func (e *editing) Update(_ context.Context, id string, change coordinator.TaskChange) (*coordinator.Task, error) {
	e.change = change
	return &coordinator.Task{ID: id}, nil
}

func (e *editing) Copy(_ context.Context, _ string, opts coordinator.CopyOptions) (*coordinator.Copied, error) {
	e.copying = opts
	return &coordinator.Copied{TreeID: "copy", Tasks: []*coordinator.Task{{ID: "copy", Name: "again", OriginalID: "t0"}}}, nil
}

// edited serves trees t0 to t11, held, of user u.
func edited(t *testing.T) *editing {
	t.Helper()
	svc := &editing{Service: apitest.New(), refuse: map[string]error{}}
	doubleOf(t, svc)
	for i := range 12 {
		id := fmt.Sprint("t", i)
		tree := file(t, "tree.json", fmt.Sprintf(`[{"id":%q,"name":"nightly"}]`, id))
		if _, notes, code := runCommand(t, "submit", tree, "--hold", "--user", "u"); code != exitOK {
			t.Fatal(notes)
		}
	}
	return svc
}

func TestBulkShowsWhatItWouldDo(t *testing.T) {
	svc := edited(t)
	out, notes, code := runCommand(t, "delete", "--user", "u", "--dry-run")
	if code != exitOK || !strings.Contains(out, "nightly") || !strings.Contains(out, "… and 2 more\n12 trees would be deleted\n") {
		t.Errorf("got %d %q %q", code, out, notes)
	}
	out, _, code = runCommand(t, "delete", "--user", "u", "--dry-run", "-o", "json", "--limit", "2")
	if code != exitOK || out != "{\"id\":\"t11\"}\n{\"id\":\"t10\"}\n" {
		t.Errorf("got %d %q", code, out)
	}
	_, notes, code = runCommand(t, "delete", "--user", "u")
	if code != exitUsage || !strings.Contains(notes, "12 trees would be deleted, and there is no terminal to ask on: --yes does it") {
		t.Errorf("without a terminal: got %d %q", code, notes)
	}
	if len(svc.deleted) > 0 {
		t.Errorf("%v were deleted", svc.deleted)
	}
}

func TestBulkAsks(t *testing.T) {
	svc := edited(t)
	for answer, want := range map[string]int{"n\n": exitError, "\n": exitError, "yes\n": exitOK} {
		svc.deleted = nil
		slave, keys := typed(t)
		if _, err := keys.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		_, notes, code := runWithInput(t, slave, "delete", "--user", "u", "--force")
		if code != want || !strings.Contains(notes, "… and 2 more\ndelete 12 trees? [y/N]") {
			t.Errorf("%q: got %d %q", answer, code, notes)
		}
		if deleted := len(svc.deleted); deleted > 0 != (want == exitOK) {
			t.Errorf("%q: %d were deleted", answer, deleted)
		}
	}
	if !svc.options.Force {
		t.Error("got no force")
	}
}

func TestBulkTellsWhatBecameOfEach(t *testing.T) {
	svc := edited(t)
	svc.refuse["t3"] = &coordinator.DeleteError{Reasons: []string{"task status is 'completed' (must be 'pending')"}}
	svc.refuse["t4"] = coordinator.ErrNotFound
	out, notes, code := runCommand(t, "delete", "--user", "u", "-y", "-o", "json")
	if code != exitError || !strings.HasPrefix(notes, "delete t3: conflict: Cannot delete task: task status is 'completed'") ||
		!strings.Contains(notes, "1 of 12 trees could not be deleted; --force deletes") ||
		!strings.Contains(notes, "12 trees: 10 deleted, 1 gone already, 1 refused\n") {
		t.Errorf("got %d %q", code, notes)
	}
	if lines := strings.Count(out, "\n"); lines != 11 || !strings.Contains(out, `{"became":"gone already","id":"t4"}`) {
		t.Errorf("got %q", out)
	}
	_, notes, code = runCommand(t, "cancel", "--name", "nightly", "--yes")
	if code != exitOK || !strings.Contains(notes, "12 trees: 12 cancelled\n") {
		t.Errorf("cancel: got %d %q", code, notes)
	}
	_, notes, code = runCommand(t, "rerun", "--tasks", "--status", "cancelled", "--cancelled", "--yes")
	if code != exitOK || !strings.Contains(notes, "12 tasks: 12 started\n") {
		t.Errorf("rerun: got %d %q", code, notes)
	}
}

// TestBulkGoesOn: a run that was cut off goes on with what its journal does not name.
func TestBulkGoesOn(t *testing.T) {
	svc := edited(t)
	journal := filepath.Join(t.TempDir(), "done")
	if err := os.WriteFile(journal, []byte("t1\nt2\nt"), 0o600); err != nil { // the last line was cut off
		t.Fatal(err)
	}
	svc.refuse["t5"] = errors.New("broken")
	if _, notes, code := runCommand(t, "delete", "--user", "u", "--yes", "--journal", journal); code != exitError || !strings.Contains(notes, "10 trees: 9 deleted, 1 refused") {
		t.Errorf("got %d %q", code, notes)
	}
	delete(svc.refuse, "t5")
	svc.deleted = nil
	if _, notes, code := runCommand(t, "delete", "--user", "u", "--yes", "--journal", journal); code != exitOK || !slices.Equal(svc.deleted, []string{"t5"}) {
		t.Errorf("got %d %q, deleted %v", code, notes, svc.deleted)
	}
	if _, notes, code := runCommand(t, "delete", "--user", "u", "--yes", "--journal", journal); code != exitOK || !strings.Contains(notes, "no tree matches") {
		t.Errorf("got %d %q", code, notes)
	}
}

// TestBulkEndsWithoutACluster: what can't be reached is not tried for each.
func TestBulkEndsWithoutACluster(t *testing.T) {
	svc := edited(t)
	defer func(pause time.Duration) { bulkPause = pause }(bulkPause)
	bulkPause = time.Millisecond
	for i := range 12 {
		svc.refuse[fmt.Sprint("t", i)] = coordinator.ErrUnavailable
	}
	_, notes, code := runCommand(t, "delete", "--user", "u", "--yes", "--parallel", "12")
	if code != exitUnreachable || !strings.Contains(notes, "12 trees: 12 left\n") {
		t.Errorf("got %d %q", code, notes)
	}
}

func TestBulkUsage(t *testing.T) {
	edited(t)
	for _, tc := range []struct {
		args []string
		note string
	}{
		{[]string{"delete"}, "TASK"},
		{[]string{"cancel", "t1", "--status", "failed"}, "takes tasks or flags that select, not both"},
		{[]string{"delete", "--yes"}, "nothing is selected"},
		{[]string{"delete", "--tasks", "--yes"}, "nothing is selected"},
		{[]string{"delete", "--user", "u", "--parallel", "0"}, "--parallel"},
		{[]string{"delete", "--user", "u", "--limit", "-1"}, "--limit"},
		{[]string{"rerun", "--user", "u", "--wait"}, "follow one tree"},
		{[]string{"cancel", "--user", "u", "--wait"}, "waits for tasks that are named"},
		{[]string{"delete", "--user", "u", "--yes", "--journal", "/"}, "--journal"},
		{[]string{"update", "t1"}, "nothing is to be changed"},
		{[]string{"update", "t1", "--inputs", "{"}, "--inputs: must be JSON"},
		{[]string{"update", "t1", "--inputs", "@nowhere"}, "--inputs: open nowhere"},
		{[]string{"copy", "t1", "--mode", "custom"}, "--mode custom and --task-ids go together"},
		{[]string{"copy", "t1", "--dry-run", "--run"}, "there is nothing to run"},
	} {
		if _, notes, code := runCommand(t, tc.args...); code != exitUsage || !strings.Contains(notes, tc.note) {
			t.Errorf("%q: got %d %q, want %q", tc.args, code, notes, tc.note)
		}
	}
}

func TestEditCommands(t *testing.T) {
	svc := edited(t)
	svc.refuse["t2"] = &coordinator.DeleteError{Reasons: []string{"no"}}
	out, notes, code := runCommand(t, "delete", "t1", "nope", "t2", "t3", "--alone")
	if code != exitError || out != "t1: deleted, 2 tasks\nnope: deleted, 2 tasks\nt3: deleted, 2 tasks\n" || !strings.Contains(notes, "delete t2: conflict: Cannot delete task: no") ||
		!svc.options.Alone {
		t.Errorf("delete: got %d %q %q", code, out, notes)
	}

	inputs := file(t, "inputs.json", `{"from": "file"}`)
	out, notes, code = runCommand(t, "update", "t1", "--name", "n", "--priority", "0", "--inputs", "@"+inputs, "--params", `{"a": 1}`, "--needs", "t2,t3", "--wants", "t4",
		"--status", "completed", "--result", "null", "--progress", "1", "--error", "")
	c := svc.change
	if code != exitOK || out != "t1: updated\n" || *c.Name != "n" || *c.Priority != 0 || string(c.Inputs) != `{"from":"file"}` || string(c.Params) != `{"a":1}` ||
		c.Schemas != nil || len(c.Dependencies) != 3 || !c.Dependencies[2].Optional || c.Status != "completed" || string(c.Result) != "null" || *c.Progress != 1 || *c.Error != "" {
		t.Errorf("update: got %d %q %q, %+v", code, out, notes, c)
	}
	if _, _, code = runCommand(t, "update", "t1", "--needs", ""); code != exitOK || !svc.change.HasDependencies || len(svc.change.Dependencies) != 0 {
		t.Errorf("update without dependencies: got %d, %+v", code, svc.change)
	}

	out, _, code = runCommand(t, "copy", "t0", "--mode", "custom", "--task-ids", "t0", "--include-children", "--reset-fields", "status,result")
	if o := svc.copying; code != exitOK || out != "copy\n" || o.Mode != coordinator.CopyCustom || !slices.Equal(o.TaskIDs, []string{"t0"}) || !o.IncludeChildren ||
		!slices.Equal(o.ResetFields, []string{"status", "result"}) {
		t.Errorf("copy: got %d %q, %+v", code, out, svc.copying)
	}
	out, _, code = runCommand(t, "copy", "t0", "--dry-run")
	if code != exitOK || !strings.Contains(out, "again") || !strings.Contains(out, "t0") || !svc.copying.Preview {
		t.Errorf("copy --dry-run: got %d %q", code, out)
	}
	var shown struct{ Tasks []client.Task }
	if out, _, code = runCommand(t, "copy", "t0", "--dry-run", "-o", "json"); code != exitOK || json.Unmarshal([]byte(out), &shown) != nil || len(shown.Tasks) != 1 {
		t.Errorf("copy --dry-run -o json: got %d %q", code, out)
	}
}
