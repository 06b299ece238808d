package coordinator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/pg"
)

// runTree is the tree of a run.
type runTree struct {
	tasks iter.Seq2[*dag.Task, error]
	file  *treefile.File // that it was made of; nil: it is a document of the protocol, or of a flow
	run   *pg.FlowRun    // that it is of a flow; nil: it is none
}

// runRules are how tokens of runs are read.
var runRules = &template.Rules{Plain: true, Nulls: true}

// maxFilled is how much the tree of a run may gain by what its tokens stand for.
const maxFilled = 4 << 20

// treeOfRun makes the tree of a run: of a document of the protocol, with what the inputs of those tasks name that are templates, or of a tree file. *[ScheduleFaultsError]: what
// is wrong with the file.
func (c *Coordinator) treeOfRun(tree json.RawMessage, user string, parameters map[string]any, roots template.Scope) (*runTree, error) {
	if tree = fileText(tree); treefile.Names(tree) {
		return c.fileOfRun(tree, user, parameters, roots)
	}
	if len(parameters) > 0 {
		if namesSecret(parameters) {
			return nil, &InvalidArgumentError{Field: "parameters", Reason: "a value names a secret, which only the tree may"}
		}
		roots = maps.Clone(roots)
		roots["parameters"] = parameters
	}
	return &runTree{tasks: c.ofRun(tree, user, roots)}, nil
}

// fileText is the text of a tree file that is written as one, in YAML or JSON; else the tree itself.
func fileText(tree json.RawMessage) json.RawMessage {
	if len(tree) == 0 || tree[0] != '"' {
		return tree
	}
	text, whole := rawjson.Unquote(tree)
	if !whole {
		return tree
	}
	f, err := treefile.Decode("tree", []byte(text))
	if err != nil {
		return tree
	}
	return f.JSON
}

// fileOfRun makes the tree of a tree file.
func (c *Coordinator) fileOfRun(tree json.RawMessage, user string, parameters map[string]any, roots template.Scope) (*runTree, error) {
	filled, err := fillJSON(tree, roots)
	if err != nil {
		return nil, &ScheduleFaultsError{Faults: []scheduledoc.Fault{{Field: "tree", Reason: err.Error()}}}
	}
	values, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	given := &treefile.Arguments{}
	if err := given.JSON(values); err != nil {
		return nil, fileFaults(err)
	}
	f, err := treefile.Render("tree", filled, treefile.Options{Arguments: given, Executors: c.cfg.Known})
	if err != nil {
		return nil, fileFaults(err)
	}
	return &runTree{tasks: c.ofRun(f.JSON, user, nil), file: f}, nil
}

// ofRun are the tasks of a document that belongs to a user, with what the inputs of templates name of the roots. Tasks have no ids: each run makes its own.
func (c *Coordinator) ofRun(document json.RawMessage, user string, roots template.Scope) iter.Seq2[*dag.Task, error] {
	at := -1
	return marked(treedoc.Parse(document, treedoc.Options{Limits: c.cfg.Limits, Executors: c.cfg.Known}), func(t *dag.Task) {
		at++
		wrong := func(code dag.Code, field, reason string) {
			t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: code, Index: at, Task: t.ID, Field: field, Reason: reason})
		}
		if t.ID != "" {
			wrong(dag.InvalidField, "id", "must be left out, as each run has ids of its own: tasks name each other by their names")
		}
		if t.UserID != "" && t.UserID != user {
			wrong(dag.WrongOwner, "user_id", "the tree belongs to the user of the schedule, and names another one")
		}
		if t.Due != nil {
			wrong(dag.InvalidField, "due", "the schedule says when its runs are due")
		}
		if t.Control == nil || !t.Control.Template || t.Inputs == nil || len(roots) == 0 {
			return
		}
		for at, text := range dag.FixedTexts(t.Executor, t.Inputs) {
			if strings.Contains(text, "{{") {
				wrong(dag.InvalidField, "inputs."+at, "what names a secret or a connection, or allows something, must be written out")
			}
		}
		if inputs, err := fillJSON(t.Inputs, roots); err != nil {
			wrong(dag.InvalidField, "inputs", err.Error())
		} else {
			t.Inputs = inputs
		}
	})
}

