package apflow

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// When a wait gives up (spec 8.8).
const (
	mostInARow     = 10
	mostInAll      = 20
	mostClientErrs = 3
	maxBackoff     = 30 * time.Second

	lookAnyway = 30 * time.Second // between two looks while events come
	maxEvent   = 4 << 20          // bytes of a line of events
)

// task is what tasks.get tells.
type task struct {
	Status       string   `json:"status"`
	Error        string   `json:"error"`
	Progress     float64  `json:"progress"`
	TreeStatus   string   `json:"tree_status"` // of roots, where the other cluster tells it
	TreeProgress *float64 `json:"tree_progress"`
	BlockedBy    []string `json:"blocked_by"`

	raw json.RawMessage
}

func final(status string) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

// ended reports whether nothing more will happen: with its tree, where that is told, and else with the task.
func (t *task) ended() bool {
	if t.TreeStatus != "" {
		return final(t.TreeStatus)
	}
	return final(t.Status) || len(t.BlockedBy) > 0
}

// outcome is the status that counts.
func (t *task) outcome() string {
	if t.TreeStatus != "" {
		return t.TreeStatus
	}
	return t.Status
}

// get reads a task; nil: it is unknown.
func (c *client) get(ctx context.Context, id string) (*task, error) {
	answer, err := c.call(ctx, "tasks.get", map[string]any{"task_id": id})
	if err != nil || string(answer) == "null" {
		return nil, err
	}
	t := &task{raw: answer}
	if err := json.Unmarshal(answer, t); err != nil {
		return nil, &failure{text: "API answered with what is no task", status: http.StatusOK}
	}
	return t, nil
}

// wait waits until a task has ended: by the other cluster's events where it has them, else by looking at the task now and then.
func (c *client) wait(ctx context.Context, id string) (*Waited, error) {
	events := &events{client: c, id: id, possible: true}
	inARow, clientErrs, twice := 0, 0, false
	for {
		c.polls++
		t, err := c.get(ctx, id)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if t != nil {
			c.seen = t
		}
		pause := c.poll
		switch f, _ := err.(*failure); { //nolint:errorlint // call makes them itself
		case err != nil:
			inARow++
			c.failed++
			if f != nil && f.status >= 400 && f.status < 500 {
				clientErrs++
			} else {
				clientErrs = 0
			}
			if gaveUp := c.giveUp(id, err, inARow, clientErrs); gaveUp != nil {
				return nil, gaveUp
			}
			pause = min(c.poll<<(inARow-1), maxBackoff)
		case t == nil:
			return nil, &failure{text: fmt.Sprintf("Task %s is unknown at %s", id, c.shown), permanent: true, facts: c.facts(id)}
		case t.ended() && !final(t.Status) && !twice:
			twice = true // the task was read before its tree, which ended in between
			continue
		case t.ended():
			return &Waited{TaskID: id, Status: t.outcome(), Task: t.raw, PollCount: c.polls, TotalFailures: c.failed}, nil
		default:
			inARow, clientErrs = 0, 0
			c.report(t)
			if events.follow(ctx) {
				continue
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// report tells how far a task has come.
func (c *client) report(t *task) {
	progress := t.Progress
	if t.TreeProgress != nil {
		progress = *t.TreeProgress
	}
	c.reporter.Progress(progress, "there: "+t.Status)
}

func (c *client) facts(id string) map[string]any {
	return map[string]any{"task_id": id, "poll_count": c.polls, "total_failures": c.failed}
}

// giveUp is the failure of a wait whose looks fail; nil: it goes on.
func (c *client) giveUp(id string, last error, inARow, clientErrs int) error {
	f := &failure{facts: c.facts(id)}
	switch {
	case clientErrs >= mostClientErrs:
		f.text, f.permanent = "Polling failed: "+last.Error(), true
		f.facts["error_type"] = "client_error"
	case inARow >= mostInARow:
		f.text = fmt.Sprintf("Polling circuit breaker: %d consecutive failures. Last error: %s", inARow, last)
		f.facts["error_type"], f.facts["consecutive_failures"] = "circuit_breaker", inARow
	case c.failed >= mostInAll:
		f.text = fmt.Sprintf("Polling failed: %d total failures. Last error: %s", c.failed, last)
		f.facts["error_type"] = "max_failures"
	case executors.IsPermanent(last):
		f.text, f.permanent = "Polling failed: "+last.Error(), true
	default:
		return nil
	}
	return f
}

// events follows the events of a tree, which a Taskgrove streams at /tasks/ID/events.
type events struct {
	client   *client
	id       string
	possible bool // the other cluster may have them
	last     string
	over     bool // the last one has come
}

// follow waits while events come: until the last one, until the stream breaks, or for some time. It reports false if there are none.
func (e *events) follow(ctx context.Context) bool {
	if !e.possible {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookAnyway)
	defer cancel()
	req, err := e.client.request(ctx, http.MethodGet, "/tasks/"+url.PathEscape(e.id)+"/events", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Accept", "text/event-stream")
	if e.last != "" {
		req.Header.Set("Last-Event-ID", e.last)
	}
	resp, err := e.client.http.Do(req)
	if err != nil {
		return ctx.Err() != nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		e.possible = resp.StatusCode >= 500 // it may have them later
		return false
	}
	if e.read(resp.Body) { // if the task has not ended now, the events are of something else
		e.possible, e.over = !e.over, true
		return e.possible
	}
	return ctx.Err() != nil
}

// read takes events, and reports whether the last one was among them.
func (e *events) read(body io.Reader) bool {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	for lines.Scan() {
		line := lines.Text()
		if id, ok := strings.CutPrefix(line, "id:"); ok {
			e.last = strings.TrimSpace(id)
		}
		data, ok := strings.CutPrefix(line, "data:")
		if !ok {
			continue
		}
		var event struct {
			Type         string   `json:"type"`
			TaskID       string   `json:"task_id"`
			Status       string   `json:"status"`
			TreeProgress *float64 `json:"tree_progress"`
			Error        any      `json:"error"`
		}
		if json.Unmarshal([]byte(data), &event) != nil || event.Type == "" {
			continue
		}
		switch event.Type {
		case "final", "stream_end", "error":
			return true
		case "progress":
		default:
			said := event.Type + " " + event.TaskID
			if text, ok := event.Error.(string); ok && text != "" {
				said += ": " + text
			}
			e.client.reporter.Log("log", executors.Text([]byte(cut(said, maxText))))
		}
		if event.TreeProgress != nil {
			e.client.reporter.Progress(*event.TreeProgress, "there: "+event.Status)
		}
	}
	return false
}
