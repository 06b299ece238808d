-- name: AnnounceCoordinator
-- Registers a coordinator, or extends its lease, unless the store has used a level above its own: no row then. Gives the level
-- used.
-- Locks: the cluster's row, shared, so that no submission raises the level meanwhile.
with used as (select level_used from cluster for share)
insert into coordinator (instance, name, version, level, lease_until)
select $1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond' from used where level_used <= $4
on conflict (instance) do update set lease_until = excluded.lease_until
returning (select level_used from used)

-- name: LeaveCoordinator
delete from coordinator where instance = $1

-- name: LiveCoordinators
-- Those whose lease lives, oldest first, at most 1000.
select name, instance, version, level, started_at, lease_until from coordinator
where lease_until > clock_timestamp() order by started_at, instance limit 1000

-- name: ForgetCoordinators
delete from coordinator where lease_until < now() - interval '1 day'

-- name: UsedLevel
-- By coordinators, or, if $1, what workers must have.
select case when $1 then worker_level else level_used end, level_version from cluster

-- name: LockLevel
-- Locks: the cluster's row, unless the level $1 has been used before. What begins below the level waits, and is refused.
select from cluster where level_used < $1 or worker_level < $1 for update

-- name: CheckLevel
-- Fails when the level $1 is used for the first time and a live process is below it. Sees all processes that began before
-- LockLevel returned.
select refuse_level(process, version, level) from (
  select 'coordinator "' || name || '"' as process, version, level from coordinator
  where level < $1 and lease_until > clock_timestamp() and exists (select from cluster where level_used < $1)
  union all
  select 'worker "' || id || '"', build, level from worker
  where level < $1 and state in (:worker_live) and lease_until > clock_timestamp()
    and exists (select from cluster where worker_level < $1)
  order by level, process limit 1) below

-- name: UseLevel
update cluster set level_used = greatest(level_used, $1), worker_level = greatest(worker_level, $1),
  level_version = case when level_used < $1 then $2 else level_version end
where level_used < $1 or worker_level < $1

-- name: AdoptLevel
-- Coordinators begin to use the level $1, unless a live one is below it. Sees all that began before LockLevel returned.
update cluster set level_used = $1, level_version = $2
where level_used < $1 and not exists (select from coordinator where level < $1 and lease_until > clock_timestamp())

-- name: AuditLevels
-- Live processes below the level that the store has used, at most $1.
select 'level' as kind, 0::bigint as tree, 0::bigint as task,
  process || ' has level ' || level || ', and level ' || used || ' has been used' as text
from cluster cross join lateral (
  select 'coordinator "' || name || '"' as process, level, level_used as used from coordinator
  where level < level_used and lease_until > clock_timestamp()
  union all
  select 'worker "' || id || '"', level, worker_level from worker
  where level < worker_level and state in (:worker_live) and lease_until > clock_timestamp()
  limit $1) below
