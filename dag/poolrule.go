package dag

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of rules of pools.
const (
	MaxPoolRules     = 10_000
	MaxRulePatterns  = 1000 // of one list
	MaxPatternBytes  = 255
	maxReasons       = 10 // that one text names
	maxFaultsOfATask = 20 // by its pool's rule
)

// PoolRule says what is allowed on a pool. Each list holds names, or beginnings of names with a * behind; an empty list allows all.
type PoolRule struct {
	Pool        string
	Namespaces  []string // whose tasks it takes
	Executors   []string // that run tasks in it, and that its agents use as tools
	Connections []string // that tasks may name
	Secrets     []string // likewise
}

// PoolRules are rules by the names of their pools. A pool without one allows all.
type PoolRules map[string]*PoolRule

// PoolFault is what a rule has against a task.
type PoolFault struct {
	Field  string // path within the task
	Reason string // goes on behind the pool's name
}

// Check says what is wrong with a rule: by field, in the order of the fields.
func (r *PoolRule) Check() (faults []PoolFault) {
	if !ValidPool(r.Pool) {
		faults = append(faults, PoolFault{"pool", fmt.Sprintf("must be 1 to %d letters, digits, - and _", MaxPoolBytes)})
	}
	for _, list := range []struct {
		field    string
		patterns []string
	}{{"namespaces", r.Namespaces}, {"executors", r.Executors}, {"connections", r.Connections}, {"secrets", r.Secrets}} {
		if len(list.patterns) > MaxRulePatterns {
			faults = append(faults, PoolFault{list.field, fmt.Sprintf("must be at most %d names", MaxRulePatterns)})
			continue
		}
		for i, p := range list.patterns {
			if reason := checkPattern(p); reason != "" {
				faults = append(faults, PoolFault{fmt.Sprintf("%s[%d]", list.field, i), reason})
			}
		}
	}
	return faults
}

// checkPattern says what is wrong with an entry of a list; empty: nothing.
func checkPattern(p string) string {
	switch {
	case p == "":
		return "is empty"
	case len(p) > MaxPatternBytes:
		return fmt.Sprintf("must be at most %d bytes", MaxPatternBytes)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c == 0x7f || c == ',' }):
		return "must be a name: no spaces, commas or control characters"
	case strings.Contains(p[:len(p)-1], "*"):
		return "a * may only be the last character"
	}
	return ""
}

// Allows says what a rule has against a task: nothing if it is allowed, else at most 20 faults. Of the task it looks at Executor, Inputs and
// Params. A group, which runs nothing, is always allowed. A nil rule allows all.
//
// What looks like the name of a secret or a connection counts as one, whether the executor would take it or not: only its worker knows that.
func (r *PoolRule) Allows(namespace string, t *Task) (faults []PoolFault) {
	if r == nil || t.Executor == "" {
		return nil
	}
	add := func(field, format string, args ...any) bool {
		faults = append(faults, PoolFault{field, fmt.Sprintf(format, args...)})
		return len(faults) < maxFaultsOfATask
	}
	if !listed(r.Namespaces, namespace) {
		add("pool", "takes no tasks of namespace %q", namespace)
	}
	if !listed(r.Executors, t.Executor) {
		add("pool", "takes no tasks of executor %q", printable(t.Executor))
	}
	if len(r.Executors)+len(r.Connections)+len(r.Secrets) == 0 {
		return faults
	}
	for n := range names(t.Inputs, t.Params) {
		if !r.allowsName(n, add) {
			break
		}
	}
	return faults
}

// allowsName adds the fault of a name, if it has one, and reports whether there is room for more.
func (r *PoolRule) allowsName(n naming, add func(field, format string, args ...any) bool) bool {
	name := printable(n.name)
	switch {
	case n.kind == namesSecret && !listed(r.Secrets, n.name):
		return add(n.path(), "does not allow secret %q", name)
	case n.kind == namesConnection && !listed(r.Connections, n.name):
		return add(n.path(), "does not allow connection %q", name)
	case n.kind == namesTool && !listed(r.Executors, n.name) && !listed(r.Executors, n.name+"_executor"):
		return add(n.path(), "does not allow executor %q as a tool", name)
	case n.kind == mayNameSecret && len(r.Secrets) > 0:
		return add(n.path(), "allows some secrets only, and this may name one: write the tool as an object, with tool and arguments")
	case n.kind == mayNameConnection && len(r.Connections) > 0:
		return add(n.path(), "allows some connections only, and this may name one: write the tool as an object, with tool and arguments")
	}
	return true
}

// listed reports whether a list allows a name: it is empty, has the name, or a beginning of it with a * behind.
func listed(list []string, name string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p string) bool {
		if beginning, open := strings.CutSuffix(p, "*"); open {
			return strings.HasPrefix(name, beginning)
		}
		return p == name
	})
}

// Forbids says in one sentence what a rule has against a task; empty: it is allowed.
func (r *PoolRule) Forbids(namespace string, t *Task) string {
	faults := r.Allows(namespace, t)
	if len(faults) == 0 {
		return ""
	}
	return r.sentence(faults)
}

func (r *PoolRule) sentence(faults []PoolFault) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pool %q does not allow this task: ", r.Pool)
	for i, f := range faults {
		if i == maxReasons {
			fmt.Fprintf(&b, "; and %d more", len(faults)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		if f.Field != "pool" {
			fmt.Fprintf(&b, "%s: ", f.Field)
		}
		b.WriteString("it " + f.Reason)
	}
	return b.String()
}

// OfTask puts what a rule has against a task into the words of a tree's faults. index is the task's in its tree.
func (r *PoolRule) OfTask(index int, namespace string, t *Task) (faults []*InvalidTaskError) {
	for _, f := range r.Allows(namespace, t) {
		e := &InvalidTaskError{Code: InvalidField, Index: index, Task: t.ID, Field: f.Field, Reason: fmt.Sprintf("tasks[%d].%s: pool %q %s", index, f.Field, r.Pool, f.Reason)}
		if e.Task == "" {
			e.Task = t.Name
		}
		faults = append(faults, e)
	}
	return faults
}
