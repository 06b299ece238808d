package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// TestExamples runs what the documentation shows, with an image, a namespace and a secret of the test's.
func TestExamples(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.must(t, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/secrets", object{
		"metadata": object{"name": "report"}, "stringData": object{"token": "of-the-secret"},
	}, nil)
	for i, example := range New(Config{}, nil).Describe().Examples {
		e := c.executor(t, func(p *Policy) {
			p.Secrets = []string{"report"}
			if i == 1 { // what its image would begin with
				p.Template = object{"spec": object{"containers": []any{object{"name": "main", "command": []any{"/bin/report"}}}}}
			}
		})
		var in inputs
		if err := json.Unmarshal(example.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		in["image"] = box
		if in["namespace"] != nil {
			in["namespace"] = c.namespace
		}
		want := []string{"hello\n", "--month 2026-11  of-the-secret\n"}
		if got, _, err := runIt(t, c, e, in); err != nil || i >= len(want) || !got.Success || got.Logs != want[i] {
			t.Errorf("%s: got %+v, %v", example.Title, got, err)
		}
	}
}

// TestQuotasAreSaid: one that refuses the pod, of which only events tell, and one that refuses the Job.
func TestQuotasAreSaid(t *testing.T) {
	t.Parallel()
	for limited, want := range map[string]string{"pods": "Job timeout after 6 seconds", "count/jobs.batch": "make Job: "} {
		c := newCluster(t)
		c.must(t, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/resourcequotas", object{
			"metadata": object{"name": "nothing"}, "spec": object{"hard": object{limited: "0"}},
		}, nil)
		c.until(t, "the quota counts", "/api/v1/namespaces/"+c.namespace+"/resourcequotas/nothing", func(o object) bool {
			return child(child(o, "status"), "hard")[limited] != nil
		})
		_, recorder, err := runIt(t, c, c.executor(t, nil), inputs{"image": box, "timeout": 6})
		if err == nil || executors.IsPermanent(err) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "exceeded quota") {
			t.Errorf("%s: got %v (permanent: %v), %v", limited, err, executors.IsPermanent(err), recorder.Lines())
		}
	}
}

// until waits until an object of the API is as it should be.
func (c *testCluster) until(t *testing.T, fact, path string, is func(object) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		o := object{}
		if err := c.api.Call(t.Context(), http.MethodGet, path, nil, nil, &o); err == nil && is(o) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%s: still not so: %v, %v", fact, o, err)
		}
	}
}

// TestTheAPIGoesAwayForAWhile: while a Job runs, all connections to the API break, and for two seconds there are no new ones.
func TestTheAPIGoesAwayForAWhile(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	access, err := find(c.path, kubeapi.Account)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(access.Server)
	if err != nil {
		t.Fatal(err)
	}
	relay := newRelay(t, server.Host)
	access.Server, access.Name = "https://"+relay.listener.Addr().String(), server.Hostname()
	e := c.executor(t, nil)
	e.find.Do(func() { e.access = access })
	call, recorder := attempt(t, inputs{"image": box, "args": []string{"say", "ready", "sleep", "4", "say", "done"}, "timeout": 60})
	go func() {
		<-recorder.Logged("stdout: ready")
		relay.cut(2 * time.Second)
	}()
	out, err := e.Run(t.Context(), call)
	if got, ok := out.Value().(*Result); err != nil || !ok || !got.Success || got.Logs != "ready\ndone\n" {
		t.Errorf("got %+v, %v", out.Value(), err)
	}
	if relay.cuts() == 0 {
		t.Error("nothing was cut")
	}
	if left := c.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// relay passes connections on, until they are cut.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	shut     bool
	broken   int
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, open: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.pass(in, to) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		r.cut(0)
		all.Wait()
	})
	return r
}

func (r *relay) pass(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	if r.shut {
		r.mu.Unlock()
		return
	}
	r.open[in], r.open[out] = true, true
	r.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out)
		in.Close()
	})
	_, _ = io.Copy(out, in)
	out.Close()
	back.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, in)
	delete(r.open, out)
}

// cut breaks all connections, and takes no new ones for so long.
func (r *relay) cut(long time.Duration) {
	r.mu.Lock()
	r.shut = true
	for conn := range r.open {
		conn.Close()
		r.broken++
	}
	r.mu.Unlock()
	<-time.After(long)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = false
}

