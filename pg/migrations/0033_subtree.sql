-- Trees that tasks submit, and wait for.
-- Locks: tree, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no such tree is stored.
alter table tree add column depth smallint;             -- how many trees are above it, of which each has submitted the next; null: none has submitted it

-- Trees that attempts have submitted.
create table subtree (
  task    bigint not null,
  attempt integer not null,
  tree    bigint not null,                              -- may be deleted since
  root_id text not null,                                -- of the tree
  waits   boolean not null,                             -- the attempt waits for its end, or has ended and the tree is yet to be cancelled
  primary key (task, attempt)
);
create index subtree_tree on subtree (tree);
