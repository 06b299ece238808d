package flows

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/cron"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Timetable is a scheduler file of AetherFlow: when which flows run.
type Timetable struct {
	Items []*TimetableItem

	values []treefile.Value // of the items
	read   *reader
}

// Tell adds a fault of the key of an item.
func (t *Timetable) Tell(item int, key string, code Code, format string, args ...any) {
	v := t.values[item]
	if at := v.Get(key); at.Given() {
		v = at
	}
	t.read.at(code, v, t.Items[item].Loc+"."+key, format, args...)
}

// Add adds what is wrong with a file that the timetable names.
func (t *Timetable) Add(file string, of *Report) {
	for _, f := range of.Errors {
		f.File = file
		t.read.add(f, false)
	}
	for _, f := range of.Warnings {
		f.File = file
		t.read.add(f, true)
	}
	t.read.More += of.More
}

// Report has all faults that are known so far.
func (t *Timetable) Report() *Report { return t.read.done() }

// TimetableItem is one of its items. Either FlowYAML, FlowID or Manifest says what runs; FlowYAML with Manifest is a file of the bundle.
type TimetableItem struct {
	ID         string
	Flow       TimetableFlow
	Spec       ScheduleSpec
	AllowStale bool // of a bundle
	Loc        string
}

// TimetableFlow is what runs.
type TimetableFlow struct {
	YAML     string // a path, relative to the scheduler file, or to the bundle
	ID       string // of a registered flow
	Manifest string // of a bundle, relative to the scheduler file
	Job      string // only this one, and what it needs; empty: all
	Env      map[string]string
	Priority *int
	Timeout  float64 // seconds of a run; 0: none

	NoDeps     bool     // Job runs alone
	JobOutputs []string // JOB.KEY=VALUE, what jobs have given that don't run
}

// ScheduleSpec is when, in the keys of a schedule (docs/schedules.md).
type ScheduleSpec struct {
	Cron         string  `json:"cron,omitempty"`
	Every        float64 `json:"every,omitempty"` // seconds
	StartAt      string  `json:"start_at,omitempty"`
	Timezone     string  `json:"timezone"`
	Overlap      string  `json:"overlap"`
	MisfireGrace float64 `json:"misfire_grace"` // seconds
	Coalesce     bool    `json:"coalesce"`
	Jitter       float64 `json:"jitter,omitempty"` // seconds
	Paused       *bool   `json:"paused,omitempty"` // nil: it does not say
}

const (
	defaultZone  = "Europe/Berlin" // AetherFlow's
	defaultGrace = 300             // seconds
	maxItems     = 1000
	maxGraceSecs = 366 * 24 * 3600
	maxJitterS   = 24 * 3600
)

