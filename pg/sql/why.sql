-- name: WhyTask
-- One task and all that its state alone explains. No locks; lookups by key.
select now() as at, t.key, s.id, tree.root_id as tree_id, coalesce(tree.user_id, '') as owner, s.name, t.state, t.flags, coalesce(s.on_lost, 0::smallint) as on_lost, coalesce(t.run, 1) as run, t.priority, t.pool as pool_id, coalesce(pool.name, '') as pool, t.attempt,
  t.remaining, t.failures, coalesce(cardinality(s.deps), 0) as dependencies, t.worker is not null as open, coalesce(w.id, '') as worker,
  coalesce(w.level, 0) as worker_level,
  coalesce(t.started_at, a.started_at) as started_at,
  case when t.state = :cancelled then coalesce(a.finished_at, tree.cancelled_at) else a.finished_at end as finished_at,
  coalesce(case when t.state = :cancelled then coalesce(a.error, tree.cancel_message) else a.error end, '') as error,
  tree.cancelled_at, coalesce(tree.cancel_message, '') as cancel_message,
  case when t.state = :delayed then (select max(at) from timer where timer.task = t.key and timer.attempt = t.attempt and timer.kind = :timer_due) end as due_at,
  case when tree.root = t.key and tree.finished_at is null and tree.execution > 0 then tree.late_at end as tree_late, tree.due_at as tree_due,
  coalesce(before.error, '') as error_before, coalesce(before.outcome = :outcome_repeated, false) as again,
  coalesce(bs.id, '') as cause, coalesce(bs.name, '') as cause_name, coalesce(bt.state, 0::smallint) as cause_state,
  coalesce(case when bt.state = :cancelled then coalesce(ba.error, tree.cancel_message) else ba.error end, '') as cause_error,
  a.sealed, before.sealed as sealed_before, ba.sealed as sealed_cause
from spec s
join task t on t.key = s.key
join tree on tree.key = t.key >> 24
left join pool on pool.id = t.pool
left join worker w on w.key = t.worker
left join attempt a on a.task = t.key and a.number = t.attempt
left join attempt before on before.task = t.key and before.number = t.attempt - 1
left join spec bs on bs.key = t.blocked_by
left join task bt on bt.key = t.blocked_by
left join attempt ba on ba.task = bt.key and ba.number = bt.attempt
where s.id = $1 and s.namespace = $2

-- name: WhyDependencies
-- The first $2 dependencies of the task $1 that have not ended, in its order, and how many there are.
-- No locks; one lookup for each of its dependencies.
select ds.id, ds.name, u.state, u.required, u.mode, u.total
from (
  select dt.key, dt.state, d.i > 0 as required, coalesce(d.mode, 0) as mode, d.ord, count(*) over () as total
  from spec s
  cross join lateral unnest(s.deps, s.dep_modes) with ordinality d(i, mode, ord)
  cross join lateral (
    select key, state from task where task.key = ((s.key >> 24) << 24) + abs(d.i) - 1 and state in (:unsettled) offset 0) dt
  where s.key = $1 order by d.ord limit $2
) u
join spec ds on ds.key = u.key
order by u.ord

-- name: WhyEnded
-- How the task $1 stands, by what it says of itself: its error, the result of a skip, its condition. No locks; lookups by key.
select t.key, s.id, s.name, t.state, t.flags, coalesce(t.blocked_by, 0),
  coalesce(case when t.state = :cancelled then coalesce(a.error, tree.cancel_message) when t.state = :failed then a.error end, ''), coalesce(a.kind, ''),
  case when t.state = :skipped then a.result end, case when t.state in (:skipped, :failed, :cancelled) then a.sealed end,
  case when t.flags & :flag_when <> 0 then p.control end, case when t.flags & :flag_when <> 0 then p.sealed end
from task t
join spec s on s.key = t.key
join tree on tree.key = t.key >> 24
left join attempt a on a.task = t.key and a.number = t.attempt
left join payload p on p.key = t.key
where t.key = $1

