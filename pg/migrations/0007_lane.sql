-- What of a lane lies in NATS can be found, latest first: before an unlocked task is handed over.
-- Locks: published, shared, while its index is built: milliseconds, as a row stays some 15 s in it.
-- Older coordinators: go on working.
create index published_lane on published (pool, priority, id);
