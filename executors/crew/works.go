package crew

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// How large a crew may be.
const (
	maxMembers = 100 // agents, and tasks, of a crew
	maxWorks   = 200 // of a batch
)

// crew is one that was read and found to be without fault.
type crew struct {
	path    string // of its document: works, or works.NAME
	members []*member
	tasks   []*task
	manager *member // of a hierarchical crew; nil: it is sequential
}

// member is an agent of a crew.
type member struct {
	path, key string

	role, goal, backstory          string
	systemTemplate, promptTemplate string
	llm                            llm
	tools                          json.RawMessage // as the document lists them
	kit                            agent.Tools     // made of them; nil: none
	delegates                      bool            // to other members
	turns                          int
	limit                          time.Duration // of its work on one job; 0: none
	verbose, dated                 bool
	pace                           *pace
}

// llm is a choice of models, and how they are asked.
type llm struct {
	models      []string
	temperature *float64
	maxTokens   int
	extra       map[string]json.RawMessage
}

// task is one of a crew.
type task struct {
	path, key             string
	description, expected string
	agent                 *member // nil: the manager decides
	context               []*task // whose results it gets; nil, unless bare: those of all earlier ones
	bare                  bool    // it gets no results
	tools                 json.RawMessage
	kit                   agent.Tools // instead of the agent's; nil: the agent's
	schema                json.RawMessage
	async, markdown       bool
}

// reader reads the document of one crew.
type reader struct {
	*faults
	crew   *crew
	vars   variables
	common llm // of agents that name no model
}

// readCrew reads the document of a crew. What is wrong with it is in faults.
func readCrew(path string, works json.RawMessage, d defaults, vars variables, f *faults) *crew {
	r := &reader{faults: f, crew: &crew{path: path}, vars: vars, common: d.llm}
	o, _ := objectAt(path, works, f)
	r.agents(o)
	if len(r.crew.members) == 0 {
		f.add("%sNo agents created", prefix(path))
		return r.crew
	}
	verbose, rpm := o.flag("verbose") || d.verbose, o.whole("max_rpm", 1, maxRate)
	if rpm == 0 {
		rpm = d.rate
	}
	r.hierarchy(o, d)
	r.tasks(o)
	if len(r.crew.tasks) == 0 {
		f.add("%sNo tasks created", prefix(path))
	}
	o.done(ignoredOfCrews, refusedOfCrews)
	shared := newPace(rpm)
	for _, m := range r.crew.everybody() {
		m.verbose = m.verbose || verbose
		if m.pace == nil {
			m.pace = shared
		}
	}
	return r.crew
}

// prefix tells which crew of a batch a fault is of; the texts of the reference's faults have none.
func prefix(path string) string {
	if path == "works" {
		return ""
	}
	return path + ": "
}

// entries are the agents or tasks of a crew by their names: of an object, or of a list, whose entries have a name or get one.
func (r *reader) entries(o *object, field string, nameOf func(*object, int) string) (all []*object, keys []string) {
	value, path := o.raw(field), o.at(field)
	add := func(key, at string, value json.RawMessage) {
		one, ok := objectAt(at, value, r.faults)
		if !ok {
			return
		}
		if key == "" {
			key = nameOf(one, len(keys)+1)
		}
		if slices.Contains(keys, key) {
			r.add("%s: another one has the name '%s' already", at, cut(key, 60))
			return
		}
		all, keys = append(all, one), append(keys, key)
	}
	switch kindOf(value) {
	case "null":
	case "object":
		for key, value := range members(value) {
			add(key, path+"."+key, value)
		}
	case "list":
		i := 0
		for value := range rawjson.Elements(value) {
			add("", path+"["+strconv.Itoa(i)+"]", value)
			i++
		}
	default:
		r.add("%s must be an object, not %s", path, kindOf(value))
	}
	if len(all) > maxMembers {
		r.add("%s are %d, more than %d", path, len(all), maxMembers)
		all, keys = nil, nil
	}
	return all, keys
}

func (r *reader) agents(o *object) {
	all, keys := r.entries(o, "agents", func(one *object, i int) string {
		if name := one.text("name"); name != "" {
			return name
		}
		if role := one.text("role"); role != "" {
			return role
		}
		return "agent_" + strconv.Itoa(i)
	})
	for i, one := range all {
		r.crew.members = append(r.crew.members, r.member(one, keys[i]))
	}
}

func (r *reader) member(o *object, key string) *member {
	m := &member{
		path: o.path, key: key, role: r.fill(o, "role", true), goal: r.fill(o, "goal", false), backstory: r.fill(o, "backstory", false),
		systemTemplate: o.text("system_template"), promptTemplate: o.text("prompt_template"),
		tools: o.raw("tools"), delegates: o.flag("allow_delegation"), turns: o.whole("max_iter", 1, agent.MaxTurns),
		verbose: o.flag("verbose"), dated: o.flag("inject_date"),
	}
	o.raw("name")
	if m.llm = r.llm(o, "llm"); len(m.llm.models) == 0 {
		m.llm.models = r.common.models
	}
	if n := o.whole("max_tokens", 1, maxTokens); n > 0 && m.llm.maxTokens == 0 {
		m.llm.maxTokens = n
	}
	if seconds := o.whole("max_execution_time", 1, maxSeconds); seconds > 0 {
		m.limit = time.Duration(seconds) * time.Second
	}
	if rate := o.whole("max_rpm", 1, maxRate); rate > 0 {
		m.pace = newPace(rate)
	}
	o.done(ignoredOfAgents, refusedOfAgents)
	return m
}

