-- name: AuditTurn
-- Whether this transaction is the one that audits. Holds until its end.
select pg_try_advisory_xact_lock(7238, 1)

-- name: AuditOpenTrees
-- Trees after $1 that have not ended, by key, but for very large ones: a snapshot that is held for seconds while their
-- tasks change costs them half their speed. They are looked at when they have ended. Those with up to 100 000 tasks, at most $3; gone: old enough to be deleted now, $2 seconds after its end.
select key, tasks, coalesce($2::double precision > 0 and finished_at < clock_timestamp() - ($2 - 60) * interval '1 second', false) or coalesce(keeping = :keeping_going, false) as gone
from tree where key > $1 and finished_at is null and tasks <= 100000 order by key limit $3

-- name: AuditAllTrees
-- As AuditOpenTrees, of all trees; the very large open ones are among them, to be left out, so that their tasks are not
-- taken for what belongs to no tree.
select key, tasks, coalesce($2::double precision > 0 and finished_at < clock_timestamp() - ($2 - 60) * interval '1 second', false) or coalesce(keeping = :keeping_going, false)
  or finished_at is null and tasks > 100000 as gone
from tree where key > $1 order by key limit $3

-- name: AuditOneTree
select key, tasks, coalesce($2::double precision > 0 and finished_at < clock_timestamp() - ($2 - 60) * interval '1 second', false) or coalesce(keeping = :keeping_going, false) as gone
from tree where key = $1 and ($3::integer > 0)

-- All that follow give (kind, tree, task, text), at most as many rows as their last parameter says. AuditTree* take tree
-- keys ($1) and read whole trees; AuditTask* take ranges of task keys, each of one tree ($1 first, $2 end); AuditAny* take
-- one range of task keys and what is too long, in seconds ($3). No locks. Ranges are read as such, by the index, whatever the
-- planner thinks of a table's size (offset 0).

-- name: AuditTreeCounts
-- The aggregate of a tree is what its tasks add up to.
select 'tree_counts' as kind, t.key as tree, 0::bigint as task, concat_ws(', ',
  case when t.tasks <> c.tasks then format('tasks: stored %s, counted %s', t.tasks, c.tasks) end,
  case when t.leaves <> c.leaves then format('leaves: stored %s, counted %s', t.leaves, c.leaves) end,
  case when t.held <> c.held then format('held: stored %s, counted %s', t.held, c.held) end,
  case when t.unfinished <> c.unfinished then format('unfinished: stored %s, counted %s', t.unfinished, c.unfinished) end,
  case when t.running <> c.running then format('open attempts: stored %s, counted %s', t.running, c.running) end,
  case when t.completed <> c.completed then format('completed: stored %s, counted %s', t.completed, c.completed) end,
  case when t.skipped <> c.skipped then format('skipped: stored %s, counted %s', t.skipped, c.skipped) end,
  case when t.allowed <> c.allowed then format('allowed failures: stored %s, counted %s', t.allowed, c.allowed) end,
  case when t.failed <> c.failed then format('failed: stored %s, counted %s', t.failed, c.failed) end,
  case when t.cancelled <> c.cancelled then format('cancelled: stored %s, counted %s', t.cancelled, c.cancelled) end,
  case when t.blocked <> c.blocked then format('blocked: stored %s, counted %s', t.blocked, c.blocked) end,
  case when t.leaves_completed <> c.leaves_completed then format('completed leaves: stored %s, counted %s', t.leaves_completed, c.leaves_completed) end) as text
from unnest($1::bigint[]) u(key) join tree t on t.key = u.key
cross join lateral (
  select count(*) as tasks, count(*) filter (where flags & :flag_leaf <> 0) as leaves, count(*) filter (where state = :held) as held,
    count(*) filter (where state in (:unfinished)) as unfinished, count(worker) as running,
    count(*) filter (where state in (:successful)) as completed, count(*) filter (where state = :failed) as failed,
    count(*) filter (where state = :skipped) as skipped, count(*) filter (where state = :failed and flags & :flag_allowed <> 0) as allowed,
    count(*) filter (where state = :cancelled) as cancelled, count(*) filter (where state = :blocked) as blocked,
    count(*) filter (where state in (:successful) and flags & :flag_leaf <> 0) as leaves_completed
  from task where task.key >= t.key << 24 and task.key < (t.key + 1) << 24) c
where t.tasks <> c.tasks or t.leaves <> c.leaves or t.held <> c.held or t.unfinished <> c.unfinished or t.running <> c.running
  or t.completed <> c.completed or t.failed <> c.failed or t.cancelled <> c.cancelled or t.blocked <> c.blocked
  or t.leaves_completed <> c.leaves_completed or t.skipped <> c.skipped or t.allowed <> c.allowed
limit $2

-- name: AuditTreeRows
-- What a tree's row says of itself: its end, its cancellation, its root, its deadline, when it is due.
select v.kind, t.key as tree, t.root as task, v.text
from unnest($1::bigint[]) u(key) join tree t on t.key = u.key
left join spec s on s.key = t.root
cross join lateral (values
  ('tree_end', t.execution > 0 and (t.finished_at is null) <> (t.unfinished > 0) or t.execution = 0 and (t.finished_at is not null or t.unfinished > 0),
    format('execution %s, %s unfinished tasks, finished at %s; a tree has ended when no task of its execution is unfinished', t.execution, t.unfinished, coalesce(t.finished_at::text, 'no time'))),
  ('tree_cancel', t.cancelled_at is not null and t.held + t.unfinished + t.blocked > 0 and not exists (select from followup where kind = :followup_cancel and followup.task = t.root),
    format('the tree was cancelled at %s, %s of its tasks are not, and no followup will do it', t.cancelled_at, t.held + t.unfinished + t.blocked)),
  ('tree_root', t.root >> 24 <> t.key or s.id is distinct from t.root_id or s.parent <> -1,
    format('the root is %s, and the task there is %s with parent %s', t.root_id, coalesce(s.id, 'missing'), s.parent)),
  ('tree_deadline', t.unfinished > 0 and t.timeout_ms is not null and t.cancelled_at is null
      and not exists (select from timer m where m.task = t.root and m.kind = :timer_tree and m.attempt = t.execution),
    format('execution %s has a deadline of %s ms and no timer for it', t.execution, t.timeout_ms)),
  ('tree_due', t.unfinished > 0 and t.execution = 1 and t.due_at is not null and t.late_at is null and t.fire is null
      and not exists (select from timer m where m.task = t.root and m.kind = :timer_late and m.attempt = t.execution),
    format('the tree is due at %s, and has no timer for it', t.due_at)),
  ('tree_due', t.late_at is not null and exists (select from fire f where f.key = t.fire and not f.late),
    format('the tree is late since %s, and its run of a schedule is not', t.late_at))
) v(kind, bad, text)
where v.bad limit $2

