package treetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Bounds of mocks files, and of what they run.
const (
	MaxBytes    = 1 << 20 // of a mocks file
	maxCases    = 1000
	maxMocks    = 10_000 // of one name
	maxEvents   = 1000
	maxTasks    = 100_000 // of a case, in all its trees
	maxAttempts = 100_000 // likewise
	maxTime     = 10 * 365 * 24 * time.Hour
)

// Options are what a mocks file is read and run with.
type Options struct {
	// Tree reads the tree that is tested, with values for its parameters.
	Tree func(*treefile.Arguments) (*treefile.File, error)
	// Given are values for its parameters that those of a case go before; nil: none.
	Given *treefile.Arguments
	// Executors are those that the tree may name by less than their ids, and Described what they say of themselves: inputs of tasks are checked by it.
	Executors dag.Known
	Described iter.Seq[executors.Description]
}

// Suite is a mocks file that was read, with the tree of each case.
type Suite struct {
	Name  string
	cases []*testCase
	game  *game
}

// game is what all cases have in common.
type game struct {
	executors dag.Known
	timeouts  map[string]time.Duration // of executors, for tasks that have none
	submitted *inputs.Submitted
	schemas   *inputs.Checker
}

// testCase is one case.
type testCase struct {
	name, place string
	parameters  []treefile.Value // later ones go before
	start       time.Time
	mocks       []namedMocks // in the order in which they count
	exact       map[string][]namedMocks
	patterns    []namedMocks // those whose names have *
	byDefault   *mock
	events      []event
	expect      expectation
	tree        []byte // the document
}

// namedMocks are the mocks of the tasks of a name.
type namedMocks struct {
	name, place string
	mocks       []*mock
}

// mock is what an attempt comes to.
type mock struct {
	place    string
	attempts []int // that it is for; empty: any
	inputs   json.RawMessage

	result     json.RawMessage // nil: {}
	failure    string
	fails      bool
	kind       string
	permanent  bool
	retryAfter time.Duration
	skip       string
	expand     json.RawMessage
	signal     json.RawMessage // nil: none comes
	choice     string          // empty: none comes
	by         string
	comment    string
	hangs      bool
	lost       bool
	takes      time.Duration
}

// answers reports whether the mock is what comes to a task that waits, and not what its attempt ends with.
func (m *mock) answers() bool { return m.signal != nil || m.choice != "" }

// event is something that a user does.
type event struct {
	place string
	at    time.Duration
	task  string
	skip  bool
}

// expectation is what a tree must come to.
type expectation struct {
	place   string
	outcome dag.Status
	tasks   []taskExpectation
	orders  []order
	within  *time.Duration
}

type order struct {
	place string
	tasks []string
}

// taskExpectation is what tasks of a name must come to.
type taskExpectation struct {
	name, place     string
	outcome         string // empty: any; as are all others that are not there
	attempts, count *int
	inputs, result  json.RawMessage
	outputs         json.RawMessage
	failure, reason string
	blockedBy       string
	started, ended  *time.Duration
	places          map[string]string // of its keys
}

func (e *taskExpectation) at(key string) string { return cmp.Or(e.places[key], e.place) }

// Load reads a mocks file and the tree of each of its cases. What is wrong with either is a *[treefile.Error] of all faults.
func Load(name string, data []byte, opts Options) (*Suite, error) {
	if len(data) > MaxBytes {
		return nil, treefile.Refuse([]treefile.Fault{{Place: name, Text: "it has over 1 MiB: write several files"}}, 0)
	}
	f, err := treefile.Decode(name, data)
	if err != nil {
		return nil, err
	}
	document, err := f.Value()
	if err != nil {
		return nil, err
	}
	r := &reader{told: map[treefile.Fault]bool{}}
	s := &Suite{Name: name, cases: r.file(document), game: newGame(opts)}
	read := map[string]*plan{}
	for _, c := range s.cases {
		r.tree(s.game, c, opts, read)
	}
	if len(r.faults) > 0 {
		return nil, treefile.Refuse(r.faults, r.more)
	}
	return s, nil
}

