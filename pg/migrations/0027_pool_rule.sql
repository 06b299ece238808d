-- Rules of pools: whose tasks a pool takes, and what these may name.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working, and know no rules. While one lives, none is made.
create table pool_rule (
  pool        text primary key,        -- may not be open, or not yet
  namespaces  text[] not null,         -- each a name, or the beginning of one with a * behind; none: all
  executors   text[] not null,
  connections text[] not null,
  secrets     text[] not null,
  changed_at  timestamptz not null default now()
);
