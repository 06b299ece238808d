package coordinator

import (
	"context"
	"reflect"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	judgedAtOnce = 500              // tasks that one look at the demand holds against rules: their inputs are read
	judgedKept   = 20_000           // verdicts that are remembered
	judgedFor    = 30 * time.Second // a task may change
)

// verdicts remembers which tasks the rules of their pools forbid. Who computes the demand uses it alone.
type verdicts struct {
	rules uintptr // that they are by
	known map[dag.Key]verdict
}

type verdict struct {
	forbidden bool
	until     time.Time
}

// leaveOutForbidden takes tasks that may not start out of what was seen: those that the rules of their pools have come to forbid. Of many that wait in
// Postgres some are looked at, and the others are taken to be as these are.
func (c *Coordinator) leaveOutForbidden(ctx context.Context, seen *pg.Demand) error {
	rules := c.store.KnownPoolRules()
	if rules == nil {
		return nil
	}
	var waiting []int32
	for id, n := range seen.Waiting {
		if n > 0 && c.store.Ruled(id) {
			waiting = append(waiting, id)
		}
	}
	first := map[int32][]dag.Key{}
	if len(waiting) > 0 {
		var err error
		if first, err = c.store.WaitingTasks(ctx, waiting, judgedAtOnce); err != nil {
			return err
		}
	}
	v := &c.demands.verdicts
	if is := reflect.ValueOf(rules).Pointer(); v.known == nil || v.rules != is || len(v.known) > judgedKept {
		v.rules, v.known = is, map[dag.Key]verdict{}
	}
	if err := c.holdAgainstRules(ctx, c.toJudge(seen, first)); err != nil {
		return err
	}
	may := seen.Tasks[:0]
	for _, t := range seen.Tasks {
		if t.State == dag.Running || !v.known[t.Key].forbidden {
			may = append(may, t)
		}
	}
	seen.Tasks = may
	for i := range seen.Seen {
		if s := &seen.Seen[i]; s.Sent && v.known[s.Key].forbidden {
			s.Sent = false
		}
	}
	for id, tasks := range first {
		judged, allowed := 0, 0
		for _, k := range tasks {
			if is, known := v.known[k]; known {
				judged++
				if !is.forbidden {
					allowed++
				}
			}
		}
		if judged > 0 {
			seen.Waiting[id] = (seen.Waiting[id]*allowed + judged - 1) / judged
		}
	}
	return nil
}

// toJudge are tasks of pools with rules that were not held against them of late: those that were sent or may follow, and then those that wait.
func (c *Coordinator) toJudge(seen *pg.Demand, waiting map[int32][]dag.Key) (keys []dag.Key) {
	now, known := time.Now(), c.demands.verdicts.known
	add := func(k dag.Key) {
		if v, judged := known[k]; (!judged || now.After(v.until)) && len(keys) < judgedAtOnce {
			keys = append(keys, k)
		}
	}
	for _, t := range seen.Tasks {
		if t.State != dag.Running && t.Pool != 0 && c.store.Ruled(t.Pool) {
			add(t.Key)
		}
	}
	for _, tasks := range waiting {
		for _, k := range tasks {
			add(k)
		}
	}
	return keys
}

func (c *Coordinator) holdAgainstRules(ctx context.Context, keys []dag.Key) error {
	if len(keys) == 0 {
		return nil
	}
	forbidden, err := c.store.Forbidden(ctx, keys)
	if err != nil {
		return err
	}
	until := time.Now().Add(judgedFor)
	for _, k := range keys {
		c.demands.verdicts.known[k] = verdict{forbidden[k], until}
	}
	return nil
}
