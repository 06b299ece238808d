package jsonrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// The published protocol (spec 12) is a second encoding of the same methods: what follows checks its requests and rewrites answers. A call is of
// it if it has "protocol":"1.0" beside jsonrpc, or the request the header.
const (
	protocolVersion = "1.0" // the version that is served (spec 12.1)
	headerProtocol  = "X-Task-Protocol"
)

// speak settles in which dialect each call is made. A version that is not served is a fault of the call.
func speak(calls []call, header string) {
	for i := range calls {
		c := &calls[i]
		asked := header
		if c.version != "" {
			asked = c.version
		}
		c.protocol = asked != ""
		if asked != "" && asked != protocolVersion && c.fault == nil {
			c.fault = &rpcError{code: codeRequest, data: fmt.Sprintf("protocol %.20q is not served", asked),
				object: map[string]any{"field": "protocol", "reason": "version is not served", "expected": protocolVersion, "actual": fmt.Sprintf("%.20s", asked)}}
		}
	}
}

// checkIDs refuses ids that are not version 4 UUIDs (spec 12.2): those of parameters, and of tasks in a request.
func (h *Handler) checkIDs(method string, raw json.RawMessage) error {
	found := uuids{most: dag.MaxProblems}
	switch {
	case method == "tasks.create" || method == "tasks.execute":
		found.document(raw)
	case !strings.HasPrefix(method, "tasks.") || method == "tasks.resolve":
		return nil
	}
	for quoted, value := range members(raw) {
		switch name := strings.Trim(string(quoted), `"`); name {
		case "id", "parent_id":
			if method != "tasks.create" {
				found.parameter(name, value)
			}
		case "task_id", "root_id", "context_id", "original_task_id":
			found.parameter(name, value)
		case "task_ids", "context_ids", "custom_task_ids":
			for element := range elements(value) {
				found.parameter(name, element)
			}
		case "dependencies":
			if method == "tasks.update" {
				found.dependencies(-1, value)
			}
		case "updates":
			for quoted, value := range members(value) {
				if string(quoted) == `"dependencies"` {
					found.dependencies(-1, value)
				}
			}
		}
	}
	switch {
	case found.field != "":
		return invalid(found.field, "%s must be a version 4 UUID", found.field)
	case len(found.problems) > 0:
		return &dag.InvalidTreeError{Problems: found.problems, More: found.more}
	}
	return nil
}

// uuids collects what is no UUID.
type uuids struct {
	field    string // the first parameter
	problems []*dag.InvalidTaskError
	most     int
	more     int
}

func (u *uuids) parameter(name string, value json.RawMessage) {
	if u.field == "" && !isNull(value) && !isUUID(value) {
		u.field = name
	}
}

// document looks at the tasks of a request: an array, an object with tasks, or one task.
func (u *uuids) document(raw json.RawMessage) {
	if kind(raw) == '{' {
		one := true
		for quoted, value := range members(raw) {
			if string(quoted) == `"tasks"` {
				u.tasks(value)
				one = false
			}
		}
		if one {
			u.task(0, raw)
		}
		return
	}
	u.tasks(raw)
}

func (u *uuids) tasks(array json.RawMessage) {
	i := 0
	for element := range elements(array) {
		u.task(i, element)
		i++
	}
}

func (u *uuids) task(index int, object json.RawMessage) {
	for quoted, value := range members(object) {
		switch {
		case isNull(value):
		case string(quoted) == `"id"` && !isUUID(value):
			u.problem(dag.InvalidField, index, "id")
		case string(quoted) == `"parent_id"` && !isUUID(value):
			u.problem(dag.InvalidParent, index, "parent_id")
		case string(quoted) == `"dependencies"`:
			u.dependencies(index, value)
		}
	}
}

func (u *uuids) dependencies(index int, list json.RawMessage) {
	i := 0
	for element := range elements(list) {
		d, ok := dependencyOf(element)
		if ok && !uuid4(d.Ref) {
			u.problem(dag.InvalidDependency, index, fmt.Sprintf("dependencies[%d]", i))
		}
		i++
	}
}

func (u *uuids) problem(code dag.Code, index int, field string) {
	if len(u.problems) == u.most {
		u.more++
		return
	}
	u.problems = append(u.problems, &dag.InvalidTaskError{Code: code, Index: index, Field: field, Reason: field + " must be a version 4 UUID"})
}

func isUUID(value json.RawMessage) bool {
	if kind(value) != '"' {
		return true // its reader has a word for that
	}
	s, _ := rawjson.Unquote(value)
	return uuid4(s)
}

