-- name: PreflightProcesses
-- Live processes: what they are, name, version, feature level; the oldest levels first, at most 1000.
select kind, name, version, level::integer from (
  select 'coordinator' as kind, name, version, level from coordinator where lease_until > clock_timestamp()
  union all
  select 'worker', id, build, level from worker where state in (:worker_live) and lease_until > clock_timestamp()) p
order by level, kind, name limit 1000

-- name: PreflightSessions
-- Transactions of this database that have lasted for over $1 seconds: they hold up a migration that wants a table of theirs, and that holds up all others. Not the
-- auditor's of a coordinator, as in DoctorTransactions: it holds an advisory lock, and no table.
select pid, coalesce(usename, ''), coalesce(application_name, ''), extract(epoch from now() - xact_start)::bigint, coalesce(state, '')
from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and xact_start < now() - $1 * interval '1 second'
  and not (application_name = 'taskgrove' and exists (select from pg_locks l where l.pid = pg_stat_activity.pid and l.locktype = 'advisory'))
order by xact_start limit 20

-- name: PreflightReplicas
-- Replicas that follow this server, and how many bytes each has to replay.
select coalesce(application_name, ''), coalesce(sync_state, ''), coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint from pg_stat_replication order by 1

-- name: PreflightPools
-- Pools in which tasks wait, and that no live worker serves.
select name from pool p where exists (select from ready r where r.pool = p.id union all select from published r where r.pool = p.id)
  and not exists (select from worker w where w.state in (:worker_live) and w.lease_until > clock_timestamp() and w.pools ? p.name)
order by name limit 100

-- name: PreflightWalk
-- What goes on in the background: tables that are being sealed or opened, and follow-up work.
select (select count(*) from seal_walk where not done), (select count(*) from followup)

-- name: PreflightSizes
-- How large the tables $1 are, with their indexes, in bytes; those that do not exist are left out.
select u.name, pg_total_relation_size(to_regclass(u.name)) from unnest($1::text[]) u(name) where to_regclass(u.name) is not null
