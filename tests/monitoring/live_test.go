package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/internal/credential/certtest"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// patience is how long anything may take on a busy machine before it counts as stuck.
const patience = 2 * time.Minute

// process is one of the cluster's, or Prometheus.
type process struct {
	HTTP, GRPC  string
	cmd         *exec.Cmd
	out, faults bytes.Buffer // read after its end
	ended       chan struct{}
}

// start starts a program, which ends with the test.
func start(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.faults
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%v:\n%.4000s", p.cmd.Args, p.faults.String())
		}
	})
	return p
}

// stop ends it as SIGTERM does, and waits.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// eventually waits until f is nil.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within %s: %s: %v", patience, what, err)
}

// live is a cluster of processes, under load and faults, with a Prometheus that scrapes it.
type live struct {
	*testing.T
	program      string
	coordinators []*process
	workers      []*process
	hooks        string // that takes webhooks
	prometheus   string // its URL
}

func startLive(t *testing.T) *live {
	t.Helper()
	prometheus := tool(t, "prometheus")
	l := &live{T: t, program: filepath.Join(t.TempDir(), "taskgrove")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", l.program, "../../cmd/taskgrove").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	nats, err := natsserver.Start(natsserver.Config{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	hooks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hooks.Close)
	l.hooks = hooks.URL
	database := []string{"TASKGROVE_POSTGRES_URL=" + pgtest.Database(t), "TASKGROVE_NATS_URL=" + nats.CoordinatorURL(), "TASKGROVE_LEASE=3s", "TASKGROVE_AUDIT=1s",
		"TASKGROVE_WINDOW=64", "TASKGROVE_WEBHOOK_ALLOW=127.0.0.1"}
	l.coordinator(database...)
	l.coordinator(append(database, "TASKGROVE_JWT_SECRET=a secret of this test that is long enough", "TASKGROVE_CALLER_RATE=1", "TASKGROVE_CALLER_BURST=1")...)
	cert, key := certtest.New(t, "authority").Pair(t, "worker")
	prices := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(prices, []byte("currency: USD\nmodels:\n  gpt-4o*: {input: 5, output: 15}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.worker("first", nats.WorkerURL("first"), "OPENAI_BASE_URL="+startModels(t), "OPENAI_API_KEY=sk-test", "TASKGROVE_PRICES_FILE="+prices)
	l.worker("second", nats.WorkerURL("second"), "TASKGROVE_LISTEN_TLS_CERT_FILE="+cert, "TASKGROVE_LISTEN_TLS_KEY_FILE="+key)
	l.scrape(prometheus)
	return l
}

// startModels starts a service of models, and answers where.
func startModels(t *testing.T) string {
	models := modeltest.New("")
	server := httptest.NewServer(models.Handler())
	t.Cleanup(func() { server.Close(); models.Close() })
	models.Play("gpt-4o", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "Hello."}}})
	return server.URL + "/v1"
}

func (l *live) coordinator(env ...string) {
	l.Helper()
	l.coordinators = append(l.coordinators, l.process("coordinator", append(env, "TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR=127.0.0.1:0")))
}

func (l *live) worker(id, nats string, env ...string) {
	l.Helper()
	l.workers = append(l.workers, l.process("worker", append(env, "TASKGROVE_NATS_URL="+nats, "TASKGROVE_WORKER_ID="+id, "TASKGROVE_WORKER_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_COMMAND_ALLOW=true",
		"TASKGROVE_ADDRESS_LOOPBACK=true", "TASKGROVE_CONCURRENCY=4", "TASKGROVE_BEAT=300ms", "TASKGROVE_KILL_GRACE=500ms", "TASKGROVE_TASK_LOGS=stdout")))
}

func (l *live) process(kind string, env []string) *process {
	l.Helper()
	ready := filepath.Join(l.TempDir(), "ready.json")
	p := start(l.T, append(env, "TASKGROVE_LOG_LEVEL=warn"), l.program, kind, "--ready-file", ready)
	eventually(l.T, "the "+kind+" is ready", func() error {
		select {
		case <-p.ended:
			l.Fatalf("%s has ended: %s", kind, p.faults.String())
		default:
		}
		text, err := os.ReadFile(ready)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, p)
	})
	return p
}

