-- The first schema.
-- Locks: nothing that anyone waits for, as nothing existed before.
-- Older coordinators: there are none.
--
-- Scheduling state changes often and is narrow: task. What is written once is apart: spec, payload, edge. Outcomes are
-- one row per attempt: attempt. A task's key holds its tree's (tree << 24 | index), so a tree is a key range in each.

create table cluster (
  only_one boolean primary key default true check (only_one),
  secret   bytea not null -- signs attempt tokens; never leaves Postgres and the coordinators' memory
);

create sequence tree_key as bigint minvalue 1 maxvalue 549755813887;

create table pool (
  id   integer generated always as identity primary key,
  name text not null unique
);

-- Executor ids that a worker ever announced; others are unknown (spec K13).
create table executor (
  id text primary key
);

create table tree (
  key              bigint primary key,
  root             bigint not null, -- task key
  root_id          text not null,
  name             text not null,
  user_id          text,
  created_at       timestamptz not null default now(),
  started_at       timestamptz,     -- of the current execution's first claim
  finished_at      timestamptz,     -- when the current execution ended
  timeout_ms       bigint,
  cancelled_at     timestamptz,     -- of the whole tree: one fact, read by dispatch and claim
  cancel_message   text,
  execution        integer not null default 0, -- 0: never executed
  execution_start  bigint not null default 0,  -- the last sequence before the current execution
  sequence         bigint not null default 0,  -- of the last event
  tasks            integer not null,
  leaves           integer not null,
  held             integer not null,
  unfinished       integer not null,
  running          integer not null default 0, -- open attempts, those of cancelled tasks too
  completed        integer not null default 0,
  failed           integer not null default 0,
  cancelled        integer not null default 0,
  blocked          integer not null default 0,
  leaves_completed integer not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
-- finished_at changes once per execution, so that updates in between stay HOT.
create index tree_open on tree (key) where finished_at is null;
create index tree_user on tree (user_id, key) where user_id is not null;
create index tree_finished on tree (finished_at) where finished_at is not null;

create table task (
  key        bigint primary key,
  state      smallint not null,
  flags      smallint not null,
  priority   smallint not null,
  pool       integer not null,     -- 0: none (a group)
  attempt    integer not null default 1,
  remaining  integer not null,
  failures   integer not null default 0,
  crashes    integer not null default 0,
  worker     bigint,               -- holds the open attempt
  started_at timestamptz,          -- of the current attempt
  blocked_by bigint,
  progress   real                  -- as its executor reports
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);

create table spec (
  key               bigint primary key,
  id                text not null,
  parent            integer not null,  -- index in the tree, -1: root
  name              text not null,
  executor          text not null,     -- '': a group
  deps              integer[],         -- in order; index + 1, negative when optional
  dep_types         text[],            -- null: all "result"
  max_attempts      integer,
  backoff           text,
  initial_delay_ms  bigint,
  max_delay_ms      bigint,
  timeout_ms        bigint,
  schedule_to_start_ms bigint,
  not_before        timestamptz,
  on_lost           smallint
);
create unique index spec_id on spec (id);

create table payload ( -- absent: all null
  key     bigint primary key,
  inputs  json,
  params  json,
  schemas json,
  custom  json
);

create table edge (
  dependency bigint not null,
  dependent  bigint not null,
  required   boolean not null,
  primary key (dependency, dependent)
);

create table attempt (
  task        bigint not null,
  number      integer not null,
  outcome     smallint not null,
  counted     boolean not null,
  worker      bigint,
  started_at  timestamptz,
  finished_at timestamptz not null,
  result      json,
  error       text,
  detail      text,
  primary key (task, number)
);

-- Ready tasks that wait for room in their pool, as runs of adjacent keys: n tasks from first on, all at the attempt.
-- A ready task is in exactly one run of ready or published.
create table ready (
  pool     integer not null,
  priority smallint not null,
  id       bigint generated always as identity,
  first    bigint not null,
  n        integer not null,
  attempt  integer not null,
  at       timestamptz not null default now(),
  primary key (pool, priority, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- Ready tasks that were published: what reconcile looks after until they were claimed.
create table published (
  id       bigint generated always as identity primary key,
  pool     integer not null,
  priority smallint not null,
  first    bigint not null,
  n        integer not null,
  attempt  integer not null,
  at       timestamptz not null default now(), -- when it was looked at
  sent     timestamptz not null default now()  -- when it was published; its message is not older
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

create table timer (
  at      timestamptz not null,
  task    bigint not null,
  attempt integer not null,
  kind    smallint not null,
  primary key (at, task, kind, attempt)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- Follow-up work that is done in bounded batches: kind 1 tells the dependents of a task, from cursor on; kind 2
-- cancels the tasks of a tree (task is its root); kind 3 releases a task that waits for nothing.
create table chore (
  kind   smallint not null,
  task   bigint not null,
  cursor bigint not null default 0,
  primary key (kind, task)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- What happened, one row per transaction and tree; body holds the events up to sequence last, encoded by package pg.
create table event (
  tree bigint not null,
  last bigint not null,
  at   timestamptz not null default now(),
  body bytea not null,
  primary key (tree, last)
);

create table submission ( -- idempotency keys
  key        text primary key,
  tree       bigint not null,
  digest     bytea not null,
  created_at timestamptz not null default now()
);
create index submission_tree on submission (tree);

create table worker (
  key         bigint generated always as identity primary key,
  instance    text not null unique,
  id          text not null,
  host        text not null,
  build       text not null,
  pools       jsonb not null,
  state       smallint not null, -- 1 alive, 2 draining, 3 gone (left by itself), 4 lost
  beat        bigint not null,   -- number of the last
  started_at  timestamptz not null default now(),
  lease_until timestamptz not null,
  attempts    bigint[] not null  -- keys that the last beat listed
) with (fillfactor = 50);

create table chunk ( -- parts of large results, until their attempt is settled
  task    bigint not null,
  attempt integer not null,
  index   integer not null,
  count   integer not null,
  at      timestamptz not null default now(),
  data    bytea not null,
  primary key (task, attempt, index)
);
create index timer_task on timer (task);

-- A task as it is shown: what every read of the API stands on.
create view shown as
select t.key, s.id, tree.root_id as tree_id, ps.id as parent_id, tree.user_id, s.name, t.state, t.priority, t.flags,
  s.deps, s.dep_types, p.inputs, p.params, p.schemas, p.custom, a.result,
  case when t.state = 8 then coalesce(a.error, tree.cancel_message) else a.error end as error,
  t.progress, s.executor, coalesce(pool.name, '') as pool, w.id as worker, t.attempt, bs.id as blocked_by, s.parent,
  tree.created_at, coalesce(t.started_at, a.started_at) as started_at,
  case when t.state = 8 then coalesce(a.finished_at, tree.cancelled_at) else a.finished_at end as finished_at,
  case when t.state = 2 then (select max(at) from timer where timer.task = t.key and timer.attempt = t.attempt and timer.kind = 1) end as due_at
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join spec ps on s.parent >= 0 and ps.key = ((t.key >> 24) << 24) + s.parent
left join payload p on p.key = t.key
left join attempt a on a.task = t.key and a.number = t.attempt
left join pool on pool.id = t.pool
left join worker w on w.key = coalesce(t.worker, a.worker)
left join spec bs on bs.key = t.blocked_by;
