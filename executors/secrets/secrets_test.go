package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// environment is one of variables.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// newStore makes a store of a worker's file with this text, variables, and a directory with these files.
func newStore(t testing.TB, file string, variables environment, files map[string]string) *Store {
	t.Helper()
	cfg := Config{LookupEnv: variables.lookup}
	if file != "" {
		cfg.File = filepath.Join(t.TempDir(), "worker.yaml")
		put(t, cfg.File, file)
	}
	if files != nil {
		cfg.Dir = t.TempDir()
		for name, text := range files {
			put(t, filepath.Join(cfg.Dir, name), text)
		}
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// asks is an executor that takes secrets in three fields, and connections.
var asks = executors.Description{
	ID: "x_executor", Secrets: true,
	Inputs: json.RawMessage(`{"type":"object","properties":{"token":{},"env":{},"args":{},"connection":{}}}`),
	Connection: &executors.Connection{
		Types: []string{"postgres", "mysql"}, Fields: []string{"host", "port", "username", "password", "database", "tls", "sslmode"},
	},
}

// allKeys says of each key that it is as the task was submitted.
func allKeys(inputs string) (keys []string) {
	var object map[string]json.RawMessage
	_ = json.Unmarshal([]byte(inputs), &object)
	for key := range object {
		keys = append(keys, key)
	}
	return keys
}

func TestSecretsComeFromEnvironmentFilesAndDirectory(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	put(t, key, "of a file\n")
	s := newStore(t, "secrets: {by-env: {env: HERE}, by-file: {file: '"+key+"'}, limited: {pools: [etl]}, elsewhere: {env: NOWHERE}, gone: {file: /nowhere/at/all}}",
		environment{"HERE": "of a variable", "TASKGROVE_SECRET_A_B_C": "of the environment", "TASKGROVE_SECRET_LIMITED": "limited", "TASKGROVE_SECRET_EMPTY": ""},
		map[string]string{"mounted": "of a directory\r\n", "twice": "x\n\n", "binary": "\xff\xfe", "empty": "\n", "large": strings.Repeat("x", maxBytes+1), "a.b-c": "the environment goes before"})
	for name, want := range map[string]string{
		"by-env": "of a variable", "by-file": "of a file", "a.b-c": "of the environment", "mounted": "of a directory", "twice": "x\n",
	} {
		if got, err := s.secret(t.Context(), name, "p"); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"limited": errPool.Error(), "nobody": errUnknown.Error(), "../key": errUnknown.Error(), "..": errUnknown.Error(), "": errUnknown.Error(), "..data": errUnknown.Error(),
		"elsewhere": "variable NOWHERE is not set", "gone": "no such file", "binary": "not text in UTF-8", "empty": "it is empty", "large": "larger than",
	} {
		if got, err := s.secret(t.Context(), name, "p"); err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v, want %s", name, got, err, want)
		}
	}
	if got, err := s.secret(t.Context(), "limited", "etl"); err != nil || got != "limited" {
		t.Errorf("of its own pool: %q, %v", got, err)
	}
}

// TestOtherNameDoesNotGetRoundPools: what the worker's file gives a name and pools can't be had by the name of its variable or file.
func TestOtherNameDoesNotGetRoundPools(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "mounted"), "secret of a file")
	put(t, filepath.Join(dir, "renamed"), "secret of another")
	if err := os.Link(filepath.Join(dir, "mounted"), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "worker.yaml")
	put(t, file, "secrets: {deploy-key: {pools: [etl]}, other: {env: TASKGROVE_SECRET_PLAIN, pools: [etl]}, mounted: {pools: [etl]}, another: {file: '"+dir+"/renamed', pools: [etl]}}")
	s, err := New(Config{File: file, Dir: dir, LookupEnv: environment{"TASKGROVE_SECRET_DEPLOY_KEY": "d", "TASKGROVE_SECRET_PLAIN": "p"}.lookup})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"deploy-key", "deploy_key", "Deploy.Key", "other", "plain", "PLAIN", "mounted", "linked", "another", "renamed"} {
		if got, err := s.secret(t.Context(), name, "p"); err == nil {
			t.Errorf("%s: pool p got %q", name, got)
		}
	}
	for _, name := range []string{"deploy-key", "other", "mounted", "another"} {
		if _, err := s.secret(t.Context(), name, "etl"); err != nil {
			t.Errorf("%s: pool etl got %v", name, err)
		}
	}
}

