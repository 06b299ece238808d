package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPIKeysByCommands: a key is shown once, or written into a file that only its owner may read.
func TestAPIKeysByCommands(t *testing.T) {
	double(t)
	out, notes, code := runCommand(t, "keys", "create", "--user", "amy", "--name", "night", "--role", "operator", "--scope", "trees.read", "--expires", "24h")
	if code != 0 || !strings.HasPrefix(out, "tgk_") || strings.Count(out, "\n") != 1 || !strings.Contains(notes, "key key_1 of amy") || strings.Contains(notes, "tgk_") {
		t.Fatalf("got %d, %s%s", code, out, notes)
	}
	into := filepath.Join(t.TempDir(), "key")
	if out, notes, code := runCommand(t, "keys", "create", "--user", "bob", "--secret-file", into, "-o", "json"); code != 0 || strings.Contains(out+notes, "tgk_") {
		t.Errorf("into a file: got %d, %s%s", code, out, notes)
	}
	text, err := os.ReadFile(into)
	if info, _ := os.Stat(into); err != nil || !strings.HasPrefix(string(text), "tgk_") || info.Mode().Perm() != 0o600 {
		t.Errorf("the file holds %q, %v", text, err)
	}
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"keys list", "default:operator", 0},
		{"keys list --user nobody", "there are no keys", 0},
		{"keys rotate key_1 --grace 1h", "tgk_", 0},
		{"keys rotate key_1 --grace 1000h", "grace", 2},
		{"keys create --user bob --secret-file " + into, "revoke it", 1},
		{"keys revoke key_1", "key_1: revoked", 0},
		{"keys revoke nope", "not found", 1},
		{"keys list --ended", "night", 0},
		{"keys create", "user_id", 2},
		{"keys create --expires never", "a duration", 2},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}
