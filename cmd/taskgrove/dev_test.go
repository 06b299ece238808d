package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/worker"
)

// binary is the program itself, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "taskgrove-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "taskgrove")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// patience is how long a test waits for what takes a second; nothing takes that long unless it is stuck.
const patience = 90 * time.Second

// running is a process of ours.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    bytes.Buffer // stdout and stderr
	exited chan struct{}
	ready  addresses
}

// start starts a process with a clean environment and waits for its ready file.
func start(t *testing.T, environment []string, args ...string) *running {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	p := launch(t, environment, append(args, "--ready-file", file)...)
	for end := time.Now().Add(patience); ; {
		text, err := os.ReadFile(file)
		if err == nil {
			if err := json.Unmarshal(text, &p.ready); err != nil {
				t.Fatalf("ready file is not whole: %v: %s", err, text)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("ready file: %v %v, want its owner's only", info.Mode(), err)
			}
			t.Cleanup(func() {
				if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("ready file stays: %v", err)
				}
			})
			return p
		}
		select {
		case <-p.exited:
			t.Fatalf("%v ended early:\n%s", args, p.out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
			<-p.exited
			t.Fatalf("%v is not ready within %s:\n%s", args, patience, p.out.String())
		}
	}
}

func launch(t *testing.T, environment []string, args ...string) *running {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &running{t: t, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environment...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.wait()
		if t.Failed() {
			t.Logf("%v:\n%s", args, p.out.String())
		}
	})
	return p
}

// stop ends it as an operator does, and wants exit code 0.
func (p *running) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit code %d, want 0:\n%s", code, p.out.String())
	}
}

