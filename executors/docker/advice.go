package docker

import (
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/image"
)

// Advice implements [executors.Adviser]: containers of tasks may go where the worker's guard of addresses does not see them.
func (e *Executor) Advice() []string {
	pools := []string{ID} // its own pool, whether or not it has a policy
	if e.cfg.Pools != nil {
		pools = append(pools, e.cfg.Pools()...)
	}
	pools = slices.DeleteFunc(pools, func(pool string) bool {
		policy := e.cfg.policy(pool)
		return !policy.leadsOut()
	})
	if len(pools) == 0 || e.Disabled() != "" {
		return nil
	}
	slices.Sort(pools)
	pools = slices.Compact(pools)
	what := "containers of the images allowed"
	if slices.ContainsFunc(pools, func(pool string) bool { return len(e.cfg.policy(pool).Images) == 0 }) {
		what = "containers of any image"
	}
	return []string{what + " may join a network with a way out (in " + strings.Join(pools, ", ") + "), where the guard of addresses does not see " +
		"their connections: what the engine's host reaches, its own services and cloud metadata included, they reach; allow only the network none " +
		"in the worker's file (pools, docker, networks), or bound the network by the host's firewall"}
}

// leadsOut reports whether a container may join one of the engine's own networks that lead out of the host. Of others, only who made
// them knows.
func (p *Policy) leadsOut() bool {
	return len(p.Networks) == 0 || slices.Contains(p.Networks, "host") || image.Fits(p.Networks, "bridge") || image.Fits(p.Networks, "default")
}
