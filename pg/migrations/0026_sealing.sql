-- Since when values are sealed, or are not; when the round of the walker began that seals, reseals or opens rows.
-- Locks: cluster, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working.
alter table cluster add column sealing_since timestamptz not null default '-infinity';
alter table seal_walk add column began timestamptz not null default now();
