package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// load says which tasks a transaction reads and locks before it decides about them.
type load struct {
	keys       []dag.Key
	policies   []dag.Key // whose policies are needed whatever their flags say
	dependents bool      // and the tasks that their ends unlock at once
	// apart are those of keys whose dependents are not looked for whatever is known of them: followups tell any.
	apart map[dag.Key]bool
	// unlockNothing are those of keys that are said to unlock nothing: their dependents are not looked for. Should there be
	// any, a followup tells them.
	unlockNothing []dag.Key
	begun         bool               // the transaction has begun
	before        func(b *pgx.Batch) // queues what is to be done before tasks are locked, each with its own callback
	after         func(b *pgx.Batch) // queues what is to be read once tasks are locked; it may be called twice
}

// lock begins the transaction on c, locks the tasks, and gives a decision about the tasks as they are, and a view
// of the resident trees that they belong to. One round trip, or two if a tree is not the one that is resident.
func (l load) lock(ctx context.Context, c *pgx.Conn, r *residentTrees) (*dag.Decision, *residentView, error) {
	if l.policies == nil {
		l.policies = []dag.Key{}
	}
	l.keys = slices.Clone(l.keys) // the caller's stay in their order
	slices.Sort(l.keys)
	l.keys = slices.Compact(l.keys) // a key that stands twice would tell its dependents twice
	trees := treesOf(l.keys)
	view := &residentView{all: r}
	if l.dependents {
		view = r.view(trees)
	}
	d, stale, err := l.lockIn(ctx, c, trees, view)
	if err == nil && stale { // the locks stay; the rest is read anew, without what is resident
		l.begun, l.before = true, nil
		view = &residentView{all: r}
		d, _, err = l.lockIn(ctx, c, trees, view)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock %d tasks: %w", len(l.keys), err)
	}
	return d, view, nil
}

// lockIn locks the tasks and their dependents: those of resident trees as the view has them, others as Postgres finds them. stale:
// a tree is not the one that is resident.
func (l load) lockIn(ctx context.Context, c *pgx.Conn, trees []dag.TreeKey, view *residentView) (d *dag.Decision, stale bool, err error) {
	b := &pgx.Batch{}
	if !l.begun {
		begin(b, c)
	}
	d = dag.NewDecision(time.Time{}, rand.Float64)
	if l.before != nil {
		l.before(b)
	}
	lock, search := l.split(view)
	scan := func(rows pgx.Rows) error { return scanLocked(rows, d) }
	if len(search) == 0 {
		b.Queue(sql("LockTasks"), lock, l.policies, trees).Query(scan)
	} else {
		b.Queue(sql("LockTasksAndDependents"), search, l.policies, trees, lock).Query(scan)
		b.Queue(sql("DependentsOf"), search).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) {
				d.AddDependent(v.key(), dag.Dependent{Key: v.key(), Required: v.boolean(), Mode: dag.EdgeMode(v.smallint())})
			})
		})
	}
	if l.after != nil {
		l.after(b)
	}
	if len(view.trees) > 0 {
		queueIdentities(b, view, func() { stale = true })
	}
	b.Queue("select clock_timestamp()").QueryRow(func(row pgx.Row) error { // all is locked
		var now time.Time
		err := row.Scan(&now)
		d.SetNow(now)
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, false, err
	}
	if l.dependents {
		view.eachDependent(l.unlocking(), d.AddDependent)
	}
	return d, stale, nil
}

// split gives the tasks to be locked, and those whose dependents Postgres has to search for as it locks them.
func (l load) split(view *residentView) (lock, search []dag.Key) {
	if !l.dependents {
		return l.keys, nil
	}
	lock, others := view.withDependents(l.unlocking())
	for k := range l.apart {
		lock = append(lock, k)
	}
	if len(l.unlockNothing) == 0 {
		return lock, others
	}
	slices.Sort(l.unlockNothing)
	for _, k := range others {
		if _, said := slices.BinarySearch(l.unlockNothing, k); said {
			lock = append(lock, k)
		} else {
			search = append(search, k)
		}
	}
	return lock, search
}

// unlocking are the keys whose dependents are looked for.
func (l load) unlocking() []dag.Key {
	if len(l.apart) == 0 {
		return l.keys
	}
	return slices.DeleteFunc(slices.Clone(l.keys), func(k dag.Key) bool { return l.apart[k] })
}

// queueIdentities reads what the view's trees are, and calls stale for each that is not the resident one.
func queueIdentities(b *pgx.Batch, view *residentView, stale func()) {
	keys := make([]dag.TreeKey, 0, len(view.trees))
	for key := range view.trees {
		keys = append(keys, key)
	}
	b.Queue(sql("IdentifyTrees"), keys).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key := dag.TreeKey(v.bigint())
			id := identity{created: v.timestamp(), server: v.timestamp(), revision: v.bigint()}
			if !view.found(key, id, v.integer()) {
				stale()
			}
		})
	})
}

// treesOf gives the trees of tasks, each once; keys are sorted.
func treesOf(keys []dag.Key) (trees []dag.TreeKey) {
	for _, k := range keys {
		if n := len(trees); n == 0 || trees[n-1] != k.Tree() {
			trees = append(trees, k.Tree())
		}
	}
	return trees
}

func scanLocked(rows pgx.Rows, d *dag.Decision) error {
	var bad error
	err := eachRow(rows, func(v *values) {
		r := dag.Row{
			Key: v.key(), State: dag.State(v.smallint()), Flags: dag.Flags(v.integer()), Priority: dag.Priority(v.smallint()),
			Pool: v.integer(), Attempt: v.integer(), Remaining: v.integer(), Failures: v.integer(), Crashes: v.integer(),
			Worker: dag.WorkerKey(v.bigint()), StartedAt: v.timestamp(), BlockedBy: v.key(), Repeats: v.integer(),
		}
		cancelled := v.boolean()
		if specified := v.boolean(); specified {
			r.Policy = &dag.Policy{
				Executor: v.text(),
				Retry: dag.RetryPolicy{MaxAttempts: int(v.integer()), Backoff: dag.Backoff(v.text()),
					InitialDelay: millis(v.bigint()), MaxDelay: millis(v.bigint())},
				Timeout: millis(v.bigint()), ScheduleToStart: millis(v.bigint()), NotBefore: v.timestamp(),
				OnLost: dag.OnLost(v.smallint()),
			}
			bad = errors.Join(bad, readRetry(&r.Policy.Retry, v.json()))
		} else {
			v.ignore()
		}
		d.Add(r, cancelled)
	})
	return errors.Join(err, bad)
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
