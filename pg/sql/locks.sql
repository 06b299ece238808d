-- Locks that attempts hold, for people.

-- name: Locks
-- The first $3 locks of the namespace $1 from the key $2 on, which is among them if $4, by key: which attempt holds each, for which task above it, and how many tasks wait for it, counted up to 10000. No locks.
select h.key, h.token, h.since, h.task, s.id, s.name, h.attempt, t.state, h.span, above.id, above.name, root.id,
  (select count(*) from (select from waiter w where w.namespace = $1 and w.kind = :kind_lock and w.key = h.key limit 10000) w)
from (select * from hold where namespace = $1 and kind = :kind_lock and key >= $2 and ($4 or key > $2) order by key limit $3) h
cross join lateral (select state from task where task.key = h.task offset 0) t
cross join lateral (select id, name from spec where spec.key = h.task offset 0) s
cross join lateral (select id from spec where spec.key = (h.task >> 24) << 24 offset 0) root
left join lateral (select id, name from spec where spec.key = h.span offset 0) above on true
order by h.key

-- name: BreakHold
-- Takes the lock $2 of the namespace $1 with the token $4 from the task $3, which is locked.
delete from hold where task = $3 and namespace = $1 and kind = :kind_lock and key = $2 and token = $4 and span is null
