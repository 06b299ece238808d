package jsonrpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Spec 5.4: answers without streaming.
func TestExecuteAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", chain)
	want := map[string]any{
		"success": true, "protocol": "jsonrpc", "root_task_id": "r", "task_id": "b", "status": "started",
		"message": "Task execution started",
	}
	if got := s.call("tasks.execute", `{"id":"b"}`); !reflect.DeepEqual(got, any(want)) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	running := map[string]any{
		"success": false, "protocol": "jsonrpc", "root_task_id": "r", "status": "already_running",
		"message": "Task r is already running",
	}
	if got := s.call("tasks.execute", `{"task_id":"r"}`); !reflect.DeepEqual(got, any(running)) {
		t.Errorf("got  %v\nwant %v", got, running)
	}
	for _, id := range []string{"a", "b", "r"} {
		s.svc.Complete(id, `1`)
	}
	if got := s.object("tasks.execute", `{"task_id":"r"}`); got["status"] != "completed" || got["success"] != true {
		t.Errorf("completed: got %v", got)
	}
	if got := s.object("tasks.execute", `{"task_id":"r","force":true}`); got["status"] != "started" {
		t.Errorf("forced: got %v", got)
	}
	for _, params := range []string{`[{"id":"x1","name":"x"}]`, `{"tasks":[{"id":"x2","name":"x"}]}`} { // K4, K6
		got := s.object("tasks.execute", params)
		if id := got["root_task_id"]; got["status"] != "started" || id != got["task_id"] || (id != "x1" && id != "x2") {
			t.Errorf("%s: got %v, want the root's real id", params, got)
		}
		if s.svc.LastSubmit().Hold {
			t.Errorf("%s: was held", params)
		}
	}
}

// Spec 5.4: what is refused, and before anything is stored or streamed.
func TestExecuteFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, params, want string }{
		{"neither", `{}`, "Either task_id or tasks array is required"},
		{"unknown", `{"task_id":"x"}`, "Task x not found"},
		{"tasks no array", `{"tasks":{"name":"x"}}`, "tasks must be an array"},
		{"bad tree", `{"tasks":[{"name":"x"},{"name":"y"}]}`, "Multiple root tasks found"},
		{"bad tree with streaming", `{"tasks":[{"name":"x"},{"name":"y"}],"use_streaming":true}`, "Multiple root tasks found"},
		{"timeout", `{"task_id":"x","wait":true,"timeout":0}`, "timeout must be a number of seconds above 0"},
		{"wait and stream", `{"task_id":"x","wait":true,"use_streaming":true}`, "wait can't go with use_streaming"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			if got := s.refused("tasks.execute", tt.params, -32602, 400); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	s := serve(t, jsonrpc.Config{}) // false, null and {} count as absent
	s.object("tasks.execute", `{"tasks":[{"name":"x"}],"webhook_config":{},"use_demo":false,"copy_execution":null}`)
}

// Spec K3: our extras.
func TestExecuteWaits(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	answer := make(chan map[string]any, 1)
	go func() {
		answer <- s.object("tasks.execute", `{"tasks":[{"id":"w","name":"w"}],"wait":true,"timeout":60}`)
	}()
	eventually(t, func() bool { n, _ := s.svc.Running(t.Context(), ""); return n == 1 })
	s.svc.Complete("w", `{"n":1}`)
	got := <-answer
	if got["status"] != "completed" || got["timed_out"] != false || got["tree_progress"] != 1.0 ||
		!reflect.DeepEqual(got["result"], map[string]any{"n": 1.0}) {
		t.Errorf("got %v", got)
	}
	got = s.object("tasks.execute", `{"tasks":[{"id":"w2","name":"w"}],"wait":true,"timeout":0.01}`)
	if got["status"] != "started" || got["timed_out"] != true || got["root_task_id"] != "w2" {
		t.Errorf("got %v, want what is known so far", got)
	}
}

// eventually polls what has no event of its own.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

// reader reads an event stream.
type reader struct {
	t      testing.TB
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// frame is one event of a stream, or a comment.
type frame struct {
	id, event, comment string
	data               map[string]any
}

// open sends a request and expects a stream.
func (s *site) open(method, path, body string, headers ...string) *reader {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	s.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	for name, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
		if got := res.Header.Get(name); got != want {
			answer, _ := io.ReadAll(res.Body)
			s.Fatalf("%s: got %q, want %q (%s)", name, got, want, answer)
		}
	}
	return &reader{t: s.T, lines: bufio.NewScanner(res.Body), cancel: cancel}
}

// next is the next event or comment; ok is false at the end.
func (r *reader) next() (f frame, ok bool) {
	r.t.Helper()
	for r.lines.Scan() {
		if r.lines.Text() == "" {
			return f, true
		}
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &f.data); err != nil {
				r.t.Fatalf("%v in %q", err, value)
			}
		case "":
			f.comment = value
		}
	}
	return f, false
}

