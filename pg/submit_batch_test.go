package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// openBatches opens an empty store, and a connection to look at it from outside.
func openBatches(t *testing.T) (s *Store, admin *pgx.Conn) {
	t.Helper()
	s, url := openStore(t)
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	return s, admin
}

// smallTree is a root that waits for two tasks.
func smallTree(id string) Submission {
	return treeOf(
		&dag.Task{ID: id, Name: "root", Executor: "e", Dependencies: []dag.Dependency{{Ref: id + "-1"}, {Ref: id + "-2"}}},
		&dag.Task{ID: id + "-1", Name: "one", Executor: "e", ParentRef: id, Inputs: []byte(`{"n": 1}`)},
		&dag.Task{ID: id + "-2", Name: "two", Executor: "e", ParentRef: id, Timeout: time.Minute})
}

func treeOf(tasks ...*dag.Task) Submission {
	return Submission{
		UserID: "u", Known: func(string) bool { return true }, Room: func(int32, dag.Priority, int32) bool { return true },
		Tasks: func(yield func(*dag.Task, error) bool) {
			for _, t := range tasks {
				if !yield(t, nil) {
					return
				}
			}
		},
	}
}

func keyed(key string, s Submission) Submission {
	s.IdempotencyKey = key
	return s
}

// answer is what became of a submission.
type answer struct {
	out *Submitted
	err error
}

// together submits trees that are stored as one batch: no other is stored until all of them wait.
func together(t *testing.T, s *Store, submissions ...Submission) []answer {
	t.Helper()
	s.submissions.hold()
	answers := make([]answer, len(submissions))
	var wg sync.WaitGroup
	for i, sub := range submissions {
		wg.Go(func() { answers[i].out, answers[i].err = s.Submit(t.Context(), dag.DefaultNamespaceKey, sub) })
		s.waitFor(t, i+1)
	}
	s.submissions.release()
	wg.Wait()
	return answers
}

// hold keeps all that come waiting, as somebody who stores does.
func (b *batches) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storing = maxBatches
}

// release ends hold.
func (b *batches) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storing = 1
	b.pass()
}

// waitFor waits until n trees wait, in the order in which they came.
func (s *Store) waitFor(t *testing.T, n int) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; {
		s.submissions.mu.Lock()
		waiting := len(s.submissions.waiting)
		s.submissions.mu.Unlock()
		if waiting == n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d wait, not %d", waiting, n)
		}
		time.Sleep(time.Millisecond)
	}
}

