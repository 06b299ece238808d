-- name: ClusterSecret
-- The cluster's secret; the first process offers $1.
with made as (insert into cluster (secret) values ($1) on conflict do nothing returning secret)
select secret from made union all select secret from cluster limit 1

-- name: PoolIDs
select id, name from pool

-- name: EnsurePools
insert into pool (name) select unnest($1::text[]) on conflict do nothing

-- name: EnsureExecutors
insert into executor (id) select unnest($1::text[]) on conflict do nothing

-- name: ExecutorIDs
select id from executor