-- name: AuditTreeNamespaces
-- A tree is of a namespace that is there, and so are its tasks. Reads the specifications of whole trees.
select 'namespace' as kind, t.key as tree, coalesce(s.key, 0) as task, case when n.key is null then format('namespace %s is not there', t.namespace)
  else format('a task is of namespace %s, its tree of %s', s.namespace, t.namespace) end as text
from unnest($1::bigint[]) u(key) cross join lateral (select key, namespace from tree where tree.key = u.key offset 0) t
left join namespace n on n.key = t.namespace
left join lateral (
  select key, namespace from spec where spec.key >= t.key << 24 and spec.key < (t.key + 1) << 24 and spec.namespace <> t.namespace order by key limit 1) s on true
where n.key is null or s.key is not null
limit $2

-- name: AuditTreePools
-- No task waits in a pool that is gone: what a tree that has not ended says that it needs is open. (Older coordinators say nothing.)
-- A ready task's pool is one of those.
with stretch as materialized (
  select first, pool from ready where first >> 24 = any($1::bigint[])
  union all
  select first, pool from published where first >> 24 = any($1::bigint[])
)
select 'pool_gone' as kind, t.key as tree, 0::bigint as task, format('its tasks need pool %s, %s', coalesce(pool.name, p::text),
  case when pool.id is null then 'which is not there' else format('which was closed at %s', pool.changed_at) end) as text
from unnest($1::bigint[]) u(key) cross join lateral (select * from tree where tree.key = u.key offset 0) t
cross join lateral unnest(t.pools) p left join pool on pool.id = p
where t.finished_at is null and t.execution > 0 and (pool.id is null or not pool.open)
union all
select 'pool_gone', r.first >> 24, r.first, format('it waits in pool %s, which its tree does not name', r.pool)
from stretch r cross join lateral (select pools, finished_at from tree where tree.key = r.first >> 24 offset 0) t
where t.finished_at is null and not r.pool = any(t.pools)
limit $2

-- name: AuditTreeEdges
-- The edges are the dependencies that the tasks name, as a checksum; those from tasks that were found to the one that found them are in no list.
-- Reads the edges of whole trees.
select 'edge' as kind, t.key as tree, 0::bigint as task, format('the tasks name %s dependencies, %s edges are stored%s', s.n, e.n,
  case when s.n = e.n then ', and they are not the same' else '' end) as text
from unnest($1::bigint[]) t(key)
cross join lateral (
  select count(*) as n, bit_xor(hashint8extended((((t.key << 24) + abs(d.i) - 1) << 1) | (d.i > 0)::integer, spec.key)) as sum
  from spec, unnest(spec.deps) d(i) where spec.key >= t.key << 24 and spec.key < (t.key + 1) << 24) s
cross join lateral (
  select count(*) as n, bit_xor(hashint8extended((edge.dependency << 1) | edge.required::integer, edge.dependent)) as sum
  from edge where edge.dependency >= t.key << 24 and edge.dependency < (t.key + 1) << 24 and edge.mode is distinct from :child_edge) e
where s.n <> e.n or s.sum is distinct from e.sum limit $2

-- name: AuditTreeStretches
-- A ready task is in exactly one stretch of its attempt, or in the lines of what it asks for. Reads all stretches (ready and published are small: one holds up to 4096
-- tasks) and the tasks of whole trees.
with stretch as materialized (
  select first, n, attempt from ready where first >> 24 = any($1::bigint[])
  union all
  select first, n, attempt from published where first >> 24 = any($1::bigint[])
  union all
  select first, n, attempt from parked where tree = any($1::bigint[])
)
select case when sum(c.stretches) = 0 then 'ready_without_stretch' else 'ready_in_two_stretches' end as kind, c.key >> 24 as tree, c.key as task,
  format('the task is ready at attempt %s and in %s stretches, or lines; it belongs in one', max(c.attempt), sum(c.stretches)) as text
from (
  select t.key, t.attempt, 0 as stretches from unnest($1::bigint[]) u(key) join task t on t.key >= u.key << 24 and t.key < (u.key + 1) << 24 and t.state = :ready
  union all
  select t.key, t.attempt, 1 from stretch r join task t on t.key >= r.first and t.key < r.first + r.n and t.state = :ready and t.attempt = r.attempt
  union all
  select t.key, t.attempt, 1 from unnest($1::bigint[]) u(key) cross join lateral (
    select distinct task, attempt from waiter where task >= u.key << 24 and task < (u.key + 1) << 24 offset 0) w
  join task t on t.key = w.task and t.state = :ready and t.attempt = w.attempt
) c group by c.key having sum(c.stretches) <> 1 limit $2

-- name: AuditTreeStretchRows
-- A stretch names tasks of its own pool and priority that are, or were, ready at its attempt; in ready, none that was claimed.
-- Tasks that were settled, by a user's word too, or tried again since may stay in it until it is dispatched, or looked after.
with stretch as materialized (
  select 'ready' as place, first, n, attempt, pool, priority from ready where first >> 24 = any($1::bigint[])
  union all
  select 'published', first, n, attempt, pool, priority from published where first >> 24 = any($1::bigint[])
  union all
  select 'parked', first, n, attempt, pool, priority from parked where tree = any($1::bigint[])
)
select 'stretch_mismatch' as kind, t.key >> 24 as tree, t.key as task,
  format('a stretch in %s has it at attempt %s, pool %s, priority %s; the task has state %s, attempt %s, pool %s, priority %s',
    r.place, r.attempt, r.pool, r.priority, t.state, t.attempt, t.pool, t.priority) as text
