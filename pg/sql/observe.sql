-- name: Backlogs
-- What is left to do: of the 20 000 trees that are open longest, how many are executed, and how many seconds ago the first of them began, or was stored if none of its tasks has;
-- by how many seconds the timer is late that is due first; followups, up to 20 000; the newest migration. No locks. Index walks with an end.
select t.n, t.oldest, coalesce((select greatest(0, extract(epoch from now() - at)) from timer order by at limit 1), 0)::double precision,
  (select count(*) from (select from followup limit 20000) f), (select coalesce(max(name), '') from migration)
from (
  select count(*) as n, coalesce(extract(epoch from now() - min(coalesce(started_at, created_at))), 0)::double precision as oldest
  from (select created_at, started_at, unfinished from tree where finished_at is null order by key limit 20000) o where unfinished > 0) t

-- name: LimitsInUse
-- For each kind of which anything waits or is held: how many tasks wait, and how many places are held, up to $1 each, for metrics. No locks. Leaps from namespace to
-- namespace and from kind to kind, over 1000 of these pairs at most, and walks along the index in each.
with recursive waits as (
  (select namespace, kind from waiter order by namespace, kind limit 1)
  union all
  select n.* from waits w cross join lateral (
    select namespace, kind from waiter where (waiter.namespace, waiter.kind) > (w.namespace, w.kind) order by namespace, kind limit 1) n
), holds as (
  (select namespace, kind from hold order by namespace, kind limit 1)
  union all
  select n.* from holds h cross join lateral (
    select namespace, kind from hold where (hold.namespace, hold.kind) > (h.namespace, h.kind) order by namespace, kind limit 1) n
)
select kind, least($1::bigint, sum(waiting)::bigint), least($1::bigint, sum(held)::bigint) from (
  select w.kind, c.n as waiting, 0 as held from (select * from waits limit 1000) w cross join lateral (
    select count(distinct task) as n from (select task from waiter where waiter.namespace = w.namespace and waiter.kind = w.kind limit $1) t offset 0) c
  union all
  select h.kind, 0, c.n from (select * from holds limit 1000) h cross join lateral (
    select count(*) as n from (select from hold where hold.namespace = h.namespace and hold.kind = h.kind limit $1) t offset 0) c
) u group by kind
