package node_test

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// documented are the statements of a section of docs/reliability.md, by block.
func documented(t *testing.T, section string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	for {
		_, block, found := strings.Cut(rest, "```sql\n")
		if !found {
			return blocks
		}
		block, rest, _ = strings.Cut(block, "```")
		blocks = append(blocks, block)
	}
}

// run runs statements one by one, as databases can't be made in a transaction.
func run(t *testing.T, url, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // every statement has its answer
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// tables are those of a migrated database, without the one that is only read.
func tables(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it only looked
	rows, err := conn.Query(t.Context(), "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname <> 'migration' order by 1")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestCoordinatorsNeedNoMoreThanTheRightsDocumented runs the statements of the docs, lets the owner migrate, and runs a tree with a
// coordinator that has the other role. Before, each thing that is missing is named.
func TestCoordinatorsNeedNoMoreThanTheRightsDocumented(t *testing.T) {
	super := pgtest.Own(t).URL()
	blocks := documented(t, "Rights in Postgres")
	if len(blocks) != 2 {
		t.Fatalf("the docs have %d blocks of statements, want 2", len(blocks))
	}
	run(t, super, blocks[0])
	run(t, super, "alter role taskgrove_owner password 'secret'; alter role taskgrove password 'secret'")
	as := func(role string) string {
		u, err := url.Parse(super)
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = url.UserPassword(role, "secret"), "/taskgrove"
		return u.String()
	}
	start := func(role string) error {
		cfg := config.Defaults[*config.Coordinator]()
		cfg.PostgresURL.Secret = config.Secret(as(role))
		cfg.NATSURL.Secret = "nats://127.0.0.1:1"
		p := node.NewProcess(slog.New(slog.DiscardHandler))
		defer p.Stop() //nolint:errcheck // it did not start
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := p.StartCoordinator(ctx, cfg, node.Options{Resting: true})
		return err
	}
	refused := func(fact string, wants ...string) {
		t.Helper()
		err := start("taskgrove")
		if err == nil {
			t.Errorf("%s: it starts", fact)
			return
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want a word of %q", fact, err, want)
			}
		}
	}
	refused("nothing is migrated", `"taskgrove"`, "lacks migrations", "owner")
	if err := pg.Migrate(t.Context(), as("taskgrove_owner")); err != nil {
		t.Fatal(err)
	}
	refused("nothing is granted", `"taskgrove"`, "grant select on table migration", "grant usage on sequence fence, ready_id_seq, tree_key, waiter_id",
		"grant select, insert, update, delete on table "+strings.Join(tables(t, as("taskgrove_owner")), ", "))
	run(t, as("taskgrove_owner"), blocks[1])
	run(t, as("taskgrove_owner"), "revoke delete, insert on event, timer from taskgrove")
	refused("some rights are missing", `"taskgrove" lacks rights`, ": grant insert, delete on table event, timer")
	run(t, as("taskgrove_owner"), blocks[1])

	c := cluster.Start(t, cluster.Options{Coordinator: func(cfg *config.Coordinator) { cfg.PostgresURL.Secret = config.Secret(as("taskgrove")) }})
	tree := []*dag.Task{{ID: "root", Name: "root", Executor: noop.ID}, {ID: "child", Name: "child", ParentRef: "root", Executor: noop.ID,
		Dependencies: []dag.Dependency{{Ref: "root"}}}}
	c.Submit(coordinator.SubmitOptions{}, tree...)
	if st := c.Settled("root"); st.Completed != 2 {
		t.Errorf("got %+v, want 2 completed", *st)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
	store := c.Coordinators[0].P.Store
	if err := store.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := store.Expire(t.Context(), 1, 10); err != nil {
		t.Error(err)
	}
}
