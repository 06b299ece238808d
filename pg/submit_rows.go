package pg

import (
	"time"

	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/dag"
)

// treeRows are the rows of whole trees: what every submission writes once, alone or in a batch.
type treeRows struct {
	keys, roots, timeouts     []int64
	rootIDs, names, users     []string
	executions, tasks, leaves []int32
	held, unfinished          []int32
	started                   []int64 // trees with a first event
	asked                     []int64 // those of them that somebody has submitted: a task that submits one is not refused for what waits of its user
	idempotencyKeys           []string
	idempotencyTrees          []int64
	digests, canonical        [][]byte
	uids                      []pgtype.UUID
	pools                     []string // their ids, with commas
	namespaces                []dag.NamespaceKey
	bytes                     []int64
	idempotencyNamespaces     []dag.NamespaceKey
	startedNamespaces         []dag.NamespaceKey
	timers                    []dag.Timer
	releases                  []dag.Key
	labels                    labelRows
	taken                     []func(*pgx.Batch) // keys of which one tree has each
	keeping                   keepingRows
	due                       []dag.TreeKey
	dueAt                     []time.Time
	version                   string // of this process
	webhooks                  []*Webhook
	fires                     []int64
	fired                     []dag.TreeKey
	firedIDs                  []string // of their roots
	firedFlows, firedRuns     []string // of runs of flows
	firedVersions             []int32
	runs                      flowRunRows
	stored                    storing
	counts                    *countsDefault
}

// add adds a tree's rows. It decides what the tree begins with: all its tasks held and no event, or a first execution.
func (r *treeRows) add(t *stagedTree, z *sealer) {
	n, root := int32(len(t.g.IDs)), int(t.g.Root)
	r.keys, r.roots = append(r.keys, int64(t.tree)), append(r.roots, int64(t.tree.Key(root)))
	r.rootIDs, r.names, r.users = append(r.rootIDs, t.g.IDs[root]), append(r.names, t.in.tasks[root].name), append(r.users, t.g.UserID)
	r.timeouts = append(r.timeouts, t.sub.Timeout.Milliseconds())
	r.tasks, r.leaves = append(r.tasks, n), append(r.leaves, int32(t.leaves))
	r.pools = append(r.pools, listOf(t.poolIDs))
	r.namespaces, r.bytes = append(r.namespaces, t.sub.namespace), append(r.bytes, t.in.bytes)
	r.uids = append(r.uids, pgtype.UUID{Bytes: t.uid, Valid: t.uid != uuid.Nil})
	r.labels.add(t.tree, t.in.labels)
	if t.in.unique != nil {
		r.taken = append(r.taken, t.takeKey)
	}
	r.keeping.add(t.tree, t.sub.namespace, t.in.retention)
	if t.in.due != nil {
		r.due, r.dueAt = append(r.due, t.tree), append(r.dueAt, t.in.due.Moment(t.created))
	}
	r.version = t.sub.Version
	if t.counted {
		r.stored.add(t.sub.namespace, 1, int64(n), t.in.bytes, !t.sub.Hold)
	}
	if t.sub.IdempotencyKey != "" {
		r.idempotencyKeys, r.idempotencyTrees = append(r.idempotencyKeys, t.sub.IdempotencyKey), append(r.idempotencyTrees, int64(t.tree))
		r.idempotencyNamespaces = append(r.idempotencyNamespaces, t.sub.namespace)
		d := z.digests(t.in.digests())
		r.digests, r.canonical = append(r.digests, d.digest), append(r.canonical, d.canonical)
	}
	if t.sub.Fire != 0 {
		run := FlowRun{}
		if t.sub.Run != nil {
			run = *t.sub.Run
		}
		r.fires, r.fired, r.firedIDs = append(r.fires, t.sub.Fire), append(r.fired, t.tree), append(r.firedIDs, t.g.IDs[root])
		r.firedFlows, r.firedVersions, r.firedRuns = append(r.firedFlows, run.FlowID), append(r.firedVersions, run.Version), append(r.firedRuns, run.RunID)
	}
	r.runs.add(t, t.g.IDs[root], z)
	if t.sub.Hold {
		r.executions, r.held, r.unfinished = append(r.executions, 0), append(r.held, n), append(r.unfinished, 0)
		return
	}
	r.executions, r.held, r.unfinished = append(r.executions, 1), append(r.held, 0), append(r.unfinished, n)
	r.counts = t.counts
	r.started, r.startedNamespaces = append(r.started, int64(t.tree)), append(r.startedNamespaces, t.sub.namespace)
	if t.sub.Waiter == nil {
		r.asked = append(r.asked, int64(t.tree))
	}
	r.timers, r.releases = append(r.timers, t.timers()...), append(r.releases, t.releases...)
	for _, w := range t.sub.Webhooks {
		w.Tree = t.tree
		r.webhooks = append(r.webhooks, w)
	}
}

