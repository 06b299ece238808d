package workdir

import (
	"context"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/executors"
)

// Scratch is a directory that is made when it is needed, and gone with its attempt.
type Scratch struct {
	base string
	dir  string
}

// NewScratch makes its directory below base; empty: below the system's directory for temporary files.
func NewScratch(base string) *Scratch { return &Scratch{base: base} }

// Dir is a directory in it, which is there afterwards.
func (s *Scratch) Dir(name string) (string, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.base, "taskgrove-work-")
		if err != nil {
			return "", err
		}
		s.dir = dir
	}
	dir := filepath.Join(s.dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Remove removes what is there.
func (s *Scratch) Remove() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
		s.dir = ""
	}
}

// Open fetches an artifact whole into a file of a scratch directory, compares it with its digest, and opens it.
func Open(ctx context.Context, call *executors.Call, ref executors.FileRef, scratch *Scratch) (*os.File, error) {
	dir, err := scratch.Dir("open")
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, ref.SHA256)
	if f, err := os.Open(name); err == nil { // it was fetched before
		return f, nil
	}
	if err := Fetch(ctx, call, ref, name); err != nil {
		return nil, err
	}
	return os.Open(name)
}
