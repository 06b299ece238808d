package grpccall

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "server": {"type": "string", "description": "` + "`host:port` or `grpc://host:port` (plain text), `grpcs://host:port` (TLS; port 443 if it has none), or `unix:/path`" + `"},
    "service": {"type": "string", "description": "Full name of the service: ` + "`helloworld.Greeter`" + `"},
    "method": {"type": "string", "description": "Name of the method"},
    "request": {"description": "The message, in protobuf's JSON form, mostly an object; required unless requests is given"},
    "requests": {"type": ["array", "null"], "maxItems": 10000, "description": "Instead of request: the messages that a method with a stream of requests gets, one after the other"},
    "metadata": {"type": ["object", "null"], "default": {}, "description": "Metadata to send: strings, or lists of strings. Values of names that end in ` + "`-bin`" + ` are base64. Names that begin with ` + "`grpc-`" + ` are refused"},
    "auth": ` + headers.AuthSchema + `,
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything: connecting, reflection, the call. The server is told. By default the task's own timeout, and 30 if it has none"},
    "tls": ` + tlsinput.Schema + `,
    "descriptor_set": {"type": ["string", "null"], "description": "Base64 of a FileDescriptorSet (` + "`protoc --include_imports --descriptor_set_out`, `buf build`" + `) that has the service. Without it and proto_file, the server is asked by reflection"},
    "proto_file": {"type": ["string", "object", "null"], "additionalProperties": {"type": "string"}, "description": "The text of a .proto file that has the service; if it imports others than google/protobuf's, an object with the text of each under its path"},
    "max_messages": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000, "description": "Of a method with a stream of answers: end the call after so many. By default it is read to its end, and the result has the first 1000"},
    "emit_defaults": {"type": ["boolean", "null"], "default": false, "description": "Fields that have their default value are in the response, too"}
  },
  "required": ["server", "service", "method"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "success": {"type": "boolean", "description": "true: a status other than OK fails the task. false only in what a cancelled task has of a stream"},
    "server": {"type": "string", "description": "As in the inputs"},
    "service": {"type": "string", "description": "As in the inputs"},
    "method": {"type": "string", "description": "As in the inputs"},
    "request": {"description": "As in the inputs: the message, or the list of messages"},
    "response": {"description": "The answer in protobuf's JSON form; of a stream of answers, their list"},
    "metadata": {"type": "object", "description": "Metadata that the server sent", "properties": {
      "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Before the answer; several values are joined by a comma, those of ` + "`-bin`" + ` names are base64"},
      "trailers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "After it"}}},
    "message_count": {"type": "integer", "description": "Of a stream: how many answers came"},
    "truncated": {"type": "boolean", "description": "Of a stream: present and true when response lacks some of its answers"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Then response, unless it has the max_messages that the task asked for. Templates of other tasks can't read it"}
  },
  "required": ["success", "server", "service", "method", "request", "response", "metadata"]
}`)

var examples = []executors.Example{
	{Title: "Call a method of a server that has reflection", Inputs: json.RawMessage(`{
  "server": "grpcs://greeter.example.com", "service": "helloworld.Greeter", "method": "SayHello",
  "request": {"name": "Ada"}, "metadata": {"x-tenant": "acme"}, "timeout": 10}`)},
	{Title: "Describe the service by its proto file", Inputs: json.RawMessage(`{
  "server": "greeter:50051", "service": "helloworld.Greeter", "method": "SayHello", "request": {"name": "Ada"},
  "proto_file": "syntax = \"proto3\";\npackage helloworld;\nservice Greeter { rpc SayHello(HelloRequest) returns (HelloReply); }\nmessage HelloRequest { string name = 1; }\nmessage HelloReply { string message = 1; }\n"}`)},
}
