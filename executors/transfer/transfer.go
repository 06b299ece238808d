// Package transfer has what the steps of flows do that list, download, delete and upload files of another host, whatever is spoken with it (flows 5.3).
//
// It owns these steps: their inputs but for where to go, their results, what is sent once alone, and how each file appears whole or not at all. It must not
// know any protocol, or who may go where.
package transfer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// KindFile is the kind of errors of files, here or on the server.
const KindFile = "file_error"

// Reason is why a task is skipped that found too few files.
const Reason = "no_files"

// Protocol is what is spoken with servers.
type Protocol interface {
	// Name is what the ids of the steps begin with.
	Name() string
	// Connection says what inputs a connection may set.
	Connection() *executors.Connection
	// Fields are the schemas of these inputs, as members of an object's properties.
	Fields() string
	// Target reads where to go, and tells what is wrong with that, a sentence each.
	Target(id string, call *executors.Call) (Target, []string, error)
}

// Target is a server that nothing is connected to yet.
type Target interface {
	// Open connects. What it gives ends with ctx, or with done.
	Open(ctx context.Context) (s Server, done func(), err error)
	// Timeout is how long the server may take for any one answer.
	Timeout() time.Duration
	// Clean is a path of the server as it is used, with slashes; the error says why it is none.
	Clean(name string) (string, error)
}

// Caseless is a target whose servers take names for the same that differ in upper and lower case alone.
type Caseless interface{ Caseless() }

// Server is where files lie. Names have slashes. Its methods may be called by several goroutines.
type Server interface {
	// ReadDir gives what is in a directory, of which links are not followed.
	ReadDir(name string) ([]fs.FileInfo, error)
	// Stat follows links.
	Stat(name string) (fs.FileInfo, error)
	// Open opens a plain file, and says how long it is.
	Open(name string) (content io.ReadCloser, size int64, err error)
	// Create makes a file, or empties it.
	Create(name string) (io.WriteCloser, error)
	// Replace gives a file another name, in the place of what has it.
	Replace(from, to string) error
	// Remove removes a file, or a directory that is empty.
	Remove(name string) error
	// MkdirAll makes a directory and those above it, if they are not there.
	MkdirAll(name string) error
}

// Config says what the steps may do on a worker.
type Config struct {
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// MaxBytes is how much an attempt may download. 0: 10 GiB.
	MaxBytes int64
}

// Bounds of a step.
const (
	maxListed  = 10_000  // files that a step gives, or takes
	maxLooked  = 100_000 // entries that it looks at
	maxDepth   = 64
	maxSent    = 4000 // files that are uploaded; each is named in the checkpoint
	maxWorkers = 32
	maxPath    = 4096
)

// Step is an executor of this package.
type Step struct {
	cfg  Config
	p    Protocol
	does *doing
}

// doing is what a step does.
type doing struct {
	name, title, text string
	inputs            string // schema of its own inputs, members of properties
	required          []string
	output            json.RawMessage
	examples          []executors.Example
	read              func(a *attempt, faults func(string, ...any)) error
	local             func(a *attempt) error // what is looked at here, before anything is done there
	run               func(a *attempt, s Server) (result any, skip bool, err error)
	demo              func(in *input) any
}

// Steps are the four steps of a protocol: list, download, delete, upload.
func Steps(cfg Config, p Protocol) []*Step {
	if cfg.Place == nil {
		cfg.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 10<<30)
	var all []*Step
	for _, does := range []*doing{listing, downloading, deleting, uploading} {
		all = append(all, &Step{cfg, p, does})
	}
	return all
}

// ID is the step's id.
func (s *Step) ID() string { return s.p.Name() + "_" + s.does.name }

