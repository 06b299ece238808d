// Package treefile reads the document of a tree from a file, in JSON or YAML, and tells every fault of it by line and column.
//
// It owns where in a file each part of a document stands, and how YAML becomes JSON. It must not know what a document may hold, which
// package treedoc knows, or what becomes of it.
package treefile

import (
	"bytes"
	"cmp"
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
	JSON []byte
	// TreeTimeout is what the root says about the whole tree's time; 0: nothing.
	TreeTimeout time.Duration

	name    string   // as faults name it
	made    bool     // JSON was made of another form: nothing of it stands in the file
	origins []origin // of YAML: where the parts of JSON come from
}

// Options steer the reading.
type Options struct {
	Stdin        io.Reader // what the name "-" means
	AllowUnknown bool      // keys that have no effect and likely mean one that has are no faults
	// Translate makes a document of JSON that holds one in another form, and reports whether it was one. Faults then name the file alone.
	// nil: there is no other form.
	Translate func(json []byte) (document []byte, was bool, err error)
}

// Error is every fault of a file, in the order of their lines. Its text is safe to show.
type Error struct {
	Faults   []Fault
	More     int  // how many others there are
	Passable bool // [Options.AllowUnknown] would pass them all
}

// Fault is one of a file.
type Fault struct {
	Place string // "tree.yaml:3:5", or the file's name alone
	Text  string
}

// Refuse is the error of these faults and of more others. It puts them into the order of their lines.
func Refuse(faults []Fault, more int) *Error {
	Sort(faults)
	return &Error{Faults: faults, More: more}
}

// Sort puts faults into the order of their lines; those of the file as a whole come first.
func Sort(faults []Fault) { slices.SortStableFunc(faults, byPosition) }

// refusedAt is the error of one fault.
func refusedAt(place, text string) *Error { return Refuse([]Fault{{place, text}}, 0) }

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
	f := &File{name: name}
	var data []byte
	var err error
	if name == "-" {
		f.name = "<stdin>"
		data, err = io.ReadAll(opts.Stdin)
	} else {
		data, err = os.ReadFile(filepath.Clean(name))
	}
	if err != nil {
		return nil, err
	}
	if err := f.decode(data); err != nil {
		return nil, err
	}
	if opts.Translate != nil {
		if f.JSON, f.made, err = opts.Translate(f.JSON); err != nil {
			return nil, refusedAt(f.name, err.Error())
		}
	}
	return f, f.check(opts.AllowUnknown)
}

// Decode makes JSON of a text that begins like JSON, or else is YAML, and looks at nothing that it says: JSON need not be valid. name is
// what faults call the text, which are an *[Error].
func Decode(name string, data []byte) (*File, error) {
	f := &File{name: name}
	return f, f.decode(data)
}

// decode makes JSON of the text.
func (f *File) decode(data []byte) (err error) {
	data = bytes.TrimPrefix(data, byteOrderMark)
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(text) == 0:
		return refusedAt(f.name, "the file is empty")
	case !utf8.Valid(data):
		return refusedAt(f.place(firstBad(data)), "not UTF-8: save the file as such")
	case text[0] == '{' || text[0] == '[':
		f.JSON = data
		return nil
	}
	f.JSON, f.origins, err = yamlToJSON(data)
	if bad, ok := errors.AsType[*yamlFault](err); ok {
		return refusedAt(f.place(bad.at), bad.reason)
	}
	return err
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
func (f *File) check(allowUnknown bool) error {
	builder := dag.NewBuilder(unbounded, func() string { return "" })
	warnings := &treedoc.Warnings{}
	for t, err := range warnings.See(treedoc.Parse(f.JSON, treedoc.Options{})) {
		if err == nil {
			_, err = builder.Add(t)
		}
		if bad, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
			return Refuse([]Fault{f.faultOf(bad)}, 0)
		}
		if err != nil {
			return err
		}
		if t.TreeTimeout > 0 {
			f.TreeTimeout = t.TreeTimeout
		}
	}
	var faults []Fault
	more := 0
	_, err := builder.Build()
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		more = bad.More
		for _, p := range bad.Problems {
			faults = append(faults, f.faultOf(p))
		}
	}
	passable := len(faults) == 0
	if !allowUnknown {
		for _, w := range warnings.All() {
			faults = append(faults, Fault{f.PlaceOf(w.Field), w.Field + ": " + w.Reason})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	refused := Refuse(faults, more)
	refused.Passable = passable
	return refused
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
		return Fault{f.name + ":" + bad.Reason[m[2]:m[3]] + ":" + bad.Reason[m[4]:m[5]], "not valid JSON: " + bad.Reason[m[1]:]}
	}
	if strings.HasPrefix(bad.Reason, "Params must be") { // as a request's are called
		return Fault{f.placeOfPath(0, ""), "must be a list of tasks, one task, or an object with tasks"}
	}
	if bad.Index < 0 {
		return Fault{f.name, bad.Reason}
	}
	return Fault{f.placeOfPath(bad.Index, bad.Field), bad.Reason}
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

// placeOfPath is where a field of a task stands.
func (f *File) placeOfPath(index int, path string) string {
	if f.made {
		return f.name
	}
	return f.PlaceAt(locate(f.JSON, index, path))
}

// PlaceAt is where the byte at an offset of JSON comes from: "tree.yaml:3:5".
func (f *File) PlaceAt(offset int) string {
	if f.origins != nil {
		return f.place(placeOf(f.origins, offset))
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
