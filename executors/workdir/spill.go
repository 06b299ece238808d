package workdir

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
)

// Spill is an output that goes into a file when it exceeds what an [executors.Output] keeps of it, so that it can become an artifact. Safe for
// concurrent use.
type Spill struct {
	*executors.Output
	max int // bytes that Output keeps
	dir string

	mu   sync.Mutex
	n    int64
	most int64
	file *os.File // nil: nothing has been spilled
	lost bool     // over the bound of artifacts, or the file could not be written
}

// NewSpill is an output of a call whose large outputs become artifacts: of others, it is what out is. out keeps max bytes; files are made in dir.
func NewSpill(call *executors.Call, out *executors.Output, max int, dir string) *Spill {
	if max <= 0 {
		max = executors.DefaultOutputBytes
	}
	s := &Spill{Output: out, max: max, dir: dir, lost: true}
	if call.KeepOutputs && call.Files != nil {
		s.lost, s.most = false, call.Files.MaxOutput()
	}
	return s
}

// Write never fails.
func (s *Spill) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lost && s.n+int64(len(p)) > int64(s.max) {
		s.spill(p)
	}
	s.n += int64(len(p))
	return s.Output.Write(p)
}

func (s *Spill) spill(p []byte) {
	var err error
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.dir, "taskgrove-output-"); err == nil {
			_ = os.Remove(s.file.Name()) // it is reached by its handle, and gone with it
			_, err = s.file.Write(s.Bytes())
		}
	}
	if err == nil && s.n+int64(len(p)) > s.most {
		err = errors.New("over the bound")
	}
	if err == nil {
		_, err = s.file.Write(p)
	}
	if err != nil {
		s.drop()
	}
}

// drop lets go of the file.
func (s *Spill) drop() {
	s.lost = true
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// Save makes an artifact of an output that exceeded its bound, and lets go of the file. nil: it did not, or it can only be cut; [executors.Output] tells.
func (s *Spill) Save(ctx context.Context, call *executors.Call, name, mediaType string) (*executors.FileRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil, nil
	}
	defer s.drop()
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	ref, err := call.Files.Save(ctx, executors.SavedFile{Name: name, MediaType: mediaType, Size: s.n, Output: true}, s.file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &ref, nil
}

// Discard lets go of the file. It does nothing after Save.
func (s *Spill) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

// Kept is an output that a result shows.
type Kept struct {
	Name   string // of the artifact, and of the result's member
	Output *Spill
	Beside []string // further members that say how it is shown
	Type   string   // media type; empty: text/plain
}

// Keep makes artifacts of outputs that exceeded their bounds, where the task keeps them: the result has references in their places then. Otherwise it is
// the result as it was.
func Keep(ctx context.Context, call *executors.Call, result any, outputs ...Kept) (any, error) {
	refs := map[string]*executors.FileRef{}
	cut := false
	for _, o := range outputs {
		ref, err := o.Output.Save(ctx, call, o.Name, cmp.Or(o.Type, "text/plain"))
		if err != nil {
			return nil, err
		}
		if ref != nil {
			refs[o.Name] = ref
		}
		cut = cut || ref == nil && o.Output.Truncated()
	}
	if len(refs) == 0 {
		return result, nil
	}
	var shown map[string]any
	var out bytes.Buffer
	encoder, decoder := json.NewEncoder(&out), json.NewDecoder(&out)
	encoder.SetEscapeHTML(false)
	decoder.UseNumber()
	if err := errors.Join(encoder.Encode(result), decoder.Decode(&shown)); err != nil {
		return nil, err
	}
	for _, o := range outputs {
		if ref := refs[o.Name]; ref != nil {
			shown[o.Name] = ref
			for _, beside := range o.Beside {
				delete(shown, beside)
			}
		}
	}
	if !cut {
		delete(shown, "truncated")
	}
	fields, _ := shown["truncated_fields"].([]any)
	fields = slices.DeleteFunc(fields, func(name any) bool { text, _ := name.(string); return refs[text] != nil })
	if shown["truncated_fields"] = fields; len(fields) == 0 {
		delete(shown, "truncated_fields")
	}
	return shown, nil
}
