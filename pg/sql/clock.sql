-- name: DueTimers
-- Takes up to $1 timers that are due. Locks: timers, skipping those that another coordinator takes.
delete from timer where ctid = any(array(
  select ctid from timer where at <= clock_timestamp() order by at limit $1 for update skip locked))
returning task, attempt, kind

-- name: NextTimer
select at, now() from timer order by at limit 1

-- name: StartTimeLimits
-- Begins the time of the groups with a timeout that are above the tasks $1, which may start, from $2 on, unless it has begun. Gives the timers, with milliseconds. No
-- locks: of two that begin it at once the later one changes nothing.
with recursive above as (
  select u.key >> 24 as tree, s.parent from unnest($1::bigint[]) u(key) cross join lateral (select parent from spec where spec.key = u.key and parent >= 0 offset 0) s
  union
  select a.tree, s.parent from above a cross join lateral (select parent from spec where spec.key = (a.tree << 24) + a.parent and parent >= 0 offset 0) s
), g as (
  select t.key, t.attempt, s.timeout_ms from above a
  cross join lateral (select key, attempt from task where task.key = (a.tree << 24) + a.parent and task.flags & (:flags_bounding) = (:flags_bounding) and task.state in (:unfinished) offset 0) t
  cross join lateral (select timeout_ms from spec where spec.key = t.key and timeout_ms > 0 offset 0) s
  where not exists (select from timer m where m.task = t.key and m.kind = :timer_group and m.attempt = t.attempt)
    and not exists (select from followup f where f.kind = :followup_time_up and f.task = t.key)
), i as (
  insert into timer (at, task, attempt, kind)
  select coalesce($2::timestamptz, now()) + timeout_ms * interval '1 millisecond', key, attempt, :timer_group from g on conflict do nothing
)
select key, attempt, timeout_ms::bigint from g

-- name: UnfinishedBelow
-- Up to $5 unfinished tasks below the task $1 of the keys in [$2, $3), by key, after $4. No locks; reads what is above the tasks of that tree, once for each level below it.
with recursive s as materialized (
  select key, parent from spec where key >= $2::bigint and key < $3::bigint
), below as (
  select key from s where parent = ($1::bigint & 16777215)::integer
  union all
  select s.key from below b join s on s.parent = (b.key & 16777215)::integer
)
select b.key from below b cross join lateral (select from task where task.key = b.key and task.state in (:unfinished) offset 0) t
where b.key > $4 order by b.key limit $5

-- name: TakeFollowups
-- Up to $1 followups; those of conditions are taken by who has evaluated them, those of expansions and of trees that tasks submit by who does these, those of signals by who has
-- checked these, those of schedules by who writes down their runs. Locks: followups, skipping those that another coordinator does.
select kind, task, cursor from followup
where kind <> :followup_condition and kind <> :followup_signal and kind <> :followup_fire and kind not in (:followups_expanding) order by kind, task limit $1 for update skip locked

-- name: HasFollowups
select exists (select from followup)

-- name: DeleteFollowup
delete from followup where kind = $1 and task = $2

-- name: MoveFollowup
update followup set cursor = $3 where kind = $1 and task = $2

-- name: DeleteFollowups
-- Deletes the followups of the kinds $1 of the tasks $2.
delete from followup where ctid = any(array(
  select f.ctid from unnest($1::smallint[], $2::bigint[]) u(kind, task)
  cross join lateral (select ctid from followup where kind = u.kind and task = u.task offset 0) f))

-- name: CountEdgesAround
-- How many dependencies the tasks $1 have, and dependents, counted up to $2. Those that are gone are left out.
select u.key, coalesce(cardinality(s.deps), 0) + (select count(*) from (select from edge where dependency = u.key limit $2) e)
from unnest($1::bigint[]) u(key) cross join lateral (select deps from spec where spec.key = u.key offset 0) s

