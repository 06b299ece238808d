package flows

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows/gate"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// checker judges what the parts of a document say of each other.
type checker struct {
	*reader
	doc   *Document
	byID  map[string]*Job
	order map[string][]string // the jobs that one waits for, in a graph
	waits map[[2]string]bool  // order, as pairs

	insides  map[*Job]*inside
	declares map[string]bool // names of parameters

	profiled []use              // tokens in what profiles give resources
	chains   map[string]chained // steps in a foreach, by where they are
}

// maxIDChars is how long an id may be.
const maxIDChars = 64

var idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidID reports whether a text can be the id of a flow, a run, a job or a step: 1 to 64 letters, digits, dots, _ and -, and no name of a directory.
func ValidID(text string) bool { return idForm.MatchString(text) && text != "." && text != ".." }

// inside is what a job has by name. Files may have many of all that, and many tokens, so that none may look through a list.
type inside struct {
	steps    map[string]int // the first of an id
	promotes map[string]int // the first step that promotes an output
}

func (c *checker) inside(j *Job) *inside {
	in := c.insides[j]
	if in != nil {
		return in
	}
	in = &inside{steps: make(map[string]int, len(j.Steps)), promotes: map[string]int{}}
	for i, s := range j.Steps {
		if _, had := in.steps[s.ID]; !had {
			in.steps[s.ID] = i
		}
		for key := range s.Outputs {
			if _, had := in.promotes[key]; !had {
				in.promotes[key] = i
			}
		}
	}
	c.insides[j] = in
	return in
}

func (c *checker) check() {
	c.insides, c.order, c.waits, c.declares = map[*Job]*inside{}, map[string][]string{}, map[[2]string]bool{}, map[string]bool{}
	for _, m := range c.doc.parameters.Members() {
		c.declares[m.Name] = true
	}
	c.versions()
	c.identities()
	c.resources()
	for _, j := range c.all() {
		around := map[string]bool{}
		if j.Lock != nil {
			around[j.Lock.Key] = true
		}
		for _, s := range j.Steps {
			c.step(s, s.loc)
			c.again(s, around)
		}
		c.lock(j.Lock)
	}
	c.needs()
	c.whens()
	c.environment()
	c.parameters()
	c.limits()
	c.references()
	c.circles()
	if c.opts.Compat {
		c.compat()
	}
}

// all are the jobs and the handlers.
func (c *checker) all() []*Job { return c.doc.everyJob() }

func (d *Document) everyJob() []*Job {
	all := slices.Clone(d.Jobs)
	for _, h := range []*Job{d.OnFailure, d.Finally} {
		if h != nil {
			all = append(all, h)
		}
	}
	return all
}

