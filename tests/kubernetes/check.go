package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// found is what became of all trees.
type found struct {
	tasks    int // that completed
	restarts int // starts beyond the first of a task
	faults   []string
}

func (f *found) fault(format string, args ...any) {
	if len(f.faults) < 50 {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

// check reads the events of each tree from its beginning: their numbers have no gap, each task completed once and in no other way, and the last event
// is the only final one.
func (l *load) check(ctx context.Context, size int) (*found, error) {
	f := &found{}
	for _, root := range l.roots {
		tree, err := l.c.Tree(ctx, root)
		if err != nil {
			return nil, err
		}
		if tree.Status != client.StatusCompleted || tree.Completed != size || tree.Tasks != size {
			f.fault("tree %s is %s with %d of %d tasks completed, %d failed, %d cancelled, %d unfinished",
				root, tree.Status, tree.Completed, tree.Tasks, tree.Failed, tree.Cancelled, tree.Unfinished)
		}
		completed, started := map[string]int{}, map[string]int{}
		var last int64
		finals := 0
		for e, err := range l.c.Watch(ctx, root, 0) {
			if err != nil {
				return nil, err
			}
			if e.Sequence == 0 {
				continue
			}
			if e.Sequence != last+1 {
				f.fault("tree %s: event %d follows event %d", root, e.Sequence, last)
			}
			last = e.Sequence
			switch e.Type {
			case client.EventStart:
				started[e.TaskID]++
			case client.EventCompleted:
				completed[e.TaskID]++
			case client.EventFailed, client.EventCancelled:
				f.fault("task %s of tree %s: %s: %s", e.TaskID, root, e.Type, e.Error)
			case client.EventFinal:
				finals++
			}
		}
		if finals != 1 || last != tree.Sequence {
			f.fault("tree %s: %d final events; the last event is %d of %d", root, finals, last, tree.Sequence)
		}
		if len(completed) != size {
			f.fault("tree %s: %d tasks completed, of %d", root, len(completed), size)
		}
		for task, n := range completed {
			if n != 1 {
				f.fault("task %s settled %d times", task, n)
			}
			f.tasks++
		}
		for _, n := range started {
			f.restarts += n - 1
		}
	}
	for v, err := range l.c.Verify(ctx, "") {
		if err != nil {
			return nil, err
		}
		f.fault("verify: %s: %s", v.Kind, v.Text)
	}
	return f, nil
}

// err is nil if nothing was found.
func (f *found) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%d faults:\n%s", len(f.faults), strings.Join(f.faults, "\n"))
}

// silence follows one tree as a client does, over every reconnect, and measures the longest time without an event.
func (k *kube) silence(ctx context.Context, c *client.Client, root string) (longest time.Duration, events int, err error) {
	heard := time.Now()
	var last int64
	for e, err := range c.Watch(ctx, root, 0) {
		if err != nil {
			return longest, events, err
		}
		if e.Sequence == 0 {
			continue
		}
		if e.Sequence != last+1 {
			return longest, events, fmt.Errorf("event %d follows event %d of tree %s", e.Sequence, last, root)
		}
		last = e.Sequence
		events++
		longest = max(longest, time.Since(heard))
		heard = time.Now()
	}
	return longest, events, nil
}
