-- What each worker runs in each of its pools, and how much it began and ended there, as its beats say.
-- Locks: worker, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working; beats that they take leave the column as it is.
alter table worker add column counts jsonb not null default '{}';
