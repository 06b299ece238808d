// Package archivetest is what every store of archived trees keeps to.
//
// It must not know how a store works.
package archivetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/internal/archive"
)

// Conform tries a store that is empty.
func Conform(t *testing.T, s archive.Store) {
	t.Helper()
	ctx := t.Context()
	large := make([]byte, 33<<20) // more than two parts of a bucket
	_, _ = rand.Read(large)
	put := func(key string, data []byte, commit bool) {
		t.Helper()
		w, err := s.CreateObject(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(data, 5<<20) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if commit {
			err = w.Commit(ctx)
		}
		w.Abort()
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(key string) []byte {
		t.Helper()
		r, err := s.OpenObject(ctx, key)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return data
	}
	list := func(prefix string) (keys []string) {
		t.Helper()
		if err := s.ListObjects(ctx, prefix, func(o archive.Object) bool { keys = append(keys, o.Key); return true }); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
	if got := list(""); len(got) != 0 {
		t.Errorf("an empty one has %v", got)
	}
	put("a/1/x", []byte("first"), true)
	put("a/1/x", []byte("again"), true)
	put("a/2/y", large, true)
	put("b/1/z", nil, true)
	put("a/2/not", large, false)
	put("a/2/nor", []byte("small"), false)
	if got := get("a/1/x"); string(got) != "again" {
		t.Errorf("what was put twice is %q", got)
	}
	if !bytes.Equal(get("a/2/y"), large) || len(get("b/1/z")) != 0 {
		t.Error("another content came back")
	}
	for prefix, want := range map[string][]string{"": {"a/1/x", "a/2/y", "b/1/z"}, "a/": {"a/1/x", "a/2/y"}, "a/2/": {"a/2/y"}, "c/": nil} {
		if got := list(prefix); !slices.Equal(got, want) {
			t.Errorf("below %q: got %v, want %v", prefix, got, want)
		}
	}
	for prefix, want := range map[string][]string{"": {"a", "b"}, "a/": {"1", "2"}, "c/": nil} {
		if got, err := s.ListFolders(ctx, prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("folders below %q: got %v, %v, want %v", prefix, got, err, want)
		}
	}
	first := 0
	if err := s.ListObjects(ctx, "", func(archive.Object) bool { first++; return false }); err != nil || first != 1 {
		t.Errorf("stopped after one: %d, %v", first, err)
	}
	for range 2 {
		if err := s.RemoveObject(ctx, "a/2/y"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.OpenObject(ctx, "a/2/y"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("what was removed: got %v", err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.ListObjects(over, "", func(archive.Object) bool { return true }); err == nil {
		t.Error("a list that nobody waits for: no error")
	}
}
