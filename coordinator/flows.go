package coordinator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	uuids "github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/pg"
)

// FlowKeeper keeps flows and runs them. Ids of flows are the namespace's; a run is named as FLOW/RUN, or as RUN where one flow has such a run. What is stored needs
// [dag.RegistryLevel]: a *[dag.LevelError] while a live coordinator is below it. *[FlowFaultsError]: all that is wrong with a flow, of which nothing is stored.
type FlowKeeper interface {
	// ValidateFlow tells all that is wrong with a flow, by the executors that workers have, and stores nothing. [ErrNotFound]: there is no such registered flow.
	ValidateFlow(ctx context.Context, spec FlowCheck) (*flows.Report, error)
	// ApplyFlow registers a flow under its own id: a new version, unless its text is that of the newest. [ErrConflict]: there are as many as may be. A preview stores nothing.
	ApplyFlow(ctx context.Context, spec FlowSpec) (*FlowInfo, error)
	// Flow shows a version of a flow with its text; 0: the newest. [ErrNotFound].
	Flow(ctx context.Context, id string, version int) (*FlowInfo, error)
	// Flows lists the newest versions of flows by id, without texts.
	Flows(ctx context.Context, f FlowFilter) (Page[*FlowInfo], error)
	// DeleteFlow deletes a flow with all its versions. Its runs stay. [ErrNotFound].
	DeleteFlow(ctx context.Context, id string) error
	// RunFlow begins a run: the row of the run and its tree are one transaction. The run of the same id, flow and values is answered as it is; [ErrConflict]: the run of the id has
	// another flow, or other values.
	RunFlow(ctx context.Context, spec FlowRunSpec) (*FlowRunInfo, error)
	// FlowRun shows a run with its jobs, as they are now. [ErrNotFound]; *[InvalidArgumentError]: several flows have such a run.
	FlowRun(ctx context.Context, name string) (*FlowRunInfo, error)
	// FlowRuns lists runs, the newest first, without jobs, each by its newest revision.
	FlowRuns(ctx context.Context, f FlowRunFilter) (Page[*FlowRunInfo], error)
	// CancelFlowRun cancels what has not ended of a run. [ErrNotFound].
	CancelFlowRun(ctx context.Context, name, reason string) (*Cancellation, error)
	// ResumeFlowRun has a run that has ended go on. Without another text, what failed, was blocked or cancelled runs again; with one, a new revision begins, in which steps that ended
	// with success, or were skipped by themselves, stay as they are. [ErrNotFound]; [ErrConflict]: it has not ended.
	ResumeFlowRun(ctx context.Context, spec FlowResume) (*FlowRunInfo, error)
	// RestartFlowRun begins another run of the flow of a run, as its newest revision has it, and with its values. [ErrNotFound].
	RestartFlowRun(ctx context.Context, spec FlowRestart) (*FlowRunInfo, error)
}

// Bounds of flows.
const (
	maxFlowValues  = 256 << 10 // bytes of what a run is given
	maxReportBytes = 16 << 20  // of the values in the report of a run
)

// FlowSpec is a flow that is to be kept.
type FlowSpec struct {
	Name    string // what faults call its text; empty: flow
	Text    []byte // in YAML
	UserID  string // whose it is to be, if it is new; empty: the caller's
	Preview bool   // nothing is stored
	Bundle  string // of its runs, by id: each pins the latest version; empty: none
}

// FlowCheck is a flow that is to be looked at.
type FlowCheck struct {
	Flow    string // a registered one; empty: the text's
	Version int    // of it; 0: the newest
	Name    string // what faults call the text; empty: flow
	Text    []byte // in place of a registered one
	FlowGiven

	AsRun     bool // as a run with these values: what has none is an error
	StrictEnv bool // names of the environment without a value, and without a default, are errors, but for secrets
	Compat    bool // warn of each place where the flow does otherwise than in AetherFlow

	from     *FlowSchedule // the schedule that the run comes from; nil: none
	has      *pinned       // the bundle of the run; nil: none
	user     string        // whose registered profiles resources may name, beside those that are nobody's
	profiles []runProfile  // registered ones that the run has from a revision before
}

// FlowInfo is a version of a registered flow.
type FlowInfo struct {
	ID        string
	Version   int    // from 1; 0: of a preview
	SHA256    []byte // of the text
	Text      []byte // nil: not asked for
	Bundle    string // of its runs; empty: none
	UserID    string
	CreatedBy string
	CreatedAt time.Time
	Fresh     bool     // it was stored just now
	Versions  int      // that are kept; 0: not asked for
	Warnings  []string // of what was applied
}

