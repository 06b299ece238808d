package flows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

const fullManifest = `version: 1
mode: enterprise
bundle:
  id: orders
  source: {type: sftp, resource: drop, base_path: /srv/bundles/orders, strict_fingerprint: yes}
  layout: {profiles_file: profiles.yaml, flows_dir: ./flows/, plugins_dir: plugins}
  entry_flow: flows/main.yaml
  fetch_policy: always
resources:
  drop: {kind: sftp, driver: ssh, config: {host: "{{env.DROP_HOST}}", user: etl, password: "{{env.DROP_PASSWORD}}"}}
paths: {plugins: [/opt/plugins]}
zip_drivers: [zipfile]
secrets: [DB_URL]
public_env: [SORT_KEY]
env_files:
- prod.env
- {type: json, path: /etc/etl.json, optional: true, prefix: ETL_}
`

func TestManifestWhole(t *testing.T) {
	m, report := flows.ReadManifest("conf/bundle.yaml", []byte(fullManifest))
	if _, warnings := told(report); !report.OK || strings.Join(warnings, "\n") != "6:63 spec.ignored_field bundle.layout.plugins_dir\n11:9 spec.ignored_field paths.plugins" {
		t.Fatalf("report %+v", report)
	}
	if m.ID != "orders" || !m.Enterprise || !m.Always || !m.Origin.StrictFingerprint || m.FlowsDir != "flows" || m.EntryFlow != "flows/main.yaml" || m.Origin.Bundle != "orders" {
		t.Errorf("manifest %+v", m)
	}
	drop := m.Resources["drop"]
	if got := drop.Names(); !slices.Equal(got, []string{"DROP_HOST", "DROP_PASSWORD"}) {
		t.Errorf("names of drop: %v", got)
	}
	if len(m.EnvFiles) != 2 || m.EnvFiles[0].Path != "conf/prod.env" || m.EnvFiles[1].Path != "/etc/etl.json" || m.EnvFiles[1].Prefix != "ETL_" {
		t.Errorf("files of the environment: %+v", m.EnvFiles)
	}
}

// minimal is a manifest of which a line is replaced.
func minimal(old, new string) string {
	const text = `version: 1
bundle:
  id: b
  source: {base_path: ./b}
  layout: {profiles_file: profiles.yaml}
  entry_flow: main.yaml
`
	return strings.Replace(text, old, new, 1)
}

