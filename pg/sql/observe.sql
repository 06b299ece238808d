-- name: Backlogs
-- What is left to do: of the 20 000 trees that are open longest, how many are executed, and how many seconds ago the first of them began, or was stored if none of its tasks has;
-- by how many seconds the timer is late that is due first; followups, up to 20 000; the newest migration. No locks. Index walks with an end.
select t.n, t.oldest, coalesce((select greatest(0, extract(epoch from now() - at)) from timer order by at limit 1), 0)::double precision,
  (select count(*) from (select from followup limit 20000) f), (select coalesce(max(name), '') from migration)
from (
  select count(*) as n, coalesce(extract(epoch from now() - min(coalesce(started_at, created_at))), 0)::double precision as oldest
  from (select created_at, started_at, unfinished from tree where finished_at is null order by key limit 20000) o where unfinished > 0) t
