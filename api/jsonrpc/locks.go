package jsonrpc

import (
	"context"
	"encoding/json"
	"math"

	"github.com/taskgrove/taskgrove/coordinator"
)

type locksListParams struct {
	Key    string `json:"key,omitempty" description:"this lock only"`
	Limit  int    `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

type lockBreakParams struct {
	Key    string `json:"key" required:"true" description:"of the lock"`
	Token  int64  `json:"token,omitempty" description:"of who holds it; this or holder is required, so that nobody else loses the lock if the call is made again"`
	Holder string `json:"holder,omitempty" description:"id of the task that took it, or for which it is held"`
	Reason string `json:"reason,omitempty" description:"why, at most 1000 bytes"`
}

// lockObject is a lock as shown.
type lockObject struct {
	Key      string   `json:"key"`
	Token    int64    `json:"token" description:"of who holds it: greater than that of whoever held a lock before"`
	Since    *isoTime `json:"since"`
	TaskID   string   `json:"task_id" description:"who took it"`
	TaskName string   `json:"task_name"`
	TreeID   string   `json:"tree_id"`
	Attempt  int      `json:"attempt"`
	ForID    string   `json:"for_id,omitempty" description:"the task for which it is held, since who took it has succeeded; absent: for the attempt"`
	ForName  string   `json:"for_name,omitempty"`
	Waiters  int64    `json:"waiters" description:"tasks that wait for it, counted up to 10000"`
}

type lockPage struct {
	Locks      []lockObject `json:"locks"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// lockMethods are those of /system about locks; all are ours.
func lockMethods() []Method {
	return []Method{
		{Name: "locks.list", Path: "/system", Ours: true, Params: locksListParams{}, Result: lockPage{}, Summary: "Lists the locks that are held, by key."},
		{Name: "locks.break", Path: "/system", Ours: true, Params: lockBreakParams{}, Result: lockObject{}, Errors: []string{"Lock <key> not found"},
			Summary: "Takes a lock from who holds it, whose task is cancelled; of a lock that is held for a task, all that is below it, too. The next holder has a greater token, and what the former one still comes to does not count."},
	}
}

func (h *Handler) locksList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.LockFilter{Key: p.text("key"), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(locksListParams{})
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Locks(ctx, f)
	if err != nil {
		return nil, err
	}
	out := lockPage{Locks: []lockObject{}, NextCursor: page.Next}
	for _, l := range page.Items {
		out.Locks = append(out.Locks, lockShown(l))
	}
	return appendJSON(nil, out), nil
}

func (h *Handler) lockBreak(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	var spec coordinator.LockBreak
	key, err := ofNamed(raw, "key", "the key of a lock", lockBreakParams{}, func(p *params) {
		spec.Token, spec.Holder, spec.Reason = int64(p.number("token", 0, 0, math.MaxInt)), p.text("holder"), p.text("reason")
	})
	if err != nil {
		return nil, err
	}
	spec.Key = key
	broken, err := x.svc.BreakLock(ctx, spec)
	if err != nil {
		return nil, named404(err, "Lock "+key+" not found")
	}
	return appendJSON(nil, lockShown(&broken.LockInfo)), nil
}

func lockShown(l *coordinator.LockInfo) lockObject {
	return lockObject{l.Key, l.Token, timeOf(&l.Since), l.TaskID, l.TaskName, l.TreeID, l.Attempt, l.ForID, l.ForName, l.Waiters}
}
