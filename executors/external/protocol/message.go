package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
)

// Version is the latest of the protocol that this package speaks. It speaks all from 1 on: a program picks one.
const Version = 2

// outcomesVersion is the first version whose programs may end an attempt otherwise than by result and error, and note where they are.
const outcomesVersion = 2

// versions are those that the worker offers.
var versions = []int{1, Version}

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

	// From [outcomesVersion] on.
	typeCheckpoint = "checkpoint"
	typeSkip       = "skip"
	typeExpand     = "expand"
	typeAwait      = "await"
)

// later are the types that a program may write from a version on.
var later = map[string]int{typeCheckpoint: outcomesVersion, typeSkip: outcomesVersion, typeExpand: outcomesVersion, typeAwait: outcomesVersion}

// ends reports whether a message is the last one of its attempt.
func (m *message) ends() bool {
	switch m.Type {
	case typeResult, typeError, typeSkip, typeExpand, typeAwait:
		return true
	}
	return false
}

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
	Checkpoint     json.RawMessage `json:"checkpoint,omitempty"` // from outcomesVersion on
	Answer         *answer         `json:"answer,omitempty"`     // likewise: how the wait of the attempt before has ended
	Repeat         int             `json:"repeat,omitempty"`     // how many runs of a repeated task came before
	Lock           *lock           `json:"lock,omitempty"`
}

// lock is what the attempt holds alone.
type lock struct {
	Key   string `json:"key"`
	Token int64  `json:"token"`
}

func lockOf(l *executors.Lock) *lock {
	if l == nil {
		return nil
	}
	return &lock{l.Key, l.Token}
}

// answer is how a wait has ended.
type answer struct {
	Choice  string          `json:"choice,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	By      string          `json:"by,omitempty"`
	Comment string          `json:"comment,omitempty"`
	At      string          `json:"at,omitempty"` // RFC 3339
}

func answerOf(a *executors.Answer) *answer {
	if a == nil {
		return nil
	}
	out := &answer{Choice: a.Choice, Payload: a.Payload, By: a.By, Comment: a.Comment}
	if !a.At.IsZero() {
		out.At = a.At.UTC().Format(time.RFC3339Nano)
	}
	return out
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
	Kind       string          `json:"kind"`

	Data json.RawMessage `json:"data"` // checkpoint

	Reason string          `json:"reason"` // skip
	Value  json.RawMessage `json:"value"`

	Tasks   json.RawMessage `json:"tasks"` // expand
	Items   json.RawMessage `json:"items"`
	Each    json.RawMessage `json:"each"`
	Window  int             `json:"window"`
	Stop    bool            `json:"stop_on_failure"`
	Collect string          `json:"collect"`

	Await *await `json:"await"` // await

	line []byte // of a description: the whole message
}

// await is what an attempt waits for.
type await struct {
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Timeout float64         `json:"timeout_seconds"`
	Until   time.Time       `json:"until"` // RFC 3339
	Resume  *bool           `json:"resume"`
	Data    json.RawMessage `json:"data"`
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
