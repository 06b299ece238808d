package jsonrpc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxTextBytes bounds each text parameter of a call: ids, messages, keys. Those that are the text of a file have no bound of their own.
const maxTextBytes = 4096

// params are the named parameters of a call. What is wrong with them is kept in err and the methods go on with
// zero values, so that a handler reads all it needs and then asks once.
type params struct {
	values map[string]json.RawMessage
	err    error           // all that is wrong, by the first field that is
	wrong  map[string]bool // fields of which something is told
}

// maxParamFaults is how many faults of one call are told.
const maxParamFaults = 20

// fault keeps what is wrong with a field: the first that is found of it.
func (p *params) fault(field, format string, args ...any) {
	told := invalid(field, format, args...)
	switch {
	case p.wrong[field] || len(p.wrong) == maxParamFaults:
		return
	case p.err == nil:
		p.wrong = map[string]bool{}
	default:
		before := p.err.(*api.Fault) //nolint:errorlint,forcetypeassert // it was set here
		told.Text, told.Field = before.Text+"; "+told.Text, before.Field
	}
	p.err, p.wrong[field] = told, true
}

// named reads params that must be an object; none are an empty one.
func named(raw json.RawMessage) (*params, error) {
	p := &params{values: map[string]json.RawMessage{}}
	switch kind(raw) {
	case 0:
	case '{':
		for quoted, value := range members(raw) {
			name, whole := rawjson.Unquote(quoted)
			if !whole { // of a parameter that there isn't, or of a key of one task, whose reader decides
				name = string(quoted)
				p.refuse("params", "an object whose names are valid Unicode")
			}
			if _, twice := p.values[name]; twice {
				return nil, invalid(name, "%s must not be there twice", name)
			}
			p.values[name] = value
		}
	default:
		return nil, invalid("params", "params must be an object")
	}
	return p, nil
}

func (p *params) refuse(name, what string) {
	p.fault(name, "%s must be %s", name, what)
}

// hasFile reports whether a tree file is given, or something that stands for one, in place of tasks.
func (p *params) hasFile() bool {
	_, there := p.values["file"]
	return there && (p.given("file") || !p.given("tasks"))
}

// required is a text parameter that must be there.
func (p *params) required(name string) string {
	s := p.text(name)
	if s == "" {
		p.fault(name, "%s is required", name)
	}
	return s
}

// given reports whether the parameter is there and not null.
func (p *params) given(name string) bool { return !isNull(p.values[name]) }

// misspelt refuses what is nearly one of the parameters that there are; others are ignored.
func (p *params) misspelt(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if near := dag.Nearest(name, known); near != "" && !slices.Contains(known, name) {
			p.fault(name, "there is no parameter %s; did you mean %s?", treedoc.Short(name), near)
		}
	}
}

// withoutFile refuses parameters of a tree file where there is none.
func (p *params) withoutFile() {
	if p.given("parameters") {
		p.fault("parameters", "parameters are of a tree file, and there is no file that they belong to")
	}
}

// text is a string parameter, empty when absent.
func (p *params) text(name string) string {
	value := p.values[name]
	if isNull(value) {
		return ""
	}
	if kind(value) != '"' {
		p.refuse(name, "a string")
		return ""
	}
	s := p.unquote(name, value)
	p.checkText(name, s)
	return s
}

// file is a string parameter that is the text of a file, empty when absent. How long it may be, and what it may hold, who reads it says.
func (p *params) file(name string) []byte {
	value := p.values[name]
	if isNull(value) {
		return nil
	}
	if kind(value) != '"' {
		p.refuse(name, "a string")
		return nil
	}
	return []byte(p.unquote(name, value))
}

// unquote decodes a string of a parameter.
func (p *params) unquote(name string, quoted []byte) string {
	s, whole := rawjson.Unquote(quoted)
	if !whole {
		p.refuse(name, "valid Unicode")
	}
	return s
}

func (p *params) checkText(name, s string) {
	if len(s) > maxTextBytes {
		p.refuse(name, "at most "+strconv.Itoa(maxTextBytes)+" bytes long")
	}
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		p.refuse(name, "text without NUL")
	}
}

