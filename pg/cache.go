package pg

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// MaxCachedBytes is how many bytes a success may have by which others end.
const MaxCachedBytes = 8 << 20

// ToBeRun is what a worker would need of a task whose dependencies have ended, if it ran: its inputs, and what they are merged and rendered from, of so many
// bytes at most. Errors: [ErrNotFound] when it does not wait to be judged, [ErrTooLarge].
func (s *Store) ToBeRun(ctx context.Context, c *Condition, most int) (*Work, error) {
	w, err := s.work(ctx, "LoadJudgedWork", c.Task, c.Attempt, most)
	if err != nil {
		return nil, fmt.Errorf("read what task %d would be given: %w", c.Task, err)
	}
	return w, nil
}

// CacheDigest is what is stored of a text that tells equal tasks ([dag.CacheText]): keyed, where values are sealed, as who reads it could try texts
// that are likely.
func (s *Store) CacheDigest(ctx context.Context, tree dag.TreeKey, text []byte) ([]byte, error) {
	sum := sha256.Sum256(text)
	z, err := s.seals.sealer(ctx, tree)
	if err != nil || z == nil {
		return sum[:], err
	}
	return keyedSum(z.digestOf, z.digestKey, sum[:]), nil
}

// FindCached is the success by which a task may end; nil: there is none that is young enough, has [MaxCachedBytes] at most and can be opened. Nothing is
// locked: [Store.DecideConditions] looks again.
func (s *Store) FindCached(ctx context.Context, c *Condition, digest []byte) (*dag.Cached, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FindCached"), c.Namespace, c.UserID, digest, c.Control.Cache.For.Milliseconds(), MaxCachedBytes)
	if err != nil {
		return nil, fmt.Errorf("look for an earlier success: %w", err)
	}
	var found *dag.Cached
	var envelope []byte
	if err := eachRow(rows, func(v *values) {
		found = &dag.Cached{Task: v.key(), Attempt: v.integer(), From: dag.CachedFrom{TaskID: v.text(), TreeID: v.text()}, Result: v.json(), Outputs: v.json()}
		envelope = v.bytea()
	}); err != nil || found == nil {
		return nil, err
	}
	err = s.seals.open(ctx, found.Task.Tree(), kindAttempt, envelope, &found.Result, new([]byte), new([]byte), &found.Outputs)
	if Unreadable(err) {
		return nil, nil
	}
	return found, err
}

// reuse is what judging tasks means for their caches.
type reuse struct {
	asked struct {
		keys, tasks []dag.Key
		namespaces  []dag.NamespaceKey
		users       []string
		digests     [][]byte
		attempts    []int32
		ages        []int64
	}
	still     map[dag.Key]bool
	trees     []dag.TreeKey // of all tasks that were told by something
	revisions map[dag.TreeKey]int64

	forget  []dag.Key // nothing that they give is for others
	waiting struct {
		keys    []dag.Key
		digests [][]byte
		fors    []int64
	}
	ended struct {
		keys               []dag.Key
		attempts           []int32
		fromIDs, fromTrees []string
	}
}

// newReuse prepares to look whether the successes that verdicts are by are still there, and whether somebody has changed what the tasks are told by.
func newReuse(taken []dag.Key, by map[dag.Key]*Verdict) *reuse {
	x := &reuse{still: map[dag.Key]bool{}, revisions: map[dag.TreeKey]int64{}}
	for _, k := range taken {
		v := by[k]
		if v.Digest != nil {
			x.trees = append(x.trees, k.Tree())
		}
		if v.Is.Cached == nil {
			continue
		}
		a := &x.asked
		a.keys, a.tasks, a.attempts = append(a.keys, k), append(a.tasks, v.Is.Cached.Task), append(a.attempts, v.Is.Cached.Attempt)
		a.namespaces, a.users = append(a.namespaces, v.Namespace), append(a.users, v.UserID)
		a.digests, a.ages = append(a.digests, v.Digest), append(a.ages, v.Control.Cache.For.Milliseconds())
	}
	return x
}

func (x *reuse) queueStill(b *pgx.Batch) {
	if len(x.trees) > 0 {
		b.Queue(sql("LockRevisions"), x.trees).Query(func(rows pgx.Rows) error {
			clear(x.revisions)
			return eachRow(rows, func(v *values) { x.revisions[dag.TreeKey(v.bigint())] = v.bigint() })
		})
	}
	a := &x.asked
	if len(a.keys) == 0 {
		return
	}
	b.Queue(sql("StillCached"), a.keys, a.namespaces, a.users, a.digests, a.tasks, a.attempts, a.ages).Query(func(rows pgx.Rows) error {
		clear(x.still)
		return eachRow(rows, func(v *values) { x.still[v.key()] = true })
	})
}

