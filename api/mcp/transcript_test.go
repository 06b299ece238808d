package mcp_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/dag"
)

// transcript is an exchange as it goes over the wire.
type transcript struct {
	s       *served
	headers []string // of each request, name and value in turn
	text    strings.Builder
}

// varying is what differs from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "…"},
	{regexp.MustCompile(`(?m)^id: \S+$`), "id: …"},
	{regexp.MustCompile(`"id\\?": ?\\?"[0-9a-f]{8}-[0-9a-f-]{27}\\?"`), `"id":"…"`},
}

// say posts a message and notes it, and the answer's status, headers and body. meanwhile happens while the answer is read; told says that it has come
// to a further notification of progress.
func (x *transcript) say(title, body string, meanwhile func(told <-chan struct{})) (session string) {
	x.s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, x.s.url, strings.NewReader(body))
	if err != nil {
		x.s.t.Fatal(err)
	}
	fmt.Fprintf(&x.text, "### %s\n\n> POST /mcp\n", title)
	for i := 0; i < len(x.headers); i += 2 {
		req.Header.Set(x.headers[i], x.headers[i+1])
		shown := x.headers[i+1]
		if x.headers[i] == "Mcp-Session-Id" {
			shown = "…"
		}
		fmt.Fprintf(&x.text, "> %s: %s\n", x.headers[i], shown)
	}
	told := make(chan struct{}, 100)
	if meanwhile != nil {
		go meanwhile(told)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		x.s.t.Fatal(err)
	}
	defer res.Body.Close()
	if meanwhile != nil && !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		x.s.t.Error("the answer is no stream")
	}
	var answer strings.Builder
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadString('\n')
		answer.WriteString(line)
		if strings.Contains(line, "notifications/progress") {
			told <- struct{}{}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			x.s.t.Fatal(err)
		}
	}
	fmt.Fprintf(&x.text, ">\n> %s\n\n< %d\n", body, res.StatusCode)
	for _, name := range []string{"Content-Type", "Cache-Control", "Mcp-Session-Id"} {
		if value := res.Header.Get(name); value != "" {
			if name == "Mcp-Session-Id" {
				value = "…"
			}
			fmt.Fprintf(&x.text, "< %s: %s\n", name, value)
		}
	}
	said := answer.String()
	for _, v := range varying {
		said = v.pattern.ReplaceAllString(said, v.as)
	}
	x.text.WriteString("<\n")
	for line := range strings.Lines(strings.TrimRight(said, "\n") + "\n") {
		x.text.WriteString(strings.TrimRight("< "+line, " \n") + "\n")
	}
	x.text.WriteString("\n")
	return res.Header.Get("Mcp-Session-Id")
}

// TestTranscripts compares exchanges byte by byte: of a client with a session, and of clients with none, which get a stream or JSON.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name    string
		headers []string
		session bool
	}{
		{"session", []string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, true},
		{"stream", []string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Mcp-Protocol-Version", "2025-11-25"}, false},
		{"json", []string{"Content-Type", "application/json"}, false},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, mcp.Config{Version: "1.2.3"})
			x := &transcript{s: s, headers: kind.headers}
			if kind.session {
				id := x.say("The handshake", initialize, nil)
				x.headers = append(x.headers, "Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-11-25")
				x.say("The client has understood", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil)
				x.say("A sign of life", `{"jsonrpc":"2.0","id":2,"method":"ping"}`, nil)
			}
			x.say("A tree is stored", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"create_task","arguments":{"tasks":`+pair+`}}}`, nil)
			if kind.name == "json" {
				x.say("A tree is run", `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"execute_task","arguments":{"task_id":"r"}}}`, nil)
				s.svc.Complete("a", `{"n":1}`)
			} else {
				x.say("A tree is run, and waited for", `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"execute_task","arguments":{"task_id":"r","use_streaming":true},"_meta":{"progressToken":"p"}}}`, s.runPair)
			}
			x.say("A task is read", `{"jsonrpc":"2.0","id":5,"method":"resources/read","params":{"uri":"task://a"}}`, nil)
			x.say("A task that there is not", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"get_task","arguments":{"task_id":"gone"}}}`, nil)
			x.say("An argument that is wrong", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"list_tasks","arguments":{"limit":"many"}}}`, nil)
			x.say("A tool that there is not", `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"rm","arguments":{}}}`, nil)
			x.say("A resource that there is not", `{"jsonrpc":"2.0","id":9,"method":"resources/read","params":{"uri":"task://gone"}}`, nil)
			x.say("A prompt", `{"jsonrpc":"2.0","id":10,"method":"prompts/get","params":{"name":"summarize_tree","arguments":{"task_id":"r"}}}`, nil)
			x.say("No JSON", `{"jsonrpc":`, nil)
			golden(t, kind.name+".txt", x.text.String())
		})
	}
}

// runPair runs the pair of tasks, each step when the client was told of the one before, and a little later: progress is not told too often.
func (s *served) runPair(told <-chan struct{}) {
	ctx := s.t.Context()
	for {
		task, err := s.svc.Task(ctx, "a")
		if err == nil && task.State != dag.Held {
			break
		}
		if ctx.Err() != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	for _, step := range []func(){func() { s.svc.Start("a") }, func() { s.svc.Complete("a", `{"n":1}`) }, func() { s.svc.Complete("r", `{"all":true}`) }} {
		time.Sleep(150 * time.Millisecond)
		step()
		select {
		case <-told:
		case <-ctx.Done():
			return
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || got != string(want) {
		t.Errorf("got %s\nwant %s (%v): with -update it is written anew", got, want, err)
	}
}

// TestMemoryOfSessions bounds what a session costs that a client has begun and left.
func TestMemoryOfSessions(t *testing.T) {
	const sessions = 1000
	s := serve(t, mcp.Config{MaxSessions: sessions})
	heap := func() uint64 {
		http.DefaultClient.CloseIdleConnections()
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	s.post(initialize, "Accept", "application/json, text/event-stream")
	before := heap()
	for i := range sessions - 1 {
		if res, got := s.post(initialize, "Accept", "application/json, text/event-stream"); res.Header.Get("Mcp-Session-Id") == "" {
			t.Fatalf("client %d got no session: %s", i, got)
		}
	}
	each := (int64(heap()) - int64(before)) / (sessions - 1)
	t.Logf("a session costs %d bytes", each)
	if each > 64<<10 {
		t.Errorf("a session costs %d bytes, want 64 KiB at most", each)
	}
}
