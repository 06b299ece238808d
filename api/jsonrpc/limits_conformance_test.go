package jsonrpc_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// shownLimit and shownPause are limits and pauses of the wire.
type shownLimit struct {
	Key, Rate, Pool, Lock, Per, Reason string
	UserID                             string `json:"user_id"`
	SetBy                              string `json:"set_by"`
	Max, Running, Waiting              *int32
	Burst                              int32
	SetAt                              time.Time `json:"set_at"`
	Counted                            bool
	Held, Waiters                      int64
	Weight                             float64
	Owner                              string
	Revision                           int32
}

func (l *shownLimit) info() *coordinator.LimitInfo {
	out := &coordinator.LimitInfo{LimitSpec: coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: l.Key, Rate: l.Rate, Pool: l.Pool, UserID: l.UserID, Lock: l.Lock},
		Max: l.Max, Running: l.Running, Waiting: l.Waiting, Per: coordinator.RatePer(l.Per), Burst: l.Burst, Reason: l.Reason},
		SetBy: l.SetBy, SetAt: l.SetAt, Counted: l.Counted, Held: l.Held, Waiters: l.Waiters, Weight: l.Weight, Revision: l.Revision}
	if l.Owner != "" {
		out.Owner = &l.Owner
	}
	return out
}

type shownPause struct {
	Pool, Reason string
	TreeID       string `json:"tree_id"`
	Everything   bool
	SetBy        string    `json:"set_by"`
	SetAt        time.Time `json:"set_at"`
}

func (p *shownPause) info() *coordinator.PauseInfo {
	return &coordinator.PauseInfo{PauseTarget: coordinator.PauseTarget{TreeID: p.TreeID, Pool: p.Pool, Everything: p.Everything}, SetBy: p.SetBy, SetAt: p.SetAt, Reason: p.Reason}
}

// limitParams are the parameters of a target that are there.
func limitParams(t coordinator.LimitTarget) map[string]any {
	params := map[string]any{}
	for name, value := range map[string]string{"key": t.Key, "rate": t.Rate, "pool": t.Pool, "user_id": t.UserID} {
		if value != "" {
			params[name] = value
		}
	}
	return params
}

func pauseParams(t coordinator.PauseTarget) map[string]any {
	return map[string]any{"tree_id": t.TreeID, "pool": t.Pool, "everything": t.Everything}
}

func (r *remote) SetLimit(ctx context.Context, spec coordinator.LimitSpec) (*coordinator.LimitInfo, error) {
	params := limitParams(spec.LimitTarget)
	params["per"], params["burst"], params["reason"] = dag.RateWord(spec.Per), spec.Burst, spec.Reason
	params["max"], params["running"], params["waiting"] = spec.Max, spec.Running, spec.Waiting
	params["revision"] = spec.IfRevision
	if spec.Owner != nil {
		params["owner"] = *spec.Owner
	}
	var got shownLimit
	if _, err := r.postTo(ctx, "/system", "limits.set", params, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Limits(ctx context.Context, f coordinator.LimitFilter) (page coordinator.Page[*coordinator.LimitInfo], err error) {
	var got struct {
		Limits []*shownLimit
		Next   string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "limits.list", map[string]any{"all": f.All, "limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, l := range got.Limits {
		page.Items = append(page.Items, l.info())
	}
	return page, nil
}

func (r *remote) DeleteLimit(ctx context.Context, target coordinator.LimitTarget, revision int32) error {
	params := limitParams(target)
	params["revision"] = revision
	_, err := r.postTo(ctx, "/system", "limits.delete", params, &struct{}{})
	return err
}

func (r *remote) SetWeight(ctx context.Context, user string, weight float64) error {
	_, err := r.postTo(ctx, "/system", "limits.weight", map[string]any{"user_id": user, "weight": weight}, &struct{}{})
	return err
}

func (r *remote) Pause(ctx context.Context, target coordinator.PauseTarget, reason string) (*coordinator.PauseInfo, error) {
	params := pauseParams(target)
	params["reason"] = reason
	var got shownPause
	if _, err := r.postTo(ctx, "/system", "pauses.set", params, &got); err != nil {
		return nil, err
	}
	return got.info(), nil
}

func (r *remote) Resume(ctx context.Context, target coordinator.PauseTarget) error {
	_, err := r.postTo(ctx, "/system", "pauses.delete", pauseParams(target), &struct{}{})
	return err
}

func (r *remote) Pauses(ctx context.Context, f coordinator.PauseFilter) (page coordinator.Page[*coordinator.PauseInfo], err error) {
	var got struct {
		Pauses []*shownPause
		Next   string `json:"next_cursor"`
	}
	if _, err := r.postTo(ctx, "/system", "pauses.list", map[string]any{"limit": f.Limit, "cursor": f.Cursor}, &got); err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, p := range got.Pauses {
		page.Items = append(page.Items, p.info())
	}
	return page, nil
}
