package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundle"
)

// bundles are those that steps of flows have on this worker.
type bundles struct {
	mu    sync.Mutex
	cache *bundle.Cache // nil: none was needed yet
}

func (b *bundles) in(base func() (string, error)) (*bundle.Cache, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cache == nil {
		dir, err := base()
		if err != nil {
			return nil, err
		}
		b.cache = bundle.NewCache(filepath.Join(dir, "bundles"))
	}
	return b.cache, nil
}

var dirMark, cacheMark = []byte(bundle.DirMark), []byte(bundle.CacheMark)

// withBundle has the bundle of a step's run on this host, where the step may use it, and puts its place into the inputs. done must be called when the step has ended.
func (w *Worker) withBundle(ctx context.Context, a *attempt, call *executors.Call) (done func(), err error) {
	done = func() {}
	pinned, err := bundle.PinnedIn(call.Params)
	if err != nil {
		return done, executors.Permanent(err)
	}
	named := bytes.Contains(call.Inputs, dirMark) || bytes.Contains(call.Inputs, cacheMark)
	if pinned == nil || !named && !a.kind.description.Workspace {
		return done, nil
	}
	cache, err := w.bundles.in(w.runs.dirs.Base)
	if err != nil {
		return done, err
	}
	dirs, leave, err := cache.Open(ctx, pinned, func(ctx context.Context, name, digest string, size int64) (io.ReadCloser, error) {
		return a.files.Open(ctx, executors.FileRef{Artifact: name, SHA256: digest, Size: size})
	})
	if err != nil {
		return done, err
	}
	call.Bundle = &executors.Bundle{ID: pinned.ID, Fingerprint: pinned.Fingerprint, Dir: dirs.Dir, Cache: dirs.Cache}
	call.Inputs = bytes.ReplaceAll(bytes.ReplaceAll(call.Inputs, dirMark, quoted(dirs.Dir)), cacheMark, quoted(dirs.Cache))
	return leave, nil
}

// quoted is a path as it stands within a string of JSON.
func quoted(path string) []byte {
	text, _ := json.Marshal(path) // text
	return text[1 : len(text)-1]
}

// withoutBundle writes the place of the bundle on this host as others find it on theirs.
func withoutBundle(b *executors.Bundle, value []byte) []byte {
	if b == nil {
		return value
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(value, quoted(b.Dir), dirMark), quoted(b.Cache), cacheMark)
}
