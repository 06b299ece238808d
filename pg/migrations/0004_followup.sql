-- Follow-up work gets the name that the code has for it.
-- Locks: chore, exclusively, for an instant; no row is written anew.
-- Older coordinators: must have stopped, as they look for chore.
alter table chore rename to followup;
alter index chore_pkey rename to followup_pkey;
