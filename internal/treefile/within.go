package treefile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Within renders a tree file that stands in another document, in JSON: an object with the key taskgrove, or a string with the file's text. path is
// where it stands there. *[Error], whose faults have their paths in that document as Path and in their Text.
func Within(document []byte, path string, known dag.Known) (*File, error) {
	written := &File{name: path, JSON: document}
	n, err := written.nodes()
	if err != nil {
		return nil, err
	}
	w := &within{known: known}
	f, err := w.file(written, n, path, nil)
	return f, pathsOf(err)
}

// Inputs renders the trees in the inputs of a task of the protocol, an object in JSON, that are written as in tree files: the tree of a subtree, which
// is a file as [Within] knows it, and what a map makes for each item, where task is a task of a file with the key taskgrove beside its own, and tasks an
// object with that key, tasks, and maybe defaults and parameters. The input parameters has values for these. was: there is such a tree, which the
// inputs have in the form of the protocol now. *[Error], as of [Within].
func Inputs(executor string, inputs []byte, known dag.Known) (rendered []byte, was bool, err error) {
	keys := embedding[executor]
	if keys == nil || !bytes.Contains(inputs, []byte(treedoc.FileKey)) {
		return nil, false, nil
	}
	written := &File{name: "inputs", JSON: inputs}
	n, err := written.nodes()
	if err != nil || n.kind != '{' { // which others tell
		return nil, false, nil
	}
	w := &within{known: known}
	out := object(n.at)
	var faults []Fault
	more := 0
	note := func(err error) {
		if refused, ok := err.(*Error); ok {
			faults, more = append(faults, refused.Faults...), more+refused.More
		}
	}
	for _, m := range n.members {
		if slices.Contains(keys, m.name) && (m.value.embeds() || executor == dag.SubtreeExecutor && m.value.kind == '"') {
			was = true
		}
	}
	if !was {
		return nil, false, nil
	}
	args := &Arguments{}
	if v := n.get(root); v != nil {
		note(args.add(v, "inputs."+root, nil))
	}
	for _, m := range n.members {
		path := "inputs." + m.name
		switch {
		case m.name == root:
			continue
		case !slices.Contains(keys, m.name):
		case executor == dag.SubtreeExecutor && (m.value.kind == '"' || m.value.embeds()):
			f, err := w.file(written, m.value, path, args)
			if err == nil {
				m.value, err = f.nodes()
			}
			note(err)
		case m.value.embeds():
			made, err := w.items(written, m.value, path, m.name == "task", args)
			if note(err); err == nil {
				m.value = made
			}
		}
		out.members = append(out.members, m)
	}
	if len(faults) > 0 {
		return nil, true, pathsOf(Refuse(faults[:min(len(faults), maxFaults)], more+max(0, len(faults)-maxFaults)))
	}
	return out.json(), true, nil
}

// embedding are the inputs that hold trees, by executor.
var embedding = map[string][]string{dag.SubtreeExecutor: {"tree"}, dag.MapExecutor: {"task", "tasks"}}

// embeds reports whether a value is an object with the version of tree files.
func (n *node) embeds() bool { return n.kind == '{' && n.get(treedoc.FileKey) != nil }

// within renders what stands in a document.
type within struct{ known dag.Known }

// file renders a tree file, which is a value of a document.
func (w *within) file(of *File, n *node, path string, args *Arguments) (*File, error) {
	if n.kind == '"' {
		return w.text(n.text, path, args)
	}
	if !n.embeds() {
		return nil, Refuse([]Fault{{Place: path, Path: path, Text: path + ": " + notTreeFile}}, 0)
	}
	r := newRenderer(&File{name: path, JSON: of.JSON, origins: of.origins}, w.known, look{strict: true})
	r.base = path
	return r.finish(r.whole(n, args))
}

// text renders a file whose text is a string of a document. Faults tell its lines, too.
func (w *within) text(text, path string, args *Arguments) (out *File, err error) {
	f, err := Decode(path, []byte(text))
	if err == nil {
		var n *node
		if n, err = f.nodes(); err == nil && n.kind == '"' {
			err = refusedAt(path, notTreeFile)
		}
		if err == nil {
			out, err = w.file(f, n, path, args)
		}
	}
	if refused, ok := err.(*Error); ok {
		for i := range refused.Faults {
			if at := refused.Faults[i].position(); at.Line > 0 {
				refused.Faults[i].Text += fmt.Sprintf(" (line %d, column %d)", at.Line, at.Column)
			}
		}
	}
	return out, err
}

// items renders what a map makes for each item: one task, or an object with tasks.
func (w *within) items(of *File, n *node, path string, single bool, args *Arguments) (*node, error) {
	of = &File{name: path, JSON: of.JSON}
	r := newRenderer(of, w.known, look{strict: true})
	r.base, r.defaults = path, noDefaults(n.at)
	r.version(n, path)
	t := &taskRenderer{renderer: r}
	n = withoutOwn(n)
	var made *node
	if single {
		r.readParameters(nil, args) // it has none
		n.members = slices.DeleteFunc(n.members, func(m member) bool { return m.name == treedoc.FileKey })
		made = t.itemTask(n, path)
	} else {
		known := slices.DeleteFunc(slices.Clone(treedoc.FileKeys()), func(k treedoc.Key) bool { return !slices.Contains(ofItems, k.Name) })
		r.keys(n, path, known, treedoc.Unknown)
		r.readParameters(n.given(root), args)
		r.readDefaults(n, path)
		defaults := r.defaults
		if tasks := n.given("tasks"); tasks == nil || tasks.kind != '[' {
			r.fault(n.placeOf("tasks"), r.below("tasks"), "must be a list of tasks")
		} else {
			made = t.itemTasks(tasks, r.below("tasks"), true)
		}
		r.unusedDefaults(defaults, path)
	}
	r.judgeInner()
	if len(r.faults) > 0 {
		return nil, refuseAll(r.faults, r.more)
	}
	return made, nil
}

// ofItems are the keys of what a map makes for each item, if it is a list of tasks.
var ofItems = []string{treedoc.FileKey, root, "defaults", "priority", "pool", "tasks"}

// pathsOf are faults whose texts begin with their paths.
func pathsOf(err error) error {
	refused, ok := err.(*Error)
	if !ok {
		return err
	}
	for i := range refused.Faults {
		f := &refused.Faults[i]
		if f.Path == "" {
			f.Path, _, _ = strings.Cut(f.Place, ":")
		}
		if !strings.HasPrefix(f.Text, f.Path) {
			f.Text = f.Path + ": " + f.Text
		}
	}
	return refused
}
