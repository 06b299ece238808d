-- name: NextTree
select nextval('tree_key')

-- name: FindSubmission
select s.digest, t.root_id, t.tasks from submission s join tree t on t.key = s.tree where s.key = $1

-- name: TakenIDs
select id from spec where id = any($1::text[])

-- name: InsertTree
insert into tree (key, root, root_id, name, user_id, timeout_ms, execution, sequence, tasks, leaves, held, unfinished)
values ($1, $2, $3, $4, nullif($5, ''), nullif($6::bigint, 0), $7, $8, $9, $10, $11, $12)

-- name: InsertFirstEvent
insert into event (tree, last, body) values ($1, 1, '\x01'::bytea)

-- name: InsertSubmission
insert into submission (key, tree, digest) values ($1, $2, $3)