// TestSecretForConnectionsAlone: an empty list of pools keeps a secret from all tasks, and connections find it all the same.
func TestSecretForConnectionsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "worker.yaml")
	put(t, file, "secrets: {password: {env: PASSWORD, pools: []}}")
	s, err := New(Config{File: file, LookupEnv: environment{"PASSWORD": "p", "TASKGROVE_SECRET_PASSWORD": "q"}.lookup})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.secret(t.Context(), "password", "etl"); !errors.Is(err, errPool) {
		t.Errorf("a task got %q, %v", got, err)
	}
	if got, err := s.read(t.Context(), s.file.File(), "password"); got != "p" || err != nil {
		t.Errorf("a connection got %q, %v", got, err)
	}
}

// TestLinksStayWithinTheDirectory lays secrets as Kubernetes does, and links that lead out.
func TestLinksStayWithinTheDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	put(t, filepath.Join(outside, "passwd"), "outside")
	for _, version := range []string{"..2026_1", "..2026_2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, version, "token"), "of "+version)
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026_1", "..data")
	link("..data/token", "token")
	link(filepath.Join(outside, "passwd"), "absolute")
	link("../"+filepath.Base(outside)+"/passwd", "relative")
	link(outside, "folder")
	s, err := New(Config{Dir: dir, LookupEnv: environment{}.lookup})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.secret(t.Context(), "token", "p"); err != nil || got != "of ..2026_1" {
		t.Errorf("got %q, %v", got, err)
	}
	link("..2026_2", "..next")
	if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.secret(t.Context(), "token", "p"); err != nil || got != "of ..2026_2" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	for _, name := range []string{"absolute", "relative", "folder", "folder/passwd", "..data/token", "token/"} {
		if got, err := s.secret(t.Context(), name, "p"); err == nil {
			t.Errorf("%s leads to %q", name, got)
		}
	}
}

