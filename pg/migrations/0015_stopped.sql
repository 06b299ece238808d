-- An attempt that was cancelled says when that was asked for; when its work had stopped, finished_at says.
-- Locks: attempt, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working; attempts whose receipts they record don't say it.
alter table attempt add column cancelled_at timestamptz; -- null: not cancelled, or its work has not stopped
