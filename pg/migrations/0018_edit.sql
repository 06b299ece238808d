-- Trees change after they were stored. A task that was deleted leaves a gap, and no other task ever gets its key, as messages about it may
-- still be on their way: span is how many keys the tree has used. What an open attempt was sent is kept when its task is changed, so that
-- all parts of large inputs are of one piece.
-- Locks: tree, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no stored tree is changed.
alter table tree add column span integer; -- null: tasks

create table sent_payload (
  key     bigint not null,
  attempt integer not null,
  inputs  json,
  params  json,
  schemas json,
  primary key (key, attempt)
);
