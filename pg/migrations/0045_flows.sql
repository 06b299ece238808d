-- Registered flows, and runs of flows.
-- Locks: nothing; all is new.
-- Older coordinators: go on working. While one lives, no flow and no run is stored.

-- Texts of flows, each once in a namespace. One that nothing names goes after a time.
create table flow_text (
  key       bigint generated always as identity primary key,
  namespace integer not null,
  sha256    bytea not null,
  body      json,                                       -- the text, a string; null: it is sealed
  sealed    bytea,                                      -- likewise
  used_at   timestamptz not null default now()          -- when somebody last meant to name it
);
create unique index flow_text_once on flow_text (namespace, sha256);

-- Versions of registered flows.
create table flow (
  key        bigint generated always as identity primary key,
  namespace  integer not null,
  id         text not null,
  version    integer not null,                          -- from 1
  user_id    text,                                      -- whose it is; null: nobody's
  text       bigint not null,
  created_by text not null,
  created_at timestamptz not null default now()
);
create unique index flow_version on flow (namespace, id, version);
create index flow_of_text on flow (text);

-- Revisions of runs. Each is stored in one transaction with its tree, and goes with it.
create table flow_run (
  key        bigint generated always as identity primary key,
  namespace  integer not null,
  flow_id    text not null,
  run_id     text not null,
  revision   integer not null,                          -- from 1
  user_id    text,
  version    integer,                                   -- of the registered flow; null: it was run by its text
  text       bigint not null,
  body       json,                                      -- what it was given, and what its tasks are; null: it is sealed
  sealed     bytea,                                     -- likewise
  tree       bigint not null,
  root_id    text not null,
  created_by text not null,
  created_at timestamptz not null default now()
);
create unique index flow_run_id on flow_run (namespace, flow_id, run_id, revision);
create index flow_run_named on flow_run (namespace, run_id);
create index flow_run_newest on flow_run (namespace, key);
create index flow_run_of on flow_run (namespace, flow_id, key);
create index flow_run_tree on flow_run (tree);
create index flow_run_text on flow_run (text);