// namesSecret reports whether an executor would read a secret in the value's place, or in that of one of its parts.
func namesSecret(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, is := v["secret"]; is && len(v) == 1 {
			return true
		}
		for _, member := range v {
			if namesSecret(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, namesSecret)
	}
	return false
}

// fillJSON fills a document.
func fillJSON(raw json.RawMessage, roots template.Scope) (json.RawMessage, error) {
	var document any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	filled, err := runRules.Fill(document, roots, maxFilled)
	if err != nil {
		return nil, err
	}
	return json.Marshal(filled)
}

// faults are those of the tree, as the schedule's; nil: it is another error.
func (r *runTree) faults(err error) *ScheduleFaultsError {
	if faults, ok := errors.AsType[*ScheduleFaultsError](err); ok {
		return faults
	}
	bad, ok := errors.AsType[*dag.InvalidTreeError](err)
	if one, is := errors.AsType[*dag.InvalidTaskError](err); is && !ok {
		bad, ok = &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{one}}, true
	}
	if !ok {
		return nil
	}
	out := &ScheduleFaultsError{More: bad.More}
	unfilled := map[int]bool{} // tasks whose tokens stand as they were written, of which nothing more is told
	for _, p := range bad.Problems {
		unfilled[p.Index] = unfilled[p.Index] || p.Field == "inputs"
	}
	for _, p := range bad.Problems {
		if unfilled[p.Index] && strings.HasPrefix(p.Field, "inputs.") {
			continue
		}
		field := dag.FieldOf(p)
		if r != nil && r.file != nil {
			out.Faults = append(out.Faults, fileFault(r.file.FaultOf(field, p.Reason).Text))
			continue
		}
		at := "tree"
		if p.Index >= 0 {
			at = fmt.Sprintf("tree[%d]", p.Index)
		}
		if p.Field != "" {
			at += "." + treedoc.Short(p.Field)
		}
		if r != nil && r.run != nil {
			out.Faults = append(out.Faults, scheduledoc.Fault{Field: "flow", Reason: "the tree that it makes: " + at + ": " + strings.TrimPrefix(p.Reason, field+": ")})
			continue
		}
		out.Faults = append(out.Faults, scheduledoc.Fault{Field: at, Reason: strings.TrimPrefix(p.Reason, field+": ")})
	}
	return out
}

// fileFaults are those of a tree file as the schedule's.
func fileFaults(err error) error {
	bad, ok := errors.AsType[*treefile.Error](err)
	if !ok {
		return err
	}
	out := &ScheduleFaultsError{More: bad.More}
	for _, f := range bad.Faults {
		if strings.HasPrefix(f.Place, "parameters") { // that are given
			out.Faults = append(out.Faults, scheduledoc.Fault{Field: f.Place, Reason: f.Text})
			continue
		}
		out.Faults = append(out.Faults, fileFault(f.Text))
	}
	return out
}

// filled looks at the tasks, as far as what is put into them goes.
func (r *runTree) filled() error {
	bad := &dag.InvalidTreeError{}
	for t, err := range r.tasks {
		if err != nil {
			return r.told(err)
		}
		bad.Problems = append(bad.Problems, t.Faults...)
	}
	if len(bad.Problems) == 0 {
		return nil
	}
	bad.More = max(0, len(bad.Problems)-dag.MaxProblems)
	bad.Problems = bad.Problems[:len(bad.Problems)-bad.More]
	return r.told(bad)
}

// told is an error with the tree's faults as the schedule's.
func (r *runTree) told(err error) error {
	if bad := r.faults(err); bad != nil {
		return bad
	}
	return err
}

// aPath begins texts about a part of a tree file.
var aPath = regexp.MustCompile(`^((?:[a-z_]+|\[\d+\])(?:\.[A-Za-z_]+|\[\d+\])*): `)

// fileFault is a fault of a tree file by its text.
func fileFault(text string) scheduledoc.Fault {
	if m := aPath.FindString(text); m != "" {
		return scheduledoc.Fault{Field: "tree." + strings.TrimSuffix(m, ": "), Reason: text[len(m):]}
	}
	return scheduledoc.Fault{Field: "tree", Reason: text}
}
