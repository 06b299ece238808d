-- name: InsertWaiters
-- Puts the ready tasks of the stretches ($1 first, $2 n) in the lines of what they ask for, and gives these keys, $4 at most. Those that had their turn before
-- ($3) keep the place that their hold has. A lock that is to be free in time gets a timer.
with t as materialized (
  select t.key, t.attempt, t.priority, t.pool, tree.namespace, tree.share, s.limits,
    coalesce(case when u.again then (select min(h.id) from hold h where h.task = t.key) end, nextval('waiter_id')) as id
  from unnest($1::bigint[], $2::integer[], $3::boolean[]) u(first, n, again)
  cross join lateral (select namespace, share from tree where tree.key = u.first >> 24 offset 0) tree
  cross join lateral (select * from task where task.key >= u.first and task.key < u.first + u.n and task.state = :ready order by key offset 0) t
  cross join lateral (select limits from spec where spec.key = t.key offset 0) s
), w as (
  select t.*, k.*
  from t cross join lateral (
    select count(*) over () as n, kind, name, sum(cost)::integer as cost, min(max) as max, max(per_ms) as per_ms, min(burst) as burst, max(contended)::smallint as contended from (
      select :kind_limit::smallint as kind, l ->> 'key' as name, coalesce((l ->> 'cost')::integer, 1) as cost, (l ->> 'max')::integer as max,
        null::bigint as per_ms, null::integer as burst, 0 as contended
      from json_array_elements(t.limits -> 'limits') l
      union all
      select :kind_lock, t.limits -> 'lock' ->> 'key', 1, null, null, null, coalesce((t.limits -> 'lock' ->> 'on_contention')::integer, 0) where t.limits -> 'lock' is not null
      union all
      select :kind_rate, r ->> 'key', 1, (r ->> 'max')::integer, (r ->> 'per')::bigint / 1000000, (r ->> 'burst')::integer, 0 from json_array_elements(t.limits -> 'rates') r
    ) each group by kind, name) k
), i as (
  insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, max, per_ms, burst, contended, pool, share, at)
  select namespace, kind, name, priority, id, key, attempt, n, cost, max, per_ms, burst, contended, pool, share, clock_timestamp() from w
), m as (
  insert into timer (at, task, attempt, kind)
  select clock_timestamp() + (limits -> 'lock' ->> 'wait_timeout')::bigint / 1000 * interval '1 microsecond', key, attempt, :timer_lock
  from t where limits -> 'lock' ->> 'wait_timeout' is not null
  on conflict do nothing
)
select distinct namespace, kind::smallint, name from w limit $4

-- name: ReleaseWaiters
-- Takes the tasks $1, which are locked, out of their lines, and gives the keys of these.
-- Locks: waiters, in the order in which grants take them. A grant of one of them that is under way is waited for.
with l as (
  select ctid from waiter where task = any($1::bigint[]) order by namespace, kind, key, priority, id, task for update
)
delete from waiter where ctid = any(array(select ctid from l)) returning namespace, kind, key

-- name: LeaveLines
-- Takes the attempts $2 of the tasks $1, which are locked, out of their lines, but for those of cancelled trees, and gives their keys: these tasks end. What was
-- granted meanwhile is in no line. Locks: as ReleaseWaiters.
with l as (
  select w.ctid from waiter w join unnest($1::bigint[], $2::integer[]) u(task, attempt) on w.task = u.task and w.attempt = u.attempt
  where not exists (select from tree where tree.key = w.task >> 24 and cancelled_at is not null)
  order by w.namespace, w.kind, w.key, w.priority, w.id, w.task for update of w
)
delete from waiter where ctid = any(array(select ctid from l)) returning task, namespace, kind, key

-- name: KeepHolds
-- The locks of the tasks $1, which have succeeded, are held on for their parents, unless these have ended. Locks: the parents, shared: who ends one meanwhile is
-- waited for, and who ends it later sees what it holds.
with p as materialized (
  select s.key as task, t.key from (
    select u.key, ((u.key >> 24) << 24) + spec.parent as above from unnest($1::bigint[]) u(key)
    cross join lateral (select parent from spec where spec.key = u.key and parent >= 0 offset 0) spec order by above) s
  cross join lateral (select key from task where task.key = s.above and task.state not in (:settled) and task.flags & :flag_kept <> 0 offset 0 for share) t
)
update hold h set span = p.key from p where h.task = p.task and h.kind = :kind_lock

-- name: ReleaseHolds
-- Gives back what the attempts of the tasks $1, which are locked, hold. It comes after ReleaseWaiters, so that it sees what was granted until then, and after KeepHolds.
delete from hold where task = any($1::bigint[]) and span is null returning namespace, kind, key

-- name: ReleaseSpans
-- Gives back what is held for the tasks $1, which are locked and have ended.
delete from hold where span = any($1::bigint[]) returning namespace, kind, key

