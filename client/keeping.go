package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// HoldSpec is a hold to be set.
type HoldSpec struct {
	TreeID string // of the root, or of any task of the tree
	Reason string // at most 1000 bytes; required
}

// TreeHold is the hold of a tree as it is shown: nobody deletes or changes it.
type TreeHold struct {
	TreeID string // of the root
	SetBy  string // empty: nobody was asked
	SetAt  time.Time
	Reason string
}

// HoldFilter selects holds.
type HoldFilter struct {
	UserID string // of trees of this owner only; empty: of all
	Limit  int    // of one page; default 100, at most 1000
	Cursor string
}

// keeping are the calls about how trees are kept.
func (c *Client) keeping() pb.KeepingServiceClient { return pb.NewKeepingServiceClient(c.conn) }

// Hold keeps a tree from being deleted, and its tasks from being changed, by anybody and by retention, until it is released. What is held already stays so, by who
// held it first, and that hold is given. [ErrInvalid], [ErrNotFound], [ErrConflict].
func (c *Client) Hold(ctx context.Context, spec HoldSpec) (*TreeHold, error) {
	got, err := c.keeping().Hold(ctx, &pb.HoldRequest{TreeId: spec.TreeID, Reason: spec.Reason})
	if err != nil {
		return nil, wrap(ctx, err, "hold %s", spec.TreeID)
	}
	return holdOf(got), nil
}

// Release ends the hold of a tree, named by any of its tasks. [ErrNotFound]: it is not held.
func (c *Client) Release(ctx context.Context, treeOf string) error {
	_, err := c.keeping().Release(ctx, &pb.ReleaseRequest{TreeId: treeOf})
	return wrap(ctx, err, "release %s", treeOf)
}

// HoldsPage asks for one page of holds.
func (c *Client) HoldsPage(ctx context.Context, f HoldFilter) (*Page[*TreeHold], error) {
	got, err := c.keeping().ListHolds(ctx, &pb.ListHoldsRequest{UserId: f.UserID, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list holds")
	}
	page := &Page[*TreeHold]{Next: got.Cursor}
	for _, h := range got.Holds {
		page.Items = append(page.Items, holdOf(h))
	}
	return page, nil
}

// Holds lists the trees that are held, the oldest trees first, asking for pages as they are needed.
func (c *Client) Holds(ctx context.Context, f HoldFilter) iter.Seq2[*TreeHold, error] {
	return all(func(cursor string) (*Page[*TreeHold], error) {
		f.Cursor = cursor
		return c.HoldsPage(ctx, f)
	}, f.Cursor)
}

func holdOf(h *pb.HoldInfo) *TreeHold {
	if h == nil {
		return nil
	}
	return &TreeHold{TreeID: h.TreeId, SetBy: h.SetBy, SetAt: at(h.SetAt), Reason: h.Reason}
}

// EraseSpec says what is to be erased.
type EraseSpec struct {
	UserID  string
	Cancel  bool // what runs is cancelled first
	Preview bool // nothing is erased: the answer counts what would go
}

// Erasure is an erasure as it is shown. When it is done, it is its receipt.
type Erasure struct {
	ID         string // empty: a preview
	UserID     string
	Cancel     bool
	AskedBy    string // empty: nobody was asked
	AskedAt    time.Time
	Step       string // preview, trees, messages, contents, done
	MovedAt    time.Time
	FinishedAt time.Time // zero: it is not done
	// Counts are what is gone, by kind: schedules, trees, tasks, attempts, events, artifacts, checkpoints, usage, webhooks, deliveries, agent_tasks, model_keys, messages, logs,
	// archived_trees; and held_trees: what is held back, once it is done. Of a preview: schedules, trees, tasks, archived_trees, running_trees and held_trees as they are.
	Counts map[string]int64
}

// ErasureFilter selects erasures.
type ErasureFilter struct {
	Limit  int // of one page; default 100, at most 1000
	Cursor string
}

// Erase begins to erase all that is stored of a user in the client's namespace. Coordinators carry it out: [Client.Erasure] tells how far it is. What is held stays. Where it
// is under way already, that erasure is given. [ErrInvalid]; [ErrConflict]: trees run, and Cancel is not given.
func (c *Client) Erase(ctx context.Context, spec EraseSpec) (*Erasure, error) {
	got, err := c.keeping().Erase(ctx, &pb.EraseRequest{UserId: spec.UserID, Cancel: spec.Cancel, Preview: spec.Preview})
	if err != nil {
		return nil, wrap(ctx, err, "erase user %s", spec.UserID)
	}
	return erasureOf(got), nil
}

// Erasure shows an erasure. [ErrNotFound].
func (c *Client) Erasure(ctx context.Context, id string) (*Erasure, error) {
	got, err := c.keeping().GetErasure(ctx, &pb.GetErasureRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "get erasure %s", id)
	}
	return erasureOf(got), nil
}

// ErasuresPage asks for one page of erasures.
func (c *Client) ErasuresPage(ctx context.Context, f ErasureFilter) (*Page[*Erasure], error) {
	got, err := c.keeping().ListErasures(ctx, &pb.ListErasuresRequest{Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list erasures")
	}
	page := &Page[*Erasure]{Next: got.Cursor}
	for _, e := range got.Erasures {
		page.Items = append(page.Items, erasureOf(e))
	}
	return page, nil
}

// Erasures lists the erasures of the client's namespace, the newest first, asking for pages as they are needed.
func (c *Client) Erasures(ctx context.Context, f ErasureFilter) iter.Seq2[*Erasure, error] {
	return all(func(cursor string) (*Page[*Erasure], error) {
		f.Cursor = cursor
		return c.ErasuresPage(ctx, f)
	}, f.Cursor)
}

func erasureOf(e *pb.ErasureInfo) *Erasure {
	return &Erasure{ID: e.Id, UserID: e.UserId, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: at(e.AskedAt), Step: e.Step, MovedAt: at(e.MovedAt), FinishedAt: at(e.FinishedAt),
		Counts: e.Counts}
}
