-- Limits, locks, rates, fair shares and pauses.
-- Locks: spec, tree and ready, exclusively, for an instant; no row is rewritten. The index on ready is small: stretches that wait.
-- Older coordinators: go on working. While one lives, no tree is stored that asks for any of it, and no rule and no pause.
alter table spec add column limits json;                -- dag.Limiting: what the task asks for before it starts; null: nothing
alter table tree add column share integer not null default 0; -- whose slots it takes; 0: of nobody in particular
alter table tree add column paused_at timestamptz;      -- nothing of it starts since
alter table ready add column share integer not null default 0; -- of the tree
create index ready_share on ready (pool, priority, share, id);

create sequence fence;                                  -- tokens of locks: they only grow
create sequence waiter_id;                              -- the order in which tasks asked

-- Ready tasks that wait for what they ask for, a row for each key. They are in no stretch.
create table waiter (
  namespace integer not null,
  kind      smallint not null,                          -- dag.LimitKind
  key       text not null,
  priority  smallint not null,
  id        bigint not null,                            -- the place in the line; all rows of a task have the same
  task      bigint not null,
  attempt   integer not null,
  n         smallint not null,                          -- rows of the task
  cost      integer not null,
  max       integer,                                    -- null: the operator's
  per_ms    bigint,                                     -- of a rate: max starts in that time
  burst     integer,                                    -- of a rate
  contended smallint not null default 0,                -- dag.OnContention
  pool      integer not null,
  share     integer not null,
  at        timestamptz not null default now(),
  primary key (namespace, kind, key, priority, id, task)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
create index waiter_task on waiter (task);

-- What open attempts hold, from the publication on: a row for each limit, lock, pool or user.
create table hold (
  task      bigint not null,
  ord       smallint not null,
  attempt   integer not null,
  namespace integer not null,                           -- of the key; 0 for pools and shares
  kind      smallint not null,                          -- dag.LimitKind
  key       text not null,                              -- of a pool or a share: its number
  cost      integer not null,
  max       integer,                                    -- by which it was granted; null: an operator's
  token     bigint,                                     -- of a lock
  id        bigint not null,                            -- the place that it had in the line
  since     timestamptz not null default now(),
  primary key (task, ord)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
create index hold_key on hold (namespace, kind, key);

-- When the next start by a rate is due, if starts come as fast as they may. A row whose time has passed says nothing, and goes.
create table rate (
  namespace integer not null,
  key       text not null,
  tat       timestamptz not null,
  primary key (namespace, key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- What operators have set.
create table limit_rule (
  namespace integer not null,                           -- of a key and of a user; 0 for pools
  kind      smallint not null,                          -- dag.LimitKind: limit, rate, pool or user
  key       text not null,                              -- or the pool's name, or the user's id
  max       integer,                                    -- held at once, starts in per_ms; null (user): any number
  waiting   integer,                                    -- of a user: tasks that wait at most; null: any number
  per_ms    bigint,                                     -- of a rate
  burst     integer,                                    -- of a rate
  pool      integer,                                    -- of a pool
  share     integer,                                    -- of a user
  set_by    text not null,
  set_at    timestamptz not null default now(),
  reason    text not null default '',
  counted   boolean not null default true,              -- all that runs has its hold
  primary key (namespace, kind, key)
);

-- What is paused: nothing new starts.
create table pause (
  id        bigint generated always as identity primary key,
  scope     smallint not null,                          -- dag.PauseScope
  pool      integer not null default 0,                 -- of scope pool
  tree      bigint not null default 0,                  -- of scope tree
  name      text not null default '',                   -- of the pool; id of the tree
  set_by    text not null,
  set_at    timestamptz not null default now(),
  reason    text not null default '',
  settled   boolean not null default false,             -- what was published before has been called back
  unique (scope, pool, tree)
);

-- Stretches of paused trees. They were in ready, and go back there.
create table parked (
  id       bigint generated always as identity primary key,
  tree     bigint not null,
  pool     integer not null,
  priority smallint not null,
  first    bigint not null,
  n        integer not null,
  attempt  integer not null,
  share    integer not null default 0,
  at       timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
create index parked_tree on parked (tree, id);

-- Who shares slots, by weight. Rows that no tree names are swept.
create table share (
  id        integer generated always as identity primary key,
  namespace integer not null,
  user_id   text not null,
  weight    real not null default 1,
  named_at  timestamptz not null default now(),         -- when a tree last began to name it
  unique (namespace, user_id)
);
create index share_weighted on share (namespace, user_id) where weight <> 1;
