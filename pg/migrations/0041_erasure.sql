-- What is erased of users, on an operator's word.
-- Locks: nothing; the tables are new.
-- Older coordinators: go on working. While one lives, nothing is erased.
create table erasure (
  key         bigint generated always as identity primary key,
  id          text not null unique,
  namespace   integer not null,
  user_id     text not null,
  cancel      boolean not null,               -- what runs is cancelled
  asked_by    text not null,
  asked_at    timestamptz not null default now(),
  upto        bigint not null,                -- key of the last tree that there may be of the user
  writers     xid8 not null,                  -- transactions before this one may store others up to there
  step        smallint not null default 1,    -- 1 trees, 2 messages, 3 contents; 4 it is done
  moved_at    timestamptz not null default now(), -- when it last came further
  marked      bigint not null default 0,      -- of messages: the last result when they were looked for; of contents: when, in seconds
  marked_of   bigint not null default 0,      -- the stream of that result: when it was made, in microseconds
  finished_at timestamptz,
  counts      jsonb not null default '{}'     -- what is gone, by kind
);
create index erasure_open on erasure (key) where finished_at is null;

-- Trees that are gone by it, for a day: nothing of them comes back.
create table erased_tree (
  tree    bigint primary key,
  erasure bigint not null
);
create index erased_tree_erasure on erased_tree (erasure);