from stretch r join task t on t.key >= r.first and t.key < r.first + r.n
where t.attempt < r.attempt or t.attempt = r.attempt and (t.state in (:held, :waiting, :delayed, :blocked) or r.place = 'ready' and (t.state = :running or t.state = :completed and exists (select from attempt a where a.task = t.key and a.number = t.attempt and a.worker is not null))
  or t.state = :ready and (t.pool, t.priority) <> (r.pool, r.priority))
union all
select 'stretch_mismatch', tree.key, r.first, format('a stretch in %s has %s tasks from index %s on, the tree has used %s keys', r.place, r.n, r.first & 16777215, coalesce(tree.span, tree.tasks))
from stretch r join tree on tree.key = r.first >> 24 where r.n < 1 or (r.first & 16777215) + r.n > coalesce(tree.span, tree.tasks)
limit $2

-- name: AuditTreeHolds
-- What is held is held by an attempt that is open, or on its way to a worker, or for the parent of who took it, until that has ended; who waits in lines is ready, and waits in all of them; who is on its way, or runs, holds
-- all that it has asked for. (An update may have changed since what a task asks for: then it says so by the flag of holds.) Reads what trees hold and wait for.
select 'hold' as kind, h.task >> 24 as tree, h.task, format('attempt %s holds %s of %s (kind %s); the task has state %s, attempt %s', h.attempt, h.cost, h.key, h.kind,
  coalesce(t.state::text, 'missing'), t.attempt) as text
from unnest($1::bigint[]) u(key) cross join lateral (select * from hold where task >= u.key << 24 and task < (u.key + 1) << 24 offset 0) h
left join task t on t.key = h.task
where h.span is null and (t.key is null or t.attempt <> h.attempt or t.flags & :flags_limiting = 0
  or not (t.state in (:ready, :running) or t.state in (:expanded, :awaiting) and h.kind not in (:kind_pool, :kind_user) or t.state = :cancelled and t.worker is not null))
union all
select 'hold', h.task >> 24, h.task, format('attempt %s took %s (kind %s) for task %s, which has state %s; the task has state %s, attempt %s', h.attempt, h.key, h.kind, h.span,
  coalesce(p.state::text, 'missing'), coalesce(t.state::text, 'missing'), t.attempt)
from unnest($1::bigint[]) u(key) cross join lateral (select * from hold where task >= u.key << 24 and task < (u.key + 1) << 24 and span is not null offset 0) h
left join task t on t.key = h.task left join task p on p.key = h.span
where p.key is null or p.state in (:settled) or p.flags & :flag_kept = 0 or t.key is null or t.state <> :completed or t.attempt <> h.attempt or h.kind <> :kind_lock
union all
select 'hold', h.task >> 24, h.task, format('attempt %s holds %s of %s (kind %s), and waits', h.attempt, h.cost, h.key, h.kind)
from unnest($1::bigint[]) u(key) cross join lateral (select * from hold where task >= u.key << 24 and task < (u.key + 1) << 24 offset 0) h
cross join lateral (select * from task where task.key = h.task and task.state = :ready offset 0) t
where exists (select from waiter w where w.task = h.task)
  or exists (select from ready r where r.pool = t.pool and r.priority = t.priority and h.task >= r.first and h.task < r.first + r.n and r.attempt = h.attempt)
  or exists (select from parked p where p.tree = h.task >> 24 and h.task >= p.first and h.task < p.first + p.n and p.attempt = h.attempt)
union all
select 'waiter', w.task >> 24, w.task, format('attempt %s waits in %s lines of %s; the task has state %s, attempt %s', w.attempt, w.rows, w.n, coalesce(t.state::text, 'missing'), t.attempt)
from unnest($1::bigint[]) u(key) cross join lateral (
  select task, attempt, max(n) as n, count(*) as rows from waiter where task >= u.key << 24 and task < (u.key + 1) << 24 group by task, attempt offset 0) w
left join task t on t.key = w.task
where t.key is null or t.attempt <> w.attempt or t.state <> :ready or w.rows <> w.n
union all
select 'granted_without_hold', t.key >> 24, t.key, format('attempt %s holds %s of the %s keys that it has asked for', t.attempt, h.n, s.n)
from unnest($1::bigint[]) u(key)
cross join lateral (select * from task where task.key >= u.key << 24 and task.key < (u.key + 1) << 24 and flags & :flag_limited <> 0 and flags & :flag_holds = 0
  and state in (:ready, :running, :expanded, :awaiting) offset 0) t
cross join lateral (select (select count(distinct l ->> 'key') from json_array_elements(limits -> 'limits') l) + case when limits -> 'lock' is null then 0 else 1 end as n
  from spec where spec.key = t.key offset 0) s
cross join lateral (select count(*) as n from hold where hold.task = t.key and kind in (:kind_limit, :kind_lock) offset 0) h
where h.n <> s.n and not exists (select from waiter w where w.task = t.key)
limit $2

-- name: AuditTreePlaces
-- An attempt that runs holds its place where an operator's limit of its pool, or its user, counts what runs. Reads the tasks of trees with open attempts, while there is
-- such a limit.
select 'running_without_place' as kind, tree.key as tree, t.key as task, format('attempt %s runs, and holds no place of %s (kind %s), of which an operator lets %s run', t.attempt, r.key, r.kind, r.max) as text
from unnest($1::bigint[]) u(key)
cross join lateral (select key, share from tree where tree.key = u.key and running > 0 and exists (select from limit_rule where gate is not null and counted) offset 0) tree
cross join lateral (
  select key, attempt, pool from task where task.key >= tree.key << 24 and task.key < (tree.key + 1) << 24 and worker is not null and state = :running offset 0) t
join limit_rule r on r.gate in (0, t.pool) and r.counted and (r.kind = :kind_pool or r.share = tree.share)
where not exists (select from hold h where h.task = t.key and h.kind = r.kind)
limit $2

