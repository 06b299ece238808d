-- Schedules and their runs. Who decides holds the row of the schedule; the row of a run is locked after it, and trees after that.

-- name: InsertSchedule
-- No row: there are $12 in the namespace already. The trigger $8 is the key of another schedule.
insert into schedule (namespace, id, user_id, spec, body, sealed, labels, trigger, trigger_ends, created_by, updated_by, decided_at, next_at, paused_at, paused_by, pause_reason, owner)
select $1, $2, nullif($3, ''), $4::json, $5::json, $6, $7::json, $8, $14, $9, $9, coalesce($10, now()), coalesce($11, now()), case when $13 then now() end, case when $13 then $9 end, $15, nullif($16, '')
where (select count(*) from (select from schedule where namespace = $1 limit $12) s) < $12
returning key, created_at

-- name: Schedules
-- Those of the namespace $1: the one with the id $2, or, if that is null, $5 of them with ids after $3, of the user $4 unless it is empty. Bodies only if $6.
select s.key, s.namespace, s.id, coalesce(s.user_id, ''), s.spec, case when $6 then s.body end, case when $6 then s.sealed end, s.labels, s.trigger, s.trigger_ends, s.revision, s.created_by, s.created_at,
  s.updated_by, s.updated_at, s.paused_at, coalesce(s.paused_by, ''), coalesce(s.pause_reason, ''), s.decided_at, s.next_at, s.counted, coalesce(s.owner, ''), s.secret_at, s.secret_until
from schedule s
where s.namespace = $1 and case when $2::text is not null then s.id = $2 else s.id > $3 and ($4 = '' or s.user_id = $4) end
order by s.id limit $5

-- name: LockSchedule
-- The schedule with the id $2 of the namespace $1, with its body. Locks: it.
select s.key, s.namespace, s.id, coalesce(s.user_id, ''), s.spec, s.body, s.sealed, s.labels, s.trigger, s.trigger_ends, s.revision, s.created_by, s.created_at,
  s.updated_by, s.updated_at, s.paused_at, coalesce(s.paused_by, ''), coalesce(s.pause_reason, ''), s.decided_at, s.next_at, s.counted, coalesce(s.owner, ''), s.secret_at, s.secret_until
from schedule s where s.namespace = $1 and s.id = $2 for update

-- name: UpdateSchedule
-- Of a schedule that is locked. $17: it keeps the secrets of its webhook.
update schedule set user_id = nullif($2, ''), spec = $3::json, body = $4::json, sealed = $5, labels = $6::json, trigger = $7, revision = revision + 1, updated_by = $8, updated_at = now(),
  decided_at = $9, next_at = $10, paused_at = $11, paused_by = nullif($12, ''), pause_reason = nullif($13, ''), trigger_ends = $14, owner = nullif($15, ''), counted = $16,
  secrets = case when $17 then secrets end, secret_at = case when $17 then secret_at end, secret_until = case when $17 then secret_until end
where key = $1

-- name: DeleteSchedule
-- The schedule $1, which is locked, and all that is known of its runs. Their trees stay.
with f as (delete from fire where schedule = $1), b as (delete from backfill where schedule = $1)
delete from schedule where key = $1

-- name: DueSchedules
-- Up to $1 schedules that have something to decide, with the time. Locks: them, but for those that somebody else decides.
select s.key, s.namespace, s.id, coalesce(s.user_id, ''), s.spec, s.created_at, s.paused_at, s.decided_at, s.counted, now()
from schedule s where s.next_at <= now() order by s.next_at limit $1 for update skip locked

-- name: NextSchedule
-- In how many seconds the next schedule has something to decide; no row: none has.
select extract(epoch from next_at - clock_timestamp())::double precision from schedule where next_at is not null order by next_at limit 1

-- name: OpenFires
-- The open runs of the schedules $1, in the order of the line. One whose tree has ended, or is gone, is not open, though that is yet to be written down.
select f.schedule, f.key, f.kind, f.instant, f.backfill, f.state, coalesce(f.tree, 0), f.due_at, f.late, f.stopped from fire f
where f.schedule = any($1::bigint[]) and f.state in (:fires_open)
  and (f.state <> :fire_running or exists (select from tree where tree.key = f.tree and tree.finished_at is null offset 0))
