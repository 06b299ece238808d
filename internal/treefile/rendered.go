package treefile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	conditions "github.com/taskgrove/taskgrove/internal/condition/tasks"
)

// rendering says where the tasks of a tree come from that was made of a tree file.
type rendering struct {
	file  *File // as it was written
	from  []source
	parts []origins
	tasks []int // where each begins in the tree's JSON, and where all end

	of         purpose
	disordered bool // what is wrong with what its tasks need was told
}

// keysOf yields the keys of the object that a document is, as far as it is JSON.
func keysOf(document []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		d := json.NewDecoder(bytes.NewReader(document))
		if open, err := d.Token(); err != nil || open != json.Delim('{') {
			return
		}
		for d.More() {
			key, err := d.Token()
			name, ok := key.(string)
			var value json.RawMessage
			if err != nil || !ok || !yield(name) || d.Decode(&value) != nil {
				return
			}
		}
	}
}

// Names reports whether a document, in JSON, is an object with the version of tree files as one of its keys.
func Names(document []byte) bool {
	return bytes.Contains(document, []byte(`"`+treedoc.FileKey+`"`)) && slices.Contains(slices.Collect(keysOf(document)), treedoc.FileKey)
}

// versionNotFirst reports whether a document looks like a tree file whose version does not come first.
func versionNotFirst(document []byte) bool {
	return Names(document) && slices.Contains(slices.Collect(keysOf(document)), "tasks")
}

// misspeltVersion is the first key of a document if it likely means the version of tree files; empty: it does not.
func misspeltVersion(document []byte) string {
	for name := range keysOf(document) {
		if name != schemaKey {
			if name != treedoc.FileKey && dag.Nearest(name, []string{treedoc.FileKey}) != "" {
				return name
			}
			break
		}
	}
	return ""
}

// misspelt is the fault of a file whose first key likely means the version.
func (f *File) misspelt() *Error {
	key := misspeltVersion(f.JSON)
	return refusedAt(f.PlaceAt(f.offsetOf(key)), treedoc.Short(key)+": there is no such key; did you mean "+treedoc.FileKey+"?")
}

// Render makes the protocol's tree of a tree file, and looks at all that can be seen without a cluster. name is what faults call the file,
// which are an *[Error]. Other than for [Read], the version may stand behind other keys, as many programs sort them.
func Render(name string, data []byte, opts Options) (*File, error) {
	all, err := decode(name, data)
	switch {
	case err != nil:
		return nil, err
	case len(all) > 1:
		return nil, refusedAt(all[1].PlaceAt(0), manyDocuments)
	}
	return all[0].render(opts)
}

const notTreeFile = "is no tree file: its first key must be taskgrove: 1"

// render makes the tree of the file.
func (f *File) render(opts Options) (*File, error) {
	n, err := f.nodes()
	if err != nil {
		return nil, err
	}
	switch {
	case n.kind == '{' && n.get(treedoc.FileKey) != nil:
	case n.kind == '{' && misspeltVersion(f.JSON) != "":
		return nil, f.misspelt()
	default:
		return nil, refusedAt(f.PlaceAt(n.at), notTreeFile)
	}
	r := newRenderer(f, opts.Executors, opts.look())
	return r.finish(r.whole(n, opts.Arguments))
}

func newRenderer(f *File, known dag.Known, by look) *renderer {
	r := &renderer{file: f, known: known, by: by, told: map[Fault]bool{}}
	r.faults, r.more = slices.Clone(f.unsaid[:min(len(f.unsaid), maxFaults)]), max(0, len(f.unsaid)-maxFaults)
	return r
}

// finish gives the file of a tree that was rendered, unless it has faults. *[Error]
func (r *renderer) finish(made *tree) (*File, error) {
	out := made.file(r.file)
	if !r.full {
		r.judgeInner()
		out.judge(r)
	}
	if len(r.faults) > 0 {
		return nil, refuseAll(r.faults, r.more)
	}
	return out, nil
}

