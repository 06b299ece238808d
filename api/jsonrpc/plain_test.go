package jsonrpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

// TestRefusalsSpeakPlainly sends what is wrong in every way; none of the answers has a library's words.
func TestRefusalsSpeakPlainly(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	bodies := []string{
		``, ` `, `{`, `[`, `{"jsonrpc"`, `nul`, `"a`, "\xff", "\x00", `{}`, `[]`, `7`, `{"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"1.0","id":1,"method":"tasks.get"}`, `{"jsonrpc":"2.0","id":[],"method":"tasks.get"}`,
		`{"jsonrpc":"2.0","id":1,"method":7}`, `{"jsonrpc":"2.0","id":1,"method":"nothing"}`, `{"jsonrpc":"2.0","id":1,"id":2,"method":"tasks.get"}`, strings.Repeat(`[`, 5000), `{"a":` + strings.Repeat(`[`, 5000),
	}
	values := []string{`7`, `-1`, `1.5`, `1e999`, `99999999999999999999`, `"x"`, `""`, `null`, `true`, `[]`, `[1]`, `{}`, `"\u0000"`, `"\ud800"`}
	for _, method := range []string{"tasks.create", "tasks.execute", "tasks.get", "tasks.detail", "tasks.tree", "tasks.list", "tasks.children", "tasks.cancel", "tasks.why", "tasks.running.list", "tasks.running.status", "tasks.running.cancel"} {
		for _, value := range values {
			bodies = append(bodies, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, value))
			for _, key := range []string{"task_id", "task_ids", "tasks", "limit", "offset", "status", "timeout", "wait", "cursor", "force", "cascade", "context_id", "idempotency_key", "name", "parent_id", "root_id"} {
				bodies = append(bodies, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%q:%s}}`, method, key, value))
			}
		}
	}
	for _, value := range values {
		for _, key := range []string{"id", "name", "parent_id", "dependencies", "inputs", "params", "schemas", "retry", "timeout", "not_before", "on_lost", "priority", "pool", "repeatable"} {
			bodies = append(bodies, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tasks.create","params":[{"name":"a",%q:%s}]}`, key, value))
		}
	}
	for _, body := range bodies {
		_, _, answer := s.post("/tasks", body)
		if found := apitest.LibraryPhrases(answer); len(found) > 0 {
			t.Errorf("%.120q: %q are a library's: %.300s", body, found, answer)
		}
	}
}
