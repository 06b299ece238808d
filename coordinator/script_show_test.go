package coordinator_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// What the steps of a script print. A failure is printed, too: it is not what is wanted.

// state shows the tree and its tasks by their states: those in a state that comes first in submission order come first.
func (s *script) state(ctx context.Context) string {
	if s.tree == "" {
		return ""
	}
	tree, err := s.svc.Tree(ctx, s.tree)
	if err != nil {
		return err.Error() + "\n"
	}
	page, err := s.svc.Tasks(ctx, coordinator.TaskFilter{TreeOf: s.tree, Limit: 1000})
	if err != nil {
		return err.Error() + "\n"
	}
	var order []dag.State
	byState := map[dag.State][]string{}
	for _, t := range page.Items {
		if byState[t.State] == nil {
			order = append(order, t.State)
		}
		name := t.ID
		if t.Attempt > 1 {
			name += fmt.Sprintf("#%d", t.Attempt)
		}
		byState[t.State] = append(byState[t.State], name)
	}
	out := fmt.Sprintf("tree %s", tree.Status)
	if tree.OnlyOptionalFailed {
		out += ", only optional tasks"
	}
	if open := tree.Running - len(byState[dag.Running]); open != 0 {
		out += fmt.Sprintf(", %d cancelled attempts open", open)
	}
	for _, state := range order {
		out += fmt.Sprintf("\n%s: %s", state, strings.Join(byState[state], " "))
	}
	return out + "\n"
}

func (s *script) why(ctx context.Context, id string) string {
	e, err := s.svc.Why(ctx, id)
	if err != nil {
		return err.Error() + "\n"
	}
	return orDefault(causes(e), "nothing") + "\n"
}

func (s *script) task(ctx context.Context, id string) string {
	t, err := s.svc.Task(ctx, id)
	if err != nil {
		return err.Error() + "\n"
	}
	out := t.State.String() + "\n"
	if len(t.BlockedBy) > 0 {
		out += "blocked by: " + strings.Join(t.BlockedBy, " ") + "\n"
	}
	if t.Error != "" {
		out += "error: " + t.Error + "\n"
	}
	if t.Result != nil {
		out += "result: " + string(t.Result) + "\n"
	}
	return out
}

func (s *script) attempts(ctx context.Context, id string) (out string) {
	list, err := s.svc.Attempts(ctx, id)
	if err != nil {
		return err.Error() + "\n"
	}
	for _, a := range list {
		switch {
		case a.Running:
			out += fmt.Sprintf("%d is open\n", a.Number)
		case a.Error != "":
			out += fmt.Sprintf("%d %s: %s\n", a.Number, a.Outcome, a.Error)
		default:
			out += fmt.Sprintf("%d %s\n", a.Number, a.Outcome)
		}
	}
	return out
}

// events shows the events of the current execution so far.
func (s *script) events(ctx context.Context) (out string) {
	tree, err := s.svc.Tree(ctx, s.tree)
	if err != nil {
		return err.Error() + "\n"
	}
	var last int64
	for e, err := range s.svc.Watch(ctx, s.tree, 0) {
		if err != nil {
			return out + err.Error() + "\n"
		}
		if e.Sequence == 0 {
			continue // progress: how much of it comes is chance
		}
		if last > 0 && e.Sequence != last+1 {
			return out + fmt.Sprintf("a gap: %d follows %d\n", e.Sequence, last)
		}
		last = e.Sequence
		out += e.Type.String()
		if e.Type != coordinator.EventExecution && e.Type != coordinator.EventFinal {
			out += " " + e.TaskID
		}
		if e.Error != "" {
			out += ": " + e.Error
		}
		out += "\n"
		if e.Sequence >= tree.Sequence {
			break
		}
	}
	return orDefault(out, "none\n")
}
