-- name: ShareWorkers
-- Those of the workers $1 that are alive, and locked so until the end of the transaction. Locks: workers, shared, by key; before tasks.
select key from worker where key = any($1::bigint[]) and state in (:worker_live) and lease_until > clock_timestamp() order by key for share

-- name: RequireLiveWorkers
-- As ShareWorkers, but fails unless all of them are alive.
with w as (
select key from worker where key = any($1::bigint[]) and state in (:worker_live) and lease_until > clock_timestamp() order by key for share)
select changed(count(*), cardinality($1::bigint[]), 'require live workers') from w

-- name: ExtendLeases
-- Takes beats: registers new instances, extends the leases of known ones that are not lost or gone. An older beat than
-- the last changes nothing, nor does one of another worker, but for a farewell, which another beat may have overtaken.
-- No new instance is registered whose level is below the one that workers must have; those that are known were there when
-- it was used first, so they are not below it. Locks: the cluster's row, shared, for new instances only; workers.
with beat as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[], $10::integer[], $11::text[], $12::integer[], $13::text[], $14::text[])
    u(instance, id, host, build, pools, state, beat, attempts, level, faults, in_line, described, counts)
), used as (
  select worker_level from cluster
  where exists (select from beat where not exists (select from worker w where w.instance = beat.instance)) for share
)
insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts, level, faults, in_line, described, counts)
select u.instance, u.id, u.host, u.build, u.pools::jsonb, u.state, u.beat, clock_timestamp() + $9 * interval '1 millisecond',
  (select coalesce(array_agg(x::bigint), '{}') from string_to_table(u.attempts, ',') x where x <> ''), u.level, u.faults::jsonb, u.in_line,
  (select coalesce(array_agg(decode(x, 'hex')), '{}') from string_to_table(u.described, ',') x where x <> ''), u.counts::jsonb
from beat u where u.level >= coalesce((select worker_level from used), 0)
on conflict (instance) do update set beat = greatest(worker.beat, excluded.beat), pools = excluded.pools, state = excluded.state,
  lease_until = excluded.lease_until, attempts = excluded.attempts, level = excluded.level, faults = excluded.faults,
  in_line = excluded.in_line, described = excluded.described, counts = excluded.counts
  where worker.id = excluded.id and worker.state in (:worker_live) and (worker.beat < excluded.beat or excluded.state = :worker_gone) and worker.lease_until > clock_timestamp()
returning key, instance

-- name: TaskStates
-- Where the tasks stand that workers listed in their beats. No locks.
select key, state, attempt, coalesce(worker, 0) from task where key = any($1::bigint[])

-- name: HandedOver
-- What was claimed for a worker over a second ago and depends on one of the settled tasks $1, not wide: it may have been
-- handed over together with its result. No locks.
select t.key, t.attempt, t.worker
from unnest($1::bigint[]) u(key)
cross join lateral (select from task r where r.key = u.key and r.flags & (:flag_dependents | :flag_wide) = :flag_dependents offset 0) r
cross join lateral (select dependent from edge where dependency = u.key offset 0) e
cross join lateral (select key, attempt, worker from task where key = e.dependent and state = :running
  and started_at < now() - interval '1 second' offset 0) t

-- name: EndWorkers
-- Ends the leases that have run out. The one guarded write that makes a worker lost.
update worker set state = :worker_lost where state in (:worker_live) and lease_until < clock_timestamp() returning key, id, instance

-- name: DepartedWorkers
-- Workers that are lost or gone and whose attempts may not all have been taken back.
select key, id, instance, state from worker where state in (:worker_departed) and attempts <> '{-1}'

-- name: WorkersDone
-- Marks lost or gone workers whose attempts have all been taken back.
update worker set attempts = '{-1}' where key = any($1::bigint[]) and state in (:worker_departed)

-- name: OpenAttempts
-- Tasks of the keys in [$1, $2) with an open attempt, after $1, at most $3.
select key, attempt, worker from task where key >= $1 and key < $2 and worker is not null order by key limit $3

-- name: TreesWithAttempts
-- Trees after $1 that have open attempts; finished ones too (a cancelled attempt may still be open).
select key from tree where key > $1 and running > 0 order by key limit $2

-- name: LiveWorkers
select key, instance, id, pools, state, level, attempts from worker where state in (:worker_live) and lease_until > clock_timestamp()

-- name: ListWorkers
select w.id, w.instance, w.host, w.build, w.level, w.state, w.pools, w.started_at, w.lease_until, h.n, least(w.in_line, h.n), w.faults, w.counts
from worker w cross join lateral (select case when w.attempts = '{-1}' then 0 else cardinality(w.attempts) end as n) h
where w.state in (:worker_live) or w.lease_until > now() - interval '1 hour' order by w.key desc limit 1000

-- name: DeleteWorkers
delete from worker where state in (:worker_departed) and attempts = '{-1}' and lease_until < now() - interval '1 day'

-- name: PutChunk
-- Stores a part of a large result, and tells whether its attempt is open, or cancelled and not yet stopped; if not, nothing
-- is stored. A part that is there already stays as it is.
with open as (
  select from task where key = $1 and attempt = $2 and (worker is not null or state = :ready)
), part as (
  insert into chunk (task, attempt, index, count, data, sealed) select $1, $2, $3, $4, $5, $6 from open on conflict do nothing
)
select exists (select from open)

-- name: Instances
select b.key, b.id, b.instance from worker a join worker b on b.id = a.id where a.instance = $1 order by b.key desc limit 100
