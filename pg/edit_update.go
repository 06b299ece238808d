package pg

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Update is a change of one task, and what of it this process knows about executors.
type Update struct {
	Change dag.Change
	Limits dag.Limits
	// Known tells whether a worker was ever known to have the executor (spec K13), and Repeatable whether all its tasks are; nil: none.
	Known, Repeatable func(executor string) bool
	// InputFaults are those of the inputs of a task, as they will be; nil: nobody looks.
	InputFaults func(*dag.Task) []string
	// PoolFaults are those of the task by the rule of its pool, as it will be; nil: no pool has one.
	PoolFaults func(*dag.Task) []string
	// Allowed says why the caller must not have the task, as it will be, which ends the update; nil: nobody asks.
	Allowed func(*dag.Task) error
	Room    Room
}

// Refused are the faults of an update: nothing was changed.
type Refused struct {
	Faults     []string
	Transition bool // one of them is a change of status that the state table has not
}

// Error is the first of them.
func (r *Refused) Error() string { return r.Faults[0] }

// Update changes a task, all or nothing. Errors: *[Refused] and those of editing.
func (s *Store) Update(ctx context.Context, k dag.Key, u Update) (*Effects, error) {
	return s.editing(ctx, k.Tree(), func(ctx context.Context, e *edit) error {
		return (&updating{edit: e, Update: u, k: k}).run(ctx)
	})
}

// taskToEdit is what is stored of a task beside its scheduling state.
type taskToEdit struct {
	id, ref, name, executor, pool string
	parent                        int32
	wired                         wired
	state                         dag.State // before it was locked, as the next
	flags                         dag.Flags
	inputs, params                json.RawMessage
	schemas, custom               json.RawMessage
	control                       *dag.Control
	limiting                      *dag.Limiting
	started, finished             *time.Time
	maxAttempts                   *int32
	timeoutMS                     *int64
}

// updating is an update of one task.
type updating struct {
	*edit
	Update
	k dag.Key

	task     taskToEdit
	now      wired // the dependencies, as they will be
	edges    dag.Edges
	graph    *wholeGraph // nil: not needed
	executor string      // as it will be
	poolID   int32
	facts    dag.Edited
	row      *dag.Row
	asks     *dag.Limiting // what it will ask for, if [updating.asksAnew]
	asksAnew bool
}

func (u *updating) run(ctx context.Context) error {
	if u.tree.held {
		return ErrHeld
	}
	if err := u.read(ctx); err != nil {
		return err
	}
	if err := u.choose(ctx); err != nil {
		return err
	}
	d, counts, err := u.lock(ctx, u.touched(), u.relinked())
	if err != nil {
		return err
	}
	if err := u.look(ctx, d); err != nil {
		return err
	}
	change := u.Change
	if faults, transition := change.Check(u.facts, u.Limits); len(faults) > 0 {
		return &Refused{faults, transition}
	}
	edit := dag.Edit{Decision: d, Edges: u.edges, Underway: u.tree.unfinished > 0}
	u.decide(edit, counts)
	return u.write(ctx, edit)
}

// read reads the task, and the edges that the update is about.
func (u *updating) read(ctx context.Context) error {
	t := &u.task
	var deps []int32
	var types []string
	var modes []int16
	var envelope, control, limits []byte
	err := u.c.QueryRow(ctx, sql("TaskToEdit"), u.k).Scan(&t.id, &t.ref, &t.name, &t.parent, &t.executor, &deps, &types, &modes, &t.state, &t.flags, &t.pool,
		&t.inputs, &t.params, &t.schemas, &t.custom, &t.started, &t.finished, &t.maxAttempts, &t.timeoutMS, &control, &envelope, &limits)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read task %d: %w", u.k, err)
	}
	if err := u.s.seals.open(ctx, u.tree.key, kindPayload, envelope, (*[]byte)(&t.inputs), (*[]byte)(&t.params), (*[]byte)(&t.schemas), (*[]byte)(&t.custom), &control); err != nil {
		return err
	}
	if t.control, err = dag.ReadControl(control); err != nil {
		return fmt.Errorf("read task %d: %w", u.k, err)
	}
	if t.limiting, err = dag.ReadLimiting(limits); err != nil {
		return fmt.Errorf("read task %d: %w", u.k, err)
	}
	t.wired = readWired(u.tree.key, deps, types, modes)
	u.now = t.wired
	if u.Change.HasDependencies {
		if err := u.resolve(ctx); err != nil {
			return err
		}
	}
	return u.readEdges(ctx)
}

