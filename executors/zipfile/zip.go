package zipfile

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	aeszip "github.com/yeka/zip"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Zip is the executor zip.
type Zip struct{ cfg Config }

// NewZip makes one.
func NewZip(cfg Config) *Zip {
	cfg.setDefaults()
	return &Zip{cfg}
}

// Describe implements [executors.Executor].
func (*Zip) Describe() executors.Description {
	return executors.Description{
		ID: ZipID, Name: "Zip", Type: "archive",
		Description: "Packs files into a zip file, and is skipped if there are none",
		Tags:        []string{"files", "flows"},
		Inputs:      zipInputs, Output: zipOutput, Kinds: kinds,
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.PerCore(), Connection: &connection, Examples: zipExamples,
	}
}

// Demo implements [executors.Demonstrator].
func (*Zip) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in struct {
		Dest string `json:"dest_path"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	return &Packed{Output: in.Dest, Count: 1, Driver: driverPlain, Source: "."}, 100 * time.Millisecond
}

// Packed is what zip has made.
type Packed struct {
	Output    string `json:"output"`
	Count     int    `json:"count"`
	Encrypted bool   `json:"password"`
	Driver    string `json:"driver"`
	Source    string `json:"src_dir"`
}

type zipInput struct {
	setup
	Dest        string       `json:"dest_path"`
	Items       inputs.List  `json:"items"`
	Source      string       `json:"src_dir"`
	Recursive   *inputs.Flag `json:"recursive"`
	Overwrite   *inputs.Flag `json:"overwrite"`
	Compression string       `json:"compression"`

	items []item
}

// item is what is to be packed: a path, or a pattern.
type item struct {
	field   string
	text    string
	pattern bool // certainly; a path may be one as well
	given   bool // it is an artifact among the inputs, and lies elsewhere
}

func invalid(id string, faults []string) error {
	return executors.Invalid(id, strings.Join(faults, "; "))
}

// read reads the inputs, of which given holds artifacts as they were given.
func (e *Zip) read(call *executors.Call, given json.RawMessage) (*zipInput, error) {
	in := &zipInput{}
	if err := inputs.Decode(ZipID, call, in); err != nil {
		return nil, err
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if strings.TrimSpace(in.Dest) == "" {
		fault("dest_path is required in inputs")
	}
	if in.Items == nil {
		fault("items is required in inputs")
	}
	if in.setup.check(&e.cfg, call.Pool, fault); in.Password != "" && in.Driver == driverPlain {
		fault("password: the driver zipfile encrypts nothing; use pyzipper, or name no driver")
	}
	if in.Password != "" && in.Driver == driverOS {
		fault("password: the driver os encrypts by the old ZipCrypto alone, which protects nothing; use pyzipper")
	}
	if in.Password == "" && in.Driver == driverAES {
		fault("password is required in inputs for the driver pyzipper")
	}
	switch strings.TrimPrefix(strings.ToLower(in.Compression), "zip_") {
	case "", "deflated", "stored":
	default:
		fault("compression: must be deflated or stored")
	}
	var before struct {
		Items inputs.List `json:"items"`
	}
	_ = json.Unmarshal(given, &before) // it could be read
	for i, raw := range in.Items {
		it, err := readItem(raw)
		if it.field = fmt.Sprintf("items[%d]", i); err != nil {
			fault("%s: %v", it.field, err)
		}
		if i < len(before.Items) {
			_, it.given = executors.RefOf(before.Items[i])
		}
		in.items = append(in.items, it)
	}
	if len(faults) > 0 {
		return nil, invalid(ZipID, faults)
	}
	return in, nil
}

func readItem(raw json.RawMessage) (it item, err error) {
	var object struct {
		Path *string `json:"path"`
		Glob *string `json:"glob"`
	}
	switch {
	case raw[0] == '"':
		err = json.Unmarshal(raw, &it.text)
	case raw[0] != '{' || json.Unmarshal(raw, &object) != nil:
		return it, errors.New("must be a text, {\"path\": …} or {\"glob\": …}")
	case (object.Path == nil) == (object.Glob == nil):
		return it, errors.New("must have path or glob, and not both")
	case object.Path != nil:
		it.text = *object.Path
	default:
		it.text, it.pattern = *object.Glob, true
	}
	if err == nil && strings.TrimSpace(it.text) == "" {
		err = errors.New("is empty")
	}
	if _, bad := path.Match(strings.ReplaceAll(it.text, "**", "*"), ""); bad != nil && it.pattern {
		err = errors.New("is no pattern")
	}
	return it, err
}

// Run implements [executors.Executor]. The archive appears whole, or not at all.
func (e *Zip) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	w, err := workdir.OpenWorkspace(ctx, call, e.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	with := *call
	with.Inputs = w.Inputs
	in, err := e.read(&with, call.Inputs)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p := &packing{cfg: &e.cfg, ctx: ctx, call: call, in: in, w: w, files: map[string]workdir.Spot{}}
	result, err := p.run()
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	kept, err := w.Keep(ctx, result)
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	if result.Count == 0 {
		return executors.Skip(Reason, kept), nil
	}
	return executors.Completed(kept), nil
}

// packing is one attempt of zip.
type packing struct {
	cfg  *Config
	ctx  context.Context
	call *executors.Call
	in   *zipInput
	w    *workdir.Workspace

	source, dest workdir.Spot
	files        map[string]workdir.Spot // by their names in the archive
	looked       int
}

// maxEntries is how many files and directories an attempt looks at.
const maxEntries = 100_000

func (p *packing) run() (*Packed, error) {
	var err error
	if p.source, err = p.w.At("src_dir", orDot(p.in.Source)); err != nil {
		return nil, err
	}
	if p.dest, err = p.w.At("dest_path", p.in.Dest); err != nil {
		return nil, err
	}
	if err := p.dest.Writable("dest_path"); err != nil {
		return nil, err
	}
	for _, it := range p.in.items {
		if err := p.add(it); err != nil {
			return nil, err
		}
	}
	result := &Packed{Output: p.dest.Shown(), Count: len(p.files), Encrypted: p.in.Password != "", Driver: p.in.Driver, Source: p.source.Shown()}
	if result.Count == 0 {
		result.Output = ""
		return result, nil
	}
	return result, p.write()
}

func orDot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// add finds the files of an item.
func (p *packing) add(it item) error {
	if it.given {
		at, err := p.w.At(it.field, it.text)
		if err != nil {
			return err
		}
		return p.name(at, filepath.Base(at.Name))
	}
	if filepath.IsAbs(it.text) {
		at, err := p.w.At(it.field, it.text)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.source.Name, at.Name)
		if at.Root != p.source.Root || err != nil || !filepath.IsLocal(name) {
			return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q is not below src_dir", it.field, it.text)), workdir.KindEscape)
		}
		it.text = name
	} else if it.text = path.Clean(filepath.ToSlash(it.text)); !filepath.IsLocal(it.text) {
		_, err := p.w.At(it.field, it.text) // says what is wrong with it
		if err == nil {
			err = executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q is not below src_dir", it.field, it.text)), workdir.KindEscape)
		}
		return err
	}
	at := p.source.Below(it.text)
	info, err := at.Root.Stat(at.Name)
	switch {
	case err == nil && info.IsDir():
		return p.walk(it, it.text, func(name string) bool { return p.in.Recursive.Or(true) || path.Dir(name) == it.text })
	case err == nil:
		return p.name(at, it.text)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return fileError(at.Err(it.field, err))
	case it.pattern || strings.ContainsAny(it.text, "*?["):
		return p.glob(it)
	}
	return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q does not exist", it.field, it.text)), KindFile)
}

// glob adds what a pattern matches: files, and directories with what is in them.
func (p *packing) glob(it item) error {
	pattern := strings.ReplaceAll(it.text, "[!", "[^")
	for _, base := range workdir.Bases([]string{pattern}) {
		err := p.walk(it, base, func(name string) bool {
			if workdir.Matches(pattern, name) {
				return true
			}
			for above := path.Dir(name); p.in.Recursive.Or(true) && above != "."; above = path.Dir(above) {
				if workdir.Matches(pattern, above) {
					return true
				}
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk adds the plain files below a directory that are wanted, by their names below src_dir. Links are not followed.
func (p *packing) walk(it item, dir string, wants func(name string) bool) error {
	sub, err := p.source.Root.OpenRoot(p.source.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fileError(p.source.Err("src_dir", err))
	}
	defer func() { _ = sub.Close() }()
	return fs.WalkDir(sub.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		switch p.looked++; {
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case p.looked > maxEntries:
			return executors.WithKind(executors.Permanent(fmt.Errorf("%s: more than %d files and directories are to be looked at", it.field, maxEntries)), KindFile)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fileError(p.source.Below(name).Err(it.field, err))
		case !d.Type().IsRegular() || !wants(name):
			return nil
		}
		return p.name(p.source.Below(name), name)
	})
}

// name takes a file into the archive, unless it is the archive, or what an attempt left of one.
func (p *packing) name(at workdir.Spot, name string) error {
	if at.Path == p.dest.Path {
		return nil
	}
	base := filepath.Base(at.Path)
	if filepath.Dir(at.Path) == filepath.Dir(p.dest.Path) && strings.HasPrefix(base, "."+filepath.Base(p.dest.Path)+".") && strings.HasSuffix(base, ".tmp") {
		return nil
	}
	if name = filepath.ToSlash(name); strings.ContainsAny(name, `\`) || len(name) > maxName || !utf8.ValidString(name) {
		return executors.WithKind(executors.Permanent(fmt.Errorf("items: %.200q is no name for a file of an archive: it must be UTF-8 without \\, of at most %d bytes", name, maxName)), KindFile)
	}
	if before, twice := p.files[name]; twice && before.Path != at.Path {
		return executors.WithKind(executors.Permanent(fmt.Errorf("items: two files would be called %q in the archive", name)), KindFile)
	}
	p.files[name] = at
	return nil
}

// write makes the archive beside its place, and then puts it there.
func (p *packing) write() error {
	const field = "dest_path"
	root := p.dest.Root
	if there, err := p.dest.Exists(field); err != nil {
		return fileError(err)
	} else if there && !p.in.Overwrite.Or(true) {
		return executors.WithKind(executors.Permanent(fmt.Errorf("%s: %q exists already (set overwrite to replace it)", field, p.dest.Shown())), KindFile)
	}
	if err := root.MkdirAll(filepath.Dir(p.dest.Name), 0o755); err != nil {
		return fileError(p.dest.Err(field, err))
	}
	temporary := p.dest.Stage(p.call.Attempt)
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fileError(p.dest.Err(field, err))
	}
	err = p.pack(f)
	if synced := f.Sync(); err == nil {
		err = fileError(p.dest.Err(field, synced))
	}
	if closed := f.Close(); err == nil {
		err = fileError(p.dest.Err(field, closed))
	}
	if err == nil {
		err = fileError(p.dest.Err(field, root.Rename(temporary, p.dest.Name)))
	}
	if err != nil {
		_ = root.Remove(temporary)
	}
	return err
}

func (p *packing) pack(to io.Writer) error {
	if p.in.byProgram() {
		return p.packExternally(to)
	}
	a := p.archive(to)
	names := slices.Sorted(maps.Keys(p.files))
	for i, name := range names {
		if err := p.one(a, name, p.files[name]); err != nil {
			return err
		}
		p.call.Reporter.Progress(float64(i+1)/float64(len(names)), "packed "+name)
	}
	return fileError(p.dest.Err("dest_path", a.Close()))
}

func (p *packing) one(a packer, name string, at workdir.Spot) error {
	const field = "items"
	f, info, err := regular(at, field)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	to, err := a.file(name, info)
	if err != nil {
		return fileError(p.dest.Err("dest_path", err))
	}
	n, err := poured(p.ctx, to, io.LimitReader(f, info.Size()+1))
	if err == nil && n != info.Size() {
		return executors.WithKind(fmt.Errorf("%s: %q has changed while it was packed", field, at.Shown()), KindFile)
	}
	if failed, is := errors.AsType[*writeError](err); is {
		return fileError(p.dest.Err("dest_path", failed.error))
	}
	return fileError(at.Err(field, err))
}

// packer writes an archive.
type packer interface {
	// file begins a file, whose content is written to what it returns.
	file(name string, info fs.FileInfo) (io.Writer, error)
	io.Closer
}

func (in *zipInput) stored() bool {
	return strings.HasSuffix(strings.ToLower(in.Compression), "stored")
}

// archive is the packer that the driver names.
func (p *packing) archive(to io.Writer) packer {
	method := zip.Deflate
	if p.in.stored() {
		method = zip.Store
	}
	if p.in.Driver == driverPlain {
		return plain{zip.NewWriter(to), method}
	}
	strength := map[int]aeszip.EncryptionMethod{128: aeszip.AES128Encryption, 192: aeszip.AES192Encryption, 256: aeszip.AES256Encryption}[*p.in.Strength]
	return encrypted{aeszip.NewWriter(to), method, strength, p.in.Password}
}

type plain struct {
	*zip.Writer
	method uint16
}

func (p plain) file(name string, info fs.FileInfo) (io.Writer, error) {
	h := &zip.FileHeader{Name: name, Method: p.method, Modified: info.ModTime()}
	h.SetMode(modeOf(info))
	return p.CreateHeader(h)
}

type encrypted struct {
	*aeszip.Writer
	method   uint16
	strength aeszip.EncryptionMethod
	password string
}

func (e encrypted) file(name string, info fs.FileInfo) (io.Writer, error) {
	h := &aeszip.FileHeader{Name: name, Method: e.method}
	if strings.ContainsFunc(name, func(r rune) bool { return r > 126 }) && utf8.ValidString(name) {
		h.Flags |= 0x800 // the name is UTF-8
	}
	h.SetModTime(info.ModTime())
	h.SetMode(modeOf(info))
	h.SetPassword(e.password)
	h.SetEncryptionMethod(e.strength)
	w, err := e.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(nil) // else an empty file has no salt, and can't be opened
	return w, err
}

// modeOf is that of a file in an archive: whether its owner may execute it.
func modeOf(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
