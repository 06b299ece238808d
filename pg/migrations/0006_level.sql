-- Feature levels (package dag, Levels): each live coordinator and worker says its own, and the store remembers the highest
-- that any stored tree needed.
-- Locks: cluster, worker, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. They have no row here, and the workers that they register count as of level 1 until a
-- newer coordinator hears from them.
create table coordinator (
  instance    text primary key, -- one run of one process; random
  name        text not null,
  version     text not null,
  level       integer not null,
  started_at  timestamptz not null default now(),
  lease_until timestamptz not null
) with (fillfactor = 50);

alter table worker add column level integer not null default 1;

alter table cluster
  add column level_used integer not null default 1,
  add column level_version text not null default ''; -- of the process that used the level first

-- Makes the transaction fail that would store a tree which a live process could not handle: its commit is sent along.
create function refuse_level(process text, version text, level integer) returns boolean language plpgsql as $$
begin
  raise exception '% is below the level that is needed', process using errcode = 'TG002',
    detail = json_build_object('process', process, 'version', version, 'level', level);
end $$;
