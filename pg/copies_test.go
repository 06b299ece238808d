package pg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// A copy has all that is stored of a task: who adds a column says what becomes of it.
func TestCopiesHaveEachColumn(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	for table, statement := range map[string]string{"spec": "InsertCopiedSpecs", "payload": "InsertCopiedPayloads", "attempt": "InsertCopiedAttempts", "tree": "InsertCopiedTree"} {
		leftOut := map[string][]string{"tree": { // a copy has not been executed, and is a caller's, also of a tree that a task has submitted: no tree is above it
			"created_at", "started_at", "finished_at", "cancelled_at", "cancel_message", "execution", "execution_start", "sequence", "running", "blocked", "revision", "span", "hooked", "depth", "paused_at", "keeping", "fire", "due_at", "late_at"}}[table]
		rows, err := s.pool.Query(t.Context(), "select column_name::text from information_schema.columns where table_name = $1", table)
		if err != nil {
			t.Fatal(err)
		}
		_, insert, _ := strings.Cut(sql(statement), "insert into "+table+" (")
		columns, _, _ := strings.Cut(insert, ")")
		named := strings.FieldsFunc(columns, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		if err := eachRow(rows, func(v *values) {
			if c := v.text(); !slices.Contains(named, c) && !slices.Contains(leftOut, c) {
				t.Errorf("%s leaves out the column %s of %s", statement, c, table)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// copiedChain is a tree of n tasks below a root that depends on the last; each depends on the one before.
func copiedChain(name string, n int) Submission {
	return Submission{Hold: true, Tasks: func(yield func(*dag.Task, error) bool) {
		root := &dag.Task{ID: name, Name: name, Executor: "e", Dependencies: []dag.Dependency{{Ref: fmt.Sprint(name, "-", n-1)}}}
		if !yield(root, nil) {
			return
		}
		for i := range n {
			task := &dag.Task{ID: fmt.Sprint(name, "-", i), Name: "n", ParentRef: name, Executor: "e", Inputs: []byte(`{"a":1}`)}
			if i > 0 {
				task.Dependencies = []dag.Dependency{{Ref: fmt.Sprint(name, "-", i-1)}}
			}
			if !yield(task, nil) {
				return
			}
		}
	}}
}

// auditSays fails the test for each violation.
func auditSays(t *testing.T, s *Store) {
	t.Helper()
	found, _, _, err := s.AuditAll(t.Context(), 0, AuditOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Errorf("%s of tree %d, task %d: %s", v.Kind, v.Tree, v.Task, v.Text)
	}
}

// What a whole copy and a part of it hold: shape, references, and what was cancelled before it ran.
func TestCopyOfACancelledTree(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("c", 5))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CancelTree(t.Context(), out.Tree, "stop"); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if _, more, err = s.Followups(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := s.Copy(t.Context(), Copying{Target: out.Tree.Key(0), Mode: dag.CopyFull})
	if err != nil || whole.Tasks != 6 {
		t.Fatalf("got %+v, %v", whole, err)
	}
	part, err := s.Copy(t.Context(), Copying{Target: out.Tree.Key(3), Mode: dag.CopyCustom, Named: []dag.Key{out.Tree.Key(2)}})
	if err != nil || part.Tasks != 6 { // the root comes along, and all that it needs
		t.Fatalf("got %+v, %v", part, err)
	}
	page, err := s.TreeTasks(t.Context(), part.Tree.Key(0), part.Tree.Key(10), Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i, task := range page.Tasks {
		want := "c"
		if i > 0 {
			want = fmt.Sprint("c-", i-1)
		}
		if *task.Original != want || task.Ref != want || task.State != dag.Held || task.HasCopy || (len(task.Dependencies) == 0) != (i == 1) {
			t.Errorf("task %d: %+v", i, task)
		}
	}
	auditSays(t, s)
	if _, err := s.pool.Exec(t.Context(), "update tree set finished_at = now() - interval '1 hour' where key = $1", out.Tree); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(t.Context(), time.Minute, 10); n != 1 || err != nil {
		t.Fatalf("expired %d trees: %v", n, err)
	}
	var left int
	if err := s.pool.QueryRow(t.Context(), "select count(*) from copied").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tasks are marked as copied and not there: %v", left, err)
	}
	if again, err := s.Task(t.Context(), dag.DefaultNamespaceKey, whole.RootID); err != nil || *again.Original != "c" {
		t.Errorf("a copy outlives its original: got %+v, %v", again, err)
	}
}

// Copies of one tree that come at the same time don't disturb one another; those with one idempotency key are one.
func TestCopiesAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("c", 50))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	trees := map[string]int{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			what := Copying{Target: out.Tree.Key(0)}
			if i%2 == 0 {
				what.IdempotencyKey, what.Digest = "k", []byte("d")
			}
			got, err := s.Copy(t.Context(), what)
			if err != nil || got.Tasks != 51 {
				t.Errorf("copy %d: %+v, %v", i, got, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			trees[got.RootID]++
		})
	}
	wg.Wait()
	if len(trees) != 9 {
		t.Errorf("got %d trees, want 8, and one of the key", len(trees))
	}
	if _, err := s.Copy(t.Context(), Copying{Target: out.Tree.Key(0), IdempotencyKey: "k", Digest: []byte("other")}); !errors.Is(err, ErrDigest) {
		t.Errorf("another copy with the key: got %v, want %v", err, ErrDigest)
	}
	auditSays(t, s)
}

// A copy waits for who changes the original, and sees what became of it.
func TestACopyWaitsForWhoChangesItsOriginal(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("c", 3))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Release()
	for _, statement := range []string{"begin", fmt.Sprintf("select pg_advisory_xact_lock(7237, hashint8(%d))", out.Tree)} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Copy(t.Context(), Copying{Target: out.Tree.Key(0)})
		done <- err
	}()
	for _, statement := range []string{"delete from task where key > " + fmt.Sprint(int64(out.Tree.Key(2))), "commit"} { // a step of a deletion
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; !errors.Is(err, ErrNotFound) {
		t.Errorf("a copy of a tree that is being deleted: got %v, want %v", err, ErrNotFound)
	}
}

// A tree of 100 000 tasks is copied in statements for thousands of tasks each.
func TestCopyOfALargeTree(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	const n = 100_000
	if testing.Short() {
		t.Skip("stores 200 000 tasks")
	}
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("c", n-1))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	got, err := s.Copy(t.Context(), Copying{Target: out.Tree.Key(0)})
	if err != nil || got.Tasks != n {
		t.Fatalf("got %+v, %v", got, err)
	}
	t.Logf("copied %d tasks in %s", n, time.Since(begin).Round(time.Millisecond))
	var specs, edges, copied int
	first, end := got.Tree.Range()
	if err := s.pool.QueryRow(t.Context(), `select (select count(*) from spec where key >= $1 and key < $2), (select count(*) from edge where dependency >= $1 and dependency < $2),
		(select count(*) from copied)`, first, end).Scan(&specs, &edges, &copied); err != nil || specs != n || edges != n-1 || copied != n {
		t.Errorf("%d specifications, %d edges, %d marks: %v", specs, edges, copied, err)
	}
}
