package coordinator

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/pg"
)

// webhookBody is the body of spec 5.5, with these keys and no others.
type webhookBody struct {
	Protocol  string          `json:"protocol"`
	TreeID    string          `json:"root_task_id"`
	TaskID    string          `json:"task_id"`
	Status    dag.Status      `json:"status"`
	Progress  share           `json:"progress"`
	Message   string          `json:"message"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Final     bool            `json:"final"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// share is written as a float, also if it is whole: 0.0, 0.5, 1.0.
type share float64

// MarshalJSON implements [json.Marshaler].
func (s share) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(s))
	if err == nil && s == share(int(s)) {
		text = append(text, ".0"...)
	}
	return text, err
}

// encodePlain encodes without escapes that only HTML needs.
func encodePlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// textOf is a text as JSON.
func textOf(s string) json.RawMessage {
	out, _ := encodePlain(s) // a text can always be encoded
	return out
}

// message is one event for one webhook: what is to be sent.
type message struct {
	id    string // header webhook-id
	word  string // what the event is called
	event *Event
	tree  *TreeStatus
	body  webhookBody
}

// clusterWords are what webhooks of the cluster are told, with the bit that asks for it.
var clusterWords = map[WebhookEvent]int32{
	TreeCreated: pg.WebhookTreeCreated, TreeStarted: pg.WebhookTreeStarted, TreeCompleted: pg.WebhookTreeCompleted, TreeFailed: pg.WebhookTreeFailed,
	TreeCancelled: pg.WebhookTreeCancelled, TaskStart: pg.WebhookTaskStart, TaskCompleted: pg.WebhookTaskCompleted, TaskFailed: pg.WebhookTaskFailed,
	TaskCancelled: pg.WebhookTaskCancelled, TaskRetry: pg.WebhookTaskRetry, TreeLate: pg.WebhookTreeLate, RunFailedToStart: pg.WebhookRunRefused,
}

// wordsOf are the names of an event for webhooks of the cluster, in the order in which they are told (spec 3.11).
func wordsOf(e *Event) []WebhookEvent {
	switch e.Type {
	case EventExecution:
		return []WebhookEvent{TreeCreated, TreeStarted}
	case EventStart:
		return []WebhookEvent{TaskStart}
	case EventCompleted, EventSkipped:
		return []WebhookEvent{TaskCompleted}
	case EventFailed:
		return []WebhookEvent{TaskFailed}
	case EventCancelled:
		return []WebhookEvent{TaskCancelled}
	case EventRetry:
		return []WebhookEvent{TaskRetry}
	case EventLate:
		return []WebhookEvent{TreeLate}
	case EventFinal:
		switch e.Status {
		case dag.StatusCompleted:
			return []WebhookEvent{TreeCompleted}
		case dag.StatusCancelled:
			return []WebhookEvent{TreeCancelled}
		}
		return []WebhookEvent{TreeFailed}
	}
	return nil
}

// executionWords are the types of events for a webhook of an execution: those of spec 5.4, and what only a tree tells that says when it is due.
var executionWords = map[EventType]string{
	EventExecution: "progress", EventStart: "task_start", EventCompleted: "task_completed", EventSkipped: "task_completed", EventFailed: "task_failed", EventCancelled: "task_failed",
	EventRetry: "task_retry", EventLate: "late", EventFinal: "final",
}

// endStatus is how executions that ended are shown.
var endStatus = map[pg.End]dag.Status{pg.EndCompleted: dag.StatusCompleted, pg.EndFailed: dag.StatusFailed, pg.EndCancelled: dag.StatusCancelled}

// webhookEvent is a stored event as webhooks are told it: an end is told as it was, though the tree may run again.
func webhookEvent(tree *TreeStatus, stored *pg.WebhookEvent) *Event {
	e := showEvent(tree, &stored.TreeEvent)
	if e.Type == EventFinal && stored.End != 0 {
		e.Status, e.Progress, e.TreeProgress = endStatus[stored.End], stored.Progress, stored.Progress
		e.Tree.Status, e.Tree.Progress = e.Status, stored.Progress
	}
	return e
}

// messagesOf are what a webhook is told of an event: nothing, or one thing, or two of the start of an execution.
func messagesOf(w *pg.Webhook, tree *TreeStatus, e *Event) []*message {
	if w.Tree != 0 {
		word := executionWords[e.Type]
		if word == "" {
			return nil
		}
		return []*message{newMessage(w, tree, e, word)}
	}
	var all []*message
	for _, word := range wordsOf(e) {
		if w.Events&clusterWords[word] != 0 {
			all = append(all, newMessage(w, tree, e, string(word)))
		}
	}
	return all
}

