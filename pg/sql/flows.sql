-- Registered flows, and runs of flows. Who begins a later revision of a run locks the tree of the one before it.

-- name: FindFlowText
-- The text with the digest $2 of the namespace $1, unless it may be deleted soon.
select key from flow_text where namespace = $1 and sha256 = $2 and used_at > now() - interval '10 minutes'

-- name: PutFlowText
insert into flow_text (namespace, sha256, body, sealed) values ($1, $2, $3::json, $4)
on conflict (namespace, sha256) do update set used_at = now() returning key

-- name: FlowText
select namespace, body, sealed from flow_text where key = $1

-- name: ForgetFlowTexts
-- Up to $1 texts that nothing names, and that nobody has meant to name for an hour.
delete from flow_text where key in (
  select t.key from flow_text t where t.used_at < now() - interval '1 hour'
    and not exists (select from flow where flow.text = t.key) and not exists (select from flow_run where flow_run.text = t.key) limit $1)
  and used_at < now() - interval '1 hour'

-- name: LockFlows
-- One version is stored at a time in the namespace $1.
select pg_advisory_xact_lock(7251, $1)

-- name: LastFlow
-- The newest version of the flow $2 of the namespace $1. No row: there is none.
select f.key, f.id, f.version, coalesce(f.user_id, ''), f.text, t.sha256, f.created_by, f.created_at, coalesce(f.bundle, '')
from flow f join flow_text t on t.key = f.text where f.namespace = $1 and f.id = $2 order by f.version desc limit 1

-- name: CountFlows
-- How many flows the namespace $1 has, up to $2.
select count(*) from (select distinct id from flow where namespace = $1 limit $2) f

-- name: InsertFlow
-- Expects: LockFlows. Versions $7 and more before it are forgotten: runs have their texts.
with old as (delete from flow where namespace = $1 and id = $2 and version <= $3::integer - $7::integer)
insert into flow (namespace, id, version, user_id, text, created_by, bundle) values ($1, $2, $3, nullif($4, ''), $5, $6, nullif($8, '')) returning key, created_at

-- name: FlowVersions
-- Versions of the flow $2 of the namespace $1, the newest first: the one that $3 says, or all if it is 0; at most $4.
select f.key, f.id, f.version, coalesce(f.user_id, ''), f.text, t.sha256, f.created_by, f.created_at, coalesce(f.bundle, '')
from flow f join flow_text t on t.key = f.text where f.namespace = $1 and f.id = $2 and ($3 = 0 or f.version = $3) order by f.version desc limit $4

-- name: FlowsBehind
-- The newest versions of the flows of the namespace $1 with ids behind $2, of the user $3 unless it is empty; $4 of them.
select f.key, f.id, f.version, coalesce(f.user_id, ''), f.text, t.sha256, f.created_by, f.created_at, coalesce(f.bundle, '')
from flow f join flow_text t on t.key = f.text
where f.namespace = $1 and f.id > $2 and ($3 = '' or f.user_id = $3)
  and not exists (select from flow n where n.namespace = f.namespace and n.id = f.id and n.version > f.version)
order by f.id limit $4

-- name: FlowsToRun
-- The versions $3 (0: the newest) of the flows $2 of the namespaces $1, each with its number in these lists, its text, and whether that was meant to be named a short while ago.
select u.n::integer, f.version, t.key, t.used_at > now() - interval '10 minutes', t.body, t.sealed, coalesce(f.bundle, ''), coalesce(f.user_id, '')
from unnest($1::integer[], $2::text[], $3::integer[]) with ordinality u(namespace, id, version, n)
cross join lateral (
  select flow.version, flow.text, flow.bundle, flow.user_id from flow where flow.namespace = u.namespace and flow.id = u.id and (u.version = 0 or flow.version = u.version) order by flow.version desc limit 1) f
join flow_text t on t.key = f.text

-- name: OwnerOfFlow
select coalesce(user_id, '') from flow where namespace = $1 and id = $2 order by version desc limit 1

