package pg

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
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
	s, url := openStore(t)
	other, err := Open(t.Context(), Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
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
		work, err := h.s.Dispatch(h.t.Context(), lane, 5, h.random.IntN(2) == 0)
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
			whatIsResidentIsWhatPostgresHas(t, reruns)
		})
	}
}

func whatIsResidentIsWhatPostgresHas(t *testing.T, reruns int) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	h := newTwoStores(t, seed)
	h.plain = reruns == 0
	const most = 20_000 // steps; some hundreds are usual
	var targets []dag.Key
	bare := map[dag.TreeKey]int{} // sizes of the trees without results
	for i := range 25 {
		submit, large := h.s.Submit, i%3 == 0
		if large { // as if it were
			submit = h.s.submissions.submitLarge
		}
		out, err := submit(t.Context(), h.grove(fmt.Sprint("t", i)))
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
	if h.known == 0 {
		t.Error("no task with dependencies was sent as it is resident")
	}
	var open int
	if err := h.s.pool.QueryRow(t.Context(), "select count(*) from tree where unfinished > 0").Scan(&open); err != nil || open > 0 {
		t.Errorf("%d trees did not end (%v)", open, err)
	}
	if found, _, tasks, err := h.s.AuditAll(t.Context(), 0, AuditOptions{}); err != nil || len(found) > 0 || tasks == 0 {
		t.Errorf("of %d tasks the audit says %+v, %v", tasks, found, err)
	}
	tried, refused := h.s.OptimisticTransactions()
	t.Logf("%d of %d optimistic transactions were refused", refused, tried)
	if h.plain && (tried < 100 || refused == 0 || refused > tried/2) {
		t.Error("want a hundred optimistic transactions, and some refused")
	}
	var wrong int
	if err := h.s.pool.QueryRow(t.Context(), `select count(*) from task t where t.key >> 24 & 1 = 1 and t.state in (5, 6, 7) and (t.state = 5) <> exists (
		select from edge e join task d on d.key = e.dependency where e.dependent = t.key and e.required and d.state in (5, 7, 8))`).Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("%d tasks are blocked by nothing, or are not (%v)", wrong, err)
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
		t.Errorf("the resident trees have %d bytes, %d are counted", size, h.s.resident.size)
	}
}

// chainOfTwo is a task and one that waits for it.
func chainOfTwo(id string) Submission {
	return treeOf(&dag.Task{ID: id, Name: "last", Executor: "e", Inputs: []byte(`{"n": 2}`), Dependencies: []dag.Dependency{{Ref: id + "-first"}}},
		&dag.Task{ID: id + "-first", Name: "first", Executor: "e", ParentRef: id, Inputs: []byte(`{"n": 1}`)})
}

// begin submits a chain of two and claims its first task.
func (h *twoStores) begin(id string) (first *Work) {
	h.t.Helper()
	out, err := h.s.Submit(h.t.Context(), chainOfTwo(id))
	if err != nil {
		h.t.Fatal(err)
	}
	first = out.Effects.Publish[0]
	verdicts, _, err := h.s.Claim(h.t.Context(), []dag.Claim{h.claim(first)})
	if err != nil || verdicts[0] != dag.Yes {
		h.t.Fatal(verdicts, err)
	}
	return first
}

