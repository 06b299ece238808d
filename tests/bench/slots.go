package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors/sleep"
)

// flatWithSlots measures the flat tree once for each number of slots.
func flatWithSlots(ctx context.Context, o options) (figures []measured, err error) {
	for _, slots := range o.slots {
		o.concurrency = slots
		rate, err := flatRate(ctx, o)
		if err != nil {
			return figures, fmt.Errorf("%d slots: %w", slots, err)
		}
		figures = append(figures, measured{figure{flatName(o.tasks, slots), "tasks/s", rate}, slots, 1})
	}
	return figures, nil
}

// flatName is what the flat tree's rate at a number of slots is called.
func flatName(tasks, slots int) string { return fmt.Sprintf("flat %d, %d slots", tasks, slots) }

// flatRate is how many tasks of the flat tree a cluster of its own does in a second.
func flatRate(ctx context.Context, o options) (float64, error) {
	c, err := startCluster(ctx, o)
	if err != nil {
		return 0, err
	}
	defer c.stop()
	figures, err := flat(ctx, c, o.tasks, claimed)
	if err != nil {
		return 0, err
	}
	return figures[0].Value, nil
}

// The work of the suite sleeps: what each task sleeps, and in how many slots.
const (
	nap      = 5 * time.Millisecond
	napSlots = 16
)

// sleepsName is what the rate of the sleeping tasks is called.
var sleepsName = fmt.Sprintf("sleeps of %d ms, %d slots", nap.Milliseconds(), napSlots)

// sleeps measures a flat tree whose tasks sleep, as share of what the slots would do if nothing but the sleeps took time. A
// timer of the system is late by some tenths of a millisecond, so the share that goroutines alone reach is measured, too.
func sleeps(ctx context.Context, o options) ([]measured, error) {
	o.concurrency = napSlots
	c, err := startCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	ideal := napSlots / nap.Seconds()
	alone := napsAlone(int(2 * ideal)) // 2 s
	inputs := json.RawMessage(fmt.Sprintf(`{"seconds":%g}`, nap.Seconds()))
	_, total, _, err := submit(ctx, c, flatTree("root", sleep.ID, o.sleeps, inputs))
	if err != nil {
		return nil, err
	}
	rate := float64(o.sleeps) / total.Seconds()
	figures := []measured{
		{figure{sleepsName, "tasks/s", rate}, napSlots, 1},
		{figure{sleepsName + ": of the ideal", "", rate / ideal}, napSlots, 1},
		{figure{sleepsName + ": of the ideal, goroutines alone", "", alone / ideal}, napSlots, 0},
	}
	for _, f := range c.costs(sleepsName, o.sleeps) {
		figures = append(figures, measured{f, napSlots, 1})
	}
	return figures, nil
}

// napsAlone is how many sleeps a second as many goroutines as there are slots make, when they do nothing else.
func napsAlone(n int) float64 {
	var all sync.WaitGroup
	begin := time.Now()
	for range napSlots {
		all.Go(func() {
			for range n / napSlots {
				time.Sleep(nap)
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(begin).Seconds()
}
