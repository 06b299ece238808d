-- Edits of stored trees: updates and deletions of tasks, and tasks that are added. Each edit is one transaction, which takes the tree's advisory
-- lock first (LockExecution): so the edges of a tree change by nobody else meanwhile. Then it locks tasks, and the tree last.

-- name: LockEditLevel
-- Locks: the cluster's row, unless coordinators have used the level $1 before. A coordinator below it that begins waits, and is refused.
select from cluster where level_used < $1 for update

-- name: CheckEditLevel
-- Fails when the level $1 is used for the first time and a live coordinator is below it. Workers need not have it.
select refuse_level('coordinator "' || name || '"', version, level) from coordinator
where level < $1 and lease_until > clock_timestamp() and exists (select from cluster where level_used < $1) order by level, name limit 1

-- name: UseEditLevel
update cluster set level_used = $1, level_version = $2 where level_used < $1

-- name: TreeToEdit
-- No row: there is no such tree.
select root, root_id, name, coalesce(user_id, ''), tasks, coalesce(span, tasks), execution, unfinished, revision, created_at, cancelled_at is not null, coalesce(pools, '{}'), namespace,
  keeping is not null and exists (select from keeping k where k.tree = tree.key and k.held_at is not null)
from tree where key = $1

-- name: TaskToEdit
-- No locks: what of it may change meanwhile is looked at again under the task's lock.
select s.id, coalesce(s.ref, s.id), s.name, s.parent, s.executor, s.deps, s.dep_types, s.dep_modes, t.state, t.flags, coalesce(pool.name, ''), p.inputs, p.params, p.schemas, p.custom,
  a.started_at, a.finished_at, s.max_attempts, s.timeout_ms, p.control, p.sealed, s.limits
from task t
join spec s on s.key = t.key
left join payload p on p.key = t.key
left join pool on pool.id = t.pool
left join attempt a on a.task = t.key and a.number = t.attempt
where t.key = $1

-- name: AddressesOf
-- What the tasks $1 may be called by templates of others, and what they say beyond the protocol. No locks.
select s.key, coalesce(s.ref, s.id), s.name, p.control, p.sealed from unnest($1::bigint[]) with ordinality u(key, ord)
cross join lateral (select key, ref, id, name from spec where spec.key = u.key offset 0) s
left join lateral (select control, sealed from payload where payload.key = u.key offset 0) p on true
order by u.ord

-- name: FindReferences
-- The tasks of the keys in [$1, $2) that are called so in their submission, or have the ids. Reads that range.
select key, id, coalesce(ref, id) from spec where key >= $1 and key < $2 and (id = any($3::text[]) or ref = any($3::text[])) order by key

-- name: DependentsOfTask
-- What depends on the task $1, its first $2 dependents.
select dependent, required, coalesce(mode, 0)::smallint from edge where dependency = $1 order by dependent limit $2

-- name: ExecutingDependents
-- The first $2 tasks that depend on the task $1 and are in progress.
select s.id from edge e cross join lateral (select key from task where task.key = e.dependent and state = :running offset 0) t
cross join lateral (select id from spec where spec.key = t.key offset 0) s
where e.dependency = $1 order by t.key limit $2

-- name: CountEdges
-- How many edges the keys in [$1, $2) have. Reads them.
select count(*) from edge where dependency >= $1 and dependency < $2

-- name: EditRows
-- Writes what only edits change of $7 tasks that are locked. Expects: state and attempt as loaded; fails when a row is not.
with w as (
update task t set flags = u.flags, priority = u.priority, pool = u.pool
from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::integer[], $5::smallint[], $6::integer[]) u(key, was, was_attempt, flags, priority, pool)
where t.key = u.key and t.state = u.was and t.attempt = u.was_attempt
returning t.key)
select changed(count(*), $7, 'edit tasks') from w

-- name: EditSpec
-- Expects: the task is there.
with w as (
update spec set name = $2, executor = $3, deps = $4, dep_types = $5, dep_modes = $6 where key = $1 returning key)
select changed(count(*), 1, 'edit a specification') from w

-- name: KeepSentPayload
-- Keeps what the attempt $2 of the task $1, which runs, was sent. It may be kept already.
insert into sent_payload (key, attempt, inputs, params, schemas, sealed, control)
select t.key, t.attempt, p.inputs, p.params, p.schemas, p.sealed, p.control from task t left join payload p on p.key = t.key
where t.key = $1 and t.attempt = $2 and t.state = :running
on conflict do nothing

