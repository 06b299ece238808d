-- Roles that users, groups and machines hold, beside what their credentials and the settings say.
-- Locks: namespace, shared, for an instant, as the new table refers to it.
-- Older coordinators: go on working. They give nobody a role that is stored here.
create table role_binding (
  key        bigint generated always as identity primary key,
  namespace  text not null,               -- its name, or *: all, and the cluster itself
  space      integer references namespace on delete cascade, -- its key; null: all
  subject_kind text not null,             -- user, group, machine
  subject    text not null,               -- who
  issuer     text not null,               -- who says so; empty: whoever
  role       text not null,
  granted_by text not null,               -- empty: nobody was asked
  granted_at timestamptz not null default now(),
  unique (namespace, subject_kind, subject, issuer, role)
);
create index role_binding_space on role_binding (space);

-- One row, whose number changes with every change of the table above, so that coordinators read that one only then. Who changes it locks the row.
create table role_bindings (version bigint not null);
insert into role_bindings values (0);

create function count_role_bindings() returns trigger language plpgsql as $$
begin
  update role_bindings set version = version + 1;
  return null;
end $$;
create trigger role_binding_changes after insert or update or delete on role_binding for each statement execute function count_role_bindings();
