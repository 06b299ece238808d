package docker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

// with is a policy for all pools.
func with(p docker.Policy) docker.Config {
	return docker.Config{Policy: func(string) docker.Policy { return p }, Grace: time.Second}
}

func newExecutor(t *testing.T, cfg docker.Config) *docker.Executor {
	t.Helper()
	e := docker.New(cfg)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// taskOf is the id of the test's task. Another run of the tests may be on the same engine.
func taskOf(t *testing.T) string { return fmt.Sprintf("%s-%d", t.Name(), os.Getpid()) }

// attempt is a call with a key of its own, so that tests don't end one another's containers.
func attempt(t *testing.T, inputs any) (*executors.Call, *conformance.Recorder) {
	t.Helper()
	call, recorder := conformance.Call(t, inputs)
	call.TaskID, call.IdempotencyKey = taskOf(t), fmt.Sprintf("%s-%d", taskOf(t), time.Now().UnixNano())
	return call, recorder
}

type inputs map[string]any

func run(t *testing.T, e *docker.Executor, in inputs) (*docker.Result, *conformance.Recorder, error) {
	t.Helper()
	call, recorder := attempt(t, in)
	out, err := e.Run(t.Context(), call)
	result, _ := out.Value().(*docker.Result)
	wantNothingLeft(t)
	return result, recorder, err
}

func mustRun(t *testing.T, e *docker.Executor, in inputs) *docker.Result {
	t.Helper()
	got, _, err := run(t, e, in)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantNothingLeft demands that no container of this test is on the engine.
func wantNothingLeft(t *testing.T) {
	t.Helper()
	if left := dockertest.Containers(t, dockertest.Client(t), "taskgrove.task="+taskOf(t)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRunsACommand(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{})
	got, recorder, err := run(t, e, inputs{
		"image": image, "command": `say "one two" err oops env user where exit 3`, "env": inputs{"A": "b c", "N": 7},
		"user": "1000:1000", "working_dir": "/tmp", "separate": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.ExitCode != 3 || got.Success || got.Image != image || string(got.Command) == "" || len(got.ContainerID) != 64 || !strings.HasPrefix(got.ImageID, "sha256:") {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{"one two\n", "oops\n", "A=b c\n", "N=7\n", "TASKGROVE_ATTEMPT=1\n", "TASKGROVE_TASK_ID=" + taskOf(t), "TASKGROVE_IDEMPOTENCY_KEY=", "\n1000\n", "\n/tmp\n"} {
		if !strings.Contains(got.Logs, want) {
			t.Errorf("logs lack %q: %s", want, got.Logs)
		}
	}
	if !strings.HasPrefix(*got.Stdout, "one two\n") || *got.Stderr != "oops\n" {
		t.Errorf("stdout %q, stderr %q", *got.Stdout, *got.Stderr)
	}
	if lines := recorder.Lines(); !slices.Contains(lines, "stdout: one two") || !slices.Contains(lines, "stderr: oops") {
		t.Errorf("logged %v", lines)
	}
}

func TestCommandHasThreeForms(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{})
	for _, row := range []struct {
		command any
		want    string
	}{
		{[]string{"say", "a && b"}, "a && b\n"},
		{"say 'a && b' say c", "a && b\nc\n"},
		{[]string{}, "hello\n"}, // the image's own
	} {
		if got := mustRun(t, e, inputs{"image": image, "command": row.command}); got.Logs != row.want || !got.Success {
			t.Errorf("%v: got %+v", row.command, got)
		}
	}
	if got := mustRun(t, e, inputs{"image": image, "entrypoint": []string{"/box", "say"}, "command": "x"}); got.Logs != "x\n" {
		t.Errorf("entrypoint: got %q", got.Logs)
	}
}

func TestStdinIsRead(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, docker.Config{})
	if got := mustRun(t, e, inputs{"image": dockertest.Image(t), "command": "cat", "stdin": "a\nb"}); got.Logs != "a\nb" {
		t.Errorf("got %q", got.Logs)
	}
}

func TestLimitsReachTheContainer(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{MaxOutputBytes: 10_000})
	got := mustRun(t, e, inputs{"image": image, "command": "flood 100"})
	if len(got.Logs) != 10_000 || !got.Truncated || !slices.Contains(got.TruncatedFields, "logs") {
		t.Errorf("output: kept %d bytes, truncated %v", len(got.Logs), got.Truncated)
	}
	got = mustRun(t, e, inputs{"image": image, "command": "status", "cap_drop": []string{"ALL"}})
	if !strings.Contains(got.Logs, "NoNewPrivs:\t1") || !strings.Contains(got.Logs, "CapEff:\t0000000000000000") {
		t.Errorf("rights: %s", got.Logs)
	}
	got = mustRun(t, e, inputs{"image": image, "command": "write /tmp/x y", "read_only": true})
	if got.Success || !strings.Contains(got.Logs, "read-only") {
		t.Errorf("read_only: %+v", got)
	}
	got = mustRun(t, e, inputs{"image": image, "command": "write /scratch/x y read /scratch/x", "read_only": true, "tmpfs": inputs{"/scratch": "1m"}})
	if got.Logs != "y" {
		t.Errorf("tmpfs: %+v", got)
	}
}

// TestTellsOfTooLittleMemory tries it a few times, as an engine may lose the event that tells it so. It then says no more than it knows.
func TestTellsOfTooLittleMemory(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{})
	in := inputs{"image": image, "command": "eat 200 sleep 5", "fail_on_error": true, "resources": inputs{"memory": "32m", "cpu": "0.5", "pids": 50, "shm": "1m"}}
	for range 5 {
		got, _, err := run(t, e, in)
		if got == nil || got.ExitCode != 137 || got.Success || err == nil || !strings.Contains(err.Error(), "more memory than it may have)") {
			t.Fatalf("over its memory: got %+v, %v", got, err)
		}
		if got.OOMKilled {
			if want := "container ended with exit code 137 (it needed more memory than it may have)"; err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
			return
		}
	}
	t.Error("the engine never said that the container had more memory than it may")
}

// TestTellsThatItWasKilled has somebody else kill the container: the engine does not know why.
func TestTellsThatItWasKilled(t *testing.T) {
	t.Parallel()
	image, e, cli := dockertest.Image(t), newExecutor(t, docker.Config{}), dockertest.Client(t)
	call, recorder := attempt(t, inputs{"image": image, "command": "deaf say ready sleep 600", "timeout": 600, "fail_on_error": true})
	go func() {
		<-recorder.Logged("stdout: ready")
		for _, id := range dockertest.Containers(t, cli, "taskgrove.task="+call.TaskID) {
			_, _ = cli.ContainerKill(t.Context(), id, client.ContainerKillOptions{})
		}
	}()
	out, err := e.Run(t.Context(), call)
	got, _ := out.Value().(*docker.Result)
	want := "container ended with exit code 137 (it was killed, and may have needed more memory than it may have): ready"
	if got == nil || got.ExitCode != 137 || got.OOMKilled || err == nil || err.Error() != want {
		t.Errorf("got %+v, %v, want %q", got, err, want)
	}
	wantNothingLeft(t)
}

func TestMountsAnAllowedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	image, e := dockertest.Image(t), newExecutor(t, with(docker.Policy{Mounts: []docker.MountRoot{{Path: dir}}}))
	got := mustRun(t, e, inputs{"image": image, "command": "read /data/in write /data/out back", "volumes": inputs{dir: "/data"}})
	text, _ := os.ReadFile(filepath.Join(dir, "out"))
	if got.Logs != "from the host" || string(text) != "back" {
		t.Errorf("got %+v, and %q on the host", got, text)
	}
	got = mustRun(t, e, inputs{"image": image, "command": "write /data/out2 back", "volumes": inputs{dir: "/data:ro"}})
	if got.Success {
		t.Errorf("wrote to what is mounted for reading: %+v", got)
	}
	_, _, err := run(t, e, inputs{"image": image, "command": "say x", "volumes": inputs{dir + "/none": "/data"}})
	if !executors.IsPermanent(err) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{Grace: time.Second})
	for name, row := range map[string]struct {
		in        inputs
		want      string
		permanent bool
	}{
		"exit code":         {inputs{"image": image, "command": "err why exit 4", "fail_on_error": true}, "container ended with exit code 4: why", false},
		"timeout":           {inputs{"image": image, "command": "sleep 600", "timeout": 0.7}, "Container timeout after 0.7 seconds", false},
		"no such image":     {inputs{"image": "taskgrove-test/none:1", "command": "x", "pull": "never"}, "image docker.io/taskgrove-test/none:1 is not on the engine, and pull is never", true},
		"no such program":   {inputs{"image": image, "entrypoint": "/none", "command": "x"}, "start container: ", true},
		"no such network":   {inputs{"image": image, "command": "x", "network": "taskgrove-none"}, `network: "taskgrove-none" is not allowed here`, true},
		"no such directory": {inputs{"image": image, "command": "x", "user": "nobody-at-all"}, "start container: ", true},
	} {
		got, _, err := run(t, e, row.in)
		if err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "[docker_executor] "), row.want) || executors.IsPermanent(err) != row.permanent {
			t.Errorf("%s: got %v (permanent: %v), %+v", name, err, executors.IsPermanent(err), got)
		}
	}
}

