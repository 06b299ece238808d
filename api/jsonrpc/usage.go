package jsonrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// usageObject is usage in the objects of tasks and events, which is ours; its parts are named as in results of models (spec 8.11).
type usageObject struct {
	TokenUsage tokenUsage    `json:"token_usage"`
	Cost       *cost         `json:"cost,omitempty"` // absent: no call has a price
	OtherCosts []cost        `json:"other_costs,omitempty"`
	Models     []modelObject `json:"models,omitempty"`
}

type tokenUsage struct {
	Total      int64 `json:"total_tokens"`
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Cached     int64 `json:"cached_prompt_tokens"`
	Calls      int64 `json:"successful_requests"`
}

type cost struct {
	Amount   json.Number `json:"amount"`
	Currency string      `json:"currency"`
	Complete bool        `json:"complete"` // false: the cost of other calls is not known
}

type modelObject struct {
	Model string `json:"model"`
	usageObject
}

type groupObject struct {
	Key string `json:"key"`
	usageObject
}

// usageOf is nil for nil.
func usageOf(u *coordinator.Usage) *usageObject {
	if u == nil {
		return nil
	}
	total := u.Prompt + u.Completion
	if total < 0 { // both are huge
		total = math.MaxInt64
	}
	out := &usageObject{TokenUsage: tokenUsage{Total: total, Prompt: u.Prompt, Completion: u.Completion, Cached: u.Cached, Calls: u.Calls}}
	for i, c := range u.Costs {
		one := cost{amount(c.Nanos), c.Currency, u.Unpriced == 0}
		if i == 0 {
			out.Cost = &one
		} else {
			out.OtherCosts = append(out.OtherCosts, one)
		}
	}
	for _, m := range u.Models {
		out.Models = append(out.Models, modelObject{m.Model, *usageOf(coordinator.UsageOf([]dag.Used{m}, false))})
	}
	return out
}

// amount is billionths as a decimal number.
func amount(nanos int64) json.Number {
	text := strings.TrimRight(fmt.Sprintf("%d.%09d", nanos/1e9, nanos%1e9), "0")
	return json.Number(strings.TrimSuffix(text, "."))
}

// appendUsage appends what a task used to its open object, and what its tree did if it is a root and tree is given.
func appendUsage(b []byte, t *coordinator.Task, tree *coordinator.TreeStatus) []byte {
	if t.Usage != nil {
		b = appendJSON(append(b, `,"usage":`...), usageOf(t.Usage))
	}
	if tree != nil && tree.Usage != nil {
		b = appendJSON(append(b, `,"tree_usage":`...), usageOf(tree.Usage))
	}
	return b
}

// usageList answers usage.list, which is ours.
func (h *Handler) usageList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.UsageFilter{By: coordinator.UsageBy(p.text("by")), Since: p.time("since"), Before: p.time("before"), UserID: p.text("user_id"),
		TreeOf: p.first("tree_id", "root_id", "task_id"), Model: p.text("model"), Limit: p.number("limit", 100, 1, pageSize), Cursor: p.text("cursor")}
	if p.err != nil {
		return nil, p.err
	}
	page, err := x.svc.Usage(ctx, f)
	if err != nil {
		return nil, named404(err, "Task "+f.TreeOf+" not found")
	}
	answer := struct {
		Usage []groupObject `json:"usage"`
		Next  string        `json:"next_cursor,omitempty"`
	}{[]groupObject{}, page.Next}
	for _, g := range page.Items {
		answer.Usage = append(answer.Usage, groupObject{g.Key, *usageOf(&g.Usage)})
	}
	return appendJSON(nil, answer), nil
}
