-- name: KeyedRun
-- The execution, the owner and the namespace of the tree $5, if the worker $4 has the open attempt $2 of its task $1, which has one of the flags $3.
select execution, coalesce(user_id, '') as owner, namespace from tree
where key = $5 and exists (select from task t join worker w on w.key = t.worker where t.key = $1 and t.attempt = $2 and t.flags & $3::integer <> 0 and w.id = $4)

-- name: EndedTrees
-- Those of the trees $1 of which nothing is unfinished, or that are not there.
select u.key from unnest($1::bigint[]) u(key) where not exists (select from tree where tree.key = u.key and tree.unfinished > 0)
