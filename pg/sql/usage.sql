-- name: InsertUsage
-- What attempts that ended at $3 (null: now) used of models. Expects: nothing is stored of these attempts; fails otherwise. An attempt ends
-- once, and its end is written in the same transaction. One look-up of a tree for each row. No locks.
insert into model_usage (task, attempt, model, currency, namespace, user_id, at, calls, prompt, completion, cached, cost_nanos, unpriced)
select u.task, u.attempt, u.model, u.currency, t.namespace, t.user_id, coalesce($3::timestamptz, now()), u.calls, u.prompt, u.completion, u.cached, u.cost_nanos, u.unpriced
from unnest($1::bigint[], $2::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
  u(task, attempt, model, currency, calls, prompt, completion, cached, cost_nanos, unpriced)
cross join lateral (select user_id, namespace from tree where tree.key = u.task >> 24 offset 0) t

-- name: SpentBefore
-- What the attempts before the ready or open ones in the stretches ($1 first, $2 n, $3 attempt) used in the same runs, by currency; the model is
-- empty. For later attempts only.
select t.key, '', u.currency, u.calls, u.prompt, u.completion, u.cached, u.cost_nanos, u.unpriced
from unnest($1::bigint[], $2::integer[], $3::integer[]) r(first, n, attempt)
cross join lateral (
  select key, coalesce(run, 1) as run, attempt from task t where t.key >= r.first and t.key < r.first + r.n and t.attempt = r.attempt and t.state in (:ready, :running)
  offset 0) t
cross join lateral (
  select currency, :used from model_usage m where m.task = t.key and m.attempt >= t.run and m.attempt < t.attempt group by currency offset 0) u

-- name: UsageByAttempt
-- What the first attempts of a task used, by attempt: of those that AttemptsOf gives, which has 1000 at most, and none uses more than 17 models.
select attempt, model, currency, calls, prompt, completion, cached, cost_nanos, unpriced from model_usage where task = $1 order by attempt, model, currency limit 17000

-- name: UsageOfKeyRange
-- What the tasks of the keys in [$1, $2) used, a tree's or a single one, by model, those with the most tokens first; the models after the first $3
-- are called others. At most twice as many rows. Sums up a range of the index.
select case when rank <= $3 then model else 'others' end, currency, :used
from (
  select *, row_number() over (order by prompt::numeric + completion desc, model, currency) as rank
  from (select model, currency, :used from model_usage where task >= $1 and task < $2 group by model, currency) m) r
group by 1, 2 order by min(rank) limit 2 * $3

-- name: UsageOfAttempts
-- What the attempts $2 of the tasks $1 used; the first column is their place there, from 1.
select u.ord, m.model, m.currency, m.calls, m.prompt, m.completion, m.cached, m.cost_nanos, m.unpriced
from unnest($1::bigint[], $2::integer[]) with ordinality u(task, attempt, ord)
cross join lateral (select * from model_usage m where m.task = u.task and m.attempt = u.attempt offset 0) m
order by u.ord, m.model, m.currency

-- The next three give how many rows there were, at most $3, and of these the sums by what $4 says (user, tree, model or day) and by currency: the
-- first $6 groups whose keys come after $5 (null: the first), newest tree first, the others as bytes sort. Of the model $7 (null: all), in [$1, $2)
-- (null: no bound). summed (usage.go) completes them. No locks.

-- name: UsageInTime
-- Of the namespace $8. Reads the rows of that time, by the index.
select * from (
  select * from model_usage where at >= coalesce($1::timestamptz, '-infinity') and at < coalesce($2::timestamptz, 'infinity') and :among(namespace, $8)
  order by at limit $3) m
where namespace = $8

-- name: UsageOfUser
-- Of the trees of the user $9 in the namespace $8.
select * from model_usage where user_id = $9::text and namespace = $8::integer and at >= coalesce($1::timestamptz, '-infinity') and at < coalesce($2::timestamptz, 'infinity') order by at limit $3

-- name: UsageOfKeys
-- Of the tasks of the keys in [$9, $10), a tree's, of the namespace $8.
select * from (select * from model_usage where task >= $9 and task < $10 and namespace = $8::integer offset 0) m -- the index of times would find all trees
where at >= coalesce($1::timestamptz, '-infinity') and at < coalesce($2::timestamptz, 'infinity') limit $3

-- name: DeleteUsage
delete from model_usage where task >= $1 and task < $2

-- name: DeleteStrayUsage
-- Of the oldest $1 rows those whose trees are gone: a coordinator deleted them that did not know of usage.
delete from model_usage where (task, attempt, model, currency) in (
  select m.task, m.attempt, m.model, m.currency from (select * from model_usage order by at limit $1) m
  where not exists (select from tree where tree.key = m.task >> 24 offset 0))
