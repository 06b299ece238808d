package builtin_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// TestAServiceOfTheWorkersFileIsAsked with its secret, on the worker's own host, and only for the pools that may use it.
func TestAServiceOfTheWorkersFileIsAsked(t *testing.T) {
	s := modeltest.Start(t)
	s.Play("m", modeltest.Recorded("conversation"))
	dir := t.TempDir()
	file := filepath.Join(dir, "worker.yaml")
	text := fmt.Sprintf("models:\n  own: {url: %q, key: {secret: llm-key}, pools: [agents]}\nsecrets:\n  llm-key: {file: %q, pools: []}\n", s.OpenAI(), filepath.Join(dir, "key"))
	for path, text := range map[string]string{file: text, filepath.Join(dir, "key"): s.Key() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var llm executors.Executor
	for _, e := range builtin.New(builtin.Config{WorkerFile: file}) {
		if e.Describe().ID == "llm_executor" {
			llm = e
		}
	}
	defer llm.(interface{ Close() error }).Close() //nolint:errcheck // idle connections
	run := func(pool, more string) error {
		call, _ := conformance.Call(t, `{"model": "own/m", "messages": [{"role": "user", "content": "Hi"}]`+more+`}`)
		call.Pool = pool
		call.ModelKey = func(context.Context, string) (string, error) { return "", nil }
		_, err := llm.Run(t.Context(), call)
		return err
	}
	if err := run("agents", ""); err != nil {
		t.Error(err)
	}
	if err := run("web", ""); err == nil || !strings.Contains(err.Error(), `no model service "own" for tasks of pool "web"`) {
		t.Errorf("another pool got %v", err)
	}
	// What a task names is under the guard, and gets no key of the worker's.
	if err := run("agents", fmt.Sprintf(`, "api_base": %q`, s.OpenAI())); err == nil || !strings.Contains(err.Error(), "api_key is required with api_base") {
		t.Errorf("got %v", err)
	}
	if err := run("agents", fmt.Sprintf(`, "api_base": %q, "api_key": "k"`, s.OpenAI())); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "TASKGROVE_ADDRESS_LOOPBACK") {
		t.Errorf("got %v", err)
	}
	if n := len(s.Requests()); n != 1 {
		t.Errorf("%d requests came", n)
	}
}
