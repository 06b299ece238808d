package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/flows"
)

const greetings = "../../examples/flows/bundle/manifest.yaml"

// copied is a copy of the example bundle, which a test may change: the path of its manifest.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/flows/bundle")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "manifest.yaml")
}

func rewrite(t *testing.T, name, old, now string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not contain %q", name, old)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), old, now)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBundleValidate: what docs/flows/bundles.md shows.
func TestBundleValidate(t *testing.T) {
	out, note, code := runCommand(t, "bundle", "validate", greetings)
	if want := "OK: " + greetings + "\nOK: profiles.yaml\nOK: flows/greet.yaml\n"; code != exitOK || out != want || note != "" {
		t.Errorf("exit %d, %s, %q", code, out, note)
	}
	wrong := copied(t)
	files := filepath.Join(filepath.Dir(wrong), "files")
	rewrite(t, filepath.Join(files, "flows/greet.yaml"), "external.process", "external.proces")
	rewrite(t, filepath.Join(files, "profiles.yaml"), "options", "optoins")
	if err := os.WriteFile(filepath.Join(files, "flows/other.yml"), []byte("jobs: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, note, code = runCommand(t, "bundle", "validate", wrong, "--json")
	var reports []flows.Report
	if err := json.Unmarshal([]byte(out), &reports); err != nil || code != exitUsage || len(reports) != 4 || !strings.Contains(note, "3 of 4 files invalid") {
		t.Fatalf("exit %d, %q, %v\n%s", code, note, err, out)
	}
	for i, want := range []flows.Code{"", flows.CodeUnknownKey, flows.CodeUnknownType, flows.CodeMissing} {
		r := reports[i]
		if want == "" && r.OK || want != "" && len(r.Errors) > 0 && r.Errors[0].Code == want && r.Errors[0].Line > 0 {
			continue
		}
		t.Errorf("report %d: %+v", i, r)
	}
	strict := copied(t)
	rewrite(t, strict, "version: 1", "version: 1\nmode: enterprise\nzip_drivers: [zipfile]")
	packs := "flow: {id: p}\nresources: {z: {kind: archive, driver: pyzipper}}\njobs: [{id: a, steps: [{id: s, type: zip, inputs: {resource: z, dest_path: z.zip, items: [a]}}, {id: t, type: unzip, inputs: {archives: z.zip, dest_dir: b}}]}]\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(strict), "files/flows/packs.yaml"), []byte(packs), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, code := runCommand(t, "bundle", "validate", strict); code != exitUsage || !strings.Contains(out, "resources.z.driver: spec.archive_driver - the mode enterprise allows zipfile") ||
		!strings.Contains(out, "jobs[0].steps[1].inputs.resource: spec.archive_driver") || strings.Count(out, "spec.archive_driver") != 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
	rewrite(t, wrong, "profiles.yaml", "none.yaml")
	rewrite(t, wrong, "flows/greet.yaml", "flows/none.yaml")
	if out, _, code := runCommand(t, "bundle", "validate", wrong); code != exitUsage || !strings.Contains(out, "- none.yaml: spec.bundle_file - no such file") || !strings.Contains(out, "- flows/none.yaml: spec.bundle_file") {
		t.Errorf("exit %d\n%s", code, out)
	}
	rewrite(t, wrong, "id: greetings", "id: a/b")
	if out, _, code := runCommand(t, "bundle", "validate", wrong); code != exitUsage || !strings.Contains(out, "bundle.id: spec.bad_id") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestBundleSync: what docs/flows/bundles.md shows.
func TestBundleSync(t *testing.T) {
	manifest, dir := copied(t), t.TempDir()
	sync := func(code int, flags ...string) (got syncedText, note string) {
		t.Helper()
		out, note, is := runCommand(t, append([]string{"bundle", "sync", manifest, "--bundle-dir", dir, "--json"}, flags...)...)
		if is != code || code == exitOK && json.Unmarshal([]byte(out), &got) != nil {
			t.Fatalf("exit %d, %s\n%s", is, note, out)
		}
		return got, note
	}
	first, _ := sync(exitOK)
	if !first.Changed || len(first.Fetched) != 3 || len(first.Fingerprint) != 64 || first.Stale {
		t.Errorf("%+v", first)
	}
	if text, err := os.ReadFile(filepath.Join(first.Root, "templates/morning.txt")); err != nil || string(text) != "Good morning, world!\n" {
		t.Errorf("%q, %v", text, err)
	}
	if again, _ := sync(exitOK); again.Changed || len(again.Fetched) != 0 || again.Root != first.Root {
		t.Errorf("again: %+v", again)
	}
	if err := os.Rename(filepath.Join(filepath.Dir(manifest), "files"), filepath.Join(filepath.Dir(manifest), "away")); err != nil {
		t.Fatal(err)
	}
	sync(exitError)
	stale, note := sync(exitOK, "--allow-stale-bundle")
	if !stale.Stale || stale.Fingerprint != first.Fingerprint || !strings.Contains(note, "the source of greetings fails") {
		t.Errorf("%+v, %q", stale, note)
	}
	out, _, code := runCommand(t, "bundle", "status", "greetings", "--bundle-dir", dir, "--json")
	var status bundle.Status
	if err := json.Unmarshal([]byte(out), &status); err != nil || code != exitOK || status.Fingerprint != first.Fingerprint || status.Files != 3 || status.LastError == nil {
		t.Errorf("exit %d, %v, %s", code, err, out)
	}
	if out, _, code := runCommand(t, "bundle", "status", "--bundle-dir", dir); code != exitOK || !strings.Contains(out, "greetings  "+first.Fingerprint[:12]+"  3") {
		t.Errorf("exit %d, %s", code, out)
	}
	if _, note, code := runCommand(t, "bundle", "status", "other", "--bundle-dir", dir); code != exitError || !strings.Contains(note, "no bundle other") {
		t.Errorf("exit %d, %q", code, note)
	}
	rewrite(t, manifest, "base_path", "bas_path")
	sync(exitUsage)
}

// A resource of the manifest has its values from flags, then from this process; nothing shows them.
func TestBundleConnection(t *testing.T) {
	const text = `bundle: {id: b, source: {type: sftp, resource: drop, base_path: /b}, layout: {profiles_file: p.yaml}, entry_flow: f.yaml}
resources: {drop: {kind: sftp, driver: ssh, config: {host: "{{env.BUNDLE_TEST_HOST}}", user: etl, password: "{{env.BUNDLE_TEST_PASSWORD}}"}}}
`
	m, report := flows.ReadManifest("m.yaml", []byte(text))
	if !report.OK {
		t.Fatal(report.Errors)
	}
	given := &envGiven{}
	if _, err := bundlePlace(m, "m.yaml", given); err == nil || !strings.Contains(err.Error(), "needs BUNDLE_TEST_HOST, BUNDLE_TEST_PASSWORD") {
		t.Errorf("got %v", err)
	}
	t.Setenv("BUNDLE_TEST_HOST", "127.0.0.1")
	t.Setenv("BUNDLE_TEST_PASSWORD", "canary-1")
	at, err := bundlePlace(m, "m.yaml", given)
	if err != nil || at.Connection.Type != "sftp" || len(at.Connection.Fields) < 3 {
		t.Errorf("%+v, %v", at, err)
	}
}
