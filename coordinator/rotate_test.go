package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestTokensRotateUnderLoad: the secret of tokens changes several times, by either coordinator, while trees run, and one attempt runs through all of
// it. No result is lost: every task completes in its first attempt.
func TestTokensRotateUnderLoad(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]func(*config.Coordinator){"plain": nil, "sealed": sealing()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rotateUnderLoad(t, settings)
		})
	}
}

func rotateUnderLoad(t *testing.T, settings func(*config.Coordinator)) {
	running, release := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: settings, Executors: func() []executors.Executor {
		return []executors.Executor{executors.Func("long_executor", func(ctx context.Context, _ map[string]any) (map[string]any, error) {
			close(running)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return map[string]any{"said": "done"}, context.Cause(ctx)
		})}
	}})
	long := noop("long", "")
	long.Executor = "long_executor"
	c.Submit(coordinator.SubmitOptions{}, long)
	<-running
	ids := []string{"long"}
	for round := range 3 {
		for i := range 20 {
			root := fmt.Sprintf("r%d-%d", round, i)
			c.Submit(coordinator.SubmitOptions{}, noop(root, "", root+"-b"), noop(root+"-a", root), noop(root+"-b", root, root+"-a"))
			ids = append(ids, root)
		}
		by := c.Coordinators[round%2].P
		if _, err := by.RotateTokens(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.AddCoordinator() // it knows all generations
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	c.Coordinators = c.Coordinators[1:]
	free()
	for _, id := range ids {
		if st := c.Settled(id); st.Status != dag.StatusCompleted || st.Completed != st.Tasks {
			t.Errorf("%s: %+v", id, *st)
		}
		for _, task := range c.Tasks(id) {
			if task.Attempt != 1 {
				t.Errorf("%s took %d attempts", task.ID, task.Attempt)
			}
		}
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// TestSecretsAreNotInTheClear: with a master key the secret of tokens lies sealed, from the first message on, and who has another key, or none,
// does not start.
func TestSecretsAreNotInTheClear(t *testing.T) {
	t.Parallel()
	settings := sealing()
	key := settings
	c := cluster.Start(t, cluster.Options{Coordinator: func(cfg *config.Coordinator) { key(cfg) }})
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var all []bool
	rows, err := conn.Query(t.Context(), "select sealed from token_secret order by number")
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowTo[bool])
	}
	if err != nil || !slices.Equal(all, []bool{false, true}) {
		t.Errorf("the generations are sealed: %v, %v", all, err)
	}
	for name, other := range map[string]func(*config.Coordinator){"another key": sealing(), "no key": func(*config.Coordinator) {}} {
		key = other
		if _, err := c.TryCoordinator(node.Options{}); !errors.Is(err, sealed.ErrNoKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestSealingWaitsForOlderProcesses: while a worker lives that could read nothing, trees are refused that would be sealed, and it is named.
func TestSealingWaitsForOlderProcesses(t *testing.T) {
	t.Parallel()
	var settings func(*config.Coordinator)
	c := cluster.Start(t, cluster.Options{Coordinator: func(cfg *config.Coordinator) {
		if settings != nil {
			settings(cfg)
		}
	}})
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	// A row without a process: a real worker's beats would say again which level it has.
	exec(`insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts, level)
		values ('older', 'older', '', '', '{}', 1, 1, now() + interval '1 hour', '{}', $1)`, dag.AccessLevel-1)
	settings = sealing()
	seals := c.AddCoordinator()
	submit := func(id string) error {
		_, err := seals.P.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop(id, "")}))
		return err
	}
	err = submit("early")
	if _, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(err.Error(), `worker "older"`) {
		t.Fatalf("got %v, want a refusal that names the worker", err)
	}
	if _, err := seals.P.RotateTokens(t.Context()); err == nil {
		t.Error("the secret of tokens has changed while a worker lives that does not know generations")
	}
	exec("update worker set lease_until = now() where id = 'older'")
	if err := submit("later"); err != nil {
		t.Error(err)
	}
}

// TestStoredKeysOutliveCoordinators: with a master key, keys that users have stored lie sealed in Postgres. They are there after all coordinators
// have ended, a deleted one is not, and a rotation seals them anew.
func TestStoredKeysOutliveCoordinators(t *testing.T) {
	t.Parallel()
	worker, last, _ := modelService(t)
	master := sealed.NewKey()
	c := cluster.Start(t, cluster.Options{Worker: worker, Coordinator: func(cfg *config.Coordinator) { cfg.SealKey = config.Secret(master) }})
	first := c.Coordinators[0].P
	for provider, key := range map[string]string{"openai": "CANARY-key", "groq": "of-groq"} {
		if err := first.SetModelKey(t.Context(), "amy", coordinator.ModelKeyOf{Provider: provider, Key: keyOf(t, key)}); err != nil {
			t.Fatal(err)
		}
	}
	if deleted, err := first.DeleteModelKey(t.Context(), "amy", "groq"); err != nil || !deleted {
		t.Fatalf("deleted: %v, %v", deleted, err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	stored := func() (n int, envelope []byte) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "select count(*) over (), sealed from model_key").Scan(&n, &envelope); err != nil {
			t.Fatal(err)
		}
		return n, envelope
	}
	n, before := stored()
	if n != 1 || bytes.Contains(before, []byte("CANARY")) {
		t.Errorf("%d keys are stored: %q", n, before)
	}
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	c.Coordinators = nil
	second := c.AddCoordinator().P
	if got, err := second.ModelKeys(t.Context(), "amy"); err != nil || !slices.Equal(got, []string{"openai"}) {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	run := func(id, want string) {
		t.Helper()
		task := &dag.Task{ID: id, Name: id, Executor: "llm_executor", Priority: dag.Normal, Schemas: json.RawMessage(`{"method":"llm_executor"}`), Inputs: json.RawMessage(asksModel)}
		c.Submit(coordinator.SubmitOptions{UserID: "amy"}, task)
		if got := c.Settled(id); got.Status != dag.StatusCompleted || last() != want {
			t.Errorf("%s: %s with the key %q, want %q", id, got.Status, last(), want)
		}
	}
	run("restarted", "CANARY-key")
	if err := second.SetModelKey(t.Context(), "amy", coordinator.ModelKeyOf{Provider: "openai", Key: keyOf(t, "newer")}); err != nil {
		t.Fatal(err)
	}
	_, before = stored()
	box, err := sealed.New(master)
	if err == nil {
		_, err = sealed.NewKeyring(box, second.Store.DataKeys()).Rotate(t.Context(), sealed.Cluster)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("the key is under the new data key", func() error {
		if _, now := stored(); bytes.Equal(before[:5], now[:5]) {
			return errors.New("it is under the old one")
		}
		return nil
	})
	run("rotated", "newer")
}
