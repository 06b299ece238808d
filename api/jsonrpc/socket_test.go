package jsonrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// client is a WebSocket of a site, with what it has sent and got.
type client struct {
	*testing.T
	conn *websocket.Conn
	text bytes.Buffer
}

func (s *site) dial() *client {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.url+"/ws", nil)
	if err != nil {
		s.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	s.Cleanup(func() { conn.CloseNow() })
	return &client{T: s.T, conn: conn}
}

func (c *client) say(frame string) {
	c.Helper()
	if err := c.conn.Write(c.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.Fatal(err)
	}
	c.text.WriteString("> " + frame + "\n")
}

// hear is the next frame; the error is why the socket was closed.
func (c *client) hear() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	_, frame, err := c.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	c.text.WriteString("< " + string(timestamps.ReplaceAll(frame, []byte(`"timestamp":"…"`))) + "\n")
	var decoded map[string]any
	return decoded, json.Unmarshal(frame, &decoded)
}

var timestamps = regexp.MustCompile(`"timestamp":"[^"]*"`)

// until hears frames up to the first of a type, and gives them in short: type/task#id.
func (c *client) until(kind string) (all []string) {
	c.Helper()
	for {
		frame, err := c.hear()
		if err != nil {
			c.Fatalf("after %v: %v", all, err)
		}
		id := ""
		if frame["id"] != nil {
			id = fmt.Sprintf("#%v", frame["id"])
		}
		all = append(all, fmt.Sprintf("%v/%v%s", frame["type"], frame["task_id"], id))
		if frame["type"] == kind {
			return all
		}
	}
}

// golden compares a transcript with the file of that name in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || got != string(want) {
		t.Errorf("got %s\nwant %s (%v): with -update it is written anew", got, want, err)
	}
}

// Spec 5.4: all actions, all types of frames, and what is refused.
func TestSocketTranscript(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", `[{"id":"r","name":"root"},{"id":"a","name":"a","parent_id":"r"},{"id":"b","name":"b","parent_id":"r"}]`)
	c := s.dial()
	c.say(`{"action":"ping"}`)
	c.until("pong")
	c.say(`{"action":"subscribe","task_id":"r"}`)
	c.until("subscribed")
	s.object("tasks.execute", `{"task_id":"r"}`)
	c.until("task_progress")
	s.svc.Start("a")
	c.until("task_status")
	s.svc.Complete("a", `{"n":1}`)
	c.until("task_completed")
	s.svc.Start("b")
	c.until("task_status")
	s.svc.Fail("b", "broken")
	c.until("task_failed")
	s.svc.Complete("r", `{}`)
	c.until("stream_end")
	for _, frame := range []string{`{"action":"subscribe","task_id":"nope"}`, `{"action":"subscribe"}`, `{"action":"subscribe","task_id":"r","last_event_id":-1}`,
		`{"action":"unsubscribe","task_id":"r"}`, `{"action":"dance"}`, `{`, `{"action":1}`} {
		c.say(frame)
		c.until("error")
	}
	golden(t, "websocket.txt", c.text.String())
}

// The exchange of a streaming call, byte by byte.
func TestStreamTranscript(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", `[{"id":"r","name":"root"},{"id":"a","name":"a","parent_id":"r"},{"id":"b","name":"b","parent_id":"r"}]`)
	res, err := http.Post(s.url+"/tasks", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"task_id":"r","use_streaming":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.svc.Start("a")
	s.svc.Complete("a", `{"n":1}`)
	s.svc.Fail("b", "broken")
	s.svc.Complete("r", `{}`)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, name := range []string{"Content-Type", "Cache-Control", "X-Accel-Buffering"} {
		fmt.Fprintf(&got, "%s: %s\n", name, res.Header.Get(name))
	}
	got.WriteString("\n" + string(timestamps.ReplaceAll(body, []byte(`"timestamp":"…"`))))
	golden(t, "sse.txt", got.String())
}

// A child is watched alone, and several subscriptions share a socket.
func TestSocketSubscriptions(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{MaxSubscriptions: 2})
	s.object("tasks.execute", `[{"id":"r","name":"root"},{"id":"a","name":"a","parent_id":"r"}]`)
	s.object("tasks.execute", `[{"id":"q","name":"root"}]`)
	c := s.dial()
	c.say(`{"action":"subscribe","task_id":"a"}`)
	c.say(`{"action":"subscribe","task_id":"q","last_event_id":"1"}`)
	c.say(`{"action":"subscribe","task_id":"r"}`)
	if got := strings.Join(c.until("error"), " "); got != "subscribed/a subscribed/q error/r" {
		t.Errorf("got %s, want the third one refused", got)
	}
	s.svc.Complete("r", `{}`)
	s.svc.Complete("a", `{}`)
	if got := strings.Join(c.until("stream_end"), " "); got != "task_completed/a#3 task_status/r#4 stream_end/a" {
		t.Errorf("got %s, want the child's events and the end", got)
	}
	c.say(`{"action":"unsubscribe","task_id":"q"}`)
	c.until("unsubscribed")
	s.svc.Complete("q", `{}`)
	c.say(`{"action":"subscribe","task_id":"q","last_event_id":1}`)
	for range 20 { // who sees the end may subscribe again at once
		if got := strings.Join(c.until("stream_end"), " "); got != "subscribed/q task_completed/q#2 task_status/q#3 stream_end/q" {
			t.Fatalf("got %s, want what came after the event", got)
		}
		c.say(`{"action":"subscribe","task_id":"q","last_event_id":1}`)
	}
}

