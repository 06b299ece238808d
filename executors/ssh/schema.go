package ssh

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

// credentials are the fields of a host and of a jump host alike.
const credentials = `
    "host": {"type": "string", "description": "Name or address of the host"},
    "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535, "default": 22, "description": "TCP port of the host's SSH server"},
    "username": {"type": "string", "description": "User on the host"},
    "password": {"type": ["string", "null"], "description": "Password of the user; also answers keyboard-interactive questions. Use {\"secret\": \"name\"}"},
    "key": {"type": ["string", "null"], "description": "Private key as text (OpenSSH, PKCS #1 or PKCS #8). Use {\"secret\": \"name\"}"},
    "key_file": {"type": ["string", "null"], "description": "Path of a private key on the worker, in its TASKGROVE_SSH_KEY_DIR"},
    "passphrase": {"type": ["string", "null"], "description": "Passphrase of an encrypted key or key_file. Use {\"secret\": \"name\"}"},
    "certificate": {"type": ["string", "null"], "description": "OpenSSH certificate of the key: the text of the file that ends in -cert.pub"},
    "agent": {"type": ["boolean", "null"], "default": false, "description": "Use the keys of the worker's agent, if its TASKGROVE_SSH_AGENT names one"},
    "known_hosts": {"type": ["string", "null"], "description": "Host keys that are trusted, as lines of a known_hosts file; instead of the worker's"},
    "host_key": {"type": ["string", "null"], "description": "The one host key that is trusted: a public key (ssh-ed25519 AAAA…) or its fingerprint (SHA256:…); instead of the worker's"},
    "verify_host_key": {"type": ["boolean", "null"], "default": true, "description": "false: trust whatever host answers, which sends a password to whoever is in between. Only where the worker has TASKGROVE_SSH_INSECURE"}`

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {` + credentials + `,
    "jump": {"type": ["array", "null"], "maxItems": 4, "description": "Hosts to go through, the first one first. Each has its own credentials and host key", "items": {"type": "object", "properties": {` + credentials + `}, "required": ["host", "username"]}},
    "command": {"type": "string", "description": "Command for the user's shell on the host"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean"]}, "default": {}, "description": "Environment variables of the command"},
    "stdin": {"type": ["string", "object", "null"], "description": "Text for the command's standard input, or an artifact, whose content it is then"},
    "upload": {"type": ["array", "null"], "maxItems": 64, "description": "Files to write on the host before the command runs, by SFTP", "items": {"type": "object", "properties": {
      "to": {"type": "string", "description": "Path on the host; relative to the user's home"},
      "content": {"type": ["string", "object"], "description": "What the file holds: a text, or an artifact"},
      "encoding": {"type": ["string", "null"], "enum": ["base64", null], "description": "base64: content is encoded so"},
      "mode": {"type": ["string", "null"], "pattern": "^0?[0-7]{3}$", "description": "Permissions, such as 0755; by default 0644, or those of the file that is replaced"}}, "required": ["to", "content"]}},
    "download": {"type": ["array", "null"], "maxItems": 64, "description": "Files to read from the host after the command has ended, by SFTP", "items": {"type": "object", "properties": {
      "from": {"type": "string", "description": "Path on the host; relative to the user's home"},
      "max_bytes": {"type": ["integer", "null"], "minimum": 1, "description": "How much is kept of the file. All downloads together are bounded by the worker's TASKGROVE_MAX_OUTPUT_BYTES"}}, "required": ["from"]}},
    "plain": {"type": ["boolean", "null"], "default": false, "description": "Send the command as it is, to a host without a POSIX shell: a router, Windows, a forced command. When the attempt is stopped, such a host is only asked to end the command"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds for everything: connecting, files, command. By default the task's own timeout, and 30 if it has none"},
    "fail_on_error": {"type": ["boolean", "null"], "default": false, "description": "Fail the task when the exit code is not 0"}
  },
  "required": ["host", "username", "command"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "command": {"type": "string", "description": "As it was given"},
    "stdout": {"type": ["string", "object"], "description": "Text as it came, or base64; an artifact, if it exceeded its bound and the task keeps outputs"},
    "stderr": {"type": ["string", "object"], "description": "As stdout"},
    "return_code": {"type": "integer", "description": "Exit code; minus the signal's number when a signal ended the command's shell"},
    "success": {"type": "boolean", "description": "Whether the exit code is 0"},
    "host": {"type": "string", "description": "Where it ran"},
    "username": {"type": "string", "description": "As whom"},
    "encoding": {"const": "base64", "description": "Present when stdout is not text: it is in base64"},
    "stderr_encoding": {"const": "base64", "description": "As encoding, of stderr"},
    "truncated": {"type": "boolean", "description": "Present and true when stdout or stderr exceeded its bound"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Which of them: templates of other tasks can't read these"},
    "files": {"type": "array", "description": "The downloads, in their order", "items": {"type": "object", "properties": {
      "from": {"type": "string", "description": "Path on the host"},
      "content": {"type": ["string", "object"], "description": "What the file holds: text, or base64; an artifact, as stdout"},
      "encoding": {"const": "base64", "description": "Present when the content is in base64"},
      "bytes": {"type": "integer", "description": "How many bytes of the file content stands for"},
      "truncated": {"type": "boolean", "description": "Present and true when the file is longer"},
      "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Then content, unless max_bytes was given: templates of other tasks can't read it"},
      "error": {"type": "string", "description": "Why the file was not read, after a command that failed"}}, "required": ["from"]}}
  },
  "required": ["command", "stdout", "stderr", "return_code", "success", "host", "username"]
}`)

var examples = []executors.Example{
	{Title: "Run a command with a key that is a secret of the worker", Inputs: json.RawMessage(
		`{"host": "app1.example.com", "username": "deploy", "key": {"secret": "deploy-key"}, "command": "uptime"}`)},
	{Title: "Write a file, use it, and fetch the report", Inputs: json.RawMessage(
		`{"host": "app1.example.com", "username": "deploy", "key": {"secret": "deploy-key"}, "host_key": "SHA256:2k1p0m3vZ0J3dVxD1lPZ7g0pJr9cYc0w1f0tqVt8H2k",
		"upload": [{"to": "migrate.sql", "content": "select 1;\n", "mode": "0600"}], "command": "wc -l migrate.sql > report.txt", "download": [{"from": "report.txt"}], "fail_on_error": true}`)},
	{Title: "Go through a jump host", Inputs: json.RawMessage(
		`{"host": "db.internal", "username": "ops", "key": {"secret": "ops-key"}, "jump": [{"host": "bastion.example.com", "username": "ops", "key": {"secret": "ops-key"}}],
		"command": "df -P /", "timeout": 60}`)},
}
