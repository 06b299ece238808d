package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// box is the image that the tests' Jobs run.
const box = "docker.io/taskgrove-test/box:kubernetes"

// testCluster is a namespace of its own on the cluster of this machine.
type testCluster struct {
	api       *kubeapi.Client
	namespace string
	path      string // of the kubeconfig
}

// loaded loads the image into the nodes once per test program.
var loaded struct {
	sync.Once
	err error
}

// newCluster gives a namespace, or skips the test; with TASKGROVE_KUBERNETES it fails.
func newCluster(t *testing.T) *testCluster {
	t.Helper()
	home := os.Getenv("CLUSTER_HOME")
	if home == "" {
		home = "/tmp/cluster"
	}
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		path = filepath.Join(home, "kubeconfig")
	}
	skip := t.Skipf
	if os.Getenv("TASKGROVE_KUBERNETES") != "" { // make kubernetes
		skip = t.Fatalf
	}
	nodes, _ := filepath.Glob(filepath.Join(home, "node*", "containerd.sock"))
	access, err := find(path, kubeapi.Account)
	if err != nil || len(nodes) == 0 {
		skip("skipped: no Kubernetes cluster of this machine runs (KUBECONFIG, and nodes in CLUSTER_HOME): %v", err)
	}
	a := newAPI(access, network.New(network.Config{}).Pool(""))
	t.Cleanup(a.Close)
	if err := a.Call(t.Context(), http.MethodGet, "/version", nil, nil, nil); err != nil {
		skip("skipped: the Kubernetes cluster of %s does not answer: %v", path, err)
	}
	loaded.Do(func() {
		archive := dockertest.Archive(t, box)
		for _, node := range nodes {
			cmd := exec.Command("ctr", "-a", node, "-n", "k8s.io", "images", "import", "-")
			cmd.Stdin = bytes.NewReader(archive)
			if out, err := cmd.CombinedOutput(); err != nil {
				loaded.err = fmt.Errorf("load the image: %w: %s", err, out)
			}
		}
	})
	if loaded.err != nil {
		t.Fatal(loaded.err)
	}
	c := &testCluster{api: a, namespace: fmt.Sprintf("taskgrove-test-%d", time.Now().UnixNano()), path: path}
	c.must(t, http.MethodPost, "/api/v1/namespaces", object{"metadata": object{"name": c.namespace}}, nil)
	t.Cleanup(func() {
		_ = a.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/api/v1/namespaces/"+c.namespace, nil, nil, nil)
	})
	for a.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/"+c.namespace+"/serviceaccounts/default", nil, nil, nil) != nil {
		<-time.After(50 * time.Millisecond) // it is made soon after
	}
	return c
}

func (c *testCluster) must(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := c.api.Call(context.WithoutCancel(t.Context()), method, path, nil, in, out); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

// left are the Jobs and pods of the namespace.
func (c *testCluster) left(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, path := range []string{"/apis/batch/v1/namespaces/" + c.namespace + "/jobs", "/api/v1/namespaces/" + c.namespace + "/pods"} {
		var list struct {
			Items []pod `json:"items"`
		}
		c.must(t, http.MethodGet, path, nil, &list)
		for _, one := range list.Items {
			names = append(names, one.Metadata.Name)
		}
	}
	return names
}

func (c *testCluster) executor(t *testing.T, change func(*Policy)) *Executor {
	t.Helper()
	policy := Policy{Namespaces: []string{c.namespace}}
	if change != nil {
		change(&policy)
	}
	e := New(Config{
		Kubeconfig: c.path, Grace: 2 * time.Second,
		Policy: func(string) Policy { return policy }, Pools: func() []string { return []string{"p"} },
	}, network.New(network.Config{}))
	t.Cleanup(func() { _ = e.Close() })
	return e
}

type inputs map[string]any

func attempt(t *testing.T, in inputs) (*executors.Call, *conformance.Recorder) {
	t.Helper()
	call, recorder := conformance.Call(t, in)
	call.TaskID, call.IdempotencyKey = t.Name(), fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
	return call, recorder
}

func runIt(t *testing.T, c *testCluster, e *Executor, in inputs) (*Result, *conformance.Recorder, error) {
	t.Helper()
	call, recorder := attempt(t, in)
	out, err := e.Run(t.Context(), call)
	result, _ := out.Value().(*Result)
	if left := c.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	return result, recorder, err
}

func TestRunsAJob(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, func(p *Policy) { p.Secrets = []string{"app-*"}; p.DefaultMemory = "64Mi" })
	c.must(t, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/secrets", object{
		"metadata": object{"name": "app-token"}, "stringData": object{"token": "from-a-secret", "OTHER": "x"},
	}, nil)
	got, recorder, err := runIt(t, c, e, inputs{
		"image": box, "args": []string{"say", "one two", "env", "read", "/secret/token", "exit", "3"}, "env": inputs{"A": "b", "N": 7},
		"env_secrets": inputs{"TOKEN": "app-token/token"}, "env_from_secrets": []string{"app-token"},
		"volumes":   []inputs{{"mount": "/secret", "secret": "app-token", "read_only": true}, {"mount": "/scratch", "empty_dir": "1Mi"}},
		"resources": inputs{"cpu": "100m"}, "timeout": 60,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one two\n", "A=b\n", "N=7\n", "TOKEN=from-a-secret\n", "OTHER=x\n", "TASKGROVE_ATTEMPT=1\n", "TASKGROVE_TASK_ID=" + t.Name()} {
		if !strings.Contains(got.Logs, want) {
			t.Errorf("logs lack %q: %s", want, got.Logs)
		}
	}
	if got.ExitCode != 3 || got.Success || got.Reason != "Error" || got.Node == "" || got.Pod == "" || !strings.HasSuffix(got.Logs, "from-a-secret") {
		t.Errorf("got %+v", got)
	}
	if !slices.Contains(recorder.Lines(), "stdout: one two") {
		t.Errorf("logged %v", recorder.Lines())
	}
	got, _, err = runIt(t, c, e, inputs{"image": box})
	if err != nil || got.Logs != "hello\n" || !got.Success || got.Reason != "Completed" {
		t.Errorf("the image's own command: got %+v, %v", got, err)
	}
}