// queue writes them, and what the first executions begin with.
func (r *treeRows) queue(b *pgx.Batch) {
	b.Queue(sql("InsertTrees"), r.keys, r.roots, r.rootIDs, r.names, r.users, r.timeouts, r.executions, r.tasks, r.leaves, r.held, r.unfinished,
		r.uids, r.pools, r.namespaces, r.bytes)
	r.labels.queue(b)
	for _, take := range r.taken {
		take(b)
	}
	if len(r.due) > 0 {
		b.Queue(sql("GiveDue"), r.due, r.dueAt)
	}
	if len(r.fires) > 0 {
		b.Queue(sql("BeginFires"), r.fires, r.fired, r.firedIDs, r.firedFlows, r.firedVersions, r.firedRuns)
	}
	r.keeping.queue(b, r.version)
	r.runs.queue(b, r.version)
	if len(r.idempotencyKeys) > 0 {
		b.Queue(sql("InsertSubmissions"), r.idempotencyKeys, r.idempotencyTrees, r.digests, r.canonical, r.idempotencyNamespaces)
	}
	if len(r.started) > 0 {
		b.Queue(sql("InsertFirstEvents"), r.started, r.startedNamespaces)
	}
	if len(r.fires) > 0 {
		b.Queue(sql("TellLateFires"), r.fires)
	}
	if len(r.timers) > 0 {
		queueTimers(b, r.timers, time.Time{})
	}
	if len(r.releases) > 0 {
		queueFollowups(b, FollowupRelease, r.releases)
	}
	if len(r.webhooks) > 0 {
		queueWebhooks(b, r.webhooks)
	}
	r.stored.queue(b)
	if r.counts != nil {
		r.counts.queueWaiting(b, r.asked, 0)
	}
}

// listOf are numbers with commas between them: arrays of arrays must be rectangles.
func listOf(ids []int32) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

// eachTask puts the tasks of the trees, one a call.
func eachTask(trees []*stagedTree, put func(t *stagedTree, w *rowWriter, i int)) rowSource {
	i := 0
	return func(w *rowWriter) (bool, error) {
		for len(trees) > 0 && i == len(trees[0].g.IDs) {
			trees, i = trees[1:], 0
		}
		if len(trees) == 0 {
			return false, nil
		}
		put(trees[0], w, i)
		i++
		return true, nil
	}
}

// specs are the rows of what identifies the tasks of the trees.
func specs(trees []*stagedTree) copying {
	statement, put := "CopySpecs", (*stagedTree).putSpec
	switch {
	case slices.ContainsFunc(trees, func(t *stagedTree) bool { return t.in.limits.any }):
		statement, put = "CopyLimitedSpecs", (*stagedTree).putLimitedSpec
	case slices.ContainsFunc(trees, func(t *stagedTree) bool { return t.sub.namespace != dag.DefaultNamespaceKey }):
		statement, put = statement+inNamespace, (*stagedTree).putSpecInNamespace
	}
	return copying{sql(statement), eachTask(trees, put)}
}

// eachEdge puts the edges of the trees, one a call.
func eachEdge(trees []*stagedTree) rowSource {
	i, n := 0, 0
	return func(w *rowWriter) (bool, error) {
		for len(trees) > 0 && n == len(trees[0].g.Dependencies(i)) {
			if i, n = i+1, 0; i == len(trees[0].g.IDs) {
				trees, i = trees[1:], 0
			}
		}
		if len(trees) == 0 {
			return false, nil
		}
		t := trees[0]
		e := t.g.Dependencies(i)[n]
		n++
		w.row(4)
		w.key(t.tree.Key(int(e.Task)))
		w.key(t.key(i))
		w.boolean(e.Required)
		unlessZero(w, int16(e.Mode), w.smallint)
		return true, nil
	}
}

// putPayload puts what a task carries, sealed if z is not nil.
func putPayload(w *rowWriter, z *sealer, k dag.Key, t *dag.Task) error {
	if z != nil {
		if err := storablePayload(t); err != nil {
			return err
		}
		w.row(7)
		w.key(k)
		for range 4 {
			w.null()
		}
		w.json(z.payload(k.Tree(), t))
		w.null()
		return nil
	}
	w.row(7)
	w.key(k)
	for _, raw := range [...][]byte{t.Inputs, t.Params, t.Schemas, t.Custom} {
		w.json(raw)
	}
	w.null()
	w.json(t.Control.Stored())
	return nil
}

