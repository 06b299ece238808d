// Package zipfile has the executors of flows that make and unpack zip files (flows 5.1, 5.3).
//
// It owns zip and unzip: what goes into an archive, under which names, where its files go, and which driver does it. It must not know how an archive is
// judged that nobody vouches for (package archive does), where the directories are that a task may use (package workdir does), or what a flow is.
package zipfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// The executors' ids: the names of the steps in flows.
const (
	ZipID   = "zip"
	UnzipID = "unzip"
)

// Reason is why a zip is skipped that found nothing to pack.
const Reason = "no_files"

// Kinds of errors.
const (
	KindArchive  = "archive"  // an archive holds what it may not, or is broken
	KindPassword = "password" // an archive does not open with the password
	KindFile     = "file_error"
)

// Config says what these executors may do on a worker.
type Config struct {
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// MaxBytes is how much the archives of a task may unpack to; a task may ask for less. 0: 10 GiB.
	MaxBytes int64
	// Command is what programs the drivers external and os may start: those of command_executor. Its zero value: none.
	Command command.Config
	// Archives are the drivers that the tasks of a pool may name, and must; nil, or a nil list: any, or none.
	Archives func(pool string) []string

	programs *programs.Guard
}

func (c *Config) setDefaults() {
	if c.Place == nil {
		c.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	if c.Archives == nil {
		c.Archives = func(string) []string { return nil }
	}
	c.MaxBytes = cmp.Or(c.MaxBytes, 10<<30)
	c.programs = programs.New(programs.Config{Allowed: c.Command.Whitelist, KeepEnv: c.Command.KeepEnv})
}

// connection is what a connection may say: how archives are made.
var connection = executors.Connection{Types: []string{"archive"}, Fields: []string{"driver", "encryption", "aes_strength", "zip_cmd", "unzip_cmd", "quiet"}}

// kinds are those of both executors.
var kinds = []executors.ErrorKind{
	{Word: KindFile, Text: "A file is missing, in the way or of a kind that is not packed, or the file system failed"},
	{Word: executors.KindExit, Text: "The program of the driver external or os ended with another code than 0, or by a signal"},
	{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
}

// Drivers, by the names that flows have for them.
const (
	driverPlain    = "zipfile"
	driverAES      = "pyzipper"
	driverExternal = "external"
	driverOS       = "os"
)

// setup is what says how archives are made and opened.
type setup struct {
	Driver     string       `json:"driver"`
	Encryption string       `json:"encryption"`
	Strength   *int         `json:"aes_strength"`
	Password   string       `json:"password"`
	ZipCmd     words        `json:"zip_cmd"`
	UnzipCmd   words        `json:"unzip_cmd"`
	Quiet      *inputs.Flag `json:"quiet"`

	given bool // a strength was
}

// check finds the driver. Without one, a password asks for AES.
func (s *setup) check(cfg *Config, pool string, fault func(string, ...any)) {
	s.given = s.Strength != nil
	if allowed := cfg.Archives(pool); allowed != nil {
		named := s.Driver
		if named == "aes" {
			named = driverAES
		}
		if !slices.Contains(allowed, named) {
			fault("driver: pools of the mode enterprise want a resource of the kind archive, with a driver of these: %s", strings.Join(allowed, ", "))
		}
	}
	switch s.Driver {
	case "", "archive":
		if s.Driver = driverPlain; s.Password != "" {
			s.Driver = driverAES
		}
	case driverPlain, driverAES:
	case driverExternal, driverOS:
		if !cfg.Command.Allow {
			fault("driver: %s runs programs, and commands are not allowed on this worker; TASKGROVE_COMMAND_ALLOW=true allows them", s.Driver)
		}
	case "aes":
		s.Driver = driverAES
	case "pyminizip":
		fault("driver: pyminizip is not supported: it encrypts by the old ZipCrypto alone, which protects nothing; use pyzipper")
	default:
		fault("driver: must be zipfile, pyzipper, external or os")
	}
	if s.Encryption != "" && !strings.EqualFold(s.Encryption, "aes") {
		fault("encryption: must be aes: nothing is encrypted by the old ZipCrypto, which protects nothing")
	}
	if s.Strength == nil {
		s.Strength = new(256)
	}
	if !slices.Contains([]int{128, 192, 256}, *s.Strength) {
		fault("aes_strength: must be 128, 192 or 256")
	}
	s.checkCommands(fault)
}

// fileError marks an error as one of files, if it has no kind of its own.
func fileError(err error) error {
	if err == nil || executors.KindOf(err) != "" {
		return err
	}
	return executors.WithKind(err, KindFile)
}

// shown is an error about an archive as users see it.
func shown(at workdir.Spot, field string, err error) error {
	bad, isBad := errors.AsType[*archive.Error](err)
	switch {
	case isBad:
		return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q: %w", field, at.Shown(), bad)), KindArchive)
	case errors.Is(err, archive.ErrPassword):
		return executors.WithKind(executors.Permanent(fmt.Errorf("password: %q: %w", at.Shown(), err)), KindPassword)
	case executors.KindOf(err) != "":
		return err
	}
	return fileError(at.Err(field, err))
}

// poured copies, unless ctx ends.
func poured(ctx context.Context, to io.Writer, from io.Reader) (int64, error) {
	return io.Copy(writer{to}, reader(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return from.Read(p)
	}))
}

// writeError is why a content could not be written, and not why it could not be read.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

type writer struct{ to io.Writer }

func (w writer) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// regular opens a plain file, for reading. Of a pipe it does not wait for the other end.
func regular(at workdir.Spot, field string) (*os.File, fs.FileInfo, error) {
	f, err := at.Root.OpenFile(at.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fileError(at.Err(field, err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, nil, executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q is no plain file", field, at.Shown())), KindFile)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fileError(at.Err(field, err))
	}
	return f, info, nil
}
