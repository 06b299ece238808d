-- Expansions: tasks that attempts found. Who makes, ends or cancels them holds the followup, and then locks the expanded task before those below it, and the
-- tree last.

-- name: ExpandingTask
-- What the tasks that $1 finds are made with, and how many above it found what it is below of, counted up to $2. No locks.
select s.name, coalesce(tree.user_id, ''), tree.namespace, coalesce(tree.pools, '{}'), t.state, t.attempt,
  case when t.flags & :flag_child = 0 then 0 else (
    with recursive above(parent, found) as (
      select s.parent, 0
      union all
      select p.parent, above.found + (select count(*)::integer from expansion e where e.task = p.key)
      from above join spec p on p.key = ((t.key >> 24) << 24) + above.parent where above.parent >= 0 and above.found < $2)
    select max(found) from above) end
from task t join spec s on s.key = t.key join tree on tree.key = t.key >> 24 where t.key = $1

-- name: ReserveKeys
-- Gives $2 keys of the tree $1, unless it would have more than $3 tasks, with those that are yet to be made, or would have used all keys, of which there are $5; raises its
-- revision; its tasks name the pools $4, too. No row: it is full. Keys of tasks that are gone are used once more by nobody, so most trees are told by them alone.
-- Locks: the tree.
update tree set span = coalesce(span, tasks) + $2, revision = revision + 1,
  pools = case when pools is null then null else array(select unnest(pools) union select unnest($4::integer[])) end
where key = $1 and (coalesce(span, tasks) + $2 <= $3 or coalesce(span, tasks) + $2 <= $5
  and tasks + $2 + (select coalesce(sum(n - made), 0) from expansion where task >= $1 << 24 and task < ($1 + 1) << 24) <= $3)
returning coalesce(span, tasks) - $2

-- name: RequireRoom
-- Fails if the namespace $1 had no room for $2 tasks more that carry $3 bytes. They are counted as they are made. No locks.
select case when has_tasks + $2 > tasks then refuse_quota(name, 'tasks', tasks, has_tasks + $2) else refuse_quota(name, 'bytes', bytes, has_bytes + $3) end
from namespace where key = $1 and has_trees is not null and (has_tasks + $2 > tasks or has_bytes + $3 > bytes)

-- name: AddFound
-- $2 tasks that were found and carry $3 bytes are in the namespace $1 from now on: there was room when they were found. Expects: KeepNamespaces has locked it.
update namespace set has_tasks = has_tasks + $2, has_bytes = has_bytes + $3 where key = $1 and has_trees is not null

-- name: CopyExpansionParts
copy expansion_part (task, part, n, body, sealed) from stdin (format binary)

-- name: ForgetExpansion
-- What an earlier attempt of the task $1 found.
with p as (delete from expansion_part where task = $1) delete from expansion where task = $1

-- name: InsertExpansion
insert into expansion (task, attempt, first, n, per_item, parts, collect, at_once, stop, alone) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: ExpansionWork
-- Which kinds of followups of expansions, and of trees that tasks submit, there are.
select kind from followup where kind in (:followups_expanding) group by kind

-- name: TakeExpanding
-- Up to $2 followups of the kind $1, those first that had the fewest turns. Locks: followups, skipping those that another coordinator does.
select task, cursor from followup where kind = $1 order by cursor, task limit $2 for update skip locked

-- name: GrowWindows
-- Those of the expanded tasks $1, which are locked, that make an item, or let one go, when one has ended. It never waits for who makes items: that one looks again.
insert into followup (kind, task) select :followup_grow, e.task from unnest($1::bigint[]) u(key)
cross join lateral (select task from expansion where task = u.key and at_once > 0 and (made < n or part < 0) offset 0) e
on conflict do nothing

-- name: ReadExpansion
-- An expansion, and its tree. No locks.
select e.attempt, e.first, e.n, e.per_item, e.made, e.parts, e.part, e.within, e.collect, e.at_once, e.stop, e.alone, t.state, t.attempt, t.remaining, t.flags,
  coalesce(tree.user_id, ''), tree.namespace, tree.failed > tree.allowed or tree.cancelled > 0, tree.cancelled_at is not null, s.name, s.id, tree.root_id
from expansion e join task t on t.key = e.task join tree on tree.key = e.task >> 24 join spec s on s.key = e.task where e.task = $1

-- name: ExpansionPart
select n, body, sealed from expansion_part where task = $1 and part = $2

-- name: ItemsInProgress
-- How many items have an unfinished task among the keys in [$1, $2), $3 keys each. Reads them.
select count(distinct (key - $1) / $3) from task where key >= $1 and key < $2 and state in (:unfinished)

-- name: HasFailedBelow
-- Whether a task of the keys in [$1, $2) failed that may not, or was cancelled.
select exists (select from task where key >= $1 and key < $2 and (state = :failed and flags & :flag_allowed = 0 or state = :cancelled))

