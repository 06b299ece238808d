package hostile

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// canary is a secret that nothing may show. Its core is what is searched for.
type canary struct{ name, core, value string }

func newCanary(name string) canary {
	core := strings.ToLower(rand.Text())
	return canary{name, core, `C"` + core + `+/&=%`}
}

// needles are how the core is looked for: as it is, in base64 behind any number of bytes, in hexadecimal digits.
func (c canary) needles() []string {
	all := []string{c.core, hex.EncodeToString([]byte(c.core))}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), c.core...))
		all = append(all, text[4:len(text)-4])
	}
	return all
}

// in is where the secret stands in a text; negative: it does not.
func (c canary) in(text []byte) int {
	for _, needle := range c.needles() {
		if i := bytes.Index(text, []byte(needle)); i >= 0 {
			return i
		}
	}
	return -1
}

// safeBuffer is a buffer that several goroutines write to.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.all.Bytes())
}

// rawBytes is a codec of gRPC that leaves messages as they are.
type rawBytes struct{}

func (rawBytes) Name() string { return "raw" }

func (rawBytes) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawBytes) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// collector takes traces by OTLP and keeps their bytes.
func collector(t *testing.T) (address string, got *safeBuffer) {
	t.Helper()
	got = &safeBuffer{}
	server := grpc.NewServer(grpc.ForceServerCodec(rawBytes{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		_, _ = got.Write(message)
		empty := []byte{}
		return stream.SendMsg(&empty)
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return "http://" + listener.Addr().String(), got
}

// echoes is a service that answers with all that it was sent, and fails if its path says so.
func echoes(t *testing.T) (url string, got *safeBuffer) {
	t.Helper()
	got = &safeBuffer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		echo, _ := json.Marshal(map[string]any{"url": r.URL.String(), "query": r.URL.Query(), "headers": r.Header, "body": string(body), "user": user, "password": password})
		_, _ = got.Write(echo)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Echo", r.Header.Get("X-Token"))
		if strings.HasPrefix(r.URL.Path, "/fail") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		if r.URL.Path == "/names-secrets" {
			echo = []byte(`{"stdin":{"secret":"by-env"},"json":{"secret":"by-env"},"connection":"by-file"}`)
		}
		_, _ = w.Write(echo)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// canaries is a cluster of processes whose worker has a canary at each place that secrets come from.
type canaries struct {
	t           *testing.T
	path        string
	all         map[string]canary
	marker      string // that tasks print, and that must be found wherever canaries are looked for
	database    string
	store       string // NATS's files
	nats        *natsserver.Server
	natsLog     safeBuffer
	wire        safeBuffer // every message in NATS
	traces      *safeBuffer
	service     string
	heard       *safeBuffer // by the service
	models      *modeltest.Server
	coordinator *child
	worker      *child
	token       string // of an admin
	unsigned    string // that same token, which nobody signed
}

func startCanaries(t *testing.T) *canaries {
	t.Helper()
	c := &canaries{t: t, path: build(t), all: map[string]canary{}, marker: "marker" + strings.ToLower(rand.Text()), database: pgtest.Database(t), store: t.TempDir()}
	for _, name := range []string{"by-env", "by-variable", "by-dir", "by-file", "by-vault", "by-program", "by-chain", "by-age", "vault-token", "by-connection", "by-variable-connection", "by-url", "by-request", "by-header", "hook-header", "hook-url", "of-resource", "of-resource-url", "of-decoded", "of-profile", "nats-coordinator", "nats-worker"} {
		c.all[name] = newCanary(name)
	}
	for _, name := range []string{"hook-secret", "cluster-secret", "trigger-secret", "trigger-secret-before"} { // which are base64
		one := newCanary(name)
		one.value = base64.StdEncoding.EncodeToString([]byte((one.core + strings.Repeat("-", 32))[:32]))
		c.all[name] = one
	}
	c.service, c.heard = echoes(t)
	models := c.startModels()
	var otlp string
	otlp, c.traces = collector(t)
	var err error
	c.nats, err = natsserver.Start(natsserver.Config{StoreDir: c.store, CoordinatorPassword: c.all["nats-coordinator"].value, WorkerPassword: c.all["nats-worker"].value, Logger: slog.New(slog.NewTextHandler(&c.natsLog, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(t, err)
	t.Cleanup(c.nats.Shutdown)
	tap, err := nats.Connect(c.nats.CoordinatorURL())
	must(t, err)
	t.Cleanup(tap.Close)
	for _, subject := range queue.CoordinatorPermissions("").Subscribe {
		_, err = tap.Subscribe(subject, func(m *nats.Msg) {
			_, _ = c.wire.Write(slices.Concat([]byte(m.Subject), []byte{'\n'}, m.Data, []byte{'\n'}))
		})
		must(t, err)
	}
	must(t, tap.Flush())
	common := []string{"TASKGROVE_LOG_LEVEL=debug", "OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp, "OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_BSP_SCHEDULE_DELAY=100"}
	c.coordinator = startChild(t, c.path, "coordinator", append(slices.Concat(common, c.callers()), "TASKGROVE_POSTGRES_URL="+c.database, "TASKGROVE_NATS_URL="+c.nats.CoordinatorURL(),
		"TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR=127.0.0.1:0", "TASKGROVE_WEBHOOK_ALLOW=127.0.0.1",
		"TASKGROVE_WEBHOOK_SECRET=whsec_"+c.all["cluster-secret"].value, "TASKGROVE_WEBHOOK_PAUSE=10ms"), "coordinator")
	c.worker = startChild(t, c.path, "worker", append(append(common, "OPENAI_BASE_URL="+models), c.secrets()...), "worker")
	return c
}

// startModels starts a service that says the key that it was sent, and answers where.
func (c *canaries) startModels() string {
	c.models = modeltest.New("")
	server := httptest.NewServer(c.models.Handler())
	c.t.Cleanup(func() { server.Close(); c.models.Close() })
	c.models.Play("gpt-4o", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Reply: func(r *modeltest.Request) modeltest.Turn {
		return modeltest.Turn{Text: c.marker + " your key is " + r.Header.Get("Authorization")}
	}}}})
	return server.URL + "/v1"
}

// keyed runs tasks whose models' keys come with the request: by the command line and by HTTP.
func (c *canaries) keyed() (answers string) {
	c.t.Helper()
	task := func(id, executor, inputs string) string {
		return `{"id":"` + id + `","name":"` + id + `","schemas":{"method":"` + executor + `"},"inputs":` + inputs + `}`
	}
	ask := `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`
	c.t.Setenv("SOME_KEY", c.all["by-request"].value)
	answers += c.cli(task("canary-keyed", "llm_executor", ask), "submit", "-", "--wait", "--llm-key-env", "SOME_KEY")
	answers += c.cli(task("canary-keyed-command", "command_executor", `{"command":"env"}`), "submit", "-", "--wait", "--llm-key-env", "SOME_KEY")
	call := `{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"wait":true,"tasks":[` + task("canary-headed", "llm_executor", ask) + `]}}`
	for _, header := range []string{"openai:" + c.all["by-header"].value, c.all["by-header"].value + " x"} {
		answers += c.post("/tasks", call, "Authorization", "Bearer "+c.token, "X-LLM-API-KEY", header)
	}
	var sent []string
	for _, r := range c.models.Requests() {
		sent = append(sent, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	if want := []string{c.all["by-request"].value, c.all["by-header"].value}; !slices.Equal(sent, want) {
		c.t.Errorf("the model's service got the keys %q, want %q: %s", sent, want, answers)
	}
	return answers + c.cli("", "logs", "canary-keyed") + c.cli("", "get", "canary-keyed", "--attempts", "-o", "json") + c.cli("", "get", "canary-headed", "--attempts") +
		c.cli("", "get", "canary-keyed-command")
}

// hooked has webhooks with secrets told of a tree: of the cluster and of the execution, by a receiver that takes what it is sent and by one that
// fails, both of which say again all that they were sent. It looks at them in all ways.
func (c *canaries) hooked() (answers string) {
	c.t.Helper()
	c.t.Setenv("HOOK_HEADER", "Bearer "+c.all["hook-header"].value)
	c.t.Setenv("HOOK_SECRET", "whsec_"+c.all["hook-secret"].value)
	for _, path := range []string{"/hook", "/fail-hook"} {
		c.t.Setenv("HOOK_URL", c.service+path+"?token="+c.all["hook-url"].core)
		made := c.cli("", "webhooks", "create", "--url-env", "HOOK_URL", "--header-env", "X-Token=HOOK_HEADER", "--secret-env", "HOOK_SECRET", "--events", "tree_completed", "--max-retries", "1", "-o", "json")
		var hook struct{ ID string }
		if err := json.Unmarshal([]byte(made), &hook); err != nil {
			c.t.Fatalf("%s: %v", made, err)
		}
		tree := "canary-hooked" + strings.ReplaceAll(path, "/", "-")
		answers += made + c.cli(`{"id":"`+tree+`","name":"`+c.marker+`","schemas":{"method":"noop_executor"}}`, "submit", "-", "--wait", "--webhook-url-env", "HOOK_URL",
			"--webhook-header-env", "X-Token=HOOK_HEADER", "--webhook-secret-env", "HOOK_SECRET", "--webhook-max-retries", "2")
		answers += c.cli("", "webhooks", "test", hook.ID) + c.cli("", "webhooks", "get", hook.ID)
		var list []struct{ ID, State string }
		for len(list) == 0 || list[0].State == "active" { // it waits to be told all
			text := c.cli("", "webhooks", "list", "--task", tree, "-o", "json")
			if err := json.Unmarshal([]byte(text), &list); err != nil || c.t.Context().Err() != nil {
				c.t.Fatalf("%s: %v", text, err)
			}
			answers += text
		}
		answers += c.cli("", "webhooks", "deliveries", list[0].ID) + c.cli("", "webhooks", "deliveries", hook.ID, "-o", "json")
	}
	return answers + c.cli("", "webhooks", "list") + c.triggered()
}

// triggered has a schedule whose webhook has two secrets, which is called well and badly, and is looked at in all ways.
func (c *canaries) triggered() (answers string) {
	c.t.Helper()
	file := `{"taskgrove":1,"schedules":[{"id":"canary-trigger","on":{"webhook":{}},"parameters":{"m":"` + c.marker + `"},"tree":[{"name":"n","schemas":{"method":"noop_executor"}}]}]}`
	answers = c.cli(file, "schedule", "apply", "-")
	for _, name := range []string{"trigger-secret-before", "trigger-secret"} {
		answers += c.cli("whsec_"+c.all[name].value, "schedule", "secret", "canary-trigger", "--stdin", "-o", "json")
	}
	answers += c.cli("whsec_not "+c.all["trigger-secret"].value, "schedule", "secret", "canary-trigger", "--stdin")
	key, err := base64.StdEncoding.DecodeString(c.all["trigger-secret"].value)
	must(c.t, err)
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte("canary." + stamp + ".{}"))
	for _, signature := range []string{base64.StdEncoding.EncodeToString(mac.Sum(nil)), c.all["trigger-secret"].value} {
		answers += c.post("/triggers/default/canary-trigger", "{}", "webhook-id", "canary", "webhook-timestamp", stamp, "webhook-signature", "v1,"+signature)
	}
	if !strings.Contains(answers, `"schedule":"canary-trigger"`) || !strings.Contains(answers, "not signed with a secret") {
		c.t.Errorf("the webhook was not called: %s", answers)
	}
	for _, what := range []string{"get", "why", "runs"} {
		answers += c.cli("", "schedule", what, "canary-trigger") + c.cli("", "schedule", what, "canary-trigger", "-o", "json")
	}
	return answers + c.cli("", "schedule", "list", "-o", "json")
}

// secrets lays a canary at each place, and returns the worker's settings.
func (c *canaries) secrets() []string {
	dir, kept := c.t.TempDir(), c.t.TempDir()
	put := func(path, text string) { must(c.t, os.WriteFile(path, []byte(text), 0o600)) }
	put(filepath.Join(dir, "by-dir"), c.all["by-dir"].value+"\n")
	put(filepath.Join(kept, "key"), c.all["by-file"].value+"\n")
	put(filepath.Join(kept, "program"), c.all["by-program"].value+"\n")
	put(filepath.Join(kept, "token"), c.all["vault-token"].core+"\n")
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := map[string]string{"/v1/secret/data/some/where": "by-vault", "/v1/secret/data/by-chain": "by-chain"}[r.URL.Path]
		if r.Header.Get("X-Vault-Token") != c.all["vault-token"].core || name == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"data": map[string]any{"value": c.all[name].value}, "metadata": map[string]any{"version": 1}}})
	}))
	c.t.Cleanup(vault.Close)
	identity, err := age.GenerateX25519Identity()
	must(c.t, err)
	put(filepath.Join(kept, "identities"), identity.String())
	var encrypted bytes.Buffer
	to, err := age.Encrypt(&encrypted, identity.Recipient())
	must(c.t, err)
	_, err = io.WriteString(to, c.all["by-age"].value)
	must(c.t, errors.Join(err, to.Close(), os.WriteFile(filepath.Join(kept, "encrypted"), encrypted.Bytes(), 0o600)))
	var ciphertext bytes.Buffer
	to, err = age.Encrypt(&ciphertext, identity.Recipient())
	must(c.t, err)
	_, err = io.WriteString(to, c.all["of-decoded"].value)
	must(c.t, errors.Join(err, to.Close()))
	at, err := pgx.ParseConfig(c.database)
	must(c.t, err)
	file, err := json.Marshal(map[string]any{
		"providers": map[string]any{
			"vault": map[string]any{"address": vault.URL, "token_file": filepath.Join(kept, "token")}, "age": map[string]any{"identities": filepath.Join(kept, "identities"), "decode": filepath.Join(kept, "identities")}, "order": []string{"vault"},
		},
		"pools": map[string]any{"rest_executor": map[string]any{"profiles": map[string]any{"canary": map[string]any{"config": map[string]any{"headers": map[string]any{"X-Profile": "{{env.OF_PROFILE}}"}}}}}},
		"secrets": map[string]any{"by-vault": map[string]any{"vault": "some/where"}, "by-program": map[string]any{"command": []string{"cat", filepath.Join(kept, "program")}}, "by-age": map[string]any{"age": filepath.Join(kept, "encrypted")},
			"by-file": map[string]any{"file": filepath.Join(kept, "key")}, "by-variable": map[string]any{"env": "SOME_VARIABLE"}, "of-others": map[string]any{"env": "SOME_VARIABLE", "pools": []string{"others"}}},
		"connections": map[string]any{
			"by-connection": map[string]any{"type": "postgres", "host": at.Host, "port": at.Port, "username": at.User, "database": at.Database, "tls": "disable", "password": map[string]any{"secret": "of-connection"}},
			"closed":        map[string]any{"type": "postgres", "host": "127.0.0.1", "port": 1, "username": at.User, "tls": "disable", "password": c.all["by-connection"].value},
		},
	})
	must(c.t, err)
	put(filepath.Join(kept, "worker.json"), string(file))
	escaped := strings.NewReplacer("%", "%25", `"`, "%22", "/", "%2F", "+", "%2B", "&", "%26", "=", "%3D").Replace(c.all["by-variable-connection"].value)
	return []string{
		"TASKGROVE_NATS_URL=" + c.nats.WorkerURL("canary"), "TASKGROVE_WORKER_ID=canary", "TASKGROVE_WORKER_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_TASK_LOGS=stdout",
		"TASKGROVE_COMMAND_ALLOW=true", "TASKGROVE_EXTERNAL=python3 testdata/indiscreet.py", "TASKGROVE_ADDRESS_LOOPBACK=true",
		"TASKGROVE_WORKER_FILE=" + filepath.Join(kept, "worker.json"), "TASKGROVE_SECRETS_DIR=" + dir,
		"TASKGROVE_SECRET_BY_ENV=" + c.all["by-env"].value, "SOME_VARIABLE=" + c.all["by-variable"].value,
		"TASKGROVE_SECRET_OF_RESOURCE=" + c.all["of-resource"].value, "TASKGROVE_SECRET_OF_RESOURCE_URL=" + c.all["of-resource-url"].value, "TASKGROVE_SECRET_OF_PROFILE=" + c.all["of-profile"].value,
		"TASKGROVE_SECRET_OF_CIPHERTEXT=" + base64.StdEncoding.EncodeToString(ciphertext.Bytes()),
		"TASKGROVE_SECRET_OF_CONNECTION=" + c.all["by-connection"].value,
		"TASKGROVE_SECRET_BY_URL=" + c.service + "/url?token=" + c.all["by-url"].core,
		"TASKGROVE_CONNECTION_BY_URL=postgres://nobody:" + escaped + "@127.0.0.1:1/none",
	}
}

// named are all secrets that tasks may name.
var named = []string{"by-env", "by-variable", "by-dir", "by-file", "by-vault", "by-program", "by-chain", "by-age"}

// tree is a tree of tasks that do all they can to show the secrets that they are given.
func (c *canaries) tree() string {
	var tasks []map[string]any
	add := func(name, executor string, inputs map[string]any, more map[string]any) {
		task := map[string]any{"id": "canary-" + name, "name": name, "schemas": map[string]any{"method": executor}, "inputs": inputs, "parent_id": "canary-root"}
		for k, v := range more {
			task[k] = v
		}
		tasks = append(tasks, task)
	}
	ref := func(name string) any { return map[string]any{"secret": name} }
	optional := map[string]any{"dependencies": []any{}}
	shell := `echo ` + c.marker + `; printf '%s\n' "$X" "$X" "$(printf %s "$X" | base64)" "user:$X" "{\"x\":\"$X\"}"; printf '%s\n' "$X" >&2; cat; env`
	for _, name := range named {
		add("env-"+name, "command_executor", map[string]any{"command": shell, "env": map[string]any{"X": ref(name)}, "stdin": ref(name)}, optional)
		add("args-"+name, "command_executor", map[string]any{"command": "/bin/echo", "args": []any{c.marker, ref(name)}}, optional)
		add("failing-"+name, "command_executor", map[string]any{"command": shell + "; exit 3", "env": map[string]any{"X": ref(name)}, "fail_on_error": true},
			map[string]any{"retry": map[string]any{"max_attempts": 2, "initial_delay": 0.01}})
		add("headers-"+name, "rest_executor", map[string]any{"url": c.service + "/headers", "method": "POST", "headers": map[string]any{"X-Token": ref(name)}, "params": map[string]any{"p": ref(name)},
			"json": map[string]any{"a": []any{ref(name), c.marker}}}, optional)
		add("bearer-"+name, "rest_executor", map[string]any{"url": c.service + "/fail", "auth": map[string]any{"type": "bearer", "token": ref(name)}, "fail_on_error": true, "data": map[string]any{"d": ref(name)}, "method": "POST"}, optional)
		add("basic-"+name, "rest_executor", map[string]any{"url": c.service + "/basic", "auth": map[string]any{"type": "basic", "username": "u", "password": ref(name)}}, optional)
	}
	add("large", "rest_executor", map[string]any{"url": c.service + "/large", "method": "POST", "json": strings.Repeat("x", 900<<10), "headers": map[string]any{"X-Token": ref("by-dir")}}, optional)
	add("late", "command_executor", map[string]any{"command": shell + "; sleep 60", "env": map[string]any{"X": ref("by-file")}, "timeout": 0.5}, optional)
	add("url", "rest_executor", map[string]any{"url": ref("by-url")}, optional)
	add("connection", "sql_executor", map[string]any{"connection": "by-connection", "query": "select '" + c.marker + "' as m"}, optional)
	add("closed", "sql_executor", map[string]any{"connection": "closed", "query": "select 1"}, optional)
	add("variable", "sql_executor", map[string]any{"connection": "by-url", "query": "select 1"}, optional)
	defined := func(kind, driver, config string, more string) json.RawMessage {
		return json.RawMessage(`{"kind":"` + kind + `","driver":"` + driver + `","config":` + config + more + `}`)
	}
	host := strings.TrimPrefix(c.service, "http://")
	rest := defined("rest", "httpx", `{"base_url":"`+c.service+`","headers":{"X-Token":"{{env.OF_RESOURCE}}"},"bearer_token":"{{env.OF_CIPHERTEXT}}"}`, `,"profile":"canary","decode":{"config_paths":["bearer_token"]}`)
	add("defined", "rest_executor", map[string]any{"url": "headers", "method": "POST", "json": c.marker, "connection": rest}, optional)
	add("defined-fails", "rest_executor", map[string]any{"url": "fail", "method": "POST", "fail_on_error": true, "connection": rest}, optional)
	add("defined-url", "rest_executor", map[string]any{"url": "basic", "connection": defined("rest", "httpx", `{"base_url":"http://u:{{env.OF_RESOURCE_URL}}@`+host+`"}`, "")}, optional)
	add("defined-database", "sql_executor", map[string]any{"query": "select 1", "connection": defined("db", "sqlalchemy", `{"url":"postgresql+psycopg2://u:{{env.OF_RESOURCE_URL}}@127.0.0.1:1/d"}`, "")}, optional)
	add("defined-wrong", "sql_executor", map[string]any{"query": "select 1", "connection": defined("db", "postgres", `{"host":"h","port":"{{env.OF_RESOURCE}}","url":"{{env.OF_RESOURCE_URL}}"}`, "")}, optional)
	add("defined-mixed", "sql_executor", map[string]any{"query": "select 1", "connection": defined("db", "postgres", `{"host":"h","password":"x{{env.OF_RESOURCE}}"}`, `,"decode":{"config":{"password":true}}`)}, optional)
	add("defined-undecodable", "sql_executor", map[string]any{"query": "select 1", "connection": defined("db", "postgres", `{"host":"h","password":"{{env.OF_RESOURCE}}"}`, `,"decode":{"config":{"password":true}}`)}, optional)
	add("parsed-defined", "noop_executor", map[string]any{"value": map[string]any{"connection": rest}}, optional)
	add("others", "command_executor", map[string]any{"command": "cat", "stdin": ref("of-others")}, optional)
	add("names", "rest_executor", map[string]any{"url": c.service + "/names-secrets"}, optional)
	picks := map[string]any{"type": "object", "properties": map[string]any{"json": map[string]any{}, "stdin": map[string]any{}, "connection": map[string]any{}}}
	for name, of := range map[string][2]string{"hostile-stdin": {"command_executor", "parsed"}, "hostile-json": {"rest_executor", "names"}, "hostile-connection": {"sql_executor", "parsed"}, "hostile-defined": {"rest_executor", "parsed-defined"}} {
		add(name, of[0], map[string]any{"command": "cat", "url": c.service + "/hostile", "method": "POST", "query": "select 1"}, map[string]any{
			"schemas": map[string]any{"method": of[0], "input_schema": picks}, "dependencies": []any{map[string]any{"id": "canary-" + of[1], "required": true}}})
	}
	for _, name := range named {
		for _, how := range []string{"well", "fail", "break", "die"} {
			add("program-"+how+"-"+name, "indiscreet", map[string]any{"secret_text": ref(name), "how": how, "marker": c.marker}, optional)
		}
	}
	add("parsed", "noop_executor", map[string]any{"value": map[string]any{"stdin": ref("by-env"), "connection": "by-connection"}}, optional)
	tasks = append(tasks, map[string]any{"id": "canary-root", "name": "root", "schemas": map[string]any{"method": "noop_executor"}, "inputs": map[string]any{}})
	text, err := json.Marshal(map[string]any{"tasks": tasks})
	must(c.t, err)
	return string(text)
}

// cli runs a command of the shipped program and returns what it prints, also when it says that tasks have failed.
func (c *canaries) cli(stdin string, args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.path, append(args, "--server", c.coordinator.GRPC)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		c.t.Fatal(err)
	}
	return string(out)
}

