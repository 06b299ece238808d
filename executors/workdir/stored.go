package workdir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// storedPrefix begins a path as results have it: artifact:JOB/PATH.
const storedPrefix = "artifact:"

// maxOtherJobs is how many other jobs' files a step may read. Each item of a step counts as one.
const maxOtherJobs = 1000

// jobPlace is where files of a job are on this host.
type jobPlace struct{ dir, job string }

// stored is a path in a place as results have it.
func (p jobPlace) stored(text string) (string, bool) {
	if len(text) > 4096 || !filepath.IsAbs(text) || strings.ContainsAny(text, "\n\x00") {
		return "", false
	}
	rel, err := filepath.Rel(p.dir, filepath.Clean(text))
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return storedPrefix + p.job + "/" + filepath.ToSlash(rel), true
}

// texts gives a value of JSON with each text in it changed, but for names of members.
func texts(value any, change func(string) (string, error)) (_ any, err error) {
	switch v := value.(type) {
	case string:
		return change(v)
	case []any:
		for i := range v {
			if v[i], err = texts(v[i], change); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name], err = texts(v[name], change); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// others are the files of other jobs that a step reads: copies, in the attempt's scratch directory.
type others struct {
	dir  string
	root *os.Root
	jobs map[string]*otherJob
}

type otherJob struct {
	*manifest
	have map[string]bool
}

func (o *others) places() (list []jobPlace) {
	for _, job := range slices.Sorted(maps.Keys(o.jobs)) {
		list = append(list, jobPlace{filepath.Join(o.dir, job), job})
	}
	return list
}

func (o *others) close() {
	if o.root != nil {
		_ = o.root.Close()
	}
}

// localized gives inputs with local paths in the place of those that results have. Files of the own job are restored; those of other jobs are fetched into
// dir, where they can only be read.
func (s *shared) localized(ctx context.Context, inputs json.RawMessage, dir func() (string, error)) (json.RawMessage, error) {
	if !bytes.Contains(inputs, []byte(storedPrefix)) {
		return inputs, nil
	}
	var value map[string]any
	decoder := json.NewDecoder(bytes.NewReader(inputs))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return inputs, nil // whoever reads them says what is wrong
	}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		changed, err := texts(value[name], func(text string) (string, error) { return s.local(ctx, text, dir) })
		if err != nil {
			return nil, fmt.Errorf("%.100s: %w", name, err)
		}
		value[name] = changed
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(out.Bytes()), err
}

// local gives a text with local paths.
func (s *shared) local(ctx context.Context, text string, dir func() (string, error)) (string, error) {
	var out strings.Builder
	for from := 0; ; {
		at := strings.Index(text[from:], storedPrefix)
		if at < 0 {
			out.WriteString(text[from:])
			return out.String(), nil
		}
		at += from
		out.WriteString(text[from:at])
		rest := text[at+len(storedPrefix):]
		job, name, ok := strings.Cut(rest, "/")
		if ok = ok && flowID.MatchString(job) && job != "." && job != ".." && (at == 0 || !partOfWord(text[at-1])); !ok {
			out.WriteString(storedPrefix)
			from = at + len(storedPrefix)
			continue
		}
		local, taken, err := s.place(ctx, job, name, at == 0, dir)
		if err != nil {
			return "", err
		}
		if taken < 0 {
			out.WriteString(storedPrefix)
			from = at + len(storedPrefix)
			continue
		}
		out.WriteString(local)
		from = at + len(storedPrefix) + len(job) + 1 + taken
	}
}

// place is where the path is that a text begins with, and how much of the text that is; below 0: none that a step has left. whole: nothing is before it.
func (s *shared) place(ctx context.Context, job, text string, whole bool, dir func() (string, error)) (local string, taken int, err error) {
	own := job == s.step.files()
	var m *manifest
	var other *otherJob
	if own {
		m = s.state
	} else {
		if other, err = s.other(ctx, job, dir); err != nil {
			return "", 0, err
		}
		m = other.manifest
	}
	name, taken := m.longest(text)
	if taken < 0 && whole {
		if clean := path.Clean(text); own && (fs.ValidPath(clean) || clean == ".") && !strings.ContainsAny(text, "\x00\n") {
			return filepath.Join(s.path, filepath.FromSlash(clean)), len(text), nil // it may be about to be made
		}
		if strings.ContainsAny(text, " \t\n\"'`;|&<>()$") && !own {
			return "", -1, nil // words that only begin like a path
		}
		return "", 0, executors.WithKind(executors.Permanent(fmt.Errorf("%.200q: job %s of this run has left no such file", storedPrefix+job+"/"+text, job)), kindMissing)
	}
	if taken < 0 {
		return "", -1, nil
	}
	if own {
		return filepath.Join(s.path, filepath.FromSlash(name)), taken, s.restore(ctx, m.below(name))
	}
	for _, f := range m.below(name) {
		if other.have[f.Name] {
			continue
		}
		if len(other.have) >= maxJobFiles {
			return "", 0, tooMany("more than %d files of other jobs are read", maxJobFiles)
		}
		if _, err := s.fetch(ctx, s.others.root, f, job+"/"+f.Name, 0o400); err != nil {
			return "", 0, fmt.Errorf("%.200q of job %s: %w", f.Name, job, err)
		}
		other.have[f.Name] = true
	}
	return filepath.Join(s.others.dir, job, filepath.FromSlash(name)), taken, nil
}

// other is what another job of the run has left.
func (s *shared) other(ctx context.Context, job string, dir func() (string, error)) (*otherJob, error) {
	o := &s.others
	if is := o.jobs[job]; is != nil {
		return is, nil
	}
	if len(o.jobs) >= maxOtherJobs {
		return nil, tooMany("files of more than %d other jobs are read", maxOtherJobs)
	}
	if o.root == nil {
		place, err := dir()
		if err == nil {
			place, err = filepath.EvalSymlinks(place)
		}
		if err == nil {
			o.root, err = os.OpenRoot(place)
		}
		if err != nil {
			return nil, err
		}
		o.dir, o.jobs = place, map[string]*otherJob{}
	}
	m, _, err := s.newest(ctx, job)
	if err != nil {
		return nil, err
	}
	if err := o.root.Mkdir(job, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	o.jobs[job] = &otherJob{m, map[string]bool{}}
	return o.jobs[job], nil
}

// longest finds the longest file or directory of a manifest that a text begins with, up to the end of a word, and how much of the text that is; below 0: there
// is none.
func (m *manifest) longest(text string) (name string, taken int) {
	taken = -1
	try := func(candidate string) {
		if len(candidate) <= taken || !strings.HasPrefix(text, candidate) {
			return
		}
		rest := text[len(candidate):]
		if after := strings.TrimPrefix(rest, "/"); after == "" || !partOfPath(after[0]) && after != rest {
			name, taken = candidate, len(text)-len(after) // a directory may end with a slash
		} else if !partOfPath(rest[0]) {
			name, taken = candidate, len(candidate)
		}
	}
	try(".")
	for i := range m.Files {
		for dir := range parents(m.Files[i].Name) {
			try(dir)
		}
		try(m.Files[i].Name)
	}
	return name, taken
}

// partOfWord reports whether a byte before a path makes it the rest of a word.
func partOfWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// partOfPath reports whether a byte behind a path may make it another one.
func partOfPath(c byte) bool { return !strings.ContainsRune(" \t\r\n\"'`;|&<>(),:]}=", rune(c)) }