// complete settles a task and gives what that sends.
func (h *twoStores) complete(w *Work) *Work {
	h.t.Helper()
	_, eff, err := h.s.Settle(h.t.Context(), []dag.Result{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{"r":1}`)}},
		func(int32, dag.Priority, int32) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	if len(eff.Publish) == 0 {
		return nil
	}
	return eff.Publish[0]
}

// TestWhatIsResidentIsNotQueried: a task is sent though its payload, its dependency's result and its edges are gone.
func TestWhatIsResidentIsNotQueried(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	first := h.begin("t")
	for _, table := range []string{"payload", "edge"} {
		if _, err := h.s.pool.Exec(t.Context(), "delete from "+table); err != nil {
			t.Fatal(err)
		}
	}
	last := h.complete(first)
	if last == nil || string(last.Inputs) != `{"n": 2}` || len(last.Results) != 1 || last.Results[0].ID != "t-first" || string(last.Results[0].Result) != `{"r":1}` {
		t.Fatalf("sent was %v", last)
	}
	if _, _, err := h.s.Claim(t.Context(), []dag.Claim{h.claim(last)}); err != nil {
		t.Fatal(err)
	}
	h.complete(last)
	if k := h.s.resident; len(k.trees) != 0 || k.size != 0 {
		t.Errorf("%d trees of %d bytes are resident, though all have ended", len(k.trees), k.size)
	}
}

// TestAKeyOfAnotherTree: after Postgres came back from a backup, a key that was given stands for another tree.
func TestAKeyOfAnotherTree(t *testing.T) {
	t.Parallel()
	for _, cancelled := range []bool{false, true} {
		t.Run(fmt.Sprint("cancelled ", cancelled), func(t *testing.T) { aKeyOfAnotherTree(t, cancelled) })
	}
}

func aKeyOfAnotherTree(t *testing.T, cancelled bool) {
	h := newTwoStores(t, 1)
	first, second := h.begin("t"), h.begin("u")
	// The first tree is another one now: its tasks have other ids, and wait for one another no more.
	for _, change := range []string{
		"update tree set created_at = created_at - interval '1 second' where key = $1",
		"delete from edge where dependency >> 24 = $1",
		"update task set state = 6, attempt = 1 where key >> 24 = $1 and remaining > 0",
	} {
		if _, err := h.s.pool.Exec(t.Context(), change, first.Key.Tree()); err != nil {
			t.Fatal(err)
		}
	}
	if cancelled {
		if _, err := h.s.pool.Exec(t.Context(), "update tree set cancelled_at = now() where key = $1", first.Key.Tree()); err != nil {
			t.Fatal(err)
		}
	}
	if sent := h.complete(first); sent != nil {
		t.Errorf("%s was sent, which waited for nothing", sent.ID)
	}
	if h.s.resident.trees[first.Key.Tree()] != nil {
		t.Error("the tree that was is still resident")
	}
	if sent := h.complete(second); sent == nil || sent.ID != "u" {
		t.Errorf("sent was %v, want the other tree's last task", sent)
	}
}

// TestAKeyOfALargerTree: as the one before, but the other tree has more tasks, of which some are claimed and settled.
func TestAKeyOfALargerTree(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	first := h.begin("t")
	more := first.Key.Tree().Key(700)
	for _, change := range []string{
		"update tree set created_at = created_at - interval '1 second', tasks = tasks + 1, unfinished = unfinished + 1 where key = $1 >> 24",
		"insert into task (key, state, flags, priority, pool, attempt, remaining) select $1::bigint, 3, 0, priority, pool, 1, 0 from task where key = ($1::bigint >> 24) << 24",
	} {
		if _, err := h.s.pool.Exec(t.Context(), change, more); err != nil {
			t.Fatal(err)
		}
	}
	for _, facts := range []dag.Facts{dag.FactsOf(1, 1, 0, first.Pool), 0} { // wrong ones are forgotten, none are read
		verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: more, Attempt: 1, Worker: h.worker, Facts: facts}})
		if err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
	}
	if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: more, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted}}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherServer: a server that is not the one that stored a tree may lack what was settled since.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	first := h.begin("t")
	resident := h.s.resident.trees[first.Key.Tree()]
	resident.id.server = resident.id.server.Add(-time.Second)
	if sent := h.complete(first); sent == nil || sent.ID != "t" {
		t.Errorf("sent was %v, want the last task", sent)
	}
	if len(h.s.resident.trees) != 0 {
		t.Error("the tree is still resident")
	}
}

// revise changes a stored tree by hand, as an edit of it will: task 0 has another payload, and waits for nobody any more if so
// said.
func (h *twoStores) revise(tree dag.TreeKey, cut bool) {
	h.t.Helper()
	changes := []string{"update tree set revision = revision + 1 where key = $1",
		`update payload set inputs = '{"n": 3}' where key = $1 << 24`}
	if cut {
		changes = append(changes, "delete from edge where dependency >> 24 = $1")
	}
	for _, change := range changes {
		if _, err := h.s.pool.Exec(h.t.Context(), change, pgx.QueryExecModeSimpleProtocol, tree); err != nil {
			h.t.Fatal(err)
		}
	}
}

// TestARevisedTree: nothing is unlocked, and nothing published, by what is remembered of an earlier revision of the tree.
func TestARevisedTree(t *testing.T) {
	t.Parallel()
	room := func(int32, dag.Priority, int32) bool { return true }
	for _, optimistic := range []bool{true, false} {
		for _, large := range []bool{true, false} {
			for _, cut := range []bool{true, false} {
				t.Run(fmt.Sprintf("optimistic %t, large %t, cut %t", optimistic, large, cut), func(t *testing.T) {
					h := newTwoStores(t, 1)
					submit := h.s.Submit
					if large { // as if it were
						submit = h.s.submissions.submitLarge
					}
					out, err := submit(t.Context(), chainOfTwo("t"))
					if err != nil {
						t.Fatal(err)
					}
					first := out.Effects.Publish[0]
					if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: first.Key, Attempt: 1, Worker: h.worker, Facts: first.Facts()}}); err != nil || verdicts[0] != dag.Yes {
						t.Fatal(verdicts, err)
					}
					if large { // of a large tree, a task that waits is remembered only after a transaction that left it so
						last := dag.Row{Key: out.Tree.Key(0), State: dag.Waiting, Priority: first.Priority, Pool: first.Pool, Attempt: 1, Remaining: 1}
						h.s.resident.each([]*dag.Row{dag.NewDecision(time.Time{}, nil).Add(last, false)}, (*residentTree).remember)
					}
					h.revise(out.Tree, cut)
					result := dag.Result{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{"r":1}`)}
					if optimistic {
						result.Facts = first.Facts()
					}
					before, _ := h.s.OptimisticTransactions()
					_, eff, err := h.s.Settle(t.Context(), []dag.Result{result}, room)
					if err != nil {
						t.Fatal(err)
					}
					if tried, refused := h.s.OptimisticTransactions(); tried-before != refused || (refused == 1) != optimistic {
						t.Errorf("%d transactions were optimistic, %d refused", tried-before, refused)
					}
					got := h.states(out.Tree)
					switch {
					case cut && (got != "completed 1, waiting 1" || len(eff.Publish) > 0):
						t.Errorf("the tasks are %s, and %d are published, though nothing waits for the first one", got, len(eff.Publish))
					case !cut && (got != "completed 1, ready 1" || len(eff.Publish) != 1 || string(eff.Publish[0].Inputs) != `{"n": 3}`):
						t.Errorf("the tasks are %s; published is %+v, want the payload of the revision", got, eff.Publish)
					}
					if h.s.resident.trees[out.Tree] != nil {
						t.Error("the earlier revision is still resident")
					}
				})
			}
		}
	}
}