func TestResolve(t *testing.T) {
	s := newStore(t, `
secrets: {hidden: {pools: [other]}, quoted: {env: QUOTED}, gone: {env: NOWHERE}}
connections:
  warehouse: {type: postgres, host: db, port: 5432, username: etl, password: {secret: hidden}, tls: {key: [{secret: a}]}, pools: [etl]}
  wrong: {type: ssh, host: h}
  odd: {type: mysql, hst: h, pasword: x}
  broken: {type: mysql, password: {secret: gone}}
`, environment{"TASKGROVE_SECRET_A": "alpha", "TASKGROVE_SECRET_HIDDEN": "hidden-value", "QUOTED": "q\"\\\né", "TASKGROVE_CONNECTION_ENV_URL": "postgresql://u:p%40ss@db.internal:5433/main?sslmode=require",
		"TASKGROVE_CONNECTION_ENV_JSON": `{"type": "mysql", "host": "m", "password": {"secret": "a"}}`, "TASKGROVE_CONNECTION_BAD": "pa:ss:word", "TASKGROVE_CONNECTION_STRICT": `{"host": "h"}`}, nil)
	for fact, tt := range map[string]struct {
		pool, inputs string
		references   []string // nil: all keys
		want         string   // inputs, or the error
	}{
		"nothing is named":               {"p", `{"token":"t","n":1.50}`, nil, `{"token":"t","n":1.50}`},
		"a field":                        {"p", `{"token":{"secret":"a"},"n":1.50}`, nil, `{"token":"alpha","n":1.50}`},
		"at any depth":                   {"p", `{"env":{"X":{"secret":"a"},"Y":"y"},"args":["-p", {"secret":"a"},[{"z":{"secret":"a"}}]]}`, nil, `{"env":{"X":"alpha","Y":"y"},"args":["-p","alpha",[{"z":"alpha"}]]}`},
		"a value that must be quoted":    {"p", `{"token": { "secret" : "quoted" } }`, nil, `{"token":"q\"\\\né"}`},
		"not in a field without a name":  {"p", `{"other":{"secret":"a"},"token":"t"}`, nil, `{"other":{"secret":"a"},"token":"t"}`},
		"not from a result":              {"p", `{"token":{"secret":"a"},"env":{"secret":"a"}}`, []string{"env"}, `{"token":{"secret":"a"},"env":"alpha"}`},
		"not with another key":           {"p", `{"token":{"secret":"a","x":1},"env":{"secret":7},"args":{"secret":{"secret":"a"}}}`, nil, `{"token":{"secret":"a","x":1},"env":{"secret":7},"args":{"secret":"alpha"}}`},
		"one that does not exist":        {"p", `{"env":{"X":[{"secret":"nobody"}]}}`, nil, `[x_executor] env.X[0]: there is no secret "nobody" for tasks of pool "p"`},
		"one of others":                  {"p", `{"env":{"X":[{"secret":"hidden"}]}}`, nil, `[x_executor] env.X[0]: there is no secret "hidden" for tasks of pool "p"`},
		"several, all at once":           {"p", `{"token":{"secret":"x"},"args":[{"secret":"../y"}],"connection":"z"}`, nil, `[x_executor] connection: there is no connection "z" for tasks of pool "p"; token: there is no secret "x" for tasks of pool "p"; args[0]: there is no secret "../y" for tasks of pool "p"`},
		"one that is away":               {"p", `{"token":{"secret":"gone"}}`, nil, `later: [x_executor] token: secret "gone" can't be read at this worker now`},
		"a connection":                   {"etl", `{"q":"select 1","connection":"warehouse"}`, nil, `{"q":"select 1","connection":"warehouse","host":"db","port":5432,"username":"etl","password":"hidden-value","tls":{"key":["alpha"]}}`},
		"a connection in place of null":  {"etl", `{"host":null,"connection":"env-json"}`, nil, `{"connection":"env-json","host":"m","password":"alpha"}`},
		"a connection of a URL":          {"p", `{"connection":"env.url"}`, nil, `{"connection":"env.url","host":"db.internal","port":5433,"username":"u","password":"p@ss","database":"main","sslmode":"require"}`},
		"a connection of others":         {"p", `{"connection":"warehouse"}`, nil, `[x_executor] connection: there is no connection "warehouse" for tasks of pool "p"`},
		"a connection of another type":   {"p", `{"connection":"wrong"}`, nil, `[x_executor] connection: "wrong" is of type ssh, and this executor takes postgres, mysql`},
		"a connection of other fields":   {"p", `{"connection":"odd"}`, nil, `[x_executor] connection: "odd" has fields that this executor does not take from one: hst, pasword`},
		"a place of the task's own":      {"etl", `{"connection":"warehouse","host":"evil","port":1}`, nil, `[x_executor] connection: "warehouse" says where to go and as whom: leave out host, port`},
		"a place in capitals":            {"etl", `{"Host":"evil","connection":"warehouse","TL\u017f":"disable","PORT":1}`, nil, `[x_executor] connection: "warehouse" says where to go and as whom: leave out Host, TLſ, PORT`},
		"what it leaves open":            {"p", `{"connection":"env-json","Sslmode":"disable","Port":null}`, nil, `[x_executor] connection: "env-json" says where to go and as whom: leave out Sslmode`},
		"a connection from a result":     {"etl", `{"connection":"warehouse","q":1}`, []string{"q"}, `[x_executor] connection: only the task itself may name one, not a result of a dependency`},
		"a connection that is no text":   {"etl", `{"connection":{"secret":"a"}}`, nil, `[x_executor] connection: must be the name of a connection, as text, or define one: an object with kind and driver`},
		"no connection":                  {"etl", `{"connection":null,"host":"h"}`, nil, `{"connection":null,"host":"h"}`},
		"a connection without its parts": {"p", `{"connection":"broken"}`, nil, `later: [x_executor] connection.password: a secret of the connection can't be read at this worker now`},
		"a variable that is none":        {"p", `{"connection":"bad"}`, nil, `later: [x_executor] connection: connection "bad" can't be read at this worker now`},
		"a variable without a type":      {"p", `{"connection":"strict"}`, nil, `later: [x_executor] connection: connection "strict" can't be read at this worker now`},
	} {
		references := tt.references
		if references == nil {
			references = allKeys(tt.inputs)
		}
		as, err := s.For(asks).Resolve(t.Context(), tt.pool, json.RawMessage(tt.inputs), references)
		got := string(as.Inputs)
		if err != nil {
			if got != tt.inputs || as.Redactor != nil {
				t.Errorf("%s: an error comes with %s", fact, got)
			}
			if got = err.Error(); !executors.IsPermanent(err) {
				got = "later: " + got
			}
			if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Why == "" || strings.Contains(refusal.Why, "hidden-value") {
				t.Errorf("%s: operators are told %+v", fact, refusal)
			}
		} else if !json.Valid(as.Inputs) {
			t.Errorf("%s: %s is no JSON", fact, got)
		}
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", fact, got, tt.want)
		}
	}
}

