package pg

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// filling is a store with 300 000 tasks in 300 trees, 20 000 more trees that are only rows, and as much in the tables
// that are usually small as a bad day may bring.
var filling = []string{
	`insert into pool (name) select 'p' || i from generate_series(1, 10) i`,
	`insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
		select 'i' || i, 'w' || i, '', '', '{"p1":10}', 1, 1, now() + interval '1 hour', '{}' from generate_series(1, 20) i`,
	`insert into tree (key, root, root_id, name, execution, sequence, tasks, leaves, held, unfinished, running, completed, started_at, finished_at)
		select i, i << 24, 't' || i || '-0', 'tree', 1, 1000, 1000, 999, 0, case when i > 290 and i <= 300 then 1000 else 0 end,
			case when i > 290 and i <= 300 then 100 else 0 end, case when i > 290 and i <= 300 then 0 else 1000 end, now() - interval '1 day',
			case when i > 290 and i <= 300 then null else now() - interval '1 day' + i * interval '1 second' end
		from (select generate_series(1, 300)::bigint union all select generate_series(1001, 21000)) x(i)`,
	`insert into task (key, state, flags, priority, pool, attempt, remaining, worker, started_at)
		select (t << 24) + i, state, case when t = 300 and i = 5 then 24 when i < 999 and t < 300 then 8 else 0 end + case when i > 0 then 1 else 0 end, 1, 1, 1,
			case when state = 1 and i > 0 then 1 else 0 end, case when state = 4 then 1 end, case when state in (4, 6) then now() end
		from generate_series(1::bigint, 300) x(t), generate_series(0, 999) y(i),
		lateral (select case when t <= 290 then 6 when i < 100 then 4 when i < 200 then 3 else 1 end) s(state)`,
	`insert into spec (key, id, parent, name, executor, deps)
		select (t << 24) + i, 't' || t || '-' || i, case when i = 0 then -1 else 0 end, 'task', 'e',
			case when t = 300 then case when i > 5 then array[6] end when i > 0 then array[i] end
		from generate_series(1::bigint, 300) x(t), generate_series(0, 999) y(i)`,
	`insert into edge select ((key >> 24) << 24) + d - 1, key, true from spec, unnest(deps) d`,
	`insert into payload (key, inputs) select key, '{"url":"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"}' from spec`,
	`insert into attempt (task, number, outcome, counted, worker, started_at, finished_at, result)
		select key, 1, 1, true, 1, now(), now(), '{}' from task where state = 6`,
	`insert into event (tree, last, body) select t, i, '\x01'::bytea from generate_series(1, 299) x(t), generate_series(1, 20) y(i)
		union all select 300, i, '\x01'::bytea from generate_series(1, 20000) y(i)`,
	`insert into published (pool, priority, first, n, attempt, at) select 1, 1, (t << 24) + i, 10, 1, now() - interval '1 minute'
		from generate_series(291::bigint, 300) x(t), generate_series(100, 140, 10) y(i)`,
	`insert into ready (pool, priority, first, n, attempt) select 1, 1, (t << 24) + i, 10, 1
		from generate_series(291::bigint, 300) x(t), generate_series(150, 190, 10) y(i)`,
	`insert into published (pool, priority, first, n, attempt) select 3, 2, (t << 24) + i, 1, 99
		from generate_series(1::bigint, 200) x(t), generate_series(100, 199) y(i)`,
	`insert into share (namespace, user_id) select i % 2, 'u' || i from generate_series(1, 20000) i`,
	`insert into ready (pool, priority, first, n, attempt, share) select case when t > 100 then 3 else 1 end, case when t > 100 then 2 else 1 end, (t << 24) + i, 1, 99,
		case when t > 100 then t else 0 end
		from generate_series(1::bigint, 200) x(t), generate_series(100, 199) y(i)`,
	`insert into timer select now() + i * interval '1 second', (i << 24) / 1000 + i % 1000, 1, 1 from generate_series(1::bigint, 50000) y(i)`,
	`insert into timer select now() - i * interval '1 second', (300::bigint << 24) + i, 1, 3 from generate_series(1, 300) y(i)`,
	`insert into followup select 1, (i << 24) + 1, 0 from generate_series(1::bigint, 2000) y(i)`,
	`insert into label select t, 'team', 't' || t % 3 from generate_series(1::bigint, 20000) x(t)`,
	`insert into label select t, 'rare', 'r' || t from generate_series(100::bigint, 20000, 100) x(t)`,
	`insert into copied select (t << 24) + i from generate_series(1::bigint, 100) x(t), generate_series(0, 999) y(i)`,
	`update spec set original = 't100-7' where key >= 150::bigint << 24 and key < (150::bigint << 24) + 20`,
	`insert into submission select 'key-' || i, i, '\x00'::bytea from generate_series(1, 20000) y(i)`,
	`insert into model_usage select (t << 24) + i, 1, 'm' || m, 'USD', 'u' || t % 50, now() - (200 - t) * interval '1 hour', 1, 1, 1, 1, 1, 0
		from generate_series(1::bigint, 200) x(t), generate_series(0, 999) y(i), generate_series(1, 2) z(m)`,
	`insert into agent_task (id, context, tree, task_id, user_id, history)
		select 'a' || i, 'c' || i % 100, 1 + i % 300, 't' || 1 + i % 300 || '-0', 'u' || i % 50, '\x00' from generate_series(1, 20000) y(i)`,
	`insert into namespace (key, name) values (7, 'seven'), (8, 'eight')`,
	`insert into tree (key, root, root_id, name, namespace, execution, sequence, tasks, leaves, held, unfinished, started_at)
		select i, i << 24, 'n' || i || '-0', 'tree', 7 + i % 2, 1, 1, 50, 50, 0, 50, now() from generate_series(21001::bigint, 21400) x(i)`,
	`insert into task (key, state, flags, priority, pool, attempt, remaining, started_at)
		select (t << 24) + i, 1, 8, 1, 1, 1, 1, null from generate_series(21001::bigint, 21400) x(t), generate_series(0, 49) y(i)`,
	`insert into spec (key, id, parent, name, executor, namespace)
		select (t << 24) + i, 'n' || t || '-' || i, case when i = 0 then -1 else 0 end, 'task', 'e', 7 + t % 2
		from generate_series(21001::bigint, 21400) x(t), generate_series(0, 49) y(i)`,
	`insert into model_usage (task, attempt, model, currency, user_id, at, calls, prompt, completion, cached, cost_nanos, unpriced, namespace)
		select t << 24, 1, 'm1', 'USD', 'u99', now() - interval '100 days', 1, 1, 1, 1, 1, 0, 7 + t % 2 from generate_series(21001::bigint, 21400) x(t)`,
	`insert into agent_task (id, context, tree, task_id, user_id, history, namespace)
		select 'a' || i, 'c' || i % 100, 21000 + i, 't', 'u7', '\x00', 7 + i % 2 from generate_series(1, 400) y(i)`,
	`insert into audit_record select i, now() - interval '2 days' + i * interval '5 seconds', case when i % 2 = 0 then 'ended' else 'begun' end,
		case when i % 2 = 0 then i - 1 end, 'n' || i % 10, 'Cancel', '', '', '', '', '', 'u' || i % 100, '', '', '', '', '', 't' || i % 1000, '', 1, 'c', '{}', '', '\x00', '\x00'
		from generate_series(1::bigint, 30000) x(i)`,
	`insert into chunk (task, attempt, index, count, data) select (t << 24) + i, 1, 0, 1, '{}'::bytea
		from generate_series(1::bigint, 200) x(t), generate_series(0, 19) y(i)`,
	`insert into content (id, state, task, attempt, namespace, user_id, size, block)
		select gen_random_uuid(), 1, (t << 24) + i, 1, 0, 'u' || t % 50, 10, 10 from generate_series(1::bigint, 200) x(t), generate_series(0, 99) y(i)`,
	`insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, content)
		select task, attempt, 1, 1, namespace, user_id, size, 'file', 'text/plain', sha256(key::text::bytea), key from content`,
	`insert into schedule (namespace, id, spec, body, created_by, updated_by, decided_at, next_at)
		select 1, 's' || i, '{}', '{}', 'a', 'a', now(), now() + (i - 50) * interval '1 minute' from generate_series(1, 5000) i`,
	`insert into fire (schedule, kind, instant, state, root_id, tree, started_at, ended_at)
		select s, 1, now() - n * interval '1 hour', case when n = 1 and s <= 50 then 3 when n = 2 and s <= 20 then 2 else 4 end, 'x', s % 290 + 1, now() - n * interval '1 hour', now()
		from generate_series(1, 5000) s, generate_series(1, 20) n order by s, n`,
}

