-- Who keeps limits, webhooks of the cluster and schedules in files, and how often each has changed.
-- Locks: schedule, webhook and the rules of limits, exclusively, until webhook has been read once; no row is rewritten.
-- Older coordinators: go on working. What they change keeps its owner and its revision.
alter table limit_rule add column owner text;                       -- null: nobody
alter table limit_rule add column revision integer not null default 1;
alter table webhook add column owner text;                          -- of one of the cluster; null: nobody
alter table webhook add column revision integer not null default 1; -- raised by each change that a person makes
alter table schedule add column owner text;                         -- null: nobody
create unique index webhook_owned on webhook (namespace, owner, name) where owner is not null;
