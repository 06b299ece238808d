package coordinator

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// expanded explains Expanded: which of the tasks that it found it waits for, and what these wait for if they found tasks themselves.
func (e *Explanation) expanded(w *pg.Why) {
	x := w.Expansion
	if x == nil {
		e.Summary = "expanded, and nothing says what it found: see verify"
		return
	}
	e.Summary = "expanded: it holds no slot, and waits for " + countFound(x)
	if x.Unfinished == 0 {
		e.Summary = "expanded: all that it found has ended"
		e.wait(Wait{Kind: WaitDispatch, Text: "a coordinator to end it, with their results; that is on record and happens in batches"})
		return
	}
	for _, f := range x.Named {
		e.wait(Wait{Kind: WaitDependency, TaskID: f.ID, TaskName: f.Name, TaskState: f.State, Text: fmt.Sprintf("%s to end; it is %s%s", called(f.Name, f.ID), f.State, below(f.Found))})
	}
	if len(x.Named) == 0 {
		e.wait(Wait{Kind: WaitDispatch, Text: "a coordinator to make the tasks that it found; that is on record and happens in batches"})
	}
	if more := x.Unfinished - x.Unmade - len(x.Named); more > 0 {
		e.Summary += fmt.Sprintf("; the first %d are named, and %d are not", len(x.Named), more)
	}
}

// countFound is how many tasks an expanded one waits for.
func countFound(x *pg.WhyExpansion) string {
	out := fmt.Sprintf("%d of the %d tasks that it found", x.Unfinished, x.Tasks)
	if x.Unmade > 0 {
		out += fmt.Sprintf(", of which %d are yet to be made", x.Unmade)
		if x.Window > 0 {
			out += fmt.Sprintf(" (window %d)", x.Window)
		}
	}
	return out
}

// below tells in one clause what an expanded task among the found waits for.
func below(x *pg.WhyExpansion) string {
	if x == nil || x.Unfinished == 0 {
		return ""
	}
	var names []string
	for _, f := range x.Named {
		text := fmt.Sprintf("%s, which is %s", called(f.Name, f.ID), f.State)
		if f.State == dag.Expanded {
			text += below(f.Found)
		}
		names = append(names, text)
	}
	out := ", and waits for " + countFound(x)
	if len(names) > 0 {
		out += " (" + strings.Join(names, "; ") + ")"
	}
	return out
}