func newGame(opts Options) *game {
	g := &game{executors: opts.Executors, timeouts: map[string]time.Duration{}, schemas: inputs.NewChecker(0)}
	described := opts.Described
	if described == nil {
		described = func(func(executors.Description) bool) {}
	}
	for d := range described {
		g.timeouts[d.ID] = d.Timeout
	}
	g.submitted = inputs.NewSubmitted(described)
	return g
}

// plan is the tree of some cases, and the names of all tasks that may come of it.
type plan struct {
	document []byte
	names    *names
	running  *names // those of tasks that run something
}

// tree reads the tree of a case, and tells which names of the case it has no tasks of.
func (r *reader) tree(g *game, c *testCase, opts Options, read map[string]*plan) {
	args := opts.Given.Clone()
	var by bytes.Buffer
	for _, v := range c.parameters {
		if err := args.Object(v); err != nil {
			r.refused(err)
			return
		}
		by.Write(v.JSON())
	}
	p := read[by.String()]
	if p == nil {
		file, err := opts.Tree(args)
		if err == nil {
			p, err = g.plan(file)
		}
		if err != nil {
			r.refused(err)
			return
		}
		read[by.String()] = p
	}
	c.tree = p.document
	c.exact = map[string][]namedMocks{}
	for _, n := range c.mocks {
		if c.exact[n.name] = append(c.exact[n.name], n); strings.Contains(n.name, "*") {
			c.patterns = append(c.patterns, n)
		}
	}
	found := newNames(nil)
	for _, n := range c.mocks {
		for _, m := range n.mocks {
			found.add(foundNames(m.expand, n.name, g.executors))
		}
	}
	for _, n := range c.mocks {
		if p.names.have(n.name) && !p.running.have(n.name) && !found.have(n.name) {
			r.tell(n.place, "%s has no executor, so that it runs nothing that a mock could stand for", treedoc.Short(n.name))
		}
	}
	for _, n := range c.names() {
		if n.name == "" || p.names.have(n.name) || found.have(n.name) {
			continue
		}
		if near := dag.Closest(n.name, append(p.names.some(), found.some()...)); near != "" {
			r.tell(n.place, "the tree has no task %s; did you mean %s?", treedoc.Short(n.name), treedoc.Short(near))
		} else {
			r.tell(n.place, "the tree has no task %s", treedoc.Short(n.name))
		}
	}
}

// refused tells what another reader has refused.
func (r *reader) refused(err error) {
	bad, ok := errors.AsType[*treefile.Error](err)
	if !ok {
		r.keep(treefile.Fault{Text: err.Error()})
		return
	}
	for _, one := range bad.Faults {
		r.keep(treefile.Fault{Place: one.Place, Text: one.Text})
	}
	r.more += bad.More
}

// named is a name of tasks in a mocks file.
type named struct{ name, place string }

// names are all that the case says of tasks.
func (c *testCase) names() (all []named) {
	for _, m := range c.mocks {
		all = append(all, named{m.name, m.place})
	}
	for _, e := range c.events {
		all = append(all, named{e.task, e.place})
	}
	for i := range c.expect.tasks {
		t := &c.expect.tasks[i]
		all = append(all, named{t.name, t.place})
		if t.blockedBy != "" {
			all = append(all, named{t.blockedBy, t.at("blocked_by")})
		}
	}
	for _, o := range c.expect.orders {
		for _, name := range o.tasks {
			all = append(all, named{name, o.place})
		}
	}
	return all
}

// plan reads a tree as a submission does.
func (g *game) plan(file *treefile.File) (*plan, error) {
	document := g.check(file.JSON)
	if len(document.faults) > 0 {
		var faults []treefile.Fault
		for _, bad := range document.faults {
			field := ""
			if bad.Index >= 0 {
				field = fieldOf(bad)
			}
			faults = append(faults, file.FaultOf(field, bad.Reason))
		}
		return nil, treefile.Refuse(faults, document.more)
	}
	walk := nameWalk{executors: g.executors}
	walk.tasks(file.JSON, "", 0)
	return &plan{document: file.JSON, names: newNames(walk.all), running: newNames(walk.running)}, nil
}