// TestTaskSeesNoSecretOfItsInputs: what a task's own schema looks at.
func TestTaskSeesNoSecretOfItsInputs(t *testing.T) {
	s := newStore(t, "connections: {db: {type: postgres, host: h, password: hunter2}}", environment{"TASKGROVE_SECRET_A": "alpha"}, nil)
	for inputs, want := range map[string]string{
		`{"token":{"secret":"a"},"env":{"X":[{"secret":"a"}]},"other":{"secret":"a"},"n":1}`: `{"token":"***","env":{"X":["***"]},"other":{"secret":"a"},"n":1}`,
		`{"connection":"db","host":null}`: `{"connection":"db","host":null}`,
		`{"token":"t"}`:                   ``,
	} {
		as, err := s.For(asks).Resolve(t.Context(), "p", json.RawMessage(inputs), allKeys(inputs))
		if err != nil || string(as.Shown) != want {
			t.Errorf("%s: got %s, %v, want %s", inputs, as.Shown, err, want)
		}
	}
}

// TestConnectionsTypeIsAnInput where the executor says so, unless the connection says otherwise.
func TestConnectionsTypeIsAnInput(t *testing.T) {
	s := newStore(t, "connections: {a: {type: mysql, host: h}, b: {type: mysql, driver: postgres}}", nil, nil)
	takes := asks
	takes.Connection = &executors.Connection{Types: []string{"postgres", "mysql"}, TypeField: "driver", Fields: []string{"driver", "host"}}
	for inputs, want := range map[string]string{
		`{"connection":"a"}`: `{"connection":"a","driver":"mysql","host":"h"}`,
		`{"connection":"b"}`: `{"connection":"b","driver":"postgres"}`,
	} {
		for range 2 { // what the file says stays as it is
			if as, err := s.For(takes).Resolve(t.Context(), "p", json.RawMessage(inputs), allKeys(inputs)); err != nil || string(as.Inputs) != want {
				t.Errorf("got %s, %v, want %s", as.Inputs, err, want)
			}
		}
	}
	if fields := s.file.File().Connections["a"].Fields; len(fields) != 1 {
		t.Errorf("the file has become %s", fields)
	}
}

// TestOperatorsAreToldWhy: tasks can't tell what others have from what does not exist, operators can.
func TestOperatorsAreToldWhy(t *testing.T) {
	s := newStore(t, "secrets: {hidden: {env: X, pools: [other]}}", environment{"X": "value"}, nil)
	for name, want := range map[string]string{"hidden": errPool.Error(), "nobody": errUnknown.Error()} {
		_, err := s.For(asks).Resolve(t.Context(), "p", json.RawMessage(`{"token":{"secret":"`+name+`"}}`), []string{"token"})
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.Contains(refusal.Why, want) {
			t.Errorf("%s: %+v, want %s", name, refusal, want)
		}
	}
}

