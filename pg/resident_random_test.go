package pg

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// twoStores are a store with resident trees, another process's on the same database, and a worker.
type twoStores struct {
	t       *testing.T
	s       *Store // stores the trees
	other   *Store
	worker  dag.WorkerKey
	random  *rand.Rand
	plain   bool    // most tasks, batches and results are such that rows may be assumed
	waiting []*Work // sent, and not claimed
	running []*Work
	known   int // tasks with dependencies that were sent as they are resident in s
}

func newTwoStores(t *testing.T, seed uint64) *twoStores {
	t.Helper()
	return twoStoresAt(t, pgtest.Database(t), seed)
}

func twoStoresAt(t *testing.T, url string, seed uint64) *twoStores {
	t.Helper()
	s := openStoreAt(t, url)
	other, err := Open(t.Context(), Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	sealIfAsked(t, other)
	t.Cleanup(other.Close)
	h := &twoStores{t: t, s: s, other: other, random: rand.New(rand.NewPCG(seed, 1))}
	if err := s.pool.QueryRow(t.Context(), `insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
		values ('i', 'w', '', '', '{}', 1, 1, now() + interval '1 hour', '{}') returning key`).Scan(&h.worker); err != nil {
		t.Fatal(err)
	}
	return h
}

// either is s or, less often, the other store.
func (h *twoStores) either() *Store {
	if h.random.IntN(5) == 0 {
		return h.other
	}
	return h.s
}

// sent checks what is to be sent against what Postgres says, and takes it over.
func (h *twoStores) sent(eff *Effects) {
	h.t.Helper()
	for _, w := range eff.Publish {
		h.check(w)
		h.waiting = append(h.waiting, w)
	}
	for _, handed := range eff.Handed {
		h.check(handed.Work)
		h.running = append(h.running, handed.Work)
	}
}

func (h *twoStores) check(got *Work) {
	one := *got
	one.Waited = 0 // is of its dispatch
	got = &one
	h.t.Helper()
	want, err := h.other.Work(h.t.Context(), got.Key, got.Attempt, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	if g, w := asJSON(*got), asJSON(*want); g != w {
		h.t.Fatalf("task %s is sent as\n%s, not as\n%s", got.ID, g, w)
	}
	resident := h.s.resident.trees[got.Key.Tree()]
	if resident != nil && !resident.large() && got.Deps > 0 && len(got.Inputs) > 0 && &got.Inputs[0] == &resident.work[got.Key.Index()].Inputs[0] {
		h.known++
	}
}

func (h *twoStores) dispatch() {
	h.t.Helper()
	lanes, err := h.s.Backlog(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, lane := range lanes {
		work, err := takeReady(h.t.Context(), h.s, lane, 5, h.random.IntN(2) == 0)
		if err != nil {
			h.t.Fatal(err)
		}
		h.sent(&Effects{Publish: work})
	}
}

// step claims something or settles something. It reports false when there is nothing left.
func (h *twoStores) step() bool {
	h.t.Helper()
	for more := true; more; {
		var eff *Effects
		var err error
		if eff, more, err = h.either().Followups(h.t.Context(), nil); err != nil {
			h.t.Fatal(err)
		}
		if eff != nil {
			h.sent(eff)
		}
	}
	h.dispatch()
	h.s.settles, h.other.settles, h.s.claims, h.other.claims = caution{}, caution{}, caution{}, caution{} // try, however often it is refused
	if n := len(h.waiting); n > 0 && (h.random.IntN(2) == 0 || len(h.running) == 0) {
		some := h.waiting[:h.some(n)]
		h.waiting = h.waiting[len(some):]
		claims := make([]dag.Claim, len(some))
		for i, w := range some {
			claims[i] = h.claim(w)
		}
		verdicts, eff, err := h.either().Claim(h.t.Context(), claims)
		if err != nil {
			h.t.Fatal(err)
		}
		h.sent(eff)
		for i, v := range verdicts {
			if v == dag.Yes {
				h.running = append(h.running, some[i])
			}
		}
		return true
	}
	if len(h.running) == 0 {
		return false
	}
	some := h.running[:h.some(len(h.running))]
	h.running = h.running[len(some):]
	h.settle(h.either(), some)
	return true
}

// some of n, often a few.
func (h *twoStores) some(n int) int {
	most := 10
	if h.plain {
		most = 4
	}
	return 1 + h.random.IntN(min(n, 1<<h.random.IntN(most)))
}

// facts are those of the work, unless its worker is an old or a false one.
func (h *twoStores) facts(w *Work) dag.Facts {
	switch f := w.Facts(); h.random.IntN(100) {
	case 0:
		return 0
	case 1:
		return dag.Facts(h.random.Uint64())
	case 2:
		return f ^ 1<<h.random.IntN(20)
	default:
		return f
	}
}

func (h *twoStores) claim(w *Work) dag.Claim {
	return dag.Claim{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Facts: h.facts(w)}
}

func (h *twoStores) settle(s *Store, some []*Work) {
	h.t.Helper()
	results := make([]dag.Result, len(some))
	for i, w := range some {
		results[i] = dag.Result{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: dag.OutcomeCompleted, Offer: h.random.IntN(2) == 0, Facts: h.facts(w)}
		results[i].UnlocksNothing = !w.Flags.Unlocks() || h.random.IntN(20) == 0 // old workers and false ones say what is not so
		kinds := 10
		if h.plain {
			kinds *= 3
		}
		switch h.random.IntN(kinds) {
		case 0: // null
		case 1:
			results[i].Value = fmt.Appendf(nil, `{"large":%q}`, strings.Repeat("x", residentResult))
		case 2:
			results[i].Outcome, results[i].Permanent, results[i].Error = dag.OutcomeFailed, true, "no"
		case 3:
			results[i].Outcome = dag.OutcomeReturned
		case 4:
			results[i].Chunked = true
			if _, err := h.s.pool.Exec(h.t.Context(), "insert into chunk (task, attempt, index, count, data) values ($1, $2, 0, 1, '{\"parts\":1}')", w.Key, w.Attempt); err != nil {
				h.t.Fatal(err)
			}
		default:
			results[i].Value = fmt.Appendf(nil, `{"of": %d, "attempt":%d}`, w.Key, w.Attempt)
		}
	}
	room := func(int32, dag.Priority, int32) bool { return h.random.IntN(3) > 0 }
	_, eff, err := s.Settle(h.t.Context(), results, room)
	if err != nil {
		h.t.Fatal(err)
	}
	h.sent(eff)
}

// grove is a random tree.
func (h *twoStores) grove(name string) Submission {
	tasks := make([]*dag.Task, 2+h.random.IntN(40))
	for i := range tasks {
		t := &dag.Task{ID: fmt.Sprint(name, "-", i), Name: fmt.Sprint("task ", i), Executor: "e", Inputs: fmt.Appendf(nil, `{"i": %d}`, i)}
		if i > 0 {
			t.ParentRef = tasks[0].ID
		}
		for j := range i {
			if h.random.IntN(i) < 2 {
				t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: tasks[j].ID, Optional: h.random.IntN(3) > 0})
			}
		}
		kinds := 6
		if h.plain {
			kinds *= 3
		}
		switch h.random.IntN(kinds) {
		case 0:
			t.Inputs, t.Params = nil, []byte(`{"p":[1, 2]}`)
		case 1:
			t.Schemas, t.Timeout, t.Repeatable = []byte(`{"method":"m"}`), time.Minute, true
		case 2:
			t.Executor, t.Pool = "f", "apart"
		case 3:
			t.Priority = dag.High
		}
		tasks[i] = t
	}
	if h.random.IntN(3) == 0 { // without ids
		for _, t := range tasks {
			t.ID = ""
			if t.ParentRef != "" {
				t.ParentRef = tasks[0].Name
			}
			for i := range t.Dependencies {
				_, n, _ := strings.Cut(t.Dependencies[i].Ref, "-")
				t.Dependencies[i].Ref = "task " + n
			}
		}
	}
	sub := treeOf(tasks...)
	sub.Room = func(int32, dag.Priority, int32) bool { return h.random.IntN(2) == 0 }
	return sub
}

// TestWhatIsResidentIsWhatPostgresHas: random trees, some stored as large ones are, settled by two processes of which one has them resident, with tasks that fail and
// are run again in between. Whatever is sent to workers equals what is stored, and ended trees leave nothing behind.
// In trees that run once only, many transactions are optimistic, and some are refused.
func TestWhatIsResidentIsWhatPostgresHas(t *testing.T) {
	t.Parallel()
	for name, reruns := range map[string]int{"run again": 200, "run once": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whatIsResidentIsWhatPostgresHas(t, pgtest.Database(t), reruns)
		})
	}
}