// fill reads a text and puts the inputs into the places of its variables.
func (r *reader) fill(o *object, name string, needed bool) string {
	text := ""
	if needed {
		text = o.needed(name)
	} else {
		text = o.text(name)
	}
	return r.vars.fill(o.at(name), text, r.faults)
}

// agentOf finds the agent that a task names, by its name or its role.
func (c *crew) agentOf(name string) *member {
	for _, m := range c.members {
		if m.key == name {
			return m
		}
	}
	for _, m := range c.members {
		if m.called(name) {
			return m
		}
	}
	return nil
}

// called reports whether a name is the agent's own or its role.
func (m *member) called(name string) bool { return m.key == name || strings.EqualFold(m.role, name) }

func (r *reader) tasks(o *object) {
	all, keys := r.entries(o, "tasks", func(one *object, i int) string {
		if name := one.text("name"); name != "" {
			return name
		}
		return "task_" + strconv.Itoa(i)
	})
	for i, one := range all {
		r.crew.tasks = append(r.crew.tasks, r.task(one, keys[i]))
	}
	for i, one := range all {
		r.context(one, r.crew.tasks[i], i)
		one.done(ignoredOfTasks, refusedOfTasks)
	}
}

func (r *reader) task(o *object, key string) *task {
	t := &task{
		path: o.path, key: key, description: r.fill(o, "description", true), expected: r.fill(o, "expected_output", false),
		tools: o.raw("tools"), async: o.flag("async_execution"), markdown: o.flag("markdown"),
	}
	o.raw("name")
	name := o.text("agent")
	switch t.agent = r.crew.agentOf(name); {
	case name != "" && r.crew.manager != nil && r.crew.manager.called(name) && t.agent == nil:
		r.add("%s.agent: the manager delegates, and has no task of its own", t.path)
	case t.agent != nil:
	case name != "":
		r.add("%sAgent '%s' not found for task '%s'", prefix(r.crew.path), cut(name, 60), cut(key, 60))
	case r.crew.manager == nil && len(r.crew.members) == 1:
		t.agent = r.crew.members[0]
	case r.crew.manager == nil:
		r.add("%s.agent is required where several agents work without a manager", t.path)
	}
	r.schema(o, t)
	return t
}

// schema reads the schema of a task's answer, which has several names.
func (r *reader) schema(o *object, t *task) {
	for _, name := range []string{"output_schema", "output_json", "output_pydantic", "response_model"} {
		value := o.raw(name)
		switch {
		case value == nil:
		case kindOf(value) == "text":
			r.add("%s must be a JSON Schema: classes of Python are not known here", o.at(name))
		case kindOf(value) == "boolean" && string(value) == "true":
			t.schema = json.RawMessage(`{"type":"object"}`)
		case kindOf(value) != "object":
			o.wrong(name, "a JSON Schema")
		case t.schema != nil:
			r.add("%s: the task has a schema already", o.at(name))
		default:
			if err := inputs.Usable(value); err != nil {
				r.add("%s can't be used: %v", o.at(name), err)
			}
			t.schema = value
		}
	}
}

// context finds the tasks whose results a task gets. They come before it.
func (r *reader) context(o *object, t *task, place int) {
	_, said := o.fields["context"]
	names := o.texts("context")
	t.bare = slices.Contains(o.names, "context") && (!said || names != nil && len(names) == 0)
	for _, name := range names {
		i := slices.IndexFunc(r.crew.tasks, func(other *task) bool { return other.key == name })
		switch {
		case i < 0:
			r.add("%s.context: there is no task '%s'", t.path, cut(name, 60))
		case i >= place:
			r.add("%s.context: task '%s' does not come before this one", t.path, cut(name, 60))
		default:
			t.context = append(t.context, r.crew.tasks[i])
		}
	}
}

// hierarchy reads the process of the crew, and who manages it.
func (r *reader) hierarchy(o *object, d defaults) {
	name, process := o.text("manager_agent"), o.text("process")
	if process == "" {
		process = d.process
	}
	own := r.llm(o, "manager_llm")
	switch process {
	case "", "sequential":
		return
	case "hierarchical":
	default:
		r.add("%s must be sequential or hierarchical", o.at("process"))
		return
	}
	if name != "" {
		m := r.crew.agentOf(name)
		if m == nil {
			r.add("%s: there is no agent '%s'", o.at("manager_agent"), cut(name, 60))
			return
		}
		if !empty(m.tools) {
			r.add("%s.tools: a manager delegates, and has no tools of its own", m.path)
		}
		r.crew.manager = m
		r.crew.members = slices.DeleteFunc(r.crew.members, func(other *member) bool { return other == m })
		if len(r.crew.members) == 0 {
			r.add("%s: the manager has nobody to delegate to", o.at("manager_agent"))
		}
		return
	}
	m := &member{
		path: o.path + ".manager", key: "manager", role: "Crew Manager",
		goal:      "Have the team do the task as well as it can be done",
		backstory: "You lead a team. You do no work yourself: you give each part to the coworker who does it best, judge what comes back, and put it together.",
		llm:       own,
	}
	if len(m.llm.models) == 0 {
		m.llm.models = r.common.models
	}
	if len(m.llm.models) == 0 {
		m.llm.models = r.crew.members[0].llm.models
	}
	r.crew.manager = m
}
