package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// limitedTasks wait for limitedKeys keys, limitedMax at a time for each. A task of them is to cost at most twice what an unlimited one does.
const (
	limitedTasks = 10_000
	limitedKeys  = 100
	limitedMax   = 5
)

// limited runs as many tasks without limits, with one, and with a lock.
func limited(ctx context.Context, c *cluster, o options) (figures []figure, err error) {
	if _, _, _, err := submit(ctx, c, flatTree("warm", claimed, limitedTasks/10, payload)); err != nil {
		return nil, err
	}
	var plain cost
	for _, way := range []struct {
		id, name string
		ask      func(t *client.NewTask, key string)
	}{
		{"plain", fmt.Sprintf("%d tasks beside limits", limitedTasks), func(*client.NewTask, string) {}},
		{"limit", fmt.Sprintf("%d tasks for %d keys, %d of each at a time", limitedTasks, limitedKeys, limitedMax), func(t *client.NewTask, key string) {
			t.Limits = []client.TaskLimit{{Key: key, Max: limitedMax}}
		}},
		{"lock", fmt.Sprintf("%d tasks for %d locks", limitedTasks, limitedKeys), func(t *client.NewTask, key string) { t.Lock = &client.TaskLock{Key: key} }},
	} {
		before := c.spent()
		_, total, _, err := submit(ctx, c, func(yield func(*client.NewTask) bool) {
			n := 0
			for t := range flatTree(way.id, claimed, limitedTasks, payload) {
				way.ask(t, "customer-"+strconv.Itoa(n%limitedKeys))
				if n++; !yield(t) {
					return
				}
			}
		})
		if err != nil {
			return figures, fmt.Errorf("%s: %w", way.name, err)
		}
		is := cost{total, c.spent() - before}
		figures = append(figures, figure{way.name, "tasks/s", limitedTasks / total.Seconds()},
			figure{way.name + ": processor time of all processes", "µs/task", float64(is.cpu.Microseconds()) / limitedTasks})
		if way.id == "plain" {
			plain = is
			continue
		}
		figures = append(figures, figure{way.name + ": time of a task, against one without limits", "times", float64(total) / float64(max(plain.total, time.Millisecond))},
			figure{way.name + ": processor time, against one without limits", "times", float64(is.cpu) / float64(max(plain.cpu, time.Millisecond))})
	}
	return figures, nil
}

// cost is what tasks took.
type cost struct{ total, cpu time.Duration }

// spent is the processor time of all processes so far.
func (c *cluster) spent() (sum time.Duration) {
	for _, r := range c.roles {
		sum += r.cpu()
	}
	return sum + c.postgresCPU()
}