// texts is a parameter that is an object of strings; nil when absent.
func (p *params) texts(name string) map[string]string {
	value := p.values[name]
	if isNull(value) {
		return nil
	}
	if kind(value) != '{' {
		p.refuse(name, "an object of strings")
		return nil
	}
	out := map[string]string{}
	for quoted, value := range members(value) {
		key := p.unquote(name, quoted)
		if _, twice := out[key]; twice || kind(value) != '"' {
			p.refuse(name, "an object of strings, each key once")
			return nil
		}
		out[key] = p.unquote(name, value)
		p.checkText(name, key+out[key])
	}
	return out
}

// first is the first of the aliases that is given and not empty.
func (p *params) first(names ...string) string {
	for _, name := range names {
		if s := p.text(name); s != "" {
			return s
		}
	}
	return ""
}

// taskID is the task that parameters name which may say more.
func taskID(raw json.RawMessage) (string, error) {
	p, err := named(raw)
	if err != nil {
		return "", err
	}
	id := p.first("task_id", "id")
	if p.err != nil {
		return "", p.err
	}
	if id == "" {
		return "", needsTaskID()
	}
	return id, nil
}

// needsTaskID is the error of parameters that name no task.
func needsTaskID() error {
	return invalid("task_id", "Task ID is required. Please provide 'task_id' or 'id' parameter.")
}

// flag is a boolean parameter.
func (p *params) flag(name string, absent bool) bool {
	switch kind(p.values[name]) {
	case 0, 'n':
		return absent
	case 't':
		return true
	case 'f':
		return false
	}
	p.refuse(name, "true or false")
	return absent
}

// number is an integer parameter within bounds, both included. 5.0 is an integer too.
func (p *params) number(name string, absent, low, high int) int {
	value := p.values[name]
	if isNull(value) {
		return absent
	}
	var f float64
	if err := json.Unmarshal(value, &f); err != nil || f != float64(int64(f)) || f < float64(low) || f > float64(high) {
		p.refuse(name, "an integer from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
		return absent
	}
	return int(f)
}

// time is a time as JSON usually has it; the zero one when not given.
func (p *params) time(name string) time.Time {
	text := p.text(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.refuse(name, "a time with its zone, such as 2026-01-31T12:00:00Z")
	}
	return at
}

// seconds is a number parameter above zero; absent when not given.
func (p *params) seconds(name string, absent float64) float64 {
	value := p.values[name]
	if isNull(value) {
		return absent
	}
	var f float64
	if err := json.Unmarshal(value, &f); err != nil || !(f > 0) || f > 1e9 {
		p.refuse(name, "a number of seconds above 0, at most 1e9")
		return absent
	}
	return f
}

// list is a parameter that is an array of strings, or a string with commas.
func (p *params) list(name string) []string {
	value := p.values[name]
	var out []string
	switch kind(value) {
	case 0, 'n':
	case '"':
		for part := range strings.SplitSeq(p.unquote(name, value), ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	case '[':
		for element := range elements(value) {
			if kind(element) != '"' {
				p.refuse(name, "an array of strings or a list with commas")
			}
			if p.err != nil || len(out) > maxIDs {
				break
			}
			out = append(out, p.unquote(name, element))
		}
	default:
		p.refuse(name, "an array of strings or a list with commas")
	}
	if len(out) > maxIDs {
		p.refuse(name, "at most "+strconv.Itoa(maxIDs)+" ids")
	}
	for _, s := range out {
		p.checkText(name, s)
	}
	return out
}

// maxIDs is how many tasks one call may name.
const maxIDs = 1000

// only refuses parameters that are no field of a struct of parameters (see [Method]).
func (p *params) only(known any) { p.onlyOr(known, false) }

// onlyOr is [params.only] of a method which also takes own keys of tasks, if it does.
func (p *params) onlyOr(known any, own bool) {
	if p.wrong["params"] { // names are no names
		return
	}
	names := fieldNames(known)
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if slices.Contains(names, name) || own && strings.HasPrefix(name, "custom.") {
			continue
		}
		text := fmt.Sprintf("unknown parameter '%.100s'", name)
		if near := dag.Nearest(name, names); near != "" {
			text += fmt.Sprintf(": did you mean '%s'?", near)
		} else if own {
			text += fmt.Sprintf("; an own key of tasks is 'custom.%.100s'", name)
		}
		p.fault(name, "%s", text)
	}
}
