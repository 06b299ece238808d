// Package treefile reads the document of a tree from a file, in JSON or YAML, and tells every fault of it by line and column.
//
// It owns where in a file each part of a document stands, how YAML becomes JSON, and how a tree file, whose first key is taskgrove, becomes
// the protocol's tree with the values of its parameters. It must not know which keys a document may hold, which package treedoc knows, or
// what becomes of it.
package treefile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// File is a document that was read from a file.
type File struct {
	JSON []byte // of a tree file, the tree that was made of it
	// TreeTimeout is what the root says about the whole tree's time; 0: nothing.
	TreeTimeout time.Duration
	// Retention is what the root says of how long the tree is kept; 0: nothing.
	Retention time.Duration
	// Due is by when the root says that the tree is to have ended; nil: it does not.
	Due *dag.Due

	name    string          // as faults name it
	made    bool            // JSON was made of another form: nothing of it stands in the file
	places  *treedoc.Places // of JSON, where many are asked for; nil: they are counted
	origins []origin        // of YAML: where the parts of JSON come from
	unsaid  []Fault         // of YAML: values that JSON has not, for which null stands
	plain   []int           // of YAML: where texts begin in JSON that have no quotes in the file
	doubted map[string]bool // of YAML: places of these and of their keys, at which nothing else is told

	rendering *rendering // of a tree file; else nil
}

// Rendered reports whether the document was made of a tree file.
func (f *File) Rendered() bool { return f.rendering != nil }

// Options steer the reading.
type Options struct {
	Stdin        io.Reader // what the name "-" means
	AllowUnknown bool      // keys that have no effect and likely mean one that has are no faults
	// Translate makes a document of JSON that holds one in another form, and reports whether it was one. Faults then name the file alone.
	// nil: there is no other form.
	Translate func(json []byte) (document []byte, was bool, err error)
	Arguments *Arguments // for the parameters of a tree file
	Executors dag.Known  // whose ids a tree file may shorten; none: those that the engine knows
	// Inputs are those of executors, by their ids: keys of a tree file's tasks that are nearly one of these are faults. nil: nobody knows.
	Inputs map[string]treedoc.InputKeys
	// Has reports whether a cluster has an executor that Inputs lacks, of which one that is called nearly so may be meant. nil: nobody knows.
	Has func(executor string) bool
}

// Error is every fault of a file, in the order of their lines. Its text is safe to show.
type Error struct {
	Faults   []Fault
	More     int  // how many others there are
	Passable bool // [Options.AllowUnknown] would pass them all
	// Unruled are limits that a cluster judges by what operators have set: the first ones, at least [dag.MaxProblems] of them.
	Unruled []Unruled
}

// Unruled is a limit of a file whose key is known.
type Unruled struct {
	Field string // by the name that APIs give it: "tasks[3].limits[0]"
	Limit dag.Limit
}

// Rule adds the faults of the limits that are judged by what operators have set: most says it for a key.
func (e *Error) Rule(f *File, most func(key string) (max int32, ruled bool)) {
	for _, u := range e.Unruled {
		max, ruled := most(u.Limit.Key)
		if field, reason := u.Limit.RuleFault(max, ruled); reason != "" {
			path := u.Field + "." + field
			e.Faults, e.Passable = append(e.Faults, f.FaultOf(path, path+": "+reason)), false
		}
	}
	Sort(e.Faults)
}

// Fault is one of a file.
type Fault struct {
	Place string // "tree.yaml:3:5", or the file's name alone
	Text  string

	// Path is what it is about in a tree file, in the file's own words, "tasks[1].needs[0]"; empty: the file as a whole, or a value of a parameter.
	Path string

	passable bool // it is a key that has no effect
	order    bool // it is about what tasks depend on
}

// Refuse is the error of these faults and of more others. It puts them into the order of their lines.
func Refuse(faults []Fault, more int) *Error {
	Sort(faults)
	return &Error{Faults: faults, More: more}
}

// Of is what a fault says of the field with a path, which may be any text; empty: of the whole.
func Of(path, reason string) string {
	if path == "" {
		return reason
	}
	return treedoc.Short(path) + ": " + reason
}

// Sort puts faults into the order of their lines; those of the file as a whole come first.
func Sort(faults []Fault) { slices.SortStableFunc(faults, byPosition) }

// refusedAt is the error of one fault.
func refusedAt(place, text string) *Error { return Refuse([]Fault{{Place: place, Text: text}}, 0) }

// Error has a line for each fault.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("not accepted:")
	for _, one := range e.Faults {
		fmt.Fprintf(&b, "\n  %s: %s", one.Place, one.Text)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	if e.Passable {
		b.WriteString("\n--allow-unknown submits it all the same")
	}
	return b.String()
}

// byteOrderMark begins files of some editors.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Read reads a document and looks at all that can be seen without a cluster. What does not begin like JSON is taken for YAML, whatever the
// file's name says. A tree that can't be accepted gives an *[Error].
func Read(name string, opts Options) (*File, error) {
	all, err := Open(name, opts.Stdin)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, refusedAt(all[1].PlaceAt(0), manyDocuments)
	}
	return all[0].Read(opts)
}