func TestCancelEndsTheContainer(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{Grace: 2 * time.Second})
	for name, row := range map[string]struct {
		command, ready, last string
		code                 int
	}{
		"obeys": {"obey", "stdout: waiting", "waiting\ntold to stop\n", 0},
		"deaf":  {"deaf say ready sleep 600", "stdout: ready", "ready\n", 137},
	} {
		call, recorder := attempt(t, inputs{"image": image, "command": row.command, "timeout": 600})
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-recorder.Logged(row.ready)
			cancel(executors.ErrCancelled)
		}()
		out, err := e.Run(ctx, call)
		got, _ := out.Value().(*docker.Result)
		if !errors.Is(err, executors.ErrCancelled) || out.Kind() != executors.KindPartial || got.Logs != row.last || got.ExitCode != row.code || got.Success {
			t.Errorf("%s: got %v, %+v", name, err, got)
		}
		wantNothingLeft(t)
	}
}

func TestALaterAttemptEndsTheOneBefore(t *testing.T) {
	t.Parallel()
	image, first, second := dockertest.Image(t), newExecutor(t, docker.Config{}), newExecutor(t, docker.Config{})
	call, recorder := attempt(t, inputs{"image": image, "command": "deaf say ready sleep 600", "timeout": 600})
	ended := make(chan error, 1)
	go func() {
		out, err := first.Run(t.Context(), call)
		if got, ok := out.Value().(*docker.Result); ok && err == nil && got.Success {
			err = errors.New("succeeded")
		}
		ended <- err
	}()
	<-recorder.Logged("stdout: ready")
	again := *call
	again.Attempt, again.Inputs = 2, json.RawMessage(`{"image": "`+image+`", "command": "say second"}`)
	out, err := second.Run(t.Context(), &again)
	if got, ok := out.Value().(*docker.Result); err != nil || !ok || got.Logs != "second\n" {
		t.Fatalf("got %v, %v", out, err)
	}
	<-ended
	wantNothingLeft(t)
}

