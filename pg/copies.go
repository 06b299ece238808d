package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Copying is what is to be copied, and how.
type Copying struct {
	Namespace   dag.NamespaceKey // the target's
	Target      dag.Key
	Mode        dag.CopyMode
	Named       []dag.Key // of the target's tree; others are not looked at
	Descendants bool
	Reset       Reset
	// IdempotencyKey and Digest, of all that was asked for, are as those of a [Submission]; empty: none.
	IdempotencyKey string
	Digest         []byte
	// Known tells whether a worker was ever known to have the executor.
	Known func(executor string) bool
	// BeforeCommit is called when all but the commit is done; nil: nothing is.
	BeforeCommit func()
}

// Reset says what is left out of tasks that are kept as they ended (spec 4.1, 4.3). One without its status is not kept: it is to run again.
type Reset struct {
	Status, Result, Error, StartedAt, CompletedAt bool
}

// Copied is a stored copy.
type Copied struct {
	Tree     dag.TreeKey // 0 when replayed
	RootID   string
	Tasks    int
	Replayed bool // the idempotency key was known
}

// Copy stores a copy of a task with what belongs to it as a tree that is held, in one transaction: the original as one moment showed it. What
// is kept comes with the last attempt of its original, as its first one. Nobody can start, change or delete the original meanwhile. [ErrNotFound],
// [ErrDigest], [ErrBusy], *[PoolLimitError], *[dag.LevelError], *[dag.InvalidTreeError]: rules of pools forbid tasks that would run.
func (s *Store) Copy(ctx context.Context, what Copying) (*Copied, error) {
	for tries := 1; ; tries++ {
		t := &treeCopy{Copying: what, s: s, tree: what.Target.Tree()}
		err := t.store(ctx)
		switch {
		case what.IdempotencyKey != "" && isUnique(err, "submission_pkey"): // another one was quicker: its answer is the answer
			return t.firstAnswer(context.WithoutCancel(ctx))
		case errors.Is(err, errPoolClosed):
			if err := s.pools.reopen(ctx, t.closed, t.user); err != nil {
				return nil, err
			}
		case !isRefused(err): // else it was changed meanwhile
			return t.out, levelRefusal(quotaRefusal(err), s.editLevels(), dag.EditLevel)
		}
		if tries > maxRetries {
			return nil, fmt.Errorf("copy of tree %d: %w", t.tree, err)
		}
	}
}

// firstAnswer is what the copy with the idempotency key was answered.
func (t *treeCopy) firstAnswer(ctx context.Context) (*Copied, error) {
	first, err := t.s.submissions.firstAnswer(ctx, t.Namespace, t.IdempotencyKey, digests{digest: t.Digest, canonical: t.Digest})
	if err != nil {
		return nil, err
	}
	return &Copied{RootID: first.RootID, Tasks: first.Tasks, Replayed: true}, nil
}

// CopyPlan says what a copy would hold: the tasks in their order, and which of them are kept. Nothing is stored. [ErrNotFound].
func (s *Store) CopyPlan(ctx context.Context, what Copying) (keys []dag.Key, plan dag.CopyPlan, err error) {
	t := &treeCopy{Copying: what, s: s, tree: what.Target.Tree()}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		t.original = original{}
		if err := t.read(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "rollback")
		return err
	})
	if err != nil {
		return nil, plan, err
	}
	for _, i := range t.plan.Tasks {
		keys = append(keys, t.tree.Key(int(i)))
	}
	return keys, t.plan, nil
}

// treeCopy is one try to copy a tree.
type treeCopy struct {
	Copying
	s    *Store
	tree dag.TreeKey // the original
	original

	plan    dag.CopyPlan
	copy    dag.TreeKey
	runs    bool             // the cluster has [dag.RunsLevel]
	place   []int32          // of each task of the original in the copy, plus one
	pools   map[string]int32 // of executors that nobody knew when the original was submitted
	poolIDs []int32          // of its tasks
	closed  []int32          // those of them that are closed
	out     *Copied
}