// Describe implements [executors.Executor].
func (s *Step) Describe() executors.Description {
	required := slices.Clone(s.does.required)
	fields := s.does.inputs
	if s.p.Name() == "smb" && s.does == uploading {
		required[0] = "local_files"
	}
	names, _ := json.Marshal(required) // texts
	examples := slices.Clone(s.does.examples)
	for i := range examples {
		examples[i].Inputs = json.RawMessage(strings.Replace(string(examples[i].Inputs), "{", `{"connection": "`+s.p.Name()+`-partner", `, 1))
		if required[0] == "local_files" {
			examples[i].Inputs = json.RawMessage(strings.Replace(string(examples[i].Inputs), `"items"`, `"local_files"`, 1))
		}
	}
	return executors.Description{
		ID: s.ID(), Name: strings.ToUpper(s.p.Name()) + " " + s.does.title, Type: s.p.Name(), Description: s.does.text,
		Tags:   []string{"files", s.p.Name(), "flows"},
		Inputs: json.RawMessage("{\"type\": \"object\", \"properties\": {" + fields + ",\n" + s.p.Fields() + "},\n \"required\": " + string(names) + "}"),
		Output: s.does.output,
		Kinds: []executors.ErrorKind{
			{Word: executors.KindConnect, Text: "The server can't be reached, does not let the user in, or the connection broke"},
			{Word: executors.KindTimeout, Text: "The server did not answer for as long as `timeout` says"},
			{Word: KindFile, Text: "A file is missing, in the way or may not be used, here or on the server"},
			{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
		},
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.Waiting, Connection: s.p.Connection(), Examples: examples,
	}
}

// Demo implements [executors.Demonstrator].
func (s *Step) Demo(call *executors.Call) (result any, takes time.Duration) {
	in := &input{}
	_ = json.Unmarshal(call.Inputs, in) // a demonstration fails for nothing
	return s.does.demo(in), 200 * time.Millisecond
}

// input are the inputs of all steps, but for where to go.
type input struct {
	RemoteDir string          `json:"remote_dir"`
	Pattern   string          `json:"pattern"`
	Recursive *inputs.Flag    `json:"recursive"`
	MinCount  *inputs.Integer `json:"min_count"`
	Files     inputs.List     `json:"files"`
	Dest      string          `json:"dest_dir"`
	Items     inputs.List     `json:"items"`
	Local     inputs.List     `json:"local_files"`
	Parallel  *struct {
		Enabled  *inputs.Flag    `json:"enabled"`
		Workers  *inputs.Integer `json:"workers"`
		FailFast *inputs.Flag    `json:"fail_fast"`
	} `json:"parallelism"`
}

// attempt is one attempt of a step.
type attempt struct {
	step   *Step
	ctx    context.Context
	call   *executors.Call
	in     *input
	w      *workdir.Workspace
	target Target
	beat   func() // tells that the server has answered

	remote  string // the directory on the server
	files   []remoteFile
	dest    workdir.Spot
	uploads []upload
	sent    *sentItems
}

// Run implements [executors.Executor].
func (s *Step) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	w, err := workdir.OpenWorkspace(ctx, call, s.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	with := *call
	with.Inputs = w.Inputs
	a := &attempt{step: s, call: &with, in: &input{}, w: w}
	if err := a.read(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ended, watch := context.WithCancelCause(ctx)
	defer watch(nil)
	limit := a.target.Timeout()
	idle := time.AfterFunc(limit, func() {
		watch(executors.WithKind(fmt.Errorf("the server did not answer for %v", limit), executors.KindTimeout))
	})
	defer idle.Stop()
	a.ctx, a.beat = ended, func() { idle.Reset(limit) }
	result, skip, err := a.do()
	if err != nil {
		return nil, executors.Ended(ended, err)
	}
	kept, err := w.Keep(ctx, result)
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	if skip {
		return executors.Skip(Reason, kept), nil
	}
	return executors.Completed(kept), nil
}

// read reads the inputs and tells all that is wrong with them.
func (a *attempt) read() error {
	id := a.step.ID()
	if err := inputs.Decode(id, a.call, a.in); err != nil {
		return err
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	target, wrong, err := a.step.p.Target(id, a.call)
	if err != nil {
		return err
	}
	a.target = target
	if err := a.step.does.read(a, fault); err != nil {
		return err
	}
	if faults = append(faults, wrong...); len(faults) > 0 {
		return executors.Invalid(id, strings.Join(faults, "; "))
	}
	return a.step.does.local(a)
}

func (a *attempt) do() (result any, skip bool, err error) {
	s, done, err := a.target.Open(a.ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	a.beat()
	return a.step.does.run(a, s)
}

// clean is a path on the server, of an input.
func (a *attempt) clean(field, name string, fault func(string, ...any)) string {
	switch {
	case strings.TrimSpace(name) == "":
		fault("%s is required in inputs", field)
	case len(name) > maxPath || strings.ContainsRune(name, 0):
		fault("%s: is no path: it has a NUL, or more than %d bytes", field, maxPath)
	case a.target != nil:
		at, err := a.target.Clean(name)
		if err != nil {
			fault("%s: %v", field, err)
		}
		return at
	}
	return name
}

// there is an error of a file on the server, as users see it.
func (a *attempt) there(doing, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case a.ctx.Err() != nil:
		return context.Cause(a.ctx)
	case executors.KindOf(err) != "":
		return err
	}
	told := executors.WithKind(fmt.Errorf("%s %q on the server: %w", doing, name, err), KindFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) {
		return executors.Permanent(told)
	}
	return told
}

func permanent(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf(format, args...)), KindFile)
}

func fileError(err error) error {
	if err == nil || executors.KindOf(err) != "" {
		return err
	}
	return executors.WithKind(err, KindFile)
}

// each does something for n things, by several workers at once. Without fail_fast all are tried, and the error names those that failed.
func (a *attempt) each(n int, what func(i int) error) error {
	workers, enabled, fast := int64(8), true, true
	if p := a.in.Parallel; p != nil {
		workers, enabled, fast = p.Workers.Or(8), p.Enabled.Or(true), p.FailFast.Or(true)
	}
	if !enabled {
		workers = 1
	}
	var mu sync.Mutex
	done := 0
	var failed []error
	group, stopped := errgroup.WithContext(a.ctx)
	group.SetLimit(int(workers))
	for i := range n {
		if stopped.Err() != nil {
			break
		}
		group.Go(func() error {
			if stopped.Err() != nil {
				return nil // why, another has said
			}
			err := what(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
				a.call.Reporter.Progress(float64(done)/float64(n), fmt.Sprintf("%d of %d files", done, n))
				return nil
			}
			failed = append(failed, err)
			if fast {
				return err
			}
			return nil
		})
	}
	_ = group.Wait() // what it says is in failed
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return joined(failed)
}

// joined is one error of several. It may be retried if any of them may be.
func joined(all []error) error {
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(x, y error) int { // one that may be retried first: its kind and its nature count
		return cmp.Compare(rank(x), rank(y))
	})
	if len(all) == 1 {
		return all[0]
	}
	const shown = 5
	var texts []string
	for _, err := range all[1:min(len(all), shown)] {
		texts = append(texts, err.Error())
	}
	if len(all) > shown {
		texts = append(texts, fmt.Sprintf("and %d more", len(all)-shown))
	}
	return fmt.Errorf("%w; %s", all[0], strings.Join(texts, "; "))
}

