package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// unlockedEarly are tasks that may start, or have by a worker, though something that they require has not completed: nobody may unlock by edges
// that are not there any more. One snapshot.
const unlockedEarly = `
select s.id || ' is ' || t.state || ', and requires ' || ds.id || ', which is ' || d.state
from task t join spec s on s.key = t.key cross join lateral unnest(s.deps) i
join task d on d.key = (t.key >> 24 << 24) + i - 1 join spec ds on ds.key = d.key
where t.state in (3, 4) and i > 0 and d.state <> 6`

// races is a tree that workers of two processes run while it is edited from both.
type races struct {
	*editSite
	mu     sync.Mutex
	random *rand.Rand
	faults []string
}

func (r *races) n(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(n)
}

func (r *races) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// id is any task, often one that is gone.
func (r *races) id() string { return r.ids[r.n(len(r.ids))] }

// edit changes something at random. What the rules refuse is as well.
func (r *races) edit(ctx context.Context, s *Store) {
	k := r.key(r.id())
	var err error
	change := dag.Change{}
	switch r.n(10) {
	case 0:
		_, _, err = s.Delete(ctx, k, DeleteOptions{Force: r.n(2) == 0})
	case 1:
		change.Status = []dag.Status{dag.StatusCompleted, dag.StatusFailed, dag.StatusCancelled}[r.n(3)]
	case 2, 3:
		change.Inputs = fmt.Appendf(nil, `{"n":%d}`, r.n(1000))
		change.Priority = new(dag.Priority(r.n(4)))
	default:
		change.HasDependencies = true
		for range r.n(4) {
			change.Dependencies = append(change.Dependencies, dag.Dependency{Ref: r.id(), Optional: r.n(4) == 0})
		}
	}
	if err == nil && (change.Status != "" || change.Inputs != nil || change.HasDependencies) {
		_, err = s.Update(ctx, k, Update{Change: change})
	}
	_, refused := errors.AsType[*Refused](err)
	_, stays := errors.AsType[*NotDeletable](err)
	if err != nil && !refused && !stays && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBusy) {
		r.fault("edit: %v", err)
	}
}

// work takes what is ready, and ends what runs, with the facts that come with messages, so that rows are assumed where they may be.
func (r *races) work(ctx context.Context, s *Store, hand *[]*Work) {
	room := func(int32, dag.Priority, int32) bool { return true }
	for p := range dag.Priority(4) {
		more, err := takeReady(ctx, s, dag.Lane{Pool: 1, Priority: p}, 10, false)
		if err != nil {
			r.fault("dispatch: %v", err)
		}
		*hand = append(*hand, more...)
	}
	if len(*hand) == 0 {
		return
	}
	i := r.n(len(*hand))
	w := (*hand)[i]
	*hand = slices.Delete(*hand, i, i+1)
	verdicts, _, err := s.Claim(ctx, []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: r.worker, Facts: w.Facts()}})
	if err != nil {
		r.fault("claim: %v", err)
		return
	}
	if verdicts[0] != dag.Yes {
		return
	}
	time.Sleep(time.Duration(r.n(3)) * time.Millisecond)
	res := dag.Result{Task: w.Key, Attempt: w.Attempt, Worker: r.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{}`), Facts: w.Facts()}
	res.UnlocksNothing = w.Flags&dag.FlagDependents == 0
	if r.n(6) == 0 {
		res.Outcome, res.Facts = dag.OutcomeFailed, 0
	}
	_, eff, err := s.Settle(ctx, []dag.Result{res}, room)
	if err != nil {
		r.fault("settle: %v", err)
		return
	}
	*hand = append(*hand, eff.Publish...)
}

// rest carries out follow-up work and sends again what is published and still ready.
func (r *races) rest(ctx context.Context, s *Store, hand *[]*Work) {
	room := func(int32, dag.Priority, int32) bool { return true }
	for more := true; more; {
		var eff *Effects
		var err error
		if eff, more, err = s.Followups(ctx, room); err != nil {
			r.fault("followups: %v", err)
			return
		}
		if eff != nil {
			*hand = append(*hand, eff.Publish...)
		}
	}
	again, _, err := s.ReconcilePublished(ctx, 0, 100, func(dag.Lane) (time.Time, bool) { return time.Time{}, true })
	if err != nil {
		r.fault("reconcile: %v", err)
	}
	*hand = append(*hand, again...)
}

// TestEditsRaceWithWork: while workers of two processes claim and settle, and trees are resident in one, edits from both change edges, inputs,
// statuses, and delete tasks. Nothing is unlocked by stale edges, the totals hold, and all that is left ends.
func TestEditsRaceWithWork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7))
			tasks := []string{"root"}
			for i := 1; i < 25; i++ {
				var deps []string
				for range random.IntN(3) {
					if i > 1 {
						deps = append(deps, fmt.Sprint("t", 1+random.IntN(i-1))+[]string{"", "?"}[random.IntN(4)/3])
					}
				}
				tasks = append(tasks, fmt.Sprint("t", i)+"<"+strings.Join(deps, ","))
			}
			r := &races{editSite: newEditSite(t, false, tasks...), random: random}
			r.race(t, 60)
			for _, f := range r.faults {
				t.Error(f)
			}
		})
	}
}

func (r *races) race(t *testing.T, edits int) {
	ctx, stop := context.WithCancel(t.Context())
	var working, editing sync.WaitGroup
	hands := make([][]*Work, 2)
	for i, s := range []*Store{r.s, r.other} {
		working.Go(func() {
			for ctx.Err() == nil {
				r.work(t.Context(), s, &hands[i])
				if r.n(3) == 0 {
					r.rest(t.Context(), s, &hands[i])
				}
			}
		})
		editing.Go(func() {
			for range edits {
				r.edit(t.Context(), s)
				time.Sleep(time.Duration(r.n(4)) * time.Millisecond)
			}
		})
	}
	editing.Wait()
	stop()
	working.Wait()
	r.noneEarly(t)
	r.audit()
	for tries := 0; ; tries++ {
		r.rest(t.Context(), r.s, &hands[0])
		r.work(t.Context(), r.s, &hands[0])
		tree, err := r.s.Tree(t.Context(), r.tree)
		if errors.Is(err, ErrNotFound) || err == nil && tree.Unfinished == 0 {
			break
		}
		if tries == 500 {
			t.Fatalf("the tree does not end: %s, %v", r.states(), err)
		}
	}
	r.noneEarly(t)
}

func (r *races) noneEarly(t *testing.T) {
	t.Helper()
	rows, err := r.s.pool.Query(t.Context(), unlockedEarly)
	if err != nil {
		t.Fatal(err)
	}
	early, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(early) > 0 {
		t.Errorf("%q, %v", early, err)
	}
}
