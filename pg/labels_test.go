package pg

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// labelled is a tree of one task that has labels.
func labelled(id string, labels map[string]string) Submission {
	return treeOf(&dag.Task{ID: id, Name: id, Executor: "e", Labels: labels})
}

// Trees are found by labels as by looking at each of them, in pages and in few steps at a time.
func TestLabelledTreesAreThoseThatALookAtAllFinds(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var keys []dag.TreeKey
	all := map[dag.TreeKey]map[string]string{}
	for i := range 200 {
		labels := map[string]string{}
		for _, key := range []string{"a", "b", "c"} {
			if rnd.IntN(3) > 0 {
				labels[key] = fmt.Sprint("v", rnd.IntN(3))
			}
		}
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, labelled(fmt.Sprint("t", i), labels))
		if err != nil {
			t.Fatal(err)
		}
		all[out.Tree] = labels
		keys = append(keys, out.Tree)
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	for range 100 {
		filter := map[string]string{}
		for _, key := range []string{"a", "b", "c", "d"}[:1+rnd.IntN(4)] {
			filter[key] = []string{"", "v0", "v1", "nope"}[rnd.IntN(4)]
		}
		var want, got []dag.TreeKey
		for _, k := range keys {
			fits := true
			for key, value := range filter {
				have, ok := all[k][key]
				fits = fits && ok && (value == "" || have == value)
			}
			if fits {
				want = append(want, k)
			}
		}
		limit, steps := 1+rnd.IntN(20), 1+rnd.IntN(20)
		for below := dag.TreeKey(0); ; {
			list, at, err := s.LabelledTrees(t.Context(), dag.DefaultNamespaceKey, below, filter, limit, steps)
			if err != nil {
				t.Fatal(err)
			}
			for _, tree := range list {
				got = append(got, tree.Key)
				if !maps.Equal(tree.Labels, all[tree.Key]) {
					t.Fatalf("tree %d shows %v, want %v", tree.Key, tree.Labels, all[tree.Key])
				}
			}
			if below = at; at == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("labels %v, %d trees and %d steps at a time: got %v, want %v", filter, limit, steps, got, want)
		}
	}
}

// Labels are replaced, belong to the identity of a submission, and go with their tree.
func TestLabelsOfATreeChangeAndGo(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	sub := labelled("r", map[string]string{"a": "1", "b": "2"})
	sub.IdempotencyKey = "k"
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	sub.Tasks = labelled("r", map[string]string{"a": "1", "b": "3"}).Tasks
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub); !errors.Is(err, ErrDigest) {
		t.Errorf("the same tree with another label: got %v, want %v", err, ErrDigest)
	}
	if err := s.SetLabels(t.Context(), out.Tree, map[string]string{"c": "3"}); err != nil {
		t.Fatal(err)
	}
	if root, err := s.Task(t.Context(), dag.DefaultNamespaceKey, "r"); err != nil || fmt.Sprint(root.Labels) != "map[c:3]" {
		t.Errorf("got %v, %v, want map[c:3]", root.Labels, err)
	}
	if err := s.SetLabels(t.Context(), out.Tree+1, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("labels of a tree that is not there: got %v, want %v", err, ErrNotFound)
	}
	if _, _, err := s.Cancel(t.Context(), []dag.Key{out.Tree.Key(0)}, "", nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(t.Context(), 0, 10); n != 1 || err != nil {
		t.Fatalf("expired %d trees: %v", n, err)
	}
	var left int
	if err := s.pool.QueryRow(t.Context(), "select count(*) from label").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d labels are left of a tree that was deleted: %v", left, err)
	}
	if _, err := s.pool.Exec(t.Context(), "insert into label select 77, 'a', 'b'"); err != nil { // as an older coordinator leaves them
		t.Fatal(err)
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.pool.QueryRow(t.Context(), "select count(*) from label").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d labels are left of a tree that is not there: %v", left, err)
	}
}
