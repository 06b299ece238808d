-- name: Dispatch
-- Takes up to $3 ready tasks of pool $1 and priority $2 if those of one share only wait there, or up to $6 of each of the shares $5. It moves them to
-- published, and gives their stretches, each with how many microseconds it has waited and its share: the oldest of each share, or, if $4, an equal part for each
-- tree that one of its 256 oldest stretches ($7, with several shares) is of, trees in any order and the tasks of each in theirs.
-- Those of a tree that was cancelled are taken but not given. The last column tells whether several shares wait; without $5 nothing is
-- taken then. Of a pool that is held back none is taken: see DispatchHeld. There is one row without a task (0) where there is nothing to give.
-- Locks: ready rows, skipping those that another coordinator is taking. One trip, one commit. They are changed in their
-- place, as a join would look through the whole lane. A row that another coordinator changed after this statement began has
-- a place that the statement can lock, but not see: it stays as it is, for the next call. What was not changed is not given.
-- A share is asked for as a range, so that only the index that begins with shares is in order.
with lane as (
  select (select share from ready where pool = $1 and priority = $2 order by share limit 1) as low,
    (select share from ready where pool = $1 and priority = $2 order by share desc limit 1) as high
), asked as (
  select low as share, $3::integer as quota from lane where low = high and $5::integer[] is null
  union all
  select share, quota from unnest($5::integer[], $6::integer[]) u(share, quota)
), c as (
  select r.*, asked.quota, r.first >> 24 as tree, random() as luck
  from asked cross join lateral (
    select ctid as place, share, id, first, n, attempt, at from ready
    where pool = $1 and priority = $2 and share between asked.share and asked.share
      and (select true from pause where gate in (0, $1) limit 1) is null and (select true from limit_rule where gate in (0, $1) limit 1) is null
    order by share, id limit $7 for update skip locked) r
), s as (
  select *, sum(n) over w - n as before, case when $4::boolean then first_value(luck) over w else 0 end as turn
  from c window w as (partition by tree order by id)
), part as materialized (
  select share, case when $4 then greatest(1, min(quota) / count(distinct tree)) else min(quota) end as n from s group by share
), f as (
  select s.*, least(s.n, greatest(0, part.n - s.before)) as most from s join part on part.share = s.share
), o as (
  select *, sum(most) over (partition by share order by turn, id) - most as ahead from f where most > 0
), taken as (
  select *, least(most, quota - ahead)::integer as k from o where ahead < quota
), d as (
  delete from ready where ctid = any(array(select place from taken where k = n)) returning id
), m as (
  update ready r set first = r.first + taken.k, n = r.n - taken.k from taken where r.ctid = taken.place and taken.k < taken.n
  returning r.id
), moved as (
  select * from taken where id = any(array(select id from d union all select id from m))
), p as (
  insert into published (pool, priority, first, n, attempt) select $1, $2, first, k, attempt from moved
)
select coalesce(given.first, 0), coalesce(given.k, 0), coalesce(given.attempt, 0), coalesce(given.created_at, 'epoch'), pg_postmaster_start_time(), coalesce(given.revision, 0),
  coalesce(given.execution, 0), coalesce(greatest(0, extract(epoch from now() - given.at) * 1000000)::bigint, 0), coalesce(given.share, 0), coalesce(lane.low < lane.high, false)
from lane left join (
  moved cross join lateral (select created_at, revision, execution from tree where tree.key = moved.first >> 24 and cancelled_at is null offset 0) tree) given on true
order by given.turn, given.id

-- name: WaitingShares
-- Which shares after $3 have ready tasks that wait in pool $1 and priority $2, at most $4, with their weights, and how many tasks each has in its oldest
-- stretches. No locks. It leaps down the index, a probe a share.
with recursive leap as (
  (select share from ready where pool = $1 and priority = $2 and share > $3 order by share limit 1)
  union all
  select (select share from ready where pool = $1 and priority = $2 and share > leap.share order by share limit 1) from leap where leap.share is not null
), found as materialized (
  select share from leap where share is not null limit $4
)
select found.share, coalesce(w.weight, 1)::real, least(waits.n, 1000000)::integer
from found
cross join lateral (
  select sum(n) as n from (select n from ready where pool = $1 and priority = $2 and share between found.share and found.share
    order by share, id limit (select greatest(8, 1024 / greatest(1, count(*))) from found)) oldest) waits