func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	const secret = "canary-9f3"
	e := newExecutor(t, docker.Config{})
	for _, in := range []inputs{
		{"image": "127.0.0.1:1/none:1", "command": "x", "registry_auth": inputs{"username": "u", "password": secret}},
		{"image": "127.0.0.1:1/none:1", "command": "x", "registry_auth": secret},
		{"image": "127.0.0.1:1/none:1", "command": "x", "env": inputs{"A": []string{secret}}},
		{"image": "127.0.0.1:1/none:1", "command": "x", "env": inputs{"A=": secret}, "pull": "never"},
	} {
		_, recorder, err := run(t, e, in)
		if err == nil || strings.Contains(err.Error()+strings.Join(recorder.Lines(), ""), secret) {
			t.Errorf("%v: got %v, %v", in, err, recorder.Lines())
		}
	}
}

// TestExamples runs what the documentation shows, with an image of the test's in place of those that it names.
func TestExamples(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t, `ENTRYPOINT []`, `CMD []`), newExecutor(t, docker.Config{})
	want := []string{"hello\n", "--month 2026-11 csv \n"}
	for i, example := range e.Describe().Examples {
		var in inputs
		if err := json.Unmarshal(example.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		in["image"] = image
		if got := mustRun(t, e, in); i >= len(want) || !got.Success || got.Logs != want[i] {
			t.Errorf("%s: got %+v", example.Title, got)
		}
	}
}
