// Package bundleplugin runs steps of flows by programs that lie in the bundle of their run.
//
// It owns which of them may run, that a program is the one that was described when the flow was compiled, and where it finds what lies beside it. It must not know
// how a program is spoken to (package external does), where a bundle comes from (package bundle does), or what a flow is: it reads the task's params.
package bundleplugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// ID is the executor's id.
const ID = "bundle_plugin"

// KindPlugin is the kind of errors about a plugin that can't be run as it is.
const KindPlugin = "plugin"

// maxBytes is how large a program may be.
const maxBytes = 256 << 20

// maxDescription is how many bytes are read of what a plugin says of itself; those that read it know how large it may be.
const maxDescription = 1 << 20

// Config says what may run on a worker.
type Config struct {
	// Refused says why the tasks of a pool may not be run by plugins of bundles; empty: they may. nil: none may.
	Refused func(pool string) string
	// Pools are those whose tasks may be; nil: none.
	Pools func() []string
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// Grace is how long a program may go on once it is told to stop; 0: as other executors that are programs.
	Grace time.Duration
	Log   *slog.Logger // default: nowhere
}

// Executor is bundle_plugin. Safe for concurrent use.
type Executor struct {
	cfg     Config
	checker *inputs.Checker
}

// New makes one.
func New(cfg Config) *Executor {
	if cfg.Refused == nil {
		cfg.Refused = func(string) string { return "no pool of this worker allows them" }
	}
	if cfg.Pools == nil {
		cfg.Pools = func() []string { return nil }
	}
	if cfg.Place == nil {
		cfg.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	return &Executor{cfg, inputs.NewChecker(0)}
}

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Plugin of a bundle", Type: "bundle",
		Description: "Runs a step of a flow by a program of the flow's bundle, where the pool allows it",
		Tags:        []string{"process", "flows"},
		Inputs:      json.RawMessage(`{"type": "object"}`),
		Kinds: []executors.ErrorKind{
			{Word: KindPlugin, Text: "The pool does not allow plugins of bundles, the program is not the one that the flow was compiled with, or it does not run as an executor"},
			{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
		},
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.PerCore(),
		Examples: []executors.Example{{
			Title:  "A step of a plugin, as flows compile it",
			Inputs: json.RawMessage(`{"text": "to be or not to be"}`),
			Params: json.RawMessage(`{"plugin": {"id": "count_words", "path": "plugins/count_words.py", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}`),
		}},
	}
}

