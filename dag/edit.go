package dag

import "slices"

// Revision is what an edit changes of how a task is scheduled, and of what its worker is sent.
type Revision struct {
	Priority Priority
	Pool     int32
	Flags    Flags
	Executor string
	// Sent: what a worker is sent is otherwise: inputs, params, schemas, executor. An attempt that may be on its way to a worker is taken
	// back for that, and the next one is sent anew. One that runs goes on with what it has.
	Sent bool
	// Rewired: the task waits for others than before; they are among the [Edges].
	Rewired bool
}

// Edges are those of a tree as an edit leaves them, as far as the edit needs them.
type Edges interface {
	// Dependencies are what a task waits for. The rows of all must have been added.
	Dependencies(Key) []Dependent
	// Dependents wait for a task.
	Dependents(Key) []Dependent
}

// Edit is the frame of what an edit decides about one tree, whose edges nobody else changes meanwhile. All ends of the tasks at hand have been
// told to those that depend on them.
type Edit struct {
	*Decision
	Edges
	// Underway: the tree's execution has unfinished tasks, so that what an edit frees may go on in it. The write must find that so.
	Underway bool
}

// Withdrawn is the error of an attempt that was taken back unstarted, as its task was changed.
const Withdrawn = "taken back before it started, as its task was changed"

// Revise changes a task.
func (e Edit) Revise(k Key, v Revision) {
	r := e.rows[k]
	moved := v.Priority != r.Priority || v.Pool != r.Pool
	e.refix(r, v.Priority, v.Pool, v.Flags)
	if r.Policy != nil {
		r.Policy.Executor = v.Executor
	}
	switch r.State {
	case Held:
		if v.Rewired {
			r.Remaining = int32(len(e.Dependencies(k)))
		}
	case Waiting:
		if v.Rewired {
			e.rewire(r)
		}
	case Delayed:
		if v.Rewired || v.Flags&(FlagGroup|FlagUnknown) != 0 { // the latter don't wait for a time
			e.requeue(r, v.Rewired)
		}
	case Ready:
		if v.Rewired || v.Sent || moved {
			e.requeue(r, v.Rewired)
		}
	case Blocked:
		if v.Rewired && e.reconsider(r) {
			e.unblock(k)
		}
	}
}

// refix writes what nothing but edits change.
func (d *Decision) refix(r *Row, p Priority, pool int32, f Flags) {
	d.count(r, -1)
	d.tree(r.Key).Leaves -= leaf(r.Flags)
	// What it holds goes back at its end, whatever it asks for then.
	f |= r.Flags & FlagHolds
	if r.Flags&FlagLimited != 0 && f&FlagLimited == 0 {
		f |= FlagHolds
	}
	r.Priority, r.Pool, r.Flags = p, pool, f
	d.tree(r.Key).Leaves += leaf(f)
	d.count(r, +1)
	d.touch(r)
}

func leaf(f Flags) int {
	if f&FlagLeaf != 0 {
		return 1
	}
	return 0
}

// Reflag changes the flags of a task that an edit leaves alone otherwise: what is around it changes.
func (d *Decision) Reflag(k Key, f Flags) {
	if r := d.rows[k]; r != nil && r.Flags != f {
		d.refix(r, r.Priority, r.Pool, f)
	}
}

// Remove takes a task out of its tree: it counts nowhere any more, and no row of it is to be written.
func (d *Decision) Remove(k Key) {
	r := d.rows[k]
	d.count(r, -1)
	t := d.tree(k)
	t.Tasks--
	t.Leaves -= leaf(r.Flags)
	delete(d.rows, k)
	d.changed = slices.DeleteFunc(d.changed, func(c *Row) bool { return c == r })
}

// Grow adds new tasks to a tree's aggregate: all of them held, or all unfinished.
func (d *Decision) Grow(tree TreeKey, tasks, leaves int, held bool) {
	t := d.tree(tree.Key(0))
	t.Tasks += tasks
	t.Leaves += leaves
	if held {
		t.Held += tasks
	} else {
		t.Unfinished += tasks
	}
}

// requeue takes back the attempt that waits, for a worker or for a time, and lets the task wait anew.
func (e Edit) requeue(r *Row, rewired bool) {
	e.Ended = append(e.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeReturned, Error: Withdrawn})
	e.event(EventRetry, r, r.Attempt)
	r.Attempt++
	if rewired {
		e.rewire(r)
		return
	}
	e.release(r)
}

// rewire finds out what an unfinished task waits for.
func (e Edit) rewire(r *Row) {
	remaining, cause, _ := e.outlook(r)
	r.Remaining = remaining
	switch {
	case cause != 0:
		r.BlockedBy = cause
		e.move(r, Blocked)
		e.announce(r)
	case remaining == 0:
		e.release(r)
	case r.State == Waiting:
		e.touch(r)
	default:
		e.move(r, Waiting)
	}
}

