-- What operators hold back: pauses of everything, of a pool and of a tree, and limits of pools and users.
--
-- A transaction that publishes, or hands over, asks in the statement that does so whether its pool is held back (pause.gate, limit_rule.gate). Who
-- begins to hold something back waits, by LockStarts, for all transactions that may have asked before; those that ask later see it.

-- name: LockHandovers
-- Waits for all transactions that hand tasks over: each has locked a worker's row before it asks what holds them back. Locks: the table worker, exclusively
-- but for readers; those that come later wait, and see what this transaction commits.
lock table worker in exclusive mode

-- name: LockStarts
-- The same of all that publish, or put into ready. Postgres takes a statement's lock before its snapshot.   Locks: published, against writers.
lock table published in share mode

-- name: ParkTree
-- Takes the stretches of the tree $1 out of their lanes. Reads all of ready. Expects: LockStarts.
with r as (delete from ready where first >> 24 = $1::bigint returning *)
insert into parked (tree, pool, priority, first, n, attempt, share, at) select $1, pool, priority, first, n, attempt, share, at from r order by pool, priority, id

-- name: UnparkTree
-- Puts them back. Expects: LockStarts.
with p as (delete from parked where tree = $1::bigint returning *)
insert into ready (pool, priority, first, n, attempt, share, at) select pool, priority, first, n, attempt, share, at from p order by pool, priority, id

-- name: SettlePause
update pause set settled = true where id = $1

-- name: UnsettledPauses
-- Pauses of which something may still be on its way to workers; of the ID $1, unless it is 0.
select id, scope, pool, tree from pause where not settled and $1::bigint in (0, id) order by id limit 100

-- name: PausesOf
-- What holds back the task of pool $1 and tree $2, the widest first.
select id, scope, tree, name, set_by, set_at, reason from pause
where scope = :pause_everything or scope = :pause_pool and pool = $1 or scope = :pause_tree and tree = $2 order by scope

-- name: Gates
-- Which pools are held back (0: all), whether a tree is, and whether a limit bounds what waits of a user.
select gate, false, false from pause where gate is not null union select gate, false, false from limit_rule where gate is not null
union (select 0, true, false from pause where scope = :pause_tree limit 1)
union (select 0, false, true from limit_rule where kind = :kind_user and waiting is not null limit 1)

-- name: PublishedOf
-- Up to $5 ready tasks that were published: of pool $1, of tree $2, of share $3, while the pause $4 is there; 0: of any. Reads published, and a range of tasks for
-- each stretch. No locks.
select t.key, t.attempt from published p
cross join lateral (select key, attempt from task t where t.key >= p.first and t.key < p.first + p.n and t.attempt = p.attempt and t.state = :ready offset 0) t
where ($1::integer = 0 or p.pool = $1) and ($2::bigint = 0 or p.first >> 24 = $2)
  and exists (select from tree where tree.key = p.first >> 24 and cancelled_at is null and ($3::integer = 0 or tree.share = $3)) -- of a cancelled one nothing starts
  and ($4::bigint = 0 or exists (select from pause where pause.id = $4))
limit $5

-- name: MoveStartTimers
-- The tasks $1, which are called back, have as much time to start as they had. Expects: their rows are locked.
update timer m set attempt = t.attempt from unnest($1::bigint[], $2::integer[]) t(key, attempt)
where m.task = t.key and m.kind = :timer_schedule_to_start and m.attempt = t.attempt - 1

-- name: DispatchHeld
-- Dispatch, for a pool that has a limit, or while a user has one: takes up to $3 ready tasks of pool $1 and priority $2 that are within the limits, notes
-- what they hold, and gives their stretches, each with those of its tasks that still are ready, as seen from its first. What is not counted yet lets nothing start. Expects: LockGrants has been taken by a statement before, so that this one
-- sees all that is held. With $4, it takes up to $5 of each of the shares $4, of $6 of its stretches, as Dispatch does.
-- Locks: ready rows as Dispatch does; then the tasks that it takes. A task that is not ready any more when it is locked holds nothing.
with open as materialized (
  select least($3::bigint, (select case when counted then max - (select coalesce(sum(cost), 0) from hold where namespace = 0 and kind = :kind_pool and key = $1::integer::text) else 0 end
    from limit_rule where gate = $1 and kind = :kind_pool)) as room
  where (select true from pause where gate in (0, $1) limit 1) is null
), users as materialized (
  select share, case when counted then max - (select coalesce(sum(cost), 0) from hold where namespace = 0 and kind = :kind_user and key = limit_rule.share::text) else 0 end as room
  from limit_rule where gate = 0
), oldest as (
  select ctid as place, id, first, n, attempt, at, share, null::integer as quota from ready
  where $4::integer[] is null and pool = $1 and priority = $2 and (select room from open) > 0 and share not in (select share from users where room <= 0 and share is not null)
  order by id limit 256 for update skip locked
), portion as (
  select r.*, asked.quota from unnest($4::integer[], $5::integer[]) asked(share, quota) cross join lateral (
    select ctid as place, id, first, n, attempt, at, share from ready
    where pool = $1 and priority = $2 and share between asked.share and asked.share and (select room from open) > 0 order by share, id limit $6 for update skip locked) r
  where asked.share not in (select share from users where room <= 0 and share is not null)
), c as (
  select * from oldest union all select * from portion
), f as (
  select c.*, least(c.n, greatest(0, least(u.room, c.quota, 1000000000000) - (sum(c.n) over (partition by c.share order by c.id) - c.n))) as most, u.share is not null as limited
  from c left join users u on u.share = c.share
), o as (
  select *, sum(most) over (order by id) - most as ahead from f where most > 0
), taken as (
  select o.*, least(o.most, open.room - o.ahead)::integer as k from o, open where o.ahead < open.room
), d as (
  delete from ready where ctid = any(array(select place from taken where k = n)) returning id
), m as (
  update ready r set first = r.first + taken.k, n = r.n - taken.k from taken where r.ctid = taken.place and taken.k < taken.n
  returning r.id
), moved as materialized (
  select * from taken where id = any(array(select id from d union all select id from m))
), p as (
  insert into published (pool, priority, first, n, attempt) select $1, $2, first, k, attempt from moved
), t as (
  update task set flags = task.flags | :flag_holds from moved
  where task.key >= moved.first and task.key < moved.first + moved.k and task.attempt = moved.attempt and task.state = :ready
  returning task.key, task.attempt, moved.id, moved.share, moved.limited
), h as (
  insert into hold (task, ord, attempt, namespace, kind, key, cost, id, since)
  select key, :ord_pool, attempt, 0, :kind_pool, $1::integer::text, 1, id, clock_timestamp() from t where exists (select from limit_rule where gate = $1 and kind = :kind_pool)
  union all
  select key, :ord_user, attempt, 0, :kind_user, share::text, 1, id, clock_timestamp() from t where limited
)
select moved.first, moved.k, moved.attempt, tree.created_at, pg_postmaster_start_time(), tree.revision, tree.execution,
  greatest(0, extract(epoch from now() - moved.at) * 1000000)::bigint, coalesce((select string_agg((t.key - moved.first)::text, ' ') from t where t.key >= moved.first and t.key < moved.first + moved.k), ''), moved.share
