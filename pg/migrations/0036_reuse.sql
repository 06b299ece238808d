-- Keys of which one tree has each at a time.
-- Locks: nothing that is there.
-- Older coordinators: go on working. While one lives, no tree is stored that has such a key.
create table unique_key (
  namespace integer not null,
  user_id   text not null,                              -- of the tree; empty: of nobody
  key       text not null,
  tree      bigint,                                     -- that has it; null: whoever is about to take it
  until     timestamptz,                                -- null: until the tree has ended
  primary key (namespace, user_id, key)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
create index unique_key_tree on unique_key (tree);
