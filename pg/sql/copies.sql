-- name: LockCopied
-- Nobody starts, changes or deletes the tree $1 until the transaction ends; others may copy it.
select pg_advisory_xact_lock_shared(7237, hashint8($1))

-- name: TreeToCopy
select root, tasks, revision, coalesce(user_id, ''), namespace, bytes from tree where key = $1

-- name: CopyRows
-- Everything that planning a copy reads of a tree, in one snapshot; executors only of tasks whose executor nobody knew. $1, $2: its keys. No locks.
select t.key, t.state, t.flags, t.attempt, t.priority, t.pool, t.progress, s.parent, s.deps, s.dep_modes, case when t.flags & :flag_unknown <> 0 then s.executor end
from task t join spec s on s.key = t.key where t.key >= $1 and t.key < $2 order by t.key

-- name: KeysOf
-- The tasks with the ids $1 in the namespace $2. No locks.
select id, key from spec where id = any($1::text[]) and namespace = $2

-- name: TasksByKeys
select v.*, p.sealed as sealed_payload, a.sealed as sealed_attempt from unnest($1::bigint[]) with ordinality k(key, ord)
cross join lateral (select * from shown_ready t where t.key = k.key offset 0) v
left join lateral (select sealed from payload where payload.key = v.key offset 0) p on true
left join lateral (select sealed from attempt where attempt.task = v.key and attempt.number = v.attempt offset 0) a on true order by k.ord

-- name: CopyCopiedTasks
copy task (key, state, flags, priority, pool, remaining, progress) from stdin (format binary)

-- name: InsertCopiedSpecs
-- Copies the specifications of the tasks $1 to $2, with the parents $3 and the dependencies $4, or those of the original if $5. $6: with what the
-- submission called them. Fails unless all $7 are there. Locks: nothing but new rows.
with c as (
  insert into spec (key, id, parent, name, executor, deps, dep_types, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
    schedule_to_start_ms, not_before, on_lost, ref, original, namespace, dep_modes, retry, limits)
  select u.copy, gen_random_uuid()::text, u.parent, s.name, s.executor,
    case when $5::boolean then s.deps else nullif(string_to_array(u.deps, ','), '{}')::integer[] end, s.dep_types, s.max_attempts, s.backoff,
    s.initial_delay_ms, s.max_delay_ms, s.timeout_ms, s.schedule_to_start_ms, s.not_before, s.on_lost,
    case when $6::boolean then coalesce(s.ref, s.id) end, s.id, s.namespace, s.dep_modes, s.retry, s.limits
  from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[]) u(key, copy, parent, deps)
  cross join lateral (select * from spec where spec.key = u.key offset 0) s
  returning 1)
select changed(count(*), $7, 'copy specifications') from c

-- name: InsertCopiedPayloads
-- Copies what the tasks $1 carry, as it was submitted, to $2.
insert into payload (key, inputs, params, schemas, custom, sealed, control)
select u.copy, p.inputs, p.params, p.schemas, p.custom, p.sealed, p.control from unnest($1::bigint[], $2::bigint[]) u(key, copy)
cross join lateral (select * from payload where payload.key = u.key offset 0) p

-- name: InsertCopiedAttempts
-- Copies the last attempts $2 of the tasks $1, which ended, to $3, as their first ones: with result, times and error as they are, but for what $5 to $8 leave
-- out. Of a task of the tree $4 that was cancelled before it ran, the tree's row tells that. Fails unless all $9 are there. Locks: nothing but new rows.
with c as (
  insert into attempt (task, number, outcome, counted, worker, started_at, finished_at, result, error, detail, cancelled_at, sealed, kind, outputs)
  select u.copy, 1, coalesce(a.outcome, :outcome_cancelled), coalesce(a.counted, false), a.worker, case when not $5::boolean then a.started_at end,
    case when $6::boolean then now() else coalesce(a.finished_at, tree.cancelled_at) end, case when not $7::boolean then a.result end,
    case when not $8::boolean then coalesce(a.error, case when a.outcome is null then tree.cancel_message end) end, a.detail, a.cancelled_at, a.sealed, a.kind, case when not $7::boolean then a.outputs end
  from unnest($1::bigint[], $2::integer[], $3::bigint[]) u(key, number, copy)
  cross join lateral (select cancelled_at, cancel_message from tree where tree.key = $4 offset 0) tree
  left join lateral (select * from attempt where attempt.task = u.key and attempt.number = u.number offset 0) a on true
  where a.outcome is not null or tree.cancelled_at is not null
  returning 1)
select changed(count(*), $9, 'copy attempts') from c

-- name: MarkCopied
-- The tasks $1, by key, were copied. Locks: their rows of copied, by key, until another copy of the same tasks has committed.
insert into copied (task) select * from unnest($1::bigint[]) on conflict do nothing

-- name: InsertCopiedTree
-- The row of the tree $2, a copy of $1, which is held; and its labels. Expects the original at the revision $3, unless that is null; fails if it is not. $4 root, $5 tasks,
-- $6 leaves, $7 held, $8 completed, $9 failed, $10 cancelled, $11 completed leaves, $12 pools, $13: with a name of its own, $14 bytes, $15 skipped, $16 allowed failures. Locks: the original, against
-- its deletion only.
with o as (
  select user_id, timeout_ms, namespace, share from tree where key = $1 and ($3::bigint is null or revision = $3) for key share
), t as (
  insert into tree (key, root, root_id, name, user_id, timeout_ms, tasks, leaves, held, unfinished, completed, failed, cancelled, leaves_completed, uid, pools,
    namespace, bytes, skipped, allowed, share)
  select $2, $4, s.id, s.name, o.user_id, o.timeout_ms, $5, $6, $7, 0, $8, $9, $10, $11, case when $13::boolean then gen_random_uuid() end, $12, o.namespace, $14, $15, $16, o.share
  from o cross join lateral (select id, name from spec where spec.key = $4 offset 0) s
  returning root_id
), l as (
  insert into label (tree, key, value) select $2, label.key, label.value from label where label.tree = $1
)
select changed(count(*), 1, 'copy tree'), max(root_id) from t

-- name: DeleteCopied
delete from copied where task >= $1 and task < $2

-- name: DeleteStrayCopied
-- Of the first $1 copied tasks those whose trees are gone: a coordinator deleted them that did not know of copies.
delete from copied where task in (
  select c.task from (select task from copied order by task limit $1) c
  where not exists (select from tree where tree.key = c.task >> 24 offset 0))
