-- name: KeyOf
-- Of the task $1 in the namespace $2.
select key from spec where id = $1 and namespace = $2

-- name: OwnerOf
-- Whether the task $1 of the namespace $2 is there, and whose it is: the owner of its tree, empty for nobody. One row in any case, for as many probes, so that its time
-- does not tell which. No locks; two probes.
select s.key is not null, coalesce(tree.user_id, '') from (select (select key from spec where id = $1 and namespace = $2) as key) s
left join lateral (select user_id from tree where tree.key = coalesce(s.key >> 24, -1) offset 0) tree on true

-- name: OwnerOfWebhook
-- As OwnerOf, of the webhook $1: the owner of its tree.
select coalesce(case when w.tree is null then w.namespace else tree.namespace end = $2, false), coalesce(tree.user_id, '') from (select $1::text as id) asked left join webhook w on w.id = asked.id
left join lateral (select user_id, namespace from tree where tree.key = coalesce(w.tree, -1) offset 0) tree on true

-- name: OwnerOfAgentTask
-- As OwnerOf, of the task $1 of the A2A protocol: the owner of its tree.
select a.id is not null, coalesce(tree.user_id, '') from (select $1::text as id) asked left join agent_task a on a.id = asked.id and a.namespace = $2
left join lateral (select user_id from tree where tree.key = coalesce(a.tree, -1) offset 0) tree on true

-- name: TaskByID
-- In the namespace $2.
select s.*, p.sealed as sealed_payload, a.sealed as sealed_attempt from (select * from shown_ready where id = $1 and namespace = $2 offset 0) s
left join lateral (select sealed from payload where payload.key = s.key offset 0) p on true
left join lateral (select sealed from attempt where attempt.task = s.key and attempt.number = s.attempt offset 0) a on true

-- name: TasksUp
-- Tasks of the keys in [$1, $2), oldest first: a tree's, in submission order. $3 states or null, $4 name or null, $5 executor or
-- null, $8 original or null, $9 own keys or null, $10 their values, $11 a part of their errors or null. A walk as TasksDown.
select v.* from (
  select t.key from (select key from task where key >= $1 and key < $2 and ($3::smallint[] is null or state = any($3)) order by key offset 0) t
  cross join lateral (
    select from spec where spec.key = t.key and ($4::text is null or name = $4) and ($5::text is null or executor = $5) and ($8::text is null or original = $8) offset 0) s
  where ($9::text[] is null or has_own(t.key, $9, $10)) and ($11::text is null or exists (
    select from task r join attempt a on a.task = r.key and a.number = r.attempt where r.key = t.key and r.state in (:with_outcome) and strpos(lower(a.error), lower($11)) > 0))) k
cross join lateral (select * from shown_ready t where t.key = k.key offset 0) v
order by k.key limit $6 offset $7

-- name: TasksAt
-- Those of the tasks $1 that are there, in order, up to $2.
select v.* from (select u.key from unnest($1::bigint[]) u(key) group by u.key order by u.key offset 0) k
cross join lateral (select * from shown_ready t where t.key = k.key offset 0) v
order by k.key limit $2

-- name: TasksDown
-- Tasks of the keys in [$2, $1), newest tree first. $3 states or null, $4 name or null, $5 executor or null, $6 user or null, $10 original
-- or null, $11 own keys or null, $12 their values. Of default ($13 is 0). A walk down the key that looks each task up, whatever the planner thinks of the tables' sizes (offset 0): the limit ends it, or the
-- $9th task that is looked at.
select v.* from (
  select t.key from (select key, state from task where key < $1 and key >= $2 order by key desc limit $9) t
  cross join lateral (
    select from spec where spec.key = t.key and ($4::text is null or name = $4) and ($5::text is null or executor = $5) and ($10::text is null or original = $10) offset 0) s
  cross join lateral (select from tree where tree.key = t.key >> 24 and ($6::text is null or user_id = $6) and namespace = $13::integer offset 0) u
  where ($3::smallint[] is null or t.state = any($3)) and ($11::text[] is null or has_own(t.key, $11, $12))) k
