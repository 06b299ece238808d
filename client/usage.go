package client

import (
	"context"
	"iter"
	"math"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Usage is what calls of models have used.
type Usage struct {
	TokenUsage TokenUsage
	Cost       *Cost        // nil: no call has a price
	OtherCosts []Cost       // in other currencies
	Models     []ModelUsage // the same by model and currency; nil in sums of [Client.Usage]
}

// TokenUsage counts tokens and calls.
type TokenUsage struct {
	TotalTokens        int64
	PromptTokens       int64 // that were read, those from a cache too
	CompletionTokens   int64 // that were written
	CachedPromptTokens int64 // part of PromptTokens that came from the services' caches
	SuccessfulRequests int64 // calls that were answered
}

// Cost is what calls have cost in one currency.
type Cost struct {
	Amount   float64
	Currency string // as the prices of the worker's operator are in, such as "USD"
	Complete bool   // false: the cost of other calls is not known, as their models have no price
}

// ModelUsage is what calls of one model have used, in one currency.
type ModelUsage struct {
	Model string // "others": several together
	Usage
}

// UsageFilter selects usage, and says by what it is summed up; zero fields don't filter.
type UsageFilter struct {
	By       UsageBy   // empty: by day
	Since    time.Time // of attempts whose end was recorded then or later
	Before   time.Time // of those whose end was recorded before
	UserID   string    // of trees of this owner
	TreeOf   string    // any task of the tree
	Model    string
	PageSize int    // how many groups are asked for at a time; default 100, at most 1000
	Cursor   string // where to begin: Next of a page with the same filter
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

// UsageGroup is what was used by a user, in a tree, of a model or on a day.
type UsageGroup struct {
	Key string // the user, empty for trees of none; the tree's id; the model; the day as 2006-01-02
	Usage
}

// UsagePage asks for one page of the sums that the filter selects, by their keys; trees newest first. Trees that retention deleted are not
// in them.
func (c *Client) UsagePage(ctx context.Context, f UsageFilter) (*Page[UsageGroup], error) {
	got, err := c.rpc.ListUsage(ctx, &pb.ListUsageRequest{By: string(f.By), Since: stampOf(f.Since), Before: stampOf(f.Before), UserId: f.UserID,
		TreeId: f.TreeOf, Model: f.Model, Limit: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "sum up usage")
	}
	page := &Page[UsageGroup]{Next: got.NextCursor}
	for _, g := range got.Groups {
		group := UsageGroup{Key: g.Key}
		if u := usageOf(g.Usage); u != nil {
			group.Usage = *u
		}
		page.Items = append(page.Items, group)
	}
	return page, nil
}

// Usage yields all sums that the filter selects, asking for them page by page. It ends after an error.
func (c *Client) Usage(ctx context.Context, f UsageFilter) iter.Seq2[UsageGroup, error] {
	return all(func(cursor string) (*Page[UsageGroup], error) {
		f.Cursor = cursor
		return c.UsagePage(ctx, f)
	}, f.Cursor)
}

// usageOf is nil for absent usage.
func usageOf(u *pb.Usage) *Usage {
	if u == nil {
		return nil
	}
	total := u.PromptTokens + u.CompletionTokens
	if total < 0 { // both are huge
		total = math.MaxInt64
	}
	out := &Usage{TokenUsage: TokenUsage{TotalTokens: total, PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens,
		CachedPromptTokens: u.CachedPromptTokens, SuccessfulRequests: u.Calls}}
	for i, c := range u.Costs {
		cost := Cost{Amount: float64(c.Nanos) / 1e9, Currency: c.Currency, Complete: u.UnpricedCalls == 0}
		if i == 0 {
			out.Cost = &cost
		} else {
			out.OtherCosts = append(out.OtherCosts, cost)
		}
	}
	for _, m := range u.Models {
		model := ModelUsage{Model: m.Model}
		if one := usageOf(m.Usage); one != nil {
			model.Usage = *one
		}
		out.Models = append(out.Models, model)
	}
	return out
}
