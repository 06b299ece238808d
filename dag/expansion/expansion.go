// Package expansion reads the tasks that an attempt found: it checks them, and cuts them into parts that are stored, of which tasks are made later, a
// few at a time (control 5).
//
// It owns the document of an expansion, the form of its parts, the local ids of tasks, and how item and index get into a template. It must not know
// where parts are kept, which keys tasks get, or when they start.
package expansion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Bounds of an expansion.
const (
	MaxItemTasks = 1000      // of one item
	partTasks    = 1000      // of one part, whole items each
	partBytes    = 512 << 10 // likewise
	checkedTasks = 1000      // of a map, whose inputs [Options.Check] looks at
)

// Collect says what the result of an expanded task is. The numbers are stored.
type Collect int16

// The kinds of results.
const (
	None    Collect = iota // {}
	List                   // results of the direct children, in order
	Map                    // likewise, by local id
	Counted                // an object of the list as results, and of how many there are of each outcome
)

var collects = map[string]Collect{"none": None, "list": List, "map": Map, "counted": Counted}

// Options steer the reading.
type Options struct {
	Name      string // of the task that expands
	UserID    string // its owner; tasks may name no other
	Limits    dag.Limits
	Executors dag.Known
	// Known tells whether a worker was ever known to have the executor; nil: each.
	Known func(executor string) bool
	// Check looks at a task as a submission does, and adds to its Faults; nil: nobody does.
	Check func(index int, t *dag.Task)
}

// Plan is a valid expansion.
type Plan struct {
	Tasks   int
	PerItem int // tasks of one item; 0: it is a list of tasks
	Window  int // items in progress at most; 0: all
	Stop    bool
	Collect Collect
	Limited bool // a task asks for limits, a lock or rates
	Bounded bool // a group has a timeout
	// Unbounded are the limits that need what operators have set to be judged, each key once, with where it stands.
	Unbounded []Unbounded
	Alone     bool     // no task waits for another part: what is made may start at once
	Pools     []string // of all tasks, sorted
	Bytes     int64    // that tasks carry
	Template  []byte   // of items; nil: a list
	Parts     []Part
}

// Unbounded is a limit without a max, or one that costs more than one.
type Unbounded struct {
	At string // "tasks[3].limits[0]"
	dag.Limit
}

// maxUnbounded is how many different keys of an expansion may be without a max.
const maxUnbounded = 10_000

// Part is a piece of an expansion, whole items each.
type Part struct {
	Tasks int
	Body  []byte
}

// InvalidError is all that is wrong with an expansion. Its text is safe to show to users.
type InvalidError struct {
	Problems []string // at most [dag.MaxProblems]
	More     int
}

// Error joins them.
func (e *InvalidError) Error() string {
	text := "the tasks that it found are invalid: " + strings.Join(e.Problems, "; ")
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more", e.More)
	}
	return text
}

