package pg

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Violation is a rule (design §2) that does not hold in what is stored.
type Violation struct {
	Kind string      // a short name, see docs/reliability.md
	Tree dag.TreeKey // 0: not of one tree
	Task dag.Key     // 0: not of one task
	Text string      // what is stored, and what the rule wants
}

// AuditOptions steer an audit.
type AuditOptions struct {
	// Retention is how long finished trees are kept, 0: for ever. Older ones may be half deleted; they are left out.
	Retention time.Duration
	// Stuck is after how long something that others should have seen to counts as forgotten. Default 10 min: longer than
	// an outage of NATS or of all coordinators usually lasts.
	Stuck time.Duration
}

// stuck is Stuck or its default, in seconds.
func (o AuditOptions) stuck() float64 {
	if o.Stuck == 0 {
		return (10 * time.Minute).Seconds()
	}
	return o.Stuck.Seconds()
}

// AuditOpen checks what changes in trees that have not ended, those after the key given and as many as fit a step. It
// returns the last of them, 0 at the end, and how many tasks they have.
func (s *Store) AuditOpen(ctx context.Context, after dag.TreeKey, o AuditOptions) (found []Violation, next dag.TreeKey, tasks int, err error) {
	a := audit{pick: "AuditOpenTrees", after: after, o: o}
	err = s.audit(ctx, &a)
	return a.found, a.next, a.tasks, err
}

// AuditAll is as [Store.AuditOpen], for all of all trees, and for what lies between their keys.
func (s *Store) AuditAll(ctx context.Context, after dag.TreeKey, o AuditOptions) (found []Violation, next dag.TreeKey, tasks int, err error) {
	a := audit{pick: "AuditAllTrees", after: after, gaps: true, still: true, o: o}
	err = s.audit(ctx, &a)
	return a.found, a.next, a.tasks, err
}

// AuditTree checks one tree.
func (s *Store) AuditTree(ctx context.Context, tree dag.TreeKey, o AuditOptions) ([]Violation, error) {
	a := audit{pick: "AuditOneTree", after: tree, still: true, o: o}
	if err := s.audit(ctx, &a); err != nil {
		return nil, err
	}
	first, end := tree.Range()
	more, err := s.auditAny(ctx, first, end, o)
	return append(a.found, more...), err
}

// AuditRest checks what belongs to no tree, and what is overdue anywhere.
func (s *Store) AuditRest(ctx context.Context, o AuditOptions) ([]Violation, error) {
	found, err := s.auditAny(ctx, 0, math.MaxInt64, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("AuditWorkers"), o.stuck(), auditRows).Query(collect(&found))
	b.Queue(sql("AuditLevels"), auditRows).Query(collect(&found))
	b.Queue(sql("AuditHolds"), auditRows).Query(collect(&found))
	b.Queue(sql("AuditWebhooks"), o.stuck(), auditRows).Query(collect(&found))
	b.Queue(sql("AuditSchedules"), o.stuck(), auditRows).Query(collect(&found))
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("audit workers and levels: %w", err)
	}
	return found, nil
}

// auditAny looks for what is overdue of the tasks in [first, end).
func (s *Store) auditAny(ctx context.Context, first, end dag.Key, o AuditOptions) (found []Violation, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	for _, name := range []string{"AuditAnyTimers", "AuditAnyPublished"} {
		b.Queue(sql(name), first, end, o.stuck(), auditRows).Query(collect(&found))
	}
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("audit what is overdue: %w", err)
	}
	return found, nil
}

// PendingFollowup is a followup and how far it got.
type PendingFollowup struct {
	Kind         FollowupKind
	Task, Cursor dag.Key
}

// PendingFollowups are the first followups, at most limit.
func (s *Store) PendingFollowups(ctx context.Context, limit int) ([]PendingFollowup, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("AuditFollowups"), limit)
	if err != nil {
		return nil, fmt.Errorf("read followups: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PendingFollowup])
}

// AuditNames are what the tree and the task of each violation are called, empty where they are not there.
func (s *Store) AuditNames(ctx context.Context, found []Violation) (trees, tasks []string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	treeKeys, taskKeys := make([]int64, len(found)), make([]int64, len(found))
	for i, v := range found {
		treeKeys[i], taskKeys[i] = int64(v.Tree), int64(v.Task)
	}
	rows, err := s.pool.Query(ctx, sql("AuditNames"), treeKeys, taskKeys)
	if err != nil {
		return nil, nil, fmt.Errorf("read names: %w", err)
	}
	err = eachRow(rows, func(v *values) { trees, tasks = append(trees, v.text()), append(tasks, v.text()) })
	return trees, tasks, err
}
