package main

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

func TestVerify(t *testing.T) {
	svc := double(t)
	for _, tree := range []string{`[{"id":"r","name":"root"}]`, `[{"id":"s","name":"root"}]`} {
		if _, note, code := runCommand(t, "submit", file(t, "tree.json", tree)); code != exitOK {
			t.Fatal(note)
		}
	}
	if out, note, code := runCommand(t, "verify"); code != exitOK || out != "" {
		t.Errorf("nothing was found: exit %d, %s%s", code, out, note)
	}
	svc.Violate(coordinator.Violation{Kind: "remaining", TreeID: "r", TaskID: "r", Text: "waits for 2,\nnot 1"})
	svc.Violate(coordinator.Violation{Kind: "lease_overdue", Text: "worker w"})
	for _, tc := range []struct {
		name      string
		args      []string
		out, note string // all of stdout, a part of stderr
		code      int
	}{
		{"one line each", []string{"verify"}, "remaining  task r  waits for 2, not 1\nlease_overdue  cluster  worker w\n", "found: 2", exitViolations},
		{"of one tree", []string{"verify", "--tree", "r"}, "remaining  task r  waits for 2, not 1\n", "found: 1", exitViolations},
		{"of one that is well", []string{"verify", "--tree", "s"}, "", "", exitOK},
		{"of one that is not there", []string{"verify", "--tree", "nope"}, "", "not found", exitError},
		{"as json", []string{"verify", "-o", "json", "--tree", "r"}, `{"kind":"remaining","task_id":"r","text":"waits for 2,\nnot 1","tree_id":"r"}` + "\n", "", exitViolations},
		{"an argument is none of its", []string{"verify", "r"}, "", "", exitUsage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, note, code := runCommand(t, tc.args...)
			if code != tc.code || out != tc.out || !strings.Contains(note, tc.note) {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, tc.code, out, note)
			}
		})
	}
}
