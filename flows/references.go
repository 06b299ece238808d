package flows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// systemEnv are names of the environment that workers set, to where a bundle lies.
var systemEnv = []string{"AETHERFLOW_ACTIVE_DIR", "AETHERFLOW_LOCAL_ROOT_DIR", cacheEnv, "TASKGROVE_BUNDLE_DIR"}

const cacheEnv = "AETHERFLOW_CACHE_DIR"

// secretWords make a name one of a secret.
var secretWords = []string{"PASS", "TOKEN", "SECRET", "KEY", "CREDENTIAL"}

// Secret reports whether a name of the environment is a secret's: it is listed in flow.secrets, feeds what a resource has decoded, or looks like one and is not listed in flow.public_env.
func (d *Document) Secret(name string) bool {
	if d.secret[name] || d.decoded[name] {
		return true
	}
	upper := strings.ToUpper(name)
	return !d.public[name] && slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(upper, w) })
}

// badName is why a value of the environment can't be called so: programs would get another one.
const badName = "must be letters, digits and _, with no digit first, so that templates can name it"

// environment looks at the values of the environment that are given.
func (c *checker) environment() {
	for _, m := range c.root.Get("flow").Get("env").Members() {
		if !template.Identifier(m.Name) {
			c.at(CodeBadID, m.Value, join("flow.env", m.Name), badName)
		} else if c.doc.Secret(m.Name) {
			c.at(CodeSecretValue, m.Value, join("flow.env", m.Name), "is the name of a secret, whose value must not stand in a flow: workers have it; or list the name in flow.public_env")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.opts.Env)) {
		if !template.Identifier(name) {
			c.tell(CodeBadID, "", join("env", name), treedoc.Position{}, badName)
		} else if c.doc.Secret(name) {
			c.tell(CodeSecretValue, "", join("env", name), treedoc.Position{}, "is the name of a secret, which workers read themselves: give no value, or list the name in flow.public_env")
		}
	}
}

// value is what the environment has of a name.
func (c *checker) value(name string) string {
	if v, given := c.opts.Env[name]; given {
		return v
	}
	return c.doc.Env[name]
}

// parameters reads the parameters and their values.
func (c *checker) parameters() {
	if v := c.doc.parameters; v.Given() && v.Kind() != '{' {
		return // it was told
	}
	values, faults := treefile.Parameters(c.doc.parameters, "flow", c.opts.Set)
	for _, f := range faults {
		text := f.Text
		if f.Position().Line == 0 && f.Place != "" && f.Path == "" {
			text = f.Place + ": " + text
		}
		c.tell(CodeParameter, "", f.Path, f.Position(), "%s", strings.TrimPrefix(text, f.Path+": "))
	}
	c.doc.Params = values
}

// place is the job and the step that a token stands in. index is that of the step in its job; -1: of the job itself.
type place struct {
	job   *Job
	index int
}

// references looks at what tokens name.
func (c *checker) references() {
	places := map[string]place{}
	c.chains = map[string]chained{}
	for _, j := range c.all() {
		places[j.loc] = place{j, -1}
		for i, s := range j.Steps {
			places[s.loc] = place{j, i}
			c.chain(j, s)
		}
	}
	for _, u := range c.uses {
		var at place
		for i := len(u.loc) - 1; i > 0 && at.job == nil; i-- {
			if u.loc[i] == '.' {
				at = places[u.loc[:i]]
			}
		}
		c.use(&u, at)
	}
	for _, u := range c.profiled {
		c.use(&u, place{})
	}
	c.uses = append(c.uses, c.profiled...)
}

func (c *checker) use(u *use, at place) {
	tell := func(code Code, format string, args ...any) {
		c.at(code, u.value, u.loc, "%s: %s", shorten(u.token), fmt.Sprintf(format, args...))
	}
	switch u.path[0] {
	case "env":
		c.env(u, tell)
	case "params":
		c.param(u, tell)
	case "steps":
		c.earlier(u, at, tell)
	case "job":
		if u.path[1] != "outputs" || at.job == nil || u.phase == atLock {
			return
		}
		if len(u.path) < 3 {
			return // all of them
		}
		if first, promoted := c.inside(at.job).promotes[u.path[2]]; promoted && first < at.index {
			return
		}
		c.noOutput(u.path[2], "no earlier step of the job promotes "+shorten(u.path[2]), at.job.Steps[:max(at.index, 0)], u.value, u.loc, u.token)
	case "jobs":
		c.ofJob(u, at, tell)
	}
}

