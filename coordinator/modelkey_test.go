package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/internal/workers"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func keyOf(t *testing.T, text string) modelkey.Key {
	t.Helper()
	key, err := modelkey.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// modelService is a model's service that takes every key, and says which it got last. The workers' own is own-key.
func modelService(t *testing.T) (worker func(*config.Worker), last func() string, s *modeltest.Server) {
	t.Helper()
	s = modeltest.New("")
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { server.Close(); s.Close() })
	s.Play("gpt-4o", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "hello"}}})
	own, file := filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "worker.json")
	for path, text := range map[string]string{
		own:  "own-key",
		file: fmt.Sprintf(`{"secrets":{"own":{"file":%q}},"models":{"openai":{"url":"%s/v1","key":{"secret":"own"}}}}`, own, server.URL),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	last = func() string {
		all := s.Requests()
		if len(all) == 0 {
			return ""
		}
		return strings.TrimPrefix(all[len(all)-1].Header.Get("Authorization"), "Bearer ")
	}
	return func(w *config.Worker) { w.WorkerFile = file }, last, s
}

const asksModel = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`

// TestKeyOfARequestIsUsed on every surface, by whichever coordinator it comes, and for that execution alone.
func TestKeyOfARequestIsUsed(t *testing.T) {
	t.Parallel()
	worker, last, service := modelService(t)
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Worker: worker, Coordinator: func(s *config.Coordinator) { s.HTTPAddr, s.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0" }})
	used := func(what, id, want string) {
		t.Helper()
		if got := c.Settled(id); got.Status != dag.StatusCompleted {
			t.Fatalf("%s: %s", what, result(c, id))
		}
		if got := last(); got != want {
			t.Errorf("%s: the service got the key %q, want %q", what, got, want)
		}
	}
	post := func(at int, header, method, params string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Coordinators[at].P.HTTP+"/tasks", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if header != "" {
			r.Header.Set("X-LLM-API-KEY", header)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body bytes.Buffer
		_, _ = body.ReadFrom(answer.Body)
		return body.String()
	}
	llm := `"schemas":{"method":"llm_executor"},"inputs":` + asksModel
	for at := range 2 { // in turns: the other one is asked, too, and has none
		id := fmt.Sprint("http", at)
		tasks := `{"tasks":[{"id":"` + id + `","name":"a",` + llm + `,"dependencies":[{"id":"` + id + `b","required":true}]},{"id":"` + id + `b","name":"b","parent_id":"` + id + `",` + llm + `}]}`
		if got := post(at, fmt.Sprint("openai:K", at), "tasks.execute", tasks); strings.Contains(got, `"error":{`) {
			t.Fatal(got)
		}
		used("JSON-RPC", id, fmt.Sprint("K", at))
	}
	for _, tt := range []struct{ header, want string }{{"", "own-key"}, {"anthropic:K4", "own-key"}, {"K5:", "K5:"}, {"OpenAI:K6", "K6"}} {
		if got := post(1, tt.header, "tasks.execute", `{"task_id":"http0","force":true}`); strings.Contains(got, `"error":{`) {
			t.Fatal(got)
		}
		used("executed again with "+tt.header, "http0", tt.want)
	}
	for _, bad := range []string{"SHOWN with a space", strings.Repeat("SHOWN", 1000), "SHOWN\xff"} {
		if got := post(0, bad, "tasks.execute", `{"task_id":"http0","force":true}`); !strings.Contains(got, "X-LLM-API-KEY must be") || strings.Contains(got, "SHOWN") {
			t.Errorf("a bad key: %s", got)
		}
	}
	rpc, err := client.New(c.Coordinators[1].P.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer rpc.Close()
	tree := []client.NewTask{{ID: "grpc", Name: "grpc", Executor: "llm_executor", Inputs: json.RawMessage(asksModel)}}
	if _, err := rpc.Submit(t.Context(), tree, client.WithModelKey("G1")); err != nil {
		t.Fatal(err)
	}
	used("gRPC", "grpc", "G1")
	if _, err := rpc.Execute(t.Context(), "grpc", client.Force(), client.ModelKey("openai:G2")); err != nil {
		t.Fatal(err)
	}
	used("gRPC, executed", "grpc", "G2")
	for _, option := range []client.SubmitOption{client.WithModelKey("SHOWN SHOWN"), client.WithModelKey(strings.Repeat("SHOWN", 1000))} {
		if _, err := rpc.Submit(t.Context(), tree, option); err == nil || !strings.Contains(err.Error(), "x-llm-api-key must be") || strings.Contains(err.Error(), "SHOWN") {
			t.Errorf("a bad key: %v", err)
		}
	}
	if _, err := rpc.Submit(t.Context(), tree, client.WithModelKey("G3"), client.Hold()); err == nil || !strings.Contains(err.Error(), "held") {
		t.Errorf("a held tree with a key: %v", err)
	}
	service.Play("gen", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: `[{"id":"a","name":"a","schemas":{"method":"noop_executor"},"inputs":{}}]`}}})
	if _, err := rpc.Generate(t.Context(), client.Requirement{Text: "x", Provider: "openai", Model: "gen", ModelKey: "G4"}); err != nil || last() != "G4" {
		t.Errorf("generated with %q, %v", last(), err)
	}
	if got := post(0, "G5", "tasks.generate", `{"requirement":"x","llm_provider":"openai","model":"gen"}`); !strings.Contains(got, `"count":1`) || last() != "G5" {
		t.Errorf("generated with %q: %s", last(), got)
	}
}

// asking asks for the key of its execution when it is told to, and tells how that went.
type asking struct {
	told
	mu   sync.Mutex
	goes chan struct{} // closed: at once
	keys []string
	errs []error
}

func (e *asking) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	select {
	case <-e.goes:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if call.ModelKey == nil {
		return executors.Completed("none"), nil
	}
	key, err := call.ModelKey(ctx, "openai")
	e.mu.Lock()
	e.keys, e.errs = append(e.keys, key), append(e.errs, err)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	call.Reporter.Log("stdout", "it is "+key)
	if call.Attempt == 1 {
		return nil, fmt.Errorf("shows %s", key)
	}
	return executors.Completed(map[string]string{"key": key, "redacted": call.Redact(key)}), nil
}

func (e *asking) executors() []executors.Executor {
	e.told = told{executors.Description{ID: "x", Name: "X", Type: "go"}}
	return []executors.Executor{e}
}

// TestKeyOfARequestLastsForItsExecution: for all attempts, as long as its coordinator lives.
func TestKeyOfARequestLastsForItsExecution(t *testing.T) {
	t.Parallel()
	e := &asking{goes: make(chan struct{})}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Executors: e.executors})
	tree := func(id string) *dag.Task {
		return &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: "x", Retry: dag.RetryPolicy{MaxAttempts: 2, InitialDelay: time.Millisecond}}
	}
	c.Submit(coordinator.SubmitOptions{ModelKey: keyOf(t, "sk-secret-of-a-request")}, tree("a"))
	close(e.goes)
	if got := result(c, "a"); got != `{"key":"***","redacted":"***"}` {
		t.Errorf("got %s", got)
	}
	if len(e.keys) != 2 || e.keys[0] != "sk-secret-of-a-request" || e.keys[1] != e.keys[0] {
		t.Errorf("attempts got %q, %v", e.keys, e.errs)
	}
	all, err := c.Service().Attempts(t.Context(), "a")
	if err != nil || len(all) != 2 || all[0].Error != "shows ***" && all[1].Error != "shows ***" {
		t.Errorf("attempts are %+v, %v", all, err)
	}
	if _, err := c.Service().Execute(t.Context(), "a", coordinator.ExecuteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if got := result(c, "a"); got != `"none"` {
		t.Errorf("executed again without a key: %s", got)
	}

	e.goes = make(chan struct{})
	if _, err := c.Coordinators[1].P.Submit(t.Context(), coordinator.SubmitOptions{ModelKey: keyOf(t, "gone")}, cluster.Seq([]*dag.Task{tree("b")})); err != nil {
		t.Fatal(err)
	}
	if err := c.Coordinators[1].Stop(); err != nil {
		t.Fatal(err)
	}
	close(e.goes)
	if got := result(c, "b"); !strings.Contains(got, "no coordinator has it any more") || !strings.Contains(got, "execute the task again") {
		t.Errorf("got %s", got)
	}
	if attempts, err := c.Service().Attempts(t.Context(), "b"); err != nil || len(attempts) != 1 {
		t.Errorf("it was tried %d times in vain, %v", len(attempts), err)
	}
}

// TestKeyOfARequestGoesToItsWorkerOnly: nobody else gets an answer.
func TestKeyOfARequestGoesToItsWorkerOnly(t *testing.T) {
	t.Parallel()
	e := &asking{goes: make(chan struct{})}
	defer close(e.goes)
	c := cluster.Start(t, cluster.Options{Executors: e.executors})
	db, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	started := func(id string, opts coordinator.SubmitOptions) (k dag.Key) {
		t.Helper()
		c.Submit(opts, &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: "x"})
		c.Eventually("it runs", func() error {
			return db.QueryRow(t.Context(), "select t.key from task t join spec s using (key) where s.id = $1 and t.worker is not null", id).Scan(&k)
		})
		return k
	}
	keyed, plain := started("keyed", coordinator.SubmitOptions{ModelKey: keyOf(t, "openai:sk-1")}), started("plain", coordinator.SubmitOptions{})
	tokens := workers.NewTokens(c.Coordinators[0].P.Store.Secret())
	opener, err := modelkey.NewOpener()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(worker string, k dag.Key, number uint32, token, public []byte) ([]byte, error) {
		t.Helper()
		conn, err := nats.Connect(c.NATS.WorkerURL(worker), nats.CustomInboxPrefix("tg.inbox."+worker))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		data, err := proto.Marshal(&workerv1.ModelKeyRequest{Grant: &workerv1.Grant{Attempt: &workerv1.Attempt{Task: int64(k), Number: number}, Token: token}, PublicKey: public})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		answer, err := conn.RequestWithContext(ctx, "tg.modelkey."+worker, data)
		if err != nil {
			return nil, err
		}
		return answer.Data, nil
	}
	answer, err := ask("worker-1", keyed, 1, tokens.Of(keyed, 1), opener.Public())
	if err != nil {
		t.Fatal(err)
	}
	reply := &workerv1.ModelKeyReply{}
	if err := proto.Unmarshal(answer, reply); err != nil || bytes.Contains(answer, []byte("sk-1")) {
		t.Errorf("the answer shows the key: %q, %v", answer, err)
	}
	if key, err := opener.Open(reply.Sealed); err != nil || key.For("openai") != "sk-1" {
		t.Errorf("got %q, %v", key.Text(), err)
	}
	for what, err := range map[string]error{
		"another worker":          second(ask("other", keyed, 1, tokens.Of(keyed, 1), opener.Public())),
		"a wrong token":           second(ask("worker-1", keyed, 1, tokens.Of(plain, 1), opener.Public())),
		"an attempt of its own":   second(ask("worker-1", plain, 1, tokens.Of(plain, 1), opener.Public())),
		"a later attempt":         second(ask("worker-1", keyed, 2, tokens.Of(keyed, 2), opener.Public())),
		"a public key of 3 bytes": second(ask("worker-1", keyed, 1, tokens.Of(keyed, 1), []byte("abc"))),
	} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s got an answer: %v", what, err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// TestKeysOfRequestsNeedTheirLevel: an older worker would use its own.
func TestKeysOfRequestsNeedTheirLevel(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Levels: dag.AllLevels[:dag.KeyedLevel-1]}) // an older coordinator
	c.Upgrade(dag.AllLevels)
	newer := c.AddCoordinator().P
	if _, err := newer.Submit(t.Context(), coordinator.SubmitOptions{Hold: true}, cluster.Seq([]*dag.Task{{ID: "held", Name: "held", Priority: dag.Normal, Executor: "noop_executor"}})); err != nil {
		t.Fatal(err)
	}
	_, submit := newer.Submit(t.Context(), coordinator.SubmitOptions{ModelKey: keyOf(t, "k")}, cluster.Seq([]*dag.Task{{Name: "x", Priority: dag.Normal, Executor: "noop_executor"}}))
	_, execute := newer.Execute(t.Context(), "held", coordinator.ExecuteOptions{ModelKey: keyOf(t, "k")})
	for what, err := range map[string]error{"submit": submit, "execute": execute} {
		if low, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(low.Error(), "keys with a request") {
			t.Errorf("%s: got %v, want a refusal by level", what, err)
		}
	}
}
