// Command docgen writes the OpenAPI document of the HTTP port into the file that it is given. It is made of the table of methods and their Go types.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/swaggest/jsonschema-go"

	"github.com/taskgrove/taskgrove"
	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type object = map[string]any

func write(file string) error {
	doc, err := document()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// schemas are the objects of the document, made as they are referred to.
type schemas struct {
	reflector jsonschema.Reflector
	named     object
}

func document() (object, error) {
	s := &schemas{named: object{}}
	s.named["Error"] = object{"type": "object", "required": []string{"code", "message"}, "properties": object{
		"code": object{"type": "integer"}, "message": object{"type": "string"}, "data": object{"description": "the reason, a text"},
		"permission": object{"type": "string", "description": "the one that the caller lacks"}}}
	paths := object{}
	for _, m := range jsonrpc.Methods() {
		if err := s.method(paths, m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	addPlain(paths)
	addNamespaces(paths)
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "Taskgrove", "version": taskgrove.Version, "description": "What a coordinator answers on its HTTP port. JSON-RPC methods share the paths /tasks and /system: " +
			"the member method tells them apart. Connect, gRPC-Web and JSON of the gRPC service are below /taskgrove.v1.Taskgrove/.", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"paths":      paths,
		"security":   []any{object{}, object{"bearer": []any{}}},
		"components": object{"schemas": s.named, "parameters": namespaces, "securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "for coordinators that have a secret of tokens; others ask nobody who it is"}}},
	}, nil
}

// method adds a method to the one operation of its path.
func (s *schemas) method(paths object, m jsonrpc.Method) error {
	params, err := s.of(m.Params)
	if err != nil {
		return err
	}
	result, err := s.of(m.Result)
	if err != nil {
		return err
	}
	if paths[m.Path] == nil {
		paths[m.Path] = object{"post": object{
			"summary": "JSON-RPC 2.0", "operationId": "call" + title(strings.TrimPrefix(m.Path, "/")),
			"requestBody": object{"required": true, "content": object{"application/json": object{"schema": object{"oneOf": []any{}}, "example": example[m.Path]}}},
			"responses": object{
				"200": object{"description": "the result; a stream of events with use_streaming", "content": object{"application/json": object{"schema": object{"anyOf": []any{}}}, "text/event-stream": object{}}},
				"default": object{"description": "an error", "content": object{"application/json": object{"schema": object{"type": "object", "properties": object{
					"jsonrpc": object{"const": "2.0"}, "id": object{}, "error": object{"$ref": "#/components/schemas/Error"}}}}}},
			},
		}}
	}
	name := title(m.Name)
	s.named[name+"Call"] = object{"type": "object", "title": m.Name, "description": m.Summary, "required": []string{"method"}, "properties": object{
		"jsonrpc": object{"const": "2.0"}, "id": object{"type": []string{"string", "integer", "null"}}, "method": object{"const": m.Name}, "params": params}}
	s.named[name+"Answer"] = object{"type": "object", "title": m.Name, "required": []string{"jsonrpc", "id", "result"}, "properties": object{
		"jsonrpc": object{"const": "2.0"}, "id": object{}, "result": result}}
	post := paths[m.Path].(object)["post"].(object)
	body := post["requestBody"].(object)["content"].(object)["application/json"].(object)["schema"].(object)
	body["oneOf"] = append(body["oneOf"].([]any), object{"$ref": "#/components/schemas/" + name + "Call"})
	answer := post["responses"].(object)["200"].(object)["content"].(object)["application/json"].(object)["schema"].(object)
	answer["anyOf"] = append(answer["anyOf"].([]any), object{"$ref": "#/components/schemas/" + name + "Answer"})
	return nil
}

// of is the schema of a Go value, with those that it refers to among the named ones.
func (s *schemas) of(value any) (object, error) {
	schema, err := s.reflector.Reflect(value, jsonschema.DefinitionsPrefix("#/components/schemas/"), jsonschema.RootRef,
		jsonschema.InterceptDefName(func(t reflect.Type, _ string) string { return title(t.Name()) }),
		jsonschema.CollectDefinitions(func(name string, schema jsonschema.Schema) { s.named[name] = schema }),
		jsonschema.InterceptSchema(func(p jsonschema.InterceptSchemaParams) (bool, error) {
			if kind, ok := wire[p.Value.Type().Name()]; ok {
				p.Schema.Type = nil
				p.Schema.AddType(kind)
				return true, nil
			}
			return false, nil
		}))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	out := object{}
	return out, json.Unmarshal(text, &out)
}

// wire are the types that are something else on the wire than in Go.
var wire = map[string]jsonschema.SimpleType{"isoTime": jsonschema.String, "fraction": jsonschema.Number}

// title is a name in the style of the document: TasksRunningList.
func title(name string) string {
	var b strings.Builder
	upper := true
	for _, r := range name {
		if r == '.' || r == '_' {
			upper = true
			continue
		}
		if upper {
			r, upper = unicode.ToUpper(r), false
		}
		b.WriteRune(r)
	}
	return b.String()
}

var example = map[string]object{
	"/tasks": {"jsonrpc": "2.0", "id": 1, "method": "tasks.create", "params": object{"tasks": []any{object{
		"id": "hello", "name": "hello", "schemas": object{"method": "system_info_executor"}, "inputs": object{"resource": "cpu"}}}}},
	"/system": {"jsonrpc": "2.0", "id": 1, "method": "system.health", "params": object{}},
}

// public needs no token (spec 5.1).
var public = []string{"/health", "/ready", "/metrics", "/.well-known/agent-card.json"}

// namespaces are the parameters that name the namespace of a request: one of them is enough.
var namespaces = func() object {
	out := object{}
	for in, name := range map[string]string{"header": api.NamespaceHeader, "query": api.NamespaceParameter} {
		out[in+"Namespace"] = object{"name": name, "in": in, "description": "namespace of the request; without it the one that the credentials are bound to, else default",
			"schema": object{"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}}
	}
	return out
}()

// addNamespaces adds these parameters to what is not public.
func addNamespaces(paths object) {
	for _, path := range paths {
		for _, op := range path.(object) {
			op := op.(object)
			if _, open := op["security"]; open {
				continue
			}
			all, _ := op["parameters"].([]any)
			op["parameters"] = append(all, object{"$ref": "#/components/parameters/headerNamespace"}, object{"$ref": "#/components/parameters/queryNamespace"})
		}
	}
}

// addPlain adds what is no JSON-RPC.
func addPlain(paths object) {
	for _, p := range []struct{ path, verb, id, summary, kind string }{
		{"/tasks", "get", "listTasks", "Tasks, as tasks.list answers; the query has its parameters", "application/json"},
		{"/tasks/{id}", "get", "getTask", "A task, as tasks.get answers; 404 when it is unknown", "application/json"},
		{"/tasks/{id}/tree", "get", "getTree", "The whole tree of a task", "application/json"},
		{"/tasks/{id}/children", "get", "listChildren", "The direct children of a task", "application/json"},
		{"/tasks/{id}/why", "get", "explainTask", "Why a task does not run", "application/json"},
		{"/tasks/{id}/attempts", "get", "listAttempts", "The attempts of a task", "application/json"},
		{"/tasks/{id}/events", "get", "watchTree", "The events of a tree, as Server-Sent Events; Last-Event-ID goes on behind one", "text/event-stream"},
		{"/health", "get", "health", "Whether the process lives", "application/json"},
		{"/ready", "get", "ready", "Whether it can serve: 503 if not", "application/json"},
		{"/metrics", "get", "metrics", "Metrics for Prometheus", "text/plain"},
		{"/.well-known/agent-card.json", "get", "agentCard", "The agent card of A2A", "application/json"},
		{"/", "post", "a2a", "A2A by JSON-RPC", "application/json"},
		{"/mcp", "post", "mcp", "The Model Context Protocol by streamable HTTP", "application/json"},
		{"/ws", "get", "socket", "Events of trees on a WebSocket", "application/json"},
	} {
		code := "200"
		if p.id == "socket" {
			code = "101"
		}
		op := object{"summary": p.summary, "operationId": p.id, "responses": object{code: object{"description": "the answer", "content": object{p.kind: object{}}}}}
		if strings.Contains(p.path, "{id}") {
			op["parameters"] = []any{object{"name": "id", "in": "path", "required": true, "description": "id of the task", "schema": object{"type": "string"}}}
		}
		if slices.Contains(public, p.path) {
			op["security"] = []any{}
		}
		if paths[p.path] == nil {
			paths[p.path] = object{}
		}
		paths[p.path].(object)[p.verb] = op
	}
}