func count(t *testing.T, c *pgx.Conn, query string, args ...any) (n int) {
	t.Helper()
	if err := c.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// stored checks that a tree is there whole, once.
func stored(t *testing.T, c *pgx.Conn, a answer) {
	t.Helper()
	if a.err != nil {
		t.Errorf("refused: %v", a.err)
		return
	}
	first, end := int64(a.out.Tree)<<24, int64(a.out.Tree+1)<<24
	for _, look := range []struct {
		what, query string
		want        int
	}{
		{"tree", "select count(*) from tree where root_id = $3 and key = $1 >> 24 and key < $2", 1},
		{"tasks", "select count(*) from task where key >= $1 and key < $2 and $3 <> ''", a.out.Tasks},
		{"specs", "select count(*) from spec where key >= $1 and key < $2 and $3 <> ''", a.out.Tasks},
		{"events", "select count(*) from event where tree >= $1 >> 24 and tree < $2 >> 24 and $3 <> ''", 1},
	} {
		if n := count(t, c, look.query, first, end, a.out.RootID); n != look.want {
			t.Errorf("tree %s: %d %s, want %d", a.out.RootID, n, look.what, look.want)
		}
	}
}

// transactions is how many transactions wrote trees.
const transactions = "select count(distinct xmin::text) from tree"

func TestTreesThatComeTogetherAreStoredTogether(t *testing.T) {
	s, c := openBatches(t)
	var subs []Submission
	for i := range 5 {
		subs = append(subs, smallTree(fmt.Sprint("t", i)))
	}
	held := smallTree("held")
	held.Hold = true
	timed := smallTree("timed")
	timed.Timeout = time.Minute
	answers := together(t, s, append(subs, held, timed)...)
	for i, a := range answers {
		if i != 5 { // held ones have no event
			stored(t, c, a)
		}
	}
	if n := count(t, c, transactions); n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
	if n := count(t, c, "select count(*) from timer"); n != 1 {
		t.Errorf("%d timers, want that of the tree with a time limit", n)
	}
	for i, a := range answers[:5] {
		eff := a.out.Effects
		if len(eff.Publish) != 2 || len(eff.Waiting) != 0 || len(eff.Trees) != 1 || eff.Trees[0].Tree != a.out.Tree {
			t.Fatalf("tree %d: %d published, %d runs wait, events of %v", i, len(eff.Publish), len(eff.Waiting), eff.Trees)
		}
		for _, w := range eff.Publish { // made from memory: as if it had been read
			got := *w
			want, err := s.Work(t.Context(), w.Key, w.Attempt, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := asJSON(got), asJSON(*want); g != w {
				t.Errorf("work is %s, want %s", g, w)
			}
		}
	}
	if eff := answers[5].out.Effects; len(eff.Publish)+len(eff.Trees) != 0 {
		t.Error("a tree that is held has effects")
	}
}

func asJSON(w Work) string {
	text, _ := json.Marshal(w)
	return string(text)
}

func TestATreeOfABatchHarmsNoOther(t *testing.T) {
	for _, test := range []struct {
		fact   string
		before func(t *testing.T, s *Store)
		bad    Submission
		check  func(t *testing.T, bad answer)
	}{
		{
			fact: "its id is taken by a stored tree",
			before: func(t *testing.T, s *Store) {
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("x")); err != nil {
					t.Fatal(err)
				}
			},
			bad: smallTree("x"),
			check: func(t *testing.T, bad answer) {
				if bad.err != nil || len(bad.out.IDMap) != 3 || bad.out.RootID != bad.out.IDMap["x"] {
					t.Errorf("%+v, %v; want new ids", bad.out, bad.err)
				}
			},
		},
		{
			fact: "its id is taken by another of the batch",
			bad:  smallTree("good0"),
			check: func(t *testing.T, bad answer) {
				if bad.err != nil || len(bad.out.IDMap) != 3 || bad.out.RootID != bad.out.IDMap["good0"] {
					t.Errorf("%+v, %v; want new ids", bad.out, bad.err)
				}
			},
		},
		{
			fact: "its idempotency key was used for a different tree",
			before: func(t *testing.T, s *Store) {
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed("k", smallTree("x"))); err != nil {
					t.Fatal(err)
				}
			},
			bad: keyed("k", smallTree("y")),
			check: func(t *testing.T, bad answer) {
				if !errors.Is(bad.err, ErrDigest) {
					t.Errorf("%v, want that the key was used", bad.err)
				}
			},
		},
		{
			fact: "it was stored before under its key",
			before: func(t *testing.T, s *Store) {
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed("k", smallTree("x"))); err != nil {
					t.Fatal(err)
				}
			},
			bad: keyed("k", smallTree("x")),
			check: func(t *testing.T, bad answer) {
				if bad.err != nil || !bad.out.Replayed || bad.out.RootID != "x" || bad.out.Effects != nil {
					t.Errorf("%+v, %v; want the first answer", bad.out, bad.err)
				}
			},
		},
		{
			fact: "Postgres rejects a value of it",
			before: func(t *testing.T, s *Store) {
				if _, err := s.pool.Exec(t.Context(), "alter table spec add check (name not like '%poison%')"); err != nil {
					t.Fatal(err)
				}
			},
			bad: treeOf(&dag.Task{ID: "bad", Name: "poison", Executor: "e"}),
			check: func(t *testing.T, bad answer) {
				if bad.err == nil || !Lasting(bad.err) {
					t.Errorf("%v, want that Postgres rejects it", bad.err)
				}
			},
		},
	} {
		t.Run(test.fact, func(t *testing.T) {
			s, c := openBatches(t)
			if test.before != nil {
				test.before(t, s)
			}
			before := count(t, c, "select count(*) from tree")
			answers := together(t, s, smallTree("good0"), keyed("another", smallTree("good1")), test.bad, smallTree("good2"))
			test.check(t, answers[2])
			want := 3
			if answers[2].err == nil && !answers[2].out.Replayed {
				stored(t, c, answers[2])
				want = 4
			}
			for _, i := range []int{0, 1, 3} {
				stored(t, c, answers[i])
				if len(answers[i].out.IDMap) != 0 {
					t.Errorf("tree %d has new ids: %v", i, answers[i].out.IDMap)
				}
			}
			if n := count(t, c, "select count(*) from tree") - before; n != want {
				t.Errorf("%d trees were stored, want %d", n, want)
			}
		})
	}
}

// TestRetriesOfABatchAreOneTree: a client that lost patience sends the same tree again while the first is under way.
func TestRetriesOfABatchAreOneTree(t *testing.T) {
	s, c := openBatches(t)
	answers := together(t, s, keyed("k", smallTree("x")), keyed("k", smallTree("x")), smallTree("y"), keyed("k", smallTree("x")), keyed("k", smallTree("z")))
	fresh := 0
	for _, i := range []int{0, 1, 3} {
		if a := answers[i]; a.err != nil || a.out.RootID != "x" {
			t.Errorf("%d: %+v, %v", i, a.out, a.err)
		} else if !a.out.Replayed {
			fresh++
		}
	}
	if fresh != 1 || !errors.Is(answers[4].err, ErrDigest) {
		t.Errorf("%d were stored, the other tree with the key: %v", fresh, answers[4].err)
	}
	if n := count(t, c, "select count(*) from tree"); n != 2 {
		t.Errorf("%d trees, want 2", n)
	}
}