func whatIsResidentIsWhatPostgresHas(t *testing.T, url string, reruns int) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	h := twoStoresAt(t, url, seed)
	h.plain = reruns == 0
	const most = 20_000 // steps; some hundreds are usual
	var targets []dag.Key
	bare := map[dag.TreeKey]int{} // sizes of the trees without results
	for i := range 25 {
		submit, large := h.s.submissions.submit, i%3 == 0
		if large { // as if it were
			submit = h.s.submissions.submitLarge
		}
		out, err := submit(t.Context(), h.grove(fmt.Sprint("t", i%20)))
		if err != nil {
			t.Fatal(err)
		}
		h.sent(out.Effects)
		resident := h.s.resident.trees[out.Tree]
		if resident == nil || large != resident.large() {
			t.Fatalf("tree %d, large: %v, is resident as %+v", i, large, resident)
		}
		bare[out.Tree] = resident.size
		for n := range out.Tasks {
			if out.Tree%2 == 0 { // what is blocked may stay so, when others run again
				targets = append(targets, out.Tree.Key(n))
			}
		}
	}
	again := 0
	for steps := 0; h.step(); steps++ {
		if steps == most {
			t.Fatal("it never ends")
		}
		if steps%20 == 0 {
			h.checkReady()
		}
		if again < reruns && h.random.IntN(3) == 0 { // run a part again
			again++
			out, err := h.either().Execute(t.Context(), targets[h.random.IntN(len(targets))], dag.ExecutionOptions{Force: h.random.IntN(2) == 0, RerunDependencies: h.random.IntN(2) == 0})
			if err != nil {
				t.Fatal(err)
			}
			if out.Effects != nil {
				h.sent(out.Effects)
			}
		}
	}
	h.checkEnd(bare)
}

