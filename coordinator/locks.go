package coordinator

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// LockInfo is a lock that is held.
type LockInfo struct {
	Key      string
	Token    int64 // of who holds it: greater than that of whoever held a lock before
	Since    time.Time
	TaskID   string // who took it
	TaskName string
	TreeID   string
	Attempt  int
	ForID    string // the task for which it is held, since who took it has succeeded; empty: for the attempt
	ForName  string
	Waiters  int64 // tasks that wait for it, counted up to 10000
}

// LockFilter selects locks.
type LockFilter struct {
	Key    string // this lock only; empty: all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// LockBreak is a lock that is to be broken. It names who holds it, so that nobody else loses it if the call is made again.
type LockBreak struct {
	Key    string
	Token  int64  // of who holds it; 0: Holder says who that is
	Holder string // the id of the task that took it, or for which it is held; empty: Token says who that is
	Reason string // at most [dag.MaxReasonBytes]
}

// Check finds what is wrong with the break of a lock.
func (b *LockBreak) Check() error {
	var faults faultList
	faults.text("key", dag.LimitKeyFault(b.Key))
	faults.text("reason", dag.ReasonFault(b.Reason))
	switch {
	case b.Token < 0:
		faults.add("token", "must not be negative")
	case b.Token == 0 && b.Holder == "":
		faults.add("token", "is required, or holder: whoever else has the lock by then is not to lose it")
	}
	if !text(b.Holder) {
		faults.add("holder", "must be the id of a task")
	}
	return faults.err()
}

// names reports whether the one who holds the lock is meant.
func (b *LockBreak) names(held *pg.LockHeld) bool {
	return (b.Token == 0 || b.Token == held.Token) && (b.Holder == "" || b.Holder == held.ID || held.Span != 0 && b.Holder == held.SpanID)
}

// BrokenLock is a lock that was taken from who held it.
type BrokenLock struct {
	LockInfo
	Reason string // that is on record
}

func (b *BrokenLock) made() Details {
	return detail("task", b.TaskID, "tree", b.TreeID, "token", b.Token)
}

func (g *guarded) Locks(ctx context.Context, f LockFilter) (Page[*LockInfo], error) {
	return ask(ctx, g, Call{Method: "Locks"}, func() (Page[*LockInfo], error) { return g.next.Locks(ctx, f) })
}

func (g *guarded) BreakLock(ctx context.Context, spec LockBreak) (*BrokenLock, error) {
	return ask(ctx, g, Call{Method: "BreakLock", Details: detail("lock", spec.Key, "token", spec.Token, "holder", spec.Holder, "reason", spec.Reason)}, func() (*BrokenLock, error) {
		return g.next.BreakLock(by(ctx, g.caller.Name), spec)
	})
}

// Locks lists locks; see [Limiter].
func (c *Coordinator) Locks(ctx context.Context, f LockFilter) (page Page[*LockInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	after := ""
	if f.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		key, ours := strings.CutPrefix(string(raw), "lock ")
		if err != nil || !ours || dag.LimitKeyFault(key) != "" {
			return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
		}
		after = key
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	if f.Key != "" {
		if fault := dag.LimitKeyFault(f.Key); fault != "" {
			return page, &InvalidArgumentError{Field: "key", Reason: fault}
		}
		held, err := c.store.Lock(ctx, here, f.Key)
		if errors.Is(err, pg.ErrNotFound) {
			return page, nil
		}
		if err != nil {
			return page, c.internal("look for a lock", err)
		}
		one := showLock(held)
		page.Items = append(page.Items, &one)
		return page, nil
	}
	list, err := c.store.Locks(ctx, here, after, limit+1)
	if err != nil {
		return page, c.internal("list locks", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte("lock " + list[limit-1].Key))
	}
	for _, l := range list {
		one := showLock(l)
		page.Items = append(page.Items, &one)
	}
	return page, nil
}

func showLock(l *pg.LockHeld) LockInfo {
	return LockInfo{Key: l.Key, Token: l.Token, Since: l.Since, TaskID: l.ID, TaskName: l.Name, TreeID: l.RootID, Attempt: int(l.Attempt), ForID: l.SpanID, ForName: l.Above, Waiters: l.Waiters}
}

// breakTries is how often a lock is looked for whose holder changes meanwhile.
const breakTries = 5

// BreakLock takes a lock from who holds it; see [Limiter].
func (c *Coordinator) BreakLock(ctx context.Context, spec LockBreak) (*BrokenLock, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	said := fmt.Sprintf("its lock %s was broken by %s%s", cut(spec.Key), cmp.Or(caller(ctx), AnonymousName), because(clean(spec.Reason)))
	for range breakTries {
		held, err := c.store.Lock(ctx, here, spec.Key)
		if err != nil {
			return nil, c.internal("look for a lock", err)
		}
		if !spec.names(held) {
			return nil, fmt.Errorf("%w: the lock is held by %s (%s) now, with token %d", ErrConflict, cut(cmp.Or(held.Above, held.Name)), cut(cmp.Or(held.SpanID, held.ID)), held.Token)
		}
		did, err := c.takeLock(ctx, here, held, said)
		if err != nil {
			return nil, err
		}
		if did {
			return &BrokenLock{showLock(held), said}, nil
		}
	}
	return nil, fmt.Errorf("%w: the lock changes hands: try again", ErrConflict)
}

// takeLock takes a lock from who holds it. did: it did, and not somebody else.
func (c *Coordinator) takeLock(ctx context.Context, here dag.NamespaceKey, held *pg.LockHeld, why string) (did bool, err error) {
	failpoint.Hit("coordinator.before-lock-break")
	if held.Span == 0 {
		did, eff, err := c.store.BreakLock(ctx, here, held, why, c.lanes.room)
		if err != nil {
			return false, c.internal("break a lock", err)
		}
		failpoint.Hit("coordinator.after-lock-break")
		if did {
			c.after(ctx, eff)
		}
		return did, nil
	}
	// All that the lock is around ends, and the lock goes back in the transaction in which the task ends for which it is held.
	ended, err := c.Cancel(ctx, held.SpanID, CancelOptions{Reason: why, Cascade: new(true)})
	failpoint.Hit("coordinator.after-lock-break")
	return err == nil && ended.Outcome == Cancelled, err
}
