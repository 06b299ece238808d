package jsonrpc_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

func TestReads(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	s.object("tasks.create", `[{"id":"r","name":"root","labels":{"team":"x"}},{"id":"a","name":"a","parent_id":"r"}]`)
	get := func(path string, headers ...string) (int, http.Header, string) {
		req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(headers) > 0 {
			req.Header.Set("Accept", headers[0])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, res.Header, string(body)
	}
	for _, tt := range []struct {
		path   string
		status int
		want   string // the beginning
	}{
		{"/tasks", 200, `[{"id":"r",`},
		{"/tasks?root_id=r&limit=1&root_only=false", 200, `[{"id":"r",`},
		{"/tasks?labels.team=y", 200, "[]\n"},
		{"/tasks?custom.project=y", 200, "[]\n"},
		{"/tasks/r", 200, `{"id":"r",`},
		{"/tasks/r/tree", 200, `{"id":"r",`},
		{"/tasks/r/children", 200, `[{"id":"a",`},
		{"/tasks/a/why", 200, `{"task_id":"a",`},
		{"/tasks/a/attempts", 200, "["},
		{"/tasks/nope", 404, `{"error":"Task nope not found"}` + "\n"},
		{"/tasks/nope/tree", 404, `{"error":"Task nope not found"}` + "\n"},
		{"/tasks/nope/attempts", 404, `{"error":"Task nope not found"}` + "\n"},
		{"/tasks?limit=x", 400, `{"error":"limit must be an integer from 1 to 1000","field":"limit"}` + "\n"},
		{"/tasks?statsu=failed", 400, `{"error":"unknown parameter 'statsu': did you mean 'status'?","field":"statsu"}` + "\n"},
		{"/tasks?status=a&status=b", 400, `{"error":"status must not be there twice","field":"status"}` + "\n"},
		{"/tasks/r/tree?limit=1", 400, `{"error":"unknown parameter 'limit'`},
	} {
		status, header, body := get(tt.path)
		if status != tt.status || !strings.HasPrefix(body, tt.want) || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got HTTP %d and %s, want HTTP %d and %s", tt.path, status, body, tt.status, tt.want)
		}
	}
	if _, header, _ := get("/tasks?root_id=r&limit=1"); header.Get("X-Next-Cursor") == "" {
		t.Error("a page that is not the last one has no cursor")
	}
	for path, accept := range map[string]string{"/tasks/r?pretty": "*/*", "/tasks/r": "text/html,application/xhtml+xml"} {
		if _, _, body := get(path, accept); !strings.HasPrefix(body, "{\n  \"id\": \"r\",\n") {
			t.Errorf("%s for %s: got %s, want it indented", path, accept, body)
		}
	}
}