// checkEnd checks what is stored and resident when all trees have ended; bare are the sizes of the resident trees without results.
func (h *twoStores) checkEnd(bare map[dag.TreeKey]int) {
	h.t.Helper()
	h.checkReady()
	if h.known == 0 {
		h.t.Error("no task with dependencies was sent as it is resident")
	}
	var open int
	if err := h.s.pool.QueryRow(h.t.Context(), "select count(*) from tree where unfinished > 0").Scan(&open); err != nil || open > 0 {
		h.t.Errorf("%d trees did not end (%v)", open, err)
	}
	if found, _, tasks, err := h.s.AuditAll(h.t.Context(), 0, AuditOptions{}); err != nil || len(found) > 0 || tasks == 0 {
		h.t.Errorf("of %d tasks the audit says %+v, %v", tasks, found, err)
	}
	tried, refused := h.s.OptimisticTransactions()
	h.t.Logf("%d of %d optimistic transactions were refused", refused, tried)
	if h.plain && (tried < 100 || refused == 0 || refused > tried/2) {
		h.t.Error("want a hundred optimistic transactions, and some refused")
	}
	var wrong int
	if err := h.s.pool.QueryRow(h.t.Context(), `select count(*) from task t where t.key >> 24 & 1 = 1 and t.state in (5, 6, 7) and (t.state = 5) <> exists (
		select from edge e join task d on d.key = e.dependency where e.dependent = t.key and e.required and d.state in (5, 7, 8))`).Scan(&wrong); err != nil || wrong > 0 {
		h.t.Errorf("%d tasks are blocked by nothing, or are not (%v)", wrong, err)
	}
	// The other process may have ended some; what is idle goes when there is need.
	h.s.resident.mu.Lock()
	defer h.s.resident.mu.Unlock()
	size := 0
	for key, resident := range h.s.resident.trees {
		size += bare[key]
		for _, r := range resident.results {
			size += len(r.value)
		}
	}
	if size != h.s.resident.size {
		h.t.Errorf("the resident trees have %d bytes, %d are counted", size, h.s.resident.size)
	}
}
