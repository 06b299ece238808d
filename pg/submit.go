package pg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Submission is a tree to be stored.
type Submission struct {
	IdempotencyKey string
	UserID         string // owner when the tasks name none
	Hold           bool   // store only
	Timeout        time.Duration
	Limits         dag.Limits
	// Known tells whether a worker was ever known to have the executor (spec K13).
	Known func(executor string) bool
	// Repeatable tells whether all tasks of the executor are; nil: none.
	Repeatable func(executor string) bool
	Tasks      iter.Seq2[*dag.Task, error]
	Room       Room
	// Large is called before a tree that is not small is stored, which takes a connection for as long as its tasks take to
	// arrive: it waits for leave, and gives what is to be called when the tree is stored. nil: any number at once.
	Large func(context.Context) (done func(), err error)
}

// Submitted is a stored tree.
type Submitted struct {
	Tree     dag.TreeKey // 0 when replayed
	RootID   string
	Tasks    int
	Replayed bool              // the idempotency key was known
	IDMap    map[string]string // ids that were taken, given -> actual; nil when none
	Effects  *Effects
}

// pending is what stays in memory of each task of a submission until the whole is validated: no inputs.
type pending struct {
	name, executor, pool string
	custom               *details // nil: all defaults
	priority             dag.Priority
	repeatable           bool
}

type details struct {
	retry                    dag.RetryPolicy
	onLost                   dag.OnLost
	timeout, scheduleToStart time.Duration
	notBefore                time.Time
}

// intake reads a submission's tasks once: payloads flow on, ids and edges stay.
type intake struct {
	builder     *dag.Builder
	tasks       []pending
	digest      hash.Hash
	scratch     []byte
	intern      map[string]string
	treeTimeout time.Duration
}

func newIntake(limits dag.Limits, digest bool) *intake {
	in := &intake{builder: dag.NewBuilder(limits, uuid.NewString), intern: map[string]string{}}
	if digest {
		in.digest = sha256.New()
	}
	return in
}

func (in *intake) add(t *dag.Task) (int, error) {
	i, err := in.builder.Add(t)
	if err != nil {
		return i, err
	}
	p := pending{name: t.Name, executor: in.once(t.Executor), pool: in.once(t.QueueName()), priority: t.Priority, repeatable: t.Repeatable}
	if t.Retry != (dag.RetryPolicy{}) || t.OnLost != 0 || t.Timeout != 0 || t.ScheduleToStart != 0 || !t.NotBefore.IsZero() {
		p.custom = &details{retry: t.Retry, onLost: t.OnLost, timeout: t.Timeout, scheduleToStart: t.ScheduleToStart, notBefore: t.NotBefore}
	}
	if t.TreeTimeout > 0 {
		in.treeTimeout = t.TreeTimeout
	}
	in.tasks = append(in.tasks, p)
	if in.digest != nil {
		in.addDigest(t)
	}
	return i, nil
}

// once keeps one copy of a text that many tasks share.
func (in *intake) once(s string) string {
	if kept, ok := in.intern[s]; ok {
		return kept
	}
	if len(in.intern) < 10_000 {
		in.intern[s] = s
	}
	return s
}

// addDigest takes everything that makes two submissions the same into the digest.
func (in *intake) addDigest(t *dag.Task) {
	b := in.scratch[:0]
	put := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	for _, s := range []string{t.ID, t.Name, t.ParentRef, t.UserID, t.Executor, t.Pool} {
		put(s)
	}
	for _, raw := range [][]byte{t.Inputs, t.Params, t.Schemas, t.Custom} {
		put(string(raw))
	}
	for _, d := range t.Dependencies {
		put(fmt.Sprintf("%q %t %q", d.Ref, d.Optional, d.Type))
	}
	put(fmt.Sprint(t.Priority, t.Retry, t.OnLost, t.Repeatable, t.Timeout, t.ScheduleToStart, t.TreeTimeout, t.NotBefore.UnixNano()))
	in.digest.Write(b)
	in.scratch = b
}