// TestABatchDoesNotWaitForAnIDThatIsBeingTaken: another process stores a tree with an id of one of the batch, slowly.
func TestABatchDoesNotWaitForAnIDThatIsBeingTaken(t *testing.T) {
	s, c := openBatches(t)
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "insert into spec (key, id, parent, name, executor) values (1, 'slow-1', -1, '', '')"); err != nil {
		t.Fatal(err)
	}
	s.submissions.hold()
	slow, others := make(chan answer, 1), make(chan answer, 2)
	submit := func(id string, to chan<- answer, n int) {
		go func() {
			out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree(id))
			to <- answer{out, err}
		}()
		s.waitFor(t, n)
	}
	submit("a", others, 1)
	submit("slow", slow, 2)
	submit("b", others, 3)
	s.submissions.release()
	for range 2 { // while slow waits
		if a := <-others; a.err != nil {
			t.Error(a.err)
		}
	}
	select {
	case a := <-slow:
		t.Errorf("was stored while its id was being taken: %+v, %v", a.out, a.err)
	default:
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := <-slow
	if a.err != nil || len(a.out.IDMap) != 1 || a.out.IDMap["slow-1"] == "" {
		t.Errorf("%+v, %v; want one new id", a.out, a.err)
	}
	stored(t, c, a)
}

func TestAClientThatGoesLeavesItsBatch(t *testing.T) {
	s, c := openBatches(t)
	s.submissions.hold()
	gone := errors.New("gone")
	var wg sync.WaitGroup
	var first, second, third answer
	going, leave := context.WithCancelCause(t.Context())
	wg.Go(func() { first.out, first.err = s.Submit(going, dag.DefaultNamespaceKey, smallTree("a")) })
	s.waitFor(t, 1)
	wg.Go(func() { second.out, second.err = s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("b")) })
	s.waitFor(t, 2)
	leave(gone)
	s.waitFor(t, 1)
	wg.Go(func() { third.out, third.err = s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("c")) })
	s.waitFor(t, 2)
	s.submissions.release()
	wg.Wait()
	if !errors.Is(first.err, gone) {
		t.Errorf("%v, want that it is gone", first.err)
	}
	stored(t, c, second)
	stored(t, c, third)
	if n := count(t, c, "select count(*) from tree"); n != 2 {
		t.Errorf("%d trees, want 2", n)
	}
}

// TestTheLeadersEndHarmsNoOther: the client whose call stores the batch goes while it is being stored.
func TestTheLeadersEndHarmsNoOther(t *testing.T) {
	s, c := openBatches(t)
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("before")); err != nil { // the pool is known
		t.Fatal(err)
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock table tree in share mode"); err != nil { // whoever stores a tree waits, no longer than for a lock
		t.Fatal(err)
	}
	going, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	answers := make([]answer, 3)
	s.submissions.hold()
	for i := range answers {
		wg.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = going
			}
			answers[i].out, answers[i].err = s.Submit(ctx, dag.DefaultNamespaceKey, smallTree(fmt.Sprint("t", i)))
		})
		s.waitFor(t, i+1)
	}
	s.submissions.release()
	s.waitFor(t, 0) // the batch was taken
	leave()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	stored(t, c, answers[1])
	stored(t, c, answers[2])
}

func TestABatchIsBounded(t *testing.T) {
	b := &batches{}
	wide := func(n int) *batchedTree { return &batchedTree{stagedTree: &stagedTree{}, tasks: make([]*dag.Task, n)} }
	for _, test := range []struct {
		fact    string
		waiting []*batchedTree
		want    int
	}{
		{"alone", nil, 1},
		{"few", []*batchedTree{wide(1), wide(1)}, 3},
		{"many trees", slices.Repeat([]*batchedTree{wide(1)}, 200), batchTrees},
		{"many tasks", slices.Repeat([]*batchedTree{wide(500)}, 20), batchTasks / 500},
		{"many bytes", []*batchedTree{{stagedTree: &stagedTree{}, size: batchBytes / 2}, {stagedTree: &stagedTree{}, size: batchBytes / 2}, {stagedTree: &stagedTree{}, size: 1}}, 3},
	} {
		leader := wide(1)
		if test.fact == "many tasks" {
			leader = wide(500)
		}
		b.waiting = append([]*batchedTree{leader}, test.waiting...)
		if got := len(b.take(leader)); got != test.want {
			t.Errorf("%s: %d of %d are taken, want %d", test.fact, got, len(test.waiting)+1, test.want)
		}
		if got := len(b.waiting); got != len(test.waiting)+1-test.want {
			t.Errorf("%s: %d are left", test.fact, got)
		}
	}
}