cross join lateral (select * from shown_ready t where t.key = k.key offset 0) v
order by k.key desc limit $7 offset $8

-- name: TasksDownInNamespace
-- As TasksDown, of another namespace than default: from tree to tree by their index, and down the keys of each.
select v.* from (
  select t.tree, t.key from (
    select n.key as tree, t.key, t.state from (
      select key from tree where namespace = $13::integer and namespace <> 0 and key <= $1::bigint >> 24 and key >= $2::bigint >> 24 and ($6::text is null or user_id = $6)
      order by key desc offset 0) n
    cross join lateral (
      select key, state from task where task.key >= n.key << 24 and task.key < (n.key + 1) << 24 and task.key < $1 and task.key >= $2 order by key desc limit $9) t
    order by n.key desc, t.key desc limit $9) t
  cross join lateral (
    select from spec where spec.key = t.key and ($4::text is null or name = $4) and ($5::text is null or executor = $5) and ($10::text is null or original = $10) offset 0) s
  where ($3::smallint[] is null or t.state = any($3)) and ($11::text[] is null or has_own(t.key, $11, $12))) k
cross join lateral (select * from shown_ready t where t.key = k.key offset 0) v
order by k.tree desc, k.key desc limit $7 offset $8

-- name: RootsDown
-- Root tasks of trees in [$2, $1), newest first. $3 states or null, $4 name or null, $5 executor
-- or null, $6 user or null, $9 original or null, $10 own keys or null, $11 their values. Of the namespace $12; among the first $13 trees. As TasksDown.
select v.* from (
  select key, root from (
    select key, root, user_id, namespace from tree where key < $1 and key >= $2 and :among(namespace, $12) order by key desc limit $13) k
  where ($6::text is null or user_id = $6) and namespace = $12 offset 0) k
cross join lateral (
  select * from shown_ready t where t.key = k.root and ($3::smallint[] is null or state = any($3)) and ($4::text is null or name = $4)
    and ($5::text is null or executor = $5) and ($9::text is null or original = $9) and ($10::text[] is null or has_own(t.key, $10, $11))
  offset 0) v
order by k.key desc limit $7 offset $8

-- name: AwaitingOf
-- The tasks $1 that are awaiting, newest tree first, up to $2.
select v.* from (select u.key from unnest($1::bigint[]) u(key) order by u.key desc offset 0) k
cross join lateral (select * from shown_ready t where t.key = k.key and t.state = :awaiting offset 0) v
order by k.key desc limit $2

-- name: RootsOf
-- Root tasks of the trees $1, newest first, as RootsDown. $2 states or null, $3 name or null, $4 executor or null, $5 user or null, $8 original or null,
-- $9 own keys or null, $10 their values. Of the namespace $11.
select v.* from (
  select key, root from tree where key = any($1::bigint[]) and ($5::text is null or user_id = $5) and namespace = $11 order by key desc offset 0) k
cross join lateral (
  select * from shown_ready t where t.key = k.root and ($2::smallint[] is null or state = any($2)) and ($3::text is null or name = $3)
    and ($4::text is null or executor = $4) and ($8::text is null or original = $8) and ($9::text[] is null or has_own(t.key, $9, $10))
  offset 0) v
order by k.key desc limit $6 offset $7

-- name: CopiesDown
-- Copies of the task $1, newest first, with keys in [$3, $2), by the index of originals. $4 only roots, $5 states or null, $6 name or null, $7 executor or
-- null, $8 user or null, $11 own keys or null, $12 their values. Of the namespace $13.
select v.* from (
  select key from spec where original = $1 and key < $2 and key >= $3 and (parent < 0 or not $4::boolean) and namespace = $13 order by key desc offset 0) k
