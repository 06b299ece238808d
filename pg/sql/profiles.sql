-- Registered profiles of resources of flows.

-- name: LastProfiles
-- The newest versions of those of the profiles $2 of the namespace $1 that are there.
select f.name, f.version, f.user_id, f.sha256, f.created_by, f.created_at
from unnest($2::text[]) u(name)
cross join lateral (
  select name, version, coalesce(user_id, '') as user_id, sha256, created_by, created_at from flow_profile where namespace = $1 and flow_profile.name = u.name order by version desc limit 1) f

-- name: CountProfiles
-- How many profiles the namespace $1 has, up to $2.
select count(*) from (select distinct name from flow_profile where namespace = $1 limit $2) f

-- name: InsertProfiles
-- Expects: LockFlows. Versions $9 and more before these are forgotten: runs have what they took of them.
with new as (
  select * from unnest($2::text[], $3::integer[], $4::text[], $5::bytea[], $6::text[], $7::bytea[]) u(name, version, user_id, sha256, body, sealed)),
old as (delete from flow_profile f using new where f.namespace = $1 and f.name = new.name and f.version <= new.version - $9::integer)
insert into flow_profile (namespace, name, version, user_id, sha256, body, sealed, created_by)
select $1, name, version, nullif(user_id, ''), sha256, body::json, sealed, $8 from new
returning name, created_at

-- name: ProfileNamed
-- The version $3 (0: the newest) of the profile $2 of the namespace $1 with its body, and how many versions there are.
select name, version, coalesce(user_id, ''), sha256, created_by, created_at, body, sealed, (select count(*) from flow_profile v where v.namespace = $1 and v.name = $2)
from flow_profile where namespace = $1 and name = $2 and ($3 = 0 or version = $3) order by version desc limit 1

-- name: ProfilesBehind
-- The newest versions of the profiles of the namespace $1 with names behind $2, of the user $3 unless it is empty; $4 of them.
select f.name, f.version, coalesce(f.user_id, ''), f.sha256, f.created_by, f.created_at
from flow_profile f where f.namespace = $1 and f.name > $2 and ($3 = '' or f.user_id = $3)
  and not exists (select from flow_profile n where n.namespace = f.namespace and n.name = f.name and n.version > f.version)
order by f.name limit $4

-- name: ProfilesToRun
-- The newest versions of the profiles $2 of the namespace $1 that are nobody's, or the user's $3.
select f.name, f.version, f.body, f.sealed
from unnest($2::text[]) u(name)
cross join lateral (
  select name, version, user_id, body, sealed from flow_profile where namespace = $1 and flow_profile.name = u.name order by version desc limit 1) f
where f.user_id is null or f.user_id = $3

-- name: OwnerOfProfile
select coalesce(user_id, '') from flow_profile where namespace = $1 and name = $2 order by version desc limit 1

-- name: DeleteProfile
-- All versions of the profile $2 of the namespace $1, if it is the user's $3, unless that is empty. Runs have what they took of it.
delete from flow_profile where namespace = $1 and name = $2 and ($3 = '' or user_id = $3)

-- name: EraseProfiles
-- The profiles of the user $2 of the namespace $1.
delete from flow_profile where user_id = $2 and namespace = $1
