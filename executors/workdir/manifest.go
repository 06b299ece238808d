package workdir

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
)

// Bounds of what the steps of a job share.
const (
	maxJobFiles  = 10_000   // files of a manifest
	maxManifest  = 16 << 20 // bytes of one
	maxNameBytes = 512      // of a file's path
	maxFileBytes = 1 << 50
)

// ownPrefix begins names of files that are never kept: the worker, and external.process, make them in passing.
const ownPrefix = ".taskgrove-"

// manifest is what the steps of a job have left.
type manifest struct {
	Version int          `json:"version"`
	Flow    string       `json:"flow_id"`
	Run     string       `json:"run_id"`
	Job     string       `json:"job_id"`
	Step    string       `json:"step_id"` // that wrote it
	Files   []sharedFile `json:"files"`   // by name
	Deleted []string     `json:"deleted,omitempty"`

	byName map[string]int
}

// sharedFile is a file of a job.
type sharedFile struct {
	Name       string `json:"name"` // below the artifacts of its job
	SHA256     string `json:"sha256"`
	Size       int64  `json:"size"` // bytes
	MediaType  string `json:"media_type,omitempty"`
	Executable bool   `json:"executable,omitempty"`
}

func (f *sharedFile) ref() executors.FileRef {
	return executors.FileRef{Artifact: f.Name, SHA256: f.SHA256, Size: f.Size, MediaType: f.MediaType}
}

// file is one by its name; nil: there is none.
func (m *manifest) file(name string) *sharedFile {
	if i, ok := m.byName[name]; ok {
		return &m.Files[i]
	}
	return nil
}

// below are the files that are called name, or below it.
func (m *manifest) below(name string) (found []*sharedFile) {
	for i := range m.Files {
		if f := &m.Files[i]; name == "." || f.Name == name || strings.HasPrefix(f.Name, name+"/") {
			found = append(found, f)
		}
	}
	return found
}

// index sorts the files, and finds out whether they can all be there at the same time.
func (m *manifest) index() error {
	slices.SortFunc(m.Files, func(a, b sharedFile) int { return strings.Compare(a.Name, b.Name) })
	m.byName = make(map[string]int, len(m.Files))
	for i := range m.Files {
		if _, twice := m.byName[m.Files[i].Name]; twice {
			return fmt.Errorf("%.200q is there twice", m.Files[i].Name)
		}
		m.byName[m.Files[i].Name] = i
	}
	for i := range m.Files {
		for dir := range parents(m.Files[i].Name) {
			if _, ok := m.byName[dir]; ok {
				return fmt.Errorf("%.200q is a file, and a directory", dir)
			}
		}
	}
	return nil
}

// parents are the directories above a path, from the top.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i, c := range name {
			if c == '/' && !yield(name[:i]) {
				return
			}
		}
	}
}

// readManifest reads one that came from the cluster, where anybody may have written it.
func readManifest(from io.Reader, job string) (*manifest, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxManifest+1))
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	switch {
	case len(text) > maxManifest:
		return nil, errors.New("it is too large")
	case json.Unmarshal(text, m) != nil:
		return nil, errors.New("it can't be read")
	case m.Version != 1 || m.Job != job:
		return nil, fmt.Errorf("it is version %d of job %.100q", m.Version, m.Job)
	case len(m.Files) > maxJobFiles:
		return nil, fmt.Errorf("it has %d files", len(m.Files))
	}
	for i := range m.Files {
		f := &m.Files[i]
		if err := checkName(f.Name); err != nil {
			return nil, err
		}
		if raw, err := hex.DecodeString(f.SHA256); err != nil || len(raw) != 32 || f.Size < 0 || f.Size > maxFileBytes {
			return nil, fmt.Errorf("%.200q has no digest or size", f.Name)
		}
	}
	return m, m.index()
}

// checkName says why a path can't be that of a file that is kept; nil: it can.
func checkName(name string) error {
	switch {
	case len(name) > maxNameBytes:
		return fmt.Errorf("%.60q… has %d bytes, and the path of a file that is kept has at most %d", name, len(name), maxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%.200q is no text in UTF-8", name)
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("%.200q is no path below the job's artifacts", name)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }):
		return fmt.Errorf("%.200q: the name of a file that is kept has printable characters only, and no backslash", name)
	}
	return nil
}

// ownFile reports whether a path is one that is never kept.
func ownFile(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || strings.Contains(name, "/"+ownPrefix)
}