var timetableItemKeys = []key{
	{name: "id", shape: id, required: true, effect: "What the schedule is called.", example: "nightly"},
	{name: "cron", shape: shape{form: text, most: cron.MaxTextBytes}, byDefault: "one of `cron` and `every_seconds`", effect: "Five fields: minute, hour, day of the month, month, day of the week, where 0 and 7 are Sunday.", example: "0 2 * * 1-5"},
	{name: "every_seconds", shape: shape{form: integer, least: 1, most: maxGraceSecs}, byDefault: "none", effect: "So many seconds lie between two instants.", example: "900"},
	{name: "cron_weekday", shape: word("monday0"), byDefault: "none", effect: "`monday0`: numbers of weekdays are those of AetherFlow, 0 is Monday.", example: "monday0"},
	{name: "timezone", shape: shape{form: text, most: cron.MaxZoneBytes}, byDefault: "that of the file", effect: "The zone of `cron`.", example: "Europe/Paris"},
	{name: "start_at", shape: shape{form: text, most: 64}, byDefault: "none", effect: "A time with its zone: no instant before.", example: "2027-01-01T00:00:00Z"},
	{name: "flow_yaml", shape: id, byDefault: "one of `flow_yaml`, `flow_id` and `bundle_manifest`", effect: "Path of the flow, relative to this file; with `bundle_manifest`, of a file in the bundle.", example: "flow.yaml"},
	{name: "flow", shape: id, byDefault: "none", effect: "The same as `flow_yaml`, which goes before.", example: "flow.yaml"},
	{name: "flow_id", shape: id, byDefault: "none", effect: "A flow that the cluster has.", example: "orders"},
	{name: "flow_job", shape: id, byDefault: "all jobs", effect: "Only this job runs, with all that it depends on.", example: "export"},
	{name: "no_deps", shape: shape{form: boolean}, byDefault: "false", effect: "With `flow_job`: it runs alone; the jobs that it needs count as if they had run with success.", example: "true"},
	{name: "job_outputs", shape: listOf(shape{form: text, phase: literally, most: maxText}), byDefault: "`[]`", effect: "With `no_deps`, `JOB.KEY=VALUE`: what a job that does not run has given, as JSON, else text.", example: "[\"fetch.count=5\"]"},
	{name: "bundle_manifest", shape: id, byDefault: "none", effect: "Path of a manifest, relative to this file: its `entry_flow` runs, unless `flow_yaml` names another file of the bundle.", example: "bundle.yaml"},
	{name: "allow_stale_bundle", shape: shape{form: boolean}, byDefault: "false", effect: "If the source of the bundle fails when the file is applied, the version that was fetched last counts.", example: "true"},
	{name: "misfire_grace_time", shape: shape{form: integer, least: 1, most: maxGraceSecs}, byDefault: "300", effect: "Seconds: what is later than this does not run.", example: "3600"},
	{name: "max_instances", shape: shape{form: integer, least: 1, most: 1000}, byDefault: "1", effect: "1: an instant while the run before lives is skipped. More: `overlap` says what becomes of it.", example: "1"},
	{name: "overlap", shape: word("skip", "queue", "allow"), byDefault: "`skip`", effect: "What becomes of an instant while a run lives: it is skipped, waits, or runs beside it.", example: "queue"},
	{name: "coalesce", shape: shape{form: boolean}, byDefault: "true", effect: "Of several instants that were missed only the latest runs; false: each, the oldest first, up to 100.", example: "false"},
	{name: "jitter_seconds", shape: shape{form: integer, most: maxJitterS}, byDefault: "0", effect: "Each run begins later by up to so much.", example: "60"},
	{name: "paused", shape: shape{form: boolean}, byDefault: "false", effect: "Nothing runs until it is resumed.", example: "true"},
	{name: "env", shape: tableOf(shape{form: text, phase: literally, most: maxText}), byDefault: "`{}`", effect: "Values of the environment of its runs.", example: "{REGION: eu}"},
	{name: "priority", shape: priority, byDefault: "the flow's", effect: "From 0, which goes first, to 3.", example: "1"},
	{name: "run_timeout_seconds", shape: seconds, byDefault: "the flow's", effect: "How long a run may take.", example: "7200"},
}

var timetableKeys = []key{
	{name: "version", shape: shape{form: integer, least: -1 << 31, most: 1 << 31}, byDefault: "1", effect: "Of the form of the file: 1.", example: "1"},
	{name: "timezone", shape: shape{form: text, most: cron.MaxZoneBytes}, byDefault: "`Europe/Berlin`", effect: "The zone of all items that name none.", example: "UTC"},
	{name: "items", shape: listOf(shape{form: object, keys: timetableItemKeys}), required: true, effect: "The schedules: see [items](#keys-of-an-item).", example: "[]"},
}

// ReadTimetable reads a scheduler file of AetherFlow, with all that is wrong with it in the report. name is what the report calls the file. With
// faults, the timetable is there as far as the file can be read at all, so that more can be told; else it is nil.
func ReadTimetable(name string, text []byte) (*Timetable, *Report) {
	r := &reader{reporter: newReporter(name)}
	if !r.parse(text) {
		return nil, r.done()
	}
	if r.root.Kind() != '{' {
		r.at(CodeSchema, r.root, "", "must be a map with items, and is %s", kindOf(r.root))
		return nil, r.done()
	}
	r.object(r.root, timetableKeys, "")
	t := r.timetable()
	return t, r.done()
}

func (r *reader) timetable() *Timetable {
	if v := r.root.Get("version"); v.Kind() == '0' && v.Text() != "1" {
		r.at(CodeVersion, v, "version", "must be 1, the only version there is")
	}
	zone := r.root.Get("timezone")
	if !zone.Given() {
		r.at(CodeZone, r.root, "timezone", "is left out, so that instants are those of %s: name a zone", defaultZone)
	}
	r.zone(zone, "timezone")
	t := &Timetable{read: r}
	items := r.root.Get("items").Items()
	if len(items) > maxItems {
		r.at(CodeTooLarge, r.root.Get("items"), "items", "has %d items, the most is %d", len(items), maxItems)
	}
	first := map[string]int{}
	for i, v := range items {
		if v.Kind() != '{' {
			continue // it was told
		}
		item := r.item(v, textOr(zone, defaultZone), fmt.Sprintf("items[%d]", i))
		if at, twice := first[item.ID]; twice {
			r.at(CodeDuplicateSchedule, v.Get("id"), item.Loc+".id", "items[%d] has the id %s, too", at, shorten(item.ID))
		} else if item.ID != "" {
			first[item.ID] = i
		}
		t.Items, t.values = append(t.Items, item), append(t.values, v)
	}
	return t
}

