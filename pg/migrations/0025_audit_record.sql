-- The audit record: an entry for each change that is asked for, for how it ended, and for each refusal. Entries are only ever appended, by who
-- holds the advisory lock of the record, and each has a hash over the one before. docs/audit.md has the form of entries and hashes.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working. They record nothing.
create table audit_record (
  seq         bigint primary key,    -- from 1, without gaps
  at          timestamptz not null,  -- never before that of the entry before
  kind        text not null,
  begun       bigint,                -- of an end: the entry that it ends
  namespace   text not null,         -- empty: of the cluster
  method      text not null,
  permission  text not null,
  outcome     text not null,
  code        text not null,
  error       text not null,
  caller_kind text not null,
  caller      text not null,
  user_id     text not null,
  issuer      text not null,
  key_id      text not null,
  origin      text not null,         -- from where
  surface     text not null,
  task        text not null,
  trace       text not null,
  count       bigint not null,
  coordinator text not null,
  details     jsonb not null,
  key         text not null,         -- which key the hash has
  prev        bytea not null,
  hash        bytea not null
);
create index audit_record_begun on audit_record (begun) where begun is not null;
create index audit_record_at on audit_record (at);
create index audit_record_namespace on audit_record (namespace, seq);
create index audit_record_caller on audit_record (caller, seq) where begun is null;
create index audit_record_task on audit_record (task, seq) where begun is null and task <> '';