func TestManifestFaults(t *testing.T) {
	for _, row := range []struct {
		text string
		want string // LINE LOC CODE | a part of the message
	}{
		{"", `0  spec.yaml`},
		{"[]", `1  spec.schema`},
		{minimal("version: 1", "version: 2"), `1 version spec.version`},
		{minimal("version: 1", "mode: enterprize"), `1 mode spec.schema | did you mean enterprise?`},
		{minimal("version: 1", "mod: enterprise"), `1 mod spec.unknown_key | did you mean mode?`},
		{minimal("  id: b\n", ""), `2 bundle.id spec.missing`},
		{minimal("id: b", "id: ../b"), `3 bundle.id spec.bad_id`},
		{minimal("id: b", `id: "{{env.B}}"`), `3 bundle.id template.not_allowed_here`},
		{minimal("id: b", "name: b"), `3 bundle.name spec.unknown_key | write id`},
		{minimal("{base_path: ./b}", "{}"), `4 bundle.source.base_path spec.missing | filesystem`},
		{minimal("{base_path: ./b}", "{type: ftp}"), `4 bundle.source.type spec.schema | did you mean sftp?`},
		{minimal("{base_path: ./b}", "{type: oci}"), `4 bundle.source.type spec.not_supported`},
		{minimal("{base_path: ./b}", "{type: sftp, base_path: /b}"), `4 bundle.source.resource spec.missing | sftp`},
		{minimal("{base_path: ./b}", "{type: sftp, base_path: /b, resource: drop}"), `4 bundle.source.resource spec.unknown_resource | there is no resource drop`},
		{minimal("{base_path: ./b}", "{base_path: /b, list_sql: select 1}"), `4 bundle.source.list_sql spec.ignored_field | filesystem`},
		{minimal("{base_path: ./b}", "{type: git, url: 'https://u:secret@example.org/x.git'}"), `4 bundle.source.url secret.literal`},
		{minimal("{base_path: ./b}", "{type: http, url: 'https://example.org/x.zip', sha256: abc}"), `4 bundle.source.sha256 spec.schema | 64`},
		{minimal("{base_path: ./b}", "{type: git, url: 'https://example.org/x.git', subdir: ../x}"), `4 bundle.source.subdir spec.bundle_path`},
		{minimal("profiles_file: profiles.yaml", ""), `5 bundle.layout.profiles_file spec.missing`},
		{minimal("profiles_file: profiles.yaml", "profiles_file: /etc/profiles.yaml"), `5 bundle.layout.profiles_file spec.bundle_path | absolute`},
		{minimal("main.yaml", "../main.yaml"), `6 bundle.entry_flow spec.bundle_path`},
		{minimal("main.yaml", "main.yaml\n  fetch_policy: never"), `7 bundle.fetch_policy spec.schema | cache_check or always`},
		{minimal("version: 1", "resources: {d: {kind: sftp, driver: ssh, profile: p, config: {host: h, user: u}}}"), `1 resources.d.profile spec.unknown_key`},
		{minimal("version: 1", "resources: {d: {kind: sftp, driver: ssh, config: {host: h}}}"), `1 resources.d.config.user spec.missing`},
		{minimal("version: 1", "resources: {d: {kind: sftp, driver: ssh, config: {host: h, user: u, password: canary-1}}}"), `1 resources.d.config.password secret.literal`},
		{minimal("version: 1", `resources: {d: {kind: sftp, driver: ssh, config: {host: "{{steps.a.b}}", user: u}}}`), `1 resources.d.config.host template.unknown_root`},
		{minimal("version: 1", "resources: {d: {kind: sftp, driver: sh, config: {host: h, user: u}}}"), `1 resources.d.driver spec.unknown_driver`},
		{minimal("version: 1", "zip_drivers: [pyminizip]"), `1 zip_drivers[0] spec.schema`},
		{minimal("version: 1", "secrets: [A-B]"), `1 secrets[0] spec.bad_id`},
		{minimal("version: 1", "{secrets: [A], public_env: [A]}"), `1  spec.yaml`},
		{minimal("version: 1", "secrets: [A]\npublic_env: [A]"), `2 public_env[0] spec.schema`},
		{minimal("version: 1", "env_files: [{type: ini, path: a}]"), `1 env_files[0].type spec.schema`},
		{minimal("version: 1", "env_files: [{optional: true}]"), `1 env_files[0] spec.schema | has no path`},
		{minimal("version: 1", "env_files: 7"), `1 env_files spec.schema | must be a list`},
	} {
		_, report := flows.ReadManifest("m.yaml", []byte(row.text))
		var told []string
		for _, f := range append(report.Errors, report.Warnings...) {
			one := fmt.Sprintf("%d %s %s %s", f.Line, f.Loc, f.Code, f.Msg)
			if f.Line > 0 && f.Column == 0 {
				t.Errorf("no column: %s", one)
			}
			if strings.Contains(one, "canary-1") {
				t.Errorf("a fault shows a value: %s", one)
			}
			told = append(told, one)
		}
		ok := slices.ContainsFunc(told, func(one string) bool {
			head, part, _ := strings.Cut(row.want, " | ")
			return strings.HasPrefix(one, head) && strings.Contains(one, part)
		})
		if !ok {
			t.Errorf("%s\ntold:\n  %s\nwant %s", row.text, strings.Join(told, "\n  "), row.want)
		}
	}
	_, report := flows.ReadManifest("m.yaml", []byte("mod: x\nbundle: {id: 7, source: {type: ftp}, layout: {}, entry_flow: /x}\nzip_drivers: [x]\n"))
	if len(report.Errors) < 6 {
		t.Errorf("not all is told at once: %+v", report.Errors)
	}
}