func TestOutputComesWhileItRuns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, nil)
	call, recorder := attempt(t, inputs{"image": box, "args": []string{"say", "ready", "obey"}, "timeout": 60})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-recorder.Logged("stdout: waiting")
		cancel(executors.ErrCancelled)
	}()
	out, err := e.Run(ctx, call)
	got, _ := out.Value().(*Result)
	if !errors.Is(err, executors.ErrCancelled) || got.Logs != "ready\nwaiting\ntold to stop\n" {
		t.Errorf("got %v, %+v", err, got)
	}
	if left := c.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestHowPodsEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, nil)
	for name, row := range map[string]struct {
		in        inputs
		want      string // beginning of the error; empty: none
		part      string // of the error
		permanent bool
		reason    string
	}{
		"out of memory":   {inputs{"image": box, "args": []string{"eat", "200", "sleep", "5"}, "resources": inputs{"memory": "32Mi"}}, "", "", false, "OOMKilled"},
		"exit code":       {inputs{"image": box, "args": []string{"say", "why", "exit", "4"}, "fail_on_error": true}, "container ended with exit code 4", "why", false, "Error"},
		"timeout":         {inputs{"image": box, "args": []string{"deaf", "sleep", "600"}, "timeout": 4}, "Job timeout after 4 seconds", "", false, ""},
		"no such image":   {inputs{"image": "127.0.0.1:1/none:1", "pull": "never", "timeout": 60}, "ErrImageNeverPull", "", true, ""},
		"no such program": {inputs{"image": box, "command": []string{"/none"}, "timeout": 60}, "", "", false, "StartError"},
		"no such secret":  {inputs{"image": box, "env": inputs{}, "volumes": []inputs{}, "timeout": 60, "namespace": "none"}, "[kubernetes_executor] namespace", "", true, ""},
		"no room":         {inputs{"image": box, "resources": inputs{"cpu": "1000"}, "timeout": 3}, "Job timeout after 3 seconds", "Insufficient cpu", false, ""},
	} {
		got, recorder, err := runIt(t, c, e, row.in)
		text := fmt.Sprint(err)
		if (err != nil) != (row.want != "") || row.want != "" && (!strings.HasPrefix(text, row.want) || !strings.Contains(text, row.part)) || executors.IsPermanent(err) != row.permanent {
			t.Errorf("%s: got %v (permanent: %v), %+v, %v", name, err, executors.IsPermanent(err), got, recorder.Lines())
		}
		if row.reason != "" && (got == nil || got.Reason != row.reason) {
			t.Errorf("%s: got %+v, want the reason %s", name, got, row.reason)
		}
	}
}

