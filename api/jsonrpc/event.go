package jsonrpc

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Values of the SSE field event. Those of the protocol are in spec 12.5; it has none for the ends of a stream. "error"
// would reach a browser's handler of broken connections, so it is not used.
const (
	nameStatus    = "task_status_update"
	nameProgress  = "task_progress_update"
	nameCompleted = "task_completed"
	nameFailed    = "task_failed"
	nameCancelled = "task_cancelled"
	nameFinal     = "final"
	nameError     = "stream_error"
	nameEnd       = "stream_end"
)

// event is the data of an SSE event: the fields of spec 5.4, the keys of 12.5, then ours.
type event struct {
	Type      string          `json:"type"`
	TaskID    string          `json:"task_id"`
	Status    dag.Status      `json:"status"`
	Timestamp isoTime         `json:"timestamp"`
	Message   string          `json:"message,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"` // text, or null with final
	Final     bool            `json:"final,omitempty"`

	TreeStatus dag.Status `json:"tree_status,omitempty"`

	Protocol     string   `json:"protocol"`
	Progress     fraction `json:"progress"` // of the task; of the tree in its own events
	TreeProgress fraction `json:"tree_progress"`
	RootTaskID   string   `json:"root_task_id"`

	Usage *usageObject `json:"usage,omitempty"` // of the attempt that ended; of the tree with final

	Name    string  `json:"name,omitempty"`
	Attempt int     `json:"attempt,omitempty"`
	Pieces  []piece `json:"pieces,omitempty"`
}

// piece is a part of what a model says, or what an agent does.
type piece struct {
	Kind  string `json:"kind"`
	Agent string `json:"agent,omitempty"`
	Name  string `json:"name,omitempty"`
	Text  string `json:"text"`
}

type errorEvent struct {
	Type       string `json:"type"`
	TaskID     string `json:"task_id"`
	Error      string `json:"error"`
	Final      bool   `json:"final"`
	Protocol   string `json:"protocol"`
	RootTaskID string `json:"root_task_id"`
}

// eventType is the protocol's type of an event (spec 5.4): it has one for what failed and what was cancelled, and one for what completed and what was skipped.
func eventType(t coordinator.EventType) string {
	switch t {
	case coordinator.EventCancelled:
		t = coordinator.EventFailed
	case coordinator.EventSkipped:
		t = coordinator.EventCompleted
	}
	return api.EventWords[t]
}

// eventName is the SSE field event of an event.
func eventName(e *coordinator.Event) string {
	switch e.Type {
	case coordinator.EventCompleted, coordinator.EventSkipped:
		return nameCompleted
	case coordinator.EventFailed:
		return nameFailed
	case coordinator.EventCancelled:
		return nameCancelled
	case coordinator.EventExecution, coordinator.EventProgress:
		return nameProgress
	case coordinator.EventFinal:
		return nameFinal
	}
	return nameStatus
}

// encodeEvent is the data of an event.
func encodeEvent(e *coordinator.Event) []byte {
	out := event{
		Type: eventType(e.Type), TaskID: e.TaskID, Status: e.Status, Timestamp: isoTime(e.At), Message: e.Message,
		Protocol: "jsonrpc", Progress: fraction(e.Progress), TreeProgress: fraction(e.TreeProgress),
		RootTaskID: e.TreeID, Name: e.Name, Attempt: e.Attempt, Usage: usageOf(e.Usage),
	}
	for _, p := range e.Pieces {
		out.Pieces = append(out.Pieces, piece(p))
	}
	if e.TaskID == "" {
		out.TaskID = e.TreeID
	}
	if e.At.IsZero() {
		out.Timestamp = now()
	}
	switch e.Type {
	case coordinator.EventExecution:
		out.Message = "Task tree execution started"
	case coordinator.EventStart:
		out.Progress = 0
	case coordinator.EventCompleted, coordinator.EventSkipped:
		out.Progress = 1
		out.Result = shown(e.Result)
		if out.Result == nil {
			out.Result = null
		}
	case coordinator.EventExpanded, coordinator.EventAwaiting:
		out.Progress = 0
	case coordinator.EventSignal:
		out.Progress = 0
		out.Message = "a signal that was kept is not what the task asks for: it is dropped"
	case coordinator.EventRepeat:
		out.Progress = 0
		if out.Result = shown(e.Result); out.Result == nil {
			out.Result = null
		}
	case coordinator.EventFailed, coordinator.EventRetry:
		out.Progress = 0 // how far it had come is not kept
		out.Error = appendJSON(nil, e.Error)
	case coordinator.EventCancelled:
		out.Progress = 0
		text := e.Error
		if text == "" {
			text = "Task was cancelled"
		}
		out.Error = appendJSON(nil, text)
		out.Result = shown(e.Result)
	case coordinator.EventFinal:
		out.Final, out.TreeStatus = true, out.Status
		if e.Tree != nil {
			out.TreeStatus, out.Progress, out.TreeProgress = e.Tree.Status, fraction(e.Tree.Progress), fraction(e.Tree.Progress)
		}
		if e.Sequence > 0 { // one that is made up of the tree's state has no message
			out.Message = "Task tree execution " + string(e.Status)
		}
		out.Result = appendJSON(nil, map[string]fraction{"progress": out.Progress})
		out.Error = null
	}
	return appendJSON(nil, out)
}

// encodeEnd is the data of the last event of a stream.
func encodeEnd(root string) []byte {
	return appendJSON(nil, struct {
		Type   string `json:"type"`
		TaskID string `json:"task_id"`
	}{"stream_end", root})
}
