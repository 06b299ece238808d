package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api/mcp"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// Clients without a handshake, such as curl and the protocol's first executor, are answered in JSON.
func TestPlainClient(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	res, got := s.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_task","arguments":{"name":"only"}}}`)
	var answer struct {
		Result struct {
			StructuredContent struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || res.StatusCode != 200 || answer.Result.StructuredContent.Name != "only" {
		t.Errorf("got %d %s, %v; want the task", res.StatusCode, got, err)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{MaxBodyBytes: 100_000})
	both := []string{"Accept", "application/json, text/event-stream"}
	for _, test := range []struct {
		name, body string
		headers    []string
		status     int
		want       string
	}{
		{"no JSON", `{"jsonrpc":`, both, 400, "-32700"},
		{"no object", `7`, both, 400, ""},
		{"empty", ``, both, 400, "-32700"},
		{"deep", strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000), both, 400, "-32700"},
		{"deep arguments", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_task","arguments":{"task_id":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}}`, both, 400, "nest"},
		{"large", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"` + strings.Repeat("x", 100_000) + `"}}`, both, 413, "larger than 100000 bytes"},
		{"large batch", "[" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"ping"},`, 150) + `{}]`, both, 400, "at most 100"},
		{"not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", both, 400, "UTF-8"},
		{"unknown session", initialize, append([]string{"Mcp-Session-Id", "stolen"}, both...), 404, "session not found"},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/destroy"}`, nil, 400, "tools/destroy"},
		{"unknown tool", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"rm"}}`, nil, 200, `"code":-32602,"message":"Tool not found: rm"`},
		{"no tool", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{}}}`, nil, 200, "Tool name is required"},
		{"control characters", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"task://\u0001"}}`, nil, 200, `"data":{"uri":"task://\u0001"}`},
		{"no uri", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{}}`, nil, 200, "Resource URI is required"},
		{"content type", initialize, []string{"Content-Type", "text/plain", "Accept", both[1]}, 415, ""},
		{"old version header", initialize, append([]string{"Mcp-Protocol-Version", "1999-01-01"}, both...), 400, "Unsupported protocol version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			res, got := s.post(test.body, test.headers...)
			if res.StatusCode != test.status || !strings.Contains(got, test.want) {
				t.Errorf("got %d %.300s, want %d with %q", res.StatusCode, got, test.status, test.want)
			}
		})
	}
	for method, want := range map[string]int{http.MethodGet: 405, http.MethodDelete: 405, http.MethodPut: 405} {
		req, err := http.NewRequest(method, s.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", method, res.StatusCode, want)
		}
	}
}

// Thousands of clients that begin sessions and leave them cost no more than those that there is room for, and shut nobody out.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{MaxSessions: 20})
	sessions := 0
	for i := range 3000 {
		res, got := s.post(initialize, "Accept", "application/json, text/event-stream")
		if res.StatusCode != 200 || !strings.Contains(got, `"protocolVersion":"2025-11-25"`) {
			t.Fatalf("client %d got %d %s", i, res.StatusCode, got)
		}
		if res.Header.Get("Mcp-Session-Id") != "" {
			sessions++
		}
	}
	if sessions != 20 {
		t.Errorf("got %d sessions, want 20", sessions)
	}
	session, _ := s.connect("2025-11-25")
	call(t, session, "list_tasks", nil, nil)
	if n := runtime.NumGoroutine(); n > 2000 {
		t.Errorf("%d goroutines are left", n)
	}
}

// A coordinator that took over knows no session of the one before: 404, on which clients begin anew.
func TestSessionOfAnotherCoordinator(t *testing.T) {
	t.Parallel()
	first, second := serve(t, mcp.Config{}), serve(t, mcp.Config{})
	res, _ := first.post(initialize, "Accept", "application/json, text/event-stream")
	id := res.Header.Get("Mcp-Session-Id")
	list := `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`
	if res, _ := second.post(list, "Accept", "application/json, text/event-stream", "Mcp-Session-Id", id); res.StatusCode != 404 {
		t.Errorf("got %d for a session of another, want 404", res.StatusCode)
	}
	if res, got := second.post(list, "Mcp-Protocol-Version", "2025-11-25"); res.StatusCode != 200 || !strings.Contains(got, "execute_task") {
		t.Errorf("got %d %.100s without a session, want the tools", res.StatusCode, got)
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	each(t, mcp.Config{}, func(t *testing.T, s *served, session *sdk.ClientSession, _ told) {
		for i := range 3 {
			call(t, session, "execute_task", json.RawMessage(fmt.Sprintf(`{"tasks":[{"id":"t%d/ü","name":"n"}]}`, i)), nil)
			s.svc.Start(fmt.Sprintf("t%d/ü", i))
		}
		read := func(uri string) (string, error) {
			res, err := session.ReadResource(context.Background(), &sdk.ReadResourceParams{URI: uri})
			if err != nil {
				return "", err
			}
			if len(res.Contents) != 1 || res.Contents[0].URI != uri || res.Contents[0].MIMEType != "application/json" {
				t.Errorf("%s: got %+v", uri, res.Contents)
			}
			return res.Contents[0].Text, nil
		}
		for _, uri := range []string{"task://t1/ü", "task://t1%2F%C3%BC"} {
			if got, err := read(uri); err != nil || !strings.Contains(got, `"id": "t1/ü"`) {
				t.Errorf("%s: got %.100s, %v; want the task", uri, got, err)
			}
		}
		for uri, want := range map[string]int{"tasks://": 3, "tasks://?limit=2": 2, "tasks://?status=running": 3, "tasks://?status=completed": 0, "tasks://?limit=2&offset=2": 1} {
			var list []any
			if got, err := read(uri); err != nil || json.Unmarshal([]byte(got), &list) != nil || len(list) != want {
				t.Errorf("%s: got %d tasks, %v; want %d", uri, len(list), err, want)
			}
		}
		for uri, want := range map[string]string{
			"task://gone": "Resource not found", "task://": "Invalid task URI: task://.", "file:///etc/passwd": "Unsupported resource scheme: file.",
			"nonsense": "Unsupported resource scheme: nonsense.", "tasks://?status=odd": "status must be one of", "tasks://?limit=x": "limit must be a number",
			"tasks://?user=x": "The query takes status, limit and offset", "task://" + strings.Repeat("x", 5000): "more than 4096 bytes",
		} {
			if got, err := read(uri); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.50q: got %.50q, %v; want %q", uri, got, err, want)
			}
		}
	})
}

