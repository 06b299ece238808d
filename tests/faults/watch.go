package faults

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// watchStatements have Postgres look at each statement that notes what tasks hold, in its own transaction: what is held grows by nothing else. It only adds rows,
// so that nobody waits for it; what is rolled back was never held.
var watchStatements = []string{
	`create schema watching`,
	`create table watching.statement (holds integer not null)`,
	`create table watching.token (token bigint primary key)`,
	`create table watching.wrong (at timestamptz not null default clock_timestamp(), text text not null)`,
	`create function watching.look() returns trigger language plpgsql as $$
begin
  insert into watching.statement select count(*) from made;
  insert into watching.wrong (text)
  select format('%s of %s (kind %s) is held, and %s may be', h.n, m.key, m.kind, m.most) from (
    select namespace, kind, key, case kind when 1 then max(max) when 2 then 1
      else (select r.max from limit_rule r where r.counted and r.kind = made.kind and case r.kind when 4 then r.pool else r.share end::text = made.key) end as most
    from made group by namespace, kind, key) m
  cross join lateral (select sum(cost) as n from hold where namespace = m.namespace and kind = m.kind and key = m.key) h
  where h.n > m.most;
  insert into watching.wrong (text)
  select format('token %s of %s comes after %s', made.token, made.key, last.token)
  from made cross join (select max(token) as token from watching.token) last
  where made.kind = 2 and (made.token is null or made.token <= last.token);
  insert into watching.token select token from made where kind = 2 and token is not null on conflict do nothing;
  return null;
end $$`,
	`create trigger watching after insert on hold referencing new table as made for each statement execute function watching.look()`,
}

// WatchHolds has the database at url look, whenever a task comes to hold something, whether more is held than may be, and whether the tokens of locks grow: at each
// instant, as no look from outside could. [WatchedHolds] tells what it found.
func WatchHolds(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range watchStatements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("watch what is held: %w", err)
		}
	}
	return nil
}

// WatchedHolds tells what [WatchHolds] has found wrong so far, and how many holds it has looked at.
func WatchedHolds(ctx context.Context, url string) (looked int, wrong []string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `select (select coalesce(sum(holds), 0) from watching.statement),
		(select coalesce(array_agg(text order by at), '{}') from (select at, text from watching.wrong order by at limit 10) w)`).Scan(&looked, &wrong)
	return looked, wrong, err
}