// Open gives the documents of a file, of which YAML may have several, as they are written; [File.Read] looks at one. The name "-" means stdin. A file that
// has none, or is neither YAML nor may be JSON, gives an *[Error].
func Open(name string, stdin io.Reader) ([]*File, error) {
	var data []byte
	var err error
	if name == "-" {
		name = "<stdin>"
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(filepath.Clean(name))
	}
	if err != nil {
		return nil, err
	}
	return decode(name, data)
}

// Read looks at a document as [Read] does, and gives it as the protocol has it.
func (f *File) Read(opts Options) (*File, error) {
	if isTreeFile(f.JSON) {
		return f.render(opts)
	}
	switch {
	case versionNotFirst(f.JSON):
		return nil, refusedAt(f.PlaceAt(0), notTreeFile)
	case misspeltVersion(f.JSON) != "":
		return nil, f.misspelt()
	case !opts.Arguments.Empty():
		return nil, refusedAt(f.PlaceAt(0), "has no parameters: only a tree file has, whose first key is taskgrove: 1")
	}
	if opts.Translate != nil {
		var err error
		if f.JSON, f.made, err = opts.Translate(f.JSON); err != nil {
			return nil, refusedAt(f.name, err.Error())
		}
	}
	return f, f.check(look{strict: !opts.AllowUnknown})
}

// Decode makes JSON of a text that begins like JSON, or else is YAML, and looks at nothing that it says: JSON need not be valid. name is
// what faults call the text, which are an *[Error].
func Decode(name string, data []byte) (*File, error) {
	all, err := decode(name, data)
	switch {
	case err != nil:
		return &File{name: name}, err
	case len(all) > 1:
		return all[0], refusedAt(all[1].PlaceAt(0), manyDocuments)
	case len(all[0].unsaid) > 0:
		return all[0], Refuse(all[0].unsaid[:min(len(all[0].unsaid), maxFaults)], max(0, len(all[0].unsaid)-maxFaults))
	}
	return all[0], nil
}

const manyDocuments = "there is more than one document; one is read"

// decode makes JSON of the documents of a text.
func decode(name string, data []byte) (all []*File, err error) {
	return decodeBy(name, data, yamlToJSON)
}

func decodeBy(name string, data []byte, read func([]byte) ([]*yamlWriter, error)) (all []*File, err error) {
	f := &File{name: name}
	data = bytes.TrimPrefix(data, byteOrderMark)
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, refusedAt(f.name, "the file is empty")
	case !utf8.Valid(data):
		return nil, refusedAt(f.place(firstBad(data)), "not UTF-8: save the file as such")
	case text[0] == '{' || text[0] == '[':
		f.JSON = data
		return []*File{f}, nil
	}
	documents, err := read(data)
	if bad, ok := errors.AsType[*yamlFault](err); ok {
		return nil, refusedAt(f.place(bad.at), bad.reason)
	}
	for _, d := range documents {
		one := &File{name: name, JSON: d.out, origins: d.origins, plain: d.plain}
		for at := range d.doubted {
			if one.doubted == nil {
				one.doubted = map[string]bool{}
			}
			one.doubted[f.place(at)] = at.Line > 0
		}
		for _, bad := range d.faults {
			one.unsaid = append(one.unsaid, Fault{Place: f.place(bad.at), Text: bad.reason})
		}
		all = append(all, one)
	}
	return all, err
}

