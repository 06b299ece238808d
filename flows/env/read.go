package env

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Kind is the form of a file.
type Kind string

// The forms of files.
const (
	Dotenv Kind = "dotenv" // lines KEY=VALUE
	JSON   Kind = "json"   // an object
	Dir    Kind = "dir"    // a directory with a file for each name, such as a mounted Secret of Kubernetes
)

// kinds are the words for them.
var kinds = map[string]Kind{"dotenv": Dotenv, "json": JSON, "dir": Dir, "directory": Dir, "dir-of-files": Dir}

// Source is a file of an environment.
type Source struct {
	Kind     Kind   // empty: a directory is one, .json is JSON, and all others are dotenv
	Path     string // with slashes
	Optional bool   // it need not be there
	Prefix   string // of all its names
	Named    Fault  // where it is named; its text is empty. An empty file: nowhere
}

// Sources reads a list of sources, each a path, or a map with path, type, optional and prefix. Relative paths are below dir, the directory of the file that
// names them; empty: they stay as they are. All faults are told.
func Sources(v treefile.Value, file, dir string) ([]Source, Faults) {
	s := &sources{file: file, dir: dir}
	switch v.Kind() {
	case 0, 'n':
	case '[':
		for i, item := range v.Items() {
			s.one(item, fmt.Sprintf("env_files[%d]", i))
		}
	default:
		s.fault(v, "env_files must be a list")
	}
	return s.all, s.faults
}

type sources struct {
	file, dir string
	all       []Source
	faults    Faults
}

func (s *sources) at(v treefile.Value) Fault {
	p := v.Position()
	return Fault{File: s.file, Line: p.Line, Column: p.Column}
}

func (s *sources) fault(v treefile.Value, format string, args ...any) {
	f := s.at(v)
	f.Text = fmt.Sprintf(format, args...)
	s.faults = append(s.faults, f)
}

func (s *sources) one(v treefile.Value, at string) {
	src := Source{Named: s.at(v)}
	before := len(s.faults)
	switch v.Kind() {
	case '"':
		src.Path = v.Text()
	case '{':
		s.members(v, at, &src)
	default:
		s.fault(v, "%s must be a path, or a map with path", at)
		return
	}
	switch {
	case src.Path == "" && len(s.faults) == before:
		s.fault(v, "%s has no path", at)
	case strings.ContainsRune(src.Path, 0):
		s.fault(v, "%s.path contains a NUL", at)
	case !path.IsAbs(src.Path) && s.dir != "":
		src.Path = path.Join(s.dir, src.Path)
	}
	if len(s.faults) == before {
		s.all = append(s.all, src)
	}
}

func (s *sources) members(v treefile.Value, at string, src *Source) {
	for _, m := range v.Members() {
		kind := m.Kind()
		if kind == 'n' {
			continue
		}
		switch m.Name {
		case "path", "prefix", "type":
			if kind != '"' {
				s.fault(m.Value, "%s.%s must be a text", at, m.Name)
				continue
			}
		case "optional":
			if kind != 't' && kind != 'f' {
				s.fault(m.Value, "%s.optional must be true or false", at)
			}
			src.Optional = kind == 't'
			continue
		default:
			s.fault(m.Value, "%s has no key %s: there are type, path, optional and prefix", at, shown(m.Name))
			continue
		}
		switch text := m.Text(); m.Name {
		case "path":
			src.Path = text
		case "prefix":
			if src.Prefix = text; text != "" && !ValidName(text) {
				s.fault(m.Value, "%s.prefix %s can't begin a name: want letters, digits and _, with no digit first", at, shown(text))
			}
		case "type":
			known := false
			if src.Kind, known = kinds[strings.ToLower(strings.TrimSpace(text))]; !known {
				s.fault(m.Value, "%s.type must be dotenv, json or dir", at)
			}
		}
	}
}

