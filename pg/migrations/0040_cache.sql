-- Successes by which other tasks end.
-- Locks: nothing that is there.
-- Older coordinators: go on working. While one lives, no tree is stored whose tasks may end so.
create table cache (
  namespace integer not null,
  user_id   text not null,                              -- of the tree; empty: of nobody
  digest    bytea not null,                             -- of what tells equal tasks; keyed where values are sealed
  task      bigint not null,                            -- whose attempt it was
  attempt   integer not null,
  at        timestamptz not null,
  until     timestamptz not null,
  primary key (namespace, user_id, digest)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
create index cache_task on cache (task);
create index cache_age on cache (namespace, user_id, at);
create index cache_until on cache (until);

-- Tasks that run, or are about to, and whose successes others may end by.
create table caching (
  task   bigint primary key,
  digest bytea not null,
  for_ms bigint not null
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- Attempts that ended by the success of another task.
create table cached (
  task      bigint not null,
  attempt   integer not null,
  from_id   text not null,                              -- of that task
  from_tree text not null,                              -- of its root
  primary key (task, attempt)
);