-- name: EditPayload
insert into payload (key, inputs, params, schemas) values ($1, $2, $3, $4)
on conflict (key) do update set inputs = coalesce(excluded.inputs, payload.inputs), params = coalesce(excluded.params, payload.params),
  schemas = coalesce(excluded.schemas, payload.schemas)

-- name: ReplacePayload
-- All that the task $1 carries.
insert into payload (key, inputs, params, schemas, custom, sealed, control) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (key) do update set inputs = excluded.inputs, params = excluded.params, schemas = excluded.schemas, custom = excluded.custom, sealed = excluded.sealed,
  control = excluded.control

-- name: DeleteEdgesOf
-- Locks nothing but the edges: the task and its dependencies are locked.
delete from edge where dependent = $1 and dependency = any($2::bigint[])

-- name: InsertEdges
insert into edge (dependency, dependent, required, mode) select u.dependency, $1, u.required, nullif(u.mode, 0)
from unnest($2::bigint[], $3::boolean[], $4::smallint[]) u(dependency, required, mode)

-- name: HasEdges
-- How many tasks depend on each of the tasks $1, counted up to $2; none: no row.
select u.key, c.n from unnest($1::bigint[]) u(key)
cross join lateral (select count(*) as n from (select from edge where dependency = u.key limit $2) e) c where c.n > 0

-- name: EnsureAttempt
-- Writes down what the tree's row says of a task that its cancellation ended before it ran, so that it can be changed.
insert into attempt (task, number, outcome, counted, finished_at, error)
select t.key, t.attempt, :outcome_cancelled, false, tree.cancelled_at, tree.cancel_message
from task t join tree on tree.key = t.key >> 24 where t.key = $1 and t.state = :cancelled and tree.cancelled_at is not null
on conflict do nothing

-- name: EditAttempt
-- What is null stays. Expects: the attempt $2 has ended; fails when it has not.
with w as (
update attempt set result = coalesce($3::json, result), error = coalesce($4, error), started_at = coalesce($5, started_at),
  finished_at = coalesce($6, finished_at)
where task = $1 and number = $2 returning task
), r as (update task set ready_at = $5 where key = $1 and attempt = $2 and ready_at > $5)
select changed(count(*), 1, 'edit an attempt') from w

-- name: EditRunning
-- Of the attempt $2, which runs.
update task set started_at = coalesce($3, started_at), ready_at = case when ready_at is not null then least(ready_at, $3) end where key = $1 and attempt = $2 and state = :running

-- name: EditProgress
update task set progress = $2 where key = $1

-- name: EditTree
-- Raises the tree's revision and corrects its totals; $6: its name, or null; $7: pools that its tasks name, too, or null; $8: how many keys
-- it uses more. Expects: the revision $2,
-- and, unless $3 is null, that its execution has unfinished tasks, or has not; fails when that is not so. Locks: the tree.
with w as (
update tree set revision = revision + 1, tasks = tasks + $4, leaves = leaves + $5, span = coalesce(span, tasks) + $8, name = coalesce($6, name),
  pools = case when $7::integer[] is null or pools is null then pools else array(select unnest(pools) union select unnest($7)) end
where key = $1 and revision = $2 and ($3::boolean is null or (unfinished > 0) = $3)
returning key)
select changed(count(*), 1, 'edit a tree') from w

-- name: DeleteSentPayloads
delete from sent_payload where key >= $1 and key < $2

-- name: DeleteOldSentPayloads
-- What was kept for attempts that have ended.
delete from sent_payload s where not exists (select from task t where t.key = s.key and t.attempt = s.attempt and t.state = :running)

-- name: LockTree
-- All tasks of the keys in [$1, $2). Locks: tasks, by key.
select key, state, worker, pool, priority, flags from task where key >= $1 and key < $2 order by key for update

-- name: DeleteEdgePairs
-- The edges from the tasks $1 to those of the same place in $2.
delete from edge e using unnest($1::bigint[], $2::bigint[]) u(dependency, dependent) where e.dependency = u.dependency and e.dependent = u.dependent