cross join lateral (
  select * from shown_ready t where t.key = k.key and ($5::smallint[] is null or state = any($5)) and ($6::text is null or name = $6)
    and ($7::text is null or executor = $7) and ($8::text is null or user_id = $8) and ($11::text[] is null or has_own(t.key, $11, $12))
  offset 0) v
order by k.key desc limit $9 offset $10

-- name: Children
-- Direct children of a task: of the keys in [$1, $2) those whose parent has the index $3, by priority, then submission
-- order, after the place ($4 priority, $5 key). $6 states or null, $7 name or null, $8 executor or null, $11 original or null,
-- $12 own keys or null, $13 their values. Reads the tree's range of specs.
select * from shown_ready where key >= $1 and key < $2 and parent = $3 and (priority, key) > ($4::smallint, $5::bigint)
  and ($6::smallint[] is null or state = any($6)) and ($7::text is null or name = $7) and ($8::text is null or executor = $8)
  and ($11::text is null or original = $11) and ($12::text[] is null or has_own(key, $12, $13))
order by priority, key limit $9 offset $10

-- name: LabelsOf
select key, id, name from spec where key = any($1::bigint[])

-- name: LabelsIn
-- The first $3 tasks of the keys in [$1, $2).
select key, id, name from spec where key >= $1 and key < $2 order by key limit $3

-- name: RunningAttempts
select key, attempt from task where key = any($1::bigint[]) and state = :running

-- name: PoolNames
select id, name from pool

-- name: SnapshotTasks
-- All tasks of the keys in [$3, $4), of the tree $1, in order, as columns; with ids if $2. A walk up the key that looks two rows of each up. No locks.
select :snapshot_columns
from (select key, state, attempt, pool, ready_at, started_at from task where key >= $3 and key < $4 order by key offset 0) t
:snapshot_rows

-- name: SnapshotSome
-- The same of the keys $3.
select :snapshot_columns
from (select key, state, attempt, pool, ready_at, started_at from task where key = any($3::bigint[]) order by key offset 0) t
:snapshot_rows

-- name: TreeByKey
select :tree_columns,
  failed > allowed and completed + failed = tasks and not exists ( -- walks over the tasks of such trees only
    select from task f where f.key >= tree.key << 24 and f.key < (tree.key + 1) << 24 and f.state = :failed and f.flags & :flag_allowed = 0
      and (not exists (select from edge e where e.dependency = f.key) or exists (select from edge e where e.dependency = f.key and e.required)))
    as only_optional_failed, (select json_object_agg(label.key, label.value) from label where label.tree = tree.key) as labels, namespace, keeping is not null as keeping
from tree where key = $1

-- name: TreesDown
-- Trees below $1, newest first, among the first $5. $2 user or null, $4 namespace.
select :tree_columns,
  false as only_optional_failed, (select json_object_agg(label.key, label.value) from label where label.tree = tree.key) as labels, namespace, false as keeping
from (select * from tree where key < $1 and :among(namespace, $4) order by key desc limit $5) tree
where ($2::text is null or user_id = $2) and namespace = $4 order by key desc limit $3

-- name: OpenTreesDown
-- As TreesDown, of the trees with an execution in progress, among all of them.
select :tree_columns,
  false as only_optional_failed, (select json_object_agg(label.key, label.value) from label where label.tree = tree.key) as labels, namespace, false as keeping
from tree where finished_at is null and unfinished > 0 and key < $1 and ($2::text is null or user_id = $2) and :within(namespace, $4) order by key desc limit $3

-- name: CountOpenTrees
select count(*) from tree where finished_at is null and unfinished > 0 and ($1::text is null or user_id = $1) and :within(namespace, $2)

-- name: AttemptsOf
-- The history of a task, oldest first, at most 1000; the open attempt is in task.
select a.number, a.outcome, a.counted, coalesce(a.error, '') as error, coalesce(a.detail, '') as detail, coalesce(a.kind, '') as kind, a.result, a.outputs,
  coalesce(w.id, '') as worker, a.started_at, a.finished_at, a.cancelled_at, a.sealed