left join lateral (select weight from share where share.id = found.share offset 0) w on true
where waits.n > 0
order by found.share

-- name: InFlight
-- How many tasks of each tree are in flight in the pool $1: they are ready and among the latest that were published, some 8000 of 4000 stretches of each
-- priority, or running, of those too or by what live workers say. With their shares. No locks.
with latest as (
  select l.first, l.n, l.attempt from generate_series(:priority_urgent, :priority_low) x(priority)
  cross join lateral (
    select *, sum(n) over (order by id desc) - n as before from (
      select id, first, n, attempt from published where pool = $1 and priority = x.priority order by id desc limit 4000) p) l
  where l.before < 8000
), flying as (
  select t.key from latest l
  cross join lateral (
    select key from task t where t.key >= l.first and t.key < l.first + l.n and t.attempt = l.attempt and t.state in (:ready, :running) offset 0) t
  union
  select t.key from worker w cross join lateral unnest(w.attempts) a(key)
  cross join lateral (select key from task where task.key = a.key and task.worker = w.key and task.pool = $1 and task.state = :running offset 0) t
  where w.state in (:worker_live)
), counted as (
  select key >> 24 as tree, count(*) as n from flying group by 1
)
select counted.tree, tree.share, counted.n::integer from counted
cross join lateral (select share from tree where tree.key = counted.tree offset 0) tree

-- name: SweepShares
-- Of the first $1 shares after $2, deletes those that say nothing: the weight is everybody's, no limit is set for the user, and no tree of theirs is stored. A tree
-- that is being stored names one that it has just made or touched: none that is a day old. Gives the share to go on after; 0: it came to the end.
-- Locks: the shares that it deletes.
with looked as materialized (
  select id, namespace, user_id, named_at, weight from share where id > $2 order by id limit $1
), old as (
  select id from looked s where named_at < now() - interval '1 day' and weight = 1 and user_id <> ''
    and not exists (select from limit_rule r where r.share = s.id)
    and not exists (select from tree where tree.user_id = s.user_id and tree.namespace = s.namespace offset 0)
), swept as (
  delete from share where id = any(array(select id from old)) and named_at < now() - interval '1 day' and weight = 1
)
select case when count(*) < $1 then 0 else max(id) end from looked

-- name: LoadTasks
-- The tasks of the stretches ($1 first, $2 n, $3 attempt) that are in state $4. This and the next two are what a worker needs: three
-- walks along the tables, as to look up each task in each costs twice as much.
select t.key, t.attempt, t.priority, t.pool, t.flags, coalesce(t.run, 1), tree.root_id, coalesce(tree.user_id, ''), tree.uid, tree.execution, tree.namespace
from unnest($1::bigint[], $2::integer[], $3::integer[]) r(first, n, attempt)
cross join lateral (select * from tree where tree.key = r.first >> 24 and cancelled_at is null offset 0) tree -- a stretch is of one
cross join lateral ( -- offset 0: a range of the index for each stretch, whatever the planner thinks of the table's size
  select * from task t where t.key >= r.first and t.key < r.first + r.n and t.attempt = r.attempt and t.state = $4::smallint
  offset 0) t

-- name: LoadSpecs
-- What never changes of the tasks of the stretches ($1 first, $2 n).
select s.key, s.id, s.name, s.executor, coalesce(s.timeout_ms, 0), coalesce(cardinality(s.deps), 0),
  s.on_lost
from unnest($1::bigint[], $2::integer[]) r(first, n)
cross join lateral (select * from spec where spec.key >= r.first and spec.key < r.first + r.n offset 0) s

-- name: LoadPayloads
-- What the tasks of the stretches ($1 first, $2 n) carry.
select p.key, p.inputs, p.params, p.schemas, p.sealed
from unnest($1::bigint[], $2::integer[]) r(first, n)
cross join lateral (select * from payload where payload.key >= r.first and payload.key < r.first + r.n offset 0) p