// carries reports whether a task has a payload.
func carries(t *dag.Task) bool {
	return t.Inputs != nil || t.Params != nil || t.Schemas != nil || t.Custom != nil || t.Control != nil
}

// putSpec puts what identifies task i of a tree of default, and its policy.
func (t *stagedTree) putSpec(w *rowWriter, i int) {
	w.row(18)
	t.putSpecColumns(w, i)
}

// putSpecInNamespace is putSpec for a tree of any namespace.
func (t *stagedTree) putSpecInNamespace(w *rowWriter, i int) {
	w.row(19)
	t.putSpecColumns(w, i)
	w.integer(int32(t.sub.namespace))
}

// putLimitedSpec is putSpecInNamespace with what the task asks for.
func (t *stagedTree) putLimitedSpec(w *rowWriter, i int) {
	w.row(20)
	t.putSpecColumns(w, i)
	w.integer(int32(t.sub.namespace))
	w.json(t.in.tasks[i].limits.of(dag.Identity{Task: t.g.IDs[i], Tree: t.treeID(), User: t.g.UserID}))
}

// treeID is the id of the tree's root.
func (t *stagedTree) treeID() string {
	if t.rootID != "" {
		return t.rootID
	}
	return t.g.IDs[t.g.Root]
}

func (t *stagedTree) putSpecColumns(w *rowWriter, i int) {
	p := &t.in.tasks[i]
	w.key(t.key(i))
	w.text(t.g.IDs[i])
	w.integer(t.g.Parent[i])
	w.text(p.name)
	w.text(p.executor)
	putDependencies(w, t.g.Dependencies(i))
	d := p.custom
	if d == nil {
		for range 8 {
			w.null()
		}
		t.putRef(w, i)
		putModes(w, t.g.Dependencies(i))
		w.null()
		return
	}
	unlessZero(w, int32(d.retry.MaxAttempts), w.integer)
	unlessZero(w, string(d.retry.Backoff), w.text)
	unlessZero(w, d.retry.InitialDelay.Milliseconds(), w.bigint)
	unlessZero(w, d.retry.MaxDelay.Milliseconds(), w.bigint)
	unlessZero(w, d.timeout.Milliseconds(), w.bigint)
	unlessZero(w, d.scheduleToStart.Milliseconds(), w.bigint)
	if d.notBefore.IsZero() {
		w.null()
	} else {
		w.timestamp(d.notBefore)
	}
	unlessZero(w, int16(d.onLost), w.smallint)
	t.putRef(w, i)
	putModes(w, t.g.Dependencies(i))
	w.json(storedRetry(d.retry))
}

// putRef puts the column ref: null where it is the id.
func (t *stagedTree) putRef(w *rowWriter, i int) {
	if ref := t.refs()[i]; ref != t.g.IDs[i] {
		w.text(ref)
		return
	}
	w.null()
}

// putDependencies puts the columns deps and dep_types.
func putDependencies(w *rowWriter, edges []dag.Edge) {
	if len(edges) == 0 {
		w.null()
		w.null()
		return
	}
	w.array(pgtype.Int4OID, len(edges), func(n int) {
		dep := edges[n].Task + 1
		if !edges[n].Required {
			dep = -dep
		}
		w.integer(dep)
	})
	if !slices.ContainsFunc(edges, func(e dag.Edge) bool { return e.Type != "" && e.Type != "result" }) {
		w.null()
		return
	}
	w.array(pgtype.TextOID, len(edges), func(n int) { w.text(edges[n].Type) })
}

// putModes puts the column dep_modes: null where all are the protocol's.
func putModes(w *rowWriter, edges []dag.Edge) {
	if !slices.ContainsFunc(edges, func(e dag.Edge) bool { return e.Mode != 0 }) {
		w.null()
		return
	}
	w.array(pgtype.Int2OID, len(edges), func(n int) { w.smallint(int16(edges[n].Mode)) })
}

// putTask puts the scheduling state that task i begins with.
func (t *stagedTree) putTask(w *rowWriter, i int) {
	r := t.firstRow(i)
	w.row(7)
	w.key(r.Key)
	w.smallint(int16(r.State))
	w.integer(int32(r.Flags))
	w.smallint(int16(r.Priority))
	w.integer(r.Pool)
	w.integer(r.Remaining)
	if r.State == dag.Ready && !t.created.IsZero() {
		w.timestamp(t.created)
	} else {
		w.null()
	}
}
