package treedoc

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
)

// Options steer the reading; the zero value is fine.
type Options struct {
	// Limits bound the memory that one task may take; that tasks keep them in detail is for [dag.Builder] to check.
	Limits dag.Limits
	// Executors is what tasks' executors are chosen from, see [dag.ChooseExecutor].
	Executors dag.Known
}

// maxTask is how long the text of one task may be: its payloads, its dependencies in their longest usual form, and room
// for white space and escapes.
func (o Options) maxTask() int {
	l := o.Limits.OrDefaults()
	return 4*l.PayloadBytes + l.Dependencies*(l.IDChars*utf8.UTFMax+64) + 64<<10
}

// Read yields the tasks of the document that r holds, each its own, as they arrive. What is wrong with fields stands in a task's
// Faults, and reading goes on. After an error nothing follows: it is a *dag.InvalidTaskError where the document is not JSON or has the wrong
// form, or wraps r's own. It reads r to its end, unless the caller stops before. The sequence can be ranged over once.
func Read(r io.Reader, opts Options) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		newReader(newWindow(r, opts.maxTask()), opts).document(yield)
	}
}

// Parse is [Read] for a document that is in memory. The tasks share nothing with data. The sequence can be ranged over
// again.
func Parse(data []byte, opts Options) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		newReader(wholeWindow(data, opts.maxTask()), opts).document(yield)
	}
}

type reader struct {
	w     *window
	task  decoder
	index int // of the next task
}

func newReader(w *window, opts Options) *reader {
	return &reader{w: w, task: decoder{limits: opts.Limits.OrDefaults(), executors: opts.Executors}}
}

// document reads all of it.
func (r *reader) document(yield func(*dag.Task, error) bool) {
	var err error
	switch r.w.next() {
	case '[':
		r.w.at++
		err = r.array(yield)
	case '{':
		err = r.single(yield)
	default:
		if err = r.more(); err == nil {
			err = r.whole("", "Params must be a dict (single task) or list (tasks array)")
		}
	}
	if err == nil {
		err = r.end()
	}
	if err != nil && err != errStopped {
		yield(nil, err)
	}
}

// errStopped means that the caller wants no more.
var errStopped = errors.New("stopped")

// array reads tasks up to the closing bracket; the opening one is behind.
func (r *reader) array(yield func(*dag.Task, error) bool) error {
	if r.w.next() == ']' {
		r.w.at++
		return nil
	}
	for {
		switch r.w.next() {
		case ']', ',', '}', ':':
			return r.unexpected("a task")
		}
		if err := r.more(); err != nil {
			return err
		}
		t, err := r.one()
		if err != nil {
			return err
		}
		if !yield(t, nil) {
			return errStopped
		}
		switch r.w.next() {
		case ',':
			r.w.at++
		case ']':
			r.w.at++
			return nil
		default:
			return r.unexpected("',' or ']'")
		}
	}
}

// single reads the object that the document is: a task, or the one that wraps the array.
func (r *reader) single(yield func(*dag.Task, error) bool) error {
	if r.wraps() {
		if c := r.w.next(); c != '[' {
			if err := r.more(); err != nil {
				return err
			}
			return r.whole("tasks", "Tasks must be a list")
		}
		r.w.at++
		if err := r.array(yield); err != nil {
			return err
		}
		switch r.w.next() {
		case '}':
			r.w.at++
			return nil
		case ',':
			return r.whole("tasks", besideTasks)
		default:
			return r.unexpected("'}'")
		}
	}
	r.task.alone = true
	t, err := r.one()
	switch {
	case err != nil:
		return err
	case r.task.beside:
		return r.whole("tasks", besideTasks)
	case !yield(t, nil):
		return errStopped
	}
	return nil
}

// wraps steps over {"tasks": if that is what comes next, also behind the key that names a schema; else over nothing.
func (r *reader) wraps() bool {
	i, ok := r.follows(r.w.at+1, `"$schema"`, ":", `"`)
	if ok {
		for i = r.load(i); i < r.w.end && isURL(r.w.buf[i]); i = r.load(i + 1) {
		}
		i, ok = r.follows(i, `"`, ",", `"tasks"`, ":")
	} else {
		i, ok = r.follows(r.w.at+1, `"tasks"`, ":")
	}
	if ok {
		r.w.at = i
	}
	return ok
}

// isURL reports whether a byte can be in a URL; none of these is escaped in JSON.
func isURL(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '\\' }

