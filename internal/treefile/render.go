package treefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// maxFaults is how many faults of a tree file are told; the rest is counted.
const maxFaults = dag.MaxProblems

// renderer makes the protocol's tree of a tree file.
type renderer struct {
	file  *File // as it was written
	known dag.Known
	by    look
	base  string // path of the file within another document; empty: it is one by itself

	faults []Fault
	more   int
	told   map[Fault]bool
	faulty []string // paths of what is not known: what stands there is told once
	unsure bool     // parameters can't be read, so that what names them is not judged

	valueless bool // parameters have no values yet

	parameters map[string]*parameter
	names      []string // of the parameters, in the file's order
	values     map[string]*node
	decoded    map[string]any

	defaults *defaults // nil: none
	gained   int
	handed   int  // needs that groups hand to their tasks
	full     bool // it gained too much

	inner []*tree                               // the trees within it
	bound map[string]func(line, column int) int // by path of a condition: where in it stands what is in a column of what it became
}

// tree is a tree, or what is made for an item, in the form of the protocol.
type tree struct {
	tasks []*node
	from  []origins         // of the tasks, alike
	names map[string]string // of the tasks, and what the file calls these
	waits []waiting
	of    purpose

	disordered bool // what is wrong with what its tasks need is told
}

// purpose says what a tree is made for.
type purpose struct {
	item bool   // an item of a map, which its texts may name
	path string // of the tree
	name string // of what is made for an item, if it has none
}

// origins say what the file calls the parts of a task.
type origins struct {
	path   string            // of the task; empty: the file
	fields map[string]string // of its fields, where it is not the same below path
}

func (r *renderer) fault(at int, path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path = strings.TrimPrefix(path, "."); path != "" {
		text = path + ": " + text
	}
	r.tell(Fault{Place: r.file.PlaceAt(at), Text: text, Path: path})
}

func (r *renderer) faultAt(place, text string) { r.tell(Fault{Place: place, Text: text}) }

// tell keeps a fault, once.
func (r *renderer) tell(f Fault) {
	as := Fault{Place: f.Place, Text: f.Text}
	switch {
	case r.told[as], r.file.doubted[f.Place]:
	case len(r.faults) == maxFaults:
		r.more++
	default:
		r.told[as] = true
		r.faults = append(r.faults, f)
	}
}

// doubt notes that what stands at a path is not what was meant.
func (r *renderer) doubt(path string) {
	if path = strings.TrimPrefix(path, "."); len(r.faulty) < maxFaults && !slices.Contains(r.faulty, path) {
		r.faulty = append(r.faulty, path)
	}
}

// count is how many faults there are.
func (r *renderer) count() int { return len(r.faults) + r.more }

// keys tells which keys of an object are not among those known, or there twice.
func (r *renderer) keys(n *node, path string, known []treedoc.Key, unknown func(name string, known []treedoc.Key) string) {
	seen := map[string]bool{}
	for _, m := range n.members {
		below := path + "." + treedoc.Short(m.name)
		switch {
		case seen[m.name]:
			r.fault(m.at, below, "must not be there twice")
		case !slices.ContainsFunc(known, func(k treedoc.Key) bool { return k.Name == m.name }):
			r.fault(m.at, below, "%s", unknown(m.name, known))
		}
		seen[m.name] = true
	}
}

func unknownTaskKey(name string, _ []treedoc.Key) string { return treedoc.UnknownTaskKey(name) }

// withoutOwn is a file without the keys that belong to whoever wrote it.
func withoutOwn(n *node) *node {
	out := object(n.at)
	for _, m := range n.members {
		if !strings.HasPrefix(m.name, "x-") && m.name != schemaKey {
			out.members = append(out.members, m)
		}
	}
	return out
}

// isTreeFile reports whether a document is a tree file: its first key says so, but for one that names a schema.
func isTreeFile(document []byte) bool {
	for name := range keysOf(document) {
		if name != schemaKey {
			return name == treedoc.FileKey
		}
	}
	return false
}

// schemaKey names the schema of a file, for editors.
const schemaKey = "$schema"