// outlook is what a task waits for by its edges: how many dependencies have not ended; which task blocks it, 0 if none does; whether one is in
// no execution.
func (e Edit) outlook(r *Row) (remaining int32, cause Key, held bool) {
	for _, dep := range e.Dependencies(r.Key) {
		on := e.rows[dep.Key]
		switch {
		case !on.State.Settled():
			remaining++
			held = held || on.State == Held
		case cause == 0 && dep.fate(on.State) == fateBlocks:
			cause = on.cause()
		}
	}
	return remaining, cause, held
}

// reconsider looks again whether a blocked task is. It reports whether anything about it changed. What is not goes on in the execution that is
// under way, and else waits to be executed.
func (e Edit) reconsider(r *Row) bool {
	remaining, cause, held := e.outlook(r)
	switch {
	case cause == r.BlockedBy, cause == 0 && e.Underway && held:
		return false
	case cause != 0:
		r.BlockedBy = cause
		e.touch(r)
	case !e.Underway:
		r.BlockedBy, r.Remaining = 0, int32(len(e.Dependencies(r.Key)))
		e.move(r, Held)
	default:
		r.BlockedBy, r.Remaining = 0, remaining
		e.move(r, Waiting)
		e.untell(r)
		if remaining == 0 {
			e.release(r)
		}
	}
	return true
}

// untell takes back what the dependents of a task were told when it was blocked: those that go on waiting, wait for it again.
func (e Edit) untell(r *Row) {
	for _, dep := range e.Dependents(r.Key) {
		if on := e.rows[dep.Key]; on != nil && on.State == Waiting {
			on.Remaining++
			e.touch(on)
		}
	}
}

// unblock looks again at all that is blocked behind a task. The rows of those, and of all that they wait for, must have been added.
func (e Edit) unblock(k Key) {
	for queue := []Key{k}; len(queue) > 0; queue = queue[1:] {
		for _, dep := range e.Dependents(queue[0]) {
			if r := e.rows[dep.Key]; r != nil && r.State == Blocked && e.reconsider(r) {
				queue = append(queue, dep.Key)
			}
		}
	}
}

// Conclude ends a task by a user's word: as completed with a result, or as failed with an error. A running attempt is stopped by its worker,
// and ends at once.
func (e Edit) Conclude(k Key, to State, result []byte, message string) {
	r := e.rows[k]
	end := Ended{Outcome: OutcomeCompleted, Counted: true, Result: result}
	if to == Failed {
		end = Ended{Outcome: OutcomeFailed, Counted: true, Error: message}
		if message == "" {
			end.Error = "set to failed by a user"
		}
	}
	was := r.State
	if was == Running {
		e.Stops = append(e.Stops, Stop{Worker: r.Worker, Task: k, Attempt: r.Attempt})
	}
	e.end(r, end)
	r.BlockedBy = 0
	switch {
	case was.Unfinished():
		e.finish(r, to)
	case was == Blocked: // what waited for its end was told when it was blocked
		e.move(r, to)
		e.unblock(k)
	default: // of what no execution waits for, nothing is told: its tree's final event may be past
		e.move(r, to)
		e.announce(r)
	}
}

// Foreseen reports whether all rows that are blocked were so when [Touched] looked. A task that another's failure has blocked since waits for tasks
// whose rows were not added: the edit has to look anew.
func (d *Decision) Foreseen(state func(Key) State) bool {
	for k, r := range d.rows {
		if r.State == Blocked && state(k) != Blocked {
			return false
		}
	}
	return true
}

// Touched are all tasks that an edit of a task may change or look at, beside those that end with it: the task, what it waits for, and if it
// is blocked, all that is blocked behind it, with what that waits for and what waits for that. state tells of a task before the rows are locked.
func Touched(k Key, e Edges, state func(Key) State) []Key {
	seen := map[Key]bool{k: true}
	keys := []Key{k}
	see := func(all []Dependent) {
		for _, dep := range all {
			if !seen[dep.Key] {
				seen[dep.Key] = true
				keys = append(keys, dep.Key)
			}
		}
	}
	see(e.Dependencies(k))
	if state(k) == Blocked {
		walked := map[Key]bool{k: true}
		for queue := []Key{k}; len(queue) > 0; queue = queue[1:] {
			dependents := e.Dependents(queue[0])
			see(dependents)
			for _, dep := range dependents {
				if state(dep.Key) == Blocked && !walked[dep.Key] {
					walked[dep.Key] = true
					see(e.Dependencies(dep.Key))
					queue = append(queue, dep.Key)
				}
			}
		}
	}
	slices.Sort(keys)
	return keys
}
