package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// serverMode names what this program is when a test starts it as a server.
const serverMode = "MCP_TEST_SERVER"

func TestMain(m *testing.M) {
	switch mode := os.Getenv(serverMode); mode {
	case "":
		os.Exit(m.Run())
	case "good":
		if err := goServer(0).Run(context.Background(), &sdk.StdioTransport{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	default:
		rawServer(mode)
	}
}

type object map[string]any

func (o object) with(name string, value any) object {
	o[name] = value
	return o
}

const tools = 12 // of goServer

// goServer is one of the Go SDK, with tools that do what their names say. page is how long its lists' pages are; 0: as usual.
func goServer(page int) *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ServerOptions{PageSize: page})
	for name, do := range map[string]func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error){
		"echo": func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return text(string(r.Params.Arguments)), nil
		},
		"fail": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			r := text("out of coffee")
			r.IsError = true
			return r, nil
		},
		"structured": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			r := text("see the other part")
			r.StructuredContent = object{"answer": 42, "nul": "a\x00b"}
			return r, nil
		},
		"picture": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return &sdk.CallToolResult{Content: []sdk.Content{
				&sdk.ImageContent{Data: []byte("png"), MIMEType: "image/png"},
				&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: "a://b", MIMEType: "text/plain", Text: "inside"}},
				&sdk.AudioContent{Data: []byte("wav"), MIMEType: "audio/wav"},
			}}, nil
		},
		"progress": progress,
		"environ": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			dir, _ := os.Getwd()
			return text(strings.Join(append(os.Environ(), "cwd="+dir), "\n")), nil
		},
		"crash": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			fmt.Fprintln(os.Stderr, "panic: the disk is on fire")
			os.Exit(7)
			return nil, nil
		},
		"slow": func(ctx context.Context, _ *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			fmt.Fprintln(os.Stderr, "slow begins")
			select {
			case <-ctx.Done():
				fmt.Fprintln(os.Stderr, "slow was cancelled")
			case <-time.After(20 * time.Second): // the word over HTTP got lost; the server waits for this call before it ends
			}
			return nil, ctx.Err()
		},
		"huge": func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return text(strings.Repeat("x", 10<<20)), nil
		},
		"ask": ask,
		"meta": func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			told, err := json.Marshal(r.Params.Meta)
			return text(string(told)), err
		},
		"get_current_time": func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			var in struct{ Timezone string }
			err := json.Unmarshal(r.Params.Arguments, &in)
			return text("noon in " + in.Timezone), err
		},
	} {
		s.AddTool(&sdk.Tool{Name: name, Description: "does " + name, InputSchema: object{"type": "object"}}, do)
	}
	s.AddResource(&sdk.Resource{URI: "docs://handbook", Name: "handbook", MIMEType: "text/plain"}, func(_ context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, MIMEType: "text/plain", Text: "read me"}}}, nil
	})
	s.AddPrompt(&sdk.Prompt{Name: "greet", Arguments: []*sdk.PromptArgument{{Name: "who"}}}, func(_ context.Context, r *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{{Role: "user", Content: &sdk.TextContent{Text: "hello " + r.Params.Arguments["who"]}}}}, nil
	})
	return s
}

func text(t string) *sdk.CallToolResult {
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: t}}}
}

func progress(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	for i := range 3 {
		_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(i + 1), Total: 4, Message: fmt.Sprintf("step %d", i+1)})
	}
	_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: "another's", Progress: 1, Total: 1})
	return text("done"), nil
}

// ask tries to get something of the client by each of its means.
func ask(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	got := []string{}
	//lint:ignore SA1019 servers may still try
	if _, err := r.Session.CreateMessage(ctx, &sdk.CreateMessageParams{MaxTokens: 1}); err != nil {
		got = append(got, err.Error())
	}
	if _, err := r.Session.Elicit(ctx, &sdk.ElicitParams{Message: "your password?", RequestedSchema: object{"type": "object"}}); err != nil {
		got = append(got, err.Error())
	}
	//lint:ignore SA1019 servers may still try
	if roots, err := r.Session.ListRoots(ctx, nil); err != nil || len(roots.Roots) == 0 {
		got = append(got, fmt.Sprint("no roots: ", err))
	}
	return text(strings.Join(got, "\n")), nil
}

