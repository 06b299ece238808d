package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binary builds taskgrove once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "taskgrove-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "taskgrove")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/taskgrove/taskgrove/cmd/taskgrove").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build taskgrove: %w: %s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, _ := binary(); path != "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// start makes a run whose files are all in a directory of the test. When the run has ended, nothing may be there, and no process may run
// that was started with it.
func start(t *testing.T) *showcase {
	t.Helper()
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have python3 (tools/need.sh)")
		}
		t.Skip("there is no python3 on this machine")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Cleanup(func() {
		if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, process := range processes {
			line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			env, _ := os.ReadFile(filepath.Join(process, "environ"))
			if bytes.Contains(line, []byte(temp)) || bytes.Contains(env, []byte(temp)) {
				t.Errorf("still running: %q", line)
			}
		}
	})
	return &showcase{taskgrove: path, source: ".", temp: temp}
}

func TestShowcase(t *testing.T) {
	s := start(t)
	var out bytes.Buffer
	if err := s.run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, text := range []string{
		"order 3: 85.00 GBP is 100.00 EUR",                   // the shop's own executor, with data of HTTP and gRPC
		"statement 1 of 2: 6 affected",                       // Postgres
		"   warehouse     6 orders",                          //
		`   notice board  "Sales of 2030-01-02: 790.40 EUR"`, // WebSocket
		"| DE | 1 | 310.50 | ", "| total | 6 | 790.40 | |",   // the page
		"- order 6 from DE: 310.50 EUR\n- order 2 from US: 200.", // the command
		"\nSigned: ", // with a secret
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the output lacks %q", text)
		}
	}
	for executor, text := range map[string]string{
		"ssh_executor":    "reports/2030-01-02.md, 409 bytes, as it was saved",
		"docker_executor": "4 countries are 790.40 EUR together: the sum is right",
		"python_executor": "| DE | 1 | 310.50 | 316.71 |",
	} {
		why, off := s.services.off[executor]
		switch {
		case off && os.Getenv("CI") == "true" && executor != "docker_executor":
			t.Errorf("CI must have what %s needs (tools/need.sh): %s", executor, why)
		case off:
			t.Logf("without %s: %s", executor, why)
		case !strings.Contains(out.String(), text):
			t.Errorf("the output lacks %q", text)
		}
	}
	if n := len(s.used); n < 8 {
		t.Errorf("%d executors ran, want at least 8: %v", n, s.used)
	}
	for _, secret := range []string{s.services.token, s.services.warehouse.password} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the output has the secret %s", secret)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// TestWithoutWhatMachinesLack leaves out what needs sshd, a Docker engine and uv: the report is there all the same.
func TestWithoutWhatMachinesLack(t *testing.T) {
	s := start(t)
	s.without = []string{"ssh_executor", "docker_executor", "python_executor"}
	var out bytes.Buffer
	if err := s.run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, text := range []string{
		"publish is left out, as there is no ssh_executor", "audit is left out", "forecast is left out",
		"| DE | 1 | 310.50 |  |", `notice board  "Sales of 2030-01-02: 790.40 EUR"`,
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the output lacks %q:\n%s", text, out.String())
		}
	}
}

// TestInterrupt ends a run in mid-work, once the tasks have begun to speak.
func TestInterrupt(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &trigger{text: "statement 2 of 2", then: cancel}
	err := s.run(ctx, out)
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want that the context was cancelled, and nothing else\n%s", err, out.String())
	}
}

// trigger keeps what is written, and calls then once it has the text.
type trigger struct {
	bytes.Buffer
	text string
	then func()
}

func (w *trigger) Write(p []byte) (int, error) {
	defer func() {
		if strings.Contains(w.String(), w.text) {
			w.then()
		}
	}()
	return w.Buffer.Write(p)
}