-- name: AuditHolds
-- No key is held by more than the most that was in force when the last of it was granted; nor is a place in a pool, or of a user, given after its limit was set, where there
-- was no room. (What ran before is counted, whatever the limit; it has no place in a line.) Reads all holds, and what operators have set.
select 'limit_exceeded' as kind, 0::bigint as tree, min(task) as task, format('%s of %s (kind %s, namespace %s) is held, by grants of at most %s', sum(cost), key, kind, namespace, max(max)) as text
from hold group by namespace, kind, key having sum(cost) > max(max) and bool_and(max is not null)
union all
select 'limit_exceeded', 0, min(h.task), format('%s places of %s (kind %s) are held, and an operator lets %s run', sum(h.cost), r.key, r.kind, r.max)
from limit_rule r join hold h on h.namespace = 0 and h.kind = r.kind and h.key = coalesce(r.pool, r.share)::text
where r.gate is not null and r.counted group by r.namespace, r.kind, r.key having sum(h.cost) > r.max and max(h.since) filter (where h.id > 0) > r.set_at
limit $1

-- name: AuditTaskRows
-- What a task's row says of itself.
select case when t.state not in (:states) or t.attempt < 1 or t.priority not between :priority_urgent and :priority_low then 'task_state'
    when t.worker is null and t.state = :running then 'running_without_worker'
    when t.worker is not null and t.state not in (:running, :cancelled) then 'open_attempt'
    when t.started_at is null and t.state = :running then 'task_state'
    else 'blocked_cause' end as kind,
  t.key >> 24 as tree, t.key as task,
  format('state %s, attempt %s, priority %s, worker %s, started at %s, blocked by %s', t.state, t.attempt, t.priority, coalesce(t.worker::text, 'none'),
    coalesce(t.started_at::text, 'no time'), coalesce(t.blocked_by::text, 'none')) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) cross join lateral (select * from task t where t.key >= r.first and t.key < r.last offset 0) t
where t.state not in (:states) or t.attempt < 1 or t.priority not between :priority_urgent and :priority_low
  or t.state = :running and (t.worker is null or t.started_at is null)
  or t.worker is not null and t.state not in (:running, :cancelled)
  or (t.state = :blocked) <> (t.blocked_by is not null) or t.blocked_by = t.key or t.blocked_by >> 24 <> t.key >> 24
limit $3

-- name: AuditTaskBlocked
-- A blocked task names a cause; in the first execution it is one that has ended, and the end of a dependency blocks it by its edge (dag.EdgeMode). Later ones may run the cause again without what it blocks.
-- A dependency that is cancelled may have been blocked when it blocked the task.
select 'blocked_cause' as kind, t.key >> 24 as tree, t.key as task,
  format('blocked by task %s, whose state is %s', t.blocked_by, coalesce(c.state::text, 'missing')) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) join tree on tree.key = r.first >> 24
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and t.state = :blocked offset 0) t
left join task c on c.key = t.blocked_by
where c.key is null or tree.execution <= 1 and (c.state not in (:with_outcome) or t.flags & :flag_fold = 0 and not exists (
  select from spec s, unnest(s.deps, s.dep_modes) i(i, given) cross join lateral (select coalesce(i.given, 0) as mode) m
  join task d on d.key = (t.key >> 24 << 24) + abs(i.i) - 1
  where s.key = t.key and (d.key = t.blocked_by or d.state = :cancelled or d.state = :blocked and d.blocked_by = t.blocked_by) and (case when m.mode & :edge_any = 0 then i.i > 0 and d.state in (:unsuccessful) else (m.mode & case d.state when :completed then 1 when :skipped then 2 when :failed then 4 when :cancelled then 8 when :blocked then 16 else 0 end = 0 or d.state = :cancelled and m.mode & 16 = 0) and d.state in (:settled) end and (m.mode & :edge_block <> 0 or m.mode & :edge_skip = 0 and d.state in (:unsuccessful)))))
limit $3

-- name: AuditTaskWaiting
-- remaining is the number of dependencies that have not ended, or whose end a followup has yet to tell; a task that waits
-- for nothing has a followup that lets it go, or judges it; one that a dependency's end blocks by its edge is blocked.
select case when d.failed > 0 then 'waits_for_failed' when t.remaining <> d.open then 'remaining' else 'waiting_for_nothing' end as kind,
  t.key >> 24 as tree, t.key as task,
  format('waits for %s dependencies by its row, for %s by theirs; %s of them block it', t.remaining, d.open, d.failed) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) join tree on tree.key = r.first >> 24 and tree.cancelled_at is null
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and t.state = :waiting offset 0) t
left join spec s on s.key = t.key
cross join lateral (
  select count(*) filter (where d.state in (:unsettled) or u.task is not null) as open,
    count(*) filter (where u.task is null and (case when m.mode & :edge_any = 0 then i.i > 0 and d.state in (:unsuccessful) else m.mode & case d.state when :completed then 1 when :skipped then 2 when :failed then 4 when :cancelled then 8 when :blocked then 16 else 0 end = 0 and d.state in (:settled) end and (m.mode & :edge_block <> 0 or m.mode & :edge_skip = 0 and d.state in (:unsuccessful)))) as failed
  from unnest(s.deps, s.dep_modes) i(i, given) cross join lateral (select coalesce(i.given, 0) as mode) m join task d on d.key = (t.key >> 24 << 24) + abs(i.i) - 1
  left join followup u on u.kind = :followup_unlock and u.task = d.key and u.cursor < t.key) d
where d.failed > 0 or t.remaining <> d.open
  or t.remaining = 0 and not exists (select from followup c where c.kind in (:followup_release, :followup_judge, :followup_condition) and c.task = t.key)
    and not exists (select from expansion x
      where t.flags & :flag_child <> 0 and x.task >= t.key >> 24 << 24 and x.task < t.key and t.key - (t.key >> 24 << 24) - x.first between 0 and x.n - 1
        and (exists (select from followup c where c.kind = :followup_grow and c.task = x.task)
          or x.part < 0 and exists (select from task o -- it is put back, and let go when one of these has ended
            where o.key >= (t.key >> 24 << 24) + x.first and o.key < (t.key >> 24 << 24) + x.first + x.within and o.state in (:unfinished))))
limit $3

