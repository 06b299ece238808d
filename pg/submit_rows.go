package pg

import (
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// treeRows are the rows of whole trees: what every submission writes once, be it large or one of a group.
type treeRows struct {
	keys, roots, timeouts     []int64
	rootIDs, names, users     []string
	executions, tasks, leaves []int32
	held, unfinished          []int32
	started                   []int64 // trees with a first event
	idempotencyKeys           []string
	idempotencyTrees          []int64
	digests                   [][]byte
	timers                    []dag.Timer
	releases                  []dag.Key
}

func (r *treeRows) add(st *store) {
	n, root := int32(len(st.g.IDs)), int(st.g.Root)
	r.keys, r.roots = append(r.keys, int64(st.tree)), append(r.roots, int64(st.tree.Key(root)))
	r.rootIDs, r.names, r.users = append(r.rootIDs, st.g.IDs[root]), append(r.names, st.in.tasks[root].name), append(r.users, st.g.UserID)
	r.timeouts = append(r.timeouts, st.sub.Timeout.Milliseconds())
	r.tasks, r.leaves = append(r.tasks, n), append(r.leaves, int32(st.leaves))
	if st.sub.IdempotencyKey != "" {
		r.idempotencyKeys, r.idempotencyTrees = append(r.idempotencyKeys, st.sub.IdempotencyKey), append(r.idempotencyTrees, int64(st.tree))
		r.digests = append(r.digests, st.in.digest.Sum(nil))
	}
	if st.sub.Hold {
		r.executions, r.held, r.unfinished = append(r.executions, 0), append(r.held, n), append(r.unfinished, 0)
		return
	}
	r.executions, r.held, r.unfinished = append(r.executions, 1), append(r.held, 0), append(r.unfinished, n)
	r.started = append(r.started, int64(st.tree))
	r.timers, r.releases = append(r.timers, st.timers()...), append(r.releases, st.releases...)
}

func (r *treeRows) queue(b *pgx.Batch) {
	b.Queue(sql("InsertTrees"), r.keys, r.roots, r.rootIDs, r.names, r.users, r.timeouts, r.executions, r.tasks, r.leaves, r.held, r.unfinished)
	if len(r.idempotencyKeys) > 0 {
		b.Queue(sql("InsertSubmissions"), r.idempotencyKeys, r.idempotencyTrees, r.digests)
	}
	if len(r.started) > 0 {
		b.Queue(sql("InsertFirstEvents"), r.started)
	}
	if len(r.timers) > 0 {
		queueTimers(b, r.timers)
	}
	if len(r.releases) > 0 {
		queueChores(b, ChoreRelease, r.releases)
	}
}

// taskRows are the rows of small trees' tasks, table by table and column by column.
type taskRows struct {
	payloads struct {
		keys    []int64
		columns [4][]*string
	}
	specs struct {
		rows [][]any
		deps []*string
	}
	tasks struct {
		keys                      []int64
		states, flags, priorities []int16
		pools, remaining          []int32
	}
	edges struct {
		from, to []int64
		required []bool
	}
}

func (r *taskRows) add(m *member) error {
	for i, t := range m.tasks {
		r.addPayload(int64(m.st.tree.Key(i)), t)
	}
	dependents := m.st.dependents()
	for i := range m.st.g.IDs {
		if err := r.addSpec(m.st, i); err != nil {
			return err
		}
		m.flags[i] = r.addTask(m.st, i, dependents[i])
	}
	return nil
}

func (r *taskRows) addPayload(key int64, t *dag.Task) {
	if t.Inputs == nil && t.Params == nil && t.Schemas == nil && t.Custom == nil {
		return
	}
	p := &r.payloads
	p.keys = append(p.keys, key)
	for i, raw := range [...][]byte{t.Inputs, t.Params, t.Schemas, t.Custom} {
		var value *string
		if raw != nil {
			s := string(raw)
			value = &s
		}
		p.columns[i] = append(p.columns[i], value)
	}
}

func (r *taskRows) addSpec(st *store, i int) error {
	row, err := st.spec(i)
	if err != nil {
		return err
	}
	var deps *string
	if list, ok := row[5].([]int32); ok {
		text := []byte{'{'}
		for n, d := range list {
			if n > 0 {
				text = append(text, ',')
			}
			text = strconv.AppendInt(text, int64(d), 10)
		}
		s := string(append(text, '}'))
		deps = &s
	}
	r.specs.rows, r.specs.deps = append(r.specs.rows, row), append(r.specs.deps, deps)
	return nil
}

// addTask also gives the task's flags.
func (r *taskRows) addTask(st *store, i int, dependents int32) dag.Flags {
	row, t := st.begin(i, dependents), &r.tasks
	t.keys, t.states, t.flags = append(t.keys, int64(row.Key)), append(t.states, int16(row.State)), append(t.flags, int16(row.Flags))
	t.priorities, t.pools, t.remaining = append(t.priorities, int16(row.Priority)), append(t.pools, row.Pool), append(t.remaining, row.Remaining)
	for _, e := range st.g.Dependencies(i) {
		r.edges.from, r.edges.to = append(r.edges.from, int64(st.tree.Key(int(e.Task)))), append(r.edges.to, int64(row.Key))
		r.edges.required = append(r.edges.required, e.Required)
	}
	return row.Flags
}

func (r *taskRows) queue(b *pgx.Batch) {
	if p := r.payloads; len(p.keys) > 0 {
		b.Queue(sql("InsertPayloads"), p.keys, p.columns[0], p.columns[1], p.columns[2], p.columns[3])
	}
	rows := r.specs.rows
	b.Queue(sql("InsertSpecs"), column[int64](rows, 0), column[string](rows, 1), column[int32](rows, 2), column[string](rows, 3),
		column[string](rows, 4), r.specs.deps, column[int32](rows, 7), column[string](rows, 8), column[int64](rows, 9), column[int64](rows, 10),
		column[int64](rows, 11), column[int64](rows, 12), column[time.Time](rows, 13), column[int16](rows, 14))
	b.Queue(sql("InsertTasks"), r.tasks.keys, r.tasks.states, r.tasks.flags, r.tasks.priorities, r.tasks.pools, r.tasks.remaining)
	if len(r.edges.from) > 0 {
		b.Queue(sql("InsertEdges"), r.edges.from, r.edges.to, r.edges.required)
	}
}

// column is one column of the rows; nil is null.
func column[T any](rows [][]any, i int) []*T {
	out := make([]*T, len(rows))
	for n, row := range rows {
		if v, ok := row[i].(T); ok {
			out[n] = &v
		}
	}
	return out
}

// work is what is to be published for the runs that the caller has room for. Of a tree that is stored just now, all of it
// is in memory: its ready tasks wait for nothing, so that they have no results to be given.
func (m *member) work(into map[dag.Key]*Work) {
	st := m.st
	for _, r := range st.runs {
		if !r.Direct {
			continue
		}
		for k := r.First; k < r.First+dag.Key(r.N); k++ {
			i := k.Index()
			t, p := m.tasks[i], &st.in.tasks[i]
			w := &Work{Key: k, Attempt: 1, Priority: r.Priority, Pool: r.Pool, Flags: m.flags[i], TreeID: st.g.IDs[st.g.Root], UserID: st.g.UserID,
				Execution: 1, ID: st.g.IDs[i], Name: p.name, Executor: p.executor, Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas}
			if p.custom != nil {
				w.TimeoutMS = p.custom.timeout.Milliseconds()
			}
			into[k] = w
		}
	}
}
