-- name: SetCheckpoints
-- Stores what attempts noted, if they run at the worker $6. Returns those whose note is there, or a later one. Expects: tasks differ.
-- Locks: checkpoints, in the order of the keys; no task.
with u as (
  select u.task, u.attempt, u.number, u.data, u.sealed
  from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::bytea[]) u(task, attempt, number, data, sealed)
  join task t on t.key = u.task and t.attempt = u.attempt and t.state = :running and t.worker = $6
), w as (
  insert into checkpoint (task, attempt, number, data, sealed)
  select task, attempt, number, data::json, sealed from u order by task
  on conflict (task) do update set attempt = excluded.attempt, number = excluded.number, data = excluded.data, sealed = excluded.sealed, at = now()
  where (checkpoint.attempt, checkpoint.number) < (excluded.attempt, excluded.number)
)
select task from u

-- name: BringCheckpoints
-- Stores what attempts noted that end now. Expects: their tasks are locked, and differ.
insert into checkpoint (task, attempt, number, data, sealed)
select task, attempt, number, data::json, sealed
from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::bytea[]) u(task, attempt, number, data, sealed) order by task
on conflict (task) do update set attempt = excluded.attempt, number = excluded.number, data = excluded.data, sealed = excluded.sealed, at = now()
where (checkpoint.attempt, checkpoint.number) < (excluded.attempt, excluded.number)

-- name: CheckpointsBefore
-- What earlier attempts of the tasks noted that are in the stretches ($1 first, $2 n), if none has ended well since: what comes after that begins anew. For
-- later attempts only. An index probe a stretch, and one a checkpoint.
select c.task, c.data, c.sealed
from unnest($1::bigint[], $2::integer[]) u(first, n)
cross join lateral (select * from checkpoint c where c.task >= u.first and c.task < u.first + u.n offset 0) c
where not exists (select from attempt a where a.task = c.task and a.number >= c.attempt and a.outcome in (:ended_well))

-- name: DropCheckpoints
-- Forgets what the attempts of the tasks $1 noted, which are locked.
delete from checkpoint where task = any($1::bigint[])
