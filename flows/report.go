package flows

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Report is what is known of a flow document.
type Report struct {
	OK       bool    `json:"ok"`        // there are no errors
	FlowYAML string  `json:"flow_yaml"` // what the document is called
	Errors   []Fault `json:"errors"`
	Warnings []Fault `json:"warnings"`
	More     int     `json:"more,omitempty"` // errors and warnings beyond [MaxFaults]
}

// MaxFaults is how many errors, and how many warnings, a report has.
const MaxFaults = 200

// Fault is one thing that is wrong, or a warning.
type Fault struct {
	Code   Code   `json:"code"`
	Alias  string `json:"alias,omitempty"` // what AetherFlow calls it
	Loc    string `json:"loc"`             // path in the document, "jobs[1].steps[0].inputs.sql"; empty: the document
	Line   int    `json:"line"`            // from 1; 0: the document as a whole
	Column int    `json:"column"`          // in characters, from 1
	Msg    string `json:"msg"`
	File   string `json:"file,omitempty"` // that it stands in; empty: the document itself
}

// Error is the errors of a report, for callers that want no report. It is of the kind that [Compile] gives.
type Error struct{ *Report }

// Error has a line for each error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("not accepted:")
	for _, f := range e.Errors {
		fmt.Fprintf(&b, "\n  %s", f.Text(e.FlowYAML))
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	return b.String()
}

// Text is the fault in the form of compilers: file, line and column first.
func (f *Fault) Text(name string) string {
	name = cmp.Or(f.File, name)
	if f.Line > 0 {
		name = fmt.Sprintf("%s:%d:%d", name, f.Line, f.Column)
	}
	if f.Loc != "" {
		return oneLine(fmt.Sprintf("%s: %s: %s - %s", name, f.Loc, f.Code, f.Msg))
	}
	return oneLine(fmt.Sprintf("%s: %s - %s", name, f.Code, f.Msg))
}

// oneLine is a text without what would steer a terminal, or look like a further line of the report: files may hold anything.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if rawjson.Steers(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Text writes the report for people: OK or INVALID, a line that begins with - for each error, and one that begins with ! for each warning.
func (r *Report) Text(w io.Writer) error {
	word := "OK"
	if !r.OK {
		word = "INVALID"
	}
	if _, err := fmt.Fprintf(w, "%s: %s\n", word, oneLine(r.FlowYAML)); err != nil {
		return err
	}
	return r.Lines(w)
}

// Lines writes the faults as [Report.Text] does, without the line before them.
func (r *Report) Lines(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Errors {
		fmt.Fprintf(&b, "- %s\n", f.Text(r.FlowYAML))
	}
	for _, f := range r.Warnings {
		fmt.Fprintf(&b, "! %s\n", f.Text(r.FlowYAML))
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", r.More)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// reporter collects faults.
type reporter struct {
	Report
	seen map[Fault]bool
}

func newReporter(name string) *reporter {
	return &reporter{Report: Report{FlowYAML: name, Errors: []Fault{}, Warnings: []Fault{}}, seen: map[Fault]bool{}}
}

// tell adds a fault: an error, or a warning if its code is one. alias: what the code's own is, if empty.
func (r *reporter) tell(code Code, alias, loc string, at treedoc.Position, format string, args ...any) {
	about, known := codes[code]
	if !known {
		panic("flows: the code " + string(code) + " is not in the table")
	}
	if r.full(code) {
		r.More++
		return
	}
	r.add(Fault{Code: code, Alias: cmp.Or(alias, about.alias), Loc: loc, Line: at.Line, Column: at.Column, Msg: fmt.Sprintf(format, args...)}, about.warning)
}

// add adds a fault that is not there yet.
func (r *reporter) add(f Fault, warning bool) {
	if r.full(f.Code) {
		r.More++
		return
	}
	if r.seen[f] {
		return
	}
	r.seen[f] = true
	list := &r.Errors
	if warning {
		list = &r.Warnings
	}
	*list = append(*list, f)
}

// full reports whether a fault of a code would only be counted: who would look far for what to say of it need not.
func (r *reporter) full(code Code) bool {
	if codes[code].warning {
		return len(r.Warnings) >= MaxFaults
	}
	return len(r.Errors) >= MaxFaults
}

// tellAt is tell, for a fault whose place is known by its line.
func (r *reporter) tellAt(code Code, loc string, line, column int, msg string) {
	r.tell(code, "", loc, treedoc.Position{Line: line, Column: column}, "%s", msg)
}

// done is the report, its faults in the order of their lines.
func (r *reporter) done() *Report {
	order := func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Loc, b.Loc))
	}
	slices.SortStableFunc(r.Errors, order)
	slices.SortStableFunc(r.Warnings, order)
	r.OK = len(r.Errors) == 0
	out := r.Report
	return &out
}
