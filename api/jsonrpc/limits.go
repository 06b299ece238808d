package jsonrpc

import (
	"cmp"
	"context"
	"encoding/json"
	"math"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// limitTargetParams say what a limit is for.
type limitTargetParams struct {
	Key    string `json:"key,omitempty" description:"of limits of tasks; one of key, rate, pool and user_id"`
	Rate   string `json:"rate,omitempty" description:"of rates of tasks"`
	Pool   string `json:"pool,omitempty" description:"its tasks that run, in the whole cluster"`
	UserID string `json:"user_id,omitempty" description:"whose tasks run and wait"`
}

// limitSetParams are the parameters of limits.set.
type limitSetParams struct {
	limitTargetParams
	Max     *int32 `json:"max,omitempty" description:"of key, rate and pool: 0 to 1000000; 0 lets nothing start"`
	Running *int32 `json:"running,omitempty" description:"of a user: tasks that run at most"`
	Waiting *int32 `json:"waiting,omitempty" description:"of a user: tasks that wait at most; submissions that go above are refused"`
	Per     string `json:"per,omitempty" description:"of a rate: second, minute or hour"`
	Burst   int32  `json:"burst,omitempty" description:"of a rate: starts at once after a pause; default max"`
	Reason  string `json:"reason,omitempty" description:"at most 1000 bytes"`
	Owner   string `json:"owner,omitempty" description:"who keeps it in files: 1 to 63 letters, digits, -, _, . and /; empty: nobody; default: as it is"`

	Revision *int32 `json:"revision,omitempty" description:"that it has, else it is not set; 0: there is none; default: whatever"`
}

// limitDeleteParams are the parameters of limits.delete.
type limitDeleteParams struct {
	limitTargetParams
	Revision int32 `json:"revision,omitempty" description:"that it has, else it stays; default: whatever"`
}

// limitsListParams are the parameters of limits.list.
type limitsListParams struct {
	All    bool   `json:"all,omitempty" description:"keys too that tasks hold or wait for and that no operator has set a limit for"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// weightParams are the parameters of limits.weight.
type weightParams struct {
	UserID string  `json:"user_id" required:"true" description:"whose tasks"`
	Weight float64 `json:"weight" required:"true" description:"0.01 to 100: twice as many slots with twice the weight; 1 unless it is set"`
}

// weighted is the answer of limits.weight.
type weighted struct {
	UserID string  `json:"user_id"`
	Weight float64 `json:"weight"`
}

// limitObject is a limit as shown.
type limitObject struct {
	limitTargetParams
	Lock    string   `json:"lock,omitempty" description:"a key of locks of tasks"`
	Max     *int32   `json:"max,omitempty"`
	Running *int32   `json:"running,omitempty"`
	Waiting *int32   `json:"waiting,omitempty"`
	Per     string   `json:"per,omitempty"`
	Burst   int32    `json:"burst,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	SetBy   string   `json:"set_by,omitempty"`
	SetAt   *isoTime `json:"set_at,omitempty"`
	Counted bool     `json:"counted" description:"all that runs is counted"`
	Held    int64    `json:"held" description:"sum of costs, when it was listed"`
	Waiters int64    `json:"waiters" description:"tasks that waited for it then"`
	Weight  float64  `json:"weight,omitempty" description:"of a user"`

	Owner    string `json:"owner,omitempty" description:"who keeps it in files"`
	Revision int32  `json:"revision,omitempty" description:"raised each time that it is set"`
}

// limitPage is the answer of limits.list.
type limitPage struct {
	Limits     []limitObject `json:"limits"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

// taken is the answer where something was taken away.
type taken struct {
	Success bool `json:"success"`
}

// pauseTargetParams say what is paused.
type pauseTargetParams struct {
	TreeID     string `json:"tree_id,omitempty" description:"of the root, or of any task of the tree; one of tree_id, pool and everything"`
	Pool       string `json:"pool,omitempty" description:"a pool"`
	Everything bool   `json:"everything,omitempty" description:"all pools"`
}

// pauseParams are the parameters of pauses.set.
type pauseParams struct {
	pauseTargetParams
	Reason string `json:"reason,omitempty" description:"why, at most 1000 bytes"`
}

// pausesListParams are the parameters of pauses.list.
type pausesListParams struct {
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// pauseObject is a pause as shown.
type pauseObject struct {
	pauseTargetParams
	SetBy  string   `json:"set_by,omitempty"`
	SetAt  *isoTime `json:"set_at"`
	Reason string   `json:"reason,omitempty"`
}

// pausePage is the answer of pauses.list.
type pausePage struct {
	Pauses     []pauseObject `json:"pauses"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

// limitMethods are those of /system about limits and pauses; all are ours.
func limitMethods() []Method {
	return []Method{
		{Name: "limits.set", Path: "/system", Ours: true, Params: limitSetParams{}, Result: limitObject{}, Errors: []string{"target: …", "max: …"},
			Summary: "Sets a limit in the place of the one that its target has, and answers once all that runs is counted. All that is wrong with it is told at once."},
		{Name: "limits.list", Path: "/system", Ours: true, Params: limitsListParams{}, Result: limitPage{}, Summary: "Lists what operators have set for keys, rates, pools and users, and what is held and waits."},
		{Name: "limits.delete", Path: "/system", Ours: true, Params: limitDeleteParams{}, Result: taken{}, Errors: []string{"Limit of <name> not found"}, Summary: "Takes a limit away."},
		{Name: "limits.weight", Path: "/system", Ours: true, Params: weightParams{}, Result: weighted{}, Errors: []string{"user_id: …", "weight: …"},
			Summary: "Says how many slots a user gets beside others that wait in the same pool."},
		{Name: "pauses.set", Path: "/system", Ours: true, Params: pauseParams{}, Result: pauseObject{}, Errors: []string{"target: …", "Task <id> not found"},
			Summary: "Stops the start of tasks of a tree, of a pool, or of everything. What runs goes on; what is paused already stays so, by who paused it first."},
		{Name: "pauses.delete", Path: "/system", Ours: true, Params: pauseTargetParams{}, Result: taken{}, Errors: []string{"Pause of <name> not found"}, Summary: "Lets tasks start again."},
		{Name: "pauses.list", Path: "/system", Ours: true, Params: pausesListParams{}, Result: pausePage{}, Summary: "Lists what is paused, the oldest first: everything, pools, and trees that the caller may see."},
	}
}

// limitAnswers answer them.
func (h *Handler) limitAnswers() map[string]method {
	return map[string]method{
		"limits.set": h.limitSet, "limits.list": h.limitsList, "limits.delete": h.limitDelete, "limits.weight": h.limitWeight,
		"locks.list": h.locksList, "locks.break": h.lockBreak,
		"pauses.set": h.pauseSet, "pauses.delete": h.pauseDelete, "pauses.list": h.pausesList,
	}
}

// count is an integer parameter that the service bounds; nil when it is absent.
func (p *params) count(name string) *int32 {
	if !p.given(name) {
		return nil
	}
	n := int32(p.number(name, 0, math.MinInt32, math.MaxInt32))
	return &n
}

// revision is what something is to have that is changed; 0: whatever.
func (p *params) revision() int32 { return int32(p.number("revision", 0, 0, math.MaxInt32)) }

func (p *params) limitTarget() coordinator.LimitTarget {
	return coordinator.LimitTarget{Key: p.text("key"), Rate: p.text("rate"), Pool: p.text("pool"), UserID: p.text("user_id")}
}

func (p *params) pauseTarget() coordinator.PauseTarget {
	return coordinator.PauseTarget{TreeID: p.text("tree_id"), Pool: p.text("pool"), Everything: p.flag("everything", false)}
}

func limitShown(l *coordinator.LimitInfo) limitObject {
	out := limitObject{limitTargetParams: limitTargetParams{Key: l.Key, Rate: l.Rate, Pool: l.Pool, UserID: l.UserID}, Lock: l.Lock, Max: l.Max, Running: l.Running, Waiting: l.Waiting,
		Per: dag.RateWord(l.Per), Burst: l.Burst, Reason: l.Reason, SetBy: l.SetBy, SetAt: timeOf(&l.SetAt), Counted: l.Counted, Held: l.Held, Waiters: l.Waiters, Weight: l.Weight, Revision: l.Revision}
	if l.Owner != nil {
		out.Owner = *l.Owner
	}
	return out
}

func pauseShown(p *coordinator.PauseInfo) pauseObject {
	return pauseObject{pauseTargetParams: pauseTargetParams{TreeID: p.TreeID, Pool: p.Pool, Everything: p.Everything}, SetBy: p.SetBy, SetAt: timeOf(&p.SetAt), Reason: p.Reason}
}

func (h *Handler) limitSet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	spec := coordinator.LimitSpec{LimitTarget: p.limitTarget(), Max: p.count("max"), Running: p.count("running"), Waiting: p.count("waiting"),
		Per: coordinator.RatePer(p.text("per")), Reason: p.text("reason")}
	if burst := p.count("burst"); burst != nil {
		spec.Burst = *burst
	}
	if p.given("owner") {
		spec.Owner = new(p.text("owner"))
	}
	spec.IfRevision = p.count("revision")
	p.only(limitSetParams{})
	if p.err != nil {
		return nil, p.err
	}
	set, err := x.svc.SetLimit(ctx, spec)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, limitShown(set)), nil
}

