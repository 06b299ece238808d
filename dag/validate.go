package dag

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits bound what a tree may hold. Zero means [DefaultLimits]'s value.
type Limits struct {
	Tasks        int // tasks in a tree, at most [MaxTreeTasks]
	Edges        int // dependencies of all its tasks together
	Dependencies int // dependencies of one task
	IDChars      int // characters of id, user id, executor, references, types of dependencies
	NameChars    int
	PayloadBytes int           // each of inputs, params, schemas, custom of one task
	Retention    time.Duration // how long a tree may ask to be kept at most; 0: any time
}

// DefaultLimits are the bounds in force when none are configured.
var DefaultLimits = Limits{
	Tasks: 1_000_000, Edges: 10_000_000, Dependencies: 100_000, IDChars: 255, NameChars: 255, PayloadBytes: 1 << 20,
}

// OrDefaults are the limits with every zero replaced, and within what a [Graph] can number.
func (l Limits) OrDefaults() Limits {
	for _, f := range []struct {
		value    *int
		fallback int
	}{
		{&l.Tasks, DefaultLimits.Tasks}, {&l.Edges, DefaultLimits.Edges}, {&l.Dependencies, DefaultLimits.Dependencies},
		{&l.IDChars, DefaultLimits.IDChars}, {&l.NameChars, DefaultLimits.NameChars},
		{&l.PayloadBytes, DefaultLimits.PayloadBytes},
	} {
		if *f.value <= 0 {
			*f.value = f.fallback
		}
	}
	l.Tasks = min(l.Tasks, MaxTreeTasks)
	l.Edges = min(l.Edges, math.MaxInt32)
	return l
}

// Builder collects a tree task by task, keeping only ids, names and edges, and validates it (spec 2.1, 2.2 rule 2).
// It is for one goroutine and one tree. What a reader found wrong with a task (see [Task.Faults]) it reports with its own findings.
//
// A task is known by its id; in a tree whose tasks have no ids, by its name. That is what references are looked up by,
// whichever form they have. References to tasks that came before are resolved at once, the others in Build.
type Builder struct {
	limits Limits
	newID  func() string
	faults faults

	ids, names []string
	withID     int
	parents    []int32 // of the task, or noParent, or unresolved
	edges      []Edge  // Task is unresolved where the reference was not known or not valid
	starts     []int32 // where each task's edges begin
	later      []later // references that no task before answered to, in order
	owners     Owners
	known      index
	traits     []trait            // of each task; nil: none has any
	named      []namedBy          // dependencies that templates name
	outputs    map[int32][]string // of tasks that have some: their names
	unsure     bool               // a reader could not tell who a task is or what it refers to, so nothing is said about the tree's shape
	calls      []calling          // dependencies that conditions name
	ofItems    bool               // the tasks are made for items
	unfilled   bool               // the items are yet to be put into them
	keyed      []keyedTask        // whose keys of limits name what is known at the end
	owner      string             // of the tree if its tasks don't say, if that is known
	ownerKnown bool
	first      int32 // 1 + index of the first task without a parent; 0: there is none yet
}

// Marks in place of a task's index.
const (
	noParent   = -1
	unresolved = -2
)

// later is a reference to look up again once every task is known.
type later struct {
	ref    string
	task   int32
	edge   int32 // index in edges, or parentEdge
	legacy bool
}

const parentEdge = -1

// maxOwners is how many different user ids are kept, to be named in the fault.
const maxOwners = 10

// NewBuilder makes an empty one. newID makes an id for each task that has none; it is called by Build, in order.
func NewBuilder(limits Limits, newID func() string) *Builder {
	return &Builder{limits: limits.OrDefaults(), newID: newID, known: index{seed: maphash.MakeSeed()}}
}

// ForItems says that the tasks are made for items: their templates may name the item and its index.
func (b *Builder) ForItems() *Builder {
	b.ofItems = true
	return b
}

// Unfilled says that the items are yet to be put into the tasks: keys of limits may name them, too.
func (b *Builder) Unfilled() *Builder {
	b.unfilled = true
	return b
}

// Add records the next task and returns its index. It keeps nothing of t but its id, name, references and user.
// Field faults are kept for Build; an error, an *InvalidTaskError, is returned only when the tree is beyond its bound of
// tasks or edges, so that a reader can stop early. Build then reports it too.
func (b *Builder) Add(t *Task) (index int, err error) {
	i := len(b.ids)
	if i >= b.limits.Tasks {
		return 0, b.tooLarge("tree has more than %d tasks: submit it as several trees, or ask whoever runs the coordinators for a higher limit", b.limits.Tasks)
	}
	if len(b.edges)+len(t.Dependencies) > b.limits.Edges {
		return 0, b.tooLarge("tree has more than %d dependencies: let tasks in between join many into one, or ask whoever runs the coordinators for a higher limit", b.limits.Edges)
	}
	c := check{b: b, index: i, task: t}
	c.read()
	b.addIdentity(&c, t)
	c.fields()
	b.addParent(&c, t)
	b.starts = append(b.starts, int32(len(b.edges)))
	b.addDependencies(&c, t)
	b.addTraits(&c, t)
	b.addCalls(i, t.Calls)
	return i, nil
}

