-- name: LockRecord
-- Waits for the right to append to the audit record, which holds until the transaction ends.
select pg_advisory_xact_lock($1)

-- name: RecordHead
-- The newest entry of the audit record, which may have none, and the time, which is not before it. A statement of its own after LockRecord, so that it
-- sees what the holder before committed.
select coalesce(h.seq, 0), coalesce(h.hash, '\x'), coalesce(h.key, ''), greatest(h.at, clock_timestamp())
from (values (1)) one left join lateral (select seq, hash, key, at from audit_record order by seq desc limit 1) h on true

-- name: AppendRecord
-- Appends the entries of $1, an array of objects. The primary key refuses a second entry of one number.
insert into audit_record (seq, at, kind, begun, namespace, method, permission, outcome, code, error, caller_kind, caller, user_id, issuer, key_id, origin,
  surface, task, trace, count, coordinator, details, key, prev, hash)
select r.seq, r.at, r.kind, nullif(r.of, 0), r.namespace, r.method, r.permission, r.outcome, r.code, r.error, r.caller->>'kind', r.caller->>'name',
  r.caller->>'user', r.caller->>'issuer', r.caller->>'key_id', r.caller->>'from', r.caller->>'surface', r.task, r.trace, r.count, r.coordinator,
  coalesce(r.details, '{}'), r.key, decode(r.prev, 'hex'), decode(r.hash, 'hex')
from jsonb_to_recordset($1::jsonb) as r(seq bigint, at timestamptz, kind text, of bigint, namespace text, method text, permission text, outcome text,
  code text, error text, caller jsonb, task text, trace text, count bigint, coordinator text, details jsonb, key text, prev text, hash text)

-- name: LogWritten
-- How far the log of changes of Postgres is written, and how far it is on disk.
select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint

-- name: LastToTrim
-- The last of the oldest $2 entries that were made before $1.
select seq, hash from (select seq, hash, at from audit_record order by seq limit $2) r where r.at < $1 order by seq desc limit 1

-- name: TrimRecord
-- Deletes the entries up to $1.
delete from audit_record where seq <= $1

-- name: RecordEntries
-- The entries after $1, oldest first, $2 at most.
select seq, at, kind, coalesce(begun, 0), namespace, method, permission, outcome, code, error, caller_kind, caller, user_id, issuer, key_id, origin, surface,
  task, trace, count, coordinator, details, key, prev, hash
from audit_record where seq > $1 order by seq limit $2

-- name: RecordEntriesOf
-- As RecordEntries, of the namespace $3. The comparison of rows, and the order, are those of the index.
select seq, at, kind, coalesce(begun, 0), namespace, method, permission, outcome, code, error, caller_kind, caller, user_id, issuer, key_id, origin, surface,
  task, trace, count, coordinator, details, key, prev, hash
from audit_record where (namespace, seq) > ($3, $1) and namespace <= $3 order by namespace, seq limit $2

-- name: RecordNumbers
-- The numbers of entries before $1 that are no ends, newest first, $2 at most.
select seq from (select seq, begun from audit_record where seq < $1 order by seq desc limit 2 * $2) r where begun is null order by seq desc limit $2

-- name: RecordNumbersOfTask
-- As RecordNumbers, of entries that name the task $3.
select seq from audit_record where (task, seq) < ($3, $1) and task >= $3 and task <> '' and begun is null order by task desc, seq desc limit $2

-- name: RecordNumbersOfCaller
-- As RecordNumbers, of entries of the caller $3.
select seq from audit_record where (caller, seq) < ($3, $1) and caller >= $3 and begun is null order by caller desc, seq desc limit $2

-- name: RecordNumbersOfNamespace
-- As RecordNumbers, of entries of the namespace $3, ends among them.
select seq from audit_record where (namespace, seq) < ($3, $1) and namespace >= $3 order by namespace desc, seq desc limit $2

-- name: RecordCalls
-- The entries with the numbers $1 that are no ends, newest first, and how each ended.
select r.seq, r.at, r.kind, 0::bigint, r.namespace, r.method, r.permission, r.outcome, r.code, r.error, r.caller_kind, r.caller, r.user_id, r.issuer, r.key_id,
  r.origin, r.surface, r.task, r.trace, r.count, r.coordinator, r.details, r.key, r.prev, r.hash,
  e.seq, e.at, e.outcome, e.code, e.error, e.details
from unnest($1::bigint[]) u(seq)
cross join lateral (select * from audit_record r where r.seq = u.seq offset 0) r
left join lateral (select * from (select * from audit_record e where e.begun = u.seq offset 0) x order by x.seq limit 1) e on true
where r.begun is null order by r.seq desc

-- name: RecordNumberAt
-- The number of the last entry that was made before $1; 0: there is none.
select coalesce((select seq from audit_record where at < $1 order by at desc, seq desc limit 1), 0)
