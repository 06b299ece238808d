package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
)

// Files keeps artifacts in memory, as a worker's [executors.Files] does in its cluster. Its zero value is ready to use.
type Files struct {
	mu       sync.Mutex
	contents map[string][]byte // by digest
	saved    []executors.FileRef
	opened   int
}

// Put keeps a content, and gives its reference.
func (f *Files) Put(name string, content []byte) executors.FileRef {
	sum := sha256.Sum256(content)
	ref := executors.FileRef{Artifact: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), MediaType: "application/octet-stream"}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.contents == nil {
		f.contents = map[string][]byte{}
	}
	f.contents[ref.SHA256] = content
	return ref
}

// Save implements [executors.Files].
func (f *Files) Save(_ context.Context, file executors.SavedFile, content io.Reader) (executors.FileRef, error) {
	data := make([]byte, file.Size)
	if _, err := io.ReadFull(content, data); err != nil {
		return executors.FileRef{}, fmt.Errorf("%s of %d bytes: %w", file.Name, file.Size, err)
	}
	ref := f.Put(file.Name, data)
	if file.MediaType != "" {
		ref.MediaType = file.MediaType
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved = append(f.saved, ref)
	return ref, nil
}

// Open implements [executors.Files].
func (f *Files) Open(_ context.Context, ref executors.FileRef) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, ok := f.contents[ref.SHA256]
	if !ok {
		return nil, executors.WithKind(executors.Permanent(errors.New("there is no such artifact")), "artifact_missing")
	}
	f.opened++
	return io.NopCloser(bytes.NewReader(content)), nil
}

// MaxOutput implements [executors.Files].
func (f *Files) MaxOutput() int64 { return 1 << 30 }

// Saved are the artifacts that were saved, in order.
func (f *Files) Saved() []executors.FileRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.saved)
}

// Content is what was saved or put; nil: nothing has that digest.
func (f *Files) Content(ref executors.FileRef) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.contents[ref.SHA256]
}

// Opened is how often something was opened.
func (f *Files) Opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}