// resolve looks up the new dependencies: by ids, else by what the submission calls tasks (spec 2.3).
func (u *updating) resolve(ctx context.Context) error {
	var refs []string
	for _, d := range u.Change.Dependencies {
		if d.Ref != "" && dag.Storable(d.Ref) {
			refs = append(refs, d.Ref)
		}
	}
	byID, byRef := map[string]dag.Key{}, map[string]dag.Key{}
	first, end := u.tree.key.Range()
	rows, err := u.c.Query(ctx, sql("FindReferences"), first, end, refs)
	if err != nil {
		return fmt.Errorf("look for dependencies: %w", err)
	}
	var key dag.Key
	var id, ref string
	if _, err := pgx.ForEachRow(rows, []any{&key, &id, &ref}, func() error {
		byID[id] = key
		if _, has := byRef[ref]; !has {
			byRef[ref] = key
		}
		return nil
	}); err != nil {
		return fmt.Errorf("look for dependencies: %w", err)
	}
	u.now = wired{}
	for _, d := range u.Change.Dependencies {
		on, ok := byID[d.Ref]
		if !ok || d.ByName {
			if named, has := byRef[d.Ref]; has {
				on, ok = named, true
			}
		}
		switch {
		case d.Ref == "":
		case !ok:
			u.facts.Missing = append(u.facts.Missing, d.Ref)
		default:
			u.now.add(dag.Dependent{Key: on, Required: !d.Optional, Mode: d.Mode}, d.Type)
		}
	}
	return nil
}

// readEdges reads the whole tree where a cycle may be closed, or where what is blocked may be no longer; else only the task's own edges.
func (u *updating) readEdges(ctx context.Context) (err error) {
	ends := u.Change.Status != "" && u.Change.Status != dag.StatusPending
	own := slices.ContainsFunc(u.now.on, func(d dag.Dependent) bool { return d.Key == u.k })
	if u.Change.HasDependencies && (u.task.flags&dag.FlagDependents != 0 || own) || u.task.state == dag.Blocked && (u.Change.HasDependencies || ends) {
		if u.graph, err = u.readGraph(ctx); err != nil {
			return err
		}
		u.graph.rewired[u.k.Index()] = u.now.on
		u.edges = u.graph
		return u.findCycle(ctx)
	}
	few := fewEdges{dependencies: map[dag.Key][]dag.Dependent{u.k: u.now.on}, dependents: map[dag.Key][]dag.Dependent{}}
	u.edges = few
	if (ends || u.Change.HasDependencies) && u.task.flags.Unlocks() {
		rows, err := u.c.Query(ctx, sql("DependentsOfTask"), u.k, dag.InlineDependents)
		if err != nil {
			return fmt.Errorf("read dependents: %w", err)
		}
		if few.dependents[u.k], err = pgx.CollectRows(rows, pgx.RowToStructByPos[dag.Dependent]); err != nil {
			return fmt.Errorf("read dependents: %w", err)
		}
	}
	return nil
}

// findCycle names the tasks along the cycle that the new dependencies close.
func (u *updating) findCycle(ctx context.Context) error {
	path := dag.ClosedPath(u.k, u.edges)
	if path == nil {
		return nil
	}
	names, err := u.labels(ctx, path)
	if err != nil {
		return err
	}
	for _, k := range path {
		u.facts.Cycle = append(u.facts.Cycle, cmp.Or(names[k].Name, names[k].ID))
	}
	return nil
}

// choose finds out which executor runs the task, as its params and schemas will be (spec 1.3), and keeps its pool open.
func (u *updating) choose(ctx context.Context) error {
	c := &u.Change
	u.executor = u.task.executor
	if c.Params == nil && c.Schemas == nil {
		return nil
	}
	t := u.changed()
	u.executor = dag.ChooseExecutor(t.Name, t.Params, t.Schemas, u.s.known)
	u.facts.Executor = u.executor
	if u.executor == u.task.executor || u.namesPool() || u.executor == "" || u.unknown() || !dag.Storable(u.executor) {
		return nil
	}
	ids, err := u.keepPools(ctx, map[string]bool{dag.PoolOf(u.executor): true})
	if err != nil {
		return err
	}
	id := ids[dag.PoolOf(u.executor)]
	if !slices.Contains(u.tree.pools, id) && len(u.tree.pools) >= MaxTreePools {
		u.facts.PoolFault = fmt.Sprintf("the tasks of this tree would name more than %d pools", MaxTreePools)
	}
	u.poolID = id
	return nil
}

