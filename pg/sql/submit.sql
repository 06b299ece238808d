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

-- name: InsertPayloads
insert into payload (key, inputs, params, schemas, custom)
select u.key, u.inputs::json, u.params::json, u.schemas::json, u.custom::json
from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]) u(key, inputs, params, schemas, custom)

-- name: InsertSpecs
insert into spec (key, id, parent, name, executor, deps, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
  schedule_to_start_ms, not_before, on_lost)
select u.key, u.id, u.parent, u.name, u.executor, u.deps::integer[], u.max_attempts, u.backoff, u.initial_delay_ms, u.max_delay_ms,
  u.timeout_ms, u.schedule_to_start_ms, u.not_before, u.on_lost
from unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[], $9::bigint[],
  $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[], $14::smallint[])
  u(key, id, parent, name, executor, deps, max_attempts, backoff, initial_delay_ms, max_delay_ms, timeout_ms,
  schedule_to_start_ms, not_before, on_lost)

-- name: InsertTasks
insert into task (key, state, flags, priority, pool, remaining)
select * from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::integer[], $6::integer[])

-- name: InsertEdges
insert into edge (dependency, dependent, required) select * from unnest($1::bigint[], $2::bigint[], $3::boolean[])