// types reads the stream to its end: "type" or "type/event#id" of each event.
func (r *reader) types() (out []string) {
	for {
		f, ok := r.next()
		if !ok {
			return out
		}
		if f.data == nil {
			continue
		}
		kind, _ := f.data["type"].(string)
		out = append(out, kind+"/"+f.event+"#"+f.id)
	}
}

// Spec 5.4 R, 12.5: the events of a tree that completes, with ids and names.
func TestStream(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	r := s.open("POST", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"use_streaming":true,"tasks":[{"id":"r","name":"root"},{"id":"c","name":"c","parent_id":"r"}]}}`)
	first, _ := r.next()
	want := map[string]any{"jsonrpc": "2.0", "id": 1.0, "result": map[string]any{
		"success": true, "protocol": "jsonrpc", "root_task_id": "r", "task_id": "r", "status": "started",
		"message": "Task execution started with streaming", "streaming": true,
	}}
	if !reflect.DeepEqual(first.data, want) || first.id != "" || first.event != "" {
		t.Errorf("got  %v\nwant %v", first, want)
	}
	s.svc.Start("c")
	s.svc.Complete("c", `{"n":1}`)
	s.svc.Complete("r", `{}`)
	started, _ := r.next()
	if started.id != "1" || started.event != "task_progress_update" || started.data["message"] != "Task tree execution started" || started.data["progress"] != 0.0 {
		t.Errorf("got %v, want the start", started)
	}
	start, _ := r.next()
	if start.data["type"] != "task_start" || start.data["status"] != "in_progress" || start.event != "task_status_update" || start.data["task_id"] != "c" {
		t.Errorf("got %v, want c to start", start)
	}
	if start.data["progress"] != 0.0 || start.data["tree_progress"] == nil {
		t.Errorf("got %v, want the task's progress and the tree's", start)
	}
	completed, _ := r.next()
	if completed.data["progress"] != 1.0 {
		t.Errorf("got %v, want the task's own progress", completed)
	}
	if completed.event != "task_completed" || !reflect.DeepEqual(completed.data["result"], map[string]any{"n": 1.0}) || completed.data["root_task_id"] != "r" {
		t.Errorf("got %v, want c completed", completed)
	}
	_, _ = r.next()
	final, _ := r.next()
	for key, value := range map[string]any{
		"type": "final", "task_id": "r", "status": "completed", "tree_status": "completed", "final": true, "error": nil,
		"result": map[string]any{"progress": 1.0}, "protocol": "jsonrpc", "progress": 1.0,
	} {
		if got, ok := final.data[key]; !ok || !reflect.DeepEqual(got, value) {
			t.Errorf("final: %s is %v, want %v", key, got, value)
		}
	}
	end, _ := r.next()
	if !reflect.DeepEqual(end.data, map[string]any{"type": "stream_end", "task_id": "r"}) {
		t.Errorf("got %v, want stream_end", end)
	}
	if f, ok := r.next(); ok {
		t.Errorf("got %v after the end", f)
	}
}

// Spec K11: a tree that does not complete ends its stream, too.
func TestStreamOfFailedAndCancelledTrees(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		end    func(*site)
		status string
		want   []string
	}{
		{"failed", func(s *site) { s.svc.Fail("r", "boom") }, "failed",
			[]string{"progress/task_progress_update#1", "task_failed/task_failed#2", "final/final#3", "stream_end/stream_end#"}},
		{"cancelled", func(s *site) { _, _ = s.svc.Cancel(s.Context(), "r", coordinator.CancelOptions{}) }, "cancelled",
			[]string{"progress/task_progress_update#1", "task_failed/task_cancelled#2", "final/final#3", "stream_end/stream_end#"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
			tt.end(s)
			if got := s.open("GET", "/tasks/r/events", "").types(); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := s.object("tasks.get", `{"id":"r"}`); got["tree_status"] != tt.status {
				t.Errorf("got %v", got["tree_status"])
			}
		})
	}
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	s.svc.Start("r")
	first := s.open("GET", "/tasks/r/events", "")
	f, _ := first.next()
	first.cancel()
	s.svc.Complete("r", `1`)
	want := []string{"task_start/task_status_update#2", "task_completed/task_completed#3", "final/final#4", "stream_end/stream_end#"}
	if got := s.open("GET", "/tasks/r/events", "", "Last-Event-ID", f.id).types(); !slices.Equal(got, want) {
		t.Errorf("header: got %v, want %v", got, want)
	}
	if got := s.open("GET", "/tasks/r/events?after=1", "").types(); !slices.Equal(got, want) {
		t.Errorf("query: got %v, want %v", got, want)
	}
	post := s.open("POST", "/tasks", `{"id":1,"method":"tasks.execute","params":{"task_id":"r","use_streaming":true}}`, "Last-Event-ID", "3")
	if got, want := post.types(), []string{"/#", "final/final#4", "stream_end/stream_end#"}; !slices.Equal(got, want) {
		t.Errorf("post: got %v, want %v", got, want)
	}
	over := []string{"final/final#", "stream_end/stream_end#"}
	if got := s.open("GET", "/tasks/r/events", "", "Last-Event-ID", "4").types(); !slices.Equal(got, over) {
		t.Errorf("after the end: got %v, want %v", got, over)
	}
}

func TestStreamOfAnUnknownTask(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	res, err := http.Get(s.url + "/tasks/nope/events")
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 404 || !strings.Contains(string(answer), "Task nope not found") {
		t.Errorf("got HTTP %d %s", res.StatusCode, answer)
	}
}

// Nothing to start: the stream ends all the same. What someone else has started is told without a stream (spec 5.4).
func TestStreamWithoutAStart(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	const body = `{"id":1,"method":"tasks.execute","params":{"task_id":"r","use_streaming":true}}`
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	if got := s.object("tasks.execute", `{"task_id":"r","use_streaming":true}`); got["status"] != "already_running" || got["streaming"] != nil {
		t.Errorf("already running: got %v", got)
	}
	s.svc.Complete("r", `1`)
	if got, want := s.open("POST", "/tasks", body).types(), []string{"/#", "final/final#", "stream_end/stream_end#"}; !slices.Equal(got, want) {
		t.Errorf("completed: got %v, want %v", got, want)
	}
}

func TestStreamOutlivesLapses(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{ResumeTimeout: 30 * time.Second / 10})
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	s.svc.Complete("r", `1`)
	s.svc.FailNext("Watch", coordinator.ErrUnavailable)
	s.svc.FailNext("Watch", coordinator.ErrUnavailable)
	got := s.open("GET", "/tasks/r/events", "").types()
	if want := "stream_end/stream_end#"; len(got) != 4 || got[3] != want {
		t.Errorf("got %v, want all events", got)
	}
}

func TestStreamEndsWhenEventsCanNotBeRead(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	s.svc.FailNext("Watch", io.ErrUnexpectedEOF)
	r := s.open("GET", "/tasks/r/events", "")
	f, _ := r.next()
	text, _ := f.data["error"].(string)
	if f.data["type"] != "error" || f.data["final"] != true || !strings.HasPrefix(text, "internal error ") {
		t.Errorf("got %v, want an error event", f)
	}
	if got := r.types(); !slices.Equal(got, []string{"stream_end/stream_end#"}) {
		t.Errorf("got %v, want stream_end", got)
	}
}

func TestIdleStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{KeepAlive: time.Millisecond})
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	r := s.open("GET", "/tasks/r/events", "")
	for {
		f, ok := r.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if f.comment == "keepalive" {
			return
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{MaxStreams: 1})
	s.object("tasks.execute", `[{"id":"r","name":"root"}]`)
	r := s.open("GET", "/tasks/r/events", "")
	if got := s.refused("tasks.execute", `{"tasks":[{"id":"x","name":"x"}],"use_streaming":true}`, -32000, 503); !strings.Contains(got, "too many") {
		t.Errorf("got %q", got)
	}
	if got := s.call("tasks.get", `{"id":"x"}`); got != nil {
		t.Errorf("got %v: a refused stream started its tree", got)
	}
	r.cancel()
	eventually(t, func() bool {
		res, err := http.Get(s.url + "/tasks/nope/events")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 404
	})
}
