-- name: InsertLabels
-- Labels of new trees: $1 trees, $2 keys, $3 values. No locks but those of the new rows.
insert into label (tree, key, value) select * from unnest($1::bigint[], $2::text[], $3::text[])

-- name: KeepTree
-- Whether the tree $1 is there; it stays until the transaction ends. Locks: the tree, against its deletion only.
select key from tree where key = $1 for key share

-- name: DeleteLabels
delete from label where tree = $1

-- name: LabelledTrees
-- Trees below $1 that have all the labels $2, with the values $3 (null: any), newest first: at most $4 of them, in at most $5 steps. A row tells
-- where a step has come to, and whether that is such a tree; after the last step without a hit there may be more below. Each step asks each
-- label's index once for the next tree below, and goes on from the lowest of the answers, so that the rarest label sets the pace. Comparing rows is what
-- leaves the planner one index for each. No locks.
with recursive walk(tree, hit, hits, step) as (
  select $1::bigint, false, 0, 0
  union all
  select n.low, n.low = n.high, w.hits + (n.low = n.high)::integer, w.step + 1
  from walk w
  cross join lateral (
    select min(coalesce(l.tree, 0)) as low, max(coalesce(l.tree, 0)) as high
    from unnest($2::text[], $3::text[]) f(key, value)
    left join lateral (
      select max(x.tree) as tree from (
        (select case when label.key = f.key and label.value = f.value then tree end as tree from label
          where (label.key, label.value, label.tree) < (f.key, f.value, w.tree + (w.step > 0 and not w.hit)::integer)
          order by label.key desc, label.value desc, label.tree desc limit 1)
        union all
        (select case when label.key = f.key then tree end from label
          where f.value is null and (label.key, label.tree) < (f.key, w.tree + (w.step > 0 and not w.hit)::integer)
          order by label.key desc, label.tree desc limit 1)) x) l on true) n
  where w.tree > 0 and w.hits < $4 and w.step < $5
)
select tree, hit from walk where step > 0

-- name: TreesByKeys
-- Those of the trees $1 that are of the namespace $2 (null: any), newest first; see TreesDown.
select :tree_columns,
  false as only_optional_failed, (select json_object_agg(label.key, label.value) from label where label.tree = tree.key) as labels, namespace, false as keeping
from tree where key = any($1::bigint[]) and ($2::integer is null or namespace = $2) order by key desc

-- name: DeleteStrayLabels
-- Of the oldest $1 labels those whose trees are gone: a coordinator deleted them that did not know of labels.
delete from label where (tree, key) in (
  select l.tree, l.key from (select tree, key from label order by tree, key limit $1) l
  where not exists (select from tree where tree.key = l.tree offset 0))
