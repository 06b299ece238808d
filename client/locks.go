package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Lock is a lock that is held, or was until it was broken.
type Lock struct {
	Key      string    `json:"key"`
	Token    int64     `json:"token"` // of who holds it: greater than that of whoever held a lock before
	Since    time.Time `json:"since,omitzero"`
	TaskID   string    `json:"task_id"` // who took it
	TaskName string    `json:"task_name"`
	TreeID   string    `json:"tree_id"`
	Attempt  int       `json:"attempt"`
	ForID    string    `json:"for_id,omitempty"` // the task for which it is held, since who took it has succeeded; empty: for the attempt
	ForName  string    `json:"for_name,omitempty"`
	Waiters  int64     `json:"waiters"` // tasks that wait for it, counted up to 10000
}

// LockFilter selects locks.
type LockFilter struct {
	Key    string // this lock only; empty: all
	Limit  int    // of one page; default 100, at most 1000
	Cursor string
}

// LocksPage lists one page of the locks that are held, by key.
func (c *Client) LocksPage(ctx context.Context, f LockFilter) (*Page[*Lock], error) {
	got, err := c.limits().ListLocks(ctx, &pb.ListLocksRequest{Key: f.Key, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list locks")
	}
	page := &Page[*Lock]{Next: got.Cursor}
	for _, l := range got.Locks {
		page.Items = append(page.Items, lockOf(l))
	}
	return page, nil
}

// Locks lists the locks that are held, by key, asking for pages as they are needed.
func (c *Client) Locks(ctx context.Context, f LockFilter) iter.Seq2[*Lock, error] {
	return all(func(cursor string) (*Page[*Lock], error) {
		f.Cursor = cursor
		return c.LocksPage(ctx, f)
	}, f.Cursor)
}

// LockBreak is a lock that is to be broken. It names who holds it, so that nobody else loses it if the call is made again.
type LockBreak struct {
	Key    string
	Token  int64  // of who holds it; 0: Holder says who that is
	Holder string // the id of the task that took it, or for which it is held; empty: Token says who that is
	Reason string
}

// BreakLock takes a lock from who holds it, whose task is cancelled; of a lock that is held for a task, all that is below it, too. The next holder has a greater token, and what the former one
// still comes to does not count. [ErrNotFound]: nobody holds it; [ErrInvalid]: neither Token nor Holder is given; [ErrConflict]: somebody else does, or it changes hands all the time.
func (c *Client) BreakLock(ctx context.Context, b LockBreak) (*Lock, error) {
	got, err := c.limits().BreakLock(ctx, &pb.BreakLockRequest{Key: b.Key, Token: b.Token, Holder: b.Holder, Reason: b.Reason})
	if err != nil {
		return nil, wrap(ctx, err, "break the lock %s", b.Key)
	}
	return lockOf(got), nil
}

func lockOf(l *pb.HeldLock) *Lock {
	return &Lock{Key: l.Key, Token: l.Token, Since: at(l.Since), TaskID: l.TaskId, TaskName: l.TaskName, TreeID: l.TreeId, Attempt: int(l.Attempt), ForID: l.ForId, ForName: l.ForName, Waiters: l.Waiters}
}
