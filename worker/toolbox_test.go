package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/internal/workerfile"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

// uses runs an attempt whose executor uses tools as the test says, at a worker that also has others, which agents may all use. It returns the
// attempt's result.
func uses(t *testing.T, tools []executors.Executor, change func(*worker.Config), use func(ctx context.Context, call *executors.Call) (any, error)) *workerv1.Result {
	t.Helper()
	h := newHarness(t)
	h.runWorker(does(use), func(c *worker.Config) {
		c.Executors = append(c.Executors, tools...)
		for _, e := range tools {
			c.AgentTools = append(c.AgentTools, e.Describe().ID)
		}
		if change != nil {
			change(c)
		}
	})
	h.offer(work(1))
	return next(h, h.results, "a result")
}

// tool is an executor that others use.
func tool(id string, run func(ctx context.Context, call *executors.Call) (any, error)) *executor {
	e := takesSecrets(run)
	e.description.ID = id
	return e
}

// TestToolsAreCheckedLikeTasks: what a model chooses is data, and only what the task's author fixed may name secrets.
func TestToolsAreCheckedLikeTasks(t *testing.T) {
	t.Parallel()
	_, has := holdsSecrets(t)
	says := tool("says", func(_ context.Context, call *executors.Call) (any, error) {
		call.Reporter.Log("stdout", "with "+string(call.Inputs))
		return call.Inputs, nil
	})
	for name, tt := range map[string]struct{ fixed, arguments, want string }{
		"arguments alone":                         {``, `{"token":"t"}`, `{"token":"t"}`},
		"fixed alone":                             {`{"token":"t"}`, ``, `{"token":"t"}`},
		"a secret that the author names":          {`{"token":{"secret":"canary"}}`, `{"other":"a"}`, `{"token":"***","other":"a"}`},
		"who gets that, which the model chooses":  {`{"token":{"secret":"canary"}}`, `{"host":"a"}`, `host: only the task's author may say where to go and as whom`},
		"the same, in capitals":                   {`{"token":{"secret":"canary"}}`, `{"HOST":"a"}`, `HOST: only the task's author may say where to go and as whom`},
		"who gets a plain password":               {`{"password":"p"}`, `{"host":"a"}`, `host: only the task's author may say where to go and as whom`},
		"a connection that the author names":      {`{"connection":"place"}`, `{"token":"t"}`, `{"connection":"place","token":"t","host":"h","password":"***"}`},
		"a secret that the model names":           {``, `{"token":{"secret":"canary"}}`, `token: only the task's author may name a secret`},
		"the same, deep":                          {``, `{"other":[{"a":{"secret":"canary"}}]}`, `other: only the task's author may name a secret`},
		"the same, with an escape":                {``, `{"other":{"\u0073ecret":"canary"}}`, `{"other":{"\u0073ecret":"canary"}}`},
		"a connection that the model names":       {``, `{"connection":"place"}`, `connection: only the task's author may name a connection`},
		"a connection, in other letters":          {``, `{"CONNECTION":"place"}`, `CONNECTION: only the task's author may name a connection`},
		"what the author has set":                 {`{"host":"a"}`, `{"host":"b"}`, `host: the task has set it`},
		"the same, in other letters":              {`{"host":"a"}`, `{"Host":"b"}`, `Host: the task has set it`},
		"what the author has set, with an escape": {`{"host":"a"}`, `{"\u0068ost":"b"}`, `host: the task has set it`},
		"what the author's connection sets":       {`{"connection":"place"}`, `{"Password":"b"}`, `Password: only the task's author may say where to go and as whom`},
		"a name twice":                            {``, `{"host":"a","host":"b"}`, `host: must not be there twice`},
		"no object":                               {``, `[1]`, `the inputs of a tool are not a JSON object`},
		"no JSON":                                 {``, `{"a":`, `the inputs of a tool are not a JSON object`},
		"what the executor's schema refuses":      {``, `{"host":7}`, `[says] Input validation failed for says: host: got number, want string`},
		"a secret of another pool":                {`{"token":{"secret":"others"}}`, ``, `[says] token: there is no secret "others" for tasks of pool "test"`},
		"a secret, from an argument that is text": {``, `{"token":"{\"secret\":\"canary\"}"}`, `{"token":"{\"secret\":\"canary\"}"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := uses(t, []executors.Executor{says}, has, func(ctx context.Context, call *executors.Call) (any, error) {
				got, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "says", Fixed: json.RawMessage(tt.fixed), Arguments: json.RawMessage(tt.arguments), Number: 1})
				if err != nil {
					return fmt.Sprintf("%v, permanent: %v", err, executors.IsPermanent(err)), nil
				}
				if strings.Contains(string(got), "C4nary") {
					t.Errorf("the tool's answer holds the secret: %s", got)
				}
				return string(got), nil
			})
			var got string
			if err := json.Unmarshal(worker.ValueOf(r), &got); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			if got != tt.want && !strings.HasPrefix(tt.want, "{") && !strings.Contains(got, tt.want) || strings.HasPrefix(tt.want, "{") && got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestToolsRunWithinTheirAttempt: its identity, its time, its lease, its account; and a failure of any kind is the tool's alone.
func TestToolsRunWithinTheirAttempt(t *testing.T) {
	t.Parallel()
	calls := make(chan executors.Call, 1)
	seen := tool("seen", func(_ context.Context, call *executors.Call) (any, error) {
		call.Record("m", executors.Usage{Calls: 1})
		calls <- *call
		return map[string]any{"ok": true}, nil
	})
	bad := tool("bad", func(_ context.Context, call *executors.Call) (any, error) {
		switch {
		case strings.Contains(string(call.Inputs), "panic"):
			panic("oh no")
		case strings.Contains(string(call.Inputs), "goexit"):
			runtime.Goexit()
		case strings.Contains(string(call.Inputs), "large"):
			return strings.Repeat("x", 2<<20), nil
		}
		return make(chan int), nil
	})
	r := uses(t, []executors.Executor{seen, bad}, nil, func(ctx context.Context, call *executors.Call) (any, error) {
		if _, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "seen", Number: 3}); err != nil {
			return nil, err
		}
		inner := <-calls
		for arguments, same := range map[string]bool{``: true, `{"a":1}`: false} {
			if _, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "seen", Number: 3, Arguments: []byte(arguments)}); err != nil {
				return nil, err
			}
			if other := <-calls; (other.IdempotencyKey == inner.IdempotencyKey) != same {
				t.Errorf("%s: the key is %s", arguments, other.IdempotencyKey)
			}
		}
		if !strings.HasPrefix(inner.IdempotencyKey, "key-1/tool/") || !strings.HasSuffix(inner.IdempotencyKey, "/3") || inner.TaskID != call.TaskID || inner.Attempt != call.Attempt || inner.Pool != call.Pool || inner.Lease != call.Lease {
			t.Errorf("the tool's call is %+v", inner)
		}
		if inner.Toolbox != nil || inner.ModelKey != nil || inner.Catalogue != nil || inner.Live != nil || inner.Params != nil {
			t.Error("a tool gets what only its agent has")
		}
		for what, want := range map[string]string{"panic": "panic: oh no", "goexit": "executor ended its goroutine", "large": "the result has 2097154 bytes, at most 1048576", "chan": "result can't be encoded as JSON"} {
			_, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "bad", Arguments: fmt.Appendf(nil, `{"do":%q}`, what)})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", what, err, want)
			}
		}
		return "fine", nil
	})
	if worker.EndOf(r) != dag.OutcomeCompleted {
		t.Errorf("got %v", r)
	}
}

// TestToolsAreTheOperatorsToAllow: by default and per pool; what asks models is none.
func TestToolsAreTheOperatorsToAllow(t *testing.T) {
	t.Parallel()
	noop := func(context.Context, *executors.Call) (any, error) { return nil, nil }
	open, shut := tool("open", noop), tool("shut_executor", noop)
	asks := tool("asks", noop)
	asks.description.Type = "llm"
	check := func(file string, want map[string]string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "worker.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		r := uses(t, []executors.Executor{open, shut, asks}, func(c *worker.Config) { c.AgentTools, c.WorkerFile = []string{"open", "asks"}, path },
			func(ctx context.Context, call *executors.Call) (any, error) {
				for id, text := range want {
					_, err := call.Toolbox.Tool(id)
					_, useErr := call.Toolbox.Use(ctx, executors.ToolUse{Executor: id})
					if text == "" {
						if err != nil || useErr != nil {
							t.Errorf("%s: got %v, %v", id, err, useErr)
						}
						continue
					}
					if err == nil || err.Error() != text || !executors.IsPermanent(err) || useErr == nil || useErr.Error() != text {
						t.Errorf("%s: got %v, %v, want %s", id, err, useErr, text)
					}
				}
				return nil, nil
			})
		if worker.EndOf(r) != dag.OutcomeCompleted {
			t.Errorf("got %v", r)
		}
	}
	const closed = ` may not be used by agents of pool "test": TASKGROVE_AGENT_TOOLS, or agents.tools of the pool in the worker's file, opens it to them`
	check("{}", map[string]string{
		"open": "", "OPEN": `there is no executor "OPEN" at this worker`, "shut_executor": "shut_executor" + closed, "shut": "shut_executor" + closed,
		"asks": "asks asks models itself, and is no tool of an agent", "nothing": `there is no executor "nothing" at this worker`, "test": "test" + closed,
	})
	check("pools: {test: {agents: {tools: [shut_executor]}}}", map[string]string{"open": "open" + closed, "shut": ""})
	check("pools: {'*': {agents: {tools: []}}}", map[string]string{"open": "open" + closed, "shut": "shut_executor" + closed})
}

// TestToolsEndWithTheirAttempt: a cancellation reaches the tool, and nothing runs behind its back.
func TestToolsEndWithTheirAttempt(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	slow := tool("slow", func(ctx context.Context, _ *executors.Call) (any, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	})
	h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		_, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "slow"})
		return nil, err
	}), func(c *worker.Config) {
		c.Executors, c.AgentTools = append(c.Executors, slow), []string{"slow"}
	})
	h.offer(work(1))
	next(h, began, "the tool's begin")
	h.tell("w1", &workerv1.News{Cancel: []*workerv1.Attempt{{Task: 1, Number: 1}}})
	h.wantResult(1, dag.OutcomeCancelled)
	if err := next(h, ended, "the tool's end"); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
}

