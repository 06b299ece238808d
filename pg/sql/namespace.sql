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
