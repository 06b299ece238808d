package jsonrpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// nextParams are the parameters of schedules.next.
type nextParams struct {
	Cron     string     `json:"cron" required:"true" description:"five fields of a crontab, or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"`
	Timezone string     `json:"timezone,omitempty" description:"a time zone of IANA's database; default UTC"`
	N        int        `json:"n,omitempty" description:"how many; default 5, at most 1000"`
	After    *time.Time `json:"after,omitempty" description:"a time with its zone; default the time of the cluster"`
}

// nextInstants is the answer of schedules.next.
type nextInstants struct {
	Instants []string `json:"instants" description:"in order, as clocks of the zone read; fewer than n: no more come within 40 years"`
}

// scheduleMethods are those about schedules; all are ours.
func scheduleMethods() []Method {
	return []Method{
		{Name: "schedules.next", Path: "/system", Ours: true, Params: nextParams{}, Result: nextInstants{}, Errors: []string{"cron: …", "timezone: …"},
			Summary: "Lists the next instants of a schedule. Nothing is stored. All that is wrong is told at once."},
	}
}

func (h *Handler) schedulesNext(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	q := coordinator.InstantsQuery{Cron: p.text("cron"), Timezone: p.text("timezone"), Count: p.number("n", 0, 1, 1000), After: p.time("after")}
	p.only(nextParams{})
	if p.err != nil {
		return nil, p.err
	}
	list, err := x.svc.NextInstants(ctx, q)
	if err != nil {
		return nil, err
	}
	out := nextInstants{Instants: make([]string, len(list))}
	for i, at := range list {
		out.Instants[i] = at.Format(time.RFC3339)
	}
	return appendJSON(nil, out), nil
}
