package jsonrpc

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
)

type flowApplyParams struct {
	Text    string `json:"text" required:"true" description:"the flow, in YAML"`
	Name    string `json:"name,omitempty" description:"what faults call the text; default flow"`
	UserID  string `json:"user_id,omitempty" description:"whose it is to be, if it is new; default the caller's"`
	Preview bool   `json:"preview,omitempty" description:"nothing is stored"`
	Bundle  string `json:"bundle,omitempty" description:"of its runs, by id: each pins the latest version"`
}

type flowGetParams struct {
	ID      string `json:"id" required:"true"`
	Version int    `json:"version,omitempty" description:"default: the newest"`
}

type flowIDParams struct {
	ID string `json:"id" required:"true"`
}

type flowsListParams struct {
	UserID string `json:"user_id,omitempty" description:"of this owner only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// flowTextParams are the text of a run.
type flowTextParams struct {
	Flow    string `json:"flow,omitempty" description:"the id of a registered flow; or"`
	Text    string `json:"text,omitempty" description:"the flow, in YAML"`
	Version int    `json:"version,omitempty" description:"of a registered flow; default: the newest"`
	Name    string `json:"name,omitempty" description:"what faults call the text; default flow"`
}

// flowGivenParams are what a run is given.
type flowGivenParams struct {
	Env    map[string]string `json:"env,omitempty" description:"values of the flow's environment; none of secrets"`
	Params json.RawMessage   `json:"params,omitempty" description:"an object: values of its parameters"`
	Set    []string          `json:"set,omitempty" description:"the same as NAME=VALUE, as somebody typed them; they go before params"`

	Profiles string `json:"profiles,omitempty" description:"that resources may name, in YAML"`
	Job      string `json:"job,omitempty" description:"that runs, with those that it needs; default: all"`
	Priority *int   `json:"priority,omitempty" description:"of all steps that the flow gives none of their own, from 0 to 3; default: as the flow says"`

	NoDeps     bool     `json:"no_deps,omitempty" description:"the job runs alone: those that it needs count as if they had run with success"`
	JobOutputs []string `json:"job_outputs,omitempty" description:"JOB.KEY=VALUE, what these have given then: JSON, else text"`
}

type flowRunParams struct {
	flowTextParams
	RunID  string `json:"run_id,omitempty" description:"1 to 64 letters, digits, ., _ and -; default: a new one is made"`
	UserID string `json:"user_id,omitempty" description:"whose it is to be; default the caller's"`
	flowGivenParams

	Bundle *runBundleObject `json:"bundle,omitempty" description:"default: that of the registered flow, if it has one"`
}

type flowValidateParams struct {
	flowTextParams
	flowGivenParams
	AsRun     bool `json:"as_run,omitempty" description:"as a run with these values: what has none is an error"`
	StrictEnv bool `json:"strict_env,omitempty" description:"names of the environment without a value, and without a default, are errors, but for secrets"`
	Compat    bool `json:"compat,omitempty" description:"warn of each place where the flow does otherwise than in AetherFlow"`
}

type runIDParams struct {
	Run string `json:"run" required:"true" description:"FLOW/RUN, or RUN where one flow has such a run"`
}

type runCancelParams struct {
	runIDParams
	Reason string `json:"reason,omitempty" description:"why, at most 1000 bytes"`
}

type runResumeParams struct {
	runIDParams
	flowTextParams
}

type runRestartParams struct {
	runIDParams
	RunID string `json:"run_id,omitempty" description:"of the new one; default: it is made"`
}

type runsListParams struct {
	Flow    string   `json:"flow,omitempty" description:"of this flow only"`
	UserID  string   `json:"user_id,omitempty" description:"of this owner only"`
	Outcome string   `json:"outcome,omitempty" description:"RUNNING, SUCCESS, FAILED, CANCELLED"`
	Since   *isoTime `json:"since,omitempty" description:"begun then or later"`
	Limit   int      `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor  string   `json:"cursor,omitempty" description:"of the page before"`
}

