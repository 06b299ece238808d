-- name: LockArtifactsOwner
-- Lets one at a time look at what the owner of the tree of the task $1 has, and add to it, until the transaction ends.
select pg_advisory_xact_lock(7242, hashtext(namespace || ' ' || coalesce(user_id, ''))) from tree where key = $1::bigint >> 24

-- name: OpenContent
-- Begins to put a content: id $1, of the attempt $3 of the task $2, with size $4, blocks of $5, the envelope of its key $6 (null: not sealed).
-- Expects: the attempt is open, unless $7; and the owner of the tree has at most $8 bytes then and $9 artifacts (0: any number), what is being put
-- included. A repetition changes nothing. Gives whether the attempt is open and what the owner has. Sums up an index over the owner's rows. No locks.
with open as (
  select from task where key = $2 and (attempt = $3 and (worker is not null or state = :ready) or $7)
), owner as (
  select namespace, coalesce(user_id, '') as user_id from tree where key = $2::bigint >> 24
), had as (
  select coalesce(sum(a.size), 0)::bigint as bytes, count(*) as n from owner o join artifact a on a.namespace = o.namespace and a.user_id = o.user_id
), puts as (
  select coalesce(sum(c.size), 0)::bigint as bytes, count(*) as n from owner o join content c on c.namespace = o.namespace and c.user_id = o.user_id and c.state = :content_open and c.id <> $1
), room as (
  select had.bytes + puts.bytes as bytes, had.n + puts.n as n from had, puts
), put as (
  insert into content (id, state, task, attempt, namespace, user_id, size, block, sealed, look_at)
  select $1, 0, $2, $3, o.namespace, o.user_id, $4, $5, $6, now() + interval '10 min' from owner o, room r
  where exists (select from open) and ($8::bigint = 0 or r.bytes + $4 <= $8) and ($9::bigint = 0 or r.n < $9)
  on conflict (id) do nothing
)
select exists (select from open), r.bytes, r.n from room r

-- name: ContentByID
-- No locks.
select key, task, attempt, state, size, block, digests, sealed from content where id = $1

-- name: LockContent
-- Locks a content that is stored, or is being put.
select key, task, attempt, state, size, block from content where id = $1 for update

-- name: StoredContents
-- Stored contents behind the row $1, each with a task that has it. At most $2. Reads the primary key.
select c.key, c.id, c.size, c.block, c.digests, c.sealed, c.task, (select min(a.task) from artifact a where a.content = c.key)
from content c where c.key > $1 and c.state = :content_whole order by c.key limit $2

-- name: ArtifactStoreRows
-- How many contents there are for the doctor to say: whether any is stored; and of those to be deleted, since when the first is due.
select exists (select from content where state = :content_whole), (select min(look_at) from content where look_at < now()), now()

-- name: SameContent
-- The stored content with the root $1, which can't be taken for one that nobody refers to until the transaction ends. Locks it, shared.
select key from content where root = $1 and state = :content_whole for share

-- name: ContentStored
-- Expects: it is being put, and locked; fails where another with its root is stored.
update content set state = :content_whole, root = $2, digests = $3, look_at = null where key = $1 and state = :content_open

-- name: ContentSpare
-- It was put in vain: the same is stored already.
update content set state = :content_gone, look_at = now() where key = $1 and state = :content_open

-- name: AddArtifact
-- Adds a reference. Expects: the attempt is open, unless $12; and the owner has at most $13 bytes then and $14 artifacts, what is being put included, or
-- nobody looks ($13 and $14 are 0). It may be there already. Gives whether the attempt is open, and whether there is room. Locks nothing; the content is locked.
with open as (
  select from task where key = $1 and (attempt = $2 and (worker is not null or state = :ready) or $12)
), room as (
  select $13::bigint = 0 and $14::bigint = 0 or (
    select ($13 = 0 or coalesce(sum(had.size), 0) + $5 <= $13) and ($14 = 0 or count(*) < $14)
    from tree t cross join lateral (
      select a.size from artifact a where a.namespace = t.namespace and a.user_id = coalesce(t.user_id, '')
      union all select c.size from content c where c.namespace = t.namespace and c.user_id = coalesce(t.user_id, '') and c.state = :content_open) had
    where t.key = $1::bigint >> 24) as is
), put as (
  insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, content, data, sealed)
  select $1, $2, $3, $4, t.namespace, coalesce(t.user_id, ''), $5, $6, $7, $8, $9, $10, $11 from tree t where t.key = $1::bigint >> 24 and exists (select from open) and (select r.is from room r)
  on conflict (task, attempt, kind, number) do nothing
)
select exists (select from open), (select r.is from room r)

