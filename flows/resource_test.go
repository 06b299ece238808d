package flows_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
)

// connected have executors that take connections, and profiles.
func connected() flows.Options {
	opts := options()
	opts.Executors.Add("sql_executor", "sql")
	opts.Connections = map[string]flows.Connector{
		"sql_executor":  {Types: []string{"postgres", "mysql", "sqlite"}, Fields: []string{"driver", "url", "host", "port", "username", "password", "database", "client_key"}},
		"rest_executor": {Types: []string{"http"}, Fields: []string{"base_url", "auth"}},
	}
	opts.Profiles = map[string]resource.Part{
		"warehouse": {Config: map[string]any{"host": "{{env.WH_HOST}}", "user": "etl", "password": "{{env.WH_PASSWORD}}"}, Options: map[string]any{"pool": map[string]any{"size": 3.0}}},
		"sealed":    {Config: map[string]any{"host": "h", "password": "{{env.CIPHER}}"}, Decode: map[string]any{"config": map[string]any{"password": true}}},
		"wrong":     {Config: map[string]any{"hots": "h", "url": "{{run_id}}"}},
	}
	return opts
}

// columns are those in lines of faults.
var columns = regexp.MustCompile(`(\d+):\d+`)

// TestResourceFaults: what is wrong with resources is told before anything runs, where it stands.
func TestResourceFaults(t *testing.T) {
	const use = "\njobs: [{id: a, steps: [{id: s, type: sql, inputs: {resource: wh, query: select 1}}]}]"
	wh := func(text string) string {
		return "flow: {id: f, env: {WH_HOST: db}}\nresources:\n  wh: {" + text + "}" + use
	}
	for _, row := range []struct{ name, text, want string }{
		{"good", wh("kind: db, driver: postgres, config: {url: 'postgresql://u:{{env.DB_PASSWORD}}@h/d'}"), ""},
		{"by a profile", wh("kind: db, driver: postgres, profile: warehouse, config: {database: shop}"), ""},
		{"an unknown profile", wh("kind: db, driver: postgres, profile: warehose"), "3 spec.unknown_profile resources.wh.profile"},
		{"an unknown kind", wh("kind: dbs, driver: postgres"), "3 spec.unknown_driver resources.wh.kind"},
		{"an unknown driver", wh("kind: db, driver: postgresql"), "3 spec.unknown_driver resources.wh.driver"},
		{"a driver that is no more", wh("kind: archive, driver: pyminizip"), "3 spec.unknown_driver resources.wh.driver"},
		{"a template in kind and driver", wh("kind: '{{env.WH_HOST}}', driver: '{{env.WH_HOST}}'"), "3 template.not_allowed_here resources.wh.kind\n3 template.not_allowed_here resources.wh.driver"},
		{"keys", wh("kind: db, driver: postgres, config: {host: h, pasword: '{{env.P_KEY}}'}, options: {pol: {size: 1}}"), "3 spec.unknown_key resources.wh.config.pasword\n3 spec.unknown_key resources.wh.options.pol"},
		{"types", wh("kind: db, driver: postgres, config: {host: 5, port: many}, options: {pool: 3}"), "3 spec.schema resources.wh.config.host\n3 spec.schema resources.wh.config.port\n3 spec.schema resources.wh.options.pool"},
		{"nothing to go to", wh("kind: db, driver: postgres"), "3 spec.missing resources.wh.config.url"},
		{"what has no effect", wh("kind: db, driver: postgres, config: {host: h}, options: {pool_size: 3, cache: process}"), "! 3 spec.ignored_field resources.wh.options.pool_size\n! 3 spec.ignored_field resources.wh.options.cache"},
		{"secrets in clear", wh("kind: db, driver: postgres, config: {url: 'postgres://u:hunter2@h/d', password: hunter2, client_key: PEM}"),
			"3 secret.literal resources.wh.config.url\n3 secret.literal resources.wh.config.password\n3 secret.literal resources.wh.config.client_key"},
		{"a secret as a default", wh("kind: db, driver: postgres, config: {host: h, password: '{{env.PW_KEY:hunter2}}'}"), "3 secret.literal resources.wh.config.password"},
		{"a secret in headers", "flow: {id: f}\nresources:\n  wh: {kind: rest, driver: httpx, config: {base_url: 'https://h', headers: {Authorization: abc, X: 1}}}\njobs: []", "3 secret.literal resources.wh.config.headers.Authorization\n3 spec.schema resources.wh.config.headers"},
		{"decode of a mixed text", wh("kind: db, driver: postgres, config: {url: 'postgres://{{env.A_KEY}}@h/d'}, decode: {config: {url: true}}"), "3 decode.not_standalone resources.wh.config.url"},
		{"decode of nothing", wh("kind: db, driver: postgres, config: {host: h}, decode: {config_paths: [password], configs: {}}"), "3 spec.missing resources.wh.config.password\n3 spec.unknown_key resources.wh.decode.configs"},
		{"decode with a template", wh("kind: db, driver: postgres, config: {host: h}, decode: {config_paths: ['{{env.X}}']}"), "3 template.not_allowed_here resources.wh.decode.config_paths[0]\n3 spec.missing resources.wh.config.{{env.X}}"},
		{"decode of a number", wh("kind: db, driver: postgres, config: {host: h, port: 5}, decode: {config: {port: yes}}"), "3 spec.schema resources.wh.decode.config.port\n! 3 spec.yaml_boolean resources.wh.decode.config.port"},
		{"ciphertext is no literal", wh("kind: db, driver: postgres, config: {host: h, password: abc}, decode: {config: {password: true}}"), ""},
		{"what is decoded is a secret", "flow: {id: f, env: {CIPHER: x, WH_HOST: h}}\nresources:\n  wh: {kind: db, driver: postgres, profile: sealed}" + use, "1 secret.inline_value flow.env.CIPHER"},
		{"a profile with faults", wh("kind: db, driver: postgres, profile: wrong"), "3 spec.unknown_key resources.wh.profile\n3 template.unknown_root resources.wh.profile"},
		{"a profile that needs what is not there", strings.Replace(wh("kind: db, driver: postgres, profile: warehouse"), "WH_HOST: db", "X: y", 1), "3 spec.missing_env resources.wh.profile"},
		{"what a resource says itself its profile need not", strings.Replace(wh("kind: db, driver: postgres, profile: warehouse, config: {host: h}"), "WH_HOST: db", "X: y", 1), ""},
		{"another executor", strings.Replace(wh("kind: db, driver: postgres, config: {host: h}"), "type: sql", "type: rest", 1), "4 spec.missing_input jobs[0].steps[0].inputs.url\n4 spec.wrong_resource jobs[0].steps[0].inputs.resource\n! 4 spec.unknown_input jobs[0].steps[0].inputs.query"},
		{"settings that the executor has no use for", wh("kind: db, driver: postgres, config: {host: h, ca: PEM, sslmode: require}"), "4 spec.wrong_resource jobs[0].steps[0].inputs.resource"},
		{"an executor without connections", strings.Replace(wh("kind: db, driver: postgres, config: {host: h}"), "type: sql", "type: noop", 1), "4 spec.not_supported jobs[0].steps[0].inputs.resource"},
		{"a database that only plugins reach", wh("kind: db, driver: duckdb, config: {path: d}"), "4 spec.not_supported jobs[0].steps[0].inputs.resource"},
		{"another one", wh("kind: db, driver: exasol, config: {dsn: h, user: u, password: '{{env.DB_PASSWORD}}'}"), "4 spec.not_supported jobs[0].steps[0].inputs.resource"},
		{"fields beside a resource", strings.Replace(wh("kind: db, driver: postgres, config: {host: h}"), "query:", "Host: evil, connection: c, query:", 1), "4 spec.wrong_resource jobs[0].steps[0].inputs.Host\n4 spec.wrong_resource jobs[0].steps[0].inputs.connection"},
		{"a template for a resource", strings.Replace(wh("kind: db, driver: postgres, config: {host: h}"), "resource: wh", "resource: '{{run_id}}'", 1), "4 spec.schema jobs[0].steps[0].inputs.resource"},
		{"run values in a resource", wh("kind: db, driver: postgres, config: {host: '{{run_id}}', database: '{{steps.s.x}}'}"), "3 template.unknown_root resources.wh.config.host\n3 template.unknown_root resources.wh.config.database"},
		{"sqlalchemy", wh("kind: db, driver: sqlalchemy, config: {url: '{{env.DB_URL_SECRET}}', host: h}"), "3 spec.unknown_key resources.wh.config.host"},
	} {
		_, report := flows.Compile("f.yaml", []byte(row.text), "r", connected())
		errors, warnings := told(report)
		for _, w := range warnings {
			errors = append(errors, "! "+w)
		}
		if got := columns.ReplaceAllString(strings.Join(errors, "\n"), "$1"); sorted(got) != sorted(row.want) {
			t.Errorf("%s:\n%s\nwant\n%s\n%+v", row.name, got, row.want, report.Errors)
		}
		if text := fmt.Sprint(report); strings.Contains(text, "hunter2") {
			t.Errorf("%s shows a secret: %s", row.name, text)
		}
	}
}