func TestWhoTakesWhat(t *testing.T) {
	s := newStore(t, "", environment{"TASKGROVE_SECRET_A": "alpha"}, nil)
	const inputs = `{"token":{"secret":"a"},"connection":"c"}`
	if u := s.For(executors.Description{ID: "x", Inputs: asks.Inputs}); u != nil {
		t.Errorf("an executor that takes neither has %+v", u)
	}
	for fact, tt := range map[string]struct {
		d    executors.Description
		want string
	}{
		"neither":                   {executors.Description{}, inputs},
		"secrets, without a schema": {executors.Description{Secrets: true}, `{"token":"alpha","connection":"c"}`},
		"secrets, named fields":     {executors.Description{Secrets: true, Inputs: json.RawMessage(`{"properties":{"other":{}}}`)}, inputs},
		"secrets, no field":         {executors.Description{Secrets: true, Inputs: json.RawMessage(`{"properties":{}}`)}, `{"token":"alpha","connection":"c"}`},
	} {
		as, err := s.For(tt.d).Resolve(t.Context(), "p", json.RawMessage(inputs), allKeys(inputs))
		if err != nil || string(as.Inputs) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", fact, as.Inputs, err, tt.want)
		}
	}
}

// TestNewValuesCountAtOnce: neither a secret nor a connection waits for a restart.
func TestNewValuesCountAtOnce(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "worker.yaml")
	put(t, filepath.Join(dir, "token"), "one")
	put(t, file, "connections: {db: {type: postgres, host: first}}")
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{File: file, Dir: dir, LookupEnv: environment{}.lookup})
		if err != nil {
			t.Fatal(err)
		}
		inputs := func() string {
			as, err := s.For(asks).Resolve(t.Context(), "p", json.RawMessage(`{"token":{"secret":"token"},"connection":"db"}`), []string{"token", "connection"})
			if err != nil {
				t.Fatal(err)
			}
			return string(as.Inputs)
		}
		if got := inputs(); got != `{"token":"one","connection":"db","host":"first"}` {
			t.Errorf("at first: %s", got)
		}
		put(t, filepath.Join(dir, "token"), "two")
		put(t, file, "connections: {db: {type: postgres, host: second.internal}}")
		time.Sleep(2 * time.Second)
		if got := inputs(); got != `{"token":"two","connection":"db","host":"second.internal"}` || s.Fault() != nil {
			t.Errorf("after a change: %s, %v", got, s.Fault())
		}
		put(t, file, "connections: {db: [}")
		time.Sleep(2 * time.Second)
		if got := inputs(); !strings.Contains(got, "second.internal") || s.Fault() == nil {
			t.Errorf("after a faulty change: %s, %v", got, s.Fault())
		}
	})
}

// TestTypeIsTheDriver for executors that have such a field, unless a URL or the connection says it.
func TestTypeIsTheDriver(t *testing.T) {
	s := newStore(t, "connections: {a: {type: mariadb, host: h}, b: {type: postgres, driver: other}, c: {type: postgres, url: 'postgres://h'}}", environment{"TASKGROVE_CONNECTION_D": "mysql://h/db"}, nil)
	d := executors.Description{Connection: &executors.Connection{Types: []string{"mariadb", "mysql", "postgres"}, Fields: []string{"driver", "url", "host", "database"}}}
	for name, want := range map[string]string{
		"a": `{"connection":"a","driver":"mariadb","host":"h"}`, "b": `{"connection":"b","driver":"other"}`, "c": `{"connection":"c","url":"postgres://h"}`,
		"d": `{"connection":"d","driver":"mysql","host":"h","database":"db"}`,
	} {
		as, err := s.For(d).Resolve(t.Context(), "p", json.RawMessage(`{"connection":"`+name+`"}`), []string{"connection"})
		if err != nil || string(as.Inputs) != want {
			t.Errorf("%s: got %s, %v, want %s", name, as.Inputs, err, want)
		}
	}
	if len(s.file.File().Connections["a"].Fields) != 1 {
		t.Error("the file was changed")
	}
}

func TestNewRefusesWhatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "worker.yaml")
	put(t, file, "conections: {}")
	for _, cfg := range []Config{{File: file}, {File: file + "x"}, {Dir: file}, {Dir: file + "x"}} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "worker.yaml") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestCheckNamesFieldsThatNoExecutorTakes(t *testing.T) {
	s := newStore(t, "connections: {a: {type: postgres, host: h}, b: {type: mysql, hst: h, pasword: x}, c: {type: unknown, x: 1}}", nil, nil)
	got := s.Check([]executors.Description{{ID: "noop"}, asks})
	if len(got) != 1 || got[0] != "connection b of type mysql has fields that x_executor does not take from one: hst, pasword" {
		t.Errorf("got %q", got)
	}
	if again := s.Check([]executors.Description{asks}); len(again) != 0 {
		t.Errorf("the same version, once more: %q", again)
	}
}

