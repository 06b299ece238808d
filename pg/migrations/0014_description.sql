-- Workers describe their executors, for the catalogue. A description is stored once, by the hash of its bytes, and goes when no
-- worker had it for days.
-- Locks: worker, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. They record no descriptions; what they record of a worker leaves those that it had.
create table description (
  hash     bytea primary key,
  executor text not null,
  body     bytea not null,
  seen_at  timestamptz not null default now()
);
alter table worker add column described bytea[] not null default '{}'; -- hashes
