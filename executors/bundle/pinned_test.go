package bundle_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors/bundle"
)

// kept are contents by their digests.
type kept struct {
	mu      sync.Mutex
	data    map[string]string
	fetched atomic.Int64
	fail    error
}

func (k *kept) put(text string) string {
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:])
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.data == nil {
		k.data = map[string]string{}
	}
	k.data[digest] = text
	return digest
}

func (k *kept) pin(files map[string]string) *bundle.Pinned {
	var list []bundle.File
	for name, text := range files {
		list = append(list, bundle.File{Path: name, SHA256: k.put(text), Size: int64(len(text))})
	}
	text := string(bundle.ListText(list))
	return &bundle.Pinned{ID: "b", SHA256: k.put(text), Size: int64(len(text))}
}

func (k *kept) fetch(_ context.Context, name, digest string, _ int64) (io.ReadCloser, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetched.Add(1)
	text, has := k.data[digest]
	if !has || k.fail != nil {
		return nil, errors.Join(k.fail, fmt.Errorf("no %s", name))
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func TestCache(t *testing.T) {
	k := &kept{}
	dir := filepath.Join(t.TempDir(), "bundles")
	c := bundle.NewCache(dir)
	data := map[string]string{"a": "A", "d/b": "B"}
	pinned := k.pin(data)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			dirs, done, err := c.Open(t.Context(), pinned, k.fetch)
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if got := contents(t, dirs.Dir); !maps.Equal(got, data) {
				t.Errorf("got %v", got)
			}
		})
	}
	wait.Wait()
	if n := k.fetched.Load(); n != 3 {
		t.Errorf("%d contents were fetched, want the list and two files, once", n)
	}
	// Another version beside it; what both have is not fetched again.
	other, done, err := c.Open(t.Context(), k.pin(map[string]string{"a": "A", "d/b": "new"}), k.fetch)
	if err != nil || k.fetched.Load() != 5 || contents(t, other.Dir)["d/b"] != "new" {
		t.Fatalf("%v, %d fetched", err, k.fetched.Load())
	}
	done()
	// What somebody has changed is made anew.
	dirs, done, err := c.Open(t.Context(), pinned, k.fetch)
	if err != nil {
		t.Fatal(err)
	}
	done()
	name := filepath.Join(dirs.Dir, "a")
	if err := errors.Join(os.Remove(name), os.WriteFile(name, []byte("evil"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if dirs, done, err = c.Open(t.Context(), pinned, k.fetch); err != nil || !maps.Equal(contents(t, dirs.Dir), data) {
		t.Errorf("changed: %v, %v", contents(t, dirs.Dir), err)
	}
	done()
}

// What can't be had whole leaves nothing, and is tried again.
func TestCacheFails(t *testing.T) {
	k := &kept{}
	c := bundle.NewCache(t.TempDir())
	pinned := k.pin(map[string]string{"a": "A", "b": "B"})
	lost := k.put("B")
	for name, harm := range map[string]func(){
		"the store fails":       func() { k.fail = errors.New("down") },
		"a content is lost":     func() { delete(k.data, lost) },
		"a content is another":  func() { k.data[lost] = "X" },
		"a content is longer":   func() { k.data[lost] = "BB" },
		"the list is another":   func() { k.data[pinned.SHA256] = "[]" },
		"the list is no list":   func() { k.data[pinned.SHA256] = "{" },
		"the list is truncated": func() { k.data[pinned.SHA256] = k.data[pinned.SHA256][:9] },
	} {
		before := maps.Clone(k.data)
		harm()
		if _, _, err := c.Open(t.Context(), pinned, k.fetch); err == nil || !strings.Contains(err.Error(), "bundle b") {
			t.Errorf("%s: %v", name, err)
		}
		k.data, k.fail = before, nil
	}
	hostile := `[{"path":"../x","sha256":"` + lost + `","size":1}]`
	if _, _, err := c.Open(t.Context(), &bundle.Pinned{ID: "b", SHA256: k.put(hostile), Size: int64(len(hostile))}, k.fetch); err == nil {
		t.Error("a hostile list is taken")
	}
	dirs, done, err := c.Open(t.Context(), pinned, k.fetch)
	if err != nil || len(contents(t, dirs.Dir)) != 2 {
		t.Fatal(err)
	}
	done()
}

func TestPinnedIn(t *testing.T) {
	digest := strings.Repeat("a", 64)
	good := `{"flow_id":"f","bundle":{"id":"b","sha256":"` + digest + `","size":7}}`
	if p, err := bundle.PinnedIn(json.RawMessage(good)); err != nil || p == nil || p.Size != 7 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, none := range []string{``, `{}`, `{"bundle":"x"}`, `{"bundle":{}}`, `[1,"bundle"]`, `{"flow_id":"f","bundle":null}`} {
		if p, err := bundle.PinnedIn(json.RawMessage(none)); err != nil || p != nil {
			t.Errorf("%s: %+v, %v", none, p, err)
		}
	}
	for _, bad := range []string{strings.Replace(good, digest, "../x", 1), strings.Replace(good, "7", "-1", 1), strings.Replace(good, "7", "99999999999", 1), `{"flow_id":"f","bundle":{"size":"x"}}`} {
		if _, err := bundle.PinnedIn(json.RawMessage(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
