package pg

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ofUser stores a tree of a user that has ended, or, if it is open, one that is under way.
func ofUser(t *testing.T, s *Store, user, name string, n int, open bool) *Submitted {
	t.Helper()
	sub := copiedChain(name, n)
	sub.UserID, sub.Hold = user, !open
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	if !open {
		endTree(t, s, out.Tree, time.Hour)
	}
	return out
}

// TestAnErasureIsBegunOnce: while trees run it takes a word for that; where it is under way already, that is it; it finds the user's trees up to the last one that there was.
func TestAnErasureIsBegunOnce(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	ended, open, others := ofUser(t, s, "amy", "a", 2, false), ofUser(t, s, "amy", "b", 2, true), ofUser(t, s, "bob", "c", 2, false)
	if found, err := s.Erasable(ctx, dag.DefaultNamespaceKey, "amy"); err != nil || found != (Erasable{Trees: 2, Running: 1, Tasks: 6}) {
		t.Errorf("got %+v, %v", found, err)
	}
	_, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "ann")
	if running, ok := errors.AsType[*RunningTreesError](err); !ok || running.Trees != 1 {
		t.Errorf("while a tree runs: got %v", err)
	}
	e, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", true, "ann")
	if err != nil || e.Step != EraseTrees || !e.Cancel || e.AskedBy != "ann" {
		t.Fatalf("got %+v, %v", e, err)
	}
	if again, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "bob"); err != nil || again.ID != e.ID {
		if _, running := errors.AsType[*RunningTreesError](err); !running {
			t.Errorf("begun again: got %+v, %v", again, err)
		}
	}
	later := ofUser(t, s, "amy", "d", 2, false)
	list, err := s.TreesToErase(ctx, e, 0, 10)
	if err != nil || len(list) != 2 || list[0].Tree != ended.Tree || list[0].Open || list[1].Tree != open.Tree || !list[1].Open {
		t.Errorf("got %+v, %v", list, err)
	}
	if done, err := s.EraseTree(ctx, e, open.Tree); done || err != nil {
		t.Errorf("a tree that runs: got %t, %v", done, err)
	}
	endTree(t, s, open.Tree, time.Hour)
	for range 2 { // told twice
		for _, tree := range []*Submitted{ended, open} {
			if _, err := s.EraseTree(ctx, e, tree.Tree); err != nil {
				t.Error(err)
			}
		}
	}
	if isThere(t, s, ended.Tree) || isThere(t, s, open.Tree) || !isThere(t, s, later.Tree) || !isThere(t, s, others.Tree) {
		t.Error("other trees are gone than those of the user")
	}
	if e, err = s.Erasure(ctx, dag.DefaultNamespaceKey, e.ID); err != nil || e.Counts["trees"] != 2 || e.Counts["tasks"] != 6 {
		t.Errorf("got %v, %v", e.Counts, err)
	}
}

// TestAnErasureIsAboutAllThatIsStored: who asks again while one is under way has one that is about the trees that came meanwhile, too, and one that cancels if asked to.
func TestAnErasureIsAboutAllThatIsStored(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	ofUser(t, s, "amy", "a", 2, false)
	first, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "ann")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", true, "bob")
	if err != nil || again.ID != first.ID || !again.Cancel || again.AskedBy != "ann" {
		t.Errorf("asked to cancel: got %+v, %v", again, err)
	}
	later := ofUser(t, s, "amy", "b", 2, false)
	second, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "bob")
	if err != nil || second.ID == first.ID || second.Upto < later.Tree || second.Cancel {
		t.Errorf("a tree came meanwhile: got %+v, %v", second, err)
	}
	if third, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "bob"); err != nil || third.ID != second.ID {
		t.Errorf("and none since: got %+v, %v", third, err)
	}
	if _, err := s.EraseTree(ctx, first, later.Tree); err != nil { // whichever comes first counts it
		t.Error(err)
	}
	if done, err := s.EraseTree(ctx, second, later.Tree); done || err != nil {
		t.Errorf("what the other has erased: got %t, %v", done, err)
	}
	if second, err = s.Erasure(ctx, dag.DefaultNamespaceKey, second.ID); err != nil || second.Counts["trees"] != 0 {
		t.Errorf("counted twice: %v, %v", second.Counts, err)
	}
}

