package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Bounds of lists.
const (
	maxPages = 1000
	maxItems = 10_000
)

// aroundResult is how deep a result lies in that of a task.
const aroundResult = 4

// operate does what the inputs ask for.
func (s *Session) operate(ctx context.Context, in *input) (json.RawMessage, error) {
	switch in.Operation {
	case "call_tool":
		return s.callTool(ctx, in.ToolName, in.Arguments)
	case "read_resource":
		x := s.exchange("resources/read", "")
		params := &sdk.ReadResourceParams{URI: in.ResourceURI}
		return s.ask(ctx, x, params, func(ctx context.Context) (any, error) { return s.client.ReadResource(ctx, params) })
	case "get_prompt":
		arguments := map[string]string{}
		_ = json.Unmarshal(in.Arguments, &arguments) // absent, or an object of texts
		x := s.exchange("prompts/get", in.PromptName)
		params := &sdk.GetPromptParams{Name: in.PromptName, Arguments: arguments}
		return s.ask(ctx, x, params, func(ctx context.Context) (any, error) { return s.client.GetPrompt(ctx, params) })
	case "list_resources":
		return s.list(ctx, "resources", func(ctx context.Context, x *exchange, cursor string) (any, error) {
			return s.client.ListResources(ctx, &sdk.ListResourcesParams{Cursor: cursor})
		})
	case "list_prompts":
		return s.list(ctx, "prompts", func(ctx context.Context, x *exchange, cursor string) (any, error) {
			return s.client.ListPrompts(ctx, &sdk.ListPromptsParams{Cursor: cursor})
		})
	}
	return s.listTools(ctx)
}

func (s *Session) listTools(ctx context.Context) (json.RawMessage, error) {
	return s.list(ctx, "tools", func(ctx context.Context, x *exchange, cursor string) (any, error) {
		return s.client.ListTools(ctx, &sdk.ListToolsParams{Cursor: cursor})
	})
}

// callTool calls a tool by the server's name for it.
func (s *Session) callTool(ctx context.Context, name string, arguments json.RawMessage) (json.RawMessage, error) {
	if arguments == nil {
		arguments = json.RawMessage(`{}`)
	}
	x := s.exchange("tools/call", name)
	s.mu.Lock()
	s.calls++
	if x.key = s.call.IdempotencyKey; s.calls > 1 {
		x.key += "/" + strconv.Itoa(s.calls)
	}
	s.mu.Unlock()
	x.arguments = arguments
	params := &sdk.CallToolParams{Name: name, Arguments: arguments}
	return s.ask(ctx, x, params, func(ctx context.Context) (any, error) { return s.client.CallTool(ctx, params) })
}

// exchange begins one.
func (s *Session) exchange(method, title string) *exchange {
	return &exchange{method: method, title: title, token: s.wire.token()}
}

// params are those of a request that may tell its progress.
type params interface {
	SetMeta(map[string]any)
	SetProgressToken(any)
}

// ask makes one call, and gives the server's result as it is.
func (s *Session) ask(ctx context.Context, x *exchange, p params, call func(context.Context) (any, error)) (json.RawMessage, error) {
	ctx, done := s.span(ctx, x)
	raw, err := s.answer(ctx, x, p, call)
	done(raw, err)
	return raw, err
}

func (s *Session) answer(ctx context.Context, x *exchange, p params, call func(context.Context) (any, error)) (json.RawMessage, error) {
	if p != nil {
		p.SetMeta(s.meta(ctx))
		p.SetProgressToken(x.token)
	}
	typed, err := call(x.in(ctx))
	if ctx.Err() != nil {
		s.wire.cancel(x)
	}
	raw := s.wire.answer(x)
	if raw == nil && err == nil { // it was kept from an earlier call
		raw, err = json.Marshal(typed)
	}
	if raw == nil || ctx.Err() != nil {
		return nil, s.failure(ctx, x, err)
	}
	raw, err = storable(raw) // whatever the SDK could not read of it
	if err != nil {
		return nil, executors.Invalid(ID, "the server's result can't be kept: "+err.Error())
	}
	if asks(raw) {
		return nil, executors.Invalid(ID, "the server asks for input of a person or a model before it goes on, and gets none")
	}
	return raw, nil
}

// storable is a result as it can be stored: JSON of bounded depth, whose names are unique and whose texts hold no NUL.
func storable(raw json.RawMessage) (json.RawMessage, error) {
	text := executors.Text(raw)
	if err := rawjson.CheckDepth([]byte(text), aroundResult); err != nil {
		return nil, err
	}
	clean, err := rawjson.LastNames(withoutNUL([]byte(text)))
	if err != nil {
		return nil, err
	}
	if len(clean) == 0 || clean[0] != '{' {
		return nil, fmt.Errorf("it is not an object")
	}
	return clean, nil
}

// withoutNUL replaces what stands for NUL in the strings of JSON, which jsonb can't hold, by U+FFFD.
func withoutNUL(text []byte) []byte {
	for i := 0; i < len(text)-5; i++ {
		if text[i] != '\\' {
			continue
		}
		if string(text[i:i+6]) == `\u0000` {
			copy(text[i:], `\ufffd`)
		}
		i++ // of what the backslash escapes
	}
	return text
}

// asks reports whether a result is none yet (2026-07-28: a result of type input_required).
func asks(raw json.RawMessage) bool {
	var r struct {
		Type string `json:"resultType"`
	}
	return rawjson.Unmarshal(raw, &r) == nil && r.Type == "input_required"
}

// failed reports whether a tool says that it failed.
func failed(raw json.RawMessage) bool {
	var r struct {
		Failed bool `json:"isError"`
	}
	return rawjson.Unmarshal(raw, &r) == nil && r.Failed
}

// list asks for all pages of a list, and makes one result of them.
func (s *Session) list(ctx context.Context, of string, page func(context.Context, *exchange, string) (any, error)) (json.RawMessage, error) {
	var whole map[string]json.RawMessage
	items := []json.RawMessage{}
	cursors := []string{""}
	for size := 0; ; {
		x := &exchange{method: of + "/list"}
		cursor := cursors[len(cursors)-1]
		raw, err := s.ask(ctx, x, nil, func(ctx context.Context) (any, error) { return page(ctx, x, cursor) })
		if err != nil {
			return nil, err
		}
		var fields map[string]json.RawMessage
		var more []json.RawMessage
		var next string
		if json.Unmarshal(raw, &fields) != nil || fields[of] != nil && json.Unmarshal(fields[of], &more) != nil {
			return nil, fmt.Errorf("Invalid JSON response: %s is not a list", of) //nolint:staticcheck // the text of spec 8.9
		}
		_ = json.Unmarshal(fields["nextCursor"], &next) // absent: it was the last page
		if whole == nil {
			whole = fields
		}
		size += len(raw)
		if items = append(items, more...); len(items) > maxItems || len(cursors) > maxPages || size > s.opener.cfg.MaxMessageBytes {
			return nil, executors.Invalid(ID, fmt.Sprintf("the server's list of %s is too long: %d of them on %d pages, %d bytes", of, len(items), len(cursors), size))
		}
		if next == "" {
			break
		}
		if slices.Contains(cursors, next) {
			return nil, executors.Invalid(ID, "the server's list of "+of+" has no end: a page refers to one before it")
		}
		cursors = append(cursors, next)
	}
	delete(whole, "nextCursor")
	whole[of], _ = json.Marshal(items)
	return json.Marshal(whole)
}