// FlowFilter selects flows.
type FlowFilter struct {
	UserID string // of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// FlowGiven is what a run is given.
type FlowGiven struct {
	Env    map[string]string `json:"env,omitempty"`    // literal values; none of secrets
	Params json.RawMessage   `json:"params,omitempty"` // an object
	Set    []string          `json:"set,omitempty"`    // NAME=VALUE, of parameters, as they were typed; they go before Params

	Profiles string `json:"profiles,omitempty"` // that resources may name, in YAML
	Job      string `json:"job,omitempty"`      // that runs, with those that it needs; empty: all

	Priority *int    `json:"priority,omitempty"`        // of all steps that the flow gives none of their own, from 0 to 3; nil: as the flow says
	Timeout  float64 `json:"timeout_seconds,omitempty"` // of the run, in place of the flow's

	NoDeps     bool     `json:"no_deps,omitempty"`     // the job runs alone: those that it needs count as if they had run with success
	JobOutputs []string `json:"job_outputs,omitempty"` // JOB.KEY=VALUE, what these have given then: JSON, else text
}

// FlowSchedule is the schedule that a run comes from.
type FlowSchedule struct {
	ID       string
	FireTime time.Time // the instant
}

// scheduleOf is the schedule that a stored run comes from; nil: none.
func scheduleOf(r *pg.FlowRun) *FlowSchedule {
	if r.FireTime == nil {
		return nil
	}
	return &FlowSchedule{r.ScheduleID, *r.FireTime}
}

// put has a run come from the schedule.
func (s *FlowSchedule) put(r *pg.FlowRun) {
	if s != nil {
		r.ScheduleID, r.FireTime = s.ID, &s.FireTime
	}
}

// FlowRunSpec is a run that is to begin.
type FlowRunSpec struct {
	Flow    string     // a registered one; empty: the text's
	Version int        // of it; 0: the newest
	Name    string     // what faults call the text; empty: flow
	Text    []byte     // in place of a registered one
	RunID   string     // empty: a new one is made
	UserID  string     // whose it is to be; empty: the caller's
	Bundle  *RunBundle // nil: that of the registered flow, if it has one
	FlowGiven

	owner    string        // whose runs count; empty: everybody's
	schedule *FlowSchedule // of the run that this one repeats; nil: none
	has      *pinned       // the bundle, in place of Bundle; nil: it is looked for
}

// FlowResume has a run go on.
type FlowResume struct {
	Run     string // RUN or FLOW/RUN
	Flow    string // a registered flow, as it is now, which is the run's; empty: as it was
	Version int    // of it; 0: the newest
	Name    string // what faults call the text; empty: flow
	Text    []byte // in place of a registered one
}

// edited reports whether another text is given.
func (r *FlowResume) edited() bool { return r.Flow != "" || len(r.Text) > 0 }

// FlowRestart begins another run like one.
type FlowRestart struct {
	Run   string // RUN or FLOW/RUN
	RunID string // of the new one; empty: it is made
}

// FlowRunFilter selects runs.
type FlowRunFilter struct {
	Flow    string
	UserID  string
	Outcome string    // RUNNING, SUCCESS, FAILED, CANCELLED; empty: any
	Since   time.Time // begun then or later; zero: whenever
	Limit   int       // default 100, at most 1000
	Cursor  string
}

// FlowRunInfo is a run.
type FlowRunInfo struct {
	FlowID, RunID string
	TreeID        string
	Revision      int        // the newest
	Outcome       string     // RUNNING, SUCCESS, FAILED, CANCELLED
	Version       int        // of the registered flow; 0: it was run by its text
	SHA256        []byte     // of the text
	Bundle        *RunBundle // that it pins; nil: none
	UserID        string
	CreatedBy     string
	CreatedAt     time.Time
	Given         FlowGiven
	Profiles      []string           // the registered ones that its resources have: NAME@VERSION
	Schedule      *FlowSchedule      // that the run comes from; nil: none
	Jobs          []flows.JobOutcome // nil: not asked for
	Truncated     bool               // some values are left out of Jobs, as all would be more than 16 MiB
	Revisions     []FlowRevision     // the newest first; nil: not asked for
	Existing      bool               // nothing was begun: the run was there
	Warnings      []string           // of what began

	key        int64
	registered []runProfile // Profiles
}

// FlowRevision is a revision of a run.
type FlowRevision struct {
	Revision  int
	TreeID    string
	Outcome   string
	Version   int
	SHA256    []byte
	CreatedBy string
	CreatedAt time.Time
}

// FlowFaultsError are all faults of a flow. Its text is safe to show.
type FlowFaultsError struct {
	Report *flows.Report
	Whole  string // what the field of a fault is called that is of the whole text; empty: flow
}

// Error has a line for each.
func (e *FlowFaultsError) Error() string { return (&flows.Error{Report: e.Report}).Error() }

// Problems are the faults by their fields.
func (e *FlowFaultsError) Problems() (out []*dag.InvalidTaskError) {
	for _, f := range e.Report.Errors {
		at := ""
		if f.Line > 0 {
			at = fmt.Sprintf("%d:%d: ", f.Line, f.Column)
		}
		out = append(out, &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: cmp.Or(f.Loc, e.Whole, "flow"), Reason: fmt.Sprintf("%s%s - %s", at, f.Code, f.Msg)})
	}
	return out
}

// Outcomes of runs beside those of package flows.
const flowRunning = "RUNNING"

var flowOutcomes = []string{flowRunning, "SUCCESS", "FAILED", "CANCELLED"}

// The calls.

// ValidateFlow tells of a registered flow who may see it.
func (g *guarded) ValidateFlow(ctx context.Context, spec FlowCheck) (*flows.Report, error) {
	spec.user = g.caller.User
	return ask(ctx, g, Call{Method: "ValidateFlow"}, func() (*flows.Report, error) { return g.next.ValidateFlow(ctx, spec) }, part{there: spec.Flow != "", flow: spec.Flow})
}

func (g *guarded) ApplyFlow(ctx context.Context, spec FlowSpec) (*FlowInfo, error) {
	call := Call{Method: "ApplyFlow", Flow: flows.IDOf(spec.Text), UserID: cmp.Or(spec.UserID, g.caller.User), Details: detail("preview", spec.Preview)}
	return askNamed(ctx, g, call, func(ctx context.Context, owner string) (*FlowInfo, error) {
		spec.UserID = cmp.Or(spec.UserID, owner)
		return g.next.ApplyFlow(ctx, spec)
	}, part{there: spec.Bundle != "", bundle: spec.Bundle})
}

func (i *FlowInfo) made() Details { return detail("flow", i.ID, "version", i.Version) }

func (g *guarded) Flow(ctx context.Context, id string, version int) (*FlowInfo, error) {
	return ask(ctx, g, Call{Method: "Flow", Flow: id}, func() (*FlowInfo, error) { return g.next.Flow(ctx, id, version) })
}

func (g *guarded) Flows(ctx context.Context, f FlowFilter) (Page[*FlowInfo], error) {
	return askFor(ctx, g, Call{Method: "Flows", UserID: f.UserID}, func(owner string) (Page[*FlowInfo], error) {
		f.UserID = owner
		return g.next.Flows(ctx, f)
	})
}

func (g *guarded) DeleteFlow(ctx context.Context, id string) error {
	_, err := askNamed(ctx, g, Call{Method: "DeleteFlow", Flow: id}, func(ctx context.Context, _ string) (struct{}, error) { return struct{}{}, g.next.DeleteFlow(ctx, id) })
	return err
}

