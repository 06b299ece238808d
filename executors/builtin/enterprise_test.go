package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// TestEnterprise: in a pool of that mode steps of flows use files of their job alone, and drivers of archives that the operator allows.
func TestEnterprise(t *testing.T) {
	root := t.TempDir()
	rules := filepath.Join(t.TempDir(), "worker.yaml")
	for name, text := range map[string]string{filepath.Join(root, "a"): "a", rules: "pools: {strict: {mode: enterprise, zip_drivers: [zipfile]}}"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var zip executors.Executor
	for _, e := range builtin.New(builtin.Config{FileRoot: root, WorkerFile: rules}) {
		if e.Describe().ID == "zip" {
			zip = e
		}
	}
	for _, row := range []struct{ pool, driver, want string }{
		{"other", "", ""}, {"other", "pyzipper", ""}, {"strict", "", "pools of the mode enterprise"}, {"strict", "pyzipper", "pools of the mode enterprise"}, {"strict", "zipfile", "path.escape"},
	} {
		in := map[string]any{"items": []string{"a"}, "src_dir": root, "dest_path": filepath.Join(root, "z.zip"), "driver": row.driver}
		if row.driver == "pyzipper" {
			in["password"] = "p"
		}
		call, _ := conformance.Call(t, in)
		call.Pool = row.pool
		if _, err := zip.Run(t.Context(), call); row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s, %s: %v", row.pool, row.driver, err)
		}
	}
}
