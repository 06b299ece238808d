// Package applyfile reads folders of files that say what a cluster is to have, and tells every fault of all of them by file, line and column.
//
// It owns the form of such files. It must not know what the cluster has, or what becomes of what it read.
package applyfile

import (
	"bytes"
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

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Bounds of what is read.
const (
	MaxFileBytes = 4 << 20
	MaxBytes     = 64 << 20 // of all files
	MaxFiles     = 1000
	MaxDocuments = 1000 // of one file
	MaxObjects   = 10_000

	maxEntries = 10_000 // of the folder and those below it
	maxFaults  = 100    // that are told; the rest is counted
)

// version is what the key taskgrove of a document says.
const version = 1

// Folder is what all files say.
type Folder struct {
	Owner   string // that they name; empty: none does
	Objects []*Object
}

// Object is one thing that the cluster is to have.
type Object struct {
	Kind string // "limit", "webhook", "schedule"
	Name string // what it is known by among those of its kind: "key warehouse"
	Spec any    // *[Limit], *[Webhook], *[scheduledoc.Spec]

	dir  string // that relative paths start from
	file *treefile.File
	path string // in the document: "limits[2]"
}

// Fault is what is said of a field of the object, where it stands; field empty: of the whole object.
func (o *Object) Fault(field, reason string) treefile.Fault {
	at := join(o.path, field)
	return treefile.Fault{Place: o.file.PlaceIn(at), Text: at + ": " + reason}
}

// Path is a path that the object's file names, as the process can open it.
func (o *Object) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(o.dir, name)
}

// Place is where the object stands.
func (o *Object) Place() string { return o.file.PlaceIn(o.path) }

func join(at, field string) string {
	if field == "" || at == "" {
		return at + field
	}
	return at + "." + field
}

// kind is a row of what documents may have.
type kind struct {
	key, name string
	read      func(o *object) (spec any, name string)
}

// kinds are all of them, in the order in which a cluster is given them.
var kinds = []kind{
	{"limits", "limit", readLimit},
	{"webhooks", "webhook", readWebhook},
	{"schedules", "schedule", readSchedule},
}

// keys are those of a document.
func keys() []string {
	all := []string{"taskgrove", "owner"}
	for _, k := range kinds {
		all = append(all, k.key)
	}
	return all
}

// reader collects what files say.
type reader struct {
	folder   Folder
	owner    string                      // where the first one is named
	seen     map[string]*Object          // by kind and name
	byKind   [][]*Object                 // as kinds
	faults   map[string][]treefile.Fault // by file
	found    int
	more     int
	bytes    int
	tooMany  bool // objects, which is told once
	document struct {
		name, dir string
		file      *treefile.File
	}
}

func (r *reader) fault(f treefile.Fault) {
	if r.found++; r.found > maxFaults {
		r.more++
		return
	}
	name := r.document.name
	r.faults[name] = append(r.faults[name], f)
}

// at tells a fault of the document.
func (r *reader) at(path, format string, args ...any) {
	place := r.document.name
	if r.document.file != nil {
		place = r.document.file.PlaceIn(path)
	}
	r.fault(treefile.Fault{Place: place, Text: treefile.Of(path, fmt.Sprintf(format, args...))})
}

// result is what was read, or all faults: those of each file by their lines, and the files by their names.
func (r *reader) result() (*Folder, error) {
	if r.found == 0 {
		for _, list := range r.byKind {
			r.folder.Objects = append(r.folder.Objects, list...)
		}
		return &r.folder, nil
	}
	out := &treefile.Error{More: r.more}
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		treefile.Sort(r.faults[name])
		out.Faults = append(out.Faults, r.faults[name]...)
	}
	return nil, out
}

func newReader() *reader {
	return &reader{seen: map[string]*Object{}, byKind: make([][]*Object, len(kinds)), faults: map[string][]treefile.Fault{}}
}

