package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// schedulesAtOnce is how many schedules the bench makes at the same time.
const schedulesAtOnce = 16

// scheduled makes a schedule for every tenth of the tasks, 10 000 of them unless the flag says otherwise, whose first instant is the same, and tells how long after that instant the
// last run had its tree, and its task had started and ended.
func scheduled(ctx context.Context, c *cluster, o options) ([]figure, error) {
	n := max(1, o.tasks/10)
	begin := time.Now()
	tried := max(1, n/20)
	if err := c.makeSchedules(ctx, "try", tried, begin.Add(24*time.Hour)); err != nil {
		return nil, err
	}
	each := time.Since(begin) / time.Duration(tried)
	for i := range tried {
		if err := c.client.DeleteSchedule(ctx, "try-"+strconv.Itoa(i)); err != nil {
			return nil, err
		}
	}
	begin = time.Now()
	instant := begin.Add(2*each*time.Duration(n) + 15*time.Second).Truncate(time.Second)
	if err := c.makeSchedules(ctx, "s", n, instant); err != nil {
		return nil, err
	}
	figures := []figure{{fmt.Sprintf("%d schedules: made", n), "schedules/s", float64(n) / time.Since(begin).Seconds()}}
	if time.Until(instant) < time.Second {
		return figures, errors.New("the schedules were made too late for their instant")
	}
	time.Sleep(time.Until(instant) - time.Second) // Postgres and this program share a clock
	before := c.spent()
	for {
		ended, err := c.count(ctx, "select count(*) from (select from tree where finished_at is not null) t")
		if err != nil {
			return figures, err
		}
		if ended == int64(n) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	name := fmt.Sprintf("%d schedules of one instant", n)
	for _, f := range []struct{ what, moment string }{
		{"the last run is decided", "max(decided_at) from fire"}, {"the first task has started", "min(started_at) from tree"}, {"the last tree is stored", "max(created_at) from tree"},
		{"the last task has started", "max(started_at) from tree"}, {"the last tree has ended", "max(finished_at) from tree"},
	} {
		var at time.Time
		if err := c.asking.QueryRow(ctx, "select "+f.moment).Scan(&at); err != nil {
			return figures, err
		}
		after := at.Sub(instant).Seconds()
		figures = append(figures, figure{name + ": until " + f.what, "s", after})
	}
	return append(figures, figure{name + ": processor time of all processes", "µs/run", float64((c.spent() - before).Microseconds()) / float64(n)}), nil
}

// makeSchedules makes n schedules with that first instant, and no other for a year.
func (c *cluster) makeSchedules(ctx context.Context, name string, n int, first time.Time) error {
	tree, err := json.Marshal(map[string]any{"name": "resize-image", "schemas": methods[claimed], "inputs": payload})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, schedulesAtOnce)
	for k := range schedulesAtOnce {
		wg.Go(func() {
			for i := k; i < n; i += schedulesAtOnce {
				if _, err := c.client.CreateSchedule(ctx, client.Schedule{ID: name + "-" + strconv.Itoa(i), Every: "8784h", StartAt: &first, Tree: tree}); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
