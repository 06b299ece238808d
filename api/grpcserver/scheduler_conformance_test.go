package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

func scheduleOf(s scheduledoc.Spec) client.Schedule {
	out := client.Schedule{ID: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters, Overlap: s.Overlap,
		MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, StartAt: s.StartAt, EndAt: s.EndAt, MaxRuns: s.MaxRuns, AfterSuccess: s.AfterSuccess, Due: s.Due,
		Paused: s.Paused, UserID: s.UserID, Labels: s.Labels, Retention: s.Retention, Owner: s.Owner}
	if f := s.Flow; f != nil {
		out.Flow = (*client.ScheduleFlow)(f)
	}
	if s.On != nil {
		out.On = &client.ScheduleOn{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = &client.ScheduleWebhook{Parameters: hook.Parameters, Tolerance: string(hook.Tolerance)}
		}
	}
	return out
}

func scheduleInfo(s *client.ScheduleInfo, err error) (*coordinator.ScheduleInfo, error) {
	if err != nil {
		return nil, err
	}
	out := &coordinator.ScheduleInfo{Spec: scheduledoc.Spec{ID: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters,
		Overlap: s.Overlap, MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, StartAt: s.StartAt, EndAt: s.EndAt, MaxRuns: s.MaxRuns, AfterSuccess: s.AfterSuccess,
		Due: s.Due, Paused: s.Paused, UserID: s.UserID, Labels: s.Labels, Retention: s.Retention, Owner: s.Owner},
		Revision: s.Revision, CreatedBy: s.CreatedBy, CreatedAt: s.CreatedAt, UpdatedBy: s.UpdatedBy, UpdatedAt: s.UpdatedAt, PausedBy: s.PausedBy, PausedAt: s.PausedAt,
		PauseReason: s.PauseReason, Next: s.Next, Runs: s.Runs, WebhookPath: s.WebhookPath, WebhookURL: s.WebhookURL, SecretAt: s.SecretAt, SecretUntil: s.SecretUntil}
	if f := s.Flow; f != nil {
		out.Flow = (*scheduledoc.Flow)(f)
	}
	if s.On != nil {
		out.On = &scheduledoc.On{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = scheduledoc.NewWebhook(hook.Parameters, hook.Tolerance)
		}
	}
	return out, nil
}

func (r *remote) CreateSchedule(ctx context.Context, spec scheduledoc.Spec) (*coordinator.ScheduleInfo, error) {
	if spec.Preview {
		return scheduleInfo(r.c.PreviewSchedule(ctx, scheduleOf(spec), nil, spec.Beside, spec.BesideFlows...))
	}
	return scheduleInfo(r.c.CreateSchedule(ctx, scheduleOf(spec)))
}

func (r *remote) GetSchedule(ctx context.Context, id string) (*coordinator.ScheduleInfo, error) {
	return scheduleInfo(r.c.Schedule(ctx, id))
}

func (r *remote) Schedules(ctx context.Context, f coordinator.ScheduleFilter) (page coordinator.Page[*coordinator.ScheduleInfo], err error) {
	got, err := r.c.SchedulesPage(ctx, client.ScheduleFilter(f))
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, s := range got.Items {
		one, _ := scheduleInfo(s, nil)
		page.Items = append(page.Items, one)
	}
	return page, nil
}

func (r *remote) UpdateSchedule(ctx context.Context, spec scheduledoc.Spec, revision int) (*coordinator.ScheduleInfo, error) {
	if spec.Preview {
		return scheduleInfo(r.c.PreviewSchedule(ctx, scheduleOf(spec), &client.ScheduleInfo{Revision: revision}, spec.Beside, spec.BesideFlows...))
	}
	return scheduleInfo(r.c.UpdateSchedule(ctx, scheduleOf(spec), revision))
}

func (r *remote) PauseSchedule(ctx context.Context, id, reason string) (*coordinator.ScheduleInfo, error) {
	return scheduleInfo(r.c.PauseSchedule(ctx, id, reason))
}

func (r *remote) ResumeSchedule(ctx context.Context, id string) (*coordinator.ScheduleInfo, error) {
	return scheduleInfo(r.c.ResumeSchedule(ctx, id))
}

func (r *remote) TriggerSchedule(ctx context.Context, t coordinator.ScheduleTrigger) (*coordinator.ScheduleRun, error) {
	run, err := r.c.TriggerSchedule(ctx, client.ScheduleTrigger{ID: t.ID, Parameters: t.Parameters, Overlap: t.Overlap, IdempotencyKey: t.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return (*coordinator.ScheduleRun)(run), nil
}

func (r *remote) BackfillSchedule(ctx context.Context, b coordinator.ScheduleBackfill) (*coordinator.ScheduleBackfill, error) {
	got, err := r.c.BackfillSchedule(ctx, client.ScheduleBackfill{ID: b.ID, From: b.From, To: b.To, MaxConcurrent: b.MaxConcurrent, Parameters: b.Parameters})
	if err != nil {
		return nil, err
	}
	b.Key, b.Instants = got.Key, got.Instants
	return &b, nil
}

func (r *remote) RenewScheduleSecret(ctx context.Context, a coordinator.SecretRenewal) (*coordinator.ScheduleSecret, error) {
	got, err := r.c.RenewScheduleSecret(ctx, client.SecretRenewal{ID: a.ID, Secret: a.Secret, Keep: &a.Keep})
	if err != nil {
		return nil, err
	}
	return &coordinator.ScheduleSecret{Secret: got.Secret, Path: got.Path, URL: got.URL, At: got.At, Until: got.Until}, nil
}

func (r *remote) DeleteSchedule(ctx context.Context, id string, revision int) error {
	return r.c.DeleteScheduleAt(ctx, id, revision)
}

func (r *remote) ScheduleRuns(ctx context.Context, f coordinator.ScheduleRunFilter) (page coordinator.Page[*coordinator.ScheduleRun], err error) {
	got, err := r.c.ScheduleRunsPage(ctx, client.ScheduleRunFilter(f))
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, run := range got.Items {
		page.Items = append(page.Items, (*coordinator.ScheduleRun)(run))
	}
	return page, nil
}
