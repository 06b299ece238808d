-- name: InsertAPIKey
-- A key, unless its owner has $12 that count in the namespace. No row: so it is.
-- Two at once may both pass; so the bound is a soft one.
insert into api_key (id, hash, namespace, name, owner, maker, issuer, roles, groups, scopes, session, life, expires_at)
select $1::text, $2::bytea, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text[], $9::text[], $10::text[], $11::boolean, $13::interval, now() + $13::interval
where (select count(*) from (select from api_key where namespace = $3 and owner = $5 and session = $11 and revoked_at is null and expires_at > now() limit $12) f) < $12
returning key

-- name: APIKeysByHash
-- The keys of the hashes $1, old ones that still count among them. A key ends with its namespace: one that was made anew by the same name is another.
select u.hash, k.key, k.id, k.session, k.namespace, k.name, k.owner, k.maker, k.issuer, k.roles, k.groups, k.scopes, k.created_at, k.expires_at, k.used_at, k.revoked_at,
  k.revoked_at is not null as revoked, extract(epoch from k.until - now())::float8 as remaining
from unnest($1::bytea[]) u(hash) cross join lateral (
  select *, expires_at as until from api_key where hash = u.hash
  union all
  select *, least(expires_at, old_until) from api_key where old_hash = u.hash and old_until > now()
  limit 1) k
where k.namespace in ('', 'default') or exists (select from namespace n where n.name = k.namespace and n.created_at <= k.created_at and n.closed_at is null)

-- name: APIKeys
-- Keys of a namespace after a key, of an owner unless that is empty; or the one with the id $5. $6: revoked and expired ones, too.
select null::bytea as hash, key, id, session, namespace, name, owner, maker, issuer, roles, groups, scopes, created_at, expires_at, used_at, revoked_at,
  revoked_at is not null as revoked, extract(epoch from expires_at - now())::float8 as remaining
from api_key
where not session and namespace = $1 and key > $3 and ($2 = '' or owner = $2) and ($5::text is null or id = $5) and ($6::boolean or revoked_at is null and expires_at > now())
order by key limit $4

-- name: RevokeAPIKey
-- No row: there is no such key.
update api_key set revoked_at = coalesce(revoked_at, now()) where id = $2 and namespace = $1 and not session returning key

-- name: RotateAPIKey
-- A new hash $3 for a key that counts; the old one counts for $4 longer. No row: there is no such key, or it does not count.
update api_key set old_hash = case when $4::interval > '0' then hash end, old_until = now() + $4::interval, hash = $3, expires_at = now() + life
where id = $2 and namespace = $1 and not session and revoked_at is null and expires_at > now() returning key

-- name: EndSession
-- No row: there is no such session, or it has ended.
update api_key set revoked_at = now() where hash = $1 and session and revoked_at is null returning id

-- name: EndOldSessions
-- Ends the oldest sessions of an owner that are above the number $2; returns their ids.
update api_key set revoked_at = now() where key in (
  select key from api_key where namespace = '' and owner = $1 and session and revoked_at is null and expires_at > now() order by key desc offset $2 limit 100) returning id

-- name: UseAPIKeys
-- Writes down when keys were last used: $1 keys, and how many seconds ago.
update api_key k set used_at = now() - make_interval(secs => u.ago)
from unnest($1::bigint[], $2::float8[]) u(key, ago)
where k.key = u.key and (k.used_at is null or k.used_at < now() - make_interval(secs => u.ago))

-- name: DeleteOldAPIKeys
-- Keys that expired 30 days ago, and sessions that expired, at most $1 of them.
delete from api_key where key in (
  select key from (select key, session, expires_at from api_key where expires_at < now() order by expires_at limit $1) f
  where f.session or f.expires_at < now() - interval '30 days')
