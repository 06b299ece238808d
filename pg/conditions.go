package pg

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Condition is a task whose dependencies have all ended, and whose condition is to be evaluated.
type Condition struct {
	Task         dag.Key
	Attempt      int32
	Waits        bool // false: it does not wait for its condition any more
	ID, Name     string
	Root, UserID string // of its tree
	Flags        dag.Flags
	Namespace    dag.NamespaceKey
	Revision     int64 // of its tree, before anything else of it was read
	Control      *dag.Control
	Dependencies []ConditionDependency
	Unreadable   error // why what it carries can't be opened, however often it is tried; nil: it is all here

	inputs []byte // of a task whose payload is sealed
	sealed bool
}

// ConditionDependency is one dependency of it, in the order of its list.
type ConditionDependency struct {
	dag.Told
	ID, Name string
}

// Bounds of one batch of conditions.
const (
	conditionBytes = 8 << 20 // of what tasks carry in envelopes
	conditionEdges = 200_000
)

// PendingConditions are tasks after the given one whose conditions are to be evaluated, at most n. Nothing is locked: [Store.DecideConditions]
// compares what was seen. What can't be opened now is left out. last is the last task that was looked at; 0: there was none.
func (s *Store) PendingConditions(ctx context.Context, after dag.Key, n int) (list []*Condition, last dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	type carried struct{ control, sealed []byte }
	payloads := map[dag.Key]carried{}
	rows, err := s.pool.Query(ctx, sql("PendingConditions"), after, n, conditionBytes, conditionEdges)
	if err != nil {
		return nil, 0, fmt.Errorf("read conditions: %w", err)
	}
	err = eachRow(rows, func(v *values) {
		c := &Condition{Task: v.key(), Attempt: v.integer(), Waits: v.boolean(), ID: v.text(), Name: v.text(), Root: v.text(), UserID: v.text()}
		payloads[c.Task] = carried{v.json(), v.bytea()}
		c.Flags, c.Namespace = dag.Flags(v.integer()), dag.NamespaceKey(v.integer())
		c.Revision = v.bigint()
		v.ignore()
		list = append(list, c)
		last = c.Task
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read conditions: %w", err)
	}
	opened := list[:0]
	by := make(map[dag.Key]*Condition, len(list))
	var keys []dag.Key
	for _, c := range list {
		p := payloads[c.Task]
		if c.sealed = p.sealed != nil; c.sealed {
			var params, schemas, custom []byte
			err := s.seals.open(ctx, c.Task.Tree(), kindPayload, p.sealed, &c.inputs, &params, &schemas, &custom, &p.control)
			if err != nil && !Unreadable(err) {
				continue // later
			}
			c.Unreadable = err
		}
		if c.Control, err = dag.ReadControl(p.control); err != nil && c.Unreadable == nil {
			c.Unreadable = err
		}
		opened = append(opened, c)
		if c.Waits && c.Unreadable == nil {
			by[c.Task], keys = c, append(keys, c.Task)
		}
	}
	if len(keys) == 0 {
		return opened, last, nil
	}
	rows, err = s.pool.Query(ctx, sql("ConditionDependencies"), keys)
	if err == nil {
		err = eachTold(rows, func(k dag.Key, t ConditionDependency) {
			by[k].Dependencies = append(by[k].Dependencies, t)
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read what %d conditions are about: %w", len(keys), err)
	}
	return opened, last, nil
}

// eachTold gives the rows of ConditionDependencies.
func eachTold(rows pgx.Rows, each func(dag.Key, ConditionDependency)) error {
	last := &ConditionDependency{}
	return eachRow(rows, func(v *values) {
		k := v.key()
		d := ConditionDependency{}
		d.Task, d.Ref, d.ID, d.Name = v.key(), v.textLike(last.Ref), v.textLike(last.ID), v.textLike(last.Name)
		d.Required, d.Mode, d.State, d.Attempt = v.boolean(), dag.EdgeMode(v.smallint()), dag.State(v.smallint()), v.integer()
		d.Allowed, d.Cause = dag.Flags(v.integer())&dag.FlagAllowed != 0, v.key()
		each(k, d)
		last = &d
	})
}

// AttemptOf is one attempt of a task.
type AttemptOf struct {
	Task   dag.Key
	Number int32
}

// AttemptValue is what an attempt ended with.
type AttemptValue struct {
	Result  []byte // nil: null
	Outputs []byte // nil: none
	Error   string
	Cut     bool // it was more than was asked for
}

// AttemptValues are what attempts ended with, in the order given, as long as it is most bytes together; those beyond are cut. Attempts that are not
// there are left out.
func (s *Store) AttemptValues(ctx context.Context, of []AttemptOf, most int) (map[AttemptOf]AttemptValue, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tasks, numbers := make([]dag.Key, len(of)), make([]int32, len(of))
	for i, a := range of {
		tasks[i], numbers[i] = a.Task, a.Number
	}
	found, envelopes := make(map[AttemptOf]AttemptValue, len(of)), map[AttemptOf][]byte{}
	rows, err := s.pool.Query(ctx, sql("ValuesOfAttempts"), tasks, numbers, most)
	if err == nil {
		err = eachRow(rows, func(v *values) {
			a := AttemptOf{v.key(), v.integer()}
			found[a] = AttemptValue{Cut: !v.boolean(), Result: v.json(), Error: v.text()}
			envelope, outputs := v.bytea(), v.json()
			if envelope != nil {
				envelopes[a] = envelope
			}
			if one := found[a]; outputs != nil {
				one.Outputs = outputs
				found[a] = one
			}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read what %d attempts ended with: %w", len(of), err)
	}
	for a, envelope := range envelopes {
		v := found[a]
		if err := s.seals.openText(ctx, a.Task.Tree(), envelope, &v.Result, &v.Error, nil, &v.Outputs); err != nil {
			return nil, err
		}
		found[a] = v
	}
	return found, nil
}

// ConditionInputs are the inputs of tasks as they were submitted, in the order given, as long as they are most bytes together. Those beyond are in cut.
// Tasks without inputs are in neither.
func (s *Store) ConditionInputs(ctx context.Context, of []*Condition, most int) (inputs map[dag.Key][]byte, cut map[dag.Key]bool, err error) {
	inputs, cut = make(map[dag.Key][]byte, len(of)), map[dag.Key]bool{}
	var keys []dag.Key
	for _, c := range of {
		if c.sealed {
			inputs[c.Task] = c.inputs
			continue
		}
		keys = append(keys, c.Task)
	}
	if len(keys) == 0 {
		return inputs, cut, nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("InputsOfTasks"), keys, most)
	if err == nil {
		err = eachRow(rows, func(v *values) {
			k := v.key()
			if fits, text := v.boolean(), v.json(); fits {
				inputs[k] = text
			} else {
				cut[k] = true
			}
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the inputs of %d tasks: %w", len(keys), err)
	}
	return inputs, cut, nil
}

// Verdict is what the condition of a task has come to, over the ends of its dependencies that were seen.
type Verdict struct {
	*Condition
	Is     dag.Condition
	Digest []byte // of a task that may end by an earlier success: what tells it; nil: nothing does
}

// current reports whether the verdict is about the dependencies as they are.
func (v *Verdict) current(told []dag.Told) bool {
	return slices.EqualFunc(v.Dependencies, told, func(seen ConditionDependency, is dag.Told) bool {
		return seen.Task == is.Task && seen.Attempt == is.Attempt && seen.State == is.State
	})
}

// DecideConditions decides what becomes of tasks by verdicts over their conditions, in one transaction. A verdict about other ends than those that
// are there changes nothing: its task is evaluated anew. eff is nil if nothing was to be decided.
func (s *Store) DecideConditions(ctx context.Context, verdicts []Verdict, room Room) (eff *Effects, err error) {
	by := make(map[dag.Key]*Verdict, len(verdicts))
	keys := make([]dag.Key, len(verdicts))
	for i := range verdicts {
		keys[i] = verdicts[i].Task
		by[keys[i]] = &verdicts[i]
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff = nil
		var taken []dag.Key
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeConditions"), keys).Query(func(rows pgx.Rows) (err error) {
			taken, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take conditions: %w", err)
		}
		if len(taken) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		told := make(map[dag.Key][]dag.Told, len(taken))
		reuse := newReuse(taken, by)
		l := load{keys: taken, policies: taken, dependents: true, begun: true, after: func(b *pgx.Batch) {
			b.Queue(sql("ConditionDependencies"), taken).Query(func(rows pgx.Rows) error {
				clear(told)
				return eachTold(rows, func(k dag.Key, d ConditionDependency) { told[k] = append(told[k], d.Told) })
			})
			reuse.queueStill(b)
		}}
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		var done []dag.Key
		for _, k := range taken {
			r, v := d.Row(k), by[k]
			waits := r != nil && r.State == dag.Waiting && r.Remaining == 0
			if waits && (!v.Waits || !v.current(told[k]) || r.Attempt != v.Attempt || !reuse.holds(v)) {
				continue // other ends than those that were seen, or the earlier success is gone, or what tells the task was changed
			}
			reuse.judged(v, r, d.Judge(k, told[k], v.Is))
			done = append(done, k)
		}
		if err := s.judgeAtOnce(ctx, c, d); err != nil {
			return err
		}
		b = &pgx.Batch{}
		if len(done) > 0 {
			b.Queue(sql("DeleteConditions"), done)
		}
		reuse.queue(b)
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, err
}
