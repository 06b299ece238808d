package builtin_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mcp"
	"github.com/taskgrove/taskgrove/executors/network"
)

// leftOut are the executors that a build tag leaves out of this build.
var leftOut = map[string]bool{}

// parts give the features of executors that a build tag leaves out, each in a file of its own. They may set what the tests need in the
// configuration, and skip the test.
var parts = map[string]func(*testing.T, *builtin.Config) conformance.Features{}

// TestEveryExecutorConforms fails for an executor that has no entry here.
func TestEveryExecutorConforms(t *testing.T) {
	var open atomic.Int64 // requests
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch open.Add(1); r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/large":
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 5<<20))
		}
		open.Add(-1)
	}))
	defer server.Close()
	const secret = "hunter2-canary"
	root := t.TempDir()
	features := map[string]conformance.Features{
		"file_executor": fileFeatures(t, root),
		"system_info_executor": {Quick: `{"resource": "all"}`, Instant: true, Demo: map[string][]string{
			`{}`:                     {"cpu", "memory", "disk"},
			`{"resource": "memory"}`: {"total", "system"},
		}},
		"command_executor": {
			Quick:   `{"command": "echo hello"}`,
			Slow:    `{"command": "sleep 600.125 & sleep 600.125"}`,
			Missing: map[string]string{`{}`: "[command_executor] command is required in inputs"},
			Large:   `{"command": "head -c 5000000 /dev/zero"}`,
			TimesOut: map[string]string{
				`{"command": "sleep 600.125 & sleep 600.125", "timeout": 0.2}`: "Command timeout after 0.2 seconds",
			},
			Left: func() error { return noProcess("600.125") },
			Failing: []string{
				`{"command": "exit 3", "fail_on_error": true, "env": {"TOKEN": "` + secret + `"}, "stdin": "` + secret + `"}`,
				`{"command": "true", "env": {"TOKEN": "` + secret + `\u0000"}}`,
				`{"command": "true", "cwd": "/no/such", "stdin": "` + secret + `"}`,
			},
			Secret: secret,
			Demo:   map[string][]string{`{"command": "ls"}`: {"command", "return_code", "stdout", "stderr", "success"}},
		},
		"check_items": {
			Quick: `{"items": ["a"]}`, Instant: true,
			Missing: map[string]string{`{}`: "[check_items] items is required in inputs"},
			Demo:    map[string][]string{`{"items": "a, b"}`: {"has_data", "count"}},
			Ends:    map[string]executors.Kind{`{"items": []}`: executors.KindSkipped},
		},
		"doctor_executor": {
			Quick: `{"secrets": [{"secret": "none"}]}`, Instant: true,
			Failing: []string{`{"connection": {"kind": "db", "password": "` + secret + `"}}`},
			Secret:  secret,
			Demo:    map[string][]string{`{"secrets": [{"secret": "a"}]}`: {"ok", "secrets"}},
		},
		"zip": {
			Quick: `{"dest_path": "a.zip", "src_dir": "` + root + `", "items": ["**"]}`, Instant: true,
			Missing: map[string]string{`{"items": []}`: "[zip] dest_path is required in inputs"},
			Failing: []string{`{"dest_path": "a.zip", "items": ["none"], "password": "` + secret + `"}`, `{"dest_path": "a.zip", "items": [], "driver": "zipfile", "password": "` + secret + `"}`},
			Secret:  secret,
			Demo:    map[string][]string{`{"dest_path": "a.zip", "items": ["a"]}`: {"output", "count", "password", "driver", "src_dir"}},
			Ends:    map[string]executors.Kind{`{"dest_path": "a.zip", "items": []}`: executors.KindSkipped},
		},
		"unzip": {
			Quick: `{"archives": [], "dest_dir": "."}`, Instant: true,
			Missing: map[string]string{`{"dest_dir": "."}`: "[unzip] archives is required in inputs"},
			Failing: []string{`{"archives": ["none.zip"], "dest_dir": ".", "password": "` + secret + `"}`},
			Secret:  secret,
			Demo:    map[string][]string{`{"archives": "a.zip", "dest_dir": "d"}`: {"unzipped", "dest_dir", "count"}},
		},
		"external.process": {
			Quick:   `{"command": "echo hello", "log": {"stdout": "capture", "stderr": "capture"}}`,
			Slow:    `{"command": "sleep 600.625 & sleep 600.625", "shell": true, "kill_grace_seconds": 1}`,
			Missing: map[string]string{`{}`: "[external.process] command is required in inputs"},
			Large:   `{"command": "head -c 5000000 /dev/zero", "log": {"stdout": "capture", "max_capture_kb": 4000}}`,
			TimesOut: map[string]string{
				`{"command": "sleep 600.625 & sleep 600.625", "shell": true, "timeout_seconds": 0.2}`: "the program timed out after 0.2 seconds",
			},
			Left: func() error { return noProcess("600.625") },
			Failing: []string{
				`{"command": "exit 3", "shell": true, "env": {"TOKEN": "` + secret + `"}}`,
				`{"command": "true", "env": {"TOKEN": "` + secret + `\u0000"}}`,
				`{"command": ["true", "` + secret + `"], "success": {"require_files": "no"}}`,
			},
			Secret: secret,
			Demo:   map[string][]string{`{"command": "ls", "outputs": {"rows": 1}}`: {"exit_code", "attempts", "rows"}},
			Ends:   map[string]executors.Kind{`{"command": "true", "idempotency": {"strategy": "marker", "marker_path": "."}}`: executors.KindSkipped},
		},
		"rest_executor": {
			Quick:   `{"url": "` + server.URL + `/quick"}`,
			Slow:    `{"url": "` + server.URL + `/slow", "timeout": 600}`,
			Missing: map[string]string{`{"method": "GET"}`: "[rest_executor] url is required in inputs"},
			Large:   `{"url": "` + server.URL + `/large"}`,
			TimesOut: map[string]string{
				`{"url": "` + server.URL + `/slow", "timeout": 0.2}`: "GET " + server.URL + "/slow: timeout after 0.2 seconds",
			},
			Left: func() error { return soon(func() bool { return open.Load() == 0 }, "a request is open") },
			Failing: []string{
				`{"url": "http://ann:` + secret + `@127.0.0.1:1/", "timeout": 5}`,
				`{"url": "http://127.0.0.1:1/", "auth": {"type": "bearer", "token": "` + secret + `"}}`,
				`{"url": "http://127.0.0.1:1/", "auth": {"type": "apikey", "key": "k", "value": "` + secret + `", "location": "query"}}`,
				`{"base_url": "http://127.0.0.1:1/", "url": "/x?sig=` + secret + `", "auth_headers": {"X-Key": "` + secret + `"}}`,
				`{"base_url": "http://127.0.0.1:1/", "url": "/", "auth_headers": {"X-Key": "` + secret + `\n"}}`,
			},
			Secret: secret,
			Demo: map[string][]string{`{"url": "https://example.org/"}`: {"url", "status_code", "headers", "body", "json", "success", "method"},
				`{}`: {"status_code"}},
		},
		"grpc_executor":              grpcFeatures(t, secret),
		"websocket_executor":         websocketFeatures(t, secret),
		"apflow_api_executor":        apflowFeatures(t, secret),
		"mcp_executor":               mcpFeatures(t, secret),
		"llm_executor":               llmFeatures(t, secret),
		"generate_executor":          generateFeatures(t, secret),
		"crewai_executor":            crewFeatures(t, secret, false),
		"batch_crewai_executor":      crewFeatures(t, secret, true),
		"aggregate_results_executor": {Quick: `{"task": {"a": 1}}`, Instant: true, Demo: map[string][]string{`{"task": 1}`: {"summary", "results"}}},
		"noop_executor":              {Quick: `{"value": 1}`, Instant: true},
		"noop_repeatable_executor":   {Quick: `{}`, Instant: true},
		"map_executor": {
			Quick:   `{"items": [1, 2], "task": {"name": "noop_executor"}}`,
			Missing: map[string]string{`{"task": {"name": "x"}}`: "[map_executor] items is required in inputs"},
			Ends:    map[string]executors.Kind{`{"items": [1, 2], "task": {"name": "noop_executor"}}`: executors.KindExpanding},
			Instant: true,
		},
		"subtree_executor": {
			Quick:   `{"tree": [{"name": "a"}]}`,
			Ends:    map[string]executors.Kind{`{"tree": [{"name": "a"}]}`: executors.KindAwaiting, `{"copy_of": "nightly", "inputs": {"a": {"b": 1}}, "detach": true}`: executors.KindAwaiting},
			Instant: true, DemoDiffers: true, Demo: map[string][]string{`{"tree": [{"name": "a"}]}`: {"demo"}},
		},
		"wait_executor": {
			Quick:   `{"signal": "go"}`,
			Missing: map[string]string{`{"timeout": 1}`: "[wait_executor] signal is required in inputs"},
			Ends:    map[string]executors.Kind{`{"signal": "go"}`: executors.KindAwaiting},
			Instant: true, DemoDiffers: true, Demo: map[string][]string{`{"signal": "go"}`: {"demo"}},
		},
		"approval_executor": {
			Quick:   `{"message": "Deploy?"}`,
			Missing: map[string]string{`{"timeout": 1}`: "[approval_executor] message is required in inputs"},
			Ends:    map[string]executors.Kind{`{"message": "Deploy?"}`: executors.KindAwaiting},
			Instant: true, Demo: map[string][]string{`{"message": "Deploy?"}`: {"choice", "by", "at", "comment"}},
		},
		"sleep_executor": {
			Quick:   `{"seconds": 0.01}`,
			Slow:    `{"seconds": 600}`,
			Missing: map[string]string{`{"fail": "x"}`: "[sleep_executor] seconds is required in inputs"},
		},
	}
	cfg := builtin.Config{FileRoot: root, Command: command.Config{Allow: true, Grace: time.Second}, MCP: mcp.Config{Allow: true},
		Network: network.Config{Guard: network.Guard{Loopback: true}}}
	for i, e := range builtin.New(cfg) {
		id := e.Describe().ID
		t.Run(id, func(t *testing.T) {
			if part, ok := parts[id]; ok {
				features[id] = part(t, &cfg)
			}
			f, ok := features[id]
			if !ok {
				t.Fatalf("no features for %s: add an entry above", id)
			}
			conformance.Test(t, func(*testing.T) executors.Executor {
				e := builtin.New(cfg)[i]
				if e.Describe().Type == "crewai" {
					return worksOf{e}
				}
				return e
			}, f)
		})
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// soon waits until the other side has noticed.
func soon(done func() bool, otherwise string) error {
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New(otherwise)
		}
	}
	return nil
}