// TestHotStatementsReadWhatTheyAskFor runs every statement on a store that holds much else, and looks at its plan: no
// sequential scan of a table that grows, no walk through an index without a condition (but for what a limit ends), no
// more rows read or sorted than its case allows. Plans are generic, as in production, and made at three times: before
// there was anything (a connection keeps its plans), before the tables were analyzed, and after.
func TestHotStatementsReadWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(statements)) {
		_, has := hot[name]
		if why := unexplained[name]; has == (why != "") {
			t.Errorf("%s: a statement has either a case in hot or a reason in unexplained", name)
		}
	}
	s, url := openStore(t)
	do := func(c *pgx.Conn, statement string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	connect := func() *pgx.Conn {
		c, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Release)
		return c.Conn()
	}
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	do(admin, `create function keys(tree bigint, first integer, n integer) returns bigint[] language sql
		as 'select array_agg((tree << 24) + i) from generate_series(first, first + n - 1) i'`)
	for _, table := range big {
		do(admin, "alter table "+table+" set (autovacuum_enabled = false)")
	}

	old := connect()
	for name := range hot {
		do(old, "prepare "+name+" as "+statements[name])
		do(old, "explain "+hot[name].execute(name))
	}
	for _, statement := range filling {
		do(admin, statement)
	}
	t.Run("planned when the store was empty", func(t *testing.T) { explainAll(t, old) })
	young := connect()
	for name := range hot {
		do(young, "prepare "+name+" as "+statements[name])
	}
	t.Run("planned without statistics", func(t *testing.T) { explainAll(t, young) })
	do(admin, "analyze")
	t.Run("planned with statistics", func(t *testing.T) { explainAll(t, young) })
}

