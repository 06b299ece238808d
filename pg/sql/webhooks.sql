-- name: InsertWebhooks
-- Webhooks of executions that begin: $1 trees, in whose transaction this is, and what each webhook is.
-- Locks: the trees.
with w as (
  insert into webhook (tree, id, name, events, config, sealed, host)
  select u.tree, u.id, u.name, 0, u.config::json, u.sealed, u.host
  from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[]) u(tree, id, config, sealed, host, name)
  returning key, tree, host
), c as (
  insert into webhook_cursor (tree, webhook, sequence, host)
  select w.tree, w.key, t.execution_start, w.host
  from w cross join lateral (select execution_start from tree where tree.key = w.tree offset 0) t
)
update tree set hooked = true where key = any($1::bigint[])

-- name: AttachWebhook
-- A webhook of the tree $1, told from the next event on. No row: the tree is not there.
-- Locks: the tree, which no event passes meanwhile.
with t as (
  update tree set hooked = true where key = $1 returning key, sequence
), w as (
  insert into webhook (tree, id, name, events, config, sealed, host)
  select key, $2, $3, 0, $4::json, $5, $6 from t returning key, tree
)
insert into webhook_cursor (tree, webhook, sequence, host)
select w.tree, w.key, t.sequence, $6 from w join t on t.key = w.tree

-- name: InsertWebhook
-- One of the cluster, for the trees of the namespace $7, kept by the owner $8 unless that is empty. The transaction's id: who has a smaller one may not have seen it.
insert into webhook (id, name, events, config, sealed, host, namespace, owner) values ($1, $2, $3, $4::json, $5, $6, $7, nullif($8::text, ''))
returning pg_current_xact_id()::text::bigint

-- name: UpdateWebhook
-- Changes one of the cluster that has the revision $10; its cursors go to the new host. It is of the owner $11.
with w as (
  update webhook set name = $2, events = $3, config = $4::json, sealed = $5, host = $6, active = $7, reason = case when $7 then null else $8 end,
    failing_from = case when active = $7 then failing_from end, owner = nullif($11::text, ''), revision = revision + 1
  where id = $1 and namespace = $9 and tree is null and revision = $10 returning key, active
), gone as (
  delete from webhook_cursor where webhook in (select key from w where not active)
), moved as (
  update webhook_cursor set host = $6 where webhook in (select key from w where active) and host <> $6
)
select count(*) from w

-- name: Webhooks
-- Those of the cluster ($1 null) or of a tree, after a key; or the one with the id $4. Of the namespace $5, or of a tree of it.
select w.key, w.id, coalesce(w.tree, 0), coalesce(w.name, ''), w.events, w.active, w.config, w.sealed, w.host, w.created_at, w.failing_from, coalesce(w.reason, ''),
  coalesce((select root_id from tree where tree.key = w.tree), ''), (select count(*) from webhook_cursor c where c.webhook = w.key), coalesce(w.owner, ''), w.revision
from webhook w
where case when $4::text is not null then w.id = $4 else w.tree is not distinct from $1::bigint and w.key > $2 end
  and case when w.tree is null then w.namespace = $5 else exists (select from tree where tree.key = w.tree and tree.namespace = $5) end
order by w.key limit $3

-- name: DeleteWebhook
-- Of the namespace $2, or of a tree of it; if it has the revision $3, or whatever it has if that is null.
with w as (
    delete from webhook where id = $1 and revision = coalesce($3, revision) and case when tree is null then namespace = $2 else exists (select from tree where tree.key = webhook.tree and tree.namespace = $2) end
    returning key),
  c as (delete from webhook_cursor where webhook in (select key from w)),
  d as (delete from webhook_delivery where webhook in (select key from w))
select count(*) from w

-- name: DeliveriesOf
-- Of a webhook, newest first, before a key. $3: only those that were not delivered.
select d.key, d.webhook, coalesce(d.tree, 0), coalesce(t.root_id, ''), d.sequence, d.event, d.outcome, d.attempts, d.status, d.latency_us, coalesce(d.error, ''), d.at
from webhook_delivery d left join lateral (select root_id from tree where tree.key = d.tree offset 0) t on true
where d.webhook = $1 and d.key < $2 and (not $3::boolean or d.outcome <> :delivery_done) order by d.key desc limit $4

-- name: DeliveryByKey
select d.key, d.webhook, coalesce(d.tree, 0), coalesce(t.root_id, ''), d.sequence, d.event, d.outcome, d.attempts, d.status, d.latency_us, coalesce(d.error, ''), d.at,
  (select id from webhook where key = d.webhook)
from webhook_delivery d left join lateral (select root_id from tree where tree.key = d.tree offset 0) t on true
where d.key = $1

-- name: DeleteStrayWebhooks
-- What is left of webhooks of trees that coordinators of a version before deleted, among the first $1; and of webhooks that are gone.
with w as (delete from webhook where key in (
    select key from (select key, tree from webhook where tree is not null order by key limit $1) f where not exists (select from tree where tree.key = f.tree)) returning key, tree),
  c as (delete from webhook_cursor where (tree, webhook) in (
    select f.tree, f.webhook from (select tree, webhook from webhook_cursor order by tree, webhook limit $1) f
    where case when f.tree < 0 then not exists (select from fire where fire.key = -f.tree) else not exists (select from tree where tree.key = f.tree) end or not exists (select from webhook where webhook.key = f.webhook))),
  e as (delete from webhook_end where (tree, sequence) in (
    select f.tree, f.sequence from (select tree, sequence from webhook_end order by tree, sequence limit $1) f where not exists (select from tree where tree.key = f.tree)))