// noProcess says which process has the word in its command line.
func noProcess(word string) error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		if line, _ := os.ReadFile(name); bytes.Contains(line, []byte(word)) {
			return fmt.Errorf("process %s: %q", name, line)
		}
	}
	return err
}

func TestCatalogueHoldsTheRegistrysExecutorsInTheOrderOfTheSpec(t *testing.T) {
	var known dag.Known
	var ids, declared []string
	for d := range builtin.Catalogue() {
		ids = append(ids, d.ID)
		if d.Repeatable {
			declared = append(declared, d.ID)
		}
		known.Add(d.ID, d.Type)
	}
	want := []string{
		"system_info_executor",
		"command_executor",
		"rest_executor",
		"ssh_executor",
		"grpc_executor",
		"websocket_executor",
		"docker_executor",
		"apflow_api_executor",
		"mcp_executor",
		"llm_executor",
		"crewai_executor",
		"batch_crewai_executor",
		"generate_executor",
		"aggregate_results_executor",
		"noop_executor",
		"noop_repeatable_executor",
		"sleep_executor", "wait_executor", "approval_executor",
		"file_executor",
		"kubernetes_executor",
		"sql_executor", "db_extract", "db_fetch_small", "db_extract_stream",
		"python_executor",
		"map_executor",
		"subtree_executor",
		"external.process", "check_items", "doctor_executor", "bundle_plugin", "zip", "unzip", "sftp_list_files", "sftp_download_files", "sftp_delete_files", "sftp_upload_files",
		"smb_list_files", "smb_download_files", "smb_delete_files", "smb_upload_files",
		"mail_send", "excel_validate_template", "excel_fill_small", "excel_fill_from_file",
	}
	want = slices.DeleteFunc(want, func(id string) bool { return leftOut[id] })
	if !slices.Equal(ids, want) {
		t.Errorf("got  %v\nwant %v", ids, want)
	}
	repeatable := []string{"system_info_executor", "aggregate_results_executor", "noop_repeatable_executor", "check_items", "doctor_executor", "excel_validate_template"}
	if !slices.Equal(declared, repeatable) {
		t.Errorf("repeatable are %v, want %v", declared, repeatable)
	}
	for typ, want := range map[string]string{"stdio": "system_info_executor", "http": "rest_executor", "ssh": "ssh_executor", "grpc": "grpc_executor", "websocket": "websocket_executor", "apflow": "apflow_api_executor", "mcp": "mcp_executor", "crewai": "crewai_executor", "generate": "generate_executor", "core": "aggregate_results_executor"} {
		if got := dag.ChooseExecutor("", nil, []byte(`{"type":"`+typ+`"}`), known); got != want {
			t.Errorf("type %s stands for %q, want %q", typ, got, want)
		}
	}
}