// store is the transaction, tried again when Postgres asks for it.
func (t *treeCopy) store(ctx context.Context) error {
	return retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		c, err := t.s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		t.original, t.out = original{}, nil
		err = t.storeOn(ctx, c.Conn())
		rollback(ctx, c.Conn())
		return err
	})
}

func (t *treeCopy) storeOn(ctx context.Context, c *pgx.Conn) error {
	if err := t.read(ctx, c); err != nil || t.out != nil {
		return err
	}
	if err := t.allowed(ctx, c); err != nil {
		return err
	}
	if err := t.findPools(ctx); err != nil {
		return err
	}
	if err := t.keepPools(ctx, c); err != nil {
		return err
	}
	rows := t.rows()
	if err := copyRows(ctx, c, sql("CopyCopiedTasks"), rows.tasks()); err != nil {
		return fmt.Errorf("copy tasks of tree %d: %w", t.tree, err)
	}
	if err := copyRows(ctx, c, sql("CopyEdges"), rows.edges()); err != nil {
		return fmt.Errorf("copy edges of tree %d: %w", t.tree, err)
	}
	if err := rows.writeSpecs(ctx, c); err != nil {
		return fmt.Errorf("copy specifications of tree %d: %w", t.tree, err)
	}
	if err := rows.trimSealed(ctx, c); err != nil {
		return fmt.Errorf("copy results of tree %d: %w", t.tree, err)
	}
	if t.BeforeCommit != nil {
		t.BeforeCommit()
	}
	if err := rows.finish(ctx, c); err != nil {
		return fmt.Errorf("write copy of tree %d: %w", t.tree, err)
	}
	return nil
}

// allowed is a *[dag.InvalidTreeError] of the tasks that are to run again and that the rules of their pools forbid.
func (t *treeCopy) allowed(ctx context.Context, c *pgx.Conn) error {
	if t.s.KnownPoolRules() == nil {
		return nil
	}
	var keys []dag.Key
	for n, i := range t.plan.Tasks {
		if !t.plan.Keep[n] {
			keys = append(keys, t.tree.Key(int(i)))
		}
	}
	return t.s.allowed(ctx, c, keys, func(k dag.Key) int32 { return t.lanes[k.Index()].Pool })
}

// read begins the transaction, reads the original, and plans the copy; or finds the answer that the idempotency key stands for.
func (t *treeCopy) read(ctx context.Context, c *pgx.Conn) error {
	first, end := t.tree.Range()
	had := existing{keys: map[named]submission{}}
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue("set local statement_timeout = 0") // as long as ctx
	b.Queue(sql("LockCopied"), t.tree)
	if t.IdempotencyKey != "" {
		b.Queue(sql("FindSubmissions"), []string{t.IdempotencyKey}, []dag.NamespaceKey{t.Namespace}).Query(had.takeSubmissions)
	}
	b.Queue(sql("TreeToCopy"), t.tree).QueryRow(func(row pgx.Row) error { return row.Scan(&t.root, &t.count, &t.revision, &t.user, &t.stored, &t.bytes) })
	b.Queue(sql("CopyRows"), first, end).Query(t.original.scan)
	err := c.SendBatch(ctx, b).Close()
	if one, known := had.keys[named{t.Namespace, t.IdempotencyKey}]; known {
		answer, err := one.answer(ctx, t.s.seals, digests{digest: t.Digest, canonical: t.Digest})
		if err == nil {
			t.out = &Copied{RootID: answer.RootID, Tasks: answer.Tasks, Replayed: true}
		}
		return err
	}
	switch i := t.Target.Index(); {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("read tree %d: %w", t.tree, err)
	case t.stored != t.Namespace, t.count > t.there, i >= len(t.nodes): // the rest is deleted (see Expire)
		return ErrNotFound
	case t.found[i]:
		return foundNotCopied(i)
	case t.nodes[i].Absent:
		return ErrNotFound
	}
	request := dag.CopyRequest{Mode: t.Mode, Target: t.Target.Index(), Descendants: t.Descendants, Fresh: t.Reset.Status}
	for _, k := range t.Named {
		i := k.Index()
		if k.Tree() != t.tree || i >= len(t.nodes) {
			continue
		}
		if t.found[i] {
			return foundNotCopied(i)
		}
		if !t.nodes[i].Absent {
			request.Named = append(request.Named, i)
		}
	}
	t.plan = dag.PlanCopy(t.nodes, t.dependencies, request)
	return nil
}