// uuid4 reports whether a text is a UUID of version 4, in its usual form.
func uuid4(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case i == 14 && c != '4', i == 19 && !strings.ContainsRune("89ab", rune(c)), !strings.ContainsRune("0123456789abcdef", rune(c)):
			return false
		case s[i] < '0': // the bit made a digit of it
			return false
		}
	}
	return true
}

// inProtocol rewrites the result of a method (spec 12.5).
func (h *Handler) inProtocol(method string, params, result json.RawMessage) (json.RawMessage, error) {
	switch method {
	case "tasks.create", "tasks.update":
		return pick(result, "id", "status", "id_map", "warnings", "children_omitted"), nil
	case "tasks.get", "tasks.detail":
		if result == nil {
			p, err := named(params)
			if err != nil {
				return nil, err
			}
			return nil, &api.Fault{Kind: api.NotFound, Text: "Task " + p.first("task_id", "id") + " not found"}
		}
	case "tasks.delete":
		return pick(result, "success"), nil
	case "tasks.children":
		return append(append([]byte(`{"children":`), result...), '}'), nil
	case "tasks.copy":
		if kind(text(result, "saved")) == 0 {
			return pick(result, "original_task_id", "copied_task_id", "status", "replayed"), nil
		}
	case "tasks.execute":
		return executedInProtocol(result)
	case "tasks.cancel", "tasks.running.cancel":
		return cancelledInProtocol(result)
	}
	return result, nil
}

func executedInProtocol(result json.RawMessage) (json.RawMessage, error) {
	var got started
	if json.Unmarshal(result, &got) != nil || got.Success {
		return result, nil
	}
	if got.Status == "cancelled" {
		return nil, &api.Fault{Kind: api.Conflict, Text: got.Message, Reason: reasonState, Facts: map[string]string{
			"task_id": got.CancelledID, "current_status": "cancelled", "attempted_transition": "in_progress"}}
	}
	return nil, &api.Fault{Kind: api.Conflict, Text: got.Message, Reason: reasonExecuting, Facts: map[string]string{
		"task_id": got.RootTaskID, "current_status": "in_progress", "attempted_transition": "in_progress"}}
}

func cancelledInProtocol(result json.RawMessage) (json.RawMessage, error) {
	var got cancelled
	if kind(result) != '{' || json.Unmarshal(result, &got) != nil || got.Status == "cancelled" {
		return result, nil
	}
	switch {
	case got.CurrentStatus != "":
		return nil, &api.Fault{Kind: api.Conflict, Text: got.Message, Reason: reasonState, Facts: map[string]string{
			"task_id": got.TaskID, "current_status": string(got.CurrentStatus), "attempted_transition": "cancelled"}}
	case got.Error == "Task not found":
		return nil, &api.Fault{Kind: api.NotFound, Text: got.Message}
	}
	return nil, &api.Fault{Kind: api.Denied, Text: got.Message}
}

// text is a member of an object as it stands; nil without it.
func text(object json.RawMessage, name string) json.RawMessage {
	for quoted, value := range members(object) {
		if string(quoted) == `"`+name+`"` {
			return value
		}
	}
	return nil
}

// pick is an object of some members of another, those that it has.
func pick(object json.RawMessage, names ...string) json.RawMessage {
	out := []byte{'{'}
	for _, name := range names {
		if value := text(object, name); value != nil {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(appendText(out, name), ':'), value...)
		}
	}
	return append(out, '}')
}

// Reasons of conflicts that only this dialect tells apart.
const (
	reasonState     = "INVALID_TRANSITION"
	reasonExecuting = "ALREADY_EXECUTING"
)

// The codes of the protocol (spec 12.4).
var protocolCodes = map[int]struct {
	name   string
	status int
}{
	-32001: {"Task not found", http.StatusNotFound},
	-32002: {"Circular dependency", http.StatusBadRequest},
	-32004: {"Unauthorized", http.StatusForbidden},
	-32005: {"Invalid task schema", http.StatusBadRequest},
	-32006: {"Invalid state transition", http.StatusConflict},
	-32008: {"Task already executing", http.StatusConflict},
	-32009: {"Cannot delete task", http.StatusConflict},
	-32010: {"Invalid parent reference", http.StatusBadRequest},
	-32011: {"Invalid dependency reference", http.StatusBadRequest},
	-32012: {"Task tree validation failed", http.StatusBadRequest},
}