// holds reports whether the success that a verdict is by is still there, if it is by one, and what tells the task is as it was read.
func (x *reuse) holds(v *Verdict) bool {
	return (v.Digest == nil || x.revisions[v.Task.Tree()] == v.Revision) && (v.Is.Cached == nil || x.still[v.Task])
}

// judged notes what became of a task; changed: the verdict decided it.
func (x *reuse) judged(v *Verdict, r *dag.Row, changed bool) {
	if r == nil || r.Flags&dag.FlagCache == 0 {
		return
	}
	switch {
	case !changed:
		x.forget = append(x.forget, r.Key)
	case r.State == dag.Completed && v.Is.Cached != nil:
		e := &x.ended
		e.keys, e.attempts = append(e.keys, r.Key), append(e.attempts, r.Attempt)
		e.fromIDs, e.fromTrees = append(e.fromIDs, v.Is.Cached.From.TaskID), append(e.fromTrees, v.Is.Cached.From.TreeID)
	case !r.State.Settled() && v.Digest != nil:
		w := &x.waiting
		w.keys, w.digests, w.fors = append(w.keys, r.Key), append(w.digests, v.Digest), append(w.fors, v.Control.Cache.For.Milliseconds())
	default:
		x.forget = append(x.forget, r.Key)
	}
}

func (x *reuse) queue(b *pgx.Batch) {
	if len(x.forget) > 0 {
		b.Queue(sql("ForgetCaching"), x.forget)
	}
	if w := &x.waiting; len(w.keys) > 0 {
		b.Queue(sql("InsertCaching"), w.keys, w.digests, w.fors)
	}
	if e := &x.ended; len(e.keys) > 0 {
		b.Queue(sql("InsertCached"), e.keys, e.attempts, e.fromIDs, e.fromTrees)
	}
}

// queueCache has what tasks gave that completed be there for others. It comes behind the attempts and the trees.
func queueCache(b *pgx.Batch, d *dag.Decision) {
	keys := slices.Clone(d.ToCache)
	slices.Sort(keys)
	attempts := make([]int32, len(keys))
	for i, k := range keys {
		attempts[i] = d.Row(k).Attempt
	}
	b.Queue(sql("FillCache"), keys, attempts)
}

// cachesAround reports whether a change of a task may be one of what a task is told by that others may end by, or of what that gave. Which tasks depend on it is not
// read for most changes.
func cachesAround(r *dag.Row) bool {
	return r.Flags&(dag.FlagCache|dag.FlagDependents) != 0
}

// addCachedFrom adds which tasks' successes ended others.
func (s *Store) addCachedFrom(ctx context.Context, list []*Shown) error {
	byKey := map[dag.Key]*Shown{}
	var keys []dag.Key
	var attempts []int32
	for _, t := range list {
		if t.Flags&dag.FlagCache != 0 && t.State == dag.Completed {
			keys, attempts, byKey[t.Key] = append(keys, t.Key), append(attempts, t.Attempt), t
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return s.cachedFrom(ctx, keys, attempts, func(k dag.Key, from *dag.CachedFrom) { byKey[k].CachedFrom = from })
}

// CachedFrom is whose success ended an attempt; nil: none did.
func (s *Store) CachedFrom(ctx context.Context, k dag.Key, attempt int32) (from *dag.CachedFrom, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.cachedFrom(ctx, []dag.Key{k}, []int32{attempt}, func(_ dag.Key, one *dag.CachedFrom) { from = one })
	return from, err
}

func (s *Store) cachedFrom(ctx context.Context, keys []dag.Key, attempts []int32, each func(dag.Key, *dag.CachedFrom)) error {
	rows, err := s.pool.Query(ctx, sql("CachedFrom"), keys, attempts)
	if err != nil {
		return fmt.Errorf("read what %d tasks ended by: %w", len(keys), err)
	}
	return eachRow(rows, func(v *values) { each(v.key(), &dag.CachedFrom{TaskID: v.text(), TreeID: v.text()}) })
}

// cacheSweepRows is how many rows [Store.Tidy] forgets each time of each kind: a minute's worth of many successes.
const cacheSweepRows = 10_000

// sweepCache forgets successes that nothing ends by any more, and those of one user beyond [dag.MaxCacheEntries].
func (s *Store) sweepCache(b *pgx.Batch) {
	after := s.sweptCache.Load()
	if after == nil {
		after = &cacheOwner{namespace: -1}
	}
	b.Queue(sql("SweepCache"), cacheSweepRows, after.namespace, after.user, dag.MaxCacheEntries).QueryRow(func(row pgx.Row) error {
		var namespace *dag.NamespaceKey
		var user *string
		if err := row.Scan(&namespace, &user); err != nil {
			return err
		}
		if namespace == nil || user == nil {
			s.sweptCache.Store(nil)
			return nil
		}
		s.sweptCache.Store(&cacheOwner{*namespace, *user})
		return nil
	})
}

// cacheOwner is whose successes were swept last.
type cacheOwner struct {
	namespace dag.NamespaceKey
	user      string
}
