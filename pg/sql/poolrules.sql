-- name: PoolRules
-- All rules, by the names of their pools: bounded by $1.
select pool, namespaces, executors, connections, secrets from pool_rule order by pool limit $1

-- name: SetPoolRule
-- A rule in the place of the one that there is, unless there are $6 others. No row: so it is. Two at once may both pass; so the bound is a soft one.
insert into pool_rule (pool, namespaces, executors, connections, secrets)
select $1::text, $2::text[], $3::text[], $4::text[], $5::text[]
where (select count(*) from (select from pool_rule where pool <> $1 limit $6) f) < $6
on conflict (pool) do update set namespaces = excluded.namespaces, executors = excluded.executors, connections = excluded.connections,
  secrets = excluded.secrets, changed_at = now()

-- name: DeletePoolRule
delete from pool_rule where pool = $1

-- name: TasksToJudge
-- What the rule of its pool looks at of each task $1: only of tasks whose pools have rules. No locks; lookups by key. Payloads come row by row.
select t.key, coalesce(pool.name, ''), coalesce(n.name, ''), s.id, s.name, s.executor, p.inputs, p.params, p.sealed
from unnest($1::bigint[]) k(key)
cross join lateral (select key, pool from task where task.key = k.key offset 0) t
cross join lateral (select id, name, executor, namespace from spec where spec.key = t.key offset 0) s
left join lateral (select inputs, params, sealed from payload where payload.key = t.key offset 0) p on true
left join pool on pool.id = t.pool
left join namespace n on n.key = s.namespace