// TestSecretsAreNowhere runs tasks that show their secrets in every way that they have, and searches all that a cluster leaves.
func TestSecretsAreNowhere(t *testing.T) {
	c := startCanaries(t)
	t.Logf("%.2000s", c.cli(c.tree(), "submit", "-", "--wait"))
	c.cancelled()
	answers := c.flow() + c.keyed() + c.calling() + c.hooked() + c.answers()
	heard := c.heard.Bytes()
	large := regexp.MustCompile(`"X-Token":\["C\\"` + c.all["by-dir"].core + `[^{}]*\}[^{}]*\{\}[^{}]*"url":"/large"`)
	for _, name := range named {
		if n := bytes.Count(heard, []byte(c.all[name].core)); n < 3 {
			t.Errorf("%s reached the service %d times: it was not put in", name, n)
		}
	}
	if !large.Match(heard) {
		t.Error("with large inputs, a secret did not reach the service")
	}
	if !bytes.Contains(heard, []byte(c.all["by-url"].core)) || !bytes.Contains(heard, []byte(`\"json\":{\"secret\":\"by-env\"}`)) {
		t.Error("the URL did not reach the service, or what a result names was not sent as it is")
	}
	for name, least := range map[string]int{"of-resource": 3, "of-decoded": 3, "of-profile": 3} {
		if n := bytes.Count(heard, []byte(c.all[name].core)); n < least {
			t.Errorf("%s reached the service %d times: it was not put in", name, n)
		}
	}
	for _, name := range []string{"hook-header", "hook-url"} {
		if n := bytes.Count(heard, []byte(c.all[name].core)); n < 10 {
			t.Errorf("%s reached the receiver %d times", name, n)
		}
	}
	metrics := c.fetch(c.coordinator.HTTP+"/metrics") + c.fetch(c.worker.HTTP+"/metrics")
	_ = c.worker.cmd.Process.Signal(os.Interrupt)
	<-c.worker.exited
	_ = c.coordinator.cmd.Process.Signal(os.Interrupt)
	<-c.coordinator.exited
	wire := c.wire.Bytes()
	c.nats.Shutdown()
	if !bytes.Contains(wire, []byte("event.keys\n")) {
		t.Error("the coordinator told nobody of the stored key")
	}
	for _, place := range []struct {
		name string
		text []byte
		has  string // what must be in it, so that the search would find something
	}{
		{"Postgres", c.dump(), c.marker}, {"NATS's files", c.files(), c.marker}, {"messages in NATS", wire, "beat.canary"}, {"answers", []byte(answers), c.marker},
		{"the coordinator's log", c.coordinator.out.Bytes(), "a caller was refused"}, {"the worker's log", c.worker.out.Bytes(), "its pools are others"},
		{"lines on the worker's stdout", c.worker.out.Bytes(), `"msg":"` + c.marker + `"`},
		{"NATS's log", c.natsLog.Bytes(), "Server is ready"}, {"metrics", []byte(metrics), "taskgrove_"}, {"traces", c.traces.Bytes(), "canary-env-by-dir"},
	} {
		if !bytes.Contains(place.text, []byte(place.has)) {
			t.Errorf("%s: %d bytes without %q: the search is worth nothing", place.name, len(place.text), place.has)
		}
		c.search(place.name, place.text)
	}
}