-- name: GrowTree
-- Adds $2 tasks and $3 leaves that carry $4 bytes to the tree $1, and raises its revision. Fails if it was cancelled.
-- Locks: the tree.
with w as (
update tree set revision = revision + 1, tasks = tasks + $2, leaves = leaves + $3, bytes = bytes + $4 where key = $1 and cancelled_at is null returning key)
select changed(count(*), 1, 'add tasks that were found') from w

-- name: UnlockFrom
-- Has those of the tasks $1 that have ended tell their dependents after $2, and gives them. Locks: their followups, which it waits for.
insert into followup (kind, task, cursor) select :followup_unlock, t.key, $2 from unnest($1::bigint[]) u(key)
cross join lateral (select key from task where task.key = u.key and state in (:settled) offset 0) t order by t.key
on conflict (kind, task) do update set cursor = least(followup.cursor, excluded.cursor)
returning task

-- name: MoveExpansion
-- Expects: it is where it was when its tasks were read.
with w as (
update expansion set made = $4, part = $5, within = $6 where task = $1 and attempt = $2 and made = $3 and part = $7 and within = $8 returning task)
select changed(count(*), 1, 'move an expansion') from w

-- name: ReleasableAfter
-- Up to $3 tasks of the keys in [$1, $2) that wait for nothing.
select key from task where key >= $1 and key < $2 and state = :waiting and remaining = 0 order by key limit $3

-- name: UnfinishedAfter
-- Up to $3 unfinished tasks of the keys in [$1, $2).
select key from task where key >= $1 and key < $2 and state in (:unfinished) order by key limit $3

-- name: FirstFailedBelow
-- The first task of the keys in [$1, $2) that failed and may not, or was cancelled.
select t.key, s.id, s.name, t.state, a.error, a.sealed from task t
cross join lateral (select id, name from spec where spec.key = t.key offset 0) s
left join lateral (select error, sealed from attempt where attempt.task = t.key and attempt.number = t.attempt offset 0) a on true
where t.key >= $1 and t.key < $2 and (t.state = :failed and t.flags & :flag_allowed = 0 or t.state = :cancelled) order by t.key limit 1

-- name: ResultsBelow
-- What the tasks of the keys in [$1, $2) that are right below the task of index $3 have ended with, in order.
select t.key, coalesce(s.ref, s.id), t.state, a.result, a.sealed from task t
cross join lateral (select id, ref, parent from spec where spec.key = t.key offset 0) s
left join lateral (select result, sealed from attempt where attempt.task = t.key and attempt.number = t.attempt offset 0) a on true
where t.key >= $1 and t.key < $2 and s.parent = $3 order by t.key

-- name: ExpansionsIn
-- What the tasks of the keys in [$1, $2) found, in order. No locks.
select task, attempt, first, n, at_once, alone, parts from expansion where task >= $1 and task < $2 order by task

-- name: ResumeExpansions
-- The tasks $1 go on, by the attempts $3, with what the attempts $2 found, of which $4 exist: from the parts $5 on. Expects: that is there; fails otherwise.
with w as (
update expansion e set attempt = u.attempt, made = u.made, part = u.part, within = u.within
from unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::integer[]) u(task, was, attempt, made, part, within)
where e.task = u.task and e.attempt = u.was
returning 1)
select changed(count(*), cardinality($1::bigint[]), 'go on with expansions') from w

-- name: ParentsBeside
-- Which of the tasks of the indexes $3 have tasks right below them that are not among those that they found, from the indexes $4 on, $5 each. $1, $2: keys of
-- their tree, of which it reads the specifications. No locks.
select u.parent from unnest($3::integer[], $4::integer[], $5::integer[]) u(parent, first, n)
where exists (select from spec s where s.key >= $1 and s.key < $2 and s.parent = u.parent and (s.key - $1 < u.first or s.key - $1 >= u.first + u.n))

-- name: ShrinkTree
-- $2 tasks, $3 of them leaves, and $4 leaves more or less of those that stay, are gone from the tree $1, with their share of what its tasks carry. Raises its
-- revision. Locks: the tree, then its namespace.
with old as (
  select namespace, bytes * $2::integer / greatest(tasks, 1) as bytes from tree where key = $1 for update
), t as (
  update tree set revision = revision + 1, tasks = tasks - $2, leaves = leaves - $3 + $4::integer, bytes = tree.bytes - old.bytes from old where key = $1
)
update namespace n set has_tasks = greatest(n.has_tasks - $2, 0), has_bytes = greatest(n.has_bytes - coalesce(old.bytes, 0), 0)
from old where n.key = old.namespace and n.has_trees is not null

-- name: PartsOf
-- How many tasks are made of the parts of what the task $1 found, in order.
select n from expansion_part where task = $1 and part >= 0 order by part

-- name: ExpansionsOf
-- What the tasks $1 found. No locks.
select e.task, e.attempt, e.n, e.made, e.at_once, t.remaining from unnest($1::bigint[]) u(key)
cross join lateral (select task, attempt, n, made, at_once from expansion where expansion.task = u.key offset 0) e
cross join lateral (select remaining from task where task.key = u.key offset 0) t
