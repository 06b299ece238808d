package grpcserver

import (
	"context"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ValidateFlow(ctx context.Context, r *pb.ValidateFlowRequest) (*pb.FlowReport, error) {
	report, err := h.on(ctx).ValidateFlow(ctx, coordinator.FlowCheck{Flow: r.Flow, Version: int(r.Version), Name: r.Name, Text: []byte(r.Text),
		FlowGiven: flowGiven(r.Env, r.Params, r.Set, r.Profiles, r.Job, r.Priority, r.NoDeps, r.JobOutputs), AsRun: r.AsRun, StrictEnv: r.StrictEnv, Compat: r.Compat})
	if err != nil {
		return nil, err
	}
	return &pb.FlowReport{Ok: report.OK, FlowYaml: report.FlowYAML, Errors: convert(report.Errors, flowFault), Warnings: convert(report.Warnings, flowFault), More: int32(report.More)}, nil
}

func flowFault(f flows.Fault) *pb.FlowFault {
	return &pb.FlowFault{Code: string(f.Code), Alias: f.Alias, Loc: f.Loc, Line: int32(f.Line), Column: int32(f.Column), Msg: f.Msg}
}

// flowGiven is what a run is given.
func flowGiven(env map[string]string, params []byte, set []string, profiles, job string, priority *int32, alone bool, outputs []string) coordinator.FlowGiven {
	given := coordinator.FlowGiven{Env: env, Params: params, Set: set, Profiles: profiles, Job: job, NoDeps: alone, JobOutputs: outputs}
	if priority != nil {
		given.Priority = new(int(*priority))
	}
	return given
}

func (h *handler) ApplyFlow(ctx context.Context, r *pb.ApplyFlowRequest) (*pb.Flow, error) {
	return flowAnswer(h.on(ctx).ApplyFlow(ctx, coordinator.FlowSpec{Name: r.Name, Text: []byte(r.Text), UserID: r.UserId, Preview: r.Preview, Bundle: r.Bundle}))
}

func (h *handler) GetFlow(ctx context.Context, r *pb.GetFlowRequest) (*pb.Flow, error) {
	return flowAnswer(h.on(ctx).Flow(ctx, r.Id, int(r.Version)))
}

func (h *handler) ListFlows(ctx context.Context, r *pb.ListFlowsRequest) (*pb.ListFlowsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Flows(ctx, coordinator.FlowFilter{UserID: r.UserId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListFlowsResponse{Flows: convert(page.Items, flow), Cursor: page.Next}, nil
}

func (h *handler) DeleteFlow(ctx context.Context, r *pb.DeleteFlowRequest) (*pb.DeleteFlowResponse, error) {
	if err := h.on(ctx).DeleteFlow(ctx, r.Id); err != nil {
		return nil, err
	}
	return &pb.DeleteFlowResponse{}, nil
}

func (h *handler) RunFlow(ctx context.Context, r *pb.RunFlowRequest) (*pb.FlowRun, error) {
	return flowRunAnswer(h.on(ctx).RunFlow(ctx, coordinator.FlowRunSpec{Flow: r.Flow, Version: int(r.Version), Name: r.Name, Text: []byte(r.Text), RunID: r.RunId, UserID: r.UserId, Bundle: runBundle(r.Bundle),
		FlowGiven: flowGiven(r.Env, r.Params, r.Set, r.Profiles, r.Job, r.Priority, r.NoDeps, r.JobOutputs)}))
}

func (h *handler) GetFlowRun(ctx context.Context, r *pb.GetFlowRunRequest) (*pb.FlowRun, error) {
	return flowRunAnswer(h.on(ctx).FlowRun(ctx, r.Run))
}

func (h *handler) ListFlowRuns(ctx context.Context, r *pb.ListFlowRunsRequest) (*pb.ListFlowRunsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).FlowRuns(ctx, coordinator.FlowRunFilter{Flow: r.Flow, UserID: r.UserId, Outcome: r.Outcome, Since: timeOf(r.Since), Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	out := &pb.ListFlowRunsResponse{Cursor: page.Next}
	for _, one := range page.Items {
		run, err := flowRun(one)
		if err != nil {
			return nil, err
		}
		out.Runs = append(out.Runs, run)
	}
	return out, nil
}

func (h *handler) CancelFlowRun(ctx context.Context, r *pb.CancelFlowRunRequest) (*pb.CancelFlowRunResponse, error) {
	got, err := h.on(ctx).CancelFlowRun(ctx, r.Run, r.Reason)
	if err != nil {
		return nil, err
	}
	return &pb.CancelFlowRunResponse{Cancelled: got.Outcome == coordinator.Cancelled}, nil
}

func (h *handler) ResumeFlowRun(ctx context.Context, r *pb.ResumeFlowRunRequest) (*pb.FlowRun, error) {
	return flowRunAnswer(h.on(ctx).ResumeFlowRun(ctx, coordinator.FlowResume{Run: r.Run, Flow: r.Flow, Version: int(r.Version), Name: r.Name, Text: []byte(r.Text)}))
}

func (h *handler) RestartFlowRun(ctx context.Context, r *pb.RestartFlowRunRequest) (*pb.FlowRun, error) {
	return flowRunAnswer(h.on(ctx).RestartFlowRun(ctx, coordinator.FlowRestart{Run: r.Run, RunID: r.RunId}))
}

func flowAnswer(f *coordinator.FlowInfo, err error) (*pb.Flow, error) {
	if err != nil {
		return nil, err
	}
	return flow(f), nil
}

func flow(f *coordinator.FlowInfo) *pb.Flow {
	return &pb.Flow{Id: f.ID, Version: int32(f.Version), Sha256: f.SHA256, Text: string(f.Text), UserId: f.UserID, CreatedBy: f.CreatedBy, CreatedAt: stamp(f.CreatedAt), Fresh: f.Fresh,
		Versions: int32(f.Versions), Warnings: f.Warnings, Bundle: f.Bundle}
}

func flowRunAnswer(r *coordinator.FlowRunInfo, err error) (*pb.FlowRun, error) {
	if err != nil {
		return nil, err
	}
	return flowRun(r)
}

func flowRun(r *coordinator.FlowRunInfo) (*pb.FlowRun, error) {
	out := &pb.FlowRun{FlowId: r.FlowID, RunId: r.RunID, TreeId: r.TreeID, Revision: int32(r.Revision), Outcome: r.Outcome, Version: int32(r.Version), Sha256: r.SHA256, UserId: r.UserID,
		CreatedBy: r.CreatedBy, CreatedAt: stamp(r.CreatedAt), Env: r.Given.Env, Params: r.Given.Params, Set: r.Given.Set, Profiles: r.Given.Profiles, Job: r.Given.Job, NoDeps: r.Given.NoDeps, JobOutputs: r.Given.JobOutputs, Truncated: r.Truncated, Existing: r.Existing, Warnings: r.Warnings, Bundle: runBundleOf(r.Bundle),
		RegisteredProfiles: r.Profiles}
	if r.Schedule != nil {
		out.Schedule = &pb.FlowRunSchedule{Id: r.Schedule.ID, FireTime: stamp(r.Schedule.FireTime)}
	}
	if p := r.Given.Priority; p != nil {
		out.Priority = new(int32(*p))
	}
	for _, one := range r.Revisions {
		out.Revisions = append(out.Revisions, &pb.FlowRevision{Revision: int32(one.Revision), TreeId: one.TreeID, Outcome: one.Outcome, Version: int32(one.Version), Sha256: one.SHA256,
			CreatedBy: one.CreatedBy, CreatedAt: stamp(one.CreatedAt)})
	}
	if r.Jobs == nil {
		return out, nil
	}
	var err error
	out.Jobs, err = json.Marshal(r.Jobs)
	return out, err
}
