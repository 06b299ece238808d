package coordinator_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const canaryValue = "canary-7f3a9c"

// echo gives its inputs back, or fails with them; n times, where that is asked for.
type echo struct{}

// Describe implements [executors.Executor].
func (echo) Describe() executors.Description {
	return executors.Description{ID: "echo_executor", Name: "Echo", Type: "core"}
}

// Run implements [executors.Executor].
func (echo) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Fail string
		N    int
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	if in.Fail != "" {
		return nil, errors.New(in.Fail)
	}
	out, err := json.Marshal(map[string]string{"echo": string(call.Inputs) + strings.Repeat(canaryValue, in.N)})
	return executors.Completed(json.RawMessage(out)), err
}

// awaitSealing waits until a cluster seals values.
func awaitSealing(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	conn := connected(t, c.URL)
	c.Eventually("values are sealed", func() error {
		var on bool
		if err := conn.QueryRow(t.Context(), "select sealing = 1 from cluster").Scan(&on); err != nil || !on {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
}

// sealedCluster is one that seals values.
func sealedCluster(t *testing.T, pools ...string) *cluster.Cluster {
	t.Helper()
	c := cluster.Start(t, cluster.Options{
		Coordinators: 2, Pools: append(pools, "echo_executor"),
		Coordinator: func(c *config.Coordinator) { c.SealKey, c.SealValues = testSeal, true },
		Executors:   func() []executors.Executor { return []executors.Executor{echo{}} },
	})
	awaitSealing(t, c)
	c.Eventually("all coordinators seal", func() error {
		for _, p := range c.Coordinators {
			if _, _, err := p.P.Store.Sealing(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

func connected(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// tablesWith are the tables whose rows have the text, as a dump would show them.
func tablesWith(t *testing.T, conn *pgx.Conn, text string) (tables []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select relname::text from pg_class where relkind in ('r', 'p') and relnamespace = to_regnamespace(current_schema())")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(all) < 20 {
		t.Fatalf("%d tables: %v", len(all), err)
	}
	for _, table := range all {
		var has bool
		q := "select exists (select from " + pgx.Identifier{table}.Sanitize() + " t where t::text like $1 or t::text like $2)"
		if err := conn.QueryRow(t.Context(), q, "%"+text+"%", "%"+hex.EncodeToString([]byte(text))+"%").Scan(&has); err != nil {
			t.Fatal(err)
		}
		if has {
			tables = append(tables, table)
		}
	}
	return tables
}

// TestValuesAreSealedAtRest: on no path does a value come into Postgres as it is, and on each read it comes out as it was.
func TestValuesAreSealedAtRest(t *testing.T) {
	t.Parallel()
	c := sealedCluster(t)
	conn := connected(t, c.URL)
	value := func(more string) json.RawMessage { return json.RawMessage(`{"v":"` + canaryValue + `"` + more + `}`) }
	task := func(id string, more string, deps ...string) *dag.Task {
		out := &dag.Task{ID: id, Name: id, Executor: "echo_executor", Inputs: value(more), Custom: json.RawMessage(`{"note":"` + canaryValue + `"}`), ParentRef: "root"}
		for _, d := range deps {
			out.Dependencies = append(out.Dependencies, dag.Dependency{Ref: d})
		}
		return out
	}
	root := task("root", "", "large", "second")
	root.ParentRef = ""
	failing := task("failing", `,"fail":"it failed: `+canaryValue+`"`)
	failing.Retry.MaxAttempts = 2
	opts := coordinator.SubmitOptions{IdempotencyKey: "once"}
	tasks := []*dag.Task{root, task("first", ""), task("second", "", "first"), task("large", `,"n":100000`), failing}
	out := c.Submit(opts, tasks...)
	c.Settled(out.TreeID)
	if again := c.Submit(opts, tasks...); !again.Replayed {
		t.Error("the same tree is another one to its idempotency key")
	}

	got := c.Tasks(out.TreeID)
	for id, want := range map[string]string{"first": canaryValue, "second": canaryValue, "large": strings.Repeat(canaryValue, 100000)} {
		task := got[id]
		if task == nil || task.State != dag.Completed || !strings.Contains(string(task.Result), want) || !strings.Contains(string(task.Inputs), canaryValue) {
			t.Errorf("%s comes back otherwise: %v, inputs %.80s, %d bytes of result: %.80s", id, task.State, task.Inputs, len(task.Result), task.Result)
		}
	}
	if e := got["failing"].Error; !strings.Contains(e, canaryValue) {
		t.Errorf("the error comes back as %v", e)
	}
	if attempts, err := c.Service().Attempts(t.Context(), "failing"); err != nil || len(attempts) != 2 || !strings.Contains(attempts[0].Error, canaryValue) {
		t.Errorf("attempts: %+v, %v", attempts, err)
	}
	copied, err := c.Service().Copy(t.Context(), out.TreeID, coordinator.CopyOptions{Mode: coordinator.CopyFull, ResetFields: []string{"result"}})
	if err != nil {
		t.Fatal(err)
	}
	for id, task := range c.Tasks(copied.TreeID) {
		if !strings.Contains(string(task.Inputs), canaryValue) {
			t.Errorf("the copy of %s has the inputs %s", id, task.Inputs)
		}
	}
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 {
		t.Errorf("it is in %v", tables)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from payload where sealed is not null").Scan(&n); err != nil || n < 5 {
		t.Errorf("%d payloads are sealed, %v", n, err)
	}
}

// TestNoKeyNoStart: a coordinator that can't open what is sealed does not start, and says which setting is to blame.
func TestNoKeyNoStart(t *testing.T) {
	t.Parallel()
	key := testSeal
	c := cluster.Start(t, cluster.Options{Workers: -1, Coordinator: func(c *config.Coordinator) { c.SealKey, c.SealValues = config.Secret(key), key != "" }})
	conn := connected(t, c.URL)
	c.Eventually("values are sealed", func() error {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from cluster where sealing = 1").Scan(&n); err != nil || n == 0 {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	c.Submit(coordinator.SubmitOptions{Hold: true}, &dag.Task{ID: "a", Name: "a", Executor: "e", Inputs: json.RawMessage(`{"a":1}`)})
	for fact, wrong := range map[string]string{"another key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "no key": ""} {
		key = wrong
		if _, err := c.TryCoordinator(node.Options{Resting: true}); err == nil || !strings.Contains(err.Error(), "TASKGROVE_SEAL_KEY") {
			t.Errorf("%s: got %v", fact, err)
		}
	}
}
