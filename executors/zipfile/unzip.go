package zipfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Unzip is the executor unzip.
type Unzip struct{ cfg Config }

// NewUnzip makes one.
func NewUnzip(cfg Config) *Unzip {
	cfg.setDefaults()
	return &Unzip{cfg}
}

// Describe implements [executors.Executor].
func (*Unzip) Describe() executors.Description {
	return executors.Description{
		ID: UnzipID, Name: "Unzip", Type: "archive",
		Description: "Unpacks zip files, and refuses what would leave its directory or fill the disk",
		Tags:        []string{"files", "flows"},
		Inputs:      unzipInputs, Output: unzipOutput,
		Kinds: slices.Concat(kinds, []executors.ErrorKind{
			{Word: KindArchive, Text: "An archive is broken, or holds what it may not: a name that leads elsewhere or is there twice, a link, a device, more than the bounds allow"},
			{Word: KindPassword, Text: "An archive does not open with the password"},
		}),
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.PerCore(), Connection: &connection, Examples: unzipExamples,
	}
}

// Demo implements [executors.Demonstrator].
func (*Unzip) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in struct {
		Archives inputs.List `json:"archives"`
		Dest     string      `json:"dest_dir"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	names, _ := in.Archives.Texts()
	return &Unpacked{Unzipped: names, Dest: in.Dest, Count: len(names)}, 100 * time.Millisecond
}

// Unpacked is what unzip has unpacked.
type Unpacked struct {
	Unzipped []string `json:"unzipped"`
	Dest     string   `json:"dest_dir"`
	Count    int      `json:"count"`
}

type unzipInput struct {
	setup
	Archives  inputs.List     `json:"archives"`
	Dest      string          `json:"dest_dir"`
	Source    string          `json:"src_dir"`
	Overwrite *inputs.Flag    `json:"overwrite"`
	Members   inputs.List     `json:"members"`
	Private   *inputs.Flag    `json:"private_zip_folder"`
	MaxFiles  *inputs.Integer `json:"max_files"`
	MaxBytes  *inputs.Integer `json:"max_bytes"`
	MaxRatio  *inputs.Integer `json:"max_ratio"`

	archives, members []string
}

// maxName is how many bytes a name in an archive may have.
const maxName = 1024

func (e *Unzip) read(call *executors.Call) (*unzipInput, error) {
	in := &unzipInput{}
	if err := inputs.Decode(UnzipID, call, in); err != nil {
		return nil, err
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if in.Archives == nil {
		fault("archives is required in inputs")
	}
	if strings.TrimSpace(in.Dest) == "" {
		fault("dest_dir is required in inputs")
	}
	in.setup.check(&e.cfg, call.Pool, fault)
	var err error
	if in.archives, err = in.Archives.Texts(); err != nil {
		fault("archives%v", err)
	}
	if in.members, err = in.Members.Texts(); err != nil {
		fault("members%v", err)
	}
	if len(in.members) > 0 && in.Driver == driverExternal {
		fault("members: the driver external unpacks all")
	}
	for i, name := range in.members {
		if _, err := path.Match(strings.ReplaceAll(name, "**", "*"), ""); err != nil {
			fault("members[%d]: is no pattern", i)
		}
	}
	for _, n := range []struct {
		field string
		value int64
		most  int64
	}{
		{"max_files", in.MaxFiles.Or(10_000), 1_000_000},
		{"max_bytes", in.MaxBytes.Or(min(1<<30, e.cfg.MaxBytes)), e.cfg.MaxBytes},
		{"max_ratio", in.MaxRatio.Or(200), 100_000},
	} {
		if n.value < 1 || n.value > n.most {
			fault("%s: must be from 1 to %d", n.field, n.most)
		}
	}
	if len(faults) > 0 {
		return nil, invalid(UnzipID, faults)
	}
	return in, nil
}

// Run implements [executors.Executor]. An archive that turns out to be bad leaves nothing in its place.
func (e *Unzip) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	w, err := workdir.OpenWorkspace(ctx, call, e.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	with := *call
	with.Inputs = w.Inputs
	in, err := e.read(&with)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	u := &unpacking{cfg: &e.cfg, ctx: ctx, call: call, in: in, w: w, left: archive.Limits{
		Entries: int(in.MaxFiles.Or(10_000)), Bytes: in.MaxBytes.Or(min(1<<30, e.cfg.MaxBytes)), Ratio: int(in.MaxRatio.Or(200)), Name: maxName}}
	result, err := u.run()
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	kept, err := w.Keep(ctx, result)
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	return executors.Completed(kept), nil
}

// unpacking is one attempt of unzip.
type unpacking struct {
	cfg  *Config
	ctx  context.Context
	call *executors.Call
	in   *unzipInput
	w    *workdir.Workspace

	source, dest workdir.Spot
	left         archive.Limits // that all archives share, but for the ratio
}

func (u *unpacking) run() (*Unpacked, error) {
	var err error
	if u.source, err = u.w.At("src_dir", orDot(u.in.Source)); err != nil {
		return nil, err
	}
	if u.dest, err = u.w.At("dest_dir", u.in.Dest); err != nil {
		return nil, err
	}
	if err := u.dest.Writable("dest_dir"); err != nil {
		return nil, err
	}
	result := &Unpacked{Unzipped: []string{}, Dest: u.dest.Shown()}
	for i, name := range u.in.archives {
		field := fmt.Sprintf("archives[%d]", i)
		at, err := u.archive(field, name)
		if err != nil {
			return nil, err
		}
		n, err := u.unpack(field, at)
		if err != nil {
			return nil, err
		}
		result.Unzipped = append(result.Unzipped, at.Shown())
		result.Count += n
		u.call.Reporter.Progress(float64(i+1)/float64(len(u.in.archives)), "unpacked "+at.Shown())
	}
	return result, nil
}

// archive finds an archive: a relative path is below src_dir.
func (u *unpacking) archive(field, name string) (workdir.Spot, error) {
	if filepath.IsAbs(name) {
		return u.w.At(field, name)
	}
	at, err := u.w.At(field, name) // which says what is wrong with it
	if err != nil || u.source.Name == "." && u.source.Root == u.w.Root() {
		return at, err
	}
	return u.source.Below(filepath.Clean(name)), nil
}

// place is where an archive is unpacked: below dest_dir as it lies below src_dir.
func (u *unpacking) place(at workdir.Spot) workdir.Spot {
	name, err := filepath.Rel(u.source.Name, at.Name)
	stem := strings.TrimSuffix(filepath.Base(at.Name), filepath.Ext(at.Name))
	switch {
	case stem == "":
		stem = filepath.Base(at.Name)
	case at.Root != u.source.Root || err != nil || !filepath.IsLocal(name):
		return u.dest.Below(stem)
	}
	to := u.dest.Below(filepath.Dir(name))
	if u.in.Private.Or(false) {
		return to.Below(stem)
	}
	return to
}

// unpack unpacks an archive beside its place, and then puts each file there, whole.
func (u *unpacking) unpack(field string, at workdir.Spot) (files int, err error) {
	f, info, err := regular(at, field)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	to := u.place(at)
	if err := to.Root.MkdirAll(to.Name, 0o755); err != nil {
		return 0, fileError(to.Err("dest_dir", err))
	}
	temporary := to.Below("unzip").Stage(u.call.Attempt)
	if err := to.Root.Mkdir(temporary, 0o700); err != nil {
		return 0, fileError(to.Err("dest_dir", err))
	}
	defer func() { _ = to.Root.RemoveAll(temporary) }()
	staged, err := to.Root.OpenRoot(temporary)
	if err != nil {
		return 0, fileError(to.Err("dest_dir", err))
	}
	defer func() { _ = staged.Close() }()
	options := archive.ZipOptions{Password: u.in.Password}
	hit := make([]bool, len(u.in.members))
	if len(hit) > 0 {
		options.Wants = func(name string) bool {
			wanted := false
			for i, pattern := range u.in.members {
				if pattern == name || workdir.Matches(pattern, name) {
					hit[i], wanted = true, true
				}
			}
			return wanted
		}
	}
	sink := &collected{Sink: archive.Below(staged)}
	var done archive.Summary
	if u.in.byProgram() {
		sink, done, err = u.unpackExternally(f, info.Size(), options.Wants, at.Path, filepath.Join(to.Path, filepath.Base(temporary)), staged)
	} else {
		done, err = archive.WalkZip(u.ctx, f, info.Size(), u.left, options, sink)
	}
	if err != nil {
		return 0, u.failed(at, field, err)
	}
	for i, pattern := range u.in.members {
		if !hit[i] && !strings.ContainsAny(pattern, "*?[") {
			return 0, executors.WithKind(executors.Permanent(fmt.Errorf("members[%d]: %q is not in %q", i, pattern, at.Shown())), KindFile)
		}
	}
	u.left.Entries -= len(sink.files) + len(sink.dirs)
	u.left.Bytes -= done.Bytes
	if u.left.Entries == 0 { // which would stand for the default
		u.left.Entries = -1
	}
	if u.left.Bytes == 0 {
		u.left.Bytes = -1
	}
	return len(sink.files), u.publish(to, temporary, sink)
}

func (u *unpacking) failed(at workdir.Spot, field string, err error) error {
	if _, bad := errors.AsType[*archive.Error](err); bad && (u.left.Entries < 0 || u.left.Bytes < 0) {
		err = &archive.Error{Reason: "is one too many: all together unpack to more than is allowed"}
	}
	return shown(at, field, err)
}

// collected notes what an archive holds.
type collected struct {
	archive.Sink
	files, dirs []string
}

func (c *collected) Dir(name string) error {
	c.dirs = append(c.dirs, name)
	return c.Sink.Dir(name)
}

func (c *collected) File(name string, mode fs.FileMode, content io.Reader) error {
	c.files = append(c.files, name)
	return c.Sink.File(name, mode, content)
}

// publish puts what was unpacked in its place. Nothing is put there if any file may not be.
func (u *unpacking) publish(to workdir.Spot, temporary string, what *collected) error {
	const field = "dest_dir"
	for _, name := range what.files {
		if err := u.free(to.Below(name), filepath.Join(temporary, name)); err != nil {
			return err
		}
	}
	dirs := slices.Clone(what.dirs)
	for _, name := range what.files {
		dirs = append(dirs, path.Dir(name))
	}
	slices.Sort(dirs)
	for _, name := range slices.Compact(dirs) {
		at := to.Below(name)
		if err := at.Root.MkdirAll(at.Name, 0o755); err != nil {
			return fileError(at.Err(field, err))
		}
	}
	for _, name := range what.files {
		if u.ctx.Err() != nil {
			return context.Cause(u.ctx)
		}
		at := to.Below(name)
		if err := at.Root.Rename(filepath.Join(temporary, name), at.Name); err != nil {
			return fileError(at.Err(field, err))
		}
	}
	return nil
}

// free is the error of a place where a file may not be put. What is there with the same content is no obstacle: an attempt before this one has put it there.
func (u *unpacking) free(at workdir.Spot, temporary string) error {
	const field = "dest_dir"
	info, err := at.Root.Lstat(at.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fileError(at.Err(field, err))
	case info.IsDir():
		return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q is a directory", field, at.Shown())), KindFile)
	case u.in.Overwrite.Or(true):
		return nil
	}
	same, err := u.same(at.Root, at.Name, temporary)
	if err != nil {
		return fileError(at.Err(field, err))
	}
	if !same {
		return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q exists already (set overwrite to replace it)", field, at.Shown())), KindFile)
	}
	return nil
}

// same reports whether two files have the same content.
func (u *unpacking) same(root *os.Root, a, b string) (bool, error) {
	var files [2]*os.File
	var sizes [2]int64
	for i, name := range []string{a, b} {
		f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
		if err != nil {
			return false, err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return false, err
		}
		files[i], sizes[i] = f, info.Size()
	}
	if sizes[0] != sizes[1] {
		return false, nil
	}
	other := comparing{files[1]}
	_, err := poured(u.ctx, other, files[0])
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

// comparing takes what another file holds.
type comparing struct{ r io.Reader }

var errDiffers = errors.New("differs")

func (c comparing) Write(p []byte) (int, error) {
	other := make([]byte, len(p))
	if _, err := io.ReadFull(c.r, other); err != nil {
		return 0, err
	}
	if string(other) != string(p) {
		return 0, errDiffers
	}
	return len(p), nil
}
