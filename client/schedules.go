package client

import (
	"context"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// InstantsQuery asks for instants of a schedule.
type InstantsQuery struct {
	Cron     string    // five fields of a crontab, or a short form as @daily
	Timezone string    // in IANA's database; empty: UTC
	Count    int       // 0: 5; at most 1000
	After    time.Time // zero: the time of the cluster
}

// schedules are the calls about schedules.
func (c *Client) schedules() pb.ScheduleServiceClient { return pb.NewScheduleServiceClient(c.conn) }

// NextInstants lists the next instants of a schedule, as clocks of its zone read. They are fewer than asked for if no more come within 40 years. Nothing is
// stored. [ErrInvalid] tells all that is wrong.
func (c *Client) NextInstants(ctx context.Context, q InstantsQuery) ([]time.Time, error) {
	got, err := c.schedules().NextInstants(ctx, &pb.NextInstantsRequest{Cron: q.Cron, Timezone: q.Timezone, N: int32(q.Count), After: stampOf(q.After)})
	if err != nil {
		return nil, wrap(ctx, err, "list instants")
	}
	list := make([]time.Time, len(got.Instants))
	for i, instant := range got.Instants {
		list[i] = instant.At.AsTime()
		if local, err := time.Parse(time.RFC3339, instant.Local); err == nil {
			list[i] = list[i].In(local.Location())
		}
	}
	return list, nil
}