func newMessage(w *pg.Webhook, tree *TreeStatus, e *Event, word string) *message {
	if e.Tree != nil {
		tree = e.Tree
	}
	return &message{id: messageID(w, tree, e, word), word: word, event: e, tree: tree, body: bodyOf(e, word, w.Tree == 0)}
}

// messageID names what a webhook is told of an event: the same each time it is sent, and never the same for anything else.
func messageID(w *pg.Webhook, tree *TreeStatus, e *Event, word string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d %d %s", w.ID, tree.ID, tree.Key, tree.CreatedAt.UnixMicro(), e.Sequence, word))
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

// bodyOf is the body of spec 5.5.
func bodyOf(e *Event, word string, cluster bool) webhookBody {
	b := webhookBody{Protocol: "jsonrpc", TreeID: e.TreeID, TaskID: e.TaskID, Status: e.Status, Type: word, Timestamp: isoTime(e.At)}
	if b.TaskID == "" {
		b.TaskID = e.TreeID
	}
	switch e.Type {
	case EventExecution:
		b.Message = "Task tree execution started"
	case EventCompleted, EventSkipped:
		b.Progress, b.Result = 1, e.Result
		if b.Result == nil {
			b.Result = json.RawMessage("null")
		}
	case EventLate:
		b.Message = e.Message
	case EventFailed, EventRetry:
		b.Error = textOf(e.Error)
	case EventCancelled:
		text := e.Error
		if text == "" {
			text = "Task was cancelled"
		}
		b.Error, b.Result = textOf(text), e.Result
	case EventFinal:
		b.Final, b.Progress, b.Message = true, share(e.Progress), "Task tree execution "+string(e.Status)
		b.Result, b.Error = textOfProgress(e.Progress), json.RawMessage("null")
		if cluster {
			b.Message = "Tree finished with status: " + string(e.Status)
		}
	}
	return b
}

// textOfProgress is the result of an execution.
func textOfProgress(p float64) json.RawMessage {
	out, _ := encodePlain(map[string]share{"progress": share(p)}) // a share can always be encoded
	return out
}

// isoTime is a time of the protocol: UTC, in ISO 8601.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }

// encode makes the body of a message: by the webhook's template, or as spec 5.5 has it. What is larger than most comes without its result.
func (m *message) encode(t *target, w *pg.Webhook, most int) ([]byte, error) {
	if len(m.body.Result) > most {
		m.body.Result = fmt.Appendf(nil, `{"omitted":"the result has %d bytes: ask for the task"}`, len(m.body.Result))
	}
	if t.view.Body == nil {
		return encodePlain(m.body)
	}
	document, err := decodeDocument(t.view.Body)
	if err != nil {
		return nil, err
	}
	rendered, err := storedBodyRules.Render(document, m.scope(w), 4*most)
	if err != nil {
		return nil, err
	}
	out, err := encodePlain(rendered)
	if err == nil && len(out) > 4*most {
		return nil, errors.New("the body is too large")
	}
	return out, err
}

// scope is what a template may name.
func (m *message) scope(w *pg.Webhook) template.Scope {
	b, tree := &m.body, m.tree
	event := map[string]any{"id": m.id, "type": b.Type, "task_id": b.TaskID, "name": m.event.Name, "status": string(b.Status), "progress": float64(b.Progress),
		"message": b.Message, "timestamp": b.Timestamp, "final": b.Final, "attempt": m.event.Attempt, "sequence": m.event.Sequence}
	if b.Result != nil {
		if v, err := decodeDocument(b.Result); err == nil {
			event["result"] = v
		}
	}
	if b.Error != nil {
		if v, err := decodeDocument(b.Error); err == nil {
			event["error"] = v
		}
	}
	labels := map[string]any{}
	for name, value := range tree.Labels {
		labels[name] = value
	}
	about := map[string]any{"id": tree.ID, "name": tree.Name, "user_id": tree.UserID, "status": string(tree.Status), "progress": tree.Progress, "tasks": tree.Tasks,
		"completed": tree.Completed, "failed": tree.Failed, "cancelled": tree.Cancelled, "labels": labels}
	for name, at := range map[string]time.Time{"created_at": tree.CreatedAt, "started_at": tree.StartedAt, "finished_at": tree.FinishedAt} {
		if !at.IsZero() {
			about[name] = isoTime(at)
		}
	}
	return template.Scope{"event": event, "tree": about, "webhook": map[string]any{"id": w.ID, "name": w.Name}}
}
