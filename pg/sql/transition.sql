-- Joins here are lateral, and fenced by offset 0: young tables have no statistics, and a plan must not depend on them.

-- name: LockTasks
-- The scheduling state of the tasks $1, of the trees $3; policies where the flags ask for it (dag.FlagPolicy) or the
-- task is in $2.
-- Locks: tasks, by key. One index probe a task.
select t.key, t.state, t.flags, t.priority, t.pool, t.attempt, t.remaining, t.failures, t.crashes, t.worker, t.started_at,
  t.blocked_by, t.repeats, t.key >> 24 = any(array( -- looked up once a tree, not once a task
    select c.key from unnest($3::bigint[]) u(key)
    cross join lateral (select key from tree where tree.key = u.key and cancelled_at is not null offset 0) c)),
  s.key is not null, s.executor, s.max_attempts, s.backoff, s.initial_delay_ms, s.max_delay_ms, s.timeout_ms,
  s.schedule_to_start_ms, s.not_before, s.on_lost, s.retry
from task t
left join lateral (select * from spec where spec.key = t.key and (t.flags & :flags_policy <> 0 or t.key = any($2::bigint[])) offset 0) s on true
where t.key = any($1::bigint[])
order by t.key
for update of t

-- name: LockTasksAndDependents
-- As LockTasks, with the dependents of $1 that are unlocked at once (dag.Flags.Unlocks), and the tasks $4.
-- Locks: tasks, by key, results and dependents in one order.
select t.key, t.state, t.flags, t.priority, t.pool, t.attempt, t.remaining, t.failures, t.crashes, t.worker, t.started_at,
  t.blocked_by, t.repeats, t.key >> 24 = any(array( -- looked up once a tree, not once a task
    select c.key from unnest($3::bigint[]) u(key)
    cross join lateral (select key from tree where tree.key = u.key and cancelled_at is not null offset 0) c)),
  s.key is not null, s.executor, s.max_attempts, s.backoff, s.initial_delay_ms, s.max_delay_ms, s.timeout_ms,
  s.schedule_to_start_ms, s.not_before, s.on_lost, s.retry
from task t
left join lateral (select * from spec where spec.key = t.key and (t.flags & :flags_policy <> 0 or t.key = any($2::bigint[])) offset 0) s on true
where t.key = any(array(
  select unnest($1::bigint[] || $4::bigint[])
  union
  select e.dependent from unnest($1::bigint[]) u(key)
  cross join lateral (select from task r where r.key = u.key and r.flags & (:flag_dependents | :flag_wide) = :flag_dependents offset 0) r
  cross join lateral (select dependent from edge where dependency = u.key offset 0) e))
order by t.key
for update of t

-- name: IdentifyTrees
-- The identity of the trees $1 (when each was created and this server started, and the tree's revision), and the execution that
-- each is in, 0 if it is cancelled. No locks.
select t.key, t.created_at, pg_postmaster_start_time(), t.revision, case when t.cancelled_at is null then t.execution else 0 end
from unnest($1::bigint[]) u(key)
cross join lateral (select key, created_at, revision, cancelled_at, execution from tree where tree.key = u.key offset 0) t

-- name: RequireTrees
-- Fails unless each of the trees $1 was created at $2, on this server as it started at $3, has the revision $4, is in the
-- execution $5, and is not cancelled; null, null, 0 and 0 stand for any. One of which the execution is given, as tasks of it may be handed over, must not be
-- paused either. No locks.
select changed(count(*), cardinality($1::bigint[]), 'require trees')
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::integer[]) u(key, created_at, server, revision, execution)
cross join lateral (select created_at, revision, execution from tree where tree.key = u.key and cancelled_at is null offset 0) t
where (u.created_at is null or t.created_at = u.created_at) and (u.server is null or pg_postmaster_start_time() = u.server)
  and (u.revision = 0 or t.revision = u.revision)
  and (u.execution = 0 or t.execution = u.execution and (select true from pause where scope = :pause_tree and pool = 0 and tree = u.key limit 1) is null)

-- name: RequireVacantLanes
-- Fails if a ready task of the pools $1 waits that is to start before another one of the priorities $2 which gets ready now, or a pool is held back: what
-- WaitingOf gives. Expects: RequireLiveWorkers (see LockHandovers). No locks.
select changed(count(*), 0, 'require vacant lanes') from unnest($1::integer[], $2::smallint[]) u(pool, priority)
where case
  when exists (select from ready r where r.pool = u.pool and r.priority <= u.priority) then true
  when (select true from pause where gate in (0, u.pool) limit 1) then true
  when (select true from limit_rule where gate in (0, u.pool) limit 1) then true
  else exists (
    select from generate_series(:priority_urgent, u.priority) x(priority)
    cross join lateral (
      select first + n - 1 as key, attempt, sent from published where pool = u.pool and priority = x.priority order by id desc limit 32) l
    cross join lateral (select from task t where t.key = l.key and t.attempt = l.attempt and t.state = :ready offset 0) t
    where x.priority < u.priority or l.sent < now() - :delivery_ms * interval '1 millisecond')
  end

