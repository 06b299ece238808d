-- Trees that tasks submit, and wait for. Who submits one, or cancels it, locks the task before its followup, as those do who add the followup.

-- name: SubtreeWork
-- Up to $1 tasks whose trees are to be submitted or cancelled, those first that had the fewest turns, with what they are submitted by. No locks.
select f.task, f.cursor, coalesce(t.state, 0::smallint), coalesce(t.attempt, 0), coalesce(tree.namespace, 0), coalesce(tree.user_id, ''), coalesce(tree.depth, 0::smallint),
  coalesce(tree.cancelled_at is not null, false), coalesce(s.root_id, ''), coalesce(t.flags, 0), coalesce(p.id, ''), coalesce(p.name, ''), coalesce(tree.root_id, '')
from (select task, cursor from followup where kind = :followup_subtree order by cursor, task limit $1) f
left join lateral (select * from task where task.key = f.task offset 0) t on true
left join lateral (select * from tree where tree.key = f.task >> 24 offset 0) tree on true
left join lateral (select * from subtree where subtree.task = f.task and subtree.attempt = t.attempt offset 0) s on true
left join lateral (select id, name from spec where spec.key = f.task offset 0) p on true

-- name: HoldWaiter
-- Locks the task $1 if its attempt $2 waits for a tree that is not submitted yet. No row: it does not, or another coordinator was quicker. Locks: the task.
select from task t
where t.key = $1 and t.attempt = $2 and t.state = :awaiting
  and exists (select from await w where w.task = t.key and w.attempt = t.attempt and w.kind = :await_tree and w.tree is null offset 0)
for update of t

-- name: InsertSubtree
-- The attempt $2 of the task $1, which is locked, has submitted the tree $3 with the root $4, which is $5 deep, and waits for its end if $6. Expects: it waits, and
-- has submitted none; fails otherwise. Locks: the tree, which is new.
with s as (insert into subtree (task, attempt, tree, root_id, waits) values ($1, $2, $3, $4, $6)),
  d as (update tree set depth = $5 where key = $3 returning key),
  w as (update await set tree = $3 where task = $1 and attempt = $2 and kind = :await_tree and tree is null returning task)
select changed(count(*), 1, 'submit the tree of a task') from w cross join d

-- name: LeftTrees
-- The trees that earlier attempts of the task $1, or the one that waits no more, waited for. The task is locked.
select s.tree from subtree s join task t on t.key = s.task where s.task = $1 and s.waits and not (t.state = :awaiting and s.attempt = t.attempt)

-- name: LeaveTrees
-- The trees $2 are no concern of the task $1 any more.
update subtree set waits = false where task = $1 and tree = any($2::bigint[])

-- name: LeaveFollowup
-- Nothing is left to do for the task $1, which is locked, unless it waits for a tree.
delete from followup f where f.kind = :followup_subtree and f.task = $1
  and not exists (select from task t join await w on w.task = t.key and w.attempt = t.attempt and w.kind = :await_tree where t.key = $1 and t.state = :awaiting)

-- name: LockTask
-- Locks: the task.
select state, attempt from task where key = $1 for update

-- name: EndsOfSubtrees
-- How the trees with the roots $1 have ended which tasks wait for, with results of $2 bytes at most. unfinished: it runs, or runs again. Of one that is a run of a flow, also what the task is called. No locks.
select u.key, s.task, s.attempt, s.root_id, tree.key is not null as there, coalesce(tree.unfinished, 0) as unfinished,
  case when tree.failed > tree.allowed then :end_failed when tree.cancelled > 0 then :end_cancelled else :end_completed end as ended, coalesce(tree.cancel_message, '') as cancelled,
  coalesce(p.ref, p.id, s.root_id) as ref, coalesce(r.state, 0::smallint) as state, coalesce(a.bytes, 0) as bytes, case when a.bytes <= $2 then a.result end as result,
  case when a.bytes <= $2 then a.sealed end as sealed, a.error, coalesce(tree.namespace, 0), coalesce(run.flow_id, ''), coalesce(run.run_id, ''),
  coalesce(w.id, ''), coalesce(w.name, ''), coalesce(above.root_id, ''), coalesce(above.user_id, '')
from unnest($1::bigint[]) u(key)
cross join lateral (select * from subtree where subtree.tree = u.key >> 24 and subtree.waits offset 0) s
left join lateral (select * from tree where tree.key = u.key >> 24 offset 0) tree on true
left join lateral (select id, ref from spec where spec.key = u.key offset 0) p on true
left join lateral (select state, attempt from task where task.key = u.key offset 0) r on true
left join lateral (select flow_id, run_id from flow_run where flow_run.tree = u.key >> 24 offset 0) run on true
left join lateral (select id, name from spec where run.run_id is not null and spec.key = s.task offset 0) w on true
left join lateral (select root_id, user_id from tree where run.run_id is not null and tree.key = s.task >> 24 offset 0) above on true
left join lateral (select *, coalesce(octet_length(attempt.result::text), 0) + coalesce(octet_length(attempt.sealed), 0) as bytes
  from attempt where attempt.task = u.key and attempt.number = r.attempt offset 0) a on true

-- name: FlowsAbove
-- The flows of whose runs the task $1 is, of the tasks that wait for these, and so on, the nearest first; at most $2 deep. No locks.
with recursive up as (
  select $1::bigint >> 24 as tree, 1 as n
  union all
  select s.task >> 24, n + 1 from up cross join lateral (select task from subtree where subtree.tree = up.tree offset 0) s where n < $2::integer
)
select r.flow_id from up cross join lateral (select flow_id from flow_run where flow_run.tree = up.tree offset 0) r order by up.n

-- name: FirstFailedOf
-- The first task of the keys in [$1, $2) that failed and may not.
select t.key, s.id, s.name, a.error, a.sealed from task t
cross join lateral (select id, name from spec where spec.key = t.key offset 0) s
left join lateral (select error, sealed from attempt where attempt.task = t.key and attempt.number = t.attempt offset 0) a on true
where t.key >= $1 and t.key < $2 and t.state = :failed and t.flags & :flag_allowed = 0 order by t.key limit 1

-- name: TellOfDeletion
-- Has a task told that the tree $1 is deleted, if it waits for that, and a schedule, if it is an open run of that. Locks: the run, then the schedule.
with t as (
  select key, root, depth, fire from tree where key = $1
), f as (
  update fire set state = :fire_cancelled, reason = 'its tree was deleted', ended_at = now() from t where fire.key = t.fire and fire.state = :fire_running returning fire.schedule
), s as (
  update schedule set next_at = least(next_at, now()) where key in (select schedule from f)
)
insert into followup (kind, task) select :followup_tree, t.root from t
where t.depth is not null and exists (select from subtree s where s.tree = t.key and s.waits offset 0)
on conflict (kind, task) do update set cursor = 0

-- name: SubtreesOf
-- The trees that the tasks $1 have submitted, by their attempts. No locks.
select s.task, s.attempt, s.root_id from unnest($1::bigint[]) u(key)
cross join lateral (select task, attempt, root_id from subtree where subtree.task = u.key offset 0) s
