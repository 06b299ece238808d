-- name: PendingConditions
-- Up to $2 followups after the task $1 whose conditions are to be evaluated, with what their tasks say, as far as that is $3 bytes and $4
-- dependencies together; the first in any case. No locks.
select key, attempt, waits, id, name, root_id, user_id, control, sealed, flags, namespace, revision, dependencies from (
  select f.task as key, t.attempt, t.flags, t.state = :waiting and t.remaining = 0 as waits, s.id, s.name, tree.root_id, coalesce(tree.user_id, '') as user_id, tree.namespace, tree.revision, p.control, p.sealed,
    coalesce(cardinality(s.deps), 0) as dependencies, row_number() over (order by f.task) as n,
    sum(coalesce(octet_length(p.sealed), 0)) over (order by f.task) as bytes, sum(coalesce(cardinality(s.deps), 0)) over (order by f.task) as edges
  from (select task from followup where kind = :followup_condition and task > $1 order by task limit $2) f
  cross join lateral (select attempt, state, remaining, flags from task where task.key = f.task offset 0) t
  cross join lateral (select id, name, deps from spec where spec.key = f.task offset 0) s
  cross join lateral (select root_id, user_id, namespace, revision from tree where tree.key = f.task >> 24 offset 0) tree
  left join lateral (select control, sealed from payload where payload.key = f.task offset 0) p on true) f
where n = 1 or bytes <= $3::bigint and edges <= $4::bigint
order by key

-- name: ConditionDependencies
-- How the dependencies of the tasks $1 have ended, in the order of each one's list. No locks.
select u.key, d.key, coalesce(ds.ref, ds.id), ds.id, ds.name, i.dep > 0, coalesce(s.dep_modes[i.n], 0)::smallint, d.state, d.attempt, d.flags, d.blocked_by
from unnest($1::bigint[]) u(key)
cross join lateral (select deps, dep_modes from spec where spec.key = u.key offset 0) s
cross join lateral unnest(s.deps) with ordinality i(dep, n)
cross join lateral (select key, state, attempt, flags, blocked_by from task where task.key = ((u.key >> 24) << 24) + abs(i.dep) - 1 offset 0) d
cross join lateral (select id, ref, name from spec where spec.key = d.key offset 0) ds
order by u.key, i.n

-- name: ValuesOfAttempts
-- What the attempts $2 of the tasks $1 ended with, in the order given, as long as it is $3 bytes together; of those beyond, only that there
-- is more. No locks.
select task, number, fits, case when fits then result end, case when fits then error end, case when fits then sealed end, case when fits then outputs end from (
  select u.task, u.number, u.n, a.result, a.error, a.sealed, a.outputs,
    sum(coalesce(octet_length(a.result::text), 0) + coalesce(octet_length(a.outputs::text), 0) + coalesce(octet_length(a.error), 0) + coalesce(octet_length(a.sealed), 0)) over (order by u.n) <= $3::bigint as fits
  from unnest($1::bigint[], $2::integer[]) with ordinality u(task, number, n)
  cross join lateral (select result, error, sealed, outputs from attempt where attempt.task = u.task and attempt.number = u.number offset 0) a) a
order by n

-- name: InputsOfTasks
-- The inputs of the tasks $1, in the order given, as long as they are $2 bytes together; of those beyond, only that there are some. No locks.
select key, fits, case when fits then inputs end from (
  select u.key, u.n, p.inputs, sum(coalesce(octet_length(p.inputs::text), 0)) over (order by u.n) <= $2::bigint as fits
  from unnest($1::bigint[]) with ordinality u(key, n)
  cross join lateral (select inputs from payload where payload.key = u.key and inputs is not null offset 0) p) p
order by n

-- name: TakeConditions
-- Which of the tasks $1 have a condition that is still to be decided. Locks: followups, skipping those that another coordinator does.
select task from followup where kind = :followup_condition and task = any($1::bigint[]) order by task for update skip locked

-- name: DeleteConditions
delete from followup where kind = :followup_condition and task = any($1::bigint[])
