-- Tasks of the A2A protocol: what a client's message asked for, tied to the tree that does it. How far it has come, the tree's row tells.
-- Rows go with their tree.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working. They leave the rows of trees that they delete, which a newer coordinator deletes in time.
create table agent_task (
  number     bigint generated always as identity primary key,
  id         text not null unique,
  context    text not null,
  tree       bigint not null,
  task_id    text not null,            -- the task of the tree that is executed: mostly its root
  user_id    text,                     -- the tree's
  history    bytea not null,           -- messages, an array in JSON; bounded
  created_at timestamptz not null default now()
);
create index agent_task_tree on agent_task (tree, number);
create index agent_task_context on agent_task (context, number);
