package stdio_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/api/mcp/stdio"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// handler serves trees in memory.
func handler(t *testing.T) (*apitest.Service, *mcp.Handler) {
	svc := apitest.New()
	h := mcp.New(coordinator.NewAccess(svc, coordinator.AllowAll), mcp.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = h.Close() })
	return svc, h
}

// host is a host that has started the program, and how often it heard of progress.
func host(t *testing.T, url, version string) (*sdk.ClientSession, chan *sdk.ProgressNotificationParams) {
	t.Helper()
	toProgram, fromHost := io.Pipe()
	toHost, fromProgram := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- stdio.Run(context.Background(), stdio.Config{URL: url, Version: "test", In: toProgram, Out: fromProgram,
			Token: func() (string, error) { return "secret", nil }})
	}()
	heard := make(chan *sdk.ProgressNotificationParams, 100)
	client := sdk.NewClient(&sdk.Implementation{Name: "host", Version: "1"}, &sdk.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) { heard <- r.Params },
	})
	session, err := client.Connect(t.Context(), &sdk.IOTransport{Reader: toHost, Writer: fromHost}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close()
		_ = fromHost.Close()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the program did not end with its input")
		}
	})
	return session, heard
}

func use(t *testing.T, session *sdk.ClientSession, name, arguments string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res, err := session.CallTool(ctx, &sdk.CallToolParams{Name: name, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatal(err)
	}
	return res.Content[0].(*sdk.TextContent).Text, res.IsError
}

const one = `{"tasks":[{"id":"a","name":"only"}]}`

func TestHostGetsWhatTheCoordinatorHas(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2026-07-28", "2025-11-25", "2024-11-05"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			svc, h := handler(t)
			token := make(chan string, 100)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token <- r.Header.Get("Authorization")
				h.ServeHTTP(w, r)
			}))
			defer server.Close()
			session, heard := host(t, server.URL, version)
			if got := session.InitializeResult().ProtocolVersion; got != version {
				t.Errorf("got protocol %s, want %s", got, version)
			}
			tools, err := session.ListTools(t.Context(), nil)
			if err != nil || len(tools.Tools) < 16 {
				t.Fatalf("got %v, %v; want the tools", tools, err)
			}
			if got := <-token; got != "Bearer secret" {
				t.Errorf("got authorization %q, want the token", got)
			}
			if got, failed := use(t, session, "execute_task", one); failed || !strings.Contains(got, `"root_task_id": "a"`) {
				t.Errorf("got %s", got)
			}
			done := make(chan *sdk.CallToolResult, 1)
			go func() {
				params := &sdk.CallToolParams{Name: "wait_for_task", Arguments: map[string]any{"task_id": "a"}}
				params.SetProgressToken("mine")
				res, _ := session.CallTool(context.Background(), params)
				done <- res
			}()
			svc.Start("a")
			var p *sdk.ProgressNotificationParams
			for i := 0; p == nil; i++ {
				svc.Tell("a", coordinator.Piece{Kind: "text", Text: "on my way"}) // it may not wait yet
				select {
				case p = <-heard:
				case <-time.After(150 * time.Millisecond):
					if i > 100 {
						t.Fatal("heard nothing of progress")
					}
				}
			}
			if p.ProgressToken != "mine" {
				t.Errorf("got token %v, want the host's own", p.ProgressToken)
			}
			svc.Complete("a", `"done"`)
			if res := <-done; res == nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, `"status": "completed"`) {
				t.Errorf("got %+v, want it completed", res)
			}
			read, err := session.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: "task://a"})
			if err != nil || !strings.Contains(read.Contents[0].Text, `"completed"`) {
				t.Errorf("got %v, %v; want the task", read, err)
			}
			if _, err := session.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: "task://gone"}); err == nil || !strings.Contains(err.Error(), "Resource not found") {
				t.Errorf("got %v, want not found", err)
			}
			if prompts, err := session.ListPrompts(t.Context(), nil); err != nil || len(prompts.Prompts) < 3 {
				t.Errorf("got %v, %v; want the prompts", prompts, err)
			}
			if _, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "rm"}); err == nil || !strings.Contains(err.Error(), "Tool not found: rm") {
				t.Errorf("got %v, want the coordinator's error", err)
			}
		})
	}
}

// A coordinator that is not there is told of in words; once there is one, the host goes on, also when it is another.
func TestCoordinatorsComeAndGo(t *testing.T) {
	t.Parallel()
	address := porttest.Address(t)
	session, _ := host(t, "http://"+address, "")
	if got, failed := use(t, session, "list_tasks", `{}`); !failed || !strings.Contains(got, "does not answer") || strings.Contains(got, "may have been done") {
		t.Errorf("got %q, want to hear that nobody answers", got)
	}
	if _, err := session.ListTools(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v, want to hear that nobody answers", err)
	}
	for range 2 {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		svc, h := handler(t)
		server := &http.Server{Handler: h}
		go func() { _ = server.Serve(listener) }()
		if got, failed := use(t, session, "create_task", one); failed || !strings.Contains(got, `"id": "a"`) {
			t.Errorf("got %q, want the task", got)
		}
		if _, err := svc.Task(t.Context(), "a"); err != nil {
			t.Errorf("the coordinator has no task: %v", err)
		}
		_ = server.Close()
	}
}

// A request that may have been carried out is not sent twice: the model is told to look.
func TestNothingIsDoneTwice(t *testing.T) {
	t.Parallel()
	_, h := handler(t)
	var uses atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") == "tools/call" {
			uses.Add(1)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	session, _ := host(t, server.URL, "")
	if got, failed := use(t, session, "execute_task", one); !failed || !strings.Contains(got, "may have been done") || uses.Load() != 1 {
		t.Errorf("got %q after %d uses, want one and to be told", got, uses.Load())
	}
}