func (h *Handler) limitsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.LimitFilter{All: p.flag("all", false), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(limitsListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Limits(ctx, f)
	if err != nil {
		return nil, err
	}
	out := limitPage{Limits: []limitObject{}, NextCursor: page.Next}
	for _, l := range page.Items {
		out.Limits = append(out.Limits, limitShown(l))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) limitDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	target := p.limitTarget()
	revision := p.revision()
	p.only(limitDeleteParams{})
	if p.err != nil {
		return nil, p.err
	}
	if err := x.svc.DeleteLimit(ctx, target, revision); err != nil {
		return nil, named404(err, "Limit of "+cmp.Or(target.Key, target.Rate, target.Pool, target.UserID)+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func (h *Handler) limitWeight(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	set := weighted{UserID: p.text("user_id")}
	if p.given("weight") && json.Unmarshal(p.values["weight"], &set.Weight) != nil {
		p.refuse("weight", "a number")
	}
	p.only(weightParams{})
	if p.err != nil {
		return nil, p.err
	}
	if err := x.svc.SetWeight(ctx, set.UserID, set.Weight); err != nil {
		return nil, err
	}
	return appendJSON(nil, set), nil
}

func (h *Handler) pauseSet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	target, reason := p.pauseTarget(), p.text("reason")
	p.only(pauseParams{})
	if p.err != nil {
		return nil, p.err
	}
	set, err := x.svc.Pause(ctx, target, reason)
	if err != nil {
		return nil, named404(err, "Task "+target.TreeID+" not found")
	}
	return appendJSON(nil, pauseShown(set)), nil
}

func (h *Handler) pauseDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	target := p.pauseTarget()
	p.only(pauseTargetParams{})
	if p.err != nil {
		return nil, p.err
	}
	if err := x.svc.Resume(ctx, target); err != nil {
		return nil, named404(err, "Pause of "+cmp.Or(target.TreeID, target.Pool, "everything")+" not found")
	}
	return appendJSON(nil, taken{true}), nil
}

func (h *Handler) pausesList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.PauseFilter{Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(pausesListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Pauses(ctx, f)
	if err != nil {
		return nil, err
	}
	out := pausePage{Pauses: []pauseObject{}, NextCursor: page.Next}
	for _, one := range page.Items {
		out.Pauses = append(out.Pauses, pauseShown(one))
	}
	return appendJSON(nil, out), nil
}
