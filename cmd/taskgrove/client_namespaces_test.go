package main

import (
	"strings"
	"testing"
)

// TestNamespacesByCommands makes, lists, shows, changes and deletes a namespace.
func TestNamespacesByCommands(t *testing.T) {
	double(t)
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"namespaces create team-a --trees 100 --open-trees 5", "0 of 100", 0},
		{"namespaces create team-a", "there is a namespace", 1},
		{"namespaces create Team_A", "name: must be", 2},
		{"namespaces create team-b --trees -1", "quotas.trees", 2},
		{"namespaces create team-b --trees many", "", 2},
		{"namespaces list", "default", 0},
		{"namespaces list -o json", `"name":"team-a"`, 0},
		{"namespaces get team-a", "<= 5", 0},
		{"namespaces get nope", "not found", 1},
		{"namespaces update team-a --description night --trees -1 --tasks 7", "0 of 7", 0},
		{"namespaces get team-a -o yaml", "description: night", 0},
		{"namespaces delete default", "can't be deleted", 2},
		{"namespaces delete team-a", "team-a: deleted", 0},
		{"namespaces delete team-a", "not found", 1},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}
