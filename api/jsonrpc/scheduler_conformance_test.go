package jsonrpc_test

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// shownSchedule and shownRun are schedules and runs of the wire.
type shownSchedule struct {
	scheduledoc.Spec
	Revision    int
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedBy   string    `json:"updated_by"`
	UpdatedAt   time.Time `json:"updated_at"`
	PausedBy    string    `json:"paused_by"`
	PausedAt    time.Time `json:"paused_at"`
	PauseReason string    `json:"pause_reason"`
	Next        time.Time
	Runs        int
	WebhookPath string    `json:"webhook_path"`
	WebhookURL  string    `json:"webhook_url"`
	SecretAt    time.Time `json:"secret_at"`
	SecretUntil time.Time `json:"secret_until"`
}

type shownRun struct {
	Schedule, Kind, Status, Reason string
	FireTime                       time.Time `json:"fire_time"`
	IntervalStart                  time.Time `json:"interval_start"`
	TreeID                         string    `json:"tree_id"`
	Backfill                       int64
	Until                          time.Time
	Count                          int
	Due                            time.Time
	Late                           bool
	DecidedAt                      time.Time `json:"decided_at"`
	StartedAt                      time.Time `json:"started_at"`
	EndedAt                        time.Time `json:"ended_at"`
}

// members are a schedule's as parameters.
func members(spec scheduledoc.Spec) map[string]any {
	raw, err := json.Marshal(spec)
	params := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &params)
	}
	if err != nil {
		panic(err)
	}
	if spec.Preview {
		params["preview"], params["beside"], params["beside_flows"] = true, spec.Beside, spec.BesideFlows
	}
	return params
}

// askSchedule makes a call that is answered by a schedule.
func (r *remote) askSchedule(ctx context.Context, method string, params map[string]any) (*coordinator.ScheduleInfo, error) {
	var got shownSchedule
	if _, err := r.postTo(ctx, "/system", method, params, &got); err != nil {
		return nil, err
	}
	info := coordinator.ScheduleInfo(got)
	return &info, nil
}

func (r *remote) CreateSchedule(ctx context.Context, spec scheduledoc.Spec) (*coordinator.ScheduleInfo, error) {
	return r.askSchedule(ctx, "schedules.create", members(spec))
}

func (r *remote) GetSchedule(ctx context.Context, id string) (*coordinator.ScheduleInfo, error) {
	return r.askSchedule(ctx, "schedules.get", map[string]any{"id": id})
}

func (r *remote) UpdateSchedule(ctx context.Context, spec scheduledoc.Spec, revision int) (*coordinator.ScheduleInfo, error) {
	params := members(spec)
	params["revision"] = revision
	return r.askSchedule(ctx, "schedules.update", params)
}

func (r *remote) PauseSchedule(ctx context.Context, id, reason string) (*coordinator.ScheduleInfo, error) {
	return r.askSchedule(ctx, "schedules.pause", map[string]any{"id": id, "reason": reason})
}

func (r *remote) ResumeSchedule(ctx context.Context, id string) (*coordinator.ScheduleInfo, error) {
	return r.askSchedule(ctx, "schedules.resume", map[string]any{"id": id})
}

func (r *remote) Schedules(ctx context.Context, f coordinator.ScheduleFilter) (page coordinator.Page[*coordinator.ScheduleInfo], err error) {
	var got struct {
		Schedules []shownSchedule
		Next      string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "schedules.list", map[string]any{"user_id": f.UserID, "limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, s := range got.Schedules {
		info := coordinator.ScheduleInfo(s)
		page.Items = append(page.Items, &info)
	}
	return page, nil
}

func (r *remote) TriggerSchedule(ctx context.Context, t coordinator.ScheduleTrigger) (*coordinator.ScheduleRun, error) {
	var got shownRun
	if _, err := r.postTo(ctx, "/system", "schedules.trigger", map[string]any{"id": t.ID, "parameters": t.Parameters, "overlap": t.Overlap, "idempotency_key": t.IdempotencyKey}, &got); err != nil {
		return nil, err
	}
	return got.run(), nil
}

func (s *shownRun) run() *coordinator.ScheduleRun {
	return &coordinator.ScheduleRun{Schedule: s.Schedule, Kind: s.Kind, FireTime: s.FireTime, IntervalStart: s.IntervalStart, Status: s.Status, Reason: s.Reason, TreeID: s.TreeID,
		Backfill: s.Backfill, Until: s.Until, Count: s.Count, Due: s.Due, Late: s.Late, DecidedAt: s.DecidedAt, StartedAt: s.StartedAt, EndedAt: s.EndedAt}
}

func (r *remote) BackfillSchedule(ctx context.Context, b coordinator.ScheduleBackfill) (*coordinator.ScheduleBackfill, error) {
	params := map[string]any{"id": b.ID, "from": b.From, "to": b.To}
	if b.MaxConcurrent != 0 {
		params["max_concurrent"] = b.MaxConcurrent
	}
	var got struct {
		Backfill int64
		Instants int
	}
	if _, err := r.postTo(ctx, "/system", "schedules.backfill", params, &got); err != nil {
		return nil, err
	}
	b.Key, b.Instants = got.Backfill, got.Instants
	return &b, nil
}

func (r *remote) RenewScheduleSecret(ctx context.Context, a coordinator.SecretRenewal) (*coordinator.ScheduleSecret, error) {
	var got struct {
		Secret, Path, URL string
		At, Until         time.Time
	}
	if _, err := r.postTo(ctx, "/system", "schedules.secret", map[string]any{"id": a.ID, "secret": a.Secret, "keep": a.Keep.Seconds()}, &got); err != nil {
		return nil, err
	}
	return &coordinator.ScheduleSecret{Secret: got.Secret, Path: got.Path, URL: got.URL, At: got.At, Until: got.Until}, nil
}

func (r *remote) DeleteSchedule(ctx context.Context, id string, revision int) error {
	_, err := r.postTo(ctx, "/system", "schedules.delete", map[string]any{"id": id, "revision": revision}, &struct{}{})
	return err
}

func (r *remote) ScheduleRuns(ctx context.Context, f coordinator.ScheduleRunFilter) (page coordinator.Page[*coordinator.ScheduleRun], err error) {
	var got struct {
		Runs []*shownRun
		Next string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "schedules.runs", map[string]any{"id": f.ID, "limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, run := range got.Runs {
		page.Items = append(page.Items, run.run())
	}
	return page, nil
}
