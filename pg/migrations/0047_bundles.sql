-- Bundles: versions of directories of flows, profiles and templates, which runs of flows pin.
-- Locks: flows and their runs, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working. What they store names no bundle.

-- Versions of bundles. None ever changes but for the times. One that nothing names goes after a time.
create table bundle (
  key         bigint generated always as identity primary key,
  namespace   integer not null,
  id          text not null,
  fingerprint text not null,                            -- of the list of files, as who fetched it saw it
  digest      text not null,                            -- of the content of all files
  user_id     text,                                     -- whose it is; null: nobody's
  body        json,                                     -- what its manifest says; null: it is sealed
  sealed      bytea,                                    -- likewise
  files       integer not null,
  bytes       bigint not null,
  deleted     boolean not null default false,           -- it is there for its runs alone
  created_by  text not null,
  created_at  timestamptz not null default now(),
  applied_at  timestamptz not null default now(),       -- the latest is the version that counts
  used_at     timestamptz not null default now()        -- when somebody last meant to name it
);
create unique index bundle_version on bundle (namespace, id, fingerprint, digest);
create index bundle_latest on bundle (namespace, id, applied_at);

-- Contents of files, each once in a namespace.
create table bundle_blob (
  key       bigint generated always as identity primary key,
  namespace integer not null,
  sha256    bytea not null,
  size      bigint not null,
  content   bigint,                                     -- in the store of artifacts; null: it is here
  body      json,                                       -- in base64, a string; null: it is sealed, or in content
  sealed    bytea,                                      -- likewise
  used_at   timestamptz not null default now()
);
create unique index bundle_blob_once on bundle_blob (namespace, sha256);
create index bundle_blob_content on bundle_blob (content) where content is not null;

-- The files of a version. The one without a path is the list of all others.
create table bundle_file (
  bundle bigint not null,
  path   text not null,
  blob   bigint not null,
  primary key (bundle, path)
);
create index bundle_file_blob on bundle_file (blob);

alter table flow add column bundle text;                -- the bundle of its runs, by id; null: none
alter table flow_run add column bundle bigint;          -- null: none
alter table flow_run add column stale boolean not null default false; -- the source of the bundle had failed
create index flow_run_bundle on flow_run (bundle) where bundle is not null;
