-- By when trees are to have ended.
-- Locks: tree, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no tree is stored that says when it is due.
alter table tree add column due_at timestamptz;  -- by when it is to have ended; null: it is never late
alter table tree add column late_at timestamptz; -- since when it was late; null: it was not
