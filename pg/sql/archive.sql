-- Trees that are archived before retention deletes them. Who archives one has claimed it in keeping, whose row says when it is tried again: nobody else looks at it before.

-- name: ClaimArchive
-- The tree $1 is archived by who gets a row, for $2 seconds; then it is looked at again. No row: it is gone, held, being deleted, or somebody has it. Expects: LockExecution.
with t as (
  update tree set keeping = :keeping_own where key = $1 and finished_at is not null and keeping is distinct from :keeping_going returning key, namespace
)
insert into keeping (tree, namespace, look_at) select key, namespace, now() + $2 * interval '1 second' from t
on conflict (tree) do update set look_at = excluded.look_at where keeping.look_at <= now() returning tree

-- name: KeepClaim
-- Who archives the tree $1 goes on, for $2 seconds more. No row: it is held or gone.
update keeping set look_at = now() + $2 * interval '1 second' where tree = $1 and look_at is not null returning tree

-- name: VersionOfTree
-- By what the tree $1 is known not to have changed, and what TreeByKey does not tell; no row: something of it runs, or it is being deleted.
select t.execution, t.sequence, t.revision, t.cancelled_at, coalesce(t.cancel_message, ''), n.name, coalesce((select retention_s from keeping where keeping.tree = t.key), 0)
from tree t join namespace n on n.key = t.namespace
where t.key = $1 and t.finished_at is not null and t.running = 0 and t.unfinished = 0 and t.held = 0 and t.keeping is distinct from :keeping_going

-- name: UnchangedTree
-- Whether the tree $1 is as VersionOfTree said: its execution $2, sequence $3 and revision $4. Expects: LockExecution.
select count(*) = 1 from tree where key = $1 and execution = $2 and sequence = $3 and revision = $4 and keeping is distinct from :keeping_going

-- name: AttemptsIn
-- All ended attempts of the tasks of the keys in [$1, $2), but what the last one of a task has given.
select a.task, a.number, a.outcome, a.counted, coalesce(case when l.last then null else a.error end, ''), coalesce(a.detail, ''), coalesce(a.kind, ''),
  case when l.last then null else a.result end, case when l.last then null else a.outputs end, coalesce(w.id, ''), a.started_at, a.finished_at, case when l.last then null else a.sealed end
from attempt a left join worker w on w.key = a.worker
cross join lateral (select attempt = a.number as last from task where task.key = a.task offset 0) l
where a.task >= $1 and a.task < $2 order by a.task, a.number

-- name: UsageIn
-- What attempts of the tasks of the keys in [$1, $2) used of models.
select task, attempt, model, currency, calls, prompt, completion, cached, cost_nanos, unpriced from model_usage where task >= $1 and task < $2 order by task, attempt, model, currency

-- name: FilesIn
-- Artifacts of all kinds of the tasks of the keys in [$1, $2), without opening what is sealed.
select a.task, a.attempt, a.kind, a.number, a.size, a.name, a.media_type, a.tag, a.sealed is not null, c.id, c.block, c.digests, c.sealed is not null
from artifact a left join content c on c.key = a.content where a.task >= $1 and a.task < $2 order by a.task, a.attempt, a.kind, a.number

-- name: ArchiveLate
-- How many trees ended over $1 seconds before their time was over by the operator's retention of $2 seconds (0: for ever) or their own, up to 1000.
select count(*) from (
  (select from tree where $2 > 0 and finished_at < now() - ($1 + $2) * interval '1 second' and keeping is null and running = 0 and unfinished = 0 and held = 0 limit 1000)
  union all
  (select from keeping k cross join lateral (select finished_at from tree where tree.key = k.tree offset 0) t
   where k.look_at is not null and coalesce(k.retention_s, $2::double precision) > 0 and t.finished_at < now() - ($1 + coalesce(k.retention_s, $2::double precision)) * interval '1 second' limit 1000)
) t
