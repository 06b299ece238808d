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