// namesPool reports whether the task was submitted with a pool of its own, which it keeps.
func (u *updating) namesPool() bool {
	return u.task.pool != "" && u.task.pool != dag.PoolOf(u.task.executor)
}

func (u *updating) unknown() bool {
	return u.executor != "" && !u.namesPool() && u.Known != nil && !u.Known(u.executor)
}

// changed is the task as it will be, as far as workers are sent it.
func (u *updating) changed() *dag.Task {
	c := &u.Change
	t := &dag.Task{ID: u.task.id, Name: u.task.name, Inputs: u.task.inputs, Params: u.task.params, Schemas: u.task.schemas, Custom: u.task.custom,
		Executor: u.executor, Control: u.task.control}
	if c.Name != nil {
		t.Name = *c.Name
	}
	for _, f := range []struct{ to, from *json.RawMessage }{{&t.Inputs, &c.Inputs}, {&t.Params, &c.Params}, {&t.Schemas, &c.Schemas}} {
		if *f.from != nil {
			*f.to = *f.from
		}
	}
	for _, d := range u.now.on {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: fmt.Sprint(d.Key.Index()), Optional: !d.Required})
	}
	return t
}

// touched are the tasks to be locked.
func (u *updating) touched() []dag.Key {
	state := func(k dag.Key) dag.State { return u.task.state }
	if u.graph != nil {
		state = u.graph.state
	}
	keys := dag.Touched(u.k, u.edges, state)
	keys = append(keys, keysOf(u.task.wired.on)...)
	if dependents := u.edges.Dependents(u.k); len(dependents) <= dag.InlineDependents {
		keys = append(keys, keysOf(dependents)...)
	}
	return keys
}