// below is the path of a key of the file.
func (r *renderer) below(key string) string { return join(r.base, key) }

// whole renders the whole file.
func (r *renderer) whole(n *node, args *Arguments) *tree {
	top := withoutOwn(n)
	r.keys(top, r.base, treedoc.FileKeys(), treedoc.Unknown)
	r.version(n, r.base)
	if bytes.Contains(r.file.JSON, []byte(`\u0000`)) {
		n.unsound(r.base, func(at int, path, reason string) {
			if reason == noNUL {
				r.fault(at, path, "%s", reason)
				r.doubt(path)
			}
		})
	}
	r.readParameters(top.given(root), args)
	if d := n.given("description"); d != nil && d.kind != '"' {
		r.fault(d.at, r.below("description"), "must be a string")
	}
	return r.tree(top, r.base)
}

// version tells that the version of a file is not known.
func (r *renderer) version(n *node, path string) {
	if v := n.get(treedoc.FileKey); v.kind != '0' || v.text != fmt.Sprint(treedoc.FileVersion) {
		r.fault(v.at, join(path, treedoc.FileKey), "this version of tree files is not known: there is %d", treedoc.FileVersion)
	}
}

// tree renders a file, or a tree within it.
func (r *renderer) tree(n *node, path string) *tree {
	before := r.defaults
	defer func() { r.defaults = before }()
	if r.readDefaults(n, path) {
		defer r.unusedDefaults(r.defaults, path)
	}

	top := object(n.at)
	from := origins{path: path, fields: map[string]string{"tree_timeout": join(path, "timeout"), "dependencies": join(path, "tasks")}}
	name := n.named()
	if name == nil {
		r.fault(n.placeOf("name"), join(path, "name"), "is required")
		r.doubt(join(path, "name"))
		name = textNode(n.at, "?")
	}
	name = r.replaced(name, join(path, "name"), closed)
	top.add(n, "name", name)
	for _, key := range []string{"description", "labels", "unique", "retention", "due"} {
		switch v := n.given(key); {
		case v == nil:
		case key == "unique" && path != "":
			r.fault(n.placeOf(key), join(path, key), "is of trees that users submit: a task waits for the tree that is its own")
		default:
			top.add(n, key, r.replaced(v, join(path, key), key == "description"))
		}
	}
	if v := n.given("timeout"); v != nil {
		top.members = append(top.members, member{"tree_timeout", n.placeOf("timeout"), r.replaced(v, join(path, "timeout"), closed)})
	}
	out := &tree{of: purpose{path: path}}
	out.add(top, from)
	out.named(name.text, "the tree")
	out.waits = append(out.waits, waiting{name: name.text, group: -1})
	ends := r.tasks(n.given("tasks"), n.at, join(path, "tasks"), out, inherited{parent: name, group: -1})
	out.waits[0].content = ends
	at := n.at
	if n.given("tasks") != nil {
		at = n.placeOf("tasks")
	}
	top.fold(at, ends)
	r.order(out)
	return out
}

// named is the name of a task or a tree; nil: it has none.
func (n *node) named() *node {
	if name := n.given("name"); name != nil && !name.isText("") {
		return name
	}
	return nil
}

// fold makes a group wait for tasks, and end as they do.
func (n *node) fold(at int, tasks []*node) {
	list := &node{at: at, kind: '['}
	for _, name := range tasks {
		list.items = append(list.items, textNode(name.at, name.text))
	}
	n.members = append(n.members, member{"dependencies", at, list}, member{"fold", at, boolNode(at, true)})
}

// add adds a member that stands where the one of that name stands in another object.
func (n *node) add(of *node, name string, value *node) {
	n.members = append(n.members, member{name, of.placeOf(name), value})
}

// placeOf is where a key stands; of one that is not there, where the object does.
func (n *node) placeOf(name string) int {
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].at
		}
	}
	return n.at
}

func (t *tree) add(task *node, from origins) {
	t.tasks, t.from = append(t.tasks, task), append(t.from, from)
}