// TestARevisedTreeIsDispatched: what waited in Postgres is published as the tree's revision has it.
func TestARevisedTreeIsDispatched(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	sub := treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e", Inputs: []byte(`{"n": 1}`)})
	sub.Room = nil
	out, err := h.s.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	h.revise(out.Tree, false)
	h.dispatch()
	if len(h.waiting) != 1 || string(h.waiting[0].Inputs) != `{"n": 3}` {
		t.Errorf("published is %+v, want the payload of the revision", h.waiting)
	}
}

// TestCancelledWhileItWaited: a repeatable task that was cancelled before it was sent is not sent; its worker would start it
// without asking. Of others, the claim says no.
func TestCancelledWhileItWaited(t *testing.T) {
	t.Parallel()
	for _, repeatable := range []bool{true, false} {
		h := newTwoStores(t, 1)
		sub := treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e", Repeatable: repeatable}, &dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "a", Repeatable: repeatable})
		sub.Room = nil
		out, err := h.s.Submit(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		cancelled := out.Tree.Key(1)
		if done, _, err := h.s.Cancel(t.Context(), []dag.Key{cancelled}, "no", nil); err != nil || !done[cancelled] {
			t.Fatal(done, err)
		}
		lanes, err := h.s.Backlog(t.Context())
		if err != nil || len(lanes) != 1 {
			t.Fatal(lanes, err)
		}
		work, err := h.s.Dispatch(t.Context(), lanes[0], 10, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 1, false: 2}[repeatable]; len(work) != want || work[0].ID != "a" {
			t.Errorf("repeatable %t: %d tasks are sent, want %d", repeatable, len(work), want)
		}
		for _, w := range work {
			if w.Key != cancelled {
				continue
			}
			if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{h.claim(w)}); err != nil || verdicts[0] != dag.No {
				t.Errorf("the claim of a cancelled task: %v, %v", verdicts, err)
			}
		}
	}
}

