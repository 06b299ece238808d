package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

func (r *remote) SetLimit(ctx context.Context, spec coordinator.LimitSpec) (*coordinator.LimitInfo, error) {
	set := client.LimitSpec{LimitTarget: client.LimitTarget(spec.LimitTarget), Max: spec.Max, Running: spec.Running, Waiting: spec.Waiting,
		Per: dag.RateWord(spec.Per), Burst: spec.Burst, Reason: spec.Reason, Owner: spec.Owner}
	var got *client.Limit
	var err error
	if spec.IfRevision != nil {
		got, err = r.c.SetLimitAt(ctx, set, *spec.IfRevision)
	} else {
		got, err = r.c.SetLimit(ctx, set)
	}
	if err != nil {
		return nil, err
	}
	return limitInfo(got), nil
}

func limitInfo(l *client.Limit) *coordinator.LimitInfo {
	return &coordinator.LimitInfo{LimitSpec: coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget(l.LimitTarget), Max: l.Max, Running: l.Running, Waiting: l.Waiting,
		Per: coordinator.RatePer(l.Per), Burst: l.Burst, Reason: l.Reason, Owner: l.Owner}, Revision: l.Revision, SetBy: l.SetBy, SetAt: l.SetAt, Counted: l.Counted, Held: l.Held, Waiters: l.Waiters, Weight: l.Weight}
}

func (r *remote) Limits(ctx context.Context, f coordinator.LimitFilter) (page coordinator.Page[*coordinator.LimitInfo], err error) {
	got, err := r.c.LimitsPage(ctx, client.LimitFilter{All: f.All, Limit: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, l := range got.Items {
		page.Items = append(page.Items, limitInfo(l))
	}
	return page, nil
}

func (r *remote) DeleteLimit(ctx context.Context, target coordinator.LimitTarget, revision int32) error {
	return r.c.DeleteLimitAt(ctx, client.LimitTarget(target), revision)
}

func (r *remote) SetWeight(ctx context.Context, user string, weight float64) error {
	return r.c.SetWeight(ctx, user, weight)
}

func pauseTarget(t coordinator.PauseTarget) client.PauseTarget {
	return client.PauseTarget{TreeID: t.TreeID, Pool: t.Pool, Everything: t.Everything}
}

func pauseInfo(p *client.Pause) *coordinator.PauseInfo {
	return &coordinator.PauseInfo{PauseTarget: coordinator.PauseTarget{TreeID: p.TreeID, Pool: p.Pool, Everything: p.Everything}, SetBy: p.SetBy, SetAt: p.SetAt, Reason: p.Reason}
}

func (r *remote) Pause(ctx context.Context, target coordinator.PauseTarget, reason string) (*coordinator.PauseInfo, error) {
	got, err := r.c.Pause(ctx, pauseTarget(target), reason)
	if err != nil {
		return nil, err
	}
	return pauseInfo(got), nil
}

func (r *remote) Resume(ctx context.Context, target coordinator.PauseTarget) error {
	return r.c.Resume(ctx, pauseTarget(target))
}

func (r *remote) Pauses(ctx context.Context, f coordinator.PauseFilter) (page coordinator.Page[*coordinator.PauseInfo], err error) {
	got, err := r.c.PausesPage(ctx, f.Cursor, f.Limit)
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, p := range got.Items {
		page.Items = append(page.Items, pauseInfo(p))
	}
	return page, nil
}