func (r *relay) cuts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// TestAPodsAccountReachesTheCluster: the files of a service account, which has no more rights than the page says.
func TestAPodsAccountReachesTheCluster(t *testing.T) {
	c := newCluster(t)
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + c.namespace
	c.must(t, http.MethodPost, rbac+"/roles", object{"metadata": object{"name": "worker"}, "rules": []object{
		{"apiGroups": []string{"batch"}, "resources": []string{"jobs"}, "verbs": []string{"create", "get", "list", "patch", "delete"}},
		{"apiGroups": []string{""}, "resources": []string{"pods"}, "verbs": []string{"get", "list", "watch"}},
		{"apiGroups": []string{""}, "resources": []string{"pods/log"}, "verbs": []string{"get"}},
	}}, nil)
	c.must(t, http.MethodPost, rbac+"/rolebindings", object{
		"metadata": object{"name": "worker"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
		"subjects": []object{{"kind": "ServiceAccount", "name": "default", "namespace": c.namespace}},
	}, nil)
	var token struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	c.must(t, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/serviceaccounts/default/token",
		object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": object{}}, &token)
	var authorities struct {
		Data map[string]string `json:"data"`
	}
	c.must(t, http.MethodGet, "/api/v1/namespaces/"+c.namespace+"/configmaps/kube-root-ca.crt", nil, &authorities)
	dir := t.TempDir()
	for name, text := range map[string]string{"token": token.Status.Token, "ca.crt": authorities.Data["ca.crt"], "namespace": c.namespace + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configured, err := find(c.path, kubeapi.Account)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(configured.Server)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", server.Hostname())
	t.Setenv("KUBERNETES_SERVICE_PORT", server.Port())
	access, err := find("", dir)
	if err != nil || access.Namespace != c.namespace {
		t.Fatalf("got %+v, %v", access, err)
	}
	e := New(Config{Policy: func(string) Policy { return Policy{Namespaces: []string{c.namespace}} }}, network.New(network.Config{}))
	defer e.Close()
	e.find.Do(func() { e.access = access })
	if got, _, err := runIt(t, c, e, inputs{"image": box, "timeout": 60}); err != nil || got.Logs != "hello\n" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	if _, err := find("", dir); !errors.Is(err, kubeapi.ErrNone) {
		t.Errorf("without a token: %v", err)
	}
}

// TestCancelAnswersWithoutAKubelet stops the kubelet, so that the pod's end is not told: the attempt answers after the grace and
// [kubeapi.RequestWithin], and the cluster ends the Job when the kubelet is back.
func TestCancelAnswersWithoutAKubelet(t *testing.T) {
	c := newCluster(t)
	kubelet := c.kubelet(t)
	e := c.executor(t, nil)
	call, recorder := attempt(t, inputs{"image": box, "args": []string{"say", "ready", "sleep", "600"}, "timeout": 600})
	ctx, cancel := context.WithCancelCause(t.Context())
	var cancelled time.Time
	go func() {
		<-recorder.Logged("stdout: ready")
		_ = kubelet.Signal(syscall.SIGSTOP)
		cancelled = time.Now()
		cancel(executors.ErrCancelled)
	}()
	t.Cleanup(func() { _ = kubelet.Signal(syscall.SIGCONT) })
	_, err := e.Run(ctx, call)
	if took := time.Since(cancelled); !errors.Is(err, executors.ErrCancelled) || took > kubeapi.RequestWithin+15*time.Second {
		t.Errorf("got %v, %v after it was cancelled", err, took)
	}
	if !strings.Contains(strings.Join(recorder.Lines(), "\n"), "is not gone yet") {
		t.Errorf("logged %v", recorder.Lines())
	}
	if err := kubelet.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for len(c.left(t)) > 0 {
		<-time.After(200 * time.Millisecond)
	}
	c.until(t, "the node is ready", "/api/v1/nodes/node1", func(o object) bool { // for the tests that follow
		for _, one := range list(child(o, "status"), "conditions") {
			if one, ok := one.(object); ok && one["type"] == "Ready" {
				return one["status"] == "True"
			}
		}
		return false
	})
}

// kubelet is the process of the only node, or the test is skipped.
func (c *testCluster) kubelet(t *testing.T) *os.Process {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(c.path), "run", "kubelet1.pid"))
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, bad := strconv.Atoi(first)
	if others, _ := filepath.Glob(filepath.Join(filepath.Dir(c.path), "run", "kubelet[2-9].pid")); err != nil || bad != nil || len(others) > 0 {
		t.Skip("skipped: this test stops the kubelet of a cluster with one node on this machine, and there is none")
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return process
}
