-- name: NextTrees
-- $1 new trees' keys, in their order, when they are created, when this server started, and the feature level in use.
select nextval('tree_key'), now(), pg_postmaster_start_time(), (select level_used from cluster) from generate_series(1, $1::integer)

-- name: FindSubmissions
-- What the idempotency keys $1 stand for in the namespaces $2, those that are known.
select s.key, s.digest, s.canonical, t.root_id, t.tasks, s.namespace from submission s
cross join lateral (select root_id, tasks from tree where tree.key = s.tree offset 0) t
where s.key = any($1::text[]) and s.namespace = any($2::integer[])

-- name: TakenIDs
-- Those of the ids $1 that tasks of the namespaces $2 have, and of which one.
select id, namespace from spec where id = any($1::text[]) and namespace = any($2::integer[])

-- name: TakenIDsOf
-- Those of the ids $1 that tasks of the namespaces $2 have which belong to the user $3, and of which one.
select s.id, s.namespace from spec s join tree on tree.key = s.key >> 24
where s.id = any($1::text[]) and s.namespace = any($2::integer[]) and tree.user_id = $3

-- name: InsertTrees
-- $7 is the execution: 1, with its first event, or 0 of a tree that is held. Each names the share of its user, which is made if there is none.
-- Locks: a share that nobody has named for an hour, unless somebody else does now.
with u as (
  select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::integer[], $9::integer[],
    $10::integer[], $11::integer[], $12::uuid[], $13::text[], $14::integer[], $15::bigint[])
    u(key, root, root_id, name, user_id, timeout_ms, execution, tasks, leaves, held, unfinished, uid, pools, namespace, bytes)
), named as (
  select distinct namespace, coalesce(user_id, '') as user_id from u
), had as (
  select s.id, named.namespace, named.user_id, s.named_at from named
  cross join lateral (select id, named_at from share where share.namespace = named.namespace and share.user_id = named.user_id offset 0) s
), touched as (
  update share set named_at = now()
  where id = any(array(select id from share where id = any(array(select id from had where named_at < now() - interval '1 hour')) for update skip locked))
), made as (
  insert into share (namespace, user_id)
  select namespace, user_id from named where (namespace, user_id) not in (select namespace, user_id from had) order by namespace, user_id
  on conflict (namespace, user_id) do update set named_at = now() returning id, namespace, user_id
), mine as (
  select id, namespace, user_id from had union all select id, namespace, user_id from made
)
insert into tree (key, root, root_id, name, user_id, timeout_ms, execution, sequence, tasks, leaves, held, unfinished, uid, pools, namespace, bytes, hooked, share)
select key, root, root_id, name, nullif(u.user_id, ''), nullif(timeout_ms, 0), execution, execution, tasks, leaves, held, unfinished, uid,
  array(select n::integer from string_to_table(pools, ',') n where n <> ''), u.namespace, bytes,
  execution > 0 and exists (select from webhook where webhook.tree is null and active and events & :webhook_begins <> 0 and webhook.namespace = u.namespace),
  coalesce(mine.id, 0)
from u left join mine on mine.namespace = u.namespace and mine.user_id = coalesce(u.user_id, '')

-- name: GiveDue
-- When the new trees $1 are due.
update tree set due_at = u.at from unnest($1::bigint[], $2::timestamptz[]) u(key, at) where tree.key = u.key

-- name: ImportTasks
-- In which attempt the new tasks $1 have ended, and what blocks them.
update task t set attempt = u.attempt, blocked_by = nullif(u.blocked_by, 0)
from unnest($1::bigint[], $2::integer[], $3::bigint[]) u(key, attempt, blocked_by) where t.key = u.key

-- name: InsertFirstEvents
-- The first events of the new trees $1, of the namespaces $2, and a cursor for each webhook of the cluster that asks for more than ends.
with e as (insert into event (tree, last, body) select key, 1, :event_execution from unnest($1::bigint[]) u(key))
insert into webhook_cursor (tree, webhook, sequence, host)
select u.tree, w.key, 0, w.host
from unnest($1::bigint[], $2::integer[]) u(tree, namespace)
cross join lateral (
  select key, host from webhook where tree is null and active and events & :webhook_begins <> 0 and webhook.namespace = u.namespace offset 0) w

-- name: InsertSubmissions
insert into submission (key, tree, digest, canonical, namespace) select * from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::integer[])

-- name: CopyPayloads
copy payload (key, inputs, params, schemas, custom, sealed, control) from stdin (format binary)

-- name: CopySpecs
copy spec (key, id, parent, name, executor, deps, dep_types, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
  schedule_to_start_ms, not_before, on_lost, ref, dep_modes, retry) from stdin (format binary)

-- name: CopySpecsInNamespace
-- As CopySpecs, of trees that are not all of default.
copy spec (key, id, parent, name, executor, deps, dep_types, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
  schedule_to_start_ms, not_before, on_lost, ref, dep_modes, retry, namespace) from stdin (format binary)

-- name: CopyLimitedSpecs
-- As CopySpecsInNamespace, of trees of which some ask for limits, locks or rates.
copy spec (key, id, parent, name, executor, deps, dep_types, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
  schedule_to_start_ms, not_before, on_lost, ref, dep_modes, retry, namespace, limits) from stdin (format binary)

-- name: CopyTasks
-- ready_at is when the tree is created, of tasks that begin as ready.
copy task (key, state, flags, priority, pool, remaining, ready_at) from stdin (format binary)

-- name: CopyEdges
copy edge (dependency, dependent, required, mode) from stdin (format binary)
