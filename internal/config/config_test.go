package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// clear empties the environment of our variables and their aliases for the test.
func clear(t *testing.T) {
	t.Helper()
	for _, v := range All() {
		names := []string{v.Name}
		for _, alias := range v.Aliases {
			names = append(names, strings.Split(alias, "+")...)
		}
		for _, name := range names {
			t.Setenv(name, "")
		}
	}
}

const secretURL = "mysql://user:hunter2@host/db"

func TestFaultsNameTheVariableAndWhatItTakes(t *testing.T) {
	for _, tt := range []struct{ name, variable, value, want string }{
		{"number", "TASKGROVE_CONCURRENCY", "many", "TASKGROVE_CONCURRENCY=many: not a number; takes a whole number, from 0 to 20000"},
		{"number below its bound", "TASKGROVE_CONCURRENCY", "-1", "TASKGROVE_CONCURRENCY=-1: too small; takes a whole number, from 0 to 20000"},
		{"number above its bound", "TASKGROVE_CONCURRENCY", "20001", "TASKGROVE_CONCURRENCY=20001: too large; takes a whole number, from 0 to 20000"},
		{"number above every bound", "TASKGROVE_CONCURRENCY", "99999999999999999999", "TASKGROVE_CONCURRENCY=99999999999999999999: not a number; takes"},
		{"duration without a unit", "TASKGROVE_RETENTION", "7", "TASKGROVE_RETENTION=7: not a duration; takes a duration, such as"},
		{"negative duration", "TASKGROVE_RETENTION", "-1h", "TASKGROVE_RETENTION=-1h: too small; takes"},
		{"size", "TASKGROVE_MAX_PAYLOAD_BYTES", "1 elephant", "TASKGROVE_MAX_PAYLOAD_BYTES=1 elephant: not a size; takes a size, such as"},
		{"size above what a number holds", "TASKGROVE_MAX_PAYLOAD_BYTES", "9999999999GiB", "TASKGROVE_MAX_PAYLOAD_BYTES=9999999999GiB: not a size; takes"},
		{"switch", "TASKGROVE_MIGRATE", "maybe", "TASKGROVE_MIGRATE=maybe: not a switch; takes true or false"},
		{"address without a port", "TASKGROVE_HTTP_ADDR", "localhost", "TASKGROVE_HTTP_ADDR=localhost: not an address; takes host:port"},
		{"address with a port that is none", "TASKGROVE_GRPC_ADDR", "localhost:70000", "TASKGROVE_GRPC_ADDR=localhost:70000: not a port; takes host:port"},
		{"address that others reach", "TASKGROVE_HTTP_ADDR", "0.0.0.0:8000", "TASKGROVE_HTTP_ADDR=0.0.0.0:8000: takes a loopback address, unless TASKGROVE_JWT_SECRET asks callers who they are, or TASKGROVE_INSECURE_LISTEN"},
		{"address that may be anywhere", "TASKGROVE_HTTP_ADDR", ":8000", "TASKGROVE_HTTP_ADDR=:8000: takes a loopback address"},
		{"alias of an address", "API_HOST", "0.0.0.0", "TASKGROVE_HTTP_ADDR=0.0.0.0:8000: takes a loopback address"},
		{"level", "LOG_LEVEL", "loud", "LOG_LEVEL=loud: not a level; takes debug, info, warn or error"},
		{"format", "TASKGROVE_LOG_FORMAT", "xml", "TASKGROVE_LOG_FORMAT=xml: not a format; takes auto, json or text"},
		{"name", "TASKGROVE_NATS_PREFIX", "a.b", "TASKGROVE_NATS_PREFIX=a.b: not a name; takes 1 to 64 letters"},
		{"pool without a number after =", "TASKGROVE_POOLS", "gpu=", "TASKGROVE_POOLS=gpu=: gpu needs a number from 1 to 20000; takes all, or names"},
		{"pool named twice", "TASKGROVE_POOLS", "gpu,gpu=2", "TASKGROVE_POOLS=gpu,gpu=2: gpu is named twice; takes"},
		{"pool with a name that is none", "TASKGROVE_POOLS", "a b", `TASKGROVE_POOLS=a b: "a b" is no pool's name`},
		{"prefix", "TASKGROVE_ADDRESS_DENY", "10.0.0.0/8,home", `TASKGROVE_ADDRESS_DENY=10.0.0.0/8,home: "home" is neither; takes addresses and CIDR`},
		{"prefix by its older name", "TASKGROVE_REST_DENY", "10.0.0.0/8,home", `TASKGROVE_REST_DENY=10.0.0.0/8,home: "home" is neither; takes addresses and CIDR`},
		{"URL of another database", "TASKGROVE_POSTGRES_URL", secretURL, "TASKGROVE_POSTGRES_URL=***: not the URL of a Postgres database; takes postgres://"},
		{"URL that is none", "TASKGROVE_NATS_URL", "nats://a:b@h:4222,hunter2", "TASKGROVE_NATS_URL=***: not the URL of a NATS server; takes nats://"},
		{"proxy of another kind", "TASKGROVE_PROXY", "ftp://u:hunter2@proxy", "TASKGROVE_PROXY=***: not the URL of a proxy; takes http://, https:// or socks5://"},
		{"beat that the lease doesn't outlive", "TASKGROVE_BEAT", "20s", "TASKGROVE_BEAT=20s: takes at most half of TASKGROVE_LEASE, which is 30s"},
		{"grace that the lease doesn't outlive", "TASKGROVE_KILL_GRACE", "16s", "TASKGROVE_KILL_GRACE=16s: takes at most half"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clear(t)
			t.Setenv(tt.variable, tt.value)
			var cfg Dev
			err := Load(&cfg, nil)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s...", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("shows a secret: %v", err)
			}
			if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != 1 {
				t.Errorf("got %d faults, want one", len(faults))
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	clear(t)
	t.Setenv("TASKGROVE_LEASE", "soon")
	t.Setenv("DATABASE_URL", secretURL)
	t.Setenv("TASKGROVE_WINDOW", "-1")
	var cfg Coordinator
	err := Load(&cfg, map[string]string{"TASKGROVE_GRPC_ADDR": "here"})
	var got []string
	if faults, ok := errors.AsType[Faults](err); ok {
		for _, f := range faults {
			got = append(got, f.Variable)
		}
	}
	want := []string{"TASKGROVE_NATS_URL", "--grpc-addr", "TASKGROVE_LEASE", "TASKGROVE_WINDOW", "DATABASE_URL"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhereAValueComesFrom(t *testing.T) {
	for _, tt := range []struct {
		name        string
		environment map[string]string
		flags       map[string]string
		want        func(*Coordinator) any
		value       any
	}{
		{"default", nil, nil, func(c *Coordinator) any { return c.Retention }, 168 * time.Hour},
		{"variable", map[string]string{"TASKGROVE_RETENTION": "0"}, nil, func(c *Coordinator) any { return c.Retention }, time.Duration(0)},
		{"empty variable: the default", map[string]string{"TASKGROVE_RETENTION": ""}, nil, func(c *Coordinator) any { return c.Retention }, 168 * time.Hour},
		{"first alias", map[string]string{"DATABASE_URL": "postgres://a/b", "AIPARTNERUPFLOW_DATABASE_URL": "postgres://c/d"}, nil,
			func(c *Coordinator) any { return c.PostgresURL.Reveal() }, "postgres://a/b"},
		{"second alias", map[string]string{"AIPARTNERUPFLOW_DATABASE_URL": "postgresql+asyncpg://c/d?sslmode=disable"}, nil,
			func(c *Coordinator) any { return c.PostgresURL.Reveal() }, "postgresql://c/d?sslmode=disable"},
		{"variable before alias", map[string]string{"LOG_LEVEL": "ERROR", "TASKGROVE_LOG_LEVEL": "debug"}, nil,
			func(c *Coordinator) any { return c.Level.Level() }, slog.LevelDebug},
		{"flag before variable", map[string]string{"TASKGROVE_HTTP_ADDR": "127.0.0.1:1"}, map[string]string{"TASKGROVE_HTTP_ADDR": "127.0.0.1:2"},
			func(c *Coordinator) any { return c.HTTPAddr }, Address("127.0.0.1:2")},
		{"half of a pair", map[string]string{"AIPARTNERUPFLOW_API_PORT": "9"}, nil, func(c *Coordinator) any { return c.HTTPAddr }, Address("127.0.0.1:9")},
		{"odd text", map[string]string{"TASKGROVE_NAME": `a"b\n` + "`" + "\xff"}, nil, func(c *Coordinator) any { return c.Name }, `a"b\n` + "`" + "\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clear(t)
			t.Setenv("TASKGROVE_NATS_URL", "nats://127.0.0.1:4222")
			t.Setenv("AIPARTNERUPFLOW_DATABASE_URL", "postgres://somewhere/db")
			for name, value := range tt.environment {
				t.Setenv(name, value)
			}
			var cfg Coordinator
			if err := Load(&cfg, tt.flags); err != nil {
				t.Fatal(err)
			}
			if got := tt.want(&cfg); !reflect.DeepEqual(got, tt.value) {
				t.Errorf("got %v, want %v", got, tt.value)
			}
		})
	}
}

func TestDefaultsAreThoseOfAnEmptyEnvironment(t *testing.T) {
	clear(t)
	var loaded Dev
	if err := Load(&loaded, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TASKGROVE_WINDOW", "7")
	if got := Defaults[*Dev](); !reflect.DeepEqual(*got, loaded) {
		t.Errorf("got %+v, want %+v", *got, loaded)
	}
}

func TestWorkerValues(t *testing.T) {
	clear(t)
	for name, value := range map[string]string{
		"TASKGROVE_NATS_URL":                      "nats://w1:pw@a:4222, nats://w1:pw@b:4222",
		"TASKGROVE_POOLS":                         "all, gpu=2, sleep_executor=1",
		"TASKGROVE_REST_DENY":                     "10.1.2.3/8, 192.0.2.7",
		"AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND":     "yes",
		"AIPARTNERUPFLOW_STDIO_COMMAND_WHITELIST": "ls, cat",
		"TASKGROVE_WORKER_HTTP_ADDR":              "off",
		"TASKGROVE_MAX_KEPT_BYTES":                "2 MiB",
	} {
		t.Setenv(name, value)
	}
	var cfg Worker
	if err := Load(&cfg, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want any }{
		{cfg.Pools, Pools{All: true, Named: []Pool{{"gpu", 2}, {"sleep_executor", 1}}}},
		{cfg.AddressDeny, Prefixes{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}},
		{cfg.CommandAllow, Bool(true)},
		{cfg.CommandWhitelist, List{"ls", "cat"}},
		{cfg.HTTPAddr, OptionalAddress("")},
		{cfg.MaxKeptBytes, Size(2 << 20)},
		{cfg.NATSURL.User(), "w1"},
		{cfg.NATSURL.WithUser("w1", "w2").Reveal(), "nats://w2:pw@a:4222,nats://w2:pw@b:4222"},
		{cfg.NATSURL.WithUser("other", "w2").User(), "w1"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %v, want %v", tt.got, tt.want)
		}
	}
}

// TestOneSealKeyOnly: two sources of it may differ, and nobody could tell which counts.
func TestOneSealKeyOnly(t *testing.T) {
	clear(t)
	t.Setenv("TASKGROVE_POSTGRES_URL", "postgres://h/db")
	t.Setenv("TASKGROVE_NATS_URL", "nats://127.0.0.1:4222")
	t.Setenv("TASKGROVE_SEAL_KEY", "x")
	t.Setenv("TASKGROVE_SEAL_KEY_FILE", "/x")
	for name, err := range map[string]error{"coordinator": Load(&Coordinator{}, nil), "dev": Load(&Dev{}, nil)} {
		if err == nil || !strings.Contains(err.Error(), "nothing together with TASKGROVE_SEAL_KEY") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoopbackIsOpenInDevOnly(t *testing.T) {
	clear(t)
	t.Setenv("TASKGROVE_NATS_URL", "nats://127.0.0.1:4222")
	var dev Dev
	var worker Worker
	if err := errors.Join(Load(&dev, nil), Load(&worker, nil)); err != nil {
		t.Fatal(err)
	}
	if !dev.AddressLoopback || worker.AddressLoopback || !Defaults[*Dev]().AddressLoopback {
		t.Errorf("dev %v, worker %v", dev.AddressLoopback, worker.AddressLoopback)
	}
	t.Setenv("TASKGROVE_ADDRESS_LOOPBACK", "false")
	if err := Load(&dev, nil); err != nil || dev.AddressLoopback {
		t.Errorf("dev, when told not to: %v, %v", dev.AddressLoopback, err)
	}
}

func TestDevLeavesOtherProjectsDatabasesAlone(t *testing.T) {
	clear(t)
	t.Setenv("DATABASE_URL", "postgres://somewhere/db")
	var cfg Dev
	if err := Load(&cfg, nil); err != nil || cfg.PostgresURL.Reveal() != "" {
		t.Errorf("got %q, %v", cfg.PostgresURL.Reveal(), err)
	}
}

func TestSecretsPrintStars(t *testing.T) {
	url := PostgresURL{Secret("postgres://u:hunter2@h/db")}
	whole := Coordinator{PostgresURL: url, NATS: NATS{NATSURL: NATSURL{Secret("nats://u:hunter2@h:4222")}}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", url)
		fmt.Fprintf(&out, verb+"\n", url.Secret)
		fmt.Fprintf(&out, verb+"\n", &url)
		fmt.Fprintf(&out, verb+"\n", whole)
	}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "url", url, "secret", url.Secret, "all", whole)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "url", url, "secret", url.Secret, "all", whole)
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("a secret shows in:\n%s", out.String())
	}
	if !strings.Contains(out.String(), hidden) {
		t.Error("no stars")
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	t.Setenv("TASKGROVE_CONCURENCY", "3")
	t.Setenv("TASKGROVE_REST_DENY", "10.0.0.0/8") // an alias
	if got := Unknown(); len(got) == 0 || got[0] != "TASKGROVE_CONCURENCY" || slices.Contains(got, "TASKGROVE_REST_DENY") {
		t.Errorf("got %v", got)
	}
}

func TestDefaultsAreThoseOfTheModel(t *testing.T) {
	clear(t)
	var cfg Dev
	if err := Load(&cfg, nil); err != nil {
		t.Fatal(err)
	}
	got := dag.Limits{Tasks: cfg.TreeTasks, Edges: cfg.TreeEdges, Dependencies: cfg.TaskDependencies, PayloadBytes: int(cfg.PayloadBytes)}
	if got.OrDefaults() != dag.DefaultLimits {
		t.Errorf("got %+v, want %+v", got, dag.DefaultLimits)
	}
}

func TestPageIsUpToDate(t *testing.T) {
	have, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != Markdown() {
		t.Error(`docs/configuration.md is not what the structs say: run "go generate ./internal/config"`)
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	page := Markdown()
	for _, v := range All() {
		if v.Effect == "" || !strings.Contains(page, "`"+v.Name+"`") {
			t.Errorf("%s has no description, or a group that is not on the page: %q", v.Name, v.Group)
		}
	}
}
