-- name: AnnounceCoordinator
-- Registers a coordinator, or extends its lease, unless the store has used a level above its own: no row then.
-- Locks: the cluster's row, shared, so that no submission raises the level meanwhile.
with used as (select level_used from cluster for share)
insert into coordinator (instance, name, version, level, lease_until)
select $1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond' from used where level_used <= $4
on conflict (instance) do update set lease_until = excluded.lease_until
returning level

-- name: LeaveCoordinator
delete from coordinator where instance = $1

-- name: LiveCoordinators
-- Those whose lease lives, oldest first, at most 1000.
select name, instance, version, level, started_at, lease_until from coordinator
where lease_until > clock_timestamp() order by started_at, instance limit 1000

-- name: ForgetCoordinators
delete from coordinator where lease_until < now() - interval '1 day'

-- name: UsedLevel
select level_used, level_version from cluster

-- name: LockLevel
-- Locks: the cluster's row, unless the level $1 has been used before. What begins below the level waits, and is refused.
select from cluster where level_used < $1 for update

-- name: CheckLevel
-- Fails when the level $1 is used for the first time and a live process is below it. Sees all processes that began before
-- LockLevel returned.
select refuse_level(process, version, level) from (
  select 'coordinator "' || name || '"' as process, version, level from coordinator
  where level < $1 and lease_until > clock_timestamp()
  union all
  select 'worker "' || id || '"', build, level from worker
  where level < $1 and state in (:worker_live) and lease_until > clock_timestamp()
  order by level, process limit 1) below
where exists (select from cluster where level_used < $1)

-- name: UseLevel
update cluster set level_used = $1, level_version = $2 where level_used < $1

-- name: AuditLevels
-- Live processes below the level that the store has used, at most $1.
select 'level' as kind, 0::bigint as tree, 0::bigint as task,
  process || ' has level ' || level || ', and level ' || level_used || ' has been used' as text
from cluster cross join lateral (
  select 'coordinator "' || name || '"' as process, level from coordinator
  where level < level_used and lease_until > clock_timestamp()
  union all
  select 'worker "' || id || '"', level from worker
  where level < level_used and state in (:worker_live) and lease_until > clock_timestamp()
  limit $1) below