-- name: DropHolds
-- Gives back what the tasks $1, which are locked, hold, and what they took for their parents: they are deleted, or take it anew.
delete from hold where task = any($1::bigint[]) returning namespace, kind, key

-- name: LoadWaiters
-- All that a round of grants is decided by, of the lines $1 namespace, $2 kind, $3 key: up to $4 tasks of each and $6 of others, of the pools $5, which have live workers, and not of what
-- is paused. what is 0 for the first of these lines; 1 for the first of other lines that these tasks are in, too; 2 for how a key stands: id is what is held, cost is 1 if
-- an operator has set its max, per_ms and burst, at is when a rate is due. A task that stands farther back in one of its lines is not given there: who stands before it
-- may be as unknown, and lack room. Looks at 10000 tasks of a line at most. No locks but LockGrants.
with asked as materialized (
  select * from unnest($1::integer[], $2::smallint[], $3::text[], $4::integer[]) a(namespace, kind, key, heads)
), heads as materialized (
  select w.* from asked a cross join lateral (
    select * from (
      select * from waiter where waiter.namespace = a.namespace and waiter.kind = a.kind and waiter.key = a.key order by priority, id, task limit 10000) w
    where w.pool = any($5::integer[]) and not ((select exists (select from pause)) and (
      exists (select from pause p where p.scope = :pause_everything) or exists (select from pause p where p.scope = :pause_pool and p.pool = w.pool)
      or exists (select from pause p where p.scope = :pause_tree and p.pool = 0 and p.tree = w.task >> 24)))
    order by priority, id, task limit a.heads offset 0) w
), several as materialized (
  select w.* from (select distinct task from heads where n > 1) d cross join lateral (select * from waiter where waiter.task = d.task offset 0) w
), others as materialized (
  select distinct s.namespace, s.kind, s.key from several s
  where not exists (select from asked a where (a.namespace, a.kind, a.key) = (s.namespace, s.kind, s.key))
), before as (
  select w.* from others o cross join lateral (
    select * from (
      select * from waiter where waiter.namespace = o.namespace and waiter.kind = o.kind and waiter.key = o.key order by priority, id, task limit 10000) w
    where w.pool = any($5::integer[]) and not ((select exists (select from pause)) and (
      exists (select from pause p where p.scope = :pause_everything) or exists (select from pause p where p.scope = :pause_pool and p.pool = w.pool)
      or exists (select from pause p where p.scope = :pause_tree and p.pool = 0 and p.tree = w.task >> 24)))
    order by priority, id, task limit $6 offset 0) w
), keys as (
  select namespace, kind, key from asked where kind in (:kind_limit, :kind_lock, :kind_rate) union all select namespace, kind, key from others
)
select what::smallint, namespace, kind::smallint, key, priority::smallint, id, task::bigint, attempt, n::smallint, cost, max, per_ms::bigint, burst::integer, contended::smallint, pool, share, at
from (
  select 0 as what, namespace, kind, key, priority, id, task, attempt, n, cost, max, per_ms, burst, contended, pool, share, at from heads
  union all
  select 1, namespace, kind, key, priority, id, task, attempt, n, cost, max, per_ms, burst, contended, pool, share, at from before
  union all
  select 2, k.namespace, k.kind, k.key, 0, h.held, 0, 0, 0, case when r.max is null then 0 else 1 end, r.max, r.per_ms, r.burst, 0, 0, 0, t.tat from keys k
  cross join lateral (select coalesce(sum(cost), 0)::bigint as held from hold where hold.namespace = k.namespace and hold.kind = k.kind and hold.key = k.key offset 0) h
  left join lateral (select max, per_ms, burst from limit_rule l where l.namespace = k.namespace and l.kind = k.kind and l.key = k.key offset 0) r on true
  left join lateral (select tat from rate where k.kind = :kind_rate and rate.namespace = k.namespace and rate.key = k.key offset 0) t on true
  union all
  select 2, 0, :kind_pool, p.pool::text, 0, h.held, 0, 0, 0, 1, r.max, null, null, 0, 0, 0, null from (select pool from heads union select pool from before) p
  cross join lateral (select name from pool where pool.id = p.pool offset 0) n
  cross join lateral (select case when counted then max else 0 end as max from limit_rule l where l.namespace = 0 and l.kind = :kind_pool and l.key = n.name and l.max is not null offset 0) r
  cross join lateral (select coalesce(sum(cost), 0)::bigint as held from hold where hold.namespace = 0 and hold.kind = :kind_pool and hold.key = p.pool::text offset 0) h
  union all
  select 2, 0, :kind_user, u.share::text, 0, h.held, 0, 0, 0, 1, r.max, null, null, 0, 0, 0, null from (select share from heads where share > 0 union select share from before where share > 0) u
  cross join lateral (select namespace, user_id from share where share.id = u.share offset 0) n
  cross join lateral (select case when counted then max else 0 end as max from limit_rule l where l.namespace = n.namespace and l.kind = :kind_user and l.key = n.user_id and l.max is not null offset 0) r
  cross join lateral (select coalesce(sum(cost), 0)::bigint as held from hold where hold.namespace = 0 and hold.kind = :kind_user and hold.key = u.share::text offset 0) h
) u