-- name: DependentsOf
-- The edges that lead from $1 to the dependents which LockTasksAndDependents locks.
select u.key, e.dependent, e.required, e.mode
from unnest($1::bigint[]) u(key)
cross join lateral (select from task r where r.key = u.key and r.flags & (:flag_dependents | :flag_wide) = :flag_dependents offset 0) r
cross join lateral (select dependent, required, mode from edge where dependency = u.key offset 0) e

-- name: DependentsAfter
-- Up to $3 edges of one dependency, by dependent, after $2: for a followup.
select dependent, required, coalesce(mode, 0)::smallint from edge where dependency = $1 and dependent > $2 order by dependent limit $3

-- name: ApplyRows
-- Writes the changes to $12 tasks that are locked. Expects: state and attempt as loaded; fails when a row is not.
with w as (
update task t set state = u.state, attempt = u.attempt, remaining = u.remaining, failures = u.failures, crashes = u.crashes,
  worker = nullif(u.worker, 0), started_at = u.started_at, blocked_by = nullif(u.blocked_by, 0),
  progress = case when u.state = :running and u.was = :running then t.progress end,
  ready_at = case when u.state in (:held, :waiting, :delayed) then null
    when u.state not in (:ready, :running) or u.was in (:ready, :running) and u.attempt = u.was_attempt then t.ready_at
    when u.state = :running then u.started_at else clock_timestamp() end -- one that is handed over starts as it gets ready
from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::smallint[], $5::integer[], $6::integer[], $7::integer[],
  $8::integer[], $9::bigint[], $10::timestamptz[], $11::bigint[])
  u(key, was, was_attempt, state, attempt, remaining, failures, crashes, worker, started_at, blocked_by)
where t.key = u.key and t.state = u.was and t.attempt = u.was_attempt
returning t.key)
select changed(count(*), $12, 'change tasks') from w

-- name: ApplyOptimistic
-- Writes the changes to $10 tasks in their first attempts, and the attempts of those that completed. Expects each to be as was
-- assumed; fails when one is not. facts are packed as dag.Facts are. results: of completed ones, null for null. waited: by how many
-- microseconds each began after it was claimed.
-- Locks: tasks, by key.
with w as (
update task t set state = u.state, remaining = u.remaining, worker = nullif(u.worker, 0), progress = null,
  started_at = case when u.state = :running then now() when u.waited = 0 then t.started_at
    else least(now(), t.started_at + u.waited * interval '1 microsecond') end,
  ready_at = case when u.was <> :waiting then t.ready_at when u.state = :running then now() when u.state = :ready then clock_timestamp() end
from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::integer[], $5::bigint[], $6::smallint[], $7::integer[], $8::bigint[], $9::text[],
  $11::integer[], $12::bytea[])
  u(key, facts, was, was_remaining, was_worker, state, remaining, worker, result, waited, sealed)
where t.key = u.key and t.state = u.was and t.remaining = u.was_remaining and coalesce(t.worker, 0) = u.was_worker
  and (t.pool::bigint << 34) + (t.priority::bigint << 32) + t.flags = u.facts and t.attempt = 1 and t.failures = 0 and t.crashes = 0
returning t.key, t.state, t.started_at, u.was_worker, u.result, u.sealed
), a as (
insert into attempt (task, number, outcome, counted, worker, started_at, finished_at, result, sealed)
select key, 1, :outcome_completed, true, was_worker, started_at, greatest(now(), started_at), result::json, sealed from w where state = :completed
)
select changed(count(*), $10, 'change tasks') from w

-- name: InsertAttempts
-- The attempts that ended at $7.
insert into attempt (task, number, outcome, counted, worker, started_at, finished_at, result, error, detail, sealed, kind, outputs)
select u.task, u.number, u.outcome, u.counted, nullif(u.worker, 0), u.started_at, $7::timestamptz, u.result::json,
  nullif(u.error, ''), nullif(u.detail, ''), u.sealed, nullif(u.kind, ''), u.outputs::json
from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::boolean[], $5::bigint[], $6::timestamptz[], $8::text[],
  $9::text[], $10::text[], $11::bytea[], $12::text[], $13::text[])
  u(task, number, outcome, counted, worker, started_at, result, error, detail, sealed, kind, outputs)

-- name: InsertLargeAttempt
-- One attempt of those that InsertAttempts is not for: in an array, a large result would be copied several times over.
insert into attempt (task, number, outcome, counted, worker, started_at, finished_at, result, error, detail, sealed, kind, outputs)
values ($1, $2, $3, $4, nullif($5::bigint, 0), $6, $7, $8, nullif($9, ''), nullif($10, ''), $11, nullif($12, ''), $13::text::json)

