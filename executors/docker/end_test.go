package docker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

// asWorker is set in the process that a test starts as its worker: the inputs of the only attempt.
const asWorker = "TASKGROVE_TEST_DOCKER_WORKER"

// TestMain runs this program as a worker with one attempt, if a test has started it so.
func TestMain(m *testing.M) {
	if inputs := os.Getenv(asWorker); inputs != "" {
		call := &executors.Call{
			TaskID: os.Getenv(asWorker + "_TASK"), IdempotencyKey: os.Getenv(asWorker + "_TASK"), Attempt: 1, Inputs: json.RawMessage(inputs),
			Reporter: printer{}, Lease: conformance.Unlimited{},
		}
		_, err := docker.New(docker.Config{}).Run(context.Background(), call)
		fmt.Println("ended", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// printer prints the lines of output.
type printer struct{}

func (printer) Log(_, line string)       { fmt.Println(line) }
func (printer) Progress(float64, string) {}

// startWorker starts a process that runs the inputs, and waits until its container has said ready.
func startWorker(t *testing.T, task, inputs string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asWorker+"="+inputs, asWorker+"_TASK="+task)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return cmd
		}
	}
	t.Fatal("the worker's container never said ready")
	return nil
}

// wantSoonGone waits until no container of the task is on the engine.
func wantSoonGone(t *testing.T, cli *client.Client, task string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		left := dockertest.Containers(t, cli, "taskgrove.task="+task)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left: %v", left)
		}
	}
}

// TestKilledWorkerLeavesNothing has an image that says it were to be kept.
func TestKilledWorkerLeavesNothing(t *testing.T) {
	t.Parallel()
	cli, image := dockertest.Client(t), dockertest.Image(t, `LABEL taskgrove.keep=true taskgrove.ends=1`)
	worker := startWorker(t, taskOf(t), `{"image": "`+image+`", "command": "deaf say ready sleep 600", "timeout": 600}`)
	if got := dockertest.Containers(t, cli, "taskgrove.task="+taskOf(t)); len(got) != 1 {
		t.Fatalf("%v run, want one", got)
	}
	if err := worker.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantSoonGone(t, cli, taskOf(t))
}

// TestWhatWorkerAndWardenLeaveIsSwept kills both, as the end of a whole control group does.
func TestWhatWorkerAndWardenLeaveIsSwept(t *testing.T) {
	t.Parallel()
	cli, image := dockertest.Client(t), dockertest.Image(t)
	e := docker.NewEngine(docker.Config{})
	t.Cleanup(func() { _ = e.Close() })
	dead := startWorker(t, taskOf(t), `{"image": "`+image+`", "command": "deaf say ready sleep 600", "timeout": 600}`)
	alive := taskOf(t) + "-alive"
	startWorker(t, alive, `{"image": "`+image+`", "command": "deaf say ready sleep 600", "timeout": 600}`)
	for _, pid := range []int{wardenOf(t, dead.Process.Pid), dead.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // so that neither starts the other again
			t.Fatal(err)
		}
	}
	warden := wardenOf(t, dead.Process.Pid)
	_, _ = e.Sweep(t.Context())
	if got := dockertest.Containers(t, cli, "taskgrove.task="+taskOf(t)); len(got) != 1 {
		t.Fatalf("a sweep ended what a frozen worker runs: %v", got)
	}
	for _, pid := range []int{dead.Process.Pid, warden} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = dead.Wait()
	if _, err := e.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	wantSoonGone(t, cli, taskOf(t))
	if got := dockertest.Containers(t, cli, "taskgrove.task="+alive); len(got) != 1 {
		t.Errorf("the sweep ended what a living worker runs: %v", got)
	}
}

// wardenOf is the pid of a worker's warden.
func wardenOf(t *testing.T, worker int) int {
	t.Helper()
	names, _ := os.ReadDir("/proc")
	for _, name := range names {
		line, _ := os.ReadFile("/proc/" + name.Name() + "/cmdline")
		stat, _ := os.ReadFile("/proc/" + name.Name() + "/stat")
		if strings.HasPrefix(string(line), "taskgrove-warden\x00") && strings.Contains(string(stat), fmt.Sprintf(" %d ", worker)) {
			var pid int
			_, _ = fmt.Sscan(name.Name(), &pid)
			return pid
		}
	}
	t.Fatal("no warden")
	return 0
}

// lease ends at a time, which changes once, when changed is closed.
type lease struct {
	first, then time.Time
	changed     chan struct{}
}

func (l *lease) Until() time.Time {
	select {
	case <-l.changed:
		return l.then
	default:
		return l.first
	}
}

func (l *lease) Changed() <-chan struct{} {
	select {
	case <-l.changed:
		return nil
	default:
		return l.changed
	}
}

// TestTheLeasesEndEndsTheContainer has nobody but the warden to notice.
func TestTheLeasesEndEndsTheContainer(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, docker.Config{})
	call, recorder := attempt(t, inputs{"image": dockertest.Image(t), "command": "deaf say ready sleep 600", "timeout": 600})
	l := &lease{first: time.Now().Add(time.Hour), changed: make(chan struct{})}
	call.Lease = l
	go func() {
		<-recorder.Logged("stdout: ready")
		l.then = time.Now().Add(2 * time.Second)
		close(l.changed)
	}()
	if _, err := e.Run(t.Context(), call); !errors.Is(err, executors.ErrLeaseLost) {
		t.Errorf("got %v, want the lease's loss", err)
	}
	wantNothingLeft(t)
}

