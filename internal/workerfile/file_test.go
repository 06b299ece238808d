package workerfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const whole = `
connections:
  warehouse:
    type: postgres
    host: db.internal
    port: 5432
    username: etl
    password: {secret: warehouse-password}
    pools: [etl]
  open: {type: http}
secrets:
  warehouse-password: {env: WAREHOUSE_PASSWORD, pools: [etl]}
  deploy-key: {file: /run/secrets/deploy-key}
  by-default: {pools: [a, b]}
pools:
  etl: {proxy: "http://proxy:3128", no_proxy: "localhost", ca_file: /etc/ca.pem}
  "*": {}
  research: {agents: {tools: [rest_executor]}}
  closed: {agents: {tools: []}}
executors:
  - {command: [python3, words.py], dir: /opt, keep_alive: false, start_within: 3s, env: {LEVEL: "3"}}
  - {id: words, image: words, slots: 4}
`

func TestFileSaysWhatIsWritten(t *testing.T) {
	want := &File{
		Connections: map[string]Connection{
			"warehouse": {Type: "postgres", Pools: []string{"etl"}, Fields: map[string]json.RawMessage{
				"host": json.RawMessage(`"db.internal"`), "port": json.RawMessage(`5432`), "username": json.RawMessage(`"etl"`),
				"password": json.RawMessage(`{"secret":"warehouse-password"}`),
			}},
			"open": {Type: "http", Fields: map[string]json.RawMessage{}},
		},
		Secrets: map[string]Secret{
			"warehouse-password": {Env: "WAREHOUSE_PASSWORD", Pools: []string{"etl"}},
			"deploy-key":         {File: "/run/secrets/deploy-key"},
			"by-default":         {Pools: []string{"a", "b"}},
		},
		Pools: map[string]Pool{
			"etl":      {Outlet: Outlet{Proxy: "http://proxy:3128", NoProxy: "localhost", CAFile: "/etc/ca.pem"}},
			"*":        {},
			"research": {Agents: &Agents{Tools: &[]string{"rest_executor"}}},
			"closed":   {Agents: &Agents{Tools: &[]string{}}},
		},
		Executors: []Executor{
			{Command: []string{"python3", "words.py"}, Dir: "/opt", KeepAlive: new(bool), StartWithin: 3 * time.Second, Env: map[string]string{"LEVEL": "3"}},
			{ID: "words", Image: "words", Slots: 4},
		},
	}
	got, err := Parse("worker.yaml", []byte(whole))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	asJSON, err := json.Marshal(map[string]any{
		"secrets": map[string]any{"deploy-key": map[string]any{"file": "/run/secrets/deploy-key"}}, "pools": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse("worker.json", asJSON); err != nil || got.Secrets["deploy-key"].File != "/run/secrets/deploy-key" {
		t.Errorf("JSON: %+v, %v", got, err)
	}
}

// TestFaultsNamePlaceAndReason: each text is wrong in the ways that are listed, and all of them are told.
func TestFaultsNamePlaceAndReason(t *testing.T) {
	for text, want := range map[string][]string{
		"conections: {}":                         {"f:1:1: conections: unknown key; known are: connections, executors, models, pools, providers, secrets"},
		"connections: {a: {type: x, pools: []}}": {"f:1:28: connections.a.pools: no pool may use it"},
		"connections:\n  a: {host: x}\n  b:\n    type: 5\n    pools: [b c]\n": {
			"f:2:6: connections.a.type: is missing", "f:4:11: connections.b.type: want text (in quotes", "f:5:13: connections.b.pools[0]: \"b c\" is no pool's name",
		},
		"secrets:\n  a: {env: X, file: y}\n  b: {value: hunter2}\n  ../c: {file: x}\n  d: {env: 'A=B'}\n  e: {pools: [b c]}\n  f: x\n": {
			"f:2:15: secrets.a.file: a secret comes from env or from file, not from both", "f:3:7: secrets.b.value: unknown key; known are: age, command, env, file, pools, vault",
			"f:4:3: secrets.../c: secret \"../c\": a name has 1 to 128", "f:5:7: secrets.d.env: no variable has such a name", "f:6:15: secrets.e.pools[0]: \"b c\" is no pool's name",
			"f:7:6: secrets.f: want an object",
		},
		"secrets:\n  a: {}\n  a: {}\n":                                    {"f:3:3: secrets.a: is there twice"},
		"connections: {a: {type: x, host: 1, host: 2}}":                   {"f:1:37: connections.a.host: is there twice"},
		"pools:\n  a b: {}\n  '*': {proxy: [x]}\n":                        {"f:2:3: pools.a b: pool \"a b\": want 1 to 64", "f:3:16: pools.*.proxy: want text"},
		"pools:\n  a: {proxy: 'ftp://u:hunter2@h'}\n  b: {proxy: none}\n": {"f:2:7: pools.a.proxy: want http://, https:// or socks5://"},
		"executors:\n  - {}\n  - {command: [x], image: y, id: a b, slots: 9999, grace: 1h}\n  - {command: [' '], env: {A=B: c}}\n": {
			"f:2:5: executors[0]: an executor has either a command or an image", "executors[1]: an executor has either a command or an image",
			"executors[1].id: want 1 to 64 letters", "executors[1].slots: want 1 to 1000", "executors[1].grace: want at most 10m0s",
			"executors[2].command: begins with no program", "executors[2].env.A=B: can't be set",
		},
		"connections: []\nexecutors: {}\n": {"f:1:14: connections: want an object", "f:2:12: executors: want a list"},
		"{\"secrets\": {\"a\": {}},}":      {"f:1:"},
		"{\"secrets\": {\"a\": {}}":        {"not valid JSON: it ends too early"},
		"{} {}":                            {"f:1:5: not valid JSON: something follows"},
		"[1]":                              {"f:1:1: want an object"},
		"a: {b: 1\n":                       {"f:1:4: not valid YAML: this '{' has no '}'"},
		"":                                 {"f: the file is empty"},
		"a: 1\n---\nb: 2\n":                {"f:3:1: there is more than one document"},
		"connections: {a: " + strings.Repeat("[", 40) + "x":          {"f:"},
		"{\"connections\": " + strings.Repeat("[", 40):               {"nested deeper than 32 levels"},
		"secrets: {" + names(maxNames+1) + "}":                       {"secrets: 10001 keys, at most 10000"},
		"executors: [" + strings.Repeat("{},", maxNames+1) + "]":     {"executors: 10001 elements, at most 10000"},
		"x: &x [" + strings.Repeat("y,", 9000) + "]\n" + bombOf("x"): {"aliases stand for more"},
		strings.Repeat(" ", MaxBytes+1):                              {"f: larger than 1048576 bytes"},
		faulty(maxFaults + 7):                                        {"and 7 more"},
	} {
		_, err := Parse("f", []byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%.60q:\n got %.1000v\nwant %s", text, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a fault shows a value: %v", err)
		}
	}
}

// TestAMistakeIsToldOnce: a part that can't be read, or is missing, is not said to be missing or empty once more.
func TestAMistakeIsToldOnce(t *testing.T) {
	for text, want := range map[string]string{
		"pools: {a: {kubernetes: {secrets: [a]}}}":          "pools.a.kubernetes.namespaces: is missing",
		"pools: {a: {kubernetes: {namespaces: a}}}":         "pools.a.kubernetes.namespaces: want a list",
		"pools: {a: {kubernetes: {namespaces: []}}}":        "pools.a.kubernetes.namespaces: want the names of namespaces",
		"pools: {a: {kubernetes: {namespaces: null}}}":      "pools.a.kubernetes.namespaces: want the names of namespaces",
		"executors: [{command: python3 x.py}]":              "executors[0].command: want a list",
		"pools: {a: {docker: {volumes: [5], images: [a]}}}": "pools.a.docker.volumes[0]: want text",
		"pools: {a: {docker: {images: [5]}}}":               "pools.a.docker.images[0]: want text",
		"pools: {a: {agents: {tools: ['']}}}":               "pools.a.agents.tools[0]: is empty: want the id of an executor",
		"pools: {a: {agents: {tools: x}}}":                  "pools.a.agents.tools: want a list",
		"executors: [{command: [5]}]":                       "executors[0].command[0]: want text",
		"executors: [{image: [x]}]":                         "executors[0].image: want text",
		"executors: [{command: []}]":                        "executors[0]: an executor has either a command or an image",
	} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
		if got := strings.Count(fmt.Sprint(err), "f:1:"); got != 1 {
			t.Errorf("%s: %d faults, want one: %v", text, got, err)
		}
	}
}

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "s%d: {},", i)
	}
	return b.String()
}

