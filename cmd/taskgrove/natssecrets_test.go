package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/internal/kubeapi"
	"github.com/taskgrove/taskgrove/queue"
)

// kubeStore is an API server that keeps Secrets and StatefulSets of one namespace. It answers as Kubernetes does.
type kubeStore struct {
	url string

	mu      sync.Mutex
	objects map[string]map[string]any // by path
	version int
	calls   []string                                                 // method and path
	before  func(n int, w http.ResponseWriter, r *http.Request) bool // of the n-th call; true: it has answered
	after   func(n int)
}

const (
	secretsPath = "/api/v1/namespaces/ns/secrets"
	setPath     = "/apis/apps/v1/namespaces/ns/statefulsets/grove-nats"
)

func newKubeStore(t *testing.T) *kubeStore {
	t.Helper()
	s := &kubeStore{objects: map[string]map[string]any{}}
	api := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	api.Config.ErrorLog = log.New(io.Discard, "", 0) // connections break on purpose
	api.Start()
	t.Cleanup(api.Close)
	s.url = api.URL
	return s
}

func kubeRefuse(w http.ResponseWriter, code int, reason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

func (s *kubeStore) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	n := len(s.calls)
	w.Header().Set("Content-Type", "application/json")
	if s.before != nil && s.before(n, w, r) {
		return
	}
	var in map[string]any
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&in)
	}
	path := r.URL.Path
	is := s.objects[path]
	name := path[strings.LastIndex(path, "/")+1:]
	switch {
	case r.Method == http.MethodPost:
		name, _ = in["metadata"].(map[string]any)["name"].(string)
		if s.objects[path+"/"+name] != nil {
			kubeRefuse(w, http.StatusConflict, "AlreadyExists", `secrets "`+name+`" already exists`)
			return
		}
		s.put(path+"/"+name, in)
	case is == nil:
		kubeRefuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("%q not found", name))
		return
	case r.Method == http.MethodDelete:
		delete(s.objects, path)
	case r.Method == http.MethodPatch:
		if r.Header.Get("Content-Type") != "application/merge-patch+json" {
			kubeRefuse(w, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "the body of the request was in an unknown format")
			return
		}
		meta, _ := in["metadata"].(map[string]any)
		if given, ok := meta["resourceVersion"]; ok && given != is["metadata"].(map[string]any)["resourceVersion"] {
			kubeRefuse(w, http.StatusConflict, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")
			return
		}
		s.put(path, mergePatch(is, in))
	}
	if s.after != nil {
		s.after(n) // it may break the connection, as the answer's may
	}
	_ = json.NewEncoder(w).Encode(s.objects[path])
}

// put stores an object, with a new version.
func (s *kubeStore) put(path string, object map[string]any) {
	s.version++
	meta, _ := object["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	meta["resourceVersion"] = strconv.Itoa(s.version)
	s.objects[path] = object
}

// mergePatch is RFC 7396.
func mergePatch(is, patch map[string]any) map[string]any {
	out := maps.Clone(is)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			below, _ := out[key].(map[string]any)
			out[key] = mergePatch(below, value)
		default:
			out[key] = value
		}
	}
	return out
}

// secret is what a Secret holds; nil: there is none.
func (s *kubeStore) secret(t *testing.T, name string) map[string]string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[secretsPath+"/"+name]
	if object == nil {
		return nil
	}
	text, err := json.Marshal(object)
	var is kubeSecret
	if err == nil {
		err = json.Unmarshal(text, &is)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for key, value := range is.Data {
		out[key] = string(value)
	}
	return out
}

// started says by which block the pods of the StatefulSet run; empty: by the one that they were made with.
func (s *kubeStore) started() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := json.Marshal(s.objects[setPath])
	var is struct {
		Spec struct {
			Template struct {
				Metadata struct{ Annotations map[string]string }
			}
		}
	}
	_ = json.Unmarshal(text, &is)
	return is.Spec.Template.Metadata.Annotations[natsAnnotation]
}

// run is the command, with groups.
func (s *kubeStore) run(ctx context.Context, t *testing.T, groups ...string) (string, error) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u, namespace: ns}}]\nclusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {token: t}}]\n", s.url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--kubernetes-secrets", "grove", "--kubeconfig", config}
	for _, g := range groups {
		args = append(args, "--group", g)
	}
	var out bytes.Buffer
	cmd := natsConfigCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// logsIn checks that the users of the Secrets, and nobody else, can use a server with the block.
