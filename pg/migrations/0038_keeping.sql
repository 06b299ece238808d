-- How long trees are kept that say so, and which are held: neither retention nor anybody deletes those.
-- Locks: tree, exclusively, for an instant, then against writers while an index is built on it, a second for some million trees; no row is written anew.
-- Older coordinators: go on working. While one lives, no tree is held, and none has a retention of its own. They look through all trees once a minute.

-- What is kept otherwise than the operator's retention says. Rows go with their tree.
create table keeping (
  tree        bigint primary key,
  namespace   integer not null,     -- the tree's
  retention_s bigint,               -- once it has ended; -1: for ever; null: as the operator says
  look_at     timestamptz,          -- when to look whether its time is over; null: it is held, or kept for ever
  held_at     timestamptz,          -- null: it is not held
  held_by     text,
  reason      text
) with (fillfactor = 70);
create index keeping_look on keeping (look_at) where look_at is not null;
create index keeping_held on keeping (namespace, tree) where held_at is not null;

alter table tree add column keeping smallint; -- 1: it has a row in keeping; 2: likewise, and its deletion has begun; null: neither

-- The trees that the operator's retention is for, in the place of tree_finished.
create index tree_ended on tree (finished_at) where finished_at is not null and keeping is null;
drop index tree_finished;
