// Package workdir owns the files of an attempt whose programs work in a directory: artifacts that come in become files there, and files that the task
// names leave it as artifacts.
//
// It must not know which program works there, or how artifacts are kept.
package workdir

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// Bounds of one attempt.
const (
	maxIncoming = 100     // artifacts that come in
	maxEntries  = 100_000 // entries of the directory that are looked at
	maxFiles    = 1000    // files that leave it
)

// variable begins the names of environment variables that tell where files are.
const variable = "TASKGROVE_ARTIFACT_"

// Incoming are the artifacts that came in.
type Incoming struct {
	Inputs json.RawMessage   // the call's, with a path in the place of each
	Env    map[string]string // TASKGROVE_ARTIFACT_ and the key of each in capitals: its path
}

// Receive puts artifacts among the call's inputs into files below a directory, and gives the inputs with their paths: those that the inputs called keys
// are or hold, and other inputs that are an artifact. What results of dependencies hold stays a reference. The directory is made when there is the
// first. Inputs called leave are left as they are.
func Receive(ctx context.Context, call *executors.Call, keys, leave []string, dir func() (string, error)) (*Incoming, error) {
	return ReceiveAs(ctx, call, keys, leave, dir, "")
}

// ReceiveAs is Receive for programs that see the directory elsewhere than it is, such as in a container: seen is where. Empty: where it is.
func ReceiveAs(ctx context.Context, call *executors.Call, keys, leave []string, dir func() (string, error), seen string) (*Incoming, error) {
	in := &Incoming{Inputs: call.Inputs}
	var inputs map[string]json.RawMessage
	if call.Files == nil || json.Unmarshal(call.Inputs, &inputs) != nil {
		return in, nil
	}
	r := &receiver{ctx: ctx, call: call, dir: dir, seen: seen, env: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(inputs)) {
		raw := inputs[key]
		if !mayHold(raw) || slices.Contains(leave, key) {
			continue
		}
		if _, is := executors.RefOf(raw); !is && !slices.Contains(keys, key) {
			continue
		}
		changed, err := r.value(key, raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		inputs[key] = changed
	}
	if r.n == 0 {
		return in, nil
	}
	var err error
	in.Inputs, err = json.Marshal(inputs)
	in.Env = r.env
	return in, err
}

// mayHold is a quick look: most inputs hold no reference.
func mayHold(raw json.RawMessage) bool {
	return strings.Contains(string(raw), `"artifact"`) && strings.Contains(string(raw), `"sha256"`)
}

type receiver struct {
	ctx  context.Context
	call *executors.Call
	dir  func() (string, error)
	seen string
	env  map[string]string
	n    int
}

// value gives a value with paths in the place of references. at is its key, and those above it.
func (r *receiver) value(at string, raw json.RawMessage) (json.RawMessage, error) {
	if !mayHold(raw) {
		return raw, nil
	}
	if ref, ok := executors.RefOf(raw); ok {
		return r.file(at, ref)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for i := range list {
			changed, err := r.value(at+"_"+strconv.Itoa(i), list[i])
			if err != nil {
				return nil, err
			}
			list[i] = changed
		}
		return json.Marshal(list)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return raw, nil
	}
	for key, one := range object {
		changed, err := r.value(key, one)
		if err != nil {
			return nil, err
		}
		object[key] = changed
	}
	return json.Marshal(object)
}

// file makes the file of a reference.
func (r *receiver) file(at string, ref executors.FileRef) (json.RawMessage, error) {
	if r.n++; r.n > maxIncoming {
		return nil, executors.Permanent(fmt.Errorf("more than %d artifacts come in", maxIncoming))
	}
	dir, err := r.dir()
	if err != nil {
		return nil, err
	}
	below := filepath.Join(dir, strconv.Itoa(r.n))
	if err := os.Mkdir(below, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(below, BaseName(ref.Artifact))
	if err := Fetch(r.ctx, r.call, ref, name); err != nil {
		return nil, err
	}
	if r.seen != "" {
		name = path.Join(r.seen, strconv.Itoa(r.n), filepath.Base(name))
	}
	r.env[variable+upper(at)] = name
	return json.Marshal(name)
}

// BaseName is a file's name out of that of an artifact, which anybody may have written.
func BaseName(name string) string {
	name = path.Base(path.Clean("/" + name))
	if name == "/" || name == "." || !filepath.IsLocal(name) || strings.ContainsAny(name, "\x00\\") || len(name) > 200 {
		return "artifact"
	}
	return name
}

// upper makes a key the end of a variable's name.
func upper(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// Fetch writes an artifact into a new file. A file whose content can't be had whole is not left behind.
func Fetch(ctx context.Context, call *executors.Call, ref executors.FileRef, name string) error {
	content, err := call.Files.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}

var errNoPlace = executors.Permanent(errors.New("artifacts: the worker has no place for them"))

// Collect saves the files below a directory that the call's patterns name, in the order of their names. Nothing outside of the directory is
// read, and no symbolic link is followed. A pattern without wildcards must name a file.
func Collect(ctx context.Context, call *executors.Call, dir string) error {
	if len(call.Artifacts) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("artifacts: %w", err)
	}
	defer func() { _ = root.Close() }()
	return CollectIn(ctx, call, root)
}

// CollectIn is Collect in a directory that is open.
func CollectIn(ctx context.Context, call *executors.Call, root *os.Root) error {
	if call.Files == nil {
		return errNoPlace
	}
	names, err := match(root, call.Artifacts)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := save(ctx, call, root, name); err != nil {
			return fmt.Errorf("artifacts: %w", err)
		}
	}
	return nil
}

func save(ctx context.Context, call *executors.Call, root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe that took its place it does not wait for the other end
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file any more", name)
	}
	_, err = call.Files.Save(ctx, executors.SavedFile{Name: name, MediaType: MediaType(name), Size: info.Size()}, f)
	return err
}

