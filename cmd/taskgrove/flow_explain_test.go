package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// lookedAt are a flow with a resource, its profiles, and a worker's file.
func lookedAt(t *testing.T) (flow, profiles, worker string) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flow = put("flow.yaml", `
flow: {id: f, env: {WH_HOST: db.internal}}
resources:
  wh: {kind: db, driver: postgres, profile: warehouse, config: {database: shop}}
  mail: {kind: mail, driver: smtp, config: {host: "{{env.MAIL_HOST:mail}}", password: "{{env.MAIL_CIPHER}}"}, decode: {config: {password: true}}}
jobs: [{id: a, steps: [{id: s, type: sql, inputs: {resource: wh, query: "select '{{env.DAY}}'"}}]}]
`)
	profiles = put("profiles.yaml", "warehouse:\n  config: {host: '{{env.WH_HOST}}', url: 'postgresql://u:{{env.URL_PASSWORD}}@{{env.WH_HOST}}/d', password: '{{env.WH_PASSWORD}}'}\n")
	worker = put("worker.yaml", "secrets: {URL_PASSWORD: {pools: [others]}}\npools: {staging: {profiles: {warehouse: {config: {host: '{{env.STAGING_HOST}}', password: '{{env.STAGING_PASSWORD}}'}}}}}\n")
	return flow, profiles, worker
}

// TestFlowExplain: each setting with where it comes from, and no secret.
func TestFlowExplain(t *testing.T) {
	flow, profiles, worker := lookedAt(t)
	out, note, code := runCommand(t, "flow", "explain", flow, "--profiles-file", profiles)
	for _, want := range []string{
		"mail: mail:smtp\n", "wh: db:postgres, profile warehouse\n", "config.database shop resource", "config.host db.internal profile", "config.password *** profile secret",
		"config.url postgresql://u:***@db.internal/d profile secret", "config.host mail resource", "config.port 587 default", "config.password *** resource decoded", "options.timeout 30 default",
	} {
		if !strings.Contains(spaces(out), want) {
			t.Errorf("without %q", want)
		}
	}
	if code != exitOK || note != "" || t.Failed() {
		t.Errorf("exit %d, %q\n%s", code, note, out)
	}
	out, _, code = runCommand(t, "flow", "explain", flow, "--profiles-file", profiles, "--worker-file", worker, "--pool", "staging", "--json")
	var e flows.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	wh := e.Resources["wh"]
	if wh.Config["host"] != "***" || wh.Origin["config.host"] != flows.FromOverlay || wh.Origin["config.url"] != flows.FromProfile || wh.Origin["config.database"] != flows.FromResource || wh.Driver != "postgres" {
		t.Errorf("got %+v", wh)
	}
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{flow}, "spec.unknown_profile"}, {[]string{flow, "--pool", "p"}, "--pool and --worker-file go together"}, {[]string{flow, "--worker-file", flow, "--pool", "p"}, "--worker-file: "},
		{[]string{flow, "--profiles-file", flow}, "is invalid"}, {[]string{flow + "x"}, "no such file"},
	} {
		out, note, code := runCommand(t, append([]string{"flow", "explain"}, row.args...)...)
		if code != exitUsage || !strings.Contains(note, row.says) || out != "" {
			t.Errorf("%v: exit %d, %q, %q", row.args, code, note, out)
		}
	}
}

// spaces are lines with one space between words.
func spaces(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}