// sourceError is an error that the submission's own tasks iterator gave.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// Submit validates and stores a tree in one transaction. A small one shares its transaction with others that come at the
// same time (see [group]); the payloads of a large one flow into its own as they are read. Errors: those of the tasks
// iterator as they are, *dag.InvalidTreeError, [ErrDigest]; nothing is stored then. After another error the tree may be
// stored: only the idempotency key tells.
func (s *Store) Submit(ctx context.Context, sub Submission) (*Submitted, error) {
	small, all, stop := firstTasks(sub.Tasks) // nobody waits, and no connection, while it is read
	defer stop()
	sub.Tasks = all
	if small != nil {
		out, err := s.submitSmall(ctx, sub, small)
		if !isUnique(err, "spec_id") { // somebody took one of its ids meanwhile: a large one looks again
			return out, err
		}
	}
	if sub.Large != nil {
		done, err := sub.Large(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	return s.submitLarge(ctx, sub)
}

// submitLarge stores a tree of any size on a connection of its own.
func (s *Store) submitLarge(ctx context.Context, sub Submission) (*Submitted, error) {
	in := newIntake(sub.Limits, sub.IdempotencyKey != "")
	if sub.IdempotencyKey != "" {
		if found, err := s.replay(ctx, sub, in); found != nil || err != nil {
			return found, err
		}
	}
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	out, err := s.submit(ctx, c.Conn(), sub, in)
	if err == nil {
		return out, nil
	}
	rollback(ctx, c.Conn())
	if sub.IdempotencyKey != "" && isUnique(err, "submission_pkey") { // another one was quicker: its answer is the answer
		return s.replayed(context.WithoutCancel(ctx), sub.IdempotencyKey, in.digest.Sum(nil))
	}
	if src, ok := errors.AsType[sourceError](err); ok {
		return nil, src.error
	}
	return nil, err
}

// rollback ends a transaction that failed; a connection that can't is destroyed when it is released.
func rollback(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = c.Exec(ctx, "rollback")
}

// replay answers a submission whose idempotency key is known, after reading it whole to compare. nil, nil: not known.
func (s *Store) replay(ctx context.Context, sub Submission, in *intake) (*Submitted, error) {
	if _, err := s.replayed(ctx, sub.IdempotencyKey, nil); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if !errors.Is(err, ErrDigest) {
			return nil, err
		}
	}
	for t, err := range sub.Tasks {
		if err != nil {
			return nil, err
		}
		if _, err := in.add(t); err != nil {
			return nil, err
		}
	}
	return s.replayed(ctx, sub.IdempotencyKey, in.digest.Sum(nil))
}

func (s *Store) replayed(ctx context.Context, key string, digest []byte) (*Submitted, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var had submission
	err := s.pool.QueryRow(ctx, sql("FindSubmissions"), []string{key}).Scan(nil, &had.digest, &had.rootID, &had.tasks)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return had.answer(digest)
}

// submission is what an idempotency key stands for.
type submission struct {
	digest []byte
	rootID string
	tasks  int
}

// answer answers another submission with the key.
func (had submission) answer(digest []byte) (*Submitted, error) {
	if !bytes.Equal(had.digest, digest) {
		return nil, ErrDigest
	}
	return &Submitted{Replayed: true, RootID: had.rootID, Tasks: had.tasks}, nil
}

func isUnique(err error, constraint string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName == constraint
}

func (s *Store) submit(ctx context.Context, c *pgx.Conn, sub Submission, in *intake) (*Submitted, error) {
	var tree dag.TreeKey
	var id identity
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue("set local statement_timeout = 0") // the client's pace, and ctx, bound the copy
	b.Queue("set local idle_in_transaction_session_timeout = '10min'")
	b.Queue(sql("NextTrees"), 1).QueryRow(func(row pgx.Row) error { return row.Scan(&tree, &id.created, &id.server) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("begin submission: %w", err)
	}
	if err := copyPayloads(ctx, c, tree, sub.Tasks, in); err != nil {
		return nil, err
	}
	st, err := s.build(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	st.tree = tree
	idMap, err := st.copySpecs(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := st.copyTasks(ctx, c); err != nil {
		return nil, err
	}
	eff, err := st.finish(ctx, c)
	if err != nil {
		return nil, err
	}
	if !sub.Hold && largeResidentSize(st.g) <= residentLarge {
		s.resident.add(tree, newLargeResidentTree(st.g, tree, id))
	}
	return st.submitted(idMap, eff), nil
}

// build validates the tasks that were read and looks up their pools.
func (s *Store) build(ctx context.Context, sub Submission, in *intake) (*store, error) {
	g, err := in.builder.Build()
	if err != nil {
		return nil, err
	}
	if g.UserID == "" {
		g.UserID = sub.UserID
	}
	if sub.Timeout == 0 {
		sub.Timeout = in.treeTimeout
	}
	names := map[string]bool{}
	for i := range in.tasks {
		if p := &in.tasks[i]; p.pool != "" && !names[p.pool] && !unknown(p, sub.Known) {
			names[p.pool] = true
		}
	}
	pools, err := s.poolIDs(ctx, names)
	if err != nil {
		return nil, err
	}
	return &store{g: g, in: in, sub: sub, pools: pools}, nil
}

func (st *store) submitted(idMap map[string]string, eff *Effects) *Submitted {
	return &Submitted{Tree: st.tree, RootID: st.g.IDs[st.g.Root], Tasks: len(st.g.IDs), IDMap: idMap, Effects: eff}
}

// copyPayloads reads the tasks and copies their payloads; tasks that have none cost nothing here.
func copyPayloads(ctx context.Context, c *pgx.Conn, tree dag.TreeKey, tasks iter.Seq2[*dag.Task, error], in *intake) error {
	next, stop := iter.Pull2(tasks)
	defer stop()
	var fault error
	read := func() (*dag.Task, int, bool) {
		for {
			t, err, ok := next()
			if !ok {
				return nil, 0, false
			}
			if err != nil {
				fault = sourceError{err}
				return nil, 0, false
			}
			i, err := in.add(t)
			if err != nil {
				fault = err
				return nil, 0, false
			}
			if carries(t) {
				return t, i, true
			}
		}
	}
	t, i, ok := read()
	if !ok {
		return fault
	}
	err := copyRows(ctx, c, sql("CopyPayloads"), func(w *rowWriter) (bool, error) {
		if !ok {
			return false, fault
		}
		putPayload(w, tree.Key(i), t)
		t, i, ok = read()
		return true, nil
	})
	if err != nil && fault == nil {
		return fmt.Errorf("copy payloads: %w", err)
	}
	return cmp.Or(fault, err)
}

// store writes a validated tree.
type store struct {
	tree  dag.TreeKey
	g     *dag.Graph
	in    *intake
	sub   Submission
	pools map[string]int32

	dependents []int32 // how many, by task; counted when it is needed

	// of one try to store it
	runs     []Stretch
	releases []dag.Key
	leaves   int
	given    []string // ids before taken ones were renamed; nil: none was
}

// again forgets an earlier try.
func (st *store) again() {
	if st.given != nil {
		copy(st.g.IDs, st.given)
	}
	st.runs, st.releases, st.leaves, st.given = nil, nil, 0, nil
}

// copySpecs copies what identifies the tasks. Ids that are taken already get new ones (spec 2.1); when somebody takes
// one between the look and the copy, it looks again.
func (st *store) copySpecs(ctx context.Context, c *pgx.Conn) (idMap map[string]string, err error) {
	for try := 0; ; try++ {
		if idMap, err = st.renameTaken(ctx, c, idMap); err != nil {
			return nil, err
		}
		if _, err := c.Exec(ctx, "savepoint specs"); err != nil {
			return nil, err
		}
		err = copyRows(ctx, c, sql("CopySpecs"), eachTask([]*store{st}, (*store).putSpec))
		if err == nil {
			return idMap, nil
		}
		if !isUnique(err, "spec_id") || try == maxRetries {
			return nil, fmt.Errorf("copy specs: %w", err)
		}
		if _, err := c.Exec(ctx, "rollback to savepoint specs"); err != nil {
			return nil, err
		}
	}
}

func (st *store) renameTaken(ctx context.Context, c *pgx.Conn, idMap map[string]string) (map[string]string, error) {
	const chunk = 10_000
	for from := 0; from < len(st.g.IDs); from += chunk {
		rows, err := c.Query(ctx, sql("TakenIDs"), st.g.IDs[from:min(from+chunk, len(st.g.IDs))])
		if err != nil {
			return nil, fmt.Errorf("look for taken ids: %w", err)
		}
		taken, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("look for taken ids: %w", err)
		}
		idMap = st.rename(taken, idMap)
	}
	return idMap, nil
}

// rename gives new ids to tasks whose own are taken, and notes them in idMap, which it makes when it is nil.
func (st *store) rename(taken []string, idMap map[string]string) map[string]string {
	if len(taken) == 0 {
		return idMap
	}
	if idMap == nil {
		idMap = map[string]string{}
	}
	index := make(map[string]int, len(st.g.IDs))
	for i, id := range st.g.IDs {
		index[id] = i
	}
	if st.given == nil {
		st.given = slices.Clone(st.g.IDs)
	}
	for _, id := range taken {
		st.g.IDs[index[id]] = uuid.NewString()
		idMap[id] = st.g.IDs[index[id]]
	}
	return idMap
}

// copyTasks copies the scheduling state and the edges, and finds which tasks begin.
func (st *store) copyTasks(ctx context.Context, c *pgx.Conn) error {
	stores := []*store{st}
	if err := copyRows(ctx, c, sql("CopyTasks"), eachTask(stores, (*store).putTask)); err != nil {
		return fmt.Errorf("copy tasks: %w", err)
	}
	if len(st.g.Dep) == 0 {
		return nil
	}
	if err := copyRows(ctx, c, sql("CopyEdges"), eachEdge(stores)); err != nil {
		return fmt.Errorf("copy edges: %w", err)
	}
	return nil
}

// begin is the first state of task i.
func (st *store) begin(i int) dag.Row {
	p := &st.in.tasks[i]
	r := dag.Row{Key: st.tree.Key(i), State: dag.Waiting, Priority: p.priority, Pool: st.pools[p.pool], Attempt: 1,
		Remaining: int32(len(st.g.Dependencies(i)))}
	r.Flags = st.flags(i)
	if r.Flags&dag.FlagLeaf != 0 {
		st.leaves++
	}
	switch {
	case st.sub.Hold:
		r.State = dag.Held
	case r.Remaining > 0:
	case r.Flags&(dag.FlagGroup|dag.FlagTimed|dag.FlagUnknown) != 0:
		st.releases = append(st.releases, r.Key)
	default:
		r.State = dag.Ready
		st.run(&r)
	}
	return r
}

// flags are the facts of task i that scheduling needs.
func (st *store) flags(i int) (f dag.Flags) {
	if st.dependents == nil {
		st.dependents = make([]int32, len(st.g.IDs))
		for _, e := range st.g.Dep {
			st.dependents[e.Task]++
		}
	}
	p, dependents := &st.in.tasks[i], st.dependents[i]
	for _, fact := range []struct {
		flag dag.Flags
		set  bool
	}{
		{dag.FlagLeaf, st.g.Leaf[i]},
		{dag.FlagGroup, p.executor == ""},
		{dag.FlagRepeatable, p.repeatable || st.sub.Repeatable != nil && st.sub.Repeatable(p.executor)},
		{dag.FlagDependents, dependents > 0},
		{dag.FlagWide, dependents > dag.InlineDependents},
		{dag.FlagTimed, p.custom != nil && (!p.custom.notBefore.IsZero() || p.custom.scheduleToStart > 0)},
		{dag.FlagTimeout, p.custom != nil && p.custom.timeout > 0},
		{dag.FlagUnknown, unknown(p, st.sub.Known)},
	} {
		if fact.set {
			f |= fact.flag
		}
	}
	return f
}

// unknown reports whether nobody has the task's executor (spec K13). A task that names its pool waits for a worker
// there to say so.
func unknown(p *pending, known func(string) bool) bool {
	return p.executor != "" && p.pool == p.executor && known != nil && !known(p.executor)
}

// run adds a ready task to the runs; keys come in order.
func (st *store) run(r *dag.Row) {
	if n := len(st.runs); n > 0 {
		last := &st.runs[n-1]
		if last.Pool == r.Pool && last.Priority == r.Priority && last.First+dag.Key(last.N) == r.Key && last.N < maxStretch {
			last.N++
			return
		}
	}
	st.runs = append(st.runs, Stretch{Pool: r.Pool, Priority: r.Priority, First: r.Key, N: 1, Attempt: 1})
}

// finish writes the tree's row and what begins at once, and commits.
func (st *store) finish(ctx context.Context, c *pgx.Conn) (*Effects, error) {
	b := &pgx.Batch{}
	var rows treeRows
	rows.add(st)
	rows.queue(b)
	placed, work := map[dag.Key]bool{}, map[dag.Key]*Work{}
	if len(st.runs) > 0 {
		st.direct()
		queueStretches(b, st.runs, placed)
		queueWork(b, directOf(st.runs), dag.Ready, work)
	}
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write tree: %w", err)
	}
	eff := st.effects()
	eff.place(st.runs, placed, work)
	return eff, nil
}

// effects are what is left to do after the commit, but for the runs.
func (st *store) effects() *Effects {
	eff := &Effects{}
	if !st.sub.Hold {
		eff.Followups, eff.Timers, eff.Trees = len(st.releases), st.timers(), []TreeSequence{{Tree: st.tree, Sequence: 1}}
	}
	return eff
}

func (st *store) timers() []dag.Timer {
	if st.sub.Hold || st.sub.Timeout <= 0 {
		return nil
	}
	return []dag.Timer{{Task: st.tree.Key(int(st.g.Root)), Attempt: 1, Kind: dag.TimerTree, Delay: st.sub.Timeout}}
}

func (st *store) direct() {
	for i := range st.runs {
		st.runs[i].Direct = st.sub.Room != nil && st.sub.Room(st.runs[i].Pool, st.runs[i].Priority, st.runs[i].N)
	}
}
