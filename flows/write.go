package flows

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// writer writes the templates of a step as those of its task: what is known of the run stands there as a value, what other tasks come to is named as trees name it.
type writer struct {
	*compiler
	at     place
	task   *taskDoc
	sees   dag.FlowStep // what its templates name of the flow, if they name anything
	looks  bool         // they do
	tokens bool         // something is left to render
	outer  *writer      // of the foreach that the step is in; nil: it is in none
	before []*Step      // in the same foreach
	label  string       // what tasks in it are called after
}

func (w *writer) value(v any, at treefile.Value, loc string, p phase) any {
	switch v := v.(type) {
	case string:
		return w.text(v, at, loc, p)
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, m := range at.Members() {
			out[m.Name] = w.value(v[m.Name], m.Value, join(loc, m.Name), p)
		}
		return out
	case []any:
		out := make([]any, len(v))
		items := at.Items()
		for i, e := range v {
			out[i] = w.value(e, items[i], fmt.Sprintf("%s[%d]", loc, i), p)
		}
		return out
	}
	return v
}

func (w *writer) text(text string, at treefile.Value, loc string, p phase) any {
	parsed, err := rules(p, true, w.outer != nil).Parse(text)
	if err != nil || parsed.Plain() {
		return text
	}
	pieces := parsed.Pieces()
	if p == atInput && alone(pieces) && pieces[0].Path[0] == "env" && w.doc.Secret(pieces[0].Path[1]) {
		return map[string]any{"secret": pieces[0].Path[1]}
	}
	var b strings.Builder
	for _, piece := range pieces {
		if piece.Path == nil {
			b.WriteString(piece.Plain)
			continue
		}
		path, constant, reason := w.path(piece, p)
		switch {
		case reason != "":
			code := CodeNotYet
			if piece.Path[0] == "jobs" {
				code = CodeNoOutput
			}
			w.reader.at(code, at, loc, "%s: %s", shorten(piece.Token), reason)
			return "" // of which nothing else is said
		case path == "":
			b.WriteString(constant)
		case piece.HasDefault:
			b.WriteString("{{" + path + ":" + piece.Default + "}}")
		default:
			b.WriteString("{{" + path + "}}")
		}
	}
	out, fillErr := (&template.Rules{Plain: true}).Fill(b.String(), w.atRun(nil), maxRendered)
	made := w.told(out, fillErr, text, at, loc)
	if s, is := made.(string); is && strings.Contains(s, "{{") {
		w.tokens = true
	}
	return made
}

// path is what a token names, in the template of a task. A path that is known when the run is made stays as it is. path empty: a constant stands for it. reason: why it can't be named.
func (w *writer) path(piece template.Piece, p phase) (path, constant, reason string) {
	names := piece.Path
	path = strings.Join(names, ".")
	if w.outer != nil {
		if path, constant, reason, done := w.inEach(piece, p); done {
			return path, constant, reason
		}
	}
	switch names[0] {
	case "attempt":
		return "task.attempt", "", ""
	case "steps":
		i := slices.IndexFunc(w.at.job.Steps, func(s *Step) bool { return s.ID == names[1] })
		if i == w.at.index {
			return strings.Join(append([]string{"result"}, names[2:]...), "."), "", ""
		}
		name := w.steps[w.at.job.Steps[i]]
		w.wait(name)
		if w.sees.Steps == nil {
			w.sees.Steps = map[string]string{}
		}
		w.sees.Steps[names[1]] = name
	case "job":
		if names[1] == "id" {
			return "", w.at.job.ID, ""
		}
		w.sees.Job = w.outputs(w.sees.Job, w.at.job.Steps[:w.at.index], names[2:])
	case "jobs":
		if path, reason, given := w.fromGiven(piece); given {
			return path, "", reason
		}
		w.ofJob(w.byID[names[1]], names[2], names[3:])
	case "failure":
		w.wait(w.all)
		w.sees.Failure = w.failed()
	default: // it is known when the run is made
		if names[0] == "env" && slices.Contains(systemEnv, names[1]) && w.opts.Bundle == nil && !piece.HasDefault && cmp.Or(w.opts.Env[names[1]], w.doc.Env[names[1]]) == "" {
			return "", "", "the run is of no bundle, whose directory it names: give --bundle-manifest"
		}
		return path, "", ""
	}
	w.looks = true
	return path, "", ""
}

// inBundle reports whether inputs name the directory of the bundle.
func (w *writer) inBundle(inputs map[string]any) bool {
	text, err := json.Marshal(inputs)
	return err != nil || bytes.Contains(text, []byte(bundle.DirMark)) || bytes.Contains(text, []byte(bundle.CacheMark))
}

// wait has the task depend on one whose values its templates name.
func (w *writer) wait(task string) { w.task.Dependencies = with(w.task.Dependencies, anyway(task)) }

// outputs adds the tasks of steps that promote an output, or any, to those whose outputs are seen, in the order of the steps.
func (w *writer) outputs(seen []string, steps []*Step, key []string) []string {
	all := map[string]bool{}
	for _, name := range seen {
		all[name] = true
	}
	seen = nil
	for _, s := range steps {
		_, promotes := s.Outputs[strings.Join(key[:min(1, len(key))], "")]
		if name := w.steps[s]; all[name] || promotes || len(key) == 0 && len(s.Outputs) > 0 {
			w.wait(name)
			seen = append(seen, name)
		}
	}
	return seen
}

// ofJob notes that what another job has come to is seen.
func (w *writer) ofJob(j *Job, field string, key []string) {
	if w.sees.Jobs == nil {
		w.sees.Jobs = map[string]dag.FlowJob{}
	}
	seen := w.sees.Jobs[j.ID]
	switch {
	case field == "outputs" && !w.selected(j): // it has no steps, and gives nothing
	case field == "outputs":
		seen.Outputs = w.outputs(seen.Outputs, j.Steps, key)
	default:
		seen.Task = w.jobs[j]
		w.wait(seen.Task)
	}
	w.sees.Jobs[j.ID] = seen
}

// failed says which task tells of the first failure.
func (c *compiler) failed() *dag.FlowFailure {
	out := &dag.FlowFailure{Task: c.all}
	if len(c.doc.Jobs) == 1 {
		out.Job = c.doc.Jobs[0].ID
	}
	out.Steps = map[string]string{}
	for _, j := range c.doc.Jobs {
		for _, name := range c.locks[j.ID] {
			out.Steps[name] = "lock"
		}
		for _, s := range j.Steps {
			name := c.steps[s]
			for _, lock := range c.locks[name] {
				out.Steps[lock] = s.ID
			}
			if held := c.held[s]; held != "" {
				out.Steps[held] = s.ID
			}
			if name != j.ID+"__"+s.ID {
				out.Steps[name] = s.ID
			}
		}
	}
	return out
}
