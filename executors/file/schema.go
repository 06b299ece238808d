package file

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "operation": {"type": "string", "enum": ["copy", "move", "delete", "checksum", "list", "stat", "read", "write", "pack", "unpack"], "description": "What to do"},
    "source": {"type": ["string", "null"], "description": "For copy, move, pack and unpack: a path below the worker's TASKGROVE_FILE_ROOT, or s3://bucket/key. What ends with / is a directory, with all in it"},
    "destination": {"type": ["string", "null"], "description": "For the same: where to. What ends with / is a directory, into which a file goes under its own name"},
    "path": {"type": ["string", "null"], "description": "For the other operations: a path, or s3://bucket/key"},
    "overwrite": {"type": ["boolean", "null"], "default": false, "description": "Replace what is at the destination; without it, that fails"},
    "recursive": {"type": ["boolean", "null"], "default": false, "description": "For delete, of a directory: with all in it. For list: also what is below directories"},
    "algorithm": {"type": ["string", "null"], "enum": ["sha256", "sha512", "sha1", "md5", "crc32c", null], "description": "Which checksum the result has; checksum takes sha256 by default, copy, move, write and read none"},
    "expected": {"type": ["string", "null"], "description": "The checksum that it must be, in hexadecimal digits; any other fails, and nothing is put in place"},
    "content": {"type": ["string", "object", "null"], "description": "For write: the text; or an artifact, whose content is written"},
    "encoding": {"type": ["string", "null"], "enum": ["text", "base64", null], "default": "text", "description": "For write: what content is"},
    "format": {"type": ["string", "null"], "enum": ["zip", "tar", "tar.gz", "tar.zst", null], "description": "For pack; by default as the destination's name ends. unpack looks at the first bytes"},
    "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000, "default": 1000, "description": "For list: how many entries at most"},
    "cursor": {"type": ["string", "null"], "description": "For list: the cursor of the result before, to go on behind it"},
    "max_bytes": {"type": ["integer", "null"], "minimum": 0, "description": "For read: how much of the text; at most, and by default, what the worker's TASKGROVE_MAX_OUTPUT_BYTES says. For unpack: how large all files may be together; 1 GiB by default"},
    "max_files": {"type": ["integer", "null"], "minimum": 1, "maximum": 1000000, "default": 10000, "description": "For directories and archives: how many files and directories at most; more fail"},
    "max_ratio": {"type": ["integer", "null"], "minimum": 1, "maximum": 100000, "default": 200, "description": "For unpack: how many times as large as the archive its files may be"},
    "endpoint": {"type": ["string", "null"], "description": "URL of the S3-compatible store: https://s3.eu-central-1.amazonaws.com"},
    "region": {"type": ["string", "null"], "default": "us-east-1", "description": "Its region"},
    "access_key": {"type": ["string", "null"], "description": "Id of the key"},
    "secret_key": {"type": ["string", "null"], "description": "The key; best as {\"secret\": \"name\"}"},
    "session_token": {"type": ["string", "null"], "description": "Token that belongs to a key for a time"},
    "path_style": {"type": ["boolean", "null"], "description": "The bucket is in the path, not in the host's name; by default so but for Amazon's own stores"},
    "identity": {"type": ["string", "null"], "enum": ["web_identity", "instance", null], "description": "In a connection only, instead of keys: the worker's own identity, by a token file (Kubernetes service account) or the metadata service of its machine"},
    "role_arn": {"type": ["string", "null"], "description": "For web_identity: the role; by default AWS_ROLE_ARN of the worker"},
    "token_file": {"type": ["string", "null"], "description": "For web_identity: the file with the token; by default AWS_WEB_IDENTITY_TOKEN_FILE of the worker"},
    "sts_endpoint": {"type": ["string", "null"], "description": "For web_identity: URL of the token service; by default Amazon's of the region"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything; by default the task's own timeout, and 30 if it has none"}
  },
  "required": ["operation"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "operation": {"type": "string", "description": "What was done"},
    "path": {"type": "string", "description": "As in the inputs"},
    "source": {"type": "string", "description": "As in the inputs"},
    "destination": {"type": "string", "description": "Where it is now"},
    "files": {"type": "integer", "description": "How many files or objects it were"},
    "bytes": {"type": "integer", "description": "How large they are together"},
    "algorithm": {"type": "string", "description": "Which checksum it is"},
    "checksum": {"type": "string", "description": "In hexadecimal digits"},
    "exists": {"type": "boolean", "description": "stat: whether there is anything"},
    "entry": {"type": "object", "description": "stat: path, type (file, directory, symlink, other), size, modified, etag"},
    "entries": {"type": "array", "items": {"type": "object"}, "description": "list: the same of each, by path"},
    "cursor": {"type": "string", "description": "list: present when there are more; give it to the next list"},
    "content": {"type": ["string", "object"], "description": "read: the text, or base64; an artifact, if it exceeded its bound and the task keeps outputs"},
    "encoding": {"const": "base64", "description": "read: present when content is not text"},
    "artifacts": {"type": "array", "items": {"type": "object"}, "description": "The files of the worker that the task named, by their paths below its root"},
    "truncated": {"type": "boolean", "description": "read, list: present and true when there was more"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "read: then content, unless max_bytes was given. Templates of other tasks can't read it"}
  },
  "required": ["operation"]
}`)

var examples = []executors.Example{
	{Title: "Put a file into a bucket, and check it on the way", Inputs: json.RawMessage(`{
  "operation": "copy",
  "connection": "archive-store",
  "source": "exports/orders.csv",
  "destination": "s3://archive/2026/orders.csv",
  "algorithm": "sha256"
}`)},
	{Title: "Unpack what a supplier sends", Inputs: json.RawMessage(`{
  "operation": "unpack",
  "source": "inbox/delivery.zip",
  "destination": "work/delivery/",
  "max_bytes": 500000000
}`)},
	{Title: "List a bucket's folder", Inputs: json.RawMessage(`{
  "operation": "list",
  "connection": "archive-store",
  "path": "s3://archive/2026/",
  "limit": 100
}`)},
}
