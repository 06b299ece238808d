-- name: ClusterSecret
-- The cluster's secret; the first process offers $1. An update that changes nothing, because a row that somebody else has
-- inserted since this statement began is seen by no select in it.
insert into cluster (secret) values ($1) on conflict (only_one) do update set secret = cluster.secret returning secret

-- name: AskedExecutors
-- Which executors the tasks $1 ask for, and in which words. No locks.
select u.key, s.executor, p.schemas, p.sealed from unnest($1::bigint[]) u(key)
cross join lateral (select executor from spec where spec.key = u.key offset 0) s
left join lateral (select schemas, sealed from payload where payload.key = u.key offset 0) p on true

-- name: CheckWrite
-- Writes a page, for a transaction that is rolled back.
insert into write_check (filler) values (repeat('-', 7500))

-- name: MissingRights
-- The role, the schema of our tables, whether the role may create there, and what it lacks of the rights that a coordinator needs, each
-- as it stands in a grant. Reads the catalogue only; what does not exist is not missed.
with home as (
  select coalesce((select relnamespace from pg_class where oid = to_regclass('cluster')),
    (select relnamespace from pg_class where relname = 'cluster' and relkind in ('r', 'p') order by oid limit 1), -- not in sight
    to_regnamespace(quote_ident(current_schema()))) as oid
), needed as (
  select 'table' as what, unnest(array['agent_task', 'api_key', 'artifact', 'attempt', 'audit_record', 'backfill', 'chunk', 'cluster', 'content', 'coordinator', 'copied', 'data_key', 'description', 'edge', 'epoch', 'erased_tree', 'erasure', 'event', 'executor', 'followup', 'hold', 'keeping', 'label', 'limit_rule', 'model_key', 'model_usage', 'namespace', 'payload', 'pool', 'pool_rule',
    'await', 'bundle', 'bundle_blob', 'bundle_file', 'cache', 'cached', 'caching', 'checkpoint', 'expansion', 'expansion_part', 'fire', 'flow', 'flow_profile', 'flow_run', 'flow_text', 'parked', 'pause', 'published', 'rate', 'ready', 'schedule', 'share', 'signal', 'role_binding', 'role_bindings', 'seal_walk', 'sent_payload', 'spec', 'submission', 'subtree', 'task', 'timer', 'token_secret', 'tree', 'unique_key', 'webhook', 'webhook_cursor', 'webhook_delivery', 'webhook_end', 'waiter', 'worker', 'write_check']) as name, array['select', 'insert', 'update', 'delete'] as rights
  union all select 'table', 'migration', array['select']
  union all select 'sequence', s, array['usage'] from unnest(array['tree_key', 'ready_id_seq', 'fence', 'waiter_id']) s
), lacking as (
  select n.what, n.name, string_agg(r.word, ', ' order by r.at) as rights
  from home h cross join needed n join pg_class c on c.relnamespace = h.oid and c.relname = n.name
  cross join lateral unnest(n.rights) with ordinality r(word, at)
  where case n.what when 'table' then not has_table_privilege(c.oid, r.word) else not has_sequence_privilege(c.oid, r.word) end
  group by n.what, n.name
  union all
  select 'schema', nspname, 'usage' from pg_namespace n join home h on n.oid = h.oid where not has_schema_privilege(n.oid, 'usage')
), lines as (
  select format('%s on %s %s', rights, what, string_agg(quote_ident(name), ', ' order by name)) as line, what, rights
  from lacking group by what, rights
)
select current_user::text, coalesce((select nspname from pg_namespace n where n.oid = h.oid)::text, ''),
  coalesce(has_schema_privilege(h.oid, 'create'), false),
  (select coalesce(array_agg(line order by what, rights), '{}') from lines)
from home h