// TestResourceBecomesAConnection: known values are in it, and secrets by name alone.
func TestResourceBecomesAConnection(t *testing.T) {
	const text = `
flow: {id: f, env: {WH_HOST: db.internal, DAY: monday}}
resources:
  wh: {kind: db, driver: postgres, profile: warehouse, config: {database: 'shop_{{env.DAY}}', user: null}}
  url: {kind: db, driver: postgres, config: {url: 'postgresql://{{env.USER:etl}}:{{env.DB_PASSWORD}}@{{env.WH_HOST}}/shop'}}
  unused: {kind: db, driver: postgres, config: {host: h}}
jobs:
- id: a
  steps:
  - {id: s, type: sql, inputs: {resource: wh, query: 'select {{attempt}}'}}
  - {id: t, type: with_lock, inputs: {lock_key: k, step: {type: sql, inputs: {resource: url, query: q}}}}
`
	tree, report := flows.Compile("f.yaml", []byte(text), "r", connected())
	if tree == nil {
		t.Fatal(report.Errors)
	}
	var tasks []struct {
		Name     string
		Template bool
		Inputs   map[string]json.RawMessage
	}
	if err := json.Unmarshal(tree.Document, &tasks); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a__s": `{"name":"wh","kind":"db","driver":"postgres","profile":"warehouse","defaults":{"config":{"host":"db.internal","password":"{{env.WH_PASSWORD}}"},"options":{"pool":{"size":3}}},"config":{"database":"shop_monday","user":null}}`,
		"a__t": `{"name":"url","kind":"db","driver":"postgres","config":{"url":"postgresql://etl:{{env.DB_PASSWORD}}@db.internal/shop"}}`,
	}
	for _, task := range tasks {
		if w, is := want[task.Name]; is {
			if got := string(task.Inputs["connection"]); got != w || task.Inputs["resource"] != nil {
				t.Errorf("%s:\n%s\nwant\n%s", task.Name, got, w)
			}
			delete(want, task.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("without %v", want)
	}
}

// TestProfiles: a file of profiles is as strict as a flow.
func TestProfiles(t *testing.T) {
	all, report := flows.ReadProfiles("p.yaml", []byte("wh:\n  config: {host: h, port: 5}\n  decode: {config: {password: true}}\nother: {}\n"))
	if !report.OK || len(all) != 2 || all["wh"].Config["host"] != "h" {
		t.Errorf("%+v, %v", all, report.Errors)
	}
	_, report = flows.ReadProfiles("p.yaml", []byte("wh:\n  kind: db\n  config: {password: hunter2, url: 'x://u:hunter2@h'}\n  options: 5\n  decode: {config: 3}\nx: y\n"))
	errors, _ := told(report)
	if got, want := sorted(strings.Join(errors, "\n")), sorted("2:3 spec.unknown_key wh.kind\n3:12 secret.literal wh.config.password\n3:31 secret.literal wh.config.url\n4:3 spec.schema wh.options\n5:12 spec.schema wh.decode.config\n6:1 spec.schema x"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if all, report := flows.ReadProfiles("p.yaml", nil); len(all) > 0 || report.OK {
		t.Errorf("an empty file is none: %v, %v", all, report.Errors)
	}
}