func faulty(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

// bombOf has so many aliases of an anchor that they stand for more than a file may.
func bombOf(anchor string) string {
	return "y: [" + strings.Repeat("*"+anchor+",", 500) + "]"
}

func TestPoolHasItsOwnPolicyOrThatOfAll(t *testing.T) {
	f := &File{Pools: map[string]Pool{"a": {Outlet: Outlet{Proxy: "a"}}, AnyPool: {Outlet: Outlet{Proxy: "all", NoProxy: "x"}}}}
	for name, want := range map[string]Pool{"a": {Outlet: Outlet{Proxy: "a"}}, "b": {Outlet: Outlet{Proxy: "all", NoProxy: "x"}}} {
		if got := f.Pool(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if got := (&File{}).Pool("a"); !reflect.DeepEqual(got, Pool{}) {
		t.Errorf("without pools: %+v", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "warehouse-password": true, "A.b_c-9": true, "9": true, strings.Repeat("a", 128): true,
		"": false, ".": false, "..": false, ".a": false, "-a": false, "a/b": false, `a\b`: false, "a b": false, "é": false, "a\x00": false, strings.Repeat("a", 129): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

type sectionTimes struct {
	For time.Duration `file:"for"`
}

// section has a field of each kind.
type section struct {
	Text   string            `file:"text,required"`
	Number int               `file:"number"`
	Share  float64           `file:"share"`
	On     bool              `file:"on"`
	Wait   sectionTimes      `file:"wait"`
	Bytes  Size              `file:"bytes"`
	Within *section          `file:"within"`
	List   []string          `file:"list"`
	Labels map[string]string `file:"labels"`
}

func (s *section) Check(at Place) {
	if s.Number < 0 {
		at.Fault("number", "below zero")
	}
	for i, word := range s.List {
		if word == "" {
			at.Key("list").Index(i).Fault("", "is empty")
		}
	}
}

func TestFieldsOfAllKinds(t *testing.T) {
	read := func(text string) (s section, err string) {
		d := newDecoder("f", []byte(text))
		d.into(&s)
		if e := d.err(); e != nil {
			err = e.Error()
		}
		return s, err
	}
	got, err := read("text: a\nnumber: 3\nshare: 0.5\non: true\nwait: {for: 1m30s}\nbytes: 64MiB\nwithin: {text: b, bytes: 7}\nlist: [x]\nlabels: {k: v}\n")
	want := section{"a", 3, 0.5, true, sectionTimes{90 * time.Second}, 64 << 20, &section{Text: "b", Bytes: 7}, []string{"x"}, map[string]string{"k": "v"}}
	if err != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %s", got, err)
	}
	_, err = read("number: -1\nshare: x\non: yes\nwait: {for: soon}\nbytes: 1 GB\nwithin: {text: 1}\nlist: ['']\nlabels: {k: 1}\n")
	for _, w := range []string{
		"text: is missing", "number: below zero", "share: want a number", "on: want true or false", "wait.for: want a duration", "bytes: want a size",
		"within.text: want text", "list[0]: is empty", "labels.k: want text",
	} {
		if !strings.Contains(err, w) {
			t.Errorf("no fault %q in:\n%s", w, err)
		}
	}
}
