package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/executors/sleep"
)

// mapItems is how many items the map of [mapped] has. A task of it is to cost at most 1.5 times what one of a flat tree does.
const mapItems = 100_000

// mapped runs as many tasks as a flat tree, and as those that a map makes of items: all at once, and so many at a time that the slots are full.
func mapped(ctx context.Context, c *cluster, o options) ([]figure, error) {
	_, plain, _, err := submit(ctx, c, flatTree("flat", claimed, mapItems, payload))
	if err != nil {
		return nil, err
	}
	figures := []figure{{fmt.Sprintf("flat %d beside a map", mapItems), "tasks/s", float64(mapItems) / plain.Seconds()}}
	for _, way := range []struct {
		id, name string
		window   int
	}{{"map", fmt.Sprintf("map of %d items", mapItems), 0}, {"window", fmt.Sprintf("map of %d items, %d at a time", mapItems, 2*o.concurrency), 2 * o.concurrency}} {
		task, err := mapTask(way.id, mapItems, way.window)
		if err != nil {
			return nil, err
		}
		_, total, _, err := submit(ctx, c, one(task))
		if err != nil {
			return figures, fmt.Errorf("%s: %w", way.name, err)
		}
		figures = append(figures, figure{way.name, "tasks/s", float64(mapItems) / total.Seconds()},
			figure{way.name + ": time of a task, against a flat tree's", "times", float64(total) / float64(max(plain, time.Millisecond))})
	}
	return figures, nil
}

// millionItems is the map whose memory is looked at.
const millionItems = 1_000_000

// mappedMillion has a map make a task for each of a million items, which the result of another task lists.
func mappedMillion(ctx context.Context, c *cluster, o options) ([]figure, error) {
	list := &client.NewTask{ID: "list", Name: "list", Parent: "map", Pool: sleep.ID, Executor: listID}
	task := &client.NewTask{ID: "map", Name: "resize-images", Pool: sleep.ID, Executor: mapper.ID, Needs: []string{"list"}, Inputs: map[string]any{
		"items": "deps.list.result.items", "collect": "none", "task": map[string]any{"name": "resize-image", "schemas": methods[claimed], "inputs": payload}}}
	_, total, tree, err := submit(ctx, c, slices.Values([]*client.NewTask{task, list}))
	if err != nil {
		return nil, err
	}
	if tree.Tasks != millionItems+2 {
		return nil, fmt.Errorf("%d tasks", tree.Tasks)
	}
	figures := []figure{{fmt.Sprintf("map of %d items", millionItems), "tasks/s", float64(millionItems) / total.Seconds()}}
	for _, r := range c.roles {
		figures = append(figures, figure{fmt.Sprintf("map of %d items: peak memory of %s", millionItems, r.name), "MiB", r.peak()})
	}
	return figures, nil
}

// listID is the executor that lists a million items.
const listID = "bench_list_executor"

// listed is its result.
type listed struct {
	Items []int `json:"items"`
}

func list(context.Context, struct{}) (listed, error) {
	out := listed{make([]int, millionItems)}
	for i := range out.Items {
		out.Items[i] = i
	}
	return out, nil
}

// mapTask makes tasks like those of a flat tree. It runs in a pool that has nothing else to do.
func mapTask(id string, items, window int) (*client.NewTask, error) {
	list := make([]int, items)
	for i := range list {
		list[i] = i
	}
	inputs, err := json.Marshal(map[string]any{"items": list, "window": window, "collect": "none",
		"task": map[string]any{"name": "resize-image", "schemas": methods[claimed], "inputs": payload}})
	return &client.NewTask{ID: id, Name: "resize-images", Pool: sleep.ID, Schemas: json.RawMessage(`{"method":"` + mapper.ID + `"}`), Inputs: json.RawMessage(inputs)}, err
}

func one(t *client.NewTask) iter.Seq[*client.NewTask] { return slices.Values([]*client.NewTask{t}) }