from moved
cross join lateral (select created_at, revision, execution from tree where tree.key = moved.first >> 24 and cancelled_at is null offset 0) tree
order by moved.id

-- name: HeldRoom
-- How many tasks of the pool $1 its limit, if it has one, lets start now, $2 at most. No locks.
select least($2::bigint, (select case when counted then max - (select coalesce(sum(cost), 0) from hold where namespace = 0 and kind = :kind_pool and key = $1::integer::text) else 0 end
  from limit_rule where gate = $1 and kind = :kind_pool))

-- name: UncountedRules
-- Limits of pools and users that do not count yet what has started before.
select namespace, kind, key, coalesce(pool, 0), coalesce(share, 0), set_at from limit_rule where not counted order by set_at limit 100

-- name: ShareTrees
-- Trees of the user $2 in the namespace $1 that have not ended and were stored before anybody shared slots have the share $3 from now on, up to $4 of them.
with t as (
  update tree set share = $3 where key = any(array(
    select key from tree where user_id = $2 and namespace = $1::integer and finished_at is null and share <> $3 order by key limit $4 for update))
  returning key
), r as (
  update ready set share = $3 from t where ready.first >> 24 = t.key
), p as (
  update parked set share = $3 from t where parked.tree = t.key
)
select count(*) from t

-- name: TreesRunning
-- Up to $3 trees after $1 with open attempts, of the share $2; 0: of any.
select key from tree where key > $1 and finished_at is null and running > 0 and ($2::integer = 0 or share = $2) order by key limit $3

-- name: CountRunning
-- Notes what the open attempts of the tasks in [$1, $2) hold: those of pool $3, or all if that is 0; of kind $4, key $5, at place $6. Those that have it are left.
-- Locks: these tasks. What has ended when it is locked holds nothing.
with t as (
  update task set flags = flags | :flag_holds where key >= $1 and key < $2 and worker is not null and state = :running and ($3::integer = 0 or pool = $3)
    and not exists (select from hold where hold.task = task.key and hold.kind = $4)
  returning key, attempt
)
insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select key, $6, attempt, 0, $4, $5, 1, 0 from t on conflict do nothing

-- name: RuleCounted
-- The limit of kind $2 and key $3 counts all that runs, if it is still the one that was set at $4.
update limit_rule set counted = true where namespace = $1 and kind = $2 and key = $3 and set_at = $4

-- name: LockWaiting
-- Keeps the limits of what may wait of the users of the trees $1, which this transaction stores or starts, so that one at a time is here.
-- Locks: these limits, after the trees.
select from limit_rule r where kind = :kind_user and waiting is not null
  and exists (select from tree where tree.key = any($1::bigint[]) and tree.user_id = r.key and tree.namespace = r.namespace)
order by namespace, key for update of r

-- name: RequireFewWaiting
-- Fails when more tasks of these users wait than may, with those of this transaction, and with $2 more that their trees do not count yet. Reads the open trees of each.
-- Expects: LockWaiting.
select refuse_quota(r.key, 'waiting', r.waiting, w.n + $2::bigint) from limit_rule r
cross join lateral (
  select coalesce(sum(unfinished - running), 0)::bigint as n from tree where tree.user_id = r.key and tree.namespace = r.namespace and finished_at is null and unfinished > 0) w
where r.kind = :kind_user and r.waiting is not null and w.n + $2::bigint > r.waiting
  and exists (select from tree where tree.key = any($1::bigint[]) and tree.user_id = r.key and tree.namespace = r.namespace)

-- name: TreeSpan
-- How many keys the tree $1 uses.
select coalesce(span, tasks) from tree where key = $1

-- name: ReleasePlaces
-- Gives back the places in their pools, and of their users, of the tasks $1, which are locked: they wait, and run no more.
delete from hold where task = any($1::bigint[]) and kind in (:kind_pool, :kind_user) returning namespace, kind, key
