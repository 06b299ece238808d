-- Pools come and go. One that no worker serves and no unfinished tree needs is closed: its row stays, for what refers to it,
-- and its consumers in NATS go. A tree says which pools its tasks name. Executors say when a worker last announced them.
-- Locks: pool, executor, tree, exclusively, while trees are indexed that don't say it, 1 s for a million; no row is written anew.
-- Older coordinators: go on working. They take closed pools for open ones; what they submit opens them again.
alter table pool
  add column open boolean not null default true,
  add column changed_at timestamptz not null default now(), -- when it was opened or closed
  add column served_at timestamptz default now(),           -- when a worker was last seen that serves it; null: not since it was opened
  add column maker text;                                    -- the user whose tree opened it, '' for none; null: a worker did
alter table tree add column pools integer[];                -- of its tasks; null: stored before, or by an older coordinator
create index tree_undescribed on tree (key) where pools is null;
alter table executor add column seen_at timestamptz not null default now();
