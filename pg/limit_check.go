package pg

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
)

// rulesAtOnce is how many keys are looked up at once.
const rulesAtOnce = 1000

// limitRules are what operators have set for keys of limits of a namespace, as far as it was asked for.
type limitRules struct {
	on        querier
	namespace dag.NamespaceKey
	known     map[string]int32 // at most [dag.MaxLimitRules]
}

// read looks keys up.
func (r *limitRules) read(ctx context.Context, keys []string) error {
	if r.known == nil {
		r.known = map[string]int32{}
	}
	rows, err := r.on.Query(ctx, sql("LimitRulesOf"), r.namespace, keys)
	if err == nil {
		err = eachRow(rows, func(v *values) {
			key := v.text()
			r.known[key] = v.integer()
		})
	}
	if err != nil {
		return fmt.Errorf("read limits of %d keys: %w", len(keys), err)
	}
	return nil
}

// UnboundedLimit is a limit that needs what operators have set to be judged.
type UnboundedLimit struct {
	At string // where it stands
	dag.Limit
}

// LimitFaults are what is wrong with limits of a namespace by what operators have set: those that have no max anywhere, or cost more than it.
func (s *Store) LimitFaults(ctx context.Context, namespace dag.NamespaceKey, limits []UnboundedLimit) (faults []string, err error) {
	if len(limits) == 0 {
		return nil, nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return ruleFaults(ctx, s.pool, namespace, limits)
}

func ruleFaults(ctx context.Context, on querier, namespace dag.NamespaceKey, limits []UnboundedLimit) (faults []string, err error) {
	rules := limitRules{on: on, namespace: namespace}
	for len(limits) > 0 {
		some := limits[:min(len(limits), rulesAtOnce)]
		limits = limits[len(some):]
		keys := make([]string, len(some))
		for i, l := range some {
			keys[i] = l.Key
		}
		if err := rules.read(ctx, keys); err != nil {
			return nil, err
		}
		for _, l := range some {
			most, ruled := rules.known[l.Key]
			if field, reason := l.RuleFault(most, ruled); reason != "" && len(faults) < dag.MaxProblems {
				faults = append(faults, l.At+"."+field+": "+reason)
			}
		}
	}
	return faults, nil
}

// checkRules has the builder tell what is wrong with limits by what operators have set. It reads nothing unless a task has a limit without a max, or one that
// costs more than one.
func (in *intake) checkRules(ctx context.Context, on querier, namespace dag.NamespaceKey) error {
	rules := limitRules{on: on, namespace: namespace}
	var tasks []int
	var limits []UnboundedLimit
	judge := func() error {
		keys := make([]string, len(limits))
		for i, l := range limits {
			keys[i] = l.Key
		}
		if err := rules.read(ctx, keys); err != nil {
			return err
		}
		for i, l := range limits {
			most, ruled := rules.known[l.Key]
			if field, reason := l.RuleFault(most, ruled); reason != "" {
				in.builder.Fault(tasks[i], l.At+"."+field, reason)
			}
		}
		tasks, limits = tasks[:0], limits[:0]
		return nil
	}
	for _, i := range in.limits.unbounded {
		l := in.tasks[i].limits.limiting(in.builder.IdentityOf(i))
		for _, place := range l.Unbounded() {
			at := fmt.Sprintf("limits[%d]", place)
			if !in.builder.Faulty(i, at+".key", at+".max", at+".cost") {
				tasks, limits = append(tasks, i), append(limits, UnboundedLimit{at, l.Limits[place]})
			}
		}
		if len(limits) >= rulesAtOnce {
			if err := judge(); err != nil {
				return err
			}
		}
	}
	if len(limits) == 0 {
		return nil
	}
	return judge()
}
