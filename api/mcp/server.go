package mcp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"

	sdkjson "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

const instructions = "Taskgrove runs trees of tasks on a cluster of workers. Write a tree as an array of tasks (the prompt write_task_tree tells how; list_executors and " +
	"get_executor tell what tasks can do), run it with execute_task, and wait for it with wait_for_task. When something fails or does not start, get_task_tree shows errors " +
	"and explain_task says what a task waits for."

// newServer makes the SDK's server: what there is, and who answers it. All sessions share it.
func (h *Handler) newServer() *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "taskgrove", Title: "Taskgrove", Version: h.cfg.Version}, &sdk.ServerOptions{
		Instructions: instructions, Logger: slog.New(slog.DiscardHandler), CompletionHandler: h.complete,
		// Nothing is ever added or removed, so nobody is told of it.
		Capabilities: &sdk.ServerCapabilities{
			Tools: &sdk.ToolCapabilities{}, Resources: &sdk.ResourceCapabilities{}, Prompts: &sdk.PromptCapabilities{}, Completions: &sdk.CompletionCapabilities{},
		},
	})
	for i := range toolTable {
		t := &toolTable[i]
		h.tools[t.name] = t
		server.AddTool(t.declaration(), func(ctx context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return h.callTool(ctx, t, req), nil
		})
	}
	server.AddResource(&sdk.Resource{
		URI: listURI, Name: "Tasks List Resource", Title: "Tasks", MIMEType: "application/json",
		Description: "The newest task trees. Query: status (pending, in_progress, completed, failed, cancelled; running is in_progress), limit, offset, such as tasks://?status=running&limit=10",
	}, h.readResource)
	server.AddResourceTemplate(&sdk.ResourceTemplate{
		URITemplate: "task://{id}", Name: "Task Resource", Title: "Task", MIMEType: "application/json", Description: "A task: its status, inputs, result and error",
	}, h.readResource)
	server.AddResourceTemplate(&sdk.ResourceTemplate{
		URITemplate: "tasks://{?status,limit,offset}", Name: "Tasks List Resource", Title: "Tasks", MIMEType: "application/json", Description: "Tasks by status, page by page",
	}, h.readResource)
	h.addPrompts(server)
	server.AddReceivingMiddleware(h.named)
	return server
}

// named gives requests for what there is not the words of the protocol (spec 7), and answers for resources.
func (h *Handler) named(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
		switch r := req.(type) {
		case *sdk.CallToolRequest:
			if r.Params == nil || r.Params.Name == "" {
				return nil, invalidParams("Tool name is required")
			}
			if h.tools[r.Params.Name] == nil {
				return nil, invalidParams("Tool not found: " + shortened(r.Params.Name))
			}
		case *sdk.ReadResourceRequest:
			if r.Params == nil || r.Params.URI == "" {
				return nil, invalidParams("Resource URI is required")
			}
			if _, err := resourceCall(r.Params.URI); err != nil {
				return nil, err
			}
			// Not by the templates: an id may hold what they don't let through.
			ctx = context.WithValue(ctx, wanted{}, r.Params.URI)
			r.Params.URI = listURI
		}
		return next(ctx, method, req)
	}
}

// wanted is the context's key of the resource that is read; listURI is the one that the SDK takes all for.
type wanted struct{}

const listURI = "tasks://"

func invalidParams(text string) error {
	return &sdkjson.Error{Code: sdkjson.CodeInvalidParams, Message: text}
}

// use is one use of a tool.
type use struct {
	tool      *tool
	svc       coordinator.Service
	arguments json.RawMessage // an object
	llmKeys   []string        // the header X-LLM-API-KEY
	progress  *progress       // nil: the client does not ask for it
}

// begun is on whose behalf a request is made, and the context that it has: the HTTP request's, which also ends when the client takes the request back.
func begun(ctx context.Context, extra *sdk.RequestExtra) (*asking, context.Context, context.CancelFunc) {
	if extra == nil || extra.TokenInfo == nil {
		return nil, nil, nil
	}
	a, ok := extra.TokenInfo.Extra[askingKey].(*asking)
	if !ok {
		return nil, nil, nil
	}
	both, cancel := context.WithCancelCause(a.ctx)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return a, both, func() {
		stop()
		cancel(nil)
	}
}

// callTool answers one use. Faults are results, so that the model sees them.
func (h *Handler) callTool(ctx context.Context, t *tool, req *sdk.CallToolRequest) (result *sdk.CallToolResult) {
	a, asked, cancel := begun(ctx, req.Extra)
	if a == nil {
		return faulty(&api.Fault{Kind: api.Internal, Text: "the request has no caller"})
	}
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			result = faulty(api.Panicked(asked, h.cfg.Log, t.name, value, debug.Stack()))
		}
	}()
	u := &use{tool: t, svc: a.svc, arguments: req.Params.Arguments, llmKeys: http.Header(req.Extra.Header).Values(modelkey.Header)}
	if len(u.arguments) == 0 || string(u.arguments) == "null" {
		u.arguments = json.RawMessage("{}")
	}
	if u.arguments[0] != '{' {
		return faulty(&api.Fault{Kind: api.Invalid, Text: "arguments must be an object", Field: "arguments"})
	}
	if fault := t.check(u.arguments); fault != nil {
		return faulty(fault)
	}
	if token := req.Params.GetProgressToken(); token != nil {
		u.progress = newProgress(asked, ctx, req.Session, token)
		defer u.progress.end()
	}
	run := t.run
	if run == nil {
		run = (*Handler).call
	}
	got, fault := run(h, asked, u)
	if fault != nil {
		return faulty(fault)
	}
	return h.result(t, got)
}

// call makes the tool's call as it is.
func (h *Handler) call(ctx context.Context, u *use) (answer, *api.Fault) {
	return h.ask(ctx, u, u.tool.method, u.arguments)
}

// ask makes a call of the task-tree protocol.
func (h *Handler) ask(ctx context.Context, u *use, method string, params json.RawMessage) (answer, *api.Fault) {
	got, fault := h.calls.Call(ctx, u.svc, u.made(method, params))
	return answer{value: got.Result, next: got.Next}, fault
}
