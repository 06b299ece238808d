package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// answer is what a tool found.
type answer struct {
	value json.RawMessage // nil: null
	next  string          // cursor of a list's next page
	hint  string          // what to do next; empty: nothing
}

// result puts an answer into the protocol's shape: the JSON as text (spec 7), the same as structured content, and what the model should know besides.
func (h *Handler) result(t *tool, a answer) *sdk.CallToolResult {
	if a.value == nil {
		a.value = json.RawMessage("null")
	}
	value, cut := fit(a.value, h.cfg.AnswerBytes)
	if len(value) > h.cfg.AnswerBytes {
		return faulty(&api.Fault{Kind: api.Invalid, Text: fmt.Sprintf("the answer has %d bytes, at most %d are sent: read a tree with list_tasks and root_id, page by page, "+
			"and single tasks with get_task", len(a.value), h.cfg.AnswerBytes)})
	}
	var hints []string
	if cut.omitted > 0 { // the cursor would leap over them
		a.next = ""
		hints = append(hints, fmt.Sprintf("The answer would be too long: the last %d were left out. Ask again with limit %d.", cut.omitted, cut.kept))
	}
	if cut.values > 0 {
		hints = append(hints, fmt.Sprintf("%d long values were cut: each tells how many bytes it has. GET /tasks/{id} on the server's HTTP port has a task as a whole.", cut.values))
	}
	if a.next != "" {
		hints = append(hints, "There are more: ask again with cursor "+strconv.Quote(a.next)+".")
	}
	if a.hint != "" {
		hints = append(hints, a.hint)
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, value, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(value)
	}
	out := &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: pretty.String()}}, StructuredContent: structured(t, value, a.next, cut.omitted)}
	if len(hints) > 0 {
		out.Content = append(out.Content, &sdk.TextContent{Text: strings.Join(hints, "\n")})
	}
	return out
}

// structured is an answer as an object.
func structured(t *tool, value json.RawMessage, next string, omitted int) any {
	if value[0] == '{' {
		return value
	}
	name := t.list
	if value[0] != '[' || name == "" {
		name = "result"
	}
	out := members{{name, value}}
	if next != "" {
		out = append(out, member{"next_cursor", next})
	}
	if omitted > 0 {
		out = append(out, member{"omitted", omitted})
	}
	return out
}

// words are how kinds of faults are called.
var words = map[api.Kind]string{
	api.Internal: "internal", api.Invalid: "invalid", api.NotFound: "not_found", api.Conflict: "conflict", api.Unavailable: "unavailable",
	api.Exhausted: "unavailable", api.Cancelled: "cancelled", api.Timeout: "timeout", api.Unauthenticated: "unauthenticated", api.Denied: "denied",
	api.Limited: "limited",
}

// problem is one fault of a submitted tree, or of an argument.
type problem struct {
	Task   string `json:"task,omitempty"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

// errorObject is a fault as structured content.
type errorObject struct {
	Kind     string    `json:"kind"`
	Reason   string    `json:"reason"`
	Field    string    `json:"field,omitempty"`
	Problems []problem `json:"problems,omitempty"`
	More     int       `json:"more,omitempty"`
	ID       string    `json:"error_id,omitempty"`
	// Permission is the one that the caller lacks.
	Permission string `json:"permission,omitempty"`
	// RetryAfter is in how many seconds the caller may try again.
	RetryAfter float64 `json:"retry_after,omitempty"`
}

// faulty is the result of a use that failed.
func faulty(f *api.Fault) *sdk.CallToolResult {
	e := errorObject{Kind: words[f.Kind], Reason: f.Text, Field: f.Field, More: f.More, ID: f.ID, Permission: f.Permission, RetryAfter: f.RetryAfter.Seconds()}
	for _, p := range f.Problems {
		e.Problems = append(e.Problems, problem{p.Task, p.Field, p.Reason})
	}
	said := f.Text
	if f.Field != "" && !strings.Contains(said, f.Field) {
		said = f.Field + ": " + said
	}
	return &sdk.CallToolResult{
		IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: said}},
		StructuredContent: struct {
			Error errorObject `json:"error"`
		}{e},
	}
}

// cuts are what was taken away to make an answer fit.
type cuts struct {
	values        int // that were cut
	kept, omitted int // elements of a list
}

// fit makes an answer at most so long, if it can: long values of tasks are cut, the longer ones first; then elements of a list are left out.
func fit(value json.RawMessage, most int) (json.RawMessage, cuts) {
	var c cuts
	out := value
	for _, longest := range []int{64 << 10, 16 << 10, 4 << 10, 1 << 10, 256} {
		if len(out) <= most {
			return out, c
		}
		c.values = 0
		out = c.shorten(make([]byte, 0, most), value, longest)
	}
	if len(out) <= most || out[0] != '[' {
		return out, c
	}
	kept := []byte{'['}
	for one := range rawjson.Elements(out) {
		if c.omitted > 0 || len(kept)+len(one)+1 > most {
			c.omitted++
			continue
		}
		if c.kept++; c.kept > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, one...)
	}
	return append(kept, ']'), c
}

// nested are the members that hold objects of the same sort.
var nested = map[string]bool{`"children"`: true, `"tasks"`: true, `"executors"`: true, `"waits"`: true, `"jobs"`: true, `"steps"`: true}

// shorten appends a value with all members cut that are longer than so many bytes.
func (c *cuts) shorten(b, value []byte, longest int) []byte {
	switch value[0] {
	case '[':
		b = append(b, '[')
		first := true
		for one := range rawjson.Elements(value) {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = c.shorten(b, one, longest)
		}
		return append(b, ']')
	case '{':
		b = append(b, '{')
		first := true
		for name, one := range rawjson.Members(value) {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(append(b, name...), ':')
			switch {
			case nested[string(name)]:
				b = c.shorten(b, one, longest)
			case len(one) > longest:
				c.values++
				b = append(b, beginning(one, longest)...)
			default:
				b = append(b, one...)
			}
		}
		return append(b, '}')
	}
	return append(b, value...)
}

// beginning shows the first bytes of a value. A text stays one, all else becomes an object that says so.
func beginning(value []byte, longest int) []byte {
	whole := len(value)
	if value[0] == '"' {
		s, _ := rawjson.Unquote(value)
		return must(fmt.Sprintf("%s… (cut: %d bytes)", prefix(s, longest/2), len(s)))
	}
	return must(members{{"cut", true}, {"bytes", whole}, {"beginning", prefix(string(value), longest/2)}})
}

// prefix is the beginning of a text, whole characters.
func prefix(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