// RunFlow has the run belong to the caller. It must be allowed to see a registered flow.
func (g *guarded) RunFlow(ctx context.Context, spec FlowRunSpec) (*FlowRunInfo, error) {
	call := Call{Method: "RunFlow", UserID: spec.UserID, Details: detail("flow", spec.Flow, "run", spec.RunID)}
	parts := []part{{there: spec.Flow != "", flow: spec.Flow}}
	if spec.Bundle != nil {
		call.Details = call.Details.with("bundle", spec.Bundle.ID)
		parts = append(parts, part{there: true, bundle: spec.Bundle.ID})
	}
	to, end, err := g.allow(ctx, call, parts...)
	if err != nil {
		return nil, err
	}
	spec.owner, spec.UserID = to.UserID, cmp.Or(to.UserID, spec.UserID)
	out, err := g.next.RunFlow(g.seesFlows(by(ctx, g.caller.Name)), spec)
	end(madeBy(out, err), err)
	return out, err
}

func (i *FlowRunInfo) made() Details {
	return detail("flow", i.FlowID, "run", i.RunID, "revision", i.Revision, "tree", i.TreeID, "replayed", i.Existing)
}

func (g *guarded) FlowRun(ctx context.Context, name string) (*FlowRunInfo, error) {
	return askNamed(ctx, g, Call{Method: "FlowRun", Run: name}, func(ctx context.Context, _ string) (*FlowRunInfo, error) { return g.next.FlowRun(ctx, name) })
}

func (g *guarded) FlowRuns(ctx context.Context, f FlowRunFilter) (Page[*FlowRunInfo], error) {
	return askFor(ctx, g, Call{Method: "FlowRuns", UserID: f.UserID}, func(owner string) (Page[*FlowRunInfo], error) {
		f.UserID = owner
		return g.next.FlowRuns(ctx, f)
	})
}

func (g *guarded) CancelFlowRun(ctx context.Context, name, reason string) (*Cancellation, error) {
	return askNamed(ctx, g, Call{Method: "CancelFlowRun", Run: name, Details: detail("reason", reason)}, func(ctx context.Context, _ string) (*Cancellation, error) {
		return g.next.CancelFlowRun(ctx, name, reason)
	})
}

// ResumeFlowRun with another text stores a tree, which takes a permission of its own.
func (g *guarded) ResumeFlowRun(ctx context.Context, spec FlowResume) (*FlowRunInfo, error) {
	return askNamed(ctx, g, Call{Method: "ResumeFlowRun", Run: spec.Run}, func(ctx context.Context, _ string) (*FlowRunInfo, error) {
		return g.next.ResumeFlowRun(g.seesFlows(ctx), spec)
	}, part{there: spec.edited(), permission: policy.TreesCreate}, part{there: spec.Flow != "", flow: spec.Flow})
}

func (g *guarded) RestartFlowRun(ctx context.Context, spec FlowRestart) (*FlowRunInfo, error) {
	return askNamed(ctx, g, Call{Method: "RestartFlowRun", Run: spec.Run}, func(ctx context.Context, _ string) (*FlowRunInfo, error) {
		return g.next.RestartFlowRun(g.seesFlows(ctx), spec)
	})
}

// Registered flows.

