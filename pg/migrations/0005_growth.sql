-- Room to grow: flags of a task get 31 bits instead of 15, and a tree's row tells by its revision which version of the stored
-- tree anything remembered of it belongs to: it is raised by whoever changes tasks or edges of a stored tree.
-- Locks: task, exclusively, while all its rows are written anew and its key is indexed again, about 4 s for a million tasks
-- on one core; rows stay as wide as they are. Then tree, exclusively, until the same commit; none of its rows is written.
-- Older coordinators: must have stopped, as they read flags as smallint.
drop view shown;
alter table task alter column flags type integer;
alter table tree add column revision bigint not null default 1;

-- A task as it is shown: what every read of the API stands on. The numbers bear the names that package dag has for them.
create view shown as
select t.key, s.id, tree.root_id as tree_id, ps.id as parent_id, tree.user_id, s.name, t.state, t.priority, t.flags,
  s.deps, s.dep_types, p.inputs, p.params, p.schemas, p.custom, a.result,
  case when t.state = 8 /* cancelled */ then coalesce(a.error, tree.cancel_message) else a.error end as error,
  t.progress, s.executor, coalesce(pool.name, '') as pool, w.id as worker, t.attempt, bs.id as blocked_by, s.parent,
  tree.created_at, coalesce(t.started_at, a.started_at) as started_at,
  case when t.state = 8 /* cancelled */ then coalesce(a.finished_at, tree.cancelled_at) else a.finished_at end as finished_at,
  case when t.state = 2 /* delayed */ then (
    select max(at) from timer where timer.task = t.key and timer.attempt = t.attempt and timer.kind = 1 /* timer_due */) end as due_at
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join spec ps on s.parent >= 0 and ps.key = ((t.key >> 24) << 24) + s.parent
left join payload p on p.key = t.key
left join attempt a on a.task = t.key and a.number = t.attempt
left join pool on pool.id = t.pool
left join worker w on w.key = coalesce(t.worker, a.worker)
left join spec bs on bs.key = t.blocked_by;
