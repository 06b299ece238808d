-- name: PoolRows
select id, name, open, changed_at from pool

-- name: LockPools
-- One transaction at a time opens pools, or takes away what closed ones leave.
select pg_advisory_xact_lock(7240, 1)

-- name: CountPools
-- How many pools but $1 are open; of those, the ones that trees opened and no worker has served; and of these, the user's ($2).
select count(*) filter (where open), count(*) filter (where open and served_at is null),
  count(*) filter (where open and served_at is null and maker = $2::text)
from pool where not (name = any($1::text[]) and open)

-- name: OpenPools
-- Opens the pools $1 for a tree of the user $2; null: for a worker.
insert into pool (name, maker, served_at) select name, $2::text, case when $2 is null then now() end from unnest($1::text[]) name
on conflict (name) do update set open = true, changed_at = now(), maker = excluded.maker, served_at = excluded.served_at where not pool.open

-- name: KeepPools
-- Those of the pools $1 that are open, which they stay until the end of the transaction. Locks: pools, shared, by id; before all else.
select id from pool where id = any($1::integer[]) and open order by id for key share

-- name: MarkServed
-- Live workers serve the pools $1.
update pool set served_at = now() where name = any($1::text[]) and open and (served_at is null or served_at < now() - interval '10 seconds')

-- name: DescribeTrees
-- Notes which pools the tasks of up to $1 trees name that don't say it: those stored by older coordinators. Locks: those trees.
update tree set pools = (
  select coalesce(array_agg(distinct pool), '{}') from task where key >= tree.key << 24 and key < (tree.key + 1) << 24 and pool > 0)
where key = any(array(select key from tree where pools is null order by key limit $1 for update skip locked))

-- name: ReopenNeededPools
-- Opens closed pools that ready tasks wait in, or live workers serve: coordinators that know of no closed pools put them there.
update pool set open = true, changed_at = now() where not open and (
  exists (select from ready r where r.pool = pool.id) or exists (
    select from published l cross join lateral (
      select from task t where t.key >= l.first and t.key < l.first + l.n and t.attempt = l.attempt and t.state = :ready limit 1) t
    where l.pool = pool.id)
  or exists (select from worker where state in (:worker_live) and lease_until > clock_timestamp() and pools ? pool.name))

-- name: LockIdlePools
-- Open pools that were neither opened nor served within $1 seconds. Locks: pools, skipping those that a submission needs just now.
select id from pool where open and greatest(changed_at, served_at) < now() - $1 * interval '1 second' order by id limit 500 for update skip locked

-- name: ClosePools
-- Closes those of the pools $1, which are locked, that no live worker serves and no tree needs that has not ended. A tree that does
-- not say what it needs may need any. Reads the rows of all trees that have not ended.
with needed as materialized (
  select distinct p from tree cross join lateral unnest(coalesce(pools, '{-1}')) p where finished_at is null
), closed as (
  update pool set open = false, changed_at = now()
  where id = any($1::integer[]) and not exists (select from needed where p in (pool.id, -1))
    and not exists (select from worker where state in (:worker_live) and lease_until > clock_timestamp() and pools ? pool.name)
  returning id
)
select count(*) from closed

-- name: GonePools
-- Those of the names $1 that are of no open pool, and of none that was closed within $2 seconds.
select name from unnest($1::text[]) name
where not exists (select from pool where pool.name = name.name and (open or changed_at > now() - $2 * interval '1 second'))

-- name: ForgetPools
-- Deletes the rows of pools that were closed over $1 seconds ago and that no tree, limit or pause names; none while there are trees that do not say.
-- Reads the rows of all trees, if there are such pools.
with old as materialized (
  select id from pool where not open and changed_at < now() - $1 * interval '1 second' order by id limit 1000 for update skip locked
), named as materialized (
  select distinct p from tree cross join lateral unnest(coalesce(pools, '{-1}')) p where exists (select from old)
)
delete from pool where id in (select id from old) and not exists (select from named where p in (pool.id, -1))
  and not exists (select from limit_rule where limit_rule.pool = pool.id) and not exists (select from pause where pause.scope = :pause_pool and pause.pool = pool.id)

-- name: AddExecutors
-- Records that workers announce the executors $1, new ones only up to $2 in all; gives those that are known now.
with known as (
  update executor set seen_at = now() where id = any($1::text[]) returning id
), fresh as (
  insert into executor (id)
  select id from unnest($1::text[]) id where id not in (select id from known)
  limit greatest(0, $2 - (select count(*) from executor))
  on conflict do nothing returning id
)
select id from known union all select id from fresh

-- name: ForgetExecutors
-- Deletes executors that no worker announced within $1 days.
delete from executor where seen_at < now() - $1 * interval '1 day'

-- name: ExecutorIDs
select id from executor