-- name: AuditTaskExpanded
-- An expanded task waits for those that it found which have not ended, or whose end a followup has yet to tell, and for those that are not made yet; of what these
-- are made is there, and a followup makes them, or the end of another one will; a followup ends one that waits for none.
select 'expansion' as kind, t.key >> 24 as tree, t.key as task, case when x.task is null then 'the task is expanded, and nothing says what it found'
  else format('it waits for %s tasks by its row, for %s by theirs and %s that are to be made; part %s of %s is next', t.remaining, m.open, x.n - x.made, x.part, x.parts) end as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) join tree on tree.key = r.first >> 24 and tree.cancelled_at is null
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and t.state = :expanded offset 0) t
left join expansion x on x.task = t.key and x.attempt = t.attempt
cross join lateral (
  select count(*) filter (where c.state in (:unsettled) or u.task is not null) as open from task c
  left join followup u on u.kind = :followup_unlock and u.task = c.key and u.cursor < t.key
  where c.key >= (t.key >> 24 << 24) + x.first and c.key < (t.key >> 24 << 24) + x.first + x.made) m
where x.task is null or t.remaining <> m.open + x.n - x.made
  or t.remaining = 0 and not exists (select from followup c where c.kind = :followup_collect and c.task = t.key)
  or x.made < x.n and (x.part >= 0 and not exists (select from expansion_part p where p.task = t.key and p.part = x.part)
    or (x.at_once = 0 or m.open = 0) and not exists (select from followup c where c.kind = :followup_grow and c.task = t.key))
limit $3

-- name: AuditTreeRuns
-- The run of a flow that a tree is: it is the only one, of the same root, namespace and user; its text is there, and the bundle that it pins; of its revisions the last alone may be unfinished, and they were
-- stored in their order. If the tree is the run of a schedule, too, both say the same.
select v.kind, t.key as tree, 0::bigint as task, format('revision %s of run %s of flow %s: ', r.revision, r.run_id, r.flow_id) || v.text as text
from unnest($1::bigint[]) u(key) cross join lateral (select * from tree where tree.key = u.key offset 0) t
cross join lateral (select * from flow_run where flow_run.tree = t.key offset 0) r
left join lateral (select * from fire where fire.key = t.fire offset 0) f on true
left join lateral (select id from schedule where schedule.key = f.schedule offset 0) s on true
cross join lateral (values
  ('flow_run_tree', r.root_id <> t.root_id or r.namespace <> t.namespace or coalesce(r.user_id, '') <> coalesce(t.user_id, ''),
    format('its root is %s in namespace %s of user %s, and its tree has root %s in namespace %s of user %s', r.root_id, r.namespace, coalesce(r.user_id, 'none'), t.root_id, t.namespace, coalesce(t.user_id, 'none'))),
  ('flow_run_tree', exists (select from flow_run o where o.tree = r.tree and o.key < r.key), 'its tree is that of another run, too'),
  ('flow_run_text', not exists (select from flow_text x where x.key = r.text and x.namespace = r.namespace), format('its text %s is not there', r.text)),
  ('flow_run_bundle', r.bundle is not null and not exists (select from bundle b where b.key = r.bundle and b.namespace = r.namespace), format('its bundle %s is not there', r.bundle)),
  ('flow_run_revision', t.unfinished > 0 and exists (select from flow_run o where o.namespace = r.namespace and o.flow_id = r.flow_id and o.run_id = r.run_id and o.revision > r.revision),
    'it runs, and there is a later one'),
  ('flow_run_revision', r.revision < 1 or exists (select from flow_run o where o.namespace = r.namespace and o.flow_id = r.flow_id and o.run_id = r.run_id and o.revision > r.revision and o.key < r.key),
    'a later one was stored before it, or its number is none'),
  ('flow_run_fire', f.key is not null and (f.flow_id, f.run_id, f.tree, f.instant, s.id) is distinct from (r.flow_id, r.run_id, r.tree, r.fire_time, r.schedule_id),
    format('by its row it is of schedule %s and the instant %s; its run of a schedule is tree %s and run %s of flow %s, of schedule %s and the instant %s', coalesce(r.schedule_id, 'none'),
      coalesce(r.fire_time::text, 'none'), coalesce(f.tree::text, 'none'), coalesce(f.run_id, 'none'), coalesce(f.flow_id, 'none'), coalesce(s.id, 'none'), f.instant))
) v(kind, bad, text)
where v.bad
union all
select 'flow_run_fire', t.key, 0::bigint, case when r.there is null then format('it is run %s of a schedule, which is run %s of flow %s, and no run of a flow has this tree', f.key, f.run_id, f.flow_id)
  else format('it has ended, and run %s of a schedule has state %s, which no followup will correct', f.key, f.state) end
from unnest($1::bigint[]) u(key) cross join lateral (select * from tree where tree.key = u.key and fire is not null offset 0) t
cross join lateral (select * from fire where fire.key = t.fire offset 0) f
left join lateral (select true as there from flow_run where flow_run.tree = t.key limit 1) r on true
where f.run_id is not null and r.there is null
  or t.unfinished = 0 and t.finished_at is not null and f.state > :fire_running and f.state <> case when t.failed > t.allowed then :fire_failed when t.cancelled > 0 then :fire_cancelled else :fire_completed end
    and not exists (select from followup w where w.kind = :followup_fire and w.task = t.root)
limit $2

-- name: AuditTreeBundles
-- The bundles that runs of flows pin, each once: all their files are there, and the content of each. Reads the files of whole bundles.
select 'flow_run_bundle' as kind, b.tree, 0::bigint as task, format('bundle %s has %s files with %s bytes and is said to have %s with %s; %s of them are without content', b.key, x.n, x.bytes, b.files, b.bytes, x.lost) as text
from (
  select distinct on (b.key) b.key, b.files, b.bytes, r.tree from unnest($1::bigint[]) u(key)
  cross join lateral (select tree, bundle from flow_run where flow_run.tree = u.key and bundle is not null offset 0) r
  cross join lateral (select * from bundle where bundle.key = r.bundle offset 0) b order by b.key, r.tree) b
cross join lateral (
  select count(*) filter (where f.path <> '') as n, coalesce(sum(o.size) filter (where f.path <> ''), 0) as bytes, count(*) filter (where f.path = '') as lists,
    count(*) filter (where o.key is null or case when o.content is null then o.body is null and o.sealed is null else c.state is distinct from :content_whole or c.size is distinct from o.size end) as lost
  from (select * from bundle_file where bundle_file.bundle = b.key offset 0) f
  left join lateral (select * from bundle_blob where bundle_blob.key = f.blob offset 0) o on true
  left join lateral (select * from content where content.key = o.content offset 0) c on true) x
