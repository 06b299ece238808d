package main

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	double(t)
	submitted(t, `[{"id":"night","name":"nightly"},{"id":"night.a","name":"fetch orders","parent_id":"night"}]`)
	submitted(t, `[{"id":"day","name":"daily"}]`)
	for _, tt := range []struct{ fact, args, want string }{
		{"the newest trees", "get ", "day\tdaily  pending\nnight\tnightly  pending\n:36"},
		{"ids", "get night.", "night.a\tfetch orders  pending\n:36"},
		{"names of a tree", "watch night/", "night/nightly\tpending\nnight/fetch orders\tpending\n:36"},
		{"one task only", "tree night ", ":4"},
		{"but several to cancel", "cancel night d", "day\tdaily  pending\n:36"},
		{"of a flag, too", "list --tree da", "day\tdaily  pending\n:36"},
		{"nothing that there is", "get x", ":1"},
		{"states", "list --state re", "held\nwaiting\ndelayed\nready\nrunning\nblocked\ncompleted\nfailed\ncancelled\nskipped\nexpanded\nawaiting\n:4"},
		{"statuses", "list --status in", "pending\nin_progress\ncompleted\nfailed\ncancelled\n:4"},
		{"formats", "get -o y", "text\njson\nyaml\n:4"},
		{"files", "submit ", "yaml\nyml\njson\n:8"},
		{"no files where there are none", "workers ", ":4"},
		{"no server", "get --server 127.0.0.1:1 n", ":1"},
	} {
		out, _, code := runCommand(t, append([]string{"__complete"}, strings.Split(tt.args, " ")...)...)
		if code != exitOK || !strings.HasPrefix(out, tt.want+"\n") {
			t.Errorf("%s: exit %d, got %q, want %q", tt.fact, code, out, tt.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, note, code := runCommand(t, "completion", shell); code != exitOK || !strings.Contains(out, "taskgrove") {
			t.Errorf("%s: exit %d: %s", shell, code, note)
		}
	}
}
