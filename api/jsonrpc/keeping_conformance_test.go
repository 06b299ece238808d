package jsonrpc_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// shownHold is a hold of the wire.
type shownHold struct {
	TreeID string    `json:"tree_id"`
	SetBy  string    `json:"set_by"`
	SetAt  time.Time `json:"set_at"`
	Reason string
}

// info is nil for no hold.
func (h *shownHold) info() *coordinator.HoldInfo {
	if h == nil {
		return nil
	}
	return &coordinator.HoldInfo{TreeID: h.TreeID, SetBy: h.SetBy, SetAt: h.SetAt, Reason: h.Reason}
}

func (r *remote) Hold(ctx context.Context, spec coordinator.HoldSpec) (*coordinator.HoldInfo, error) {
	var got shownHold
	if _, err := r.postTo(ctx, "/system", "holds.set", map[string]any{"tree_id": spec.TreeID, "reason": spec.Reason}, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Release(ctx context.Context, treeOf string) error {
	_, err := r.postTo(ctx, "/system", "holds.delete", map[string]any{"tree_id": treeOf}, &struct{}{})
	return err
}

func (r *remote) Holds(ctx context.Context, f coordinator.HoldFilter) (page coordinator.Page[*coordinator.HoldInfo], err error) {
	var got struct {
		Holds []*shownHold
		Next  string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "holds.list", map[string]any{"user_id": f.UserID, "limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, h := range got.Holds {
		page.Items = append(page.Items, h.info())
	}
	return page, nil
}

// shownErasure is an erasure of the wire.
type shownErasure struct {
	ErasureID  string `json:"erasure_id"`
	UserID     string `json:"user_id"`
	Cancel     bool
	AskedBy    string    `json:"asked_by"`
	AskedAt    time.Time `json:"asked_at"`
	Step       string
	MovedAt    time.Time `json:"moved_at"`
	FinishedAt time.Time `json:"finished_at"`
	Counts     map[string]int64
}

func (e *shownErasure) info() *coordinator.ErasureInfo {
	return &coordinator.ErasureInfo{ID: e.ErasureID, UserID: e.UserID, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: e.AskedAt, Step: e.Step, MovedAt: e.MovedAt,
		FinishedAt: e.FinishedAt, Counts: e.Counts}
}

func (r *remote) Erase(ctx context.Context, spec coordinator.EraseSpec) (*coordinator.ErasureInfo, error) {
	var got shownErasure
	if _, err := r.postTo(ctx, "/system", "erasures.start", map[string]any{"user_id": spec.UserID, "cancel": spec.Cancel, "preview": spec.Preview}, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Erasure(ctx context.Context, id string) (*coordinator.ErasureInfo, error) {
	var got shownErasure
	if _, err := r.postTo(ctx, "/system", "erasures.get", map[string]any{"erasure_id": id}, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Erasures(ctx context.Context, f coordinator.ErasureFilter) (page coordinator.Page[*coordinator.ErasureInfo], err error) {
	var got struct {
		Erasures []*shownErasure
		Next     string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "erasures.list", map[string]any{"limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, e := range got.Erasures {
		page.Items = append(page.Items, e.info())
	}
	return page, nil
}