func (r *reader) item(v treefile.Value, zone, loc string) *TimetableItem {
	item := &TimetableItem{ID: textOf(v.Get("id")), Loc: loc, AllowStale: boolOf(v.Get("allow_stale_bundle"))}
	item.Flow = TimetableFlow{YAML: textOr(v.Get("flow_yaml"), textOf(v.Get("flow"))), ID: textOf(v.Get("flow_id")), Manifest: textOf(v.Get("bundle_manifest")),
		Job: textOf(v.Get("flow_job")), Priority: intOf(v.Get("priority")), Timeout: numberOf(v.Get("run_timeout_seconds")),
		NoDeps: boolOf(v.Get("no_deps")), JobOutputs: textsOf(v.Get("job_outputs"))}
	for _, m := range v.Get("env").Members() {
		if m.Kind() == '"' {
			if item.Flow.Env == nil {
				item.Flow.Env = map[string]string{}
			}
			item.Flow.Env[m.Name] = m.Text()
		}
	}
	if item.ID != "" && !ValidID(item.ID) {
		r.at(CodeBadID, v.Get("id"), loc+".id", "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(item.ID), maxIDChars)
	}
	r.whatRuns(v, item)
	item.Spec = ScheduleSpec{Timezone: textOr(v.Get("timezone"), zone), MisfireGrace: defaultGrace, Coalesce: true, Jitter: numberOf(v.Get("jitter_seconds"))}
	if p := v.Get("paused"); p.Given() {
		paused := boolOf(p)
		item.Spec.Paused = &paused
	}
	if grace := v.Get("misfire_grace_time"); grace.Given() {
		item.Spec.MisfireGrace = numberOf(grace)
	}
	if c := v.Get("coalesce"); c.Given() {
		item.Spec.Coalesce = boolOf(c)
	}
	item.Spec.Overlap = r.overlap(v, loc)
	r.when(v, item)
	return item
}

// whatRuns looks whether one thing runs.
func (r *reader) whatRuns(v treefile.Value, item *TimetableItem) {
	f := &item.Flow
	switch {
	case f.YAML == "" && f.ID == "" && f.Manifest == "":
		for _, name := range []string{"flow_yaml", "flow", "flow_id", "bundle_manifest"} {
			if v.Get(name).Given() && v.Get(name).Kind() != '"' {
				return // it was told
			}
		}
		r.at(CodeMissing, v, item.Loc+".flow_yaml", "must be there, or flow_id, or bundle_manifest")
	case f.ID != "" && (f.YAML != "" || f.Manifest != ""):
		r.at(CodeSchema, v.Get("flow_id"), item.Loc+".flow_id", "can't stand beside flow_yaml or bundle_manifest: one says what runs")
	}
	if s := v.Get("allow_stale_bundle"); item.AllowStale && f.Manifest == "" {
		r.at(CodeIgnored, s, item.Loc+".allow_stale_bundle", "has no effect without bundle_manifest")
	}
}

// overlap is what becomes of an instant while a run lives, as a schedule says it.
func (r *reader) overlap(v treefile.Value, loc string) string {
	most, over := v.Get("max_instances"), textOf(v.Get("overlap"))
	many := most.Given() && numberOf(most) > 1
	switch {
	case many && over == "":
		r.at(CodeInstances, most, loc+".max_instances", "over 1 means any number here: further runs begin beside the first")
		return "allow"
	case many && over != "allow":
		r.at(CodeSchema, most, loc+".max_instances", "contradicts overlap: %s, by which runs never live side by side", over)
	case over == "queue":
		return "queue_one"
	case over == "allow":
		return "allow"
	}
	return "skip"
}

// when reads the instants.
func (r *reader) when(v treefile.Value, item *TimetableItem) {
	s, loc := &item.Spec, item.Loc
	text, every := v.Get("cron"), v.Get("every_seconds")
	switch {
	case !text.Given() && !every.Given():
		r.at(CodeMissing, v, loc+".cron", "must be there, or every_seconds")
	case text.Given() && every.Given():
		r.at(CodeSchema, every, loc+".every_seconds", "can't stand beside cron: one says when")
	}
	r.zone(v.Get("timezone"), loc+".timezone")
	if at := v.Get("start_at"); at.Kind() == '"' {
		if _, err := time.Parse(time.RFC3339, at.Text()); err != nil {
			r.at(CodeSchema, at, loc+".start_at", "%s is no time with its zone, as 2027-01-01T00:00:00Z", shorten(at.Text()))
		}
		s.StartAt = at.Text()
	}
	s.Every = numberOf(every)
	if text.Kind() == '"' {
		s.Cron = r.cron(text, v.Get("cron_weekday").Given(), loc+".cron")
	} else if w := v.Get("cron_weekday"); w.Given() {
		r.at(CodeIgnored, w, loc+".cron_weekday", "has no effect without cron")
	}
}

func (r *reader) zone(v treefile.Value, loc string) {
	if v.Kind() != '"' {
		return
	}
	if _, err := cron.Zone(v.Text()); err != nil {
		r.at(CodeZoneUnknown, v, loc, "%s", reasonOf(err))
	}
}

func reasonOf(err error) string {
	_, reason, _ := strings.Cut(err.Error(), ": ")
	return reason
}

// cron reads five fields. monday0: the weekdays are AetherFlow's.
func (r *reader) cron(v treefile.Value, monday0 bool, loc string) string {
	fields := strings.Fields(v.Text())
	if strings.HasPrefix(v.Text(), "@") || len(fields) != 5 {
		r.at(CodeCron, v, loc, "must have five fields: minute, hour, day of the month, month, day of the week")
		return ""
	}
	bare := false
	for i, f := range fields {
		for part := range strings.SplitSeq(f, ",") {
			if strings.HasPrefix(part, "/") {
				bare = true
				r.at(CodeCron, v, loc, "field %d: %s has nothing before the /: write *%s", i+1, shorten(part), part)
			}
		}
	}
	if bare {
		return ""
	}
	text := strings.Join(fields, " ")
	if strings.ContainsAny(fields[4], "0123456789") {
		days, reason := mondays(fields[4])
		switch {
		case monday0 && reason != "":
			r.at(CodeCron, v, loc, "day of the week: %s", reason)
			return ""
		case monday0:
			text = strings.Join(append(fields[:4:4], days), " ")
		case reason == "" && days != fields[4] || fields[4] == "7":
			r.at(CodeWeekday, v, loc, "numbers of weekdays are those of crontabs, 0 and 7 are Sunday; AetherFlow counts from Monday, by which this is %s: write names, or cron_weekday: monday0", orNone(days))
		}
	}
	_, err := cron.Parse(text, "")
	if err == nil {
		if !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*") {
			r.at(CodeDays, v, loc, "a day counts that either the day of the month or the day of the week names, as in crontabs; in AetherFlow both must fit")
		}
		return text
	}
	for _, reason := range strings.Split(err.Error(), "; ") {
		code := CodeCron
		if strings.Contains(reason, "no day") || strings.Contains(reason, "never") {
			code = CodeCronNever
		}
		r.at(code, v, loc, "%s", strings.TrimPrefix(reason, "cron: "))
	}
	return ""
}

