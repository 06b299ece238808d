package mcp

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

// Transports.
const (
	Stdio = "stdio" // a program of this host, over its standard input and output
	HTTP  = "http"  // streamable HTTP
	SSE   = "sse"   // HTTP as servers before 2025-03-26 have it
)

// Server says which server to speak with, and how to reach it: the inputs of a task, or a part of them. Its JSON form is theirs.
type Server struct {
	// Name begins the names of its tools for agents, so that those of several servers differ; empty: nothing does.
	Name      string `json:"name"`
	Transport string `json:"transport"` // Stdio, HTTP or SSE

	Command []string          `json:"command"` // program and arguments
	Env     map[string]string `json:"env"`     // the whole environment but for what tells the attempt; nil: the usual one of child processes
	Cwd     string            `json:"cwd"`     // empty: the worker's

	URL     string                     `json:"url"`
	Headers map[string]json.RawMessage `json:"headers"`
	Auth    *headers.Auth              `json:"auth"`
	TLS     json.RawMessage            `json:"tls"`

	// Protocol is the version of the protocol that the handshake begins with; empty: the newest.
	Protocol string `json:"protocol_version"`
	// Trusted: an operator chose the URL, so that it may be of a private network. A task never sets it.
	Trusted bool `json:"-"`
}

type input struct {
	Server
	Operation   string          `json:"operation"`
	ToolName    string          `json:"tool_name"`
	Arguments   json.RawMessage `json:"arguments"`
	ResourceURI string          `json:"resource_uri"`
	PromptName  string          `json:"prompt_name"`
	Timeout     json.Number     `json:"timeout"`
}

// operations, in the order of the texts about them.
var operations = []string{"list_tools", "call_tool", "list_resources", "read_resource", "list_prompts", "get_prompt"}

// read reads the inputs. Its error names all faults.
func (o *Opener) read(call *executors.Call) (*input, error) {
	in := &input{}
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, err
	}
	in.Name, in.Trusted = "", call.Connection != ""
	if in.Transport == "" {
		return nil, executors.Invalid(ID, "transport is required in inputs (stdio or http)")
	}
	if in.Operation == "" {
		return nil, executors.Invalid(ID, "operation is required in inputs ("+strings.Join(operations, ", ")+")")
	}
	faults := o.faults(call, &in.Server)
	faults = append(faults, in.faults()...)
	if len(faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return in, nil
}

// faults are those of the operation.
func (in *input) faults() (faults []string) {
	if !slices.Contains(operations, in.Operation) {
		faults = append(faults, fmt.Sprintf("Unsupported operation: %.100s", in.Operation))
	}
	switch {
	case in.Operation == "call_tool" && in.ToolName == "":
		faults = append(faults, "tool_name is required for call_tool operation")
	case in.Operation == "read_resource" && in.ResourceURI == "":
		faults = append(faults, "resource_uri is required for read_resource operation")
	case in.Operation == "get_prompt" && in.PromptName == "":
		faults = append(faults, "prompt_name is required for get_prompt operation")
	}
	if string(in.Arguments) == "null" {
		in.Arguments = nil
	}
	var arguments map[string]json.RawMessage
	if in.Arguments != nil && json.Unmarshal(in.Arguments, &arguments) != nil {
		faults = append(faults, "arguments must be an object")
	}
	if in.Operation == "get_prompt" {
		for name, raw := range arguments {
			if json.Unmarshal(raw, new(string)) != nil {
				faults = append(faults, fmt.Sprintf("arguments.%.100s must be a string, as all arguments of prompts", name))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// Faults say what is wrong with a server, each with its field; none: nothing that shows without a connection.
func (o *Opener) Faults(call *executors.Call, s *Server) []string {
	if s.Transport == "" {
		return []string{"transport is required (stdio or http)"}
	}
	return o.faults(call, s)
}

func (o *Opener) faults(call *executors.Call, s *Server) (faults []string) {
	switch s.Transport {
	case Stdio:
		faults = o.stdioFaults(call, s)
	case HTTP, SSE:
		faults = s.httpFaults(call)
	default:
		faults = []string{fmt.Sprintf("Unsupported transport mode: %.100s. Use 'stdio' or 'http'", s.Transport)}
	}
	if s.Protocol != "" && !slices.Contains(sdk.SupportedProtocolVersions(), s.Protocol) {
		faults = append(faults, "protocol_version must be one of "+strings.Join(sdk.SupportedProtocolVersions(), ", "))
	}
	return faults
}

func (o *Opener) stdioFaults(call *executors.Call, s *Server) (faults []string) {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return []string{"command is required for stdio transport (list of strings)"}
	}
	if !o.cfg.Allow {
		return []string{"Command execution is disabled by default for security. " +
			"Set AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND=1 on the worker to enable it."}
	}
	if s.Cwd != "" {
		if info, err := os.Stat(s.Cwd); err != nil || !info.IsDir() {
			faults = append(faults, fmt.Sprintf("cwd: %q is not a directory", s.Cwd))
		}
	}
	env, err := o.environment(call, s)
	if err != nil {
		return append(faults, err.Error())
	}
	if len(faults) == 0 {
		if _, err := o.programs.Program(s.Command, env, s.Cwd); err != nil {
			faults = append(faults, "command: "+err.Error())
		}
	}
	return faults
}

// environment is the whole environment of a server's process.
func (o *Opener) environment(call *executors.Call, s *Server) ([]string, error) {
	if s.Env == nil {
		return o.programs.Environment(call, nil)
	}
	return o.programs.Instead(call, s.Env)
}

func (s *Server) httpFaults(call *executors.Call) (faults []string) {
	if strings.TrimSpace(s.URL) == "" {
		return []string{"url is required for http transport"}
	}
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		faults = append(faults, "url must be an http:// or https:// URL")
	}
	set, more := headers.New(call, "headers", s.Headers, s.Auth)
	faults = append(faults, more...)
	for name := range set.Header {
		if slices.Contains(reserved, name) || strings.HasPrefix(name, "Mcp-") {
			faults = append(faults, fmt.Sprintf("headers: %s is the protocol's own", name))
		}
	}
	if _, said, err := tlsinput.Parse(s.TLS); err != nil {
		faults = append(faults, "tls "+err.Error())
	} else if said && !strings.HasPrefix(s.URL, "https://") {
		faults = append(faults, "tls is for https:// URLs")
	}
	slices.Sort(faults)
	return faults
}

// reserved are headers that the transport sets.
var reserved = []string{"Accept", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Host", "Last-Event-Id"}
