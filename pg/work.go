package pg

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Work is what is to be published for one ready task.
type Work struct {
	Key                     dag.Key
	Attempt                 int32
	Priority                dag.Priority
	Pool                    int32
	Flags                   dag.Flags
	TreeID, UserID          string
	Namespace               dag.NamespaceKey
	UID                     uuid.UUID // of its tree; zero: the tree was stored below [dag.RunsLevel]
	Execution               int32
	Run                     int32 // the first attempt of the task's current run
	ID, Name, Executor      string
	TimeoutMS               int64
	Deps                    int32 // how many dependencies it has
	Inputs, Params, Schemas []byte
	Results                 []dag.DependencyResult // of its completed dependencies, unless they are too many (see MaxInlineDeps)
	Spent                   []dag.Used             // what earlier attempts of its run used of models, by currency
	Waited                  time.Duration          // in Postgres for room in its pool; known of what was dispatched
	Express                 bool                   // it is to pass what lies in NATS of its pool and priority; known likewise
	Lock                    *HeldLock              // that it holds, or that is held for the nearest task above it for which one is; nil: none
	Answer                  *dag.WaitAnswer        // how the wait ended that an earlier attempt of its run began, to go on from there; nil: there was none
	Unreadable              error                  // why what it carries can't be opened, however often it is tried; nil: it is all here

	Checkpoint []byte // what an earlier attempt noted last, JSON; nil: nothing

	sealedCheckpoint []byte // likewise, until it is opened

	// Control is what its task says beyond the protocol, with [dag.FlagMore], and Scope the values that its templates name, nil for
	// none: once [Store.LoadValues] has been called. Large: they are too large to be loaded with others'.
	Control *dag.Control
	Scope   []byte
	Large   bool
	Repeats int32 // runs of a repeated task that came before, likewise

	sealed        []byte // inputs, params, schemas and control, until they are opened
	control       []byte // until it is read
	paths         *dag.Paths
	sealedResults []sealedResult
	answer        []byte // of Answer, until it is read
	sealedAnswer  []byte // until it is opened
}

// sealedResult is the result of a dependency, until it is opened.
type sealedResult struct {
	at       int // in Results
	envelope []byte
}

// addResult adds the result of a dependency as it is stored.
func (w *Work) addResult(r dag.DependencyResult, envelope []byte) {
	if envelope != nil {
		w.sealedResults = append(w.sealedResults, sealedResult{len(w.Results), envelope})
	}
	w.Results = append(w.Results, r)
}

// Facts are what a claim or a result of the attempt can be decided by without its row.
func (w *Work) Facts() dag.Facts { return dag.FactsOf(w.Attempt, w.Flags, w.Priority, w.Pool) }

// Lane is where the attempt waits.
func (w *Work) Lane() dag.Lane { return dag.Lane{Pool: w.Pool, Priority: w.Priority} }

// MayBeClaimedAhead reports whether a worker may claim the attempt before it has a slot for it.
func (w *Work) MayBeClaimedAhead() bool { return dag.MayBeClaimedAhead(w.Attempt, w.Run, w.Flags) }

// Size is about how many bytes of payload the attempt's message has.
func (w *Work) Size() int {
	n := len(w.Inputs) + len(w.Params) + len(w.Schemas) + len(w.Checkpoint)
	for _, r := range w.Results {
		n += len(r.Result)
	}
	return n
}

// MaxInlineDeps is the most dependencies whose results are loaded to be published with a task; with more, the worker
// asks for its inputs.
const MaxInlineDeps = 256

// queueWork loads what a worker needs of the tasks of the stretches that are in the state.
func queueWork(b *pgx.Batch, stretches []Stretch, state dag.State, work map[dag.Key]*Work) {
	if len(stretches) == 0 {
		return
	}
	queueTasks(b, stretches, state, func(w *Work) { work[w.Key] = w })
	var keys []dag.Key
	for _, r := range stretches {
		for k := r.First; k < r.First+dag.Key(r.N); k++ {
			keys = append(keys, k)
		}
	}
	b.Queue(sql("LoadDependencyResults"), keys, MaxInlineDeps).Query(func(rows pgx.Rows) error {
		return scanResults(rows, work)
	})
}

// queueTasks is queueWork without the results that the tasks start from. each is called before all of a task is there.
func queueTasks(b *pgx.Batch, stretches []Stretch, state dag.State, each func(*Work)) {
	n := len(stretches)
	first, ns, attempts := make([]int64, n), make([]int32, n), make([]int32, n)
	for i, r := range stretches {
		first[i], ns[i], attempts[i] = int64(r.First), r.N, r.Attempt
	}
	tasks := map[dag.Key]*Work{}
	b.Queue(sql("LoadTasks"), first, ns, attempts, int16(state)).Query(func(rows pgx.Rows) error {
		last := &Work{}
		return eachRow(rows, func(v *values) {
			w := &Work{Key: v.key(), Attempt: v.integer(), Priority: dag.Priority(v.smallint()), Pool: v.integer(), Flags: dag.Flags(v.integer()),
				Run: v.integer(), TreeID: v.textLike(last.TreeID), UserID: v.textLike(last.UserID), UID: v.uuid(), Execution: v.integer(),
				Namespace: dag.NamespaceKey(v.integer())}
			tasks[w.Key], last = w, w
		})
	})
	queueSpent(b, stretches, tasks)
	queueNoted(b, stretches, tasks)
	queueAnswers(b, stretches, tasks)
	b.Queue(sql("LoadSpecs"), first, ns).Query(func(rows pgx.Rows) error {
		last := &Work{}
		return eachRow(rows, func(v *values) {
			w := tasks[v.key()]
			if w == nil || w.ID != "" { // in another state, or in two stretches
				v.ignore()
				return
			}
			w.ID, w.Name, w.Executor = v.text(), v.textLike(last.Name), v.textLike(last.Executor)
			w.TimeoutMS, w.Deps = v.bigint(), v.integer()
			if dag.OnLost(v.smallint()) == dag.FailLost {
				w.Flags |= dag.FlagOnce // version 0.3 stored such tasks without
			}
			last = w
			each(w)
		})
	})
	b.Queue(sql("LoadPayloads"), first, ns).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			w := tasks[v.key()]
			if w == nil {
				v.ignore()
				return
			}
			w.Inputs, w.Params, w.Schemas, w.sealed = v.json(), v.json(), v.json(), v.bytea()
		})
	})
}

func scanResults(rows pgx.Rows, work map[dag.Key]*Work) error {
	return eachRow(rows, func(v *values) {
		key, r, envelope := v.key(), dag.DependencyResult{Ref: v.text(), Skipped: v.boolean(), Result: v.json()}, v.bytea()
		if w := work[key]; w != nil {
			w.addResult(r, envelope)
		}
	})
}
