package generate

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Task is a task of a generated tree, as a document has it (spec 1.1).
type Task struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	UserID       *string         `json:"user_id"` // null: the tree is whoever's who submits it
	ParentID     string          `json:"parent_id,omitempty"`
	Priority     dag.Priority    `json:"priority"`
	Dependencies []Dependency    `json:"dependencies,omitempty"`
	Schemas      json.RawMessage `json:"schemas,omitempty"`
	Params       json.RawMessage `json:"params,omitempty"`
	Inputs       json.RawMessage `json:"inputs"`
	Timeout      float64         `json:"timeout,omitempty"` // seconds
	Retry        *Retry          `json:"retry,omitempty"`
}

// Dependency is a task that another waits for.
type Dependency struct {
	ID       string `json:"id"`
	Required bool   `json:"required"`
	Type     string `json:"type,omitempty"`
}

// Retry is how often a failed task is tried again.
type Retry struct {
	MaxAttempts  int     `json:"max_attempts"`
	Backoff      string  `json:"backoff,omitempty"`
	InitialDelay float64 `json:"initial_delay,omitempty"` // seconds
	MaxDelay     float64 `json:"max_delay,omitempty"`     // seconds
}

// document writes the tree with ids that are UUIDs, as spec 8.12 has it: a model's own are kept if they are such. References follow, also those
// within inputs.
func (j *judge) document(t *tree) []Task {
	ids := make([]string, len(t.tasks))
	for i, id := range t.graph.IDs {
		if ids[i] = id; !isUUID(id) {
			ids[i] = j.newID()
		}
	}
	out := make([]Task, len(t.tasks))
	for i, task := range t.tasks {
		out[i] = Task{
			ID: ids[i], Name: task.Name, Priority: task.Priority, Params: task.Params, Schemas: schemas(task),
			Timeout: task.Timeout.Seconds(), Retry: retry(task.Retry),
		}
		if j.owner != "" {
			out[i].UserID = &j.owner
		}
		if p := t.graph.Parent[i]; p >= 0 {
			out[i].ParentID = ids[p]
		}
		var renamed []string
		for _, e := range t.graph.Dependencies(i) {
			out[i].Dependencies = append(out[i].Dependencies, Dependency{ids[e.Task], e.Required, e.Type})
			if was := t.graph.Refs[e.Task]; was != ids[e.Task] {
				renamed = append(renamed, was, ids[e.Task])
			}
		}
		out[i].Inputs = rename(task, renamed)
	}
	return out
}

// isUUID reports whether an id is a UUID of version 4, in the usual form.
func isUUID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.Version() == 4 && u.Variant() == uuid.RFC4122 && u.String() == id
}

// schemas name the executor by its id, so that it is the one that was judged, whoever chooses.
func schemas(t *dag.Task) json.RawMessage {
	out := []byte{'{'}
	if t.Executor != "" {
		id, _ := json.Marshal(t.Executor) // of text
		out = append(append(out, `"method":`...), id...)
	}
	for name, value := range rawjson.Members(t.Schemas) {
		if key, _ := rawjson.Unquote(name); key == "method" || key == "type" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	if len(out) == 1 {
		return nil
	}
	return append(out, '}')
}

func retry(p dag.RetryPolicy) *Retry {
	if p.MaxAttempts <= 1 {
		return nil
	}
	return &Retry{p.MaxAttempts, string(p.Backoff), p.InitialDelay.Seconds(), p.MaxDelay.Seconds()}
}

// rename writes the new ids of a task's dependencies into its inputs, where these refer to their results: as the first step of a JSON pointer
// (stdin_from and its like); and within the texts of executors that run code or ask models, in quotes and as values of a message: {{id.field}}.
func rename(t *dag.Task, renamed []string) json.RawMessage {
	switch {
	case len(t.Inputs) == 0:
		return json.RawMessage("{}")
	case len(renamed) == 0:
		return t.Inputs
	}
	d := json.NewDecoder(bytes.NewReader(t.Inputs))
	d.UseNumber()
	var inputs map[string]any
	if d.Decode(&inputs) != nil {
		return t.Inputs
	}
	r := newRenaming(renamed)
	for name, value := range inputs {
		if text, ok := value.(string); ok && strings.HasSuffix(name, "_from") {
			inputs[name] = r.pointer(text)
		} else if t.Executor == "llm_executor" || !slices.Contains(plain, t.Executor) {
			inputs[name] = r.texts(value)
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if !r.changed || e.Encode(inputs) != nil {
		return t.Inputs
	}
	return bytes.TrimSpace(out.Bytes())
}

// renaming replaces references in values.
type renaming struct {
	pairs   []string // old, new, old, new
	ids     map[string]string
	quoted  *strings.Replacer
	values  *regexp.Regexp
	changed bool
}

func newRenaming(pairs []string) *renaming {
	r := &renaming{pairs: pairs, ids: map[string]string{}}
	var quoted, ids []string
	for k := 0; k < len(pairs); k += 2 {
		for _, quote := range []string{`'`, `"`, "`"} {
			quoted = append(quoted, quote+pairs[k]+quote, quote+pairs[k+1]+quote)
		}
		ids = append(ids, regexp.QuoteMeta(pairs[k]))
		r.ids[pairs[k]] = pairs[k+1]
	}
	slices.SortFunc(ids, func(a, b string) int { return len(b) - len(a) }) // "a.b" before "a", which it begins like
	r.quoted = strings.NewReplacer(quoted...)
	r.values = regexp.MustCompile(`(\{\{\s*)(` + strings.Join(ids, "|") + `)(\s*[.}])`)
	return r
}

// pointer replaces the first step of a JSON pointer.
func (r *renaming) pointer(text string) string {
	for k := 0; k < len(r.pairs); k += 2 {
		step := "/" + pointed.Replace(r.pairs[k])
		if rest, ok := strings.CutPrefix(text, step); ok && (rest == "" || rest[0] == '/') {
			r.changed = true
			return "/" + r.pairs[k+1] + rest
		}
	}
	return text
}

// texts replaces what stands in quotes, in all texts within a value but the names of members.
func (r *renaming) texts(value any) any {
	switch v := value.(type) {
	case string:
		text := r.quoted.Replace(v)
		if strings.Contains(text, "{{") {
			text = r.values.ReplaceAllStringFunc(text, func(found string) string {
				part := r.values.FindStringSubmatch(found)
				return part[1] + r.ids[part[2]] + part[3]
			})
		}
		r.changed = r.changed || text != v
		return text
	case []any:
		for i := range v {
			v[i] = r.texts(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = r.texts(v[name])
		}
	}
	return value
}

// pointed writes a key as a JSON pointer does.
var pointed = strings.NewReplacer("~", "~0", "/", "~1")