func TestPrompts(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("")
	call(t, session, "execute_task", json.RawMessage(`{"tasks":`+pair+`}`), nil)
	s.svc.Fail("a", "disk is full")
	for _, test := range []struct {
		name      string
		arguments map[string]string
		want      []string
	}{
		{"write_task_tree", map[string]string{"goal": "fetch the moon"}, []string{"fetch the moon", "execute_task", "Inputs:"}},
		{"explain_failure", map[string]string{"task_id": "r"}, []string{"disk is full", "blocked_by"}},
		{"summarize_tree", map[string]string{"task_id": "r"}, []string{"disk is full"}},
	} {
		res, err := session.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: test.name, Arguments: test.arguments})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := res.Messages[0].Content.(*sdk.TextContent).Text
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q: %s", test.name, want, got)
			}
		}
	}
	for name, want := range map[string]string{"explain_failure": "Task gone not found", "write_task_tree": "goal is required"} {
		if _, err := session.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: name, Arguments: map[string]string{"task_id": "gone"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	done, err := session.Complete(t.Context(), &sdk.CompleteParams{
		Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: "explain_failure"}, Argument: sdk.CompleteParamsArgument{Name: "task_id", Value: "r"},
	})
	if err != nil || len(done.Completion.Values) > 1 {
		t.Errorf("got %+v, %v", done, err)
	}
}

// Answers are bounded: long values are cut, then lists.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{AnswerBytes: 8 << 10})
	session, _ := s.connect("")
	call(t, session, "execute_task", json.RawMessage(`{"tasks":[{"id":"big","name":"n","inputs":{"text":"`+strings.Repeat("ä", 50_000)+`"}}]}`), nil)
	s.svc.Complete("big", `"`+strings.Repeat("x", 1<<20)+`"`)
	var task struct {
		ID, Result string
		Inputs     struct {
			Cut   bool
			Bytes int
		}
	}
	res := call(t, session, "get_task", map[string]any{"task_id": "big"}, &task)
	if !task.Inputs.Cut || task.Inputs.Bytes < 100_000 || !strings.Contains(task.Result, "(cut: 1048576 bytes)") || len(texts(res)) > 20<<10 || !strings.Contains(texts(res), "2 long values were cut") {
		t.Errorf("got %+v, text of %d bytes", task.Inputs, len(texts(res)))
	}
	for i := range 50 {
		call(t, session, "create_task", json.RawMessage(fmt.Sprintf(`{"id":"t%d","name":"n"}`, i)), nil)
	}
	var list struct {
		Tasks      []any
		Omitted    int
		NextCursor string `json:"next_cursor"`
	}
	res = call(t, session, "list_tasks", map[string]any{"limit": 40}, &list)
	if len(list.Tasks)+list.Omitted != 40 || list.Omitted == 0 || list.NextCursor != "" || !strings.Contains(texts(res), fmt.Sprintf("limit %d", len(list.Tasks))) {
		t.Errorf("got %d tasks, %d omitted, cursor %q, %s", len(list.Tasks), list.Omitted, list.NextCursor, texts(res)[len(texts(res))-200:])
	}
	call(t, session, "list_tasks", map[string]any{"limit": 3}, &list)
	if len(list.Tasks) != 3 || list.NextCursor == "" {
		t.Errorf("got %d tasks, cursor %q; want 3 and a cursor", len(list.Tasks), list.NextCursor)
	}
}

// A client that ends its session need not wait for what it waits for.
func TestEndOfASessionEndsItsCalls(t *testing.T) {
	t.Parallel()
	s := serve(t, mcp.Config{})
	session, _ := s.connect("2025-11-25")
	call(t, session, "execute_task", json.RawMessage(`{"tasks":`+pair+`}`), nil)
	done := make(chan error, 1)
	go func() {
		_, err := session.CallTool(context.Background(), &sdk.CallToolParams{Name: "wait_for_task", Arguments: map[string]any{"task_id": "r", "timeout": 3000}})
		done <- err
	}()
	time.Sleep(50 * time.Millisecond) // until it waits; if it does not yet, it is refused
	req, err := http.NewRequest(http.MethodDelete, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Mcp-Session-Id", session.ID())
	begun := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	<-done
	if took := time.Since(begun); res.StatusCode != http.StatusNoContent || took > 10*time.Second {
		t.Errorf("got %d after %v, want the session to end at once", res.StatusCode, took)
	}
}
