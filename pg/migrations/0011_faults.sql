-- Workers say what keeps them from work: an array of {"pool", "executor", "text"}.
-- Locks: worker, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working; what they record of a worker leaves its faults as they are.
alter table worker add column faults jsonb not null default '[]';