func (s *kubeStore) logsIn(t *testing.T, groups ...string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\n%s", dir, s.secret(t, "grove-nats-server")["accounts.conf"])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(options.Users) != len(groups)+1 {
		t.Errorf("the block has %d users, want %d and the coordinators'", len(options.Users), len(groups))
	}
	options.NoLog, options.NoSigs = true, true
	nats, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	defer nats.Shutdown()
	if !nats.ReadyForConnections(patience) {
		t.Fatal("server is not ready")
	}
	login := func(secret string) (*natsgo.Conn, <-chan error) {
		t.Helper()
		held, refused := s.secret(t, secret), make(chan error, 100)
		nc, err := natsgo.Connect("nats://"+held["user"]+":"+held["password"]+"@"+nats.Addr().String(),
			natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { refused <- err }))
		if err != nil {
			t.Fatalf("%s: %v", secret, err)
		}
		t.Cleanup(nc.Close)
		return nc, refused
	}
	c, _ := login("grove-nats-coordinator")
	claims, err := c.SubscribeSync("tg.claim.*.*")
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		nc, refused := login("grove-nats-group-" + group)
		if err := errors.Join(nc.Publish("tg.claim."+group+".pod-1", nil), nc.Publish("tg.claim.other.pod-1", nil)); err != nil {
			t.Fatal(err)
		}
		if m, err := claims.NextMsg(patience); err != nil || m.Subject != "tg.claim."+group+".pod-1" {
			t.Errorf("group %s: got %v, %v", group, m, err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, natsgo.ErrPermissionViolation) {
				t.Errorf("group %s as another: got %v", group, err)
			}
		case <-time.After(patience):
			t.Errorf("group %s may claim as another", group)
		}
	}
}

