package pg

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Dispatched is what a dispatch took.
type Dispatched struct {
	Work    []*Work
	Of      map[dag.TreeKey]dag.ShareKey // whose they are, those of trees that were cancelled left out
	Several bool                         // tasks of several shares waited
	Took    bool                         // something was taken, also if nobody is to run it any more
}

// Portions are how many tasks of each share a dispatch takes at most.
type Portions struct {
	Shares []dag.ShareKey
	N      []int
}

// mostLooked is how many stretches a dispatch looks at, at most; of each of several shares it looks at a part of them, but no fewer than leastLooked.
const (
	mostLooked  = 256
	leastLooked = 16
)

// looked is how many stretches of each share are looked at.
func (p *Portions) looked() int {
	if p == nil {
		return mostLooked
	}
	return min(mostLooked, max(leastLooked, 4*mostLooked/max(1, len(p.Shares))))
}

// arrays are the portions as statements take them.
func (p *Portions) arrays() (shares, n any) {
	if p == nil {
		return nil, nil
	}
	return p.Shares, p.N
}

// Dispatch moves waiting tasks of a lane to published and returns them, to be sent, in one round trip and those
// that it takes to load what is not resident (see [residentTrees]): up to n, if tasks of one share only wait; if of several, nothing without portions (see [Store.WaitingShares]
// and [dag.FairShares]), and what they say with them. Of each share it takes those that got ready first; or, with shared, at most an equal part
// for each tree of the oldest that wait, so that a tree of very many tasks does not hold up the others; what they leave is
// for the next call. Empty: nothing waits, or another coordinator has it. What is returned along with an error is to be sent
// too; the rest, if there is any, is found by reconcile.
func (s *Store) Dispatch(ctx context.Context, lane dag.Lane, n int, shared bool, portions *Portions) (out Dispatched, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	of, each := portions.arrays()
	rows, err := s.pool.Query(ctx, sql("Dispatch"), lane.Pool, int16(lane.Priority), n, shared, of, each, portions.looked())
	if err != nil {
		return Dispatched{}, fmt.Errorf("dispatch: %w", err)
	}
	var stretches, missing []Stretch
	var waited []time.Duration // of each of stretches
	all := map[dag.Key]*Work{}
	out.Of = map[dag.TreeKey]dag.ShareKey{}
	if err := eachRow(rows, func(v *values) {
		st := Stretch{Pool: lane.Pool, Priority: lane.Priority, First: v.key(), N: v.integer(), Attempt: v.integer()}
		created, server, revision, execution := v.timestamp(), v.timestamp(), v.bigint(), v.integer()
		since, share := time.Duration(v.bigint())*time.Microsecond, dag.ShareKey(v.integer())
		if out.Several = v.boolean(); st.N == 0 {
			return
		}
		out.Took = true
		stretches, waited, out.Of[st.First.Tree()] = append(stretches, st), append(waited, since), share
		resident := s.resident.dispatched(st, identity{created: created, server: server, revision: revision}, execution)
		for _, w := range resident {
			all[w.Key] = w
		}
		if resident == nil {
			missing = append(missing, st)
		}
	}); err != nil {
		return Dispatched{}, fmt.Errorf("dispatch: %w", err)
	}
	if err = s.loadStretches(ctx, missing, all); err != nil { // they are taken already: once more, before reconcile has to find them
		if err = s.loadStretches(ctx, missing, all); err != nil {
			err = fmt.Errorf("load what was dispatched: %w", err)
		}
	}
	for i, st := range stretches {
		these := st.among(all)
		for _, w := range these {
			w.Waited = waited[i]
		}
		out.Work = append(out.Work, these...)
	}
	return out, err
}

// loadStretches loads what is to be published for ready tasks into work: all of it, or, with an error, nothing.
func (s *Store) loadStretches(ctx context.Context, stretches []Stretch, work map[dag.Key]*Work) error {
	if len(stretches) == 0 {
		return nil
	}
	var loaded []*Work
	b := &pgx.Batch{}
	queueTasks(b, stretches, dag.Ready, func(w *Work) { loaded = append(loaded, w) })
	if err := s.pool.Send(ctx, b); err != nil {
		return err
	}
	if err := s.addResults(ctx, loaded); err != nil {
		return err
	}
	byKey := make(map[dag.Key]*Work, len(loaded))
	for _, w := range loaded {
		byKey[w.Key] = w
	}
	s.seals.openWork(ctx, byKey)
	maps.Copy(work, byKey)
	return nil
}

// Backlog tells which lanes have waiting tasks.
func (s *Store) Backlog(ctx context.Context) ([]dag.Lane, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Backlog"))
	if err != nil {
		return nil, fmt.Errorf("read backlog: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[dag.Lane])
}

// addResults loads the results that tasks with dependencies start from.
func (s *Store) addResults(ctx context.Context, work []*Work) error {
	var keys []dag.Key
	byKey := map[dag.Key]*Work{}
	for _, w := range work {
		if w.Deps > 0 && w.Deps <= MaxInlineDeps {
			keys = append(keys, w.Key)
			byKey[w.Key] = w
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LoadDependencyResults"), keys, MaxInlineDeps)
	if err != nil {
		return err
	}
	return scanResults(rows, byKey)
}
