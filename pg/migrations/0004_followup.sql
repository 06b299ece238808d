-- Follow-up work gets the name that the code has for it. Coordinators from before the first version must have stopped.
-- Locks chore exclusively, for an instant; no row is rewritten.
alter table chore rename to followup;
alter index chore_pkey rename to followup_pkey;
