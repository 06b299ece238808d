package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/cron"
)

// Scheduling runs trees at instants.
type Scheduling interface {
	// NextInstants lists the next instants of a schedule, as clocks of its zone read. Nothing is stored. *[InvalidArgumentError] tells all that is wrong.
	NextInstants(ctx context.Context, q InstantsQuery) ([]time.Time, error)
}

// defaultInstants is how many instants are listed unless it is said.
const defaultInstants = 5

// InstantsQuery asks for instants.
type InstantsQuery struct {
	Cron     string    // five fields, or a short form as @daily
	Timezone string    // in IANA's database; empty: UTC
	Count    int       // 0: 5; at most [cron.MaxList]
	After    time.Time // zero: the store's time
}

// Instants lists what is asked for, after a moment if the query names none. *[InvalidArgumentError] tells all that is wrong. They are fewer than asked for if
// no more come within 40 years.
func (q InstantsQuery) Instants(now time.Time) ([]time.Time, error) {
	var faults faultList
	s, err := cron.Parse(q.Cron, q.Timezone)
	if wrong, ok := errors.AsType[cron.Faults](err); ok {
		for _, f := range wrong {
			faults.add(f.Field, "%s", f.Reason)
		}
	}
	if q.Count < 0 || q.Count > cron.MaxList {
		faults.add("n", "must be 1 to %d", cron.MaxList)
	}
	if fault := scheduledoc.YearFault(q.After); fault != "" && !q.After.IsZero() {
		faults.add("after", "%s", fault)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	if !q.After.IsZero() {
		now = q.After
	}
	n := q.Count
	if n == 0 {
		n = defaultInstants
	}
	return cron.List(s, now, n), nil
}

func (g *guarded) NextInstants(ctx context.Context, q InstantsQuery) ([]time.Time, error) {
	return ask(ctx, g, Call{Method: "NextInstants"}, func() ([]time.Time, error) { return g.next.NextInstants(ctx, q) })
}

// NextInstants lists instants; see [Scheduling].
func (c *Coordinator) NextInstants(ctx context.Context, q InstantsQuery) ([]time.Time, error) {
	now := q.After
	if now.IsZero() {
		var err error
		if now, err = c.store.Clock(ctx); err != nil {
			return nil, c.internal("ask for the time", err)
		}
	}
	return q.Instants(now)
}
