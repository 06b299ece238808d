package jsonrpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// scheduleParams are a schedule as it is sent.
type scheduleParams struct {
	ID           string            `json:"id" required:"true" description:"its name in the namespace, at most 255 bytes"`
	Description  string            `json:"description,omitempty" description:"for people, at most 1000 bytes"`
	Cron         string            `json:"cron,omitempty" description:"five fields of a crontab, or @hourly, @daily, …; one of cron, every and on"`
	Every        string            `json:"every,omitempty" description:"seconds, or as 1h30m, from start_at, else from the creation"`
	On           *scheduleOn       `json:"on,omitempty" description:"what begins runs in place of time"`
	Timezone     string            `json:"timezone,omitempty" description:"a time zone of IANA's database; default UTC"`
	Tree         json.RawMessage   `json:"tree,omitempty" description:"what runs, or flow does; a list of tasks, a task, or a tree file, as an object or as its text; in tasks with template: true, {{schedule.fire_time}} and the like name the run"`
	Flow         *scheduleFlow     `json:"flow,omitempty" description:"a registered flow, in place of tree"`
	Parameters   json.RawMessage   `json:"parameters,omitempty" description:"an object that templates name as parameters; its strings may name schedule"`
	Overlap      string            `json:"overlap,omitempty" description:"while a run is open: skip (the default), queue_one, allow or cancel_other"`
	MisfireGrace string            `json:"misfire_grace,omitempty" description:"how late an instant may still run; default 300"`
	Coalesce     *bool             `json:"coalesce,omitempty" description:"of several late instants only the latest runs; default true"`
	Jitter       string            `json:"jitter,omitempty" description:"each run starts later by up to so much"`
	StartAt      string            `json:"start_at,omitempty" description:"no instant before"`
	EndAt        string            `json:"end_at,omitempty" description:"no instant then or after"`
	MaxRuns      int               `json:"max_runs,omitempty" description:"so many runs by instants; default any number"`
	AfterSuccess bool              `json:"after_success,omitempty" description:"a run waits until the one before has succeeded"`
	Due          string            `json:"due,omitempty" description:"2h after the instant, or 06:00: what has not ended then is late"`
	Paused       *bool             `json:"paused,omitempty" description:"runs begin when somebody triggers them only; default: as it is; a new one is not"`
	UserID       string            `json:"user_id,omitempty" description:"whose trees the runs are"`
	Labels       map[string]string `json:"labels,omitempty" description:"of the trees"`
	Retention    string            `json:"retention,omitempty" description:"how long the trees are kept once they have ended, as 30d, or keep; default: as they say"`
	Owner        *string           `json:"owner,omitempty" description:"who keeps it in files: 1 to 63 letters, digits, -, _, . and /; empty: nobody; default: as it is"`
}

type scheduleFlow struct {
	ID       string            `json:"id" required:"true"`
	Version  int               `json:"version,omitempty" description:"default: the newest, as each run begins"`
	Job      string            `json:"job,omitempty" description:"that runs, with those that it needs; default: all"`
	Params   json.RawMessage   `json:"params,omitempty" description:"an object, whose strings may name schedule; not in lists"`
	Env      map[string]string `json:"env,omitempty" description:"literal values, none of secrets; not in lists"`
	Priority *int              `json:"priority,omitempty" description:"0 to 3; default: the flow's"`
	Timeout  float64           `json:"timeout_seconds,omitempty" description:"of a run; default: as the flow says"`

	NoDeps     bool     `json:"no_deps,omitempty" description:"the job runs alone: those that it needs count as if they had run with success"`
	JobOutputs []string `json:"job_outputs,omitempty" description:"JOB.KEY=VALUE, what these have given then: JSON, else text; not in lists"`
}

type scheduleOn struct {
	Schedule string           `json:"schedule,omitempty" description:"runs of that schedule end"`
	Outcome  []string         `json:"outcome,omitempty" description:"completed (the default), failed, cancelled, any"`
	Webhook  *scheduleWebhook `json:"webhook,omitempty" description:"somebody calls it, in place of schedule"`
}

type scheduleWebhook struct {
	Parameters map[string]string `json:"parameters,omitempty" description:"of the run, by where they are in the payload, as report.day; none: all of it"`
	Tolerance  string            `json:"tolerance,omitempty" description:"by how much the time of a call may be another than the cluster's; default 5m"`
}

