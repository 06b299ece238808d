package pg

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
)

// stagedTree is a validated tree on its way into the database: it says what its rows are to be.
type stagedTree struct {
	g     *dag.Graph // ids that are taken are replaced
	in    *intake
	sub   Submission
	pools map[string]int32 // of all tasks whose executor is known

	poolIDs []int32 // sorted
	counted bool    // quotas of its namespace are looked at
	counts  *countsDefault
	first   int    // index of its first task, where tasks are added to a stored tree
	rootID  string // likewise, of the stored tree
	later   bool   // what waits for nothing is let go later, by who adds the tasks

	dependents []int32 // how many, by task; nil: not yet counted

	births []dag.Restart // how the tasks begin; nil: none is settled

	// Of one try to store it:
	imported  *Effects // what comes of those that are settled
	tree      dag.TreeKey
	level     dag.Level // that the cluster uses
	created   time.Time
	uid       uuid.UUID // the tree's own name; zero below [dag.RunsLevel]
	stretches []Stretch // tasks that are ready
	begun     []dag.Key // of these, those below groups with a timeout, which begins with them
	releases  []dag.Key // tasks that wait for nothing, and are not simply ready: a followup lets them go
	leaves    int
	given     []string // ids before taken ones were replaced; nil: none was
}

// key is the key of task i.
func (t *stagedTree) key(i int) dag.Key { return t.tree.Key(t.first + i) }

// reset forgets an earlier try.
func (t *stagedTree) reset() {
	if t.given != nil {
		t.g.IDs = t.given
	}
	t.stretches, t.releases, t.leaves, t.given, t.imported = nil, nil, 0, nil, nil
}

// begin says when the tree is created, and which feature level the cluster uses, which the tree is to be stored at.
func (t *stagedTree) begin(created time.Time, level dag.Level) {
	t.created, t.level, t.uid = created, level, uuid.Nil
	if level >= dag.RunsLevel {
		t.uid = uuid.New()
	}
}

// refs are what the inputs of others call the tasks: their references, or, as older coordinators have it, their ids.
func (t *stagedTree) refs() []string {
	if t.level >= dag.RunsLevel {
		return t.g.Refs
	}
	return t.g.IDs
}

// stage validates the tasks that were read and looks up their pools, or makes them. The pool of an executor that nobody has
// is not made: its name may be a mistake.
func (s *submissions) stage(ctx context.Context, sub Submission, in *intake) (*stagedTree, error) {
	if err := in.checkRules(ctx, s.pool, sub.namespace); err != nil {
		return nil, err
	}
	g, err := in.builder.Build()
	if err != nil {
		return nil, err
	}
	if g.UserID == "" {
		g.UserID = sub.UserID
	}
	if sub.RequireExisting {
		if err := s.requireExisting(ctx, sub.namespace, sub.ExistingOf, g); err != nil {
			return nil, err
		}
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
	if n := len(names); n > MaxTreePools {
		return nil, &PoolLimitError{fmt.Sprintf("the tasks of this tree name %d pools, the most is %d", n, MaxTreePools)}
	}
	t := &stagedTree{g: g, in: in, sub: sub, counted: s.counted.counts(sub.namespace), counts: s.counted}
	if err := t.checkImported(); err != nil {
		return nil, err
	}
	return t, s.openPools(ctx, t, names)
}

// requireExisting is a *[dag.InvalidTreeError] unless each id that a submission gives is stored in its namespace, by the owner unless that is empty.
// Tasks without ids name none.
func (s *submissions) requireExisting(ctx context.Context, namespace dag.NamespaceKey, owner string, g *dag.Graph) error {
	faults := &dag.InvalidTreeError{}
	for from := 0; from < len(g.IDs); from += copyStep {
		ids := g.IDs[from:min(from+copyStep, len(g.IDs))]
		stored, err := s.takenAmong(ctx, namespace, owner, ids)
		if err != nil {
			return err
		}
		for n, id := range ids {
			switch {
			case stored[id] || g.Refs[from+n] != id: // it was made
			case len(faults.Problems) == dag.MaxProblems:
				faults.More++
			default:
				faults.Problems = append(faults.Problems, &dag.InvalidTaskError{Code: dag.InvalidField, Index: from + n, Task: id, Field: "id",
					Reason: fmt.Sprintf("Task %s not found in database", id)})
			}
		}
	}
	if len(faults.Problems) > 0 {
		return faults
	}
	return nil
}

// takenAmong are those of the ids that stored tasks of the namespace have, of an owner unless that is empty.
func (s *submissions) takenAmong(ctx context.Context, namespace dag.NamespaceKey, owner string, ids []string) (map[string]bool, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	statement, args := "TakenIDs", []any{ids, []dag.NamespaceKey{namespace}}
	if owner != "" {
		statement, args = "TakenIDsOf", append(args, owner)
	}
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("look for stored ids: %w", err)
	}
	taken := make(map[string]bool, len(ids))
	return taken, eachRow(rows, func(v *values) {
		taken[v.text()] = true
		v.integer() // the namespace
	})
}

