package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// usageBys are what usage may be summed up by.
var usageBys = []string{string(client.UsageByDay), string(client.UsageByUser), string(client.UsageByTree), string(client.UsageByModel)}

func usageCommand() *cobra.Command {
	sel := selection{}
	by, model := usageBys[0], ""
	cmd := clientCommand("usage", "Sum up what was used of models",
		"Sums up the calls of models, their tokens and what they cost, by day (in UTC), user, tree or model: of the attempts that have ended,\n"+
			"in trees that are still stored. Sums in several currencies are kept apart. With -o json: one JSON object a line. If there may be\n"+
			"more than --limit, a note on stderr says how to go on.",
		cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			switch {
			case !slices.Contains(usageBys, by):
				return usage("--by: takes %s, not %q", strings.Join(usageBys, ", "), by)
			case sel.limit < 1:
				return usage("--limit: takes a number from 1 on, not %d", sel.limit)
			}
			return s.listUsage(ctx, sel, client.UsageBy(by), model)
		})
	f := cmd.Flags()
	f.StringVar(&by, "by", by, strings.Join(usageBys, ", "))
	f.Var(&sel.since, "since", "of attempts that ended since then: a time, or a duration before now, such as 24h or 7d")
	f.Var(&sel.before, "before", "of attempts that ended before then, as --since")
	f.StringVar(&sel.user, "user", "", "of trees of this owner")
	f.StringVar(&sel.tree, "tree", "", "of this tree")
	f.StringVar(&model, "model", "", "of this model")
	f.IntVar(&sel.limit, "limit", 100, "how many sums at most")
	f.StringVar(&sel.cursor, "cursor", "", "where to go on, as the list before said")
	mustComplete(cmd, "tree", completeTasks(1))
	mustComplete(cmd, "by", cobra.FixedCompletions(usageBys, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *session) listUsage(ctx context.Context, sel selection, by client.UsageBy, model string) error {
	f := client.UsageFilter{By: by, UserID: sel.user, Since: sel.since.at, Before: sel.before.at, Model: model}
	if sel.tree != "" {
		id, err := s.id(ctx, sel.tree)
		if err != nil {
			return err
		}
		f.TreeOf = id
	}
	return list(s, sel, listing[client.UsageGroup]{
		what: "call of a model", header: []string{strings.ToUpper(string(by)), "CALLS", "READ", "CACHED", "WRITTEN", "COST"},
		page: func(cursor string, limit int) (*client.Page[client.UsageGroup], error) {
			f.Cursor, f.PageSize = cursor, limit
			return s.UsagePage(ctx, f)
		},
		id: func(g client.UsageGroup) string { return g.Key },
		row: func(g client.UsageGroup, _ string) string {
			key, t := g.Key, g.TokenUsage
			if key == "" {
				key = "-"
			}
			return strings.Join([]string{oneLine(key), strconv.FormatInt(t.SuccessfulRequests, 10), strconv.FormatInt(t.PromptTokens, 10),
				strconv.FormatInt(t.CachedPromptTokens, 10), strconv.FormatInt(t.CompletionTokens, 10), costText(&g.Usage)}, "\t")
		},
	})
}

// costText is what calls have cost, "-" where no model has a price.
func costText(u *client.Usage) string {
	if u.Cost == nil {
		return "-"
	}
	var parts []string
	for _, c := range append([]client.Cost{*u.Cost}, u.OtherCosts...) {
		text := strings.TrimSpace(strconv.FormatFloat(c.Amount, 'f', -1, 64) + " " + oneLine(c.Currency))
		if !c.Complete {
			text = "at least " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " + ")
}

// usageText is usage in one line; empty for none.
func usageText(u *client.Usage) string {
	if u == nil {
		return ""
	}
	t := u.TokenUsage
	text := fmt.Sprintf("%s, %s (%d read, %d written)", counted(int(t.SuccessfulRequests), "call"), counted(int(t.TotalTokens), "token"), t.PromptTokens, t.CompletionTokens)
	if u.Cost != nil {
		text += ", " + costText(u)
	}
	var models []string
	for _, m := range u.Models {
		if !slices.Contains(models, m.Model) {
			models = append(models, m.Model)
		}
	}
	const most = 5
	if n := len(models) - most; n > 0 {
		models = append(models[:most], fmt.Sprintf("%d more", n))
	}
	return text + ": " + strings.Join(models, ", ")
}
