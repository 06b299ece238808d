package jsonrpc

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// task is a task object: the 20 keys of spec 1.1 in its order, then what 12.2 and we add.
type task struct {
	ID             string          `json:"id"`
	ParentID       *string         `json:"parent_id"`
	UserID         *string         `json:"user_id"`
	Name           string          `json:"name"`
	Status         dag.Status      `json:"status"`
	Priority       dag.Priority    `json:"priority"`
	Dependencies   []dependency    `json:"dependencies"` // null for a child without any, [] for a root
	Inputs         json.RawMessage `json:"inputs"`
	Params         json.RawMessage `json:"params"`
	Result         json.RawMessage `json:"result"`
	Outputs        json.RawMessage `json:"outputs,omitempty"` // the values that it names, if there are some
	Error          *string         `json:"error"`
	Schemas        json.RawMessage `json:"schemas"`
	Progress       fraction        `json:"progress"`
	CreatedAt      *isoTime        `json:"created_at"`
	StartedAt      *isoTime        `json:"started_at"`
	UpdatedAt      *isoTime        `json:"updated_at"`
	CompletedAt    *isoTime        `json:"completed_at"`
	HasChildren    bool            `json:"has_children"`
	OriginalTaskID *string         `json:"original_task_id"`
	HasCopy        bool            `json:"has_copy"`

	Ref           string   `json:"ref"` // what its submission calls it, under which its result gets into inputs
	OriginType    string   `json:"origin_type"`
	HasReferences bool     `json:"has_references"` // the value of HasCopy (spec 12.2)
	Executor      *string  `json:"executor"`       // null: a group
	Pool          *string  `json:"pool"`
	Attempt       int      `json:"attempt"`
	BlockedBy     []string `json:"blocked_by"`
	beyond
	TreeStatus   dag.Status        `json:"tree_status,omitempty"` // of roots, where it is told (spec 3.9)
	TreeProgress *fraction         `json:"tree_progress,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"` // of roots
}

// reserved are the keys that custom ones can't take: those of task and what a node of a tree has besides.
var reserved = map[string]bool{
	"id": true, "parent_id": true, "user_id": true, "name": true, "status": true, "priority": true,
	"dependencies": true, "inputs": true, "params": true, "result": true, "outputs": true, "error": true, "schemas": true,
	"progress": true, "created_at": true, "started_at": true, "updated_at": true, "completed_at": true,
	"has_children": true, "original_task_id": true, "has_copy": true,
	"ref": true, "origin_type": true, "has_references": true, "executor": true, "pool": true, "attempt": true, "blocked_by": true,
	"outcome": true, "skip_reason": true, "error_kind": true, "when": true, "fold": true, "allow_failure": true, "tree_failures_allowed": true, "tree_skipped": true, "waiting": true, "expansion": true, "subtree_id": true, "repeats": true, "repeat_exhausted": true, "limits": true, "lock": true, "rates": true, "existing": true, "cached_from": true, "retention": true, "tree_hold": true, "tree_due": true, "tree_late": true, "tree_unique": true,
	"tree_status": true, "tree_progress": true, "tree_usage": true, "labels": true, "children": true, "children_omitted": true, "id_map": true, "warnings": true,
}

type dependency struct {
	ID       string `json:"id"`
	Required bool   `json:"required"`
	Type     string `json:"type"`
	edgeMode
}

// taskOf is the task as the protocol shows it. tree may be nil.
func taskOf(t *coordinator.Task, tree *coordinator.TreeStatus) task {
	status := t.State.Status()
	out := task{
		ID: t.ID, ParentID: nullable(&t.ParentID), UserID: nullable(&t.UserID), Name: t.Name,
		Status: status, Priority: t.Priority,
		Inputs: object(t.Inputs), Params: object(t.Params), Schemas: object(t.Schemas),
		Error:     nullable(&t.Error),
		Progress:  fraction(t.Progress),
		CreatedAt: timeOf(&t.CreatedAt), StartedAt: timeOf(&t.StartedAt),
		UpdatedAt: timeOf(&t.UpdatedAt), CompletedAt: timeOf(&t.CompletedAt),
		HasChildren: t.HasChildren,
		Ref:         t.Ref,
		OriginType:  "create", OriginalTaskID: nullable(&t.OriginalID), HasCopy: t.HasCopy, HasReferences: t.HasCopy, Labels: t.Labels,
		Executor: nullable(&t.Executor), Pool: nullable(&t.Pool), Attempt: t.Attempt, BlockedBy: t.BlockedBy,
	}
	if t.OriginalID != "" {
		out.OriginType = "copy"
	}
	if out.BlockedBy == nil {
		out.BlockedBy = []string{}
	}
	if t.ParentID == "" || len(t.Dependencies) > 0 {
		out.Dependencies = make([]dependency, len(t.Dependencies))
	}
	for i, d := range t.Dependencies {
		out.Dependencies[i] = dependency{ID: d.ID, Required: d.Required, Type: d.Type}
		if d.Mode != 0 {
			out.Dependencies[i].edgeMode = edgeModeOf(d.Mode)
		}
		if d.Type == "" {
			out.Dependencies[i].Type = "result"
		}
	}
	if status == dag.StatusCompleted || status == dag.StatusCancelled { // spec 12.2
		out.Result, out.Outputs = shown(t.Result), t.Outputs
	}
	if status == dag.StatusFailed && t.Error == "" { // never empty, spec 12.2
		text := "task failed"
		out.Error = &text
	}
	out.beyond = beyondOf(t, tree)
	if tree != nil {
		out.TreeStatus = tree.Status
		progress := fraction(tree.Progress)
		out.TreeProgress = &progress
	}
	return out
}