-- name: WaitingOf
-- For each pool of the tasks $1 of which ready tasks wait: the most urgent priority of those that wait in Postgres, or have waited
-- in NATS for longer than a message takes to reach a free slot; then the most urgent of all. If the pool, or a tree of these tasks, is held back, both are
-- above all priorities, so that nothing is handed over. In NATS it looks at the last 32
-- stretches of each lane, and at the last task of each: a lane is taken in order, so if these were taken, those before were,
-- too, or can't start. Expects: ShareWorkers (see LockHandovers). No locks.
select p.pool, coalesce(min(w.priority) filter (where w.long), 1 + :priority_low), min(w.priority)
from (select distinct t.pool from task t where t.key = any($1::bigint[])) p
cross join lateral (
  (select r.priority, true as long from ready r where r.pool = p.pool order by r.priority limit 1)
  union all
  select x.priority, l.sent < now() - :delivery_ms * interval '1 millisecond'
  from generate_series(:priority_urgent, :priority_low) x(priority)
  cross join lateral (
    select first + n - 1 as key, attempt, sent from published where pool = p.pool and priority = x.priority order by id desc limit 32) l
  cross join lateral (select from task t where t.key = l.key and t.attempt = l.attempt and t.state = :ready offset 0) t
  union all
  (select (:priority_urgent - 1)::smallint, true where (select true from pause where gate in (0, p.pool) limit 1)
    or (select true from limit_rule where gate in (0, p.pool) limit 1)
    or (select true from unnest($1::bigint[]) u(key) join pause on scope = :pause_tree and pause.pool = 0 and pause.tree = u.key >> 24 limit 1))) w
group by p.pool

-- name: CreatedAt
-- When the trees $1 were created. No locks.
select t.key, t.created_at from unnest($1::bigint[]) u(key) cross join lateral (select key, created_at from tree where tree.key = u.key offset 0) t

-- name: EndedBefore
-- When the attempts before $2 of the tasks $1 ended. No locks.
select u.key, a.finished_at from unnest($1::bigint[], $2::integer[]) u(key, number)
cross join lateral (select finished_at from attempt where task = u.key and number = u.number - 1 offset 0) a

-- name: LoadDependencyResults
-- The results of the completed and the skipped dependencies of the tasks $1, by their references, in the order of the dependencies, for those
-- with at most $2 of them. Edges that carry order only give none.
select s.key, ds.ref, dt.state = :skipped, a.result, a.sealed
from unnest($1::bigint[]) u(key)
cross join lateral (select key, deps, dep_modes from spec where spec.key = u.key and cardinality(deps) <= $2 offset 0) s
cross join lateral unnest(s.deps, s.dep_modes) with ordinality d(i, mode, ord)
cross join lateral (
  select key, state, attempt from task
  where task.key = ((s.key >> 24) << 24) + abs(d.i) - 1 and state in (:successful) and coalesce(d.mode, 0) & :edge_order = 0 offset 0) dt
cross join lateral (select result, sealed from attempt where task = dt.key and number = dt.attempt and (result is not null or sealed is not null) offset 0) a
cross join lateral (select coalesce(ref, id) as ref from spec where spec.key = dt.key offset 0) ds
order by s.key, d.ord

-- name: LoadControls
-- What the tasks $1 say beyond the protocol, and how often they have run and were run once more. No locks.
select p.key, p.control, p.sealed, coalesce(t.repeats, 0) from unnest($1::bigint[]) u(key)
cross join lateral (select key, control, sealed from payload where payload.key = u.key offset 0) p
cross join lateral (select repeats from task where task.key = u.key offset 0) t

-- name: LoadRepeats
-- How often the task $1 has run and was run once more. No locks.
select coalesce(repeats, 0) from task where key = $1

-- name: RepeatsOf
-- Which of the tasks $1 have run and were run once more, and how often. No locks.
select t.key, t.repeats from unnest($1::bigint[]) u(key) cross join lateral (select key, repeats from task where task.key = u.key and repeats > 0 offset 0) t

-- name: LoadDependencyValues
-- What those dependencies of the task $1 that are called by one of $2 show to its templates, in their order. No locks. Reads the specs of all of them.
select coalesce(ds.ref, ds.id), ds.name, dt.state, coalesce(a.error, ''), coalesce(a.kind, ''), a.result, a.outputs, a.sealed
from (select deps from spec where key = $1 offset 0) s
cross join lateral unnest(s.deps) with ordinality d(i, ord)
cross join lateral (
  select key, ref, id, name from spec
  where spec.key = (($1 >> 24) << 24) + abs(d.i) - 1 and (coalesce(ref, id) = any($2::text[]) or name = any($2::text[])) offset 0) ds
cross join lateral (select key, state, attempt from task where task.key = ds.key offset 0) dt
left join lateral (select error, kind, result, outputs, sealed from attempt where task = dt.key and number = dt.attempt offset 0) a on true
order by d.ord