// follows reports whether the texts are what comes next from i of the window on, with white space between, and where they end.
func (r *reader) follows(from int, texts ...string) (end int, ok bool) {
	i := from
	for _, want := range texts {
		for i = r.load(i); i < r.w.end && isSpace(r.w.buf[i]); i = r.load(i + 1) {
		}
		for k := range len(want) {
			if i = r.load(i); i >= r.w.end || r.w.buf[i] != want[k] {
				return i, false
			}
			i++
		}
	}
	return i, true
}

// load makes the byte at i of the window readable, if there is one, and is where it is then.
func (r *reader) load(i int) int {
	if i < r.w.end {
		return i
	}
	n := i - r.w.at
	r.w.more()
	return r.w.at + n
}

// one reads the task that begins here. A value that is no task gives one without fields, with that as its fault.
func (r *reader) one() (*dag.Task, error) {
	object := r.w.buf[r.w.at] == '{'
	text, err := r.w.value()
	var t *dag.Task
	switch {
	case err != nil:
	case !utf8.Valid(text):
		t = r.noTask("must be valid UTF-8")
	case object:
		t, err = r.task.decode(text)
		for _, bad := range r.task.wrongs {
			t.Faults = append(t.Faults, r.fault(t, Short(bad.field), bad.reason))
		}
	default:
		s := scanner{text: text}
		err = s.skip()
		t = r.noTask("must be an object")
	}
	if err != nil {
		return nil, r.explain(err, text, t)
	}
	r.index++
	return t, nil
}

// noTask stands for what is none.
func (r *reader) noTask(reason string) *dag.Task {
	return &dag.Task{Priority: dag.Normal, Faults: []*dag.InvalidTaskError{r.fault(nil, "", reason)}}
}

// explain makes the error that callers see of one that ends the reading. text is the task's, and behind the window's next byte; it is
// nil if the task did not end, and then begins there.
func (r *reader) explain(err error, text []byte, t *dag.Task) error {
	if bad, ok := errors.AsType[*syntaxError](err); ok {
		r.w.at += bad.at - len(text)
		return r.fault(t, "", notJSON(r.w.position(), bad.reason))
	}
	if errors.Is(err, errTooLong) {
		return r.fault(t, "", fmt.Sprintf("must be at most %d bytes in all", r.w.max))
	}
	return err
}

func notJSON(at Position, reason string) string {
	return fmt.Sprintf("not valid JSON at line %d, column %d: %s", at.Line, at.Column, reason)
}

// Short is a field's name as fit to be shown: names of unknown keys may be anything.
func Short(field string) string {
	const most = 100
	if len(field) > most {
		field = strings.ToValidUTF8(field[:most], "") + "…"
	}
	return strings.ReplaceAll(field, "\x00", "\uFFFD")
}

// fault is one of the next task, or of the field of it that is named. t, which may be nil, is what is known of it.
func (r *reader) fault(t *dag.Task, field, reason string) *dag.InvalidTaskError {
	path := ""
	if field != "" {
		path = "." + field
	}
	e := &dag.InvalidTaskError{
		Code: dag.InvalidField, Index: r.index, Field: field, Reason: fmt.Sprintf("tasks[%d]%s: %s", r.index, path, reason),
	}
	if t != nil {
		if e.Task = t.ID; e.Task == "" {
			e.Task = t.Name
		}
	}
	return e
}

// whole is a fault of the document.
func (r *reader) whole(field, reason string) *dag.InvalidTaskError {
	return &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: field, Reason: reason}
}

const besideTasks = `"tasks" can't stand beside other keys, but for "$schema" before it`

// more is the error if nothing follows.
func (r *reader) more() error {
	if r.w.at < r.w.end {
		return nil
	}
	if r.w.err != io.EOF {
		return r.w.ended()
	}
	return r.syntax("unexpected end")
}

func (r *reader) syntax(reason string) error {
	return r.whole("", notJSON(r.w.position(), reason))
}

// unexpected says what is wrong with the byte at hand, or that there is none.
func (r *reader) unexpected(want string) error {
	if err := r.more(); err != nil {
		return err
	}
	return r.syntax(fmt.Sprintf("unexpected %s, want %s", showByte(r.w.buf[r.w.at]), want))
}

// end demands that nothing follows.
func (r *reader) end() error {
	r.w.next()
	switch {
	case r.w.at < r.w.end:
		return r.unexpected("the end")
	case r.w.err != io.EOF:
		return r.w.ended()
	}
	return nil
}
