-- name: DueTimers
-- Takes up to $1 timers that are due. Locks: timers, skipping those that another coordinator takes.
delete from timer where ctid = any(array(
  select ctid from timer where at <= clock_timestamp() order by at limit $1 for update skip locked))
returning task, attempt, kind

-- name: NextTimer
select at, now() from timer order by at limit 1

-- name: TakeFollowups
-- Up to $1 followups. Locks: followups, skipping those that another coordinator does.
select kind, task, cursor from followup order by kind, task limit $1 for update skip locked

-- name: HasFollowups
select exists (select from followup)

-- name: DeleteFollowup
delete from followup where kind = $1 and task = $2

-- name: MoveFollowup
update followup set cursor = $3 where kind = $1 and task = $2

-- name: CancellableAfter
-- Up to $3 tasks of the keys in [$1, $2) that their tree's cancellation ends, if that is on record.
select key from task where key >= $1 and key < $2 and state in (:cancellable)
  and exists (select from tree where tree.key = $1 >> 24 and cancelled_at is not null) order by key limit $3

-- name: CancelTree
-- Puts a tree's cancellation on record, once per execution. $3 > 0: only while that execution is the current one.
update tree set cancelled_at = now(), cancel_message = $2
where key = $1 and cancelled_at is null and ($3::integer = 0 or execution = $3) and (unfinished > 0 or $3 = 0 and (held > 0 or blocked > 0))

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
-- Trees that ended before $1 seconds ago and have no open attempt. One whose webhooks have more to tell stays up to :webhook_wait_s seconds longer.
select key from tree where finished_at < now() - $1 * interval '1 second' and running = 0 and unfinished = 0 and held = 0
  and not (hooked and finished_at > now() - ($1 + :webhook_wait_s) * interval '1 second'
    and exists (select from webhook_cursor c where c.tree = tree.key and c.sequence < tree.sequence))
order by finished_at limit $2

-- name: FinishedTree
-- How many keys a tree uses that FinishedTrees lists: it may have been executed again since. $2 seconds.
select coalesce(span, tasks) from tree where key = $1 and finished_at < now() - $2 * interval '1 second' and running = 0 and unfinished = 0 and held = 0

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
delete from tree where key = $1

-- name: DeleteOldChunks
-- Parts of results of attempts that have ended without them: nobody can ever ask for them.
delete from chunk c where not exists (
  select from task t where t.key = c.task and t.attempt = c.attempt and (t.worker is not null or t.state = :ready))