// ApplyFlow registers a flow; see [FlowKeeper].
func (c *Coordinator) ApplyFlow(ctx context.Context, spec FlowSpec) (*FlowInfo, error) {
	if !isUser(spec.UserID) {
		return nil, &InvalidArgumentError{Field: "user_id", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	opts, known := c.flowOptions(ctx)
	uses := &usedProfiles{c: c, ctx: ctx, here: here, user: spec.UserID}
	opts.Registered = uses.find
	if spec.Bundle != "" {
		p, err := c.pin(ctx, here, &RunBundle{ID: spec.Bundle})
		if err != nil {
			return nil, err
		}
		p.options(&opts)
	}
	id, report := flows.Register(flowName(spec.Name), spec.Text, opts)
	if known.err != nil {
		return nil, c.internal("read the executors of workers", known.err)
	}
	if uses.err != nil {
		return nil, uses.err
	}
	if !report.OK {
		return nil, &FlowFaultsError{Report: report}
	}
	if spec.Preview {
		return &FlowInfo{ID: id, UserID: spec.UserID, Bundle: spec.Bundle, CreatedBy: caller(ctx), Warnings: warningTexts(report)}, nil
	}
	row := &pg.Flow{ID: id, UserID: spec.UserID, Bundle: spec.Bundle, CreatedBy: caller(ctx)}
	if row.Text, err = c.store.PutFlowText(ctx, here, spec.Text); err != nil {
		return nil, c.internal("keep a flow", err)
	}
	fresh, err := c.store.ApplyFlow(ctx, here, row, only(ctx))
	switch level, below := errors.AsType[*dag.LevelError](err); {
	case below:
		return nil, level
	case errors.Is(err, pg.ErrTooManyFlows):
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManyFlows)
	case errors.Is(err, pg.ErrOthers):
		return nil, err
	case err != nil:
		return nil, c.internal("keep a flow", err)
	case fresh:
		return c.flowVersion(ctx, here, id, int(row.Version), fresh, warningTexts(report))
	}
	out := showFlow(row)
	out.Warnings = warningTexts(report)
	return out, nil
}

// flowVersion shows a version that was stored just now.
func (c *Coordinator) flowVersion(ctx context.Context, here dag.NamespaceKey, id string, version int, fresh bool, warnings []string) (*FlowInfo, error) {
	list, err := c.store.FlowVersions(ctx, here, id, int32(version))
	if err != nil {
		return nil, c.internal("read a flow", err)
	}
	if len(list) == 0 { // it was deleted meanwhile
		return nil, ErrNotFound
	}
	out := showFlow(list[0])
	out.Fresh, out.Warnings = fresh, warnings
	return out, nil
}

func showFlow(f *pg.Flow) *FlowInfo {
	return &FlowInfo{ID: f.ID, Version: int(f.Version), SHA256: f.SHA256, Bundle: f.Bundle, UserID: f.UserID, CreatedBy: f.CreatedBy, CreatedAt: f.CreatedAt}
}

// ValidateFlow tells what is wrong with a flow; see [FlowKeeper].
func (c *Coordinator) ValidateFlow(ctx context.Context, spec FlowCheck) (*flows.Report, error) {
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	of, err := c.textFor(ctx, here, spec.Flow, spec.Version, spec.Name, spec.Text)
	if err != nil {
		return nil, err
	}
	if of.bundle != "" {
		if spec.has, err = c.pinFor(ctx, here, of.bundle, of.owner, only(ctx)); err != nil {
			return nil, err
		}
	}
	judged, err := c.judgeFlow(ctx, here, of, "checked", spec)
	return judged.report, err
}

// judgedFlow is what has come of looking at a flow.
type judgedFlow struct {
	given    FlowGiven   // what the run is given, in one form
	tree     *flows.Tree // nil unless it is a run without faults
	report   *flows.Report
	profiles []runProfile // the registered ones that its resources have
}

// judgeFlow says what is wrong with a flow, as a run with the values that are given or without.
func (c *Coordinator) judgeFlow(ctx context.Context, here dag.NamespaceKey, of *flowText, runID string, spec FlowCheck) (out judgedFlow, err error) {
	given, set, err := spec.check()
	if err != nil {
		return out, err
	}
	out.given = given
	opts, known := c.flowOptions(ctx)
	opts.NoDeps, opts.JobOutputs = given.NoDeps, given.JobOutputs
	opts.Env, opts.Job, opts.Priority, opts.Timeout, opts.StrictEnv, opts.Compat = given.Env, given.Job, given.Priority, given.Timeout, spec.StrictEnv, spec.Compat
	if from := spec.from; from != nil {
		opts.Schedule = &flows.Schedule{ID: from.ID, FireTime: from.FireTime}
	}
	if given.Profiles != "" {
		if opts.Profiles, out.report = flows.ReadProfiles("profiles", []byte(given.Profiles)); !out.report.OK {
			return out, nil
		}
	}
	spec.has.options(&opts)
	uses := &usedProfiles{c: c, ctx: ctx, here: here, user: spec.user, has: spec.profiles}
	opts.Registered = uses.find
	if spec.AsRun {
		opts.Set = set
		out.tree, out.report = flows.Compile(of.name, of.text, runID, opts)
	} else {
		_, out.report = flows.Read(of.name, of.text, opts)
	}
	if known.err != nil {
		return judgedFlow{}, c.internal("read the executors of workers", known.err)
	}
	if uses.err != nil {
		return judgedFlow{}, uses.err
	}
	out.profiles = uses.used
	return out, nil
}

// flowOptions are what a flow is compiled with, and what it learns of the executors that only workers have.
func (c *Coordinator) flowOptions(ctx context.Context) (flows.Options, *flowExecutors) {
	opts := flows.Options{Executors: c.cfg.Known, Inputs: c.cfg.InputKeys}
	if c.cfg.Flows != nil {
		opts = c.cfg.Flows()
	}
	others := &flowExecutors{c: c, ctx: ctx}
	opts.Others = others
	return opts, others
}

// flowExecutors are the executors that workers have, for one flow: the store is asked when the first of them is.
type flowExecutors struct {
	c    *Coordinator
	ctx  context.Context
	list *listing
	err  error // of the store: what was told of a flow counts for nothing
}

func (f *flowExecutors) read() bool {
	if f.list == nil && f.err == nil {
		f.list, f.err = f.c.catalogue.read(f.ctx)
	}
	return f.err == nil
}

// IDs are those of the executors that workers have said something of.
func (f *flowExecutors) IDs() []string {
	if !f.read() {
		return nil
	}
	return slices.Collect(maps.Keys(f.list.by))
}

// Find is an executor; of one that no worker describes, as those of older versions don't, it is only known that there is one.
func (f *flowExecutors) Find(id string) *flows.Executor {
	if !f.read() {
		return nil
	}
	if f.list.by[id] == nil {
		if f.c.executors.has(f.ctx, id) {
			return &flows.Executor{}
		}
		return nil
	}
	if f.c.cfg.FlowExecutor == nil {
		return &flows.Executor{}
	}
	shown, err := f.list.show(f.ctx, []string{id})
	if err != nil {
		f.err = err
		return nil
	}
	return f.c.cfg.FlowExecutor(*shown[0])
}

// flowName is what faults call a text.
func flowName(name string) string { return cmp.Or(clean(name), "flow") }

// Flow shows a flow; see [FlowKeeper].
func (c *Coordinator) Flow(ctx context.Context, id string, version int) (*FlowInfo, error) {
	if version < 0 {
		return nil, &InvalidArgumentError{Field: "version", Reason: "must not be negative"}
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.flowVersions(ctx, here, id)
	if err != nil {
		return nil, err
	}
	row := list[0]
	if version != 0 {
		i := slices.IndexFunc(list, func(f *pg.Flow) bool { return int(f.Version) == version })
		if i < 0 {
			return nil, ErrNotFound
		}
		row = list[i]
	}
	out := showFlow(row)
	out.Versions = len(list)
	if out.Text, err = c.store.FlowText(ctx, row.Text); err != nil {
		return nil, c.internal("read a flow", err)
	}
	return out, nil
}

// flowVersions are those of a flow, the newest first. [ErrNotFound].
func (c *Coordinator) flowVersions(ctx context.Context, here dag.NamespaceKey, id string) ([]*pg.Flow, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	list, err := c.store.FlowVersions(ctx, here, id, 0)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, c.internal("read a flow", err)
	}
	return list, nil
}

// Flows lists flows; see [FlowKeeper].
func (c *Coordinator) Flows(ctx context.Context, f FlowFilter) (Page[*FlowInfo], error) {
	return pageByName(ctx, c, "list flows", f.Cursor, f.UserID, f.Limit, func(here dag.NamespaceKey, after string, limit int) ([]*pg.Flow, error) {
		return c.store.Flows(ctx, here, after, f.UserID, limit)
	}, func(one *pg.Flow) string { return one.ID }, showFlow)
}

// pageByName is a page of a list by names that are ids of flows: of those that read gives after a name, of a user unless that is empty. what says in the log which list it is.
func pageByName[S, T any](ctx context.Context, c *Coordinator, what, cursor, user string, most int, read func(here dag.NamespaceKey, after string, limit int) ([]S, error), name func(S) string,
	show func(S) T) (page Page[T], err error) {
	limit, err := limitOf(most)
	if err != nil {
		return page, err
	}
	after := ""
	if cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if after = string(raw); err != nil || !flows.ValidID(after) {
			return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
		}
	}
	if !text(user) {
		return page, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := read(here, after, limit+1)
	if err != nil {
		return page, c.internal(what, err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(name(list[limit-1])))
	}
	for _, one := range list {
		page.Items = append(page.Items, show(one))
	}
	return page, nil
}

// DeleteFlow deletes a flow; see [FlowKeeper].
func (c *Coordinator) DeleteFlow(ctx context.Context, id string) error {
	if !text(id) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	if err := c.store.DeleteFlow(ctx, here, id, only(ctx)); err != nil {
		return c.internal("delete a flow", err)
	}
	return nil
}

// forgetFlowTexts deletes texts that nothing names.
func (c *Coordinator) forgetFlowTexts(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.store.ForgetFlowTexts(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("texts of flows that nothing names could not be deleted", "error", err)
		}
		if !more || err != nil {
			return
		}
	}
}