func (b *Builder) tooLarge(format string, bound int) error {
	fault := &InvalidTaskError{Code: InvalidTree, Index: -1, Reason: fmt.Sprintf(format, bound)}
	if len(b.faults.kept[atLarge]) == 0 && b.faults.room(atLarge) {
		b.faults.keep(atLarge, fault)
	}
	return fault
}

// addIdentity records who the task is: id, name, owner.
func (b *Builder) addIdentity(c *check, t *Task) {
	i := c.index
	idFits := c.id("id", t.ID)
	nameFits := c.text("name", t.Name, b.limits.NameChars)
	b.ids = append(b.ids, cut(t.ID, b.limits.IDChars*utf8.UTFMax))
	b.names = append(b.names, cut(t.Name, b.limits.NameChars*utf8.UTFMax))
	if t.ID != "" {
		b.withID++
	}
	if t.Name == "" && !c.misread("name") && b.faults.room(atName) {
		b.faults.keep(atName, c.fault(InvalidField, "name", "Task at index %d must have a 'name' field", i))
	}
	if (t.ID != "" && idFits) || (t.ID == "" && t.Name != "" && nameFits) {
		b.register(c)
	}
	if c.id("user_id", t.UserID) && t.UserID != "" {
		b.addOwner(t.UserID)
	}
}

// identity is what references call the task by.
func (b *Builder) identity(task int32) string {
	if id := b.ids[task]; id != "" {
		return id
	}
	return b.names[task]
}

// register makes the task known to references; the first one of an identity stays.
func (b *Builder) register(c *check) {
	i := c.index
	first := b.enter(int32(i))
	if first < 0 {
		return
	}
	switch named := b.ids[i] == ""; {
	case !named && b.ids[first] != "":
		if b.faults.room(atDuplicateID) {
			b.faults.keep(atDuplicateID, c.fault(DuplicateID, "id", "Duplicate task id '%s' at index %d. Give each task an id of its own (it is the id at index %d too).",
				b.ids[i], i, first))
		}
	case named && b.ids[first] == "":
		if b.faults.room(atDuplicateName) {
			b.faults.keep(atDuplicateName, c.fault(DuplicateID, "name", "Task at index %d has no 'id' but name '%s' is not "+
				"unique. Where tasks have no 'id', their names are their references (it is the name at index %d too): give it another "+
				"name, or give all tasks ids.",
				i, b.names[i], first))
		}
	} // else an id equals another task's name: ids are mixed, which Build reports
}

func (b *Builder) addOwner(user string) { b.owners.Add(user) }

// Owners are the different user ids of a submission, as many as a fault names and one more, to know that there are more.
type Owners []string

// Add adds a user id.
func (o *Owners) Add(user string) {
	if len(*o) <= maxOwners && !slices.Contains(*o, user) {
		*o = append(*o, user)
	}
}

// Fault is why tasks of more than one owner are no tree (spec 2.2); empty: there is one at most.
func (o Owners) Fault() string {
	if len(o) <= 1 {
		return ""
	}
	return fmt.Sprintf("All tasks must have the same user_id. Found multiple user_ids: {%s}. Keep one of them, or submit a tree for each.", quoteList(o, maxOwners))
}

func (b *Builder) addParent(c *check, t *Task) {
	parent := int32(noParent)
	if t.ParentRef == "" && b.first == 0 {
		b.first = int32(c.index) + 1
	}
	if t.ParentRef != "" {
		parent = unresolved
		if c.text("parent_id", t.ParentRef, b.limits.IDChars) {
			if parent = b.find(t.ParentRef); parent < 0 {
				parent = unresolved
				b.postpone(later{ref: t.ParentRef, task: int32(c.index), edge: parentEdge})
			}
		}
	}
	b.parents = append(b.parents, parent)
}

