package flows

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// each judges a step that runs others for each item.
func (c *checker) each(s *Step, loc string) {
	inputs := s.value.Get("inputs")
	for _, name := range []string{"timeout_seconds", "retry"} {
		if v := s.value.Get(name); v.Given() {
			c.at(CodeNotYet, v, join(loc, name), "is not of a foreach as a whole: write it at the step in it, or timeout_seconds at the job")
		}
	}
	switch {
	case !inputs.Given():
		c.at(CodeMissing, s.value, loc+".inputs", "must be there, with items and step")
		return
	case inputs.Kind() != '{':
		return
	}
	loc += ".inputs"
	step, steps := inputs.Get("step"), inputs.Get("steps")
	switch {
	case step.Given() && steps.Given():
		c.at(CodeSchema, steps, loc+".steps", "step is there, too: write one of them")
	case !step.Given() && !steps.Given():
		c.at(CodeMissing, inputs, loc+".step", "must be there, or steps")
	case steps.Kind() == '[' && len(steps.Items()) == 0:
		c.at(CodeSchema, steps, loc+".steps", "must have a step")
	}
	c.items(inputs.Get("items"), loc+".items")
	if s.Each == nil {
		c.at(CodeNotYet, inputs, loc, "steps lie in each other %d deep at most", maxInner)
		return
	}
	for _, one := range s.Each.Steps {
		if at := one.value.Get("id"); s.Each.List && !at.Given() {
			c.at(CodeMissing, one.value, one.loc+".id", "must be there, as the foreach has steps")
		} else {
			c.identity(one.ID, at, one.loc+".id")
		}
		if locks := one.locks(); len(locks) > 1 {
			c.at(CodeNotYet, locks[1].value, locks[1].loc, "a step in a foreach can hold one lock: let the foreach hold the other one")
		}
		c.step(one, one.loc)
	}
}

// items looks at the list of a foreach.
func (c *checker) items(v treefile.Value, loc string) {
	switch v.Kind() {
	case 0, 'n', '[':
		return
	case '"':
	default:
		c.at(CodeInput, v, loc, "must be a list, a template that gives one, or its JSON as text, and is %s", kindOf(v))
		return
	}
	text := strings.TrimSpace(v.Text())
	if len(template.Tokens(text)) == 0 && (!strings.HasPrefix(text, "[") || !json.Valid([]byte(text))) {
		c.at(CodeInput, v, loc, "must be a list, a template that gives one, or its JSON as text")
	}
}

// chained is a step of a foreach among the others.
type chained struct {
	steps []*Step
	index int
}

// chain keeps where the steps in a foreach are, and tells of ids that mean two steps.
func (c *checker) chain(j *Job, s *Step) {
	run := s.innermost()
	if run.Each == nil {
		return
	}
	for i, one := range run.Each.Steps {
		c.chains[one.loc] = chained{run.Each.Steps, i}
		at := one.value.Get("id")
		for _, before := range run.Each.Steps[:i] {
			if before.ID == one.ID && one.ID != "" {
				c.at(CodeDuplicateStep, at, one.loc+".id", "%s has the id %s, too", before.loc, shorten(one.ID))
			}
		}
		for _, other := range j.Steps {
			if other.ID == one.ID && one.ID != "" {
				c.at(CodeDuplicateStep, at, one.loc+".id", "%s has the id %s, too, so that steps.%s would mean either", other.loc, shorten(one.ID), one.ID)
			}
		}
		c.chain(j, one)
	}
}

// inChain looks for a step of the foreachs that a token stands in, and reports whether there is one.
func (c *checker) inChain(u *use, tell func(Code, string, ...any)) bool {
	for i := len(u.loc) - 1; i > 0; i-- {
		if u.loc[i] != '.' {
			continue
		}
		in := c.chains[u.loc[:i]]
		for k, s := range in.steps {
			if s.ID != u.path[1] {
				continue
			}
			if k == in.index {
				tell(CodeUnknownStep, "a step can't see its own result in its inputs")
			} else if k > in.index {
				tell(CodeUnknownStep, "%s comes later in the foreach", s.ID)
			}
			return true
		}
	}
	return false
}

