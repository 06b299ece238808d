package grpcserver_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// holdInfo is nil for no hold.
func holdInfo(h *client.TreeHold) *coordinator.HoldInfo {
	if h == nil {
		return nil
	}
	return &coordinator.HoldInfo{TreeID: h.TreeID, SetBy: h.SetBy, SetAt: h.SetAt, Reason: h.Reason}
}

func (r *remote) Hold(ctx context.Context, spec coordinator.HoldSpec) (*coordinator.HoldInfo, error) {
	got, err := r.c.Hold(ctx, client.HoldSpec{TreeID: spec.TreeID, Reason: spec.Reason})
	if err != nil {
		return nil, err
	}
	return holdInfo(got), nil
}

func (r *remote) Release(ctx context.Context, treeOf string) error { return r.c.Release(ctx, treeOf) }

func (r *remote) Holds(ctx context.Context, f coordinator.HoldFilter) (page coordinator.Page[*coordinator.HoldInfo], err error) {
	got, err := r.c.HoldsPage(ctx, client.HoldFilter{UserID: f.UserID, Limit: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, h := range got.Items {
		page.Items = append(page.Items, holdInfo(h))
	}
	return page, nil
}

func retentionOf(text string) time.Duration {
	d, _ := dag.ParseRetention(text)
	return d
}

func erasureInfo(e *client.Erasure) *coordinator.ErasureInfo {
	return &coordinator.ErasureInfo{ID: e.ID, UserID: e.UserID, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: e.AskedAt, Step: e.Step, MovedAt: e.MovedAt,
		FinishedAt: e.FinishedAt, Counts: e.Counts}
}

func (r *remote) Erase(ctx context.Context, spec coordinator.EraseSpec) (*coordinator.ErasureInfo, error) {
	got, err := r.c.Erase(ctx, client.EraseSpec{UserID: spec.UserID, Cancel: spec.Cancel, Preview: spec.Preview})
	if err != nil {
		return nil, err
	}
	return erasureInfo(got), nil
}

func (r *remote) Erasure(ctx context.Context, id string) (*coordinator.ErasureInfo, error) {
	got, err := r.c.Erasure(ctx, id)
	if err != nil {
		return nil, err
	}
	return erasureInfo(got), nil
}

func (r *remote) Erasures(ctx context.Context, f coordinator.ErasureFilter) (page coordinator.Page[*coordinator.ErasureInfo], err error) {
	got, err := r.c.ErasuresPage(ctx, client.ErasureFilter{Limit: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, e := range got.Items {
		page.Items = append(page.Items, erasureInfo(e))
	}
	return page, nil
}
