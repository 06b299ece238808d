-- What trees say beyond the protocol: outcomes, edges that accept, conditions, templates, waits, and work that is found at run time.
-- Locks: edge, spec, payload, task, attempt, tree and the payloads that were sent, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no tree is stored that says any of it.
alter table edge add column mode smallint;              -- dag.EdgeMode; null: the protocol's
alter table spec add column dep_modes smallint[];       -- of deps; null: all are the protocol's
alter table spec add column retry json;                 -- what its retry policy says beyond the protocol
alter table payload add column control json;            -- dag.Control; sealed along with the rest
alter table sent_payload add column control json;
alter table task add column repeats integer;            -- runs that were followed by another; null: 0
alter table attempt add column kind text;               -- of its error; null: executor
alter table attempt add column outputs json;            -- that its task names; sealed along with the rest
alter table tree add column skipped integer not null default 0; -- part of completed
alter table tree add column allowed integer not null default 0; -- part of failed: whose failure does not make the tree fail

-- Attempts that wait for something from outside, without a worker: tasks in state awaiting.
create table await (
  task    bigint primary key,
  attempt integer not null,
  kind    smallint not null,                            -- dag.AwaitKind
  name    text,                                         -- of the signal
  resume  boolean not null,                             -- the answer makes a further attempt
  data    json,                                         -- what whoever answers has to know
  sealed  bytea,                                        -- data, sealed
  tree    bigint,                                       -- whose end it waits for
  since   timestamptz not null default now(),
  until   timestamptz
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
create index await_tree on await (tree) where tree is not null;
create index await_approval on await (task) where kind = 2 /* await_approval */;

-- Signals that were sent to tasks, and answers to their approvals (name is empty), until the task runs anew or its tree is deleted. Of each name one at
-- most is kept for a wait to come.
create table signal (
  task    bigint not null,
  id      bigint generated always as identity,
  name    text not null,
  key     text,                                         -- idempotency key of who sent it
  sender  text,
  kept    boolean not null,                             -- it was sent before the task waited for it
  payload json,                                         -- dag.WaitAnswer
  sealed  bytea,                                        -- payload, sealed
  at      timestamptz not null default now(),
  taken   integer,                                      -- attempt whose wait it ended; null: it is kept
  primary key (task, id)
);

-- Tasks that found tasks: their keys are reserved in one piece, and they are made of parts, in order.
create table expansion (
  task     bigint primary key,
  attempt  integer not null,
  first    integer not null,                            -- index in the tree of the first
  n        integer not null,
  per_item integer not null,                            -- tasks of each item; 0: a list of tasks
  made     integer not null default 0,                  -- that exist, or are not to be made any more
  parts    integer not null,
  part     integer not null default 0,                  -- the next to be made; those before are there whole
  within   integer not null default 0,                  -- tasks of it that exist; at the end, tasks that were looked at and let go
  collect  smallint not null,
  at_once  integer not null default 0,                  -- items in progress at most; 0: all
  stop     boolean not null default false,              -- no further ones after a failure
  alone    boolean not null                             -- no task waits for another part: released as they are made
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);
create table expansion_part (
  task   bigint not null,
  part   integer not null,                              -- from 0; -1: what is made of each item
  n      integer not null,                              -- tasks
  body   bytea not null,                                -- a document of them
  sealed boolean not null default false,
  primary key (task, part)
);
alter table expansion_part alter column body set storage external;

-- What attempts noted to go on from there: the last note of each task.
create table checkpoint (
  task    bigint primary key,
  attempt integer not null,
  number  bigint not null,                              -- of the note, within the attempt
  data    json,
  sealed  bytea,                                        -- data, sealed
  at      timestamptz not null default now()
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);

-- A task as it is shown: what every read of the API stands on. The view shown_task_row stays for older coordinators.
create view shown_control as
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
  s.namespace
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join spec ps on s.parent >= 0 and ps.key = ((t.key >> 24) << 24) + s.parent
left join payload p on p.key = t.key
left join attempt a on a.task = t.key and a.number = t.attempt
left join pool on pool.id = t.pool
left join worker w on w.key = coalesce(t.worker, a.worker)
left join spec bs on bs.key = t.blocked_by;