// relinked are the tasks that more or fewer others will depend on.
func (u *updating) relinked() []dag.Key {
	if !u.Change.HasDependencies {
		return nil
	}
	keys := append(keysOf(u.task.wired.on), keysOf(u.now.on)...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// look gathers what the rules want to know, under the locks.
func (u *updating) look(ctx context.Context, d *dag.Decision) error {
	u.row = d.Row(u.k)
	if u.row == nil {
		return ErrNotFound
	}
	if u.row.Flags&dag.FlagChild != 0 {
		return &Refused{Faults: []string{fmt.Sprintf("Task '%s' can't be changed: it was found by another task, which waits for it as it is", u.task.id)}}
	}
	structural := u.Change.HasDependencies || u.Change.Status != ""
	if structural && ((u.row.State == dag.Blocked) != (u.task.state == dag.Blocked) || u.graph != nil && !d.Foreseen(u.graph.state)) {
		return errUntold // what was read is not what is needed
	}
	if structural {
		if err := u.told(ctx, u.touched()); err != nil {
			return err
		}
	}
	f := &u.facts
	f.Fold = u.row.Flags&dag.FlagFold != 0
	f.ID, f.Root, f.State, f.Created, f.Now = u.task.id, u.k == u.tree.root, u.row.State, u.tree.created, d.Now()
	if u.task.finished != nil {
		f.Finished = *u.task.finished
	}
	f.Started = u.row.StartedAt
	if f.Started.IsZero() && u.task.started != nil {
		f.Started = *u.task.started
	}
	if c := &u.Change; u.InputFaults != nil && u.executor != "" && (c.Inputs != nil || c.Params != nil || c.Schemas != nil) {
		f.InputFaults = u.InputFaults(u.changed())
	}
	if c := &u.Change; u.Allowed != nil && (c.Inputs != nil || c.Params != nil || c.Schemas != nil) {
		if err := u.Allowed(u.changed()); err != nil {
			return err
		}
	}
	if c := &u.Change; u.PoolFaults != nil && u.executor != "" && (c.Inputs != nil || c.Params != nil || c.Schemas != nil) {
		t := u.changed()
		if u.namesPool() {
			t.Pool = u.task.pool
		}
		f.InputFaults = append(f.InputFaults, u.PoolFaults(t)...)
	}
	if c := &u.Change; c.Inputs != nil || c.HasDependencies {
		if err := u.lookAtTemplates(ctx); err != nil {
			return err
		}
	}
	if err := u.lookAtLimits(ctx); err != nil {
		return err
	}
	if u.Change.HasDependencies {
		return u.lookAtDependencies(ctx, d)
	}
	return nil
}

// lookAtLimits finds out what the task will ask for: by the change, and by its name and inputs, which its keys may name.
func (u *updating) lookAtLimits(ctx context.Context) error {
	c := &u.Change
	u.facts.Executor, u.asksAnew = u.executor, false
	if !c.HasLimiting() && (u.task.limiting.Empty() || c.Name == nil && c.Inputs == nil && u.executor == u.task.executor) {
		return nil
	}
	t := u.changed()
	t.Limiting = c.Asks(u.task.limiting)
	asks, faults := t.LimitFaults(dag.Identity{Task: u.task.id, Tree: u.tree.rootID, User: u.tree.user})
	if asks.ForParent() && !u.task.limiting.ForParent() {
		faults = append(faults, "lock.hold: parent is said when the task is stored, as its parent has to know it")
	}
	u.facts.LimitFaults, u.facts.Limited = faults, !asks.Empty()
	if string(asks.Stored()) == string(u.task.limiting.Stored()) {
		return nil
	}
	u.asks, u.asksAnew = asks, true
	var limits []UnboundedLimit
	for _, place := range asks.Unbounded() {
		limits = append(limits, UnboundedLimit{fmt.Sprintf("limits[%d]", place), asks.Limits[place]})
	}
	unruled, err := ruleFaults(ctx, u.c, u.tree.namespace, limits)
	u.facts.LimitFaults = append(faults, unruled...)
	return err
}

// lookAtTemplates gathers the faults of the task's templates, as they will be, with the dependencies that it will have.
func (u *updating) lookAtTemplates(ctx context.Context) error {
	if c := u.task.control; c == nil || !c.Template && c.Outputs == nil && c.FlowStep == nil {
		return nil
	}
	rows, err := u.c.Query(ctx, sql("AddressesOf"), keysOf(u.now.on))
	if err != nil {
		return fmt.Errorf("read dependencies of task %d: %w", u.k, err)
	}
	var all []dag.Addressed
	var controls, envelopes [][]byte
	if err := eachRow(rows, func(v *values) {
		_ = v.key()
		all = append(all, dag.Addressed{Ref: v.text(), Name: v.text()})
		controls, envelopes = append(controls, v.json()), append(envelopes, v.bytea())
	}); err != nil {
		return fmt.Errorf("read dependencies of task %d: %w", u.k, err)
	}
	for i := range all {
		skip := new([]byte)
		if err := u.s.seals.open(ctx, u.tree.key, kindPayload, envelopes[i], skip, skip, skip, skip, &controls[i]); err != nil {
			return err
		}
		control, err := dag.ReadControl(controls[i])
		if err != nil {
			return fmt.Errorf("read dependencies of task %d: %w", u.k, err)
		}
		all[i].Outputs = control.OutputNames()
	}
	u.facts.InputFaults = append(u.facts.InputFaults, u.changed().ValueFaults(all)...)
	return nil
}

func (u *updating) lookAtDependencies(ctx context.Context, d *dag.Decision) error {
	f := &u.facts
	first, end := u.tree.key.Range()
	b := &pgx.Batch{}
	b.Queue(sql("ExecutingDependents"), u.k, 100).Query(func(rows pgx.Rows) (err error) {
		f.Executing, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	b.Queue(sql("CountEdges"), first, end).QueryRow(func(row pgx.Row) error { return row.Scan(&f.Edges) })
	if err := u.c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read edges: %w", err)
	}
	f.Edges += len(u.now.on) - len(u.task.wired.on)
	inside := u.row.State.Unfinished() || u.row.State == dag.Blocked && u.tree.unfinished > 0
	var held []dag.Key
	for _, on := range u.now.on {
		if r := d.Row(on.Key); inside && r != nil && r.State == dag.Held {
			held = append(held, on.Key)
		}
	}
	if len(held) == 0 {
		return nil
	}
	labels, err := u.labels(ctx, held)
	for _, k := range held {
		f.Unstarted = append(f.Unstarted, labels[k].ID)
	}
	return err
}

// decide asks package dag what follows.
func (u *updating) decide(edit dag.Edit, counts edgeCounts) {
	c, r := &u.Change, u.row
	if dependents := u.edges.Dependents(u.k); len(dependents) <= dag.InlineDependents {
		for _, dep := range dependents {
			edit.AddDependent(u.k, dep)
		}
	}
	if c.HasDependencies {
		for _, on := range u.task.wired.on {
			counts[on.Key]--
		}
		for _, on := range u.now.on {
			counts[on.Key]++
		}
		for _, k := range u.relinked() {
			edit.Reflag(k, counts.flags(k, edit.Row(k).Flags))
		}
	}
	v := dag.Revision{Priority: r.Priority, Pool: r.Pool, Flags: u.flags(r.Flags), Executor: u.executor, Rewired: c.HasDependencies,
		Sent: c.Inputs != nil || c.Params != nil || c.Schemas != nil || u.asksAnew}
	if u.asksAnew {
		if v.Flags &^= dag.FlagLimited | dag.FlagKeeps; !u.asks.Empty() {
			v.Flags |= dag.FlagLimited
		}
		if u.asks.ForParent() {
			v.Flags |= dag.FlagKeeps
		}
	}
	if c.HasDependencies {
		v.Flags = v.Flags&^dag.FlagJudged | u.judge(edit)&dag.FlagJudged
	}
	if c.Priority != nil {
		v.Priority = *c.Priority
	}
	if u.executor != u.task.executor && !u.namesPool() {
		v.Pool = u.poolID
	}
	if v.Sent || v.Rewired || c.Priority != nil {
		edit.Revise(u.k, v)
	}
	if c.Status == "" || c.Status == r.State.Status() {
		return
	}
	message := ""
	if c.Error != nil {
		message = *c.Error
	}
	switch c.Status {
	case dag.StatusCompleted:
		edit.Conclude(u.k, dag.Completed, c.Result, "")
	case dag.StatusFailed:
		edit.Conclude(u.k, dag.Failed, nil, message)
	case dag.StatusCancelled:
		edit.Cancel(u.k, cmp.Or(message, CancelledByUser), false)
	}
}

// judge completes the modes of the new dependencies, and gives the task's flags by them: they say whether a followup decides whether it runs.
func (u *updating) judge(edit dag.Edit) dag.Flags {
	for i := range u.now.on {
		e := &u.now.on[i]
		e.Mode = e.Mode.Completed(e.Required, u.row.Flags, edit.Row(e.Key).Flags)
	}
	return dag.Judged(u.row.Flags, u.now.on)
}

// CancelledByUser is the reason of a cancellation that gives none.
const CancelledByUser = "Cancelled by user"

// flags are those that follow from the executor.
func (u *updating) flags(f dag.Flags) dag.Flags {
	if u.executor == u.task.executor {
		return f
	}
	repeats := func(executor string) bool { return u.Repeatable != nil && u.Repeatable(executor) }
	own := f&dag.FlagRepeatable != 0 && !repeats(u.task.executor) // the task's own word
	f &^= dag.FlagGroup | dag.FlagUnknown | dag.FlagRepeatable
	if u.executor == "" {
		f |= dag.FlagGroup
	}
	if u.unknown() {
		f |= dag.FlagUnknown
	}
	if own || repeats(u.executor) {
		f |= dag.FlagRepeatable
	}
	return f
}

// write writes what was decided, and what no decision is needed for.
func (u *updating) write(ctx context.Context, edit dag.Edit) error {
	c := &u.Change
	was := u.row.Expected()
	early := func(b *pgx.Batch) error {
		t := u.changed()
		if c.Name != nil || c.HasDependencies || u.executor != u.task.executor {
			deps, types, modes := u.now.columns()
			b.Queue(sql("EditSpec"), u.k, t.Name, u.executor, deps, types, modes)
		}
		if u.asksAnew {
			b.Queue(sql("EditLimits"), u.k, orNil(u.asks.Stored()))
		}
		if c.HasDependencies {
			queueRewire(b, u.k, u.task.wired.on, u.now.on)
		}
		if c.Inputs != nil || c.Params != nil || c.Schemas != nil {
			if was.State == dag.Running {
				b.Queue(sql("KeepSentPayload"), u.k, was.Attempt)
			}
			return u.queuePayload(ctx, b, t)
		}
		return nil
	}
	needs := dag.BaseLevel
	if c.HasDependencies && slices.ContainsFunc(u.now.on, func(d dag.Dependent) bool { return d.Mode != 0 }) {
		needs = dag.ControlLevel
	}
	if u.asksAnew && !u.asks.Empty() {
		needs = dag.LimitsLevel
	}
	late := func(b *pgx.Batch) error {
		queueLevel(b, needs, u.s.version)
		return u.queueOutcome(ctx, b, edit.Ended)
	}
	of := treeEdit{}
	if cachesAround(edit.Row(u.k)) {
		of.check = func(b *pgx.Batch) { b.Queue(sql("ForgetCachedAround"), u.k) }
	}
	if u.poolID != 0 {
		of.pools = []int32{u.poolID}
	}
	if c.Name != nil && u.k == u.tree.root {
		of.name = c.Name
	}
	return levelRefusal(u.commit(ctx, edit, early, late, of, was.State == dag.Blocked, u.Room), u.s.editLevels(), needs)
}

// queuePayload writes what the task carries. Where it may be sealed, all of it is written anew: it is in one envelope.
func (u *updating) queuePayload(ctx context.Context, b *pgx.Batch, t *dag.Task) error {
	c := &u.Change
	if !u.s.seals.can() {
		b.Queue(sql("EditPayload"), u.k, orNil(c.Inputs), orNil(c.Params), orNil(c.Schemas))
		return nil
	}
	z, err := u.s.seals.sealer(ctx, u.tree.key)
	switch {
	case err != nil:
		return err
	case z == nil:
		b.Queue(sql("ReplacePayload"), u.k, orNil(t.Inputs), orNil(t.Params), orNil(t.Schemas), orNil(t.Custom), nil, orNil(t.Control.Stored()))
		return nil
	}
	if err := storablePayload(t); err != nil {
		return err
	}
	b.Queue(sql("ReplacePayload"), u.k, nil, nil, nil, nil, z.payload(u.tree.key, t), nil)
	return nil
}

// queueOutcome writes what the change says of the attempt. ended are those that the change ends.
func (u *updating) queueOutcome(ctx context.Context, b *pgx.Batch, ended []dag.Ended) error {
	c, r := &u.Change, u.row
	if c.HasLabels {
		var rows labelRows
		rows.add(u.tree.key, c.Labels)
		b.Queue(sql("DeleteLabels"), u.tree.key)
		rows.queue(b)
	}
	if c.Progress != nil {
		b.Queue(sql("EditProgress"), u.k, *c.Progress)
	}
	if !dag.OutcomeStates.Has(r.State) {
		if r.State == dag.Running && !c.StartedAt.IsZero() {
			b.Queue(sql("EditRunning"), u.k, r.Attempt, c.StartedAt)
		}
		return nil
	}
	var message *string
	if c.Error != nil && *c.Error != "" {
		message = c.Error
	}
	if message == nil && c.Result == nil && c.StartedAt.IsZero() && c.CompletedAt.IsZero() {
		return nil
	}
	b.Queue(sql("EnsureAttempt"), u.k)
	if u.s.seals.can() && (message != nil || c.Result != nil) {
		if err := u.queueHeld(ctx, b, ended, message); err != nil {
			return err
		}
		b.Queue(sql("EditAttempt"), u.k, r.Attempt, nil, nil, orNull(c.StartedAt), orNull(c.CompletedAt))
		return nil
	}
	b.Queue(sql("EditAttempt"), u.k, r.Attempt, orNil(c.Result), message, orNull(c.StartedAt), orNull(c.CompletedAt))
	return nil
}

// queueHeld writes what the attempt holds, where it may be sealed.
func (u *updating) queueHeld(ctx context.Context, b *pgx.Batch, ended []dag.Ended, message *string) error {
	z, err := u.s.seals.sealer(ctx, u.tree.key)
	if err != nil {
		return err
	}
	var h held
	if i := slices.IndexFunc(ended, func(e dag.Ended) bool { return e.Task == u.k && e.Attempt == u.row.Attempt }); i >= 0 {
		e := &ended[i]
		h = held{e.Result, textOrNil(e.Error), textOrNil(e.Detail), e.Outputs}
	} else {
		if _, err := u.c.Exec(ctx, sql("EnsureAttempt"), u.k); err != nil {
			return fmt.Errorf("edit an attempt: %w", err)
		}
		if h, _, err = u.s.heldBy(ctx, u.c, u.k, u.row.Attempt); err != nil {
			return err
		}
	}
	more := held{result: u.Change.Result}
	if message != nil {
		more.message = []byte(*message)
	}
	if err := errors.Join(storableJSON(more.result), storableText(string(more.message))); err != nil {
		return err
	}
	queueHeld(b, z, u.k, u.row.Attempt, h.with(more))
	return nil
}

// orNil is JSON as a parameter; nil for null.
func orNil(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return []byte(raw)
}
