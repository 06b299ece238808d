package dag

import (
	"slices"
	"time"
)

// Optimistic is a decision about rows that nobody read. Each row is assumed to be as it usually is, and the transaction that
// writes the decision compares every row, and all of [Assumptions], in the statements that write. If anything is otherwise, the
// transaction is given up and the rows are read after all. So optimism saves a read, and never decides by what is out of date.
//
// Only the usual case is tried: claims of first attempts, and plain completions with what these unlock. Whatever needs the
// time, a policy or a count of earlier attempts is read. One goroutine.
type Optimistic struct {
	Decision *Decision
	Assumed  Assumptions
	ends     map[Key]int32 // how many dependencies of each end by this decision, of tasks that need more than their rows when they wait for nothing more
}

// Assumptions are what an optimistic decision assumes beside its rows.
type Assumptions struct {
	Workers []WorkerKey       // have a lease that is alive, until the transaction ends
	Vacant  []Lane            // in the store nothing waits for the lane's pool that is as urgent, or more
	Trees   map[TreeKey]int32 // are not cancelled, and are in this execution; 0: in any. Not 0: the tree is the one that [Memory] told of
}

// Memory is what a process remembers of trees that it stored. It may be out of date: what comes of it is compared.
type Memory interface {
	// Dependents are the tasks that the task's end unlocks at once, and the execution that its tree is in, 0 if that is
	// cancelled. None: they are not remembered.
	Dependents(Key) (dependents []Dependent, execution int32)
	// Waiting tells of a task that waits: its facts, and for how many dependencies, 0 if that is not remembered.
	Waiting(Key) (f Facts, remaining int32)
}

// NewOptimistic starts a decision.
func NewOptimistic() *Optimistic {
	return &Optimistic{
		Decision: NewDecision(time.Time{}, nil), // neither the time nor chance has a say
		Assumed:  Assumptions{Trees: map[TreeKey]int32{}},
		ends:     map[Key]int32{},
	}
}

// Claim decides about claims. false: they have to be read.
//
// A claim can be assumed to find its task ready, in its first attempt. A task with a policy may need a timer, and one that is
// repeatable may have ended before its claim comes: both are read.
func (o *Optimistic) Claim(claims []Claim) (verdicts []Verdict, ok bool) {
	verdicts = make([]Verdict, len(claims))
	for i, c := range claims {
		row, ok := c.Facts.Row(c.Task, c.Attempt, Ready, 0)
		if !ok || row.Flags&(FlagPolicy|FlagRepeatable) != 0 || !o.assume(row) {
			return nil, false
		}
		o.assumeAlive(c.Worker)
		o.Assumed.Trees[c.Task.Tree()] = 0
		verdicts[i] = o.Decision.Claim(c.Task, c.Attempt, c.Worker)
	}
	return verdicts, o.writesAll()
}

// AssumeResults hands in the rows that results are about, and those of the tasks that they unlock. false: they have to be
// read. [Optimistic.Settle] comes next.
//
// A result can be assumed to find its task running, in its first attempt, at the worker that reports.
func (o *Optimistic) AssumeResults(results []Result, m Memory) bool {
	for i := range results {
		r := &results[i]
		row, ok := r.Facts.Row(r.Task, r.Attempt, Running, r.Worker)
		if !ok || !r.plain() || row.Flags&FlagCache != 0 || !o.assume(row) {
			return false
		}
		if row.Flags.Unlocks() && !o.assumeDependents(r.Task, m) {
			return false
		}
	}
	return true
}

// plain reports whether the result is a completion that ends an attempt which a claim began: nothing else about it is to be
// decided or kept.
func (res *Result) plain() bool {
	return res.Outcome == OutcomeCompleted && res.Worker != 0 && !res.Early && !res.Chunked && res.Error == "" && res.Detail == "" && !res.Noted
}

// assumeDependents hands in the tasks that wait for the task. Only those of a tree's first execution can be assumed: later ones
// may begin with later attempts.
func (o *Optimistic) assumeDependents(k Key, m Memory) bool {
	dependents, execution := m.Dependents(k)
	if len(dependents) == 0 || execution != 1 {
		return false
	}
	for _, dep := range dependents {
		if o.Decision.Row(dep.Key) == nil {
			row, ok := waitingRow(dep.Key, m)
			if !ok || !o.assume(row) {
				return false
			}
		}
		if dep.fate(Completed) == fateBlocks || !o.staysPlain(o.Decision.Row(dep.Key)) {
			return false
		}
		o.Decision.AddDependent(k, dep)
	}
	o.Assumed.Trees[k.Tree()] = execution
	return true
}

// staysPlain reports whether nothing but its row is needed of a task of which one more dependency ends: it waits on, or will just be ready. A group ends then, a policy may
// have more to say, and how all dependencies have ended decides about one that is judged.
func (o *Optimistic) staysPlain(r *Row) bool {
	if r.Flags&(FlagPolicy|FlagGroup|FlagsJudged) == 0 {
		return true
	}
	o.ends[r.Key]++
	return o.ends[r.Key] < r.Remaining
}

// waitingRow is the row of a task that waits in its first attempt.
func waitingRow(k Key, m Memory) (Row, bool) {
	f, remaining := m.Waiting(k)
	r, ok := f.Row(k, 1, Waiting, 0)
	r.Remaining = remaining
	return r, ok && r.waitsPlainly()
}

// waitsPlainly reports whether the task waits for dependencies in its first attempt.
func (r *Row) waitsPlainly() bool {
	return r.State == Waiting && r.Remaining > 0 && r.Attempt == 1 && r.Failures == 0 && r.Crashes == 0
}

// Memorable reports whether a later decision may assume the row as this one leaves it: [Memory] may give its facts and its
// Remaining. Whoever remembers the task forgets it otherwise.
func (r *Row) Memorable() bool { return r.was.State == Waiting && r.waitsPlainly() }

// Settle decides about the results whose rows were assumed, and hands tasks that they unlock to workers that offer a slot.
// vacant tells whether nothing waits in a lane or before it, as far as the caller knows. false: the rows have to be read.
func (o *Optimistic) Settle(results []Result, vacant func(Lane) bool) bool {
	d := o.Decision
	for _, r := range results {
		if !d.Settle(r) {
			return false
		}
	}
	offers := make([]*Result, len(results))
	for i := range results {
		offers[i] = &results[i]
	}
	d.HandOver(offers, func(row *Row) bool { return vacant(row.Lane()) })
	for _, h := range d.Handovers {
		o.assumeAlive(h.Worker)
		o.assumeVacant(d.Row(h.Task).Lane())
	}
	return o.writesAll()
}

// assume hands in a row. false: the task has one already, so that two claims or results are about it.
func (o *Optimistic) assume(r Row) bool {
	if o.Decision.Row(r.Key) != nil {
		return false
	}
	o.Decision.Add(r, false)
	return true
}

func (o *Optimistic) assumeAlive(w WorkerKey) {
	if !slices.Contains(o.Assumed.Workers, w) {
		o.Assumed.Workers = append(o.Assumed.Workers, w)
	}
}

func (o *Optimistic) assumeVacant(l Lane) {
	if !slices.Contains(o.Assumed.Vacant, l) {
		o.Assumed.Vacant = append(o.Assumed.Vacant, l)
	}
}

// writesAll reports whether every row is going to be written: one that is not would not be compared.
func (o *Optimistic) writesAll() bool { return len(o.Decision.Changed()) == len(o.Decision.rows) }
