package mail

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

const people = `{"type": ["array", "string", "null"], "items": {"type": "string"}, "description": `

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "to": {"type": ["array", "string"], "items": {"type": "string"}, "description": "Who gets it: addresses, with names if you like, or one text with commas between them"},
    "cc": ` + people + `"Who gets it, too, for all to see"},
    "bcc": ` + people + `"Who gets it without being named in it"},
    "subject": {"type": "string", "description": "What it is about, in one line"},
    "body": {"type": "string", "description": "What it says"},
    "html": {"type": ["boolean", "string", "null"], "default": false, "description": "body is HTML"},
    "text": {"type": ["string", "null"], "description": "With html: the same for those who don't read HTML"},
    "attachments": {"type": ["array", "string", "object", "null"], "items": {"type": ["string", "object"]}, "description": "Files to send along: paths, artifacts, or {\"file\": …, \"name\": …, \"media_type\": …}"},
    "from": {"type": ["string", "null"], "description": "Who sends it, if not from_addr"},
    "host": {"type": ["string", "null"], "description": "Name or address of the SMTP server"},
    "port": {"type": ["integer", "string", "null"], "default": 587, "description": "Its TCP port. On port 465 the connection is encrypted from the beginning"},
    "username": {"type": ["string", "null"], "description": "As whom to log in"},
    "password": {"type": ["string", "null"], "description": "Password of the user. Use {\"secret\": \"name\"}. It is not sent without TLS"},
    "starttls": {"type": ["boolean", "string", "null"], "description": "Encrypt the connection by STARTTLS; a server without it is refused. By default on port 587 alone"},
    "tls": ` + tlsinput.Schema + `,
    "from_addr": {"type": ["string", "null"], "description": "Who sends it; by default the username"},
    "timeout": {"type": ["number", "string", "null"], "default": 30, "description": "How many seconds the server may take for any one answer"},
    "retry": {"type": ["object", "null"], "description": "How often it is tried", "properties": {
      "max_attempts": {"type": ["integer", "string", "null"], "description": "From this attempt of the task on no failure is retried; without it, the task's policy decides alone"}}},
    "driver": {"type": ["string", "null"], "description": "smtp: there is no other"}
  },
  "required": ["to", "subject", "body"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "sent": {"type": "boolean", "description": "The server has taken the mail for all recipients"},
    "to": {"type": "array", "items": {"type": "string"}, "description": "The addresses of to"},
    "subject": {"type": "string", "description": "The subject"},
    "html": {"type": "boolean", "description": "The body is HTML"},
    "message_id": {"type": "string", "description": "The same for all attempts of the task, so that a mail that comes twice can be known"},
    "attachments": {"type": "integer", "description": "How many files it has"}
  },
  "required": ["sent", "to", "subject", "html"]
}`)

var examples = []executors.Example{
	{Title: "Send a text", Inputs: json.RawMessage(`{"connection": "mail-server", "to": "ops@example.org", "subject": "Orders are in", "body": "12 files were loaded."}`)},
	{Title: "Send HTML with a file", Inputs: json.RawMessage(`{"connection": "mail-server", "to": ["Ann <ann@example.org>", "bob@example.org"], "bcc": "archive@example.org", "subject": "Report",
  "body": "<p>See the file.</p>", "html": true, "text": "See the file.", "attachments": ["report.pdf"]}`)},
}
