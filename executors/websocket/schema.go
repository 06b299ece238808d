package websocket

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

// ruleProperties are the schema of a [rule].
const ruleProperties = `"properties": {
      "contains": {"type": "string", "description": "It is a text that contains this"},
      "fields": {"type": "object", "description": "It is JSON with these values: each under its name, or under a JSON pointer that begins with /"}}`

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "url": {"type": "string", "description": "ws:// or wss:// URL"},
    "message": {"description": "What to send: a text, or an object, which is sent as JSON; required unless exchanges are given"},
    "encoding": {"enum": ["text", "base64", null], "default": "text", "description": "base64: message is base64 of what to send, which goes as a binary message"},
    "wait_response": {"type": ["boolean", "null"], "default": true, "description": "Wait for a reply"},
    "expect": {"type": ["object", "null"], "description": "Which message counts as the reply: all of it must hold; by default the first one does", ` + ruleProperties + `},
    "fail_on": {"type": ["object", "null"], "description": "Which message fails the task, as in expect", ` + ruleProperties + `},
    "exchanges": {"type": ["array", "null"], "maxItems": 1000, "description": "Instead of message: several, one after the other", "items": {"type": "object", "properties": {
      "message": {"description": "What to send; absent: nothing, as when the server speaks first"},
      "encoding": {"enum": ["text", "base64", null], "description": "As above"},
      "wait_response": {"type": ["boolean", "null"], "default": true, "description": "Wait for a reply before the next exchange"},
      "expect": {"type": ["object", "null"], "description": "As above", ` + ruleProperties + `},
      "fail_on": {"type": ["object", "null"], "description": "As above", ` + ruleProperties + `},
      "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds for this exchange, within the timeout of all"}}}},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything: connecting, too. By default the task's own timeout, and 30 if it has none"},
    "headers": {"type": ["object", "null"], "default": {}, "description": "Headers of the handshake: strings, or lists of strings"},
    "auth": ` + headers.AuthSchema + `,
    "subprotocols": {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 20, "description": "Subprotocols to offer, the preferred one first"},
    "ping_interval": {"type": ["number", "null"], "minimum": 0, "default": 20, "description": "Seconds between pings, of which each must be answered until the next; 0: none"},
    "max_skipped": {"type": ["integer", "null"], "minimum": 0, "maximum": 1000000, "default": 1000, "description": "How many messages that do not count may come before a reply"},
    "tls": ` + tlsinput.Schema + `
  },
  "required": ["url"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "success": {"type": "boolean", "description": "true: all else fails the task. false only in what a cancelled task has of its exchanges"},
    "url": {"type": "string", "description": "As in the inputs, without user and password"},
    "message_sent": {"type": "string", "description": "The last message, as it was sent"},
    "response": {"description": "The reply to it: JSON is parsed, all else is text, or base64; null if none was awaited"},
    "encoding": {"const": "base64", "description": "Present when response is not text: it is in base64"},
    "responses": {"type": "array", "description": "Of exchanges: each one's message and reply, in their order", "items": {"type": "object", "properties": {
      "message_sent": {"type": "string", "description": "What was sent; empty if nothing was"},
      "response": {"description": "As above"},
      "encoding": {"const": "base64", "description": "As above"}}}},
    "skipped": {"type": "integer", "description": "How many messages did not count, if any"},
    "subprotocol": {"type": "string", "description": "The one that the server chose, if it did"}
  },
  "required": ["success", "url", "message_sent", "response"]
}`)

var examples = []executors.Example{
	{Title: "Ask a question and wait for its answer", Inputs: json.RawMessage(`{
  "url": "wss://prices.example.com/v1", "message": {"id": 7, "get": "EURUSD"}, "expect": {"fields": {"id": 7}}, "timeout": 10}`)},
	{Title: "Log in, subscribe, and take the first price", Inputs: json.RawMessage(`{
  "url": "wss://prices.example.com/v1", "subprotocols": ["prices.v1"], "fail_on": {"fields": {"type": "error"}},
  "exchanges": [
    {"message": {"type": "login", "user": "ada"}, "expect": {"fields": {"type": "welcome"}}},
    {"message": {"type": "subscribe", "topic": "EURUSD"}, "expect": {"fields": {"type": "price", "/data/topic": "EURUSD"}}, "timeout": 5}
  ]}`)},
}
