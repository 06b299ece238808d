package mcp

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

// ServerProperties are the properties of a server's JSON Schema, for executors whose inputs name servers: see [Server].
const ServerProperties = `
    "command": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Of stdio: the program and its arguments. It runs without a shell, under the rules of command_executor"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Of stdio: the environment of the program, in place of the usual one (PATH, HOME, LANG and the like; PATH stays unless it is set)"},
    "cwd": {"type": ["string", "null"], "description": "Of stdio: its working directory; by default the worker's"},
    "url": {"type": ["string", "null"], "description": "Of http and sse: the address of the server, http:// or https://"},
    "headers": {"type": ["object", "null"], "default": {}, "description": "Of http and sse: headers of all requests: strings, or lists of strings"},
    "auth": ` + headers.AuthSchema + `,
    "tls": ` + tlsinput.Schema + `,
    "protocol_version": {"type": ["string", "null"], "description": "Version of the protocol that the handshake begins with, such as 2025-06-18, for servers that can't bear a newer one; by default the newest, from which both sides go down to one that they share"}`

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "transport": {"type": "string", "description": "stdio: a program of this host; http: streamable HTTP; sse: HTTP as servers from before 2025-03-26 have it"},
    "operation": {"type": "string", "description": "list_tools, call_tool, list_resources, read_resource, list_prompts or get_prompt"},
    "tool_name": {"type": ["string", "null"], "description": "Of call_tool: the tool"},
    "arguments": {"type": ["object", "null"], "default": {}, "description": "Of call_tool and get_prompt: arguments, as the server describes them; a prompt's are strings"},
    "resource_uri": {"type": ["string", "null"], "description": "Of read_resource: the resource"},
    "prompt_name": {"type": ["string", "null"], "description": "Of get_prompt: the prompt"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything: starting, connecting and the handshake, too. By default the task's own timeout, and 30 if it has none"},` +
	ServerProperties + `
  },
  "required": ["transport", "operation"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "success": {"type": "boolean", "description": "false: the tool says that it failed (isError), and result tells why. All else that fails, fails the task"},
    "result": {"type": "object", "description": "The server's result as it is: content and structuredContent of call_tool, tools, resources or prompts of all pages, contents, messages"},
    "operation": {"type": "string", "description": "As in the inputs"},
    "transport": {"type": "string", "description": "As in the inputs"}
  },
  "required": ["success", "result", "operation", "transport"]
}`)

var examples = []executors.Example{
	{Title: "Call a tool of a program on this host", Inputs: json.RawMessage(`{
  "transport": "stdio", "command": ["uvx", "mcp-server-time"],
  "operation": "call_tool", "tool_name": "get_current_time", "arguments": {"timezone": "Europe/Berlin"}, "timeout": 60}`)},
	{Title: "See what a server over HTTP offers", Inputs: json.RawMessage(`{
  "transport": "http", "url": "https://mcp.example.com/mcp", "auth": {"type": "bearer", "token": "…"}, "operation": "list_tools"}`)},
	{Title: "Read a resource", Inputs: json.RawMessage(`{
  "transport": "http", "url": "https://mcp.example.com/mcp", "operation": "read_resource", "resource_uri": "docs://handbook"}`)},
}
