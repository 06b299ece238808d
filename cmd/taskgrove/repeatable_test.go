package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestARepeatableExecutorMakesItsTasksRepeatable looks through the command alone at how the shipped program stores tasks that
// don't say of themselves whether they may run twice.
func TestARepeatableExecutorMakesItsTasksRepeatable(t *testing.T) {
	t.Parallel()
	dev := start(t, nil, append([]string{"dev", "--ephemeral"}, free...)...)
	file := filepath.Join(t.TempDir(), "tree.json")
	if err := os.WriteFile(file, []byte(`[
		{"id": "root", "name": "root", "schemas": {"method": "noop_executor"}},
		{"id": "again", "name": "again", "parent_id": "root", "schemas": {"method": "noop_repeatable_executor"}}
	]`), 0o600); err != nil {
		t.Fatal(err)
	}
	dev.command("submit", file, "--wait")
	for id, want := range map[string]bool{"root": false, "again": true} {
		var got struct {
			Status     string
			Repeatable *bool
		}
		text := dev.command("get", id, "-o", "json")
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if got.Status != "completed" || got.Repeatable == nil || *got.Repeatable != want {
			t.Errorf("%s: got %s, want completed, repeatable: %t", id, text, want)
		}
	}
	dev.stop()
}

// command runs a client command to its end and answers what it printed.
func (p *running) command(args ...string) string {
	p.t.Helper()
	client := launch(p.t, nil, append(args, "--server", p.ready.GRPC)...)
	if code := client.wait(); code != exitOK {
		p.t.Fatalf("%v: exit code %d: %s", args, code, client.out.String())
	}
	return client.out.String()
}