-- name: DeleteFlow
-- All versions of the flow $2 of the namespace $1, if it is the user's $3, unless that is empty. Its runs stay.
delete from flow where namespace = $1 and id = $2 and ($3 = '' or user_id = $3)

-- name: EraseFlows
-- The flows of the user $2 of the namespace $1.
with gone as (delete from flow where user_id = $2 and namespace = $1 returning id)
select count(distinct id) from gone

-- name: HoldRevisions
-- The trees $1, each of the revision before one that begins. Expects: they have ended; fails otherwise. Locks: the trees.
select changed(count(*), cardinality($1::bigint[]), 'begin revisions of runs')
from (select from tree where key = any($1::bigint[]) and finished_at is not null for no key update) t

-- name: InsertFlowRuns
-- The runs that new trees are.
insert into flow_run (namespace, flow_id, run_id, revision, user_id, version, text, body, sealed, tree, root_id, created_by, schedule_id, fire_time, bundle, stale)
select namespace, flow_id, run_id, revision, nullif(user_id, ''), nullif(version, 0), text, body::json, sealed, tree, root_id, created_by, nullif(schedule_id, ''), fire_time, nullif(bundle, 0), stale
from unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::bigint[], $8::text[], $9::bytea[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::timestamptz[], $15::bigint[], $16::boolean[])
  u(namespace, flow_id, run_id, revision, user_id, version, text, body, sealed, tree, root_id, created_by, schedule_id, fire_time, bundle, stale)

-- name: FlowRunsNamed
-- The revisions of the runs $2 of the namespace $1, of the flow $3 and the user $4 unless they are empty, the newest first; of each run the body of its newest.
select r.key, r.flow_id, r.run_id, r.revision, coalesce(r.user_id, ''), coalesce(r.version, 0), r.text, (select t.sha256 from flow_text t where t.key = r.text), coalesce(r.bundle, 0), r.stale, r.created_by, r.created_at, r.root_id, r.tree,
  tree.finished_at, tree.failed, tree.allowed, tree.cancelled, coalesce(r.schedule_id, ''), r.fire_time,
  case when r.n = 1 then r.body end, case when r.n = 1 then r.sealed end
from (select *, row_number() over (partition by flow_id order by revision desc) as n from flow_run where namespace = $1 and run_id = $2 and ($3 = '' or flow_id = $3) and ($4 = '' or user_id = $4)
  order by flow_id, revision desc limit 1000) r
cross join lateral (select finished_at, failed, allowed, cancelled from tree where tree.key = r.tree offset 0) tree
order by r.flow_id, r.revision desc

-- name: FlowRunsDown
-- The newest revisions of the runs of the namespace $1 below the key $2, the newest first: $3 of them; of the flow $4 and the user $5, unless they are empty.
select r.key, r.flow_id, r.run_id, r.revision, coalesce(r.user_id, ''), coalesce(r.version, 0), r.text, (select t.sha256 from flow_text t where t.key = r.text), coalesce(r.bundle, 0), r.stale, r.created_by, r.created_at, r.root_id, r.tree,
  tree.finished_at, tree.failed, tree.allowed, tree.cancelled, coalesce(r.schedule_id, ''), r.fire_time, null::json, null::bytea
from flow_run r
cross join lateral (select finished_at, failed, allowed, cancelled from tree where tree.key = r.tree offset 0) tree
where r.namespace = $1 and r.key < $2 and ($4 = '' or r.flow_id = $4) and ($5 = '' or r.user_id = $5)
  and not exists (select from flow_run n where n.namespace = r.namespace and n.flow_id = r.flow_id and n.run_id = r.run_id and n.revision > r.revision)
order by r.key desc limit $3

-- name: OwnerOfRun
-- Whose the run $2 of the namespace $1 is, of the flow $3 unless that is empty: of several, that of the user $4.
select coalesce(user_id, '') from flow_run where namespace = $1 and run_id = $2 and ($3 = '' or flow_id = $3) order by user_id is not distinct from $4 desc, flow_id, revision desc limit 1