// scrape starts Prometheus with our rules, on a free port, with its data below a directory of the test.
func (l *live) scrape(path string) {
	l.Helper()
	dir := l.TempDir()
	var targets strings.Builder
	for _, p := range append(l.coordinators[:len(l.coordinators):len(l.coordinators)], l.workers...) {
		at, err := url.Parse(p.HTTP)
		if err != nil {
			l.Fatal(err)
		}
		fmt.Fprintf(&targets, "      - targets: [%q]\n        labels: {namespace: live, __scheme__: %s}\n", at.Host, at.Scheme)
	}
	rules, err := filepath.Abs(files + "/alerts")
	if err != nil {
		l.Fatal(err)
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: taskgrove
    tls_config: {insecure_skip_verify: true}
    static_configs:
%s`, rules+"/*.yaml", &targets)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		l.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	l.prometheus = "http://" + at
	p := start(l.T, nil, path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at, "--log.level=warn")
	eventually(l.T, "Prometheus is ready", func() error {
		select {
		case <-p.ended:
			return fmt.Errorf("it has ended: %s", p.faults.String())
		default:
		}
		resp, err := http.Get(l.prometheus + "/-/ready")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// ask asks Prometheus's API.
func (l *live) ask(path string, query url.Values, into any) error {
	resp, err := http.Get(l.prometheus + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// series are what a query gives now: how many have a number.
func (l *live) series(expr string) (n int, err error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := l.ask("query", url.Values{"query": {expr}}, &data); err != nil {
		return 0, err
	}
	for _, r := range data.Result {
		if r.Value[1] != "NaN" {
			n++
		}
	}
	return n, nil
}

// cli runs a client's command, and does not mind that tasks fail.
func (l *live) cli(ctx context.Context, stdin string, args ...string) {
	cmd := exec.CommandContext(ctx, l.program, append(args, "--server", l.coordinators[0].GRPC)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil && args[0] != "submit" && args[0] != "watch" {
		l.Errorf("%v: %v\n%s", args, err, out)
	}
}

// tree is one of n tasks and a root that waits for them.
func tree(n int, executor, inputs, more string) string {
	var all strings.Builder
	all.WriteString(`{"tasks":[{"id":"root","name":"root","schemas":{"method":"aggregate_results_executor"}`)
	all.WriteString(`,"dependencies":[`)
	for i := range n {
		fmt.Fprintf(&all, `%s{"id":"t%d","required":false}`, map[bool]string{true: ",", false: ""}[i > 0], i)
	}
	all.WriteString(`]}`)
	for i := range n {
		fmt.Fprintf(&all, `,{"id":"t%d","name":"t%d","parent_id":"root","schemas":{"method":%q},"inputs":%s%s}`, i, i, executor, inputs, more)
	}
	return all.String() + "]}"
}

// load keeps the cluster busy, in every way that series tell of, until ctx ends.
func (l *live) load(ctx context.Context) {
	const asked = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`
	var loads sync.WaitGroup
	again := func(f func()) {
		loads.Go(func() {
			for ctx.Err() == nil {
				f()
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
		})
	}
	again(func() {
		l.cli(ctx, tree(400, "noop_executor", `{"value":1}`, ""), "submit", "-", "--wait", "--webhook", l.hooks)
	})
	again(func() {
		l.cli(ctx, tree(6, "command_executor", `{"command":"echo hello; echo again >&2; exit 3","fail_on_error":true}`, `,"retry":{"max_attempts":2,"initial_delay":0.05}`), "submit", "-", "--wait", "--user", "ann")
	})
	again(func() { l.cli(ctx, tree(2, "llm_executor", asked, ""), "submit", "-", "--wait") })
	again(func() { // refused: it names a task that is not there; and who is not believed, and who asks for too much
		l.cli(ctx, `{"tasks":[{"id":"a","name":"a","schemas":{"method":"noop_executor"},"dependencies":["b"]}]}`, "submit", "-")
		l.cli(ctx, tree(3, "noop_executor", `{"value":2}`, `,"cache":{"for":60}`), "submit", "-", "--wait")
		for range 5 {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, l.coordinators[1].HTTP+"/tasks", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tasks.list","params":{}}`))
			req.Header.Set("Authorization", "Bearer nobody.made.this")
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			if resp, err := http.Get(l.coordinators[1].HTTP + "/.well-known/agent-card.json"); err == nil {
				_ = resp.Body.Close()
			}
		}
	})
	l.cli(ctx, tree(3, "noop_executor", `{}`, `,"pool":"nobody"`), "submit", "-")
	watched, stop := context.WithCancel(ctx)
	loads.Go(func() {
		defer stop()
		l.cli(watched, `{"id":"slow","name":"slow","schemas":{"method":"sleep_executor"},"inputs":{"seconds":600}}`, "submit", "-")
		l.cli(watched, "", "watch", "slow")
	})
	loads.Wait()
}

// empty are queries that may have no series here, and why.
var empty = map[string]string{
	"taskgrove_invariant_violations_total": "the auditor finds no violation in a healthy cluster; the query shows 0 then",
}

// spelt is a query with the variables of dashboards filled in.
func spelt(expr string) string {
	return strings.NewReplacer("$__rate_interval", "20s", "$namespace", ".*", "$pool", ".*").Replace(expr)
}

// pieces are the selectors of an expression, each with its range if there is one.
var pieces = regexp.MustCompile(`\b(?:taskgrove|process|go)_[a-z0-9_]+(?:\{[^}]*\})?(?:\[\w+\])?`)

// TestQueriesOnALiveCluster: each query of the dashboards has an answer under load and faults, and each series that an alert looks at is there.
func TestQueriesOnALiveCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	l := startLive(t)
	ctx, cancel := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.load(ctx) })
	defer loading.Wait()
	defer cancel()
	// The second worker freezes for longer than its lease: it is lost, its attempts are taken back, and it is fenced when it wakes up.
	loading.Go(func() {
		for ctx.Err() == nil {
			_ = l.workers[1].cmd.Process.Signal(syscall.SIGSTOP)
			sleep(ctx, 6*time.Second)
			_ = l.workers[1].cmd.Process.Signal(syscall.SIGCONT)
			sleep(ctx, 15*time.Second)
		}
	})
	wanted := map[string]string{} // by query: where it is from
	for _, q := range queries(t) {
		wanted[spelt(q.expr)] = q.dashboard + ", " + q.panel
	}
	for _, a := range alerts(t) {
		if _, err := l.series(a.Expr); err != nil {
			t.Errorf("%s: %v", a.Alert, err)
		}
		for _, piece := range pieces.FindAllString(a.Expr, -1) {
			name, _, ranged := strings.Cut(piece, "[")
			if ranged {
				name = "increase(" + name + "[20s])"
			}
			wanted[name] = a.Alert
		}
	}
	for expr := range wanted {
		for name, why := range empty {
			if strings.Contains(expr, name) && !strings.Contains(expr, "vector(0)") {
				t.Logf("%s is not asked for: %s", expr, why)
				delete(wanted, expr)
			}
		}
	}
	total := len(wanted)
	for end := time.Now().Add(patience); len(wanted) > 0 && time.Now().Before(end); sleep(ctx, time.Second) {
		for expr := range wanted {
			n, err := l.series(expr)
			if err != nil {
				t.Errorf("%s: %s: %v", wanted[expr], expr, err)
			}
			if err != nil || n > 0 {
				delete(wanted, expr)
			}
		}
	}
	t.Logf("%d of %d queries had an answer", total-len(wanted), total)
	for expr, where := range wanted {
		t.Errorf("%s: nothing came of %s", where, expr)
	}
	l.checkRules()
	l.checkLines(cancel)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// checkRules: Prometheus evaluates each of them without a fault, and what is wrong here is pending.
func (l *live) checkRules() {
	l.Helper()
	var data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError, State string
			}
		}
	}
	waiting := func() error {
		if err := l.ask("rules", nil, &data); err != nil {
			return err
		}
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Name == "TaskgrovePoolWithoutWorkers" && r.State == "pending" {
					return nil
				}
			}
		}
		return fmt.Errorf("tasks wait in a pool without workers, and no alert is pending: %+v", data)
	}
	eventually(l.T, "the alert of a pool without workers", waiting)
	seen := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			seen++
			if r.Health != "ok" || r.LastError != "" {
				l.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(alerts(l.T)); seen != want {
		l.Errorf("Prometheus has %d rules of %d", seen, want)
	}
}

