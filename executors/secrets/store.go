// Package secrets puts secrets and connections into the inputs of attempts, and keeps them out of all that attempts say.
//
// It owns where they come from, which pools may use them, which parts of inputs may name them, and the [Redactor]. It must not know what
// any executor does with them, or where inputs come from: the caller says which keys hold what the task was submitted with.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// What the names of variables begin with. The rest is the name of a secret or connection in upper case, with _ for each - and dot.
const (
	EnvSecret     = "TASKGROVE_SECRET_"
	EnvConnection = "TASKGROVE_CONNECTION_"
)

// maxBytes is how large a secret or connection may be.
const maxBytes = 1 << 20

// Config says where secrets and connections come from. The environment is one of the places in any case.
type Config struct {
	File string       // the worker's file (package workerfile); empty: none
	Dir  string       // a directory with a file for each secret; empty: none
	Log  *slog.Logger // gets what is wrong with later versions of the file; nil: nobody does
	// LookupEnv finds a variable; default [os.LookupEnv].
	LookupEnv func(name string) (string, bool)
}

// Store finds secrets and connections. It keeps none of them: each is looked up when a task names it, so that a new value counts at once.
// Safe for concurrent use.
type Store struct {
	cfg  Config
	file *workerfile.Source
	outside

	checked atomic.Pointer[workerfile.File] // the version that Check has seen
}

// New makes one. Its error tells all faults of the file, or that the directory can't be read.
func New(cfg Config) (*Store, error) {
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	s := &Store{cfg: cfg, file: workerfile.At(cfg.File), outside: outside{lookupEnv: cfg.LookupEnv}}
	if err := s.file.Load(cfg.Log); err != nil {
		return nil, fmt.Errorf("worker file: %w", err)
	}
	if cfg.Dir != "" {
		if info, err := os.Stat(cfg.Dir); err != nil {
			return nil, fmt.Errorf("directory of secrets: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("directory of secrets: %s is none", cfg.Dir)
		}
	}
	return s, nil
}

// Fault is why the worker's file as it is now does not count; nil: it does.
func (s *Store) Fault() error { return s.file.Fault() }

// Errors of lookups. Tasks are not told which of them it was, operators are.
var (
	errUnknown = errors.New("there is none of that name")
	errPool    = errors.New("its pools are others")
	errTaken   = errors.New("the worker's file gives its source another name, which has pools of its own")
)

// unreadable is a secret that the pool may have, and that can't be had now.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// secret finds a secret for tasks of a pool.
func (s *Store) secret(ctx context.Context, name, pool string) (string, error) {
	if !workerfile.ValidName(name) {
		return "", errUnknown
	}
	file := s.file.File()
	if entry, ok := file.Secrets[name]; ok && !in(entry.Pools, pool) {
		return "", errPool
	}
	return s.read(ctx, file, name)
}

// Operator finds a secret that the operator names, whatever its pools. The error says for operators why there is none.
func (s *Store) Operator(name string) (string, error) {
	return s.read(context.Background(), s.file.File(), name)
}

// in reports whether a pool is one of those; nil stands for all.
func in(pools []string, pool string) bool { return pools == nil || slices.Contains(pools, pool) }

// read finds a secret, whoever may have it.
func (s *Store) read(ctx context.Context, file *workerfile.File, name string) (value string, err error) {
	if !workerfile.ValidName(name) {
		return "", errUnknown
	}
	entry, named := file.Secrets[name]
	switch {
	case entry.Env != "":
		value, ok := s.cfg.LookupEnv(entry.Env)
		if !ok {
			return "", unreadable{fmt.Errorf("variable %s is not set", entry.Env)}
		}
		return usable(value)
	case entry.File != "":
		text, _, err := workerfile.ReadFile(entry.File, maxBytes)
		if err != nil {
			return "", unreadable{err}
		}
		return usable(trimmed(text))
	}
	if value, ok, err := s.given(ctx, file, name, &entry); ok {
		return value, err
	}
	variable := EnvSecret + canonical(name)
	if value, ok := s.cfg.LookupEnv(variable); ok && value != "" {
		if !named && s.envTaken(file, variable) {
			return "", errTaken
		}
		return usable(value)
	}
	value, err = s.fromDir(file, name, named)
	if errors.Is(err, errUnknown) {
		return s.chained(ctx, file, name)
	}
	return value, err
}

// fromDir finds a secret in the directory.
func (s *Store) fromDir(file *workerfile.File, name string, named bool) (string, error) {
	if s.cfg.Dir == "" {
		return "", errUnknown
	}
	text, info, err := readWithin(s.cfg.Dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errUnknown
	case !named && s.fileTaken(file, info):
		return "", errTaken
	case err != nil:
		return "", unreadable{err}
	}
	return usable(trimmed(text))
}

// readWithin reads a file of a directory. Links may lead to other places of the directory (as those of Kubernetes do), not out of it.
func readWithin(dir, name string) (text []byte, info fs.FileInfo, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	if info, err = root.Stat(name); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its other end
		return nil, info, fmt.Errorf("%s is not a file", filepath.Join(dir, name))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, info, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = fmt.Errorf("%s is larger than %d bytes", filepath.Join(dir, name), maxBytes)
	}
	return text, info, err
}

// envTaken reports whether a variable belongs to a secret that the file names: another name for it must not get round that one's pools.
func (s *Store) envTaken(file *workerfile.File, variable string) bool {
	for name, entry := range file.Secrets {
		if entry.Env == variable || !entry.Sourced() && EnvSecret+canonical(name) == variable {
			return true
		}
	}
	return false
}

// fileTaken is the same for a file of the directory.
func (s *Store) fileTaken(file *workerfile.File, info fs.FileInfo) bool {
	for name, entry := range file.Secrets {
		path := entry.File
		if !entry.Sourced() {
			path = filepath.Join(s.cfg.Dir, name)
		}
		if path == "" || info == nil {
			continue
		}
		if other, err := os.Stat(path); err == nil && os.SameFile(info, other) {
			return true
		}
	}
	return false
}

// canonical is a name as it stands in that of a variable.
func canonical(name string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// trimmed is what a file holds without the newline at its end, which editors add.
func trimmed(text []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
}

// usable refuses what can't stand in inputs, or is nothing.
func usable(value string) (string, error) {
	switch {
	case value == "":
		return "", unreadable{errors.New("it is empty")}
	case len(value) > maxBytes:
		return "", unreadable{fmt.Errorf("it is larger than %d bytes", maxBytes)}
	case !utf8.ValidString(value):
		return "", unreadable{errors.New("it is not text in UTF-8")}
	}
	return value, nil
}

// Lacks says why tasks of a pool can't have a secret; nil: they can. It asks for the value, and keeps nothing of it.
func (s *Store) Lacks(ctx context.Context, name, pool string) error {
	_, err := s.secret(ctx, name, pool)
	return err
}
