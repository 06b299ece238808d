package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"math"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (c *Client) flows() pb.FlowServiceClient { return pb.NewFlowServiceClient(c.conn) }

// FlowCheck is a flow that is to be looked at.
type FlowCheck struct {
	FlowStart      // without RunID and UserID
	AsRun     bool // as a run with these values: what has none is an error
	StrictEnv bool // names of the environment without a value, and without a default, are errors, but for secrets
	Compat    bool // warn of each place where the flow does otherwise than in AetherFlow
}

// FlowReport is what is known of a flow.
type FlowReport struct {
	OK       bool        `json:"ok"`        // there are no errors
	FlowYAML string      `json:"flow_yaml"` // what the flow is called
	Errors   []FlowFault `json:"errors"`
	Warnings []FlowFault `json:"warnings"`
	More     int         `json:"more,omitempty"` // errors and warnings beyond 200 of each
}

// FlowFault is one thing that is wrong, or a warning.
type FlowFault struct {
	Code   string `json:"code"`
	Alias  string `json:"alias,omitempty"` // what AetherFlow calls it
	Loc    string `json:"loc"`             // path in the flow, "jobs[1].steps[0].inputs.sql"; empty: the flow
	Line   int    `json:"line"`            // from 1; 0: the flow as a whole
	Column int    `json:"column"`          // in characters, from 1
	Msg    string `json:"msg"`
}

// FlowApply is a flow that is to be registered.
type FlowApply struct {
	Name    string // what faults call the text; empty: flow
	Text    []byte // in YAML
	UserID  string // whose it is to be, if it is new; empty: the caller's
	Preview bool   // nothing is stored
	Bundle  string // of its runs, by id: each pins the latest version; empty: none
}

