package client

import (
	"context"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// PoolRule says what is allowed on a pool. Each list has names, or beginnings of names with a * behind, 1000 at most; an empty list allows all.
type PoolRule struct {
	Pool        string
	Namespaces  []string // whose tasks it takes
	Executors   []string // that run tasks in it, and that its agents use as tools
	Connections []string // that tasks may name
	Secrets     []string // likewise
}

// SetPoolRule makes a rule in the place of the one that its pool has; the pool need not be there. [ErrInvalid]; [ErrConflict]: a live process knows
// no rules, or there are too many.
func (c *Client) SetPoolRule(ctx context.Context, rule PoolRule) error {
	_, err := c.poolRules().SetPoolRule(ctx, &pb.SetPoolRuleRequest{Rule: &pb.PoolRule{Pool: rule.Pool, Namespaces: rule.Namespaces, Executors: rule.Executors,
		Connections: rule.Connections, Secrets: rule.Secrets}})
	return wrap(ctx, err, "set the rule of pool %s", rule.Pool)
}

// PoolRules are all rules, by the names of their pools.
func (c *Client) PoolRules(ctx context.Context) ([]PoolRule, error) {
	got, err := c.poolRules().ListPoolRules(ctx, &pb.ListPoolRulesRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "list rules of pools")
	}
	out := make([]PoolRule, len(got.Rules))
	for i, r := range got.Rules {
		out[i] = PoolRule{Pool: r.Pool, Namespaces: r.Namespaces, Executors: r.Executors, Connections: r.Connections, Secrets: r.Secrets}
	}
	return out, nil
}

// DeletePoolRule allows all on a pool again. [ErrNotFound].
func (c *Client) DeletePoolRule(ctx context.Context, pool string) error {
	_, err := c.poolRules().DeletePoolRule(ctx, &pb.DeletePoolRuleRequest{Pool: pool})
	return wrap(ctx, err, "delete the rule of pool %s", pool)
}

// poolRules are the calls about rules of pools.
func (c *Client) poolRules() pb.PoolServiceClient { return pb.NewPoolServiceClient(c.conn) }