// openPools looks up the tree's pools, and opens those that are not open.
func (s *submissions) openPools(ctx context.Context, t *stagedTree, names map[string]bool) (err error) {
	t.pools, _, err = s.pools.ensure(ctx, names, &t.g.UserID)
	t.poolIDs = poolIDsOf(t.pools)
	return err
}

// reopenPools opens the tree's pools again, of which some were closed before the tree was stored.
func (s *submissions) reopenPools(ctx context.Context, t *stagedTree) error {
	if err := s.pools.refresh(ctx); err != nil {
		return err
	}
	names := make(map[string]bool, len(t.pools))
	for name := range t.pools {
		names[name] = true
	}
	return s.openPools(ctx, t, names)
}

// rename gives new ids to tasks whose own are taken, and notes them in idMap, which it makes when it is nil.
func (t *stagedTree) rename(taken []string, idMap map[string]string) map[string]string {
	if len(taken) == 0 {
		return idMap
	}
	if idMap == nil {
		idMap = map[string]string{}
	}
	index := make(map[string]int, len(t.g.IDs))
	for i, id := range t.g.IDs {
		index[id] = i
	}
	if t.given == nil {
		t.given, t.g.IDs = t.g.IDs, slices.Clone(t.g.IDs) // the graph's references stay
	}
	for _, id := range taken {
		t.g.IDs[index[id]] = uuid.NewString()
		idMap[id] = t.g.IDs[index[id]]
	}
	return idMap
}

// firstRow is the state that task i begins with. It notes what is ready at once: tasks that wait for nothing. Those of them
// that may have to wait for a time, that end by themselves (groups) or fail (nobody has their executor) are left to a
// followup, which asks package dag. To be called once a task, in order.
func (t *stagedTree) firstRow(i int) dag.Row {
	p := &t.in.tasks[i]
	r := dag.Row{Key: t.key(i), State: dag.Waiting, Priority: p.priority, Pool: t.pools[p.pool], Attempt: 1,
		Remaining: int32(len(t.g.Dependencies(i)))}
	r.Flags = t.flags(i)
	if r.Flags&dag.FlagLeaf != 0 {
		t.leaves++
	}
	if births := t.born(); births != nil {
		if b := births[i]; b.State.Settled() && !(t.sub.Hold && t.in.tasks[i].imported == nil) {
			r.State, r.Remaining = b.State, 0
			return r
		} else if !t.sub.Hold {
			r.Remaining = b.Remaining
		}
	}
	switch {
	case t.sub.Hold:
		r.State = dag.Held
	case r.Remaining > 0 || t.later:
	case r.Flags&dag.FlagsReleased != 0:
		t.releases = append(t.releases, r.Key)
	default:
		r.State = dag.Ready
		t.addReady(&r)
		if r.Flags&(dag.FlagBounded|dag.FlagLimited) == dag.FlagBounded {
			t.begun = append(t.begun, r.Key)
		}
	}
	return r
}