from attempt a left join worker w on w.key = a.worker where a.task = $1 order by a.number limit 1000

-- name: EventsAfter
select last, at, body from event where tree = $1 and last > $2 order by last limit $3

-- name: EventDetails
select u.ord, s.id, s.name, a.result, coalesce(a.error, tree.cancel_message, ''), a.sealed
from unnest($1::bigint[], $2::integer[]) with ordinality u(key, attempt, ord)
join spec s on s.key = u.key join tree on tree.key = u.key >> 24 left join attempt a on a.task = u.key and a.number = u.attempt
order by u.ord

-- name: PoolDepths
-- For each open pool: how many ready tasks wait in Postgres, and since when the oldest does.
select p.name, coalesce(sum(r.n), 0)::bigint, min(r.at), now() from pool p left join ready r on r.pool = p.id where p.open group by p.name order by p.name

-- name: PoolsSent
-- For each pool with ready tasks that were sent to NATS and not claimed: how many, and since when the first of them waits there.
-- As in WhyAhead, most of what was published has started: of each lane the last $1 tasks are looked at, in as many stretches at most.
-- A lane is taken in order, and what stays there for long is entered anew. No locks.
select p.name, count(*), min(l.sent), now()
from pool p cross join generate_series(:priority_urgent, :priority_low) x(priority)
cross join lateral (
  select *, sum(n) over (order by id desc) - n as after from (
    select * from published where pool = p.id and priority = x.priority order by id desc limit $1) r) l
cross join lateral ( -- as in Dispatch
  select from task t where t.key >= l.first and t.key < l.first + l.n and t.attempt = l.attempt and t.state = :ready offset 0) t
where p.open and l.after < $1
group by p.name

-- name: SetProgress
update task t set progress = u.progress from unnest($1::bigint[], $2::integer[], $3::real[]) u(key, attempt, progress)
where t.key = u.key and t.attempt = u.attempt and t.state = :running

-- name: PlanRows
-- Everything that planning an execution reads of a tree.
select t.key, t.state, t.flags, t.attempt, t.worker is not null, t.priority, t.pool, s.parent + 1, s.deps, s.dep_modes
from task t join spec s on s.key = t.key where t.key >= $1 and t.key < $2 order by t.key

-- name: SkipsThatStay
-- Of a tree's skipped tasks those that the rules did not skip (dag.SkipJudged): a worker ran them, or the reason is another one. A sealed result has no reason that can be read: no rule
-- made it. $1, $2: keys; $3, $4: a reason of the rules, and how the others begin.
select t.key from task t join attempt a on a.task = t.key and a.number = t.attempt
where t.key >= $1 and t.key < $2 and t.state = :skipped
  and (a.worker is not null or coalesce(a.result->>'reason', '') <> $3 and not starts_with(coalesce(a.result->>'reason', ''), $4))

-- name: LockExecution
-- One start or re-run of a tree at a time. $1 tree key.
select pg_advisory_xact_lock(7237, hashint8($1))

-- name: TreeToExecute
-- The last column: it is a revision of a run of a flow, and a later one is there.
select root, tasks, execution, cancelled_at, namespace,
  exists (select from flow_run r join flow_run o using (namespace, flow_id, run_id) where r.tree = $1 and o.revision > r.revision)
from tree where key = $1

-- name: RecordCancellation
-- Writes down what the tree's row says of the tasks that its cancellation ended before they ran, as the next execution takes it away.
-- $1 tree, $2, $3: its keys. No locks.
insert into attempt (task, number, outcome, counted, finished_at, error)
select t.key, t.attempt, :outcome_cancelled, false, tree.cancelled_at, tree.cancel_message
from tree cross join lateral (select key, attempt from task where task.key >= $2 and task.key < $3 and state = :cancelled offset 0) t
where tree.key = $1 and tree.cancelled_at is not null
  and not exists (select from attempt a where a.task = t.key and a.number = t.attempt)