// named notes the name of a task, and gives who has it already; empty: nobody.
func (t *tree) named(name, who string) (has string) {
	if t.names == nil {
		t.names = map[string]string{}
	}
	if has = t.names[name]; has == "" {
		t.names[name] = who
	}
	return has
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// defaults are what tasks have that don't say it themselves.
type defaults struct {
	values *node
	paths  map[string]string // by key: where it is said
	used   map[string]bool   // keys that some task has from here
}

func noDefaults(at int) *defaults {
	return &defaults{object(at), map[string]string{}, map[string]bool{}}
}

func (d *defaults) add(key string, at int, value *node, path string) {
	d.values.members = append(d.values.members, member{key, at, value})
	d.paths[key] = path
}

// readDefaults reads what a file says for all its tasks, and reports whether it says something. A tree within a file that says nothing has those of the file.
func (r *renderer) readDefaults(n *node, path string) bool {
	said := n.given("defaults")
	switch {
	case said == nil:
		said = object(n.at)
	case said.kind != '{':
		r.fault(said.at, join(path, "defaults"), "must be an object")
		said = object(n.at)
	default:
		r.keys(said, join(path, "defaults"), treedoc.DefaultKeys(), treedoc.Unknown)
	}
	out := noDefaults(said.at)
	for _, m := range said.members {
		below := join(path, "defaults") + "." + treedoc.Short(m.name)
		out.add(m.name, m.at, r.replaced(m.value, below, laterIn[m.name]), below)
	}
	for _, key := range []string{"priority", "pool"} {
		v := n.given(key)
		switch {
		case v == nil:
		case said.given(key) != nil:
			r.fault(n.placeOf(key), join(path, key), "is said in defaults, too")
		default:
			out.add(key, n.placeOf(key), r.replaced(v, join(path, key), closed), join(path, key))
		}
	}
	if len(out.values.members) == 0 && r.defaults != nil && path != "" {
		return false
	}
	r.defaults = out
	return true
}

// unusedDefaults has those looked at that no task has: as if one that runs something had them. What tokens name there, only a task could say.
func (r *renderer) unusedDefaults(d *defaults, path string) {
	task := object(d.values.at, member{"name", d.values.at, textNode(d.values.at, "defaults")},
		member{"schemas", d.values.at, object(d.values.at, member{"method", d.values.at, textNode(d.values.at, "noop_executor")})})
	from := origins{path: join(path, "defaults"), fields: map[string]string{}}
	for _, m := range d.values.members {
		if !d.used[m.name] && m.value.kind != 'n' && !m.value.holds("{{") && slices.ContainsFunc(treedoc.DefaultKeys(), func(k treedoc.Key) bool { return k.Name == m.name }) {
			task.members = append(task.members, m)
			from.fields[m.name] = d.paths[m.name]
		}
	}
	if len(from.fields) > 0 {
		unused := &tree{of: purpose{path: from.path}}
		unused.add(task, from)
		r.inner = append(r.inner, unused)
	}
}

// laterIn are the keys of a task in which tokens of other roots are rendered later, or are data.
var laterIn = map[string]bool{"inputs": true, "outputs": true, "limits": true, "lock": true, "rates": true, "cache": true, "params": true, "schemas": true, "description": true}

// inherited is what a task has of those above it.
type inherited struct {
	parent       *node // its name
	needs        []need
	group        int   // whose needs these are; -1: none's
	allowFailure *node // nil: they don't say
	ofItem       bool  // it is made for an item, whom its name may name
	single       bool  // it is the one task that is made for an item
}

// tasks renders a list of tasks, and gives the names of those for whose ends a group has to wait so that all have ended.
func (r *renderer) tasks(n *node, at int, path string, out *tree, has inherited) (ends []*node) {
	switch {
	case n == nil:
		r.fault(at, path, "is required")
		return nil
	case n.kind != '[':
		r.fault(n.at, path, "must be a list of tasks")
		return nil
	case len(n.items) == 0:
		r.fault(n.at, path, "has no task")
		return nil
	}
	for i, item := range n.items {
		ends = append(ends, r.task(item, fmt.Sprintf("%s[%d]", path, i), out, has)...)
	}
	return ends
}

// task renders one task and those below it.
func (r *renderer) task(n *node, path string, out *tree, has inherited) (ends []*node) {
	if n.kind != '{' {
		r.fault(n.at, path, "must be an object")
		return nil
	}
	r.keys(n, path, treedoc.FileTaskKeys(), unknownTaskKey)
	n = asMeant(n)
	t := &taskRenderer{renderer: r, n: n, path: path, has: has, out: object(n.at), from: origins{path: path, fields: map[string]string{}}}
	name := t.name()
	if has := out.named(name.text, path); has != "" && name.kind == '"' {
		r.fault(name.at, join(path, "name"), "names must differ, and %s is called %s", has, treedoc.Short(name.text))
		r.doubt(join(path, "name"))
	}
	out.add(t.out, t.from)
	last := len(out.from) - 1
	t.readExecutor()
	own, needs := t.needs()
	out.waits = append(out.waits, waiting{name: name.text, needs: own, group: has.group})
	if t.executor == "" {
		return t.group(name, own, needs, out)
	}
	t.dependencies(own, needs)
	t.runs()
	t.overwritten(needs)
	out.from[last] = t.from
	ends = []*node{name}
	if below := n.given("tasks"); below != nil {
		if has.single {
			r.fault(n.placeOf("tasks"), join(path, "tasks"), "one task is made for an item here: write a list of tasks as the input tasks")
			return ends
		}
		ends = append(ends, r.tasks(below, n.at, join(path, "tasks"), out, inherited{parent: name, group: -1, ofItem: has.ofItem})...)
	}
	return ends
}

// asMeant is a task whose misspelt keys are read as what they mean, where others would have faults without them.
func asMeant(n *node) *node {
	out := object(n.at, slices.Clone(n.members)...)
	for i := range out.members {
		m := &out.members[i]
		if slices.ContainsFunc(treedoc.FileTaskKeys(), func(k treedoc.Key) bool { return k.Name == m.name }) {
			continue
		}
		switch key := treedoc.MeantTaskKey(m.name); key {
		case "name", "executor", "needs", "tasks", "inputs":
			if out.get(key) == nil {
				m.name = key
			}
		}
	}
	return out
}

// taskRenderer makes one task.
type taskRenderer struct {
	*renderer
	n, out   *node
	path     string
	from     origins
	has      inherited
	executor string // its id; empty: it is a group
}

func (t *taskRenderer) at(key string) string { return join(t.path, key) }

// name is the task's name, which others know it by.
func (t *taskRenderer) name() *node {
	name := t.n.named()
	switch {
	case name == nil && t.has.single: // it is named after its map
		return textNode(t.n.at, "")
	case name == nil:
		t.fault(t.n.placeOf("name"), t.at("name"), "is required")
		t.doubt(t.at("name"))
		name = textNode(t.n.at, "?"+t.path)
	default:
		name = t.replaced(name, t.at("name"), t.has.ofItem)
	}
	t.out.add(t.n, "name", name)
	if d := t.n.given("description"); d != nil {
		if d.kind != '"' {
			t.fault(d.at, t.at("description"), "must be a string")
		}
		t.out.add(t.n, "description", t.replaced(d, t.at("description"), open))
	}
	if t.has.parent != nil {
		t.out.add(t.n, "parent_id", t.has.parent.copyAt(t.n.at))
	}
	return name
}

// readExecutor reads what runs the task.
func (t *taskRenderer) readExecutor() {
	e := t.n.given("executor")
	if e == nil {
		return
	}
	e = t.replaced(e, t.at("executor"), closed)
	if e.kind != '"' || e.text == "" {
		t.fault(e.at, t.at("executor"), "must be the id of an executor")
		t.doubt(t.at("executor"))
		t.executor = "?"
		return
	}
	t.executor = t.idOf(e.text)
	t.unknownExecutor(e.text)
	schemas := object(t.n.placeOf("executor"), member{"method", t.n.placeOf("executor"), textNode(e.at, t.executor)})
	t.from.fields["schemas.method"] = t.at("executor")
	if s := t.n.given("schemas"); s != nil {
		s = t.replaced(s, t.at("schemas"), open)
		for _, m := range s.members {
			if m.name == "method" || m.name == "type" {
				t.fault(m.at, t.at("schemas."+m.name), "write executor, beside schemas")
				continue
			}
			schemas.members = append(schemas.members, m)
		}
		if s.kind != '{' {
			t.fault(s.at, t.at("schemas"), "must be an object")
		}
	}
	t.out.members = append(t.out.members, member{"schemas", schemas.at, schemas})
}

// unknownExecutor tells that nobody has an executor that is called nearly as one, or as people call one.
func (t *taskRenderer) unknownExecutor(word string) {
	if !t.by.strict || t.known.Has(t.executor) {
		return
	}
	meant := treedoc.LikelyExecutor(t.executor, t.by.inputs)
	if meant == "" || t.by.has != nil && t.by.has(t.executor) {
		return
	}
	at := t.n.placeOf("executor")
	t.tell(Fault{Place: t.file.PlaceAt(at), Path: t.at("executor"), passable: true,
		Text: fmt.Sprintf("%s: there is no executor %s; did you mean %s?", t.at("executor"), treedoc.Short(word), strings.TrimSuffix(meant, "_executor"))})
}

// failing are the executors whose tasks fail when what they ran did, if their inputs say so; of a tree file they do.
var failing = map[string]bool{"command_executor": true, "rest_executor": true, "ssh_executor": true, "docker_executor": true, "kubernetes_executor": true}

// idOf is the id of an executor, which may be written without the end that many have.
func (r *renderer) idOf(word string) string {
	schemas, err := json.Marshal(map[string]string{"method": word})
	if err != nil {
		return word
	}
	id := dag.ChooseExecutor("", nil, schemas, r.known)
	if long := id + "_executor"; failing[long] || long == dag.MapExecutor || long == dag.SubtreeExecutor {
		return long // whoever reads the file knows no executors
	}
	return id
}

// needs reads what the task needs itself, and gives that with what it has of those above, too.
func (t *taskRenderer) needs() (own, all []need) {
	n := t.n.given("needs")
	if n == nil {
		return nil, t.has.needs
	}
	path := t.at("needs")
	switch {
	case n.kind == '"':
		t.fault(n.at, path, "must be a list of tasks: [%s]", treedoc.Short(n.text))
		return nil, t.has.needs
	case n.kind != '[':
		t.fault(n.at, path, "must be a list of tasks")
		return nil, t.has.needs
	case t.has.single:
		t.fault(n.at, path, "one task is made for an item here, and there are no others: write a list of tasks as the input tasks")
		return nil, nil
	}
	by := map[string]string{} // names, and what needs them
	for i, item := range n.items {
		one, ok := t.need(item, fmt.Sprintf("%s[%d]", path, i))
		if !ok {
			continue
		}
		if has := by[one.name]; has != "" {
			t.fault(one.at, one.path, "is %s already", has)
			continue
		}
		by[one.name] = fmt.Sprintf("needs[%d]", i)
		own = append(own, one)
	}
	all = slices.Clip(own)
	for _, inherited := range t.has.needs {
		if by[inherited.name] == "" {
			all = append(all, inherited)
		}
	}
	return own, all
}

// need reads one of what the task needs.
func (t *taskRenderer) need(item *node, path string) (one need, ok bool) {
	item = t.replaced(item, path, closed)
	name, at := item, path
	switch item.kind {
	case '"':
	case '{':
		t.keys(item, path, treedoc.NeedKeys(), treedoc.Unknown)
		if name, at = item.given("task"), path+".task"; name == nil {
			t.fault(item.at, at, "is required")
			return need{}, false
		}
		edge := object(item.at)
		for _, m := range item.members {
			switch {
			case m.name == "task":
				m.name = "name"
			case !slices.ContainsFunc(treedoc.NeedKeys(), func(k treedoc.Key) bool { return k.Name == m.name }):
				continue
			}
			edge.members = append(edge.members, m)
		}
		item = edge
	default:
		t.fault(item.at, path, "must be the name of a task, or an object")
		return need{}, false
	}
	if name.kind != '"' || name.text == "" {
		if !t.unclear(at) {
			t.fault(name.at, at, "must be the name of a task")
		}
		return need{}, false
	}
	return need{name.text, item, name.at, at}, true
}

// maxHanded is how many needs the groups of a file hand to their tasks: each of theirs to each of these.
const maxHanded = 100_000

// dependencies writes what the task needs, some of it itself.
func (t *taskRenderer) dependencies(own, needs []need) {
	if len(needs) == 0 || t.full {
		return
	}
	if t.handed += len(needs) - len(own); t.handed > maxHanded {
		of := needs[len(needs)-1]
		t.full = true
		t.fault(of.at, of.path, "groups hand more than %d needs to their tasks, each of what they need to each task: let one task without an executor need all these, and the group need that one", maxHanded)
		return
	}
	at := t.n.placeOf("needs")
	list := &node{at: at, kind: '['}
	for i, one := range needs {
		list.items = append(list.items, one.value)
		field := fmt.Sprintf("dependencies[%d]", i)
		t.from.fields[field] = strings.TrimSuffix(one.path, ".task")
		if one.value.kind == '{' {
			t.from.fields[field+".name"] = one.path
		}
		if t.gain(len(one.name)); t.full {
			return
		}
	}
	t.from.fields["dependencies"] = t.at("needs")
	t.out.members = append(t.out.members, member{"dependencies", at, list})
}

// ofRuns are the keys that have an effect for tasks with an executor only.
var ofRuns = []string{
	"inputs", "params", "schemas", "pool", "priority", "retry", "timeout", "schedule_to_start", "not_before", "on_lost", "repeatable", "template", "outputs", "repeat",
	"artifacts", "limits", "lock", "rates", "cache",
}

// group writes a task without an executor.
func (t *taskRenderer) group(name *node, own, needs []need, out *tree) (ends []*node) {
	defer func(i int) { out.from[i] = t.from }(len(out.from) - 1)
	n := t.n
	for _, key := range ofRuns {
		switch {
		case n.given(key) == nil:
		case key == "inputs" && n.given("when") != nil: // which may name them
			t.out.add(n, key, t.replaced(n.given(key), t.at(key), open))
		case key == "inputs":
			t.fault(n.placeOf(key), t.at(key), "has no effect: the task has no executor, so that it runs nothing")
		default:
			t.fault(n.placeOf(key), t.at(key), "has no effect on a task without an executor, which runs nothing")
		}
	}
	if name.kind == '"' && t.known.Has(name.text) {
		t.fault(name.at, t.at("name"), "is the id of an executor, and a task without one can't be called so")
	}
	allow := t.has.allowFailure
	if v := n.given("allow_failure"); v != nil {
		allow = t.replaced(v, t.at("allow_failure"), closed)
	}
	if allow != nil {
		t.out.add(n, "allow_failure", allow.copyAt(n.placeOf("allow_failure")))
	}
	below := n.given("tasks")
	if below == nil {
		for _, key := range []string{"when", "fold"} {
			if v := n.given(key); v != nil {
				if key == "when" {
					v = t.condition(v, t.at(key))
				} else {
					v = t.replaced(v, t.at(key), closed)
				}
				t.out.add(n, key, v)
			}
		}
		t.dependencies(own, needs)
		return []*node{name}
	}
	if t.has.single {
		t.fault(n.placeOf("tasks"), t.at("tasks"), "one task is made for an item here: write a list of tasks as the input tasks")
		return []*node{name}
	}
	if n.given("when") != nil {
		t.fault(n.placeOf("when"), t.at("when"), "a group with tasks can't have it: let its tasks need a task without executor that has the condition")
	}
	if f := n.given("fold"); f != nil && f.kind != 't' {
		t.fault(n.placeOf("fold"), t.at("fold"), "a group with tasks always is one")
	}
	t.from.fields["dependencies"] = t.at("tasks")
	group := len(out.waits) - 1
	waits := t.tasks(below, n.at, t.at("tasks"), out, inherited{parent: name, needs: needs, group: group, allowFailure: allow, ofItem: t.has.ofItem})
	out.waits[group].content = waits
	t.out.fold(n.placeOf("tasks"), waits)
	return []*node{name}
}

// runs writes a task with an executor.
func (t *taskRenderer) runs() {
	n := t.n
	later := false
	if in := n.given("inputs"); in != nil || failing[t.executor] {
		if in == nil {
			in = object(n.at)
		}
		in, later = t.inputs(in)
		t.out.add(n, "inputs", in)
	}
	for _, k := range treedoc.FileTaskKeys() {
		switch k.Name {
		case "name", "description", "executor", "needs", "tasks", "inputs", "schemas":
			continue
		}
		path, from, v := t.at(k.Name), n.placeOf(k.Name), n.get(k.Name)
		switch d := t.defaults.values.get(k.Name); {
		case v != nil:
			v = t.part(k.Name, v, path)
		case k.Name == "allow_failure" && t.has.allowFailure != nil:
			v = t.has.allowFailure
		case d != nil:
			t.gain(d.size())
			v, from = d, d.at
			t.from.fields[k.Name] = t.defaults.paths[k.Name]
			t.defaults.used[k.Name] = true
		}
		if k.Name == "template" && v == nil && later {
			v, from = boolNode(n.placeOf("inputs"), true), n.placeOf("inputs")
		}
		if v != nil && v.kind != 'n' && !t.full {
			t.out.members = append(t.out.members, member{k.Name, from, v})
		}
	}
}

// overwritten tells which inputs the results of what the task needs would take the place of.
func (t *taskRenderer) overwritten(needs []need) {
	in := t.n.given("inputs")
	if in == nil || len(in.members) == 0 || len(needs) == 0 || !t.by.strict {
		return
	}
	if s := t.n.given("schemas"); s != nil && s.kind == '{' && s.given("input_schema") != nil { // it says what becomes of results
		return
	}
	merged := make(map[string]bool, len(needs))
	for _, n := range needs {
		merged[n.name] = n.value.kind != '{' || !n.value.given("merge").is('f')
	}
	for _, m := range in.members {
		if !merged[m.name] {
			continue
		}
		path := t.at("inputs") + "." + treedoc.Short(m.name)
		t.tell(Fault{Place: t.file.PlaceAt(m.at), Path: path, passable: true,
			Text: fmt.Sprintf("%s: has no effect once %s, which the task needs, has a result: that becomes the input of this name. Rename one of them, or need it with merge: false", path, treedoc.Short(m.name))})
	}
}

// part is the value of a key, with parameters.
func (t *taskRenderer) part(key string, v *node, path string) *node {
	switch {
	case key == "when":
		return t.condition(v, path)
	case key == "repeat" && v.kind == '{':
		out := object(v.at)
		for _, m := range v.members {
			if below := join(path, treedoc.Short(m.name)); m.name == "until" {
				m.value = t.condition(m.value, below)
			} else {
				m.value = t.replaced(m.value, below, closed)
			}
			out.members = append(out.members, m)
		}
		return out
	}
	return t.replaced(v, path, laterIn[key])
}

// inputs are the task's. later: they hold tokens that the worker renders.
func (t *taskRenderer) inputs(n *node) (out *node, later bool) {
	if n.kind != '{' {
		out = t.replaced(n, t.at("inputs"), open) // the reader tells what is no object
		t.granted(n.text, out)
		return out, false
	}
	t.fixed(n)
	out = object(n.at)
	for _, m := range n.members {
		path := t.at("inputs") + "." + treedoc.Short(m.name)
		t.plainKey(m, path)
		switch {
		case t.executor == dag.MapExecutor && m.name == "task" && m.value.kind == '{':
			m.value = t.itemTask(m.value, path)
		case t.executor == dag.MapExecutor && m.name == "tasks" && m.value.kind == '[':
			m.value = t.itemTasks(m.value, path, true)
		case t.executor == dag.SubtreeExecutor && m.name == "tree":
			m.value = t.subtree(m.value, path)
		default:
			m.value = t.replaced(m.value, path, open)
			later = later || !dag.Unrendered(t.executor, m.name) && m.value.holds("{{")
		}
		out.members = append(out.members, m)
	}
	if failing[t.executor] && n.get(failOnError) == nil {
		out.members = append(out.members, member{failOnError, n.at, boolNode(n.at, true)})
	}
	return out, later
}

// failOnError is the input that says that a task fails when what it ran did.
const failOnError = "fail_on_error"

// itemTask is the one task that a map makes for an item.
func (t *taskRenderer) itemTask(n *node, path string) *node {
	name := "item"
	if t.out != nil && t.out.get("name") != nil {
		name = treedoc.Short(t.out.get("name").text) + "[{{index}}]"
	}
	one := &tree{of: purpose{item: true, path: path, name: name}}
	t.task(n, path, one, inherited{ofItem: true, single: true, group: -1})
	if len(one.tasks) == 0 {
		return n
	}
	t.inner = append(t.inner, one)
	return one.tasks[0]
}

// itemTasks are the tasks that a map makes for an item, or a tree that is a list. Its root is the one that no other needs.
func (t *taskRenderer) itemTasks(n *node, path string, ofItem bool) *node {
	all := &tree{of: purpose{item: ofItem, path: path}}
	ends := t.tasks(n, n.at, path, all, inherited{ofItem: ofItem, group: -1})
	t.order(all)
	t.inner = append(t.inner, all)
	out := &node{at: n.at, kind: '[', items: all.tasks}
	if len(ends) < 2 {
		return out
	}
	last := t.last(all)
	if len(last) == 0 { // they go in circles, which is told
		last = all.tasks[:1]
	}
	if len(last) > 1 {
		var names []string
		for _, task := range last[:min(len(last), 10)] {
			names = append(names, treedoc.Short(task.get("name").text))
		}
		t.fault(n.at, path, "one task must come last, whose result is that of all, and %s do: let one need the others", listed(names, "and"))
		all.disordered = true
	}
	rootName := last[0].get("name")
	for _, task := range all.tasks {
		if task != last[0] && task.get("parent_id") == nil {
			task.members = append(task.members, member{"parent_id", task.at, rootName.copyAt(task.at)})
		}
	}
	return out
}

// last are the tasks at the top of a tree that no other task needs.
func (r *renderer) last(of *tree) (last []*node) {
	needed := map[string]bool{}
	for _, task := range of.tasks {
		if list := task.get("dependencies"); list != nil {
			for _, d := range list.items {
				if d.kind == '{' {
					d = d.get("name")
				}
				needed[d.text] = true
			}
		}
	}
	for _, task := range of.tasks {
		if task.get("parent_id") == nil && !needed[task.get("name").text] {
			last = append(last, task)
		}
	}
	return last
}

// subtree is the tree that a task submits: a tree like the file, a list of tasks, or one task.
func (t *taskRenderer) subtree(n *node, path string) *node {
	switch {
	case n.kind == '[':
		return t.itemTasks(n, path, false)
	case n.kind != '{':
		return t.replaced(n, path, open) // the executor's schema says what it must be
	case n.get(treedoc.FileKey) == nil && (n.get("tasks") == nil || n.get("executor") != nil):
		one := &tree{of: purpose{path: path}}
		t.task(n, path, one, inherited{group: -1})
		t.order(one)
		t.inner = append(t.inner, one)
		return &node{at: n.at, kind: '[', items: one.tasks}
	}
	if n.get(treedoc.FileKey) != nil {
		t.version(n, path)
	}
	known := slices.DeleteFunc(slices.Clone(treedoc.FileKeys()), func(k treedoc.Key) bool { return k.Name == root })
	n = withoutOwn(n)
	t.keys(n, path, known, func(name string, known []treedoc.Key) string {
		if name == root {
			return "a tree within a file has the parameters of the file"
		}
		return treedoc.Unknown(name, known)
	})
	within := t.tree(n, path)
	t.inner = append(t.inner, within)
	return &node{at: n.at, kind: '[', items: within.tasks}
}