where x.n <> b.files or x.bytes <> b.bytes or x.lists <> 1 or x.lost > 0
limit $2

-- name: AuditTaskAwaiting
-- What an awaiting task waits for is on record, of its attempt, and has a timer if it has an end; and whoever has such a record is awaiting.
select 'awaiting' as kind, t.key >> 24 as tree, t.key as task, case when w.task is null then format('it waits by attempt %s, and nothing says for what', t.attempt)
  else format('it waits by attempt %s until %s, and no timer ends that', t.attempt, w.until) end as text
from unnest($1::bigint[], $2::bigint[]) r(first, last)
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and t.state = :awaiting offset 0) t
left join await w on w.task = t.key and w.attempt = t.attempt
where w.task is null or w.until is not null and not exists (select from timer m where m.task = t.key and m.attempt = t.attempt and m.kind = :timer_await)
union all
select 'awaiting', w.task >> 24, w.task, format('attempt %s waits by the table await; the task has state %s and attempt %s', w.attempt, coalesce(t.state::text, 'none'), t.attempt)
from unnest($1::bigint[], $2::bigint[]) r(first, last) cross join lateral (select * from await w where w.task >= r.first and w.task < r.last offset 0) w
left join task t on t.key = w.task
where t.key is null or t.state <> :awaiting or t.attempt <> w.attempt
limit $3

-- name: AuditTaskSubtrees
-- A task that waits for a tree has submitted it, or a followup does that, or ends the wait; the tree has not ended, or a followup tells the task; and a tree for which its
-- task waits no more is left, or a followup cancels it.
select 'subtree' as kind, w.task >> 24 as tree, w.task as task, case when s.waits is not true then format('attempt %s waits for a tree, which no followup submits', w.attempt)
  when w.tree is distinct from s.tree then format('attempt %s waits for tree %s, and has submitted tree %s', w.attempt, w.tree, s.tree)
  else format('attempt %s waits for the tree %s, which %s, and no followup tells it so', w.attempt, s.root_id, case when x.key is null then 'is not there' else 'has ended' end) end as text
from unnest($1::bigint[], $2::bigint[]) r(first, last)
cross join lateral (select * from await w where w.task >= r.first and w.task < r.last and w.kind = :await_tree offset 0) w
cross join lateral (select from task t where t.key = w.task and t.attempt = w.attempt and t.state = :awaiting offset 0) t
left join subtree s on s.task = w.task and s.attempt = w.attempt
left join tree x on x.key = s.tree
where case when s.waits is not true then not exists (select from followup f where f.kind = :followup_subtree and f.task = w.task)
  else w.tree is distinct from s.tree or (x.key is null or x.unfinished = 0)
    and not exists (select from followup f where f.kind = :followup_tree and f.task >= s.tree << 24 and f.task < (s.tree + 1) << 24) end
union all
select 'subtree', s.task >> 24, s.task, format('attempt %s does not wait for the tree %s any more, and no followup cancels that', s.attempt, s.root_id)
from unnest($1::bigint[], $2::bigint[]) r(first, last)
cross join lateral (select * from subtree s where s.task >= r.first and s.task < r.last and s.waits offset 0) s
left join task t on t.key = s.task
where (t.key is null or t.state <> :awaiting or t.attempt <> s.attempt) and not exists (select from followup f where f.kind = :followup_subtree and f.task = s.task)
limit $3

-- name: AuditTaskTimers
-- A delayed task has the timer that lets it go, a running one that of its timeout, and a group with a timeout, if what is below it has begun, its own.
select case when t.state = :delayed then 'delayed_without_timer' else 'timeout_without_timer' end as kind, t.key >> 24 as tree, t.key as task,
  format('state %s, attempt %s, and no timer for it', t.state, t.attempt) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last)
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and (t.state = :delayed or t.state = :running and t.flags & :flag_timeout <> 0) offset 0) t
left join spec s on s.key = t.key and t.state = :running
where (t.state = :delayed or s.timeout_ms > 0)
  and not exists (select from timer m where m.task = t.key and m.attempt = t.attempt and m.kind = case when t.state = :delayed then :timer_due else :timer_start_to_close end)
union all
select distinct 'timeout_without_timer', g.key >> 24, g.key, format('attempt %s is a group of which the time has begun, and no timer ends it', g.attempt)
from (
  with recursive b as (
    select t.key >> 24 as tree, s.parent from unnest($1::bigint[], $2::bigint[]) r(first, last)
    cross join lateral (select key from task t where t.key >= r.first and t.key < r.last and t.flags & :flag_bounded <> 0
      and (t.state in (:running, :expanded, :awaiting) or t.state = :ready and t.flags & :flag_limited = 0) offset 0) t
    cross join lateral (select parent from spec where spec.key = t.key and parent >= 0 offset 0) s
    union
    select b.tree, s.parent from b cross join lateral (select parent from spec where spec.key = (b.tree << 24) + b.parent and parent >= 0 offset 0) s
  ) select * from b) b
cross join lateral (select key, attempt from task where task.key = (b.tree << 24) + b.parent and task.flags & (:flags_bounding) = (:flags_bounding) and task.state = :waiting offset 0) g
where not exists (select from timer m where m.task = g.key and m.attempt = g.attempt and m.kind = :timer_group)
  and not exists (select from followup f where f.kind = :followup_time_up and f.task = g.key)
limit $3

-- name: AuditTaskTimes
-- What happens to a task is in order: its tree is created, each attempt gets ready, starts, ends, and the next one starts; what runs started
-- after the attempt before ended. What is stored does not tell whether Postgres's clock was set back instead, so the text names that. By over a second: versions before 0.3 took the start and the end from different clocks, and may run
-- beside this one; trees that they finished before it came are left out. A task that a copy kept ended before its tree was created.
select 'times' as kind, t.key >> 24 as tree, t.key as task,
  format('created at %s; attempt %s was ready at %s, started at %s and ended at %s; the attempt before ended at %s; it looks like this, too, where Postgres''s clock was set back',
    tree.created_at, a.number, case when a.number = t.attempt and t.ready_at is not null then t.ready_at::text else 'no known time' end, coalesce(a.started_at::text, 'no time'),
    coalesce(a.finished_at::text, 'no time'), coalesce(a.before::text, 'no time')) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last)
