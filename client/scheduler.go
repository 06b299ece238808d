package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Schedule says when runs begin, what becomes of runs that meet, and which tree or flow each run is. What begins runs is one of Cron, Every and On. Texts of times are seconds, or as
// 1h30m.
type Schedule struct {
	ID           string            `json:"id"`
	Description  string            `json:"description,omitempty"`
	Cron         string            `json:"cron,omitempty"`  // five fields, or a short form as @daily
	Every        string            `json:"every,omitempty"` // from StartAt, else from the creation
	On           *ScheduleOn       `json:"on,omitempty"`
	Timezone     string            `json:"timezone,omitempty"`   // in IANA's database; empty: UTC
	Tree         json.RawMessage   `json:"tree,omitempty"`       // JSON: a list of tasks, a task, or a tree file, as an object or a string with its text; lists leave it out
	Flow         *ScheduleFlow     `json:"flow,omitempty"`       // a registered flow, in place of Tree
	Parameters   json.RawMessage   `json:"parameters,omitempty"` // an object; lists leave it out
	Overlap      string            `json:"overlap,omitempty"`    // skip (the default), queue_one, allow, cancel_other
	MisfireGrace string            `json:"misfire_grace,omitempty"`
	Coalesce     *bool             `json:"coalesce,omitempty"` // nil: true
	Jitter       string            `json:"jitter,omitempty"`
	StartAt      *time.Time        `json:"start_at,omitempty"`
	EndAt        *time.Time        `json:"end_at,omitempty"` // not included
	MaxRuns      int               `json:"max_runs,omitempty"`
	AfterSuccess bool              `json:"after_success,omitempty"` // a run waits until the one before has succeeded
	Due          string            `json:"due,omitempty"`           // a time after the instant as 2h, or of the day as 06:00
	Paused       *bool             `json:"paused,omitempty"`        // nil: as it is; a new one is not
	UserID       string            `json:"user_id,omitempty"`       // whose trees the runs are
	Labels       map[string]string `json:"labels,omitempty"`        // of the trees
	Retention    string            `json:"retention,omitempty"`     // how long the trees are kept once they have ended, as 30d, or keep; empty: as they say
	Owner        *string           `json:"owner,omitempty"`         // who keeps it in files: 1 to 63 letters, digits, -, _, . and /; empty: nobody, nil: as it is, or as it was shown: nobody
}

// IsPaused reports whether the schedule is said to be paused.
func (s *Schedule) IsPaused() bool { return s.Paused != nil && *s.Paused }

// ScheduleFlow is a registered flow that each run of a schedule is a run of, and what it is given.
type ScheduleFlow struct {
	ID       string            `json:"id"`
	Version  int               `json:"version,omitempty"` // 0: the newest, as each run begins
	Job      string            `json:"job,omitempty"`     // that runs, with those that it needs; empty: all
	Params   json.RawMessage   `json:"params,omitempty"`  // an object, whose strings may name the run; lists leave it out
	Env      map[string]string `json:"env,omitempty"`     // literal values, none of secrets; lists leave it out
	Priority *int              `json:"priority,omitempty"`
	Timeout  float64           `json:"timeout_seconds,omitempty"` // of a run; 0: as the flow says

	NoDeps     bool     `json:"no_deps,omitempty"`     // the job runs alone: those that it needs count as if they had run with success
	JobOutputs []string `json:"job_outputs,omitempty"` // JOB.KEY=VALUE, what these have given then: JSON, else text; lists leave it out
}

// ScheduleOn is what begins runs in place of time.
type ScheduleOn struct {
	Schedule string           `json:"schedule,omitempty"` // runs of that one end
	Outcome  []string         `json:"outcome,omitempty"`  // completed (the default), failed, cancelled, any
	Webhook  *ScheduleWebhook `json:"webhook,omitempty"`  // somebody calls it; nil: none does
}

// ScheduleWebhook says how calls of a schedule's webhook begin runs.
type ScheduleWebhook struct {
	Parameters map[string]string `json:"parameters,omitempty"` // of the run, by where they are in the payload, as report.day; none: all of it
	Tolerance  string            `json:"tolerance,omitempty"`  // by how much the time of a call may be another than the cluster's, as 90 or 5m; empty: 5m
}

