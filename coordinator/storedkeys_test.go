package coordinator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestStoredKeysAreUsed for the trees of their owner alone, by whichever coordinator they were stored and the tree came; a key that comes with the
// request goes before.
func TestStoredKeysAreUsed(t *testing.T) {
	t.Parallel()
	worker, last, _ := modelService(t)
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Worker: worker})
	one, two := c.Coordinators[0].P, c.Coordinators[1].P
	set := func(user, provider, key string) {
		t.Helper()
		if err := one.SetModelKey(t.Context(), user, coordinator.ModelKeyOf{Provider: provider, Key: keyOf(t, key)}); err != nil {
			t.Fatal(err)
		}
	}
	known := func(of coordinator.KeyKeeper, user string, want ...string) {
		t.Helper()
		c.Eventually(fmt.Sprintf("%s has keys of %q", user, want), func() error {
			if got, err := of.ModelKeys(t.Context(), user); err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("got %q, %w", got, errors.Join(err))
			}
			return nil
		})
	}
	set("amy", "openai", "of-amy")
	set("amy", "groq", "of-amy-for-groq")
	set("cat", "", "of-cat")
	known(two, "amy", "groq", "openai")
	n := 0
	run := func(on coordinator.Service, opts coordinator.SubmitOptions, want string) string {
		t.Helper()
		n++
		id := fmt.Sprint("t", n)
		task := &dag.Task{ID: id, Name: id, Executor: "llm_executor", Priority: dag.Normal, Schemas: json.RawMessage(`{"method":"llm_executor"}`), Inputs: json.RawMessage(asksModel)}
		if _, err := on.Submit(t.Context(), opts, func(yield func(*dag.Task, error) bool) { yield(task, nil) }); err != nil {
			t.Fatal(err)
		}
		if got := c.Settled(id); got.Status != dag.StatusCompleted {
			t.Fatalf("%s: %s", id, result(c, id))
		}
		if got := last(); got != want {
			t.Errorf("a tree of %q: the service got the key %q, want %q", opts.UserID, got, want)
		}
		return id
	}
	id := run(two, coordinator.SubmitOptions{UserID: "amy"}, "of-amy")
	run(one, coordinator.SubmitOptions{UserID: "cat"}, "of-cat")
	run(two, coordinator.SubmitOptions{UserID: "bob"}, "own-key")
	run(two, coordinator.SubmitOptions{}, "own-key")
	run(two, coordinator.SubmitOptions{UserID: "amy", ModelKey: keyOf(t, "came")}, "came")
	run(two, coordinator.SubmitOptions{UserID: "amy", ModelKey: keyOf(t, "anthropic:came")}, "of-amy")

	c.AddCoordinator()
	three := c.Coordinators[2].P
	known(three, "amy", "groq", "openai") // a new one asks the others
	if deleted, err := three.DeleteModelKey(t.Context(), "amy", "openai"); err != nil || !deleted {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	known(two, "amy", "groq")
	if deleted, err := three.DeleteModelKey(t.Context(), "amy", "openai"); err != nil || deleted {
		t.Errorf("deleted again: %v, %v", deleted, err)
	}
	set("amy", "default", "newer")
	known(two, "amy", "default", "groq")
	if _, err := two.Execute(t.Context(), id, coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if got := c.Settled(id); got.Status != dag.StatusCompleted || last() != "newer" {
		t.Errorf("executed again: %s with %q", got.Status, last())
	}
}

// TestStoredKeysAreNoPartOfASubmission: one that is sent again gets its first answer, whatever keys its owner has stored or deleted meanwhile.
func TestStoredKeysAreNoPartOfASubmission(t *testing.T) {
	t.Parallel()
	worker, last, _ := modelService(t)
	c := cluster.Start(t, cluster.Options{Worker: worker})
	keys := c.Coordinators[0].P
	submit := func(key, id string) *coordinator.Submitted {
		t.Helper()
		task := &dag.Task{ID: id, Name: "asks", Executor: "llm_executor", Priority: dag.Normal, Schemas: json.RawMessage(`{"method":"llm_executor"}`), Inputs: json.RawMessage(asksModel)}
		return c.Submit(coordinator.SubmitOptions{UserID: "amy", IdempotencyKey: key}, task)
	}
	before := submit("before", "before")
	if err := keys.SetModelKey(t.Context(), "amy", coordinator.ModelKeyOf{Key: keyOf(t, "of-amy")}); err != nil {
		t.Fatal(err)
	}
	if again := submit("before", "before"); !again.Replayed || again.TreeID != before.TreeID {
		t.Errorf("after a key was stored: got %+v, want %+v", again, before)
	}
	with := submit("with", "with")
	if got := c.Settled("with"); got.Status != dag.StatusCompleted || last() != "of-amy" {
		t.Errorf("got %s with the key %q", got.Status, last())
	}
	if _, err := keys.DeleteModelKey(t.Context(), "amy", ""); err != nil {
		t.Fatal(err)
	}
	if again := submit("with", "with"); !again.Replayed || again.TreeID != with.TreeID {
		t.Errorf("after the key was deleted: got %+v, want %+v", again, with)
	}
}

func TestKeysThatAreNotStored(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	for fact, row := range map[string]struct{ user, provider, key string }{
		"nobody's": {"", "openai", "k"}, "none": {"amy", "openai", ""}, "a provider with a colon": {"amy", "a:b", "k"}, "a provider with a space": {"amy", "a b", "k"},
	} {
		err := c.Service().SetModelKey(t.Context(), row.user, coordinator.ModelKeyOf{Provider: row.provider, Key: keyOf(t, row.key)})
		if _, ok := errors.AsType[*coordinator.InvalidArgumentError](err); !ok {
			t.Errorf("%s: got %v", fact, err)
		}
	}
}
