package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// sdks are the programs that are servers of the official SDKs, each with its arguments. make interop installs them.
func sdks(t *testing.T) map[string][]string {
	dir := os.Getenv("TASKGROVE_INTEROP_MCP")
	if dir == "" {
		t.Skip("the SDKs of the protocol are not installed: make interop does that, and runs this test")
	}
	for name, places := range map[string][]string{"tools.mjs": {"js1", "js2"}, "server1.mjs": {"js1"}, "server2.mjs": {"js2"}} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		for _, place := range places { // node looks for packages beside a program
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, place, name), text, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("testdata/server.py")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"Python 1": {dir + "/py1/bin/python", script}, "Python 2": {dir + "/py2/bin/python", script},
		"TypeScript 1": {"node", dir + "/js1/server1.mjs"}, "TypeScript 2": {"node", dir + "/js2/server2.mjs"},
	}
}

// listen starts a server over HTTP, which ends with the test.
func listen(t *testing.T, command []string) (url string, kill func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cmd := exec.Command(command[0], append(command[1:], port)...) //nolint:gosec // the test's own
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { _ = cmd.Process.Kill() }
	t.Cleanup(func() { kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			return "http://127.0.0.1:" + port + "/mcp", kill
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not listen")
		}
	}
}

// TestInterop uses servers of the official SDKs as a task does.
func TestInterop(t *testing.T) {
	e := newExecutor(nil)
	for name, command := range sdks(t) {
		for _, way := range []string{"stdio", "http"} {
			t.Run(name+" over "+way, func(t *testing.T) {
				server := object{"transport": way, "command": command, "timeout": 60}
				kill := func() {}
				if way == "http" {
					var url string
					url, kill = listen(t, command)
					server = object{"transport": way, "url": url, "timeout": 60}
				}
				interop(t, server, func(ctx context.Context, in object) (string, bool, *conformance.Recorder, error) {
					whole := maps.Clone(server)
					maps.Copy(whole, in)
					got, said, err := run(ctx, t, e, whole)
					return string(got.Result), got.Success, said, err
				}, kill)
			})
		}
	}
}

// plain is JSON in one of its forms.
func plain(text string) string {
	var out bytes.Buffer
	var value any
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = json.Unmarshal([]byte(text), &value)
	_ = encoder.Encode(value)
	return out.String()
}

func interop(t *testing.T, server object, run func(context.Context, object) (string, bool, *conformance.Recorder, error), kill func()) {
	for _, row := range []struct {
		in      object
		success bool
		want    string
	}{
		{call("echo", object{"text": "grüße"}), true, "grüße"},
		{call("add", object{"a": 1, "b": 2}), true, `"structuredContent":{"sum":3}`},
		{call("fail", nil), false, `"isError":true`},
		{object{"operation": "list_tools"}, true, `"says it again"`},
		{object{"operation": "list_resources"}, true, "docs://handbook"},
		{object{"operation": "read_resource", "resource_uri": "docs://handbook"}, true, "read me"},
		{object{"operation": "list_prompts"}, true, `"greet"`},
		{object{"operation": "get_prompt", "prompt_name": "greet", "arguments": object{"who": "ada"}}, true, "hello ada"},
	} {
		got, success, _, err := run(t.Context(), row.in)
		if err != nil || success != row.success || !strings.Contains(plain(got), row.want) {
			t.Errorf("%v: got %s, %v", row.in, got, err)
		}
	}
	stdio := server["transport"] == "stdio"
	if _, _, said, err := run(t.Context(), call("progress", nil)); err != nil || !slices.Equal(said.Fractions(), []float64{0.25, 0.5, 0.75}) || stdio && !slices.Contains(said.Lines(), "stderr: a line on stderr") {
		t.Errorf("progress: got %v, %q, %v", said.Fractions(), said.Lines(), err)
	}
	if _, _, _, err := run(t.Context(), call("huge", nil)); !executors.IsPermanent(err) {
		t.Errorf("a huge answer: got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan time.Time, 1)
	time.AfterFunc(3*time.Second, func() { ended <- time.Now(); cancel(executors.ErrCancelled) }) // until it has begun
	if _, _, _, err := run(ctx, call("slow", nil)); !errors.Is(err, executors.ErrCancelled) || time.Since(<-ended) > 30*time.Second {
		t.Errorf("cancelled: got %v", err)
	}
	if _, _, _, err := run(t.Context(), call("slow", nil).with("timeout", 4)); err == nil || !strings.Contains(err.Error(), " timeout after 4 seconds") {
		t.Errorf("hung: got %v", err)
	}
	if !stdio {
		time.AfterFunc(3*time.Second, kill) // in the middle of the call
		if _, _, _, err := run(t.Context(), call("slow", nil)); err == nil || executors.IsPermanent(err) {
			t.Errorf("killed: got %v", err)
		}
		return
	}
	if _, _, _, err := run(t.Context(), call("crash", nil)); err == nil || executors.IsPermanent(err) || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("crashed: got %v", err)
	}
}
