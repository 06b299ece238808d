package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/record"
)

// TestAuditByCommands: the record is listed, exported and verified, in the cluster and from a file.
func TestAuditByCommands(t *testing.T) {
	double(t)
	var chain strings.Builder
	head := record.Head{}
	for _, method := range []string{"Submit", "Cancel", "Delete"} {
		e := &record.Entry{Kind: record.Begun, Method: method, Count: 1}
		head = record.Key{}.Append(head, e)
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		chain.Write(append(line, '\n'))
	}
	whole := file(t, "chain.jsonl", chain.String())
	edited := filepath.Join(t.TempDir(), "edited.jsonl")
	if err := os.WriteFile(edited, []byte(strings.Replace(chain.String(), "Cancel", "Submit", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	export := filepath.Join(t.TempDir(), "export.jsonl")
	for _, tt := range []struct {
		args string
		want string // in what is printed
		code int
	}{
		{"audit list", "refused: denied (3 times)", 0},
		{"audit list --task t", "failed: not_found", 0},
		{"audit list -o json", `"code":"denied"`, 0},
		{"audit list --limit 0", "--limit", 2},
		{"audit export --all-namespaces", `"seq":3`, 0},
		{"audit export --after 1 --file " + export, "", 0},
		{"audit export --file " + export, "exists", 1},
		{"audit follow --after 2", `"seq":3`, 0},
		{"audit verify", "edited  entry 2  it was edited", 6},
		{"audit verify --head " + head.String(), head.Hash.String(), 6},
		{"audit verify --head x", "no head", 2},
		{"audit verify --partial", "for a FILE", 2},
		{"audit verify " + whole, "no faults found", 0},
		{"audit verify " + whole + " --head " + head.String(), "head " + head.String(), 0},
		{"audit verify " + whole + " --head 4:" + head.Hash.String(), "head  entry 4", 6},
		{"audit verify " + edited, "edited  entry 2", 6},
		{"audit verify --partial " + export, "faults found", 6}, // the double's hashes are none
		{"audit verify " + whole + " --key-file " + whole + "x", "--key-file", 2},
		{"audit verify /nowhere", "no such file", 1},
	} {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}
