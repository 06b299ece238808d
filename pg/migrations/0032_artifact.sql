-- Files that tasks make, and logs of attempts that ended: what refers to contents in the store of artifacts.
-- Locks: nothing; the tables are new.
-- Older coordinators: go on working. Of trees that they delete, the references are deleted later.
create table content (
  key        bigint generated always as identity primary key,
  id         uuid not null unique,      -- its name in the store
  state      smallint not null,         -- 0 being put, 1 stored, 2 to be deleted from the store
  task       bigint not null,           -- whose attempt puts it
  attempt    integer not null,
  namespace  integer not null,
  user_id    text not null,             -- of the task's tree; empty: none
  size       bigint not null,           -- bytes
  block      integer not null,          -- bytes of its blocks but the last
  root       bytea,                     -- digest of the digests of its blocks; null: being put
  digests    bytea,                     -- of its blocks as they are stored, 32 bytes each
  sealed     bytea,                     -- envelope of the key of its blocks; null: they are not sealed
  created_at timestamptz not null default now(),
  look_at    timestamptz                -- when to look whether it is needed; null: there is a reference
);
create unique index content_root on content (root) where state = 1 /* content_whole */;
create index content_look on content (look_at) where look_at is not null;
create index content_put on content (namespace, user_id) include (size) where state = 0 /* content_open */;

create table artifact (
  task       bigint not null,
  attempt    integer not null,
  kind       smallint not null,         -- 1 file, 2 output of an executor, 3 log
  number     integer not null,          -- within the kind
  namespace  integer not null,
  user_id    text not null,             -- of the task's tree; empty: none
  size       bigint not null,           -- bytes
  name       text not null,             -- empty: sealed
  media_type text not null,
  tag        bytea not null,            -- SHA-256 of the content; keyed where values are sealed
  content    bigint,                    -- null: in data
  data       bytea,
  sealed     bytea,                     -- envelope of name, media type, SHA-256 and data
  created_at timestamptz not null default now(),
  primary key (task, attempt, kind, number)
);
create index artifact_tag on artifact (tag, task);
create index artifact_user on artifact (namespace, user_id) include (size);
create index artifact_content on artifact (content) where content is not null;
