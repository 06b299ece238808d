-- name: LimitRulesOf
-- What operators have set for the keys $2 of limits in the namespace $1. No locks; a probe for each key.
select key, max from limit_rule where namespace = $1 and kind = :kind_limit and key = any($2::text[])

-- name: EditLimits
-- What the task $1 asks for is $2; null: nothing. Expects the task to be locked.
update spec set limits = $2 where key = $1

-- name: LimitsOf
-- What the tasks $1 ask for. No locks; a probe for each.
select key, limits from unnest($1::bigint[]) u(k) cross join lateral (select key, limits from spec where spec.key = u.k and limits is not null offset 0) s

-- name: CopiedLimits
-- What the tasks $2, copies of $1, ask for, and what their keys may name; $3 is the root of the copy. No locks.
select u.copy, s.id, root.id, s.name, s.limits, p.inputs, p.sealed from unnest($1::bigint[], $2::bigint[]) u(key, copy)
cross join lateral (select id, name, limits from spec where spec.key = u.copy and limits is not null offset 0) s
cross join lateral (select id from spec where spec.key = $3 offset 0) root
left join lateral (select inputs, sealed from payload where payload.key = u.key offset 0) p on true

-- name: RekeyCopies
-- What the new tasks $1 ask for is $2.
update spec s set limits = u.limits::json from unnest($1::bigint[], $2::text[]) u(key, limits) where s.key = u.key