// checkLines: the first worker has written lines of tasks to its stdout, with all that they must tell.
func (l *live) checkLines(stop func()) {
	l.Helper()
	stop()
	l.workers[0].stop()
	var streams []string
	seq := map[string]uint64{}
	for text := range strings.Lines(l.workers[0].out.String()) {
		var line struct {
			Time                                                                               time.Time
			Stream, Msg, TreeID, TaskID, TaskName, UserID, Namespace, Executor, Pool, WorkerID string
			Attempt                                                                            int
			Seq                                                                                uint64
		}
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			l.Fatalf("%s: %v", text, err)
		}
		again, _ := json.Marshal(map[string]any{"Time": fields["time"], "Stream": fields["stream"], "Msg": fields["msg"], "TreeID": fields["tree_id"], "TaskID": fields["task_id"],
			"TaskName": fields["task_name"], "UserID": fields["user_id"], "Namespace": fields["namespace"], "Executor": fields["executor"], "Pool": fields["pool"], "WorkerID": fields["worker_id"],
			"Attempt": fields["attempt"], "Seq": fields["seq"]})
		if err := json.Unmarshal(again, &line); err != nil {
			l.Fatal(err)
		}
		if line.Executor != "command_executor" {
			continue
		}
		if line.UserID != "ann" || line.Namespace != "default" || line.WorkerID != "first" || line.Pool != "command_executor" || line.TreeID == "" || line.TaskID == "" || line.Attempt < 1 || line.Time.IsZero() {
			l.Errorf("a line lacks something: %s", text)
		}
		of := fmt.Sprint(line.TaskID, line.Attempt)
		if line.Seq != seq[of]+1 {
			l.Errorf("after line %d of an attempt comes %s", seq[of], text)
		}
		seq[of] = line.Seq
		if !slices.Contains(streams, line.Stream) {
			streams = append(streams, line.Stream)
		}
	}
	if !slices.Contains(streams, "stdout") || !slices.Contains(streams, "stderr") {
		l.Errorf("lines came of %v", streams)
	}
}