order by f.schedule, f.key

-- name: OpenBackfills
-- The backfills of the schedules $1 of which not all runs have started.
select schedule, key, from_at, to_at, concurrent, decided_at from backfill where schedule = any($1::bigint[]) and ended_at is null order by schedule, key

-- name: LastRuns
-- How the runs ended that started last, of the schedules $1 and the backfills $2 (0: of none); one whose tree is gone has not succeeded.
select u.schedule, u.backfill, case when f.state <> :fire_running then f.state when tree.finished_at is null or tree.failed > tree.allowed then :fire_failed
  when tree.cancelled > 0 then :fire_cancelled else :fire_completed end
from unnest($1::bigint[], $2::bigint[]) u(schedule, backfill)
cross join lateral (select state, tree from fire where fire.schedule = u.schedule and fire.backfill = u.backfill and fire.started_at is not null order by fire.started_at desc limit 1) f
left join lateral (select * from tree where tree.key = f.tree offset 0) tree on true

-- name: InsertFires
-- What was decided of instants. One that is there already stays as it is.
insert into fire (schedule, kind, instant, cause, backfill, state, interval_start, reason, due_at, until, n, started_at, ended_at)
select schedule, kind, instant, cause, backfill, state, interval_start, nullif(reason, ''), due_at, until, n, case when state = :fire_due then now() end,
  case when state not in (:fires_open) then now() end
from unnest($1::bigint[], $2::smallint[], $3::timestamptz[], $4::text[], $5::bigint[], $6::smallint[], $7::timestamptz[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::integer[])
  with ordinality u(schedule, kind, instant, cause, backfill, state, interval_start, reason, due_at, until, n, ord)
order by ord
on conflict (schedule, kind, instant, cause) do nothing

-- name: MoveFires
-- Runs that waited are due, or are given up. Expects: they are queued; others stay as they are.
update fire f set state = u.state, reason = coalesce(nullif(u.reason, ''), f.reason), started_at = case when u.state = :fire_due then now() end,
  ended_at = case when u.state not in (:fires_open) then now() end
from unnest($1::bigint[], $2::smallint[], $3::text[]) u(key, state, reason) where f.key = u.key and f.state = :fire_queued

-- name: LockLateFires
-- The runs $1, which may be late: none gets a tree meanwhile. Locks: them.
select key from fire where key = any($1::bigint[]) order by key for update

-- name: LockLateTrees
-- The trees of the runs $1, which are locked: none ends meanwhile. Locks: them.
select key from tree where key = any(array(select tree from fire where fire.key = any($1::bigint[]))) order by key for update

-- name: MarkFires
-- Those of the runs $1 are late that are open and were not; the trees of them that have one have an event of that, and webhooks of the cluster that ask for it get a cursor. Gives each of
-- them, and where its tree stands. Expects: the runs and the trees are locked.
with f as (
  update fire set late = true where key = any($1::bigint[]) and not late and state in (:fires_open)
    and (tree is null or exists (select from tree where tree.key = fire.tree and finished_at is null offset 0))
  returning key, tree
), t as (
  update tree set late_at = clock_timestamp(), sequence = sequence + 1, hooked = hooked
    or exists (select from webhook w where w.tree is null and w.active and w.events & :webhook_late <> 0 and w.namespace = tree.namespace)
  from f where tree.key = f.tree returning tree.key, tree.sequence, tree.namespace, tree.hooked
), e as (
  insert into event (tree, last, at, body) select key, sequence, clock_timestamp(), :event_late from t
), h as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select t.key, w.key, t.sequence - 1, w.host
  from t cross join lateral (select key, host from webhook where tree is null and active and events & :webhook_late <> 0 and namespace = t.namespace offset 0) w
  on conflict (tree, webhook) do update set wanted = webhook_cursor.wanted + 1
)
select coalesce(t.key, 0), coalesce(t.sequence, 0), coalesce(t.hooked, false) from f left join t on t.key = f.tree

