-- Contents of bundles are those of who put them: who knows a digest alone has nothing.
-- Locks: contents of bundles, exclusively, while an index of them is made.
-- Older coordinators: go on working. They have no bundles.

alter table bundle_blob add column user_id text default ''; -- who put it; empty: somebody who may see all; null: somebody who was erased
drop index bundle_blob_once;
create unique index bundle_blob_once on bundle_blob (namespace, sha256, user_id);
