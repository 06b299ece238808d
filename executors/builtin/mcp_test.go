package builtin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors/conformance"
)

// mcpFeatures are those of mcp_executor, with a server that ends with the test, and programs that are none.
func mcpFeatures(t *testing.T, secret string) conformance.Features {
	server := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	over := make(chan struct{}) // the test is
	for name, do := range map[string]func(context.Context) string{
		"quick": func(context.Context) string { return "a\x00b" },
		"slow": func(ctx context.Context) string {
			select {
			case <-ctx.Done():
			case <-over: // the word that it is cancelled may get lost
			}
			return ""
		},
		"large": func(context.Context) string { return strings.Repeat("x", 8<<20) },
	} {
		server.AddTool(&sdk.Tool{Name: name, InputSchema: map[string]any{"type": "object"}}, func(ctx context.Context, _ *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: do(ctx)}}}, nil
		})
	}
	var open atomic.Int64 // requests of a client that is there
	mux := http.NewServeMux()
	mux.Handle("/", sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such key: "+secret, http.StatusForbidden)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		closed := sync.OnceFunc(func() { open.Add(-1) })
		defer closed()
		defer context.AfterFunc(r.Context(), closed)()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(over) })
	call := func(tool, more string) string {
		return `{"transport": "http", "url": "` + s.URL + `", "operation": "call_tool", "tool_name": "` + tool + `"` + more + `}`
	}
	const hangs = `"transport": "stdio", "command": ["sh", "-c", "sleep 600.375 & sleep 600.375"], "operation": "list_tools"`
	return conformance.Features{
		Quick: call("quick", ""),
		Slow:  call("slow", `, "timeout": 600`),
		Missing: map[string]string{
			`{"operation": "list_tools"}`: "[mcp_executor] transport is required in inputs",
			`{"transport": "http"}`:       "[mcp_executor] operation is required in inputs",
		},
		Large: call("large", ""),
		TimesOut: map[string]string{
			call("slow", `, "timeout": 0.3`):  "Request timeout after 0.3 seconds",
			`{` + hangs + `, "timeout": 0.3}`: "Operation timeout after 0.3 seconds",
		},
		Left: func() error {
			if err := noProcess("600.375"); err != nil {
				return err
			}
			return soon(func() bool { return open.Load() == 0 }, "a request is open")
		},
		Failing: []string{
			`{"transport": "http", "url": "` + s.URL + `/refuse", "operation": "list_tools", "auth": {"type": "bearer", "token": "` + secret + `"}}`,
			`{"transport": "http", "url": "http://ann:` + secret + `@127.0.0.1:1/?key=` + secret + `", "operation": "list_tools"}`,
			`{"transport": "stdio", "command": ["sh", "-c", "echo $TOKEN; echo $TOKEN >&2; exit 1"], "env": {"TOKEN": "` + secret + `"}, "operation": "list_tools"}`,
		},
		Secret: secret,
		Demo: map[string][]string{`{"transport": "stdio", "operation": "call_tool"}`: {"success", "result", "operation", "transport"},
			`{}`: {"success", "result"}},
	}
}