// rawServer speaks the protocol by hand, in a way that the SDKs do not.
func rawServer(mode string) {
	switch mode {
	case "quits":
		return
	case "dies":
		fmt.Fprintln(os.Stderr, "no token in the environment, but "+os.Getenv("TOKEN"))
		os.Exit(3)
	case "chatters":
		fmt.Println("usage: something else")
		return
	case "noisy":
		for {
			if _, err := fmt.Println("debug: " + strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	case "slow": // to start, the first time
		if err := os.Mkdir(os.Getenv("MARK"), 0o700); err == nil {
			time.Sleep(1500 * time.Millisecond)
			mode = "new"
		}
	case "hung":
		signal.Ignore(syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "hung")
		select {}
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var req struct {
			ID     any
			Method string
			Params struct {
				Cursor string
				Meta   struct{ ProgressToken any } `json:"_meta"`
			}
		}
		if json.Unmarshal(lines.Bytes(), &req) != nil || req.ID == nil {
			continue
		}
		rawAnswer(mode, req.ID, req.Method, req.Params.Cursor, req.Params.Meta.ProgressToken)
	}
}

func rawAnswer(mode string, id any, method, cursor string, token any) {
	say := func(key string, value any) {
		line, _ := json.Marshal(object{"jsonrpc": "2.0", "id": id, key: value})
		fmt.Println(string(line))
	}
	switch method {
	case "server/discover":
		switch mode {
		case "new":
			say("result", object{"supportedVersions": []string{"2026-07-28"}, "capabilities": object{}, "serverInfo": object{"name": "raw", "version": "1"}})
		case "ignores":
		default:
			say("error", object{"code": -32601, "message": "Method not found"})
		}
		return
	case "initialize":
		if mode == "new" {
			say("error", object{"code": -32022, "message": "the initialize handshake is not accepted"})
			return
		}
		version := "2024-11-05"
		if mode == "futuristic" {
			version = "2099-01-01"
		}
		say("result", object{"protocolVersion": version, "capabilities": object{}, "serverInfo": object{"name": "raw", "version": "1"}})
		return
	}
	switch mode {
	case "endless":
		say("result", object{"tools": []object{{"name": "t" + cursor, "inputSchema": object{"type": "object"}}}, "nextCursor": cursor + "x"})
	case "twins":
		say("result", object{"tools": []object{{"name": "a"}, {"name": "a", "description": "another"}, {"name": "a"}, {"name": "a b"}, {"name": "a.b"}, {"name": "a_b"}, {"name": "a/b"}, {"name": ""}, {"name": ""}}})
	case "strangers": // answers that nobody asked for, before the one that is
		for _, id := range []string{"999999", "null", `"1"`, "1.5", "-1", "true", `{"a":1}`, "[1]", "1e999", `""`} {
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"another's"}]}}`+"\n", id)
		}
		fmt.Println(`[{"jsonrpc":"2.0","id":1,"result":{}}]`)
		fmt.Println(`{"jsonrpc":"1.0","id":1,"result":{}}`)
		fmt.Println(`{"jsonrpc":"2.0","method":"notifications/progress","params":[1]}`)
		say("result", object{"content": []object{{"type": "text", "text": mode}}})
		say("result", object{"content": []object{{"type": "text", "text": "again"}}})
	case "circular":
		say("result", object{"tools": []object{}, "nextCursor": "again"})
	case "floods":
		for {
			if _, err := fmt.Printf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%q,"progress":1}}`+"\n", token); err != nil {
				return
			}
		}
	case "asks":
		for i := range 1100 {
			fmt.Printf(`{"jsonrpc":"2.0","id":"q%d","method":"sampling/createMessage","params":{}}`+"\n", i)
		}
	case "pings":
		fmt.Println("some words first")
		fmt.Println(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)
		fmt.Println(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"db","data":"it is late"}}`)
		fmt.Println(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"a":1}}}`)
		say("result", object{"content": []object{{"type": "hologram", "data": "?"}}, "extra": object{"kept": true}})
	case "refuses":
		say("error", object{"code": -32602, "message": "Unknown tool: nonsense", "data": object{"hint": "see list_tools"}})
	case "busy":
		say("error", object{"code": -32000, "message": "come back later"})
	case "wants":
		say("result", object{"resultType": "input_required", "inputRequests": object{}})
	default:
		say("result", object{"content": []object{{"type": "text", "text": mode}}})
	}
}

// web serves the Go SDK's server over HTTP, by a path for each form, and things that go wrong.
func web(t testing.TB) *httptest.Server {
	t.Helper()
	server := goServer(4)
	pick := func(*http.Request) *sdk.Server { return server }
	mux := http.NewServeMux()
	mux.Handle("/mcp", sdk.NewStreamableHTTPHandler(pick, nil))
	mux.Handle("/json", sdk.NewStreamableHTTPHandler(pick, &sdk.StreamableHTTPOptions{JSONResponse: true}))
	mux.Handle("/stateless", sdk.NewStreamableHTTPHandler(pick, &sdk.StreamableHTTPOptions{Stateless: true}))
	mux.Handle("/sse", sdk.NewSSEHandler(pick, nil))
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<h1>welcome</h1>")
	})
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{oops")
	})
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not look whether the client is there
		<-r.Context().Done()
	})
	mux.HandleFunc("/forbidden", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not with "+r.Header.Get("Authorization")+" "+r.URL.RawQuery, http.StatusForbidden)
	})
	mux.HandleFunc("/limited", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	})
	mux.HandleFunc("/endless-json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for {
			if _, err := w.Write([]byte(strings.Repeat("[", 64<<10))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/endless-event", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: ")
		for {
			if _, err := w.Write([]byte(strings.Repeat("[", 64<<10))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/cut-off", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ": wait\n\n")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/sse-elsewhere", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", r.URL.Query().Get("to"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		done := make(chan struct{})
		go func() { s.Close(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("a request is open")
		}
	})
	return s
}