-- name: Backlog
-- Which of the pools and priorities have ready tasks that wait.
select p.id, x.priority from pool p cross join generate_series(:priority_urgent, :priority_low) x(priority)
where (select true from ready r where r.pool = p.id and r.priority = x.priority limit 1) -- exists would be joined

-- name: StalePublished
-- Up to $2 stretches that were published, or looked at, over $1 seconds ago, oldest first, each with those of its tasks that
-- still are ready; a stretch without any has one row with a null key.
-- Locks: published rows, skipping those that another coordinator looks after.
with c as (
  select id, pool, priority, first, n, attempt, sent from published where at < now() - $1 * interval '1 second'
  order by id limit $2 for update skip locked
)
select c.id, c.pool, c.priority, c.attempt, c.sent, t.key
from c left join lateral ( -- as in LoadTasks
  select * from task t where t.key >= c.first and t.key < c.first + c.n and t.state = :ready and t.attempt = c.attempt
  offset 0) t on true
order by c.id, t.key

-- name: DeletePublished
delete from published where id = any($1::bigint[])

-- name: InsertPublished
-- Runs that were looked at; $6 is when each was published, null: now.
insert into published (pool, priority, first, n, attempt, sent)
select pool, priority, first, n, attempt, coalesce(sent, now())
from unnest($1::integer[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[], $6::timestamptz[])
  u(pool, priority, first, n, attempt, sent)

-- name: DependenciesOf
-- The indexes of the dependencies of the task $1, in their order; -1 for those whose results are not merged. None: the task is gone.
select case when coalesce(d.mode, 0) & :edge_order = 0 then abs(d.i) - 1 else -1 end
from (select deps, dep_modes from spec where key = $1 offset 0) s cross join lateral unnest(s.deps, s.dep_modes) with ordinality d(i, mode, ord)
order by d.ord

-- name: SweepReferences
-- The references of the tasks from $1 on and before $2. This and the next read all of that range, for a task that depends on a good
-- part of it.
select key, coalesce(ref, id) from spec where key >= $1 and key < $2

-- name: SweepCompleted
-- Of the tasks from $1 on and before $2 that have completed or were skipped: in which attempt, and whether it was skipped.
select key, attempt, state = :skipped from task where key >= $1 and key < $2 and state in (:successful)

-- name: ResultsOf
-- The results of the attempts $2 of the tasks $1, those that have one.
select u.task, a.result, a.sealed from unnest($1::bigint[], $2::integer[]) u(task, number)
cross join lateral (select result, sealed from attempt where task = u.task and number = u.number and (result is not null or sealed is not null) offset 0) a

-- name: LoadOneWork
-- What a worker needs for one attempt that is ready or open: what the first part of its inputs was of, if its task was changed since.
select t.key, t.attempt, t.priority, t.pool, t.flags, coalesce(t.run, 1), tree.root_id, coalesce(tree.user_id, ''), tree.uid, tree.execution, tree.namespace, s.id, s.name,
  s.executor, coalesce(s.timeout_ms, 0), coalesce(cardinality(s.deps), 0), case when sent.key is null then p.inputs else sent.inputs end, case when sent.key is null then p.params else sent.params end,
  case when sent.key is null then p.schemas else sent.schemas end, case when sent.key is null then p.sealed else sent.sealed end,
  case when sent.key is null then p.control else sent.control end
from task t
join tree on tree.key = t.key >> 24
join spec s on s.key = t.key
left join payload p on p.key = t.key
left join sent_payload sent on sent.key = t.key and sent.attempt = t.attempt and t.state = :running
where t.key = $1 and t.attempt = $2 and t.state in (:ready, :running)

-- name: LoadJudgedWork
-- As LoadOneWork, of one whose dependencies have ended and that is to be judged.
select t.key, t.attempt, t.priority, t.pool, t.flags, coalesce(t.run, 1), tree.root_id, coalesce(tree.user_id, ''), tree.uid, tree.execution, tree.namespace, s.id, s.name,
  s.executor, coalesce(s.timeout_ms, 0), coalesce(cardinality(s.deps), 0), p.inputs, p.params,
  p.schemas, p.sealed,
  p.control
from task t
join tree on tree.key = t.key >> 24
join spec s on s.key = t.key
left join payload p on p.key = t.key
where t.key = $1 and t.attempt = $2 and t.state = :waiting and t.remaining = 0
