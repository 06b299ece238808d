package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

const canary = "C4nary-of-\"Secrets\"+2026/ü"

// holdsSecrets gives a worker a directory with a secret called canary, and a file with a connection and a secret of another pool.
func holdsSecrets(t *testing.T) (file string, change func(*worker.Config)) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(t.TempDir(), "worker.yaml")
	for path, text := range map[string]string{
		filepath.Join(dir, "canary"): canary + "\n",
		filepath.Join(dir, "others"): "not for you",
		file: "secrets: {others: {pools: [elsewhere]}}\n" +
			"connections: {place: {type: demo, host: h, password: {secret: others}, pools: [" + pool + "]}}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file, func(c *worker.Config) { c.WorkerFile, c.SecretsDir = file, dir }
}

// takesSecrets is the executor of a test, which takes secrets in its field "token", and connections.
func takesSecrets(run func(ctx context.Context, call *executors.Call) (any, error)) *executor {
	e := does(run)
	e.description.Secrets = true
	e.description.Inputs = json.RawMessage(`{"type":"object","properties":{"token":{"type":"string"},"connection":{"type":"string"},"host":{"type":"string"},"password":{"type":"string"}}}`)
	e.description.Connection = &executors.Connection{Types: []string{"demo"}, Fields: []string{"host", "password"}}
	return e
}

// TestSecretsReachTheExecutorAndNothingElse: whatever an attempt says of its secret, it is not in what the worker sends.
func TestSecretsReachTheExecutorAndNothingElse(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, has := holdsSecrets(t)
	calls, told := make(chan executors.Call, 10), make(chan struct{})
	h.runWorker(takesSecrets(func(_ context.Context, call *executors.Call) (any, error) {
		calls <- *call
		var in struct{ Token, Password string }
		if err := json.Unmarshal(call.Inputs, &in); err != nil {
			return nil, err
		}
		said := "it is " + in.Token + in.Password
		call.Reporter.Log("stdout", said)
		call.Reporter.Progress(0.5, said)
		call.Record(said, executors.Usage{Calls: 1})
		switch call.TaskID {
		case "task-1":
			<-told
		case "task-2":
			return map[string]any{"done": said}, errors.New(said)
		case "task-3":
			panic(said)
		}
		return map[string]any{"said": said, in.Token: []string{in.Token}}, nil
	}), has)
	named := func(w *workerv1.Work) {
		w.Inputs, w.References = []byte(`{"token":{"secret":"canary"},"connection":"place"}`), []string{"token", "connection"}
	}
	h.offer(work(1, named))
	if p := next(h, h.progress, "progress"); p.Message != "it is ******" {
		t.Errorf("progress says %q", p.Message)
	}
	close(told)
	h.offer(work(2, named), work(3, named))
	large := work(4, func(w *workerv1.Work) { w.Inputs, w.InputsSize = nil, 1 })
	h.script(func() {
		h.inputs[4] = []byte(`{"filler":"` + strings.Repeat("x", 700<<10) + `","token":{"secret":"canary"},"connection":"place"}`)
		h.names[4] = []string{"token", "connection"}
	})
	h.offer(large)
	texts := map[int64]string{}
	for range 4 {
		r := next(h, h.results, "a result")
		text := string(worker.ValueOf(r)) + r.Error + r.Detail
		texts[r.Attempt.Task] = text
		if data, err := proto.Marshal(r); err != nil || strings.Contains(string(data), "C4nary") || strings.Contains(string(data), "not for you") {
			t.Errorf("the result of %d holds a secret: %v", r.Attempt.Task, r)
		}
		if value := worker.ValueOf(r); len(value) > 0 && !json.Valid(value) {
			t.Errorf("the result of %d is no JSON: %s", r.Attempt.Task, value)
		}
	}
	for task, want := range map[int64]string{1: `{"***":["***"],"said":"it is ******"}`, 2: "it is ******", 3: "panic: it is ******", 4: `{"***":["***"],"said":"it is ******"}`} {
		if !strings.Contains(texts[task], want) {
			t.Errorf("task %d: got %s, want %s", task, texts[task], want)
		}
	}
	for range 4 {
		call := next(h, calls, "a call")
		var in struct{ Token, Host, Password, Connection string }
		if err := json.Unmarshal(call.Inputs, &in); err != nil || in.Token != canary || in.Host != "h" || in.Password != "not for you" || in.Connection != "place" {
			t.Errorf("inputs are %.200s, %v", call.Inputs, err)
		}
		if call.Pool != pool || call.Connection != "place" {
			t.Errorf("pool %q, connection %q", call.Pool, call.Connection)
		}
	}
}

