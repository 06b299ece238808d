-- What each start of a task looks for: whether its pool is held back.
-- Locks: what operators have set, exclusively, for an instant; both tables are small.
-- Older coordinators: go on working. While one lives, neither has a row.

-- Whose tasks must not be published at once: those of a pool, 0: of all pools; null: of none.
alter table pause add column gate integer generated always as (case scope when 1 /* pause_everything */ then 0 when 2 /* pause_pool */ then pool end) stored;
create index pause_gate on pause (gate) where gate is not null;
alter table limit_rule add column gate integer generated always as (case when max is null then null when kind = 4 /* kind_pool */ then pool when kind = 5 /* kind_user */ then 0 end) stored;
create index limit_rule_gate on limit_rule (gate) where gate is not null;