// flowReport is what is known of a flow.
type flowReport struct {
	OK       bool        `json:"ok" description:"there are no errors"`
	FlowYAML string      `json:"flow_yaml" description:"what the flow is called"`
	Errors   []flowFault `json:"errors"`
	Warnings []flowFault `json:"warnings"`
	More     int         `json:"more,omitempty" description:"errors and warnings beyond 200 of each"`
}

type flowFault struct {
	Code   string `json:"code"`
	Alias  string `json:"alias,omitempty" description:"what AetherFlow calls it"`
	Loc    string `json:"loc" description:"path in the flow: jobs[1].steps[0].inputs.sql; empty: the flow"`
	Line   int    `json:"line" description:"from 1; 0: the flow as a whole"`
	Column int    `json:"column" description:"in characters, from 1"`
	Msg    string `json:"msg"`
}

// flowObject is a version of a flow as shown.
type flowObject struct {
	ID        string   `json:"id"`
	Version   int      `json:"version" description:"from 1; 0: of a preview"`
	SHA256    string   `json:"sha256,omitempty" description:"of the text"`
	Text      string   `json:"text,omitempty" description:"of flows.get"`
	UserID    string   `json:"user_id,omitempty"`
	CreatedBy string   `json:"created_by,omitempty"`
	CreatedAt *isoTime `json:"created_at,omitempty"`
	Fresh     bool     `json:"fresh,omitempty" description:"of flows.apply: it was stored just now"`
	Versions  int      `json:"versions,omitempty" description:"of flows.get: that are kept"`
	Warnings  []string `json:"warnings,omitempty" description:"of flows.apply"`
	Bundle    string   `json:"bundle,omitempty" description:"of its runs"`
}

