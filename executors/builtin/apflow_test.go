package builtin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
)

// apflowFeatures are those of apflow_api_executor, with a server of the least that the protocol needs. Its own tests have real clusters.
func apflowFeatures(t *testing.T, secret string) conformance.Features {
	var mu sync.Mutex
	open := false // the task that was started last was not cancelled; those that a drain leaves alone don't count
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct{ Method string }
		_ = json.NewDecoder(r.Body).Decode(&call)
		mu.Lock()
		defer mu.Unlock()
		switch call.Method {
		case "tasks.execute":
			open = true
			fmt.Fprint(w, `{"result": {"success": true, "task_id": "t", "status": "started"}}`)
		case "tasks.get":
			fmt.Fprint(w, `{"result": {"id": "t", "status": "in_progress", "tree_status": "in_progress"}}`)
		case "tasks.cancel":
			open = false
			fmt.Fprint(w, `{"result": []}`)
		case "tasks.list":
			fmt.Fprintf(w, `{"result": %q}`, strings.Repeat("x", 5<<20))
		case "tasks.fail":
			fmt.Fprintf(w, `{"error": {"code": -32603, "message": "no such token: %s"}}`, secret)
		case "tasks.running.count":
			fmt.Fprint(w, `{"result": {"count": 1}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	wait := `{"base_url": "` + server.URL + `", "method": "tasks.execute", "params": {"task_id": "t"}, "wait_for_completion": true, "poll_interval": 0.01, "timeout": %v}`
	return conformance.Features{
		Quick:    `{"base_url": "` + server.URL + `", "method": "tasks.running.count", "params": {}}`,
		Slow:     fmt.Sprintf(wait, 600),
		Missing:  map[string]string{`{"method": "m", "params": {}}`: "[apflow_api_executor] base_url is required in inputs"},
		Large:    `{"base_url": "` + server.URL + `", "method": "tasks.list", "params": {}}`,
		TimesOut: map[string]string{fmt.Sprintf(wait, 0.2): "Timeout waiting for task completion after 0.2 seconds"},
		Left: func() error {
			return soon(func() bool { mu.Lock(); defer mu.Unlock(); return !open }, "a task runs there")
		},
		Failing: []string{
			`{"base_url": "` + server.URL + `", "method": "tasks.fail", "params": {}, "auth_token": "` + secret + `"}`,
			`{"base_url": "http://ann:` + secret + `@127.0.0.1:1", "method": "tasks.get", "params": {}}`,
		},
		Secret: secret,
		Demo: map[string][]string{
			`{"base_url": "http://x", "method": "tasks.execute", "params": {}}`: {"success", "result", "base_url", "method"},
		},
	}
}
