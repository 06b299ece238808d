-- Large values are compressed by lz4, where the server was built with it: pglz takes longer to compress a JSON document than
-- all that is done with it besides. Parts of results live until their attempt is settled and are not compressed at all.
-- Locks: payload, attempt and chunk, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working.
do $$
begin
  alter table payload alter column inputs set compression lz4, alter column params set compression lz4,
    alter column schemas set compression lz4, alter column custom set compression lz4;
  alter table attempt alter column result set compression lz4;
exception when feature_not_supported then
  null;
end $$;
alter table chunk alter column data set storage external;
