-- Values at rest: data keys, wrapped by a master key that Postgres never has, and columns for what is sealed with them. A row has its values
-- either in its old columns, or all of them in one envelope in sealed; see docs/sealing.md.
-- Locks: payload, attempt, chunk, cluster, payloads that were sent and tasks of agents, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, nothing is sealed.
create table data_key (
  number     integer generated always as identity primary key,
  namespace  integer not null,      -- -1: the cluster's own
  wrapped    bytea not null,
  master     text not null,         -- name of the master key that wrapped it
  check_value bytea not null,       -- of the key itself: tells a wrong one
  created_at timestamptz not null default now(),
  retired_at timestamptz            -- null: new values are sealed with it
);
create unique index data_key_current on data_key (namespace) where retired_at is null;

alter table cluster add column sealing smallint not null default 0; -- 0 off, 1 on, 2 being switched off
alter table payload add column sealed bytea;      -- inputs, params, schemas, custom
alter table sent_payload add column sealed bytea; -- inputs, params, schemas
alter table attempt add column sealed bytea;      -- result, error, detail
alter table chunk add column sealed boolean not null default false; -- data is an envelope
alter table agent_task add column sealed bytea;   -- history
alter table payload alter column sealed set storage external;
alter table sent_payload alter column sealed set storage external;
alter table attempt alter column sealed set storage external;
alter table agent_task alter column sealed set storage external;

-- How far the walker has come that seals, reseals or opens rows. One row for each table that it walks.
create table seal_walk (
  relation text primary key,
  round    bigint not null,         -- which walk
  cursor   bigint not null,         -- rows up to this key are done
  done     boolean not null,
  rows     bigint not null,         -- that this walk wrote anew
  at       timestamptz not null default now()
);
