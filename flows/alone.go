package flows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows/gate"
)

// givenRoot is what templates name what jobs have given that don't run; no template of a flow can begin so. It is filled in when the run is made.
const givenRoot = "given"

// alone has a job run without those that it needs or names. What these have given stands there: with success, if it needs them, or if outputs of theirs were given.
func (c *compiler) alone(first *Job) {
	c.given = map[string]any{}
	met := func(id string) map[string]any {
		of, _ := c.given[id].(map[string]any)
		if of == nil {
			of = map[string]any{"status": succeeded, "outputs": map[string]any{}}
			c.given[id] = of
		}
		return of
	}
	for _, n := range first.Needs {
		met(n.Job)
	}
	for i, text := range c.opts.JobOutputs {
		loc := fmt.Sprintf("job_outputs[%d]", i)
		tell := func(code Code, format string, args ...any) {
			c.tell(code, "", loc, treedoc.Position{}, format, args...)
		}
		name, value, is := strings.Cut(text, "=")
		dot := strings.LastIndexByte(name, '.')
		if !is || dot <= 0 {
			tell(CodeNoOutput, "must be JOB.KEY=VALUE")
			continue
		}
		id, key := name[:dot], name[dot+1:]
		j := c.byID[id]
		switch {
		case j == nil || !slices.Contains(c.doc.Jobs, j):
			msg := "there is no job " + shorten(id) + " in the list of the flow"
			if near := dag.Closest(id, slices.Sorted(maps.Keys(c.byID))); near != "" {
				msg += fmt.Sprintf("; did you mean %s?", near)
			}
			tell(CodeUnknownJob, "%s", msg)
			continue
		case j == first:
			tell(CodeNoOutput, "%s runs, and gives its outputs itself", shorten(id))
			continue
		case len(c.promoters(j, key)) == 0:
			tell(CodeUnknownOutput, "no step of %s promotes %s", shorten(id), shorten(key))
			continue
		}
		met(id)["outputs"].(map[string]any)[key] = valueOf(value)
	}
	for _, id := range c.named(first) {
		if c.given[id] == nil {
			c.given[id] = map[string]any{"status": skipped, "skip_reason": dag.SkipNotSelected, "outputs": map[string]any{}}
		}
	}
}

// valueOf is JSON as what it says, and anything else as text.
func valueOf(text string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return text
	}
	return v
}

// fromGiven is the path at which a token finds what a job has given that does not run. given: it is one of these.
func (w *writer) fromGiven(piece template.Piece) (path, reason string, given bool) {
	of := piece.Path
	if w.given[of[1]] == nil || w.selected(w.byID[of[1]]) {
		return "", "", false
	}
	if !piece.HasDefault && of[2] == "outputs" && len(of) > 3 {
		outputs := w.given[of[1]].(map[string]any)["outputs"].(map[string]any)
		if v, has := outputs[of[3]]; !has || v == "" {
			return "", fmt.Sprintf("%s does not run: give the output, --job-output %s.%s=VALUE, or write a default", of[1], of[1], of[3]), true
		}
	}
	return strings.Join(append([]string{givenRoot}, of[1:]...), "."), "", true
}

// atRun are the values that templates of steps find when the run is made.
func (c *compiler) atRun(j *Job) template.Scope {
	scope := c.scope(j)
	if c.given != nil {
		scope[givenRoot] = c.given
	}
	return scope
}

// constant is what a gate finds of a job that does not run, as an expression of CEL.
func (c *compiler) constant(r gate.Ref) string {
	of, _ := c.given[r.Job].(map[string]any)
	v := of[r.Field]
	for _, name := range r.Path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "dyn(null)"
	}
	return "dyn(" + strings.TrimSpace(out.String()) + ")"
}