func (c *checker) env(u *use, tell func(Code, string, ...any)) {
	name := u.path[1]
	if len(u.path) > 2 {
		tell(CodeSyntax, "a value of the environment is a text, and has no members")
		return
	}
	if c.doc.Secret(name) {
		switch {
		case u.phase == atOutput:
			tell(CodeSecretStored, "%s is a secret's name, and outputs are stored", name)
		case u.phase == atMeta, u.phase == atLock, u.phase == atItems:
			tell(CodeSecretStored, "%s is a secret's name, and this is stored", name)
		case u.phase == atInput && !u.alone:
			tell(CodeSecretInText, "%s is a secret's name: a secret can only be the whole of an input, or stand in a resource that the step names", name)
		case u.phase == atInput && u.hasDefault:
			tell(CodeSecretInText, "%s is a secret's name: it can have no default", name)
		}
		return
	}
	if slices.Contains(systemEnv, name) || u.hasDefault || c.value(name) != "" {
		return
	}
	code := CodeUnsetEnv
	if c.opts.StrictEnv {
		code = CodeMissingEnv
	}
	tell(code, "%s has no value, and no default", name)
}

func (c *checker) param(u *use, tell func(Code, string, ...any)) {
	name := u.path[1]
	if c.declares[name] {
		return
	}
	msg := "the flow declares no parameter " + shorten(name)
	if c.full(CodeUnknownParam) {
		tell(CodeUnknownParam, "%s", msg)
		return
	}
	var all []string
	for _, m := range c.doc.parameters.Members() {
		all = append(all, m.Name)
	}
	if near := dag.Closest(name, all); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	tell(CodeUnknownParam, "%s", msg)
}

// earlier looks for a step of the same job.
func (c *checker) earlier(u *use, at place, tell func(Code, string, ...any)) {
	if at.job == nil || at.index < 0 {
		return
	}
	name := u.path[1]
	if c.inChain(u, tell) {
		return
	}
	if i, there := c.inside(at.job).steps[name]; there {
		switch {
		case i < at.index, i == at.index && u.phase == atOutput:
		case i == at.index:
			tell(CodeUnknownStep, "a step can't see its own result in its inputs")
		default:
			tell(CodeUnknownStep, "%s comes later in the job", name)
		}
		return
	}
	msg := "the job has no step " + shorten(name) + " before this one"
	if c.full(CodeUnknownStep) {
		tell(CodeUnknownStep, "%s", msg)
		return
	}
	for _, j := range c.doc.Jobs {
		if _, has := c.inside(j).steps[name]; has && j != at.job {
			tell(CodeUnknownStep, "%s: it is one of the job %s, whose outputs can be named: jobs.%s.outputs.KEY", msg, j.ID, j.ID)
			return
		}
	}
	var all []string
	for _, s := range at.job.Steps[:at.index] {
		all = append(all, s.ID)
	}
	if near := dag.Closest(name, all); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	tell(CodeUnknownStep, "%s", msg)
}

// jobFields are what templates may name of a job.
var jobFields = []string{"status", "outputs", "skip_reason", "skip_trigger"}

func (c *checker) ofJob(u *use, at place, tell func(Code, string, ...any)) {
	if at.job == nil {
		return
	}
	name, field := u.path[1], u.path[2]
	if !slices.Contains(jobFields, field) {
		msg := "a job has " + strings.Join(jobFields, ", ")
		tell(CodeUnknownOutput, "%s", msg)
		return
	}
	if c.byID[name] == at.job {
		tell(CodeUnknownJob, "%s is the job itself: name job.outputs.KEY or steps.ID", name)
		return
	}
	if !c.wait(at.job, name, u.value, u.loc) {
		return
	}
	if field != "outputs" && len(u.path) > 3 {
		tell(CodeUnknownOutput, "%s is a text, and has no members", field)
	}
	if field != "outputs" || len(u.path) < 4 {
		return
	}
	c.promoted(c.byID[name], u.path[3], u.value, u.loc, u.token)
}
