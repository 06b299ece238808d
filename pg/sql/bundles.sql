-- Bundles: versions of directories, which runs of flows pin.

-- name: TouchBundleBlob
-- The content with the digest $2 of the namespace $1, as the user $3 put it, which is kept for an hour from now.
update bundle_blob set used_at = now() where namespace = $1 and sha256 = $2 and user_id = $3 returning key

-- name: BundleBytes
-- How many bytes contents of bundles of the namespace $1 have. Sums up an index.
select coalesce(sum(size), 0)::bigint from bundle_blob where namespace = $1

-- name: OpenBundleContent
-- Begins to put a content of a bundle: id $1, for the pseudo task $2 of the namespace $3, with size $4, blocks of $5, the envelope of its key $6.
insert into content (id, state, task, attempt, namespace, user_id, size, block, sealed, look_at) values ($1, :content_open, $2, 0, $3, '', $4, $5, $6, now() + interval '10 min')

-- name: PutBundleBlob
-- Keeps a content: of the namespace $1, with the digest $2 and size $3; in the content $4, or here, as $5 or $6; put by the user $7. One that is there stays. Gives the content that counts.
insert into bundle_blob (namespace, sha256, size, content, body, sealed, user_id) values ($1, $2, $3, $4, $5::json, $6, $7)
on conflict (namespace, sha256, user_id) do update set used_at = now() returning content

-- name: SpareBundleContent
-- The same is there already.
update content set look_at = now() where key = $1

-- name: LockBundles
-- One version is stored at a time in the namespace $1.
select pg_advisory_xact_lock(7252, $1)

-- name: CountBundles
-- How many versions of bundles the namespace $1 has, up to $2.
select count(*) from (select from bundle where namespace = $1 limit $2) b

-- name: HoldBundleBlobs
-- Those of the contents $2 that are there, of the namespace $1, kept for an hour from now; that the user $3 put, unless that is empty. Locks them.
update bundle_blob set used_at = now() where namespace = $1 and sha256 = any($2::bytea[]) and ($3 = '' or user_id = $3) returning key, sha256, size

-- name: ApplyBundle
-- Expects: LockBundles. A version of the bundle $2 of the namespace $1, which is the latest then; the one that is there stays as it is, and is the applier's if it was deleted.
insert into bundle (namespace, id, fingerprint, digest, user_id, body, sealed, files, bytes, created_by)
values ($1, $2, $3, $4, coalesce((select user_id from bundle where namespace = $1 and id = $2 and not deleted order by applied_at desc limit 1), nullif($5, '')), $6::json, $7, $8, $9, $10)
on conflict (namespace, id, fingerprint, digest) do update set applied_at = clock_timestamp(), used_at = now(), deleted = false,
  user_id = case when bundle.deleted then excluded.user_id else bundle.user_id end, created_by = case when bundle.deleted then excluded.created_by else bundle.created_by end
returning key, xmax = 0

-- name: InsertBundleFiles
-- Of the version $1: paths $2 with contents $3.
insert into bundle_file (bundle, path, blob) select $1, path, blob from unnest($2::text[], $3::bigint[]) u(path, blob)

-- name: HoldBundle
-- The version of the bundle $2 of the namespace $1 with the digest $3 and the fingerprint $4, or the latest if they are empty, kept for an hour from now.
update bundle set used_at = now() where key = (
  select key from bundle where namespace = $1 and id = $2 and ($3 = '' or digest = $3) and ($4 = '' or fingerprint = $4) and not deleted order by applied_at desc, key desc limit 1)
returning key, namespace, id, fingerprint, digest, coalesce(user_id, ''), body, sealed, files, bytes, created_by, created_at, applied_at

-- name: BundleByKey
select key, namespace, id, fingerprint, digest, coalesce(user_id, ''), body, sealed, files, bytes, created_by, created_at, applied_at from bundle where key = $1

-- name: BundlesBehind
-- Versions of the bundles of the namespace $1, the latest of each bundle first, behind ($2 id, $3 applied_at, $4 key); of the bundle $5 and the user $6, unless they are empty; $7 of them.
select key, namespace, id, fingerprint, digest, coalesce(user_id, ''), body, sealed, files, bytes, created_by, created_at, applied_at
from bundle where namespace = $1 and not deleted and ($5 = '' or id = $5) and ($6 = '' or user_id = $6)
  and (id > $2 or id = $2 and (applied_at, key) < ($3::timestamptz, $4::bigint))
order by id, applied_at desc, key desc limit $7

-- name: OwnerOfBundle
select coalesce(user_id, '') from bundle where namespace = $1 and id = $2 and not deleted order by applied_at desc limit 1

-- name: FlowsOfBundle
-- A flow of the namespace $1 whose newest version names the bundle $2.
select f.id from flow f where f.namespace = $1 and f.bundle = $2
  and not exists (select from flow n where n.namespace = f.namespace and n.id = f.id and n.version > f.version) limit 1

-- name: DeleteBundle
-- All versions of the bundle $2 of the namespace $1, if it is the user's $3, unless that is empty: they go once no run names them.
update bundle set deleted = true where namespace = $1 and id = $2 and not deleted and ($3 = '' or user_id = $3)

-- name: EraseBundles
-- The bundles of the user $2 of the namespace $1: they go once no run names them.
with blobs as (update bundle_blob set user_id = null where namespace = $1 and user_id = $2)
update bundle set deleted = true, user_id = null, created_by = '' where namespace = $1 and user_id = $2

-- name: BundleFile
-- The content of the file $2 of the version $1.
select x.namespace, x.size, x.body, x.sealed, c.id, c.block, c.digests, c.sealed, c.task
from bundle_file f join bundle_blob x on x.key = f.blob left join content c on c.key = x.content where f.bundle = $1 and f.path = $2

-- name: BundleFileOfTree
-- A content with the digest $2 and the size $3 of the bundle that the run pins whose tree is $1.
select x.namespace, x.size, x.body, x.sealed, c.id, c.block, c.digests, c.sealed, c.task
from flow_run r join bundle b on b.key = r.bundle join bundle_blob x on x.namespace = b.namespace and x.sha256 = $2 and x.size = $3 left join content c on c.key = x.content
where r.tree = $1 and exists (select from bundle_file f where f.bundle = b.key and f.blob = x.key) limit 1

-- name: ForgetBundles
-- Up to $1 versions that are deleted, or behind the latest $2 of their bundle, and that no run names, nor anybody has meant to name for an hour.
with gone as (
  delete from bundle where key in (
    select b.key from bundle b where b.used_at < now() - interval '1 hour' and not exists (select from flow_run r where r.bundle = b.key)
      and (b.deleted or $2 <= (select count(*) from bundle n where n.namespace = b.namespace and n.id = b.id and n.applied_at > b.applied_at and not n.deleted)) limit $1)
    and used_at < now() - interval '1 hour' returning key
), files as (delete from bundle_file using gone where bundle_file.bundle = gone.key)
select count(*) from gone

-- name: ForgetBundleBlobs
-- Up to $1 contents that no version has, and that nobody has meant to name for an hour.
with gone as (
  delete from bundle_blob where key in (
    select x.key from bundle_blob x where x.used_at < now() - interval '1 hour' and not exists (select from bundle_file f where f.blob = x.key) limit $1)
    and used_at < now() - interval '1 hour' returning content
), unneeded as (update content set look_at = now() where key = any(array(select content from gone where content is not null)))
select count(*) from gone