// Read reads sources in their order; of a name, the last one counts. The file system takes their paths as they are: that of a bundle ([fs.Sub], [os.Root.FS])
// refuses those that lead out of it. The error is [Faults], with all that is wrong. notes are of names that templates can't name.
func Read(files fs.FS, sources []Source) (values Values, notes Faults, err error) {
	values = Values{}
	var faults Faults
	for _, src := range sources {
		p := &parsed{file: src.Path, prefix: src.Prefix, values: Values{}}
		p.read(files, &src)
		faults, notes = append(faults, p.faults...), append(notes, p.notes...)
		for name, value := range p.values {
			values[name] = value
		}
	}
	if err := faults.err(); err != nil {
		return nil, nil, err
	}
	return values, notes, nil
}

// missing is a fault of a source itself, where it is named.
func (p *parsed) missing(src *Source, text string) {
	if src.Named.File == "" {
		p.fault(0, 0, "%s", text)
		return
	}
	f := src.Named
	f.Text = src.Path + ": " + text
	p.faults = append(p.faults, f)
}

func (p *parsed) read(files fs.FS, src *Source) {
	name := src.Path
	info, err := fs.Stat(files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !src.Optional {
			p.missing(src, "there is no such file")
		}
		return
	case errors.Is(err, fs.ErrInvalid):
		p.missing(src, "the path leads out of the directory of the bundle")
		return
	case err != nil:
		p.missing(src, reason(err))
		return
	}
	kind := src.Kind
	switch {
	case kind != "":
	case info.IsDir():
		kind = Dir
	case strings.EqualFold(path.Ext(name), ".json"):
		kind = JSON
	default:
		kind = Dotenv
	}
	switch {
	case kind == Dir && !info.IsDir():
		p.missing(src, "it is no directory")
		return
	case kind == Dir:
		p.dir(files, src)
		return
	case !info.Mode().IsRegular(): // a pipe would make the reader wait
		p.missing(src, "it is no file")
		return
	}
	text, err := p.content(files, name, MaxBytes)
	switch {
	case err != nil:
		p.missing(src, reason(err))
	case kind == JSON:
		p.json(text)
	default:
		p.dotenv(text)
	}
}

// dir reads a directory: the name of a file is a key, and its content, without line breaks at its end, the value. Hidden files and directories are left out.
func (p *parsed) dir(files fs.FS, src *Source) {
	entries, err := fs.ReadDir(files, src.Path)
	if err != nil {
		p.missing(src, reason(err))
		return
	}
	if len(entries) > MaxNames {
		p.missing(src, fmt.Sprintf("it has more than %d entries", MaxNames))
		return
	}
	left := int64(MaxBytes)
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		at := path.Join(src.Path, name)
		one := &parsed{file: at, prefix: p.prefix, values: p.values}
		one.entry(files, name, &left)
		p.faults, p.notes = append(p.faults, one.faults...), append(p.notes, one.notes...)
	}
}

func (p *parsed) entry(files fs.FS, name string, left *int64) {
	info, err := fs.Stat(files, p.file) // of what a link leads to
	switch {
	case errors.Is(err, fs.ErrNotExist): // it has gone, or the link leads nowhere
		return
	case err != nil:
		p.fault(0, 0, "%s", reason(err))
		return
	case !info.Mode().IsRegular():
		return
	}
	full, ok := p.full(name)
	if !ok {
		p.useless(full, 0, 0)
		return
	}
	text, err := p.content(files, p.file, *left)
	if err != nil {
		p.fault(0, 0, "%s", reason(err))
		return
	}
	*left -= int64(len(text))
	p.put(full, strings.TrimRight(strings.TrimPrefix(string(text), string(bom)), "\r\n"), 0, 0)
}

func (*parsed) content(files fs.FS, name string, most int64) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it is too large: %d KiB are read of a file, and of all files of a directory together", MaxBytes>>10)
	}
	return text, err
}

// reason is an error of the file system without the path.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return err.Error()
}