// SecretRenewal asks for another secret of a schedule's webhook.
type SecretRenewal struct {
	ID     string         // of the schedule
	Secret string         // "whsec_…", as whoever calls has it; empty: a new one is made
	Keep   *time.Duration // how long the secret before counts as well, at most 30 days; nil: 24 hours
}

// ScheduleSecret is the newest secret of a schedule's webhook. It is shown once.
type ScheduleSecret struct {
	ID     string    `json:"id"`               // of the schedule
	Secret string    `json:"secret,omitempty"` // that was made; empty: the caller has it
	Path   string    `json:"path"`             // of the HTTP listener
	URL    string    `json:"url,omitempty"`    // empty: the coordinator does not know by which name it is reached
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"` // until when the secret before counts as well; zero: there is none that does
}

// ScheduleInfo is a schedule as it is shown.
type ScheduleInfo struct {
	Schedule
	Revision    int       `json:"revision"`
	CreatedBy   string    `json:"created_by,omitempty"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedBy   string    `json:"updated_by,omitempty"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	PausedBy    string    `json:"paused_by,omitempty"`
	PausedAt    time.Time `json:"paused_at,omitzero"` // zero: it is not paused
	PauseReason string    `json:"pause_reason,omitempty"`
	Next        time.Time `json:"next,omitzero"` // its next instant; zero: none is to come by time
	Runs        int       `json:"runs"`          // that instants have started

	WebhookPath string    `json:"webhook_path,omitempty"` // of the HTTP listener; empty: it has no webhook
	WebhookURL  string    `json:"webhook_url,omitempty"`  // empty: it has none, or the coordinator does not know by which name it is reached
	SecretAt    time.Time `json:"secret_at,omitzero"`     // when the newest secret of the webhook was made; zero: there is none
	SecretUntil time.Time `json:"secret_until,omitzero"`  // until when the secret before counts as well; zero: not at all
}

// ScheduleFilter selects schedules.
type ScheduleFilter struct {
	UserID string
	Limit  int // of one page; default 100, at most 1000
	Cursor string
}

// ScheduleTrigger is a run that is asked for.
type ScheduleTrigger struct {
	ID             string
	Parameters     json.RawMessage // an object, laid over the schedule's
	Overlap        string          // for this run; empty: allow
	IdempotencyKey string          // a second trigger with it is answered by the first one's run
}

// ScheduleBackfill is a range of instants that is to run.
type ScheduleBackfill struct {
	ID            string          `json:"id"` // of the schedule
	From          time.Time       `json:"from"`
	To            time.Time       `json:"to"`             // not included
	MaxConcurrent int             `json:"max_concurrent"` // runs at once; 0: 1
	Parameters    json.RawMessage `json:"parameters,omitempty"`
	// Of the answer:
	Key      int64 `json:"backfill"` // its number, which its runs have
	Instants int   `json:"instants"` // in the range
}