func TestALaterAttemptEndsTheOneBefore(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := c.executor(t, nil), c.executor(t, nil)
	call, recorder := attempt(t, inputs{"image": box, "args": []string{"deaf", "say", "ready", "sleep", "600"}, "timeout": 600})
	ended := make(chan error, 1)
	go func() {
		_, err := first.Run(t.Context(), call)
		ended <- err
	}()
	<-recorder.Logged("stdout: ready")
	again := *call
	again.Attempt, again.Inputs = 2, json.RawMessage(`{"image": "`+box+`", "args": ["say", "second"]}`)
	out, err := second.Run(t.Context(), &again)
	if got, ok := out.Value().(*Result); err != nil || !ok || got.Logs != "second\n" {
		t.Fatalf("got %+v, %v", out.Value(), err)
	}
	<-ended
	if left := c.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestASweepDeletesJobsWithoutALease has a Job whose worker is gone beside one whose worker lives.
func TestASweepDeletesJobsWithoutALease(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, nil)
	make := func(lease time.Time) string {
		call, _ := attempt(t, inputs{"image": box, "args": []string{"sleep", "600"}})
		in, err := parse(call)
		if err != nil {
			t.Fatal(err)
		}
		in.Timeout = "60"
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		job, err := e.plan(ctx, e.cfg.Policy(""), call, in)
		if err != nil {
			t.Fatal(err)
		}
		child(child(job, "metadata"), "annotations")[noteLease] = leaseFrom(lease)
		c.must(t, http.MethodPost, "/apis/batch/v1/namespaces/"+c.namespace+"/jobs", job, nil)
		return nameOf(call)
	}
	dead, alive := make(time.Now().Add(-leaseFor-2*late)), make(time.Now())
	for removed := 0; removed == 0; { // none, if the Job changed after the sweep had looked at it
		var err error
		if removed, err = sweep(t.Context(), c.api, c.namespace); removed > 1 || err != nil {
			t.Fatalf("removed %d, %v; want the one", removed, err)
		}
	}
	jobs := "/apis/batch/v1/namespaces/" + c.namespace + "/jobs/"
	for c.api.Call(t.Context(), http.MethodGet, jobs+dead, nil, nil, nil) == nil {
		<-time.After(20 * time.Millisecond)
	}
	c.must(t, http.MethodGet, jobs+alive, nil, nil)
	if err := removeJob(t.Context(), c.api, strings.TrimSuffix(jobs, "/"), alive); err != nil {
		t.Error(err)
	}
}

// TestAJobThatIsThereIsTaken: the answer to the request that made it was lost.
func TestAJobThatIsThereIsTaken(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, nil)
	call, _ := attempt(t, inputs{"image": box, "args": []string{"say", "once", "sleep", "1"}, "timeout": 60})
	in, _ := parse(call)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	job, err := e.plan(ctx, e.cfg.Policy(""), call, in)
	if err != nil {
		t.Fatal(err)
	}
	c.must(t, http.MethodPost, "/apis/batch/v1/namespaces/"+c.namespace+"/jobs", job, nil)
	out, err := e.Run(t.Context(), call)
	if got, ok := out.Value().(*Result); err != nil || !ok || got.Logs != "once\n" {
		t.Errorf("got %+v, %v", out.Value(), err)
	}
}

// TestRightsAreSaid: a worker whose account may do nothing.
func TestRightsAreSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	e := c.executor(t, nil)
	var token struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	c.must(t, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/serviceaccounts/default/token", object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": object{}}, &token)
	access, err := e.reach()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.Status.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	access.Client, access.TokenFile = nil, file
	_, _, err = runIt(t, c, e, inputs{"image": box, "timeout": 30})
	if !executors.IsPermanent(err) || !strings.Contains(err.Error(), `cannot list resource "jobs"`) || strings.Contains(err.Error(), token.Status.Token) {
		t.Errorf("got %v", err)
	}
}

func TestKubernetesConforms(t *testing.T) {
	c := newCluster(t)
	conformance.Test(t, func(t *testing.T) executors.Executor { return unique{c.executor(t, nil)} }, conformance.Features{
		Quick:         `{"image": "` + box + `", "args": ["say", "hello"], "timeout": 60}`,
		Slow:          `{"image": "` + box + `", "args": ["deaf", "sleep", "600"], "timeout": 600}`,
		Missing:       map[string]string{`{"args": "x"}`: "[kubernetes_executor] image is required in inputs"},
		TimesOut:      map[string]string{`{"image": "` + box + `", "args": ["sleep", "600"], "timeout": 3}`: "Job timeout after 3 seconds"},
		StopWithin:    30 * time.Second,
		Concurrent:    3,
		LargestResult: 3 << 20,
		Large:         `{"image": "` + box + `", "args": ["flood", "3000"], "timeout": 60}`,
		Left: func() error {
			if left := c.left(t); len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
			return nil
		},
		Demo: map[string][]string{`{"image": "x"}`: {"logs", "exit_code"}},
	})
}

// unique gives each call a key of its own: the suite runs the same one several times at once, which a worker never does.
type unique struct{ *Executor }

func (u unique) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	own := *call
	own.IdempotencyKey = fmt.Sprint(call.IdempotencyKey, time.Now().UnixNano())
	return u.Executor.Run(ctx, &own)
}
