-- The secrets by which the webhook of a schedule knows its callers.
-- Locks: schedule, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. No version that knew schedules without webhooks was released.
alter table schedule add column secrets bytea;            -- sealed: the newest secret, and the one before; null: none, and nobody may call
alter table schedule add column secret_at timestamptz;    -- when the newest was made
alter table schedule add column secret_until timestamptz; -- until when the one before counts as well; null: it does not
