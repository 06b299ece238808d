-- name: Dispatch
-- Takes up to $3 ready tasks of pool $1 and priority $2, moves them to published, and gives their stretches, each with how many microseconds it has waited: the oldest, or, if
-- $4, an equal share of each tree that one of the 256 oldest stretches is of, trees in any order and the tasks of each in theirs.
-- Those of a tree that was cancelled are taken but not given.
-- Locks: ready rows, skipping those that another coordinator is taking. One trip, one commit. They are changed in their
-- place, as a join would look through the whole lane. A row that another coordinator changed after this statement began has
-- a place that the statement can lock, but not see: it stays as it is, for the next call. What was not changed is not given.
with c as (
  select ctid as place, id, first, n, attempt, at, first >> 24 as tree, random() as luck from ready
  where pool = $1 and priority = $2 order by id limit 256 for update skip locked
), s as (
  select *, sum(n) over w - n as before, case when $4::boolean then first_value(luck) over w else 0 end as turn
  from c window w as (partition by tree order by id)
), share as materialized (
  select case when $4 then greatest(1, $3::integer / greatest(1, count(distinct tree))) else $3 end as n from s
), f as (
  select s.*, least(s.n, greatest(0, share.n - s.before)) as most from s, share
), o as (
  select *, sum(most) over (order by turn, id) - most as ahead from f where most > 0
), taken as (
  select *, least(most, $3 - ahead)::integer as k from o where ahead < $3
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
select moved.first, moved.k, moved.attempt, tree.created_at, pg_postmaster_start_time(), tree.revision, tree.execution,
  greatest(0, extract(epoch from now() - moved.at) * 1000000)::bigint from moved
cross join lateral (select created_at, revision, execution from tree where tree.key = moved.first >> 24 and cancelled_at is null offset 0) tree
order by moved.turn, moved.id

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
-- in NATS for longer than a message takes to reach a free slot; then the most urgent of all. In NATS it looks at the last 32
-- stretches of each lane, and at the last task of each: a lane is taken in order, so if these were taken, those before were,
-- too, or can't start. No locks.
select p.pool, coalesce(min(w.priority) filter (where w.long), 1 + :priority_low), min(w.priority)
from (select distinct t.pool from task t where t.key = any($1::bigint[])) p
cross join lateral (
  (select r.priority, true as long from ready r where r.pool = p.pool order by r.priority limit 1)
  union all
  select x.priority, l.sent < now() - :delivery_ms * interval '1 millisecond'
  from generate_series(:priority_urgent, :priority_low) x(priority)
  cross join lateral (
    select first + n - 1 as key, attempt, sent from published where pool = p.pool and priority = x.priority order by id desc limit 32) l
  cross join lateral (select from task t where t.key = l.key and t.attempt = l.attempt and t.state = :ready offset 0) t) w
group by p.pool

-- name: CreatedAt
-- When the trees $1 were created. No locks.
select t.key, t.created_at from unnest($1::bigint[]) u(key) cross join lateral (select key, created_at from tree where tree.key = u.key offset 0) t

-- name: EndedBefore
-- When the attempts before $2 of the tasks $1 ended. No locks.
select u.key, a.finished_at from unnest($1::bigint[], $2::integer[]) u(key, number)
cross join lateral (select finished_at from attempt where task = u.key and number = u.number - 1 offset 0) a

-- name: LoadDependencyResults
-- The results of the completed dependencies of the tasks $1, by their references, in the order of the dependencies, for those
-- with at most $2 of them.
select s.key, ds.ref, a.result, a.sealed
from unnest($1::bigint[]) u(key)
cross join lateral (select key, deps from spec where spec.key = u.key and cardinality(deps) <= $2 offset 0) s
cross join lateral unnest(s.deps) with ordinality d(i, ord)
cross join lateral (select key, attempt from task where task.key = ((s.key >> 24) << 24) + abs(d.i) - 1 and state = :completed offset 0) dt
cross join lateral (select result, sealed from attempt where task = dt.key and number = dt.attempt and (result is not null or sealed is not null) offset 0) a
cross join lateral (select coalesce(ref, id) as ref from spec where spec.key = dt.key offset 0) ds
order by s.key, d.ord

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
-- The indexes of the dependencies of the task $1, in their order.
select abs(d.i) - 1
from (select deps from spec where key = $1 offset 0) s cross join lateral unnest(s.deps) with ordinality d(i, ord)
order by d.ord

-- name: SweepReferences
-- The references of the tasks from $1 on and before $2. This and the next read all of that range, for a task that depends on a good
-- part of it.
select key, coalesce(ref, id) from spec where key >= $1 and key < $2

-- name: SweepCompleted
-- Of the tasks from $1 on and before $2 that have completed: in which attempt.
select key, attempt from task where key >= $1 and key < $2 and state = :completed

-- name: ResultsOf
-- The results of the attempts $2 of the tasks $1, those that have one.
select u.task, a.result, a.sealed from unnest($1::bigint[], $2::integer[]) u(task, number)
cross join lateral (select result, sealed from attempt where task = u.task and number = u.number and (result is not null or sealed is not null) offset 0) a

-- name: LoadOneWork
-- What a worker needs for one attempt that is ready or open: what the first part of its inputs was of, if its task was changed since.
select t.key, t.attempt, t.priority, t.pool, t.flags, coalesce(t.run, 1), tree.root_id, coalesce(tree.user_id, ''), tree.uid, tree.execution, tree.namespace, s.id, s.name,
  s.executor, coalesce(s.timeout_ms, 0), coalesce(cardinality(s.deps), 0), case when sent.key is null then p.inputs else sent.inputs end, case when sent.key is null then p.params else sent.params end,
  case when sent.key is null then p.schemas else sent.schemas end, case when sent.key is null then p.sealed else sent.sealed end
from task t
join tree on tree.key = t.key >> 24
join spec s on s.key = t.key
left join payload p on p.key = t.key
left join sent_payload sent on sent.key = t.key and sent.attempt = t.attempt and t.state = :running
where t.key = $1 and t.attempt = $2 and t.state in (:ready, :running)