-- name: TellLateFires
-- Those of the runs $1 that were late before they had a tree have one now, which is new and has an event of that. Webhooks of the cluster that ask for it get a cursor.
with t as (
  update tree set late_at = clock_timestamp(), sequence = sequence + 1, hooked = hooked
    or exists (select from webhook w where w.tree is null and w.active and w.events & :webhook_late <> 0 and w.namespace = tree.namespace)
  from fire f where f.key = any($1::bigint[]) and f.late and tree.key = f.tree and tree.finished_at is null
  returning tree.key, tree.sequence, tree.namespace
), e as (
  insert into event (tree, last, at, body) select key, sequence, clock_timestamp(), :event_late from t
)
insert into webhook_cursor (tree, webhook, sequence, host)
select t.key, w.key, t.sequence - 1, w.host
from t cross join lateral (select key, host from webhook where tree is null and active and events & :webhook_late <> 0 and namespace = t.namespace offset 0) w
on conflict (tree, webhook) do nothing

-- name: StopFires
-- The runs $1 are told to end, and those of their trees that are to be cancelled; one that is due and has none (0) is cancelled itself. What has ended stays as it is. Locks: the runs.
update fire set stopped = true, state = case state when :fire_due then :fire_cancelled else state end, ended_at = case state when :fire_due then now() end, claimed = null
where key = any($1::bigint[]) and state in (:fire_due, :fire_running)
returning coalesce(tree, 0)

-- name: BeginAfterStops
-- Those of the runs $1 that were cancelled as they had no tree have ended: schedules that begin with such an end get a run, as with [EndFires], and look what is next. Locks: these schedules.
with f as (
  select key, schedule, state, instant, interval_start from fire where key = any($1::bigint[]) and state = :fire_cancelled and tree is null
), begun as (
  insert into fire (schedule, kind, instant, cause, state, interval_start)
  select s.key, :fire_event, f.instant, f.key || '.' || f.state, :fire_queued, f.interval_start
  from f cross join lateral (select key, trigger_ends from schedule where schedule.trigger = f.schedule and schedule.paused_at is null offset 0) s
  where (s.trigger_ends >> f.state) % 2 = 1
  on conflict (schedule, kind, instant, cause) do nothing returning schedule
)
update schedule set next_at = least(next_at, now()) where key in (select schedule from begun)

-- name: MoveBackfills
-- How far the backfills $1 have come; those of $3 are at their end.
update backfill b set decided_at = u.decided, ended_at = case when u.ended then now() end
from unnest($1::bigint[], $2::timestamptz[], $3::boolean[]) u(key, decided, ended) where b.key = u.key

-- name: DecideSchedules
-- How far the schedules $1, which are locked, are decided, when there is more to decide, and how many runs count.
update schedule s set decided_at = u.decided, next_at = u.next, counted = u.counted
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::integer[]) u(key, decided, next, counted) where s.key = u.key

-- name: ClaimFires
-- Up to $1 runs whose trees are to be stored, for $2 seconds, with what their schedules say. Locks: the runs, but for those that somebody else takes.
with mine as (
  select key from fire where state = :fire_due and (claimed is null or claimed < now()) order by key limit $1 for update skip locked
), taken as (
  update fire f set claimed = now() + $2 * interval '1 second' from mine where f.key = mine.key
  returning f.key, f.schedule, f.kind, f.instant, f.interval_start, f.parameters, f.sealed, f.backfill
)
select t.key, t.schedule, t.kind, t.instant, t.interval_start, coalesce(t.parameters, b.parameters), coalesce(t.sealed, b.sealed), s.namespace, s.id, coalesce(s.user_id, ''), s.spec, s.body, s.sealed,
  s.labels, s.created_at
from taken t cross join lateral (select * from schedule where schedule.key = t.schedule offset 0) s
left join lateral (select parameters, sealed from backfill where backfill.key = t.backfill offset 0) b on true
order by t.key