// protocolFault is the one place where a fault becomes a code of the protocol.
func protocolFault(f *api.Fault) *rpcError {
	code, data := 0, map[string]any{"reason": f.Text}
	switch {
	case f.Kind == api.NotFound:
		code = -32001
	case f.Kind == api.Unauthenticated, f.Kind == api.Denied:
		code = -32004
		if f.Permission != "" {
			data["permission"] = f.Permission
		}
	case f.Kind == api.Conflict:
		code = map[string]int{api.ReasonCannotDelete: -32009, api.ReasonTreeStarted: -32010, reasonExecuting: -32008, api.ReasonStillStopping: -32008}[f.Reason]
		if code == 0 {
			code = -32006
		}
		for key, value := range f.Facts {
			data[key] = value
		}
	case len(f.Problems) > 0:
		code, data = problemCode(f.Problems[0]), problemData(f.Problems, f.More)
	case len(f.Parameters) > 0:
		code, data = parameterCode(f.Parameters), parameterData(f.Parameters)
	case f.Kind == api.Invalid && f.Field != "":
		data["field"] = f.Field
	}
	known, ok := protocolCodes[code]
	if !ok {
		out := rpcFault(f)
		out.object = data
		return out
	}
	out := &rpcError{code: code, data: f.Text, name: known.name, status: known.status, object: data}
	if f.Kind == api.Unauthenticated {
		out.status = http.StatusUnauthorized
	}
	return out
}

func problemCode(p *dag.InvalidTaskError) int {
	switch p.Code {
	case dag.CircularDependency:
		return -32002
	case dag.InvalidParent:
		return -32010
	case dag.InvalidDependency:
		return -32011
	case dag.InvalidTree, dag.DuplicateID, dag.WrongOwner:
		return -32012
	}
	if p.Index < 0 && p.Task == "" { // of a parameter
		return codeParams
	}
	return -32005
}

// problemData tells the faults of a tree: one as itself, several as errors.
func problemData(problems []*dag.InvalidTaskError, more int) map[string]any {
	all := make([]map[string]any, 0, len(problems))
	for _, p := range problems {
		one := map[string]any{"reason": p.Reason, "code": problemCode(p)}
		var path []any
		if p.Index >= 0 && (p.Field != "" || p.Task != "") {
			path = append(path, "tasks", p.Index)
		}
		if p.Field != "" {
			one["field"] = p.Field
			for part := range strings.SplitSeq(p.Field, ".") {
				path = append(path, part)
			}
		}
		if p.Task != "" {
			one["task_id"] = p.Task
		}
		if path != nil {
			one["path"] = path
		}
		if len(p.Cycle) > 0 {
			one["cycle"] = p.Cycle
		}
		all = append(all, one)
	}
	if len(all) == 1 && more == 0 {
		return all[0]
	}
	data := map[string]any{"errors": all}
	if more > 0 {
		data["more"] = more
	}
	return data
}

// parameterCode is the code of an update's faults: the state, then a cycle, then references, then what is plainly wrong.
func parameterCode(faults []api.ParameterFault) int {
	code := -32005
	for _, f := range faults {
		switch {
		case strings.Contains(f.Text, "Invalid state transition"), strings.Contains(f.Text, "(must be 'pending')"), strings.Contains(f.Text, "that are executing"):
			return -32006
		case strings.HasPrefix(f.Text, "Circular dependency"):
			code = -32002
		case code == -32005 && strings.HasPrefix(f.Text, "Dependency "):
			code = -32011
		}
	}
	return code
}

func parameterData(faults []api.ParameterFault) map[string]any {
	all := make([]map[string]any, 0, len(faults))
	for _, f := range faults {
		all = append(all, map[string]any{"field": f.Field, "reason": f.Text})
	}
	if len(all) == 1 {
		return all[0]
	}
	return map[string]any{"errors": all}
}

// countMost is how many tasks are counted for a list; a longer one is told to be longer.
const countMost = 10_000

// listed is the answer of tasks.list in the protocol: a page, and how many there are in all.
func (h *Handler) listed(ctx context.Context, x *exchange, f coordinator.TaskFilter) (json.RawMessage, error) {
	limit, offset := f.Limit, f.Offset
	page, err := x.svc.Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	total, more := offset+len(page.Items), page.Next
	for more != "" && total < countMost {
		f.Cursor, f.Offset, f.Limit = more, 0, pageSize
		rest, err := x.svc.Tasks(ctx, f)
		if err != nil {
			return nil, err
		}
		total, more = total+len(rest.Items), rest.Next
	}
	out := appendTasks([]byte(`{"tasks":`), page.Items)
	out = fmt.Appendf(out, `,"total":%d,"limit":%d,"offset":%d`, total, limit, offset)
	if more != "" {
		out = append(out, `,"total_is_minimum":true`...)
	}
	if page.Next != "" {
		out = appendText(append(out, `,"next_cursor":`...), page.Next)
	}
	return append(out, '}'), nil
}
