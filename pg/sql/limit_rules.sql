-- What operators set: limits, weights and pauses. Few rows, read and written when a person asks.

-- name: LockGrants
-- One transaction at a time grants what tasks ask for, or changes by what it is granted. Holds until its end.
select pg_advisory_xact_lock(7243, 1)

-- name: NamePool
-- The number of the pool $1, which has a row from now on: closed, unless it is open. Locks: the row.
insert into pool (name, open, served_at) values ($1, false, null) on conflict (name) do update set name = excluded.name returning id

-- name: NameShare
-- The number of what the user $2 of the namespace $1 shares slots by.
insert into share (namespace, user_id) values ($1, $2) on conflict (namespace, user_id) do update set named_at = now() returning id

-- name: LimitRule
-- The rule of the kind $2 for the key $3.
select kind, key, max, waiting, per_ms, burst, set_by, set_at, reason, counted, coalesce(owner, ''), revision from limit_rule where namespace = $1 and kind = $2 and key = $3

-- name: SetLimitRule
-- A rule in the place of the one that there is, unless there are $13 others; its owner stays if $14 is null, and is nobody if it is empty. No row: so it is.
insert into limit_rule (namespace, kind, key, max, waiting, per_ms, burst, pool, share, set_by, set_at, reason, counted, owner)
select $1::integer, $2::smallint, $3::text, $4::integer, $5::integer, $6::bigint, $7::integer, $8::integer, $9::integer, $10, clock_timestamp(), $11, $12::boolean, nullif($14::text, '')
where (select count(*) from (select from limit_rule where (namespace, kind, key) <> ($1, $2, $3) limit $13) f) < $13
on conflict (namespace, kind, key) do update set max = excluded.max, waiting = excluded.waiting, per_ms = excluded.per_ms, burst = excluded.burst, pool = excluded.pool,
  share = excluded.share, set_by = excluded.set_by, reason = excluded.reason, counted = excluded.counted, set_at = excluded.set_at,
  owner = case when $14 is null then limit_rule.owner else excluded.owner end, revision = limit_rule.revision + 1
returning set_at, coalesce(owner, ''), revision

-- name: DeleteLimitRule
-- A rule, if it has the revision $4, or whatever it has if that is null.
delete from limit_rule where namespace = $1 and kind = $2 and key = $3 and revision = coalesce($4, revision)

-- name: LimitRules
-- A page of $4 rows, by kind and key, after the kind $2 and the key $3: the rules of keys and users of the namespace $1, users with a weight of their own,
-- with $5 the rules of pools, and with $6 the keys that tasks hold or wait for. What is held and waits is counted up to 100000, by indexes; keys are found by
-- leaps from one to the next.
with recursive held as (
  (select kind, key, 1 as n from hold where $6 and namespace = $1 and kind < :kind_pool and (kind, key) > ($2::smallint, $3::text) order by kind, key limit 1)
  union all
  select l.kind, l.key, held.n + 1 from held cross join lateral (
    select kind, key from hold where namespace = $1 and kind < :kind_pool and (kind, key) > (held.kind, held.key) order by kind, key limit 1) l
  where held.n < $4
), asked as (
  (select kind, key, 1 as n from waiter where $6 and namespace = $1 and (kind, key) > ($2::smallint, $3::text) order by kind, key limit 1)
  union all
  select l.kind, l.key, asked.n + 1 from asked cross join lateral (
    select kind, key from waiter where namespace = $1 and (kind, key) > (asked.kind, asked.key) order by kind, key limit 1) l
  where asked.n < $4
), keys as (
  (select kind, key from limit_rule where namespace = $1 and kind <> :kind_pool and (kind, key) > ($2::smallint, $3::text) order by kind, key limit $4)
  union (select kind, key from limit_rule where $5 and namespace = 0 and kind = :kind_pool and (kind, key) > ($2::smallint, $3::text) order by kind, key limit $4)
  union (select :kind_user, user_id from share where namespace = $1 and weight <> 1 and (:kind_user, user_id) > ($2::smallint, $3::text) order by user_id limit $4)
  union select kind, key from held
  union select kind, key from asked
), page as (select kind, key from keys order by kind, key limit $4)
select p.kind::smallint, p.key, r.max, r.waiting, r.per_ms, r.burst, r.set_by, r.set_at, coalesce(r.reason, ''), coalesce(r.counted, true), coalesce(r.owner, ''), coalesce(r.revision, 0), coalesce(s.weight, 1),
  (select coalesce(sum(cost), 0) from (select cost from hold h where h.namespace = case when p.kind < :kind_pool then $1 else 0 end and h.kind = p.kind
    and h.key = case p.kind when :kind_pool then r.pool::text when :kind_user then s.id::text else p.key end limit 100000) h),
  case p.kind
    when :kind_pool then (select coalesce(sum(n), 0) from (select n from ready where ready.pool = r.pool limit 100000) w)
      + (select count(*) from (select from waiter where waiter.pool = r.pool and waiter.kind = :kind_pool limit 100000) w)
    when :kind_user then (select coalesce(sum(unfinished - running), 0) from tree where finished_at is null and unfinished > 0 and user_id = p.key and tree.namespace = $1)
    else (select count(*) from (select from waiter where waiter.namespace = $1 and waiter.kind = p.kind and waiter.key = p.key limit 100000) w)
  end
