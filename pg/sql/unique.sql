-- name: LockUniqueKey
-- Has the rest of the transaction decide alone who has the key $3 of the user $2 in the namespace $1.
-- Locks: the key's row, which it makes if there is none. Who else wants it waits.
insert into unique_key (namespace, user_id, key) values ($1, $2, $3)
on conflict (namespace, user_id, key) do update set key = excluded.key

-- name: HasUniqueKey
-- Which tree has the key, whose row is locked; none: nobody has it. A statement of its own, as it has to see what has been committed since the lock was asked for.
select t.root_id, t.tasks, u.until from unique_key u join tree t on t.key = u.tree
where u.namespace = $1 and u.user_id = $2 and u.key = $3
  and case when u.until is null then t.unfinished > 0 or t.execution = 0 and t.held > 0 else u.until > clock_timestamp() end

-- name: TakeUniqueKey
-- The tree $4 has the key, for $5 milliseconds from its creation, or until it has ended if that is 0. The row is locked.
update unique_key set tree = $4, until = case when $5::bigint > 0 then now() + $5::bigint * interval '1 millisecond' end
where namespace = $1 and user_id = $2 and key = $3

-- name: UniqueOf
-- The key that the tree $1 has, and until when; null: until it has ended. No row: it has none, or no longer.
select u.key, u.until from unique_key u join tree t on t.key = u.tree
where u.tree = $1 and case when u.until is null then t.unfinished > 0 or t.execution = 0 and t.held > 0 else u.until > now() end