// TestLargeTreesLeaveSpace: the edges of large trees do not take the space of small ones.
func TestLargeTreesLeaveSpace(t *testing.T) {
	t.Parallel()
	k := newResidentTrees()
	for key := range dag.TreeKey(6) {
		k.add(key, &residentTree{size: residentLarge / 4})
	}
	k.add(3, &residentTree{size: residentLarge / 4})
	if len(k.trees) != 4 || k.large != residentLarge || k.trees[5] != nil {
		t.Fatalf("%d large trees of %d bytes are resident, want the first 4", len(k.trees), k.large)
	}
	k.add(10, &residentTree{size: residentBytes - residentLarge, work: []Work{}})
	if k.trees[10] == nil || k.size != residentBytes {
		t.Errorf("%d bytes are resident, want a small tree beside the large ones", k.size)
	}
	k.trees[2].used, k.swept = time.Now().Add(-2*residentIdle), time.Time{}
	k.add(7, &residentTree{size: 1})
	if k.trees[2] != nil || k.trees[7] == nil || k.large != residentLarge*3/4+1 {
		t.Errorf("an idle large tree stays, though another one needs its space: %d bytes", k.large)
	}
}

// TestAHintOnly: what a result wrongly says to unlock nothing is told by a followup, else at once.
func TestAHintOnly(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		h := newTwoStores(t, 1)
		first := h.begin("chain")
		_, eff, err := h.other.Settle(t.Context(), []dag.Result{{Task: first.Key, Attempt: first.Attempt, Worker: h.worker, Outcome: dag.OutcomeCompleted, UnlocksNothing: alone}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if alone != (eff.Followups == 1) || alone == (len(eff.Waiting) == 1) {
			t.Errorf("alone: %v: %d followups, %d runs get ready", alone, eff.Followups, len(eff.Waiting))
		}
		if !alone {
			continue
		}
		if eff, _, err = h.other.Followups(t.Context(), nil); err != nil || eff == nil || len(eff.Waiting) != 1 {
			t.Errorf("the followup: %+v, %v; want it to unlock a task", eff, err)
		}
	}
}

// TestResidentTreesAreBounded: when there is no space a new tree is not added, unless others have not been used for long.
func TestResidentTreesAreBounded(t *testing.T) {
	t.Parallel()
	k := newResidentTrees()
	tree := func() *residentTree { return &residentTree{size: residentBytes / 4, work: []Work{}} }
	for key := range dag.TreeKey(6) {
		k.add(key, tree())
	}
	again := tree()
	k.add(1, again) // as after a restored backup
	if len(k.trees) != 4 || k.size != residentBytes || k.trees[5] != nil || k.trees[1] != again {
		t.Fatalf("%d trees of %d bytes are resident, want the first 4", len(k.trees), k.size)
	}
	for key, resident := range k.trees {
		if key != 2 {
			resident.used = time.Now().Add(-2 * residentIdle)
		}
	}
	k.swept = time.Time{}
	k.add(7, tree())
	if len(k.trees) != 2 || k.size != residentBytes/2 || k.trees[2] == nil || k.trees[7] == nil {
		t.Errorf("%d trees of %d bytes are resident, want the one in use and the new one", len(k.trees), k.size)
	}
}

// TestAResultCountsWhenItIsCommitted: what a transaction found out counts only when it has committed.
func TestAResultCountsWhenItIsCommitted(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	first := h.begin("t")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.s.Settle(ctx, []dag.Result{{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte("1")}}, nil); err == nil {
		t.Fatal("settled without a connection")
	}
	if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte("{")}}, nil); !Lasting(err) {
		t.Fatalf("settled what is not JSON: %v", err)
	}
	resident := h.s.resident.trees[first.Key.Tree()]
	if resident == nil || resident.results != nil {
		t.Error("a result is resident that was not recorded")
	}
	large := fmt.Appendf(nil, "%q", strings.Repeat("x", residentResult))
	if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: large}}, nil); err != nil {
		t.Fatal(err)
	}
	if r := resident.results[first.Key.Index()]; r.execution != 0 || r.value != nil {
		t.Error("a large result is resident")
	}
}
