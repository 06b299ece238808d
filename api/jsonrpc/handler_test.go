package jsonrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// site is a handler that listens, on a service in memory.
type site struct {
	*testing.T
	svc *apitest.Service
	url string
	log *bytes.Buffer
}

func serve(t *testing.T, cfg jsonrpc.Config) *site {
	t.Helper()
	s := &site{T: t, svc: apitest.New(), log: &bytes.Buffer{}}
	cfg.Log = slog.New(slog.NewTextHandler(s.log, nil))
	server := httptest.NewServer(jsonrpc.New(coordinator.NewAccess(s.svc, coordinator.AllowAll), cfg))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// post sends a body and returns the status, the headers and the answer.
func (s *site) post(path, body string, headers ...string) (int, http.Header, string) {
	s.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, res.Header, string(answer)
}

// call makes a call that must succeed and decodes its result.
func (s *site) call(method, params string, headers ...string) any {
	s.Helper()
	status, _, answer := s.post("/tasks", `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`, headers...)
	var decoded struct {
		Result any `json:"result"`
		Error  any `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer), &decoded); err != nil {
		s.Fatalf("%s: %v in %s", method, err, answer)
	}
	if status != http.StatusOK || decoded.Error != nil {
		s.Fatalf("%s: HTTP %d, %s", method, status, answer)
	}
	return decoded.Result
}

// object is a call whose result is an object.
func (s *site) object(method, params string, headers ...string) map[string]any {
	s.Helper()
	result := s.call(method, params, headers...)
	object, ok := result.(map[string]any)
	if !ok {
		s.Fatalf("%s: got %v, want an object", method, result)
	}
	return object
}

// refused makes a call that must fail with the code given, and returns its data.
func (s *site) refused(method, params string, code, status int, headers ...string) string {
	s.Helper()
	got, _, answer := s.post("/tasks", `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`, headers...)
	var decoded struct {
		Error struct {
			Code    int
			Message string
			Data    any
		}
	}
	if err := json.Unmarshal([]byte(answer), &decoded); err != nil {
		s.Fatalf("%s: %v in %s", method, err, answer)
	}
	data, ok := decoded.Error.Data.(string)
	if decoded.Error.Code != code || got != status || !ok {
		s.Fatalf("%s %s: got HTTP %d and %s, want HTTP %d, code %d and text in data", method, params, got, answer, status, code)
	}
	return data
}

// Spec 5.2 and K2.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	const list = `"method":"tasks.list","params":{}`
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string // the whole answer, or what it begins with when it ends in …
	}{
		{"id text comes back", "/tasks", `{"jsonrpc":"2.0","id":"a<b",` + list + `}`, 200, `{"jsonrpc":"2.0","id":"a<b","result":[]}`},
		{"id number comes back as it was written", "/tasks", `{"jsonrpc":"2.0","id":1.50,` + list + `}`, 200, `{"jsonrpc":"2.0","id":1.50,"result":[]}`},
		{"id null comes back", "/tasks", `{"jsonrpc":"2.0","id":null,` + list + `}`, 200, `{"jsonrpc":"2.0","id":null,"result":[]}`},
		{"neither jsonrpc nor id is answered", "/tasks", `{` + list + `}`, 200, `{"jsonrpc":"2.0","id":null,"result":[]}`},
		{"id without jsonrpc is answered", "/tasks", `{"id":7,` + list + `}`, 200, `{"jsonrpc":"2.0","id":7,"result":[]}`},
		{"no id is a notification", "/tasks", `{"jsonrpc":"2.0",` + list + `}`, 204, ``},
		{"notification hides its fault", "/tasks", `{"jsonrpc":"2.0","method":"nope"}`, 204, ``},
		{"null params are none", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.list","params":null}`, 200, `{"jsonrpc":"2.0","id":1,"result":[]}`},
		{"a key of the request twice", "/tasks", `{"id":7,"method":"nope","m\u0065thod":"tasks.list"}`, 400, `{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"Invalid Request","data":"method must not be there twice"}}`},
		{"its id twice", "/tasks", `{"id":7,"id":7,"method":"tasks.list"}`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"id must not be there twice"}}`},
		{"a parameter twice", "/tasks", `{"id":7,"method":"tasks.list","params":{"limit":1,"limit":2}}`, 400, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Invalid params","data":"limit must not be there twice"}}`},
		{"a key of a task's inputs twice", "/tasks", `{"id":7,"method":"tasks.create","params":[{"name":"a","inputs":{"x":[{"y":1,"y":2}]}}]}`, 400, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Invalid params","data":"tasks[0].inputs.x[0].y: must not be there twice"}}`},
		{"keys may be escaped", "/tasks", `{"\u006dethod":"tasks.list"}`, 200, `{"jsonrpc":"2.0","id":null,"result":[]}`},
		{"keys are case sensitive", "/tasks", `{"Method":"tasks.list","id":1}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":"method must be a string"}}`},
		{"bad JSON", "/tasks", `{"jsonrpc":`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"request body is not valid JSON: …`},
		{"empty body", "/tasks", ``, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,…`},
		{"bad UTF-8", "/tasks", "{\"id\":\"\xff\"}", 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"request body is not valid UTF-8"}}`},
		{"a byte order mark", "/tasks", "\ufeff" + `{"jsonrpc":"2.0","id":1,` + list + `}`, 200, `{"jsonrpc":"2.0","id":1,"result":[]}`},
		{"nothing but a byte order mark", "/tasks", "\ufeff", 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"request body is not valid JSON: line 1, column 1: unexpected end"}}`},
		{"two of them", "/tasks", "\ufeff\ufeff{}", 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,…`},
		{"half a character in the method", "/tasks", `{"id":1,"method":"tasks.list\ud800"}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":"method must be valid Unicode"}}`},
		{"half a character in a parameter", "/tasks", `{"id":1,"method":"tasks.list","params":{"name":"a\udc00"}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"name must be valid Unicode"}}`},
		{"half a character in a list", "/tasks", `{"id":1,"method":"tasks.cancel","params":{"task_ids":["a","\ud800"]}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"task_ids must be valid Unicode"}}`},
		{"half a character in a list with commas", "/tasks", `{"id":1,"method":"tasks.cancel","params":{"task_ids":"a,\ud800"}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"task_ids must be valid Unicode"}}`},
		{"half a character in names", "/tasks", `{"id":1,"method":"tasks.list","params":{"\ud800":1,"\ud801":1}}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"params must be an object whose names are valid Unicode"}}`},
		{"half a character in a key of a task", "/tasks", `{"id":1,"method":"tasks.create","params":[{"name":"\ud800"}]}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"tasks[0].name: must be valid Unicode"}}`},
		{"two halves of one", "/tasks", `{"id":1,"method":"tasks.\ud83d\ude00"}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found","data":"Unknown task method: tasks.😀"}}`},
		{"half a character in the id, which comes back as it was written", "/tasks", `{"id":"\ud800",` + list + `}`, 200, `{"jsonrpc":"2.0","id":"\ud800","result":[]}`},
		{"too deep", "/tasks", strings.Repeat("[", 300) + strings.Repeat("]", 300), 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"request body is nested deeper than 256 levels"}}`},
		{"a number is no request", "/tasks", `7`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,…`},
		{"another version", "/tasks", `{"jsonrpc":"1.0","id":1,` + list + `}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":"jsonrpc must be \"2.0\""}}`},
		{"id must not be a truth value", "/tasks", `{"jsonrpc":"2.0","id":true,` + list + `}`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,…`},
		{"id must not be an object", "/tasks", `{"jsonrpc":"2.0","id":{},` + list + `}`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,…`},
		{"no method", "/tasks", `{"jsonrpc":"2.0","id":1}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,…`},
		{"unknown task method", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.nope"}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found","data":"Unknown task method: tasks.nope"}}`},
		{"unknown system method", "/system", `{"jsonrpc":"2.0","id":1,"method":"x.y"}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found","data":"Unknown system method: x.y"}}`},
		{"params of a wrong type", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.list","params":3}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":"params must be an object or an array"}}`},
		{"params by position", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.get","params":["x"]}`, 400, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,…`},
		{"batch in order", "/tasks", `[{"jsonrpc":"2.0","id":2,` + list + `}, {"jsonrpc":"2.0","id":1,` + list + `}]`, 200, `[{"jsonrpc":"2.0","id":2,"result":[]},{"jsonrpc":"2.0","id":1,"result":[]}]`},
		{"batch leaves notifications out", "/tasks", `[{"jsonrpc":"2.0",` + list + `},{"jsonrpc":"2.0","id":1,` + list + `}]`, 200, `[{"jsonrpc":"2.0","id":1,"result":[]}]`},
		{"batch of notifications", "/tasks", `[{"jsonrpc":"2.0",` + list + `}]`, 204, ``},
		{"batch with a fault", "/tasks", `[1,{"jsonrpc":"2.0","id":1,"method":"nope"}]`, 200, `[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,…`},
		{"empty batch", "/tasks", `[]`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"a batch must not be empty"}}`},
		{"too large a batch", "/tasks", `[` + strings.Repeat(`1,`, 100) + `1]`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"a batch holds at most 100 requests"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			status, header, got := s.post(tt.path, tt.body)
			want, prefix := strings.CutSuffix(tt.want, "…")
			if status != tt.status || got != want && !(prefix && strings.HasPrefix(got, want)) {
				t.Errorf("got HTTP %d %s\nwant HTTP %d %s", status, got, tt.status, tt.want)
			}
			if status != 204 && header.Get("Content-Type") != "application/json" {
				t.Errorf("got type %q, want application/json", header.Get("Content-Type"))
			}
		})
	}
}

