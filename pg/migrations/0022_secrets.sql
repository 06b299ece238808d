-- The secrets that tokens and keys of attempts are made of, by generation, and keys of language models that users have stored.
-- Locks: nothing; the tables are new.
-- Older coordinators: go on working, with the secret in cluster, which is that of generation 0. There is no other one while they live.
create table token_secret (
  number        integer primary key,    -- of the generation; the highest signs
  secret        bytea not null,
  sealed        boolean not null,       -- secret is an envelope under a data key of the cluster
  created_at    timestamptz not null default now(),
  superseded_at timestamptz,            -- when the next generation began
  retired_at    timestamptz             -- since when tokens of it prove nothing; it is kept as long as logs that are sealed with it
);

create table model_key (
  namespace text not null,
  user_id   text not null,
  provider  text not null,              -- '': for all that have none of their own
  sealed    bytea not null,             -- an envelope under a data key of the cluster
  at        bigint not null,            -- when it was set, in nanoseconds since 1970: the latest counts
  made_by   text not null,              -- the coordinator that took it
  primary key (namespace, user_id, provider)
);
