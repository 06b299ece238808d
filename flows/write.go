package flows

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// writer writes the templates of a step as those of its task: what is known of the run stands there as a value, what other tasks come to is named as trees name it.
type writer struct {
	*compiler
	at     place
	task   *taskDoc
	tokens bool // something is left to render
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
	parsed, err := rules(p, true).Parse(text)
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
			w.reader.at(CodeNotYet, at, loc, "%s: %s", shorten(piece.Token), reason)
			return text
		case path == "":
			b.WriteString(constant)
		case piece.HasDefault:
			b.WriteString("{{" + path + ":" + piece.Default + "}}")
		default:
			b.WriteString("{{" + path + "}}")
		}
	}
	out, fillErr := (&template.Rules{Plain: true}).Fill(b.String(), w.scope(w.at.job), maxRendered)
	made := w.told(out, fillErr, text, at, loc)
	if s, is := made.(string); is && strings.Contains(s, "{{") {
		w.tokens = true
	}
	return made
}

// path is what a token names, in a tree. A path that is known when the run is made stays as it is. path empty: a constant stands for it. reason: why it can't be named.
func (w *writer) path(piece template.Piece, p phase) (path, constant, reason string) {
	names := piece.Path
	rest := func(of string, below []string) string { return strings.Join(append([]string{of}, below...), ".") }
	switch names[0] {
	case "attempt":
		return "task.attempt", "", ""
	case "steps":
		i := slices.IndexFunc(w.at.job.Steps, func(s *Step) bool { return s.ID == names[1] })
		if i == w.at.index {
			return rest("result", names[2:]), "", ""
		}
		return rest(w.result(w.at.job.Steps[i]), names[2:]), "", ""
	case "job":
		if names[1] != "outputs" {
			break
		}
		return w.output(w.at.job, w.at.index, names[2:])
	case "jobs":
		return w.ofJob(w.byID[names[1]], piece)
	case "failure":
		if names[1] != "message" {
			return "", "", "of a failure only the message can be named: failure.message"
		}
		w.task.Dependencies = with(w.task.Dependencies, anyway(w.all))
		return "deps." + w.all + ".error", "", ""
	case "env":
		if slices.Contains(systemEnv, names[1]) {
			return "", "", "there are no bundles here, whose directories it names"
		}
	}
	return strings.Join(names, "."), "", ""
}

// result is the path of what a step of the same job has returned.
func (w *writer) result(s *Step) string {
	name := w.steps[s]
	w.task.Dependencies = with(w.task.Dependencies, anyway(name))
	return "deps." + name + ".result"
}

// output is the path of what the steps of a job before one have promoted. names: its key, and what is below it.
func (w *writer) output(j *Job, before int, names []string) (path, constant, reason string) {
	var all []int
	for i, s := range j.Steps[:before] {
		if _, does := s.Outputs[names[0]]; does {
			all = append(all, i)
		}
	}
	last := all[len(all)-1]
	if len(all) > 1 && j != w.at.job && slices.ContainsFunc(j.Steps[:last+1], func(s *Step) bool { return s.SkipJob }) {
		return "", "", fmt.Sprintf("several steps of %s promote %s, and the last may be left out by on_no_data: give them keys of their own", j.ID, names[0])
	}
	name := w.steps[j.Steps[last]]
	w.task.Dependencies = with(w.task.Dependencies, anyway(name))
	return "deps." + name + ".outputs." + strings.Join(names, "."), "", ""
}

// ofJob is the path of what another job has come to.
func (w *writer) ofJob(j *Job, piece template.Piece) (path, constant, reason string) {
	names := piece.Path
	if names[2] == "outputs" {
		return w.output(j, len(j.Steps), names[3:])
	}
	succeeded := slices.ContainsFunc(w.at.job.Needs, func(n Need) bool { return n.Job == j.ID && !n.Done })
	switch {
	case !succeeded:
		return "", "", fmt.Sprintf("in a template it can be named only of a job in depends_on: let a gate decide, as when: jobs.%s.%s == …", j.ID, names[2])
	case names[2] == "status":
		return "", "SUCCESS", ""
	case piece.HasDefault: // it was not skipped
		return "", piece.Default, ""
	}
	return "", "", "a job in depends_on was never skipped, so that it is always missing"
}