type flowPage struct {
	Flows      []flowObject `json:"flows"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// flowRunObject is a run of a flow as shown.
type flowRunObject struct {
	RunID     string            `json:"run_id"`
	FlowID    string            `json:"flow_id"`
	TreeID    string            `json:"tree_id" description:"of the newest revision"`
	Revision  int               `json:"revision" description:"the newest, from 1"`
	Outcome   string            `json:"outcome" description:"RUNNING, SUCCESS, FAILED or CANCELLED"`
	Version   int               `json:"version,omitempty" description:"of the registered flow; absent: it was run by its text"`
	SHA256    string            `json:"sha256,omitempty" description:"of the text"`
	UserID    string            `json:"user_id,omitempty"`
	CreatedBy string            `json:"created_by,omitempty"`
	CreatedAt *isoTime          `json:"created_at,omitempty" description:"of the newest revision"`
	Env       map[string]string `json:"env,omitempty" description:"that it was given; not in lists"`
	Params    json.RawMessage   `json:"params,omitempty" description:"likewise"`
	Set       []string          `json:"set,omitempty" description:"likewise"`
	Profiles  string            `json:"profiles,omitempty" description:"likewise"`
	Job       string            `json:"job,omitempty" description:"likewise"`
	Priority  *int              `json:"priority,omitempty" description:"likewise"`
	NoDeps    bool              `json:"no_deps,omitempty" description:"likewise"`
	Given     []string          `json:"job_outputs,omitempty" description:"likewise"`

	RegisteredProfiles []string `json:"registered_profiles,omitempty" description:"that its resources have: NAME@VERSION; not in lists"`

	Jobs      json.RawMessage  `json:"jobs,omitempty" description:"of runs.get: what each job and its steps have come to"`
	Truncated bool             `json:"truncated,omitempty" description:"some values are left out of jobs, as all would be more than 16 MiB"`
	Revisions []revisionObject `json:"revisions,omitempty" description:"of runs.get, the newest first"`
	Bundle    *runBundleObject `json:"bundle,omitempty" description:"that it pins; not in lists"`
	Existing  bool             `json:"existing,omitempty" description:"nothing was begun: the run was there, or has nothing to run again"`
	Warnings  []string         `json:"warnings,omitempty" description:"of what began"`
	Schedule  *runSchedule     `json:"schedule,omitempty" description:"that it comes from"`
}

type runSchedule struct {
	ID       string   `json:"id"`
	FireTime *isoTime `json:"fire_time"`
}

type revisionObject struct {
	Revision  int      `json:"revision"`
	TreeID    string   `json:"tree_id"`
	Outcome   string   `json:"outcome"`
	Version   int      `json:"version,omitempty"`
	SHA256    string   `json:"sha256,omitempty"`
	CreatedBy string   `json:"created_by,omitempty"`
	CreatedAt *isoTime `json:"created_at"`
}

type flowRunPage struct {
	Runs       []flowRunObject `json:"runs"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// flowMethods are those of /system that keep flows and run them; all are ours.
func flowMethods() []Method {
	noFlow, noRun := []string{"Flow <id> not found"}, []string{"Run <run> not found"}
	return []Method{
		{Name: "flows.validate", Path: "/system", Ours: true, Params: flowValidateParams{}, Result: flowReport{}, Errors: noFlow,
			Summary: "Tells all that is wrong with a YAML flow, by the executors that workers have, and stores nothing."},
		{Name: "flows.apply", Path: "/system", Ours: true, Params: flowApplyParams{}, Result: flowObject{},
			Summary: "Registers a YAML flow under its own id: a new version, unless its text is that of the newest. All that is wrong with it is told at once, and nothing is stored then."},
		{Name: "flows.get", Path: "/system", Ours: true, Params: flowGetParams{}, Result: flowObject{}, Errors: noFlow, Summary: "Shows a version of a flow with its text."},
		{Name: "flows.list", Path: "/system", Ours: true, Params: flowsListParams{}, Result: flowPage{}, Summary: "Lists the newest versions of flows by id, without texts."},
		{Name: "flows.delete", Path: "/system", Ours: true, Params: flowIDParams{}, Result: taken{}, Errors: noFlow, Summary: "Deletes a flow with all its versions. Its runs stay."},
		{Name: "flows.run", Path: "/system", Ours: true, Params: flowRunParams{}, Result: flowRunObject{}, Errors: noFlow,
			Summary: "Begins a run of a flow. The run of the same id, flow and values is answered as it is."},
		{Name: "runs.get", Path: "/system", Ours: true, Params: runIDParams{}, Result: flowRunObject{}, Errors: noRun, Summary: "Shows a run with its jobs, as they are now."},
		{Name: "runs.list", Path: "/system", Ours: true, Params: runsListParams{}, Result: flowRunPage{}, Summary: "Lists runs, the newest first, without jobs, each by its newest revision."},
		{Name: "runs.cancel", Path: "/system", Ours: true, Params: runCancelParams{}, Result: taken{}, Errors: noRun, Summary: "Cancels what has not ended of a run. `success` is false if it had ended."},
		{Name: "runs.resume", Path: "/system", Ours: true, Params: runResumeParams{}, Result: flowRunObject{}, Errors: noRun,
			Summary: "Has a run that has ended go on. Without another text, what failed, was blocked or cancelled runs again; with one, a new revision begins, in which steps that ended with success, or were skipped by themselves, stay as they are."},
		{Name: "runs.restart", Path: "/system", Ours: true, Params: runRestartParams{}, Result: flowRunObject{}, Errors: noRun,
			Summary: "Begins another run of the flow of a run, as its newest revision has it, with its values."},
	}
}

// flowAnswers answer them.
func (h *Handler) flowAnswers() map[string]method {
	return map[string]method{
		"flows.validate": h.flowValidate, "flows.apply": h.flowApply, "flows.get": h.flowGet, "flows.list": h.flowsList, "flows.delete": h.flowDelete, "flows.run": h.flowRun,
		"runs.get": h.runGet, "runs.list": h.runsList, "runs.cancel": h.runCancel, "runs.resume": h.runResume, "runs.restart": h.runRestart,
	}
}

// ofNamed reads what has to name something, and nothing beside it but what the parameters know.
func ofNamed(raw json.RawMessage, name, what string, known any, more func(p *params)) (id string, err error) {
	p, err := named(raw)
	if err != nil {
		return "", err
	}
	if id = p.text(name); id == "" {
		p.refuse(name, what)
	}
	if more != nil {
		more(p)
	}
	p.only(known)
	return id, p.err
}

const maxVersion = 1<<31 - 1

func (h *Handler) flowValidate(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.FlowCheck{Flow: p.text("flow"), Version: p.number("version", 0, 0, maxVersion), Name: p.text("name"), Text: p.file("text"), FlowGiven: p.flowGiven(),
		AsRun: p.flag("as_run", false), StrictEnv: p.flag("strict_env", false), Compat: p.flag("compat", false)}
	p.only(flowValidateParams{})
	if p.err != nil {
		return nil, p.err
	}
	report, err := x.svc.ValidateFlow(ctx, spec)
	if err != nil {
		return nil, named404(err, "Flow "+spec.Flow+" not found")
	}
	return json.Marshal(report)
}

// flowGiven are the parameters that say what a run is given.
func (p *params) flowGiven() coordinator.FlowGiven {
	given := coordinator.FlowGiven{Env: p.texts("env"), Params: p.values["params"], Set: p.strings("set"), Profiles: string(p.file("profiles")), Job: p.text("job"), NoDeps: p.flag("no_deps", false), JobOutputs: p.strings("job_outputs")}
	if p.given("priority") {
		priority := p.number("priority", 0, 0, 3)
		given.Priority = &priority
	}
	return given
}

func (h *Handler) flowApply(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.FlowSpec{Text: p.file("text"), Name: p.text("name"), UserID: p.text("user_id"), Preview: p.flag("preview", false), Bundle: p.text("bundle")}
	if len(spec.Text) == 0 {
		p.refuse("text", "the text of a flow")
	}
	p.only(flowApplyParams{})
	if p.err != nil {
		return nil, p.err
	}
	f, err := x.svc.ApplyFlow(ctx, spec)
	return flowAnswer("", f, err)
}

func (h *Handler) flowGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	version := 0
	id, err := ofNamed(raw, "id", "the id of a flow", flowGetParams{}, func(p *params) { version = p.number("version", 0, 0, maxVersion) })
	if err != nil {
		return nil, err
	}
	f, err := x.svc.Flow(ctx, id, version)
	return flowAnswer(id, f, err)
}

