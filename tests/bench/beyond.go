package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/executors/wait"
)

// gateCount is how many gates the tree of [gates] has. One is to cost at most twice what a plain group does.
const gateCount = 10_000

// gates runs a tree of tasks, each with a group that waits for it and a task behind the group; and the same with a condition on each group.
func gates(ctx context.Context, c *cluster, o options) (figures []figure, err error) {
	run := func(id string, gate bool) (time.Duration, error) {
		_, total, _, err := submit(ctx, c, func(yield func(*client.NewTask) bool) {
			if !yield(newTask(id, "", claimed)) {
				return
			}
			for i := range gateCount {
				n := strconv.Itoa(i)
				first, group, last := newTask(id+"-a"+n, id, claimed), newTask(id+"-g"+n, id, claimed), newTask(id+"-z"+n, id, claimed)
				group.Schemas, group.Inputs, group.Needs, last.Needs = nil, nil, []string{first.ID}, []string{group.ID}
				if gate {
					group.When = fmt.Sprintf("deps[%q].result.ok == true", first.ID)
				}
				if !yield(first) || !yield(group) || !yield(last) {
					return
				}
			}
		})
		return total, err
	}
	plain, err := run("groups", false)
	if err != nil {
		return nil, err
	}
	gated, err := run("gates", true)
	return append(figures, figure{fmt.Sprintf("%d groups, a task before and behind each", gateCount), "s", plain.Seconds()},
		figure{fmt.Sprintf("%d gates, a task before and behind each", gateCount), "s", gated.Seconds()},
		figure{"gates against groups", "times", float64(gated) / float64(max(plain, time.Millisecond))}), err
}

// waiting is how many tasks wait for signals in [waits], and answers how many of them are sent one.
const (
	waiting = 100_000
	answers = 1000
)

// waits looks at what it costs that many tasks wait, what a flat tree takes beside them, and how long a task takes from its signal to its end.
func waits(ctx context.Context, c *cluster, o options) (figures []figure, err error) {
	if figures, err = flat(ctx, c, o.tasks, claimed); err != nil {
		return nil, err
	}
	if _, err := c.count(ctx, "select 0"); err != nil { // connects
		return nil, err
	}
	before, err := resting(ctx, c, o)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	_, err = c.client.SubmitSeq(ctx, func(yield func(*client.NewTask, error) bool) {
		for i := range waiting {
			t := &client.NewTask{ID: "wait-" + strconv.Itoa(i), Name: "wait", Parent: "wait-0", Pool: sleep.ID, Executor: wait.ID, Inputs: json.RawMessage(`{"signal":"go"}`)}
			if i == 0 {
				t.Parent = ""
			}
			if !yield(t, nil) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for there := int64(0); there < waiting; {
		if there, err = c.count(ctx, "select count(*) from await"); err != nil {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	figures = append(figures, figure{fmt.Sprintf("%d tasks come to wait for signals", waiting), "tasks/s", waiting / time.Since(begin).Seconds()})
	during, err := resting(ctx, c, o)
	if err != nil {
		return nil, err
	}
	for i := range before {
		figures = append(figures, before[i], figure{fmt.Sprintf("%s, %d tasks wait", during[i].Name, waiting), during[i].Unit, during[i].Value})
	}
	_, beside, _, err := submit(ctx, c, flatTree("beside", claimed, o.tasks, payload))
	if err != nil {
		return nil, err
	}
	figures = append(figures, figure{fmt.Sprintf("flat %d, claimed, %d tasks wait", o.tasks, waiting), "tasks/s", float64(o.tasks) / beside.Seconds()})
	took := make([]time.Duration, answers)
	for i := range took {
		id, sent := "wait-"+strconv.Itoa(waiting/answers*i), time.Now()
		if _, err := c.client.Signal(ctx, id, client.Signal{Name: "go", Payload: json.RawMessage(`{"ok":true}`)}); err != nil {
			return nil, err
		}
		for {
			t, err := c.client.Task(ctx, id)
			if err != nil {
				return nil, err
			}
			if t.State == client.StateCompleted {
				break
			}
			time.Sleep(time.Millisecond)
		}
		took[i] = time.Since(sent)
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	return append(figures, figure{fmt.Sprintf("from a signal to the end of the task, %d tasks wait: p50", waiting), "ms", took[answers/2].Seconds() * 1000},
		figure{fmt.Sprintf("from a signal to the end of the task, %d tasks wait: p99", waiting), "ms", took[answers*99/100].Seconds() * 1000}), nil
}

// resting is [idle] once Postgres has nothing left to do of what was before.
func resting(ctx context.Context, c *cluster, o options) ([]figure, error) {
	for _, statement := range []string{"vacuum analyze", "checkpoint"} {
		if _, err := c.asking.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	return idle(ctx, c, o)
}