from page p left join share s on p.kind = :kind_user and s.namespace = $1 and s.user_id = p.key
left join limit_rule r on r.namespace = case when p.kind = :kind_pool then 0 else $1 end and r.kind = p.kind and r.key = p.key
order by p.kind, p.key

-- name: SetShareWeight
-- The user $2 of the namespace $1 gets slots by the weight $3, unless $4 others have weights of their own. No row: so it is.
insert into share (namespace, user_id, weight) select $1::integer, $2::text, $3::real
where $3::real = 1 or (select count(*) from (select from share where weight <> 1 and (namespace, user_id) <> ($1, $2) limit $4) f) < $4
on conflict (namespace, user_id) do update set weight = excluded.weight
returning id

-- name: PauseTree
-- The tree $1 is paused, since when it was first. No row: it is gone.
update tree set paused_at = coalesce(paused_at, now()) where key = $1 returning root_id

-- name: ResumeTree
update tree set paused_at = null where key = $1 and paused_at is not null

-- name: SetPause
-- Pauses what is not paused, unless there are $7 pauses.
insert into pause (scope, pool, tree, name, set_by, reason)
select $1::smallint, $2, $3, $4, $5, $6 where (select count(*) from (select from pause limit $7) f) < $7 on conflict (scope, pool, tree) do nothing

-- name: Pause
-- The pause of scope $1 that is of the pool $2 by its number, or of the tree $3.
select id, scope, tree, name, set_by, set_at, reason from pause where scope = $1 and pool = $2 and tree = $3

-- name: DeletePause
-- Ends the pause of scope $1 that is of the pool of name $2, or of the tree $3.
delete from pause where scope = $1 and tree = $3 and (scope <> :pause_pool or name = $2)

-- name: Pauses
-- The first $4 pauses after $3, the oldest first: of everything, of pools, and of trees of the namespace $1; with $2, of trees of this user only.
select p.id, p.scope, p.tree, p.name, p.set_by, p.set_at, p.reason from pause p left join tree on p.scope = :pause_tree and tree.key = p.tree
where p.id > $3 and (p.scope <> :pause_tree or tree.namespace = $1 and ($2 = '' or tree.user_id = $2)) order by p.id limit $4

-- name: AllPauses
-- The first $1 pauses, of whatever namespace.
select id, scope, tree, name, set_by, set_at, reason from pause order by id limit $1

-- name: ClosedLimits
-- The first $1 limits that let nothing start, of whatever namespace.
select r.kind, r.key, r.max, r.waiting, r.per_ms, r.burst, r.set_by, r.set_at, r.reason, r.counted, coalesce(r.owner, ''), r.revision, case when r.kind = :kind_pool then '' else coalesce(n.name, '') end
from limit_rule r left join namespace n on n.key = r.namespace where r.max = 0 order by r.set_at limit $1
