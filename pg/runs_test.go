package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// refsOf are the references of a stored tree's tasks, in their order, by which results reach inputs.
func refsOf(t *testing.T, s *Store, tree dag.TreeKey, tasks int) (refs []string) {
	t.Helper()
	page, err := s.TreeTasks(t.Context(), tree.Key(0), (tree + 1).Key(0), Filter{Limit: tasks})
	must(t, err)
	for _, task := range page.Tasks {
		refs = append(refs, task.Ref)
	}
	return refs
}

// TestReferencesStayAsSubmitted: whatever becomes of the ids, and however the tree is stored. Below the level, they are the ids, as
// older coordinators have it.
func TestReferencesStayAsSubmitted(t *testing.T) {
	named := func(string) Submission {
		return treeOf(&dag.Task{Name: "root", Executor: "e", Dependencies: []dag.Dependency{{Ref: "one"}, {Ref: "two", ByName: true}}},
			&dag.Task{Name: "one", Executor: "e", ParentRef: "root"}, &dag.Task{Name: "two", Executor: "e", ParentRef: "root"})
	}
	for level, open := range map[dag.Level]func(*testing.T) (*Store, *pgx.Conn){dag.BaseLevel: openBelow, dag.RunsLevel: openBatches} {
		s, admin := open(t)
		for way, submit := range map[string]func(context.Context, Submission) (*Submitted, error){"batch": s.submissions.submit, "large": s.submissions.submitLarge} {
			for _, row := range []struct {
				fact, want string
				tree       func(id string) Submission
				replaced   bool
			}{
				{"ids", fmt.Sprintf("[%s %[1]s-1 %[1]s-2]", way), smallTree, false},
				{"ids that are taken", fmt.Sprintf("[%s %[1]s-1 %[1]s-2]", way), smallTree, true},
				{"names", "[root one two]", named, false},
				{"names again", "[root one two]", named, false},
			} {
				out, err := submit(t.Context(), row.tree(way))
				must(t, err)
				if (len(out.IDMap) > 0) != row.replaced {
					t.Fatalf("ids were replaced: %v", out.IDMap)
				}
				if level == dag.BaseLevel {
					row.want = idsOf(t, admin, out.Tree)
				}
				if got := fmt.Sprint(refsOf(t, s, out.Tree, 3)); got != row.want {
					t.Errorf("%s, %s, at level %d: the references are %s, want %s", row.fact, way, level, got, row.want)
				}
				if n := count(t, admin, "select count(uid) from tree where key = $1", out.Tree); n != int(level-dag.BaseLevel) {
					t.Errorf("%s, %s, at level %d: %d of 1 trees have a UID", row.fact, way, level, n)
				}
			}
		}
	}
}

func idsOf(t *testing.T, c *pgx.Conn, tree dag.TreeKey) string {
	t.Helper()
	var ids []string
	first, end := tree.Range()
	must(t, c.QueryRow(t.Context(), "select array_agg(id order by key) from spec where key >= $1 and key < $2", first, end).Scan(&ids))
	return fmt.Sprint(ids)
}