// Read reads a file, or all files of a folder and those below it whose names end in .yaml, .yml or .json. Names that begin with a dot are left out. Faults are a
// [treefile.Error].
func Read(name string) (*Folder, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	r := newReader()
	if !info.IsDir() {
		if !info.Mode().IsRegular() { // to open a pipe waits for whoever writes to it
			r.document.name = name
			r.at("", "is no regular file")
			return r.result()
		}
		file, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r.open(name, filepath.Dir(name), file)
		return r.result()
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := r.walk(root, name); err != nil {
		return nil, err
	}
	return r.result()
}

// ReadText reads one text; dir is where relative paths start from.
func ReadText(name, dir string, text []byte) (*Folder, error) {
	r := newReader()
	r.text(name, dir, text)
	return r.result()
}

// isFile reports whether a file of the name is read.
func isFile(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(path.Ext(name)))
}

// walk reads the files of a folder, which none of them leaves by a symbolic link.
func (r *reader) walk(root *os.Root, name string) error {
	var files []string
	entries := 0
	err := fs.WalkDir(root.FS(), ".", func(at string, e fs.DirEntry, err error) error {
		entries++
		switch {
		case err != nil:
			return err
		case entries > maxEntries:
			return fmt.Errorf("%s has more than %d files and folders", name, maxEntries)
		case at == ".":
		case strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
		case e.IsDir():
		case e.Type()&fs.ModeSymlink != 0:
			return r.link(root, name, at, &files)
		case isFile(at) && !e.Type().IsRegular():
			r.irregular(name, at)
		case isFile(at):
			files = append(files, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case len(files) > MaxFiles:
		return fmt.Errorf("%s has more than %d files to read", name, MaxFiles)
	case len(files) == 0 && r.found == 0:
		return fmt.Errorf("%s has no file to read: their names end in .yaml, .yml or .json", name)
	}
	for _, at := range files {
		shown := filepath.Join(name, filepath.FromSlash(at))
		file, err := root.Open(filepath.FromSlash(at))
		if err != nil {
			return fmt.Errorf("%s: %w", shown, err)
		}
		r.open(shown, filepath.Dir(shown), file)
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// link takes a symbolic link for the file that it leads to, which is within the folder.
func (r *reader) link(root *os.Root, name, at string, files *[]string) error {
	info, err := root.Stat(filepath.FromSlash(at))
	r.document.name, r.document.file = filepath.Join(name, filepath.FromSlash(at)), nil
	switch {
	case err != nil:
		r.at("", "is a symbolic link that leads to nothing, or out of the folder, and is not followed")
	case info.IsDir():
		r.at("", "is a symbolic link to a folder, which is not followed")
	case isFile(at) && !info.Mode().IsRegular():
		r.irregular(name, at)
	case isFile(at):
		*files = append(*files, at)
	}
	return nil
}

// irregular tells a pipe, a socket or a device, which is not opened: that could wait for ever.
func (r *reader) irregular(name, at string) {
	r.document.name, r.document.file = filepath.Join(name, filepath.FromSlash(at)), nil
	r.at("", "is no regular file")
}

// open reads an open file.
func (r *reader) open(name, dir string, file fs.File) {
	r.document.name, r.document.file = name, nil
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		r.at("", "is no regular file")
		return
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	}
	if err != nil {
		r.at("", "can't be read: %v", err)
		return
	}
	r.text(name, dir, text)
}

// text reads the documents of a file.
func (r *reader) text(name, dir string, text []byte) {
	r.document.name, r.document.dir, r.document.file = name, dir, nil
	r.bytes += len(text)
	switch {
	case len(text) > MaxFileBytes:
		r.at("", "is larger than %d bytes", MaxFileBytes)
		return
	case r.bytes > MaxBytes:
		r.at("", "all files together are larger than %d bytes", MaxBytes)
		return
	}
	documents := split(text)
	if len(documents) > MaxDocuments {
		r.at("", "has more than %d documents", MaxDocuments)
		return
	}
	if len(documents) == 0 {
		r.at("", "the file is empty")
	}
	for _, one := range documents {
		file, err := treefile.Decode(name, one)
		if bad, ok := errors.AsType[*treefile.Error](err); ok {
			for _, f := range bad.Faults {
				r.fault(f)
			}
			r.more += bad.More
			continue
		}
		if err != nil {
			r.at("", "%v", err)
			continue
		}
		r.document.file = file
		r.read(file.JSON)
		r.document.file = nil
	}
}

// split are the documents of a text that say something, each where it stands: what comes before it is blank lines.
func split(text []byte) (out [][]byte) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if first := bytes.TrimLeft(text, " \t\r\n"); len(first) > 0 && (first[0] == '{' || first[0] == '[') {
		return [][]byte{text}
	}
	var one []byte
	lines, says := 0, false
	end := func() {
		if says && len(out) <= MaxDocuments {
			out = append(out, one)
		}
		one, says = bytes.Repeat([]byte("\n"), lines), false
	}
	for line := range bytes.Lines(text) {
		if rest, marker := bytes.CutPrefix(line, []byte("---")); marker && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			end()
			line = append([]byte("   "), rest...)
		}
		if plain := bytes.TrimSpace(line); len(plain) > 0 && plain[0] != '#' {
			says = true
		}
		one = append(one, line...)
		lines++
	}
	end()
	return out
}

// read reads a document.
func (r *reader) read(text []byte) {
	if twice, is := errors.AsType[*rawjson.RepeatedError](rawjson.CheckNames(text)); is {
		r.at(strings.TrimPrefix(twice.Path, "."), "must not be there twice")
		return
	}
	var top map[string]json.RawMessage
	if err := jsonv2.Unmarshal(text, &top); err != nil || top == nil {
		r.at("", "must be an object with taskgrove: %d and one of %s", version, strings.Join(keys()[2:], ", "))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if !slices.Contains(keys(), name) {
			r.at(name, "%s", unknown(name, "a file of what a cluster has", keys()))
		}
	}
	if string(top["taskgrove"]) != fmt.Sprint(version) {
		r.at("taskgrove", "must be there, and %d: the version of the format", version)
	}
	if raw, there := top["owner"]; there {
		r.readOwner(raw)
	}
	for i, k := range kinds {
		raw, there := top[k.key]
		if !there {
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || list == nil {
			r.at(k.key, "must be a list")
			continue
		}
		for n, one := range list {
			r.object(i, fmt.Sprintf("%s[%d]", k.key, n), one)
		}
	}
}

func (r *reader) readOwner(raw json.RawMessage) {
	var owner string
	if json.Unmarshal(raw, &owner) != nil {
		r.at("owner", "must be a string")
		return
	}
	if fault := dag.OwnerFault(owner); fault != "" {
		r.at("owner", "%s", fault)
		return
	}
	if r.owner == "" {
		r.folder.Owner, r.owner = owner, r.document.file.PlaceIn("owner")
	}
	if owner != r.folder.Owner {
		r.at("owner", "must be the same in all files: %s says %s", r.owner, r.folder.Owner)
	}
}

// object reads one object of the i-th kind.
func (r *reader) object(i int, at string, text json.RawMessage) {
	k := kinds[i]
	if len(r.seen) >= MaxObjects {
		if !r.tooMany {
			r.at(at, "there are more than %d objects", MaxObjects)
		}
		r.tooMany = true
		return
	}
	o := &object{r: r, at: at, of: k.name, whole: text}
	if err := jsonv2.Unmarshal(text, &o.values); err != nil || o.values == nil {
		r.at(at, "must be an object")
		return
	}
	before := r.found
	spec, name := k.read(o)
	o.end()
	if name == "" || r.found > before {
		return
	}
	made := &Object{Kind: k.name, Name: name, Spec: spec, dir: r.document.dir, file: r.document.file, path: at}
	id := k.name + " " + name
	if first := r.seen[id]; first != nil {
		r.at(at, "%s is at %s, too", id, first.Place())
		return
	}
	r.seen[id] = made
	r.byKind[i] = append(r.byKind[i], made)
}

// unknown says that there is no such key, and which is meant.
func unknown(name, of string, known []string) string {
	if near := dag.Nearest(name, known); near != "" {
		return fmt.Sprintf("is no key of %s: write %s", of, near)
	}
	return fmt.Sprintf("is no key of %s, which has %s", of, strings.Join(known, ", "))
}
