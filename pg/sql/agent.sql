-- name: KeepAgentTask
-- Keeps a task of the A2A protocol ($1 its id, $2 its context, $4 the task that is executed, $5 its history) with the tree $3, and of the tree's
-- others the newest $6. Writes none when the tree is not there.   Locks: the rows it drops.   One trip.
with dropped as (
  delete from agent_task where number in (select number from agent_task where tree = $3 order by number desc offset $6)
)
insert into agent_task (id, context, tree, task_id, user_id, history, namespace, sealed)
select $1, $2, key, $4, user_id, $5, namespace, $7 from tree where key = $3

-- name: DropAgentTask
-- In the namespace $2.
delete from agent_task where id = $1 and namespace = $2

-- name: DeleteAgentTasks
delete from agent_task where tree = $1

-- name: DeleteStrayAgentTasks
-- Of the oldest $1 rows those whose trees are gone: a coordinator deleted them that did not know of them, or they were deleted meanwhile.
delete from agent_task where number in (
  select a.number from (select number, tree from agent_task order by number limit $1) a
  where not exists (select from tree where tree.key = a.tree))

-- name: AgentTask
select number, id, context, tree, task_id, history, created_at, sealed from agent_task where id = $1 and namespace = $2

-- name: AgentTasksOfTree
-- The newest of a tree.
select number, id, context, tree, task_id, history, created_at, sealed from agent_task where tree = $1 order by number desc limit 1

-- name: AgentTasksDown
-- The newest $3 below $1 of the namespace $4, of the user $2, if it is not null.
select number, id, context, tree, task_id, history, created_at, sealed from agent_task
where number < $1 and ($2::text is null or user_id = $2) and :within(namespace, $4) order by number desc limit $3

-- name: AgentTasksOfContext
-- As AgentTasksDown, of the context $5.
select number, id, context, tree, task_id, history, created_at, sealed from agent_task
where context = $5 and number < $1 and ($2::text is null or user_id = $2) and namespace = $4 order by number desc limit $3

-- name: CountAgentTasks
-- Of the newest $2 those that AgentTasksDown would give.
select count(*) from (select user_id from agent_task where :within(namespace, $3) order by number desc limit $2) newest where $1::text is null or user_id = $1

-- name: CountAgentTasksOfContext
-- Of the newest $2 of the context $4 those that AgentTasksOfContext would give.
select count(*) from (select user_id from agent_task where context = $4 and namespace = $3 order by number desc limit $2) newest where $1::text is null or user_id = $1
