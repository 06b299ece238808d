package jsonrpc

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// append appends the object as encoding/json would, without <, > and & escaped. An answer may hold a hundred thousand.
func (t *task) append(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), t.ID)
	b = appendNullable(append(b, `,"parent_id":`...), t.ParentID)
	b = appendNullable(append(b, `,"user_id":`...), t.UserID)
	b = appendText(append(b, `,"name":`...), t.Name)
	b = appendText(append(b, `,"status":`...), string(t.Status))
	b = strconv.AppendInt(append(b, `,"priority":`...), int64(t.Priority), 10)
	b = appendDependencies(append(b, `,"dependencies":`...), t.Dependencies)
	b = appendRaw(append(b, `,"inputs":`...), t.Inputs)
	b = appendRaw(append(b, `,"params":`...), t.Params)
	b = appendRaw(append(b, `,"result":`...), t.Result)
	if t.Outputs != nil {
		b = append(append(b, `,"outputs":`...), t.Outputs...)
	}
	b = appendNullable(append(b, `,"error":`...), t.Error)
	b = appendRaw(append(b, `,"schemas":`...), t.Schemas)
	b = t.Progress.append(append(b, `,"progress":`...))
	b = t.CreatedAt.append(append(b, `,"created_at":`...))
	b = t.StartedAt.append(append(b, `,"started_at":`...))
	b = t.UpdatedAt.append(append(b, `,"updated_at":`...))
	b = t.CompletedAt.append(append(b, `,"completed_at":`...))
	b = strconv.AppendBool(append(b, `,"has_children":`...), t.HasChildren)
	b = appendNullable(append(b, `,"original_task_id":`...), t.OriginalTaskID)
	b = strconv.AppendBool(append(b, `,"has_copy":`...), t.HasCopy)
	b = appendText(append(b, `,"ref":`...), t.Ref)
	b = appendText(append(b, `,"origin_type":`...), t.OriginType)
	b = strconv.AppendBool(append(b, `,"has_references":`...), t.HasReferences)
	b = appendNullable(append(b, `,"executor":`...), t.Executor)
	b = appendNullable(append(b, `,"pool":`...), t.Pool)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(t.Attempt), 10)
	b = append(b, `,"blocked_by":[`...)
	for i, id := range t.BlockedBy {
		b = appendText(comma(b, i), id)
	}
	b = append(b, ']')
	b = t.beyond.append(b)
	if t.TreeStatus != "" {
		b = appendText(append(b, `,"tree_status":`...), string(t.TreeStatus))
	}
	if t.TreeProgress != nil {
		b = t.TreeProgress.append(append(b, `,"tree_progress":`...))
	}
	if len(t.Labels) > 0 {
		b = appendLabels(append(b, `,"labels":`...), t.Labels)
	}
	return append(b, '}')
}

// appendLabels appends them by their keys.
func appendLabels(b []byte, labels map[string]string) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		b = appendText(append(appendText(comma(b, i), key), ':'), labels[key])
	}
	return append(b, '}')
}

// comma separates the element of that index from the one before.
func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendDependencies(b []byte, all []dependency) []byte {
	if all == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, d := range all {
		b = appendText(append(comma(b, i), `{"id":`...), d.ID)
		b = strconv.AppendBool(append(b, `,"required":`...), d.Required)
		b = append(d.edgeMode.append(appendText(append(b, `,"type":`...), d.Type)), '}')
	}
	return append(b, ']')
}

// appendText appends a string as appendJSON does.
func appendText(b []byte, s string) []byte {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == '"' || c == '\\':
			return appendJSON(b, s)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && (!utf8.ValidString(s) || strings.ContainsAny(s, "\u2028\u2029")) { // the two end lines of JavaScript
		return appendJSON(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendNullable(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return appendText(b, *s)
}

// appendRaw appends stored JSON, which Postgres has checked, without needless space.
func appendRaw(b []byte, raw json.RawMessage) []byte {
	if raw == nil {
		return append(b, "null"...)
	}
	return rawjson.AppendCompact(b, raw)
}
