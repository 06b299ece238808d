-- API keys of users and machines, and sessions of people who signed in by a browser. Of either only a hash is stored.
-- Locks: nothing; the tables are new.
-- Older coordinators: go on working. They believe no key.
create table api_key (
  key        bigint generated always as identity primary key,
  id         text not null unique,
  session    boolean not null default false,
  hash       bytea not null unique,       -- SHA-256
  old_hash   bytea unique,                -- of the one before the last rotation
  old_until  timestamptz,                 -- until when that one counts
  namespace  text not null,               -- where it was made
  name       text not null,               -- for people
  owner      text not null,               -- who calls with it
  maker      text not null,               -- who made it; empty: nobody was asked
  issuer     text not null,               -- of a session: who says that the owner is the owner
  roles      text[] not null,             -- namespace:role
  groups     text[] not null,             -- of a session
  scopes     text[],                      -- the only permissions that it is good for; null: all that the roles give
  life       interval not null,           -- from its making, or last rotation, to its end
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at    timestamptz,                 -- written down once in a while
  revoked_at timestamptz
) with (fillfactor = 80);
create index api_key_owner on api_key (namespace, owner, key);
create index api_key_expires on api_key (expires_at);