// Flow is a version of a registered flow.
type Flow struct {
	ID        string    `json:"id"`
	Version   int       `json:"version"`          // from 1; 0: of a preview
	SHA256    string    `json:"sha256,omitempty"` // of the text
	Text      string    `json:"text,omitempty"`   // empty: not asked for
	Bundle    string    `json:"bundle,omitempty"` // of its runs
	UserID    string    `json:"user_id,omitempty"`
	CreatedBy string    `json:"created_by,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	Fresh     bool      `json:"fresh,omitempty"`    // it was stored just now
	Versions  int       `json:"versions,omitempty"` // that are kept; 0: not asked for
	Warnings  []string  `json:"warnings,omitempty"` // of what was applied
}

// FlowFilter selects flows.
type FlowFilter struct {
	UserID string
	Limit  int // of one page; default 100, at most 1000
	Cursor string
}

// FlowStart is a run that is to begin.
type FlowStart struct {
	Flow    string // the id of a registered flow; empty: Text is it
	Version int    // of it; 0: the newest
	Name    string // what faults call the text; empty: flow
	Text    []byte // in YAML
	RunID   string // 1 to 64 letters, digits, '.', '_' and '-'; empty: a new one is made
	UserID  string // whose it is to be; empty: the caller's
	Env     map[string]string
	Params  json.RawMessage // an object
	Set     []string        // NAME=VALUE, of parameters; they go before Params

	Profiles string // that resources may name, in YAML
	Job      string // that runs, with those that it needs; empty: all
	Priority *int   // of all steps that the flow gives none of their own, from 0 to 3; nil: as the flow says

	NoDeps     bool     // the job runs alone: those that it needs count as if they had run with success
	JobOutputs []string // JOB.KEY=VALUE, what these have given then: JSON, else text

	Bundle *RunBundle // nil: that of the registered flow, if it has one
}

// FlowRun is a run of a flow.
type FlowRun struct {
	RunID     string            `json:"run_id"`
	FlowID    string            `json:"flow_id"`
	TreeID    string            `json:"tree_id"`           // of the newest revision
	Revision  int               `json:"revision"`          // the newest, from 1
	Outcome   string            `json:"outcome"`           // RUNNING, SUCCESS, FAILED, CANCELLED
	Version   int               `json:"version,omitempty"` // of the registered flow; 0: it was run by its text
	SHA256    string            `json:"sha256,omitempty"`  // of the text
	UserID    string            `json:"user_id,omitempty"`
	CreatedBy string            `json:"created_by,omitempty"`
	CreatedAt time.Time         `json:"created_at,omitzero"` // of the newest revision
	Env       map[string]string `json:"env,omitempty"`       // that it was given; nil in lists
	Params    json.RawMessage   `json:"params,omitempty"`    // likewise
	Set       []string          `json:"set,omitempty"`       // likewise
	Profiles  string            `json:"profiles,omitempty"`  // likewise
	Job       string            `json:"job,omitempty"`       // likewise
	Priority  *int              `json:"priority,omitempty"`  // likewise
	NoDeps    bool              `json:"no_deps,omitempty"`   // likewise

	JobOutputs []string `json:"job_outputs,omitempty"` // likewise

	RegisteredProfiles []string `json:"registered_profiles,omitempty"` // that its resources have: NAME@VERSION; nil in lists

	Bundle    *RunBundle       `json:"bundle,omitempty"`    // that it pins; nil: none, or in a list
	Stale     bool             `json:"stale,omitempty"`     // the source of the bundle had failed
	Jobs      json.RawMessage  `json:"jobs,omitempty"`      // a list of jobs with their steps, as "flow run" prints it; nil: not asked for
	Truncated bool             `json:"truncated,omitempty"` // some values are left out of Jobs, as all would be more than 16 MiB
	Revisions []FlowRevision   `json:"revisions,omitempty"` // the newest first; nil: not asked for
	Existing  bool             `json:"existing,omitempty"`  // nothing was begun: the run was there, or has nothing to run again
	Warnings  []string         `json:"warnings,omitempty"`  // of what began
	Schedule  *FlowRunSchedule `json:"schedule,omitempty"`  // that it comes from; nil: none
}

// FlowRunSchedule is the schedule that a run comes from.
type FlowRunSchedule struct {
	ID       string    `json:"id"`
	FireTime time.Time `json:"fire_time"` // the instant
}

// FlowRevision is a revision of a run.
type FlowRevision struct {
	Revision  int       `json:"revision"`
	TreeID    string    `json:"tree_id"`
	Outcome   string    `json:"outcome"`
	Version   int       `json:"version,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	CreatedBy string    `json:"created_by,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// FlowRunFilter selects runs.
type FlowRunFilter struct {
	Flow    string
	UserID  string
	Outcome string    // RUNNING, SUCCESS, FAILED, CANCELLED; empty: any
	Since   time.Time // begun then or later; zero: whenever
	Limit   int       // of one page; default 100, at most 1000
	Cursor  string
}

// FlowResume has a run go on: as it was, or, with another text, as a new revision.
type FlowResume struct {
	Run     string // RUN, or FLOW/RUN
	Flow    string // the id of a registered flow, which is the run's
	Version int    // of it; 0: the newest
	Name    string // what faults call the text; empty: flow
	Text    []byte // in place of a registered one
}

// ValidateFlow tells all that is wrong with a flow, by the executors that workers have, and stores nothing. [ErrNotFound]: there is no such registered flow.
func (c *Client) ValidateFlow(ctx context.Context, f FlowCheck) (*FlowReport, error) {
	got, err := c.flows().ValidateFlow(ctx, &pb.ValidateFlowRequest{Flow: f.Flow, Version: int32(f.Version), Name: f.Name, Text: string(f.Text), Env: f.Env, Params: f.Params, Set: f.Set, Profiles: f.Profiles,
		Job: f.Job, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs, Priority: priorityTo(f.Priority), AsRun: f.AsRun, StrictEnv: f.StrictEnv, Compat: f.Compat})
	if err != nil {
		return nil, wrap(ctx, err, "validate a flow")
	}
	faults := func(list []*pb.FlowFault) []FlowFault {
		out := []FlowFault{}
		for _, f := range list {
			out = append(out, FlowFault{f.Code, f.Alias, f.Loc, int(f.Line), int(f.Column), f.Msg})
		}
		return out
	}
	return &FlowReport{OK: got.Ok, FlowYAML: got.FlowYaml, Errors: faults(got.Errors), Warnings: faults(got.Warnings), More: int(got.More)}, nil
}

func priorityTo(p *int) *int32 {
	if p == nil {
		return nil
	}
	return new(int32(max(min(*p, math.MaxInt32), math.MinInt32)))
}

// ApplyFlow registers a flow: a new version, unless its text is that of the newest. [ErrInvalid] tells all that is wrong with it.
func (c *Client) ApplyFlow(ctx context.Context, f FlowApply) (*Flow, error) {
	return flowAnswer(ctx, "apply a flow")(c.flows().ApplyFlow(ctx, &pb.ApplyFlowRequest{Name: f.Name, Text: string(f.Text), UserId: f.UserID, Preview: f.Preview, Bundle: f.Bundle}))
}

// Flow shows a version of a flow with its text; 0: the newest. [ErrNotFound].
func (c *Client) Flow(ctx context.Context, id string, version int) (*Flow, error) {
	return flowAnswer(ctx, "get a flow")(c.flows().GetFlow(ctx, &pb.GetFlowRequest{Id: id, Version: int32(version)}))
}

// FlowsPage lists one page of the newest versions of flows by id, without texts.
func (c *Client) FlowsPage(ctx context.Context, f FlowFilter) (*Page[*Flow], error) {
	got, err := c.flows().ListFlows(ctx, &pb.ListFlowsRequest{UserId: f.UserID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list flows")
	}
	page := &Page[*Flow]{Next: got.Cursor}
	for _, one := range got.Flows {
		page.Items = append(page.Items, flowOf(one))
	}
	return page, nil
}

// Flows lists the newest versions of flows by id, without texts, asking for pages as they are needed.
func (c *Client) Flows(ctx context.Context, f FlowFilter) iter.Seq2[*Flow, error] {
	return all(func(cursor string) (*Page[*Flow], error) {
		f.Cursor = cursor
		return c.FlowsPage(ctx, f)
	}, f.Cursor)
}

// DeleteFlow deletes a flow with all its versions. Its runs stay. [ErrNotFound].
func (c *Client) DeleteFlow(ctx context.Context, id string) error {
	_, err := c.flows().DeleteFlow(ctx, &pb.DeleteFlowRequest{Id: id})
	return wrap(ctx, err, "delete a flow")
}

// RunFlow begins a run. The run of the same id, flow and values is answered as it is. [ErrInvalid] tells all that is wrong; [ErrConflict]: the run of the id is another one;
// [ErrNotFound]: there is no such registered flow.
func (c *Client) RunFlow(ctx context.Context, s FlowStart) (*FlowRun, error) {
	return flowRunAnswer(ctx, "run a flow")(c.flows().RunFlow(ctx, &pb.RunFlowRequest{Flow: s.Flow, Version: int32(s.Version), Name: s.Name, Text: string(s.Text), RunId: s.RunID, UserId: s.UserID, Env: s.Env,
		Params: s.Params, Set: s.Set, Profiles: s.Profiles, Job: s.Job, NoDeps: s.NoDeps, JobOutputs: s.JobOutputs, Priority: priorityTo(s.Priority), Bundle: s.Bundle.message()}))
}

// FlowRun shows a run, by RUN or FLOW/RUN, with its jobs, as they are now. [ErrNotFound].
func (c *Client) FlowRun(ctx context.Context, run string) (*FlowRun, error) {
	return flowRunAnswer(ctx, "get a run")(c.flows().GetFlowRun(ctx, &pb.GetFlowRunRequest{Run: run}))
}

// FlowRunsPage lists one page of runs, the newest first, without jobs.
func (c *Client) FlowRunsPage(ctx context.Context, f FlowRunFilter) (*Page[*FlowRun], error) {
	got, err := c.flows().ListFlowRuns(ctx, &pb.ListFlowRunsRequest{Flow: f.Flow, UserId: f.UserID, Outcome: f.Outcome, Since: stampOf(f.Since), Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list runs")
	}
	page := &Page[*FlowRun]{Next: got.Cursor}
	for _, one := range got.Runs {
		page.Items = append(page.Items, flowRunOf(one))
	}
	return page, nil
}

// FlowRuns lists runs, the newest first, without jobs, asking for pages as they are needed.
func (c *Client) FlowRuns(ctx context.Context, f FlowRunFilter) iter.Seq2[*FlowRun, error] {
	return all(func(cursor string) (*Page[*FlowRun], error) {
		f.Cursor = cursor
		return c.FlowRunsPage(ctx, f)
	}, f.Cursor)
}

// CancelFlowRun cancels what has not ended of a run, and reports whether there was something. [ErrNotFound].
func (c *Client) CancelFlowRun(ctx context.Context, run, reason string) (bool, error) {
	got, err := c.flows().CancelFlowRun(ctx, &pb.CancelFlowRunRequest{Run: run, Reason: reason})
	if err != nil {
		return false, wrap(ctx, err, "cancel a run")
	}
	return got.Cancelled, nil
}

// ResumeFlowRun has a run that has ended go on. Without another text, what failed, was blocked or cancelled runs again; with one, a new revision begins, in which steps that ended with
// success, or were skipped by themselves, stay as they are. [ErrNotFound]; [ErrConflict]: it has not ended; [ErrInvalid].
func (c *Client) ResumeFlowRun(ctx context.Context, r FlowResume) (*FlowRun, error) {
	return flowRunAnswer(ctx, "resume a run")(c.flows().ResumeFlowRun(ctx, &pb.ResumeFlowRunRequest{Run: r.Run, Flow: r.Flow, Version: int32(r.Version), Name: r.Name, Text: string(r.Text)}))
}

// RestartFlowRun begins another run of the flow of a run, with its values; runID is its id, empty: it is made. [ErrNotFound].
func (c *Client) RestartFlowRun(ctx context.Context, run, runID string) (*FlowRun, error) {
	return flowRunAnswer(ctx, "restart a run")(c.flows().RestartFlowRun(ctx, &pb.RestartFlowRunRequest{Run: run, RunId: runID}))
}

func flowAnswer(ctx context.Context, what string) func(*pb.Flow, error) (*Flow, error) {
	return func(got *pb.Flow, err error) (*Flow, error) {
		if err != nil {
			return nil, wrap(ctx, err, "%s", what)
		}
		return flowOf(got), nil
	}
}

func flowOf(f *pb.Flow) *Flow {
	return &Flow{ID: f.Id, Version: int(f.Version), SHA256: hex.EncodeToString(f.Sha256), Text: f.Text, UserID: f.UserId, CreatedBy: f.CreatedBy, CreatedAt: at(f.CreatedAt), Fresh: f.Fresh,
		Versions: int(f.Versions), Warnings: f.Warnings, Bundle: f.Bundle}
}

func flowRunAnswer(ctx context.Context, what string) func(*pb.FlowRun, error) (*FlowRun, error) {
	return func(got *pb.FlowRun, err error) (*FlowRun, error) {
		if err != nil {
			return nil, wrap(ctx, err, "%s", what)
		}
		return flowRunOf(got), nil
	}
}

func flowRunOf(r *pb.FlowRun) *FlowRun {
	out := &FlowRun{FlowID: r.FlowId, RunID: r.RunId, TreeID: r.TreeId, Revision: int(r.Revision), Outcome: r.Outcome, Version: int(r.Version), SHA256: hex.EncodeToString(r.Sha256), UserID: r.UserId,
		CreatedBy: r.CreatedBy, CreatedAt: at(r.CreatedAt), Env: r.Env, Params: r.Params, Set: r.Set, Profiles: r.Profiles, Job: r.Job, NoDeps: r.NoDeps, JobOutputs: r.JobOutputs, Jobs: r.Jobs, Truncated: r.Truncated, Existing: r.Existing, Warnings: r.Warnings, Bundle: runBundleOf(r.Bundle), Stale: r.Bundle.GetStale(),
		RegisteredProfiles: r.RegisteredProfiles}
	if r.Schedule != nil {
		out.Schedule = &FlowRunSchedule{r.Schedule.Id, at(r.Schedule.FireTime)}
	}
	if r.Priority != nil {
		out.Priority = new(int(*r.Priority))
	}
	for _, one := range r.Revisions {
		out.Revisions = append(out.Revisions, FlowRevision{int(one.Revision), one.TreeId, one.Outcome, int(one.Version), hex.EncodeToString(one.Sha256), one.CreatedBy, at(one.CreatedAt)})
	}
	return out
}
