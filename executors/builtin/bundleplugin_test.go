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

func init() {
	parts["bundle_plugin"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		t.Skip("it is what the plugin is, whose conformance that of external executors shows; package bundleplugin has tests of its own")
		return conformance.Features{}
	}
}

// TestPoolsOfBundlePlugins: the worker's file says where plugins of bundles run, and a pool of the mode enterprise never runs them.
func TestPoolsOfBundlePlugins(t *testing.T) {
	find := func(file string) executors.Executor {
		at := filepath.Join(t.TempDir(), "worker.yaml")
		if err := os.WriteFile(at, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, e := range builtin.New(builtin.Config{WorkerFile: at}) {
			if e.Describe().ID == "bundle_plugin" {
				return e
			}
		}
		t.Fatal("there is none")
		return nil
	}
	const ran = "params.plugin must name a plugin" // it was let in
	for _, row := range []struct{ file, pool, want string }{
		{"pools: {etl: {bundle_plugins: true}}", "etl", ran},
		{"pools: {\"*\": {bundle_plugins: true}}", "etl", ran},
		{"pools: {etl: {bundle_plugins: true}}", "other", "bundle_plugins: true of the pool in the worker's file allows them"},
		{"pools: {\"*\": {bundle_plugins: true}, etl: {}}", "etl", "bundle_plugins: true of the pool"},
		{"pools: {\"*\": {bundle_plugins: true}, etl: {mode: enterprise}}", "etl", "it is of the mode enterprise"},
	} {
		e := find(row.file)
		if off := e.(executors.Disabler).Disabled(); off != "" {
			t.Errorf("%s: off: %s", row.file, off)
		}
		call, _ := conformance.Call(t, `{}`)
		call.Pool = row.pool
		if _, err := e.Run(t.Context(), call); err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err) {
			t.Errorf("%s, %s: %v", row.file, row.pool, err)
		}
	}
	for _, file := range []string{"{}", "pools: {etl: {}}", "pools: {etl: {mode: enterprise}}"} {
		if off := find(file).(executors.Disabler).Disabled(); !strings.Contains(off, "bundle_plugins") {
			t.Errorf("%s: %q", file, off)
		}
	}
}
