package pg

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of a round of grants.
const (
	MaxGrantKeys  = 256  // lines that it looks at
	GrantHeads    = 8    // tasks of each, as a rule
	MaxGrantHeads = 4096 // of one line, where those before were passed
)

// The places of a task's holds: first those of its limits and its lock, then these.
const (
	holdOfPool = 100
	holdOfUser = 101
)

// GrantRound is what a round of grants is about.
type GrantRound struct {
	Keys   []dag.LimitKey // at most [MaxGrantKeys], each once
	Heads  []int32        // how many tasks of each line it looks at
	Pools  []int32        // that have live workers: others get nothing
	Room   map[int32]int  // see [dag.Granting]; it is not changed
	Flight map[int32]float64
	Weight map[int32]float64
}

// GrantResult is what has become of it.
type GrantResult struct {
	Granted   map[int32]int // published on record, by pool: load and send them now, see [Store.GrantedWork]
	Contended []*dag.Waiter
	Next      map[dag.LimitKey]time.Duration // see [dag.Grants]: how long it is until then
	NoRoom    map[dag.LimitKey]dag.Priority
	Deeper    map[dag.LimitKey]int // see [dag.Grants]: how many tasks it looked at

	tasks     []grantedTask // in the order in which they were granted
	stretches []Stretch     // of the same
	locks     map[dag.Key]*HeldLock
}

// grantedTask is a task that was granted what it had waited for.
type grantedTask struct {
	key    dag.Key
	waited time.Duration
}

// HeldLock is a lock that an attempt holds. No attempt that got it, or any other, before has a token as great.
type HeldLock struct {
	Key   string
	Token int64
}

// Grant decides which of the tasks that wait in some lines get what they ask for, and publishes these on record, in one transaction of two round trips. All
// grants come one after the other, and after the changes of what they are decided by; an error that [GrantRefused] reports true of: a task was taken out of
// its line meanwhile, try again.
func (s *Store) Grant(ctx context.Context, r GrantRound) (out GrantResult, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		out = GrantResult{}
		g := dag.Granting{Room: maps.Clone(r.Room), Flight: r.Flight, Weight: r.Weight}
		heads, err := r.load(ctx, c, &g)
		if err != nil {
			return fmt.Errorf("load %d lines: %w", len(r.Keys), err)
		}
		grants := g.Grant()
		out.Contended, out.NoRoom = grants.Contended, grants.NoRoom
		for _, k := range grants.Deeper {
			if out.Deeper == nil {
				out.Deeper = map[dag.LimitKey]int{}
			}
			out.Deeper[k] = heads[k]
		}
		for k, at := range grants.Next {
			if out.Next == nil {
				out.Next = map[dag.LimitKey]time.Duration{}
			}
			out.Next[k] = max(0, at.Sub(g.Now))
		}
		if len(grants.Granted) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		if err := writeGrants(ctx, c, grants, &out); err != nil {
			return fmt.Errorf("grant %d tasks: %w", len(grants.Granted), err)
		}
		for _, t := range grants.Granted {
			out.Granted[t.Pool]++
			out.tasks = append(out.tasks, grantedTask{t.Task, g.Now.Sub(t.At)})
		}
		return nil
	})
	return out, err
}

// GrantedWork loads what a round has granted, in one round trip that the next round need not wait for. What was taken back since is left out.
func (s *Store) GrantedWork(ctx context.Context, out *GrantResult) ([]*Work, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	work, b := map[dag.Key]*Work{}, &pgx.Batch{}
	queueWork(b, out.stretches, dag.Ready, work)
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("load granted tasks: %w", err)
	}
	s.seals.openWork(ctx, work)
	list := make([]*Work, 0, len(work))
	for _, t := range out.tasks {
		if w := work[t.key]; w != nil {
			w.Waited, w.Lock = t.waited, out.locks[t.key]
			list = append(list, w)
		}
	}
	return list, nil
}

