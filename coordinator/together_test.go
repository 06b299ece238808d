package coordinator_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func tasksOf(tasks ...*dag.Task) iter.Seq2[*dag.Task, error] { return cluster.Seq(tasks) }

// TestTreesTogether: several trees are stored all or not at all, whatever is wrong with one of them, and each is answered as if it had come alone.
func TestTreesTogether(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Workers: 1})
	submit := func(opts coordinator.SubmitOptions, first *dag.Task, more ...coordinator.NewTree) (*coordinator.Submitted, error) {
		opts.More = more
		return c.Service().Submit(t.Context(), opts, tasksOf(first))
	}
	tree := func(key string, tasks ...*dag.Task) coordinator.NewTree {
		return coordinator.NewTree{IdempotencyKey: key, Tasks: tasksOf(tasks...)}
	}
	absent := func(id string) {
		t.Helper()
		if _, err := c.Service().Task(t.Context(), id); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("%s is stored: %v", id, err)
		}
	}

	out, err := submit(coordinator.SubmitOptions{UserID: "u"}, noop("a", ""), tree("", noop("b", "", "b1"), noop("b1", "b")), coordinator.NewTree{Timeout: time.Hour, Tasks: tasksOf(noop("a", ""))})
	if err != nil || out.TreeID != "a" || len(out.More) != 2 || out.More[0].TreeID != "b" || out.More[0].Tasks != 2 {
		t.Fatalf("got %+v, %v", out, err)
	}
	if id := out.More[1].TreeID; id == "a" || out.More[1].IDMap["a"] != id {
		t.Errorf("an id of two trees: got %+v", out.More[1])
	}
	for _, one := range append([]*coordinator.Submitted{out}, out.More...) {
		if st := c.Settled(one.TreeID); st.Status != dag.StatusCompleted || st.UserID != "u" {
			t.Errorf("got %+v", st)
		}
	}

	// What is wrong with any of them, all are told, and none is stored.
	far := noop("far", "")
	far.Priority = 9
	_, err = submit(coordinator.SubmitOptions{}, noop("c", ""), tree("", far), tree("", noop("d", "")), tree("", noop("e", "", "zzz")))
	bad, ok := errors.AsType[*coordinator.TreesError](err)
	if !ok || len(bad.Faults) != 2 || bad.Faults[0].Tree != 1 || bad.Faults[1].Tree != 3 {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, p := range bad.Problems(nil).Problems {
		fields = append(fields, p.Field)
		if !strings.HasPrefix(p.Reason, p.Field[:8]) {
			t.Errorf("got %q for %s", p.Reason, p.Field)
		}
	}
	if !slices.Equal(fields, []string{"trees[1].tasks[0].priority", "trees[3].tasks[0].dependencies"}) {
		t.Errorf("got %q", fields)
	}
	for _, id := range []string{"c", "d", "e", "far"} {
		absent(id)
	}

	// A key stands for one tree. With another tree it is a fault, of that tree alone; nothing is stored.
	keys := func() (*coordinator.Submitted, error) {
		return submit(coordinator.SubmitOptions{IdempotencyKey: "k0"}, noop("f", ""), tree("k1", noop("g", "")), tree("", &dag.Task{Name: "n", Priority: dag.Normal}))
	}
	if out, err = keys(); err != nil || out.Replayed || out.More[0].Replayed {
		t.Fatalf("got %+v, %v", out, err)
	}
	again, err := keys()
	if err != nil || !again.Replayed || !again.More[0].Replayed || again.More[0].TreeID != "g" || again.More[1].Replayed || again.More[1].TreeID == out.More[1].TreeID {
		t.Errorf("got %+v, %v", again, err)
	}
	_, err = submit(coordinator.SubmitOptions{}, noop("h", ""), tree("k1", noop("other", "")))
	if bad, ok := errors.AsType[*coordinator.TreesError](err); !ok || len(bad.Faults) != 1 || bad.Faults[0].Tree != 1 || !strings.Contains(err.Error(), "was used for a different submission") {
		t.Errorf("got %v", err)
	}
	absent("h")
	absent("other")

	// A unique key that another tree has refuses all, or answers for its own.
	unique := func(id, key string, back bool) coordinator.NewTree {
		one := noop(id, "")
		one.Unique = &dag.Unique{Key: key, Return: back}
		return tree("", one)
	}
	held := coordinator.SubmitOptions{Hold: true}
	if out, err = submit(held, noop("p", ""), unique("q", "night", false)); err != nil || out.More[0].TreeID != "q" {
		t.Fatalf("got %+v, %v", out, err)
	}
	if _, err = submit(held, noop("r", ""), unique("s", "day", false), unique("t", "night", false)); err == nil || !strings.Contains(err.Error(), "night") {
		t.Errorf("got %v", err)
	}
	absent("r")
	absent("s")
	if out, err = submit(held, noop("r", ""), unique("s", "day", false), unique("t", "night", true)); err != nil || !out.More[1].Existing || out.More[1].TreeID != "q" || out.More[0].Existing {
		t.Errorf("got %+v, %v", out, err)
	}
	absent("t")
	if _, err = submit(held, noop("v", ""), unique("w", "noon", false), unique("x", "noon", false)); err == nil || !strings.Contains(err.Error(), "trees[2]: ") || !strings.Contains(err.Error(), "another tree of this submission") {
		t.Errorf("got %v", err)
	}
	absent("v")

	// Bounds.
	many := make([]coordinator.NewTree, coordinator.MaxTogether)
	for i := range many {
		many[i] = tree("", noop(fmt.Sprintf("many%d", i), ""))
	}
	large := []*dag.Task{noop("large", "")}
	for i := range 10_000 {
		large = append(large, noop(fmt.Sprintf("l%d", i), "large"))
	}
	for name, try := range map[string]func() error{
		"is of one tree": func() error {
			_, err := submit(coordinator.SubmitOptions{Webhook: &coordinator.Webhook{URL: "https://example.org"}}, noop("h", ""), tree("", noop("i", "")))
			return err
		},
		"is of one tree: submit": func() error {
			_, err := submit(coordinator.SubmitOptions{Unique: &dag.Unique{Key: "k"}}, noop("h", ""), tree("", noop("i", "")))
			return err
		},
		"at most 100": func() error { _, err := submit(coordinator.SubmitOptions{}, noop("h", ""), many...); return err },
		"at most 10000 tasks": func() error {
			_, err := submit(coordinator.SubmitOptions{}, noop("h", ""), tree("", large...))
			return err
		},
		"is that of another tree": func() error {
			_, err := submit(coordinator.SubmitOptions{IdempotencyKey: "k"}, noop("h", ""), tree("k", noop("i", "")))
			return err
		},
		"must be at least": func() error {
			_, err := submit(coordinator.SubmitOptions{}, noop("h", ""), coordinator.NewTree{Timeout: 1, Tasks: tasksOf(noop("i", ""))})
			return err
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
		absent("h")
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// TestTreesTogetherBesideOthers: submissions that take the same ids and keys at the same time wait for one another, and each is stored as a whole.
func TestTreesTogetherBesideOthers(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2})
	const n = 8
	answers := make(chan *coordinator.Submitted, n)
	for i := range n {
		go func() {
			out, err := c.Coordinators[i%2].P.Submit(t.Context(), coordinator.SubmitOptions{Hold: true, IdempotencyKey: "first", More: []coordinator.NewTree{
				{IdempotencyKey: "second", Tasks: tasksOf(noop("y", ""))}, {Tasks: tasksOf(noop("x", ""))},
			}}, tasksOf(noop("x", "")))
			if err != nil {
				t.Error(err)
			}
			answers <- out
		}()
	}
	fresh, third := 0, map[string]bool{}
	for range n {
		out := <-answers
		if out == nil {
			continue
		}
		if !out.Replayed {
			fresh++
		}
		if out.Replayed != out.More[0].Replayed || out.More[0].TreeID != "y" || third[out.More[1].TreeID] {
			t.Errorf("got %+v", out)
		}
		third[out.More[1].TreeID] = true
	}
	if fresh != 1 || len(third) != n {
		t.Errorf("the first tree was stored %d times, and there are %d of the third", fresh, len(third))
	}
}