-- name: GrantWaiters
-- Takes the attempts $2 of the tasks $1 out of their lines, in which they have $3 rows together. Expects: they are all there.
-- Locks: waiters.
with l as (
  select w.ctid from waiter w join unnest($1::bigint[], $2::integer[]) u(task, attempt) on w.task = u.task and w.attempt = u.attempt
  order by w.namespace, w.kind, w.key, w.priority, w.id, w.task for update of w
), d as (
  delete from waiter where ctid = any(array(select ctid from l)) returning 1
)
select changed(count(*), $3, 'grant what tasks wait for') from d

-- name: InsertHolds
-- What granted tasks hold from now on; a lock gets its token, which the statement gives.
insert into hold (task, ord, attempt, namespace, kind, key, cost, max, token, id, since)
select task, ord, attempt, namespace, kind, key, cost, nullif(max, 0), case when kind = :kind_lock then nextval('fence') end, id, clock_timestamp()
from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::integer[], $5::smallint[], $6::text[], $7::integer[], $8::integer[], $9::bigint[])
  u(task, ord, attempt, namespace, kind, key, cost, max, id)
returning task, kind, key, coalesce(token, 0)

-- name: SetRates
-- When the next start by each rate is due.
insert into rate (namespace, key, tat) select * from unnest($1::integer[], $2::text[], $3::timestamptz[])
on conflict (namespace, key) do update set tat = greatest(rate.tat, excluded.tat)

-- name: PublishGranted
insert into published (pool, priority, first, n, attempt) select * from unnest($1::integer[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[])

-- name: LinesAfter
-- Up to $4 keys that tasks wait for, after $1 namespace, $2 kind, $3 key. No locks; leaps from key to key.
with recursive l as (
  (select namespace, kind, key from waiter where (namespace, kind, key) > ($1::integer, $2::smallint, $3::text) order by namespace, kind, key limit 1)
  union all
  select n.* from l cross join lateral (
    select namespace, kind, key from waiter where (waiter.namespace, waiter.kind, waiter.key) > (l.namespace, l.kind, l.key) order by namespace, kind, key limit 1) n
)
select namespace, kind, key from l limit $4

-- name: GrantedAndIdle
-- Up to $2 tasks, from $3 on, that were granted what they hold over $1 seconds ago and that nobody has claimed, of pools without a live worker in that time. No locks; reads
-- a hold each.
select h.task, t.attempt from (
  select distinct task from (select task from hold where task >= $3 and since < now() - $1 * interval '1 second' order by task limit 1000) h order by task) h
cross join lateral (select attempt, pool from task where task.key = h.task and task.state = :ready offset 0) t
cross join lateral (select name from pool where pool.id = t.pool offset 0) p
where not exists (select from worker w where w.pools ? p.name and w.state in (:worker_live) and w.lease_until > now() - $1 * interval '1 second')
limit $2

-- name: LastHold
-- The last of 1000 tasks that hold something, from $1 on; null: none. No locks.
select max(task) from (select task from hold where task >= $1 order by task limit 1000) h

-- name: UnclaimedGrants
-- How many granted tasks of each pool nobody has claimed yet. No locks; reads a hold each, 20000 at most.
select t.pool, count(*) from (select distinct task from (select task from hold limit 20000) h) h
cross join lateral (select pool from task where task.key = h.task and task.state = :ready and task.flags & :flag_limited <> 0 offset 0) t group by t.pool

-- name: LocksOf
-- The locks that the attempts $2 of the tasks $1 hold. No locks.
select h.task, h.key, h.token from unnest($1::bigint[], $2::integer[]) u(task, attempt)
cross join lateral (select task, key, token from hold where hold.task = u.task and hold.attempt = u.attempt and hold.kind = :kind_lock offset 0) h

-- name: LocksAbove
-- The lock that is held for the nearest task above each of the tasks $1 for which one is; of several the last one that was taken. No locks; a probe for each task above.
with recursive above as (
  select u.key as task, ((u.key >> 24) << 24) + s.parent as at, 1 as up from unnest($1::bigint[]) u(key)
  cross join lateral (select parent from spec where spec.key = u.key and parent >= 0 offset 0) s
  union all
  select a.task, ((a.at >> 24) << 24) + s.parent, a.up + 1 from above a cross join lateral (select parent from spec where spec.key = a.at and parent >= 0 offset 0) s
)
select distinct on (a.task) a.task, h.key, h.token from above a
cross join lateral (select key, token from hold where hold.span = a.at and hold.kind = :kind_lock offset 0) h
order by a.task, a.up, h.token desc

-- name: SweepRates
-- Forgets rates whose time has passed: they say nothing any more. Locks: their rows, skipping those that a grant holds.
delete from rate where ctid = any(array(select ctid from rate where tat < now() - interval '1 minute' limit $1 for update skip locked))