// appendTask appends the task object with its custom keys, as the last of them open for more: without the brace that
// closes it.
func appendTask(b []byte, t *coordinator.Task, tree *coordinator.TreeStatus) []byte {
	out := taskOf(t, tree)
	b = out.append(b)
	b = b[:len(b)-1]
	if t.Custom == nil {
		return b
	}
	seen := map[string]bool{}
	for quoted, value := range members(t.Custom) {
		name, whole := rawjson.Unquote(quoted)
		if reserved[name] || seen[name] || name == "usage" && t.Usage != nil {
			continue
		}
		seen[name] = true
		if b = append(b, ','); whole {
			b = append(appendText(b, name), ':')
		} else { // as it was submitted
			b = append(append(b, quoted...), ':')
		}
		b = append(b, value...)
	}
	return b
}

// appendTasks appends an array of task objects.
func appendTasks(b []byte, tasks []*coordinator.Task) []byte {
	b = append(b, '[')
	for i, t := range tasks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendTask(b, t, nil), '}')
	}
	return append(b, ']')
}

// fraction is a progress: 0 to 1, shown with two decimals at most and one at least.
type fraction float64

func (f fraction) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func (f fraction) append(b []byte) []byte {
	v := min(max(float64(f), 0), 1)
	if math.IsNaN(v) {
		v = 0
	}
	if rounded := math.Round(v*100) / 100; rounded < 1 || v == 1 {
		v = rounded
	} else {
		v = 0.99 // only what is complete shows as 1
	}
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	if v == math.Trunc(v) {
		b = append(b, ".0"...)
	}
	return b
}

// isoTime is shown as ISO 8601 with its zone's offset, in UTC, to the microsecond; nil as null.
type isoTime time.Time

func (t isoTime) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

func (t *isoTime) append(b []byte) []byte {
	if t == nil {
		return append(b, "null"...)
	}
	at := time.Time(*t).UTC()
	year, month, day := at.Date()
	if year < 0 || year > 9999 {
		return at.AppendFormat(b, `"2006-01-02T15:04:05.000000-07:00"`)
	}
	hour, minute, second := at.Clock()
	b = appendDigits(append(b, '"'), year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), at.Nanosecond()/1000, 6)
	return append(b, `+00:00"`...)
}

// appendDigits appends the last n digits of a number.
func appendDigits(b []byte, number, n int) []byte {
	b = append(b, "000000"[:n]...)
	for i := len(b) - 1; i >= len(b)-n; i-- {
		b[i] += byte(number % 10)
		number /= 10
	}
	return b
}

// timeOf is nil for the zero time.
func timeOf(t *time.Time) *isoTime {
	if t.IsZero() {
		return nil
	}
	return (*isoTime)(t)
}

// nullable is nil for the empty text.
func nullable(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}

func object(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return shown(raw)
}

// shownDepth is how deep a stored value may nest to be shown. What is accepted nests far less, but a worker that lies, or an
// earlier version, may have stored more, and encoders and readers stop at 10 000 levels.
const shownDepth = 5000

// shown is the value, or a text in place of one that readers could not read.
func shown(raw json.RawMessage) json.RawMessage {
	if len(raw) > shownDepth && rawjson.Depth(raw) > shownDepth {
		return json.RawMessage(`"(nested too deep to be shown)"`)
	}
	return raw
}

// appendJSON appends the value as JSON, with <, > and & as they are. What is shown here can always be encoded.
func appendJSON(b []byte, value any) []byte {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
