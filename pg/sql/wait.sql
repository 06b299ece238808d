-- name: InsertAwaits
-- Attempts that wait from $8 on, which is also when their timeouts begin.
insert into await (task, attempt, kind, name, resume, data, sealed, since, until)
select u.task, u.attempt, u.kind, nullif(u.name, ''), u.resume, u.data::json, u.sealed, $8::timestamptz,
  coalesce(u.until, case when u.timeout_ms > 0 then $8::timestamptz + u.timeout_ms * interval '1 millisecond' end)
from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::text[], $5::boolean[], $6::text[], $7::bytea[], $9::double precision[], $10::timestamptz[])
  u(task, attempt, kind, name, resume, data, sealed, timeout_ms, until)
on conflict (task) do update set attempt = excluded.attempt, kind = excluded.kind, name = excluded.name, resume = excluded.resume, data = excluded.data,
  sealed = excluded.sealed, since = excluded.since, until = excluded.until, tree = null

-- name: ExpectSignals
-- Has signals taken that were kept for the tasks $1, which wait for those of the names $2 now. The tasks are locked: who sends one now finds the wait.
insert into followup (kind, task)
select :followup_signal, u.task from unnest($1::bigint[], $2::text[]) u(task, name)
where exists (select from signal g where g.task = u.task and g.name = u.name and g.taken is null offset 0)
on conflict (kind, task) do update set cursor = 0

-- name: DeleteAwaits
-- The tasks $1 wait no more. Trees that they waited for, and that have not ended, are cancelled by a followup.
with w as (delete from await where task = any($1::bigint[]) returning task, attempt, kind), f as (
  insert into followup (kind, task) select :followup_subtree, w.task from w
  where w.kind = :await_tree and not exists (select from subtree s where s.task = w.task and s.attempt = w.attempt and not s.waits offset 0)
  on conflict (kind, task) do update set cursor = 0)
delete from timer using w where timer.task = w.task and timer.kind = :timer_await

-- name: AwaitsOf
-- What the tasks $1 wait for, with data of $2 bytes in all at most. No locks.
select w.task, w.attempt, w.kind, coalesce(w.name, ''), w.resume, case when w.bytes <= $2 then w.data end, case when w.bytes <= $2 then w.sealed end,
  w.since, w.until, coalesce(w.tree, 0)
from (select w.*, sum(coalesce(octet_length(w.data::text), octet_length(w.sealed), 0)) over (order by w.task rows unbounded preceding) as bytes
  from unnest($1::bigint[]) u(task) cross join lateral (select * from await where await.task = u.task offset 0) w) w

-- name: ApprovalsDown
-- Tasks of the keys in [$2, $1) that wait for approvals, newest tree first, up to $3, among the first $4 that do. $5 user or null. Of the namespace $6. A walk
-- down await_approval; no locks.
select w.task from (select task from await where kind = :await_approval and task < $1 and task >= $2 order by task desc limit $4) w
cross join lateral (select from tree where tree.key = w.task >> 24 and ($5::text is null or user_id = $5) and namespace = $6::integer offset 0) t
order by w.task desc limit $3

-- name: ApprovalsBelow
-- The last of the first $3 tasks of the keys in [$2, $1) that wait for approvals; 0: there are not so many.
select coalesce((select task from await where kind = :await_approval and task < $1 and task >= $2 order by task desc offset $3 - 1 limit 1), 0)

-- name: SignalsOf
-- What was sent to the task $1 by the name $2, the first one first. The task is locked.
select id, coalesce(key, ''), coalesce(sender, ''), kept, at, coalesce(taken, 0) from signal where task = $1 and name = $2 order by id

-- name: AnsweredBy
-- Who ended the wait of the attempt $2 of the task $1, and when.
select coalesce(sender, ''), at from signal where task = $1 and taken = $2 order by id desc limit 1

-- name: CountKept
-- How many signals are kept for the task $1, up to $2.
select count(*) from (select from signal where task = $1 and taken is null limit $2) g

-- name: InsertSignal
insert into signal (task, name, key, sender, kept, payload, sealed, at, taken)
values ($1, $2, nullif($3, ''), nullif($4, ''), $5, $6::text::json, $7, $8, nullif($9::integer, 0))

-- name: AnswersTo
-- The last answer that ended a wait of an earlier attempt of the same run, of the tasks of the stretches $1, $2 at the attempts $3. No locks.
select t.key, g.payload, g.sealed
from unnest($1::bigint[], $2::integer[], $3::integer[]) r(first, n, attempt)
cross join lateral (select key, coalesce(run, 1) as run from task where task.key >= r.first and task.key < r.first + r.n and task.attempt = r.attempt offset 0) t
cross join lateral (
  select payload, sealed from signal where signal.task = t.key and signal.taken >= t.run and signal.taken < r.attempt order by id desc limit 1) g

-- name: KeptSignals
-- Up to $1 tasks that are to take a signal which was kept, with what they wait for, and the signal. No locks.
select f.task, w.attempt, w.kind, coalesce(w.name, ''), w.resume, w.data, w.sealed, g.id, g.payload, g.sealed, coalesce(g.sender, '')
from (select task from followup where kind = :followup_signal order by task limit $1) f
left join lateral (select * from await where await.task = f.task offset 0) w on true
left join lateral (select * from signal where signal.task = f.task and signal.name = w.name and signal.taken is null order by id limit 1) g on true

-- name: TakeSignalFollowups
-- Of the tasks $1 those that are still to take a signal. Locks: followups, skipping those that another coordinator does.
select task from followup where kind = :followup_signal and task = any($1::bigint[]) order by task for update skip locked

-- name: LockedWaits
-- The attempts $2 that still wait, of the tasks $1, and the signals $3 that are still kept. The tasks are locked.
select u.task from unnest($1::bigint[], $2::integer[], $3::bigint[]) u(task, attempt, id)
cross join lateral (select from await w where w.task = u.task and w.attempt = u.attempt offset 0) w
cross join lateral (select from signal g where g.task = u.task and g.id = u.id and g.taken is null offset 0) g

-- name: TakeSignals
-- The signals $2 of the tasks $1 have ended waits of the attempts $3.
update signal g set taken = u.attempt from unnest($1::bigint[], $2::bigint[], $3::integer[]) u(task, id, attempt)
where g.task = u.task and g.id = u.id

-- name: DropSignals
-- Forgets the signals $2 of the tasks $1.
delete from signal g using unnest($1::bigint[], $2::bigint[]) u(task, id) where g.task = u.task and g.id = u.id

-- name: DeleteSignals
-- Forgets all that was sent to the tasks $1: they run anew.
delete from signal where task = any($1::bigint[])