-- name: AddLogs
-- Adds references with their data, of attempts that may have ended: the tasks $1, attempts $2, sizes $3, tags $4, data $5, envelopes $6. Logs that are
-- there stay, and those of trees that are gone are left out, and so are those of owners with more than $7 bytes (0: any number). One look-up of a
-- tree for each, and a sum over the rows of each owner.
with new as (
  select u.*, t.namespace, coalesce(t.user_id, '') as user_id
  from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) u(task, attempt, size, tag, data, sealed)
  cross join lateral (select namespace, user_id from tree where tree.key = u.task >> 24 offset 0) t
), owners as materialized (
  select o.namespace, o.user_id, case when $7::bigint = 0 then 0 else (select coalesce(sum(size), 0) from artifact a where a.namespace = o.namespace and a.user_id = o.user_id) end as bytes
  from (select distinct namespace, user_id from new) o
)
insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, data, sealed)
select n.task, n.attempt, 3, 0, n.namespace, n.user_id, n.size, '', '', n.tag, n.data, n.sealed from new n join owners o using (namespace, user_id)
where $7 = 0 or o.bytes <= $7 order by n.task, n.attempt
on conflict (task, attempt, kind, number) do nothing

-- name: ArtifactsOf
-- The artifacts of the attempts of a task, in the order of attempts, but for their data: of the attempt $2 (0: all), of the kinds $3. At most $4.
select a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed, a.created_at, c.id, c.block, c.digests, c.sealed, a.data is not null, s.id, s.name
from artifact a left join content c on c.key = a.content left join spec s on s.key = a.task
where a.task = $1 and ($2::integer = 0 or a.attempt = $2) and a.kind = any($3::smallint[]) order by a.attempt, a.kind, a.number limit $4

-- name: ArtifactsIn
-- Those of the tasks of the keys in [$1, $2) behind ($3 task, $4 attempt, $5 kind, $6 number), of the kinds $7. At most $8.
select a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed, a.created_at, c.id, c.block, c.digests, c.sealed, a.data is not null, s.id, s.name
from artifact a left join content c on c.key = a.content left join spec s on s.key = a.task
where a.task >= $1 and a.task < $2 and (a.task, a.attempt, a.kind, a.number) > ($3::bigint, $4::integer, $5::smallint, $6::integer) and a.kind = any($7::smallint[])
order by a.task, a.attempt, a.kind, a.number limit $8

-- name: FindArtifact
-- One with a tag of $1 and the size $2: of the tree $3 or, where that is a revision of a run, of those before it; else one of the same owner among a thousand. One look-up for each. No locks.
with trees as materialized (
  select $3::bigint as tree, null::integer as revision
  union all
  select r.tree, r.revision from flow_run own join flow_run r using (namespace, flow_id, run_id) where own.tree = $3 and r.revision < own.revision
)
select * from (
  (select 1 as turn, a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed, a.created_at, c.id, c.block, c.digests, c.sealed as key, a.data is not null as inline, null::text as id2, null::text
   from trees v cross join lateral (
     select * from artifact where tag = any($1::bytea[]) and task >= v.tree << 24 and task < v.tree + 1 << 24 and size = $2 and kind not in (:artifact_log, :artifact_manifest) limit 1) a
   left join content c on c.key = a.content order by v.revision desc nulls first limit 1)
  union all
  (select 2, a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed, a.created_at, c.id, c.block, c.digests, c.sealed, a.data is not null, null, null
   from (select * from artifact where tag = any($1::bytea[]) and size = $2 and kind not in (:artifact_log, :artifact_manifest) limit 1000) a
   join tree t on t.key = $3 and a.namespace = t.namespace and a.user_id = coalesce(t.user_id, '') and a.user_id <> ''
   left join content c on c.key = a.content limit 1)
) f order by turn limit 1