// Runs.

// runBody is what is stored of a revision.
type runBody struct {
	Given FlowGiven       `json:"given"`
	Plan  json.RawMessage `json:"plan"` // of [flows.Tree.Stored]

	Profiles []runProfile `json:"registered,omitempty"` // the registered ones that its resources have
}

// flowText is a text that a run may be of.
type flowText struct {
	name    string
	text    []byte
	flow    string // its id, of a registered one
	version int32
	bundle  string // of its runs, of a registered one; empty: none
	owner   string // whose it is, of a registered one; empty: nobody's
}

// textFor finds the text of a run: the registered one, or the one that came.
func (c *Coordinator) textFor(ctx context.Context, here dag.NamespaceKey, id string, version int, name string, came []byte) (*flowText, error) {
	var faults faultList
	switch {
	case id == "" && len(came) == 0:
		faults.add("flow", "is required: the id of a registered flow, or a text")
	case id != "" && len(came) > 0:
		faults.add("text", "can't go with the id of a registered flow")
	case id == "" && version != 0:
		faults.add("version", "is that of a registered flow")
	case version < 0:
		faults.add("version", "must not be negative")
	}
	if faults != nil {
		return nil, faults.err()
	}
	if id == "" {
		return &flowText{name: flowName(name), text: came}, nil
	}
	info, err := c.Flow(ctx, id, version)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("flow %s: %w", cut(clean(id)), err)
	} else if err != nil {
		return nil, err
	}
	return &flowText{name: info.ID, text: info.Text, flow: info.ID, version: int32(info.Version), bundle: info.Bundle, owner: info.UserID}, nil
}

// check refuses what can't be given to a run, and gives it in one form.
func (g FlowGiven) check() (FlowGiven, *treefile.Arguments, error) {
	var faults faultList
	size := len(g.Params) + len(g.Profiles)
	for name, value := range g.Env {
		if size += len(name) + len(value); !text(name) || !text(value) {
			faults.add("env", "must be UTF-8 without NUL")
			break
		}
	}
	for _, one := range g.Set {
		size += len(one)
	}
	for _, one := range g.JobOutputs {
		if size += len(one); !text(one) {
			faults.add("job_outputs", "must be UTF-8 without NUL")
			break
		}
	}
	if len(g.JobOutputs) == 0 {
		g.JobOutputs = nil
	}
	if size > maxFlowValues {
		faults.add("env", "with params has %d bytes, the most is %d", size, maxFlowValues)
	}
	given := &treefile.Arguments{}
	g.Params = someOf(g.Params)
	if g.Params != nil {
		var compact bytes.Buffer
		switch err := given.JSON(g.Params); {
		case err != nil:
			faults.add("params", "%v", err)
		case json.Compact(&compact, g.Params) == nil:
			g.Params = compact.Bytes()
		}
	}
	for _, one := range g.Set {
		if !text(one) {
			faults.add("set", "must be UTF-8 without NUL")
		} else if err := given.Set("set", one); err != nil {
			faults.add("set", "%v", err)
		}
	}
	if p := g.Priority; p != nil && (*p < 0 || *p > 3) {
		faults.add("priority", "must be 0 to 3, and is %d", *p)
	}
	if len(g.Env) == 0 {
		g.Env = nil
	}
	if len(g.Set) == 0 {
		g.Set = nil
	}
	return g, given, faults.err()
}

// someOf is given, and nil for an empty object, too.
func someOf(raw json.RawMessage) json.RawMessage {
	if raw = given(raw); raw != nil && string(bytes.TrimSpace(raw)) == "{}" {
		return nil
	}
	return raw
}

// compileRun makes the tree of a run, and what is stored of it.
func (c *Coordinator) compileRun(ctx context.Context, here dag.NamespaceKey, of *flowText, runID string, spec FlowCheck) (*flows.Tree, *flows.Report, []byte, error) {
	spec.AsRun = true
	judged, err := c.judgeFlow(ctx, here, of, runID, spec)
	if err != nil {
		return nil, nil, nil, err
	}
	tree, report := judged.tree, judged.report
	if tree == nil {
		return nil, nil, nil, &FlowFaultsError{Report: report}
	}
	if of.flow != "" && tree.FlowID != of.flow {
		return nil, nil, nil, &InvalidArgumentError{Field: "env", Reason: fmt.Sprintf("makes the flow's id %s, and it is registered as %s", tree.FlowID, of.flow)}
	}
	plan, err := tree.Stored()
	if err != nil {
		return nil, nil, nil, err
	}
	body, err := json.Marshal(runBody{judged.given, plan, judged.profiles})
	return tree, report, body, err
}

