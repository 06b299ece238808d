package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/archive"
)

// putTree archives a tree of one task.
func putTree(t *testing.T, store archive.Store, n archive.Name, text string) {
	t.Helper()
	w, err := store.CreateObject(t.Context(), n.Key())
	if err != nil {
		t.Fatal(err)
	}
	e, err := archive.NewEncoder(w, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*archive.Line{{Tree: &archive.Tree{ID: n.Tree, Number: n.Number}}, {Task: &archive.Task{ID: n.Tree, Name: text}}} {
		if err := e.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestArchiveCommands: list and show read the store itself; of one id the newest tree is shown, also where its name is cut.
func TestArchiveCommands(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TASKGROVE_ARCHIVE_DIR", dir)
	store := archive.OpenFolder(dir)
	long := strings.Repeat("long/", 60)
	amy := archive.OwnerOf("default", "amy")
	for n, text := range map[archive.Name]string{
		{Namespace: "default", Day: "2026-11-01", Owner: "-", Tree: "report", Number: 7}:      "first",
		{Namespace: "default", Day: "2026-11-02", Owner: amy, Tree: "report", Number: 9}:      "second \u009b31m",
		{Namespace: "default", Day: "2026-11-02", Owner: "-", Tree: long + "a", Number: 10}:   "cut a",
		{Namespace: "default", Day: "2026-11-02", Owner: "-", Tree: long + "b", Number: 11}:   "cut b",
		{Namespace: "team-a", Day: "2026-11-03", Owner: "-", Tree: "of the team", Number: 12}: "theirs",
	} {
		putTree(t, store, n, text)
	}
	call := func(args ...string) (string, error) {
		var out, notes bytes.Buffer
		root := newRoot(new(bool))
		root.SetOut(&out)
		root.SetErr(&notes)
		root.SetArgs(append([]string{"archive"}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, row := range []struct {
		args       []string
		has, lacks string
	}{
		{[]string{"list"}, "report", "of the team"},
		{[]string{"list", "--until", "2026-11-01"}, "2026-11-01", "2026-11-02"},
		{[]string{"list", "--since", "2026-11-02", "-o", "json"}, `"number":9`, "2026-11-01"},
		{[]string{"list", "--user", "amy"}, amy, "long"},
		{[]string{"list", "--namespace", "team-a"}, "of the team", "report"},
		{[]string{"show", "report"}, `"name":"second \u009b31m"`, "first"},
		{[]string{"show", "report", "--until", "2026-11-01"}, "first", "second"},
		{[]string{"show", archive.Name{Namespace: "default", Day: "2026-11-01", Owner: "-", Tree: "report", Number: 7}.Key()}, "first", "second"},
		{[]string{"show", long + "a"}, "cut a", "cut b"},
	} {
		if out, err := call(row.args...); err != nil || !strings.Contains(out, row.has) || strings.Contains(out, row.lacks) {
			t.Errorf("%v: got %s, %v", row.args, out, err)
		}
	}
	if out, err := call("list", "--limit", "1"); err != nil || strings.Count(out, "2026-") < 1 || strings.Count(out, ".jsonl.zst") != 1 {
		t.Errorf("one: got %s, %v", out, err)
	}
	for _, args := range [][]string{{"show", "no-such"}, {"show", long + "c"}, {"list", "--since", "yesterday"}, {"list", "--limit", "0"}, {"show"}} {
		if out, err := call(args...); err == nil {
			t.Errorf("%v: got %s", args, out)
		}
	}
	t.Setenv("TASKGROVE_ARCHIVE_DIR", "")
	if _, err := call("list"); err == nil || !strings.Contains(err.Error(), "TASKGROVE_ARCHIVE_DIR") {
		t.Errorf("without an archive: got %v", err)
	}
}
