package coordinator

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// until is what a task waits for of a dependency, by the edge to it.
func until(required bool, m dag.EdgeMode, dependent dag.Flags) string {
	accepted := dag.Accepted(required, m)
	switch {
	case dependent&dag.FlagFold != 0:
		return "to end, as one of those that it folds"
	case m.Accept() == nil && required:
		return "to complete"
	case m.Accept() == nil:
		return "to end (optional)"
	case accepted[0] == dag.AcceptAny:
		return "to end, in whichever outcome"
	}
	text := "to end as " + strings.Join(accepted, " or ")
	if otherwise := m.Otherwise(); otherwise != "" {
		text += "; otherwise " + consequences[otherwise]
	}
	return text
}

// consequences are what becomes of a task by an edge that does not accept how its dependency has ended.
var consequences = map[string]string{"block": "it is blocked", "skip": "it is skipped"}

// conditionOf is the first task's; empty: it has none.
func conditionOf(steps []pg.WhyStep) string {
	if len(steps) == 0 || steps[0].When == "" {
		return ""
	}
	return fmt.Sprintf("%q", cut(steps[0].When))
}

// skipped says why the first task was skipped, and why those were by whose ends it was.
func skipped(steps []pg.WhyStep) string {
	if len(steps) == 0 {
		return "nothing says why"
	}
	s := &steps[0]
	switch {
	case len(steps) > 1:
		return fmt.Sprintf("%s%s", s.Reason, refusals(steps))
	case s.Reason == dag.SkipWhenFalse && s.When != "":
		return fmt.Sprintf("%s, its condition %s was false", s.Reason, conditionOf(steps))
	case s.Reason == dag.SkipUser:
		return "user, by somebody's word"
	case s.Reason == dag.SkipFold && s.Flags&dag.FlagFold != 0:
		return s.Reason + ", all that it folds were skipped"
	case s.Reason == "":
		return "nothing says why"
	case strings.HasPrefix(s.Reason, dag.SkipDependency):
		return s.Reason + ", by a dependency that has run again since"
	}
	return s.Reason + ", by the word of its run"
}

// refusals names who has ended so that the one before was blocked or skipped, each with its edge, from the second one on.
func refusals(steps []pg.WhyStep) string {
	var out strings.Builder
	for i := 1; i < len(steps); i++ {
		s, before := &steps[i], &steps[i-1]
		if i == 1 {
			out.WriteString(": it")
		} else {
			out.WriteString("; " + called(before.Name, before.ID))
		}
		switch {
		case before.Flags&dag.FlagFold != 0:
			out.WriteString(" folds ")
		default:
			accepted := dag.Accepted(s.Required, s.Mode)
			fmt.Fprintf(&out, " accepts %s of ", strings.Join(accepted, " or "))
		}
		fmt.Fprintf(&out, "%s, which %s", called(s.Name, s.ID), outcomeOf(s))
	}
	if len(steps) == pg.MaxWhySteps {
		out.WriteString("; and so on")
	}
	return out.String()
}

// outcomeOf is how a task ended, with what leads up to it, as far as that is no other's end.
func outcomeOf(s *pg.WhyStep) string {
	switch {
	case s.State == dag.Skipped && s.Reason == dag.SkipWhenFalse && s.When != "":
		return fmt.Sprintf("was skipped (%s: %q)", s.Reason, cut(s.When))
	case s.State == dag.Skipped:
		return ended(s.State) + because(s.Reason)
	}
	return ended(s.State) + because(s.Error)
}
