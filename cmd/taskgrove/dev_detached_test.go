package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// program runs a command of ours to its end, with a home of its own.
func program(t *testing.T, environment []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environment...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestAClusterInTheBackground starts one, looks after it and stops it, with its state kept and thrown away.
func TestAClusterInTheBackground(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]string{"kept": "", "ephemeral": "--ephemeral"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := []string{"XDG_DATA_HOME=" + openDir(t), "TMPDIR=" + openDir(t), "TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR=127.0.0.1:0"}
			dev := func(args ...string) (string, string, int) {
				if place != "" {
					args = append(args, place)
				}
				return program(t, environment, append([]string{"dev"}, args...)...)
			}
			t.Cleanup(func() { dev("stop", "--force") })

			if _, stderr, code := dev("status"); code != 1 || !strings.Contains(stderr, "no cluster runs in ") {
				t.Errorf("status of none: exit code %d, %s", code, stderr)
			}
			if _, stderr, code := dev("stop"); code != 0 || !strings.Contains(stderr, "no cluster runs in ") {
				t.Errorf("stop of none: exit code %d, %s", code, stderr)
			}
			stdout, stderr, code := dev("--detach")
			if code != 0 || !strings.Contains(stdout, "Taskgrove is ready, in the background.") {
				t.Fatalf("detach: exit code %d, %s%s", code, stdout, stderr)
			}
			if _, stderr, code := dev("--detach"); code != 1 || !strings.Contains(stderr, "is in use by another") {
				t.Errorf("second: exit code %d, %s", code, stderr)
			}
			status := devStatus{devState: &devState{}}
			stdout, _, code = dev("status", "-o", "json")
			if err := json.Unmarshal([]byte(stdout), &status); err != nil || code != 0 || !status.Running || !status.Ready {
				t.Fatalf("status: exit code %d, %v, %s", code, err, stdout)
			}
			if answer, err := http.Get(status.HTTP + "/ready"); err != nil {
				t.Errorf("the address that status names: %v", err)
			} else {
				_ = answer.Body.Close()
			}
			if session, err := unix.Getsid(status.PID); err != nil || session != status.PID {
				t.Errorf("session %d (%v) of process %d: the end of a terminal would end it", session, err, status.PID)
			}
			if log, err := os.Stat(status.Log); err != nil || log.Mode().Perm() != 0o600 {
				t.Errorf("log file: %v %v, want its owner's only", log, err)
			}
			if stdout, stderr, code = dev("stop"); code != 0 || stdout != "stopped\n" {
				t.Errorf("stop: exit code %d, %s%s", code, stdout, stderr)
			}
			if answer, err := http.Get(status.HTTP + "/health"); err == nil {
				_ = answer.Body.Close()
				t.Error("it still serves after stop")
			}
			if _, err := os.Stat(filepath.Join(status.Dir, devStateFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("state file stays: %v", err)
			}
		})
	}
}

// openDir is a directory that the user whom Postgres runs as may pass.
func openDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "taskgrove-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAClusterThatDoesNotStart tells why, and leaves nothing that looks like one.
func TestAClusterThatDoesNotStart(t *testing.T) {
	t.Parallel()
	home := openDir(t)
	environment := []string{"XDG_DATA_HOME=" + home, "TASKGROVE_POSTGRES_BIN_DIR=/nonexistent"}
	if _, stderr, code := program(t, environment, "dev", "--detach"); code != 1 || !strings.Contains(stderr, "the cluster did not start") || !strings.Contains(stderr, "/nonexistent") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if _, stderr, code := program(t, environment, "dev", "--detach", "--concurrency", "x"); code != 2 {
		t.Errorf("a wrong flag: exit code %d, %s", code, stderr)
	}
	// A process that was killed leaves its state behind, and another process may have its number by now.
	state := `{"pid":` + "1234567" + `,"http":"http://127.0.0.1:1"}`
	if err := os.WriteFile(filepath.Join(home, "taskgrove", "dev", devStateFile), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := program(t, environment, "dev", "status"); code != 1 || !strings.Contains(stderr, "no cluster runs") {
		t.Errorf("status: exit code %d, %s", code, stderr)
	}
}