func TestSecretsOfGroups(t *testing.T) {
	s := newKubeStore(t)
	out, err := s.run(t.Context(), t, "http=noop,rest_executor", "cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"made Secret grove-nats-coordinator", "made Secret grove-nats-group-http", "made Secret grove-nats-group-cmd", "made Secret grove-nats-server"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	s.logsIn(t, "http", "cmd")
	http1 := s.secret(t, "grove-nats-group-http")
	for _, name := range []string{"grove-nats-coordinator", "grove-nats-group-http", "grove-nats-group-cmd"} {
		if strings.Contains(out, s.secret(t, name)["password"]) {
			t.Errorf("a password is shown: %s", out)
		}
	}

	// The chart makes the StatefulSet next. Nothing changes by another run.
	s.put(setPath, map[string]any{"kind": "StatefulSet", "spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"other": "x"}}}}})
	if out, err := s.run(t.Context(), t, "http=noop,rest_executor", "cmd"); err != nil || out != "" || s.started() != "" {
		t.Errorf("once more: got %q, %v, started %q", out, err, s.started())
	}

	// Another group comes, and one goes. The operator has chosen a password.
	s.put(secretsPath+"/grove-nats-coordinator", map[string]any{"metadata": map[string]any{}, "data": map[string]any{"password": []byte("chosen-by-hand"), "mine": []byte("too")}})
	out, err = s.run(t.Context(), t, "http=noop", "gpu=noop")
	if err != nil || !strings.Contains(out, "deleted Secret grove-nats-group-cmd") || !strings.Contains(out, "made Secret grove-nats-group-gpu") || !strings.Contains(out, "are started again") {
		t.Errorf("other groups: got %q, %v", out, err)
	}
	if s.secret(t, "grove-nats-group-cmd") != nil || s.secret(t, "grove-nats-group-http")["password"] != http1["password"] ||
		s.secret(t, "grove-nats-coordinator")["password"] != "chosen-by-hand" || s.secret(t, "grove-nats-coordinator")["mine"] != "too" || s.started() == "" {
		t.Error("a Secret is not as it should be")
	}
	s.logsIn(t, "http", "gpu")
	started := s.started()
	if out, err := s.run(t.Context(), t, "http=noop", "gpu=noop"); err != nil || out != "" || s.started() != started {
		t.Errorf("once more: got %q, %v", out, err)
	}

	s.put(secretsPath+"/grove-nats-group-http", map[string]any{"data": map[string]any{"password": []byte("a: b")}})
	if _, err := s.run(t.Context(), t, "http=noop", "gpu=noop"); err == nil || !strings.Contains(err.Error(), "secret grove-nats-group-http: the password") || strings.Contains(err.Error(), "a: b") {
		t.Errorf("a password that can't be written: got %v", err)
	}
}

// TestSecretsWithLeastRights: the account may not delete Secrets that its Role does not name, nor see the StatefulSet.
func TestSecretsWithLeastRights(t *testing.T) {
	s := newKubeStore(t)
	forbidden := map[string]bool{}
	s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if forbidden[r.Method+" "+r.URL.Path] {
			kubeRefuse(w, http.StatusForbidden, "Forbidden", r.URL.Path+` is forbidden: User "system:serviceaccount:ns:x" cannot `+r.Method)
			return true
		}
		return false
	}
	if _, err := s.run(t.Context(), t, "http", "cmd"); err != nil {
		t.Fatal(err)
	}
	forbidden["DELETE "+secretsPath+"/grove-nats-group-cmd"] = true
	forbidden["PATCH "+setPath] = true
	for range 2 { // and again as long as it is there
		out, err := s.run(t.Context(), t, "http")
		if err != nil || !strings.Contains(out, "kubectl -n ns delete secret grove-nats-group-cmd") {
			t.Errorf("got %q, %v", out, err)
		}
	}
	s.logsIn(t, "http")
	clear(forbidden)
	if out, err := s.run(t.Context(), t, "http"); err != nil || !strings.Contains(out, "deleted Secret grove-nats-group-cmd") {
		t.Errorf("with the right: got %q, %v", out, err)
	}
	forbidden["GET "+secretsPath+"/grove-nats-coordinator"] = true
	if _, err := s.run(t.Context(), t, "http"); err == nil || !strings.Contains(err.Error(), "secret grove-nats-coordinator: ") || !strings.Contains(err.Error(), "system:serviceaccount:ns:x") {
		t.Errorf("no right at all: got %v", err)
	}
}

// TestSecretsWhileTheAPIIsIll: calls that are put off, refused for a while, or whose answers are lost change nothing of the outcome.
func TestSecretsWhileTheAPIIsIll(t *testing.T) {
	s := newKubeStore(t)
	ill := map[string]int{}
	s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		key := r.Method + " " + r.URL.Path
		ill[key]++
		switch {
		case ill[key] == 1 && r.Method == http.MethodGet:
			w.Header().Set("Retry-After", "1")
			kubeRefuse(w, http.StatusTooManyRequests, "TooManyRequests", "the apiserver is shutting down, please try again later")
			return true
		case ill[key] == 2:
			kubeRefuse(w, http.StatusInternalServerError, "InternalError", "etcdserver: leader changed")
			return true
		}
		return false
	}
	s.after = func(n int) {
		if strings.HasPrefix(s.calls[n-1], "GET ") {
			return
		}
		if n%2 == 0 {
			panic(http.ErrAbortHandler) // it was done, and nobody hears of it
		}
	}
	if _, err := s.run(t.Context(), t, "http"); err != nil {
		t.Fatal(err)
	}
	s.before, s.after = nil, nil
	s.logsIn(t, "http")
}

// TestSecretsOfRunsAtTheSameTime: two Jobs do the same, and both end with the same passwords.
func TestSecretsOfRunsAtTheSameTime(t *testing.T) {
	s := newKubeStore(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.run(t.Context(), t, "http", "cmd"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.logsIn(t, "http", "cmd")
}

// TestSecretsOfARunThatIsKilled ends a run after each of its calls. The next one completes what is missing: the block has the passwords that
// the Secrets have, and the pods are started again when it changed, however often the run had to begin.
func TestSecretsOfARunThatIsKilled(t *testing.T) {
	for last, done := 1, false; !done; last++ {
		s := newKubeStore(t)
		if _, err := s.run(t.Context(), t, "http", "cmd"); err != nil {
			t.Fatal(err)
		}
		s.put(setPath, map[string]any{"kind": "StatefulSet"})
		s.calls = nil
		ctx, kill := context.WithCancel(t.Context())
		s.after = func(n int) {
			if n == last {
				kill()
				panic(http.ErrAbortHandler)
			}
		}
		_, err := s.run(ctx, t, "http", "gpu")
		kill()
		if done = err == nil; !done && !errors.Is(err, context.Canceled) {
			t.Errorf("killed after call %d: got %v", last, err)
		}
		s.after = nil
		if _, err := s.run(t.Context(), t, "http", "gpu"); err != nil {
			t.Errorf("after call %d: %v", last, err)
		}
		held := s.secret(t, "grove-nats-server")
		if s.secret(t, "grove-nats-group-cmd") != nil || held["groups"] != "gpu http" || s.started() == "" || s.started() != held["started"] {
			t.Errorf("after call %d: %v, started %q", last, held["groups"], s.started())
		}
		for _, name := range []string{"grove-nats-coordinator", "grove-nats-group-http", "grove-nats-group-gpu"} {
			if password := s.secret(t, name)["password"]; password == "" || !strings.Contains(held["accounts.conf"], strconv.Quote(password)) {
				t.Errorf("after call %d: the block lacks the password of %s", last, name)
			}
		}
		if last > 50 {
			t.Fatal("it never ends")
		}
	}
}

func TestNATSConfigFlags(t *testing.T) {
	const key = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := natsConfigCommand()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, row := range []struct {
		args []string
		want []string // in the output
		not  string
		err  string
	}{
		{[]string{"--group", "g=p", "--nkey", "g=" + key}, []string{`nkey: "` + key + `" # g`, `"tg.claim.g.*"`, "$TASKGROVE_PASSWORD_COORDINATOR"}, "$TASKGROVE_PASSWORD_G", ""},
		{[]string{"--group", "g=p", "--certificates"}, []string{`user: "g"`, `user: "coordinator"`}, "password: ", ""},
		{[]string{"--group", "g=p", "--certificates", "--nkey", "g=" + key}, []string{"nkey:", `user: "coordinator"`}, `user: "g"`, ""},
		{[]string{"--worker", "w", "--domain", "hub"}, []string{"$JS.hub.API.INFO"}, "", ""},
		{[]string{"--worker", "w", "--nkey", "w=" + key, "-o", "json"}, []string{`{"user":"w","nkey":"` + key + `","publish"`}, "PASSWORD_W", ""},
		{[]string{"--nkey", "w=" + key}, nil, "", "no user of that name"},
		{[]string{"--worker", "w", "--nkey", "w=x"}, nil, "", "public key"},
		{[]string{"--worker", "w", "--nkey", "w=SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"}, nil, "", "that is a seed, which is secret"},
		{[]string{"--worker", "w", "--nkey", "w=" + key, "--nkey", "w=" + key}, nil, "", "twice"},
		{[]string{"--domain", "a.b"}, nil, "", "--domain"},
		{[]string{"--kubernetes-secrets", "A"}, nil, "", "no name in Kubernetes"},
		{[]string{"--kubernetes-secrets", "a", "--worker", "w"}, nil, "", "takes groups"},
		{[]string{"--kubernetes-secrets", "a", "--coordinator", "x", "--coordinator", "y"}, nil, "", "one --coordinator"},
		{[]string{"--kubernetes-secrets", "a", "--group", "G_1"}, nil, "", "a-z, 0-9"},
		{[]string{"--kubernetes-secrets", "a", "--kubeconfig", "/nonexistent"}, nil, "", "kubeconfig: stat /nonexistent"},
	} {
		out, err := run(row.args...)
		if row.err != "" {
			if err == nil || !strings.Contains(err.Error(), row.err) || strings.Contains(err.Error(), "SUAKY") {
				t.Errorf("%v: got %v, want %q", row.args, err, row.err)
			}
			continue
		}
		if err != nil || row.not != "" && strings.Contains(out, row.not) || slices.ContainsFunc(row.want, func(want string) bool { return !strings.Contains(out, want) }) {
			t.Errorf("%v: got %v and\n%s", row.args, err, out)
		}
	}
}

// TestSecretsInACluster runs the command on the Kubernetes of this machine, as a service account with the rights that --help names and no other.
func TestSecretsInACluster(t *testing.T) {
	home := os.Getenv("CLUSTER_HOME")
	if home == "" {
		home = "/tmp/cluster"
	}
	access, err := kubeapi.Find(filepath.Join(home, "kubeconfig"), kubeapi.Account)
	if err != nil {
		t.Skipf("skipped: no Kubernetes cluster of this machine runs: %v", err)
	}
	api := kubeapi.New(access)
	defer api.Close()
	if err := api.Call(t.Context(), http.MethodGet, "/version", nil, nil, nil); err != nil {
		t.Skipf("skipped: the cluster does not answer: %v", err)
	}
	must := func(method, path string, in, out any) {
		t.Helper()
		if err := api.Call(context.WithoutCancel(t.Context()), method, path, nil, in, out); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	type m = map[string]any
	ns := fmt.Sprintf("nats-test-%d", time.Now().UnixNano())
	must(http.MethodPost, "/api/v1/namespaces", m{"metadata": m{"name": ns}}, nil)
	defer func() { must(http.MethodDelete, "/api/v1/namespaces/"+ns, nil, nil) }()
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + ns
	names := []string{"grove-nats-server", "grove-nats-coordinator", "grove-nats-group-http", "grove-nats-group-cmd"}
	must(http.MethodPost, "/api/v1/namespaces/"+ns+"/serviceaccounts", m{"metadata": m{"name": "hook"}}, nil)
	must(http.MethodPost, rbac+"/roles", m{"metadata": m{"name": "hook"}, "rules": []m{
		{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"create"}},
		{"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": names, "verbs": []string{"get", "patch", "delete"}},
		{"apiGroups": []string{"apps"}, "resources": []string{"statefulsets"}, "resourceNames": []string{"grove-nats"}, "verbs": []string{"get", "patch"}},
	}}, nil)
	must(http.MethodPost, rbac+"/rolebindings", m{"metadata": m{"name": "hook"}, "roleRef": m{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hook"},
		"subjects": []m{{"kind": "ServiceAccount", "name": "hook", "namespace": ns}}}, nil)
	var token struct{ Status struct{ Token string } }
	must(http.MethodPost, "/api/v1/namespaces/"+ns+"/serviceaccounts/hook/token", m{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": m{}}, &token)
	as := *access
	as.Client, as.TokenFile, as.Token = nil, "", token.Status.Token
	hook := kubeapi.New(&as)
	defer hook.Close()
	run := func(groups ...string) string {
		t.Helper()
		f := &natsFlags{place: queue.Place{Prefix: "tg"}, coordinators: []string{"coordinator"}, groups: groups}
		users, err := f.users()
		var out bytes.Buffer
		if err == nil {
			err = (&natsSecrets{api: hook, namespace: ns, name: "grove", out: &out}).run(t.Context(), f.place, users)
		}
		if err != nil {
			t.Fatalf("%v: %v: %s", groups, err, out.String())
		}
		return out.String()
	}
	if out := run("http=noop", "cmd"); strings.Count(out, "made Secret") != 4 {
		t.Errorf("got %q", out)
	}
	set := "/apis/apps/v1/namespaces/" + ns + "/statefulsets"
	must(http.MethodPost, set, m{"metadata": m{"name": "grove-nats"}, "spec": m{"replicas": 0, "selector": m{"matchLabels": m{"a": "b"}}, "template": m{
		"metadata": m{"labels": m{"a": "b"}}, "spec": m{"containers": []m{{"name": "nats", "image": "nats:2-alpine"}}},
	}}}, nil)
	if out := run("http=noop", "cmd"); out != "" {
		t.Errorf("once more: got %q", out)
	}
	if out := run("http=noop"); !strings.Contains(out, "deleted Secret grove-nats-group-cmd") || !strings.Contains(out, "are started again") {
		t.Errorf("a group is gone: got %q", out)
	}
	var is struct {
		Spec struct {
			Template struct {
				Metadata struct{ Annotations map[string]string }
			}
		}
	}
	must(http.MethodGet, set+"/grove-nats", nil, &is)
	if is.Spec.Template.Metadata.Annotations[natsAnnotation] == "" {
		t.Error("the StatefulSet's template has no annotation")
	}
}