func (e *InvalidError) add(format string, args ...any) {
	if len(e.Problems) == dag.MaxProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

// addTree adds what [dag.Builder] found.
func (e *InvalidError) addTree(prefix string, err error) {
	bad, ok := err.(*dag.InvalidTreeError)
	if !ok {
		e.add("%s%v", prefix, err)
		return
	}
	for _, p := range bad.Problems {
		e.add("%s%s", prefix, p.Reason)
	}
	e.More += bad.More
}

func (e *InvalidError) err() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// Document is what a worker sends: tasks, or what is made for each of some items.
type Document struct {
	Tasks   json.RawMessage `json:"tasks,omitempty"`
	Items   json.RawMessage `json:"items,omitempty"`
	Each    json.RawMessage `json:"each,omitempty"`
	Window  int             `json:"window,omitempty"`
	Stop    bool            `json:"stop_on_failure,omitempty"`
	Collect string          `json:"collect,omitempty"`

	// Of a step of a flow, with collect counted: what it keeps for the templates of the tasks, and for those of its outputs, which are rendered once all have ended.
	Values  json.RawMessage `json:"values,omitempty"`
	Outputs json.RawMessage `json:"outputs,omitempty"`
}

// Read checks a document and cuts it into parts. *[InvalidError].
func Read(text []byte, opts Options) (*Plan, error) {
	var doc Document
	faults := &InvalidError{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		faults.add("the document can't be read: %v", err)
		return nil, faults
	}
	r := &reading{Options: opts, plan: &Plan{Window: doc.Window, Stop: doc.Stop}, faults: faults, pools: map[string]bool{}}
	r.plan.Collect = None
	if doc.Items != nil {
		r.plan.Collect = List
	}
	if doc.Collect != "" {
		kind, ok := collects[doc.Collect]
		if !ok {
			faults.add("collect: must be none, list, map or counted, got %.40q", doc.Collect)
		}
		r.plan.Collect = kind
	}
	if doc.Window < 0 || doc.Window > dag.MaxExpandedTasks {
		faults.add("window: must be 0 to %d, got %d", dag.MaxExpandedTasks, doc.Window)
	}
	if (doc.Values != nil || doc.Outputs != nil) && r.plan.Collect != Counted {
		faults.add("values, outputs: only where collect is counted")
	}
	switch {
	case (doc.Tasks != nil) == (doc.Items != nil):
		faults.add("it has tasks, or items with each")
	case doc.Tasks != nil && (doc.Each != nil || doc.Window != 0 || doc.Stop):
		faults.add("each, window and stop_on_failure are of items, and there are none")
	case doc.Tasks != nil:
		r.list(doc.Tasks)
	case !isArray(doc.Items):
		faults.add("items: must be an array")
	default:
		r.items(&doc)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	for name := range r.pools {
		r.plan.Pools = append(r.plan.Pools, name)
	}
	slices.Sort(r.plan.Pools)
	return r.plan, nil
}

// reading is one expansion that is being read.
type reading struct {
	Options
	plan   *Plan
	faults *InvalidError
	pools  map[string]bool
	bounds map[dag.Limit]bool // the limits in plan.Unbounded
}

// root stands for the expanded task among the tasks of a list: they are below it, and don't wait for it.
const root = "\u2060expanded task\u2060"

// list reads tasks that may depend on one another.
func (r *reading) list(text []byte) {
	if !isArray(text) {
		r.faults.add("tasks: must be an array")
		return
	}
	limits := r.Limits.OrDefaults()
	limits.Tasks = dag.MaxExpandedTasks + 1
	b := dag.NewBuilder(limits, uuid.NewString)
	n, named := 0, true
	direct := []bool{}
	for t, err := range treedoc.Parse(text, treedoc.Options{Limits: r.Limits, Executors: r.Executors}) {
		if err != nil {
			r.faults.add("%v", err)
			return
		}
		direct = append(direct, t.ParentRef == "")
		r.look(n, t)
		if t.ParentRef == "" {
			t.ParentRef = root
		}
		if _, err := b.Add(t); err != nil {
			r.faults.add("%v", err)
			return
		}
		named = named && t.ID == ""
		n++
	}
	r.plan.Tasks = n
	if n == 0 {
		return
	}
	stand := &dag.Task{Name: root, Priority: dag.Normal}
	if !named {
		stand.ID = root
	}
	_, _ = b.Add(stand)
	g, err := b.Build()
	if err != nil {
		r.faults.addTree("", err)
		return
	}
	r.plan.Alone = len(g.Dep) == 0
	shapes := shapesOf(g, n)
	part := stored{}
	size, first := 0, 0
	flush := func(to int) {
		part.Shapes = shapes[first:to]
		r.add(part, to-first)
		part, size, first = stored{}, 0, to
	}
	i := 0
	for e := range elements(text) {
		part.Tasks = append(part.Tasks, e)
		size += len(e)
		if i++; len(part.Tasks) == partTasks || size >= partBytes {
			flush(i)
		}
	}
	if len(part.Tasks) > 0 {
		flush(i)
	}
}

// items reads items and the template of what is made for each.
func (r *reading) items(doc *Document) {
	tm, err := newTemplate(doc.Each, r.Name, doc.Values, r.Executors)
	if err != nil {
		if bad, ok := err.(*InvalidError); ok {
			r.faults.Problems, r.faults.More = append(r.faults.Problems, bad.Problems...), r.faults.More+bad.More
		} else {
			r.faults.add("%v", err)
		}
		return
	}
	r.plan.PerItem, r.plan.Alone = len(tm.tasks), true
	if r.plan.Template, err = tm.encode(doc.Outputs); err != nil {
		r.faults.add("each: %v", err)
		return
	}
	part, size := stored{}, 0
	flush := func() {
		r.add(part, len(part.Items)*r.plan.PerItem)
		part, size = stored{}, 0
	}
	limits := r.Limits.OrDefaults()
	i := 0
	for item := range elements(doc.Items) {
		r.item(tm, limits, item, i)
		if i++; i*r.plan.PerItem > dag.MaxExpandedTasks {
			r.faults.add("items: they would make more than %d tasks", dag.MaxExpandedTasks)
			return
		}
		if i*tm.kept > dag.MaxAllKept {
			r.faults.add("items: the tasks of each carry %d bytes of what they name of the flow, the most is %d for all items together: leave it in a file", tm.kept, dag.MaxAllKept)
			return
		}
		part.Items = append(part.Items, item)
		if size += len(item); (len(part.Items)+1)*r.plan.PerItem > partTasks || size >= partBytes {
			flush()
		}
	}
	if len(part.Items) > 0 {
		flush()
	}
	r.plan.Tasks = i * r.plan.PerItem
}

// item checks what one item makes.
func (r *reading) item(tm *Template, limits dag.Limits, item json.RawMessage, index int) {
	if len(r.faults.Problems) == dag.MaxProblems {
		return // it is invalid, and there is room for no further reason
	}
	made, err := tm.Make(item, index)
	if err != nil {
		r.faults.add("items[%d]: %v", index, err)
		return
	}
	b := dag.NewBuilder(limits, func() string { return "" }).ForItems()
	for n, m := range made {
		at := index*len(made) + n
		r.look(at, m.Task)
		if _, err := b.Add(m.Task); err != nil {
			r.faults.add("items[%d]: %v", index, err)
			return
		}
	}
	if _, err := b.Build(); err != nil {
		r.faults.addTree(fmt.Sprintf("items[%d]: ", index), err)
	}
}

// look checks a task beside what [dag.Builder] does, and counts what it needs.
func (r *reading) look(index int, t *dag.Task) {
	fault := func(field, why string) {
		t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.ID, Field: field, Reason: fmt.Sprintf("tasks[%d].%s: %s", index, field, why)})
	}
	if t.UserID != "" && t.UserID != r.UserID {
		fault("user_id", "is the one of the task that found it")
	}
	t.UserID = ""
	if len(t.Labels) > 0 {
		fault("labels", "are of trees")
	}
	if t.TreeTimeout != 0 {
		fault("tree_timeout", "is of trees")
	}
	if t.Unique != nil {
		fault("unique", "is of trees")
	}
	if t.Retention != 0 {
		fault("retention", "is of trees")
	}
	if t.Due != nil {
		fault("due", "is of trees")
	}
	if t.Limiting.ForParent() {
		fault("lock.hold", "a task that was found takes no lock for its parent: let its tree be one of a subtree_executor")
	}
	if t.Imported != nil {
		fault("outcome", "a task that was found has not ended")
	}
	if r.Check != nil && (r.plan.PerItem == 0 || index < checkedTasks) && len(t.Faults) == 0 {
		r.Check(index, t)
	}
	if q := t.QueueName(); q != "" && (q != dag.PoolOf(t.Executor) || r.Known == nil || r.Known(t.Executor)) { // as of a submission: the name of an unknown one may be a mistake
		r.pools[q] = true
	}
	r.limits(index, t)
	r.plan.Bounded = r.plan.Bounded || t.Bounds()
	r.plan.Bytes += int64(len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom))
	if t.Control != nil {
		r.plan.Bytes += int64(len(t.Control.Values))
	}
}

