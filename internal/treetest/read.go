package treetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// epoch is when trees start whose case does not say.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// workTime is how long attempts take whose mocks don't say: some time, so that what runs beside each other overlaps.
const workTime = time.Second

// reader reads a mocks file.
type reader struct {
	faults []treefile.Fault
	more   int
	told   map[treefile.Fault]bool
}

func (r *reader) tell(place, format string, args ...any) {
	r.keep(treefile.Fault{Place: place, Text: fmt.Sprintf(format, args...)})
}

// keep keeps a fault, once.
func (r *reader) keep(f treefile.Fault) {
	switch {
	case r.told[f]:
	case len(r.faults) == dag.MaxProblems:
		r.more++
	default:
		r.told[f] = true
		r.faults = append(r.faults, f)
	}
}

func join(path, name string) string {
	if path == "" {
		return treedoc.Short(name)
	}
	return path + "." + treedoc.Short(name)
}

// object reads an object with the keys, and gives its members that are there, and not null unless null says something.
func (r *reader) object(v treefile.Value, path string, keys []key, orNull ...string) map[string]treefile.Value {
	out := map[string]treefile.Value{}
	if v.Kind() != '{' {
		r.tell(v.Place(), "%smust be an object", prefix(path))
		return out
	}
	seen := map[string]bool{}
	for _, m := range v.Members() {
		switch {
		case seen[m.Name]:
			r.tell(m.Place(), "%s: must not be there twice", join(path, m.Name))
		case !slices.ContainsFunc(keys, func(k key) bool { return k.name == m.Name }):
			r.tell(m.Place(), "%s: %s", join(path, m.Name), treedoc.Unknown(m.Name, known(keys)))
		case m.Given() || slices.Contains(orNull, m.Name):
			out[m.Name] = m.Value
		}
		seen[m.Name] = true
	}
	return out
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func (r *reader) text(v treefile.Value, path string) string {
	switch {
	case v.Kind() == 0:
		return ""
	case v.Kind() != '"':
		r.tell(v.Place(), "%s: must be text", path)
		return ""
	}
	return v.Text()
}

// word is a text that is not empty.
func (r *reader) word(v treefile.Value, path string) string {
	text := r.text(v, path)
	if v.Kind() == '"' && text == "" {
		r.tell(v.Place(), "%s: must not be empty", path)
	}
	return text
}

func (r *reader) boolean(v treefile.Value, path string) bool {
	switch v.Kind() {
	case 't':
		return true
	case 'f', 0:
	default:
		r.tell(v.Place(), "%s: must be true or false", path)
	}
	return false
}

// whole is a whole number; nil: there is none.
func (r *reader) whole(v treefile.Value, path string, least int) *int {
	if v.Kind() == 0 {
		return nil
	}
	x, ok := v.Number()
	if !ok || x != math.Trunc(x) || x < float64(least) || x > maxTasks*10 {
		r.tell(v.Place(), "%s: must be a whole number from %d on", path, least)
		return nil
	}
	n := int(x)
	return &n
}

// duration is seconds, or text as 1h30m; nil: there is none.
func (r *reader) duration(v treefile.Value, path string) *time.Duration {
	var d time.Duration
	switch v.Kind() {
	case 0:
		return nil
	case '0':
		x, ok := v.Number()
		if !ok || x < 0 || x > maxTime.Seconds() {
			r.tell(v.Place(), "%s: must be from 0 to %d years", path, int(maxTime.Hours()/24/365))
			return nil
		}
		d = time.Duration(x * float64(time.Second))
	default:
		var err error
		if v.Kind() == '"' {
			d, err = time.ParseDuration(v.Text())
		}
		switch {
		case v.Kind() != '"' || err != nil:
			r.tell(v.Place(), "%s: must be a number of seconds, or text such as 1h30m", path)
			return nil
		case d < 0 || d > maxTime:
			r.tell(v.Place(), "%s: must be from 0 to %d years", path, int(maxTime.Hours()/24/365))
			return nil
		}
	}
	return &d
}

func (r *reader) span(v treefile.Value, path string, byDefault time.Duration) time.Duration {
	if d := r.duration(v, path); d != nil {
		return *d
	}
	return byDefault
}

// list are the items of a list, at most most.
func (r *reader) list(v treefile.Value, path string, most int) []treefile.Value {
	switch {
	case v.Kind() == 0:
		return nil
	case v.Kind() != '[':
		r.tell(v.Place(), "%s: must be a list", path)
		return nil
	}
	items := v.Items()
	if len(items) > most {
		r.tell(v.Place(), "%s: must be at most %d, got %d", path, most, len(items))
		return nil
	}
	return items
}

// oneOf is one of some words; empty: none.
func (r *reader) oneOf(v treefile.Value, path string, words []string) string {
	word := r.text(v, path)
	if word == "" || slices.Contains(words, word) {
		return word
	}
	hint := ""
	if near := dag.Closest(word, words); near != "" {
		hint = "; did you mean " + near + "?"
	}
	r.tell(v.Place(), "%s: must be %s%s", path, listed(words), hint)
	return ""
}

func listed(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// file reads the whole file.
func (r *reader) file(v treefile.Value) (cases []*testCase) {
	top := r.object(v, "", append([]key{{name: "$schema"}}, fileKeys...))
	if version := top[treedoc.FileKey]; version.Kind() != '0' || version.Text() != fmt.Sprint(treedoc.FileVersion) {
		place := v.Place()
		if version.Kind() != 0 {
			place = version.Place()
		}
		r.tell(place, "%s: must be %d: no other version of mocks files is known", treedoc.FileKey, treedoc.FileVersion)
	}
	shared := &testCase{start: epoch}
	r.part(shared, top, "")
	if top["cases"].Kind() == 0 {
		shared.place = v.Place()
		if shared.name == "" {
			shared.name = "the tree"
		}
		return []*testCase{shared}
	}
	for _, key := range []string{"events", "expect"} {
		if top[key].Kind() != 0 {
			r.tell(top[key].Place(), "%s: stands in a case, where there are cases", key)
		}
	}
	items := r.list(top["cases"], "cases", maxCases)
	if top["cases"].Kind() == '[' && len(items) == 0 {
		r.tell(top["cases"].Place(), "cases: has no case")
	}
	seen := map[string]bool{}
	for i, item := range items {
		path := fmt.Sprintf("cases[%d]", i)
		c := &testCase{place: item.Place(), start: shared.start}
		keys := r.object(item, path, caseKeys)
		r.part(c, keys, path)
		c.parameters, c.mocks = slices.Concat(shared.parameters, c.parameters), slices.Concat(c.mocks, shared.mocks)
		if c.byDefault == nil {
			c.byDefault = shared.byDefault
		}
		switch {
		case keys["name"].Kind() == 0 && item.Kind() == '{':
			r.tell(item.Place(), "%s.name: is required", path)
		case seen[c.name] && c.name != "":
			r.tell(keys["name"].Place(), "%s.name: names must differ, and another case is called so", path)
		}
		seen[c.name] = true
		cases = append(cases, c)
	}
	return cases
}

// part reads what a case has, and the file for all of its cases.
func (r *reader) part(c *testCase, keys map[string]treefile.Value, path string) {
	c.name = r.word(keys["name"], join(path, "name"))
	r.text(keys["description"], join(path, "description"))
	if p := keys["parameters"]; p.Kind() != 0 {
		c.parameters = append(c.parameters, p)
	}
	if text := r.text(keys["start"], join(path, "start")); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || at.Year() < 1971 || at.Year() > 2200 {
			r.tell(keys["start"].Place(), "%s: must be a time from 1971 to 2200, such as 2026-11-28T22:00:00Z", join(path, "start"))
		} else {
			c.start = at.UTC()
		}
	}
	if v := keys["mocks"]; v.Kind() == '{' {
		seen := map[string]bool{}
		for _, m := range v.Members() {
			below := join(join(path, "mocks"), m.Name)
			if seen[m.Name] {
				r.tell(m.Place(), "%s: must not be there twice", below)
			}
			seen[m.Name] = true
			c.mocks = append(c.mocks, r.mocks(m, below))
		}
	} else if v.Kind() != 0 {
		r.tell(v.Place(), "%s: must be an object: a mock, or a list of them, for each name", join(path, "mocks"))
	}
	if v := keys["default"]; v.Kind() != 0 {
		c.byDefault = r.mock(v, join(path, "default"))
		if c.byDefault.answers() {
			r.tell(v.Place(), "%s: is for tasks that run something: what comes to one that waits is said by its name", join(path, "default"))
		}
	}
	for i, v := range r.list(keys["events"], join(path, "events"), maxEvents) {
		c.events = append(c.events, r.event(v, fmt.Sprintf("%s[%d]", join(path, "events"), i)))
	}
	c.expect = expectation{place: keys["expect"].Place(), outcome: dag.StatusCompleted}
	if v := keys["expect"]; v.Kind() != 0 {
		r.expect(&c.expect, v, join(path, "expect"))
	}
}

// mocks reads those of a name.
func (r *reader) mocks(m treefile.Member, path string) namedMocks {
	n := namedMocks{name: m.Name, place: m.Place()}
	if m.Name == "" {
		r.tell(m.Place(), "%s: a task's name is not empty", path)
	}
	if m.Kind() != '[' {
		n.mocks = append(n.mocks, r.mock(m.Value, path))
		return n
	}
	for i, v := range r.list(m.Value, path, maxMocks) {
		n.mocks = append(n.mocks, r.mock(v, fmt.Sprintf("%s[%d]", path, i)))
	}
	return n
}

// mockEnds are the keys of a mock that say how the attempt ends, one of which may be there; and those that belong to one of them.
var (
	mockEnds = []string{"error", "skip", "expand", "signal", "choice", "hangs", "lost"}
	belongs  = map[string][]string{"kind": {"error"}, "permanent": {"error"}, "retry_after": {"error"}, "by": {"choice"}, "comment": {"choice"}}
)

func (r *reader) mock(v treefile.Value, path string) *mock {
	m := &mock{place: v.Place(), takes: workTime, by: "tester"}
	keys := r.object(v, path, mockKeys, "result", "signal", "inputs")
	at := func(name string) string { return path + "." + name }
	switch a := keys["attempt"]; a.Kind() {
	case '[':
		for i, one := range r.list(a, at("attempt"), maxMocks) {
			if n := r.whole(one, fmt.Sprintf("%s[%d]", at("attempt"), i), 1); n != nil {
				m.attempts = append(m.attempts, *n)
			}
		}
		if len(a.Items()) == 0 {
			r.tell(a.Place(), "%s: names no attempt", at("attempt"))
		}
	default:
		if n := r.whole(a, at("attempt"), 1); n != nil {
			m.attempts = []int{*n}
		}
	}
	m.inputs, m.result, m.signal, m.expand = keys["inputs"].JSON(), keys["result"].JSON(), keys["signal"].JSON(), keys["expand"].JSON()
	m.failure, m.kind = r.word(keys["error"], at("error")), r.word(keys["kind"], at("kind"))
	m.fails = keys["error"].Kind() != 0
	if m.kind != "" && !dag.Kind(m.kind).Valid() {
		r.tell(keys["kind"].Place(), "%s: must be a word of letters, digits, _, - and dots", at("kind"))
	}
	m.permanent, m.hangs, m.lost = r.boolean(keys["permanent"], at("permanent")), r.boolean(keys["hangs"], at("hangs")), r.boolean(keys["lost"], at("lost"))
	m.retryAfter = r.span(keys["retry_after"], at("retry_after"), 0)
	m.skip = r.word(keys["skip"], at("skip"))
	if m.skip != "" && !dag.Kind(m.skip).Valid() {
		r.tell(keys["skip"].Place(), "%s: must be a word of letters, digits, _, - and dots", at("skip"))
	}
	if e := keys["expand"]; e.Kind() != 0 && e.Kind() != '{' {
		r.tell(e.Place(), "%s: must be an object with tasks, or with items and each", at("expand"))
		m.expand = nil
	}
	m.choice = r.word(keys["choice"], at("choice"))
	if by := r.word(keys["by"], at("by")); by != "" {
		m.by = by
	}
	m.comment = r.text(keys["comment"], at("comment"))
	m.takes = r.span(keys["takes"], at("takes"), workTime)
	var ends []string
	for _, name := range mockEnds {
		if keys[name].Kind() != 0 && keys[name].Kind() != 'f' {
			ends = append(ends, name)
		}
	}
	if len(ends) > 1 {
		r.tell(v.Place(), "%s: an attempt ends in one way, and there are %s", path, strings.Join(ends, ", "))
	}
	if keys["result"].Kind() != 0 && len(ends) > 0 && ends[0] != "skip" {
		r.tell(keys["result"].Place(), "%s: an attempt with %s returns no result", at("result"), ends[0])
	}
	for _, name := range slices.Sorted(maps.Keys(belongs)) {
		if keys[name].Kind() != 0 && !slices.Contains(ends, belongs[name][0]) {
			r.tell(keys[name].Place(), "%s: is of %s, which is not there", at(name), belongs[name][0])
		}
	}
	if m.hangs && keys["takes"].Kind() != 0 {
		r.tell(keys["takes"].Place(), "%s: an attempt that hangs takes as long as it may", at("takes"))
	}
	return m
}

func (r *reader) event(v treefile.Value, path string) event {
	e := event{place: v.Place()}
	keys := r.object(v, path, eventKeys)
	if keys["at"].Kind() == 0 && v.Kind() == '{' {
		r.tell(v.Place(), "%s.at: is required", path)
	}
	e.at = r.span(keys["at"], path+".at", 0)
	cancel, skip := r.word(keys["cancel"], path+".cancel"), r.word(keys["skip"], path+".skip")
	switch {
	case v.Kind() != '{':
	case (keys["cancel"].Kind() == 0) == (keys["skip"].Kind() == 0):
		r.tell(v.Place(), "%s: must have cancel or skip", path)
	case skip != "":
		e.task, e.skip = skip, true
	default:
		e.task = cancel
	}
	return e
}

// statuses are what a tree comes to.
var statuses = []string{string(dag.StatusCompleted), string(dag.StatusFailed), string(dag.StatusCancelled)}

func (r *reader) expect(e *expectation, v treefile.Value, path string) {
	keys := r.object(v, path, expectKeys)
	if word := r.oneOf(keys["outcome"], path+".outcome", statuses); word != "" {
		e.outcome = dag.Status(word)
	}
	e.within = r.duration(keys["within"], path+".within")
	switch tasks := keys["tasks"]; tasks.Kind() {
	case 0:
	case '{':
		seen := map[string]bool{}
		for _, m := range tasks.Members() {
			below := join(path+".tasks", m.Name)
			if seen[m.Name] {
				r.tell(m.Place(), "%s: must not be there twice", below)
			}
			seen[m.Name] = true
			e.tasks = append(e.tasks, r.task(m, below))
		}
	default:
		r.tell(tasks.Place(), "%s.tasks: must be an object: an outcome, or more, for each name", path)
	}
	list := r.list(keys["order"], path+".order", maxMocks)
	if len(list) > 0 && list[0].Kind() != '[' {
		e.orders = append(e.orders, r.order(keys["order"], path+".order"))
		return
	}
	for i, v := range list {
		e.orders = append(e.orders, r.order(v, fmt.Sprintf("%s.order[%d]", path, i)))
	}
}

func (r *reader) order(v treefile.Value, path string) order {
	o := order{place: v.Place()}
	items := r.list(v, path, maxMocks)
	for i, item := range items {
		if name := r.word(item, fmt.Sprintf("%s[%d]", path, i)); name != "" {
			o.tasks = append(o.tasks, name)
		}
	}
	if v.Kind() == '[' && len(items) < 2 {
		r.tell(v.Place(), "%s: an order needs two tasks at least", path)
	}
	return o
}

func (r *reader) task(m treefile.Member, path string) taskExpectation {
	e := taskExpectation{name: m.Name, place: m.Place(), places: map[string]string{}}
	if m.Kind() == '"' {
		e.outcome = r.oneOf(m.Value, path, dag.Outcomes())
		return e
	}
	if m.Kind() != '{' {
		r.tell(m.Place(), "%s: must be an outcome, or an object", path)
		return e
	}
	keys := r.object(m.Value, path, taskKeys, "result", "inputs")
	for name, v := range keys {
		e.places[name] = v.Place()
	}
	at := func(name string) string { return path + "." + name }
	e.outcome = r.oneOf(keys["outcome"], at("outcome"), dag.Outcomes())
	e.attempts, e.count = r.whole(keys["attempts"], at("attempts"), 0), r.whole(keys["count"], at("count"), 0)
	e.inputs, e.result, e.outputs = keys["inputs"].JSON(), keys["result"].JSON(), keys["outputs"].JSON()
	e.failure, e.reason, e.blockedBy = r.word(keys["error"], at("error")), r.word(keys["reason"], at("reason")), r.word(keys["blocked_by"], at("blocked_by"))
	e.started, e.ended = r.duration(keys["started"], at("started")), r.duration(keys["ended"], at("ended"))
	return e
}

// raw is a value as JSON, or null.
func raw(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return json.RawMessage("null")
	}
	return v
}