// RunFlow begins a run; see [FlowKeeper].
func (c *Coordinator) RunFlow(ctx context.Context, spec FlowRunSpec) (*FlowRunInfo, error) {
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	of, has, err := c.textOf(ctx, here, &spec)
	if err != nil {
		return nil, err
	}
	if spec.RunID == "" {
		made, err := uuids.NewV7()
		if err != nil {
			return nil, err
		}
		spec.RunID = made.String()
	}
	tree, report, body, err := c.compileRun(ctx, here, of, spec.RunID, FlowCheck{FlowGiven: spec.FlowGiven, from: spec.schedule, has: has, user: spec.UserID})
	if err != nil {
		return nil, err
	}
	row := &pg.FlowRun{FlowID: tree.FlowID, RunID: tree.RunID, Revision: 1, Version: of.version, Bundle: has.row(), Stale: has != nil && has.stale, Body: body, CreatedBy: caller(ctx)}
	spec.schedule.put(row)
	if row.Text, err = c.store.PutFlowText(ctx, here, of.text); err != nil {
		return nil, c.internal("keep a flow", err)
	}
	if had, err := c.sameRun(ctx, here, row, spec); had != nil || err != nil {
		return had, err
	}
	out, err := c.submitRun(ctx, row, tree, SubmitOptions{UserID: spec.UserID}, nil)
	if errors.Is(err, pg.ErrTaken) { // somebody was quicker
		had, err := c.sameRun(ctx, here, row, spec)
		if had == nil && err == nil { // and it is gone
			err = fmt.Errorf("%w: the run was deleted just now", ErrConflict)
		}
		return had, err
	}
	if err != nil {
		return nil, err
	}
	out.Warnings = append(warningTexts(report), out.Warnings...)
	if out.Bundle = has.shown(); has != nil && has.stale {
		out.Warnings = append(out.Warnings, fmt.Sprintf("bundle_stale: the source of bundle %s failed, and the run has the version that was fetched last, %s", has.ID, has.Fingerprint))
	}
	return out, nil
}

// textOf finds the text of a run, and its bundle: of neither a text nor a flow, the text is in the bundle.
func (c *Coordinator) textOf(ctx context.Context, here dag.NamespaceKey, spec *FlowRunSpec) (of *flowText, has *pinned, err error) {
	inBundle := spec.Bundle != nil && spec.Flow == "" && len(spec.Text) == 0
	if !inBundle {
		if of, err = c.textFor(ctx, here, spec.Flow, spec.Version, spec.Name, spec.Text); err != nil {
			return nil, nil, err
		}
	} else if spec.Version != 0 {
		return nil, nil, &InvalidArgumentError{Field: "version", Reason: "is that of a registered flow"}
	}
	named := spec.Bundle
	switch has = spec.has; {
	case has != nil:
	case named == nil && of.bundle != "":
		has, err = c.pinFor(ctx, here, of.bundle, of.owner, spec.UserID)
	default:
		has, err = c.pin(ctx, here, named)
	}
	if err != nil {
		return nil, nil, err
	}
	if inBundle {
		path := cmp.Or(named.Flow, has.Rules.EntryFlow)
		text, err := c.bundleText(ctx, has, path)
		if err != nil {
			return nil, nil, err
		}
		of = &flowText{name: path, text: text}
	}
	return of, has, nil
}

// warningTexts are the warnings of a report, a line each.
func warningTexts(r *flows.Report) (out []string) {
	for _, f := range r.Warnings {
		at := ""
		if f.Line > 0 {
			at = fmt.Sprintf("%d:%d: ", f.Line, f.Column)
		}
		out = append(out, fmt.Sprintf("%s%s: %s - %s", at, f.Loc, f.Code, f.Msg))
	}
	return out
}