func (p *running) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.exited
		p.t.Errorf("does not end within %s:\n%s", patience, p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// execute runs one task to its end over JSON-RPC and answers its result.
func (p *running) execute(id, executor, inputs string) map[string]any {
	p.t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tasks.execute","params":{"wait":true,"timeout":60,
		"tasks":[{"id":%q,"name":%q,"schemas":{"method":%q},"inputs":%s}]}}`, id, id, executor, inputs)
	answer, err := http.Post(p.ready.HTTP+"/tasks", "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var got struct{ Result map[string]any }
	if err := json.Unmarshal(text, &got); err != nil || got.Result["status"] != "completed" {
		p.t.Fatalf("got %v: %s, want a completed task", err, text)
	}
	return got.Result
}

// setting is one of dev's Postgres.
func (p *running) setting(name string) (value string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.ready.Postgres)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(p.t.Context(), "select current_setting($1)", name).Scan(&value); err != nil {
		p.t.Fatal(err)
	}
	return value
}

func (p *running) get(path string) (int, string) {
	p.t.Helper()
	answer, err := http.Get(p.ready.HTTP + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// free are the flags that keep parallel tests off each other's ports.
var free = []string{"--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"}

// on is how many of the built-in executors a process has not reported as off.
func on(log string) (n int) {
	for d := range builtin.Catalogue() {
		if !regexp.MustCompile(`executor is off, and its pool is not served.*\b` + d.ID + `\b`).MatchString(log) {
			n++
		}
	}
	return n
}

func TestDevRunsATaskAndLeavesNothing(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	if err := os.Chmod(filepath.Dir(temp), 0o711); err != nil { // as root, Postgres runs as another user
		t.Fatal(err)
	}
	dev := start(t, []string{"TMPDIR=" + temp, "TASKGROVE_COMMAND_ALLOW=on"}, append([]string{"dev", "--ephemeral", "--concurrency", "3"}, free...)...)

	got := dev.execute("hello", "command_executor", `{"command":"echo grown"}`)
	result, _ := got["result"].(map[string]any)
	if out, _ := result["stdout"].(string); strings.TrimSpace(out) != "grown" {
		t.Errorf("got %v, want stdout grown", got)
	}
	for path, want := range map[string]string{"/health": `"ok"`, "/ready": `"ready"`, "/metrics": "go_goroutines"} {
		if code, text := dev.get(path); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: got %d %.200s, want %s", path, code, text, want)
		}
	}
	_, metrics := dev.get("/metrics")
	describedMetrics(t, metrics)
	if !strings.HasPrefix(dev.ready.NATS, "nats://") || !strings.HasPrefix(dev.ready.Postgres, "postgres://") || dev.ready.GRPC == "" {
		t.Errorf("ready file: %+v", dev.ready)
	}
	if got := dev.setting("fsync"); got != "off" {
		t.Errorf("fsync = %s for files that go with the process", got)
	}
	if left := processesOf(t, temp); len(left) < 2 {
		t.Fatalf("got %v: this test looks at the wrong processes", left)
	}

	dev.stop()
	want := fmt.Sprintf("%d tasks at once, over all pools (--concurrency and TASKGROVE_POOLS set them):\n            3 each, set for all pools: ", 3*on(dev.out.String()))
	if !strings.Contains(dev.out.String(), want) {
		t.Errorf("it does not say %s", want)
	}
	if !strings.Contains(dev.out.String(), "\nStopping. Nothing runs; then the coordinator, NATS and Postgres stop. Ctrl-C again ends it at once.\n") {
		t.Error("the first signal is not answered")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if left := processesOf(t, temp); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	for _, secret := range []string{dev.ready.NATS, dev.ready.Postgres} {
		_, password, _ := strings.Cut(strings.Split(secret, "@")[0], "://")
		_, password, _ = strings.Cut(password, ":")
		if password == "" || strings.Contains(dev.out.String(), password) {
			t.Errorf("password %q shows in the output", password)
		}
	}
}

// describedMetrics holds what a cluster exposes after a task has run against the tables that the reference is made of.
func describedMetrics(t *testing.T, page string) {
	t.Helper()
	tables := slices.Concat(instrument.Coordinator, instrument.Worker, instrument.Process)
	kinds := map[string]instrument.Metric{}
	for _, m := range tables {
		kinds[m.Shown()] = m
	}
	shown := 0
	for line := range strings.Lines(page) {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] != "#" || !strings.HasPrefix(words[2], "taskgrove_") {
			continue
		}
		m, ok := kinds[words[2]]
		switch text := strings.Join(words[3:], " "); {
		case !ok:
			t.Errorf("%s is in no table", words[2])
		case words[1] == "TYPE" && text != string(m.Kind), words[1] == "HELP" && text != m.Help:
			t.Errorf("%s, which its table has as a %s: %s", strings.TrimSpace(line), m.Kind, m.Help)
		}
		shown++
	}
	for _, m := range regexp.MustCompile(`(?m)^(taskgrove_\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}`).FindAllStringSubmatch(page, -1) {
		var labels []string
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if !strings.HasPrefix(l[1], "otel_scope_") && l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		if want := slices.Sorted(slices.Values(kinds[m[1]].Labels)); !slices.Equal(labels, want) { // Prometheus shows them in this order
			t.Errorf("%s has labels %q, and its table %q", m[1], labels, want)
		}
	}
	if shown < 20 {
		t.Errorf("%d lines of metrics, which says little", shown)
	}
}

// processesOf are the processes that run in dir or whose command line names it.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc")
	}
	var found []string
	for _, e := range entries {
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil {
			continue
		}
		at, _ := os.Readlink("/proc/" + e.Name() + "/cwd")
		if bytes.Contains(line, []byte(dir)) || strings.HasPrefix(at, dir) {
			found = append(found, e.Name()+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// What a shell holds for other servers has nothing to say to the private ones.
func TestDevIgnoresTheEnvironmentOfOtherPostgresServers(t *testing.T) {
	t.Parallel()
	dev := start(t, []string{
		"PGSERVICE=other", "PGSERVICEFILE=/no/such", "PGSSLROOTCERT=/no/such", "PGSSLMODE=verify-full", "PGSSLCERT=/no/such",
		"PGSSLKEY=/no/such", "PGOPTIONS=-c default_transaction_read_only=on -c nonsense=1", "PGHOST=192.0.2.1", "PGPORT=1",
		"PGUSER=nobody", "PGPASSWORD=wrong", "PGPASSFILE=/no/such", "PGDATABASE=other", "PGTARGETSESSIONATTRS=read-only",
		"PGCONNECT_TIMEOUT=nonsense", "PGTZ=nowhere", "PGDATA=/no/such", "PGAPPNAME=x", "PGCLIENTENCODING=LATIN1",
	}, append([]string{"dev", "--ephemeral"}, free...)...)
	dev.execute("runs", "noop_executor", `{}`)
	dev.stop()
}

func TestCommandsFindNoSecretInTheEnvironment(t *testing.T) {
	t.Parallel()
	dev := start(t, []string{"SOMEBODYS_PASSWORD=hunter2hunter2", "TASKGROVE_COMMAND_ALLOW=true"}, append([]string{"dev", "--ephemeral"}, free...)...)
	got := dev.execute("attack", "command_executor", `{"command": "grep -laz ^SOMEBODYS_PASSWORD= /proc/[0-9]*/environ; echo looked"}`)
	if result, _ := got["result"].(map[string]any); result["stdout"] != "looked" {
		t.Errorf("got %v: these processes show it", got["result"])
	}
	dev.stop()
}

func TestDevKeepsItsState(t *testing.T) {
	t.Parallel()
	args := append([]string{"dev", "--data-dir", filepath.Join(t.TempDir(), "state")}, free...)
	first := start(t, nil, args...)
	first.execute("kept", "noop_executor", `{}`)
	if got := first.setting("fsync"); got != "on" {
		t.Errorf("fsync = %s for files that stay", got)
	}

	second := launch(t, nil, args...)
	if code := second.wait(); code != exitError || !strings.Contains(second.out.String(), "in use by another") {
		t.Errorf("a second one: got %d %s", code, second.out.String())
	}

	first.stop()
	again := start(t, nil, args...)
	answer, err := http.Post(again.ready.HTTP+"/tasks", "application/json",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tasks.get","params":{"task_id":"kept"}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); !bytes.Contains(text, []byte(`"completed"`)) {
		t.Errorf("got %s, want the completed task of before", text)
	}
	again.stop()
}

// Postgres and NATS start side by side: what one of them fails with ends the other's start, and is told.
func TestDevStopsOneServerIfTheOtherCannotStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(filepath.Join(dir, "nats"), 0o755); err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(dir, "nats", "jetstream")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"dev", "--data-dir", dir}, free...)
	dev := launch(t, nil, args...)
	if code := dev.wait(); code != exitError || !strings.Contains(dev.out.String(), "start nats in "+filepath.Join(dir, "nats")) {
		t.Errorf("got %d %s, want what NATS failed with", code, dev.out.String())
	}
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	start(t, nil, args...).stop() // nothing half-made is in the way
}

// A cluster of separate processes: dev gives them Postgres and NATS only, its own worker serves no pool of theirs.
func TestCoordinatorAndWorkerBesideDev(t *testing.T) {
	t.Parallel()
	dev := start(t, []string{"TASKGROVE_POOLS=elsewhere"}, append([]string{"dev", "--ephemeral"}, free...)...)
	shared := []string{"TASKGROVE_NATS_URL=" + dev.ready.NATS, "DATABASE_URL=" + dev.ready.Postgres}
	coordinator := start(t, shared, append([]string{"coordinator"}, free...)...)
	worker := start(t, append(shared, "TASKGROVE_POOLS=noop_executor=2"), "worker", "--id", "w-1", "--http-addr", "127.0.0.1:0")

	coordinator.execute("beside", "noop_executor", `{}`)
	for _, p := range []*running{coordinator, worker} {
		if code, text := p.get("/ready"); code != http.StatusOK {
			t.Errorf("ready: got %d %s", code, text)
		}
		if code, text := p.get("/metrics"); code != http.StatusOK || !strings.Contains(text, "go_goroutines") {
			t.Errorf("metrics: got %d %.200s", code, text)
		}
	}
	worker.stop()
	coordinator.stop()
	dev.stop()
}

func TestWrongSettingsStopTheStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		environment []string
		args        []string
		code        int
		want        []string
	}{
		{"every fault at once", []string{"TASKGROVE_CONCURRENCY=x", "TASKGROVE_LEASE=1"}, []string{"dev", "--ephemeral"}, exitUsage,
			[]string{"TASKGROVE_CONCURRENCY=x", "TASKGROVE_LEASE=1"}},
		{"flag", nil, []string{"dev", "--http-addr", "here"}, exitUsage, []string{"--http-addr=here: not an address; takes host:port"}},
		{"listening to all without leave", nil, []string{"dev", "--ephemeral", "--grpc-addr", "0.0.0.0:0"}, exitUsage, []string{"--insecure-listen"}},
		{"unknown flag", nil, []string{"dev", "--nonsense"}, exitUsage, []string{"there is no flag --nonsense"}},
		{"unknown command", nil, []string{"nonsense"}, exitUsage, []string{`unknown command "nonsense"`}},
		{"flag missing", nil, []string{"erase"}, exitUsage, []string{`required flag(s) "user" not set`}},
		{"flags that exclude one another", nil, []string{"submit", "x.yaml", "--llm-key-env", "A", "--llm-key-file", "b"}, exitUsage, []string{"[llm-key-env llm-key-file]"}},
		{"argument too many", nil, []string{"worker", "more"}, exitUsage, []string{"more"}},
		{"coordinator without a database", nil, []string{"coordinator"}, exitUsage, []string{"TASKGROVE_POSTGRES_URL: not set", "TASKGROVE_NATS_URL: not set"}},
		{"nats-config with a wrong pool", nil, []string{"nats-config", "--worker", "w=a.b"}, exitUsage, []string{`"a.b" is no name of a pool`}},
		{"nats-config with a wrong pool of a group", nil, []string{"nats-config", "--group", "w=a.b"}, exitUsage, []string{`--group w: "a.b" is no name of a pool`}},
		{"nats-config with a member", nil, []string{"nats-config", "--group", "w.a"}, exitUsage, []string{`"w.a" is no name`}},
		{"nats-config with a group called like a worker", nil, []string{"nats-config", "--group", "w", "--worker", "w"}, exitUsage, []string{"users w and w would share"}},
		{"nats-config with a group", nil, []string{"nats-config", "--group", "gpu=gpu"}, exitOK, []string{"$TASKGROVE_PASSWORD_GPU", `"TG_WORKER_gpu"`, `"tg.claim.gpu.*"`}},
		{"nats-config for programs", nil, []string{"nats-config", "--worker", "gpu-1=gpu", "-o", "json"}, exitOK,
			[]string{`{"users":[{"user":"coordinator","password_variable":"TASKGROVE_PASSWORD_COORDINATOR","publish":[`, `{"user":"gpu-1","password_variable":"TASKGROVE_PASSWORD_GPU_1","publish":["`,
				`"accounts":[{"name":"TG","jetstream":true,"users":["coordinator"],"exports":[{"service":"tg.claim.gpu-1","accounts":["TG_WORKER_gpu-1"]}`}},
		{"nats-config in a format that is none", nil, []string{"nats-config", "-o", "xml"}, exitUsage, []string{"--output"}},
		{"nats-config", nil, []string{"nats-config", "--worker", "gpu-1=gpu"}, exitOK, []string{"accounts {", "$TASKGROVE_PASSWORD_GPU_1", `"TG_WORKER_gpu-1"`}},
		{"version", nil, []string{"version"}, exitOK, []string{"taskgrove "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := launch(t, tt.environment, tt.args...)
			code := p.wait()
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("got %s, want %s", p.out.String(), want)
				}
			}
		})
	}
}

