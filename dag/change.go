package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Change is what an update changes of a stored task (spec 2.3); nil fields stay as they are. Status changes go through the state table, and
// unlock or block what depends on the task.
type Change struct {
	Name                    *string
	Priority                *Priority
	Dependencies            []Dependency // with HasDependencies: replaces the whole list
	HasDependencies         bool
	Inputs, Params, Schemas json.RawMessage
	Status                  Status // empty: stays
	Error                   *string
	Result                  json.RawMessage
	Progress                *float64 // 0..1
	StartedAt, CompletedAt  time.Time
	// Labels, with HasLabels, replace those of the tree, whose root the task must be.
	Labels    map[string]string
	HasLabels bool
	// Limiting has what the task asks for in the place of what it has: limits if HasLimits, and so on.
	Limiting                     *Limiting
	HasLimits, HasLock, HasRates bool
	// Faults are what a reader of the request found wrong; they are reported with the others.
	Faults []string
}

// Edited is what the rules of an update read of the task that it changes, and of its tree. The store fills it in.
type Edited struct {
	ID                         string
	Root                       bool
	State                      State
	Fold                       bool      // it takes the worst outcome of its dependencies as its own
	Created, Started, Finished time.Time // of the tree; of the last attempt, zero if it has none
	Executing                  []string  // ids of the tasks that depend on it and are in progress; for a change of dependencies, as the next
	Missing                    []string  // references of the new dependencies that no task of the tree answers to
	Cycle                      []string  // names along the cycle that they would close, the first one at the end again
	Unstarted                  []string  // ids of those that no execution includes, where one includes the task
	Edges                      int       // of the tree, with the new ones
	InputFaults                []string  // of the inputs as they will be, by the schema of the executor
	Executor                   string    // as it will be
	PoolFault                  string    // why its pool can't be had
	LimitFaults                []string  // of what it will ask for
	Limited                    bool      // it will ask for something
	Now                        time.Time // by the store's clock
}

// Unsettable reports that the state table has no change that an update could make to the status.
func (s State) unsettable(to Status) bool {
	if s.Status() == to {
		return false
	}
	open := s.Status() == StatusPending || s == Running
	return !open || to == StatusPending || to == StatusInProgress
}

// Transition is the text about a change of status that the state table has not (spec 12.3).
func Transition(from, to Status) string {
	return fmt.Sprintf("Invalid state transition: cannot transition from '%s' to '%s'", from, to)
}

// Check gives all faults of a change, in the words of spec 2.3 where that has some, and whether one of them is a change of status that the
// state table has not. The task may be changed if there are none.
func (c *Change) Check(t Edited, limits Limits) (faults []string, transition bool) {
	f := changeCheck{c, t, limits.OrDefaults(), slices.Clone(c.Faults)}
	f.dependencies()
	transition = f.status()
	f.outcome()
	f.plain()
	f.limiting()
	return f.faults, transition
}

// changeCheck collects the faults of a change.
type changeCheck struct {
	*Change
	t      Edited
	limits Limits
	faults []string
}

func (f *changeCheck) add(format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	if !slices.Contains(f.faults, text) && len(f.faults) < MaxProblems {
		f.faults = append(f.faults, text)
	}
}

// field is a fault of a field.
func (f *changeCheck) field(name, format string, args ...any) {
	f.add("Cannot update '%s': %s", name, fmt.Sprintf(format, args...))
}

func (f *changeCheck) dependencies() {
	if !f.HasDependencies {
		return
	}
	if s := f.t.State.Status(); s != StatusPending {
		f.field("dependencies", "task status is '%s' (must be 'pending')", s)
	}
	if n := len(f.Dependencies); n > f.limits.Dependencies {
		f.field("dependencies", "must be at most %d, got %d", f.limits.Dependencies, n)
	}
	if f.t.Edges > f.limits.Edges {
		f.field("dependencies", "tree has more than %d dependencies", f.limits.Edges)
	}
	if slices.ContainsFunc(f.Dependencies, func(d Dependency) bool { return d.Ref == "" }) {
		f.add("Dependency must have 'id' field or be a string task ID")
	}
	for k, d := range f.Dependencies {
		if !plain(d.Type, f.limits.IDChars) {
			f.text(fmt.Sprintf("dependencies[%d].type", k), d.Type, f.limits.IDChars)
		}
		edgeFaults(f.t.Fold, d.Mode, func(key, reason string) { f.field(fmt.Sprintf("dependencies[%d].%s", k, key), "%s", reason) })
	}
	for _, ref := range f.t.Missing {
		f.add("Dependency reference '%s' not found in task tree", cut(ref, f.limits.IDChars*utf8.UTFMax))
	}
	if len(f.t.Cycle) > 0 {
		f.add("%s", cycleText(f.t.Cycle))
	}
	if len(f.t.Executing) > 0 {
		f.add("Cannot update dependencies: task '%s' has dependent tasks that are executing: [%s]", f.t.ID, quoteList(f.t.Executing, maxListed))
	}
	for _, id := range f.t.Unstarted {
		f.field("dependencies", "the task is part of an execution, and '%s' is not: execute that first", id)
	}
}

