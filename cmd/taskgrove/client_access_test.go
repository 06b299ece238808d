package main

import (
	"strings"
	"testing"
)

// TestRolesByCommands gives and takes them.
func TestRolesByCommands(t *testing.T) {
	double(t)
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"roles grant viewer --user amy", "user amy is viewer in default", 0},
		{"roles grant operator --group devs --issuer https://id --all-namespaces", "group devs is operator in all namespaces", 0},
		{"roles bindings", "amy", 0},
		{"roles bindings --all-namespaces --subject devs", "https://id", 0},
		{"roles bindings --subject nobody", "there are no bindings", 0},
		{"roles revoke viewer --user amy", "no longer viewer", 0},
		{"roles revoke viewer --user amy", "not found", 1},
		{"roles grant viewer", "give one of --user", 2},
		{"roles grant viewer --user a --group b", "give one of --user", 2},
		{"roles list", "approver", 0},
		{"roles list viewer", "trees.read", 0},
		{"roles list king", "no role", 2},
		{"auth whoami", "nobody is asked", 0},
		{"auth can-i trees.read", "yes", 0},
		{"auth can-i trees.fell", "no permission", 2},
		{"auth can-i", "--list", 2},
		{"auth can-i --list -o json", `"trees.read"`, 0},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}
