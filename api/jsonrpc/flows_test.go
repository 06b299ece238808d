package jsonrpc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

// Texts of flows, and of the profiles that they are given, are files: they are as long as files are, and not as short as ids.
func TestLongFlows(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	quoted := func(text string) string {
		out, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	ask := func(method, params string) map[string]any {
		t.Helper()
		_, _, answer := s.post("/system", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params))
		var got struct{ Result map[string]any }
		if err := json.Unmarshal([]byte(answer), &got); err != nil || got.Result == nil {
			t.Fatalf("%s: %.300s", method, answer)
		}
		return got.Result
	}
	text := "flow: {id: long}\n# " + strings.Repeat("x", 1<<20) + "\njobs: []\n"
	if got := ask("flows.validate", fmt.Sprintf(`{"text":%s}`, quoted(text))); got["ok"] != true {
		t.Errorf("flows.validate: %.300v", got)
	}
	ask("flows.apply", fmt.Sprintf(`{"text":%s}`, quoted(text)))
	if got := ask("flows.get", `{"id":"long"}`); got["text"] != text {
		t.Errorf("flows.get gives %.300v", got["text"])
	}
	profiles := "# " + strings.Repeat("x", 10_000) + "\n{}\n"
	run := ask("flows.run", fmt.Sprintf(`{"text":%s,"profiles":%s,"run_id":"r"}`, quoted(text), quoted(profiles)))
	if run["run_id"] != "r" || run["flow_id"] != "long" {
		t.Errorf("flows.run: %.300v", run)
	}
	if got := ask("profiles.apply", fmt.Sprintf(`{"text":%s}`, quoted("# "+strings.Repeat("x", 1<<20)+"\nlong: {config: {host: h}}\n"))); len(got["profiles"].([]any)) != 1 {
		t.Errorf("profiles.apply: %.300v", got)
	}
	ask("runs.resume", fmt.Sprintf(`{"run":"r","text":%s}`, quoted(text)))
}