func (f *changeCheck) status() (transition bool) {
	if f.Status == "" {
		return false
	}
	to, known := ParseStatus(string(f.Status))
	if !known {
		f.field("status", "must be pending, in_progress, completed, failed or cancelled")
		return false
	}
	if f.t.State.unsettable(to) {
		f.add("%s", Transition(f.t.State.Status(), to))
		return true
	}
	return false
}

// after is the status that the task will have.
func (f *changeCheck) after() Status {
	if f.Status != "" {
		return f.Status
	}
	return f.t.State.Status()
}

// outcome checks what only tasks have that have started, or ended (spec 12.2).
func (f *changeCheck) outcome() {
	status := f.after()
	only := func(name string, given bool, of ...Status) {
		if given && !slices.Contains(of, status) {
			f.field(name, "task status is '%s' (must be %s)", status, alternatives(of))
		}
	}
	only("result", len(f.Result) > 0, StatusCompleted, StatusCancelled)
	only("error", f.Error != nil && *f.Error != "", StatusFailed, StatusCancelled)
	only("started_at", !f.StartedAt.IsZero(), StatusInProgress, StatusCompleted, StatusFailed, StatusCancelled)
	only("completed_at", !f.CompletedAt.IsZero(), StatusCompleted, StatusFailed, StatusCancelled)
	if len(f.Result) > f.limits.PayloadBytes {
		f.field("result", "must be at most %d bytes, got %d", f.limits.PayloadBytes, len(f.Result))
	}
	if f.Error != nil {
		f.text("error", *f.Error, f.limits.PayloadBytes)
	}
	if p := f.Progress; p != nil {
		switch {
		case !(*p >= 0 && *p <= 1):
			f.field("progress", "must be 0 to 1, got %g", *p)
		case status == StatusCompleted && *p != 1:
			f.field("progress", "task status is 'completed', so it must be 1, got %g", *p)
		}
	}
	f.times()
}

// alternatives are 'a' or 'b'.
func alternatives(all []Status) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = "'" + string(s) + "'"
	}
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// times checks that what happened stays in order: the tree is created, the attempt starts, and ends.
func (f *changeCheck) times() {
	started, ended := f.StartedAt, f.CompletedAt
	for _, at := range []struct {
		name string
		time time.Time
	}{{"started_at", started}, {"completed_at", ended}} {
		switch {
		case at.time.IsZero():
		case at.time.Before(f.t.Created):
			f.field(at.name, "must not be before the task was created")
		case at.time.After(f.t.Now.Add(time.Second)):
			f.field(at.name, "must not be in the future")
		}
	}
	if started.IsZero() {
		started = f.t.Started
	}
	if ended.IsZero() {
		ended = f.t.Finished
	}
	if f.StartedAt.IsZero() && f.CompletedAt.IsZero() || started.IsZero() || ended.IsZero() || !ended.Before(started) {
		return
	}
	if f.CompletedAt.IsZero() {
		f.field("started_at", "must not be after completed_at")
	} else {
		f.field("completed_at", "must not be before started_at")
	}
}

// plain checks the fields that may be changed at any time.
func (f *changeCheck) plain() {
	if f.Name != nil {
		if *f.Name == "" {
			f.field("name", "must not be empty")
		}
		f.text("name", *f.Name, f.limits.NameChars)
	}
	if p := f.Priority; p != nil && (*p < Urgent || *p > Low) {
		f.field("priority", "must be %d to %d, got %d", Urgent, Low, *p)
	}
	for _, o := range []struct {
		name string
		raw  json.RawMessage
	}{{"inputs", f.Inputs}, {"params", f.Params}, {"schemas", f.Schemas}} {
		if reason := objectFault(o.raw, f.limits.PayloadBytes); reason != "" {
			f.field(o.name, "%s", reason)
		}
	}
	if f.HasLabels {
		if !f.t.Root {
			f.field("labels", "only the root task has labels, those of the tree")
		}
		for _, reason := range CheckLabels(f.Labels) {
			f.field("labels", "%s", reason)
		}
	}
	if f.Params != nil || f.Schemas != nil {
		f.text("schemas", f.t.Executor, f.limits.IDChars)
	}
	for _, text := range f.t.InputFaults {
		f.field("inputs", "%s", text)
	}
	if f.t.PoolFault != "" {
		f.field("schemas", "%s", f.t.PoolFault)
	}
}

// limiting checks what the task asks for, which has no effect on an attempt that has begun.
func (f *changeCheck) limiting() {
	for _, of := range []struct {
		name  string
		given bool
	}{{"limits", f.HasLimits}, {"lock", f.HasLock}, {"rates", f.HasRates}} {
		if s := f.t.State.Status(); of.given && s != StatusPending {
			f.field(of.name, "task status is '%s' (must be 'pending')", s)
		}
	}
	for _, text := range f.t.LimitFaults {
		field, reason, _ := strings.Cut(text, ": ")
		f.field(field, "%s", reason)
	}
	if f.t.Limited && f.t.Executor == "" {
		f.field("limits", "a group, which runs nothing, asks for nothing")
	}
}

func (f *changeCheck) text(name, s string, limit int) {
	if reason := textFault(s, limit); reason != "" {
		f.field(name, "%s", reason)
	}
}

// Storable reports whether a store can keep the text: valid UTF-8 without NUL.
func Storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