// TestSecretsOfResultsAndOthersAreRefused: nothing runs, and a task can't tell what others have from what nobody has.
func TestSecretsOfResultsAndOthersAreRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, has := holdsSecrets(t)
	ran := make(chan string, 10)
	h.runWorker(takesSecrets(func(_ context.Context, call *executors.Call) (any, error) {
		ran <- string(call.Inputs)
		return nil, nil
	}), has)
	for i, tt := range []struct {
		inputs     string
		references []string
		want       string
	}{
		{`{"token":{"secret":"others"}}`, []string{"token"}, `[test] token: there is no secret "others" for tasks of pool "test"`},
		{`{"token":{"secret":"nobody"}}`, []string{"token"}, `[test] token: there is no secret "nobody" for tasks of pool "test"`},
		{`{"connection":"nobody"}`, []string{"connection"}, `[test] connection: there is no connection "nobody" for tasks of pool "test"`},
		{`{"connection":"place","host":"evil"}`, []string{"connection"}, `[test] connection: "place" says where to go and as whom: leave out host`},
		{`{"connection":"place"}`, nil, "only the task itself may name one"},
		{`{"token":{"secret":"canary"}}`, nil, "token"}, // written by a result: data, which is no text
	} {
		task := int64(i + 1)
		h.offer(work(task, func(w *workerv1.Work) { w.Inputs, w.References = []byte(tt.inputs), tt.references }))
		r := h.wantResult(task, failed)
		if !strings.Contains(r.Error, tt.want) || !r.GetFailed().Permanent {
			t.Errorf("%s: got %q (permanent: %v), want %q", tt.inputs, r.Error, r.GetFailed().Permanent, tt.want)
		}
	}
	h.offer(work(9, func(w *workerv1.Work) { w.Inputs = []byte(`{"other":{"secret":"canary"}}`) }))
	h.wantResult(9, completed)
	if got := next(h, ran, "the run"); got != `{"other":{"secret":"canary"}}` || len(ran) > 0 {
		t.Errorf("ran with %s, and %d more did", got, len(ran))
	}
}

// TestOwnSchemaOfATaskCannotAskForSecrets by patterns: it sees neither a secret nor what a connection has set.
func TestOwnSchemaOfATaskCannotAskForSecrets(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, has := holdsSecrets(t)
	h.runWorker(takesSecrets(func(context.Context, *executors.Call) (any, error) { return "ran", nil }), has)
	for i, tt := range []struct{ schema, wrong string }{
		{`{"properties":{"token":{"pattern":"^C4"},"password":{"pattern":"^x"}}}`, "token: does not match"},
		{`{"properties":{"token":{"pattern":"^[*]{3}$"},"password":{"pattern":"^x"},"host":{"const":"x"}}}`, ""},
		{`{"required":["password"]}`, "Missing required parameters: ['password']"},
	} {
		h.offer(work(int64(i+1), func(w *workerv1.Work) {
			w.Inputs, w.References = []byte(`{"token":{"secret":"canary"},"connection":"place"}`), []string{"token", "connection"}
			w.Schemas = []byte(`{"input_schema":` + tt.schema + `}`)
		}))
		r := next(h, h.results, "a result")
		if !strings.Contains(r.Error, tt.wrong) || (tt.wrong == "") != (worker.EndOf(r) == completed) {
			t.Errorf("%s: got %v %q, want %q", tt.schema, worker.EndOf(r), r.Error, tt.wrong)
		}
	}
}

// TestFaultyFileIsToldAndHindersNothing: the version before it counts.
func TestFaultyFileIsToldAndHindersNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	file, has := holdsSecrets(t)
	w := h.runWorker(takesSecrets(func(_ context.Context, call *executors.Call) (any, error) { return len(call.Inputs), nil }), has)
	if err := os.WriteFile(file, []byte("secrets: {canary: {pool: [test]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := h.nextBeat("a fault", func(b *workerv1.Beat) bool { return len(b.Faults) > 0 })
	if want := "the worker's file does not count, the version before it does: " + file + ":1:20: secrets.canary.pool: unknown key"; !strings.HasPrefix(b.Faults[0].Text, want) {
		t.Errorf("got %q, want %q", b.Faults[0].Text, want)
	}
	h.until("the worker is ready", func() bool { return w.Ready() == nil })
	h.offer(work(1, func(w *workerv1.Work) {
		w.Inputs, w.References = []byte(`{"connection":"place"}`), []string{"connection"}
	}))
	h.wantResult(1, completed)
	if err := os.WriteFile(file, []byte("secrets: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.nextBeat("no fault", func(b *workerv1.Beat) bool { return len(b.Faults) == 0 })
}

func TestFaultyFileKeepsAWorkerFromStarting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(file, []byte("a: 1\nb: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := worker.Dial(ctx, "nats://127.0.0.1:1", worker.Config{Executors: []executors.Executor{echo()}, WorkerFile: file, ID: "-"})
	for _, want := range []string{fmt.Sprintf("%s:1:1: a: unknown key", file), fmt.Sprintf("%s:2:1: b: unknown key", file)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
