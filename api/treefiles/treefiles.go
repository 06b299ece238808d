// Package treefiles takes tree files that come with requests.
//
// It owns how such a file is given, and how its faults, and those of its tree, are told to callers. It must not know the protocol that brought it.
package treefiles

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// File is a tree file that came with a request.
type File struct {
	file   *treefile.File
	source source
}

// source is how a file came, which says where its faults are told.
type source struct {
	name   string // of the field that held it
	object bool   // a fault is told by its path, as there is no text that has lines
}

// Read reads a tree file, as a JSON string with its text or as an object, and gives its parameters their values, an object or nothing. An error
// has every fault, each with its line and column in a text.
func Read(file, parameters json.RawMessage, known dag.Known) (*File, error) {
	return read(source{name: "file"}, file, parameters, known)
}

// ReadValue is [Read] for a field, of the name, that is no JSON by itself: faults of an object have their path, as no client has seen its text.
func ReadValue(name string, file, parameters json.RawMessage, known dag.Known) (*File, error) {
	return read(source{name, len(file) > 0 && file[0] != '"'}, file, parameters, known)
}

// Is reports whether a document is a tree file: a text, or an object that says so.
func Is(document json.RawMessage) bool {
	return len(document) > 0 && document[0] == '"' || treefile.Names(document)
}

func read(from source, file, parameters json.RawMessage, known dag.Known) (*File, error) {
	text := []byte(file)
	if len(text) > 0 && text[0] == '"' {
		plain, whole := rawjson.Unquote(text)
		if !whole {
			return nil, api.InvalidParameter(from.name, "must be valid Unicode")
		}
		text = []byte(plain)
	}
	given := &treefile.Arguments{}
	if err := given.JSON(parameters); err != nil {
		return nil, from.faults(err)
	}
	f, err := treefile.Render(from.name, text, treefile.Options{Arguments: given, Executors: known})
	if err != nil {
		return nil, from.faults(err)
	}
	return &File{f, from}, nil
}

// Document is the tree as the task-tree protocol has it.
func (t *File) Document() json.RawMessage { return t.file.JSON }

// faults are faults of a file as those of a tree: the place is the field.
func (s source) faults(err error) error {
	refused, ok := errors.AsType[*treefile.Error](err)
	if !ok {
		return err
	}
	tree := &dag.InvalidTreeError{More: refused.More}
	for _, f := range refused.Faults {
		field, reason := f.Place, f.Text
		if s.object && strings.HasPrefix(field, s.name) {
			field = s.name
			if f.Path != "" {
				field += "." + f.Path
				reason = strings.TrimPrefix(reason, f.Path+": ")
			}
		}
		tree.Problems = append(tree.Problems, &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: field, Reason: field + ": " + reason})
	}
	return tree
}

// Explain says of the faults of the tree where in the file they stand. Other errors stay as they are.
func (t *File) Explain(err error) error {
	bad, ok := errors.AsType[*dag.InvalidTreeError](err)
	if !ok {
		one, is := errors.AsType[*dag.InvalidTaskError](err)
		if !is {
			return err
		}
		bad = &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{one}}
	}
	refused := treefile.Refuse(nil, bad.More)
	for _, p := range bad.Problems {
		refused.Faults = append(refused.Faults, t.file.FaultOf(dag.FieldOf(p), p.Reason))
	}
	treefile.Sort(refused.Faults)
	return t.source.faults(refused)
}