type scheduleSecretParams struct {
	scheduleIDParams
	Secret string `json:"secret,omitempty" description:"whsec_ and base64 of 24 to 64 bytes, as whoever calls has it; default: a new one is made"`
	Keep   int    `json:"keep,omitempty" description:"seconds for which the secret before counts as well; default 86400, at most 2592000"`
}

type secretObject struct {
	ID     string   `json:"id" description:"of the schedule"`
	Secret string   `json:"secret,omitempty" description:"that was made; it is not shown again"`
	Path   string   `json:"path" description:"of the HTTP listener: where the webhook is called"`
	URL    string   `json:"url,omitempty" description:"the same as a whole, if the coordinator knows by which name it is reached"`
	At     *isoTime `json:"at"`
	Until  *isoTime `json:"until,omitempty" description:"until then the secret before counts as well"`
}

// previewParams have a schedule looked at only.
type previewParams struct {
	Preview bool     `json:"preview,omitempty" description:"nothing is stored"`
	Beside  []string `json:"beside,omitempty" description:"of a preview: ids of schedules that are to be there, too, as on may name them; at most 1000"`
	Flows   []string `json:"beside_flows,omitempty" description:"of a preview: ids of flows that are to be there, too, or to have other texts; at most 1000"`
}

// scheduleCreateParams are the parameters of schedules.create.
type scheduleCreateParams struct {
	scheduleParams
	previewParams
}

// scheduleUpdateParams are the parameters of schedules.update.
type scheduleUpdateParams struct {
	scheduleParams
	previewParams
	Revision int `json:"revision,omitempty" description:"that the schedule has; default whatever it has"`
}

type scheduleIDParams struct {
	ID string `json:"id" required:"true"`
}

type scheduleDeleteParams struct {
	scheduleIDParams
	Revision int `json:"revision,omitempty" description:"that the schedule has, else it stays; default: whatever"`
}

type schedulePauseParams struct {
	scheduleIDParams
	Reason string `json:"reason,omitempty" description:"why, at most 1000 bytes"`
}

type schedulesListParams struct {
	UserID string `json:"user_id,omitempty" description:"of this owner only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

type scheduleTriggerParams struct {
	scheduleIDParams
	Parameters     json.RawMessage `json:"parameters,omitempty" description:"an object, laid over the schedule's"`
	Overlap        string          `json:"overlap,omitempty" description:"for this run; default allow"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" description:"a second trigger with it is answered by the first one's run"`
}

type scheduleBackfillParams struct {
	scheduleIDParams
	From          string          `json:"from" required:"true" description:"the first instant is then or later"`
	To            string          `json:"to" required:"true" description:"the last one is before"`
	MaxConcurrent int             `json:"max_concurrent,omitempty" description:"runs at once; default 1, at most 100"`
	Parameters    json.RawMessage `json:"parameters,omitempty" description:"an object, laid over the schedule's"`
}