// MediaType guesses what a file is by its name.
func MediaType(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".csv":
		return "text/csv"
	case ".json":
		return "application/json"
	case ".txt", ".log":
		return "text/plain"
	case ".md":
		return "text/markdown"
	case ".parquet":
		return "application/vnd.apache.parquet"
	default:
		kind, _, _ := strings.Cut(mime.TypeByExtension(ext), ";")
		return kind
	}
}

// Picker says which files of a directory a call's patterns name, for who walks through it. Not safe for concurrent use.
type Picker struct {
	patterns []string
	hit      []bool
	looked   int
	picked   int
}

// NewPicker picks files by patterns.
func NewPicker(patterns []string) *Picker {
	return &Picker{patterns: patterns, hit: make([]bool, len(patterns))}
}

// Look counts an entry that is met, of any kind. Its error says that there are too many.
func (p *Picker) Look() error {
	if p.looked++; p.looked > maxEntries {
		return executors.Permanent(fmt.Errorf("artifacts: more than %d entries are below the working directory", maxEntries))
	}
	return nil
}

// Wants reports whether a plain file is named by its path below the directory. Its error says that there are too many.
func (p *Picker) Wants(name string) (bool, error) {
	wanted := false
	for i, pattern := range p.patterns {
		if Matches(pattern, name) {
			p.hit[i], wanted = true, true
		}
	}
	if wanted {
		p.picked++
	}
	if p.picked > maxFiles {
		return false, executors.Permanent(fmt.Errorf("artifacts: more than %d files", maxFiles))
	}
	return wanted, nil
}

// Missing is the error of the first pattern without wildcards that named no file.
func (p *Picker) Missing() error {
	for i, pattern := range p.patterns {
		if !p.hit[i] && !strings.ContainsAny(pattern, wildcards) {
			return fmt.Errorf("artifacts: there is no file %q below the working directory", pattern)
		}
	}
	return nil
}

const wildcards = `*?[`

// Bases are the places below a directory where patterns may name files, none of them below another: directories, and files of patterns without
// wildcards. "." is the directory itself.
func Bases(patterns []string) (bases []string) {
	all := map[string]bool{}
	for _, pattern := range patterns {
		parts := strings.Split(path.Clean(pattern), "/")
		if i := slices.IndexFunc(parts, func(part string) bool { return strings.ContainsAny(part, wildcards) }); i >= 0 {
			parts = parts[:i]
		}
		all[cmp.Or(path.Join(parts...), ".")] = true
	}
	if all["."] {
		return []string{"."}
	}
	for _, base := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(bases, func(above string) bool { return strings.HasPrefix(base, above+"/") }) {
			bases = append(bases, base)
		}
	}
	return bases
}

// match gives the plain files of a directory that patterns name, sorted.
func match(root *os.Root, patterns []string) (names []string, err error) {
	picker := NewPicker(patterns)
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if many := picker.Look(); many != nil {
			return many
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return err
		}
		if d.IsDir() && name != "." && !slices.ContainsFunc(patterns, func(p string) bool { return mayBegin(p, name) }) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		wanted, err := picker.Wants(name)
		if wanted {
			names = append(names, name)
		}
		return err
	})
	if err == nil {
		err = picker.Missing()
	}
	slices.Sort(names)
	return names, err
}

// Matches reports whether a pattern names a path: with * ? and [a-z] within a part of it, as a shell has them, and ** for any number of parts.
func Matches(pattern, name string) bool {
	return matchParts(strings.Split(path.Clean(pattern), "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if matchParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); !ok || err != nil {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// mayBegin reports whether something below a directory may match.
func mayBegin(pattern, dir string) bool {
	parts := strings.Split(path.Clean(pattern), "/")
	for i, part := range strings.Split(dir, "/") {
		if i >= len(parts)-1 && (i >= len(parts) || parts[i] != "**") {
			return false
		}
		if parts[i] == "**" {
			return true
		}
		if ok, _ := path.Match(parts[i], part); !ok {
			return false
		}
	}
	return true
}
