package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

const (
	mostStopping = 1000 // cancelled tasks of a tree that are waited for one by one
	mostAtOnce   = 200  // of a tree that are looked for at a time
	stoppedFirst = 20 * time.Millisecond
	stoppedAtMax = 500 * time.Millisecond
	stoppedStill = 3 * time.Second // then it is said what has not answered
)

// stopping are cancelled tasks whose work may not have stopped, in the order in which they were found.
type stopping struct {
	cascade *bool // what the cancellation was told; nil: a root's tree, another task alone
	ids     []string
	still   time.Duration   // after which it is said what has not answered
	surely  map[string]bool // it will be cancelled, if it is not yet: the whole tree is
}

func (w *stopping) add(id string, surely bool) {
	if !slices.Contains(w.ids, id) && len(w.ids) < mostStopping {
		w.ids = append(w.ids, id)
	}
	if surely {
		w.surely[id] = true
	}
}

// find adds what has a worker of a task, and of its tree where that is cancelled, too: of the tree in that state.
func (w *stopping) find(ctx context.Context, s *session, id string, state client.State) error {
	t, err := s.Task(ctx, id)
	if err != nil {
		return err
	}
	root := t.ParentID == ""
	if all := w.cascade; all != nil && !*all || all == nil && !root {
		open, err := s.isOpen(ctx, t)
		if open {
			w.add(t.ID, false)
		}
		return err
	}
	page, err := s.TasksPage(ctx, client.TaskFilter{TreeOf: id, State: state, PageSize: mostAtOnce})
	if err != nil {
		return err
	}
	for _, t := range page.Items {
		open, err := s.isOpen(ctx, t)
		if err != nil {
			return err
		}
		if open {
			w.add(t.ID, root)
		}
	}
	return nil
}

// isOpen reports whether a worker has an attempt of the task in hand: it runs, or was cancelled and has not stopped.
func (s *session) isOpen(ctx context.Context, t *client.Task) (bool, error) {
	if t.State != client.StateCancelled || t.Worker == "" {
		return t.State == client.StateRunning, nil
	}
	why, err := s.Why(ctx, t.ID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(why.Waits, func(w client.Wait) bool { return w.Kind == "worker" }), nil
}

// receipt says when the work of a cancelled attempt had stopped.
type receipt struct {
	ID, Worker           string
	Attempt              int
	CancelledAt, Stopped time.Time
	Took                 time.Duration // from the cancellation to the end of the work
}

// wait waits for the receipts of all of them and prints each. What does not answer is told after a while.
func (w *stopping) wait(ctx context.Context, s *session) error {
	began, told := time.Now(), false
	for pause := stoppedFirst; len(w.ids) > 0; pause = min(2*pause, stoppedAtMax) {
		var open []*client.Task
		for _, id := range slices.Clone(w.ids) {
			t, err := s.Task(ctx, id)
			if err != nil {
				return err
			}
			holds, err := s.isOpen(ctx, t)
			if err != nil {
				return err
			}
			if holds && (t.State == client.StateCancelled || w.surely[id]) {
				open = append(open, t)
				continue
			}
			w.ids = slices.DeleteFunc(w.ids, func(other string) bool { return other == id })
			if err := s.printReceipt(ctx, t); err != nil {
				return err
			}
		}
		if len(open) == 0 {
			return nil
		}
		if !told && time.Since(began) > w.still {
			told = true
			if err := s.noteUnanswered(ctx, open); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	return nil
}

// printReceipt prints when the cancelled attempt of a task had stopped; nothing of a task that ended otherwise.
func (s *session) printReceipt(ctx context.Context, t *client.Task) error {
	if t.State != client.StateCancelled {
		return nil // it ended before it was reached, or runs again
	}
	all, err := s.Attempts(ctx, t.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	a := all[len(all)-1]
	if a.CancelledAt.IsZero() {
		return nil // it had no attempt to stop, or an older coordinator took the receipt
	}
	r := receipt{ID: t.ID, Worker: a.Worker, Attempt: a.Number, CancelledAt: a.CancelledAt, Stopped: a.FinishedAt, Took: a.FinishedAt.Sub(a.CancelledAt)}
	return s.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: attempt %d stopped after %s at worker %s\n", oneLine(r.ID), r.Attempt, lasted(r.Took), oneLine(r.Worker))
	})
}

// noteUnanswered notes whose receipts are missing, and how long their workers have for them.
func (s *session) noteUnanswered(ctx context.Context, open []*client.Task) error {
	workers, err := s.Workers(ctx)
	if err != nil {
		return err
	}
	for _, t := range open {
		text := fmt.Sprintf("%s: worker %s has not said that it stopped", oneLine(t.ID), oneLine(t.Worker))
		for _, w := range workers {
			if w.ID == t.Worker {
				text += fmt.Sprintf("; it is %s, and its lease ends at %s if it is not heard of", oneLine(w.State), shownTime(w.LeaseUntil))
				break
			}
		}
		if err := s.note("%s", text); err != nil {
			return err
		}
	}
	return nil
}

// stopped says how long a cancelled attempt took to stop; empty: it was not cancelled, or has not stopped.
func stopped(a *client.Attempt) string {
	if a.CancelledAt.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (stopped %s after it was cancelled)", lasted(a.FinishedAt.Sub(a.CancelledAt)))
}
