-- What a readiness check writes, and undoes: no row ever stays. Its rows fill a page each, so that each needs new space.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working.
create table write_check (filler text not null);
alter table write_check alter column filler set storage plain;