delete from webhook_delivery where webhook in (select key from w)

-- name: AuditWebhooks
-- Cursors that were due long ago ($1 seconds), or whose tree or webhook is gone, at most $2.
select 'webhook_stuck' as kind, tree, 0::bigint as task, format('webhook %s of tree %s was due at %s', webhook, tree, due) as text
from webhook_cursor where due < now() - $1::double precision * interval '1 second' order by due limit $2

-- name: OpenBefore
-- Whether a transaction with an id up to $1 is still open.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= $1::bigint

-- name: TakeWebhooks
-- Up to $1 cursors that are due and whose trees have events after them, or whose holder's time is over, for the holder $2 until $3 seconds
-- from now; none of the hosts $4. Locks: cursors, skipping those that another coordinator takes.
with d as (
  select c.tree, c.webhook from webhook_cursor c
  where c.due <= now() and c.host <> all($4::text[]) order by c.due limit $1 for update skip locked
), c as (
  update webhook_cursor c set due = now() + $3::double precision * interval '1 second', holder = $2
  from d where c.tree = d.tree and c.webhook = d.webhook
  returning c.tree, c.webhook, c.sequence, c.attempts, c.wanted
)
select c.tree, c.webhook, c.sequence, c.attempts, c.wanted, w.id, w.tree is null, coalesce(w.name, ''), w.events, w.active, w.config, w.sealed, w.host, w.failing_from
from c left join lateral (select * from webhook where key = c.webhook offset 0) w on true

-- name: PassOverWebhooks
-- Lets up to $1 cursors rest for $2 seconds that are due and have nothing to tell.
update webhook_cursor c set due = now() + $2::double precision * interval '1 second'
from (
  select c.tree, c.webhook from webhook_cursor c
  cross join lateral (select sequence from tree where tree.key = c.tree offset 0) t
  where c.due <= now() and c.holder is null and c.attempts = 0 and t.sequence <= c.sequence
  order by c.due limit $1 for update of c skip locked) d
where c.tree = d.tree and c.webhook = d.webhook

-- name: NextWebhook
-- In how many seconds the next cursor is due.
select extract(epoch from due - now())::double precision from webhook_cursor order by due limit 1

-- name: NudgeWebhooks
-- The trees $1 have events: their cursors are due, but for those that are held, or wait to be tried again.
update webhook_cursor set due = now() where tree = any($1::bigint[]) and holder is null and attempts = 0 and due > now()

-- name: MoveWebhook
-- The holder $3 of a cursor gives it back, after the event $4 and $5 attempts at the next one, to be taken again in $6 seconds, or, if that is 0
-- and there are no more events, in $7. Expects: the same holder. True: it was.
update webhook_cursor c set sequence = $4, attempts = $5, holder = null, due = case
  when $6::double precision > 0 then now() + $6 * interval '1 second'
  when coalesce((select t.sequence > $4 from tree t where t.key = c.tree), true) then now() else now() + $7::double precision * interval '1 second' end
where c.tree = $1 and c.webhook = $2 and c.holder = $3
returning true

-- name: EndWebhook
-- The holder $3 of a cursor has told all that it is for. $4: it is of an execution; else it goes only if its tree has no more to tell after the
-- event $5, and no execution has asked for it since ($6). True: it is gone.
delete from webhook_cursor c where c.tree = $1 and c.webhook = $2 and c.holder = $3 and ($4::boolean or c.wanted = $6::integer and not exists (
  select from tree t where t.key = c.tree and (t.sequence > $5::bigint or t.finished_at is null)))
returning true

-- name: InsertDeliveries
-- What became of deliveries of the webhook $1; nothing once that is gone, or the tree was erased.
insert into webhook_delivery (webhook, tree, sequence, event, outcome, attempts, status, latency_us, error)
select $1, nullif(u.tree, 0), u.sequence, u.event, u.outcome, u.attempts, u.status, u.latency_us, nullif(u.error, '')
from unnest($2::bigint[], $3::bigint[], $4::text[], $5::smallint[], $6::integer[], $7::integer[], $8::bigint[], $9::text[])
  u(tree, sequence, event, outcome, attempts, status, latency_us, error)
where exists (select from webhook where key = $1) and not exists (select from erased_tree where erased_tree.tree = u.tree offset 0)
returning key, at, coalesce(tree, 0), sequence

-- name: TrimDeliveries
-- Only the last $2 deliveries of a webhook stay.
delete from webhook_delivery where webhook = $1 and key <= (
  select key from webhook_delivery where webhook = $1 order by key desc offset $2 limit 1)

-- name: WebhookSucceeded
update webhook set failing_from = null where key = $1 and failing_from is not null

-- name: WebhookFailed
update webhook set failing_from = now() where key = $1 and failing_from is null

-- name: DisableWebhook
-- A webhook is told no more, for the reason $2; what waits for it is dropped.
with w as (update webhook set active = false, reason = $2 where key = $1 and active returning key)
delete from webhook_cursor where webhook = (select key from w)

-- name: EndsOf
-- How executions of a tree ended, after an event.
select sequence, status, progress from webhook_end where tree = $1 and sequence > $2 order by sequence limit $3

-- name: DeleteTreeWebhooks
with d as (delete from webhook_delivery where webhook = any(array(select key from webhook where tree = $1))),
  c as (delete from webhook_cursor where tree = $1),
  e as (delete from webhook_end where tree = $1)
delete from webhook where tree = $1