func TestCheckVariablesNamesTheWrongOnes(t *testing.T) {
	got := CheckVariables([]string{
		"TASKGROVE_CONNECTION_B=pa:ss:hunter2", "TASKGROVE_CONNECTION_A={\"host\": \"hunter2\"}", "TASKGROVE_CONNECTION_C={\"type\": hunter2",
		"TASKGROVE_CONNECTION_URL=postgres://u:p@h/db", "TASKGROVE_CONNECTION_JSON={\"type\": \"ssh\"}", "TASKGROVE_CONNECTION_NONE=", "OTHER=x",
	})
	if len(got) != 3 || strings.Contains(fmt.Sprint(got), "hunter2") {
		t.Fatalf("got %q", got)
	}
	for i, want := range []string{"TASKGROVE_CONNECTION_A can't be used: ", "TASKGROVE_CONNECTION_B can't be used: ", "TASKGROVE_CONNECTION_C can't be used: "} {
		if !strings.Contains(got[i], want) {
			t.Errorf("got %s, want %s", got[i], want)
		}
	}
	if !strings.Contains(got[0], "type: is missing") || !strings.Contains(got[1], "neither a JSON object nor a URL") {
		t.Errorf("got %q", got)
	}
}

// TestNothingNamedTakesNoMemory: what does not use secrets does not pay.
func TestNothingNamedTakesNoMemory(t *testing.T) {
	u, inputs := newStore(t, "", nil, nil).For(asks), json.RawMessage(`{"token":"secret","env":{"A":"b"}}`)
	if n := testing.AllocsPerRun(100, func() {
		if as, err := u.Resolve(t.Context(), "p", inputs, nil); err != nil || as.Redactor != nil {
			t.Fatal(as, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzResolve: whatever the inputs, they stay a JSON object, and without references they stay as they are.
func FuzzResolve(f *testing.F) {
	u := newStore(f, "connections: {db: {type: postgres, host: h}}", environment{"TASKGROVE_SECRET_A": "alpha"}, nil).For(asks)
	for _, seed := range []string{`{"token":{"secret":"a"}}`, `{ "env" : [ {"secret" : "a"} , {"secret":"a","b":1} ], "connection":"db"}`, `{"connection":"db","host":null}`, `{"args":[[],{},{"secret":{}}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &object) != nil || object == nil {
			return
		}
		as, err := u.Resolve(t.Context(), "p", json.RawMessage(text), allKeys(text))
		if err == nil && (!json.Valid(as.Inputs) || as.Shown != nil && (!json.Valid(as.Shown) || strings.Contains(string(as.Shown), "alpha") && !strings.Contains(text, "alpha"))) {
			t.Errorf("%s: %s, shown %s", text, as.Inputs, as.Shown)
		}
		if as, err := u.Resolve(t.Context(), "p", json.RawMessage(text), nil); err == nil && string(as.Inputs) != text {
			t.Errorf("%s without references: %s", text, as.Inputs)
		}
	})
}

// BenchmarkResolve: what names nothing costs a look.
func BenchmarkResolve(b *testing.B) {
	s := newStore(b, "", environment{"TASKGROVE_SECRET_A": "0123456789abcdef0123456789abcdef"}, map[string]string{"f": "0123456789abcdef0123456789abcdef"})
	u := s.For(asks)
	for name, tt := range map[string]struct {
		inputs string
		keys   []string
	}{
		"nothing is named": {`{"token":"t","env":{"A":"b"},"args":["x","y","z"]}`, nil},
		"variable":         {`{"token":{"secret":"a"},"env":{"A":"b"}}`, []string{"token"}},
		"mounted file":     {`{"token":{"secret":"f"},"env":{"A":"b"}}`, []string{"token"}},
	} {
		b.Run(name, func(b *testing.B) {
			inputs := json.RawMessage(tt.inputs)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := u.Resolve(b.Context(), "p", inputs, tt.keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