type scheduleRunsParams struct {
	scheduleIDParams
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// scheduleObject is a schedule as shown.
type scheduleObject struct {
	scheduleParams
	Revision    int      `json:"revision"`
	CreatedBy   string   `json:"created_by,omitempty"`
	CreatedAt   *isoTime `json:"created_at"`
	UpdatedBy   string   `json:"updated_by,omitempty"`
	UpdatedAt   *isoTime `json:"updated_at"`
	PausedBy    string   `json:"paused_by,omitempty"`
	PausedAt    *isoTime `json:"paused_at,omitempty"`
	PauseReason string   `json:"pause_reason,omitempty"`
	Next        *isoTime `json:"next,omitempty" description:"its next instant; absent: none is to come by time"`
	Runs        int      `json:"runs" description:"that instants have started"`
	WebhookPath string   `json:"webhook_path,omitempty" description:"of the HTTP listener: where its webhook is called"`
	WebhookURL  string   `json:"webhook_url,omitempty" description:"the same as a whole, if the coordinator knows by which name it is reached"`
	SecretAt    *isoTime `json:"secret_at,omitempty" description:"when the newest secret of the webhook was made; absent: there is none, and nobody can call it"`
	SecretUntil *isoTime `json:"secret_until,omitempty" description:"until then the secret before counts as well"`
}

type schedulePage struct {
	Schedules  []scheduleObject `json:"schedules"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

type backfillObject struct {
	Backfill int64 `json:"backfill" description:"its number, which its runs have"`
	Instants int   `json:"instants" description:"in the range"`
}

// runObject is a run, or instants that had none.
type runObject struct {
	Schedule      string   `json:"schedule"`
	Kind          string   `json:"kind" description:"instant, trigger, backfill or event"`
	FireTime      *isoTime `json:"fire_time"`
	IntervalStart *isoTime `json:"interval_start,omitempty"`
	Status        string   `json:"status" description:"queued, due, running, completed, failed, cancelled, missed, skipped or failed_to_start"`
	Reason        string   `json:"reason,omitempty" description:"why it has no tree"`
	TreeID        string   `json:"tree_id,omitempty"`
	FlowID        string   `json:"flow_id,omitempty" description:"of its run of a flow"`
	FlowVersion   int      `json:"flow_version,omitempty" description:"likewise"`
	RunID         string   `json:"run_id,omitempty" description:"likewise"`
	Backfill      int64    `json:"backfill,omitempty"`
	Until         *isoTime `json:"until,omitempty" description:"of many instants that were missed: the last"`
	Count         int      `json:"count"`
	Due           *isoTime `json:"due,omitempty"`
	Late          bool     `json:"late,omitempty"`
	DecidedAt     *isoTime `json:"decided_at,omitempty"`
	StartedAt     *isoTime `json:"started_at,omitempty"`
	EndedAt       *isoTime `json:"ended_at,omitempty"`
}

type runPage struct {
	Runs       []runObject `json:"runs"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

// schedulerMethods are those of /system that keep schedules; all are ours.
func schedulerMethods() []Method {
	missing := []string{"Schedule <id> not found"}
	return []Method{
		{Name: "schedules.create", Path: "/system", Ours: true, Params: scheduleCreateParams{}, Result: scheduleObject{}, Errors: []string{"cron: …", "tree[0].inputs: …"},
			Summary: "Stores a schedule. All that is wrong with it is told at once, its tree included. A preview stores nothing, and is answered by the schedule as it would be, of revision 0."},
		{Name: "schedules.get", Path: "/system", Ours: true, Params: scheduleIDParams{}, Result: scheduleObject{}, Errors: missing, Summary: "Shows a schedule."},
		{Name: "schedules.list", Path: "/system", Ours: true, Params: schedulesListParams{}, Result: schedulePage{}, Summary: "Lists schedules by id, without their trees and parameters."},
		{Name: "schedules.update", Path: "/system", Ours: true, Params: scheduleUpdateParams{}, Result: scheduleObject{}, Errors: missing,
			Summary: "Puts a schedule in the place of the one of its id. What has run stays, and so do instants that have passed; its pause stays unless paused is said. A preview changes nothing."},
		{Name: "schedules.pause", Path: "/system", Ours: true, Params: schedulePauseParams{}, Result: scheduleObject{}, Errors: missing,
			Summary: "Stops the start of runs, but for those that are triggered. What runs goes on."},
		{Name: "schedules.resume", Path: "/system", Ours: true, Params: scheduleIDParams{}, Result: scheduleObject{}, Errors: missing, Summary: "Lets runs start again, from the next instant on."},
		{Name: "schedules.trigger", Path: "/system", Ours: true, Params: scheduleTriggerParams{}, Result: runObject{}, Errors: missing, Summary: "Begins a run now, also of a paused schedule."},
		{Name: "schedules.backfill", Path: "/system", Ours: true, Params: scheduleBackfillParams{}, Result: backfillObject{}, Errors: missing,
			Summary: "Has the instants of a range run, whatever became of them before."},
		{Name: "schedules.delete", Path: "/system", Ours: true, Params: scheduleDeleteParams{}, Result: taken{}, Errors: missing, Summary: "Deletes a schedule and what is known of its runs, whose trees go on."},
		{Name: "schedules.secret", Path: "/system", Ours: true, Params: scheduleSecretParams{}, Result: secretObject{}, Errors: missing,
			Summary: "Gives the webhook of a schedule another secret, and shows it, once. Without one, nobody can call it."},
		{Name: "schedules.runs", Path: "/system", Ours: true, Params: scheduleRunsParams{}, Result: runPage{}, Errors: missing, Summary: "Lists runs, and instants that had none, the latest first."},
	}
}

// schedulerAnswers answer them.
func (h *Handler) schedulerAnswers() map[string]method {
	return map[string]method{
		"schedules.create": h.scheduleCreate, "schedules.get": h.scheduleGet, "schedules.list": h.schedulesList, "schedules.update": h.scheduleUpdate, "schedules.pause": h.schedulePause,
		"schedules.resume": h.scheduleResume, "schedules.trigger": h.scheduleTrigger, "schedules.backfill": h.scheduleBackfill, "schedules.delete": h.scheduleDelete, "schedules.runs": h.scheduleRuns,
		"schedules.secret": h.scheduleSecret,
	}
}

// spec reads a schedule, all of whose faults the service tells with those of its tree. Members that are no part of it are taken out before.
func (p *params) spec(beside ...string) (*scheduledoc.Spec, error) {
	beside = append(beside, "owner", "preview", "beside", "beside_flows")
	var owner *string
	if p.given("owner") {
		owner = new(p.text("owner"))
	}
	preview, also, flows := p.flag("preview", false), p.list("beside"), p.list("beside_flows")
	if len(flows) > scheduledoc.MaxBeside {
		p.refuse("beside_flows", "at most 1000 ids")
	}
	if len(also) > scheduledoc.MaxBeside {
		p.refuse("beside", "at most 1000 ids")
	}
	if p.err != nil {
		return nil, p.err
	}
	members := map[string]json.RawMessage{}
	for name, raw := range p.values {
		members[name] = raw
	}
	for _, name := range beside {
		delete(members, name)
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	spec, faults := scheduledoc.Decode(raw)
	if len(faults) > 0 {
		now := time.Now()
		_, faults = scheduledoc.Read(raw, now, now)
		return nil, &coordinator.ScheduleFaultsError{Faults: faults}
	}
	spec.Owner, spec.Preview, spec.Beside, spec.BesideFlows = owner, preview, also, flows
	return spec, nil
}

func scheduleShown(s *coordinator.ScheduleInfo) scheduleObject {
	out := scheduleObject{scheduleParams: scheduleParams{ID: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters,
		Overlap: s.Overlap, MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, MaxRuns: s.MaxRuns, AfterSuccess: s.AfterSuccess, Due: s.Due, Paused: s.Paused, UserID: s.UserID,
		Labels: s.Labels, Retention: s.Retention, Owner: s.Owner},
		Revision: s.Revision, CreatedBy: s.CreatedBy, CreatedAt: timeOf(&s.CreatedAt), UpdatedBy: s.UpdatedBy, UpdatedAt: timeOf(&s.UpdatedAt), PausedBy: s.PausedBy, PausedAt: timeOf(&s.PausedAt),
		PauseReason: s.PauseReason, Next: timeOf(&s.Next), Runs: s.Runs, WebhookPath: s.WebhookPath, WebhookURL: s.WebhookURL, SecretAt: timeOf(&s.SecretAt), SecretUntil: timeOf(&s.SecretUntil)}
	if s.On != nil {
		out.On = &scheduleOn{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = &scheduleWebhook{hook.Parameters, string(hook.Tolerance)}
		}
	}
	if f := s.Flow; f != nil {
		out.Flow = &scheduleFlow{f.ID, f.Version, f.Job, f.Params, f.Env, f.Priority, f.Timeout, f.NoDeps, f.JobOutputs}
	}
	if s.StartAt != nil {
		out.StartAt = s.StartAt.Format(time.RFC3339Nano)
	}
	if s.EndAt != nil {
		out.EndAt = s.EndAt.Format(time.RFC3339Nano)
	}
	return out
}

func runShown(r *coordinator.ScheduleRun) runObject {
	return runObject{Schedule: r.Schedule, Kind: r.Kind, FireTime: timeOf(&r.FireTime), IntervalStart: timeOf(&r.IntervalStart), Status: r.Status, Reason: r.Reason, TreeID: r.TreeID, FlowID: r.FlowID, FlowVersion: r.FlowVersion, RunID: r.RunID,
		Backfill: r.Backfill, Until: timeOf(&r.Until), Count: r.Count, Due: timeOf(&r.Due), Late: r.Late, DecidedAt: timeOf(&r.DecidedAt), StartedAt: timeOf(&r.StartedAt), EndedAt: timeOf(&r.EndedAt)}
}

// scheduleAnswer is the answer that is a schedule.
func scheduleAnswer(id string, s *coordinator.ScheduleInfo, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	return appendJSON(nil, scheduleShown(s)), nil
}

func (h *Handler) scheduleCreate(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec, err := p.spec()
	if err != nil {
		return nil, err
	}
	s, err := x.svc.CreateSchedule(ctx, *spec)
	return scheduleAnswer(spec.ID, s, err)
}

func (h *Handler) scheduleUpdate(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	revision := p.number("revision", 0, 0, 1<<31-1)
	if p.err != nil {
		return nil, p.err
	}
	spec, err := p.spec("revision")
	if err != nil {
		return nil, err
	}
	s, err := x.svc.UpdateSchedule(ctx, *spec, revision)
	return scheduleAnswer(spec.ID, s, err)
}

// ofSchedule reads what names a schedule, and nothing beside it but what the parameters know.
func ofSchedule(raw json.RawMessage, known any, more func(p *params)) (id string, err error) {
	return ofNamed(raw, "id", "the id of a schedule", known, more)
}

func (h *Handler) scheduleGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := ofSchedule(raw, scheduleIDParams{}, nil)
	if err != nil {
		return nil, err
	}
	s, err := x.svc.GetSchedule(ctx, id)
	return scheduleAnswer(id, s, err)
}

func (h *Handler) schedulePause(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var reason string
	id, err := ofSchedule(raw, schedulePauseParams{}, func(p *params) { reason = p.text("reason") })
	if err != nil {
		return nil, err
	}
	s, err := x.svc.PauseSchedule(ctx, id, reason)
	return scheduleAnswer(id, s, err)
}

func (h *Handler) scheduleResume(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	id, err := ofSchedule(raw, scheduleIDParams{}, nil)
	if err != nil {
		return nil, err
	}
	s, err := x.svc.ResumeSchedule(ctx, id)
	return scheduleAnswer(id, s, err)
}

func (h *Handler) schedulesList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.ScheduleFilter{UserID: p.text("user_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(schedulesListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Schedules(ctx, f)
	if err != nil {
		return nil, err
	}
	out := schedulePage{Schedules: []scheduleObject{}, NextCursor: page.Next}
	for _, s := range page.Items {
		out.Schedules = append(out.Schedules, scheduleShown(s))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) scheduleTrigger(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var t coordinator.ScheduleTrigger
	id, err := ofSchedule(raw, scheduleTriggerParams{}, func(p *params) {
		t.Parameters, t.Overlap, t.IdempotencyKey = p.values["parameters"], p.text("overlap"), p.text("idempotency_key")
	})
	if err != nil {
		return nil, err
	}
	t.ID = id
	run, err := x.svc.TriggerSchedule(ctx, t)
	if err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	return appendJSON(nil, runShown(run)), nil
}

func (h *Handler) scheduleBackfill(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var b coordinator.ScheduleBackfill
	id, err := ofSchedule(raw, scheduleBackfillParams{}, func(p *params) {
		b.From, b.To, b.MaxConcurrent, b.Parameters = p.time("from"), p.time("to"), p.number("max_concurrent", 0, 1, 100), p.values["parameters"]
	})
	if err != nil {
		return nil, err
	}
	b.ID = id
	done, err := x.svc.BackfillSchedule(ctx, b)
	if err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	return appendJSON(nil, backfillObject{done.Key, done.Instants}), nil
}

func (h *Handler) scheduleSecret(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	r := coordinator.SecretRenewal{Keep: coordinator.DefaultSecretKeep}
	id, err := ofSchedule(raw, scheduleSecretParams{}, func(p *params) {
		r.Secret = p.text("secret")
		r.Keep = time.Duration(p.number("keep", int(r.Keep/time.Second), 0, int(coordinator.MaxSecretKeep/time.Second))) * time.Second
	})
	if err != nil {
		return nil, err
	}
	r.ID = id
	s, err := x.svc.RenewScheduleSecret(ctx, r)
	if err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	return appendJSON(nil, secretObject{id, s.Secret, s.Path, s.URL, timeOf(&s.At), timeOf(&s.Until)}), nil
}

func (h *Handler) scheduleDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var revision int32
	id, err := ofSchedule(raw, scheduleDeleteParams{}, func(p *params) { revision = p.revision() })
	if err != nil {
		return nil, err
	}
	if err := x.svc.DeleteSchedule(ctx, id, int(revision)); err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func (h *Handler) scheduleRuns(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var f coordinator.ScheduleRunFilter
	id, err := ofSchedule(raw, scheduleRunsParams{}, func(p *params) { f.Limit, f.Cursor = p.number("limit", 0, 0, 1000), p.text("cursor") })
	if err != nil {
		return nil, err
	}
	f.ID = id
	page, err := x.svc.ScheduleRuns(ctx, f)
	if err != nil {
		return nil, named404(err, "Schedule "+id+" not found")
	}
	out := runPage{Runs: []runObject{}, NextCursor: page.Next}
	for _, r := range page.Items {
		out.Runs = append(out.Runs, runShown(r))
	}
	return appendJSON(nil, out), nil
}