-- name: FinishCancelledAttempts
-- Adds what the workers of cancelled attempts brought back, and takes away the start of those that never began. Expects: the row that
-- the cancellation wrote, which ended when it was asked for; a tree's was asked for earlier.
update attempt a set cancelled_at = least(a.finished_at, (select cancelled_at from tree where tree.key = u.task >> 24)), finished_at = greatest($4, a.finished_at), result = coalesce(u.result::json, a.result), started_at = case when u.began then a.started_at end
from unnest($1::bigint[], $2::integer[], $3::text[], $5::boolean[]) u(task, number, result, began)
where a.task = u.task and a.number = u.number and a.outcome = :outcome_cancelled

-- name: AssembleChunks
-- Puts large results together from their parts. A missing part, or none at all, makes the cast fail, and so the transaction:
-- it must fail in here, as the commit is sent along with it.
update attempt a set result = c.result::json
from (select u.task, u.number, case when count(c.index) = max(c.count)
        then convert_from(string_agg(c.data, ''::bytea order by c.index), 'UTF8') else '' end as result
      from unnest($1::bigint[], $2::integer[]) u(task, number) left join chunk c on c.task = u.task and c.attempt = u.number
      group by u.task, u.number) c
where a.task = c.task and a.number = c.number

-- name: AttemptValues
-- What the attempts $2 of the tasks $1 hold. No locks.
select a.task, a.number, a.result, a.error, a.detail, a.sealed, a.outputs from unnest($1::bigint[], $2::integer[]) u(task, number)
cross join lateral (select * from attempt where attempt.task = u.task and attempt.number = u.number offset 0) a

-- name: SetAttemptValues
-- What the attempt $2 of the task $1 holds from now on. Expects: it is there.
with w as (
update attempt set result = $3::json, error = $4, detail = $5, sealed = $6, outputs = $7::json where task = $1 and number = $2 returning 1)
select changed(count(*), 1, 'write what an attempt holds') from w

-- name: ChunksOf
-- The parts of the result of the attempt $2 of the task $1. No locks.
select count, data, sealed from chunk where task = $1 and attempt = $2 order by index

-- name: Incomplete
-- Those of the open attempts $1, $2 that lack parts of their results. No locks: parts of an open attempt only become more.
select u.task, u.number from unnest($1::bigint[], $2::integer[]) u(task, number)
cross join lateral (select from task where key = u.task and attempt = u.number and (worker is not null or state = :ready) offset 0) t
cross join lateral (select count(*) as n, coalesce(max(count), 1) as parts from chunk where task = u.task and attempt = u.number offset 0) c
where c.n < c.parts

-- name: DeleteChunks
delete from chunk c using unnest($1::bigint[], $2::integer[]) u(task, number) where c.task = u.task and c.attempt <= u.number

-- name: InsertTimers
-- Delays begin at $6; null: with the transaction.
insert into timer (at, task, attempt, kind)
select coalesce(u.at, coalesce($6, now()) + u.delay_ms * interval '1 millisecond'), u.task, u.attempt, u.kind
from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::double precision[], $5::timestamptz[]) u(task, attempt, kind, delay_ms, at)
on conflict do nothing

-- name: InsertFollowups
insert into followup (kind, task) select u.kind, u.task from unnest($1::smallint[], $2::bigint[]) u(kind, task)
on conflict (kind, task) do update set cursor = 0

-- name: LockTrees
-- Locks: trees, by key; always after tasks.
select 1 from tree where key = any($1::bigint[]) order by key for update

