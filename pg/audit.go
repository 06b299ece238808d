package pg

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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

func (o AuditOptions) stuck() float64 {
	if o.Stuck == 0 {
		return (10 * time.Minute).Seconds()
	}
	return o.Stuck.Seconds()
}

// The bounds of one step of an audit. A step is one snapshot, so that what moves meanwhile looks consistent; statements
// within it look at a slice of the tasks.
const (
	auditStep    = 20_000 // tasks of a step, unless a single tree has more
	auditTrees   = 1000   // trees of a step
	auditSlice   = 50_000 // tasks that one statement looks at, where it need not see a whole tree
	auditRows    = 1000   // violations that one statement reports
	auditTimeout = 5 * time.Minute
)

// AuditTurn is the right to be the one auditor of the cluster. It is a lock that holds until End, or until its connection
// breaks.
type AuditTurn struct{ conn *pgxpool.Conn }

// TakeAuditTurn takes the right to audit; nil when another process has it.
func (s *Store) TakeAuditTurn(ctx context.Context) (*AuditTurn, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("take audit turn: %w", err)
	}
	var mine bool
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue("set local idle_in_transaction_session_timeout = '10min'")
	b.Queue(sql("AuditTurn")).QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
	turn := &AuditTurn{conn: c}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		turn.End()
		return nil, fmt.Errorf("take audit turn: %w", err)
	}
	if !mine {
		turn.End()
		return nil, nil
	}
	return turn, nil
}

// Keep shows that the auditor lives; an error means that the turn is lost. To be called at least every few minutes.
func (t *AuditTurn) Keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := t.conn.Exec(ctx, "select 1")
	return err
}

// End gives the turn up.
func (t *AuditTurn) End() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = t.conn.Exec(ctx, "rollback")
	t.conn.Release()
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
	rows, err := s.pool.Query(ctx, sql("AuditWorkers"), o.stuck(), auditRows)
	if err != nil {
		return nil, fmt.Errorf("audit workers: %w", err)
	}
	workers, err := pgx.CollectRows(rows, pgx.RowToStructByName[Violation])
	return append(found, workers...), err
}

