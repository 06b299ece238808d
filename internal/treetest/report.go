package treetest

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/taskgrove/taskgrove/dag"
)

// Report is what a mocks file has come to.
type Report struct {
	File   string        `json:"file"`
	Passed int           `json:"passed"`
	Failed int           `json:"failed"`
	Cases  []*CaseReport `json:"cases"`
}

// CaseReport is what a case has come to.
type CaseReport struct {
	Name string `json:"name"`
	// Status is passed, failed, if expectations were not met, or error, if it can't be judged: a mock is missing, or the tree never ends.
	Status   string    `json:"status"`
	Outcome  string    `json:"outcome,omitempty"` // of the tree: completed, failed or cancelled
	Seconds  float64   `json:"virtual_seconds"`
	Failures []Failure `json:"failures,omitempty"`
	Tasks    []Outcome `json:"tasks,omitempty"`
	Steps    []Step    `json:"steps,omitempty"` // what happened, in order
}

// The states of a case.
const (
	Passed = "passed"
	Failed = "failed"
	Errors = "error"
)

// Failure is what a case has failed of, and where the file says otherwise.
type Failure struct {
	Place string `json:"place,omitempty"`
	Text  string `json:"text"`
}

// Outcome is what a task has come to.
type Outcome struct {
	Name     string          `json:"name"`
	Outcome  string          `json:"outcome,omitempty"`
	Attempts int             `json:"attempts"`
	Started  *float64        `json:"started,omitempty"` // in seconds from the start of the tree
	Ended    *float64        `json:"ended,omitempty"`
	Inputs   json.RawMessage `json:"inputs,omitempty"` // of its last attempt
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// Step is something that happened to a task.
type Step struct {
	Seconds float64 `json:"seconds"` // from the start of the tree
	Task    string  `json:"task"`
	Text    string  `json:"text"`
}

// Run plays all cases.
func (s *Suite) Run() *Report {
	out := &Report{File: s.Name}
	for _, c := range s.cases {
		one := s.run(c)
		if one.Status == Passed {
			out.Passed++
		} else {
			out.Failed++
		}
		out.Cases = append(out.Cases, one)
	}
	return out
}

func (s *Suite) run(c *testCase) *CaseReport {
	w := &world{game: s.game, c: c, byName: map[string][]*task{}}
	w.play()
	out := &CaseReport{Name: c.name, Status: Passed, Seconds: seconds(w.elapsed()), Steps: w.steps}
	if len(w.trees) > 0 && w.trees[0].finished {
		out.Outcome, out.Seconds = string(w.trees[0].status()), seconds(w.trees[0].ended.Sub(c.start))
	}
	for _, t := range w.tasks[:min(len(w.tasks), maxListed)] {
		out.Tasks = append(out.Tasks, w.outcomeOf(t))
	}
	if len(w.problems) > 0 {
		out.Status, out.Failures = Errors, w.problems
		return out
	}
	if out.Failures = w.judgeCase(); len(out.Failures) > 0 {
		out.Status = Failed
	}
	return out
}

// maxListed is how many tasks of a case a report lists.
const maxListed = 1000

func (w *world) outcomeOf(t *task) Outcome {
	out := Outcome{Name: t.path(), Outcome: t.row.State.Outcome(), Attempts: t.runs, Inputs: t.inputs, Result: t.result(), Error: t.failure()}
	since := func(at time.Time) *float64 {
		s := seconds(at.Sub(w.c.start))
		return &s
	}
	if t.runs > 0 {
		out.Started = since(t.started)
	}
	if t.row.State.Settled() {
		out.Ended = since(t.ended)
	}
	return out
}

// maxTold is how much of what happened is told of a case that failed, unless all is asked for.
const maxTold = 50

// Text writes the report for people. steps: with all that happened, also of cases that passed.
func (r *Report) Text(out io.Writer, steps bool) {
	w := &plainWriter{out}
	for _, c := range r.Cases {
		verdict := "ok  "
		switch c.Status {
		case Failed:
			verdict = "FAIL"
		case Errors:
			verdict = "ERR "
		}
		fmt.Fprintf(w, "%s  %s (%s)\n", verdict, c.Name, spanText(c.Seconds))
		for _, f := range c.Failures {
			fmt.Fprintf(w, "      %s\n", f)
		}
		shown := c.Steps
		switch {
		case steps:
		case c.Status == Passed:
			shown = nil
		case len(shown) > maxTold:
			shown = shown[:maxTold]
		}
		for _, s := range shown {
			fmt.Fprintf(w, "      %10s  %s: %s\n", spanText(s.Seconds), s.Task, s.Text)
		}
		if more := len(c.Steps) - len(shown); more > 0 && len(shown) > 0 {
			fmt.Fprintf(w, "      and %d more, which --steps tells\n", more)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", r.Passed, r.Failed)
}

// plainWriter writes no control characters, which terminals may obey, but for the ends of lines.
type plainWriter struct{ io.Writer }

// Write implements [io.Writer].
func (w *plainWriter) Write(text []byte) (int, error) {
	line := strings.TrimSuffix(string(text), "\n")
	plain := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, line)
	_, err := io.WriteString(w.Writer, plain+"\n")
	return len(text), err
}

// String is the failure with its place.
func (f Failure) String() string {
	if f.Place == "" {
		return f.Text
	}
	return f.Place + ": " + f.Text
}

func spanText(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

// The words of JUnit's reports.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class      string          `xml:"classname,attr"`
		Name       string          `xml:"name,attr"`
		Properties []junitProperty `xml:"properties>property,omitempty"`
		Failure    *junitFault     `xml:"failure,omitempty"`
		Error      *junitFault     `xml:"error,omitempty"`
		Out        string          `xml:"system-out,omitempty"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitFault struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the report as programs of continuous integration read it.
func (r *Report) JUnit(w io.Writer) error {
	suite := junitSuite{Name: r.File, Tests: len(r.Cases)}
	for _, c := range r.Cases {
		one := junitCase{Class: r.File, Name: c.Name, Properties: []junitProperty{{"virtual_seconds", fmt.Sprint(c.Seconds)}}}
		if c.Status != Passed {
			var lines []string
			for _, f := range c.Failures {
				lines = append(lines, f.String())
			}
			fault := &junitFault{Message: c.Failures[0].Text, Text: strings.Join(lines, "\n")}
			if c.Status == Failed {
				suite.Failures++
				one.Failure = fault
			} else {
				suite.Errors++
				one.Error = fault
			}
			var steps strings.Builder
			for _, s := range c.Steps {
				fmt.Fprintf(&steps, "%s  %s: %s\n", spanText(s.Seconds), s.Task, s.Text)
			}
			one.Out = steps.String()
		}
		suite.Cases = append(suite.Cases, one)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// called are the tasks of a name: those of the first tree, if it has some.
func (w *world) called(name string) []*task {
	if strings.Contains(name, "*") {
		return slices.DeleteFunc(slices.Clone(w.tasks), func(t *task) bool { return !t.fits(name) })
	}
	for _, t := range w.tasks[w.indexed:] {
		for _, own := range t.names() {
			w.byName[own] = append(w.byName[own], t)
		}
	}
	w.indexed = len(w.tasks)
	all := w.byName[name]
	if first := slices.DeleteFunc(slices.Clone(all), func(t *task) bool { return t.tree != w.trees[0] }); len(first) > 0 {
		return first
	}
	return all
}

// judgeCase compares what a case has come to with what is expected of it.
func (w *world) judgeCase() (all []Failure) {
	e := &w.c.expect
	fail := func(place, format string, args ...any) {
		if len(all) < maxProblems {
			all = append(all, Failure{cmp.Or(place, w.c.place), fmt.Sprintf(format, args...)})
		}
	}
	first := w.trees[0]
	if got := first.status(); got != e.outcome {
		fail(e.place, "outcome: want %s, got %s%s", e.outcome, got, w.firstFault(first))
	}
	if took := first.ended.Sub(w.c.start); e.within != nil && took > *e.within {
		fail(e.place, "within: want at most %s, took %s", e.within, took)
	}
	for i := range e.tasks {
		w.judgeTasks(&e.tasks[i], fail)
	}
	for _, o := range e.orders {
		for i := range o.tasks[1:] {
			w.judgeOrder(o.place, o.tasks[i], o.tasks[i+1], fail)
		}
	}
	return all
}

// firstFault says which task made a tree fail.
func (w *world) firstFault(tr *tree) string {
	for _, t := range tr.tasks {
		if t != nil && t.row.State == dag.Failed && t.row.Flags&dag.FlagAllowed == 0 && (t != tr.root || t.runs > 0) {
			return fmt.Sprintf(": %s: %s", t.path(), short(t.failure()))
		}
	}
	return ""
}

type teller func(place, format string, args ...any)

func (w *world) judgeTasks(e *taskExpectation, fail teller) {
	tasks := w.called(e.name)
	switch {
	case e.count != nil && len(tasks) != *e.count:
		fail(e.at("count"), "%s: want %d tasks, got %d", e.name, *e.count, len(tasks))
	case e.count == nil && len(tasks) == 0:
		fail(e.place, "%s: no such task was made", e.name)
	}
	for _, t := range tasks {
		w.judgeTask(e, t, fail)
	}
}

func (w *world) judgeTask(e *taskExpectation, t *task, fail teller) {
	name := t.path()
	if got := t.row.State.Outcome(); e.outcome != "" && got != e.outcome {
		why := ""
		if text := t.failure(); text != "" {
			why = " (" + short(text) + ")"
		}
		fail(e.at("outcome"), "%s: want %s, got %s%s", name, e.outcome, got, why)
	}
	if e.attempts != nil && t.runs != *e.attempts {
		fail(e.at("attempts"), "%s: want %d attempts, got %d", name, *e.attempts, t.runs)
	}
	for _, part := range []struct {
		key       string
		want, got json.RawMessage
	}{{"inputs", e.inputs, t.inputs}, {"result", e.result, t.result()}, {"outputs", e.outputs, t.outputs()}} {
		switch {
		case part.want == nil:
		case part.key == "inputs" && t.runs == 0:
			fail(e.at(part.key), "%s: inputs: no attempt was started", name)
		default:
			if text := differs(part.key, part.want, part.got); text != "" {
				fail(e.at(part.key), "%s: %s", name, text)
			}
		}
	}
	if e.failure != "" && !strings.Contains(t.failure(), e.failure) {
		fail(e.at("error"), "%s: error: want %q in it, got %q", name, e.failure, short(t.failure()))
	}
	if e.reason != "" {
		got := ""
		if t.row.State == dag.Skipped {
			got = dag.SkipReason(t.result())
		}
		if got != e.reason {
			fail(e.at("reason"), "%s: reason: want %q, got %q", name, e.reason, got)
		}
	}
	if e.blockedBy != "" {
		switch {
		case t.row.State != dag.Blocked:
			fail(e.at("blocked_by"), "%s: want it blocked by %s, and it is %s", name, e.blockedBy, t.row.State)
		case !w.task(t.row.BlockedBy).fits(e.blockedBy):
			fail(e.at("blocked_by"), "%s: want it blocked by %s, and it is by %s", name, e.blockedBy, w.task(t.row.BlockedBy).path())
		}
	}
	w.judgeTime(e, "started", t, e.started, t.started, t.runs > 0, fail)
	w.judgeTime(e, "ended", t, e.ended, t.ended, t.row.State.Settled(), fail)
}

func (w *world) judgeTime(e *taskExpectation, key string, t *task, want *time.Duration, at time.Time, has bool, fail teller) {
	switch {
	case want == nil:
	case !has:
		fail(e.at(key), "%s: %s: want %s, and it has not", t.path(), key, want)
	case at.Sub(w.c.start).Round(time.Millisecond) != want.Round(time.Millisecond):
		fail(e.at(key), "%s: %s: want %s, got %s", t.path(), key, want, at.Sub(w.c.start).Round(time.Millisecond))
	}
}

// maxPairs is how many pairs of tasks are compared.
const maxPairs = 1_000_000

// judgeOrder tells where tasks of a name start before those of another one have ended.
func (w *world) judgeOrder(place, before, after string, fail teller) {
	first, second := w.called(before), w.called(after)
	if len(first)*len(second) > maxPairs {
		fail(place, "order: %s and %s are too many tasks to compare: %d and %d", before, after, len(first), len(second))
		return
	}
	ran := false
	for _, b := range second {
		if b.runs == 0 {
			continue
		}
		ran = true
		var past map[turn]bool // read once it is needed
		for _, a := range first {
			if past == nil && a.ended.Equal(b.started) {
				past = b.past()
			}
			switch {
			case a == b, a.finder != nil && a.finder == b.finder && a.item() != b.item(): // each item has its own order
			case a.ended.Equal(b.started) && !past[turn{a, true}]:
				fail(place, "order: %s starts when %s ends, %s after the start, and does not wait for it", b.path(), a.path(), b.started.Sub(w.c.start))
				return
			case a.endedAt >= b.startedAt:
				fail(place, "order: %s starts %s after the start, and %s ends %s after it", b.path(), b.started.Sub(w.c.start), a.path(), a.ended.Sub(w.c.start))
				return
			}
		}
	}
	switch {
	case len(first) == 0:
		fail(place, "order: there is no task %s", before)
	case !ran:
		fail(place, "order: %s never ran", after)
	}
}

// item is the number of the item that the task was made for, among those of who found it.
func (t *task) item() int {
	f := t.finder.found
	if f.plan.PerItem == 0 {
		return 0
	}
	return (t.row.Key.Index() - f.first) / f.plan.PerItem
}

// turn is the start or the end of a task.
type turn struct {
	*task
	ends bool
}

// past is all that had to come before the start of a task, also through others.
func (t *task) past() map[turn]bool {
	seen := map[turn]bool{}
	for stack := []turn{{t, false}}; len(stack) > 0; {
		one := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, before := range one.causes() {
			if !seen[before] {
				seen[before] = true
				stack = append(stack, before)
			}
		}
	}
	return seen
}

// causes are what had to come before it: before its end its start, and the ends of what it has found or submitted; before its start the ends of what it depends
// on, and the start of who found or submitted it.
func (t turn) causes() (all []turn) {
	add := func(of *task, ends bool) {
		if of != nil {
			all = append(all, turn{of, ends})
		}
	}
	if t.ends {
		add(t.task, false)
		if t.found != nil {
			for _, one := range t.found.below(t.tree) {
				add(one, true)
			}
		}
		if t.below != nil {
			for _, one := range t.below.tasks {
				add(one, true)
			}
		}
		return all
	}
	for _, e := range t.deps {
		add(t.tree.tasks[e.Task], true)
	}
	if t.finder != nil {
		add(t.finder, false)
	} else {
		add(t.tree.waiter, false)
	}
	return all
}
