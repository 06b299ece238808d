package coordinator

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	mostModels     = 17      // of one result: a worker's sixteen, and the others
	modelBytes     = 128     // of a model's name
	currencyBytes  = 16      // of a currency's
	mostOfOneUsage = 1 << 50 // of each number: more can't be true
)

// readUsage is the usage in a result: each model and currency once, within bounds. Workers see to that, but need not be ours. nil: none.
func readUsage(all []*workerv1.Usage) (used []dag.Used) {
	for _, u := range all {
		one := dag.Used{Model: shortened(u.Model, modelBytes), Currency: shortened(u.Currency, currencyBytes), Calls: bounded(u.Calls), Prompt: bounded(u.Prompt),
			Completion: bounded(u.Completion), Cached: bounded(u.Cached), CostNanos: bounded(u.CostNanos), Unpriced: bounded(u.Unpriced)}
		if one == (dag.Used{Model: one.Model, Currency: one.Currency}) {
			continue
		}
		at := 0
		for at < len(used) && (used[at].Model != one.Model || used[at].Currency != one.Currency) {
			at++
		}
		switch {
		case at < len(used):
			used[at] = addUsed(used[at], one)
		case len(used) < mostModels:
			used = append(used, one)
		}
	}
	return used
}

func bounded(n int64) int64 { return min(max(n, 0), mostOfOneUsage) }

// shortened is a name that Postgres takes, of so many bytes at most.
func shortened(name string, most int) string {
	name = clean(name)
	for most < len(name) && most > 0 && !utf8.RuneStart(name[most]) {
		most--
	}
	return name[:min(len(name), most)]
}

// addUsed is the sum of two, with the model and the currency of the first. It stays at the largest number.
func addUsed(a, b dag.Used) dag.Used {
	for _, sum := range []struct {
		to *int64
		n  int64
	}{{&a.Calls, b.Calls}, {&a.Prompt, b.Prompt}, {&a.Completion, b.Completion}, {&a.Cached, b.Cached}, {&a.CostNanos, b.CostNanos}, {&a.Unpriced, b.Unpriced}} {
		if *sum.to += sum.n; *sum.to < 0 {
			*sum.to = 1<<63 - 1
		}
	}
	return a
}

// sentUsage is usage as it goes to workers.
func sentUsage(used []dag.Used) (out []*workerv1.Usage) {
	for _, u := range used {
		out = append(out, &workerv1.Usage{Model: u.Model, Currency: u.Currency, Calls: u.Calls, Prompt: u.Prompt, Completion: u.Completion, Cached: u.Cached,
			CostNanos: u.CostNanos, Unpriced: u.Unpriced})
	}
	return out
}

// Usage is what calls of models have used.
type Usage struct {
	Calls      int64 // that were answered
	Prompt     int64 // tokens that were read, those from a cache too
	Completion int64 // tokens that were written
	Cached     int64 // part of Prompt that came from the services' caches
	Costs      []Cost
	Unpriced   int64      // calls whose cost is not known: Costs lack them
	Models     []dag.Used // the same by model and currency; nil where it is not told
}

// Cost is what calls have cost in one currency.
type Cost struct {
	Nanos    int64 // billionths
	Currency string
}

// UsageOf sums up; nil: nothing was used. models: it is also told by model.
func UsageOf(used []dag.Used, models bool) *Usage {
	if len(used) == 0 {
		return nil
	}
	var sum dag.Used
	out := &Usage{}
	for _, u := range used {
		sum = addUsed(sum, u)
		if u.Currency != "" || u.CostNanos > 0 { // prices need not say their currency
			out.addCost(u)
		}
	}
	out.Calls, out.Prompt, out.Completion, out.Cached, out.Unpriced = sum.Calls, sum.Prompt, sum.Completion, sum.Cached, sum.Unpriced
	if models {
		out.Models = used
	}
	return out
}

// addCost adds to the sum in the currency.
func (u *Usage) addCost(used dag.Used) {
	for i := range u.Costs {
		if c := &u.Costs[i]; c.Currency == used.Currency {
			c.Nanos = addUsed(dag.Used{CostNanos: c.Nanos}, used).CostNanos
			return
		}
	}
	u.Costs = append(u.Costs, Cost{Nanos: used.CostNanos, Currency: used.Currency})
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

// UsageFilter selects usage, and says by what it is summed up; zero fields don't filter.
type UsageFilter struct {
	By     UsageBy   // empty: day
	Since  time.Time // of attempts whose end was recorded then or later
	Before time.Time // of those whose end was recorded before
	UserID string    // the owner of the trees
	TreeOf string    // any task of the tree
	Model  string
	Limit  int // of groups: default 100, at most 1000
	Cursor string
}

// UsageGroup is what was used by a user, in a tree, of a model or on a day.
type UsageGroup struct {
	Key string // the user, empty for trees of none; the tree's id; the model; the day in UTC as 2006-01-02
	Usage
}

// Usage sums up usage; see [Service].
func (c *Coordinator) Usage(ctx context.Context, f UsageFilter) (page Page[UsageGroup], err error) {
	by := cmp.Or(f.By, UsageByDay)
	q := pg.UsageFilter{By: pg.UsageBy(by), Since: f.Since, Until: f.Before, UserID: f.UserID, Model: f.Model}
	if q.Limit, err = limitOf(f.Limit); err != nil {
		return page, err
	}
	if !slices.Contains([]UsageBy{UsageByUser, UsageByTree, UsageByModel, UsageByDay}, by) {
		return page, &InvalidArgumentError{Field: "by", Reason: "must be user, tree, model or day"}
	}
	kind := "usage by " + string(by) + " "
	if f.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		after, ours := strings.CutPrefix(string(raw), kind)
		if err != nil || !ours || !text(after) {
			return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
		}
		q.After = &after
	}
	if f.TreeOf != "" {
		k, err := c.keyOf(ctx, f.TreeOf)
		if err != nil {
			return page, err
		}
		q.Tree = k.Tree()
	}
	if !text(f.UserID) || !text(f.Model) {
		return page, nil
	}
	limit := q.Limit
	q.Limit++
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	sums, err := c.store.Usage(ctx, here, q)
	if errors.Is(err, pg.ErrTooMuchUsage) {
		return page, &InvalidArgumentError{Field: "since", Reason: fmt.Sprintf("selects over %d models of attempts, too many to be summed up at once: ask for a shorter time, or a user, or a tree", pg.MostUsage)}
	}
	if err != nil {
		return page, c.internal("sum up usage", err)
	}
	if len(sums) > limit {
		sums = sums[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(kind + sums[limit-1].Key))
	}
	for _, s := range sums {
		page.Items = append(page.Items, UsageGroup{Key: s.Name, Usage: *UsageOf(s.Used, false)})
	}
	return page, nil
}
