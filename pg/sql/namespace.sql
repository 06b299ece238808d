-- Namespaces: few rows, of which coordinators remember each for a while. A transaction that stores something in another namespace than default keeps
-- its row (KeepNamespaces), so that none is stored in one that is gone.

-- name: InsertNamespace
-- A new namespace. $3 to $6: quotas, or null; when there is one, what is stored is counted, from nothing on.
insert into namespace (name, description, open_trees, trees, tasks, bytes, has_trees, has_tasks, has_bytes)
select $1, $2, q.open_trees, q.trees, q.tasks, q.bytes, n, n, n
from (select $3::bigint as open_trees, $4::bigint as trees, $5::bigint as tasks, $6::bigint as bytes) q
cross join lateral (select case when coalesce(q.open_trees, q.trees, q.tasks, q.bytes) is not null then 0 end as n) c
returning key

-- name: CountNamespaces
select count(*) from namespace

-- name: NamespaceByName
select key, name, description, created_at, open_trees, trees, tasks, bytes, has_trees, has_tasks, has_bytes, closed_at from namespace where name = $1

-- name: NamespacesByKeys
select key, name, description, created_at, open_trees, trees, tasks, bytes, has_trees, has_tasks, has_bytes, closed_at from namespace
where key = any($1::integer[])

-- name: NamespacesAfter
-- By name, after $1.
select key, name, description, created_at, open_trees, trees, tasks, bytes, has_trees, has_tasks, has_bytes, closed_at from namespace
where name > $1 order by name limit $2

-- name: NamespaceOfTrees
select key, namespace from tree where key = any($1::bigint[])

-- name: KeepNamespaces
-- Fails unless all namespaces $1 are there, and open; they stay until the transaction ends. Locks: namespaces, against their deletion only, and those
-- whose rows are counted, exclusively, by key.
with kept as (
  select key from namespace where key = any($1::integer[]) and closed_at is null and has_trees is null order by key for key share
), counted as (
  select key from namespace where key = any($1::integer[]) and closed_at is null and has_trees is not null order by key for no key update
)
select refuse_quota(key::text, '', 0, 0) from unnest($1::integer[]) key where key not in (select key from kept) and key not in (select key from counted)

-- name: AddStored
-- Adds what a transaction stores ($2 trees, $3 tasks, $4 bytes) to the namespaces $1 that are counted, each once. Fails above a quota. Expects:
-- KeepNamespaces has locked them.
with u as (
  select * from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[]) u(key, trees, tasks, bytes)
), n as (
  update namespace n set has_trees = n.has_trees + u.trees, has_tasks = n.has_tasks + u.tasks, has_bytes = n.has_bytes + u.bytes
  from u where n.key = u.key and n.has_trees is not null
  returning n.name, n.trees, n.tasks, n.bytes, n.has_trees, n.has_tasks, n.has_bytes
)
select case when has_trees > trees then refuse_quota(name, 'trees', trees, has_trees) when has_tasks > tasks then refuse_quota(name, 'tasks', tasks, has_tasks)
  else refuse_quota(name, 'bytes', bytes, has_bytes) end
from n where has_trees > trees or has_tasks > tasks or has_bytes > bytes

-- name: RequireFewOpenTrees
-- Fails when more trees of the namespace $1 are open than may be, with those of this transaction. Counts up to the quota. Expects: KeepNamespaces has
-- locked it, so that one transaction at a time is here.
select refuse_quota(n.name, 'open_trees', n.open_trees, c.n) from namespace n
cross join lateral (
  select count(*) as n from (
    select from tree where finished_at is null and unfinished > 0 and :within(tree.namespace, $1) limit n.open_trees + 1) t) c
where n.key = $1::integer and n.open_trees is not null and c.n > n.open_trees

-- name: TakeStored
-- The tree $1 is about to be deleted. Locks: its namespace, if that is counted.
update namespace n set has_trees = greatest(n.has_trees - 1, 0), has_tasks = greatest(n.has_tasks - t.tasks, 0), has_bytes = greatest(n.has_bytes - coalesce(t.bytes, 0), 0)
from tree t where t.key = $1 and n.key = t.namespace and n.has_trees is not null

-- name: GrowBytes
-- Tasks that carry $2 bytes were added to the tree $1.
update tree set bytes = bytes + $2 where key = $1

-- name: LockNamespace
-- Locks: the namespace, after what is being stored in it.
select key from namespace where key = $1 for update

-- name: CountStored
-- What is stored in a namespace. Reads the rows of its trees.
select count(*), coalesce(sum(tasks), 0)::bigint, coalesce(sum(bytes), 0)::bigint from tree where :within(namespace, $1)

-- name: UpdateNamespace
-- $3 to $6: quotas, or null; $7 to $9: what is stored, or null, if it is not counted.
update namespace set description = $2, open_trees = $3, trees = $4, tasks = $5, bytes = $6, has_trees = $7, has_tasks = $8, has_bytes = $9
where key = $1 and closed_at is null returning key

-- name: CorrectStored
update namespace set has_trees = $2, has_tasks = $3, has_bytes = $4 where key = $1 and has_trees is not null

-- name: CountedNamespaces
select key from namespace where has_trees is not null order by key

-- name: NamespaceTurn
-- Whether this transaction is the one that corrects what is counted. Holds until its end.
select pg_try_advisory_xact_lock(7238, 2)

-- name: CloseNamespace
-- From its commit on nothing is stored in the namespace $1, which LockNamespace has locked. $2: though it has trees or schedules. No row: it has some.
update namespace set closed_at = coalesce(closed_at, now())
where key = $1 and key <> 0 and ($2::boolean or closed_at is not null or not exists (select from tree where namespace = $1::integer and namespace <> 0)
  and not exists (select from schedule where namespace = $1))
returning key

-- name: ClosedNamespaces
select key from namespace where closed_at is not null order by closed_at limit 100

-- name: TreesToDelete
-- The first $2 trees of the namespace $1, which is closed.
select key, root, unfinished + held + blocked > 0, running > 0, execution > 0 from tree where namespace = $1::integer and namespace <> 0 order by key limit $2

-- name: DropNamespace
-- Forgets the namespace $1, which is closed, and all that names it, if it has no trees any more.
with n as (
  delete from namespace where key = $1 and closed_at is not null and not exists (select from tree where namespace = $1::integer and namespace <> 0) returning key, name
), w as (
  delete from webhook where tree is null and namespace in (select key from n) returning key
), c as (
  delete from webhook_cursor where webhook in (select key from w)
), d as (
  delete from webhook_delivery where webhook in (select key from w)
), k as (
  delete from model_key where namespace in (select name from n)
), a as (
  delete from api_key where namespace in (select name from n)
), l as (
  delete from limit_rule where namespace in (select key from n)
), s as (
  delete from share where namespace in (select key from n)
), e as (
  delete from schedule where namespace in (select key from n) returning key
), f as (
  delete from fire where schedule in (select key from e)
), g as (
  delete from backfill where schedule in (select key from e)
)
select count(*) from n
