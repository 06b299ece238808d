package tasklog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// written is a line as it is written. Its keys are those of the logs of processes, where these have the same.
type written struct {
	Time      string `json:"time"`
	Stream    string `json:"stream"`
	Text      string `json:"msg"`
	Tree      string `json:"tree_id"`
	Task      string `json:"task_id"`
	Name      string `json:"task_name"`
	Attempt   int    `json:"attempt"`
	Seq       uint64 `json:"seq"`
	User      string `json:"user_id,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Executor  string `json:"executor"`
	Pool      string `json:"pool"`
	Worker    string `json:"worker_id"`
	Trace     string `json:"trace_id,omitempty"`
	Span      string `json:"span_id,omitempty"`
}

// timeFormat sorts as text.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

func (l *Line) written() written {
	w := written{l.Time.UTC().Format(timeFormat), l.Stream, l.Text, l.Tree, l.Task, l.Name, l.Attempt, l.Seq, l.User, l.Namespace, l.Executor, l.Pool, l.Worker, "", ""}
	if l.Span.IsValid() {
		w.Trace, w.Span = l.Span.TraceID().String(), l.Span.SpanID().String()
	}
	return w
}

// writer writes lines.
type writer struct {
	to     io.Writer
	buffer bytes.Buffer
}

func (cfg Config) stdout(context.Context) (sender, error) {
	w := &writer{to: cfg.To}
	if w.to == nil {
		w.to = os.Stdout
	}
	return w, nil
}

func (w *writer) send(_ context.Context, lines []Line) (int, error) {
	w.buffer.Reset()
	encoder := json.NewEncoder(&w.buffer)
	encoder.SetEscapeHTML(false)
	for i := range lines {
		if err := encoder.Encode(lines[i].written()); err != nil {
			return 0, err
		}
	}
	if _, err := w.to.Write(rawjson.Harmless(w.buffer.Bytes())); err != nil {
		return 0, err
	}
	if w.buffer.Cap() > 4<<20 { // after very long lines
		w.buffer = bytes.Buffer{}
	}
	return len(lines), nil
}

func (*writer) close(context.Context) error { return nil }
