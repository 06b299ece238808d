-- name: FindCached
-- By which success a task may end that is told by the digest $3, of the user $2 in the namespace $1: it is at most $4 milliseconds old, and has $5 bytes at most. No locks.
select c.task, c.attempt, s.id, tree.root_id, a.result, a.outputs, a.sealed
from cache c
cross join lateral (select id from spec where spec.key = c.task offset 0) s
cross join lateral (select root_id from tree where tree.key = c.task >> 24 offset 0) tree
cross join lateral (select result, outputs, sealed from attempt where attempt.task = c.task and attempt.number = c.attempt and attempt.outcome = :outcome_completed offset 0) a
where c.namespace = $1 and c.user_id = $2 and c.digest = $3 and c.until > now() and c.at > now() - $4::bigint * interval '1 millisecond'
  and coalesce(octet_length(a.result::text), 0) + coalesce(octet_length(a.outputs::text), 0) + coalesce(octet_length(a.sealed), 0) <= $5

-- name: StillCached
-- Which of the successes that were found for the tasks $1 are still there, as [FindCached] has them, now that all is locked. No locks.
select u.key
from unnest($1::bigint[], $2::integer[], $3::text[], $4::bytea[], $5::bigint[], $6::integer[], $7::bigint[]) u(key, namespace, user_id, digest, task, attempt, age_ms)
cross join lateral (select from cache c where c.namespace = u.namespace and c.user_id = u.user_id and c.digest = u.digest and c.task = u.task and c.attempt = u.attempt
  and c.until > clock_timestamp() and c.at > clock_timestamp() - u.age_ms * interval '1 millisecond' offset 0) c

-- name: LockRevisions
-- The revisions of the trees $1. What tells their tasks stays as it is until this transaction ends: whoever changes it raises the revision, and then looks for what is to be
-- forgotten (ForgetCachedAround).
-- Locks: the trees.
select key, revision from tree where key = any($1::bigint[]) order by key for no key update

-- name: ForgetCaching
-- Nothing that the tasks $1 give is for others, until they are judged anew.
delete from caching where task = any($1::bigint[])

-- name: ForgetCachedAround
-- Somebody changes the task $1: what it gave is not for others any more, and neither is what it gives, or what depends on it, until these are judged anew. Expects: its tree
-- is locked.
with c as (delete from caching where task = $1 or task = any(array(select dependent from edge where dependency = $1)))
delete from cache where task = $1

-- name: InsertCaching
-- What tells the tasks $1, which are locked.
insert into caching (task, digest, for_ms) select * from unnest($1::bigint[], $2::bytea[], $3::bigint[])
on conflict (task) do update set digest = excluded.digest, for_ms = excluded.for_ms

-- name: InsertCached
-- By which successes the attempts $2 of the tasks $1 ended.
insert into cached (task, attempt, from_id, from_tree) select * from unnest($1::bigint[], $2::integer[], $3::text[], $4::text[])

-- name: FillCache
-- What the attempts $2 of the tasks $1 gave, which are locked and have completed, is there for others from now on, unless it made files.
-- Locks: entries of the same digests, in their order.
with c as (delete from caching where task = any($1::bigint[]) returning task, digest, for_ms)
insert into cache (namespace, user_id, digest, task, attempt, at, until)
select distinct on (tree.namespace, coalesce(tree.user_id, ''), c.digest)
  tree.namespace, coalesce(tree.user_id, ''), c.digest, c.task, u.attempt, now(), now() + c.for_ms * interval '1 millisecond'
from unnest($1::bigint[], $2::integer[]) u(task, attempt)
join c on c.task = u.task
join tree on tree.key = u.task >> 24
where not exists (select from artifact a where a.task = u.task and a.attempt = u.attempt and a.kind <> :artifact_log)
order by tree.namespace, coalesce(tree.user_id, ''), c.digest, c.task
on conflict (namespace, user_id, digest) do update set task = excluded.task, attempt = excluded.attempt, at = excluded.at, until = excluded.until

-- name: CachedFrom
-- By which successes the attempts $2 of the tasks $1 ended, of those that ended so.
select c.task, c.from_id, c.from_tree from unnest($1::bigint[], $2::integer[]) u(task, attempt)
cross join lateral (select task, from_id, from_tree from cached where cached.task = u.task and cached.attempt = u.attempt offset 0) c

-- name: SweepCache
-- Forgets up to $1 successes that are too old, and of one user, the next one after ($2, $3), the oldest of those beyond the newest $4. Gives that user; null: there is none further.
-- Locks: entries, skipping those that others lock.
with old as (delete from cache where (namespace, user_id, digest) in (select namespace, user_id, digest from cache where until < now() order by until limit $1 for update skip locked)),
next as (select namespace, user_id from cache where (namespace, user_id) > ($2, $3) order by namespace, user_id limit 1),
bound as (
  select n.namespace, n.user_id, c.at from next n
  cross join lateral (select at from cache where cache.namespace = n.namespace and cache.user_id = n.user_id order by at desc offset $4 limit 1) c
), many as (
  delete from cache where (namespace, user_id, digest) in (
    select c.namespace, c.user_id, c.digest from bound b
    cross join lateral (select namespace, user_id, digest from cache where cache.namespace = b.namespace and cache.user_id = b.user_id and cache.at <= b.at order by at limit $1 for update skip locked) c)
)
select (select namespace from next), (select user_id from next)