// TestARunIsTheSameForItsAttempts: another part of the tree is run again while a task runs, and then the task itself is.
func TestARunIsTheSameForItsAttempts(t *testing.T) {
	h := newTwoStores(t, 1)
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "root", Name: "root"},
		&dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "root"}, &dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "root"}))
	must(t, err)
	a, b := out.Tree.Key(1), out.Tree.Key(2)
	uid := out.Effects.Publish[0].UID
	if uid == uuid.Nil {
		t.Fatal("the tree has no UID")
	}
	attempt := func(k dag.Key, number, run, execution int32) *Work {
		t.Helper()
		w, err := h.other.Work(t.Context(), k, number, 1<<20)
		if err != nil || w.Run != run || w.Execution != execution || w.UID != uid {
			t.Fatalf("attempt %d of %d: got %+v, %v, want it of run %d in execution %d", number, k.Index(), w, err, run, execution)
		}
		if got := queued(t, h.s, w)[k]; got == nil || got.Run != run || got.UID != uid {
			t.Fatalf("attempt %d of %d is published as %+v", number, k.Index(), got)
		}
		return w
	}
	settle := func(w *Work, outcome dag.Outcome) {
		t.Helper()
		if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker}}); err != nil || verdicts[0] != dag.Yes {
			t.Fatalf("claim: %v, %v", verdicts, err)
		}
		_, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: outcome, Permanent: true, Error: "no"}},
			func(int32, dag.Priority, int32) bool { return true })
		must(t, err)
	}
	execute := func(k dag.Key) {
		t.Helper()
		done, err := h.s.Execute(t.Context(), k, dag.ExecutionOptions{Force: true})
		if err != nil || done.Status != ExecutionStarted {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	first := attempt(a, 1, 1, 1)
	settle(attempt(b, 1, 1, 1), dag.OutcomeFailed)
	execute(b)
	settle(attempt(b, 2, 2, 2), dag.OutcomeCompleted)
	settle(first, dag.OutcomeReturned) // its worker drains
	settle(attempt(a, 2, 1, 2), dag.OutcomeReturned)
	settle(attempt(a, 3, 1, 2), dag.OutcomeCompleted)
	execute(a)
	settle(attempt(a, 4, 4, 3), dag.OutcomeReturned)
	settle(attempt(a, 5, 4, 3), dag.OutcomeFailed)
	execute(a)
	attempt(a, 6, 6, 4)
}

// queued is what is loaded to be published of one attempt.
func queued(t *testing.T, s *Store, w *Work) map[dag.Key]*Work {
	t.Helper()
	b, work := &pgx.Batch{}, map[dag.Key]*Work{}
	queueWork(b, []Stretch{{First: w.Key, N: 1, Attempt: w.Attempt}}, dag.Ready, work)
	must(t, s.pool.Send(t.Context(), b))
	return work
}

// TestALevelIsAdoptedOnceNoLiveCoordinatorIsBelowIt: then it is kept, workers need not have it, and nothing is refused before.
func TestALevelIsAdoptedOnceNoLiveCoordinatorIsBelowIt(t *testing.T) {
	s, admin := openBelow(t)
	adopting := Announcement{Instance: "new", Name: "new", Version: "9.1.0", Level: 2, Adopts: 2}
	must(t, announce(t.Context(), s, "old", 1))
	if !register(t, s, "worker", 1) {
		t.Fatal("a worker got no lease")
	}
	must(t, s.AnnounceCoordinator(t.Context(), adopting, lasts))
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("a")); err != nil {
		t.Errorf("beside an older coordinator: %v", err)
	}
	if _, level := levelUsed(t, admin); level != 1 {
		t.Fatalf("level %d is used beside a coordinator of level 1", level)
	}
	must(t, announce(t.Context(), s, "old", 1))
	must(t, s.LeaveCoordinator(t.Context(), "old"))
	must(t, s.AnnounceCoordinator(t.Context(), adopting, lasts))
	if _, level := levelUsed(t, admin); level != 2 {
		t.Fatalf("level %d is used after the older coordinator has left", level)
	}
	err := announce(t.Context(), s, "old", 1)
	if old, ok := errors.AsType[*dag.OutdatedError](err); !ok || old.Used != 2 || old.Version != "9.1.0" {
		t.Errorf("a coordinator below: got %v", err)
	}
	if !register(t, s, "another worker", 1) || s.OutdatedWorker(t.Context(), 1) != nil {
		t.Error("a worker below is refused")
	}
	if found, err := s.AuditRest(t.Context(), AuditOptions{}); err != nil || len(found) > 0 {
		t.Errorf("the auditor found %v, %v", found, err)
	}
	// A tree that asks for the level asks it of workers, too.
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, newKind("n")); err == nil || !strings.Contains(err.Error(), `worker "`) {
		t.Errorf("got %v, want a refusal that names a worker", err)
	}
}

// TestALevelIsAdoptedOrACoordinatorBeginsBelowIt holds each side in the middle of its transaction: the other waits, and loses.
func TestALevelIsAdoptedOrACoordinatorBeginsBelowIt(t *testing.T) {
	t.Run("begins while it is adopted", func(t *testing.T) {
		s, admin := openBelow(t)
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(sql("LockLevel"), 2)
		b.Queue(sql("AdoptLevel"), 2, "9.1.0")
		must(t, admin.SendBatch(t.Context(), b).Close())
		begun := make(chan error, 1)
		go func() { begun <- announce(t.Context(), s, "old", 1) }()
		untilItWaits(t, s, begun)
		_, err := admin.Exec(t.Context(), "commit")
		must(t, err)
		if _, ok := errors.AsType[*dag.OutdatedError](<-begun); !ok {
			t.Errorf("got %v, want a refusal", err)
		}
	})
	t.Run("is adopted while it begins", func(t *testing.T) {
		s, admin := openBelow(t)
		_, err := admin.Exec(t.Context(), "begin; select level_used from cluster for share")
		must(t, err)
		adopted := make(chan error, 1)
		go func() { adopted <- s.adoptLevel(t.Context(), 2, "9.1.0") }()
		untilItWaits(t, s, adopted)
		must(t, announce(t.Context(), s, "old", 1))
		_, err = admin.Exec(t.Context(), "commit")
		must(t, err)
		must(t, <-adopted)
		if _, level := levelUsed(t, admin); level != 1 {
			t.Errorf("level %d is used beside a coordinator of level 1", level)
		}
	})
}
