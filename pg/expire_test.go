package pg

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ofTrees are the tables with rows that belong to trees, and a statement each that adds some to the tree $1.
var ofTrees = map[string]string{
	"tree": "", "task": "", "spec": "", "payload": "", "edge": "", "submission": "", // by the submission
	"cache":            "insert into cache values (0, '', '\\x00', $1::bigint << 24, 7, now(), now() + interval '1 day')",
	"caching":          "insert into caching values ($1::bigint << 24, '\\x00', 1)",
	"cached":           "insert into cached values ($1::bigint << 24, 7, 'a', 'b')",
	"unique_key":       "insert into unique_key values (0, '', 'k', $1)",
	"label":            "insert into label values ($1, 'team', 'a')",
	"attempt":          "insert into attempt (task, number, outcome, counted, finished_at) values ($1::bigint << 24, 7, 1, true, now())",
	"event":            `insert into event (tree, last, body) values ($1, 9, '\x00')`,
	"timer":            "insert into timer values (now() + interval '1 day', $1::bigint << 24, 7, 1)",
	"chunk":            "insert into chunk (task, attempt, index, count, data) values ($1::bigint << 24, 7, 0, 1, '{}')",
	"keeping":          "with t as (update tree set keeping = 1 where key = $1) insert into keeping (tree, namespace, retention_s, look_at) values ($1, 0, 60, now())",
	"model_usage":      "insert into model_usage values ($1::bigint << 24, 7, 'm', 'USD', 'u', now(), 1, 1, 1, 1, 1, 0)",
	"await":            "insert into await (task, attempt, kind, resume) values ($1::bigint << 24, 7, 1, false)",
	"subtree":          "insert into subtree (task, attempt, tree, root_id, waits) values ($1::bigint << 24, 7, 9, 'r', false)",
	"signal":           "insert into signal (task, name, kept) values ($1::bigint << 24, 'go', true)",
	"expansion":        "insert into expansion (task, attempt, first, n, per_item, parts, collect, alone) values ($1::bigint << 24, 7, 1, 1, 0, 1, 0, true)",
	"expansion_part":   `insert into expansion_part (task, part, n, body) values ($1::bigint << 24, 0, 1, '\x00')`,
	"checkpoint":       "insert into checkpoint (task, attempt, number) values ($1::bigint << 24, 7, 1)",
	"artifact":         `insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, data) values ($1::bigint << 24, 7, 1, 0, 0, 'u', 1, 'f', '', '\x00', '\x00')`,
	"flow_run":         "insert into flow_run (namespace, flow_id, run_id, revision, text, tree, root_id, created_by) values (0, 'f', 'r', 1, 1, $1, 'x', 'a')",
	"copied":           "insert into copied values ($1::bigint << 24)",
	"sent_payload":     "insert into sent_payload (key, attempt) values ($1::bigint << 24, 7)",
	"agent_task":       `insert into agent_task (id, context, tree, task_id, history) values ('a', 'c', $1, 't', '\x00')`,
	"webhook":          "insert into webhook (id, tree, name, events, config, host) values ('w', $1, 'w', 0, '{}', 'h')",
	"pause":            "with t as (update tree set paused_at = now() where key = $1) insert into pause (scope, tree, set_by) values (3, $1, 'ops')",
	"parked":           "insert into parked (tree, pool, priority, first, n, attempt) values ($1, 1, 2, 1, 1, 1)",
	"webhook_cursor":   "insert into webhook_cursor (tree, webhook, sequence, host) values ($1, (select key from webhook where tree = $1), 0, 'h')",
	"webhook_end":      "insert into webhook_end values ($1, 1, 1, 1)",
	"webhook_delivery": "insert into webhook_delivery (webhook, tree, sequence, event, outcome, attempts, status, latency_us) values ((select key from webhook where tree = $1), $1, 1, 'final', 1, 1, 200, 1)",
}