-- name: DeleteEdgesFrom
delete from edge where dependency = any($1::bigint[])

-- name: RewireSpec
-- $2 and $3 are null if the task depends on nothing any more.
update spec set deps = $2, dep_types = $3, dep_modes = $4 where key = $1

-- name: DeleteTheseTasks
-- All that is kept of the tasks $1, which are locked, but for their edges. Expects: they are there.
with a as (delete from attempt where task = any($1::bigint[])),
  u as (delete from model_usage where task = any($1::bigint[])),
  p as (delete from payload where key = any($1::bigint[])),
  o as (delete from copied where task = any($1::bigint[])),
  n as (delete from sent_payload where key = any($1::bigint[])),
  s as (delete from spec where key = any($1::bigint[])),
  m as (delete from timer where task = any($1::bigint[])),
  c as (delete from chunk where task = any($1::bigint[])),
  w as (delete from await where task = any($1::bigint[])),
  g as (delete from signal where task = any($1::bigint[])),
  x as (delete from expansion where task = any($1::bigint[])),
  r as (delete from expansion_part where task = any($1::bigint[])),
  k as (delete from checkpoint where task = any($1::bigint[])),
  h as (delete from caching where task = any($1::bigint[])),
  i as (delete from cached where task = any($1::bigint[])),
  j as (delete from cache where task = any($1::bigint[])),
  b as (delete from subtree where task = any($1::bigint[])),
  t as (delete from task where key = any($1::bigint[]) returning key)
select changed(count(*), cardinality($1::bigint[]), 'delete tasks') from t

-- name: DeleteBeyond
-- What tasks of the keys in [$1, $2) have that few trees have.
with w as (delete from await where task >= $1 and task < $2),
  g as (delete from signal where task >= $1 and task < $2),
  x as (delete from expansion where task >= $1 and task < $2),
  r as (delete from expansion_part where task >= $1 and task < $2),
  k as (delete from checkpoint where task >= $1 and task < $2),
  h as (delete from caching where task >= $1 and task < $2),
  i as (delete from cached where task >= $1 and task < $2),
  j as (delete from cache where task >= $1 and task < $2),
  b as (delete from subtree where task >= $1 and task < $2)
select

-- name: DeleteStrayBeyond
-- Likewise of up to $1 rows of each kind whose tasks are gone: an older coordinator has deleted their trees.
with w as (delete from await where task in (select a.task from await a where not exists (select from task t where t.key = a.task) limit $1)),
  g as (delete from signal where task in (select a.task from signal a where not exists (select from task t where t.key = a.task) limit $1)),
  x as (delete from expansion where task in (select a.task from expansion a where not exists (select from task t where t.key = a.task) limit $1)),
  r as (delete from expansion_part where task in (select a.task from expansion_part a where not exists (select from task t where t.key = a.task) limit $1)),
  k as (delete from checkpoint where task in (select a.task from checkpoint a where not exists (select from task t where t.key = a.task) limit $1)),
  b as (delete from subtree where task in (select a.task from subtree a where not exists (select from task t where t.key = a.task) limit $1)),
  h as (delete from caching where task in (select a.task from caching a where not exists (select from task t where t.key = a.task) limit $1)),
  i as (delete from cached where task in (select a.task from cached a where not exists (select from task t where t.key = a.task) limit $1)),
  j as (delete from cache where task in (select a.task from cache a where not exists (select from task t where t.key = a.task) limit $1)),
  u as (delete from unique_key where tree in (select a.tree from unique_key a where not exists (select from tree t where t.key = a.tree) limit $1))
select

-- name: SpecsToRewire
select key, deps, dep_types, dep_modes from spec where key = any($1::bigint[]) order by key

-- name: TreeUnstarted
-- Whether no task of the tree has started or ended: all are held, or all are in its first execution.
select execution <= 1 and started_at is null and running + completed + failed + cancelled + blocked = 0 and cancelled_at is null and (held = 0 or unfinished = 0)
from tree where key = $1

-- name: RequireUnstarted
-- Expects what TreeUnstarted asks of the tree, which is locked; fails otherwise.
select changed(count(*), 1, 'add to a tree') from tree where key = $1 and execution <= 1 and started_at is null
  and running + completed + failed + cancelled + blocked = 0 and cancelled_at is null and (held = 0 or unfinished = 0)