// Spec K2 and 5.2: what each kind of error is on the wire.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		err          error
		code, status int
		data         string
		hidden       string // must only be in the log
	}{
		{"invalid argument", &coordinator.InvalidArgumentError{Field: "cursor", Reason: "is not one of this list"}, -32602, 400, "cursor: is not one of this list", ""},
		{"conflict", wrap("tree is being deleted", coordinator.ErrConflict), -32602, 400, "tree is being deleted", ""},
		{"unavailable", wrap("dial db.internal", coordinator.ErrUnavailable), -32000, 503, "the service is unavailable, try again", "db.internal"},
		{"internal", io.ErrUnexpectedEOF, -32603, 500, "internal error ", io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, jsonrpc.Config{})
			s.svc.FailNext("Tasks", tt.err)
			data := s.refused("tasks.list", `{}`, tt.code, tt.status)
			if !strings.HasPrefix(data, tt.data) {
				t.Errorf("got %q, want %q", data, tt.data)
			}
			if tt.hidden == "" {
				return
			}
			if strings.Contains(data, tt.hidden) {
				t.Errorf("%q shows %q", data, tt.hidden)
			}
			if !strings.Contains(s.log.String(), tt.hidden) {
				t.Errorf("the log misses %q: %s", tt.hidden, s.log)
			}
			if id, ok := strings.CutPrefix(data, "internal error "); ok && !strings.Contains(s.log.String(), id) {
				t.Errorf("the log misses id %q: %s", id, s.log)
			}
		})
	}
}