-- name: ApplyTrees
-- Adds deltas to the trees' aggregates, gives the events their places, and ends executions that nothing is left of. The time of
-- events, and of an end, is read when the tree is locked: it is not before that of anything that has happened in the tree. Webhooks of the
-- cluster that ask for ends get a cursor; the last but one column tells whether the tree may have any, the last how it ends if it does. The
-- end of a tree that a task has submitted, or that is a run of a schedule, is told to that by a followup.
-- Locks: trees; take LockTrees before when there are several. Then cursors of webhooks in trees that end.
with u as (
  select * from unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::integer[],
    $8::integer[], $9::integer[], $10::integer[], $11::boolean[], $12::bytea[])
    u(key, held, unfinished, running, completed, failed, cancelled, blocked, leaves_completed, events, started, body)
), t as (
  update tree set held = tree.held + u.held, unfinished = tree.unfinished + u.unfinished, running = tree.running + u.running,
    completed = tree.completed + u.completed, failed = tree.failed + u.failed, cancelled = tree.cancelled + u.cancelled,
    blocked = tree.blocked + u.blocked, leaves_completed = tree.leaves_completed + u.leaves_completed,
    started_at = case when u.started and tree.started_at is null then now() else tree.started_at end,
    finished_at = case when tree.unfinished + u.unfinished = 0 and tree.finished_at is null and tree.execution > 0
      then clock_timestamp() else tree.finished_at end,
    sequence = tree.sequence + u.events
      + case when tree.unfinished + u.unfinished = 0 and tree.finished_at is null and tree.execution > 0 then 1 else 0 end
  from u where tree.key = u.key
  returning tree.key, tree.sequence, u.events, u.body, tree.unfinished = 0 and u.unfinished < 0 and tree.execution > 0 as final, tree.hooked, tree.namespace, tree.root, tree.depth, tree.fire,
    case when tree.failed > tree.allowed then :end_failed when tree.cancelled > 0 then :end_cancelled else :end_completed end as ended,
    tree.leaves_completed / greatest(tree.leaves, 1)::real as progress
), e as (
  insert into event (tree, last, at, body)
  select key, sequence, clock_timestamp(), case when final then body || :event_final else body end from t where events > 0 or final
), h as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select t.key, w.key, t.sequence - 1, w.host
  from t cross join lateral (select key, host from webhook where tree is null and active and events & :webhook_ends <> 0 and t.final and namespace = t.namespace offset 0) w
  on conflict (tree, webhook) do update set wanted = webhook_cursor.wanted + 1
  returning tree
), x as (
  insert into webhook_end (tree, sequence, status, progress)
  select key, sequence, ended, progress from t where final and (hooked or key in (select tree from h))
), f as (
  insert into followup (kind, task)
  select :followup_tree, root from t where final and depth is not null union all select :followup_fire, root from t where final and fire is not null
  on conflict (kind, task) do update set cursor = 0
)
select key, sequence, final, hooked or key in (select tree from h), ended::smallint, fire is not null from t

-- name: ApplyTreesBeside
-- Adds deltas to what few trees count. Locks: trees, taken before.
update tree set skipped = tree.skipped + u.skipped, allowed = tree.allowed + u.allowed
from unnest($1::bigint[], $2::integer[], $3::integer[]) u(key, skipped, allowed) where tree.key = u.key

-- name: ApplyRepeats
-- The tasks $1 run once more, for the $2nd time, from the attempt $3 on. Expects: ApplyRows has made them ready or delayed in that attempt; fails when
-- one is not.
with w as (
update task t set repeats = u.repeats, run = u.run
from unnest($1::bigint[], $2::integer[], $3::integer[]) u(key, repeats, run)
where t.key = u.key and t.attempt = u.run and t.state in (:ready, :delayed)
returning 1)
select changed(count(*), cardinality($1::bigint[]), 'count repetitions') from w

-- name: FirstOfRun
-- The first attempt of the current run of the task $1, which is locked.
select coalesce(run, 1) from task where key = $1

-- name: PlaceStretches
-- Puts ready tasks in the queue of their pool: straight to published when the caller has room for them, their pool is not held back, and nothing of
-- their priority or above waits (an unlocked task never passes older ready ones), else to ready: those that had their turn
-- before ($7) ahead of all that wait. What waits is of its tree's share. Those of paused trees are parked. Gives what was published, and what
-- waits with its share.
with u as (
  select * from unnest($1::integer[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[], $6::boolean[], $7::boolean[])
    u(pool, priority, first, n, attempt, direct, again)
), v as (
  select u.*, k.parked, u.direct and not k.parked and not exists (
    select from ready r where r.pool = u.pool and r.priority <= u.priority)
    and (select true from pause where gate in (0, u.pool) limit 1) is null and (select true from limit_rule where gate in (0, u.pool) limit 1) is null as go
  from u cross join lateral (select (select true from pause where scope = :pause_tree and pool = 0 and tree = u.first >> 24 limit 1) is not null as parked) k
), p as (
  insert into published (pool, priority, first, n, attempt)
  select pool, priority, first, n, attempt from v where go returning first
), k as (
  insert into parked (tree, pool, priority, first, n, attempt, share)
  select first >> 24, pool, priority, first, n, attempt, coalesce((select share from tree where tree.key = v.first >> 24), 0) from v where parked order by priority, first
), q as (
  insert into ready (pool, priority, first, n, attempt, share)
  select pool, priority, first, n, attempt, coalesce((select share from tree where tree.key = v.first >> 24), 0) from v where not go and not parked and not again order by priority, first returning first, share
), r as (
  insert into ready (pool, priority, first, n, attempt, share, id) overriding system value
  select pool, priority, first, n, attempt, coalesce((select share from tree where tree.key = v.first >> 24), 0), nextval('ready_id_seq') - 9223372036854775807 from (select * from v where not go and not parked and again order by priority, first) v returning first, share
)
select first, true, 0 from p union all select first, false, share from q union all select first, false, share from r