// Check implements [executors.Checker]: this program must be able to run as the guardian of others.
func (e *Executor) Check(ctx context.Context) error {
	if e.Disabled() != "" {
		return nil
	}
	return guardian.Check(ctx)
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string {
	if len(e.cfg.Pools()) > 0 {
		return ""
	}
	return "no pool of this worker allows plugins of bundles: bundle_plugins of a pool in its file does"
}

// plugin is what the params of a task say of the program.
type plugin struct {
	ID     string `json:"id"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

var idRule = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func refused(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf(format, args...)), KindPlugin)
}

func read(params json.RawMessage) (*plugin, error) {
	var in struct{ Plugin *plugin }
	if err := json.Unmarshal(params, &in); err != nil || in.Plugin == nil {
		return nil, refused("params.plugin must name a plugin: steps of flows have it, whose type is one of their bundle")
	}
	p := in.Plugin
	digest, err := hex.DecodeString(p.SHA256)
	if err != nil || len(digest) != sha256.Size || !idRule.MatchString(p.ID) || bundle.BadPath(p.Path) != "" {
		return nil, refused("params.plugin must have the id, path and sha256 of a plugin")
	}
	return p, nil
}

// task is what the params of a call say, if it may run here.
func (e *Executor) task(call *executors.Call) (*plugin, error) {
	if why := e.cfg.Refused(call.Pool); why != "" {
		return nil, refused("plugins of bundles don't run in the pool %s: %s", call.Pool, why)
	}
	p, err := read(call.Params)
	if err == nil && call.Bundle == nil {
		err = refused("the run has no bundle, whose plugin %s it is to run", p.Path)
	}
	return p, err
}

// Delegate implements [executors.Delegator]: what lies beside the program says what it takes. The bundle's version, and so the file, is the one that the flow was compiled
// with. Without one, a plugin takes no connections.
func (e *Executor) Delegate(call *executors.Call) (executors.Description, error) {
	p, err := e.task(call)
	if err != nil {
		return executors.Description{}, err
	}
	root, err := os.OpenRoot(call.Bundle.Dir)
	if err != nil {
		return executors.Description{}, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	d := executors.Description{ID: p.ID}
	in, err := plain(root, p.Path+".json")
	switch {
	case errors.Is(err, errAbsent):
	case err != nil:
		return executors.Description{}, err
	default:
		defer in.Close() //nolint:errcheck // likewise
		text, err := io.ReadAll(io.LimitReader(in, maxDescription+1))
		if err != nil {
			return executors.Description{}, err
		}
		said, err := protocol.ReadDescription(text)
		if err != nil {
			return executors.Description{}, refused("%s.json can't be used: %w", p.Path, err)
		}
		d = said.Executor()
	}
	d.Secrets = true // whatever runs here may be given some
	return d, nil
}

// Run implements [executors.Executor]. When it returns, nothing is left of what the program has started.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	p, err := e.task(call)
	if err != nil {
		return nil, err
	}
	w, err := workdir.OpenWorkspace(ctx, call, e.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Restore(ctx); err != nil {
		return nil, err
	}
	out, err := e.run(ctx, call, p, w)
	if err == nil && (out.Kind() == executors.KindCompleted || out.Kind() == executors.KindSkipped) {
		var kept any
		if kept, err = w.Keep(ctx, out.Value()); err == nil && out.Kind() == executors.KindSkipped {
			return executors.Skip(out.Reason(), kept), nil
		} else if err == nil {
			return executors.Completed(kept), nil
		}
	}
	return out, executors.Ended(ctx, err)
}

// run starts the program, for this attempt alone, and has it do the work.
func (e *Executor) run(ctx context.Context, call *executors.Call, p *plugin, w *workdir.Workspace) (*executors.Outcome, error) {
	dir, err := w.Scratch("plugin")
	if err != nil {
		return nil, err
	}
	program, err := lay(dir, call.Bundle.Dir, p)
	if err != nil {
		return nil, err
	}
	env := map[string]string{"TASKGROVE_BUNDLE_DIR": call.Bundle.Dir}
	for _, v := range call.Environ() {
		env[v.Name] = v.Value
	}
	for name, value := range w.Env {
		env[name] = value
	}
	opened := external.Open(ctx, external.Config{Programs: []workerfile.Executor{{Command: []string{program}, ID: p.ID, Dir: w.Dir(), Env: env, KeepAlive: new(bool)}}, Grace: e.cfg.Grace, Log: e.cfg.Log})[0].(*external.Executor)
	defer opened.Close() //nolint:errcheck // it has no container
	switch off := opened.Disabled(); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case off != "":
		return nil, refused("%s", strings.ReplaceAll(off, program, p.Path))
	}
	d := opened.Describe()
	given := *call
	given.Inputs = w.Inputs
	if err := e.checker.Check(d, &given); err != nil {
		return nil, executors.Permanent(err)
	}
	return opened.Run(ctx, &given)
}

// lay puts a program of a bundle into a directory, if it is the one that it should be, with links to what lies beside it in the bundle, and gives its path there.
func lay(dir, from string, p *plugin) (program string, err error) {
	root, err := os.OpenRoot(from)
	if err != nil {
		return "", err
	}
	defer root.Close() //nolint:errcheck // it was only read
	in, err := plain(root, p.Path)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // it was only read
	program = filepath.Join(dir, path.Base(p.Path))
	if err := copied(program, in, p); err != nil {
		return "", err
	}
	beside, err := fs.ReadDir(root.FS(), path.Dir(p.Path))
	if err != nil {
		return "", err
	}
	for _, one := range beside {
		if one.Name() == path.Base(p.Path) {
			continue
		}
		if err := os.Symlink(filepath.Join(from, filepath.FromSlash(path.Dir(p.Path)), one.Name()), filepath.Join(dir, one.Name())); err != nil {
			return "", err
		}
	}
	return program, nil
}

var errAbsent = errors.New("is not in the bundle")

// plain opens a file of a bundle that is neither a link nor anything else than a file.
func plain(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refused("%s %w", name, errAbsent)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refused("%s is no plain file", name)
	}
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// copied makes a program that can be executed of a file, if its content is the right one. What is checked is what runs.
func copied(program string, in io.Reader, p *plugin) error {
	syscall.ForkLock.RLock() // a process that began meanwhile would have the file open, and a file that is written can't be executed
	defer syscall.ForkLock.RUnlock()
	out, err := os.OpenFile(program, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return err
	}
	sum, head := sha256.New(), &head{}
	n, err := io.Copy(io.MultiWriter(out, sum, head), io.LimitReader(in, maxBytes+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	switch digest := hex.EncodeToString(sum.Sum(nil)); {
	case n > maxBytes:
		return refused("%s is larger than %d bytes", p.Path, maxBytes)
	case digest != p.SHA256:
		return refused("%s has the sha256 %s, and the flow was compiled with %s", p.Path, digest, p.SHA256)
	case !strings.HasPrefix(head.text, "#!") && !strings.HasPrefix(head.text, "\x7fELF"):
		return refused("%s is no program: it must begin with #! and an interpreter, or be one for this system", p.Path)
	}
	return nil
}

// head keeps what a file begins with.
type head struct{ text string }

func (h *head) Write(p []byte) (int, error) {
	h.text += string(p[:min(len(p), 4-len(h.text))])
	return len(p), nil
}
