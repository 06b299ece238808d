package builtin_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// strictPool makes executors with a pool of the mode enterprise, and a directory for files that the other pools may use.
func strictPool(t *testing.T) (root string, all map[string]executors.Executor) {
	t.Helper()
	root = t.TempDir()
	rules := filepath.Join(t.TempDir(), "worker.yaml")
	for name, text := range map[string]string{filepath.Join(root, "a"): "a", filepath.Join(root, "x.db"): "", rules: "pools: {strict: {mode: enterprise, zip_drivers: [zipfile]}}"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all = map[string]executors.Executor{}
	for _, e := range builtin.New(builtin.Config{FileRoot: root, WorkerFile: rules, Command: command.Config{Allow: true}}) {
		all[e.Describe().ID] = e
	}
	return root, all
}

// TestEnterprise: in a pool of that mode archives have drivers that the operator allows.
func TestEnterprise(t *testing.T) {
	root, all := strictPool(t)
	for _, row := range []struct{ pool, driver, want string }{
		{"other", "", ""}, {"other", "pyzipper", ""}, {"strict", "", "pools of the mode enterprise"}, {"strict", "pyzipper", "pools of the mode enterprise"}, {"strict", "zipfile", "path.escape"},
	} {
		in := map[string]any{"items": []string{"a"}, "src_dir": root, "dest_path": filepath.Join(root, "z.zip"), "driver": row.driver}
		if row.driver == "pyzipper" {
			in["password"] = "p"
		}
		call, _ := conformance.Call(t, in)
		call.Pool = row.pool
		if _, err := all["zip"].Run(t.Context(), call); row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s, %s: %v", row.pool, row.driver, err)
		}
	}
}

// TestEnterpriseHasNoFiles: in a pool of that mode no executor uses the worker's directory, and each finds the bundle, which it can't write to.
func TestEnterpriseHasNoFiles(t *testing.T) {
	root, all := strictPool(t)
	for _, row := range []struct{ id, in, want string }{
		{"external.process", `{"command": "true", "cwd": "@"}`, "path.escape"},
		{"external.process", `{"command": "true", "success": {"require_files": "@/a"}}`, "path.escape"},
		{"zip", `{"items": ["a"], "src_dir": "@", "dest_path": "z.zip", "driver": "zipfile"}`, "path.escape"},
		{"file_executor", `{"operation": "read", "path": "a"}`, "pools of the mode enterprise have none"},
		{"sql_executor", `{"driver": "sqlite", "database": "x.db", "query": "SELECT 1"}`, "the pool is of the mode enterprise"},
		{"db_fetch_small", `{"driver": "sqlite", "database": "x.db", "sql": "SELECT 1"}`, "the pool is of the mode enterprise"},
		{"db_extract", `{"driver": "sqlite", "database": ":memory:", "sql": "SELECT 1", "output": "@/x.tsv"}`, "path.escape"},
	} {
		e, on := all[row.id]
		if !on { // a build without it
			continue
		}
		for _, pool := range []string{"other", "strict"} {
			call, _ := conformance.Call(t, strings.ReplaceAll(row.in, "@", root))
			call.Pool = pool
			_, err := e.Run(t.Context(), call)
			if refused := err != nil && strings.Contains(err.Error(), row.want); refused != (pool == "strict") || !refused && err != nil || refused && !executors.IsPermanent(err) {
				t.Errorf("%s, %s %s: %v", pool, row.id, row.in, err)
			}
		}
	}
	inside := map[string]any{"items": []string{"a"}, "src_dir": root, "dest_path": "z.zip", "driver": "zipfile"}
	outside := maps.Clone(inside)
	outside["dest_path"] = filepath.Join(root, "z.zip")
	for _, row := range []struct {
		in   map[string]any
		want string
	}{{inside, ""}, {outside, "may only read"}} {
		text, err := json.Marshal(row.in)
		if err != nil {
			t.Fatal(err)
		}
		call, _ := conformance.Call(t, string(text))
		call.Pool, call.Bundle = "strict", &executors.Bundle{Dir: root}
		if _, err := all["zip"].Run(t.Context(), call); row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("with a bundle, %s: %v", text, err)
		}
	}
}
