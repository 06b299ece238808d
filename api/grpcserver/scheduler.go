package grpcserver

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) CreateSchedule(ctx context.Context, r *pb.CreateScheduleRequest) (*pb.ScheduleInfo, error) {
	spec, err := previewIn(r.Schedule, r.Preview, r.Beside, r.BesideFlows)
	if err != nil {
		return nil, err
	}
	return scheduleAnswer(h.on(ctx).CreateSchedule(ctx, spec))
}

func (h *handler) GetSchedule(ctx context.Context, r *pb.GetScheduleRequest) (*pb.ScheduleInfo, error) {
	return scheduleAnswer(h.on(ctx).GetSchedule(ctx, r.Id))
}

func (h *handler) ListSchedules(ctx context.Context, r *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Schedules(ctx, coordinator.ScheduleFilter{UserID: r.UserId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListSchedulesResponse{Schedules: convert(page.Items, scheduleInfo), Cursor: page.Next}, nil
}

func (h *handler) UpdateSchedule(ctx context.Context, r *pb.UpdateScheduleRequest) (*pb.ScheduleInfo, error) {
	spec, err := previewIn(r.Schedule, r.Preview, r.Beside, r.BesideFlows)
	if err != nil {
		return nil, err
	}
	return scheduleAnswer(h.on(ctx).UpdateSchedule(ctx, spec, int(r.Revision)))
}

func (h *handler) PauseSchedule(ctx context.Context, r *pb.PauseScheduleRequest) (*pb.ScheduleInfo, error) {
	return scheduleAnswer(h.on(ctx).PauseSchedule(ctx, r.Id, r.Reason))
}

func (h *handler) ResumeSchedule(ctx context.Context, r *pb.ResumeScheduleRequest) (*pb.ScheduleInfo, error) {
	return scheduleAnswer(h.on(ctx).ResumeSchedule(ctx, r.Id))
}

func (h *handler) TriggerSchedule(ctx context.Context, r *pb.TriggerScheduleRequest) (*pb.ScheduleRun, error) {
	run, err := h.on(ctx).TriggerSchedule(ctx, coordinator.ScheduleTrigger{ID: r.Id, Parameters: r.Parameters, Overlap: r.Overlap, IdempotencyKey: r.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return scheduleRun(run), nil
}

func (h *handler) BackfillSchedule(ctx context.Context, r *pb.BackfillScheduleRequest) (*pb.BackfillScheduleResponse, error) {
	b, err := h.on(ctx).BackfillSchedule(ctx, coordinator.ScheduleBackfill{ID: r.Id, From: timeOf(r.From), To: timeOf(r.To), MaxConcurrent: int(r.MaxConcurrent), Parameters: r.Parameters})
	if err != nil {
		return nil, err
	}
	return &pb.BackfillScheduleResponse{Backfill: b.Key, Instants: int32(b.Instants)}, nil
}

func (h *handler) DeleteSchedule(ctx context.Context, r *pb.DeleteScheduleRequest) (*pb.DeleteScheduleResponse, error) {
	if err := h.on(ctx).DeleteSchedule(ctx, r.Id, int(r.Revision)); err != nil {
		return nil, err
	}
	return &pb.DeleteScheduleResponse{}, nil
}

func (h *handler) ListScheduleRuns(ctx context.Context, r *pb.ListScheduleRunsRequest) (*pb.ListScheduleRunsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).ScheduleRuns(ctx, coordinator.ScheduleRunFilter{ID: r.Id, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListScheduleRunsResponse{Runs: convert(page.Items, scheduleRun), Cursor: page.Next}, nil
}

// previewIn is a schedule as it was sent, which may be a preview.
func previewIn(s *pb.Schedule, preview bool, beside, flows []string) (scheduledoc.Spec, error) {
	out := scheduleIn(s)
	if len(beside) > scheduledoc.MaxBeside {
		return out, api.InvalidParameter("beside", "beside must be at most 1000 ids")
	}
	if len(flows) > scheduledoc.MaxBeside {
		return out, api.InvalidParameter("beside_flows", "beside_flows must be at most 1000 ids")
	}
	out.Preview, out.Beside, out.BesideFlows = preview, beside, flows
	return out, nil
}

func (h *handler) RenewScheduleSecret(ctx context.Context, r *pb.RenewScheduleSecretRequest) (*pb.RenewScheduleSecretResponse, error) {
	keep := coordinator.DefaultSecretKeep
	if r.Keep != nil {
		var err error
		if keep, err = spanOf("keep", r.Keep); err != nil {
			return nil, err
		}
	}
	s, err := h.on(ctx).RenewScheduleSecret(ctx, coordinator.SecretRenewal{ID: r.Id, Secret: r.Secret, Keep: keep})
	if err != nil {
		return nil, err
	}
	return &pb.RenewScheduleSecretResponse{Secret: s.Secret, Path: s.Path, Url: s.URL, At: stamp(s.At), Until: stamp(s.Until)}, nil
}

// scheduleIn is a schedule as it was sent.
func scheduleIn(s *pb.Schedule) scheduledoc.Spec {
	out := scheduledoc.Spec{ID: s.GetId(), Description: s.GetDescription(), Cron: s.GetCron(), Every: s.GetEvery(), Timezone: s.GetTimezone(), Tree: s.GetTree(), Parameters: s.GetParameters(),
		Overlap: s.GetOverlap(), MisfireGrace: s.GetMisfireGrace(), Jitter: s.GetJitter(), MaxRuns: int(s.GetMaxRuns()), AfterSuccess: s.GetAfterSuccess(), Due: s.GetDue(),
		UserID: s.GetUserId(), Labels: s.GetLabels(), Retention: s.GetRetention()}
	if s == nil {
		return out
	}
	out.Coalesce, out.Paused, out.Owner = s.Coalesce, s.Paused, s.Owner
	for into, at := range map[**time.Time]time.Time{&out.StartAt: timeOf(s.StartAt), &out.EndAt: timeOf(s.EndAt)} {
		if !at.IsZero() {
			*into = &at
		}
	}
	if f := s.Flow; f != nil {
		out.Flow = &scheduledoc.Flow{ID: f.Id, Version: int(f.Version), Job: f.Job, Params: f.Params, Env: f.Env, Timeout: f.TimeoutSeconds, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs}
		if f.Priority != nil {
			out.Flow.Priority = new(int(*f.Priority))
		}
	}
	if s.On != nil {
		out.On = &scheduledoc.On{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			out.On.Webhook = scheduledoc.NewWebhook(hook.Parameters, hook.Tolerance)
		}
	}
	return out
}

func scheduleAnswer(s *coordinator.ScheduleInfo, err error) (*pb.ScheduleInfo, error) {
	if err != nil {
		return nil, err
	}
	return scheduleInfo(s), nil
}

func scheduleInfo(s *coordinator.ScheduleInfo) *pb.ScheduleInfo {
	of := &pb.Schedule{Id: s.ID, Description: s.Description, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, Tree: s.Tree, Parameters: s.Parameters, Overlap: s.Overlap,
		MisfireGrace: s.MisfireGrace, Coalesce: s.Coalesce, Jitter: s.Jitter, MaxRuns: int32(s.MaxRuns), AfterSuccess: s.AfterSuccess, Due: s.Due, Paused: s.Paused, UserId: s.UserID, Labels: s.Labels, Retention: s.Retention, Owner: s.Owner}
	if s.StartAt != nil {
		of.StartAt = stamp(*s.StartAt)
	}
	if s.EndAt != nil {
		of.EndAt = stamp(*s.EndAt)
	}
	if f := s.Flow; f != nil {
		of.Flow = &pb.ScheduleFlow{Id: f.ID, Version: int32(f.Version), Job: f.Job, Params: f.Params, Env: f.Env, TimeoutSeconds: f.Timeout, NoDeps: f.NoDeps, JobOutputs: f.JobOutputs}
		if f.Priority != nil {
			of.Flow.Priority = new(int32(*f.Priority))
		}
	}
	if s.On != nil {
		of.On = &pb.ScheduleOn{Schedule: s.On.Schedule, Outcome: s.On.Outcome}
		if hook := s.On.Webhook; hook != nil {
			of.On.Webhook = &pb.ScheduleWebhook{Parameters: hook.Parameters, Tolerance: string(hook.Tolerance)}
		}
	}
	return &pb.ScheduleInfo{Schedule: of, Revision: int32(s.Revision), CreatedBy: s.CreatedBy, CreatedAt: stamp(s.CreatedAt), UpdatedBy: s.UpdatedBy, UpdatedAt: stamp(s.UpdatedAt),
		PausedBy: s.PausedBy, PausedAt: stamp(s.PausedAt), PauseReason: s.PauseReason, Next: stamp(s.Next), Runs: int32(s.Runs), WebhookPath: s.WebhookPath,
		WebhookUrl: s.WebhookURL, SecretAt: stamp(s.SecretAt), SecretUntil: stamp(s.SecretUntil)}
}

func scheduleRun(r *coordinator.ScheduleRun) *pb.ScheduleRun {
	return &pb.ScheduleRun{Schedule: r.Schedule, Kind: r.Kind, FireTime: stamp(r.FireTime), IntervalStart: stamp(r.IntervalStart), Status: r.Status, Reason: r.Reason, TreeId: r.TreeID,
		Backfill: r.Backfill, Until: stamp(r.Until), Count: int32(r.Count), Due: stamp(r.Due), Late: r.Late, DecidedAt: stamp(r.DecidedAt), StartedAt: stamp(r.StartedAt), EndedAt: stamp(r.EndedAt),
		FlowId: r.FlowID, FlowVersion: int32(r.FlowVersion), RunId: r.RunID}
}
