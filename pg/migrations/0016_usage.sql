-- What attempts used of models: a row for each attempt and model, of those that used any. Rows go with their tree.
-- Locks: nothing; the table is new.
-- Older coordinators: go on working. They drop the usage in results that they record, and leave that of trees that they delete, which a
-- newer coordinator deletes in time.
create table model_usage (
  task       bigint not null,
  attempt    integer not null,
  model      text not null,
  currency   text not null,        -- of cost_nanos; '': no call has a price
  user_id    text,                 -- the tree's
  at         timestamptz not null, -- when the attempt's end was recorded
  calls      bigint not null,
  prompt     bigint not null,      -- tokens that were read, those from a cache too
  completion bigint not null,      -- tokens that were written
  cached     bigint not null,      -- part of prompt that came from a cache
  cost_nanos bigint not null,
  unpriced   bigint not null,      -- calls whose cost is not known
  primary key (task, attempt, model, currency)
);
create index model_usage_at on model_usage (at);
create index model_usage_user on model_usage (user_id, at) where user_id is not null;
