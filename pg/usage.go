package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// summedUsage are the columns of sums of usage, in the order in which scanUsed reads them. A sum stays at the largest number.
var summedUsage = func() string {
	var columns []string
	for _, name := range []string{"calls", "prompt", "completion", "cached", "cost_nanos", "unpriced"} {
		columns = append(columns, fmt.Sprintf("least(sum(%[1]s), 9223372036854775807)::bigint as %[1]s", name))
	}
	return strings.Join(columns, ", ")
}()

// sums are the statements that summed completes.
var sums = []string{"UsageInTime", "UsageOfUser", "UsageOfKeys"}

// summed sums up what a statement picks, by groups. Trees are told by their roots, and sorted by how old they are.
func summed(statement string) string {
	return fmt.Sprintf(`with picked as materialized (%s
), grouped as (
  select case $4::text when 'user' then coalesce(user_id, '') when 'tree' then lpad((9223372036854775807 - (task >> 24))::text, 19, '0') when 'model' then model
    else to_char(at at time zone 'UTC', 'YYYY-MM-DD') end collate "C" as key, * from picked where $7::text is null or model = $7
), sums as (
  select key, currency, %s, max(task) >> 24 as tree from grouped where $5::text is null or key > $5 group by key, currency
), ranked as (
  select *, dense_rank() over (order by key) as rank from sums
)
select (select count(*) from picked), coalesce(r.key, ''), case when $4 = 'tree' then (select root_id from tree where tree.key = r.tree) else r.key end,
  r.currency, r.calls, r.prompt, r.completion, r.cached, r.cost_nanos, r.unpriced
from (select) one left join ranked r on r.rank <= $6 order by r.key, r.currency`, statement, summedUsage)
}

// queueUsage writes what attempts that ended used of models; most used none. now is zero where it is not known.
func queueUsage(b *pgx.Batch, ended []dag.Ended, now time.Time) {
	var (
		keys                                               []int64
		numbers                                            []int32
		models, currencies                                 []string
		calls, prompt, completion, cached, nanos, unpriced []int64
	)
	for i := range ended {
		for _, u := range ended[i].Used {
			keys, numbers = append(keys, int64(ended[i].Task)), append(numbers, ended[i].Attempt)
			models, currencies = append(models, u.Model), append(currencies, u.Currency)
			calls, prompt, completion = append(calls, u.Calls), append(prompt, u.Prompt), append(completion, u.Completion)
			cached, nanos, unpriced = append(cached, u.Cached), append(nanos, u.CostNanos), append(unpriced, u.Unpriced)
		}
	}
	if len(keys) > 0 {
		b.Queue(sql("InsertUsage"), keys, numbers, orNull(now), models, currencies, calls, prompt, completion, cached, nanos, unpriced)
	}
}

// scanUsed reads the columns of usage, from the model on.
func scanUsed(v *values) dag.Used {
	return dag.Used{Model: v.text(), Currency: v.text(), Calls: v.bigint(), Prompt: v.bigint(), Completion: v.bigint(), Cached: v.bigint(),
		CostNanos: v.bigint(), Unpriced: v.bigint()}
}

// queueSpent loads what earlier attempts of the runs of tasks used, as far as the stretches are of later attempts.
func queueSpent(b *pgx.Batch, stretches []Stretch, tasks map[dag.Key]*Work) {
	var first []int64
	var ns, attempts []int32
	for _, s := range stretches {
		if s.Attempt > 1 {
			first, ns, attempts = append(first, int64(s.First)), append(ns, s.N), append(attempts, s.Attempt)
		}
	}
	if len(first) == 0 {
		return
	}
	b.Queue(sql("SpentBefore"), first, ns, attempts).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			key, used := v.key(), scanUsed(v)
			if w := tasks[key]; w != nil {
				w.Spent = append(w.Spent, used)
			}
		})
	})
}

// modelsShown is of how many models the usage of a task or a tree is told one by one.
const modelsShown = 50

// queueTreeUsage reads what a tree used, by model.
func queueTreeUsage(b *pgx.Batch, tree dag.TreeKey, used *[]dag.Used) {
	first, end := tree.Range()
	queueUsageOf(b, first, end, used)
}

// queueUsageOf reads what the tasks in [first, end) used, by model.
func queueUsageOf(b *pgx.Batch, first, end dag.Key, used *[]dag.Used) {
	b.Queue(sql("UsageOfKeyRange"), first, end, modelsShown).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { *used = append(*used, scanUsed(v)) })
	})
}

// UsageFilter says which usage of a namespace is summed up, and by what. Zero fields don't narrow it further.
type UsageFilter struct {
	By           UsageBy
	Since, Until time.Time // of when attempts' ends were recorded: in [Since, Until)
	UserID       string    // the trees' owner
	Tree         dag.TreeKey
	Model        string
	After        *string // the key of the last group of the page before; nil: the first page
	Limit        int     // of groups, at least 1
	Most         int     // of rows that are summed up; 0: MostUsage
}

// UsageBy is what usage is summed up by.
type UsageBy string

// What usage may be summed up by.
const (
	UsageByUser  UsageBy = "user"
	UsageByTree  UsageBy = "tree"
	UsageByModel UsageBy = "model"
	UsageByDay   UsageBy = "day" // in UTC
)

// UsageSum is what was used by a user, in a tree, of a model or on a day.
type UsageSum struct {
	Key  string     // for [UsageFilter.After]
	Name string     // of what it is the sum: a user, empty for trees of none, the id of a root, a model, or a day as 2006-01-02
	Used []dag.Used // by currency; the model is empty
}

// MostUsage is how many rows of usage, one for each model of an attempt, are summed up at most.
const MostUsage = 1_000_000

// ErrTooMuchUsage: there are more rows of usage than are summed up.
var ErrTooMuchUsage = errors.New("too much usage")

// Usage sums up usage, a page of groups by their keys. [ErrTooMuchUsage].
func (s *Store) Usage(ctx context.Context, namespace dag.NamespaceKey, f UsageFilter) ([]UsageSum, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	most := cmp.Or(f.Most, MostUsage)
	args := []any{orNull(f.Since), orNull(f.Until), most + 1, string(f.By), f.After, f.Limit, orNull(f.Model), namespace}
	statement := in(namespace, "UsageInTime")
	switch {
	case f.Tree != 0:
		first, end := f.Tree.Range()
		statement, args = "UsageOfKeys", append(args, first, end)
	case f.UserID != "":
		statement, args = "UsageOfUser", append(args, f.UserID)
	}
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("sum up usage: %w", err)
	}
	var out []UsageSum
	tooMuch := false
	err = eachRow(rows, func(v *values) {
		tooMuch = v.bigint() > int64(most)
		key, name := v.text(), v.text()
		used := dag.Used{Currency: v.text(), Calls: v.bigint(), Prompt: v.bigint(), Completion: v.bigint(), Cached: v.bigint(), CostNanos: v.bigint(), Unpriced: v.bigint()}
		switch n := len(out); {
		case used == (dag.Used{}): // there is no group
		case n > 0 && out[n-1].Key == key:
			out[n-1].Used = append(out[n-1].Used, used)
		default:
			out = append(out, UsageSum{Key: key, Name: name, Used: []dag.Used{used}})
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("sum up usage: %w", err)
	case tooMuch:
		return nil, ErrTooMuchUsage
	}
	return out, nil
}
