-- name: FirstTokenSecret
-- The cluster's secret is that of generation 0, unless there have been others.
insert into token_secret (number, secret, sealed) select 0, secret, false from cluster where not exists (select from token_secret)
on conflict do nothing

-- name: TokenSecrets
-- All generations, by number. One may claim for $1 seconds after the next one began.
select number, secret, sealed, retired_at is null and (superseded_at is null or now() < superseded_at + $1 * interval '1 second'), retired_at is null
from token_secret order by number

-- name: AddTokenSecret
-- Adds the generation after $1, unless there is one already, or $4 are in use. Locks: generation $1.
with before as (
  update token_secret set superseded_at = now() where number = $1 and superseded_at is null
    and (select count(*) from token_secret where retired_at is null) < $4 returning number
)
insert into token_secret (number, secret, sealed) select number + 1, $2, $3 from before

-- name: RetireTokenSecrets
-- Retires generations that claimed until over two minutes ago, once no attempt is open that may have been claimed with one of their tokens:
-- workers list theirs with each beat, and one that has ended without all taken back may have had any.
-- Locks: generations.
update token_secret g set retired_at = now()
where retired_at is null and superseded_at + ($1 + 120) * interval '1 second' < now()
  and not exists (select from worker where state in (:worker_departed) and attempts <> '{-1}')
  and not exists (
    select from worker w cross join lateral unnest(w.attempts) a(key)
    cross join lateral (select from task where key = a.key and worker = w.key and started_at < g.superseded_at + ($1 + 60) * interval '1 second' offset 0) t
    where w.state in (:worker_live))

-- name: ForgetTokenSecrets
-- Deletes generations that were retired over $1 seconds ago; of generation 0, which the cluster's row has too, the secret becomes $2 there.
with gone as (
  delete from token_secret where retired_at < now() - $1 * interval '1 second' returning number
)
update cluster set secret = $2 where exists (select from gone where number = 0)

-- name: SetModelKey
-- Keeps a user's key, unless a later one is kept.
insert into model_key (namespace, user_id, provider, sealed, at, made_by) values ($1, $2, $3, $4, $5, $6)
on conflict (namespace, user_id, provider) do update set sealed = excluded.sealed, at = excluded.at, made_by = excluded.made_by
where (model_key.at, model_key.made_by) < (excluded.at, excluded.made_by)

-- name: DeleteModelKeys
-- Deletes a user's key of the provider $3, or all if $4, and gives the providers.
delete from model_key where namespace = $1 and user_id = $2 and (provider = $3 or $4) returning provider

-- name: ModelKeysMark
-- Differs when keys were set or deleted.
select count(*), coalesce(max(at), 0), coalesce(sum(at % 1000000007), 0)::bigint from model_key

-- name: ModelKeys
-- All keys, at most $1.
select namespace, user_id, provider, sealed, at, made_by from model_key order by namespace, user_id, provider limit $1

-- name: ResealModelKey
-- Replaces the envelope $4 of a key by $5.
update model_key set sealed = $5 where namespace = $1 and user_id = $2 and provider = $3 and sealed = $4