// judgeInner tells the faults of the trees within the tree. What is made for items is looked at again with the map that makes it, and told once.
func (r *renderer) judgeInner() {
	for _, inner := range r.inner {
		before := r.count()
		inner.file(r.file).judge(r)
		if inner.of.item && (inner.disordered || r.count() > before) {
			r.doubt(inner.of.path)
			r.doubt(inner.of.path[:strings.LastIndexByte(inner.of.path, '.')] + ".items") // those with which it was tried
		}
	}
}

// look says how tasks are looked at.
type look struct {
	strict bool // keys that have no effect are faults
	inputs map[string]treedoc.InputKeys
	has    func(executor string) bool
}

func (o Options) look() look { return look{!o.AllowUnknown, o.Inputs, o.Has} }

// file is the tree as one of the protocol.
func (t *tree) file(written *File) *File {
	p := &printer{out: []byte{'['}}
	var tasks []int
	for i, task := range t.tasks {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		tasks = append(tasks, len(p.out))
		p.value(task)
	}
	tasks = append(tasks, len(p.out))
	return &File{name: written.name, JSON: append(p.out, ']'), rendering: &rendering{written, p.from, t.from, tasks, t.of, t.disordered}}
}

// judge tells the faults of the tree that the reader of the protocol and its rules find.
func (f *File) judge(r *renderer) {
	found, more, _, err := f.faults(r.by) // what operators have set, only the server looks at
	if err != nil {
		found = []Fault{{Place: f.name, Text: err.Error()}}
	}
	for _, one := range found {
		if !r.unclear(one.Path) && !(one.order && f.rendering.disordered) {
			one.Text = r.asWritten(one.Path, one.Text)
			r.tell(one)
		}
	}
	r.more += more
}

// unclear reports whether a path leads to what has a fault already, so that what is there is not what was meant.
func (r *renderer) unclear(path string) bool {
	return slices.ContainsFunc(r.faulty, func(faulty string) bool { return under(path, faulty) || under(faulty, path) })
}

// under reports whether a path leads to what another one leads to, or into it.
func under(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && other != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// at is where in the file's JSON the byte at an offset of the tree's stands.
func (r *rendering) at(offset int) int {
	i := sort.Search(len(r.from), func(i int) bool { return r.from[i].offset > offset })
	if i == 0 {
		return 0
	}
	return r.from[i-1].at
}

// locate is where a field of a task stands in the tree's JSON, or as near to it as there is something.
func (r *rendering) locate(tree []byte, index int, path string) int {
	if index < 0 || index >= len(r.parts) {
		return 0
	}
	from := r.tasks[index]
	return from + locate(tree[from:r.tasks[index+1]], 0, path)
}

// path is what the file calls a field of a task.
func (r *rendering) path(index int, field string) string {
	if index < 0 || index >= len(r.parts) {
		return field
	}
	of := r.parts[index]
	for i := len(field); i > 0; i-- {
		if named, ok := of.fields[field[:i]]; ok && (i == len(field) || field[i] == '.' || field[i] == '[') {
			return named + field[i:]
		}
	}
	if field == "" {
		return of.path
	}
	return join(of.path, field)
}

var (
	namesTask  = regexp.MustCompile(`tasks\[(\d{1,9})\]((?:\.[A-Za-z_]+|\[\d+\])*)`)
	namesIndex = regexp.MustCompile(`(Task '(?:[^']*)') at index \d+`)
)

// inFile is what a text about the tree says, in the words of the file.
func (r *rendering) inFile(text string) string {
	text = namesTask.ReplaceAllStringFunc(text, func(path string) string {
		m := namesTask.FindStringSubmatch(path)
		var index int
		_, _ = fmt.Sscan(m[1], &index) // they are digits
		if index >= len(r.parts) {
			return path
		}
		return cmp.Or(r.path(index, strings.TrimPrefix(m[2], ".")), "the file")
	})
	return namesIndex.ReplaceAllString(text, "$1")
}

// FaultOf is what is said of a field by the name that APIs give it, "tasks[3].inputs", where it stands and in the file's words.
func (f *File) FaultOf(field, text string) Fault {
	out := Fault{Place: f.PlaceOf(field), Text: f.words(text)}
	if m := aField.FindStringSubmatch(field); m != nil && f.rendering != nil {
		index, _ := strconv.Atoi(m[1]) // they are digits
		out.Path = f.rendering.path(index, m[2])
	}
	return out
}

// words is a text about the tree in the words of the file.
func (f *File) words(text string) string {
	if f.rendering == nil {
		return text
	}
	return f.rendering.inFile(text)
}

// looked are tasks with what else is wrong with them: what conditions say, and what is made for items.
func looked(tasks iter.Seq2[*dag.Task, error], known dag.Known, of purpose) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		index := 0
		for t, err := range tasks {
			switch {
			case err != nil:
			case !of.item:
				lookAt(t, index, known)
			default: // what it makes itself for items is a tree of its own
				if t.Name == "" { // it is named after its map
					t.Name = of.name
				}
				conditions.Check(index, t)
			}
			index++
			if !yield(t, err) {
				return
			}
		}
	}
}

