package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
)

// Version of the protocol that this package speaks.
const Version = 1

// The types of messages.
const (
	typeHello       = "hello"
	typeDescribe    = "describe"
	typeDescription = "description"
	typeStart       = "start"
	typeCancel      = "cancel"
	typeHeartbeat   = "heartbeat"
	typeProgress    = "progress"
	typeLog         = "log"
	typeResult      = "result"
	typeError       = "error"
)

// reserved are types that a later version will have a meaning for.
var reserved = []string{"skip", "expand", "retry_after", "checkpoint"}

// hello is the worker's first message.
type hello struct {
	Type         string `json:"type"`
	Versions     []int  `json:"versions"`
	MaxLineBytes int    `json:"max_line_bytes"`
}

// start begins an attempt.
type start struct {
	Type           string          `json:"type"`
	AttemptID      string          `json:"attempt_id"`
	TaskID         string          `json:"task_id"`
	TreeID         string          `json:"tree_id"`
	Name           string          `json:"name"`
	UserID         string          `json:"user_id,omitempty"`
	Pool           string          `json:"pool,omitempty"`
	Attempt        int             `json:"attempt"`
	IdempotencyKey string          `json:"idempotency_key"`
	Traceparent    string          `json:"traceparent,omitempty"` // W3C Trace Context
	Tracestate     string          `json:"tracestate,omitempty"`
	Deadline       string          `json:"deadline,omitempty"` // RFC 3339
	Inputs         json.RawMessage `json:"inputs"`
	Params         json.RawMessage `json:"params,omitempty"`
	Schemas        json.RawMessage `json:"schemas,omitempty"`
}

// cancel asks for the end of an attempt.
type cancel struct {
	Type         string  `json:"type"`
	AttemptID    string  `json:"attempt_id"`
	Reason       string  `json:"reason"`
	GraceSeconds float64 `json:"grace_seconds"`
}

// reasonOf is the word for why an attempt is cancelled.
func reasonOf(cause error) string {
	switch {
	case errors.Is(cause, executors.ErrCancelled):
		return "cancelled"
	case errors.Is(cause, executors.ErrDraining):
		return "draining"
	case errors.Is(cause, executors.ErrLeaseLost):
		return "lease_lost"
	}
	return "timeout"
}

// message is whatever a program says.
type message struct {
	Type      string `json:"type"`
	AttemptID string `json:"attempt_id"`

	Version int `json:"version"` // hello

	Fraction float64 `json:"fraction"` // progress
	Message  string  `json:"message"`

	Stream string `json:"stream"` // log
	Text   string `json:"text"`

	Result json.RawMessage `json:"result"` // result

	Error      string          `json:"error"` // error
	Retryable  *bool           `json:"retryable"`
	RetryAfter float64         `json:"retry_after"`
	Detail     string          `json:"detail"`
	Partial    json.RawMessage `json:"partial"`

	line []byte // of a description: the whole message
}

// parse reads a line. Its errors say what is wrong with it, and quote the line's beginning.
func parse(line []byte) (*message, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("it wrote a line that is not UTF-8")
	}
	m := &message{}
	if err := json.Unmarshal(line, m); err != nil {
		if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && bad.Field != "" {
			return nil, fmt.Errorf("it wrote a message whose %s is a %s", bad.Field, bad.Value)
		}
		return nil, &notJSONError{line: beginning(line)}
	}
	switch {
	case m.Type == "":
		return nil, errors.New("it wrote a message without a type")
	case slices.Contains(reserved, m.Type):
		return nil, executors.Permanent(fmt.Errorf("it wrote a message of the type %q, which is reserved for a later version of the protocol", m.Type))
	case m.Type == typeDescription:
		m.line = bytes.Clone(line)
	}
	return m, nil
}

// notJSONError reports a line that is no message. What it held is shown to the task whose attempt it ended, if there was only one.
type notJSONError struct{ line string }

func (e *notJSONError) Error() string { return "it wrote a line that is not a JSON object" }

// beginning is as much of a line as an error shows.
func beginning(line []byte) string {
	const most = 100
	if len(line) > most {
		return executors.Text(line[:most]) + "…"
	}
	return executors.Text(line)
}