func (b *Builder) addDependencies(c *check, t *Task) {
	if n := len(t.Dependencies); n > b.limits.Dependencies {
		c.field("dependencies", "must be at most %d, got %d", b.limits.Dependencies, n)
		return
	}
	for k, d := range t.Dependencies {
		if d.Ref == "" {
			if b.faults.room(atReference) {
				b.faults.keep(atReference, c.fault(InvalidDependency, fmt.Sprintf("dependencies[%d]", k),
					"Task '%s' dependency must have 'id' or 'name' field", b.show(c.index)))
			}
			continue
		}
		if !c.dependency(k, d) {
			continue
		}
		task := b.find(d.Ref)
		if task < 0 {
			task = unresolved
			b.postpone(later{ref: d.Ref, task: int32(c.index), edge: int32(len(b.edges)), legacy: d.Legacy})
		}
		b.edges = append(b.edges, Edge{Task: task, Required: !d.Optional, Mode: d.Mode, Type: b.share(d.Type)})
	}
}

// postpone keeps a reference for Build. Runs of the same one share a string: the children of a root that comes last.
func (b *Builder) postpone(l later) {
	if n := len(b.later); n > 0 && b.later[n-1].ref == l.ref {
		l.ref = b.later[n-1].ref
	}
	b.later = append(b.later, l)
}

// share returns the string of an earlier edge where it can, so that a million edges don't hold a million strings.
func (b *Builder) share(typ string) string {
	if typ == "result" {
		return "result"
	}
	if n := len(b.edges); n > 0 && b.edges[n-1].Type == typ {
		return b.edges[n-1].Type
	}
	return typ
}

// show is what people call the task: its name, else its id.
func (b *Builder) show(task int) string {
	if name := b.names[task]; name != "" {
		return name
	}
	return b.ids[task]
}

// Build checks the whole and gives the graph, or an *InvalidTreeError with every fault. Linear in tasks and edges,
// without recursion. It uses the builder up.
func (b *Builder) Build() (*Graph, error) {
	b.checkOwners()
	if len(b.ids) == 0 && len(b.faults.kept[atLarge]) == 0 {
		b.tree(atEmpty, InvalidTree, "Tasks array cannot be empty. Submit one task at least.")
		return nil, b.faults.err()
	}
	if without := len(b.ids) - b.withID; b.withID > 0 && without > 0 && !b.unsure {
		b.tree(atMixed, InvalidTree, fmt.Sprintf("Mixed mode not supported: either all tasks must have 'id', or all tasks must "+
			"not have 'id'. Found %d tasks with id and %d tasks without id. %s", b.withID, without, b.oddOnes(without)))
	}
	var root int32
	if !b.unsure {
		b.resolve()
		b.collapse()
		b.checkNamed()
		b.checkCalls()
		b.checkForParents()
		b.checkCycles()
		root = b.checkRoots()
		b.checkKeyed()
	}
	if b.faults.total > 0 {
		return nil, b.faults.err()
	}
	return b.graph(root), nil
}

// tree records a fault of the tree as a whole.
func (b *Builder) tree(at place, code Code, reason string) {
	if b.faults.room(at) {
		b.faults.keep(at, &InvalidTaskError{Code: code, Index: -1, Reason: reason})
	}
}

func (b *Builder) checkOwners() {
	if fault := b.owners.Fault(); fault != "" {
		b.tree(atOwner, WrongOwner, fault)
	}
}

// resolve looks up the references that came before the tasks they name.
func (b *Builder) resolve() {
	for _, l := range b.later {
		task := b.find(l.ref)
		switch {
		case l.edge != parentEdge && task >= 0:
			b.edges[l.edge].Task = task
		case l.edge != parentEdge:
			b.missingDependency(l)
		case task >= 0:
			b.parents[l.task] = task
		default:
			b.missingParent(l)
		}
	}
	b.later = nil
}

func (b *Builder) missingParent(l later) {
	if b.faults.room(atParent) {
		b.faults.keep(atParent, &InvalidTaskError{
			Code: InvalidParent, Index: int(l.task), Task: b.identity(l.task), Field: "parent_id",
			Reason: fmt.Sprintf("Task '%s' at index %d has parent_id '%s' which is not in the tasks array (not found as id or "+
				"name). A parent must be part of the same submission: %s", b.show(int(l.task)), l.task, l.ref,
				b.remedy(l.ref, "add that task, or name another parent")),
		})
	}
}

func (b *Builder) missingDependency(l later) {
	if !b.faults.room(atDependency) {
		return
	}
	word := "dependency reference"
	if l.legacy {
		word = "dependency"
	}
	b.faults.keep(atDependency, &InvalidTaskError{
		Code: InvalidDependency, Index: int(l.task), Task: b.identity(l.task), Field: "dependencies",
		Reason: fmt.Sprintf("Task '%s' at index %d has %s '%s' which is not in the tasks array (not found as id or name). A task can wait only "+
			"for tasks of the same submission: %s", b.show(int(l.task)), l.task, word, l.ref, b.remedy(l.ref, "add that task, or remove the dependency")),
	})
}