// limits notes what a task asks for.
func (r *reading) limits(index int, t *dag.Task) {
	if t.Limiting.Empty() {
		return
	}
	r.plan.Limited = true
	places := t.Limiting.Unbounded()
	if places == nil {
		return
	}
	asked := t.ReadKeys().Of(dag.Identity{Task: "-", Tree: "-", User: r.UserID})
	for _, place := range places {
		l := asked.Limits[place]
		if r.bounds[l] {
			continue
		}
		if len(r.bounds) == maxUnbounded {
			r.faults.add("limits: without a max they may have %d different keys", maxUnbounded)
			return
		}
		if r.bounds == nil {
			r.bounds = map[dag.Limit]bool{}
		}
		r.bounds[l] = true
		r.plan.Unbounded = append(r.plan.Unbounded, Unbounded{fmt.Sprintf("tasks[%d].limits[%d]", index, place), l})
	}
}

func (r *reading) add(part stored, tasks int) {
	body, err := json.Marshal(part)
	if err != nil {
		r.faults.add("it can't be stored: %v", err)
		return
	}
	r.plan.Parts = append(r.plan.Parts, Part{tasks, body})
}

// stored is the body of a part.
type stored struct {
	Items  []json.RawMessage `json:"items,omitempty"`
	Tasks  []json.RawMessage `json:"tasks,omitempty"`
	Shapes []shape           `json:"shapes,omitempty"` // of tasks
}

