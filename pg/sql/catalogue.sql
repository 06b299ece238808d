-- name: SeeDescriptions
-- Records that a worker has the descriptions of the hashes $1; gives those that are stored. Locks: descriptions, by no other statement
-- than these.
update description set seen_at = now() where hash = any($1::bytea[]) returning hash

-- name: AddDescriptions
-- Stores descriptions: hashes $1, executors $2, bodies $3, as long as all together have at most $4 bytes. Gives those that were stored.
insert into description (hash, executor, body)
select u.hash, u.executor, u.body from unnest($1::bytea[], $2::text[], $3::bytea[]) u(hash, executor, body)
where (select coalesce(sum(octet_length(body)), 0) from description) + (select sum(octet_length(b)) from unnest($3::bytea[]) b) <= $4
on conflict do nothing returning hash

-- name: ForgetDescriptions
-- Deletes descriptions that no worker had within $1 days.
delete from description where seen_at < now() - $1 * interval '1 day'

-- name: Descriptions
select hash, executor, seen_at from description order by executor, seen_at desc, hash

-- name: DescriptionBodies
select hash, body from description where hash = any($1::bytea[])

-- name: DescribingWorkers
-- What the live workers say of their executors.
select pools, described from worker where state in (:worker_live) and lease_until > clock_timestamp()