// ScheduleRun is a run, or instants that had none.
type ScheduleRun struct {
	Schedule      string    `json:"schedule"`
	Kind          string    `json:"kind"` // instant, trigger, backfill, event
	FireTime      time.Time `json:"fire_time"`
	IntervalStart time.Time `json:"interval_start,omitzero"`
	Status        string    `json:"status"` // queued, due, running, completed, failed, cancelled, missed, skipped, failed_to_start
	Reason        string    `json:"reason,omitempty"`
	TreeID        string    `json:"tree_id,omitempty"`
	FlowID        string    `json:"flow_id,omitempty"` // of its run of a flow; empty: its tree is of none, or it has none
	FlowVersion   int       `json:"flow_version,omitempty"`
	RunID         string    `json:"run_id,omitempty"`
	Backfill      int64     `json:"backfill,omitempty"`
	Until         time.Time `json:"until,omitzero"` // of many instants that were missed: the last
	Count         int       `json:"count"`
	Due           time.Time `json:"due,omitzero"`
	Late          bool      `json:"late,omitempty"`
	DecidedAt     time.Time `json:"decided_at,omitzero"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	EndedAt       time.Time `json:"ended_at,omitzero"`
}

// ScheduleRunFilter selects runs.
type ScheduleRunFilter struct {
	ID     string // of the schedule
	Limit  int    // of one page; default 100, at most 1000
	Cursor string
}

// CreateSchedule stores a schedule. [ErrInvalid] tells all that is wrong with it; [ErrConflict]: there is one of that id.
func (c *Client) CreateSchedule(ctx context.Context, s Schedule) (*ScheduleInfo, error) {
	return scheduleAnswer(ctx, "create schedule")(c.schedules().CreateSchedule(ctx, &pb.CreateScheduleRequest{Schedule: s.proto()}))
}

// PreviewSchedule is what CreateSchedule (if is is nil) or UpdateSchedule of the schedule that is there would make, with its errors. Nothing is stored. beside are ids of
// schedules that are to be there then, too, as On may name them, and flows are those of flows, as Flow may name them, which are to have other texts: at most 1000 of each.
func (c *Client) PreviewSchedule(ctx context.Context, s Schedule, is *ScheduleInfo, beside []string, flows ...string) (*ScheduleInfo, error) {
	if is == nil {
		return scheduleAnswer(ctx, "create schedule")(c.schedules().CreateSchedule(ctx, &pb.CreateScheduleRequest{Schedule: s.proto(), Preview: true, Beside: beside, BesideFlows: flows}))
	}
	return scheduleAnswer(ctx, "update schedule")(c.schedules().UpdateSchedule(ctx, &pb.UpdateScheduleRequest{Schedule: s.proto(), Revision: int32(is.Revision), Preview: true, Beside: beside, BesideFlows: flows}))
}

// Schedule shows a schedule. [ErrNotFound].
func (c *Client) Schedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	return scheduleAnswer(ctx, "get schedule")(c.schedules().GetSchedule(ctx, &pb.GetScheduleRequest{Id: id}))
}

// SchedulesPage lists one page of schedules by id, without their trees and parameters.
func (c *Client) SchedulesPage(ctx context.Context, f ScheduleFilter) (*Page[*ScheduleInfo], error) {
	got, err := c.schedules().ListSchedules(ctx, &pb.ListSchedulesRequest{UserId: f.UserID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list schedules")
	}
	page := &Page[*ScheduleInfo]{Next: got.Cursor}
	for _, s := range got.Schedules {
		page.Items = append(page.Items, scheduleInfoOf(s))
	}
	return page, nil
}

// Schedules lists schedules by id, without their trees and parameters, asking for pages as they are needed.
func (c *Client) Schedules(ctx context.Context, f ScheduleFilter) iter.Seq2[*ScheduleInfo, error] {
	return all(func(cursor string) (*Page[*ScheduleInfo], error) {
		f.Cursor = cursor
		return c.SchedulesPage(ctx, f)
	}, f.Cursor)
}

// UpdateSchedule puts a schedule in the place of the one of its id, if that has the revision, unless that is 0. Its pause stays if Paused is nil. [ErrNotFound]; [ErrConflict]: it has another one; [ErrInvalid].
func (c *Client) UpdateSchedule(ctx context.Context, s Schedule, revision int) (*ScheduleInfo, error) {
	return scheduleAnswer(ctx, "update schedule")(c.schedules().UpdateSchedule(ctx, &pb.UpdateScheduleRequest{Schedule: s.proto(), Revision: int32(revision)}))
}

// PauseSchedule stops the start of runs, but for those that are triggered. [ErrNotFound].
func (c *Client) PauseSchedule(ctx context.Context, id, reason string) (*ScheduleInfo, error) {
	return scheduleAnswer(ctx, "pause schedule")(c.schedules().PauseSchedule(ctx, &pb.PauseScheduleRequest{Id: id, Reason: reason}))
}

// ResumeSchedule lets runs start again, from the next instant on. [ErrNotFound].
func (c *Client) ResumeSchedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	return scheduleAnswer(ctx, "resume schedule")(c.schedules().ResumeSchedule(ctx, &pb.ResumeScheduleRequest{Id: id}))
}

// TriggerSchedule begins a run now, also of a paused schedule. [ErrNotFound]; [ErrInvalid].
func (c *Client) TriggerSchedule(ctx context.Context, t ScheduleTrigger) (*ScheduleRun, error) {
	run, err := c.schedules().TriggerSchedule(ctx, &pb.TriggerScheduleRequest{Id: t.ID, Parameters: t.Parameters, Overlap: t.Overlap, IdempotencyKey: t.IdempotencyKey})
	if err != nil {
		return nil, wrap(ctx, err, "trigger schedule")
	}
	return scheduleRunOf(run), nil
}

// BackfillSchedule has the instants of a range run, whatever became of them before. [ErrNotFound]; [ErrInvalid].
func (c *Client) BackfillSchedule(ctx context.Context, b ScheduleBackfill) (*ScheduleBackfill, error) {
	got, err := c.schedules().BackfillSchedule(ctx, &pb.BackfillScheduleRequest{Id: b.ID, From: stampOf(b.From), To: stampOf(b.To), MaxConcurrent: int32(b.MaxConcurrent), Parameters: b.Parameters})
	if err != nil {
		return nil, wrap(ctx, err, "backfill schedule")
	}
	b.Key, b.Instants, b.MaxConcurrent, b.Parameters = got.Backfill, int(got.Instants), max(1, b.MaxConcurrent), nil
	return &b, nil
}

// DeleteSchedule deletes a schedule and what is known of its runs, whose trees go on. [ErrNotFound]; [ErrConflict]: another one begins with ends of its runs.
func (c *Client) DeleteSchedule(ctx context.Context, id string) error {
	return c.DeleteScheduleAt(ctx, id, 0)
}

// DeleteScheduleAt is [Client.DeleteSchedule] if the schedule has the revision; 0: whatever it has. [ErrConflict]: it has another one.
func (c *Client) DeleteScheduleAt(ctx context.Context, id string, revision int) error {
	_, err := c.schedules().DeleteSchedule(ctx, &pb.DeleteScheduleRequest{Id: id, Revision: int32(revision)})
	return wrap(ctx, err, "delete schedule")
}

// RenewScheduleSecret gives the webhook of a schedule another secret, and shows it, once. [ErrNotFound]; [ErrConflict]: the schedule has no webhook; [ErrInvalid]: also where there is no key
// to seal it with.
func (c *Client) RenewScheduleSecret(ctx context.Context, r SecretRenewal) (*ScheduleSecret, error) {
	ask := &pb.RenewScheduleSecretRequest{Id: r.ID, Secret: r.Secret}
	if r.Keep != nil {
		ask.Keep = durationpb.New(*r.Keep)
	}
	got, err := c.schedules().RenewScheduleSecret(ctx, ask)
	if err != nil {
		return nil, wrap(ctx, err, "renew the secret of a schedule")
	}
	return &ScheduleSecret{ID: r.ID, Secret: got.Secret, Path: got.Path, URL: got.Url, At: at(got.At), Until: at(got.Until)}, nil
}

// ScheduleRunsPage lists one page of runs, and of instants that had none, the latest first. [ErrNotFound].
func (c *Client) ScheduleRunsPage(ctx context.Context, f ScheduleRunFilter) (*Page[*ScheduleRun], error) {
	got, err := c.schedules().ListScheduleRuns(ctx, &pb.ListScheduleRunsRequest{Id: f.ID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list runs of schedule %s", f.ID)
	}
	page := &Page[*ScheduleRun]{Next: got.Cursor}
	for _, r := range got.Runs {
		page.Items = append(page.Items, scheduleRunOf(r))
	}
	return page, nil
}

// ScheduleRuns lists runs, and instants that had none, the latest first, asking for pages as they are needed. [ErrNotFound].
func (c *Client) ScheduleRuns(ctx context.Context, f ScheduleRunFilter) iter.Seq2[*ScheduleRun, error] {
	return all(func(cursor string) (*Page[*ScheduleRun], error) {
		f.Cursor = cursor
		return c.ScheduleRunsPage(ctx, f)
	}, f.Cursor)
}

func scheduleAnswer(ctx context.Context, what string) func(*pb.ScheduleInfo, error) (*ScheduleInfo, error) {
	return func(got *pb.ScheduleInfo, err error) (*ScheduleInfo, error) {
		if err != nil {
			return nil, wrap(ctx, err, "%s", what)
		}
		return scheduleInfoOf(got), nil
	}
}

func (s *Schedule) proto() *pb.Schedule {
	out := &pb.Schedule{Id: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters, Overlap: s.Overlap,
		MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, MaxRuns: int32(s.MaxRuns), AfterSuccess: s.AfterSuccess, Due: s.Due, Paused: s.Paused, UserId: s.UserID, Labels: s.Labels, Retention: s.Retention, Owner: s.Owner}
	if s.StartAt != nil {
		out.StartAt = stampOf(*s.StartAt)
	}
	if s.EndAt != nil {
		out.EndAt = stampOf(*s.EndAt)
	}
	if f := s.Flow; f != nil {
		out.Flow = &pb.ScheduleFlow{Id: f.ID, Version: int32(f.Version), Job: f.Job, Params: f.Params, Env: f.Env, TimeoutSeconds: f.Timeout, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs}
		if f.Priority != nil {
			out.Flow.Priority = new(int32(*f.Priority))
		}
	}
	if s.On != nil {
		out.On = &pb.ScheduleOn{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = &pb.ScheduleWebhook{Parameters: hook.Parameters, Tolerance: hook.Tolerance}
		}
	}
	return out
}

func scheduleInfoOf(got *pb.ScheduleInfo) *ScheduleInfo {
	s := got.GetSchedule()
	out := &ScheduleInfo{Schedule: Schedule{ID: s.GetId(), Description: s.GetDescription(), Cron: s.GetCron(), Every: s.GetEvery(), Timezone: s.GetTimezone(), Tree: s.GetTree(),
		Parameters: s.GetParameters(), Overlap: s.GetOverlap(), MisfireGrace: s.GetMisfireGrace(), Jitter: s.GetJitter(), MaxRuns: int(s.GetMaxRuns()), AfterSuccess: s.GetAfterSuccess(),
		Due: s.GetDue(), UserID: s.GetUserId(), Labels: s.GetLabels(), Retention: s.GetRetention()},
		Revision: int(got.Revision), CreatedBy: got.CreatedBy, CreatedAt: at(got.CreatedAt), UpdatedBy: got.UpdatedBy, UpdatedAt: at(got.UpdatedAt), PausedBy: got.PausedBy,
		PausedAt: at(got.PausedAt), PauseReason: got.PauseReason, Next: at(got.Next), Runs: int(got.Runs),
		WebhookPath: got.WebhookPath, WebhookURL: got.WebhookUrl, SecretAt: at(got.SecretAt), SecretUntil: at(got.SecretUntil)}
	if s != nil {
		out.Coalesce, out.Paused, out.Owner = s.Coalesce, s.Paused, s.Owner
	}
	if s.GetStartAt() != nil {
		start := s.StartAt.AsTime()
		out.StartAt = &start
	}
	if s.GetEndAt() != nil {
		end := s.EndAt.AsTime()
		out.EndAt = &end
	}
	if f := s.GetFlow(); f != nil {
		out.Flow = &ScheduleFlow{ID: f.Id, Version: int(f.Version), Job: f.Job, Params: f.Params, Env: f.Env, Timeout: f.TimeoutSeconds, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs}
		if f.Priority != nil {
			out.Flow.Priority = new(int(*f.Priority))
		}
	}
	if on := s.GetOn(); on != nil {
		out.On = &ScheduleOn{Schedule: on.Schedule, Outcome: on.Outcome}
		if hook := on.Webhook; hook != nil {
			out.On.Webhook = &ScheduleWebhook{Parameters: hook.Parameters, Tolerance: hook.Tolerance}
		}
	}
	return out
}

func scheduleRunOf(r *pb.ScheduleRun) *ScheduleRun {
	return &ScheduleRun{Schedule: r.Schedule, Kind: r.Kind, FireTime: at(r.FireTime), IntervalStart: at(r.IntervalStart), Status: r.Status, Reason: r.Reason, TreeID: r.TreeId,
		Backfill: r.Backfill, Until: at(r.Until), Count: int(r.Count), Due: at(r.Due), Late: r.Late, DecidedAt: at(r.DecidedAt), StartedAt: at(r.StartedAt), EndedAt: at(r.EndedAt),
		FlowID: r.FlowId, FlowVersion: int(r.FlowVersion), RunID: r.RunId}
}