type wrapped struct {
	text string
	err  error
}

func (w *wrapped) Error() string           { return w.text }
func (w *wrapped) Unwrap() error           { return w.err }
func wrap(text string, err error) *wrapped { return &wrapped{text, err} }

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{MaxBodyBytes: 100, MaxBodiesBytes: 100})
	for name, body := range map[string]io.Reader{
		"announced": strings.NewReader(strings.Repeat(" ", 101)),
		"chunked":   io.MultiReader(strings.NewReader(strings.Repeat(" ", 101))),
	} {
		res, err := http.Post(s.url+"/tasks", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 413 || !strings.Contains(string(answer), "request body is larger than 100 bytes") {
			t.Errorf("%s: got HTTP %d %s", name, res.StatusCode, answer)
		}
	}
	if status, _, answer := s.post("/tasks", `{"method":"tasks.list"}`); status != 200 {
		t.Errorf("after them: got HTTP %d %s: their share was not given back", status, answer)
	}
}

// TestABatchThatWaitsKeepsItsShare: the calls after the one that waits still hold the batch's body.
func TestABatchThatWaitsKeepsItsShare(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{MaxBodyBytes: 1000, MaxBodiesBytes: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batch := `[{"jsonrpc":"2.0","id":1,"method":"tasks.generate","params":{"requirement":"x"}},{"jsonrpc":"2.0","id":2,"method":"` + strings.Repeat("x", 700) + `"}]`
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/tasks", strings.NewReader(batch))
	go func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	for waits := false; !waits; { // until the first call does
		page, err := s.svc.Tasks(t.Context(), coordinator.TaskFilter{})
		if err != nil {
			t.Fatal(err)
		}
		if waits = len(page.Items) > 0; !waits {
			time.Sleep(time.Millisecond)
		}
	}
	time.Sleep(50 * time.Millisecond) // a share that is given back is so at about the same time
	if status, _, answer := s.post("/tasks", `{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat("x", 700)+`"}`); status != http.StatusServiceUnavailable {
		t.Errorf("got HTTP %d %s", status, answer)
	}
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	for _, tt := range []struct {
		method, path string
		want         int
	}{{"DELETE", "/tasks", 405}, {"POST", "/ws", 405}, {"PUT", "/system", 405}, {"POST", "/tasks/x/events", 405}, {"GET", "/nowhere", 404}} {
		req, _ := http.NewRequest(tt.method, s.url+tt.path, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s %s: got HTTP %d, want %d", tt.method, tt.path, res.StatusCode, tt.want)
		}
	}
}

// Spec 5.8.
func TestSystemHealth(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{Version: "1.2.3"})
	s.object("tasks.execute", `[{"name":"a"}]`)
	status, _, answer := s.post("/system", `{"jsonrpc":"2.0","id":1,"method":"system.health"}`)
	for _, want := range []string{`"status":"healthy"`, `"version":"1.2.3"`, `"running_tasks_count":1`, `"timestamp":"`} {
		if status != 200 || !strings.Contains(answer, want) {
			t.Errorf("got HTTP %d %s, want %s", status, answer, want)
		}
	}
	s.svc.FailNext("Ready", coordinator.ErrUnavailable)
	if _, _, answer := s.post("/system", `{"id":1,"method":"system.health"}`); !strings.Contains(answer, `"unhealthy"`) {
		t.Errorf("got %s, want unhealthy", answer)
	}
}
