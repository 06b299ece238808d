package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/internal/config"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

var quiet = slog.New(slog.DiscardHandler)

func TestWorkerID(t *testing.T) {
	for _, tt := range []struct{ name, configured, url, want string }{
		{"configured", "w1", "nats://w2:p@h:1", "w1"},
		{"user of NATS", "", "nats://w2:p@h:1,nats://w2:p@i:1", "w2"},
		{"a coordinator's user is not an id", "", "nats://coordinator:p@h:1", hostID()},
		{"no user", "", "nats://h:1", hostID()},
	} {
		if got := idOf(tt.configured, config.NATSURL{Secret: config.Secret(tt.url)}); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestPools(t *testing.T) {
	both := []executors.Executor{noop.New(), noop.NewRepeatable()}
	shells := executors.Func("shells", func(context.Context, struct{}) (int, error) { return 0, nil }, executors.WithConcurrency(executors.PerCore()))
	for name, tt := range map[string]struct {
		cfg  Config
		want []Pool
	}{
		"as many slots as suit an executor": {
			Config{Executors: []executors.Executor{shells, sleep.New()}, OwnPools: true, Pools: []Pool{{"gpu", 0}}},
			[]Pool{{"gpu", executors.PerCore()}, {"shells", max(2, runtime.GOMAXPROCS(0))}, {sleep.ID, 64}},
		},
		"of the slots given, whatever suits": {
			Config{Executors: []executors.Executor{shells, sleep.New()}, Concurrency: 3}, []Pool{{"shells", 3}, {sleep.ID, 3}},
		},
		"in a pool of its own name, the least that suits an executor": {
			Config{Executors: []executors.Executor{sleep.New(), noop.New()}, Pools: []Pool{{"all of them", 0}}}, []Pool{{"all of them", 16}},
		},
		"more, where nothing else can run there": {
			Config{Executors: []executors.Executor{sleep.New()}, Pools: []Pool{{"naps", 0}}}, []Pool{{"naps", 64}},
		},
		"in a pool of its own name, whatever suits executors that are off": {
			Config{Executors: []executors.Executor{&off{withID{id: "shells"}, "not here"}, sleep.New()}, Pools: []Pool{{"naps", 0}}}, []Pool{{"naps", 64}},
		},
		"one for each executor": {Config{}, []Pool{{noop.ID, 16}, {noop.RepeatableID, 16}}},
		"of the slots given":    {Config{Concurrency: 3}, []Pool{{noop.ID, 3}, {noop.RepeatableID, 3}}},
		"those named alone":     {Config{Pools: []Pool{{"gpu", 2}, {"cpu", 0}}}, []Pool{{"gpu", 2}, {"cpu", 16}}},
		"named ones beside": {
			Config{OwnPools: true, Pools: []Pool{{"gpu", 2}, {noop.ID, 1}}}, []Pool{{"gpu", 2}, {noop.ID, 1}, {noop.RepeatableID, 16}},
		},
	} {
		if tt.cfg.Executors == nil {
			tt.cfg.Executors = both
		}
		tt.cfg.setDefaults()
		if !slices.Equal(tt.cfg.Pools, tt.want) {
			t.Errorf("%s: got %v, want %v", name, tt.cfg.Pools, tt.want)
		}
	}
}

// TestAWorkerSaysWhyItHasItsSlots: a worker takes its defaults twice, when it is dialled and when it is made.
func TestAWorkerSaysWhyItHasItsSlots(t *testing.T) {
	shells := executors.Func("shells", func(context.Context, struct{}) (int, error) { return 0, nil }, executors.WithConcurrency(3))
	all := []executors.Executor{sleep.New(), noop.New(), shells}
	for name, tt := range map[string]struct {
		cfg  Config
		want []string
	}{
		"nothing is set": {Config{}, []string{
			"sleep_executor=64: what suits the executor", "noop_executor=16: the default", "shells=3: what suits the executor"}},
		"all are set": {Config{Concurrency: 5, Pools: []Pool{{"gpu", 0}, {"cpu", 2}}}, []string{
			"gpu=5: set for all pools", "cpu=2: set for this pool"}},
		"a mixed pool": {Config{Pools: []Pool{{"gpu", 0}}}, []string{"gpu=3: what suits shells, which may run there"}},
	} {
		tt.cfg.Executors, tt.cfg.ID = all, "w1"
		tt.cfg.setDefaults()
		tt.cfg.setDefaults()
		w := &Worker{cfg: tt.cfg}
		for i, p := range tt.cfg.Pools {
			w.pools = append(w.pools, newPool(i, p))
		}
		if got := w.slotsOfPools(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestFromEnv(t *testing.T) {
	for name, value := range map[string]string{
		"NATS_URL": "nats://w1:pw@h:1", "NATS_PREFIX": "other", "POOLS": "all,gpu=2", "CONCURRENCY": "3", "BEAT": "7s", "MAX_KEPT_BYTES": "2MiB",
	} {
		t.Setenv(config.Prefix+name, value)
	}
	url, cfg, err := FromEnv()
	if err != nil || url != "nats://w1:pw@h:1" || cfg.Prefix != "other" || !cfg.OwnPools || cfg.Concurrency != 3 ||
		!slices.Equal(cfg.Pools, []Pool{{"gpu", 2}}) || cfg.Beat != 7*time.Second || cfg.MaxKeptBytes != 2<<20 {
		t.Errorf("got %s, %+v, %v", url, cfg, err)
	}
	t.Setenv(config.Prefix+"NATS_URL", "")
	t.Setenv(config.Prefix+"BEAT", "soon")
	if _, _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "NATS_URL") || !strings.Contains(err.Error(), "BEAT=soon") {
		t.Errorf("got %v, want both faults", err)
	}
}

// closing is an executor that can't run here, or notes that it was closed.
type closing struct {
	executors.Executor
	missing error
	closed  int
}

// withID is an executor with that id.
type withID struct {
	noop.Executor
	id string
}

func (e *withID) Describe() executors.Description { return executors.Description{ID: e.id} }

func (c *closing) Check(context.Context) error { return c.missing }

func (c *closing) Close() error {
	c.closed++
	return nil
}

func TestBuildIsTheMainModulesVersion(t *testing.T) {
	for version, want := range map[string]string{
		"": "", "(devel)": "(devel)", "v1.2.3": "v1.2.3", strings.Repeat("v", 100): strings.Repeat("v", 64),
	} {
		if got := buildOf(&debug.BuildInfo{Main: debug.Module{Version: version}}); got != want {
			t.Errorf("%q: got %q, want %q", version, got, want)
		}
	}
	given := Config{Build: "mine"}
	if given.setDefaults(); given.Build != "mine" {
		t.Errorf("got %q in place of what was given", given.Build)
	}
	var empty Config
	info, _ := debug.ReadBuildInfo()
	if empty.setDefaults(); empty.Build != buildOf(info) {
		t.Errorf("got %q by default, want %q", empty.Build, buildOf(info))
	}
}

func TestDial(t *testing.T) {
	server, err := natsserver.Start(natsserver.Config{
		StoreDir: t.TempDir(), Logger: quiet, CoordinatorPassword: "one for all", WorkerPassword: "one for all",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	e := &closing{Executor: noop.New()}
	w, err := Dial(t.Context(), server.CoordinatorURL(), Config{ID: "mine", Executors: []executors.Executor{e}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if !w.conn.Connected() || w.ID() != "mine" {
		t.Errorf("worker %s is connected: %v", w.ID(), w.conn.Connected())
	}
	bad := &executors.Call{Inputs: []byte(`{"fail": 1}`)}
	if err := w.cfg.Validate(e.Describe(), bad); !executors.IsPermanent(err) {
		t.Errorf("inputs that break the schema: got %v", err)
	}
	w.Drain()
	if err := w.Run(t.Context()); err != nil {
		t.Errorf("run: %v", err)
	}
	if err := w.Close(); err != nil || e.closed != 1 || w.conn.Connected() {
		t.Errorf("got %v, closed %d times, connected %v", err, e.closed, w.conn.Connected())
	}
}

// off is an executor that is off unless why is empty.
type off struct {
	withID
	why string
}

func (e *off) Disabled() string { return e.why }

// Pools of executors that are off are not served, and beats say why.
func TestExecutorsThatAreOff(t *testing.T) {
	all := []executors.Executor{noop.New(), &off{withID{id: "gpu"}, "no device"}, &off{withID{id: "cpu"}, ""}, &off{withID{id: "no pool's name"}, "no luck"}}
	for name, tt := range map[string]struct {
		cfg  Config
		want string // pools; and faults, as pool, executor, text
	}{
		"pools by default": {Config{}, "[{noop_executor 16} {cpu 16}] [gpu gpu no device] [no_pool_s_name no pool's name no luck]"},
		"own pools beside": {Config{OwnPools: true, Pools: []Pool{{"gpu", 2}, {"x", 1}}}, "[{x 1} {noop_executor 16} {cpu 16}] [gpu gpu no device] [no_pool_s_name no pool's name no luck]"},
		"named pools":      {Config{Pools: []Pool{{"x", 1}}}, "[{x 1}] [ gpu no device] [ no pool's name no luck]"},
		"named like it":    {Config{Pools: []Pool{{"gpu", 2}, {"x", 1}}}, "[{x 1}] [gpu gpu no device] [ no pool's name no luck]"},
	} {
		tt.cfg.ID, tt.cfg.Executors = "w1", all
		tt.cfg.setDefaults()
		tt.cfg.setDefaults() // as a worker that is dialled does
		got := fmt.Sprint(tt.cfg.Pools)
		for _, f := range tt.cfg.off {
			got += fmt.Sprint(" ", []string{f.Pool, f.Executor, f.Text})
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
		if err := tt.cfg.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := Config{ID: "w1", Executors: all[1:2]}
	none.setDefaults()
	if err := none.validate(); err == nil || !strings.Contains(err.Error(), "no pool is left to serve: executor gpu is off: no device") {
		t.Errorf("nothing is on: got %v", err)
	}
}

// TestOffIsAWarningWhereItWasAskedFor, and a note elsewhere.
func TestOffIsAWarningWhereItWasAskedFor(t *testing.T) {
	var text strings.Builder
	c := Config{Log: slog.New(slog.NewTextHandler(&text, nil)), off: []*workerv1.Fault{{Executor: "gpu", Text: "x"}, {Executor: "cpu", Text: "x", Unasked: true}}}
	c.tellOff()
	for executor, level := range map[string]string{"gpu": "WARN", "cpu": "INFO"} {
		if !regexp.MustCompile("level=" + level + ".*executor=" + executor + " ").MatchString(text.String()) {
			t.Errorf("%s is not told as %s: %s", executor, level, text.String())
		}
	}
}

// A worker whose NATS user is another's, or a coordinator's that may not read a worker's inbox, does not start.
func TestDialNeedsPermissions(t *testing.T) {
	server, err := natsserver.Start(natsserver.Config{StoreDir: t.TempDir(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	e := &closing{Executor: noop.New()}
	_, err = Dial(t.Context(), server.WorkerURL("theirs"), Config{ID: "mine", Executors: []executors.Executor{e}, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), `user "theirs" do what worker mine needs`) || e.closed != 1 {
		t.Errorf("got %v, and the executor was closed %d times", err, e.closed)
	}
	_, err = Dial(t.Context(), server.WorkerURL("group.mine"), Config{ID: "other.mine", Executors: []executors.Executor{noop.New()}, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "member of group other: it needs the user of that group, called other") {
		t.Errorf("a member with another group's user: got %v", err)
	}
	_, err = Dial(t.Context(), server.WorkerURL("a.b"), Config{ID: "a.b.c", Executors: []executors.Executor{noop.New()}, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), `id "a.b.c": want`) {
		t.Errorf("an id of three names: got %v", err)
	}
	member, err := Dial(t.Context(), server.WorkerURL("group.mine"), Config{Executors: []executors.Executor{noop.New()}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = member.Close() }()
	if member.ID() != "group.mine" {
		t.Errorf("got id %q", member.ID())
	}
	w, err := Dial(t.Context(), server.WorkerURL("mine"), Config{Executors: []executors.Executor{noop.New()}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Ready(); err == nil {
		t.Error("ready before it runs")
	}
}

func TestDialRefuses(t *testing.T) {
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, tt := range map[string]struct {
		url  string
		cfg  Config
		want string
	}{
		"a URL of something else":   {"http://user:secret@h", Config{}, "dial worker: url: not the URL of a NATS server"},
		"no executors":              {"nats://h:1", Config{}, "no executors"},
		"an executor twice":         {"nats://h:1", Config{Executors: []executors.Executor{noop.New(), noop.New()}}, `executor id "noop_executor" is registered by package github.com/taskgrove/taskgrove/executors/noop and by package github.com/taskgrove/taskgrove/executors/noop; TASKGROVE_EXECUTOR_OVERRIDE=noop_executor, or worker.Config.Override, lets`},
		"an executor without an id": {"nats://h:1", Config{Executors: []executors.Executor{&withID{}}}, "executor *worker.withID has no id"},
		"no server before the end":  {"nats://127.0.0.1:1", Config{Executors: []executors.Executor{noop.New()}}, "connect to nats"},
		"what can't run here":       {"nats://h:1", Config{Executors: []executors.Executor{&closing{Executor: noop.New(), missing: errors.New("no disk")}}}, "executor noop_executor can't run here: no disk"},
		"a pool without a capacity": {"nats://h:1", Config{Executors: []executors.Executor{noop.New()}, Pools: []Pool{{"p", -1}}}, `pool "p": concurrency is -1`},
	} {
		if _, err := Dial(short, tt.url, tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// TestDialReportsAllFaults before it asks an executor or a server.
func TestDialReportsAllFaults(t *testing.T) {
	var none *noop.Executor
	e := &closing{Executor: noop.New(), missing: errors.New("no disk")}
	_, err := Dial(t.Context(), "nats://h:1", Config{
		ID: "not an id", Prefix: "a.b", OwnPools: true, Pools: []Pool{{"y y", 1}}, Log: quiet,
		Executors: []executors.Executor{
			nil, none, e, &withID{id: strings.Repeat("x", 129)}, &withID{id: "a\x00"}, &withID{id: "a\xff"},
		},
	})
	const rule = "want 1 to 64 letters, digits, - and _"
	for _, want := range []string{
		`id "not an id": ` + rule, `prefix "a.b": ` + rule, `pool "y y": ` + rule,
		"executors[0] is nil", "executors[1] is nil", "its id has 129 bytes, at most 128",
		`executor "a\x00": its id must be valid`, `executor "a\xff": its id must be valid`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "no disk") {
		t.Errorf("executors were asked in spite of faults: %v", err)
	}
	if e.closed != 1 {
		t.Errorf("an executor was closed %d times, want once", e.closed)
	}
}

// TestExecutorMayLackPool: an id is no name of a pool where the pools are named.
func TestExecutorMayLackPool(t *testing.T) {
	cfg := Config{ID: "w1", Pools: []Pool{{Name: "p"}}, Executors: []executors.Executor{&withID{id: "my executor"}}}
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		t.Error(err)
	}
}

func TestDialClosesWhenItFails(t *testing.T) {
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, tt := range map[string]struct {
		url     string
		missing error
	}{
		"a URL of something else":  {"http://h", nil},
		"what can't run here":      {"nats://h:1", errors.New("no disk")},
		"no server before the end": {"nats://127.0.0.1:1", nil},
	} {
		e := &closing{Executor: noop.New(), missing: tt.missing}
		if _, err := Dial(short, tt.url, Config{Executors: []executors.Executor{e}, Log: quiet}); err == nil || e.closed != 1 {
			t.Errorf("%s: got %v, closed %d times, want an error and once", name, err, e.closed)
		}
	}
}

// TestPoolsAreCalledLikeTheirExecutors, as far as pools can have such names; two executors may share one.
func TestPoolsAreCalledLikeTheirExecutors(t *testing.T) {
	cfg := Config{ID: "w1", Executors: []executors.Executor{noop.New(), &withID{id: "external.process"}, &withID{id: "a b"}, &withID{id: "a_b"}, &withID{id: "größe"}}}
	cfg.setDefaults()
	if got, want := fmt.Sprint(cfg.Pools), "[{noop_executor 16} {external_process 16} {a_b 16} {gr__e 16}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := cfg.validate(); err != nil {
		t.Error(err)
	}
}