func (s *Store) auditAny(ctx context.Context, first, end dag.Key, o AuditOptions) (found []Violation, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	for _, name := range []string{"AuditAnyTimers", "AuditAnyPublished"} {
		b.Queue(sql(name), first, end, o.stuck(), auditRows).Query(collect(&found))
	}
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
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

// audit is one step.
type audit struct {
	pick  string // the statement that picks trees
	after dag.TreeKey
	gaps  bool
	still bool // also what is written once and never changes: it costs as much as all else
	o     AuditOptions

	found []Violation
	next  dag.TreeKey // 0: no more
	tasks int
}

// audited is a tree to be looked at.
type audited struct {
	Key   dag.TreeKey
	Tasks int
	Gone  bool
}

// audit runs one step in one snapshot.
func (s *Store) audit(ctx context.Context, a *audit) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer c.Release()
	defer rollback(ctx, c.Conn())
	var trees []audited
	b := &pgx.Batch{}
	b.Queue("begin isolation level repeatable read read only")
	b.Queue(fmt.Sprintf("set local statement_timeout = %d", auditTimeout.Milliseconds()))
	b.Queue("set local max_parallel_workers_per_gather = 0") // one core is enough for it
	b.Queue(sql(a.pick), a.after, a.o.Retention.Seconds(), auditTrees).Query(func(rows pgx.Rows) (err error) {
		trees, err = pgx.CollectRows(rows, pgx.RowToStructByName[audited])
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("audit: pick trees: %w", err)
	}
	trees = a.choose(trees)
	if err := a.look(ctx, c.Conn(), trees); err != nil {
		return fmt.Errorf("audit trees after %d: %w", a.after, err)
	}
	return nil
}

// choose takes as many trees as fit the step.
func (a *audit) choose(trees []audited) []audited {
	for i, t := range trees {
		if i > 0 && a.tasks+t.Tasks > auditStep {
			a.next = trees[i-1].Key
			return trees[:i]
		}
		a.tasks += t.Tasks
	}
	if len(trees) == auditTrees {
		a.next = trees[len(trees)-1].Key
	}
	return trees
}

func (a *audit) look(ctx context.Context, c *pgx.Conn, trees []audited) error {
	if a.gaps {
		if err := a.lookBetween(ctx, c, trees); err != nil {
			return err
		}
	}
	var keys []dag.TreeKey
	for _, t := range trees {
		if !t.Gone {
			keys = append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ofTrees, ofTasks := a.statements()
	b := &pgx.Batch{}
	for _, name := range ofTrees {
		b.Queue(sql(name), keys, auditRows).Query(collect(&a.found))
	}
	b.Queue(sql("AuditEvents"), keys).Query(a.lookAtEvents)
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	for _, part := range slicesOf(trees) {
		b := &pgx.Batch{}
		for _, name := range ofTasks {
			b.Queue(sql(name), part.first, part.end, auditRows).Query(collect(&a.found))
		}
		b.Queue(sql("AuditTaskWorkers"), part.first, part.end, a.o.stuck(), auditRows).Query(collect(&a.found))
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	return nil
}

// statements are what is asked of whole trees, and of slices of their tasks.
func (a *audit) statements() (ofTrees, ofTasks []string) {
	ofTrees = []string{"AuditTreeCounts", "AuditTreeRows", "AuditTreeRuns", "AuditTreeRunRows"}
	ofTasks = []string{"AuditTaskRows", "AuditTaskBlocked", "AuditTaskWaiting", "AuditTaskTimers", "AuditTaskStrayTimers", "AuditTaskAttempts"}
	if a.still {
		ofTrees, ofTasks = append(ofTrees, "AuditTreeEdges"), append(ofTasks, "AuditTaskParts", "AuditTaskEdges")
	}
	return ofTrees, ofTasks
}

// lookBetween looks for what has no tree: between the keys of the trees, and behind the last one.
func (a *audit) lookBetween(ctx context.Context, c *pgx.Conn, trees []audited) error {
	var before, next []int64
	last := int64(a.after)
	for _, t := range trees {
		if int64(t.Key) > last+1 {
			before, next = append(before, last), append(next, int64(t.Key))
		}
		last = int64(t.Key)
	}
	if a.next == 0 {
		before, next = append(before, last), append(next, math.MaxInt64>>24)
	}
	rows, err := c.Query(ctx, sql("AuditGaps"), before, next, auditRows)
	if err != nil {
		return err
	}
	return collect(&a.found)(rows)
}

func collect(found *[]Violation) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		more, err := pgx.CollectRows(rows, pgx.RowToStructByName[Violation])
		*found = append(*found, more...)
		return err
	}
}

// ranges are ranges of task keys, each within one tree.
type ranges struct{ first, end []dag.Key }

// slicesOf cuts trees into ranges, and gathers those until a slice is full. A tree's last range goes to the end of its
// keys, so that what is too much in it is seen.
func slicesOf(trees []audited) []ranges {
	var out []ranges
	var now ranges
	n := 0
	for _, t := range trees {
		if t.Gone {
			continue
		}
		first, end := t.Key.Range()
		for k := first; ; k += auditSlice {
			to, last := k+auditSlice, k+auditSlice >= first+dag.Key(t.Tasks)
			if last {
				to = end
			}
			now.first, now.end = append(now.first, k), append(now.end, to)
			if n += min(t.Tasks, auditSlice); n >= auditSlice {
				out, now, n = append(out, now), ranges{}, 0
			}
			if last {
				break
			}
		}
	}
	if n > 0 || len(now.first) > 0 {
		out = append(out, now)
	}
	return out
}

// lookAtEvents follows the events of trees, which come in their order.
func (a *audit) lookAtEvents(rows pgx.Rows) error {
	var (
		t    eventTrail
		last *int64
		body []byte
		r    eventTrail
	)
	_, err := pgx.ForEachRow(rows, []any{&r.tree, &r.sequence, &r.execution, &r.start, &r.finished, &last, &body}, func() error {
		if r.tree != t.tree {
			t.end(a)
			t = eventTrail{tree: r.tree, sequence: r.sequence, execution: r.execution, start: r.start, finished: r.finished}
		}
		if last != nil {
			t.follow(a, *last, body)
		}
		return nil
	})
	t.end(a)
	return err
}

// eventTrail is one tree's events as they are followed.
type eventTrail struct {
	tree            dag.TreeKey
	sequence, start int64 // by the tree's row
	execution       int32
	finished        bool

	at         int64 // the sequence of the event before
	executions int32
	begun      int64 // the sequence before the latest execution's first event
	final      bool  // the event before was a final one
	broken     bool
}

func (t *eventTrail) fault(a *audit, kind, format string, args ...any) {
	if !t.broken { // what follows may only be the consequence
		a.found = append(a.found, Violation{Kind: kind, Tree: t.tree, Text: fmt.Sprintf(format, args...)})
	}
	t.broken = true
}

func (t *eventTrail) follow(a *audit, last int64, body []byte) {
	events, err := decodeEvents(t.tree, body)
	if err != nil {
		t.fault(a, "event_sequence", "the events up to %d can't be read: %v", last, err)
		return
	}
	if first := last - int64(len(events)) + 1; first != t.at+1 {
		t.fault(a, "event_sequence", "%d events up to %d follow event %d", len(events), last, t.at)
	}
	for i, e := range events {
		switch {
		case e.Type == dag.EventExecution:
			t.executions++
			t.begun = last - int64(len(events)) + int64(i)
		case t.final:
			t.fault(a, "event_final", "event %d follows the final one of its execution", last-int64(len(events))+int64(i)+1)
		case t.executions == 0:
			t.fault(a, "event_sequence", "event %d comes before the first execution", last-int64(len(events))+int64(i)+1)
		}
		t.final = e.Type == dag.EventFinal
	}
	t.at = last
}

func (t *eventTrail) end(a *audit) {
	switch {
	case t.tree == 0:
	case t.at != t.sequence:
		t.fault(a, "event_sequence", "the last event is %d, the tree's row says %d", t.at, t.sequence)
	case t.executions != t.execution || t.execution > 0 && t.begun != t.start:
		t.fault(a, "event_sequence", "%d executions have begun, the last after event %d; the tree's row says %d, after %d", t.executions, t.begun, t.execution, t.start)
	case t.finished != t.final:
		t.fault(a, "event_final", "the execution has ended: %t; its last event is the final one: %t", t.finished, t.final)
	}
}
