package main

import (
	"strings"
	"testing"
)

// TestSkip: what has not begun is skipped, whatever becomes of the others that are named.
func TestSkip(t *testing.T) {
	double(t)
	if _, note, code := runCommand(t, "submit", file(t, "a.json", `{"id": "a", "name": "a", "schemas": {"method": "x"}}`)); code != exitOK {
		t.Fatalf("exit %d: %s", code, note)
	}
	out, notes, code := runCommand(t, "skip", "nope", "a")
	if out != "a: skipped\n" || !strings.Contains(notes, "nope") || code != exitError {
		t.Errorf("got %q, %q, %d", out, notes, code)
	}
	if out, notes, code := runCommand(t, "skip", "a"); out != "" || !strings.Contains(notes, "it has ended (skipped)") || code == exitOK {
		t.Errorf("a second time: got %q, %q, %d", out, notes, code)
	}
}