// TestToolsUseFewAtOnce: what is too much waits.
func TestToolsUseFewAtOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := 0, 0
	count := tool("count", func(context.Context, *executors.Call) (any, error) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return nil, nil
	})
	uses(t, []executors.Executor{count}, nil, func(ctx context.Context, call *executors.Call) (any, error) {
		var all sync.WaitGroup
		refused := 0
		for range 50 {
			all.Go(func() {
				for range 41 {
					if _, err := call.Toolbox.Use(ctx, executors.ToolUse{Executor: "count"}); err != nil {
						mu.Lock()
						refused++
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		if most > 8 || refused != 50 {
			t.Errorf("%d at once, %d refused", most, refused)
		}
		return nil, nil
	})
}

// TestRealExecutorsAreTools: a service over HTTP that wants a secret, a database, a program of its own.
func TestRealExecutorsAreTools(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("there is no python3 on this machine")
	}
	_, has := holdsSecrets(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s; %s; %s", r.URL.Query().Get("q"), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"))
	}))
	t.Cleanup(service.Close)
	words, err := filepath.Abs(filepath.Join("..", "examples", "external-python"))
	if err != nil {
		t.Fatal(err)
	}
	all := external.Open(t.Context(), external.Config{Programs: []workerfile.Executor{{Command: []string{"python3", "words.py"}, Dir: words, KeepEnv: []string{"PYENV_VERSION"}}}})
	all = append(all, rest.New(rest.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}})),
		sql.New(sql.Config{Place: func(string) (string, bool) { return t.TempDir(), false }}))
	r := uses(t, all, has, func(ctx context.Context, call *executors.Call) (any, error) {
		answers := map[string]json.RawMessage{}
		for n, use := range []executors.ToolUse{
			{Executor: "rest", Fixed: fmt.Appendf(nil, `{"url":%q,"auth":{"type":"bearer","token":{"secret":"canary"}}}`, service.URL), Arguments: []byte(`{"params":{"q":"you"}}`)},
			{Executor: "sql", Fixed: []byte(`{"driver":"sqlite","database":"d.db","read_only":false}`), Arguments: []byte(`{"query":"SELECT 6 * 7 AS answer"}`)},
			{Executor: all[0].Describe().ID, Arguments: []byte(`{"text":"one two three"}`)},
		} {
			use.Number = n + 1
			answer, err := call.Toolbox.Use(ctx, use)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", use.Executor, err)
			}
			answers[use.Executor] = answer
		}
		return answers, nil
	})
	value := string(worker.ValueOf(r))
	for _, want := range []string{"hello you; Bearer ***; key-1/tool/", `"answer":42`, `3`} {
		if !strings.Contains(value, want) {
			t.Errorf("want %s in %s; %s", want, value, r.Error)
		}
	}
}
