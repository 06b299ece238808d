-- References and runs. A task keeps what its submission calls it, under which its result gets into the inputs of others; a tree
-- has a name that no other tree ever had, in any cluster; and a task that was run again says since which attempt. Coordinators
-- write these from feature level 2 on. An idempotency key stands for the meaning of a document, not for its bytes.
-- Locks: spec, tree, task, submission, cluster, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working. While one lives, trees are stored as it stores them.
alter table spec add column ref text;               -- null: the id
alter table tree add column uid uuid;               -- null: stored below level 2
alter table task add column run integer;            -- the first attempt of the current run; null: 1
alter table submission add column canonical bytea;  -- null: stored by version 0.2 or before, only digest tells
alter table cluster add column worker_level integer not null default 1; -- that workers must have; level_used is that of coordinators

-- A task as it is shown: what every read of the API stands on. The view shown stays for older coordinators.
create view shown_task as
select t.key, s.id, coalesce(s.ref, s.id) as ref, tree.root_id as tree_id, ps.id as parent_id, tree.user_id, s.name, t.state, t.priority,
  t.flags, s.deps, s.dep_types, p.inputs, p.params, p.schemas, p.custom, a.result,
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