// execute is the statement's EXECUTE.
func (e explained) execute(name string) string {
	if e.args == "" {
		return "execute " + name
	}
	return "execute " + name + "(" + e.args + ")"
}

// explainAll checks the plans of all hot statements, which are prepared on the connection. It changes nothing.
func explainAll(t *testing.T, c *pgx.Conn) {
	for _, name := range slices.Sorted(maps.Keys(hot)) {
		var out []struct{ Plan plan }
		err := func() error {
			tx, err := c.Begin(t.Context())
			if err != nil {
				return err
			}
			defer tx.Rollback(context.WithoutCancel(t.Context()))
			var text []byte
			explain := "explain (analyze, buffers, format json) " + hot[name].execute(name)
			if err := tx.QueryRow(t.Context(), explain, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
				return err
			}
			return json.Unmarshal(text, &out)
		}()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, fault := range out[0].Plan.faults(hot[name], false) {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// plan is one node of what EXPLAIN says.
type plan struct {
	Node     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Cond     string  `json:"Index Cond"`
	Recheck  string  `json:"Recheck Cond"`
	TID      string  `json:"TID Cond"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Rejoined float64 `json:"Rows Removed by Join Filter"`
	Hit      float64 `json:"Shared Hit Blocks"`
	Read     float64 `json:"Shared Read Blocks"`
	Plans    []plan
}

// faults are what is wrong in a plan. limited: a limit above ends it early.
func (p plan) faults(e explained, limited bool) (out []string) {
	most := float64(e.rows)
	if most == 0 {
		most = 2000
	}
	allowed := !slices.Contains(big, p.Relation) || slices.Contains(e.whole, p.Relation)
	read := (p.Rows + p.Filtered) * p.Loops
	what := fmt.Sprintf("%s of %s by %q", p.Node, p.Relation, p.Index)
	switch {
	case allowed:
	case p.Node == "Seq Scan":
		out = append(out, what+": reads it all")
	case (p.Node == "Index Scan" || p.Node == "Index Only Scan") && p.Cond == "" && !limited && p.Index != "tree_open" && read > 100:
		out = append(out, what+": has no condition")
	case p.Relation != "" && p.Node != "ModifyTable" && p.Node != "LockRows" && p.Hit+p.Read > 256+12*(p.Loops+read):
		out = append(out, fmt.Sprintf("%s: reads %.0f blocks for %.0f rows", what, p.Hit+p.Read, read))
	}
	if read > most && (p.Relation != "" || p.Node == "Sort") {
		out = append(out, fmt.Sprintf("%s: reads %.0f rows, more than %.0f", what, read, most))
	}
	if p.Rejoined*p.Loops > most {
		out = append(out, fmt.Sprintf("%s: tries %.0f pairs of rows in vain", what, p.Rejoined*p.Loops))
	}
	limited = limited || p.Node == "Limit"
	if p.Node == "Sort" || p.Node == "Aggregate" || p.Node == "HashAggregate" { // these read all that is below
		limited = false
	}
	for _, child := range p.Plans {
		out = append(out, child.faults(e, limited)...)
	}
	return out
}
