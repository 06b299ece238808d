package archive_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/archive/archivetest"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	s := archive.OpenFolder(dir)
	archivetest.Conform(t, s)
	left, err := os.ReadDir(dir)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left over", e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
	dead, err := s.CreateObject(t.Context(), "n/1/amy/x") // who writes it is killed
	if err == nil {
		_, err = dead.Write([]byte("of amy"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is there
		if err := s.(archive.Cleaner).RemoveUnfinished(t.Context(), "n/1/amy/"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dir + "/n/1/amy"); !os.IsNotExist(err) {
		t.Errorf("what was never finished: %v", err)
	}
	if err := dead.Commit(t.Context()); err == nil {
		t.Error("an object becomes whole of which nothing is left")
	}
	dead.Abort()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenObject(t.Context(), "pipe"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe: got %v", err)
	}
	if err := s.ListObjects(t.Context(), "", func(o archive.Object) bool {
		if o.Key == "pipe" {
			t.Error("a pipe is listed")
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	none := archive.OpenFolder(dir + "/none")
	_, errs1 := none.ListFolders(t.Context(), "a/")
	_, errs2 := none.OpenObject(t.Context(), "a/b")
	_, errs3 := none.CreateObject(t.Context(), "a/b")
	for what, err := range map[string]error{"Check": none.Check(t.Context()), "ListFolders": errs1, "OpenObject": errs2, "CreateObject": errs3, "ListObjects": none.ListObjects(t.Context(), "a/", nil),
		"RemoveUnfinished": none.(archive.Cleaner).RemoveUnfinished(t.Context(), "a/")} {
		if err == nil || errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s of a folder that is not there: got %v", what, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, id := range []string{"report", "a/b.c", "..", "Ünï", strings.Repeat("x", 300), ""} {
		want := archive.Name{Namespace: "team.a", Day: "2026-11-30", Owner: archive.OwnerOf("team.a", "amy"), Tree: id, Number: 7}
		key := want.Key()
		got, ok := archive.ParseKey(key)
		if !ok || got.Namespace != want.Namespace || got.Day != want.Day || got.Owner != want.Owner || got.Number != 7 || !got.IsOf(id) || got.IsOf(id+"y") && !got.Cut {
			t.Errorf("%q: %s is %+v, %t", id, key, got, ok)
		}
		if !got.Cut && got.Tree != id || len(key) > 300 || strings.Contains(key, "..") {
			t.Errorf("%q: %s", id, key)
		}
	}
	for _, key := range []string{"", "a/b/c/d.1.jsonl.zst", "a/2026-11-30/-/x.jsonl.zst", "a/2026-11-30/-/x.1.gz", "2026-11-30/-/x.1.jsonl.zst", "a/2026-11-30/-/%G.1.jsonl.zst", "../2026-11-30/-/x.1.jsonl.zst", "a/2026-11-30/../x.1.jsonl.zst", "a/2026-11-30/-/...1.jsonl.zst", "a/2026-11-30//x.1.jsonl.zst",
		"a/2026-11-30/ö/x.1.jsonl.zst", "a b/2026-11-30/-/x.1.jsonl.zst"} {
		if n, ok := archive.ParseKey(key); ok {
			t.Errorf("%q is %+v", key, n)
		}
	}
	if archive.OwnerOf("a", "") != "-" || archive.OwnerOf("a", "amy") == archive.OwnerOf("b", "amy") {
		t.Error("owners of namespaces have one name")
	}
}

func TestLines(t *testing.T) {
	var object bytes.Buffer
	e, err := archive.NewEncoder(&object, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	inputs := json.RawMessage("{\n \"a\": \"<b>\"}")
	for _, l := range []*archive.Line{{Tree: &archive.Tree{ID: "t"}}, {Task: &archive.Task{ID: "t", Inputs: inputs}}, {Attempt: &archive.Attempt{Number: 1}}, {Event: &archive.Event{Sequence: 1}}} {
		if err := e.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var end *archive.End
	read := func(data []byte) (n int, err error) {
		err = archive.Read(bytes.NewReader(data), func(raw json.RawMessage, l *archive.Line) error {
			if n++; l.Task != nil && (string(l.Task.Inputs) != `{"a":"<b>"}` || bytes.ContainsRune(raw, '\n')) {
				t.Errorf("got %s", raw)
			}
			end = l.End
			return nil
		})
		return n, err
	}
	if n, err := read(object.Bytes()); n != 6 || err != nil || end == nil || *end != (archive.End{Tasks: 1, Attempts: 1, Events: 1}) {
		t.Errorf("got %d lines, %+v, %v", n, end, err)
	}
	for cut := range object.Len() {
		if _, err := read(object.Bytes()[:cut]); err == nil {
			t.Errorf("cut at %d: no error", cut)
		}
	}
	if err := archive.Read(bytes.NewReader(nil), nil); !errors.Is(err, archive.ErrCut) {
		t.Errorf("nothing: got %v", err)
	}
}
