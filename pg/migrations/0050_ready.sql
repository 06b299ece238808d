-- When tasks became ready.
-- Locks: task, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. What becomes ready by one of them keeps the time that it has, or none.
alter table task add column ready_at timestamptz; -- when its current attempt, or the one to come, could first start but for a slot and limits; null: it was never ready, or before this column was there

-- As shown_control, with that time. Older coordinators read the view before, whose columns they know.
create view shown_ready as
select t.key, s.id, coalesce(s.ref, s.id) as ref, tree.root_id as tree_id, ps.id as parent_id, tree.user_id, s.name, t.state, t.priority,
  t.flags, s.deps, s.dep_types, s.dep_modes, p.inputs, p.params, p.schemas, p.custom, p.control, a.result, a.outputs, a.kind,
  case when t.state = 8 /* cancelled */ then coalesce(a.error, tree.cancel_message) else a.error end as error,
  t.progress, s.executor, coalesce(pool.name, '') as pool, w.id as worker, t.attempt, bs.id as blocked_by, s.parent,
  tree.created_at, coalesce(t.started_at, a.started_at) as started_at,
  case when t.state = 8 /* cancelled */ then coalesce(a.finished_at, tree.cancelled_at) else a.finished_at end as finished_at,
  case when t.state = 2 /* delayed */ or t.state = 11 /* awaiting */ then (
    select max(at) from timer where timer.task = t.key and timer.attempt = t.attempt and (timer.kind = 1 /* timer_due */ or timer.kind = 5 /* timer_await */)) end as due_at,
  s.original, exists (select from copied where copied.task = t.key) as has_copy,
  case when s.parent < 0 then (select json_object_agg(label.key, label.value) from label where label.tree = t.key >> 24) end as labels,
  s.namespace, t.ready_at
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join spec ps on s.parent >= 0 and ps.key = ((t.key >> 24) << 24) + s.parent
left join payload p on p.key = t.key
left join attempt a on a.task = t.key and a.number = t.attempt
left join pool on pool.id = t.pool
left join worker w on w.key = coalesce(t.worker, a.worker)
left join spec bs on bs.key = t.blocked_by;