func (c *checker) versions() {
	if v := c.root.Get("version"); v.Kind() == '0' && v.Text() != "1" {
		c.at(CodeVersion, v, "version", "must be 1, the only version there is")
	}
	flow := c.root.Get("flow")
	if n := len(c.doc.Workspace.Layout); n > maxLayout {
		c.at(CodeTooLarge, flow.Get("workspace").Get("layout"), "flow.workspace.layout", "has %d directories: at most %d", n, maxLayout)
	}
	if state := flow.Get("state"); state.Kind() == '{' {
		for _, m := range state.Members() {
			c.at(CodeIgnored, m.Value, join("flow.state", m.Name), "has no effect: Postgres keeps the state of runs")
		}
	}
	if parsed, err := metaRules.Parse(c.doc.ID); err == nil && parsed.Plain() && flow.Get("id").Kind() == '"' && !ValidID(c.doc.ID) {
		c.at(CodeBadID, flow.Get("id"), "flow.id", "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(c.doc.ID), maxIDChars)
	}
}

func (c *checker) identities() {
	c.byID = map[string]*Job{}
	steps := 0
	for _, j := range c.all() {
		at := j.value.Get("id")
		c.identity(j.ID, at, j.loc+".id")
		if first := c.byID[j.ID]; first != nil && j.ID != "" {
			c.at(CodeDuplicateJob, at, j.loc+".id", "%s has the id %s, too", first.loc, shorten(j.ID))
		} else if j.ID != "" {
			c.byID[j.ID] = j
		}
		mine := map[string]*Step{}
		for _, s := range j.Steps {
			steps++
			at := s.value.Get("id")
			c.identity(s.ID, at, s.loc+".id")
			if first := mine[s.ID]; first != nil && s.ID != "" {
				c.at(CodeDuplicateStep, at, s.loc+".id", "%s has the id %s, too", first.loc, shorten(s.ID))
			} else {
				mine[s.ID] = s
			}
		}
	}
	if steps > maxSteps || len(c.doc.Jobs) > maxJobs {
		c.at(CodeTooLarge, c.root.Get("jobs"), "jobs", "has %d jobs and %d steps: at most %d and %d", len(c.doc.Jobs), steps, maxJobs, maxSteps)
	}
}

// identity looks at the id of a job or a step; one that is missing was told.
func (c *checker) identity(id string, at treefile.Value, loc string) {
	if at.Kind() != '"' || len(template.Tokens(id)) > 0 {
		return
	}
	if !ValidID(id) {
		c.at(CodeBadID, at, loc, "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(id), maxIDChars)
	}
}

// likelyType is the word that a type which there is not is likely to mean; empty: nobody knows.
func (o *Options) likelyType(typ string) string {
	as := treedoc.CommonExecutor(typ)
	if as == "command_executor" && o.Executors.Has(process) { // in a flow, what runs programs beside the files of its job
		as = process
	}
	if o.Executors.Has(as) {
		return strings.TrimSuffix(as, executorSuffix)
	}
	return dag.Closest(typ, o.types())
}

func (c *checker) step(s *Step, loc string) {
	typeAt := s.value.Get("type")
	inputs := s.value.Get("inputs")
	c.lock(s.Lock)
	if run := s.innermost(); run.Type == process && s.Retry != nil && run.value.Get("inputs").Get("retry").Given() {
		c.at(CodeRetryTwice, s.value.Get("retry"), loc+".retry", "the inputs have retry, too: write it once")
	}
	switch s.Type {
	case forEach:
		c.each(s, loc)
		return
	case callFlow:
		c.call(s, loc)
		return
	}
	if s.Type == withLock {
		if inputs.Kind() == 0 || inputs.Kind() == 'n' {
			c.at(CodeMissing, s.value, loc+".inputs", "must be there, with lock_key and step")
			return
		}
		if inputs.Kind() != '{' {
			return
		}
		switch step := inputs.Get("step"); {
		case s.Inner != nil:
			c.step(s.Inner, s.Inner.loc)
		case step.Kind() == '{':
			c.at(CodeNotYet, step, loc+".inputs.step", "steps lie in each other %d deep at most", maxInner)
		}
		return
	}
	if typeAt.Kind() != '"' || len(template.Tokens(s.Type)) > 0 {
		return
	}
	executor := c.opts.executorOf(s.Type)
	if executor == "" {
		msg := "there is no executor " + shorten(s.Type)
		if near := c.opts.likelyType(s.Type); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
		c.at(CodeUnknownType, typeAt, loc+".type", "%s", msg)
		return
	}
	if inputs.Kind() != 0 && inputs.Kind() != 'n' && inputs.Kind() != '{' {
		return
	}
	c.inputs(s, executor, inputs, loc+".inputs")
}

// lock warns of a key that protects nothing.
func (c *checker) lock(l *Lock) {
	if l == nil {
		return
	}
	if l.value.Kind() == '"' && !strings.Contains(l.Key, "{{") {
		if fault := dag.LimitKeyFault(l.Key); fault != "" {
			c.at(CodeSchema, l.value, l.loc, "%s", fault)
		}
	}
	if parsed, err := lockRules.Parse(l.Key); err == nil {
		for _, path := range parsed.Refs() {
			if path[0] == "run_id" {
				c.at(CodeLockKey, l.value, l.loc, "the id of the run is in it, so that no two runs ever wait for each other")
			}
		}
	}
}

// again tells of a lock that is around itself: a run would wait for what it has. Keys that only values make the same are told once there are values.
func (c *checker) again(s *Step, around map[string]bool) {
	held := maps.Clone(around)
	for _, l := range s.locks() {
		if l.Key != "" && held[l.Key] {
			c.at(CodeNotYet, l.value, l.loc, "%s", aroundItself(l.Key))
		}
		held[l.Key] = true
	}
	if run := s.innermost(); run.Each != nil {
		for _, one := range run.Each.Steps {
			c.again(one, held)
		}
	}
}

func aroundItself(key string) string {
	return "a lock with the key " + shorten(key) + " is around it already, and would not go back before it has this one"
}

// unknownJob tells that there is no job of an id.
func (c *checker) unknownJob(at treefile.Value, loc, id string) {
	msg := "there is no job " + shorten(id)
	if c.full(CodeUnknownJob) {
		c.at(CodeUnknownJob, at, loc, "%s", msg)
		return
	}
	if near := dag.Closest(id, slices.Sorted(maps.Keys(c.byID))); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	c.at(CodeUnknownJob, at, loc, "%s", msg)
}

// wait notes that a job waits for another one, and tells if it can't. It reports whether there is such a job that comes before.
func (c *checker) wait(j *Job, on string, at treefile.Value, loc string) bool {
	other := c.byID[on]
	switch {
	case other == nil:
		c.unknownJob(at, loc, on)
	case other == j:
		c.at(CodeCycle, at, loc, "the job waits for itself")
	case c.isHandler(j):
		if c.isHandler(other) {
			c.at(CodeOrder, at, loc, "%s is no job of the list", shorten(on))
			return false
		}
		return true
	case c.isHandler(other):
		c.at(CodeOrder, at, loc, "%s runs once all jobs have ended", shorten(on))
	case !c.doc.Graph && other.index > j.index:
		c.at(CodeOrder, at, loc, "%s stands below %s in the list, and jobs run in its order: move it up, or write flow.execution: graph", shorten(on), shorten(j.ID))
	default:
		if pair := [2]string{j.ID, on}; !c.waits[pair] {
			c.waits[pair] = true
			c.order[j.ID] = append(c.order[j.ID], on)
		}
		return true
	}
	return false
}

func (c *checker) isHandler(j *Job) bool { return j == c.doc.OnFailure || j == c.doc.Finally }

func (c *checker) needs() {
	for _, j := range c.doc.Jobs {
		seen := map[string]bool{}
		for _, n := range j.Needs {
			if len(template.Tokens(n.Job)) > 0 {
				continue
			}
			if seen[n.Job] {
				c.at(CodeDuplicateNeed, n.value, n.loc, "%s is named twice", shorten(n.Job))
			}
			seen[n.Job] = true
			c.wait(j, n.Job, n.value, n.loc)
		}
	}
}

func (c *checker) whens() {
	for _, j := range c.doc.Jobs {
		v, loc := j.value.Get("when"), j.loc+".when"
		if v.Kind() != '"' || len(template.Tokens(j.WhenText)) > 0 {
			continue
		}
		expr, err := gate.Parse(j.WhenText)
		if err != nil {
			hint := ""
			for _, other := range c.doc.Jobs {
				if c.full(CodeWhen) {
					break
				}
				if !template.Identifier(other.ID) && strings.Contains(j.WhenText, "jobs."+other.ID) && other.ID != "" {
					hint = fmt.Sprintf("; a gate can't name %s: give that job an id of letters, digits and _, with no digit first", shorten(other.ID))
				}
			}
			c.at(CodeWhen, v, loc, "%v%s", err, hint)
			continue
		}
		j.When = expr
		for _, ref := range expr.Refs() {
			if c.wait(j, ref.Job, v, loc) && ref.Field == "outputs" {
				c.promoted(c.byID[ref.Job], ref.Path[0], v, loc, ref.String())
			}
		}
	}
}

// promoted tells if no step of a job promotes an output.
func (c *checker) promoted(j *Job, key string, at treefile.Value, loc, token string) {
	if _, does := c.inside(j).promotes[key]; !does {
		c.noOutput(key, fmt.Sprintf("no step of %s promotes %s", shorten(j.ID), shorten(key)), j.Steps, at, loc, token)
	}
}

// noOutput tells that none of some steps promotes an output.
func (c *checker) noOutput(key, msg string, of []*Step, at treefile.Value, loc, token string) {
	if !c.full(CodeUnknownOutput) {
		var all []string
		for _, s := range of {
			all = append(all, slices.Sorted(maps.Keys(s.Outputs))...)
		}
		if near := dag.Closest(key, all); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
	}
	c.at(CodeUnknownOutput, at, loc, "%s: %s", shorten(token), msg)
}

// circles tells of jobs of a graph that wait for each other: once for each circle, at its first job.
func (c *checker) circles() {
	const (
		fresh = iota
		onPath
		done
	)
	state := map[string]int{}
	var path []string
	var visit func(id string)
	visit = func(id string) {
		state[id] = onPath
		path = append(path, id)
		for _, on := range c.order[id] {
			switch state[on] {
			case fresh:
				visit(on)
			case onPath:
				circle := append(slices.Clone(path[slices.Index(path, on):]), on)
				j := c.byID[on]
				if len(circle) > 20 {
					circle = append(append(slices.Clone(circle[:10]), "…"), circle[len(circle)-10:]...)
				}
				c.at(CodeCycle, j.value.Get("id"), j.loc, "jobs wait for each other: %s", strings.Join(circle, " -> "))
			}
		}
		path = path[:len(path)-1]
		state[id] = done
	}
	for _, j := range c.doc.Jobs {
		if state[j.ID] == fresh {
			visit(j.ID)
		}
	}
}

// limits tells of what has no effect.
func (c *checker) limits() {
	if c.doc.Locks != nil {
		c.ttl(c.root.Get("flow").Get("locks").Get("ttl_seconds"), "flow.locks.ttl_seconds")
	}
	for _, j := range c.all() {
		c.ttl(j.value.Get("lock").Get("ttl_seconds"), j.loc+".lock.ttl_seconds")
		for _, s := range j.Steps {
			c.ttl(s.value.Get("lock").Get("ttl_seconds"), s.loc+".lock.ttl_seconds")
			for ; s.Inner != nil; s = s.Inner {
				c.ttl(s.value.Get("inputs").Get("ttl_seconds"), s.loc+".inputs.ttl_seconds")
			}
		}
	}
}

// ttl warns of how long a lock is to outlive its holder.
func (c *checker) ttl(v treefile.Value, loc string) {
	if v.Given() {
		c.at(CodeIgnored, v, loc, "has no effect: a lock outlives a holder that nobody hears of by the lease of its worker")
	}
}
