package main

import (
	"strings"
	"testing"
)

// TestPoolRulesByCommands: rules are made, shown and taken away.
func TestPoolRulesByCommands(t *testing.T) {
	double(t)
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"pools rules", "there are no rules", exitOK},
		{"pools allow gpu --namespaces team-a,ml-* --secrets x", "gpu   team-a,ml-*  *          *            x", exitOK},
		{"pools rules", "team-a,ml-*", exitOK},
		{"pools rules -o json", `"namespaces":["team-a","ml-*"]`, exitOK},
		{"pools allow gpu --executors rest_executor -o json", `"executors":["rest_executor"]`, exitOK},
		{"pools rules", "gpu   *           rest_executor", exitOK},
		{"pools allow gpu --executors a*b", "executors[0]", exitUsage},
		{"pools allow gpu", "a rule needs a list", exitUsage},
		{"pools allow gpu --clear --secrets x", "--clear goes with no list", exitUsage},
		{"pools allow gpu --clear", "gpu: all is allowed", exitOK},
		{"pools allow gpu --clear", "not found", exitError},
		{"pools", "SLOTS", exitOK},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}
