package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// A tree in which nothing runs and nothing happens for so long is said to stand still, with the reasons; later only when these change.
const (
	stillAfter = 3 * time.Second
	stillAgain = 10 * time.Second
)

// stillTasks is of how many tasks a reason is looked for.
const stillTasks = 3

// reasonsOf says why a tree does not move: the reasons of the task that was asked for if it waits, and of some that could start. Nothing if
// it moves, or has ended.
func (s *session) reasonsOf(ctx context.Context, tree *client.Tree, id string) ([]string, error) {
	if tree.Ended() || tree.Running > 0 {
		return nil, nil
	}
	ids := []string{id}
	for _, state := range []client.State{client.StateReady, client.StateDelayed} {
		page, err := s.TasksPage(ctx, client.TaskFilter{TreeOf: id, Status: client.StatusPending, State: state, PageSize: stillTasks})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Items {
			if t.State == state && len(ids) <= stillTasks {
				ids = append(ids, t.ID)
			}
		}
	}
	r := newReasons(s)
	for _, id := range ids {
		if r.seen[id] {
			continue
		}
		e, err := s.Why(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(e.Waits) == 0 && e.Status != client.StatusPending { // it has ended, or runs
			continue
		}
		if err := r.explain(ctx, e); err != nil {
			return nil, err
		}
	}
	return r.lines, nil
}

// sayWhenStill notes why the tree does not move, while it does not. moved, which may be nil, tells that something happened. It ends with
// ctx or with stop, which waits for it.
func (s *session) sayWhenStill(ctx context.Context, id string, moved <-chan struct{}) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var saying sync.WaitGroup
	saying.Go(func() {
		var sequence int64 // of the last event, as far as was looked
		if moved == nil {
			if tree, err := s.Tree(ctx, id); err == nil {
				sequence = tree.Sequence
			}
		}
		var said []string
		timer := time.NewTimer(stillAfter)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-moved:
				timer.Reset(stillAfter)
				said = nil
				continue
			case <-timer.C:
			}
			timer.Reset(stillAgain)
			tree, err := s.Tree(ctx, id)
			if err != nil {
				continue // what waits for the tree says so
			}
			if moved == nil && tree.Sequence != sequence {
				sequence, said = tree.Sequence, nil
				timer.Reset(stillAfter)
				continue
			}
			lines, err := s.reasonsOf(ctx, tree, id)
			if err == nil && len(lines) > 0 && !slices.Equal(lines, said) {
				said = lines
				fmt.Fprintf(s.notes, "nothing moves:\n  %s\n", strings.Join(lines, "\n  "))
			}
		}
	})
	return func() {
		cancel()
		saying.Wait()
	}
}