// search looks for every canary.
func (c *canaries) search(place string, text []byte) {
	for _, secret := range c.all {
		if i := secret.in(text); i >= 0 {
			c.t.Errorf("%s is in %s: …%q…", secret.name, place, text[max(0, i-200):min(len(text), i+60)])
		}
	}
}

// flow runs a flow whose resource has secrets of its own, of a profile, and what is decoded.
func (c *canaries) flow() (answers string) {
	c.t.Helper()
	profiles := filepath.Join(c.t.TempDir(), "profiles.yaml")
	must(c.t, os.WriteFile(profiles, []byte("canary: {config: {bearer_token: '{{env.OF_CIPHERTEXT}}'}, decode: {config: {bearer_token: true}}}\n"), 0o600))
	text := `flow: {id: canary, secrets: [OF_RESOURCE], env: {BASE: "` + c.service + `"}}
resources: {api: {kind: rest, driver: httpx, profile: canary, config: {base_url: "{{env.BASE}}", headers: {X-Token: "{{env.OF_RESOURCE}}"}}}}
jobs: [{id: a, steps: [{id: s, type: rest, inputs: {resource: api, url: "headers?at={{attempt}}", method: POST, json: "` + c.marker + `"}, outputs: {seen: "{{result.body}}"}}]}]
`
	for _, args := range [][]string{{"validate", "-"}, {"run", "-", "--dry-run"}, {"run", "-", "--run-id", "canary"}, {"run", "-", "--run-id", "canary", "--json"}} {
		out := c.cli(text, append(append([]string{"flow"}, args...), "--profiles-file", profiles)...)
		if answers += out; args[0] == "run" && len(args) == 4 && !strings.Contains(out, "SUCCESS") {
			c.t.Errorf("the flow: %s", out)
		}
	}
	return answers
}

