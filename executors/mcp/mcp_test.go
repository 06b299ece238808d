package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/network"
)

func newExecutor(change func(*mcp.Config)) *mcp.Executor {
	cfg := mcp.Config{Allow: true}
	if change != nil {
		change(&cfg)
	}
	return mcp.New(cfg, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
}

// program are inputs for this program as a server of that mode.
func program(mode string, more object) object {
	in := object{"transport": "stdio", "command": []string{os.Args[0]}, "env": object{serverMode: mode}, "operation": "call_tool", "tool_name": "echo"}
	for name, value := range more {
		in[name] = value
	}
	return in
}

func remote(url string, more object) object {
	in := object{"transport": "http", "url": url, "operation": "call_tool", "tool_name": "echo"}
	for name, value := range more {
		in[name] = value
	}
	return in
}

func run(ctx context.Context, t testing.TB, e *mcp.Executor, in any) (*mcp.Result, *conformance.Recorder, error) {
	t.Helper()
	call, said := conformance.Call(t, in)
	out, err := e.Run(ctx, call)
	got, _ := out.Value().(*mcp.Result)
	if got == nil {
		got = &mcp.Result{}
	}
	return got, said, err
}

func call(tool string, arguments object) object {
	return object{"operation": "call_tool", "tool_name": tool, "arguments": arguments}
}

// TestOperations does each with each form of the protocol.
func TestOperations(t *testing.T) {
	s := web(t)
	e := newExecutor(nil)
	for way, server := range map[string]object{
		"stdio":                     program("good", nil),
		"streamable HTTP":           remote(s.URL+"/mcp", nil),
		"streamable HTTP with JSON": remote(s.URL+"/json", nil),
		"stateless HTTP":            remote(s.URL+"/stateless", nil),
		"older HTTP":                remote(s.URL+"/sse", object{"transport": "sse"}),
		"an older protocol":         remote(s.URL+"/mcp", object{"protocol_version": "2025-03-26"}),
	} {
		for _, row := range []struct {
			in      object
			success bool
			want    string // in the result
		}{
			{call("echo", object{"a": []int{1}}), true, `{"type":"text","text":"{\"a\":[1]}"}`},
			{call("fail", nil), false, "out of coffee"},
			{call("structured", nil), true, `"structuredContent":{"answer":42,"nul":"a\ufffdb"}`},
			{call("picture", nil), true, `{"type":"image","mimeType":"image/png","data":"cG5n"}`},
			{object{"operation": "list_tools"}, true, `"name":"structured"`},
			{object{"operation": "list_resources"}, true, `"uri":"docs://handbook"`},
			{object{"operation": "read_resource", "resource_uri": "docs://handbook"}, true, `"text":"read me"`},
			{object{"operation": "list_prompts"}, true, `"name":"greet"`},
			{object{"operation": "get_prompt", "prompt_name": "greet", "arguments": object{"who": "ada"}}, true, `hello ada`},
		} {
			in := object{}
			for _, part := range []object{server, row.in} {
				for name, value := range part {
					in[name] = value
				}
			}
			got, _, err := run(t.Context(), t, e, in)
			if err != nil || got.Success != row.success || !strings.Contains(string(got.Result), row.want) || got.Operation != row.in["operation"] || got.Transport != server["transport"] {
				t.Errorf("%s: %v: got %+v %s, %v", way, row.in, got, got.Result, err)
			}
		}
	}
}

// TestAnswersOfOthers: what a server says to requests that nobody made is no answer to those that somebody did.
func TestAnswersOfOthers(t *testing.T) {
	got, _, err := run(t.Context(), t, newExecutor(nil), program("strangers", nil))
	if err != nil || string(got.Result) != `{"content":[{"text":"strangers","type":"text"}]}` {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestListsHaveAllPages(t *testing.T) {
	s := web(t) // with pages of four
	got, _, err := run(t.Context(), t, newExecutor(nil), remote(s.URL+"/mcp", object{"operation": "list_tools"}))
	var list map[string]json.RawMessage
	var all []object
	if err != nil || json.Unmarshal(got.Result, &list) != nil || json.Unmarshal(list["tools"], &all) != nil || len(all) != tools || list["nextCursor"] != nil {
		t.Errorf("got %s, %v", got.Result, err)
	}
}

// TestFailures: what becomes of servers that do wrong, and of inputs that are.
func TestFailures(t *testing.T) {
	s := web(t)
	other := web(t)
	small := func(c *mcp.Config) { c.MaxMessageBytes = 64 << 10 }
	auth := object{"auth": object{"type": "bearer", "token": "hunter2-hunter2"}}
	for name, row := range map[string]struct {
		in        object
		change    func(*mcp.Config)
		want      string
		permanent bool
	}{
		"no transport":         {object{"operation": "list_tools"}, nil, "[mcp_executor] transport is required in inputs (stdio or http)", true},
		"no operation":         {object{"transport": "http"}, nil, "[mcp_executor] operation is required in inputs (list_tools, ", true},
		"an unknown transport": {object{"transport": "pigeon", "operation": "list_tools"}, nil, "Unsupported transport mode: pigeon. Use 'stdio' or 'http'", true},
		"an unknown operation": {remote(s.URL, object{"operation": "dance"}), nil, "Unsupported operation: dance", true},
		"all at once":          {object{"transport": "http", "operation": "call_tool"}, nil, "url is required for http transport; tool_name is required for call_tool operation", true},
		"no command":           {object{"transport": "stdio", "operation": "list_tools"}, nil, "command is required for stdio transport (list of strings)", true},
		"no resource":          {remote(s.URL, object{"operation": "read_resource"}), nil, "resource_uri is required for read_resource operation", true},
		"no prompt":            {remote(s.URL, object{"operation": "get_prompt"}), nil, "prompt_name is required for get_prompt operation", true},
		"arguments of prompts": {remote(s.URL, object{"operation": "get_prompt", "prompt_name": "p", "arguments": object{"n": 1}}), nil, "arguments.n must be a string", true},
		"a header of its own":  {remote(s.URL, object{"headers": object{"Mcp-Session-Id": "x"}}), nil, "Mcp-Session-Id is the protocol's own", true},
		"an unknown version":   {remote(s.URL, object{"protocol_version": "1"}), nil, "protocol_version must be one of 2026-07-28, ", true},
		"no commands":          {program("good", nil), func(c *mcp.Config) { c.Allow = false }, "[mcp_executor] Command execution is disabled by default for security", true},
		"another command":      {program("good", object{"env": nil}), func(c *mcp.Config) { c.Whitelist = []string{"uvx"} }, "is not in the whitelist. Allowed commands: uvx", true},
		"its environment":      {program("good", nil), func(c *mcp.Config) { c.Whitelist = os.Args[:1] }, `"MCP_TEST_SERVER" must not be set while a whitelist is in force`, true},
		"no such program":      {program("good", object{"command": []string{"/no/such"}}), nil, `command: "/no/such" is not a program`, true},
		"no such directory":    {program("good", object{"cwd": "/no/such"}), nil, "cwd: ", true},

		"quits":             {program("quits", nil), nil, "Empty response from MCP server", false},
		"dies":              {program("dies", object{"env": object{serverMode: "dies", "TOKEN": "hunter2-hunter2"}}), nil, "MCP server error: no token in the environment, but ***", false},
		"is something else": {program("chatters", nil), nil, `Invalid JSON response: "usage: something else"`, false},
		"floods stdout":     {program("noisy", nil), nil, "more than 10000 lines to its standard output", true},
		"asks and asks":     {program("asks", nil), nil, "asks for more than 1000 things", true},
		"another protocol":  {program("futuristic", nil), nil, `unsupported protocol version: "2099-01-01"`, true},
		"crashes midway":    {program("good", object{"tool_name": "crash"}), nil, "MCP server error: panic: the disk is on fire", false},
		"refuses":           {program("refuses", nil), nil, "MCP server error: Unknown tool: nonsense (code -32602)", true},
		"is busy":           {program("busy", nil), nil, "MCP server error: come back later (code -32000)", false},
		"wants input":       {program("wants", nil), nil, "asks for input of a person", true},
		"a huge message":    {program("good", object{"tool_name": "huge"}), nil, "more than 4194304 bytes", true},
		"endless pages":     {program("endless", object{"operation": "list_tools"}), nil, "list of tools is too long", true},
		"pages in a circle": {program("circular", object{"operation": "list_tools"}), nil, "has no end", true},
		"hangs":             {program("hung", object{"timeout": 0.5}), nil, "Operation timeout after 0.5 seconds", false},

		"HTTP hangs":            {remote(s.URL+"/hangs", object{"timeout": 0.2}), nil, "Request timeout after 0.2 seconds", false},
		"nobody there":          {remote("http://127.0.0.1:1/", nil), nil, "Request error: dial tcp", false},
		"refused by the guard":  {remote("http://169.254.169.254/", nil), nil, "not allowed", true},
		"a page":                {remote(s.URL+"/html", nil), nil, "Invalid JSON response: ", false},
		"garbage":               {remote(s.URL+"/garbage", nil), nil, "Invalid JSON response: ", false},
		"forbidden":             {remote(s.URL+"/forbidden?key=hunter2-hunter2", auth), nil, "HTTP error 403: not with Bearer *** key=***", true},
		"limited":               {remote(s.URL+"/limited", nil), nil, "HTTP error 429: slow down", false},
		"not found":             {remote(s.URL+"/nothing", nil), nil, "HTTP error 404: 404 page not found", true},
		"endless JSON":          {remote(s.URL+"/endless-json", nil), small, "TASKGROVE_MAX_MESSAGE_BYTES", true},
		"an endless event":      {remote(s.URL+"/endless-event", nil), small, "TASKGROVE_MAX_MESSAGE_BYTES", true},
		"a huge answer":         {remote(s.URL+"/json", object{"tool_name": "huge"}), nil, "TASKGROVE_MAX_MESSAGE_BYTES", true},
		"a huge event":          {remote(s.URL+"/mcp", object{"tool_name": "huge"}), nil, "TASKGROVE_MAX_MESSAGE_BYTES", true},
		"cut off":               {remote(s.URL+"/cut-off", nil), nil, "Empty response from MCP server", false},
		"an unknown tool":       {remote(s.URL+"/mcp", object{"tool_name": "nonsense"}), nil, "(code -32602)", true},
		"moved to the metadata": {remote(s.URL+"/moved?to=http://169.254.169.254/", nil), nil, "not allowed", true},
		"moved around":          {remote(s.URL+"/moved?to=/moved%3Fto=/moved%253Fto=/moved", nil), nil, "", true},
		"an endpoint elsewhere": {remote(s.URL+"/sse-elsewhere?to="+other.URL, object{"transport": "sse"}), nil, "names an endpoint at another origin", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, said, err := run(t.Context(), t, newExecutor(row.change), row.in)
			if err == nil || !strings.Contains(err.Error(), row.want) || executors.IsPermanent(err) != row.permanent {
				t.Errorf("got %v (permanent: %v), want %s", err, executors.IsPermanent(err), row.want)
			}
			if text := fmt.Sprint(err, executors.DetailOf(err), said.Lines(), said.Messages()); strings.Contains(text, "hunter2") {
				t.Errorf("a secret shows: %s", text)
			}
			if name == "limited" && executors.RetryAfterOf(err) != 17*time.Second {
				t.Errorf("retry after %v", executors.RetryAfterOf(err))
			}
		})
	}
}

func TestDetails(t *testing.T) {
	for mode, want := range map[string]string{
		"refuses": `{"error":"MCP server error: Unknown tool: nonsense (code -32602)","error_code":-32602,"error_data":{"hint":"see list_tools"},"success":false}`,
		"dies":    `{"error":"MCP server error: no token in the environment, but","return_code":3,"stderr":"no token in the environment, but","success":false}`,
	} {
		_, _, err := run(t.Context(), t, newExecutor(nil), program(mode, nil))
		if got := executors.DetailOf(err); got != want {
			t.Errorf("%s: got %s", mode, got)
		}
	}
}

func TestWhatIsToldOnTheWay(t *testing.T) {
	s := web(t)
	for _, in := range []object{program("good", nil), remote(s.URL+"/mcp", nil), remote(s.URL+"/stateless", nil), remote(s.URL+"/sse", object{"transport": "sse"})} {
		in["tool_name"] = "progress"
		_, said, err := run(t.Context(), t, newExecutor(nil), in)
		if err != nil || !slices.Equal(said.Fractions(), []float64{0.25, 0.5, 0.75}) || said.Messages()[2] != "step 3" {
			t.Errorf("%v: got %v %q, %v", in["transport"], said.Fractions(), said.Messages(), err)
		}
	}
	got, said, err := run(t.Context(), t, newExecutor(nil), program("pings", nil))
	if err != nil || string(got.Result) != `{"content":[{"data":"?","type":"hologram"}],"extra":{"kept":true}}` {
		t.Errorf("what the SDK does not know: got %s, %v", got.Result, err)
	}
	for _, line := range []string{"stdout: some words first", "log: warning: db: it is late", `log: info: {"a":1}`} {
		if !slices.Contains(said.Lines(), line) {
			t.Errorf("%q is not in %q", line, said.Lines())
		}
	}
}

// TestAProgramThatIgnoresNewWords gets the older handshake.
func TestAProgramThatIgnoresNewWords(t *testing.T) {
	t.Parallel()
	if got, _, err := run(t.Context(), t, newExecutor(func(c *mcp.Config) { c.Patience = time.Second }), program("ignores", nil)); err != nil || !got.Success {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestAProgramThatStartsSlowly is taken for an old one that does not answer, and then refuses the older handshake. It is started again.
func TestAProgramThatStartsSlowly(t *testing.T) {
	t.Parallel()
	in := program("slow", nil)
	in["env"] = object{serverMode: "slow", "MARK": filepath.Join(t.TempDir(), "started")}
	if got, _, err := run(t.Context(), t, newExecutor(func(c *mcp.Config) { c.Patience = 500 * time.Millisecond }), in); err != nil || !got.Success {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAServerGetsNothing(t *testing.T) {
	got, said, err := run(t.Context(), t, newExecutor(nil), program("good", object{"tool_name": "ask", "protocol_version": "2025-11-25"}))
	if err != nil || strings.Count(string(got.Result), "does not support")+strings.Count(string(got.Result), "answers no requests")+strings.Count(string(got.Result), "no roots") < 3 {
		t.Errorf("got %s, %v, %q", got.Result, err, said.Lines())
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TASKGROVE_NATS_URL", "hunter2")
	t.Setenv("OPENAI_API_KEY", "hunter2")
	dir := t.TempDir()
	for _, in := range []object{
		program("good", object{"env": object{serverMode: "good", "A": "b"}, "cwd": dir}),
		program("good", object{"env": nil, "command": []string{"/usr/bin/env", serverMode + "=good", "A=b", os.Args[0]}, "cwd": dir}),
	} {
		in["tool_name"] = "environ"
		got, _, err := run(t.Context(), t, newExecutor(nil), in)
		env := string(got.Result)
		for _, want := range []string{`A=b\n`, `TASKGROVE_TASK_ID=task-1\n`, `TASKGROVE_ATTEMPT=1\n`, `TASKGROVE_IDEMPOTENCY_KEY=key-1\n`, "cwd=" + dir, `PATH=`} {
			if err != nil || !strings.Contains(env, want) {
				t.Errorf("%q is not in %s, %v", want, env, err)
			}
		}
		if strings.Contains(env, "hunter2") || in["env"] != nil && strings.Contains(env, "HOME=") {
			t.Errorf("got %s", env)
		}
	}
}

// TestCancel ends a call soon (on an idle machine within a second), and nothing is left.
func TestCancel(t *testing.T) {
	s := web(t)
	for name, row := range map[string]struct {
		in    object
		begun string
		want  string // that the server says of it
	}{
		"a tool of a program":  {program("good", object{"tool_name": "slow"}), "stderr: slow begins", "stderr: slow was cancelled"},
		"a program that hangs": {program("hung", nil), "stderr: hung", ""},
		"a flood":              {program("floods", nil), "", ""},
		"a tool over HTTP":     {remote(s.URL+"/mcp", object{"tool_name": "slow"}), "", ""},
		"a server that hangs":  {remote(s.URL+"/hangs", nil), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			call, said := conformance.Call(t, row.in)
			begun := make(chan struct{})
			var ended time.Time
			go func() {
				defer close(begun)
				if row.begun != "" {
					<-said.Logged(row.begun)
				} else {
					time.Sleep(300 * time.Millisecond) // until the call is out
				}
				ended = time.Now()
				cancel(executors.ErrCancelled)
			}()
			_, err := newExecutor(nil).Run(ctx, call)
			<-begun
			if took := time.Since(ended); !errors.Is(err, executors.ErrCancelled) || took > 30*time.Second {
				t.Errorf("got %v after %v", err, took)
			}
			if row.want != "" && !slices.Contains(said.Lines(), row.want) {
				t.Errorf("%q is not in %q", row.want, said.Lines())
			}
		})
	}
}

func TestCredentialsStayAtTheirOrigin(t *testing.T) {
	s := web(t)
	seen := make(chan http.Header, 100)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer other.Close()
	in := remote(s.URL+"/moved?to="+other.URL, object{"headers": object{"X-Key": "hunter2-hunter2"}, "auth": object{"type": "bearer", "token": "hunter2-hunter2"}})
	_, _, err := run(t.Context(), t, newExecutor(nil), in)
	if err == nil || !strings.Contains(err.Error(), "HTTP error 418") {
		t.Errorf("got %v", err)
	}
	close(seen)
	n := 0
	for header := range seen {
		n++
		if strings.Contains(fmt.Sprint(header), "hunter2") {
			t.Errorf("got %v", header)
		}
	}
	if n == 0 {
		t.Error("the redirect was not followed")
	}
	if got, _, err := run(t.Context(), t, newExecutor(nil), remote(s.URL+"/moved?to=/mcp", nil)); err != nil || !got.Success {
		t.Errorf("within the origin: got %v, %v", got, err)
	}
}

// TestAConnectionIsTrustedAtItsOrigin alone: where its server redirects to, no operator chose.
func TestAConnectionIsTrustedAtItsOrigin(t *testing.T) {
	s := web(t)
	reached := make(chan string, 100)
	private := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.URL.Path }))
	defer private.Close()
	e := mcp.New(mcp.Config{}, network.New(network.Config{})) // the guard allows no address of this host
	for to, allowed := range map[string]bool{"/mcp": true, private.URL + "/admin": false, "http://169.254.169.254/": false} {
		call, _ := conformance.Call(t, remote(s.URL+"/moved?to="+to, nil))
		call.Connection = "prod"
		_, err := e.Run(t.Context(), call)
		if allowed != (err == nil) || !allowed && !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("to %s: got %v", to, err)
		}
	}
	if len(reached) > 0 {
		t.Errorf("a server of the private network got %s", <-reached)
	}
}

// TestHeaders: the key of an attempt goes with its call alone, as others would be taken for repetitions.
func TestHeaders(t *testing.T) {
	var calls, others []http.Header
	inner := web(t)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body)
		if strings.Contains(string(body), `"tools/call"`) {
			calls = append(calls, r.Header)
		} else {
			others = append(others, r.Header)
		}
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, inner.URL+"/json", strings.NewReader(string(body)))
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = fmt.Fprint(w, readAll(resp))
	}))
	defer outer.Close()
	in := remote(outer.URL, object{"headers": object{"X-Tenant": "acme"}, "auth": object{"type": "bearer", "token": "tok"}})
	if _, _, err := run(t.Context(), t, newExecutor(nil), in); err != nil {
		t.Fatal(err)
	}
	for _, h := range append(slices.Clone(calls), others...) {
		if h.Get("X-Tenant") != "acme" || h.Get("Authorization") != "Bearer tok" || h.Get("X-Taskgrove-Attempt") != "1" || h.Get("User-Agent") != "taskgrove" {
			t.Errorf("got %v", h)
		}
	}
	if len(calls) != 1 || calls[0].Get("Idempotency-Key") != "key-1" || calls[0].Get("Mcp-Protocol-Version") != "2025-11-25" {
		t.Errorf("the call: got %v", calls)
	}
	for _, h := range others {
		if h.Get("Idempotency-Key") != "" {
			t.Errorf("got %v", h)
		}
	}
}

func TestDemo(t *testing.T) {
	e := newExecutor(nil)
	for operation, want := range map[string]string{"call_tool": `"content"`, "list_tools": `"tools"`, "list_resources": `"resources"`, "read_resource": `"contents"`, "list_prompts": `"prompts"`, "get_prompt": `"messages"`} {
		call, _ := conformance.Call(t, object{"operation": operation, "transport": "stdio"})
		got, takes := e.Demo(call)
		text, err := json.Marshal(got)
		if err != nil || !strings.Contains(string(text), want) || takes < 150*time.Millisecond {
			t.Errorf("%s: got %s, %v, %v", operation, text, takes, err)
		}
	}
}
