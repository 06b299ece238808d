// Package scheduledoc reads what people write of a schedule: when it fires, what becomes of runs that meet, and which tree each run is.
//
// It owns the keys of a schedule, their bounds and their faults. It must not know what a tree may say, nor where schedules are kept.
package scheduledoc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/cron"
)

// Bounds of a schedule.
const (
	MaxIDBytes          = 255
	MaxDescriptionBytes = 1000
	MaxTreeBytes        = 1 << 20 // of the document of its tree
	MaxParametersBytes  = 64 << 10
	MaxBeside           = 1000 // ids that a preview names
)

// Spec is a schedule as it is written. Fields that are not given are zero.
type Spec struct {
	ID           string            `json:"id"`
	Description  string            `json:"description,omitempty"`
	Cron         string            `json:"cron,omitempty"`
	Every        string            `json:"every,omitempty"`
	On           *On               `json:"on,omitempty"`
	Timezone     string            `json:"timezone,omitempty"`
	Tree         json.RawMessage   `json:"tree,omitempty"`
	Flow         *Flow             `json:"flow,omitempty"`       // in place of Tree
	Parameters   json.RawMessage   `json:"parameters,omitempty"` // an object
	Overlap      string            `json:"overlap,omitempty"`
	MisfireGrace string            `json:"misfire_grace,omitempty"`
	Coalesce     *bool             `json:"coalesce,omitempty"`
	Jitter       string            `json:"jitter,omitempty"`
	StartAt      *time.Time        `json:"start_at,omitempty"`
	EndAt        *time.Time        `json:"end_at,omitempty"`
	MaxRuns      int               `json:"max_runs,omitempty"`
	AfterSuccess bool              `json:"after_success,omitempty"`
	Due          string            `json:"due,omitempty"`
	Paused       *bool             `json:"paused,omitempty"` // nil: as it is; a new one is not
	UserID       string            `json:"user_id,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Retention    string            `json:"retention,omitempty"`

	Owner *string `json:"owner,omitempty"` // who keeps it in files, of which no file of schedules tells; empty: nobody, nil: as it is

	// Preview: it is looked at only, and nothing is stored. Beside are the ids of schedules that are to be there then, too.
	Preview bool     `json:"-"`
	Beside  []string `json:"-"`
	// BesideFlows are the ids of flows that are to be there then, too, as Flow may name them, or are to have other texts.
	BesideFlows []string `json:"-"`
}

// IsPaused reports whether the schedule is said to be paused.
func (s *Spec) IsPaused() bool { return s.Paused != nil && *s.Paused }

// On is what begins runs in place of time.
type On struct {
	Schedule string   `json:"schedule,omitempty"` // runs of that one end
	Outcome  outcomes `json:"outcome,omitempty"`  // so; default completed
	Webhook  *Webhook `json:"webhook,omitempty"`  // somebody calls it
}

// outcomes are written as one word or a list.
type outcomes []string

// UnmarshalJSON takes a word, too.
func (o *outcomes) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*o = outcomes{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(o))
}

// ends are the ends of runs that a word stands for.
var ends = map[string]dag.FireEnds{
	"completed": 1 << dag.FireCompleted, "failed": 1 << dag.FireFailed, "cancelled": 1 << dag.FireCancelled,
	"any": 1<<dag.FireCompleted | 1<<dag.FireFailed | 1<<dag.FireCancelled,
}

// Ends are the ends that begin runs.
func (o *On) Ends() (e dag.FireEnds) {
	for _, word := range o.Outcome {
		e |= ends[word]
	}
	if e == 0 {
		e = ends["completed"]
	}
	return e
}

// key is a key of a schedule, and how it is read.
type key struct {
	name      string
	otherwise string // in the reference: what counts if it is not there
	effect    string
	read      func(s *Spec, raw json.RawMessage) string // why it can't be; empty: it is
}

// keys are those of a schedule, in the order of the reference.
var keys = []key{
	{"id", "required", "What it is called, in its namespace: at most 255 bytes of characters that can be seen.", text(func(s *Spec) *string { return &s.ID })},
	{"description", "", "For people, at most 1000 bytes.", text(func(s *Spec) *string { return &s.Description })},
	{"cron", "one of `cron`, `every` and `on`", "[Five fields](#the-five-fields), or `@daily` and the like.", text(func(s *Spec) *string { return &s.Cron })},
	{"every", "", "Seconds, or as `1h30m`: instants are so far apart, from `start_at`, else from the creation.", duration(func(s *Spec) *string { return &s.Every })},
	{"on", "", "`{schedule, outcome}`: runs begin [when those of another schedule end](#one-after-another), so: `completed` (the default), `failed`, `cancelled`, `any`, or several. `{webhook: {parameters, tolerance}}`: they begin [when somebody calls the schedule's webhook](#by-a-webhook).", func(s *Spec, raw json.RawMessage) string {
		on := &On{}
		why := value(raw, on, "must be an object: {schedule, outcome}, or {webhook: {parameters, tolerance}}")
		s.On = on
		return why
	}},
	{"timezone", "`UTC`", "A time zone of IANA's database, as `Europe/Berlin`: what `cron`, `due` and `schedule.local_date` go by.", text(func(s *Spec) *string { return &s.Timezone })},
	{"tree", "one of `tree` and `flow`", "A tree file, as an object or as its text, or the document of the task-tree protocol.", func(s *Spec, raw json.RawMessage) string { s.Tree = bytes.Clone(raw); return "" }},
	{"flow", "", "`{id, version, job, no_deps, job_outputs, params, env, priority, timeout_seconds}`: each run is one of [a registered flow](flows/schedules.md).", func(s *Spec, raw json.RawMessage) string {
		flow := &Flow{}
		why := value(raw, flow, flowForm)
		s.Flow = flow
		return why
	}},
	{"parameters", "", "An object, which templates of the tree name as `parameters`, and which gives a tree file's parameters their values. [Its strings may name the run](#what-a-run-knows-of-itself).", func(s *Spec, raw json.RawMessage) string {
		var object map[string]json.RawMessage
		s.Parameters = bytes.Clone(raw)
		return value(raw, &object, "must be an object")
	}},
	{"overlap", "`skip`; with `after_success`: `allow`", "What becomes of an instant [while a run has not ended](#runs-that-meet): `skip`, `queue_one`, `allow`, `cancel_other`.", text(func(s *Spec) *string { return &s.Overlap })},
	{"misfire_grace", "`300`", "Seconds, or as `12h`: how late a run [may still begin](#instants-that-nobody-was-there-for). At most 366 days.", duration(func(s *Spec) *string { return &s.MisfireGrace })},
	{"coalesce", "`true`", "Of several late instants only the latest runs.", func(s *Spec, raw json.RawMessage) string { return value(raw, &s.Coalesce, "must be true or false") }},
	{"jitter", "`0`", "Seconds, or as `10m`, at most 24 hours: each run begins later by up to so much, always the same for an instant, and before the next one.", duration(func(s *Spec) *string { return &s.Jitter })},
	{"start_at", "", "A time with its zone: no instant before.", moment(func(s *Spec) **time.Time { return &s.StartAt })},
	{"end_at", "", "No instant then or after.", moment(func(s *Spec) **time.Time { return &s.EndAt })},
	{"max_runs", "any number", "So many runs by instants; then it has ended.", func(s *Spec, raw json.RawMessage) string { return value(raw, &s.MaxRuns, "must be a whole number") }},
	{"after_success", "`false`", "A run waits until the one before has succeeded.", func(s *Spec, raw json.RawMessage) string { return value(raw, &s.AfterSuccess, "must be true or false") }},
	{"due", "", "Seconds, or as `2h`, after the instant, or a time of the day as `06:00`: what has not ended then [is late](#a-report-that-is-late-at-six). Nothing is cancelled.", duration(func(s *Spec) *string { return &s.Due })},
	{"paused", "`false`; of one that is there: as it is", "Runs begin when somebody triggers them only. `false` lets those of a paused one begin again.", func(s *Spec, raw json.RawMessage) string { return value(raw, &s.Paused, "must be true or false") }},
	{"user_id", "whoever makes it", "Whose trees the runs are. It can't be changed.", text(func(s *Spec) *string { return &s.UserID })},
	{"labels", "", "Labels of the trees.", func(s *Spec, raw json.RawMessage) string {
		return value(raw, &s.Labels, "must be an object of strings")
	}},
	{"retention", "as the tree says, else the operator", "How long the trees [are kept](keeping.md#how-long-a-tree-is-kept) once they have ended, as `30d`, or `keep`. It wins over what the tree says.", text(func(s *Spec) *string { return &s.Retention })},
}

// meant are words that people write for a key.
var meant = map[string]string{
	"schedule": "cron", "crontab": "cron", "interval": "every", "tz": "timezone", "zone": "timezone", "time_zone": "timezone", "tasks": "tree", "flow_id": "flow", "name": "id",
	"params": "parameters", "inputs": "parameters", "grace": "misfire_grace", "catchup": "coalesce", "concurrency_policy": "overlap", "depends_on_past": "after_success", "sla": "due",
	"deadline": "due", "enabled": "paused", "suspend": "paused", "start": "start_at", "end": "end_at", "limit": "max_runs", "trigger": "on",
	"keep": "retention", "keep_for": "retention", "ttl": "retention",
}

// Keys are the keys of a schedule.
func Keys() []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// Reference is the table of keys for the documentation.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | default | |\n|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, k.otherwise, k.effect)
	}
	return b.String()
}

// value reads a value of any kind.
func value(raw json.RawMessage, into any, wrong string) string {
	if err := jsonv2.Unmarshal(raw, into, jsonv2.RejectUnknownMembers(true)); err != nil {
		return cmp.Or(twiceIn(err), unknownIn(err)+wrong)
	}
	return ""
}

// unknownIn names a key that an object within a value does not have; empty: that is not what is wrong.
func unknownIn(err error) string {
	if bad, ok := errors.AsType[*jsonv2.SemanticError](err); ok && errors.Is(err, jsonv2.ErrUnknownName) {
		return fmt.Sprintf("has no key %s: ", printable(strings.ReplaceAll(strings.TrimPrefix(string(bad.JSONPointer), "/"), "/", ".")))
	}
	return ""
}

func text(of func(*Spec) *string) func(*Spec, json.RawMessage) string {
	return func(s *Spec, raw json.RawMessage) string { return value(raw, of(s), "must be a string") }
}

// duration reads a number of seconds, or a text.
func duration(of func(*Spec) *string) func(*Spec, json.RawMessage) string {
	return func(s *Spec, raw json.RawMessage) string {
		if n, err := strconv.ParseUint(string(raw), 10, 63); err == nil {
			*of(s) = strconv.FormatUint(n, 10)
			return ""
		}
		return value(raw, of(s), "must be a number of whole seconds, or a text as 1h30m")
	}
}

func moment(of func(*Spec) **time.Time) func(*Spec, json.RawMessage) string {
	return func(s *Spec, raw json.RawMessage) string {
		var t time.Time
		if why := value(raw, &t, "must be a time as 2026-11-28T06:00:00Z"); why != "" {
			return why
		}
		*of(s) = &t
		return ""
	}
}

// Decode reads a schedule, an object, and says all that is wrong with its keys. What they mean is for [Spec.Check].
func Decode(raw []byte) (*Spec, []Fault) {
	s, faults, _ := decode(raw)
	return s, faults
}

// decode is [Decode]; whole reports whether all keys could be looked at.
func decode(raw []byte) (_ *Spec, _ []Fault, whole bool) {
	var members map[string]json.RawMessage
	if err := jsonv2.Unmarshal(raw, &members); err != nil || members == nil {
		return &Spec{}, []Fault{unreadable(err)}, false
	}
	s := &Spec{}
	var faults []Fault
	for _, k := range keys {
		one, there := members[k.name]
		delete(members, k.name)
		if !there || string(bytes.TrimSpace(one)) == "null" {
			continue
		}
		if why := k.read(s, bytes.TrimSpace(one)); why != "" {
			faults = append(faults, Fault{Field: k.name, Reason: why})
		}
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range members {
			if !yield(name) {
				return
			}
		}
	}) {
		faults = append(faults, Fault{Field: printable(name), Reason: unknown(name)})
	}
	return s, faults, true
}

// unknown says that there is no such key, and which is meant.
func unknown(name string) string {
	as := meantBy(name)
	if as == "" {
		return "is no key of a schedule"
	}
	return fmt.Sprintf("is no key of a schedule: write %s", as)
}

// printable is a text that may be anything, as part of a message.
func printable(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// never has no instants.
type never struct{}

func (never) Next(time.Time) time.Time { return time.Time{} }
func (never) Prev(time.Time) time.Time { return time.Time{} }

// Check says all that is wrong with a schedule that is to be made, or changed, now; of its tree only that there is one. With no faults it gives what decides of its runs; created is when it
// was made: instants of every begin there if nothing says when.
func (s *Spec) Check(created, now time.Time) (*dag.Schedule, []Fault) {
	c := checker{Spec: s}
	c.texts()
	out := c.rules(created)
	early := slices.ContainsFunc(c.faults, aboutInstants) // whether it is not known what fires
	for _, f := range out.Check(now) {
		if !early || f.Reason != dag.NothingBefore {
			c.wrong(f.Field, "%s", f.Reason)
		}
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return out, nil
}

// checker collects faults.
type checker struct {
	*Spec
	faults []Fault
}

func (c *checker) wrong(field, reason string, args ...any) {
	c.faults = append(c.faults, Fault{Field: field, Reason: fmt.Sprintf(reason, args...)})
}

// fault adds the faults of a text of package cron.
func (c *checker) fault(field string, err error) {
	if many, ok := errors.AsType[cron.Faults](err); ok {
		for _, f := range many {
			at := f.Field
			if at == "cron" {
				at = field
			}
			c.wrong(at, "%s", f.Reason)
		}
		return
	}
	if one, ok := errors.AsType[*cron.Fault](err); ok {
		at := one.Field
		if at != "timezone" {
			at = field
		}
		c.wrong(at, "%s", one.Reason)
	}
}

// texts checks what has only bounds.
func (c *checker) texts() {
	if c.Owner != nil && *c.Owner != "" {
		if fault := dag.OwnerFault(*c.Owner); fault != "" {
			c.wrong("owner", "%s", fault)
		}
	}
	if fault := idFault(c.ID); fault != "" {
		c.wrong("id", "%s", fault)
	}
	if len(c.Description) > MaxDescriptionBytes || !utf8.ValidString(c.Description) || strings.ContainsRune(c.Description, 0) {
		c.wrong("description", "must be at most %d bytes of text", MaxDescriptionBytes)
	}
	if len(c.UserID) > MaxIDBytes || !plain(c.UserID) {
		c.wrong("user_id", "must be at most %d bytes of printable characters", MaxIDBytes)
	}
	switch {
	case c.Flow != nil && len(c.Tree) > 0:
		c.wrong("flow", "can't stand beside tree: one says what runs")
	case c.Flow != nil:
		c.flow()
	case len(c.Tree) == 0:
		c.wrong("tree", "is required, or flow")
	case len(c.Tree) > MaxTreeBytes:
		c.wrong("tree", "has %d bytes, the most is %d", len(c.Tree), MaxTreeBytes)
	case c.Tree[0] != '{' && c.Tree[0] != '[' && c.Tree[0] != '"':
		c.wrong("tree", "must be a list of tasks, a task, or a tree file")
	}
	if len(c.Parameters) > MaxParametersBytes {
		c.wrong("parameters", "have %d bytes, the most is %d", len(c.Parameters), MaxParametersBytes)
	}
	for _, f := range dag.CheckLabels(c.Labels) {
		c.wrong("labels", "%s", f)
	}
	d, ok := dag.ParseRetention(c.Retention)
	fault := dag.RetentionFault(d, 0)
	if !ok || d == 0 && c.Retention != "" {
		fault = "must be " + dag.RetentionForm
	}
	if fault != "" {
		c.wrong("retention", "%s", fault)
	}
}

// RetentionOf is how long the trees of runs are kept once they have ended; [dag.KeepForever]; 0: as they say.
func (s *Spec) RetentionOf() time.Duration {
	d, _ := dag.ParseRetention(s.Retention)
	return d
}

// plain reports whether a text is printable.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 })
}

// rules are what decides of runs.
func (c *checker) rules(created time.Time) *dag.Schedule {
	out := &dag.Schedule{ID: c.ID, MisfireGrace: dag.DefaultMisfireGrace, Coalesce: c.Coalesce == nil || *c.Coalesce, MaxRuns: c.MaxRuns, AfterSuccess: c.AfterSuccess}
	for _, t := range []struct {
		field string
		given *time.Time
		into  *time.Time
	}{{"start_at", c.StartAt, &out.StartAt}, {"end_at", c.EndAt, &out.EndAt}} {
		if t.given == nil {
			continue
		}
		if fault := YearFault(*t.given); fault != "" {
			c.wrong(t.field, "%s", fault)
			continue
		}
		*t.into = t.given.UTC()
	}
	c.instants(out, created)
	var known bool
	if out.Overlap, known = dag.ParseOverlap(c.Overlap); !known {
		c.wrong("overlap", "must be skip, queue_one, allow or cancel_other")
	}
	for _, d := range []struct {
		field, text string
		into        *time.Duration
	}{{"misfire_grace", c.MisfireGrace, &out.MisfireGrace}, {"jitter", c.Jitter, &out.Jitter}} {
		if d.text == "" {
			continue
		}
		n, err := cron.ParseTime(d.field, d.text)
		if err != nil {
			c.fault(d.field, err)
			continue
		}
		*d.into = n
	}
	if c.Due != "" {
		zone := c.Timezone
		if _, fault := cron.Zone(zone); fault != nil { // which is told
			zone = ""
		}
		due, err := cron.ParseDue(c.Due, zone)
		if err != nil {
			c.fault("due", err)
		} else {
			out.DueAt = due.At
		}
	}
	return out
}

// instants reads what begins runs: one of cron, every and on.
func (c *checker) instants(out *dag.Schedule, created time.Time) {
	given := 0
	for _, is := range []bool{c.Cron != "", c.Every != "", c.On != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		c.wrong("cron", oneBegins)
	}
	if c.Cron != "" {
		if of, err := cron.Parse(c.Cron, c.Timezone); err != nil {
			c.fault("cron", err)
		} else {
			out.Instants = of
		}
	} else if _, fault := cron.Zone(c.Timezone); fault != nil {
		c.fault("timezone", fault)
	}
	if c.Every != "" {
		every, err := cron.ParseEvery(c.Every)
		if err != nil {
			c.fault("every", err)
		} else {
			from := created
			if c.StartAt != nil {
				from = *c.StartAt
			}
			out.Instants = cron.Period{From: from.UTC(), Every: every}
		}
	}
	if c.On != nil {
		out.Instants = never{}
		c.on()
	}
}

// on checks what begins runs in place of time.
func (c *checker) on() {
	switch {
	case c.On.Webhook != nil:
		c.webhook()
	case c.On.Schedule == "":
		c.wrong("on.schedule", "is required, or on.webhook")
	case c.On.Schedule == c.ID && c.ID != "":
		c.wrong("on.schedule", "names the schedule itself")
	}
	for i, word := range c.On.Outcome {
		if ends[word] == 0 {
			c.wrong("on.outcome", "must be completed, failed, cancelled or any")
			break
		}
		if slices.Contains(c.On.Outcome[:i], word) {
			c.wrong("on.outcome", "names %s twice", word)
			break
		}
	}
	for field, is := range map[string]bool{"start_at": c.StartAt != nil, "end_at": c.EndAt != nil, "jitter": c.Jitter != "", "max_runs": c.MaxRuns != 0} {
		if is {
			c.wrong(field, "goes with cron and every")
		}
	}
	slices.SortFunc(c.faults, func(a, b Fault) int {
		return slices.Index(Keys(), strings.SplitN(a.Field, ".", 2)[0]) - slices.Index(Keys(), strings.SplitN(b.Field, ".", 2)[0])
	})
}

// YearFault is why a time can't be one of a schedule's; empty: it can.
func YearFault(t time.Time) string {
	if year := t.UTC().Year(); year < 1900 || year > 9900 {
		return "must be of the years 1900 to 9900"
	}
	return ""
}

// Stored is what is stored of a schedule beside its id, its owner, its labels, its tree, its parameters, and what its flow is given.
func (s *Spec) Stored() []byte {
	of := *s
	of.ID, of.UserID, of.Labels, of.Tree, of.Parameters, of.Paused, of.Owner = "", "", nil, nil, nil, nil, nil
	if of.Flow != nil {
		flow := *of.Flow
		flow.Params, flow.Env, flow.JobOutputs = nil, nil, nil
		of.Flow = &flow
	}
	raw, err := json.Marshal(&of)
	if err != nil {
		panic(err) // it has texts and numbers only
	}
	return raw
}

// ReadStored reads what [Spec.Stored] gave, with the id.
func ReadStored(id string, raw []byte) (*Spec, error) {
	s := &Spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read schedule %s: %w", id, err)
	}
	s.ID = id
	return s, nil
}

// SameInstants reports whether another schedule has the same instants, as far as it is not stopped by start_at, end_at or max_runs.
func (s *Spec) SameInstants(as *Spec) bool {
	return s.Cron == as.Cron && s.Every == as.Every && cmp.Or(s.Timezone, "UTC") == cmp.Or(as.Timezone, "UTC") && (s.Every == "" || sameTime(s.StartAt, as.StartAt))
}

// sameTime reports whether two times are the same, or both not given.
func sameTime(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

// Zone is the time zone of the schedule, which was checked.
func (s *Spec) Zone() *time.Location {
	if zone, err := cron.Zone(s.Timezone); err == nil {
		return zone
	}
	return time.UTC
}

// Rules are what decides of the runs of a schedule that was checked when it was stored.
func (s *Spec) Rules(created time.Time) (*dag.Schedule, error) {
	c := checker{Spec: s}
	out := c.rules(created)
	if len(c.faults) > 0 { // of a later version, or a zone that is known no more
		return nil, fmt.Errorf("schedule %s: %s: %s", s.ID, c.faults[0].Field, c.faults[0].Reason)
	}
	return out, nil
}
