-- Registered profiles, which resources of flows name.
-- Locks: nothing; all is new.
-- Older coordinators: go on working. While one lives, no profile is stored.

-- Versions of registered profiles. Runs have in their tasks what they took of one.
create table flow_profile (
  key        bigint generated always as identity primary key,
  namespace  integer not null,
  name       text not null,
  version    integer not null,                          -- from 1
  user_id    text,                                      -- whose it is, the same for all versions; null: nobody's
  sha256     bytea not null,                            -- of the body
  body       json,                                      -- config, options, decode, unrendered; null: it is sealed
  sealed     bytea,                                     -- likewise
  created_by text not null,
  created_at timestamptz not null default now()
);
create unique index flow_profile_version on flow_profile (namespace, name, version);