// TestAnErasureWaitsForTreesOnTheirWay: one of the user that is being stored when the erasure is asked for is erased, too.
func TestAnErasureWaitsForTreesOnTheirWay(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	on := make(chan struct{})
	begun := make(chan error, 1)
	go func() {
		begun <- s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
			if _, err := c.Exec(ctx, "begin"); err != nil {
				return err
			}
			if _, err := c.Exec(ctx, "select nextval('tree_key'), pg_current_xact_id()"); err != nil {
				return err
			}
			on <- struct{}{}
			<-on
			_, err := c.Exec(ctx, "commit")
			return err
		})
	}()
	<-on
	e, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.AllErasedStored(ctx, e); all || err != nil {
		t.Errorf("while a transaction may store one: got %t, %v", all, err)
	}
	close(on)
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	for all := false; !all; time.Sleep(time.Millisecond) { // tests beside this one write, too
		if all, err = s.AllErasedStored(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErasedIsWhatIsNotHeld: what an operator holds stays, also once the erasure has begun, and is counted.
func TestErasedIsWhatIsNotHeld(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	held, gone := ofUser(t, s, "amy", "a", 2, false), ofUser(t, s, "amy", "b", expireStep+10, false)
	if _, err := s.Hold(ctx, dag.DefaultNamespaceKey, held.Tree, "ann", "case 7"); err != nil {
		t.Fatal(err)
	}
	e, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "")
	if err != nil {
		t.Fatal(err)
	}
	// Its first transaction alone: a hold comes too late, retention leaves it to the erasure, and the auditor finds nothing.
	if err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		done, more, err := eraseStep(ctx, c, e.Key, gone.Tree, gone.Tree.Key(0), gone.Tree.Key(expireStep+1000))
		if done || !more {
			t.Errorf("got %t, %t", done, more)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ctx, dag.DefaultNamespaceKey, gone.Tree, "ann", "too late"); !errors.Is(err, ErrNotFound) {
		t.Errorf("held what is being erased: got %v", err)
	}
	expire(t, s, time.Minute)
	for _, tree := range []*Submitted{held, gone} {
		if done, err := s.EraseTree(ctx, e, tree.Tree); done != (tree == gone) || err != nil {
			t.Errorf("got %t, %v", done, err)
		}
	}
	for _, step := range []func() error{
		func() error { return s.EraseUser(ctx, e, "default") }, func() error { return s.CountMessagesErased(ctx, e, 2, 3) }, func() error { return s.ErasureToContents(ctx, e) },
	} {
		for range 2 { // told twice
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range 2 {
		if first, err := s.FinishErasure(ctx, e); first != (n == 0) || err != nil {
			t.Errorf("got %t, %v", first, err)
		}
	}
	e, err = s.Erasure(ctx, dag.DefaultNamespaceKey, e.ID)
	if err != nil || e.Step != Erased || e.FinishedAt == nil || e.Counts["trees"] != 1 || e.Counts["tasks"] != expireStep+11 || e.Counts["held_trees"] != 1 || e.Counts["logs"] != 6 {
		t.Errorf("got %+v, %v", e, err)
	}
	if !isThere(t, s, held.Tree) || isThere(t, s, gone.Tree) || countRows(t, s, "task") != 3 {
		t.Error("what is held is gone, or the rest is not")
	}
}

// TestNothingComesBackOfErasedTrees: what is on its way when a tree is erased, or comes late, is not stored: parts and results of attempts, artifacts, logs, deliveries.
func TestNothingComesBackOfErasedTrees(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	out := ofUser(t, s, "amy", "a", 1, false)
	e, err := s.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.EraseTree(ctx, e, out.Tree); !done || err != nil {
		t.Fatalf("got %t, %v", done, err)
	}
	k := out.Tree.Key(1)
	if stored, err := s.PutChunks(ctx, []Chunk{{Task: k, Attempt: 1, Count: 1, Data: []byte("late")}}); err != nil || stored[0] {
		t.Errorf("a part: got %v, %v", stored, err)
	}
	if err := s.OpenContent(ctx, NewContent{ID: [16]byte{1}, Task: k, Attempt: 1, Size: 9, Block: 1 << 16, Late: true}, ArtifactBounds{}); err == nil {
		t.Error("an upload began")
	}
	if err := s.AddLogs(ctx, []ArchivedLog{{Task: k, Attempt: 1, Data: []byte("late")}}, 0); err != nil {
		t.Error(err)
	}
	if changed, _, err := s.Settle(ctx, []dag.Result{{Task: k, Attempt: 1, Outcome: dag.OutcomeCompleted, Value: []byte(`"late"`)}}, nil); err != nil || changed[0] {
		t.Errorf("a result: got %v, %v", changed, err)
	}
	if _, err := s.pool.Exec(ctx, "insert into webhook (id, events, config, host) values ('w', 1, '{}', 'h')"); err != nil {
		t.Fatal(err)
	}
	list := []Delivered{{Tree: out.Tree, Sequence: 1, Event: "tree_failed", Error: "late"}, {Tree: out.Tree + 1, Sequence: 7, Event: "tree_failed"}}
	b := &pgx.Batch{}
	queueDeliveries(b, 1, list)
	if err := s.pool.Send(ctx, b); err != nil || list[0].Key != 0 || list[1].Key == 0 {
		t.Errorf("deliveries: got %+v, %v", list, err)
	}
	for _, table := range []string{"task", "attempt", "chunk", "content", "artifact", "spec", "payload", "event"} {
		if n := countRows(t, s, table); n != 0 {
			t.Errorf("%d rows of %s are there", n, table)
		}
	}
	if n := countRows(t, s, "webhook_delivery"); n != 1 {
		t.Errorf("%d deliveries are there, want that of another tree", n)
	}
}

// TestSchedulesAreErased: those of the user, with their runs, unless another's begins with them; a run whose tree is not stored yet gets none.
func TestSchedulesAreErased(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	ctx := t.Context()
	mine := &Schedule{ID: "of-amy", UserID: "amy", Spec: h.of.Spec, Body: h.of.Body, CreatedBy: "amy", DecidedAt: h.of.DecidedAt, NextAt: h.of.NextAt}
	if err := h.CreateSchedule(ctx, mine); err != nil {
		t.Fatal(err)
	}
	next := h.create("after", &mine.Key, 1<<dag.FireCompleted)
	_, err := h.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "")
	if needed, ok := errors.AsType[*NeededScheduleError](err); !ok || needed.Schedule != "of-amy" || needed.By != "after" {
		t.Errorf("a schedule of somebody else begins with it: got %v", err)
	}
	if _, err := h.DeleteSchedule(ctx, dag.DefaultNamespaceKey, next.ID, 0); err != nil {
		t.Fatal(err)
	}
	open := ofUser(t, h.Store, "amy", "a", 2, true)
	if _, err := h.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, ""); err == nil {
		t.Error("a tree runs: no error")
	}
	if found, err := h.Erasable(ctx, dag.DefaultNamespaceKey, "amy"); err != nil || found.Schedules != 1 {
		t.Errorf("got %+v, %v", found, err)
	}
	h.decide(fireAt(time.Now().Add(-time.Minute).Truncate(time.Minute)))
	endTree(t, h.Store, open.Tree, time.Hour)
	e, err := h.StartErasure(ctx, dag.DefaultNamespaceKey, "amy", false, "")
	if err != nil || e.Counts["schedules"] != 1 {
		t.Fatalf("got %+v, %v", e, err)
	}
	var schedules, fires int
	if err := h.pool.QueryRow(ctx, "select (select count(*) from schedule), (select count(*) from fire where schedule = $1)", mine.Key).Scan(&schedules, &fires); err != nil || schedules != 1 || fires != 0 {
		t.Errorf("%d schedules and %d of its runs are left, %v; want that of somebody else and none", schedules, fires, err)
	}
}