join tree on tree.key = r.first >> 24 and tree.created_at > (select max(at) from migration where name = '0007_lane.sql')
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last offset 0) t
cross join lateral (
  select number, started_at, finished_at, lag(finished_at) over (order by number) as before from (
    select number, started_at, finished_at from attempt where attempt.task = t.key
    union all
    select t.attempt, t.started_at, null where t.state = :running) all_attempts) a
where a.started_at < a.before - interval '1 second' or a.number = t.attempt and a.started_at < t.ready_at - interval '1 second' or a.finished_at < coalesce(a.started_at, a.before) - interval '1 second'
  or coalesce(a.started_at, a.before, a.finished_at) < tree.created_at - interval '1 second'
    and not (a.number = 1 and exists (select from spec where spec.key = t.key and original is not null offset 0)) -- a copy that was kept: of before its tree
    and a.before is null
limit $3

-- name: AuditTaskArtifacts
-- What a reference names is stored, or is with it.
select 'artifact' as kind, a.task >> 24 as tree, a.task, format('artifact %s of kind %s of attempt %s: its content %s', a.number, a.kind, a.attempt,
  case when a.content is null then 'is not with it' else coalesce('is in state ' || c.state, 'is not there') end) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) cross join lateral (select * from artifact a where a.task >= r.first and a.task < r.last offset 0) a
left join content c on c.key = a.content
where case when a.content is null then a.data is null and a.sealed is null else c.state is distinct from :content_whole or c.size <> a.size end
limit $3

-- name: AuditTaskStrayTimers
-- A timer names a task that is there; one that lets a task go, a delayed one (or one that was cancelled).
select 'stray_timer' as kind, m.task >> 24 as tree, m.task, format('a timer of kind %s for attempt %s at %s; the task''s state is %s', m.kind, m.attempt, m.at,
  coalesce(t.state::text, 'missing')) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) cross join lateral (select * from timer m where m.task >= r.first and m.task < r.last offset 0) m
left join task t on t.key = m.task
where t.key is null or m.kind not in (:timers) or m.kind = :timer_due and m.attempt = t.attempt and t.state not in (:delayed, :cancelled)
limit $3

-- name: AuditTaskWorkers
-- An open attempt belongs to a worker that is there and whose lease lives, or is being taken back. $3: what is too long.
select case when w.key is null then 'worker_missing' when w.state in (:worker_live) and w.lease_until >= now() - $3 * interval '1 second' then 'attempt_unlisted'
  else 'worker_departed' end as kind, t.key >> 24 as tree, t.key as task,
  format('attempt %s is open at worker %s, state %s, lease until %s', t.attempt, coalesce(w.id, t.worker::text), coalesce(w.state::text, 'missing'), w.lease_until) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) cross join lateral (select * from task t where t.key >= r.first and t.key < r.last and t.worker is not null offset 0) t
left join worker w on w.key = t.worker
where w.key is null or w.state in (:worker_departed) and w.attempts = '{-1}' or w.lease_until < now() - $3::double precision * interval '1 second'
  or t.state = :running and w.state in (:worker_live) and t.started_at < now() - $3 * interval '1 second' and not t.key = any(w.attempts)
limit $4

-- name: AuditTaskAttempts
-- The history holds each ended attempt once: a completed or failed task's last with that outcome, none of what has not
-- ended, no number above the task's. In the first execution numbers have no gaps and nothing ends a task twice, unless it was
-- ended by a user while the tree was held.
select case when a.last > t.attempt then 'attempt_number'
    when t.state not in (:with_outcome) and a.outcome is not null then 'attempt_outcome'
    when t.state = :completed and a.outcome is distinct from :outcome_completed or t.state = :skipped and a.outcome is distinct from :outcome_skipped or t.state = :failed and (a.outcome is null or a.outcome in (:outcome_completed, :outcome_cancelled)) then 'attempt_outcome'
    when t.state = :cancelled and (a.outcome <> :outcome_cancelled or t.worker is not null and a.outcome is null) then 'attempt_outcome'
    when a.early > 0 then 'settled_twice'
    else 'attempt_number' end as kind,
  t.key >> 24 as tree, t.key as task,
  format('state %s at attempt %s; %s attempts have ended, up to number %s, this one with outcome %s', t.state, t.attempt, a.n, a.last, coalesce(a.outcome::text, 'none')) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last) join tree on tree.key = r.first >> 24
cross join lateral (select * from task t where t.key >= r.first and t.key < r.last offset 0) t
cross join lateral (
  select count(*) as n, coalesce(max(number), 0) as last, count(*) filter (where number < t.attempt and outcome in (:outcome_completed, :outcome_cancelled)
      and not (number = 1 and (started_at is null or started_at < tree.started_at)) -- ended by a user, or kept by a copy, before the tree started
      and not (number = 1 and exists (select from spec where spec.key = t.key and original is not null offset 0))) as early, -- a copy kept it, and it ran again
    max(outcome) filter (where number = t.attempt) as outcome
  from attempt where attempt.task = t.key) a
where a.last > t.attempt
  or t.state not in (:with_outcome) and a.outcome is not null
  or t.state = :completed and a.outcome is distinct from :outcome_completed or t.state = :skipped and a.outcome is distinct from :outcome_skipped
  or t.state = :failed and (a.outcome is null or a.outcome in (:outcome_completed, :outcome_cancelled))
  or t.state = :cancelled and (a.outcome <> :outcome_cancelled or t.worker is not null and a.outcome is null)
  or tree.execution <= 1 and (a.early > 0 or a.n <> t.attempt - 1 + (a.outcome is not null)::integer)
    and not exists (select from attempt i where i.task = t.key and i.number = t.attempt and i.started_at is null and i.finished_at = tree.created_at) -- settled before it was submitted
limit $3

