-- Locks that are held on for the parent of who took them.
-- Locks: hold, exclusively, for an instant; no row is rewritten. The index is made of what is held, which is little.
-- Older coordinators: go on working. While one lives, no tree is stored that asks for it.
alter table hold add column span bigint; -- the task for which it is held, since who took it has succeeded; null: for the attempt
create index hold_span on hold (span) where span is not null;
