package jsonrpc

import (
	"context"
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
)

// holdParams are the parameters of holds.set.
type holdParams struct {
	TreeID string `json:"tree_id" required:"true" description:"of the root, or of any task of the tree"`
	Reason string `json:"reason" required:"true" description:"why, at most 1000 bytes"`
}

// heldParams are the parameters of holds.delete.
type heldParams struct {
	TreeID string `json:"tree_id" required:"true" description:"of the root, or of any task of the tree"`
}

// holdsListParams are the parameters of holds.list.
type holdsListParams struct {
	UserID string `json:"user_id,omitempty" description:"of trees of this owner only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// holdObject is a hold as shown.
type holdObject struct {
	TreeID string   `json:"tree_id" description:"of the root"`
	SetBy  string   `json:"set_by,omitempty"`
	SetAt  *isoTime `json:"set_at"`
	Reason string   `json:"reason"`
}

// holdPage is the answer of holds.list.
type holdPage struct {
	Holds      []holdObject `json:"holds"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// eraseParams are the parameters of erasures.start.
type eraseParams struct {
	UserID  string `json:"user_id" required:"true" description:"of whom all is erased that is stored in the namespace"`
	Cancel  bool   `json:"cancel,omitempty" description:"what runs is cancelled first"`
	Preview bool   `json:"preview,omitempty" description:"nothing is erased: the answer counts what would go"`
}

// erasureParams are the parameters of erasures.get.
type erasureParams struct {
	ErasureID string `json:"erasure_id" required:"true"`
}

// erasuresListParams are the parameters of erasures.list.
type erasuresListParams struct {
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// erasureObject is an erasure as shown.
type erasureObject struct {
	ErasureID  string           `json:"erasure_id,omitempty" description:"absent: a preview"`
	UserID     string           `json:"user_id"`
	Cancel     bool             `json:"cancel"`
	AskedBy    string           `json:"asked_by,omitempty"`
	AskedAt    *isoTime         `json:"asked_at"`
	Step       string           `json:"step" description:"preview, trees, messages, contents, done"`
	MovedAt    *isoTime         `json:"moved_at,omitempty" description:"when it last came further"`
	FinishedAt *isoTime         `json:"finished_at,omitempty" description:"absent: it is not done"`
	Counts     map[string]int64 `json:"counts" description:"what is gone, by kind, archived_trees among them, and held_trees: what is held back, once it is done"`
}

// erasurePage is the answer of erasures.list.
type erasurePage struct {
	Erasures   []erasureObject `json:"erasures"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// keepingMethods are those of /system about how trees are kept; all are ours.
func keepingMethods() []Method {
	return []Method{
		{Name: "holds.set", Path: "/system", Ours: true, Params: holdParams{}, Result: holdObject{}, Errors: []string{"reason: …", "Task <id> not found"},
			Summary: "Keeps a tree from being deleted, and its tasks from being changed, by anybody and by retention. What is held already stays so, by who held it first."},
		{Name: "holds.delete", Path: "/system", Ours: true, Params: heldParams{}, Result: taken{}, Errors: []string{"Hold of <id> not found"}, Summary: "Ends the hold of a tree."},
		{Name: "holds.list", Path: "/system", Ours: true, Params: holdsListParams{}, Result: holdPage{}, Summary: "Lists the trees that are held, the oldest trees first."},
		{Name: "erasures.start", Path: "/system", Ours: true, Params: eraseParams{}, Result: erasureObject{}, Errors: []string{"user_id: …"},
			Summary: "Begins to erase all that is stored of a user in the namespace, but for what is held. Where it is under way already, that erasure is given."},
		{Name: "erasures.get", Path: "/system", Ours: true, Params: erasureParams{}, Result: erasureObject{}, Errors: []string{"Erasure <id> not found"},
			Summary: "Tells how far an erasure is; when it is done, that is its receipt."},
		{Name: "erasures.list", Path: "/system", Ours: true, Params: erasuresListParams{}, Result: erasurePage{}, Summary: "Lists the erasures of the namespace, the newest first."},
	}
}

// keepingAnswers answer them.
func (h *Handler) keepingAnswers() map[string]method {
	return map[string]method{"holds.set": h.holdSet, "holds.delete": h.holdDelete, "holds.list": h.holdsList,
		"erasures.start": h.erasureStart, "erasures.get": h.erasureGet, "erasures.list": h.erasuresList}
}

func holdShown(h *coordinator.HoldInfo) holdObject {
	return holdObject{TreeID: h.TreeID, SetBy: h.SetBy, SetAt: timeOf(&h.SetAt), Reason: h.Reason}
}

func (h *Handler) holdSet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.HoldSpec{TreeID: p.text("tree_id"), Reason: p.text("reason")}
	p.only(holdParams{})
	if p.err != nil {
		return nil, p.err
	}
	set, err := x.svc.Hold(ctx, spec)
	if err != nil {
		return nil, named404(err, "Task "+spec.TreeID+" not found")
	}
	return appendJSON(nil, holdShown(set)), nil
}

func (h *Handler) holdDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.required("tree_id")
	p.only(heldParams{})
	if p.err != nil {
		return nil, p.err
	}
	if err := x.svc.Release(ctx, id); err != nil {
		return nil, named404(err, "Hold of "+id+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func (h *Handler) holdsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.HoldFilter{UserID: p.text("user_id"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(holdsListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Holds(ctx, f)
	if err != nil {
		return nil, err
	}
	out := holdPage{Holds: []holdObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		out.Holds = append(out.Holds, holdShown(one))
	}
	return appendJSON(nil, out), nil
}

func erasureShown(e *coordinator.ErasureInfo) erasureObject {
	out := erasureObject{ErasureID: e.ID, UserID: e.UserID, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: timeOf(&e.AskedAt), Step: e.Step, Counts: e.Counts}
	if !e.MovedAt.IsZero() {
		out.MovedAt = timeOf(&e.MovedAt)
	}
	if !e.FinishedAt.IsZero() {
		out.FinishedAt = timeOf(&e.FinishedAt)
	}
	return out
}

func (h *Handler) erasureStart(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.EraseSpec{UserID: p.text("user_id"), Cancel: p.flag("cancel", false), Preview: p.flag("preview", false)}
	p.only(eraseParams{})
	if p.err != nil {
		return nil, p.err
	}
	e, err := x.svc.Erase(ctx, spec)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, erasureShown(e)), nil
}

func (h *Handler) erasureGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.required("erasure_id")
	p.only(erasureParams{})
	if p.err != nil {
		return nil, p.err
	}
	e, err := x.svc.Erasure(ctx, id)
	if err != nil {
		return nil, named404(err, "Erasure "+id+" not found")
	}
	return appendJSON(nil, erasureShown(e)), nil
}

func (h *Handler) erasuresList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.ErasureFilter{Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(erasuresListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Erasures(ctx, f)
	if err != nil {
		return nil, err
	}
	out := erasurePage{Erasures: []erasureObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		out.Erasures = append(out.Erasures, erasureShown(one))
	}
	return appendJSON(nil, out), nil
}