-- name: WhyRefused
-- The dependencies of the task $1 that have ended, of its first $2, in its order, with what its edges say of them. No locks; one lookup for each.
select dt.key, dt.state, coalesce(dt.blocked_by, 0), d.i > 0, coalesce(d.mode, 0)
from spec s
cross join lateral unnest(s.deps[:$2], s.dep_modes[:$2]) with ordinality d(i, mode, ord)
cross join lateral (
  select key, state, blocked_by from task where task.key = ((s.key >> 24) << 24) + abs(d.i) - 1 and state in (:settled) offset 0) dt
where s.key = $1 order by d.ord

-- name: WhyWorkers
-- The workers of the pool $1: slots and number of those that are alive, how many drain, and, if there ever was one whose
-- row is still there, since when the last of the others has been away. A farewell sets its lease $2 seconds ahead, too. Those
-- that a fault keeps from the pool's tasks do not count; the first $3 are named with their faults.
-- No locks; reads all worker rows, which are kept for a day.
select coalesce(sum((pools ->> $1)::integer) filter (where live and state = :worker_alive and fault is null), 0) as capacity,
  count(*) filter (where live and state = :worker_alive and fault is null) as workers,
  count(*) filter (where live and state = :worker_draining and pools ? $1) as draining,
  max(case when live then now() when state = :worker_gone then lease_until - $2 * interval '1 second' else lease_until end)
    filter (where pools ? $1 and not (live and state = :worker_alive)) as since,
  coalesce((array_agg(id || ': ' || fault order by key) filter (where live and fault is not null))[:$3], '{}') as faults
from (select *, state in (:worker_live) and lease_until > now() as live from worker
  where pools ? $1 or faults @> jsonb_build_array(jsonb_build_object('pool', $1::text))) w
left join lateral (
  select f ->> 'text' as fault from jsonb_array_elements(faults) f
  where f ->> 'pool' = $1 or f ->> 'pool' = '' and f ->> 'executor' = '' limit 1) f on true

-- name: WhyAhead
-- Where the ready attempt ($3 key, $4 number) stands in pool $1 and priority $2: when its stretch was published, or is null
-- while it waits in Postgres; how many tasks start before it; how many of the live workers' slots of the pool are taken,
-- by what they listed last and by what was published of late.
-- Of what was published, most has started: tasks are looked at, those of the last $5 at most. Of what waits, stretches are
-- summed up, $6 rows at most; more tells that there are others. No locks.
with mine as (
  (select false as sent, id, first, at from ready
   where pool = $1 and priority = $2 and first <= $3 and first + n > $3 and attempt = $4 limit 1)
  union all
  (select true, id, first, sent from published
   where pool = $1 and priority = $2 and first <= $3 and first + n > $3 and attempt = $4 order by id desc limit 1)
  limit 1
), late as (
  select * from (
    select id, priority, first, n, attempt, sent, sum(n) over (order by id desc) - n as after from published where pool = $1
  ) p where after < $5
), before as (
  select r.n from ready r, mine
  where r.pool = $1 and (r.priority < $2 or r.priority = $2 and not mine.sent and r.id < mine.id) limit $6 + 1
), started as (
  select count(t.key) as n from late p cross join mine
  cross join lateral ( -- as in Dispatch
    select * from task t where t.key >= p.first and t.key < p.first + p.n and t.attempt = p.attempt and t.state = :ready offset 0) t
  where (p.priority < $2 or p.priority = $2 and (not mine.sent or (p.sent, p.id) <= (mine.at, mine.id)))
    and not (mine.sent and p.id = mine.id and t.key >= $3)
), busy as (
  select t.key from worker w cross join lateral unnest(w.attempts) l(key)
  cross join lateral (select * from task t where t.key = l.key and t.worker = w.key and t.pool = $1 offset 0) t
  where w.state = :worker_alive and w.lease_until > now()
  union
  select t.key from late p
  cross join lateral (select * from task t where t.key >= p.first and t.key < p.first + p.n and t.attempt = p.attempt offset 0) t
  join worker w on w.key = t.worker and w.state = :worker_alive and w.lease_until > now()
)
select case when mine.sent then mine.at end as sent,
  (select coalesce(sum(n), 0)::bigint from before) + (select n from started) + case when mine.sent then 0 else $3 - mine.first end as ahead,
  (select count(*) from before) > $6 as more, (select count(*) from busy) as busy
