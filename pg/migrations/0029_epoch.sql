-- The servers that the database has been on: a row for each line of history (timeline) of each, written by the first coordinator that
-- comes to it. So a former primary, which lacks the row of its successor, can be told from the present one, whose row is newer.
-- An operator who puts files back to an earlier moment raises the generation.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working. They refuse no server.
create table epoch (
  system   bigint not null,  -- identifier of the server's files, made when they were
  timeline integer not null, -- counts the promotions and restores in their history
  id       uuid not null default gen_random_uuid(), -- two servers may have taken the same number
  began    timestamptz not null default clock_timestamp(),
  generation bigint not null default 0, -- when files were put back last, in seconds since 1970; 0: never; counts before the timeline
  primary key (system, timeline)
);