// firstBad is where text stops being UTF-8.
func firstBad(data []byte) treedoc.Position {
	i := 0
	for i < len(data) {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return treedoc.PositionOf(data, i)
}

// unbounded are limits that no server has: what its own are, it says itself.
var unbounded = dag.Limits{Tasks: dag.MaxTreeTasks, Edges: math.MaxInt32, PayloadBytes: math.MaxInt32}

// check looks for every fault of the tree, and for its timeout.
func (f *File) check(by look) error {
	found, more, unruled, err := f.faults(by)
	found = slices.DeleteFunc(found, func(one Fault) bool { return f.doubted[one.Place] })
	if found = append(found, f.unsaid...); len(found) > maxFaults {
		found, more = found[:maxFaults], more+len(found)-maxFaults
	}
	if err != nil || len(found) == 0 {
		return err
	}
	refused := refuseAll(found, more)
	refused.Unruled = unruled
	return refused
}

// refuseAll is [Refuse], and says if all faults may be passed.
func refuseAll(found []Fault, more int) *Error {
	refused := Refuse(found, more)
	refused.Passable = !slices.ContainsFunc(found, func(one Fault) bool { return !one.passable })
	return refused
}

// unruledOf are the limits of a task that operators' ones have a say in. Left out are those that have faults, and keys that name the task's owner: who
// that is, the cluster knows.
func unruledOf(b *dag.Builder, index int, t *dag.Task) (out []Unruled) {
	places := t.Limiting.Unbounded()
	if places == nil {
		return nil
	}
	asked := t.ReadKeys().Of(dag.Identity{Task: "-", Tree: "-", User: "-"})
	for _, place := range places {
		at := fmt.Sprintf("limits[%d]", place)
		if l := asked.Limits[place]; !b.Faulty(index, at+".key", at+".max", at+".cost") && !l.Names("task.user_id", "tree.user_id") {
			out = append(out, Unruled{fmt.Sprintf("tasks[%d].%s", index, at), l})
		}
	}
	return out
}

// lineAndColumn end a place.
var lineAndColumn = regexp.MustCompile(`:(\d+):(\d+)$`)

// position is where in the file the fault is; zero: the file as a whole.
func (f Fault) position() (at treedoc.Position) {
	if m := lineAndColumn.FindStringSubmatch(f.Place); m != nil {
		at.Line, _ = strconv.Atoi(m[1]) // they are digits
		at.Column, _ = strconv.Atoi(m[2])
	}
	return at
}

func byPosition(a, b Fault) int {
	one, other := a.position(), b.position()
	return cmp.Or(cmp.Compare(one.Line, other.Line), cmp.Compare(one.Column, other.Column))
}

// IDs are the ids that the file gives its tasks, in its order.
func (f *File) IDs() iter.Seq[string] {
	return func(yield func(string) bool) {
		for t, err := range treedoc.Parse(f.JSON, treedoc.Options{}) {
			if err != nil || t.ID != "" && !yield(t.ID) {
				return
			}
		}
	}
}

// notJSON is how a reader tells a place in JSON itself.
var notJSON = regexp.MustCompile(`not valid JSON at line (\d+), column (\d+): `)

func (f *File) faultOf(bad *dag.InvalidTaskError) Fault {
	if m := notJSON.FindStringSubmatchIndex(bad.Reason); m != nil && f.origins == nil {
		return Fault{Place: f.name + ":" + bad.Reason[m[2]:m[3]] + ":" + bad.Reason[m[4]:m[5]], Text: "not valid JSON: " + bad.Reason[m[1]:]}
	}
	if strings.HasPrefix(bad.Reason, "Params must be") { // as a request's are called
		return Fault{Place: f.placeOfPath(0, ""), Text: "must be a list of tasks, one task, or an object with tasks"}
	}
	if bad.Index < 0 {
		out := Fault{Place: f.name, Text: f.words(bad.Reason)}
		if strings.HasPrefix(bad.Reason, `"tasks" can't stand beside`) && !f.made { // as it does in a tree file
			out.Place, out.Text = f.PlaceAt(0), out.Text+"; the first key of a tree file is "+treedoc.FileKey+": 1"
		}
		return out
	}
	out := Fault{Place: f.placeOfPath(bad.Index, bad.Field), Text: f.words(bad.Reason), order: bad.Code == dag.InvalidDependency || bad.Code == dag.CircularDependency}
	if f.rendering != nil {
		out.Path = f.rendering.path(bad.Index, bad.Field)
	}
	return out
}

// aField is how APIs name a field of a task.
var aField = regexp.MustCompile(`^tasks\[(\d{1,9})\]\.?(.*)$`)

// PlaceOf is where a field stands, by the name that APIs give it: "tasks[3].inputs".
func (f *File) PlaceOf(field string) string {
	m := aField.FindStringSubmatch(field)
	if m == nil {
		return f.name
	}
	index, _ := strconv.Atoi(m[1]) // they are digits
	return f.placeOfPath(index, m[2])
}

// PlaceIn is where a part of a document of any kind stands, by its path: "schedules[2].tree.tasks[0].needs"; or as near to it as there is something.
func (f *File) PlaceIn(path string) string {
	return f.PlaceAt(f.offsetOf(path))
}

// offsetOf is where a part of the document stands in its JSON.
func (f *File) offsetOf(path string) int {
	l := &locator{text: f.JSON, d: json.NewDecoder(bytes.NewReader(f.JSON))}
	l.found = l.next()
	l.descend(path)
	return l.found
}

// placeOfPath is where a field of a task stands.
func (f *File) placeOfPath(index int, path string) string {
	if f.made {
		return f.name
	}
	if f.rendering != nil {
		return f.PlaceAt(f.rendering.locate(f.JSON, index, path))
	}
	return f.PlaceAt(locate(f.JSON, index, path))
}

// PlaceAt is where the byte at an offset of JSON comes from: "tree.yaml:3:5".
func (f *File) PlaceAt(offset int) string {
	if f.rendering != nil {
		return f.rendering.file.PlaceAt(f.rendering.at(offset))
	}
	if f.origins != nil {
		return f.place(placeOf(f.origins, offset))
	}
	if f.places != nil {
		return f.place(f.places.Of(offset))
	}
	return f.place(treedoc.PositionOf(f.JSON, offset))
}

// place is a place of the file as compilers name it.
func (f *File) place(at treedoc.Position) string {
	if at.Line == 0 {
		return f.name
	}
	return fmt.Sprintf("%s:%d:%d", f.name, at.Line, at.Column)
}