from mine

-- name: WhyExpansion
-- What the expanded task $1 found. No locks.
select e.first, e.n, e.made, e.at_once, t.remaining from expansion e join task t on t.key = e.task and t.attempt = e.attempt where e.task = $1

-- name: WhyFound
-- The first $3 tasks of the keys in [$1, $2) that have not ended. No locks; reads that range up to the last of them.
select t.key, s.id, s.name, t.state from (select key, state from task where key >= $1 and key < $2 and state in (:unfinished) order by key limit $3) t
cross join lateral (select id, name from spec where spec.key = t.key offset 0) s order by t.key

-- name: WhyLines
-- What the ready task $1 waits for, by its lines: how each key stands, and how many come before it, 10000 at most. No locks.
select w.namespace, w.kind, w.key, w.cost, coalesce(r.max, w.max, 0), h.held, h.n, w.at, a.n, t.tat, coalesce(case when r.max is null then w.per_ms else r.per_ms end, 0)
from waiter w
left join lateral (select max, per_ms from limit_rule l where l.namespace = w.namespace and l.kind = w.kind and l.key = w.key offset 0) r on true
cross join lateral (select coalesce(sum(cost), 0)::bigint as held, count(*) as n from (
  select cost from hold where hold.namespace = w.namespace and hold.kind = w.kind and hold.key = w.key limit 100000) h) h
cross join lateral (select count(*) as n from (
  select from waiter o where o.namespace = w.namespace and o.kind = w.kind and o.key = w.key and (o.priority, o.id, o.task) < (w.priority, w.id, w.task) limit 10000) a) a
left join lateral (select tat from rate where w.kind = :kind_rate and rate.namespace = w.namespace and rate.key = w.key and tat > now() offset 0) t on true
where w.task = $1 order by w.kind, w.key

-- name: WhyRules
-- What operators have set that the ready task $1 waits for: the limit of its pool, then that of its user, if either lets nobody start now, or does not count yet what runs,
-- and the task has no place there. What is held is counted up to 100000. No locks.
select r.kind, r.key, coalesce(r.pool, r.share)::text, r.max, r.counted, r.set_by, r.set_at, r.reason, h.n
from task t
cross join lateral (select share from tree where tree.key = t.key >> 24 offset 0) tree
join limit_rule r on r.gate in (0, t.pool) and (r.kind = :kind_pool or r.share = tree.share)
cross join lateral (select count(*) as n from (
  select from hold where hold.namespace = 0 and hold.kind = r.kind and hold.key = coalesce(r.pool, r.share)::text limit 100000) h) h
where t.key = $1 and t.state = :ready and (h.n >= r.max or not r.counted) and not exists (select from hold where hold.task = t.key and hold.kind = r.kind)
order by r.kind

-- name: WhyHolders
-- The first $4 that hold the key $3 of kind $2 in the namespace $1: whose they are, and since when. What is held for another task is that one's. No locks; reads all
-- holds of the key.
select s.id, s.name, coalesce(tree.user_id, ''), h.since, tree.namespace
from (select coalesce(span, task) as task, since from hold where namespace = $1 and kind = $2 and key = $3 order by since, task limit $4) h
cross join lateral (select id, name from spec where spec.key = h.task offset 0) s
cross join lateral (select user_id, namespace from tree where tree.key = h.task >> 24 offset 0) tree
order by h.since, h.task
