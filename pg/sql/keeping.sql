-- How trees are kept: retentions of their own, and holds. A tree that has neither has no row in keeping, and costs nothing more. What changes a row takes the
-- tree's advisory lock first (LockExecution), as who deletes the tree does.

-- name: InsertKeeping
-- The new trees $1, of the namespaces $2, have retentions of their own, of $3 seconds; -1: for ever.
with k as (
  insert into keeping (tree, namespace, retention_s, look_at)
  select u.*, case when u.s >= 0 then now() + u.s * interval '1 second' end from unnest($1::bigint[], $2::integer[], $3::bigint[]) u(tree, namespace, s) returning tree
)
update tree set keeping = :keeping_own from k where tree.key = k.tree

-- name: KeepingOf
-- How the tree $1 is kept.
select coalesce(retention_s, 0), held_at, coalesce(held_by, ''), coalesce(reason, '') from keeping where tree = $1

-- name: HoldTree
-- Nobody deletes the tree $1 from the commit on. One that is held stays so, by who held it first. No row: it is gone, or is being deleted. Expects: LockExecution.
with t as (
  update tree set keeping = :keeping_own where key = $1 and keeping is distinct from :keeping_going returning key, namespace, root_id
), k as (
  insert into keeping (tree, namespace, held_at, held_by, reason) select key, namespace, now(), $2, $3 from t
  on conflict (tree) do update set held_at = coalesce(keeping.held_at, excluded.held_at), look_at = null,
    held_by = case when keeping.held_at is null then excluded.held_by else keeping.held_by end,
    reason = case when keeping.held_at is null then excluded.reason else keeping.reason end
  returning held_at, held_by, reason
)
select t.key, t.root_id, k.held_at, k.held_by, k.reason from t cross join k

-- name: ReleaseTree
-- The tree $1 is held no more. No row: it was not. Expects: LockExecution.
with k as (
  update keeping set held_at = null, held_by = null, reason = null, look_at = case when retention_s >= 0 then now() end
  where tree = $1 and held_at is not null and retention_s is not null returning tree
), d as (
  delete from keeping where tree = $1 and held_at is not null and retention_s is null returning tree
), t as (
  update tree set keeping = null from d where tree.key = d.tree
)
select tree from k union all select tree from d

-- name: Holds
-- The first $4 trees after $2, by key, of the namespace $1 that are held; with $3, of this user only.
select k.tree, tree.root_id, k.held_at, k.held_by, k.reason
from keeping k cross join lateral (select root_id, user_id from tree where tree.key = k.tree offset 0) tree
where k.held_at is not null and k.namespace = $1 and k.tree > $2 and ($3 = '' or tree.user_id = $3) order by k.tree limit $4

-- name: HeldIn
-- Whether a tree of the namespace $1 is held.
select count(*) from (select from keeping where held_at is not null and namespace = $1 limit 1) k

-- name: HeldLonger
-- How many trees are held, up to 1000, and how many of these ended longer ago than they would be kept otherwise, $1 seconds where they say nothing else; 0: for ever.
select count(*), count(*) filter (where age > 0 and finished_at < now() - age * interval '1 second') from (
  select t.finished_at, coalesce(k.retention_s, $1::double precision) as age from keeping k
  cross join lateral (select finished_at from tree where tree.key = k.tree offset 0) t where k.held_at is not null limit 1000) h

-- name: BeginDeletion
-- The deletion of the tree $1 takes several transactions, and this is the first: it can't be held any more, and who looks at what is due goes on with it.
with t as (update tree set keeping = :keeping_going where key = $1 returning key, namespace)
insert into keeping (tree, namespace, look_at) select key, namespace, now() from t on conflict (tree) do update set look_at = excluded.look_at

-- name: DueKeeping
-- The first $1 trees whose time may be over, how many seconds they are kept once they have ended (0: any), and whether that is over. $2 seconds where they say nothing
-- else, 0: for ever. One whose webhooks have more to tell stays as long as FinishedTrees lets it.
select d.tree, case when t.keeping = :keeping_going then 0 else k.age end,
  coalesce(t.keeping = :keeping_going or k.age > 0 and t.finished_at < now() - k.age * interval '1 second'
    and not (t.hooked and t.finished_at > now() - (k.age + :webhook_wait_s) * interval '1 second'
      and exists (select from webhook_cursor c where c.tree = d.tree and c.sequence < t.sequence)), false) as over
from (select tree, look_at, retention_s from keeping where look_at <= now() order by look_at limit $1) d
cross join lateral (select finished_at, keeping, hooked, sequence from tree where tree.key = d.tree offset 0) t
cross join lateral (select coalesce(d.retention_s, $2::double precision)::double precision as age) k
order by d.look_at

-- name: LookLater
-- When to look again at the trees $1, whose time is not over, each after so many seconds.
update keeping set look_at = case when held_at is null then greatest(now() + interval '30 seconds', coalesce(t.finished_at, now()) + u.age * interval '1 second') end
from unnest($1::bigint[], $2::double precision[]) u(tree, age) cross join lateral (select finished_at from tree where tree.key = u.tree offset 0) t
where keeping.tree = u.tree and keeping.look_at is not null

-- name: DeleteStrayKeeping
-- Of the first $1 rows those whose trees are gone: a coordinator deleted them that did not know of it.
delete from keeping where tree in (
  select k.tree from (select tree from keeping order by tree limit $1) k
  where not exists (select from tree where tree.key = k.tree offset 0))