-- name: LastSuccesses
-- The last run that succeeded of the schedules $1, where there is one: what the root of its tree gave, unless that has over $2 bytes.
select s.key, l.instant, coalesce(l.tree, 0), coalesce(a.bytes > $2, false), case when a.bytes <= $2 then a.result end, case when a.bytes <= $2 then a.outputs end,
  case when a.bytes <= $2 then a.sealed end
from unnest($1::bigint[]) u(key)
cross join lateral (select key, success from schedule where schedule.key = u.key offset 0) s
cross join lateral (select instant, tree from fire where fire.key = s.success offset 0) l
left join lateral (select root from tree where tree.key = l.tree offset 0) tree on true
left join lateral (select key, attempt from task where task.key = tree.root and task.state = :completed offset 0) r on true
left join lateral (select result, outputs, sealed, coalesce(pg_column_size(result), 0) + coalesce(pg_column_size(outputs), 0) + coalesce(pg_column_size(sealed), 0) as bytes
  from attempt where attempt.task = r.key and attempt.number = r.attempt offset 0) a on true

-- name: NextFire
-- In how many seconds a run is to be stored that nobody stores now; no row: none is.
select extract(epoch from min(coalesce(claimed, now())) - clock_timestamp())::double precision from (select claimed from fire where state = :fire_due order by key limit 1000) f having count(*) > 0

-- name: BeginFires
-- The trees $2 with the roots $3, which are new, are those of the runs $1, and the runs $6 of the versions $5 of the flows $4, unless these are empty. Expects: they are due; fails otherwise. Locks: the runs, then the trees.
with f as (
  update fire f set state = :fire_running, tree = u.tree, root_id = u.root_id, claimed = null, flow_id = nullif(u.flow, ''), flow_version = nullif(u.version, 0), run_id = nullif(u.run, '')
  from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::text[]) u(key, tree, root_id, flow, version, run) where f.key = u.key and f.state = :fire_due returning f.key, f.tree, f.due_at
), t as (
  update tree set fire = f.key, due_at = f.due_at from f where tree.key = f.tree returning tree.key
)
select changed(count(*), cardinality($1::bigint[]), 'begin runs of schedules') from t

-- name: RefuseFire
-- The run $1, which is due, has no tree: it has failed or is skipped ($2), for the reason $3. Schedules that begin with its failure get a run, as with [EndFires]. All of them look
-- what is next. Webhooks of the cluster that ask for it get a cursor. Locks: the run, then schedules.
with f as (
  update fire set state = $2::smallint, reason = $3, ended_at = now(), claimed = null, started_at = case when $2::smallint = :fire_failed then started_at end where key = $1 and state = :fire_due
  returning key, schedule, state, instant, interval_start
), begun as (
  insert into fire (schedule, kind, instant, cause, state, interval_start)
  select s.key, :fire_event, f.instant, f.key || '.' || f.state, :fire_queued, f.interval_start
  from f cross join lateral (select key, trigger_ends from schedule where schedule.trigger = f.schedule and schedule.paused_at is null offset 0) s
  where f.state = :fire_failed and (s.trigger_ends >> f.state) % 2 = 1
  on conflict (schedule, kind, instant, cause) do nothing returning schedule
), told as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select -f.key, w.key, 0, w.host
  from f cross join lateral (select namespace from schedule where schedule.key = f.schedule offset 0) s
  cross join lateral (select key, host from webhook where tree is null and active and events & :webhook_runs <> 0 and namespace = s.namespace offset 0) w
  where f.state = :fire_failed
  on conflict (tree, webhook) do nothing
)
update schedule set next_at = least(next_at, now()) where key in (select schedule from f union all select schedule from begun)

-- name: RefusedRun
-- The run $1, if it has failed and has no tree.
select s.id, coalesce(s.user_id, ''), s.labels, f.instant, coalesce(f.ended_at, f.decided_at), coalesce(f.reason, '')
from fire f cross join lateral (select * from schedule where schedule.key = f.schedule offset 0) s where f.key = $1 and f.state = :fire_failed and f.tree is null