// flags are what scheduling needs to know of task i at every step.
func (t *stagedTree) flags(i int) (f dag.Flags) {
	if t.dependents == nil {
		t.dependents = make([]int32, len(t.g.IDs))
		for _, e := range t.g.Dep {
			t.dependents[e.Task]++
		}
	}
	p := &t.in.tasks[i]
	for _, fact := range []struct {
		flag dag.Flags
		set  bool
	}{
		{dag.FlagGroup, p.executor == ""},
		{dag.FlagRepeatable, p.repeatable || t.sub.Repeatable != nil && t.sub.Repeatable(p.executor)},
		{dag.FlagTimed, p.custom != nil && (!p.custom.notBefore.IsZero() || p.custom.scheduleToStart > 0)},
		{dag.FlagTimeout, p.custom != nil && p.custom.timeout > 0},
		{dag.FlagUnknown, unknown(p, t.sub.Known)},
		{dag.FlagDemo, p.demo},
		{dag.FlagKeyed, p.keyed},
		{dag.FlagOnce, p.custom != nil && p.custom.onLost == dag.FailLost},
	} {
		if fact.set {
			f |= fact.flag
		}
	}
	return t.g.Flags(i, t.dependents[i], f|p.beyond)
}

// unknown reports whether nobody has the task's executor (spec K13). A task that names its pool waits for a worker
// there to say so.
func unknown(p *taskHead, known func(string) bool) bool {
	return p.executor != "" && p.pool == dag.PoolOf(p.executor) && known != nil && !known(p.executor)
}

// addReady adds a ready task to the stretches; keys come in order.
func (t *stagedTree) addReady(r *dag.Row) {
	if n := len(t.stretches); n > 0 {
		last := &t.stretches[n-1]
		if last.Pool == r.Pool && last.Priority == r.Priority && last.First+dag.Key(last.N) == r.Key && last.N < maxStretch && last.Limited == limited(r) {
			last.N++
			return
		}
	}
	t.stretches = append(t.stretches, Stretch{Pool: r.Pool, Priority: r.Priority, First: r.Key, N: 1, Attempt: 1, Limited: limited(r)})
}

// effects are what is left to do after the commit, but for the stretches.
func (t *stagedTree) effects() *Effects {
	eff := &Effects{}
	if !t.sub.Hold {
		eff.Followups, eff.Timers, eff.Trees = len(t.releases), t.timers(), []TreeSequence{{Tree: t.tree, Sequence: 1, Hooked: len(t.sub.Webhooks) > 0}}
	}
	if t.imported != nil {
		eff.Trees = append(eff.Trees, t.imported.Trees...)
	}
	return eff
}

// timers are those that the first execution begins with: the tree's deadline, and by when it is due.
func (t *stagedTree) timers() (all []dag.Timer) {
	if t.sub.Hold {
		return nil
	}
	root := t.tree.Key(int(t.g.Root))
	if t.sub.Timeout > 0 {
		all = append(all, dag.Timer{Task: root, Attempt: 1, Kind: dag.TimerTree, Delay: t.sub.Timeout})
	}
	if t.in.due != nil {
		all = append(all, dag.Timer{Task: root, Attempt: 1, Kind: dag.TimerLate, Delay: max(0, t.in.due.Moment(t.created).Sub(t.created))})
	}
	return append(all, t.timeLimits()...)
}

// timeLimits are those of the groups above tasks that may start at once.
func (t *stagedTree) timeLimits() (all []dag.Timer) {
	seen := map[int32]bool{}
	for _, k := range t.begun {
		for p := t.g.Parent[k.Index()]; p >= 0 && !seen[p]; p = t.g.Parent[p] {
			seen[p] = true
			if of := &t.in.tasks[p]; of.executor == "" && of.custom != nil && of.custom.timeout > 0 {
				all = append(all, dag.Timer{Task: t.tree.Key(int(p)), Attempt: 1, Kind: dag.TimerGroup, Delay: of.custom.timeout})
			}
		}
	}
	return all
}

// reserve asks for room for each stretch, so that it may be published at once.
func (t *stagedTree) reserve() {
	for i := range t.stretches {
		r := &t.stretches[i]
		r.Direct = t.births == nil && !r.Limited && t.sub.Room != nil && t.sub.Room(r.Pool, r.Priority, r.N)
	}
}

// submitted is the answer to the client.
func (t *stagedTree) submitted(idMap map[string]string, eff *Effects) *Submitted {
	out := &Submitted{Tree: t.tree, RootID: t.g.IDs[t.g.Root], Tasks: len(t.g.IDs), IDMap: idMap, Effects: eff}
	if t.in.payloads != nil {
		out.Shown = t.shown()
	}
	return out
}