// Add adds a line, of which so many tasks are looked at.
func (r *GrantRound) Add(k dag.LimitKey, heads int) {
	r.Keys, r.Heads = append(r.Keys, k), append(r.Heads, int32(heads))
}

// GrantRefused reports whether a transaction found something else than it had read, and wrote nothing.
func GrantRefused(err error) bool { return isRefused(err) }

// load begins the transaction, waits for its turn, and reads. It gives how many tasks of each line it looked at, at most. Of lines that are looked at because
// a task of the others is in them, too, these are as many as of any, so that it is seldom too far back.
func (r *GrantRound) load(ctx context.Context, c *pgx.Conn, g *dag.Granting) (heads map[dag.LimitKey]int, err error) {
	n := len(r.Keys)
	others := int32(GrantHeads)
	namespaces, kinds, keys := make([]int32, n), make([]int16, n), make([]string, n)
	for i, k := range r.Keys {
		namespaces[i], kinds[i], keys[i] = int32(k.Namespace), int16(k.Kind), k.Key
		others = max(others, r.Heads[i])
	}
	read := linesRead{state: map[dag.LimitKey]*dag.LimitState{}, tasks: map[dag.Key]*lineTask{}, lines: map[dag.LimitKey]int{}}
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue("set local idle_in_transaction_session_timeout = '5s'") // one that stands still must not hold up the others for long
	b.Queue(sql("LockGrants"))
	b.Queue(sql("LoadWaiters"), namespaces, kinds, keys, r.Heads, r.Pools, others).Query(read.scan)
	b.Queue("select clock_timestamp()").QueryRow(func(row pgx.Row) error { return row.Scan(&g.Now) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	g.Keys, heads = read.state, make(map[dag.LimitKey]int, n)
	for i, k := range r.Keys {
		heads[k] = int(r.Heads[i])
	}
	for k, n := range read.lines {
		if heads[k] == 0 {
			heads[k] = int(others)
		}
		if s := g.Keys[k]; s != nil {
			s.Cut = n >= heads[k]
		}
	}
	for _, k := range read.order {
		t := read.tasks[k]
		t.Partly = len(t.Wants) < t.n
		g.Waiters = append(g.Waiters, &t.Waiter)
	}
	return heads, nil
}

// linesRead gathers the rows of LoadWaiters.
type linesRead struct {
	state map[dag.LimitKey]*dag.LimitState
	tasks map[dag.Key]*lineTask
	order []dag.Key
	lines map[dag.LimitKey]int // how many tasks are at hand
}

type lineTask struct {
	dag.Waiter
	n int // keys that it asks for
}

func (w *linesRead) scan(rows pgx.Rows) error {
	return eachRow(rows, func(v *values) {
		what, key := v.smallint(), v.limitKey()
		priority, id, task, attempt, n, cost := v.smallint(), v.bigint(), v.key(), v.integer(), v.smallint(), v.integer()
		most, per, burst, contended, pool, share, at := v.integer(), v.bigint(), v.integer(), v.smallint(), v.integer(), v.integer(), v.timestamp()
		if what == 2 {
			w.state[key] = &dag.LimitState{Held: id, Ruled: cost > 0, Max: most, Per: millis(per), Burst: burst, Due: at}
			return
		}
		t := w.tasks[task]
		if t == nil {
			t = &lineTask{Waiter: dag.Waiter{Task: task, Attempt: attempt, Priority: dag.Priority(priority), Line: id, Pool: pool, Share: share, At: at}, n: int(n)}
			w.tasks[task], w.order = t, append(w.order, task)
		}
		for _, want := range t.Wants {
			if want.LimitKey == key { // it is in both parts of the answer
				return
			}
		}
		w.lines[key]++
		t.Contended = max(t.Contended, dag.OnContention(contended))
		t.Wants = append(t.Wants, dag.Want{LimitKey: key, Cost: cost, Max: most, Per: millis(per), Burst: burst})
	})
}

// writeGrants writes what was decided, and commits.
func writeGrants(ctx context.Context, c *pgx.Conn, grants dag.Grants, out *GrantResult) error {
	var tasks []int64
	var attempts []int32
	var holds holdRows
	rows := 0
	for _, t := range grants.Granted {
		rows += len(t.Wants)
		tasks, attempts = append(tasks, int64(t.Task)), append(attempts, t.Attempt)
		holds.add(t)
	}
	out.stretches = grantedStretches(grants.Granted)
	out.Granted, out.locks = map[int32]int{}, map[dag.Key]*HeldLock{}
	b := &pgx.Batch{}
	b.Queue(sql("GrantWaiters"), tasks, attempts, rows)
	holds.queue(b, out.locks)
	if len(grants.Due) > 0 {
		var namespaces []int32
		var keys []string
		var due []time.Time
		for k, at := range grants.Due {
			namespaces, keys, due = append(namespaces, int32(k.Namespace)), append(keys, k.Key), append(due, at)
		}
		b.Queue(sql("SetRates"), namespaces, keys, due)
	}
	queueGranted(b, out.stretches)
	b.Queue("commit")
	return c.SendBatch(ctx, b).Close()
}

// grantedStretches joins granted tasks of adjacent keys, the same pool, priority and attempt.
func grantedStretches(granted []dag.Granted) (out []Stretch) {
	byKey := slices.SortedFunc(slices.Values(granted), func(a, b dag.Granted) int { return cmp.Compare(a.Task, b.Task) })
	for _, t := range byKey {
		if n := len(out); n > 0 && out[n-1].continues(t.Task, t.Pool, t.Priority, t.Attempt) {
			out[n-1].N++
		} else {
			out = append(out, Stretch{Pool: t.Pool, Priority: t.Priority, First: t.Task, N: 1, Attempt: t.Attempt})
		}
	}
	return out
}

// queueGranted publishes them on record.
func queueGranted(b *pgx.Batch, stretches []Stretch) {
	n := len(stretches)
	pools, priorities, firsts, ns, attempts := make([]int32, n), make([]int16, n), make([]int64, n), make([]int32, n), make([]int32, n)
	for i, s := range stretches {
		pools[i], priorities[i], firsts[i], ns[i], attempts[i] = s.Pool, int16(s.Priority), int64(s.First), s.N, s.Attempt
	}
	b.Queue(sql("PublishGranted"), pools, priorities, firsts, ns, attempts)
}

// holdRows are the rows of holds.
type holdRows struct {
	tasks, ids   []int64
	ords, kinds  []int16
	attempts     []int32
	namespaces   []int32
	keys         []string
	costs, mosts []int32
}

func (r *holdRows) add(t dag.Granted) {
	for i, want := range t.Holds {
		ord := int16(i)
		switch want.Kind {
		case dag.KindPool:
			ord = holdOfPool
		case dag.KindUser:
			ord = holdOfUser
		}
		r.tasks, r.ids, r.ords, r.kinds = append(r.tasks, int64(t.Task)), append(r.ids, t.Line), append(r.ords, ord), append(r.kinds, int16(want.Kind))
		r.attempts, r.namespaces, r.keys = append(r.attempts, t.Attempt), append(r.namespaces, int32(want.Namespace)), append(r.keys, want.Key)
		r.costs, r.mosts = append(r.costs, want.Cost), append(r.mosts, want.Max)
	}
}

// queue writes them, and notes the locks.
func (r *holdRows) queue(b *pgx.Batch, locks map[dag.Key]*HeldLock) {
	if len(r.tasks) == 0 {
		return
	}
	b.Queue(sql("InsertHolds"), r.tasks, r.ords, r.attempts, r.namespaces, r.kinds, r.keys, r.costs, r.mosts, r.ids).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			task, kind, key, token := v.key(), dag.LimitKind(v.smallint()), v.text(), v.bigint()
			if kind == dag.KindLock {
				locks[task] = &HeldLock{Key: key, Token: token}
			}
		})
	})
}