-- name: StartExecution
-- Adds the deltas of a start or re-run to the tree's aggregate and begins a new execution; $11: flags of its tasks changed. Expects: the execution $9, and the
-- cancellation $10 or none, as planned; fails when that is not so. Locks: the tree.
with t as (
  update tree set execution = execution + 1, revision = revision + case when $11 then 1 else 0 end, execution_start = sequence, cancelled_at = null, cancel_message = null,
    started_at = null, held = held + $2, unfinished = unfinished + $3, completed = completed + $4, failed = failed + $5,
    cancelled = cancelled + $6, blocked = blocked + $7, leaves_completed = leaves_completed + $8,
    finished_at = case when unfinished + $3 = 0 then clock_timestamp() end,
    sequence = sequence + 1 + case when unfinished + $3 = 0 then 1 else 0 end,
    hooked = exists (select from webhook_cursor c where c.tree = $1)
      or exists (select from webhook w where w.tree is null and w.active and w.events & :webhook_begins <> 0 and w.namespace = tree.namespace)
  where key = $1 and execution = $9 and cancelled_at is not distinct from $10::timestamptz
  returning key, sequence, execution, root, timeout_ms, unfinished, execution_start, hooked, namespace, depth, fire, due_at,
    case when failed > allowed then :end_failed when cancelled > 0 then :end_cancelled else :end_completed end as ended,
    leaves_completed / greatest(leaves, 1)::real as progress
), h as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select t.key, w.key, t.execution_start, w.host
  from t cross join lateral (select key, host from webhook where tree is null and active and namespace = t.namespace
    and (events & :webhook_begins <> 0 or t.unfinished = 0 and events & :webhook_ends <> 0) offset 0) w
  on conflict (tree, webhook) do update set wanted = webhook_cursor.wanted + 1
), x as (
  insert into webhook_end (tree, sequence, status, progress) select key, sequence, ended, progress from t where unfinished = 0
), e as (
  insert into event (tree, last, at, body) select key, sequence, clock_timestamp(), case when unfinished = 0 then :event_execution || :event_final else :event_execution end from t
), i as (
  insert into timer (at, task, attempt, kind)
  select now() + timeout_ms * interval '1 millisecond', root, execution, 4 from t where timeout_ms is not null
  union all select greatest(due_at, now()), root, execution, :timer_late from t where due_at is not null and execution = 1
), f as (
  insert into followup (kind, task)
  select :followup_tree, root from t where unfinished = 0 and depth is not null union all select :followup_fire, root from t where unfinished = 0 and fire is not null
  on conflict (kind, task) do update set cursor = 0
)
select changed(count(*), 1, 'start execution'), max(sequence), bool_and(unfinished = 0), bool_or(hooked), max(ended)::smallint from t

-- name: FollowupsOf
-- The follow-up work of a tree. $1, $2: its keys. No locks.
select kind, task from followup where task >= $1 and task < $2

-- name: RestartRows
-- Puts $8 tasks back to their beginning for a start or re-run. Expects: settled or held, as planned; nobody holds them;
-- fails when a row is not so. One that ran before begins another run.
with w as (
update task t set state = u.state, attempt = u.attempt, run = case when u.attempt = u.was_attempt then t.run else u.attempt end, remaining = u.remaining, failures = 0, crashes = 0,
  repeats = null, started_at = null, progress = null, blocked_by = nullif(u.blocked_by, 0), flags = u.flags,
  ready_at = case when u.state = :ready then clock_timestamp() end
from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::smallint[], $5::integer[], $6::integer[], $7::bigint[], $9::integer[])
  u(key, was, was_attempt, state, attempt, remaining, blocked_by, flags)
where t.key = u.key and t.state = u.was and t.attempt = u.was_attempt and t.worker is null
returning t.key)
select changed(count(*), $8, 'restart tasks') from w

-- name: Relations
-- What a cascading cancellation follows: parents and dependencies of a tree's tasks.
select key, parent, deps from spec where key >= $1 and key < $2 order by key
