-- name: TakeBindings
-- One after the other changes bindings: what each finds stays true until it commits.
select version from role_bindings for update

-- name: BindingsVersion
select version from role_bindings

-- name: AllBindings
-- Every binding, to be kept in memory; $1 is their bound.
select key, namespace, subject_kind, subject, issuer, role, granted_by, granted_at from role_binding order by key limit $1

-- name: Bindings
-- Bindings of a namespace (null: of all, and of the cluster) after a key, of a subject unless that is empty.
select key, namespace, subject_kind, subject, issuer, role, granted_by, granted_at from role_binding
where ($1::text is null or namespace = $1) and key > $2 and ($3 = '' or subject = $3) order by key limit $4

-- name: GrantRole
-- Stores a binding, unless it is there, or there are $7. Says whether the namespace is there and whether there is room; then the binding, if there is one.
with place as (select key from namespace where name = $1 and closed_at is null union all select null where $1 = '*'),
room as (select count(*) < $7 as free from (select from role_binding limit $7) f),
old as (
  select key, namespace, subject_kind, subject, issuer, role, granted_by, granted_at from role_binding
  where namespace = $1 and subject_kind = $2 and subject = $3 and issuer = $4 and role = $5),
new as (
  insert into role_binding (namespace, space, subject_kind, subject, issuer, role, granted_by)
  select $1::text, place.key, $2::text, $3::text, $4::text, $5::text, $6::text from place, room where free and not exists (select from old)
  returning key, namespace, subject_kind, subject, issuer, role, granted_by, granted_at)
select exists (select from place), free, b.* from room left join (select * from old union all select * from new) b on true

-- name: RevokeRole
-- Deletes a binding, but for the last one by which somebody is an admin of the cluster, unless $6. Says how many were found, and deleted.
with old as (select key, namespace, role from role_binding where namespace = $1 and subject_kind = $2 and subject = $3 and issuer = $4 and role = $5),
gone as (
  delete from role_binding b using old
  where b.key = old.key and ($6::boolean or old.namespace <> '*' or old.role <> 'admin'
    or exists (select from role_binding o where o.namespace = '*' and o.role = 'admin' and o.key <> old.key))
  returning b.key)
select (select count(*) from old), (select count(*) from gone)