// beside are the other tables: what they hold belongs to the cluster, or to tasks that have not ended.
var beside = []string{"cluster", "migration", "pool", "executor", "description", "worker", "coordinator", "write_check", "ready", "published", "followup",
	"namespace", "token_secret", "role_bindings", "role_binding", "api_key", "audit_record", "data_key", "model_key", "pool_rule", "seal_walk", "epoch", "content", "waiter", "hold", "limit_rule", "rate", "share", "schedule", "fire", "backfill", "erasure", "erased_tree", "flow", "flow_text", "flow_profile", "bundle", "bundle_blob", "bundle_file"}

// TestNothingIsLeftOfTrees counts the rows of every table when all trees are gone, by retention or by hand. Who adds a table says whose rows it has.
func TestNothingIsLeftOfTrees(t *testing.T) {
	t.Parallel()
	for way, remove := range map[string]func(*testing.T, *Store, *Submitted){
		"retention": func(t *testing.T, s *Store, _ *Submitted) {
			if n, err := s.ExpireKept(t.Context(), time.Minute, 10); n != 1 || err != nil {
				t.Fatalf("expired %d trees: %v", n, err)
			}
		},
		"an erasure": func(t *testing.T, s *Store, out *Submitted) {
			e, err := s.StartErasure(t.Context(), dag.DefaultNamespaceKey, "u", false, "")
			if err != nil {
				t.Fatal(err)
			}
			if done, err := s.EraseTree(t.Context(), e, out.Tree); !done || err != nil {
				t.Fatalf("erased %t: %v", done, err)
			}
			if e, err = s.Erasure(t.Context(), dag.DefaultNamespaceKey, e.ID); err != nil || e.Counts["trees"] != 1 || e.Counts["tasks"] != 3 || e.Counts["artifacts"] != 1 || e.Counts["checkpoints"] != 1 || e.Counts["deliveries"] != 1 {
				t.Errorf("counted %v, %v", e.Counts, err)
			}
		},
		"a deletion": func(t *testing.T, s *Store, out *Submitted) {
			if _, _, err := s.Delete(t.Context(), out.Tree.Key(0), DeleteOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		},
		"an older coordinator": func(t *testing.T, s *Store, out *Submitted) { // it does not know of what came after it
			first, end := out.Tree.Range()
			b := &pgx.Batch{}
			for _, name := range []string{"DeleteAttempts", "DeleteEdges", "DeletePayloads", "DeleteSpecs", "DeleteTasks", "DeleteTimers", "DeleteTaskChunks"} {
				b.Queue(sql(name), first, end)
			}
			for _, name := range []string{"DeleteEvents", "DeleteSubmissions", "DeleteTree"} {
				b.Queue(sql(name), out.Tree)
			}
			if err := s.pool.Send(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := s.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, _ := openStore(t)
			out := treeWithEverything(t, s)
			for _, table := range slices.Sorted(maps.Keys(ofTrees)) {
				if countRows(t, s, table) == 0 {
					t.Errorf("%s has no row of the tree", table)
				}
			}
			remove(t, s, out)
			for _, table := range tables(t, s) {
				if n := countRows(t, s, table); n > 0 && !slices.Contains(beside, table) {
					t.Errorf("%d rows of %s are left", n, table)
				}
			}
		})
	}
}

// treeWithEverything stores a tree that has ended, with rows in all tables of [ofTrees].
func treeWithEverything(t *testing.T, s *Store) *Submitted {
	t.Helper()
	sub := copiedChain("c", 2)
	sub.IdempotencyKey = "key"
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CancelTree(t.Context(), out.Tree, "stop"); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if _, more, err = s.Followups(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(ofTrees)) { // webhooks come before what refers to them
		statement := ofTrees[table]
		if statement == "" {
			continue
		}
		if _, err := s.pool.Exec(t.Context(), statement, out.Tree); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), "update tree set finished_at = now() - interval '1 hour' where key = $1", out.Tree); err != nil {
		t.Fatal(err)
	}
	return out
}

// tables are all that there are.
func tables(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "select table_name::text from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, known := ofTrees[name]; !known && !slices.Contains(beside, name) {
			t.Errorf("%s is a table of which this test does not know whose rows it has", name)
		}
	}
	return names
}

func countRows(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
	return n
}