// foundNotCopied refuses to copy what was found at run time by itself.
func foundNotCopied(index int) error {
	return &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidField, Index: index, Field: "task_id",
		Reason: "a task that was found at run time is not copied: the copy of the task that found it finds anew"}}}
}

// original is a tree as one moment showed it, by index. What was found at run time is absent. It has no inputs and results: these never leave Postgres.
type original struct {
	root     dag.Key
	count    int // of tasks, by the tree's row
	revision int64
	user     string
	stored   dag.NamespaceKey // its namespace
	bytes    *int64           // of what its tasks carry; nil: not known

	there    int // tasks
	nodes    []dag.CopyNode
	found    []bool // at run time
	grows    bool   // some were, or may be
	flags    []dag.Flags
	attempts []int32
	lanes    []dag.Lane
	progress []float32
	start    []int32
	deps     []dag.Edge
	unknown  map[int]string // executors that nobody knew when the tree was submitted
}

func (o *original) dependencies(i int) []dag.Edge { return o.deps[o.start[i]:o.start[i+1]] }

// scan takes the tasks in, which come by index; some may be deleted.
func (o *original) scan(rows pgx.Rows) error {
	var (
		key      dag.Key
		node     dag.CopyNode
		flags    dag.Flags
		attempt  int32
		lane     dag.Lane
		progress *float32
		deps     []int32
		modes    []int16
		executor *string
	)
	o.start, o.unknown = append(o.start, 0), map[int]string{}
	add := func(n dag.CopyNode, f dag.Flags, attempt int32, l dag.Lane, p float32) {
		o.nodes, o.flags, o.attempts, o.lanes, o.progress = append(o.nodes, n), append(o.flags, f), append(o.attempts, attempt), append(o.lanes, l), append(o.progress, p)
		o.start, o.found = append(o.start, int32(len(o.deps))), append(o.found, f&dag.FlagChild != 0)
	}
	_, err := pgx.ForEachRow(rows, []any{&key, &node.State, &flags, &attempt, &lane.Priority, &lane.Pool, &progress, &node.Parent, &deps, &modes, &executor}, func() error {
		for len(o.nodes) < key.Index() {
			add(dag.CopyNode{Absent: true, Parent: -1}, 0, 0, dag.Lane{}, 0)
		}
		o.grows = o.grows || node.State == dag.Expanded || flags&dag.FlagChild != 0
		if node.Absent = flags&dag.FlagChild != 0; node.Absent {
			node.Parent, deps = -1, nil
		}
		for n, d := range deps {
			o.deps = append(o.deps, dag.Edge{Task: max(d, -d) - 1, Required: d > 0, Mode: modeAt(modes, n)})
		}
		if executor != nil && !node.Absent {
			o.unknown[key.Index()] = *executor
		}
		var reported float32
		if progress != nil {
			reported = *progress
		}
		add(node, flags, attempt, lane, reported)
		o.there++
		deps, modes, executor, progress = nil, nil, nil, nil
		return nil
	})
	return err
}

// KeysOf are the keys of the namespace's tasks with the ids; those that are not there are missing.
func (s *Store) KeysOf(ctx context.Context, namespace dag.NamespaceKey, ids []string) (map[string]dag.Key, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("KeysOf"), ids, namespace)
	if err != nil {
		return nil, fmt.Errorf("look up %d tasks: %w", len(ids), err)
	}
	out := make(map[string]dag.Key, len(ids))
	return out, eachRow(rows, func(v *values) { out[v.text()] = v.key() })
}

// TasksByKeys shows tasks as they were submitted, with their options, in the order of their keys given; those that are not there are missing.
func (s *Store) TasksByKeys(ctx context.Context, keys []dag.Key) ([]*Shown, error) {
	list, err := s.shown(ctx, 0, "TasksByKeys", keys)
	if err != nil {
		return nil, err
	}
	return list, s.addOptions(ctx, list)
}
