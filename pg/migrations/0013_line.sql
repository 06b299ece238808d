-- Workers say how many of their attempts wait for a slot: they are claimed ahead, and do not run yet.
-- Locks: worker, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working; what they record of a worker leaves the number as it is, so who reads it trusts it up to the
-- number of attempts only.
alter table worker add column in_line integer not null default 0;
