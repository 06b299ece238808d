-- Makes a statement fail that changed another number of rows than was decided: its transaction's commit is sent along with
-- it, so that only the server can stop it.
-- Locks: nothing.
-- Older coordinators: go on working.
create function changed(got bigint, wanted bigint, what text) returns boolean language plpgsql as $$
begin
  if got <> wanted then
    raise exception '%: changed % of % rows', what, got, wanted using errcode = 'TG001';
  end if;
  return true;
end $$;