// fileFeatures uses files; the package of the executor has a store, too. A pipe that nobody writes to can't stop it, so nothing is slow but a store
// that does not answer.
func fileFeatures(t *testing.T, root string) conformance.Features {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	if err := os.WriteFile(filepath.Join(root, "large.txt"), bytes.Repeat([]byte("0123456789\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2-canary"
	keys := `"endpoint": "` + silent.URL + `", "access_key": "a", "secret_key": "` + secret + `"`
	return conformance.Features{
		Quick:    `{"operation": "write", "path": "quick.txt", "content": "hello", "overwrite": true}`,
		Slow:     `{"operation": "stat", "path": "s3://bucket/key", "timeout": 600, ` + keys + `}`,
		Missing:  map[string]string{`{"path": "x"}`: "[file_executor] operation is required in inputs"},
		Large:    `{"operation": "read", "path": "large.txt"}`,
		TimesOut: map[string]string{`{"operation": "stat", "path": "s3://bucket/key", "timeout": 0.3, ` + keys + `}`: "File timeout after 0.3 seconds"},
		Failing: []string{
			`{"operation": "stat", "path": "s3://bucket/key", "endpoint": "http://127.0.0.1:1", "access_key": "a", "secret_key": "` + secret + `"}`,
			`{"operation": "stat", "path": "s3://bucket/key", "endpoint": "http://u:` + secret + `@127.0.0.1:1", "access_key": "a", "secret_key": "x"}`,
		},
		Secret: secret,
		Demo:   map[string][]string{`{"operation": "copy"}`: {"operation", "source", "destination", "files", "bytes"}},
	}
}
