-- Schedules, and the runs that they have made.
-- Locks: tree, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no schedule is stored.
alter table tree add column fire bigint;                -- the run of a schedule that it is; null: of none

create table schedule (
  key          bigint generated always as identity primary key,
  namespace    integer not null,
  id           text not null,
  user_id      text,                                    -- whose trees it submits; null: nobody's
  spec         json not null,                           -- dag.Schedule but for its tree and parameters
  body         json,                                    -- its tree and parameters; null: they are sealed
  sealed       bytea,                                   -- likewise
  labels       json,
  trigger      bigint,                                  -- the schedule whose runs start its own; null: time does, or a webhook
  trigger_ends smallint not null default 0,             -- dag.FireEnds: which ends of them do
  revision     integer not null default 1,              -- raised by each change
  created_by   text not null,
  created_at   timestamptz not null default now(),
  updated_by   text not null,
  updated_at   timestamptz not null default now(),
  paused_at    timestamptz,
  paused_by    text,
  pause_reason text,
  decided_at   timestamptz not null,                    -- every instant up to this one is decided
  next_at      timestamptz,                             -- when there is something to decide; null: never, unless something happens
  counted      integer not null default 0,              -- runs that max_runs counts
  success      bigint                                   -- the last run that completed
);
create unique index schedule_id on schedule (namespace, id);
create index schedule_next on schedule (next_at) where next_at is not null;
create index schedule_trigger on schedule (trigger) where trigger is not null;

-- Ranges of instants that somebody has asked for.
create table backfill (
  key           bigint generated always as identity primary key,
  schedule      bigint not null,
  from_at       timestamptz not null,
  to_at         timestamptz not null,                   -- not included
  concurrent    integer not null,                       -- runs at once
  decided_at    timestamptz,                            -- the last instant that has started; null: none
  ended_at      timestamptz,                            -- all have started, or it was stopped
  parameters    json,
  sealed        bytea,                                  -- of parameters
  created_by    text not null,
  created_at    timestamptz not null default now()
);
create index backfill_schedule on backfill (schedule, key);
create index backfill_open on backfill (schedule) where ended_at is null;

-- What became of each instant. A run is stored before its tree, and the tree with what says so here in one transaction.
create table fire (
  key            bigint generated always as identity primary key,
  schedule       bigint not null,
  kind           smallint not null,                     -- dag.FireKind
  instant        timestamptz not null,
  cause          text not null default '',              -- what makes it the only one of its kind and instant: a key, a backfill, an event
  backfill       bigint not null default 0,             -- that it is of; 0: none
  state          smallint not null,                     -- dag.FireState
  interval_start timestamptz,
  until          timestamptz,                           -- of many instants that were missed: the last
  n              integer not null default 1,            -- how many
  parameters     json,
  sealed         bytea,                                 -- of parameters
  reason         text,
  tree           bigint,
  root_id        text,
  claimed        timestamptz,                           -- a coordinator stores its tree until then
  decided_at     timestamptz not null default now(),
  due_at         timestamptz,                           -- late if it has not ended then
  late           boolean not null default false,        -- it was
  stopped        boolean not null default false,        -- told to end, as a later run is to start
  started_at     timestamptz,
  ended_at       timestamptz
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
create unique index fire_once on fire (schedule, kind, instant, cause);
create index fire_runs on fire (schedule, instant, key);
create index fire_cause on fire (schedule, cause) where cause <> '';
create index fire_started on fire (schedule, backfill, started_at) where started_at is not null;
create index fire_open on fire (schedule, key) where state in (1, 2, 3) /* fires_open */;
create index fire_due on fire (key) where state = 2 /* fire_due */;
create index fire_ended on fire (decided_at) where state > 3 /* fire_running */; -- what goes after a year
