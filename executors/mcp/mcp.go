// Package mcp speaks with servers of the Model Context Protocol, as mcp_executor (spec 8.9) and for agents, whose tools they offer.
//
// It owns the connection to a server for one attempt: its process or its HTTP requests, the handshake, calls, bounds, and how all of that
// ends. It must not know what a tool does, or who chose it.
//
// The protocol itself is the official SDK's. A server gets nothing from us: what it asks (samples of a model, answers of people, roots) is
// refused, and it can't reach back into the worker.
package mcp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "mcp_executor"

// DefaultMessageBytes is the largest message when nothing else is configured.
const DefaultMessageBytes = 4 << 20

// Config says what a worker's connections to servers may do. Zero fields get their defaults.
type Config struct {
	// Allow lets tasks start programs of this host as servers (stdio). Servers over HTTP need no leave.
	Allow bool
	// Whitelist holds the programs that they may start; empty: any. KeepEnv names variables of the worker's environment that programs get
	// besides the usual few. Both are command_executor's (spec 8.9).
	Whitelist, KeepEnv []string
	// Grace is the time from SIGTERM to SIGKILL. 0: half a second, which is also the most: a cancelled call ends within a second.
	Grace time.Duration
	// Patience is for a program's answer to the first word of the newest protocol, which older ones may ignore. 0: 10 s.
	Patience time.Duration
	// MaxMessageBytes bounds each message of a server, and all pages of a list together. 0: [DefaultMessageBytes].
	MaxMessageBytes int
	// MaxOutputBytes bounds what is kept of a program's stderr. 0: [executors.DefaultOutputBytes].
	MaxOutputBytes int
}

// Executor is mcp_executor. It keeps nothing between attempts.
type Executor struct {
	opener *Opener
}

// New makes one. Connections go through n.
func New(cfg Config, n *network.Network) *Executor { return &Executor{NewOpener(cfg, n)} }

// Opener is what opens sessions as this executor does, for others.
func (e *Executor) Opener() *Opener { return e.opener }

// Check implements [executors.Checker]: proxies and authorities must be usable, and this program as the guardian of servers, if they are allowed.
func (e *Executor) Check(ctx context.Context) error {
	if e.opener.cfg.Allow {
		if err := guardian.Check(ctx); err != nil {
			return err
		}
	}
	return e.opener.network.Check()
}

// Close implements [io.Closer]: connections that attempts share are closed.
func (e *Executor) Close() error { return e.opener.network.Close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "MCP Executor", Type: "mcp",
		Description: "Calls tools, reads resources and gets prompts of servers of the Model Context Protocol",
		Tags:        []string{"mcp", "tools", "agents"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds: append(headers.Kinds(), executors.ErrorKind{Word: KindServer, Text: "The server says what is wrong"},
			executors.ErrorKind{Word: executors.KindExit, Text: "The server's program has ended"}),
		Cancelable: true, Concurrency: executors.DefaultConcurrency, Secrets: true,
		Connection: &executors.Connection{Types: []string{"mcp", "http"}, Fields: []string{"url", "tls", "auth"}},
		Examples:   examples,
	}
}

// Result is what came of an operation (spec 8.9).
type Result struct {
	Success   bool            `json:"success"` // false: the tool says that it failed
	Result    json.RawMessage `json:"result"`  // the server's, as it is; of lists all pages
	Operation string          `json:"operation"`
	Transport string          `json:"transport"`
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.9).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	var in input
	_ = inputs.Decode(ID, call, &in) // a demonstration takes any inputs
	r := &Result{Success: true, Operation: in.Operation, Transport: in.Transport}
	takes := 150 * time.Millisecond
	switch in.Operation {
	case "list_tools":
		r.Result = json.RawMessage(`{"tools":[{"name":"demo_tool","description":"A demo MCP tool","inputSchema":{"type":"object","properties":{}}}]}`)
	case "list_resources":
		r.Result = json.RawMessage(`{"resources":[{"uri":"demo://resource","name":"Demo Resource","mimeType":"text/plain"}]}`)
	case "read_resource":
		r.Result, _ = json.Marshal(map[string]any{"contents": []any{map[string]any{"uri": in.ResourceURI, "mimeType": "text/plain", "text": "Demo resource content"}}}) //nolint:errchkjson // texts
	case "list_prompts":
		r.Result = json.RawMessage(`{"prompts":[{"name":"demo_prompt","description":"A demo MCP prompt"}]}`)
	case "get_prompt":
		r.Result = json.RawMessage(`{"messages":[{"role":"user","content":{"type":"text","text":"Demo MCP prompt"}}]}`)
	default:
		takes = 200 * time.Millisecond
		r.Result = json.RawMessage(`{"content":[{"type":"text","text":"Demo MCP tool result"}],"isError":false}`)
	}
	return r, takes
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := e.opener.read(call)
	if err != nil {
		return nil, err
	}
	what := "Request timeout" // the words of spec 8.9
	if in.Transport == Stdio {
		what = "Operation timeout"
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, what)
	if err != nil {
		return nil, err
	}
	defer cancel()
	s, err := e.opener.open(ctx, call, &in.Server, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	raw, err := s.operate(ctx, in)
	if err != nil {
		return nil, err
	}
	return executors.Completed(&Result{Success: !failed(raw), Result: raw, Operation: in.Operation, Transport: in.Transport}), nil
}