func TestWelcomeSaysHowManySlotsAndWhy(t *testing.T) {
	pools := []worker.Served{
		{Pool: worker.Pool{Name: "noop", Concurrency: 16}, Why: "the default"}, {Pool: worker.Pool{Name: "rest", Concurrency: 64}, Why: "what suits"},
		{Pool: worker.Pool{Name: "sum", Concurrency: 16}, Why: "the default"}, {Pool: worker.Pool{Name: "gpu", Concurrency: 16}, Why: "set"},
	}
	for i := range 9 {
		pools = append(pools, worker.Served{Pool: worker.Pool{Name: fmt.Sprint("a-long-name-", i), Concurrency: 1}, Why: "set"})
	}
	want := `121 tasks at once, over all pools (--concurrency and TASKGROVE_POOLS set them):
            64, what suits: rest
            16 each, the default: noop, sum
            16, set: gpu
            1 each, set: a-long-name-0, a-long-name-1, a-long-name-2, a-long-name-3, a-long-name-4, a-long-name-5,
              a-long-name-6, a-long-name-7, a-long-name-8`
	if got := slotsOf(pools); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWelcomeSaysWhoseKeysTasksSpend(t *testing.T) {
	lookup := func(env map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { value, ok := env[name]; return value, ok }
	}
	const none = "no key in the environment; OPENAI_API_KEY, ANTHROPIC_API_KEY and others give one to tasks"
	if got := modelsOf(lookup(map[string]string{"OPENAI_API_KEY": "", "AWS_ACCESS_KEY_ID": "k"})); got != none {
		t.Errorf("without keys: %s", got)
	}
	if got := modelsOf(lookup(map[string]string{"OPENAI_API_KEY": "k-1", "GROQ_KEY": "k-2", "LLM_API_KEY": "k-3"})); got != "any task may spend on GROQ_KEY, LLM_API_KEY, OPENAI_API_KEY" {
		t.Errorf("with keys: %s", got)
	}
}

func TestFarewellSaysWhatItWaitsFor(t *testing.T) {
	for running, want := range map[int]string{0: "Nothing runs;", 1: "1 task still runs, and has 25s to end;", 3: "3 tasks still run, and have 25s to end;"} {
		var out bytes.Buffer
		if farewell(&out, running, 25*time.Second); !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %q", out.String(), want)
		}
	}
}
