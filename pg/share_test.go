package pg

import (
	"maps"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// usersTree is a tree of a user whose tasks wait for room.
func usersTree(user string, size int) Submission {
	sub := waitingTree(user, size)
	tasks := sub.Tasks
	sub.Tasks = func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if t != nil {
				t.UserID = user
			}
			if !yield(t, err) {
				return
			}
		}
	}
	return sub
}

// sharesOf are the shares of users, by name.
func sharesOf(t *testing.T, s *Store) map[string]dag.ShareKey {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "select user_id, id from share")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]dag.ShareKey{}
	if err := eachRow(rows, func(v *values) { all[v.text()] = dag.ShareKey(v.integer()) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDispatchTakesPortionsOfShares: nothing is taken while several wait and nobody says how much of whom; and with portions just these.
func TestDispatchTakesPortionsOfShares(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	told := map[string]dag.ShareKey{}
	for user, n := range map[string]int{"amy": 9000, "bob": 5, "cat": 7} {
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, usersTree(user, n))
		if err != nil || len(out.Effects.Waiting) == 0 {
			t.Fatal(out, err)
		}
		told[user] = out.Effects.Waiting[0].Share
	}
	if err := s.SetShareWeight(t.Context(), dag.DefaultNamespaceKey, "bob", 2.5); err != nil {
		t.Fatal(err)
	}
	lanes, err := s.Backlog(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	of := sharesOf(t, s)
	if !maps.Equal(told, of) {
		t.Errorf("who stores them hears that what waits is of %v, want %v", told, of)
	}
	all, err := s.WaitingShares(t.Context(), lanes[0], -1, 10)
	want := map[dag.ShareKey]dag.Claimant{of["amy"]: {Share: of["amy"], Weight: 1, Waits: 9000}, of["bob"]: {Share: of["bob"], Weight: 2.5, Waits: 5}, of["cat"]: {Share: of["cat"], Weight: 1, Waits: 7}}
	got := map[dag.ShareKey]dag.Claimant{}
	for _, c := range all {
		got[c.Share] = c
	}
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	if next, err := s.WaitingShares(t.Context(), lanes[0], all[0].Share, 1); err != nil || len(next) != 1 || next[0].Share != all[1].Share {
		t.Errorf("after the first: %v, %v", next, err)
	}
	if out, err := s.Dispatch(t.Context(), lanes[0], 100, false, nil); err != nil || !out.Several || len(out.Work) != 0 {
		t.Fatalf("without portions: %+v, %v", out, err)
	}
	take := func(portions *Portions) map[string]int {
		t.Helper()
		out, err := s.Dispatch(t.Context(), lanes[0], 100, true, portions)
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, w := range out.Work {
			if out.Of[w.Key.Tree()] != of[w.UserID] {
				t.Errorf("a task of %q is said to be of %d", w.UserID, out.Of[w.Key.Tree()])
			}
			n[w.UserID]++
		}
		return n
	}
	for _, step := range []struct {
		portions *Portions
		want     map[string]int
	}{
		{&Portions{[]dag.ShareKey{of["amy"], of["bob"]}, []int{30, 3}}, map[string]int{"amy": 30, "bob": 3}},
		{&Portions{[]dag.ShareKey{of["bob"], of["cat"]}, []int{30, 30}}, map[string]int{"bob": 2, "cat": 7}},
		{nil, map[string]int{"amy": 100}}, // one is left
		{&Portions{[]dag.ShareKey{of["bob"]}, []int{1}}, map[string]int{}},
	} {
		if got := take(step.portions); !maps.Equal(got, step.want) {
			t.Errorf("%+v: got %v, want %v", step.portions, got, step.want)
		}
	}
	flying, err := s.InFlight(t.Context(), lanes[0].Pool)
	n := map[dag.ShareKey]int{}
	for _, f := range flying {
		n[f.Share] += f.N
	}
	if want := map[dag.ShareKey]int{of["amy"]: 130, of["bob"]: 5, of["cat"]: 7}; err != nil || !maps.Equal(n, want) {
		t.Errorf("in flight: %v, %v, want %v", n, err, want)
	}
}

// TestSharesAreSwept: those of users without a tree, a weight or a limit, once nobody has named them for a day. Who comes back gets one again.
func TestSharesAreSwept(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	for _, user := range []string{"has-tree", "gone", "weighs", "limited", "new"} {
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, usersTree(user, 1))
		if err != nil {
			t.Fatal(err)
		}
		if user != "has-tree" {
			if _, err := s.pool.Exec(t.Context(), "delete from tree where key = $1", out.Tree); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.SetShareWeight(t.Context(), dag.DefaultNamespaceKey, "weighs", 3); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"update share set named_at = now() - interval '25 hours' where user_id <> 'new'",
		"insert into limit_rule (namespace, kind, key, share, set_by) select 0, 5, user_id, id, 'x' from share where user_id = 'limited'"} {
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(sharesOf(t, s))), []string{"has-tree", "limited", "new", "weighs"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	for _, user := range []string{"gone", "weighs"} {
		sub := usersTree(user, 1)
		if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub); err != nil {
			t.Fatal(err)
		}
	}
	var fresh int
	err := s.pool.QueryRow(t.Context(), `select count(*) from tree join share on share.id = tree.share and share.user_id = tree.user_id
		where share.user_id in ('gone', 'weighs') and share.named_at > now() - interval '1 hour'`).Scan(&fresh)
	if err != nil || fresh != 2 {
		t.Errorf("%d trees name a share that is named anew, %v; want 2", fresh, err)
	}
}
