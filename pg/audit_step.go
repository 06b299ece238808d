package pg

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// The bounds of one step of an audit. A step is one snapshot, so that what moves meanwhile looks consistent; statements
// within it look at a slice of the tasks.
const (
	auditStep    = 20_000 // tasks of a step, unless a single tree has more
	auditTrees   = 1000   // trees of a step
	auditSlice   = 50_000 // tasks that one statement looks at, where it need not see a whole tree
	auditRows    = 1000   // violations that one statement reports
	auditTimeout = 5 * time.Minute
)

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
	beginAs(b, c.Conn(), "begin isolation level repeatable read read only")
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

// look asks whole trees first, then slices of their tasks, so that no statement reads more than a slice and a single tree needs.
// Trees that may be half deleted are left out; that they are there is all that matters of them.
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
	ofTrees = []string{"AuditTreeCounts", "AuditTreeRows", "AuditTreeNamespaces", "AuditTreeStretches", "AuditTreeStretchRows", "AuditTreePools", "AuditTreeHolds", "AuditTreePlaces", "AuditTreeRuns"}
	ofTasks = []string{"AuditTaskRows", "AuditTaskBlocked", "AuditTaskWaiting", "AuditTaskExpanded", "AuditTaskAwaiting", "AuditTaskSubtrees", "AuditTaskTimers", "AuditTaskStrayTimers", "AuditTaskTimes", "AuditTaskAttempts", "AuditTaskUsage"}
	if a.still {
		ofTrees, ofTasks = append(ofTrees, "AuditTreeEdges", "AuditTreeBundles"), append(ofTasks, "AuditTaskParts", "AuditTaskEdges", "AuditTaskArtifacts")
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

// collect takes the violations that a statement found.
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