func rank(err error) int {
	if executors.IsPermanent(err) {
		return 1
	}
	return 0
}

func (a *attempt) readParallel(fault func(string, ...any)) {
	if p := a.in.Parallel; p != nil {
		if n := p.Workers.Or(8); n < 1 || n > maxWorkers {
			fault("parallelism.workers: must be from 1 to %d", maxWorkers)
		}
	}
}

// remoteFile is a file on the server, as lists have it.
type remoteFile struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Rel   string `json:"rel_path"`
	IsDir bool   `json:"is_dir"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"`
}

// readFiles reads the files that a step is told of: paths, or what a list has.
func (a *attempt) readFiles(fault func(string, ...any)) {
	if a.in.Files == nil {
		fault("files is required in inputs")
	}
	if len(a.in.Files) > maxListed {
		fault("files: more than %d", maxListed)
		return
	}
	for i, raw := range a.in.Files {
		field := fmt.Sprintf("files[%d]", i)
		var f remoteFile
		if raw[0] == '"' {
			_ = json.Unmarshal(raw, &f.Path)
		} else if raw[0] != '{' || json.Unmarshal(raw, &f) != nil {
			fault("%s: must be a path, or an object as lists of files have it", field)
			continue
		}
		if f.IsDir {
			fault("%s: is a directory", field)
		}
		before := f.Path
		f.Path = a.clean(field+".path", f.Path, fault)
		if f.Rel == "" {
			f.Rel = path.Base(strings.ReplaceAll(before, `\`, "/"))
		}
		a.files = append(a.files, f)
	}
}