-- name: ToldOf
-- How the dependencies of the tasks $1 have ended: of those of a task that are alike (required, mode, state, allowed) the first in its list, so that there
-- are few however many it has; of the failed ones of a fold, the one that failed first, and when: no time is later than any. What they ended with is read where a fold may take it: errors, and the results of skips that are to be its own.
-- Of as many of the tasks, those with few dependencies first, as have $4 of these together. The tasks $2, which are sorted, count as being in the states $3.
-- No locks: the tasks $1 are locked, so that nothing sets what they wait for back. Reads the row of each dependency.
select g.key, coalesce(ds.ref, ds.id), dt.key, dt.attempt, g.required, g.mode, g.state, g.allowed, coalesce(dt.blocked_by, 0),
  coalesce(a.error, ''), coalesce(a.kind, ''), case when g.state = :skipped then a.result end, a.sealed, g.at
from (
  select u.key, u.fold, d.i > 0 as required, coalesce(d.mode, 0)::smallint as mode, coalesce(here.state, r.state) as state, r.allowed, min(r.at) as at,
    coalesce((array_agg((d.ord << 24) + abs(d.i) - 1 order by r.at, d.ord) filter (where r.at is not null))[1],
      min((d.ord << 24) + abs(d.i) - 1)) as first -- the place in the list, and the index in the tree
  from (
    select u.key, t.fold, s.deps, s.dep_modes, sum(cardinality(s.deps)) over (order by cardinality(s.deps), u.key) as n
    from unnest($1::bigint[]) u(key)
    cross join lateral (select flags & :flag_fold <> 0 as fold from task where task.key = u.key offset 0) t
    cross join lateral (select deps, dep_modes from spec where spec.key = u.key offset 0) s
  ) u
  cross join lateral unnest(u.deps, u.dep_modes) with ordinality d(i, mode, ord)
  cross join lateral (
    select key, state, flags & :flag_allowed <> 0 as allowed,
      case when u.fold and state = :failed then (select finished_at from attempt where attempt.task = task.key and number = task.attempt) end as at
    from task where task.key = ((u.key >> 24) << 24) + abs(d.i) - 1 offset 0) r
  cross join lateral (select case when ($2::bigint[])[at.i] = r.key then ($3::smallint[])[at.i] end as state from (select width_bucket(r.key, $2::bigint[]) as i) at) here
  where u.n <= $4::bigint
  group by u.key, u.fold, d.i > 0, coalesce(d.mode, 0), coalesce(here.state, r.state), r.allowed
) g
cross join lateral (select key, attempt, blocked_by from task where task.key = ((g.key >> 24) << 24) + (g.first & 16777215) offset 0) dt
cross join lateral (select id, ref from spec where spec.key = dt.key offset 0) ds
left join lateral (
  select error, kind, result, sealed from attempt where g.fold and (g.state in (:failed, :cancelled) or g.state = :skipped and g.mode & :edge_skips <> 0)
    and attempt.task = dt.key and number = dt.attempt offset 0) a on true
order by g.key, g.first

-- name: CancellableAfter
-- Up to $3 tasks of the keys in [$1, $2) that their tree's cancellation ends, if that is on record.
select key from task where key >= $1 and key < $2 and state in (:cancellable)
  and exists (select from tree where tree.key = $1 >> 24 and cancelled_at is not null) order by key limit $3

-- name: CancelTree
-- Puts a tree's cancellation on record, once per execution. $3 > 0: only while that execution is the current one.
update tree set cancelled_at = now(), cancel_message = $2
where key = $1 and cancelled_at is null and ($3::integer = 0 or execution = $3) and (unfinished > 0 or $3 = 0 and (held > 0 or blocked > 0))

-- name: RaiseLate
-- Those of the trees $1 are late that have not ended: an event says so, once, and webhooks of the cluster that ask for it get a cursor. Expects: they are locked.
with t as (
  update tree set late_at = clock_timestamp(), sequence = sequence + 1, hooked = hooked
    or exists (select from webhook w where w.tree is null and w.active and w.events & :webhook_late <> 0 and w.namespace = tree.namespace)
  where key = any($1::bigint[]) and late_at is null and finished_at is null and execution > 0 returning key, sequence, namespace, hooked
), e as (
  insert into event (tree, last, at, body) select key, sequence, clock_timestamp(), :event_late from t
), h as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select t.key, w.key, t.sequence - 1, w.host
  from t cross join lateral (select key, host from webhook where tree is null and active and events & :webhook_late <> 0 and namespace = t.namespace offset 0) w
  on conflict (tree, webhook) do update set wanted = webhook_cursor.wanted + 1
)
select key, sequence, hooked from t