// cancelled runs a task that prints its secret, and cancels it in mid-work.
func (c *canaries) cancelled() {
	c.t.Helper()
	c.cli(`{"id":"canary-cancelled","name":"c","schemas":{"method":"command_executor"},"inputs":{"command":"echo $X; echo $X >&2; exec sleep 600","env":{"X":{"secret":"by-env"}}}}`, "submit", "-")
	for !strings.Contains(c.cli("", "logs", "canary-cancelled"), "***") {
		if c.t.Context().Err() != nil {
			c.t.Fatal("the task said nothing")
		}
	}
	c.cli("", "cancel", "canary-cancelled")
	if got := c.cli("", "watch", "canary-cancelled"); !strings.Contains(got, "cancelled") {
		c.t.Errorf("cancelled: %s", got)
	}
}

// answers are what clients are told of all that ran.
func (c *canaries) answers() string {
	var all strings.Builder
	for _, args := range [][]string{
		{"tree", "canary-root", "-o", "json"}, {"tree", "canary-root"}, {"logs", "canary-root"}, {"watch", "canary-root", "-o", "json"}, {"why", "canary-hostile-stdin"},
		{"list", "--tasks", "--tree", "canary-root", "-o", "json"}, {"workers", "-o", "json"}, {"executors", "rest", "-o", "json"}, {"verify"}, {"get", "canary-cancelled", "--attempts"},
		{"get", "canary-failing-by-env", "--attempts", "-o", "json"}, {"get", "canary-hostile-stdin"}, {"get", "canary-hostile-connection"}, {"get", "canary-others"}, {"get", "canary-env-by-dir"},
		{"logs", "canary-cancelled"}, {"get", "canary-connection"}, {"get", "canary-closed"}, {"get", "canary-late", "-o", "json"},
		{"get", "canary-defined", "-o", "json"}, {"get", "canary-defined-fails"}, {"get", "canary-defined-url"}, {"get", "canary-defined-database"}, {"get", "canary-defined-wrong"}, {"get", "canary-defined-undecodable"}, {"get", "canary-hostile-defined"},
	} {
		all.WriteString(c.cli("", args...))
	}
	text := all.String()
	for _, want := range []string{
		`[command_executor] stdin: there is no secret \"of-others\" for tasks of pool \"command_executor\"`, // a result names none, one of others is none
		"connection: only the task itself may name one", "***",
	} {
		if !strings.Contains(text, want) && !strings.Contains(text, strings.ReplaceAll(want, `\"`, `"`)) {
			c.t.Errorf("no answer says %q", want)
		}
	}
	if c.t.Failed() {
		c.t.Log(text)
	}
	return text
}

func (c *canaries) fetch(url string) string {
	c.t.Helper()
	answer, err := http.Get(url)
	must(c.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(c.t, err)
	return string(body)
}

// dump is every row of every table.
func (c *canaries) dump() []byte {
	c.t.Helper()
	ctx := context.WithoutCancel(c.t.Context())
	conn, err := pgx.Connect(ctx, c.database)
	must(c.t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	must(c.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(c.t, err)
	var out bytes.Buffer
	for _, table := range tables {
		fmt.Fprintf(&out, "%s\n", table)
		_, err := conn.PgConn().CopyTo(ctx, &out, "COPY "+table+" TO STDOUT")
		if err != nil && !strings.Contains(err.Error(), "cannot copy from partitioned table") { // its partitions are tables, too
			c.t.Fatal(err)
		}
	}
	return out.Bytes()
}

// files are the contents of NATS's files.
func (c *canaries) files() []byte {
	var out bytes.Buffer
	must(c.t, filepath.WalkDir(c.store, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out.Write(text)
		return err
	}))
	return out.Bytes()
}