// A coordinator that stops says so, and its client goes on with another: no event is lost or doubled.
func TestSocketResumesOnAnotherCoordinator(t *testing.T) {
	t.Parallel()
	svc := apitest.New()
	access := coordinator.NewAccess(svc, coordinator.AllowAll)
	stopping, stop := context.WithCancelCause(context.Background())
	first := httptest.NewUnstartedServer(jsonrpc.New(access, jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
	first.Config.BaseContext = func(net.Listener) context.Context { return stopping }
	first.Start()
	t.Cleanup(first.Close)
	second := httptest.NewServer(jsonrpc.New(access, jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(second.Close)
	s, other := &site{T: t, svc: svc, url: first.URL}, &site{T: t, svc: svc, url: second.URL}
	s.object("tasks.execute", `[{"id":"r","name":"root"},{"id":"a","name":"a","parent_id":"r"}]`)
	svc.Start("a")
	c := s.dial()
	c.say(`{"action":"subscribe","task_id":"r"}`)
	before := c.until("task_status")
	stop(api.ErrShutdown)
	svc.Complete("a", `{}`)
	svc.Complete("r", `{}`)
	var closed websocket.CloseError
	for {
		frame, err := c.hear()
		if err == nil {
			before = append(before, fmt.Sprintf("%v/%v#%v", frame["type"], frame["task_id"], frame["id"]))
			continue
		}
		if !errors.As(err, &closed) || closed.Code != websocket.StatusServiceRestart || !strings.Contains(closed.Reason, "last_event_id") {
			t.Fatalf("closed with %v, want 1012 and what to do", err)
		}
		break
	}
	last := before[len(before)-1]
	again := other.dial()
	again.say(`{"action":"subscribe","task_id":"r","last_event_id":` + last[strings.Index(last, "#")+1:] + `}`)
	after := again.until("stream_end")
	got := strings.Join(append(before[1:], after[1:]...), " ")
	if want := "task_progress/r#1 task_status/a#2 task_completed/a#3 task_completed/r#4 task_status/r#5 stream_end/r"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Frames that are too long or of bytes, and clients that read nothing, are closed with a code that says so.
func TestSocketIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{SlowTimeout: 50 * time.Millisecond, MaxStreams: 1})
	code := func(c *client) websocket.StatusCode {
		for {
			if _, err := c.hear(); err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("the socket stays open")
				}
				return websocket.CloseStatus(err)
			}
		}
	}
	long := s.dial()
	long.say(`{"action":"` + strings.Repeat("x", 17<<10) + `"}`)
	if got := code(long); got != websocket.StatusMessageTooBig {
		t.Errorf("a long frame: closed with %d, want 1009", got)
	}
	binary := s.dial()
	if err := binary.conn.Write(t.Context(), websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got := code(binary); got != websocket.StatusUnsupportedData {
		t.Errorf("bytes: closed with %d, want 1003", got)
	}

	tasks := `{"id":"r","name":"root"}`
	for i := range large {
		tasks += fmt.Sprintf(`,{"id":"t%d","name":"t","parent_id":"r"}`, i)
	}
	s.object("tasks.execute", `[`+tasks+`]`)
	slow := s.dial()
	slow.say(`{"action":"subscribe","task_id":"r"}`)
	slow.until("subscribed")
	quick := s.dial()
	asks := func() map[string]any {
		quick.say(`{"action":"subscribe","task_id":"r"}`)
		frame, err := quick.hear()
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	if frame := asks(); frame["type"] != "error" || !strings.Contains(fmt.Sprint(frame["data"]), "too many") {
		t.Fatalf("got %v, want that the slow one has the only stream", frame)
	}
	for i := range large {
		s.svc.Complete(fmt.Sprintf("t%d", i), `"`+strings.Repeat("x", 1<<20)+`"`)
	}
	eventually(t, func() bool { return asks()["type"] == "subscribed" }) // what the slow one had
	if got := code(slow); got != websocket.StatusTryAgainLater && got != -1 {
		t.Errorf("a slow client: closed with %d, want 1013, or cut off", got)
	}
}

// large is more MiB than the buffers of both sides of a socket hold.
const large = 60