// shape is what [dag.Builder] found out of a task.
type shape struct {
	Ref        string `json:"r"`
	Parent     int32  `json:"p"` // index in the list; -1: the expanded task
	Edges      []edge `json:"e,omitempty"`
	Leaf       bool   `json:"l,omitempty"`
	Judged     bool   `json:"j,omitempty"`
	Dependents int32  `json:"d,omitempty"`
}

type edge struct {
	Task     int32        `json:"t"`
	Required bool         `json:"r,omitempty"`
	Mode     dag.EdgeMode `json:"m,omitempty"`
	Type     string       `json:"y,omitempty"`
}

// shapesOf are those of the first n tasks of a graph; what is below others, or below none, is below the expanded task.
func shapesOf(g *dag.Graph, n int) []shape {
	out := make([]shape, n)
	for i := range out {
		s := &out[i]
		s.Ref, s.Parent, s.Leaf = g.Refs[i], g.Parent[i], g.Leaf[i]
		if int(s.Parent) >= n {
			s.Parent = -1
		}
		s.Judged = g.Judged != nil && g.Judged[i]
		for _, e := range g.Dependencies(i) {
			s.Edges = append(s.Edges, edge{e.Task, e.Required, e.Mode, e.Type})
			out[e.Task].Dependents++
		}
	}
	return out
}

// Made is a task that is to be stored. Indexes are those in the expansion.
type Made struct {
	Task       *dag.Task
	Ref        string // what others call it
	Parent     int32  // -1: the expanded task
	Edges      []dag.Edge
	Leaf       bool
	Judged     bool  // see [dag.Graph]
	Dependents int32 // within the expansion
}

func (s *shape) made(t *dag.Task, ref string, base int32) Made {
	m := Made{Task: t, Ref: ref, Parent: s.Parent, Leaf: s.Leaf, Judged: s.Judged, Dependents: s.Dependents}
	if m.Parent >= 0 {
		m.Parent += base
	}
	if len(s.Edges) > 0 {
		m.Edges = make([]dag.Edge, len(s.Edges))
		for i, e := range s.Edges {
			m.Edges[i] = dag.Edge{Task: e.Task + base, Required: e.Required, Mode: e.Mode, Type: e.Type}
		}
	}
	return m
}

// Tasks makes up to limit tasks of a part, whole items each, from the one on that is skip behind its first; first is the index of the part's first in the expansion. tm is
// nil for a list.
func Tasks(tm *Template, body []byte, first, skip, limit int, executors dag.Known) ([]Made, error) {
	var part stored
	if err := json.Unmarshal(body, &part); err != nil {
		return nil, fmt.Errorf("read a part of an expansion: %w", err)
	}
	var out []Made
	if tm != nil {
		per := len(tm.tasks)
		from := skip / per
		to := min(len(part.Items), from+limit/per)
		for i := from; i < to; i++ {
			made, err := tm.Make(part.Items[i], first/per+i)
			if err != nil {
				return nil, fmt.Errorf("make a task of an item: %w", err)
			}
			out = append(out, made...)
		}
		return out, nil
	}
	text, i := append([]byte{'['}, append(bytes.Join(toBytes(part.Tasks), []byte{','}), ']')...), 0
	for t, err := range treedoc.Parse(text, treedoc.Options{Executors: executors}) {
		if err != nil {
			return nil, fmt.Errorf("read a task of an expansion: %w", err)
		}
		if i >= skip && i < skip+limit {
			t.ID, t.ParentRef, t.UserID, t.Dependencies = "", "", "", nil
			out = append(out, part.Shapes[i].made(t, part.Shapes[i].Ref, 0))
		}
		i++
	}
	return out, nil
}

func toBytes(raw []json.RawMessage) [][]byte {
	out := make([][]byte, len(raw))
	for i, r := range raw {
		out[i] = r
	}
	return out
}

// LocalID is the id of a direct child of an item in a map of results.
func LocalID(perItem, index int, ref string) string {
	switch perItem {
	case 0:
		return ref
	case 1:
		return strconv.Itoa(index)
	}
	return strconv.Itoa(index/perItem) + "." + ref
}