-- name: TakeFireEnds
-- Up to $1 followups of trees that are runs of schedules, and have ended. Locks: them.
select task from followup where kind = :followup_fire order by task limit $1 for update skip locked

-- name: EndFires
-- How the trees with the roots $1 have ended that are runs of schedules; one that runs again is running. Schedules that begin with such an end get a run of the same
-- instant, once for each run and end. All of them look what is next. Locks: the runs, then schedules.
with ended as (
  select tree.fire as key, tree.unfinished > 0 as open,
    case when tree.failed > tree.allowed then :fire_failed when tree.cancelled > 0 then :fire_cancelled else :fire_completed end as state, tree.finished_at as at
  from unnest($1::bigint[]) u(root) cross join lateral (select * from tree where tree.key = u.root >> 24 offset 0) tree where tree.fire is not null
), f as (
  update fire f set state = case when e.open then :fire_running else e.state end, ended_at = case when e.open then null else coalesce(e.at, now()) end
  from ended e where f.key = e.key and f.tree is not null returning f.key, f.schedule, f.state, f.instant, f.interval_start
), begun as (
  insert into fire (schedule, kind, instant, cause, state, interval_start)
  select s.key, :fire_event, f.instant, f.key || '.' || f.state, :fire_queued, f.interval_start
  from f cross join lateral (select key, trigger_ends from schedule where schedule.trigger = f.schedule and schedule.paused_at is null offset 0) s
  where (s.trigger_ends >> f.state) % 2 = 1
  on conflict (schedule, kind, instant, cause) do nothing returning schedule
), gone as (
  delete from followup where kind = :followup_fire and task = any($1::bigint[])
)
update schedule s set next_at = least(s.next_at, now()), success = coalesce((select max(key) from f where f.schedule = s.key and f.state = :fire_completed), s.success)
where s.key in (select schedule from f union all select schedule from begun)

-- name: TriggersOf
-- The first schedule that begins with ends of runs of the schedule $1.
select id from schedule where trigger = $1 order by id limit 1

-- name: LockTriggers
-- One change at a time has runs begin with ends of others.
select pg_advisory_xact_lock(7246, 1)

-- name: LeadsTo
-- Whether runs of the schedule $1 begin, by others or at once, with ends of runs of the schedule $2, without a look at what begins those of the ids $3. Expects the lock of
-- triggers where something is stored, so that two changes make no cycle together.
with recursive chain(key, trigger) as (
  select key, trigger from schedule where key = $1
  union
  select s.key, s.trigger from chain cross join lateral (select key, trigger from schedule where schedule.key = chain.trigger and schedule.id <> all($3::text[]) offset 0) s
)
select exists (select from chain where key = $2)

-- name: CalledSchedule
-- What tells whether a call of the webhook of the schedule with the id $2 of the namespace $1 is one, with the time.
select s.key, s.spec, s.secrets, coalesce(s.secret_until > now(), false), now() from schedule s where s.namespace = $1 and s.id = $2

-- name: LockCalled
-- The schedule $1, with the time. Locks: it.
select s.key, s.namespace, s.id, s.spec, s.created_at, s.paused_at, s.decided_at, s.counted, s.revision, now() from schedule s where s.key = $1 for update

-- name: WakeSchedule
-- The schedule $1, which is locked, looks what is next.
update schedule set next_at = least(next_at, now()) where key = $1

-- name: SecretsOfSchedule
-- The secrets of the webhook of the schedule with the id $2 of the namespace $1, and when the newest was made.
select s.key, s.spec, s.secrets, s.secret_at from schedule s where s.namespace = $1 and s.id = $2

-- name: RenewSecrets
-- The schedule $1 has the secrets $2, if the newest that it had was made at $3, and the one before counts for $4 seconds; 0: not at all.
update schedule set secrets = $2, secret_at = greatest(now(), secret_at + interval '1 microsecond'), secret_until = case when $4::double precision > 0 then now() + $4::double precision * interval '1 second' end
where key = $1 and secret_at is not distinct from $3
returning secret_at, secret_until

