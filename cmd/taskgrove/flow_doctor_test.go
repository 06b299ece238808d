package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestFlowDoctorAsksPools: workers say what tasks of their pools have, by names alone: with the pool's settings for profiles, and as the rules of the pool allow.
func TestFlowDoctorAsksPools(t *testing.T) {
	flow, profiles, worker := lookedAt(t)
	for _, name := range []string{"STAGING_PASSWORD", "STAGING_HOST", "URL_PASSWORD", "API_TOKEN", "WH_PASSWORD"} {
		t.Setenv("TASKGROVE_SECRET_"+name, "hunter2-"+strings.ToLower(name))
	}
	text, err := os.ReadFile(worker)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "secrets: {", "secrets: {WH_PASSWORD: {pools: [none]}, ", 1))
	if err := os.WriteFile(worker, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{
		Pools:       []string{"staging", "others", "rest_executor"},
		Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" },
		Worker:      func(s *config.Worker) { s.Executors.WorkerFile, s.Executors.AddressLoopback = worker, true },
	})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	doctor := func(args ...string) (string, string, int) {
		out, note, code := runCommand(t, append([]string{"flow", "doctor"}, args...)...)
		if strings.Contains(out+note, "hunter2") {
			t.Errorf("%v: a value is shown\n%s%s", args, out, note)
		}
		return spaces(out), note, code
	}
	given := []string{"--profiles-file", profiles, "--env", "DAY=1"}
	if out, note, code := runCommand(t, "flow", "explain", flow, "--cluster"); code != exitUsage || !strings.Contains(note, "spec.unknown_profile") {
		t.Errorf("without the profile: exit %d, %s\n%s", code, note, out)
	}
	if _, note, code := runCommand(t, "profile", "apply", profiles); code != exitOK {
		t.Fatal(note)
	}
	if out, note, code := runCommand(t, "flow", "explain", flow, "--cluster"); code != exitOK || !strings.Contains(spaces(out), "config.host db.internal profile\n") || !strings.Contains(spaces(out), "config.password *** profile secret") {
		t.Errorf("by a registered profile: exit %d, %s\n%s", code, note, out)
	}
	if _, note, code := runCommand(t, "flow", "explain", flow, "--server", "127.0.0.1:1"); code != exitUsage || !strings.Contains(note, "--server: goes with --cluster") {
		t.Errorf("a server that is not asked: exit %d, %s", code, note)
	}
	registered := []string{"--env", "DAY=1"}
	if out, _, _ := doctor(append([]string{flow, "--pool", "staging"}, registered...)...); !strings.Contains(out, "resource wh, profile warehouse, with the pool's settings\n") || !strings.Contains(out, "secret STAGING_PASSWORD (config.password): there\n") {
		t.Errorf("by a registered profile:\n%s", out)
	}
	for _, row := range []struct {
		pool string
		code int
		says []string
	}{
		{"others", exitUsage, []string{ // WH_PASSWORD is of another pool, which is not told
			"FAIL: " + flow, "pool others, by ", "resource wh, profile warehouse\n", `- secret WH_PASSWORD (config.password): there is no secret "WH_PASSWORD" for tasks of pool "others"`, "secret URL_PASSWORD (config.url): there\n",
		}},
		{"staging", exitUsage, []string{ // the pool's settings replace WH_PASSWORD, but not the secret in the URL
			"resource wh, profile warehouse, with the pool's settings\n", "secret STAGING_PASSWORD (config.password): there\n", `- secret URL_PASSWORD (config.url): there is no secret "URL_PASSWORD" for tasks of pool "staging"`,
		}},
		{"nowhere", exitUsage, []string{"pool nowhere:\n- no live worker serves it\n"}},
	} {
		out, note, code := doctor(append([]string{flow, "--pool", row.pool}, given...)...)
		for _, want := range row.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s: without %q", row.pool, want)
			}
		}
		if code != row.code || row.pool == "staging" && strings.Contains(out, "WH_PASSWORD") || t.Failed() {
			t.Fatalf("%s: exit %d, %s\n%s", row.pool, code, note, out)
		}
	}

	spread := file(t, "spread.yaml", `
flow: {id: spread, secrets: [OTHER]}
resources: {api: {kind: rest, driver: httpx, config: {base_url: "https://h", bearer_token: "{{env.API_TOKEN}}"}, decode: {config: {bearer_token: true}}}}
jobs:
- id: a
  pool: others
  steps:
  - {id: s, type: rest, inputs: {url: "https://h", headers: {A: "{{env.API_TOKEN}}", B: "{{env.OTHER}}"}}}
  - {id: each, type: foreach, inputs: {items: [1], step: {type: sql, inputs: {connection: shop, query: q}}}}
- {id: b, steps: [{id: s, type: rest, inputs: {resource: api, url: x}}]}
- {id: c, steps: [{id: s, type: noop}, {id: t, type: flow, inputs: {flow: other}}]}
`)
	out, note, code := runCommand(t, "flow", "doctor", spread, "--cluster", "--json")
	var got examined
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitUsage || got.OK || len(got.Pools) != 4 || got.Errors == nil {
		t.Fatalf("exit %d, %v, %s\n%s", code, err, note, out)
	}
	others := got.Pools[slices.IndexFunc(got.Pools, func(p examinedPool) bool { return p.Pool == "others" })]
	if others.OK || len(others.Secrets) != 2 || others.Secrets[0].Missing != "" || others.Secrets[1].Missing != `there is no secret "OTHER" for tasks of pool "others"` || len(others.Workers) != 1 ||
		len(others.Resources) != 1 || others.Resources[0].Name != "shop" || !slices.Equal(others.Resources[0].Faults, []string{`there is no connection "shop" for tasks of pool "others"`}) {
		t.Errorf("of the pool others: %+v", others)
	}
	rest := got.Pools[slices.IndexFunc(got.Pools, func(p examinedPool) bool { return p.Pool == "rest_executor" })]
	if len(rest.Secrets) != 0 || len(rest.Resources) != 1 || len(rest.Resources[0].Faults) != 1 || !strings.Contains(rest.Resources[0].Faults[0], "config.bearer_token: is to be decoded") || rest.Resources[0].Secrets[0].Missing != "" {
		t.Errorf("of the pool of rest_executor: %+v", rest)
	}
	for _, pool := range []string{"noop_executor", "subtree_executor"} {
		if i := slices.IndexFunc(got.Pools, func(p examinedPool) bool { return p.Pool == pool }); i < 0 || !slices.Equal(got.Pools[i].Faults, []string{"no live worker serves it"}) {
			t.Errorf("of %s, without workers: %+v", pool, got.Pools)
		}
	}

	good := file(t, "good.yaml", "flow: {id: good}\njobs: [{id: a, pool: others, steps: [{id: s, type: rest, inputs: {url: 'https://h', headers: {A: '{{env.API_TOKEN}}'}}}]}]\n")
	if _, note, code := runCommand(t, "flow", "apply", good); code != exitOK {
		t.Fatalf("exit %d, %s", code, note)
	}
	if out, note, code := doctor("good"); code != exitOK || !strings.HasPrefix(out, "OK: good\npool others, by ") || !strings.Contains(out, "secret API_TOKEN (inputs): there\n") {
		t.Errorf("a registered flow: exit %d, %s\n%s", code, note, out)
	}
	if _, note, code := runCommand(t, "pools", "allow", "others", "--secrets", "api-*"); code != exitOK {
		t.Fatalf("exit %d, %s", code, note)
	}
	if out, note, code := doctor("good"); code != exitUsage || !strings.Contains(note, `does not allow secret "API_TOKEN"`) || out != "" {
		t.Errorf("a rule forbids the name: exit %d, %s\n%s", code, note, out)
	}
	plugin := file(t, "plugin.yaml", "flow: {id: p}\njobs: [{id: a, steps: [{id: s, type: nobody}]}]\n")
	if out, _, code := doctor(plugin, "--cluster"); code != exitUsage || !strings.Contains(out, "spec.unknown_step_type") || strings.Contains(out, "pool ") {
		t.Errorf("a flow with faults: exit %d\n%s", code, out)
	}
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{flow, "--worker-file", worker}, "--worker-file goes with --pool"}, {[]string{"good", "--worker-file", worker, "--pool", "p"}, "--worker-file asks no cluster"},
		{[]string{flow, "--server", "127.0.0.1:1"}, "--server: goes with --pool or --cluster"}, {[]string{flow, "--version", "2"}, "--version: is that of a registered flow"},
		{[]string{flow, "--dial"}, "--dial: goes with"}, {[]string{flow, "--pool", "p", "--wait", "0s"}, "--wait: must be more than 0"}, {[]string{filepath.Join(t.TempDir(), "none.yaml"), "--cluster"}, "no such file"},
	} {
		if out, note, code := doctor(row.args...); code != exitUsage || !strings.Contains(note, row.says) || out != "" {
			t.Errorf("%v: exit %d, %q, %q", row.args, code, note, out)
		}
	}
	if _, note, code := doctor("none", "--cluster"); code != exitError || !strings.Contains(note, "there is no registered flow none") {
		t.Errorf("no such flow: exit %d, %s", code, note)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := server.Addr().String()
	_, port, _ := net.SplitHostPort(at)
	dialled := file(t, "dialled.yaml", "flow: {id: dialled}\nresources: {m: {kind: mail, driver: smtp, config: {host: 127.0.0.1, port: "+port+"}}}\njobs: [{id: a, steps: [{id: s, type: mail_send, inputs: {resource: m, to: a@b.example, subject: s, body: b}}]}]\n")
	if out, note, code := doctor(dialled, "--pool", "rest_executor", "--dial"); code != exitOK || !strings.Contains(out, "reached "+at+"\n") {
		t.Errorf("exit %d, %s\n%s", code, note, out)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if out, note, code := doctor(dialled, "--pool", "rest_executor", "--dial"); code != exitUsage || !strings.Contains(out, "- "+at+" can't be reached: ") {
		t.Errorf("exit %d, %s\n%s", code, note, out)
	}
	const manifest = "../../examples/flows/bundle/manifest.yaml"
	bundled := []string{"--bundle-manifest", manifest, "--bundle-dir", t.TempDir()}
	if out, note, code := doctor(append(bundled, "--pool", "others")...); code != exitOK || !strings.HasPrefix(out, "OK: flows/greet.yaml\npool others, by ") {
		t.Errorf("of a bundle: exit %d, %s\n%s", code, note, out)
	}
	if _, note, code := runCommand(t, "bundle", "sync", manifest, "--bundle-dir", t.TempDir(), "--push"); code != exitOK {
		t.Fatalf("exit %d, %s", code, note)
	}
	if _, note, code := runCommand(t, "flow", "apply", "../../examples/flows/bundle/files/flows/greet.yaml", "--bundle", "greetings"); code != exitOK {
		t.Fatalf("exit %d, %s", code, note)
	}
	if _, note, code := doctor("greet"); code != exitUsage || !strings.Contains(note, "greet is of the bundle greetings") {
		t.Errorf("without its bundle: exit %d, %s", code, note)
	}
	if out, note, code := doctor(append(bundled, "greet", "--pool", "others")...); code != exitOK || !strings.HasPrefix(out, "OK: greet\npool others, by ") {
		t.Errorf("with its bundle: exit %d, %s\n%s", code, note, out)
	}
	if _, note, code := doctor(good, "--cluster", "--server", "127.0.0.1:1"); code != exitFlowUnreachable {
		t.Errorf("no cluster: exit %d, %s", code, note)
	}
}
