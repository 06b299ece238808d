-- What a diagnosis asks of the server. All of it reads catalogues and counters only, and takes no locks.

-- name: DoctorServer
-- Who we are there, the server's version and clock.
select current_user::text, current_database()::text, (select rolsuper from pg_roles where rolname = current_user),
  pg_has_role(current_user, 'pg_read_all_stats', 'usage'), current_setting('server_version_num')::integer, pg_is_in_recovery(), clock_timestamp()

-- name: Clock
select clock_timestamp()

-- name: DoctorSettings
-- The settings $1, as this session has them.
select name, setting from pg_settings where name = any($1::text[])

-- name: DoctorSessions
-- How many clients are connected, and how many of them are programs of ours.
select count(*) filter (where backend_type = 'client backend' or backend_type is null), count(*) filter (where application_name = 'taskgrove') from pg_stat_activity

-- name: DoctorSizes
-- How large the database is, and how old its oldest rows that are not frozen.
select pg_database_size(current_database()), (select max(age(datfrozenxid)) from pg_database)

-- name: DoctorLog
-- How large the write-ahead log is. For members of pg_monitor.
select coalesce(sum(size), 0)::bigint from pg_ls_waldir()

-- name: DoctorTables
-- The tables of the schema $1 with the most dead rows, and those for which autovacuum is off, at most 100.
select s.relname::text, s.n_live_tup, s.n_dead_tup, pg_total_relation_size(s.relid),
  exists (select from unnest(c.reloptions) o where lower(o) in ('autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=no', 'autovacuum_enabled=0')) as off,
  greatest(s.last_vacuum, s.last_autovacuum)
from pg_stat_user_tables s join pg_class c on c.oid = s.relid
where s.schemaname = $1 order by off desc, s.n_dead_tup desc limit 100

-- name: DoctorTransactions
-- Transactions that have been open for over $1 seconds, the oldest 20: those of other sessions that the role may see. Not the auditor's of a coordinator,
-- which holds an advisory lock; else none of ours stays idle in a transaction, by its own timeout.
select pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(state, '') like 'idle in transaction%',
  extract(epoch from clock_timestamp() - xact_start)::double precision
from pg_stat_activity
where pid <> pg_backend_pid() and datname = current_database() and backend_type = 'client backend' and xact_start < clock_timestamp() - $1 * interval '1 second'
  and not (application_name = 'taskgrove' and exists (select from pg_locks l where l.pid = pg_stat_activity.pid and l.locktype = 'advisory'))
order by xact_start limit 20

-- name: DoctorPrepared
-- Prepared transactions of the database, the oldest 20.
select gid, owner::text, extract(epoch from clock_timestamp() - prepared)::double precision
from pg_prepared_xacts where database = current_database() order by prepared limit 20

-- name: DoctorSlots
-- Replication slots, and how much of the write-ahead log each holds.
select slot_name::text, active, coalesce(wal_status, ''),
  coalesce(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end - restart_lsn, -1)::bigint
from pg_replication_slots order by 4 desc limit 100

-- name: DoctorStandbys
-- How many standbys are synchronous.
select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')

-- name: DoctorSchema
-- The schema that our tables are in; null: there are none.
select nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass('migration')

-- name: DoctorMigrations
select name from migration

-- name: DoctorWebhooks
-- Webhooks of namespaces that are off or failing, at most 20.
select w.id, coalesce(w.name, ''), coalesce(n.name, 'default'), w.active, coalesce(w.reason, ''), w.failing_from
from webhook w left join namespace n on n.key = w.namespace
where w.tree is null and (not w.active or w.failing_from is not null) order by w.key limit 20

-- name: DoctorSchedules
-- At most 20 each: schedules of which a run is late that has not ended, whose last run was refused, and that had something to decide over a minute ago. The moment is when it was due,
-- began or was to be decided.
(select 'late' as what, s.id, coalesce(n.name, 'default'), '' as reason, f.due_at as at
from fire f cross join lateral (select * from schedule where schedule.key = f.schedule offset 0) s left join namespace n on n.key = s.namespace
where f.state in (:fires_open) and f.late order by f.schedule, f.key limit 20)
union all
(select 'refused', s.id, coalesce(n.name, 'default'), f.reason, f.started_at
from schedule s cross join lateral (select state, tree, reason, started_at from fire where fire.schedule = s.key and fire.backfill = 0 and started_at is not null order by started_at desc limit 1) f
left join namespace n on n.key = s.namespace
where f.state = :fire_failed and f.tree is null and f.reason is not null order by s.key limit 20)
union all
(select 'undecided', s.id, coalesce(n.name, 'default'), '', s.next_at
from schedule s left join namespace n on n.key = s.namespace where s.next_at < now() - interval '1 minute' order by s.next_at limit 20)

-- name: ReadyExecutors
-- Executors of tasks that are ready: of the first of each run, at most $1 runs in Postgres and as many in NATS.
select distinct s.executor from (
  (select first from ready order by pool, priority, id limit $1) union all (select first from published order by id desc limit $1)) r
cross join lateral (select executor from spec where key = r.first offset 0) s
where s.executor <> ''
