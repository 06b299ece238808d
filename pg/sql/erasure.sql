-- Erasures: what is stored of a user of a namespace goes, tree by tree, each part in a transaction that also counts it. So who dies has counted what is gone and nothing
-- else, and any coordinator goes on. What is held stays.

-- name: InsertErasure
-- Begins to erase what there is of the user $3 of the namespace $2, unless some of it runs and $4 (cancel) is false: then the row says how many trees do. A user of whom
-- something is being erased has that erasure already, if it is about all trees that there are; it cancels what runs from now on if $4.
with runs as (
  select count(*) as n from (
    select from tree where user_id = $3 and namespace = $2::integer and finished_at is null and unfinished > 0
      and not exists (select from keeping k where k.tree = tree.key and k.held_at is not null) limit 1000) r
), had as (
  select id from erasure e where namespace = $2::integer and user_id = $3 and finished_at is null
    and not exists (select from tree where tree.user_id = $3 and tree.namespace = $2::integer and tree.key > e.upto) order by key desc limit 1
), more as (
  update erasure set cancel = true where id in (select id from had) and $4 and not cancel
), made as (
  insert into erasure (id, namespace, user_id, cancel, asked_by, upto, writers)
  select $1, $2::integer, $3, $4::boolean, $5, (select last_value from tree_key), pg_current_xact_id() from runs
  where (runs.n = 0 or $4) and not exists (select from had) returning id
)
select coalesce((select id from made), (select id from had), ''), (select n from runs)

-- name: EraseSchedules
-- The schedules of the user $2 of the namespace $1 go, with what is known of their runs, before its trees are looked for, so that they make no more; unless one of somebody else
-- begins with their runs: both ids. How many go.
with mine as (
  select key, id from schedule where user_id = $2 and namespace = $1::integer for update
), needed as (
  select mine.id, s.id as by from mine cross join lateral (select id from schedule where trigger = mine.key and user_id is distinct from $2 limit 1) s limit 1
), gone as (
  delete from schedule where key in (select key from mine) and not exists (select from needed) returning key
), f as (
  delete from fire where schedule in (select key from gone)
), b as (
  delete from backfill where schedule in (select key from gone)
)
select (select count(*) from gone), coalesce((select id from needed), ''), coalesce((select by from needed), '')

-- name: CountKeptErased
-- How many schedules and flows went.
update erasure e set counts = e.counts || jsonb_build_object('schedules', coalesce((e.counts ->> 'schedules')::bigint, 0) + $2::bigint, 'flows', coalesce((e.counts ->> 'flows')::bigint, 0) + $3::bigint)
where id = $1

-- name: LockErasures
-- One erasure at a time is begun.
select pg_advisory_xact_lock(7250, 1)

-- name: ErasureByID
select key, id, namespace, user_id, cancel, asked_by, asked_at, step, moved_at, finished_at, counts, upto, marked, marked_of from erasure where id = $1 and namespace = $2

-- name: Erasures
-- The first $3 of the namespace $1 below the key $2, the newest first.
select key, id, namespace, user_id, cancel, asked_by, asked_at, step, moved_at, finished_at, counts, upto, marked, marked_of
from erasure where namespace = $1 and key < $2 order by key desc limit $3

-- name: OpenErasures
select key, id, namespace, user_id, cancel, asked_by, asked_at, step, moved_at, finished_at, counts, upto, marked, marked_of
from erasure where finished_at is null order by key limit 100

-- name: CountErasable
-- What an erasure of the user $2 of the namespace $1 would find: trees, of which are held, of which run, and their tasks; schedules; flows.
select count(*), count(*) filter (where held), count(*) filter (where runs and not held), coalesce(sum(tasks) filter (where not held), 0)::bigint,
  (select count(*) from schedule where user_id = $2 and namespace = $1::integer), (select count(distinct id) from flow where user_id = $2 and namespace = $1::integer)
from (
  select t.tasks, t.finished_at is null and t.unfinished > 0 as runs,
    t.keeping is not null and exists (select from keeping k where k.tree = t.key and k.held_at is not null) as held
  from tree t where t.user_id = $2 and t.namespace = $1::integer) t

-- name: TreesToErase
-- Trees of the user $2 of the namespace $1 behind the key $3 up to $4, at most $5, and where each stands. legally: it is held by an operator.
select key, root, unfinished > 0 as open, running > 0 as running, held > 0 and execution = 0 as stored, coalesce(cancelled_at is not null, false) as cancelled,
  keeping is not null and exists (select from keeping k where k.tree = tree.key and k.held_at is not null) as legally
from tree where user_id = $2 and namespace = $1::integer and key > $3 and key <= $4 order by key limit $5

-- name: WritersEndedSince
-- Whether all transactions have ended that had begun when the erasure $1 was asked for: none of them stores a tree up to its last any more.
select pg_snapshot_xmin(pg_current_snapshot()) > writers from erasure where key = $1

-- name: ErasableTree
-- How many keys the tree $1 uses, if nothing of it runs and it is not held. Expects: LockExecution.
select coalesce(span, tasks) from tree where key = $1 and running = 0 and unfinished = 0
  and (keeping is null or not exists (select from keeping k where k.tree = tree.key and k.held_at is not null))

-- name: EraseFurther
-- The deletion of the tree $1 takes several transactions: it can't be held any more, and its erasure alone goes on with it.
with t as (update tree set keeping = :keeping_going where key = $1 returning key, namespace)
insert into keeping (tree, namespace) select key, namespace from t on conflict (tree) do update set look_at = null