// TestSweepKnowsTimesAndStates makes containers as workers of another host would have left them.
func TestSweepKnowsTimesAndStates(t *testing.T) {
	t.Parallel()
	cli, image := dockertest.Client(t), dockertest.Image(t)
	e := docker.NewEngine(docker.Config{})
	t.Cleanup(func() { _ = e.Close() })
	make := func(labels map[string]string, start bool) string {
		labels["taskgrove.instance"], labels["taskgrove.process"], labels["taskgrove.task"] = "other", "other-boot/pid:[1]/1/1", taskOf(t)
		got, err := cli.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{Image: image, Cmd: []string{"sleep", "600"}, Labels: labels}})
		if err == nil && start {
			_, err = cli.ContainerStart(t.Context(), got.ID, client.ContainerStartOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = cli.ContainerRemove(context.WithoutCancel(t.Context()), got.ID, client.ContainerRemoveOptions{Force: true})
		})
		return got.ID
	}
	at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	late := make(map[string]string{"taskgrove.ends": at(-11 * time.Minute)}, true)
	justOver := make(map[string]string{"taskgrove.ends": at(-9 * time.Minute)}, true)
	runs := make(map[string]string{"taskgrove.ends": at(time.Hour)}, true)
	begins := make(map[string]string{"taskgrove.ends": at(time.Hour)}, false)
	if _, err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := dockertest.Containers(t, cli, "taskgrove.task="+taskOf(t))
	if slices.Contains(left, late) || !slices.Contains(left, justOver) || !slices.Contains(left, runs) || !slices.Contains(left, begins) {
		t.Errorf("late %v, just over %v, runs %v, begins %v: left are %v", late, justOver, runs, begins, left)
	}
}

func TestKeptContainersAreStopped(t *testing.T) {
	t.Parallel()
	cli, e := dockertest.Client(t), newExecutor(t, docker.Config{Grace: time.Second})
	call, recorder := attempt(t, inputs{"image": dockertest.Image(t), "command": "say hello sleep 600", "remove": false, "timeout": 600})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-recorder.Logged("stdout: hello")
		cancel(executors.ErrCancelled)
	}()
	out, err := e.Run(ctx, call)
	got, _ := out.Value().(*docker.Result)
	if err == nil || got == nil {
		t.Fatalf("got %v, %v", got, err)
	}
	t.Cleanup(func() {
		_, _ = cli.ContainerRemove(context.WithoutCancel(t.Context()), got.ContainerID, client.ContainerRemoveOptions{Force: true})
	})
	there, err := cli.ContainerInspect(t.Context(), got.ContainerID, client.ContainerInspectOptions{})
	if err != nil || there.Container.State.Running {
		t.Errorf("got %+v, %v", there.Container.State, err)
	}
}

// registry serves one image under any name, to who knows the password.
func registry(t *testing.T, user, password string) (host string, asked *atomic.Int64) {
	t.Helper()
	layer := dockertest.Layer(t)
	config := []byte(`{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/box"]},"rootfs":{"type":"layers","diff_ids":["` + dockertest.Digest(layer) + `"]}}`)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",`+
		`"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":"%s"},`+
		`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":"%s"}]}`,
		len(config), dockertest.Digest(config), len(layer), dockertest.Digest(layer))
	blobs := map[string][]byte{dockertest.Digest(layer): layer, dockertest.Digest(config): config}
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		_, last, _ := strings.Cut(r.URL.Path[strings.LastIndex(r.URL.Path, "/"):], "/")
		switch {
		case strings.Contains(r.URL.Path, "/missing/"):
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, http.StatusNotFound)
		case strings.Contains(r.URL.Path, "/manifests/"):
			asked.Add(1)
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
			w.Header().Set("Docker-Content-Digest", dockertest.Digest(manifest))
			_, _ = w.Write(manifest)
		case blobs[last] != nil:
			_, _ = w.Write(blobs[last])
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func TestPullsWithALogin(t *testing.T) {
	t.Parallel()
	const password = "canary-71c"
	cli, e := dockertest.Client(t), newExecutor(t, docker.Config{})
	host, asked := registry(t, "robot", password)
	image := host + "/team/box:1"
	t.Cleanup(func() {
		_, _ = cli.ImageRemove(context.WithoutCancel(t.Context()), image, client.ImageRemoveOptions{Force: true})
	})
	login := inputs{"username": "robot", "password": password}
	for name, in := range map[string]inputs{
		"no login":      {"image": image, "command": "say x"},
		"wrong login":   {"image": image, "command": "say x", "registry_auth": inputs{"username": "robot", "password": "x" + password}},
		"no such image": {"image": host + "/missing/box:1", "command": "say x", "registry_auth": login},
	} {
		_, recorder, err := run(t, e, in)
		if !executors.IsPermanent(err) || !strings.HasPrefix(err.Error(), "pull image "+host) || strings.Contains(err.Error()+strings.Join(recorder.Lines(), ""), password) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	got := mustRun(t, e, inputs{"image": image, "command": "say pulled", "registry_auth": login})
	if got.Logs != "pulled\n" || !strings.HasPrefix(got.ImageDigest, "sha256:") {
		t.Errorf("got %+v", got)
	}
	before := asked.Load()
	mustRun(t, e, inputs{"image": image, "command": "say here", "pull": "never"})
	mustRun(t, e, inputs{"image": image, "command": "say here"})
	if asked.Load() != before {
		t.Error("an image that is there was asked for")
	}
	mustRun(t, e, inputs{"image": image, "command": "say again", "pull": "always", "registry_auth": login})
	if asked.Load() == before {
		t.Error("pull: always did not ask the registry")
	}
	mustRun(t, e, inputs{"image": host + "/team/box@" + got.ImageDigest, "command": "say by-digest"})
}

func (printer) Checkpoint(data json.RawMessage) error { return nil }
