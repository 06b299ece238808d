-- name: TasksFrom
-- The first $2 tasks by id, byte by byte, of those that are not before $1: first the one with that id, then those whose ids begin
-- with it, then others. With $3 only those of that owner, and only those whose ids begin with $1. Of the namespace $5. Among the first $4. No locks;
-- a probe for each.
select s.key, s.id, tree.root_id as tree_id, s.name, t.state
from (select key, id, name, namespace from spec where id ~>=~ $1 and :among(namespace, $5) order by id using ~<~ limit $4) s
cross join lateral (select root_id from tree where tree.key = s.key >> 24 and ($3::text is null or starts_with(s.id, $1) and user_id = $3) offset 0) tree
cross join lateral (select state from task where task.key = s.key offset 0) t
where s.namespace = $5 order by s.id using ~<~ limit $2

-- name: TasksNamed
-- The first $5 tasks that have the name $3, or that their submission calls so, among the first $4 of the keys in [$1, $2). No locks.
select s.key, s.id, tree.root_id as tree_id, s.name, t.state
from (select key, id, name, ref from spec where key >= $1 and key < $2 order by key limit $4) s
cross join lateral (select state from task where task.key = s.key offset 0) t
cross join lateral (select root_id from tree where tree.key = s.key >> 24 offset 0) tree
where s.name = $3 or s.ref = $3 order by s.key limit $5

-- name: TreesSince
-- Where the trees begin that were created at $1 or later: all keys below are of older ones. Keys and times of creation rise
-- together, but for transactions that begin at the same moment. By halving: some 40 probes. No row: there are no trees.
with recursive halves(low, high) as (
  select (select min(key) from tree), (select max(key) from tree) + 1
  union all
  select case when t.created_at < $1 then t.key + 1 else h.low end, case when t.created_at < $1 then h.high else (h.low + h.high) / 2 end
  from halves h
  left join lateral (
    select key, created_at from tree where key >= (h.low + h.high) / 2 and key < h.high order by key limit 1) t on true
  where h.low < h.high
)
select low from halves where low >= high

-- name: TaskBelow
-- The last of the $3 tasks that a walk down the keys in [$2, $1) looks at; no row: there are fewer.
select key from task where key < $1 and key >= $2 and $4::integer = 0 order by key desc offset $3 - 1 limit 1

-- name: TaskBelowInNamespace
-- As TaskBelow, of the walk of TasksDownInNamespace through the namespace $4.
select t.key from (
  select key from tree where namespace = $4::integer and namespace <> 0 and key <= $1::bigint >> 24 and key >= $2::bigint >> 24 order by key desc offset 0) n
cross join lateral (
  select key from task where task.key >= n.key << 24 and task.key < (n.key + 1) << 24 and task.key < $1 and task.key >= $2 order by key desc limit $3) t
order by n.key desc, t.key desc offset $3 - 1 limit 1

-- name: TreeBelow
-- As TaskBelow, of trees.
select key from tree where key < $1 and key >= $2 and :among(namespace, $4) order by key desc offset $3 - 1 limit 1

-- name: OptionsOf
-- What the tasks $1 were submitted with, besides what they show; the timeout of a tree with its root.
select s.key, s.max_attempts, s.backoff, s.initial_delay_ms, s.max_delay_ms, s.timeout_ms, s.schedule_to_start_ms, s.not_before, s.on_lost,
  tree.timeout_ms as tree_timeout_ms, s.retry, tree.retention_s
from unnest($1::bigint[]) u(key)
cross join lateral (select * from spec where spec.key = u.key offset 0) s
left join lateral (select timeout_ms, case when keeping is not null then (select retention_s from keeping where keeping.tree = tree.key) end as retention_s
  from tree where tree.key = u.key >> 24 and tree.root = u.key offset 0) tree on true
