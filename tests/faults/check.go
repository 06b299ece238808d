package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// CheckStore has the auditor look at all that is stored, which holds at every moment.
func CheckStore(ctx context.Context, s coordinator.Service) error {
	var faults []error
	for v, err := range s.Verify(ctx, "") {
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		faults = append(faults, fmt.Errorf("%s: tree %q, task %q: %s", v.Kind, v.TreeID, v.TaskID, v.Text))
	}
	return errors.Join(faults...)
}

// CheckSettled looks at what must be gone some time after everything is settled.
func CheckSettled(ctx context.Context, url string) error {
	return errors.Join(checkUsage(ctx, url), query(ctx, url, map[string]string{
		"runs left in ready":                    "select count(*) from ready",
		"runs left in published":                "select count(*) from published",
		"followups left":                        "select count(*) from followup",
		"keys held":                             "select count(*) from hold",
		"tasks that wait for keys":              "select count(*) from waiter",
		"runs left of trees that were paused":   "select count(*) from parked",
		"attempts open":                         "select count(*) from task where worker is not null",
		"timers left of delayed tasks":          "select count(*) from timer where kind = 1",
		"waits left of tasks that wait no more": "select count(*) from await a join task t on t.key = a.task where t.state <> 11 or t.attempt <> a.attempt",
		"trees that count an open attempt":      "select count(*) from tree where running <> 0",

		// What Scripted says that attempts use: one call each, as many tokens read as the attempt's number is, and as many written as attempts
		// before it in the same run are known to have used a model.
		"attempts whose usage is not their own": "select count(*) from model_usage where calls <> 1 or prompt <> attempt",
		"attempts that were told wrongly what was spent": `select count(*) from model_usage u join task t on t.key = u.task
			where u.attempt >= coalesce(t.run, 1) and u.completion <> (select count(*) from model_usage where task = u.task and attempt >= coalesce(t.run, 1) and attempt < u.attempt)`,
	}))
}

// checkUsage looks for attempts of [Scripted] that told their ends, and whose usage was lost.
func checkUsage(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `select s.id, a.number from attempt a join spec s on s.key = a.task
		where s.original is null and s.executor = $1 and a.worker is not null and a.outcome in (1, 2) and not exists (select from model_usage u where u.task = a.task and u.attempt = a.number)`, ScriptedID)
	if err != nil {
		return err
	}
	var id string
	var number int
	var faults []error
	_, err = pgx.ForEachRow(rows, []any{&id, &number}, func() error {
		if usesModels(id) && len(faults) < 10 {
			faults = append(faults, fmt.Errorf("the usage of attempt %d of %s was lost", number, id))
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// CheckTimes looks at the times of what is settled. They are in order as long as nobody moves Postgres's clock.
func CheckTimes(ctx context.Context, url string) error {
	return query(ctx, url, map[string]string{
		"attempts whose times are out of order": `select count(*) from (select tree.created_at, tree.finished_at as ended, a.*, lag(a.finished_at) over (partition by task order by number) as before
			from attempt a join tree on tree.key = a.task >> 24 join spec on spec.key = a.task
			where spec.original is null or a.number > 1) a -- what a copy kept ended before its tree was created
			where started_at < created_at or started_at < before or finished_at < coalesce(started_at, before, created_at) or ended < started_at`,
		"tasks that started before what they wait for ended": `select count(*), string_agg(format('%s at %s, %s ended at %s as %s', (select id from spec where key = t.key), t.started_at, (select id from spec where key = a.task), a.finished_at, a.outcome), '; ') from edge e join task t on t.key = e.dependent join attempt a on a.task = e.dependency and a.number = (select max(number) from attempt where task = e.dependency)
			where e.required and t.state = 6 and a.outcome <> 3 -- what was blocked may be cancelled later
				 and t.started_at < a.finished_at and (select execution from tree where key = t.key >> 24) = 1`,
		"events whose times are out of order": "select count(*) from (select at < lag(at) over (partition by tree order by last) as late from event) e where late",
	})
}

// query runs statements that count what must not be, and may tell more of it, each in a snapshot of its own.
func query(ctx context.Context, url string, counts map[string]string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var faults []error
	for what, statement := range counts {
		rows, _ := conn.Query(ctx, statement)
		row, err := pgx.CollectOneRow(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n, _ := row[0].(int64); n != 0 {
			faults = append(faults, fmt.Errorf("%d %s %.1000v", n, what, row[1:]))
		}
	}
	return errors.Join(faults...)
}

// explainStatement tells of every unfinished task what it waits for, as far as the store knows.
const explainStatement = `
select s.id, t.state, t.attempt, t.pool, t.priority, t.remaining, coalesce(t.worker, 0),
  (select count(*) from ready r where r.first <= t.key and t.key < r.first + r.n),
  (select string_agg(format('attempt %s at %s', r.attempt, r.at::time), ', ') from published r where r.first <= t.key and t.key < r.first + r.n),
  (select string_agg(format('kind %s attempt %s in %s', m.kind, m.attempt, m.at - now()), ', ') from timer m where m.task = t.key),
  (select string_agg(format('kind %s', c.kind), ', ') from followup c where c.task = t.key), now()::time::text,
  (select string_agg(format('%s %s', w.kind, w.key), ', ') from waiter w where w.task = t.key), (select string_agg(format('%s %s', h.kind, h.key), ', ') from hold h where h.task = t.key)
from task t join spec s on s.key = t.key where t.state in (1, 2, 3, 4, 10, 11) order by t.state desc limit 12`

// Explain tells what the first unfinished tasks of a cluster that is stuck wait for.
func Explain(ctx context.Context, url string) string {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, explainStatement)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for rows.Next() {
		var id, now string
		var state dag.State
		var attempt, pool, priority, remaining, worker, ready int64
		var published, timers, followups, lines, held *string
		if err := rows.Scan(&id, &state, &attempt, &pool, &priority, &remaining, &worker, &ready, &published, &timers, &followups, &now, &lines, &held); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&out, "\n%s: %s, attempt %d, pool %d, priority %d, %d remaining, worker %d; %d in ready; published %s; timers %s; followups %s; now %s",
			id, state, attempt, pool, priority, remaining, worker, ready, text(published), text(timers), text(followups), now)
	}
	return out.String()
}

func text(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}