func orNone(days string) string {
	if days == "" {
		return "none"
	}
	return days
}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// mondays writes a field of weekdays, whose numbers count from Monday as 0, by names; reason is why it is none.
func mondays(field string) (days, reason string) {
	var set [7]bool
	for part := range strings.SplitSeq(field, ",") {
		span, by, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(by)
			if err != nil || n < 1 {
				return "", fmt.Sprintf("%s is no step", shorten(by))
			}
			step = n
		}
		from, to, ranged := strings.Cut(span, "-")
		first, last := 0, 6
		if span != "*" {
			var ok bool
			if first, ok = weekday(from); !ok {
				return "", fmt.Sprintf("%s is no weekday from 0 to 6", shorten(from))
			}
			last = first
			if ranged {
				if last, ok = weekday(to); !ok || last < first {
					return "", fmt.Sprintf("%s is no range of weekdays from 0 to 6", shorten(span))
				}
			} else if stepped {
				last = 6
			}
		}
		for d := first; d <= last; d += step {
			set[d] = true
		}
	}
	var names []string
	for d, in := range set {
		if in {
			names = append(names, weekdays[d])
		}
	}
	return strings.Join(names, ","), ""
}

func weekday(text string) (int, bool) {
	if i := slices.Index(weekdays, strings.ToLower(text)); i >= 0 {
		return i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= 6
}