func (h *Handler) flowsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.FlowFilter{UserID: p.text("user_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(flowsListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Flows(ctx, f)
	if err != nil {
		return nil, err
	}
	out := flowPage{Flows: []flowObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		out.Flows = append(out.Flows, flowShown(one))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) flowDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := ofNamed(raw, "id", "the id of a flow", flowIDParams{}, nil)
	if err != nil {
		return nil, err
	}
	if err := x.svc.DeleteFlow(ctx, id); err != nil {
		return nil, named404(err, "Flow "+id+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func (h *Handler) flowRun(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.FlowRunSpec{Bundle: p.runBundle("bundle"), Flow: p.text("flow"), Version: p.number("version", 0, 0, maxVersion), Name: p.text("name"), Text: p.file("text"), RunID: p.text("run_id"), UserID: p.text("user_id"), FlowGiven: p.flowGiven()}
	p.only(flowRunParams{})
	if p.err != nil {
		return nil, p.err
	}
	run, err := x.svc.RunFlow(ctx, spec)
	if err != nil && spec.Flow == "" && spec.Bundle != nil {
		return nil, named404(err, "Bundle "+spec.Bundle.ID+" not found")
	}
	if err != nil {
		return nil, named404(err, "Flow "+spec.Flow+" not found")
	}
	return runAnswer("", run, nil)
}

// strings is a parameter that is an array of strings.
func (p *params) strings(name string) (out []string) {
	if !p.given(name) {
		return nil
	}
	if json.Unmarshal(p.values[name], &out) != nil || len(out) > maxIDs {
		p.refuse(name, "an array of at most 1000 strings")
	}
	return out
}

func (h *Handler) runGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	name, err := ofNamed(raw, "run", "the id of a run, or FLOW/RUN", runIDParams{}, nil)
	if err != nil {
		return nil, err
	}
	run, err := x.svc.FlowRun(ctx, name)
	return runAnswer(name, run, err)
}

func (h *Handler) runsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.FlowRunFilter{Flow: p.text("flow"), UserID: p.text("user_id"), Outcome: p.text("outcome"), Since: p.time("since"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(runsListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.FlowRuns(ctx, f)
	if err != nil {
		return nil, err
	}
	out := flowRunPage{Runs: []flowRunObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		shown, err := flowRunShown(one)
		if err != nil {
			return nil, err
		}
		out.Runs = append(out.Runs, shown)
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) runCancel(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	reason := ""
	name, err := ofNamed(raw, "run", "the id of a run, or FLOW/RUN", runCancelParams{}, func(p *params) { reason = p.text("reason") })
	if err != nil {
		return nil, err
	}
	got, err := x.svc.CancelFlowRun(ctx, name, reason)
	if err != nil {
		return nil, named404(err, "Run "+name+" not found")
	}
	return appendJSON(nil, taken{got.Outcome == coordinator.Cancelled}), nil
}

func (h *Handler) runResume(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var spec coordinator.FlowResume
	name, err := ofNamed(raw, "run", "the id of a run, or FLOW/RUN", runResumeParams{}, func(p *params) {
		spec.Flow, spec.Version, spec.Name, spec.Text = p.text("flow"), p.number("version", 0, 0, maxVersion), p.text("name"), p.file("text")
	})
	if err != nil {
		return nil, err
	}
	spec.Run = name
	run, err := x.svc.ResumeFlowRun(ctx, spec)
	return runAnswer(name, run, err)
}

func (h *Handler) runRestart(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var spec coordinator.FlowRestart
	name, err := ofNamed(raw, "run", "the id of a run, or FLOW/RUN", runRestartParams{}, func(p *params) { spec.RunID = p.text("run_id") })
	if err != nil {
		return nil, err
	}
	spec.Run = name
	run, err := x.svc.RestartFlowRun(ctx, spec)
	return runAnswer(name, run, err)
}

func flowAnswer(id string, f *coordinator.FlowInfo, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, named404(err, "Flow "+id+" not found")
	}
	return appendJSON(nil, flowShown(f)), nil
}

func flowShown(f *coordinator.FlowInfo) flowObject {
	return flowObject{ID: f.ID, Version: f.Version, SHA256: hex.EncodeToString(f.SHA256), Text: string(f.Text), UserID: f.UserID, CreatedBy: f.CreatedBy, CreatedAt: timeOf(&f.CreatedAt),
		Fresh: f.Fresh, Versions: f.Versions, Warnings: f.Warnings, Bundle: f.Bundle}
}

func runAnswer(name string, r *coordinator.FlowRunInfo, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, named404(err, "Run "+name+" not found")
	}
	shown, err := flowRunShown(r)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, shown), nil
}

func flowRunShown(r *coordinator.FlowRunInfo) (out flowRunObject, err error) {
	out = flowRunObject{RunID: r.RunID, FlowID: r.FlowID, TreeID: r.TreeID, Revision: r.Revision, Outcome: r.Outcome, Version: r.Version, SHA256: hex.EncodeToString(r.SHA256), UserID: r.UserID,
		CreatedBy: r.CreatedBy, CreatedAt: timeOf(&r.CreatedAt), Env: r.Given.Env, Params: r.Given.Params, Set: r.Given.Set, Profiles: r.Given.Profiles, Job: r.Given.Job, Priority: r.Given.Priority, NoDeps: r.Given.NoDeps, Given: r.Given.JobOutputs, Truncated: r.Truncated, Existing: r.Existing, Warnings: r.Warnings, Bundle: runBundleShown(r.Bundle),
		RegisteredProfiles: r.Profiles}
	if r.Schedule != nil {
		out.Schedule = &runSchedule{r.Schedule.ID, timeOf(&r.Schedule.FireTime)}
	}
	for _, one := range r.Revisions {
		out.Revisions = append(out.Revisions, revisionObject{one.Revision, one.TreeID, one.Outcome, one.Version, hex.EncodeToString(one.SHA256), one.CreatedBy, timeOf(&one.CreatedAt)})
	}
	if r.Jobs != nil {
		out.Jobs, err = json.Marshal(r.Jobs)
	}
	return out, err
}
