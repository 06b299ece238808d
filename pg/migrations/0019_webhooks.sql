-- Webhooks: addresses that are told what happens in trees, how far each has come in each tree, and what became of the last deliveries.
-- Locks: tree, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working. They deliver nothing, and leave webhooks of trees that they delete, which newer ones delete in time.
create table webhook (
  key          bigint generated always as identity primary key,
  id           text not null,
  tree         bigint,                -- of an execution; null: of the cluster
  name         text,                  -- within the tree, or for people
  events       integer not null,      -- that one of the cluster asks for, a bit each; 0: all of an execution
  active       boolean not null default true,
  config       json not null,         -- what may be seen of it
  sealed       bytea,                 -- what may not, under a key that Postgres never has
  host         text not null,         -- that it is sent to
  created_at   timestamptz not null default now(),
  failing_from timestamptz,           -- the first failure since the last success
  reason       text                   -- why it is not active
);
create unique index webhook_id on webhook (id);
create unique index webhook_tree on webhook (tree, name) where tree is not null;
create index webhook_cluster on webhook (key) where tree is null and active;

-- How far a webhook has come in a tree that has more to tell, or may have. One process at a time holds the row, and sends.
create table webhook_cursor (
  tree     bigint not null,
  webhook  bigint not null,
  sequence bigint not null,            -- of the last event that is done with
  host     text not null,              -- the webhook's
  attempts integer not null default 0, -- at the next event
  wanted   integer not null default 0, -- counts the executions that need the row
  due      timestamptz not null default now(),
  holder   bigint,                     -- until due; null: nobody
  primary key (tree, webhook)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
create index webhook_cursor_due on webhook_cursor (due);
create index webhook_cursor_webhook on webhook_cursor (webhook);

-- How executions ended, of trees with webhooks: by the time that the event is told, the tree may be executed again.
create table webhook_end (
  tree     bigint not null,
  sequence bigint not null,
  status   smallint not null, -- 1 completed, 2 failed, 3 cancelled
  progress real not null,
  primary key (tree, sequence)
);

create table webhook_delivery (
  key        bigint generated always as identity primary key,
  webhook    bigint not null,
  tree       bigint,               -- null: a test
  sequence   bigint not null,
  event      text not null,
  outcome    smallint not null,    -- 1 delivered, 2 tried again, 3 refused, 4 given up
  attempts   integer not null,
  status     integer not null,     -- of the answer; 0: none
  latency_us bigint not null,
  error      text,
  at         timestamptz not null default now()
);
create index webhook_delivery_webhook on webhook_delivery (webhook, key);

alter table tree add column hooked boolean not null default false; -- it may have a webhook_cursor