-- name: ScheduleKey
-- The key of the schedule with the id $2 of the namespace $1.
select key from schedule where namespace = $1 and id = $2

-- name: OwnerOfSchedule
select coalesce(user_id, '') from schedule where namespace = $1 and id = $2

-- name: InsertBackfill
-- Of the schedule $1, which is locked.
insert into backfill (schedule, from_at, to_at, concurrent, parameters, sealed, created_by) values ($1, $2, $3, $4, $5::json, $6, $7) returning key

-- name: Fires
-- $4 runs of the schedule $1, the newest first, before the instant $2 and the key $3 (null: from the newest).
select f.key, f.kind, f.instant, f.cause, f.backfill, f.state, f.interval_start, coalesce(f.reason, ''), coalesce(f.root_id, ''), f.until, f.n, f.due_at, f.late, f.decided_at, f.started_at, f.ended_at,
  coalesce(f.flow_id, ''), coalesce(f.flow_version, 0), coalesce(f.run_id, '')
from fire f where f.schedule = $1 and ($2::timestamptz is null or (f.instant, f.key) < ($2, $3))
order by f.instant desc, f.key desc limit $4

-- name: GiveFireParameters
-- Of a new run of the schedule $1.
update fire set parameters = $5::json, sealed = $6 where schedule = $1 and kind = $2 and instant = $3 and cause = $4

-- name: FireOf
-- The first run of the schedule $1 with the kind $2 and the cause $3.
select f.key, f.kind, f.instant, f.cause, f.backfill, f.state, f.interval_start, coalesce(f.reason, ''), coalesce(f.root_id, ''), f.until, f.n, f.due_at, f.late, f.decided_at, f.started_at, f.ended_at,
  coalesce(f.flow_id, ''), coalesce(f.flow_version, 0), coalesce(f.run_id, '')
from fire f where f.schedule = $1 and f.cause = $3 and f.cause <> '' and f.kind = $2 order by f.key limit 1

-- name: ForgetFires
-- Runs that ended before $1 seconds ago, at most $2.
delete from fire where key in (select key from fire where state > :fire_running and decided_at < now() - $1 * interval '1 second' order by decided_at limit $2 for update skip locked)

-- name: AuditSchedules
-- At most $2 of each: schedules that had something to decide over $1 seconds ago, runs whose trees were to be stored so long ago, runs that began so long ago and whose trees have
-- ended or are not there though nobody has that to write down, and open runs whose tree is not theirs.
(select 'schedule_overdue' as kind, 0::bigint as tree, 0::bigint as task, format('schedule %s had something to decide at %s', s.id, s.next_at) as text
from schedule s where s.next_at < now() - $1::double precision * interval '1 second' order by s.next_at limit $2)
union all
(select 'run_overdue', 0, 0, format('the tree of run %s of schedule %s, of %s, was to be stored at %s', f.key, f.schedule, f.instant, f.started_at)
from fire f where f.state = :fire_due and f.started_at < now() - $1::double precision * interval '1 second' order by f.key limit $2)
union all
(select case when t.key is null then 'run_without_tree' when t.fire is distinct from f.key then 'tree_of_another_run' else 'run_not_ended' end, coalesce(f.tree, 0), 0,
  format('run %s of schedule %s, of %s, is running as tree %s, which %s', f.key, f.schedule, f.instant, f.root_id,
    case when t.key is null then 'is not there' when t.fire is distinct from f.key then format('is that of run %s', t.fire) else format('ended at %s', t.finished_at) end)
from fire f left join lateral (select * from tree where tree.key = f.tree offset 0) t on true
where f.state in (:fires_open) and f.state = :fire_running and f.started_at < now() - $1::double precision * interval '1 second'
  and (t.key is null or t.fire is distinct from f.key
    or t.finished_at < now() - $1::double precision * interval '1 second' and not exists (select from followup u where u.kind = :followup_fire and u.task = t.root))
order by f.key limit $2)