-- name: AuditTaskUsage
-- What was used is of an attempt that ended, or waits without a worker, and that its worker told the end of.
select 'usage' as kind, u.task >> 24 as tree, u.task,
  format('attempt %s used %s, and %s', u.attempt, u.model, case when a.outcome is null then 'it has not ended' else 'its worker was lost' end) as text
from unnest($1::bigint[], $2::bigint[]) r(first, last)
cross join lateral (select task, attempt, model from model_usage m where m.task >= r.first and m.task < r.last offset 0) u
left join lateral (select outcome from attempt a where a.task = u.task and a.number = u.attempt offset 0) a on true
where a.outcome = :outcome_lost
  or a.outcome is null and not exists (select from task t where t.key = u.task and t.attempt = u.attempt and t.state in (:expanded, :awaiting))
limit $3

-- name: AuditTaskParts
-- Each task has a specification, and what is kept apart from tasks belongs to one. A look-up for each, whatever the planner
-- thinks of the tables' sizes (offset 0).
select 'orphan' as kind, x.key >> 24 as tree, x.key as task, x.text
from (
  select t.key, 'a task without a specification' as text from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from task t where t.key >= r.first and t.key < r.last offset 0) t where not exists (select from spec s where s.key = t.key offset 0)
  union all
  select s.key, 'a specification without a task' from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from spec s where s.key >= r.first and s.key < r.last offset 0) s where not exists (select from task t where t.key = s.key offset 0)
  union all
  select p.key, 'a payload without a task' from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from payload p where p.key >= r.first and p.key < r.last offset 0) p where not exists (select from task t where t.key = p.key offset 0)
  union all
  select p.key, format('what attempt %s was sent, without a task', p.attempt) from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from sent_payload p where p.key >= r.first and p.key < r.last offset 0) p where not exists (select from task t where t.key = p.key offset 0)
  union all
  select a.task, format('attempt %s without a task', a.number) from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from attempt a where a.task >= r.first and a.task < r.last offset 0) a where not exists (select from task t where t.key = a.task offset 0)
) x limit $3

-- name: AuditTaskEdges
-- An edge stays within its tree, and its dependency is flagged as one.
select 'edge' as kind, x.key >> 24 as tree, x.key as task, x.text
from (
  select e.dependency as key, format('an edge leads to task %s of another tree', e.dependent) as text from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from edge e where e.dependency >= r.first and e.dependency < r.last offset 0) e where e.dependent >> 24 <> e.dependency >> 24
  union all
  select t.key, format('flags %s: they say wrongly whether anything depends on it', t.flags) from unnest($1::bigint[], $2::bigint[]) r(first, last)
  cross join lateral (select * from task t where t.key >= r.first and t.key < r.last offset 0) t
  left join lateral (select true as found from edge e where e.dependency = t.key limit 1) e on true
  where (t.flags & :flag_dependents <> 0) <> (e.found is not null)
) x limit $3

-- name: AuditGaps
-- Nothing lies between trees: $1 the last keys of trees before, $2 the next ones (keys of trees, both excluded).
select 'orphan' as kind, x.tree, 0::bigint as task, format('%s of tree %s, which is not there', x.what, x.tree) as text
from unnest($1::bigint[], $2::bigint[]) g(before, next)
cross join lateral (
  (select 'tasks' as what, key >> 24 as tree from task where key >= (g.before + 1) << 24 and key < g.next << 24 order by key limit 1)
  union all
  (select 'specifications', key >> 24 from spec where key >= (g.before + 1) << 24 and key < g.next << 24 order by key limit 1)
  union all
  (select 'payloads', key >> 24 from payload where key >= (g.before + 1) << 24 and key < g.next << 24 order by key limit 1)
  union all
  (select 'edges', dependency >> 24 from edge where dependency >= (g.before + 1) << 24 and dependency < g.next << 24 order by dependency limit 1)
  union all
  (select 'attempts', task >> 24 from attempt where task >= (g.before + 1) << 24 and task < g.next << 24 order by task limit 1)
  union all
  (select 'events', tree from event where tree > g.before and tree < g.next order by tree limit 1)
  union all
  (select 'runs of flows', tree from flow_run where tree > g.before and tree < g.next order by tree limit 1)
) x limit $3

-- name: AuditEvents
-- The events of trees ($1), to be counted by whom knows how they are packed.
select t.key, t.sequence, t.execution, t.execution_start, t.finished_at is not null, t.late_at is not null, e.last, e.body
from unnest($1::bigint[]) u(key) join tree t on t.key = u.key left join event e on e.tree = t.key order by t.key, e.last

-- name: AuditAnyTimers
-- Timers of the tasks in [$1, $2) that should have gone off long ago.
select 'timer_overdue' as kind, task >> 24 as tree, task, format('a timer of kind %s was due at %s', kind, at) as text
from timer where at < now() - $3::double precision * interval '1 second' and task >= $1 and task < $2 order by at limit $4

-- name: AuditAnyPublished
-- Published stretches of the tasks in [$1, $2) that nobody has looked after for long.
select 'published_forgotten' as kind, first >> 24 as tree, first as task,
  format('a stretch of %s tasks was published at %s and last looked after at %s', n, sent, at) as text
from published where at < now() - $3::double precision * interval '1 second' and first >= $1 and first < $2 order by id limit $4

-- name: AuditWorkers
-- Workers whose lease ended long ago ($1 seconds) and who are still counted as alive, or not taken back from. A small table.
select 'lease_overdue' as kind, 0::bigint as tree, 0::bigint as task,
  format('worker %s, instance %s, has state %s, and its lease ended at %s', id, instance, state, lease_until) as text
from worker where lease_until < now() - $1::double precision * interval '1 second' and (state in (:worker_live) or state in (:worker_departed) and attempts <> '{-1}')
order by key limit $2

-- name: AuditFollowups
-- The first followups, at most $1.
select kind, task, cursor from followup order by kind, task limit $1

-- name: AuditNames
-- What the tasks and trees are called ($1 trees, $2 tasks), null where they are not there.
select t.root_id, s.id from unnest($1::bigint[], $2::bigint[]) with ordinality u(tree, task, ord)
left join tree t on t.key = u.tree left join spec s on s.key = u.task and u.task <> 0 order by u.ord
