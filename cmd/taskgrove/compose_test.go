package main

import (
	"os"
	"strings"
	"testing"
)

// TestComposeHasTheAccounts: what compose.yaml gives its NATS servers is what the command in it prints.
func TestComposeHasTheAccounts(t *testing.T) {
	text, err := os.ReadFile("../../deploy/compose/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfterN(string(text), "\n", 5) // two of comments, two that include
	args, ok := strings.CutPrefix(strings.TrimSpace(lines[1]), "# taskgrove ")
	if !ok || len(lines) < 5 {
		t.Fatalf("no command in %q", lines[1])
	}
	if out, notes, code := runCommand(t, strings.Fields(args)...); code != 0 || out != lines[4] {
		t.Errorf("deploy/compose/nats/nats.conf is not what its command prints (%d %s)", code, notes)
	}
}