func lookAt(t *dag.Task, index int, known dag.Known) {
	conditions.Check(index, t)
	if t.Executor != dag.MapExecutor || len(t.Faults) > 0 {
		return
	}
	opts := expansion.Options{Executors: known, Check: conditions.Check}
	for _, f := range expansion.InputFaults(t, opts) {
		t.Faults = append(t.Faults, faultIn(t, index, strings.TrimSuffix("inputs."+f.Field, "."), f.Reason))
	}
}

func faultIn(t *dag.Task, index int, field, reason string) *dag.InvalidTaskError {
	return &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.Name, Field: field, Reason: fmt.Sprintf("tasks[%d].%s: %s", index, field, reason)}
}

// faults looks for every fault of the tree, and for its timeout.
func (f *File) faults(by look) (found []Fault, more int, unruled []Unruled, err error) {
	var known dag.Known // a file may name executors that nobody here has
	builder := dag.NewBuilder(unbounded, func() string { return "" })
	if f.rendering != nil && f.rendering.of.item {
		builder = builder.ForItems().Unfilled()
	}
	warnings := &treedoc.Warnings{Inputs: by.inputs, Known: func(string) bool { return true }} // which executors there are, the server says
	tasks := treedoc.Parse(f.JSON, treedoc.Options{Executors: known})
	if f.rendering != nil {
		tasks = looked(tasks, known, f.rendering.of)
	}
	for t, err := range warnings.See(tasks) {
		if err == nil {
			var index int
			if index, err = builder.Add(t); err == nil && len(unruled) < dag.MaxProblems {
				unruled = append(unruled, unruledOf(builder, index, t)...)
			}
		}
		if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
			return []Fault{f.faultOf(bad)}, 0, nil, nil
		}
		if err != nil {
			return nil, 0, nil, err
		}
		if t.ParentRef == "" {
			f.Retention, f.Due = t.Retention, t.Due
		}
		if t.TreeTimeout > 0 {
			f.TreeTimeout = t.TreeTimeout
		}
	}
	_, err = builder.Build()
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		more = bad.More
		for _, p := range bad.Problems {
			if f.rendering != nil && p.Code == dag.InvalidField && p.Field == "parent_id" { // that is the name of the tree or of a group, which is told where it is given
				continue
			}
			found = append(found, f.faultOf(p))
		}
	}
	if by.strict {
		for _, w := range warnings.All() {
			one := f.FaultOf(w.Field, w.Field+": "+w.Reason)
			one.passable = true
			found = append(found, one)
		}
	}
	return found, more, unruled, nil
}
