package coordinator

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// lines explains what a limited task waits for: each key, who holds it, and its place in the line. Of holders of other owners only the number is told.
func (e *Explanation) lines(w *pg.Why) {
	for i := range w.Lines {
		l := &w.Lines[i]
		wait := Wait{Since: l.Since, Ahead: l.Ahead}
		switch l.Kind {
		case dag.KindLock:
			wait.Kind, wait.Text = WaitLock, fmt.Sprintf("the lock %q", l.Key)
		case dag.KindRate:
			wait.Kind, wait.Text = WaitRate, fmt.Sprintf("the rate %q, %d a %s", l.Key, l.Max, perWord(l))
			if l.Due != nil {
				wait.Until = *l.Due
			}
		default:
			wait.Kind, wait.Text = WaitLimit, fmt.Sprintf("the limit %q: %d of %d are held, and it asks for %d", l.Key, l.Held, l.Max, l.Cost)
		}
		wait.heldBy(l.Holders, l.Holding, w.Owner)
		wait.Text += fmt.Sprintf("; %s, since %s", place(l.Ahead), clock(&l.Since))
		e.wait(wait)
	}
}

// heldBy says who holds what is waited for, so many in all: those of other owners are only counted.
func (w *Wait) heldBy(holders []pg.WhyHolder, holding int, owner string) {
	var named []string
	for _, h := range holders {
		if h.Owner != owner && h.Owner != "" {
			continue
		}
		if w.TaskID == "" {
			w.TaskID, w.TaskName = h.ID, h.Name
		}
		named = append(named, fmt.Sprintf("%s since %s", called(h.Name, h.ID), clock(&h.Since)))
	}
	switch others := holding - len(named); {
	case others <= 0:
	case len(named) > 0:
		named = append(named, fmt.Sprintf("%d others", others))
	case others == 1:
		named = append(named, "a task that is not shown")
	default:
		named = append(named, fmt.Sprintf("%d tasks that are not shown", others))
	}
	if len(named) > 0 {
		w.Text += "; held by " + strings.Join(named, ", ")
	}
}

// ruled says which operators' limits hold a ready task back: who set them, who has the places, and of a pool how many tasks come first.
func (e *Explanation) ruled(w *pg.Why) {
	var waits []Wait
	for i := range w.Rules {
		r := &w.Rules[i]
		of := "user " + r.Key
		wait := Wait{Kind: WaitLimit}
		if r.Kind == dag.KindPool {
			of, wait.Pool = "pool "+r.Key, r.Key
		}
		wait.Text = fmt.Sprintf("a place of %s: %d of the %d are held that %s has set %s%s", of, r.Holding, *r.Max, cmp.Or(r.SetBy, AnonymousName), clock(&r.SetAt), because(cut(r.Reason)))
		wait.heldBy(r.Holders, r.Holding, w.Owner)
		if !r.Counted {
			wait.Text += "; what runs is being counted"
		}
		if r.Kind == dag.KindPool && w.Place != nil {
			wait.Ahead = w.Place.Ahead
			if wait.Text += "; " + place(wait.Ahead); w.Place.More {
				wait.Text += " at least"
			}
		}
		waits = append(waits, wait)
	}
	e.heldBack("ready, and held back by an operator's limit", waits)
}

// heldBack puts what holds a ready task back before what else it waits for, unless there is nothing.
func (e *Explanation) heldBack(summary string, waits []Wait) {
	if len(waits) == 0 {
		return
	}
	e.Summary = summary
	for _, w := range e.Waits {
		if w.Kind != WaitDispatch && w.Kind != WaitCapacity {
			waits = append(waits, w)
		}
	}
	e.Waits = waits
}

// place is where one stands in a line.
func place(ahead int) string {
	switch ahead {
	case 0:
		return "it is the first in the line"
	case 1:
		return "1 task is before it in the line"
	}
	return fmt.Sprintf("%d tasks are before it in the line", ahead)
}

// perWord is the time of a rate.
func perWord(l *pg.WhyLine) string {
	switch l.Per.Seconds() {
	case 1:
		return "second"
	case 60:
		return "minute"
	case 3600:
		return "hour"
	}
	return l.Per.String()
}
