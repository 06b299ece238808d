package process

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "command": {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": {"type": ["string", "number", "boolean", "object"]}, "description": "Program and arguments; a text is split by the rules of a POSIX shell, which expands nothing. An artifact becomes the path of a file"},
    "args": {"type": ["array", "null"], "items": {"type": ["string", "number", "boolean", "object"]}, "description": "Further arguments, as in command"},
    "shell": {"type": ["boolean", "null"], "default": false, "description": "Give a command that is a text to sh -c as it is"},
    "cwd": {"type": ["string", "null"], "description": "Working directory; by default the attempt's own"},
    "inherit_env": {"type": ["boolean", "null"], "default": true, "description": "Pass on the run's environment, and PATH, HOME, LANG, TZ and the like of the worker. false: PATH alone"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "object", "null"]}, "description": "Further environment variables; null is an empty text. An artifact becomes the path of a file"},
    "timeout_seconds": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds of one attempt; by default the task's own timeout"},
    "kill_grace_seconds": {"type": ["integer", "null"], "minimum": 0, "maximum": 3600, "default": 15, "description": "Seconds from SIGTERM to SIGKILL, for all processes that the program has started"},
    "log": {"type": ["object", "null"], "description": "What becomes of the output", "properties": {
      "stdout": {"enum": ["inherit", "capture", "file", "discard", null], "default": "inherit", "description": "inherit: lines of the log; capture: these, and a text in the result; file: appended to file_path"},
      "stderr": {"enum": ["inherit", "capture", "file", "discard", null], "default": "inherit", "description": "As stdout"},
      "max_capture_kb": {"type": ["integer", "null"], "minimum": 1, "default": 1024, "description": "KiB of each output that a result has, from its beginning; at most what the worker keeps"},
      "file_path": {"type": ["string", "null"], "description": "Required for file"}}},
    "success": {"type": ["object", "null"], "description": "What the program must leave", "properties": {
      "exit_codes": {"type": ["integer", "array", "null"], "items": {"type": "integer"}, "default": 0, "description": "Exit codes that are none of a failure; minus the signal's number when a signal ended it"},
      "require_files": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Paths where something must be"},
      "require_glob": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Patterns that must match something; only the last part of a path may have * ? [a-z]"},
      "forbid_files": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Paths where nothing may be"},
      "marker_file": {"type": ["string", "null"], "description": "One more of require_files, and the marker of the strategy marker"}}},
    "idempotency": {"type": ["object", "null"], "description": "How a repetition is told", "properties": {
      "strategy": {"enum": ["none", "marker", "atomic_dir", null], "default": "none", "description": "marker: skipped if the marker is there, and what success asks for. atomic_dir: the output replaces that of an earlier run, whole or not at all"},
      "marker_path": {"type": ["string", "null"], "description": "By default success.marker_file"},
      "temp_output_dir": {"type": ["string", "null"], "description": "Directory that the program writes into, emptied before; its environment names it by TASKGROVE_OUTPUT_DIR"},
      "final_output_dir": {"type": ["string", "null"], "description": "Directory that takes its place once all has succeeded"},
      "atomic_rename": {"type": ["boolean", "null"], "default": true, "description": "false: move each entry into the final directory, which keeps its others"}}},
    "retry": {"type": ["object", "null"], "description": "Which failures another attempt may mend; without it, the task's own policy says so of all. How many attempts there are, the task's policy says", "properties": {
      "max_attempts": {"type": ["integer", "null"], "minimum": 1, "description": "A flow makes the task's policy of it"},
      "backoff_seconds": {"type": ["number", "null"], "minimum": 0, "default": 0, "description": "Pause before the second attempt"},
      "backoff_multiplier": {"type": ["number", "null"], "minimum": 0, "default": 1, "description": "By which each further pause is longer"},
      "max_backoff_seconds": {"type": ["number", "null"], "minimum": 0, "default": 0, "description": "Longest pause; 0: an hour"},
      "retry_on_exit_codes": {"type": ["integer", "array", "null"], "items": {"type": "integer"}, "description": "None: no exit code is retried"},
      "retry_on_timeout": {"type": ["boolean", "null"], "default": false, "description": "An attempt whose time was up may be repeated"}}},
    "outputs": {"type": ["object", "null"], "description": "Values that the result gets as they are"}
  },
  "required": ["command"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "exit_code": {"description": "Exit code; minus the signal's number when a signal ended it"},
    "attempts": {"description": "Number of the attempt, from 1"},
    "stdout": {"description": "Captured text, or an artifact, if it exceeded its bound and the task keeps outputs"},
    "stderr": {"description": "As stdout"},
    "log_file": {"description": "Path of the log file: relative to the attempt's own directory, or absolute"},
    "artifacts": {"type": "array", "items": {"type": "object"}, "description": "The files that the task named"},
    "truncated": {"description": "Present and true when stdout or stderr exceeded its bound"},
    "truncated_fields": {"description": "Which of them: templates of other tasks can't read these"}
  }
}`)

// KindOutput is the kind of the error of a program that did not leave what it had to leave.
const KindOutput = "invalid_output"

var examples = []executors.Example{
	{Title: "Run a program", Inputs: json.RawMessage(`{"command": ["date", "-u", "-d", "2026-01-31 + 1 month", "+%F"], "env": {"LC_ALL": "C"}, "log": {"stdout": "capture"}}`)},
	{Title: "Give values to later tasks", Inputs: json.RawMessage(`{"command": "echo rows=12 > $TASKGROVE_RESULT_FILE", "shell": true, "timeout_seconds": 60}`)},
	{Title: "Publish a directory whole or not at all", Inputs: json.RawMessage(`{"command": "echo done > $TASKGROVE_OUTPUT_DIR/report.txt", "shell": true,
  "idempotency": {"strategy": "atomic_dir", "temp_output_dir": "report.tmp", "final_output_dir": "report"},
  "success": {"require_files": "report/report.txt"}}`)},
}