// TestFlowDoctor: what is missing is told by name, and no value is shown.
func TestFlowDoctor(t *testing.T) {
	flow, profiles, worker := lookedAt(t)
	out, _, code := runCommand(t, "flow", "doctor", flow, "--profiles-file", profiles)
	if code != exitUsage || !strings.HasPrefix(out, "FAIL: ") || !strings.Contains(out, "- env.DAY has no value") || !strings.Contains(out, "secret WH_PASSWORD (resources.wh.profile): workers must have it") || strings.Contains(out, "env.MAIL_HOST") || strings.Contains(out, "env.MAIL_CIPHER") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, note, code := runCommand(t, "flow", "doctor", flow, "--profiles-file", profiles, "--env", "DAY=1"); code != exitOK || !strings.HasPrefix(out, "OK: ") {
		t.Errorf("with all values: exit %d, %s\n%s", code, note, out)
	}
	t.Setenv("TASKGROVE_SECRET_STAGING_PASSWORD", "hunter2-staging")
	t.Setenv("TASKGROVE_SECRET_MAIL_CIPHER", "hunter2-mail")
	t.Setenv("TASKGROVE_SECRET_URL_PASSWORD", "hunter2-url")
	args := []string{"flow", "doctor", flow, "--profiles-file", profiles, "--env", "DAY=1", "--worker-file", worker, "--pool", "staging"}
	out, _, code = runCommand(t, append(args, "--json")...)
	var c flows.Checkup
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != exitUsage || c.OK || len(c.MissingEnv) > 0 {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	missing := map[string]string{}
	for _, s := range c.Secrets {
		missing[s.Name] = s.Missing
	}
	if len(missing) != 4 || missing["STAGING_PASSWORD"] != "" || missing["MAIL_CIPHER"] != "" || missing["STAGING_HOST"] == "" || missing["URL_PASSWORD"] != "its pools are others" || strings.Contains(out, "hunter2") {
		t.Errorf("got %v\n%s", missing, out)
	}
	if out, _, code := runCommand(t, append(args, "--secrets-dir", filepath.Dir(flow)+"x")...); code != exitUsage || out != "" {
		t.Errorf("a directory that is not there: exit %d, %s", code, out)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {x: '{{foo.x}}'}}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, code := runCommand(t, "flow", "doctor", wrong); code != exitUsage || !strings.Contains(out, "template.unknown_root") {
		t.Errorf("a template with a fault: exit %d, %s", code, out)
	}
}

// TestProfilesPage: what docs/flows/profiles.md shows is a good flow, and becomes a connection.
func TestProfilesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/flows/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for rest := string(page); ; {
		_, after, found := strings.Cut(rest, "```yaml")
		if !found {
			break
		}
		block, left, _ := strings.Cut(after, "```")
		_, block, _ = strings.Cut(block, "\n") // behind the name of the file
		blocks, rest = append(blocks, block), left
	}
	dir := t.TempDir()
	for i, name := range []string{"flow.yaml", "profiles.yaml", "worker.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(blocks[i]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flow, profiles := filepath.Join(dir, "flow.yaml"), filepath.Join(dir, "profiles.yaml")
	for _, args := range [][]string{{"validate", flow, "--strict-env"}, {"explain", flow, "--worker-file", filepath.Join(dir, "worker.yaml"), "--pool", "staging"}, {"doctor", flow}, {"run", flow, "--dry-run"}} {
		out, note, code := runCommand(t, append(append([]string{"flow"}, args...), "--profiles-file", profiles)...)
		if code != exitOK || note != "" || args[0] == "run" && !strings.Contains(out, `"password": "{{env.WH_PASSWORD}}"`) {
			t.Errorf("%v: exit %d, %s\n%s", args, code, note, out)
		}
	}
}

// TestResourcesReachExecutors: what executors take and what resources become have the same words.
func TestResourcesReachExecutors(t *testing.T) {
	for _, row := range []struct{ resource, step string }{
		{"kind: db, driver: postgres, config: {url: 'postgresql://u:{{env.DB_PASSWORD}}@h/d', ca: PEM, client_cert: PEM, client_key: '{{env.DB_KEY}}', sslmode: require}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: db, driver: mysql, config: {host: h, port: 3306, user: u, password: '{{env.DB_PASSWORD}}', database: d, tls: require}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: db, driver: sqlite3, config: {path: a.db}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: db, driver: sqlalchemy, config: {url: '{{env.DB_URL_SECRET}}'}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: db, driver: oracledb, config: {user: u, password: '{{env.DB_PASSWORD}}', dsn: 'h:1521/s'}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: db, driver: sqlserver, config: {host: h, username: u, password: '{{env.DB_PASSWORD}}'}", "type: sql, inputs: {resource: r, query: q}"},
		{"kind: rest, driver: httpx, config: {base_url: 'https://h', headers: {X: y}, bearer_token: '{{env.API_TOKEN}}'}, options: {timeout: 5, verify_ssl: false, retry: {max_attempts: 2}}", "type: rest, inputs: {resource: r, url: orders}"},
		{"kind: archive, driver: pyzipper, config: {encryption: aes, aes_strength: 256}", "type: zip, inputs: {resource: r, items: [a], dest_path: b.zip}"},
	} {
		text := "flow: {id: f}\nresources: {r: {" + row.resource + "}}\njobs: [{id: a, steps: [{id: s, " + row.step + "}]}]\n"
		out, note, code := runWithInput(t, strings.NewReader(text), "flow", "run", "-", "--dry-run")
		if code != exitOK || !strings.Contains(out, `"connection": {`) {
			t.Errorf("%s: exit %d, %s", row.resource, code, note)
		}
	}
}
