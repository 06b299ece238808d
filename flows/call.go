package flows

import "github.com/taskgrove/taskgrove/dag"

// call judges a step that runs another flow.
func (c *checker) call(s *Step, loc string) {
	if v := s.value.Get("timeout_seconds"); v.Given() {
		c.at(CodeNotYet, v, join(loc, "timeout_seconds"), "is not of a step that waits for a run: write it in the flow that runs, or at the job")
	}
	if inputs := s.value.Get("inputs"); !inputs.Given() {
		c.at(CodeMissing, s.value, loc+".inputs", "must be there, with flow")
	}
}

// call makes of a step that runs another flow the task that does, and waits for the run.
func (c *compiler) call(w *writer, run *Step) {
	t, at, loc := w.task, run.value.Get("inputs"), run.loc+".inputs"
	t.Schemas, w.looks = map[string]string{"method": dag.SubtreeExecutor}, true
	literal := func(name string) string {
		v := at.Get(name)
		if !v.Given() {
			return ""
		}
		text, _ := c.literal(textOf(v), v, join(loc, name), nil).(string)
		if !ValidID(text) {
			c.at(CodeBadID, v, join(loc, name), "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(text), maxIDChars)
		}
		return text
	}
	t.Inputs = map[string]any{"flow": literal("flow")}
	if job := literal("job"); job != "" {
		t.Inputs["job"] = job
	}
	if n := intOf(at.Get("version")); n != nil && *n > 0 {
		t.Inputs["version"] = *n
	}
	for _, name := range []string{"params", "env"} {
		if v := at.Get(name); len(v.Members()) > 0 {
			t.Inputs[name] = w.value(tableIn(v), v, join(loc, name), atItems)
		}
	}
	if wait := at.Get("wait"); wait.Given() && !boolOf(wait) {
		t.Inputs["detach"] = true
	}
	t.Template = w.tokens
}
