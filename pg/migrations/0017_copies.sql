-- Copies and labels. A task says which one it was copied from; copied has those that ever were. A tree has labels, in rows of their own:
-- the tree's row changes often, and its updates stay HOT.
-- Locks: spec, exclusively, for an instant, and shared while an index of no rows is built on it, a second for some million tasks; no row is
-- written anew.
-- Older coordinators: go on working. They show neither, and leave labels and copied of trees that they delete, which newer ones delete in time.
alter table spec add column original text; -- id of the task that it was copied from; null: it was submitted
create index spec_original on spec (original, key) where original is not null;

create table copied (
  task bigint primary key
);

create table label (
  tree  bigint not null,
  key   text collate "C" not null,
  value text collate "C" not null,
  primary key (tree, key)
);
create index label_value on label (key, value, tree);
create index label_key on label (key, tree);

-- The text of a key of an object, as ->> gives it; null where that has no text in Postgres: NUL, half a surrogate pair.
create function text_of(object json, name text) returns text language plpgsql immutable parallel safe as $$
begin
  return object ->> name;
exception when others then
  return null;
end $$;

-- Whether a task has own keys with the texts given.
create function has_own(task bigint, names text[], texts text[]) returns boolean language sql stable parallel safe as $$
  select exists (
    select from payload where payload.key = task and custom is not null and not exists (
      select from unnest(names, texts) w(name, wanted) where text_of(custom, w.name) is distinct from w.wanted))
$$;

-- A task as it is shown: what every read of the API stands on. The view shown_task stays for older coordinators.
create view shown_row as
select t.key, s.id, coalesce(s.ref, s.id) as ref, tree.root_id as tree_id, ps.id as parent_id, tree.user_id, s.name, t.state, t.priority,
  t.flags, s.deps, s.dep_types, p.inputs, p.params, p.schemas, p.custom, a.result,
  case when t.state = 8 /* cancelled */ then coalesce(a.error, tree.cancel_message) else a.error end as error,
  t.progress, s.executor, coalesce(pool.name, '') as pool, w.id as worker, t.attempt, bs.id as blocked_by, s.parent,
  tree.created_at, coalesce(t.started_at, a.started_at) as started_at,
  case when t.state = 8 /* cancelled */ then coalesce(a.finished_at, tree.cancelled_at) else a.finished_at end as finished_at,
  case when t.state = 2 /* delayed */ then (
    select max(at) from timer where timer.task = t.key and timer.attempt = t.attempt and timer.kind = 1 /* timer_due */) end as due_at,
  s.original, exists (select from copied where copied.task = t.key) as has_copy,
  case when s.parent < 0 then (select json_object_agg(label.key, label.value) from label where label.tree = t.key >> 24) end as labels
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join spec ps on s.parent >= 0 and ps.key = ((t.key >> 24) << 24) + s.parent
left join payload p on p.key = t.key
left join attempt a on a.task = t.key and a.number = t.attempt
left join pool on pool.id = t.pool
left join worker w on w.key = coalesce(t.worker, a.worker)
left join spec bs on bs.key = t.blocked_by;