// sameRun is the run that is to begin, if it is there: one of the same text and values. nil: there is none. [ErrConflict]: it is another one.
func (c *Coordinator) sameRun(ctx context.Context, here dag.NamespaceKey, row *pg.FlowRun, spec FlowRunSpec) (*FlowRunInfo, error) {
	list, err := c.store.FlowRunsNamed(ctx, here, row.FlowID, row.RunID, "")
	if err != nil {
		return nil, c.internal("look for a run", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	newest := list[0]
	if spec.owner != "" && newest.UserID != spec.owner {
		return nil, fmt.Errorf("%w: the run id %s is taken: choose another one", ErrConflict, row.RunID)
	}
	same, err := sameContent(newest, row)
	same = same && newest.Bundle == row.Bundle
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, fmt.Errorf("%w: run %s of %s is there, and is of another text or with other values: resume it with the new text, or choose another run id", ErrConflict, row.RunID, row.FlowID)
	}
	out, err := showFlowRun(newest)
	if err == nil {
		out.Existing = true
	}
	return out, err
}

// sameContent reports whether two revisions have the same text and values.
func sameContent(a, b *pg.FlowRun) (bool, error) {
	x, y := scheduleOf(a), scheduleOf(b)
	if a.Text != b.Text || (x == nil) != (y == nil) || x != nil && (x.ID != y.ID || !x.FireTime.Equal(y.FireTime)) {
		return false, nil
	}
	var texts [2][]byte
	for i, r := range []*pg.FlowRun{a, b} {
		var body runBody
		if err := json.Unmarshal(r.Body, &body); err != nil {
			return false, fmt.Errorf("read run %s of %s: %w", r.RunID, r.FlowID, err)
		}
		var err error
		if texts[i], err = json.Marshal(body.Given); err != nil {
			return false, err
		}
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

// submitRun stores a revision with its tree. kept are steps that don't run; nil: all do. [pg.ErrTaken], [pg.ErrRunOpen].
func (c *Coordinator) submitRun(ctx context.Context, row *pg.FlowRun, tree *flows.Tree, opts SubmitOptions, kept *flows.Kept) (*FlowRunInfo, error) {
	opts.run = row
	failpoint.Hit("coordinator.before-run-submit")
	out, err := c.Submit(ctx, opts, c.tasksOfRun(tree, kept))
	if err != nil {
		return nil, err
	}
	row.RootID, row.UserID, row.CreatedAt = out.TreeID, opts.UserID, time.Now()
	info, err := showFlowRun(row)
	if err != nil {
		return nil, err
	}
	for _, w := range out.Warnings {
		info.Warnings = append(info.Warnings, w.Field+": "+w.Reason)
	}
	return info, nil
}

// tasksOfRun are the tasks of a run's tree, of which those that are kept have ended already.
func (c *Coordinator) tasksOfRun(tree *flows.Tree, kept *flows.Kept) iter.Seq2[*dag.Task, error] {
	tasks := treedoc.Parse(tree.Document, treedoc.Options{Limits: c.cfg.Limits, Executors: c.cfg.Known})
	if kept == nil {
		return tasks
	}
	return marked(tasks, func(t *dag.Task) {
		end, is := kept.Ends[t.Name]
		if !is {
			return
		}
		state := dag.Completed
		if end.Outcome == dag.Skipped.Outcome() {
			state = dag.Skipped
		}
		t.Imported = &dag.Imported{State: state, Result: end.Result, Outputs: end.Outputs, Attempts: int32(min(max(1, end.Attempts), dag.MaxRetryAttempts))}
	})
}

// showFlowRun shows a revision without what its tasks have come to.
func showFlowRun(r *pg.FlowRun) (*FlowRunInfo, error) {
	out := &FlowRunInfo{FlowID: r.FlowID, RunID: r.RunID, TreeID: r.RootID, Revision: int(r.Revision), Outcome: flowOutcome(r), Version: int(r.Version), SHA256: r.SHA256, UserID: r.UserID,
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, Schedule: scheduleOf(r), key: r.Key}
	if r.Body != nil {
		var body runBody
		if err := json.Unmarshal(r.Body, &body); err != nil {
			return nil, fmt.Errorf("read run %s of %s: %w", r.RunID, r.FlowID, err)
		}
		out.Given, out.registered = body.Given, body.Profiles
		for _, p := range body.Profiles {
			out.Profiles = append(out.Profiles, profileVersion(p.Name, int(p.Version)))
		}
	}
	return out, nil
}

// flowOutcome is what a revision has come to, by its tree.
func flowOutcome(r *pg.FlowRun) string {
	switch {
	case r.FinishedAt == nil:
		return flowRunning
	case r.Failed > r.Allowed:
		return "FAILED"
	case r.Cancelled > 0:
		return "CANCELLED"
	}
	return "SUCCESS"
}

// flowEnds are the statuses of trees by what runs have come to.
var flowEnds = map[string]dag.Status{"SUCCESS": dag.StatusCompleted, "FAILED": dag.StatusFailed, "CANCELLED": dag.StatusCancelled}

// flowRun finds the revisions of a run, the newest first: one of whose counts, see [only]. [ErrNotFound]; *[InvalidArgumentError]: several flows have such a run.
func (c *Coordinator) flowRun(ctx context.Context, name string) (here dag.NamespaceKey, list []*pg.FlowRun, err error) {
	if here, err = c.here(ctx); err != nil {
		return here, nil, err
	}
	if !text(name) {
		return here, nil, ErrNotFound
	}
	flow, run := pg.SplitRun(name)
	if list, err = c.store.FlowRunsNamed(ctx, here, flow, run, only(ctx)); err != nil {
		return here, nil, c.internal("look for a run", err)
	}
	if len(list) == 0 {
		return here, nil, ErrNotFound
	}
	if last := list[len(list)-1].FlowID; last != list[0].FlowID {
		return here, nil, &InvalidArgumentError{Field: "run", Reason: fmt.Sprintf("is that of several flows, %s and %s: name it as %s/%s", list[0].FlowID, last, list[0].FlowID, run)}
	}
	return here, list, nil
}

// FlowRun shows a run; see [FlowKeeper].
func (c *Coordinator) FlowRun(ctx context.Context, name string) (*FlowRunInfo, error) {
	_, list, err := c.flowRun(ctx, name)
	if err != nil {
		return nil, err
	}
	out, err := showFlowRun(list[0])
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		out.Revisions = append(out.Revisions, FlowRevision{int(r.Revision), r.RootID, flowOutcome(r), int(r.Version), r.SHA256, r.CreatedBy, r.CreatedAt})
	}
	if out.Bundle, err = c.bundleOf(ctx, list[0]); err != nil {
		return nil, err
	}
	tree, ends, cut, err := c.endsOf(ctx, list[0], maxReportBytes)
	if err != nil {
		return nil, err
	}
	report := tree.Outcome(ends)
	out.Jobs, out.Truncated = report.Jobs, cut
	if out.Outcome != flowRunning {
		out.Outcome = report.Outcome
	}
	return out, nil
}

// endsOf reads how the tasks of a revision have ended, with values of so many bytes; cut: some are left out. 0: all of them.
func (c *Coordinator) endsOf(ctx context.Context, r *pg.FlowRun, most int) (tree *flows.Tree, ends map[string]flows.End, cut bool, err error) {
	var body runBody
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return nil, nil, false, err
	}
	if tree, err = flows.ReadTree(body.Plan); err != nil {
		return nil, nil, false, err
	}
	ends = map[string]flows.End{}
	size := 0
	for f := (TaskFilter{TreeOf: r.RootID, Limit: maxLimit}); ; {
		page, err := c.Tasks(ctx, f)
		if err != nil {
			return nil, nil, false, err
		}
		for _, t := range page.Items {
			e := flows.End{Outcome: t.State.Outcome(), Runs: t.State.Status() == dag.StatusInProgress, SkipReason: t.SkipReason, Error: t.Error, ErrorKind: string(t.ErrorKind), Attempts: t.Attempt, Result: t.Result, Outputs: t.Outputs, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt}
			if size += len(e.Error) + len(e.Result) + len(e.Outputs); most > 0 && size > most {
				e.Result, e.Outputs, cut = nil, nil, true
				if utf8.RuneCountInString(e.Error) > maxDetailRunes {
					e.Error = string([]rune(e.Error)[:maxDetailRunes])
				}
			}
			ends[cmp.Or(t.Ref, t.Name)] = e
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return tree, ends, cut, nil
		}
	}
}

// Check refuses an outcome that there is not.
func (f FlowRunFilter) Check() error {
	if f.Outcome != "" && !slices.Contains(flowOutcomes, f.Outcome) {
		return &InvalidArgumentError{Field: "outcome", Reason: "must be RUNNING, SUCCESS, FAILED or CANCELLED"}
	}
	return nil
}

// FlowRuns lists runs; see [FlowKeeper].
func (c *Coordinator) FlowRuns(ctx context.Context, f FlowRunFilter) (page Page[*FlowRunInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if err := f.Check(); err != nil {
		return page, err
	}
	var below int64
	if f.Cursor != "" {
		if err := cursorFrom("flowrun", f.Cursor, &below); err != nil {
			return page, err
		}
	}
	if !text(f.UserID) || !text(f.Flow) {
		return page, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	step := limit
	if f.Outcome != "" {
		step = stepTrees
	}
	for looked := 0; looked < mostTrees; looked += step {
		list, err := c.store.FlowRuns(ctx, here, below, f.Flow, f.UserID, step)
		if err != nil {
			return page, c.internal("list runs", err)
		}
		for _, r := range list {
			if below = r.Key; !f.Since.IsZero() && r.CreatedAt.Before(f.Since) {
				return page, nil
			}
			if f.Outcome != "" && flowOutcome(r) != f.Outcome {
				continue
			}
			one, err := showFlowRun(r)
			if err != nil {
				return page, err
			}
			if page.Items = append(page.Items, one); len(page.Items) == limit {
				page.Next = cursorTo("flowrun", below)
				return page, nil
			}
		}
		if len(list) < step {
			return page, nil
		}
	}
	page.Next = cursorTo("flowrun", below)
	return page, nil
}

// CancelFlowRun cancels a run; see [FlowKeeper].
func (c *Coordinator) CancelFlowRun(ctx context.Context, name, reason string) (*Cancellation, error) {
	var faults faultList
	faults.text("reason", dag.ReasonFault(reason))
	if faults != nil {
		return nil, faults.err()
	}
	_, list, err := c.flowRun(ctx, name)
	if err != nil {
		return nil, err
	}
	if end := flowOutcome(list[0]); end != flowRunning { // what was blocked in it stays so
		return &Cancellation{Outcome: AlreadyEnded, Status: flowEnds[end]}, nil
	}
	return c.Cancel(ctx, list[0].RootID, CancelOptions{Reason: reason})
}

// RestartFlowRun begins another run; see [FlowKeeper].
func (c *Coordinator) RestartFlowRun(ctx context.Context, spec FlowRestart) (*FlowRunInfo, error) {
	_, list, err := c.flowRun(ctx, spec.Run)
	if err != nil {
		return nil, err
	}
	was, err := showFlowRun(list[0])
	if err != nil {
		return nil, err
	}
	text, err := c.store.FlowText(ctx, list[0].Text)
	if err != nil {
		return nil, c.internal("read the flow of a run", err)
	}
	has, err := c.pinKey(ctx, list[0].Bundle, list[0].Stale)
	if err != nil {
		return nil, err
	}
	return c.RunFlow(ctx, FlowRunSpec{has: has, Name: was.FlowID, Text: text, RunID: spec.RunID, UserID: was.UserID, FlowGiven: was.Given, owner: was.UserID, schedule: was.Schedule})
}

// ResumeFlowRun has a run go on; see [FlowKeeper].
func (c *Coordinator) ResumeFlowRun(ctx context.Context, spec FlowResume) (*FlowRunInfo, error) {
	here, list, err := c.flowRun(ctx, spec.Run)
	if err != nil {
		return nil, err
	}
	newest := list[0]
	was, err := showFlowRun(newest)
	if err != nil {
		return nil, err
	}
	if !spec.edited() {
		return c.resumeTree(ctx, was)
	}
	of, err := c.textFor(ctx, here, spec.Flow, spec.Version, spec.Name, spec.Text)
	if err != nil {
		return nil, err
	}
	key, err := c.store.PutFlowText(ctx, here, of.text)
	if err != nil {
		return nil, c.internal("keep a flow", err)
	}
	if key == newest.Text {
		return c.resumeTree(ctx, was)
	}
	has, err := c.pinKey(ctx, newest.Bundle, newest.Stale) // a run keeps its bundle
	if err != nil {
		return nil, err
	}
	tree, report, body, err := c.compileRun(ctx, here, of, newest.RunID, FlowCheck{FlowGiven: was.Given, from: was.Schedule, has: has, user: newest.UserID, profiles: was.registered}) // likewise its profiles
	switch {
	case err != nil:
		return nil, err
	case tree.FlowID != newest.FlowID:
		return nil, &InvalidArgumentError{Field: "flow", Reason: fmt.Sprintf("is %s, and the run is one of %s", tree.FlowID, newest.FlowID)}
	case newest.FinishedAt == nil:
		return nil, runOpen(newest)
	}
	before, ends, _, err := c.endsOf(ctx, newest, 0)
	if err != nil {
		return nil, err
	}
	kept, err := tree.Keep(before, ends)
	if err != nil {
		return nil, err
	}
	row := &pg.FlowRun{FlowID: newest.FlowID, RunID: newest.RunID, Revision: newest.Revision + 1, Version: of.version, Text: key, Bundle: newest.Bundle, Stale: newest.Stale, Body: body, CreatedBy: caller(ctx), After: newest.Tree}
	was.Schedule.put(row)
	out, err := c.submitRun(ctx, row, tree, SubmitOptions{UserID: newest.UserID}, kept)
	switch {
	case errors.Is(err, pg.ErrRunOpen):
		return nil, runOpen(newest)
	case errors.Is(err, pg.ErrTaken): // somebody was quicker: with the same text it is the same
		_, list, err := c.flowRun(ctx, newest.FlowID+"/"+newest.RunID)
		if err != nil {
			return nil, err
		}
		if list[0].Revision != row.Revision || list[0].Text != row.Text {
			return nil, fmt.Errorf("%w: somebody else has resumed run %s of %s", ErrConflict, newest.RunID, newest.FlowID)
		}
		out, err := showFlowRun(list[0])
		if err == nil {
			out.Existing = true
		}
		return out, err
	case err != nil:
		return nil, err
	}
	out.Warnings = append(warningTexts(report), out.Warnings...)
	for _, step := range kept.Changed {
		out.Warnings = append(out.Warnings, step+": does something else now, and is kept as it has ended")
	}
	for _, step := range kept.Removed {
		out.Warnings = append(out.Warnings, step+": is not there any more")
	}
	return out, nil
}

// runOpen refuses a new revision.
func runOpen(r *pg.FlowRun) error {
	return fmt.Errorf("%w: run %s of %s has not ended: cancel it first, or wait", ErrConflict, r.RunID, r.FlowID)
}

// resumeTree runs again what has failed of the tree of a run, was blocked or cancelled.
func (c *Coordinator) resumeTree(ctx context.Context, was *FlowRunInfo) (*FlowRunInfo, error) {
	got, err := c.Execute(ctx, was.TreeID, ExecuteOptions{RerunCancelled: true, KeepCompleted: true})
	if err != nil {
		return nil, err
	}
	if was.Existing = got.Outcome != Started; !was.Existing {
		was.Outcome = flowRunning
	}
	return was, nil
}
