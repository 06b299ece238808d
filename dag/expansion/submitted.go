package expansion

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// InputFault is a fault of a map's inputs that is known when its tree is submitted.
type InputFault struct {
	Field  string // path within the inputs: "task.retry"; empty: the inputs as a whole
	Reason string
}

// InputFaults are what would fail the map for good once it runs, as far as it is known before: of what is made for each item, of the path to
// the items, and of the first of the listed items that has any. What the schema of the inputs says is not told again. Of opts, Check is asked about
// the tasks of listed items.
func InputFaults(t *dag.Task, opts Options) (faults []InputFault) {
	var in struct{ Items, Task, Tasks json.RawMessage }
	if json.Unmarshal(t.Inputs, &in) != nil && len(t.Inputs) > 0 {
		return nil
	}
	add := func(field, format string, args ...any) {
		faults = append(faults, InputFault{field, fmt.Sprintf(format, args...)})
	}
	if reason := itemsFault(t, in.Items); reason != "" {
		add("items", "%s", reason)
	}
	field, each := "task", in.Task
	switch task, tasks := given(in.Task), given(in.Tasks); {
	case t.Overwrites("task") || t.Overwrites("tasks"): // that fails the attempt, whose words say it best
		return faults
	case task && tasks:
		add("task", "task and tasks are there, and one of them is to be")
		return faults
	case tasks:
		field, each = "tasks", in.Tasks
	case !task:
		add("", "task is required, or tasks")
		return faults
	}
	if first := firstByte(each); field == "task" && first != '{' || field == "tasks" && (first != '[' || len(bytes.TrimSpace(each)) <= 2) {
		return faults // the schema says so
	}
	r := &reading{Options: opts, plan: &Plan{}, faults: &InvalidError{}, pools: map[string]bool{}}
	tm, err := NewTemplate(each, cmp.Or(r.Name, t.Name), opts.Executors)
	if bad, ok := err.(*InvalidError); ok {
		for _, text := range bad.Problems {
			faults = append(faults, placed(field, text))
		}
		return faults
	}
	if err != nil || firstByte(in.Items) != '[' || t.Overwrites("items") || t.Control != nil && t.Control.Template && bytes.Contains(in.Items, []byte("{{")) {
		return faults
	}
	i := 0
	for item := range elements(in.Items) {
		if i == checkedTasks || len(r.faults.Problems) > 0 {
			break
		}
		if r.UserID == "" { // whose it will be is not known yet
			r.UserID = tm.tasks[0].task.UserID
		}
		r.item(tm, opts.Limits.OrDefaults(), item, i)
		i++
	}
	for _, text := range r.faults.Problems {
		at, reason, _ := strings.Cut(text, ": ")
		add(at, "%s", reason)
	}
	return faults
}

// given reports whether an input is there: null is none.
func given(input json.RawMessage) bool { return len(input) > 0 && input[0] != 'n' }

// placedAt is where a fault of a template is: each, and a field of a task.
var placedAt = regexp.MustCompile(`^each: (?:tasks\[(\d+)\]\.([^ :]+): )?`)

// placed gives a fault of a template its path in the inputs.
func placed(field, text string) InputFault {
	m := placedAt.FindStringSubmatch(text)
	if m == nil {
		return InputFault{field, text}
	}
	reason := text[len(m[0]):]
	switch {
	case m[2] == "":
		return InputFault{field, reason}
	case field == "tasks":
		field += "[" + m[1] + "]"
	}
	return InputFault{field + "." + m[2], reason}
}

// itemsFault is what is wrong with a path to items. A template is checked with the others of the task.
func itemsFault(t *dag.Task, items json.RawMessage) string {
	var path string
	if firstByte(items) != '"' || json.Unmarshal(items, &path) != nil || t.Overwrites("items") {
		return ""
	}
	if t.Control != nil && t.Control.Template && strings.Contains(path, "{{") {
		return ""
	}
	names := strings.Split(strings.Trim(strings.TrimSuffix(strings.TrimPrefix(path, "{{"), "}}"), " "), ".")
	switch {
	case names[0] == "inputs" && len(names) > 1:
		return ""
	case names[0] != "deps" || len(names) < 3 || names[2] != "result":
		return fmt.Sprintf("%.80q is neither a list nor a path like deps.NAME.result.field or inputs.field", path)
	}
	var refs []string
	for _, d := range t.Dependencies {
		if d.Ref == names[1] || d.Legacy {
			return ""
		}
		refs = append(refs, d.Ref)
	}
	reason := fmt.Sprintf("the task does not depend on '%.80s'", names[1])
	switch likely := dag.Closest(names[1], refs); {
	case likely != "":
		reason += fmt.Sprintf("; is '%.80s' meant?", likely)
	case len(refs) == 0:
		reason += ": it has no dependencies"
	}
	return reason
}