-- name: CountTasksErased
-- What goes of the tasks of the keys in [$2, $3), for the erasure $1.
with c as (
  select (select count(*) from task where key >= $2 and key < $3) as tasks, (select count(*) from attempt where task >= $2 and task < $3) as attempts,
    (select count(*) from artifact where task >= $2 and task < $3) as artifacts, (select count(*) from checkpoint where task >= $2 and task < $3) as checkpoints,
    (select count(*) from model_usage where task >= $2 and task < $3) as usage
)
update erasure e set moved_at = now(), counts = e.counts
  || jsonb_build_object('tasks', coalesce((e.counts ->> 'tasks')::bigint, 0) + c.tasks, 'attempts', coalesce((e.counts ->> 'attempts')::bigint, 0) + c.attempts,
    'artifacts', coalesce((e.counts ->> 'artifacts')::bigint, 0) + c.artifacts, 'checkpoints', coalesce((e.counts ->> 'checkpoints')::bigint, 0) + c.checkpoints,
    'usage', coalesce((e.counts ->> 'usage')::bigint, 0) + c.usage)
from c where e.key = $1

-- name: CountTreeErased
-- What goes with the tree $2 beside its tasks, and deliveries of webhooks of the cluster that told of it.
with d as (
  delete from webhook_delivery where tree = $2 and webhook in (select key from webhook where tree is null) returning key
), c as (
  select (select count(*) from event where tree = $2) as events, (select count(*) from webhook where tree = $2) as webhooks,
    (select count(*) from d) + (select count(*) from webhook_delivery w join webhook h on h.key = w.webhook where h.tree = $2) as deliveries,
    (select count(*) from agent_task where tree = $2) as agent_tasks
), t as (
  insert into erased_tree (tree, erasure) values ($2, $1) on conflict do nothing
)
update erasure e set moved_at = now(), counts = e.counts
  || jsonb_build_object('trees', coalesce((e.counts ->> 'trees')::bigint, 0) + 1, 'events', coalesce((e.counts ->> 'events')::bigint, 0) + c.events,
    'webhooks', coalesce((e.counts ->> 'webhooks')::bigint, 0) + c.webhooks, 'deliveries', coalesce((e.counts ->> 'deliveries')::bigint, 0) + c.deliveries,
    'agent_tasks', coalesce((e.counts ->> 'agent_tasks')::bigint, 0) + c.agent_tasks)
from c where e.key = $1

-- name: EraseUser
-- What is kept of the user beside trees goes, and the erasure $1 comes to its messages: $2 of the namespace of the name $3.
with k as (delete from model_key where user_id = $2 and namespace = $3 returning user_id)
update erasure e set step = :erase_messages, moved_at = now(), counts = e.counts || jsonb_build_object('model_keys', coalesce((e.counts ->> 'model_keys')::bigint, 0) + (select count(*) from k))
where e.key = $1 and e.step = :erase_trees

-- name: MarkErasure
-- Notes where the erasure $1 of step $2 is to wait for: see the columns.
update erasure set marked = $3, marked_of = $4, moved_at = now() where key = $1 and step = $2::smallint

-- name: ErasedAmong
-- Which of the trees $2 the erasure $1 has deleted.
select tree from erased_tree where erasure = $1 and tree = any($2::bigint[])

-- name: CountMessagesErased
-- Counts $2 messages and $3 batches of log lines that were deleted from NATS.
update erasure e set moved_at = now(), counts = e.counts || jsonb_build_object('messages', coalesce((e.counts ->> 'messages')::bigint, 0) + $2::bigint, 'logs', coalesce((e.counts ->> 'logs')::bigint, 0) + $3::bigint)
where key = $1 and step = :erase_messages

-- name: CountArchivedErased
-- $2 archived trees are about to be deleted for the erasure $1. Who goes on with it finds fewer: they are counted once.
update erasure e set moved_at = now(), counts = e.counts || jsonb_build_object('archived_trees', $2::bigint) where key = $1 and not e.counts ? 'archived_trees'

-- name: ErasureToContents
-- Its messages are gone. What was being put for its trees is looked at soon, and what came late goes.
with e as (
  update erasure set step = :erase_contents, moved_at = now(), marked = 0 where key = $1 and step = :erase_messages returning key
), c as (
  update content set look_at = now() from e where state + 0 = :content_open and task >> 24 in (select tree from erased_tree where erasure = e.key)
), a as (
  delete from artifact using e where artifact.task >> 24 in (select tree from erased_tree where erasure = e.key)
)
delete from webhook_delivery using e where webhook_delivery.tree in (select tree from erased_tree where erasure = e.key)

-- name: ContentsDue
-- Whether any content is to be looked at that was when the erasure $1 came to its contents.
select exists (select from content c where c.look_at <= e.moved_at) from erasure e where e.key = $1

-- name: FinishErasure
-- The erasure $1 is done. What is held back is counted at last.
update erasure e set step = :erased, finished_at = now(), moved_at = now(), counts = e.counts || jsonb_build_object('held_trees', (
  select count(*) from tree t join keeping k on k.tree = t.key and k.held_at is not null where t.user_id = e.user_id and t.namespace = e.namespace and t.key <= e.upto))
where key = $1 and step = :erase_contents returning id, counts

-- name: ForgetErasedTrees
delete from erased_tree where erasure in (select key from erasure where finished_at < now() - interval '1 day' limit 100)

-- name: StuckErasures
-- Erasures that have not come further for $1 seconds.
select id, user_id, step, moved_at from erasure where finished_at is null and moved_at < now() - $1 * interval '1 second' order by key limit 20
