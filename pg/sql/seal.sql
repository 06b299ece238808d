-- name: CurrentDataKey
-- The data key of the namespace $1 that is not retired.
select number, namespace, wrapped, master, check_value, created_at, retired_at from data_key where namespace = $1 and retired_at is null

-- name: NumberedDataKey
select number, namespace, wrapped, master, check_value, created_at, retired_at from data_key where number = $1

-- name: DataKeys
select number, namespace, wrapped, master, check_value, created_at, retired_at from data_key order by number

-- name: RetireDataKey
-- Retires the data key $1 of the namespace $2. Locks: it, before the insertion of the next one.
update data_key set retired_at = now() where number = $1 and namespace = $2 and retired_at is null

-- name: AddDataKey
-- Adds a data key to the namespace $1: wrapped $2 by the master key $3, check value $4. Nothing if it has one that is not retired.
insert into data_key (namespace, wrapped, master, check_value) values ($1, $2, $3, $4)
on conflict (namespace) where retired_at is null do nothing

-- name: RewrapDataKey
-- Replaces what wraps the data key $1, if $2 still does, by $3 of the master key $4.
update data_key set wrapped = $3, master = $4 where number = $1 and wrapped = $2

-- name: SealingState
-- Whether values are sealed (0 no, 1 yes, 2 they are being opened), and since when.
select sealing, nullif(sealing_since, '-infinity') from cluster

-- name: SetSealing
-- Expects another state; else nothing changes.
update cluster set sealing = $1, sealing_since = now() where sealing <> $1

-- name: NamespaceOfTree
select namespace from tree where key = $1

-- name: SealWork
-- What the walker has to do; $1: seconds that a change must be old before a round begins.   No locks.
select c.sealing = 1, coalesce(w.round, 0), coalesce(w.done, true), coalesce(w.rows, 0)::bigint,
  coalesce(w.done and w.rows = 0 and w.began > greatest(c.sealing_since, k.retired), false),
  greatest(c.sealing_since, k.retired) <= now() - $1 * interval '1 second', k.retired is not null
from cluster c, (select max(retired_at) as retired from data_key where namespace >= 0) k,
  (select max(round) as round, bool_and(done) as done, sum(rows) as rows, min(began) as began from seal_walk) w

-- name: WriterMark
select pg_snapshot_xmax(pg_current_snapshot())::text::bigint

-- name: WritersEnded
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1::bigint

-- name: BeginSealRound
-- Begins the round behind $1, for the tables $2. Expects: $1 is the latest, and done; else nothing changes.   Locks: the walk.
insert into seal_walk (relation, round, cursor, done, rows, at, began)
select t, $1::bigint + 1, -9223372036854775808, false, 0, now(), now() from unnest($2::text[]) t
on conflict (relation) do update set round = excluded.round, cursor = excluded.cursor, done = false, rows = 0, at = now(), began = now()
where seal_walk.round = $1 and seal_walk.done

-- name: SealTables
select relation, round, done, rows, began from seal_walk order by relation

-- name: DropDataKeys
-- Deletes retired keys of namespaces with which no row is sealed, $1 seconds after a round found nothing that had begun when they were retired
-- already. Keys of the cluster stay.
delete from data_key where namespace >= 0 and retired_at < (
  select min(began) from seal_walk having bool_and(done) and sum(rows) = 0 and max(at) <= now() - $1 * interval '1 second')
returning number

-- name: LockSealWalk
-- Reports whether this transaction is the one that walks.
select pg_try_advisory_xact_lock(7241, 1)

-- name: SealWalk
select relation, cursor from seal_walk where not done

-- name: RetiredDataKeys
-- Of namespaces.
select number from data_key where namespace >= 0 and retired_at is not null

-- name: SealWalked
-- Rows of the table $1 up to $2 are done; $3 more were written, or left. $4: it has no more.
update seal_walk set cursor = $2, rows = rows + $3, done = $4, at = now() where relation = $1
