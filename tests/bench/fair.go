package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/sleep"
)

// fairness is how long single tasks of one user wait for their start beside a backlog of another: see [fair].
type fairness struct {
	name     string
	executor string
	inputs   json.RawMessage
	task     time.Duration // what one takes
	backlog  int           // tasks of the other user, in trees of 100 000 at most
	singles  int
	every    time.Duration // between submissions; 0: the next comes when the one before has ended
}

// fairCases are the kinds of tasks. A single slot takes two seconds for each single task of a second, so there are fewer of them.
func fairCases(slots int) []fairness {
	second := fairness{"tasks of 1 s", sleep.ID, json.RawMessage(`{"seconds":1}`), time.Second, 100_000, 40, 0}
	if slots == 1 {
		second.singles = 20
	}
	return []fairness{{"no-ops", claimed, payload, 0, 300_000, 100, 20 * time.Millisecond}, second}
}

// fair measures, at 1 and 16 slots, how long single tasks of one user wait beside at least 100 000 of another, and on an idle cluster. A task may wait twice as long
// as on an idle one, 50 ms, and for one task.
func fair(ctx context.Context, o options) (figures []measured, err error) {
	for _, slots := range []int{1, 16} {
		o.concurrency = slots
		for _, f := range fairCases(slots) {
			name := fmt.Sprintf("fair: %s beside a backlog, %d slots", f.name, slots)
			got, err := f.run(ctx, o, name)
			if err != nil {
				return figures, fmt.Errorf("%s: %w", name, err)
			}
			for _, g := range got {
				figures = append(figures, measured{g, slots, 1})
			}
		}
	}
	return figures, nil
}

func (f fairness) run(ctx context.Context, o options, name string) (out []figure, err error) {
	c, err := startCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	alone := f.singles
	if f.task > 0 {
		alone = 5
	}
	idle, err := f.waits(ctx, c, "idle", alone, f.every)
	if err != nil {
		return nil, err
	}
	const most = 100_000
	for from := 0; from < f.backlog; from += most {
		if _, err := c.client.SubmitSeq(ctx, f.tree("many", "many-"+strconv.Itoa(from), min(most, f.backlog-from))); err != nil {
			return nil, err
		}
	}
	if beside, err := f.waits(ctx, c, "single", f.singles, f.every); err != nil {
		return nil, err
	} else if waiting, err := c.count(ctx, "select coalesce(sum(n), 0) from ready"); err != nil || waiting < most/2 && f.task == 0 {
		return nil, fmt.Errorf("%d tasks of the backlog are left, %v", waiting, err)
	} else {
		for _, p := range []struct {
			name string
			at   float64
		}{{"p50", .5}, {"p99", .99}, {"max", 1}} {
			alone, bound := rank(idle, p.at), f.task.Seconds()*1000+50
			out = append(out, figure{fmt.Sprintf("%s, %d single ones: wait %s", name, f.singles, p.name), "ms", rank(beside, p.at)},
				figure{name + ": idle wait " + p.name, "ms", alone}, figure{name + ": bound " + p.name, "ms", 2*alone + bound})
		}
	}
	return out, nil
}

// tree is a tree of n tasks of a user, as [client.Client.SubmitSeq] takes it.
func (f fairness) tree(user, root string, n int) iter.Seq2[*client.NewTask, error] {
	return func(yield func(*client.NewTask, error) bool) {
		for t := range flatTree(root, f.executor, n, f.inputs) {
			t.UserID = user
			if !yield(t, nil) {
				return
			}
		}
	}
}

// rank is the smallest of the sorted values that at least so great a part of them does not exceed.
func rank(sorted []float64, part float64) float64 {
	return sorted[max(0, int(part*float64(len(sorted))+.999999)-1)]
}

// waits submits single tasks of a user, and gives the times from their submissions to their starts by what is on record, in milliseconds, sorted.
func (f fairness) waits(ctx context.Context, c *cluster, user string, n int, every time.Duration) (all []float64, err error) {
	for i := range n {
		id := user + "-" + strconv.Itoa(i)
		begin := time.Now()
		if _, err := c.client.SubmitSeq(ctx, f.tree(user, id, 1)); err != nil {
			return nil, err
		}
		for every == 0 {
			if t, err := c.client.Task(ctx, id); err != nil {
				return nil, err
			} else if !t.CompletedAt.IsZero() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(max(0, every-time.Since(begin)))
	}
	ended := "select count(*) from tree where user_id = '" + user + "' and finished_at is not null"
	for {
		done, err := c.count(ctx, ended)
		if err != nil {
			return nil, err
		}
		if int(done) == n {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	rows, err := c.asking.Query(ctx, `select extract(epoch from a.started_at - tree.created_at)::float8 * 1000 from tree join task on task.key = tree.root
		join attempt a on a.task = task.key and a.number = task.attempt where tree.user_id = $1`, user)
	if err != nil {
		return nil, err
	}
	all, err = pgx.CollectRows(rows, pgx.RowTo[float64])
	slices.Sort(all)
	return all, err
}
