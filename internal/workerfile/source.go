package workerfile

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often a file is looked at, at most: a stat of a few microseconds.
const lookEvery = time.Second

// Source is a worker's file, read again when it has changed. A version with faults changes nothing: the one before stays. Safe for
// concurrent use. A nil *Source is one without a file.
type Source struct {
	path string
	log  atomic.Pointer[slog.Logger]

	current atomic.Pointer[File]
	looked  atomic.Int64 // when, by time.Now().UnixNano

	mu    sync.Mutex
	seen  os.FileInfo // of the version that was read last, good or not
	fault error       // of that version
}

// At is the source of a path, which is read at first use; empty: no file.
func At(path string) *Source { return &Source{path: path} }

// empty is what no file says.
var empty = &File{}

// Path is where the file is; empty: there is none.
func (s *Source) Path() string {
	if s == nil {
		return ""
	}
	return s.path
}

// Load reads the file for the first time. A worker does so before it starts, and does not start with an error. log, which may be nil, gets
// what is wrong with later versions.
func (s *Source) Load(log *slog.Logger) error {
	if s.Path() == "" {
		return nil
	}
	s.log.Store(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != nil {
		return nil
	}
	s.read()
	return s.fault
}

// File is what the file says: its newest version without faults; empty if there is none.
func (s *Source) File() *File {
	if s.Path() == "" {
		return empty
	}
	now := time.Now().UnixNano()
	if last := s.looked.Load(); now-last >= int64(lookEvery) && s.looked.CompareAndSwap(last, now) {
		s.look()
	}
	if f := s.current.Load(); f != nil {
		return f
	}
	return empty
}

// Fault is why the file as it is now does not count; nil: it does.
func (s *Source) Fault() error {
	if s.Path() == "" {
		return nil
	}
	s.File()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// look reads the file if it is another than before.
func (s *Source) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, err := os.Stat(s.path); err == nil && s.seen != nil && Same(info, s.seen) {
		return
	}
	before := s.fault
	s.read()
	log := s.log.Load()
	switch {
	case log == nil: // another source of the same file says it
	case s.fault == nil:
		log.Info("the worker's file was read", "file", s.path)
	case before == nil || before.Error() != s.fault.Error():
		log.Error("the worker's file does not count: the version before it stays", "file", s.path, "error", s.fault)
	}
}

// read reads the file as it is. The caller holds mu.
func (s *Source) read() {
	s.looked.Store(time.Now().UnixNano())
	text, info, err := ReadFile(s.path, MaxBytes)
	s.seen, s.fault = info, err
	if err != nil {
		return
	}
	file, err := Parse(s.path, text)
	if s.fault = err; err == nil {
		s.current.Store(file)
	}
}

// Same reports whether two looks at a file saw the same version of it.
func Same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// ReadFile reads a regular file of so many bytes at most, and what was known of it when it was opened.
func ReadFile(path string, most int64) (text []byte, info os.FileInfo, err error) {
	if info, err = os.Stat(path); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its other end
		return nil, info, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()                       //nolint:errcheck // it was only read
	if info, err = f.Stat(); err != nil { // a link may lead elsewhere since
		return nil, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, info, err
	case int64(len(text)) > most:
		return nil, info, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return text, info, nil
}