// each makes of a foreach the task that finds those of its items.
func (c *compiler) each(w *writer, run *Step, id string) {
	t, e, at, loc := w.task, run.Each, run.value.Get("inputs"), run.loc+".inputs"
	t.Schemas, t.Template, w.looks = map[string]string{"method": dag.MapExecutor}, true, true
	t.Inputs = map[string]any{"items": w.value(e.Items, at.Get("items"), loc+".items", atItems), "collect": "counted", "on_empty": "skip"}
	if e.Window > 0 {
		t.Inputs["window"] = e.Window
	}
	if e.Stop {
		t.Inputs["stop_on_failure"] = true
	}
	label := cmp.Or(w.label, t.Name)
	made, shares := make([]*taskDoc, len(e.Steps)), false
	for i, s := range e.Steps {
		one := &taskDoc{Timeout: s.Timeout, Pool: cmp.Or(s.Pool, t.Pool), Priority: cmp.Or(s.Priority, t.Priority), AllowFailure: e.Allows, Retry: retryOf(s.Retry)}
		in := &writer{compiler: c, at: w.at, task: one, outer: w, before: e.Steps[:i], label: label + "." + cmp.Or(s.ID, "step")}
		in.sees.Outer = true
		if e.List {
			one.ID, one.Name = s.ID, label+"[{{index}}]."+s.ID
			if last := e.Steps[len(e.Steps)-1]; s != last {
				one.Parent = last.ID
			}
			if i > 0 {
				one.Dependencies = append(one.Dependencies, accepting(e.Steps[i-1].ID, "", "success", "skipped"))
			}
		}
		c.runs(in, s.innermost(), cmp.Or(s.ID, id))
		if in.looks {
			one.FlowStep = &in.sees
		}
		for _, l := range s.locks() {
			one.Lock = c.itemLock(w.at.job, l)
		}
		made[i], shares = one, shares || one.Params != nil
	}
	key, each := "step", any(made[0])
	t.Inputs["task"] = each
	if e.List {
		key, each = "steps", made
		delete(t.Inputs, "task")
		t.Inputs["tasks"] = each
	}
	if shares {
		t.Params = &paramsDoc{Flow: c.flow, Run: c.run, Job: w.at.job.ID, Step: id, Items: id}
		if w.outer == nil {
			t.Params.Items = c.directory(w.at.job, id)
		}
	}
	text, err := json.Marshal(each)
	if err == nil {
		_, err = expansion.NewTemplate(text, label, c.opts.Executors)
	}
	if bad, is := errors.AsType[*expansion.InvalidError](err); is {
		for _, problem := range bad.Problems {
			c.at(CodeTree, at.Get(key), join(loc, key), "%s", strings.TrimPrefix(problem, "each: "))
		}
	} else if err != nil {
		c.at(CodeTree, at.Get(key), join(loc, key), "%v", err)
	}
}

// directory is what the directories of the items of a step are called, but for their index: no job's is, and no other step's.
func (c *compiler) directory(j *Job, id string) string {
	name := j.ID + "." + id
	taken := func(name string) bool {
		for other := range c.byID {
			if strings.HasPrefix(other, name+".") {
				return true
			}
		}
		return c.taken[name]
	}
	for taken(name) {
		name += "_"
	}
	if c.taken == nil {
		c.taken = map[string]bool{}
	}
	c.taken[name] = true
	return name
}

// itemLock is a lock of a step in a foreach, whose key may name the item.
func (c *compiler) itemLock(j *Job, l *Lock) *lockDoc {
	out, err := (&template.Rules{Plain: true}).Fill(l.Key, c.scope(j), maxRendered)
	return &lockDoc{Key: fmt.Sprint(c.told(out, err, l.Key, l.value, l.loc)), OnContention: l.OnContention, WaitTimeout: l.WaitTimeout}
}

// twiceIn is twice, of the steps in a foreach.
func (c *compiler) twiceIn(j *Job, s *Step, around map[string]bool, again func(at treefile.Value, loc, key string, held map[string]bool)) {
	run := s.innermost()
	if run.Each == nil {
		return
	}
	for _, one := range run.Each.Steps {
		held := map[string]bool{}
		for key := range around {
			held[key] = true
		}
		for _, l := range one.locks() {
			again(l.value, l.loc, c.itemLock(j, l).Key, held)
		}
		c.twiceIn(j, one, held, again)
	}
}

// inEach notes what a token in a foreach names: done, unless it is as elsewhere. What is not of the item, the task of the foreach keeps for those that it finds.
func (w *writer) inEach(piece template.Piece, p phase) (path, constant, reason string, done bool) {
	names := piece.Path
	path = strings.Join(names, ".")
	switch names[0] {
	case "item", "index":
		return path, "", "", true
	case "steps":
		if slices.ContainsFunc(w.before, func(s *Step) bool { return s.ID == names[1] }) {
			if w.sees.Steps == nil {
				w.sees.Steps = map[string]string{}
			}
			w.sees.Steps[names[1]], w.looks = names[1], true
			w.wait(names[1])
			return path, "", "", true
		}
	case "job":
		if names[1] == "id" {
			return "", "", "", false
		}
	case "jobs", "failure":
	default:
		return "", "", "", false
	}
	if path, constant, reason = w.outer.path(piece, p); !strings.HasPrefix(path, givenRoot+".") {
		w.looks = true
	}
	return path, constant, reason, true
}
