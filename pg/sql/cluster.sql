-- name: ClusterSecret
-- The cluster's secret; the first process offers $1. An update that changes nothing, because a row that somebody else has
-- inserted since this statement began is seen by no select in it.
insert into cluster (secret) values ($1) on conflict (only_one) do update set secret = cluster.secret returning secret

-- name: PoolIDs
select id, name from pool

-- name: EnsurePools
insert into pool (name) select unnest($1::text[]) on conflict do nothing

-- name: EnsureExecutors
insert into executor (id) select unnest($1::text[]) on conflict do nothing

-- name: ExecutorIDs
select id from executor

-- name: CheckWrite
-- Writes a page, for a transaction that is rolled back.
insert into write_check (filler) values (repeat('-', 7500))
