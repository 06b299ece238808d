-- Schedules whose runs are runs of registered flows.
-- Locks: fire, and runs of flows, exclusively, for an instant; no row is rewritten.
-- Older coordinators: go on working. While one lives, no schedule is stored that names a flow.
alter table flow_run add column schedule_id text;        -- that it comes from; null: none
alter table flow_run add column fire_time timestamptz;   -- the instant; null: likewise
alter table fire add column flow_id text;                -- of its run of a flow; null: its tree is of none, or there is none
alter table fire add column flow_version integer;        -- likewise
alter table fire add column run_id text;                 -- likewise
