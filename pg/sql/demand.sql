-- What autoscalers ask about. All of it is read at most once in a second, for all pools at once, and only if somebody asks.

-- name: DemandReady
-- For each open pool: its name, and how many ready tasks wait in Postgres, of trees that are not cancelled. Of each priority the first $1 stretches
-- are looked at: who has that many has as much as counts. Some of their tasks were cancelled or changed since: of the first $2 or so each is looked at. No
-- locks.
select p.id, p.name, coalesce(w.n, 0)::bigint
from pool p
left join lateral (
  select sum(coalesce(c.n, r.n)) as n from generate_series(:priority_urgent, :priority_low) x(priority)
  cross join lateral (
    select *, sum(n) over (order by id) - n as before from (select id, first, n, attempt from ready where pool = p.id and priority = x.priority order by id limit $1) s) r
  cross join lateral (select from tree where key = r.first >> 24 and cancelled_at is null offset 0) t
  left join lateral ( -- as in Dispatch
    select count(*) as n from (
      select from task k where k.key >= r.first and k.key < r.first + r.n and k.attempt = r.attempt and k.state = :ready offset 0) k) c on r.before < $2) w on true
where p.open

-- name: DemandRuled
-- The first stretches that wait of the pools $1, $2 of each priority. No locks.
select r.first, r.n, p.id from unnest($1::integer[]) p(id) cross join generate_series(:priority_urgent, :priority_low) x(priority)
cross join lateral (select first, n from ready where pool = p.id and priority = x.priority order by id limit $2) r

-- name: DemandSeen
-- The tasks that live workers listed in their last beats, $1 at most, and of each lane the last $2 of those that were sent: what state each is in, its
-- pool, whether it has an open attempt and its worker drains, whether that attempt is the one that was sent, and for how many microseconds it has
-- run. As in WhyAhead, what was sent before those has started or ended. No locks.
with late as (
  select l.first, l.n, l.attempt
  from pool p cross join generate_series(:priority_urgent, :priority_low) x(priority)
  cross join lateral (
    select first, n, attempt, sum(n) over (order by id desc) - n as after from (
      select * from published where pool = p.id and priority = x.priority order by id desc limit $2) r) l
  where p.open and l.after < $2
), seen as (
  select key, max(attempt) as attempt from (
    select l.key, 0 as attempt from (
      select unnest(attempts) as key from worker where state in (:worker_live) and lease_until > now() limit $1) l
    union all
    select t.key, l.attempt from late l cross join lateral ( -- as in Dispatch
      select key from task t where t.key >= l.first and t.key < l.first + l.n offset 0) t) u
  group by key
)
select t.key, t.state, t.pool, t.worker is not null, coalesce(w.state = :worker_draining, false), t.attempt = seen.attempt,
  coalesce(extract(epoch from now() - t.started_at) * 1000000, 0)::bigint
from seen cross join lateral (select * from task where task.key = seen.key offset 0) t
left join lateral (select state from worker where worker.key = t.worker offset 0) w on true
order by t.priority, t.key

-- name: DemandDue
-- Delayed tasks whose time comes within $1 seconds, the first $2, and in how many microseconds it does. No locks.
select t.key, t.pool, (extract(epoch from u.at - now()) * 1000000)::bigint
from (select task, attempt, at from timer where at < now() + $1 * interval '1 second' and kind = :timer_due order by at limit $2) u
cross join lateral (select key, pool from task where task.key = u.task and attempt = u.attempt and state = :delayed offset 0) t

-- name: DemandTrees
-- The open attempts of the trees $1, which pools they name, and whether they are cancelled. No locks.
select t.key, t.running, coalesce(t.pools, '{}'), t.cancelled_at is not null
from unnest($1::bigint[]) u(key) cross join lateral (select key, running, pools, cancelled_at from tree where tree.key = u.key offset 0) t

-- name: DemandGraph
-- The waiting tasks that depend on the tasks $1, those that depend on these, and so on, up to $2 steps away: each dependency that leads there, $3 of one
-- task and $4 at all. No locks.
with recursive g as (
  select u.key as dependency, e.dependent, t.pool, t.remaining, 1 as depth
  from unnest($1::bigint[]) u(key)
  cross join lateral (select dependent from edge where dependency = u.key limit $3) e
  cross join lateral (select pool, remaining from task where task.key = e.dependent and state = :waiting offset 0) t
  union
  select g.dependent, e.dependent, t.pool, t.remaining, g.depth + 1
  from g
  cross join lateral (select dependent from edge where dependency = g.dependent limit $3) e
  cross join lateral (select pool, remaining from task where task.key = e.dependent and state = :waiting offset 0) t
  where g.depth < $2
)
select dependency, dependent, pool, remaining from g limit $4

-- name: DemandSlots
-- How many slots one worker has of each pool, as of the $1 workers that came last: those that came last tell. No locks.
select distinct on (s.pool) s.pool, s.slots::integer
from (select key, pools from worker order by key desc limit $1) w cross join lateral jsonb_each_text(w.pools) s(pool, slots)
order by s.pool, w.key desc