-- name: PendingCancellation
-- What the cancellation of a tree says, if it has not reached all tasks.
select coalesce(cancel_message, '') from tree where key = $1 and cancelled_at is not null and (unfinished > 0 or held > 0 or blocked > 0)

-- name: ExpectCancellations
-- Has the cancellations of the trees $1 carried out, before they are on record: who carries out one holds its followup, and then locks
-- tasks and the tree. Locks: followups.
insert into followup (kind, task) select :followup_cancel, t.root from unnest($1::bigint[]) u(key)
cross join lateral (select root from tree where tree.key = u.key offset 0) t
on conflict (kind, task) do update set cursor = 0

-- name: DropVoidCancellations
-- Takes back what ExpectCancellations said of those of the trees $1 whose cancellation is not on record, or has reached all tasks.
delete from followup where kind = :followup_cancel and task = any(array(
  select t.root from unnest($1::bigint[]) u(key) cross join lateral (
    select root from tree where tree.key = u.key and (cancelled_at is null or unfinished = 0 and held = 0 and blocked = 0) offset 0) t))

-- name: FinishedTrees
-- Trees that ended before $1 seconds ago and have no open attempt, without those of keeping. One whose webhooks have more to tell stays up to :webhook_wait_s seconds longer.
select key from tree where finished_at < now() - $1 * interval '1 second' and keeping is null and running = 0 and unfinished = 0 and held = 0
  and not (hooked and finished_at > now() - ($1 + :webhook_wait_s) * interval '1 second'
    and exists (select from webhook_cursor c where c.tree = tree.key and c.sequence < tree.sequence))
order by finished_at limit $2

-- name: FinishedTree
-- How many keys a tree uses that FinishedTrees lists: it may have been executed again since, or is held. $2 seconds.
select coalesce(span, tasks) from tree where key = $1 and finished_at < now() - $2 * interval '1 second' and running = 0 and unfinished = 0 and held = 0
  and (keeping is null or not exists (select from keeping k where k.tree = tree.key and k.held_at is not null))

-- name: DeleteAttempts
delete from attempt where task >= $1 and task < $2

-- name: DeleteEdges
delete from edge where dependency >= $1 and dependency < $2

-- name: DeletePayloads
delete from payload where key >= $1 and key < $2

-- name: DeleteSpecs
delete from spec where key >= $1 and key < $2

-- name: DeleteTasks
delete from task where key >= $1 and key < $2

-- name: DeleteTimers
delete from timer where task >= $1 and task < $2

-- name: DeleteTaskChunks
delete from chunk where task >= $1 and task < $2

-- name: DeleteEvents
delete from event where tree = $1

-- name: DeleteSubmissions
delete from submission where tree = $1

-- name: DeleteTree
-- The row of the tree $1, what says that it is paused, how it is kept, the key that it alone had, and the run of a flow that it is.
with gone as (delete from tree where key = $1 returning key, paused_at, keeping),
k as (delete from keeping using gone where gone.keeping is not null and keeping.tree = gone.key),
u as (delete from unique_key using gone where unique_key.tree = gone.key),
r as (delete from flow_run using gone where flow_run.tree = gone.key),
p as (delete from pause using gone where gone.paused_at is not null and pause.scope = :pause_tree and pause.pool = 0 and pause.tree = gone.key)
delete from parked using gone where gone.paused_at is not null and parked.tree = gone.key

-- name: DeleteOldChunks
-- Parts of results of attempts that have ended without them: nobody can ever ask for them.
delete from chunk c where not exists (
  select from task t where t.key = c.task and t.attempt = c.attempt and (t.worker is not null or t.state = :ready))
