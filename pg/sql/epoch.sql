-- name: ServerEpoch
-- Which server this is: its system, whether it is a standby, its timeline, and, as soon as it has its row, the id and beginning of that; its
-- generation, or the one that it would begin with. All as text. No locks.
select s.system_identifier::text, pg_is_in_recovery()::text, s.timeline::text, coalesce(e.id::text, ''), coalesce(extract(epoch from e.began)::text, ''),
  coalesce(e.generation, (select max(generation) from epoch), 0)::text
from (select system_identifier,
    case when pg_is_in_recovery() then 0 else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end as timeline
  from pg_control_system() offset 0) s
left join lateral (select id, began, generation from epoch where system = s.system_identifier and timeline = s.timeline) e on true

-- name: BeginEpoch
-- Gives the server its row. If the database has been on another one, that one may have given out keys that this one does not know of, so
-- those are left out: what workers and clients still hold must not meet new trees. (A role that owns nothing can't set a sequence.)
with began as (
  insert into epoch (system, timeline, generation)
  select system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer, coalesce((select max(generation) from epoch), 0)
  from pg_control_system()
  on conflict do nothing returning 1
)
select case when has_sequence_privilege(s, 'update') then setval(s::regclass, nextval(s::regclass) + 16000000)
  else (select max(n) from (select nextval(s::regclass) as n from generate_series(1, 200000)) one_by_one) end
from unnest(array['tree_key', 'ready_id_seq', 'fence']) s where exists (select from began) and exists (select from epoch)

-- name: RestartEpoch
-- Begins the server's epoch anew, as one that is newer than any before: its files were put back to an earlier moment by a copy, which Postgres
-- itself can't tell. The generation is greater than any that was given before, also to servers that these files do not know of, by the clock.
with began as (
  insert into epoch (system, timeline, generation)
  select system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
    greatest(extract(epoch from clock_timestamp())::bigint, (select max(generation) + 1 from epoch))
  from pg_control_system()
  on conflict (system, timeline) do update set id = excluded.id, began = excluded.began, generation = excluded.generation returning 1
)
select case when has_sequence_privilege(s, 'update') then setval(s::regclass, nextval(s::regclass) + 16000000)
  else (select max(n) from (select nextval(s::regclass) as n from generate_series(1, 200000)) one_by_one) end
from unnest(array['tree_key', 'ready_id_seq', 'fence']) s where exists (select from began)
