package pg

import (
	"bytes"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
)

// A small tree has fewer tasks and bytes than these. It is read whole before it is stored; larger ones flow through COPY.
const (
	smallTasks = 2000
	smallBytes = 512 << 10 // of their JSON
)

// firstTasks reads up to a small tree's tasks. small is nil when there are more, or when reading failed: then all gives
// them again, and the rest, or the error. The caller calls stop when it is done with all.
func firstTasks(tasks iter.Seq2[*dag.Task, error]) (small []*dag.Task, all iter.Seq2[*dag.Task, error], stop func()) {
	next, stop := iter.Pull2(tasks)
	var read []*dag.Task
	var fault error
	size, whole := 0, false
	for len(read) < smallTasks && size < smallBytes {
		t, err, ok := next()
		if !ok || err != nil {
			whole, fault = err == nil, err
			break
		}
		t = cloneTask(t)
		read = append(read, t)
		size += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
	}
	all = func(yield func(*dag.Task, error) bool) {
		for _, t := range read {
			if !yield(t, nil) {
				return
			}
		}
		if fault != nil {
			yield(nil, fault)
			return
		}
		for !whole {
			t, err, ok := next()
			if !ok || !yield(t, err) {
				return
			}
		}
	}
	if whole && len(read) > 0 {
		small = read
	}
	return small, all, stop
}

// cloneTask copies a task whose memory its reader may use again.
func cloneTask(t *dag.Task) *dag.Task {
	c := *t
	c.Inputs, c.Params, c.Schemas, c.Custom = bytes.Clone(t.Inputs), bytes.Clone(t.Params), bytes.Clone(t.Schemas), bytes.Clone(t.Custom)
	c.Dependencies = slices.Clone(t.Dependencies)
	if t.Control != nil {
		control := *t.Control
		control.Outputs = bytes.Clone(control.Outputs)
		c.Control = &control
	}
	c.Limiting = t.Limiting.Clone()
	if t.Imported != nil {
		imported := *t.Imported
		imported.Result, imported.Outputs = bytes.Clone(imported.Result), bytes.Clone(imported.Outputs)
		c.Imported = &imported
	}
	return &c
}

// intake reads a submission's tasks once: payloads flow on, ids and edges stay.
type intake struct {
	builder     *dag.Builder
	tasks       []taskHead
	digester    *digester // nil: not needed
	intern      map[string]string
	treeTimeout time.Duration
	retention   time.Duration     // of the root; 0: as the operator says
	due         *dag.Due          // likewise; nil: it is never late
	labels      map[string]string // of the root
	unique      *dag.Unique       // likewise
	levels      dag.Levels
	level       dag.Level // that the tasks need
	bytes       int64     // of what the tasks carry
	payloads    *payloads // nil: not to be shown
	limits      limitTexts
	run         bool // it is a run of a flow
	imported    int  // bytes that tasks ended with before they were submitted, and one for each of these
}

// taskHead is what stays in memory of each task of a submission until the whole is validated: no inputs.
type taskHead struct {
	name, executor, pool string
	custom               *taskPolicy // nil: all defaults
	priority             dag.Priority
	repeatable, demo     bool
	keyed                bool
	beyond               dag.Flags     // what it says beyond the protocol
	limits               *limitText    // what it asks for; nil: nothing
	imported             *dag.Imported // nil: it is to run
}

// taskPolicy is what few tasks say.
type taskPolicy struct {
	retry                    dag.RetryPolicy
	onLost                   dag.OnLost
	timeout, scheduleToStart time.Duration
	notBefore                time.Time
}

func newIntake(sub *Submission) *intake {
	in := &intake{builder: dag.NewBuilder(sub.Limits, uuid.NewString).OwnedBy(sub.UserID), intern: map[string]string{}, levels: sub.Levels, level: dag.BaseLevel}
	in.run = sub.Run != nil
	if sub.Waiter != nil {
		in.level = dag.ControlLevel
	}
	if sub.IdempotencyKey != "" {
		in.digester = newDigester()
	}
	if sub.Hold && sub.Show.Tasks > 0 {
		in.payloads = &payloads{left: sub.Show}
	}
	return in
}

// add takes a task in and gives its index in the tree. Errors: those of [dag.Builder.Add].
func (in *intake) add(t *dag.Task) (int, error) {
	i, err := in.builder.Add(t)
	if err != nil {
		return i, err
	}
	in.take(t)
	if t.Imported != nil {
		if err := in.takeImported(i, t); err != nil {
			return i, err
		}
	}
	if in.digester != nil {
		in.digester.add(t)
	}
	if in.payloads != nil && !in.payloads.keep(t) {
		in.payloads = nil
	}
	return i, nil
}

// take keeps of a task what is stored of it beside its payload.
func (in *intake) take(t *dag.Task) {
	head := taskHead{name: t.Name, executor: in.once(t.Executor), pool: in.once(t.QueueName()), priority: t.Priority, repeatable: t.Repeatable, demo: t.Demo, keyed: t.Keyed || t.KeyStored, beyond: t.Beyond(), limits: in.limits.take(len(in.tasks), t)}
	if !t.Retry.IsZero() || t.OnLost != 0 || t.Timeout != 0 || t.ScheduleToStart != 0 || !t.NotBefore.IsZero() {
		head.custom = &taskPolicy{retry: t.Retry, onLost: t.OnLost, timeout: t.Timeout, scheduleToStart: t.ScheduleToStart, notBefore: t.NotBefore}
	}
	if t.TreeTimeout > 0 {
		in.treeTimeout = t.TreeTimeout
	}
	if t.ParentRef == "" {
		in.labels, in.unique, in.retention, in.due = t.Labels, t.Unique, t.Retention, t.Due
	}
	in.level = max(in.level, in.levels.Needed(t))
	in.bytes += int64(len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom))
	in.tasks = append(in.tasks, head)
}

// refusedBelow is the level below which a live process has the tree refused. Of how long trees are kept, and of what runs they are, workers need not know.
func (in *intake) refusedBelow() dag.Level {
	switch {
	case in.run:
		return max(in.level, dag.RegistryLevel)
	case in.retention != 0:
		return max(in.level, dag.KeepingLevel)
	}
	return in.level
}

// maxShared is how many different texts are kept of which many tasks may have the same.
const maxShared = 10_000

// once keeps one copy of a text that many tasks share.
func (in *intake) once(s string) string {
	if shared, ok := in.intern[s]; ok {
		return shared
	}
	if len(in.intern) < maxShared {
		in.intern[s] = s
	}
	return s
}

// digests are those of all tasks; none without an idempotency key.
func (in *intake) digests() digests {
	if in.digester == nil {
		return digests{}
	}
	return in.digester.sums()
}
