package pg

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// chainOfTwo is a task and one that waits for it.
func chainOfTwo(id string) Submission {
	return treeOf(&dag.Task{ID: id, Name: "last", Executor: "e", Priority: dag.Normal, Inputs: []byte(`{"n": 2}`), Dependencies: []dag.Dependency{{Ref: id + "-first"}}},
		&dag.Task{ID: id + "-first", Name: "first", Executor: "e", Priority: dag.Normal, ParentRef: id, Inputs: []byte(`{"n": 1}`)})
}

// begin submits a chain of two and claims its first task.
func (h *twoStores) begin(id string) (first *Work) {
	h.t.Helper()
	out, err := h.s.Submit(h.t.Context(), dag.DefaultNamespaceKey, chainOfTwo(id))
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
	if last == nil || string(last.Inputs) != `{"n": 2}` || len(last.Results) != 1 || last.Results[0].Ref != "t-first" || string(last.Results[0].Result) != `{"r":1}` {
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

// TestCancelledWhileItWaited: a repeatable task that was cancelled before it was sent is not sent; its worker would start it
// without asking. Of others, the claim says no.
func TestCancelledWhileItWaited(t *testing.T) {
	t.Parallel()
	for _, repeatable := range []bool{true, false} {
		h := newTwoStores(t, 1)
		sub := treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e", Repeatable: repeatable}, &dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "a", Repeatable: repeatable})
		sub.Room = nil
		out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
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
		work, err := takeReady(t.Context(), h.s, lanes[0], 10, false)
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