-- name: NewestManifest
-- Of the manifests with a tag of $1 that successful tasks of the tree $2 left, the one with the highest number; if there is none, and the tree is a revision of a run, that of the last one
-- before it that has one, as steps that ended there are kept. One look-up of a task for each. No locks.
with trees as materialized (
  select $2::bigint as tree, null::integer as revision
  union all
  select r.tree, r.revision from flow_run own join flow_run r using (namespace, flow_id, run_id) where own.tree = $2 and r.revision < own.revision
)
select a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed, a.created_at, c.id, c.block, c.digests, c.sealed, a.data is not null, null::text, null::text
from trees v cross join lateral (
  select m.* from artifact m join task t on t.key = m.task and t.attempt = m.attempt and t.state in (:successful)
  where m.tag = any($1::bytea[]) and m.task >= v.tree << 24 and m.task < v.tree + 1 << 24 and m.kind = :artifact_manifest order by m.number desc, m.task desc limit 1) a
left join content c on c.key = a.content order by v.revision desc nulls first limit 1

-- name: TreeEnds
-- Whether the trees $1 have ended, and well. Two look-ups for each.
select t.key, t.finished_at is not null, k.state in (:successful) from tree t join task k on k.key = t.root where t.key = any($1::bigint[])

-- name: ArtifactData
-- The data of one, and its envelope.
select data, sealed from artifact where task = $1 and attempt = $2 and kind = $3 and number = $4

-- name: DeleteArtifacts
-- The references of the tasks of the keys in [$1, $2). Their contents are looked at soon; state + 0 keeps the planner from the index of their roots, which it would
-- read whole.
with gone as (delete from artifact where task >= $1 and task < $2 returning content)
update content set look_at = now() where state + 0 = :content_whole and key = any(array(select content from gone where content is not null))

-- name: DeleteArtifactsOf
-- Likewise, of the tasks $1.
with gone as (delete from artifact where task = any($1::bigint[]) returning content)
update content set look_at = now() where state + 0 = :content_whole and key = any(array(select content from gone where content is not null))

-- name: DeleteStrayArtifacts
-- Of the first $1 references from the task $2 on those of trees that are gone: a coordinator deleted them that did not know of artifacts, or they came at
-- that moment. Gives the task to go on with; 0: it came to the end.
with looked as materialized (
  select task from artifact where task >= $2 order by task limit $1
), stray as materialized (
  select l.task from looked l where not exists (select from tree where tree.key = l.task >> 24 offset 0)
), gone as (
  delete from artifact where task in (select task from stray) returning content
), unneeded as (
  update content set look_at = now() where state + 0 = :content_whole and key = any(array(select content from gone where content is not null))
)
select case when count(*) < $1 then 0 else max(task) + 1 end from looked

-- name: ContentsToLook
-- Locks some contents that may not be needed.
select key from content where look_at <= now() order by look_at limit $1 for update skip locked

-- name: JudgeContents
-- Decides on the contents $1, which are locked: a stored one without references is to be deleted, and so is one that is being put for over an hour
-- while its attempt is over. Gives those to be deleted, and whether it was decided before; they come again in five minutes.
update content c set
  state = case when c.state = :content_whole and r.referred then :content_whole when c.state = :content_open and (r.open or c.created_at > now() - interval '1 hour') then :content_open else :content_gone end,
  look_at = case when c.state = :content_whole and r.referred then null else now() + interval '5 min' end
from (
  select k.key, exists (select from artifact a where a.content = k.key) or exists (select from bundle_blob b where b.content = k.key) as referred,
    exists (select from content x join task t on t.key = x.task and t.attempt = x.attempt and (t.worker is not null or t.state = :ready) where x.key = k.key) as open,
    exists (select from content x where x.key = k.key and x.state = :content_gone) as again
  from unnest($1::bigint[]) k(key)
) r where c.key = r.key
returning c.key, c.id, c.size, c.block, c.state, r.again

-- name: ForgetContents
-- Those that are gone from the store.
delete from content where key = any($1::bigint[]) and state = :content_gone

-- name: ArtifactUsage
-- How many bytes and artifacts an owner has. Sums up an index.
select coalesce(sum(size), 0)::bigint, count(*) from artifact where namespace = $1 and user_id = $2
