package jsonrpc_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// FuzzCalls sends anything as a body: the answer is always JSON-RPC, or none, and never our fault.
func FuzzCalls(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tasks.list","params":{}}`,
		`[{"jsonrpc":"2.0","id":"x","method":"tasks.create","params":[{"name":"a","inputs":{"k":[1,2,{"z":null}]}}]},7]`,
		`{"method":"tasks.execute","params":{"tasks":[{"id":"a","name":"a"},{"id":"b","name":"b","parent_id":"a","dependencies":[{"id":"a"}]}]}}`,
		`{"method":"tasks.cancel","params":{"task_ids":"a,b","cascade":true}}`,
		"{\"id\":\"\\ud800\",\"method\":\"tasks.get\",\"params\":{\"id\":\"\\u0000\"}}",
		` [ { } , [ ] , "" , null ] `,
		`{"a":"\\\"","method":"tasks.children","params":{"parent_id":"\\"}}`,
	} {
		f.Add([]byte(seed))
	}
	handler := jsonrpc.New(coordinator.NewAccess(apitest.New(), coordinator.AllowAll), jsonrpc.Config{Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, body []byte) {
		if strings.Contains(string(body), "wait") || strings.Contains(string(body), "stream") || strings.Contains(string(body), `\u`) {
			t.Skip("may take as long as a tree")
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/tasks", strings.NewReader(string(body))))
		if rec.Code == http.StatusInternalServerError || strings.Contains(rec.Body.String(), `"code":-32603`) {
			t.Fatalf("%q: got HTTP %d %s", body, rec.Code, rec.Body)
		}
		if rec.Code == http.StatusNoContent {
			return
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%q: got %q, which is not JSON", body, rec.Body)
		}
	})
}
