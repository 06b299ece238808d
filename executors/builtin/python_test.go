package builtin_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/python"
)

func init() { parts[python.ID] = pythonFeatures }

// pythonFeatures needs no packages; the executor's own tests have some.
func pythonFeatures(t *testing.T, cfg *builtin.Config) conformance.Features {
	if _, err := exec.LookPath("uv"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have uv (tools/need.sh)")
		}
		t.Skip("there is no uv on this machine (pip install uv)")
	}
	cfg.Python = python.Config{Allow: true, Cache: t.TempDir(), Grace: cfg.Command.Grace}
	const secret = "hunter2-canary"
	return conformance.Features{
		Quick:      `{"script": "import taskgrove; taskgrove.result(1)"}`,
		Slow:       `{"script": "import subprocess; subprocess.run(['sleep', '600.25'])"}`,
		Missing:    map[string]string{},
		Concurrent: 4,
		Large:      `{"script": "print('x' * 5000000)"}`,
		TimesOut:   map[string]string{`{"script": "import time; time.sleep(600)", "timeout": 1}`: "Python code timed out after 1 seconds"},
		Left:       func() error { return noProcess("600.25") },
		Failing: []string{
			`{"function": "m:f", "git": {"url": "https://127.0.0.1:1/x", "token": "` + secret + `"}}`,
			`{"function": "m:f", "git": {"url": "https://u:` + secret + `@127.0.0.1:1/x"}}`,
			`{"function": "m:f", "archive": {"url": "http://user:` + secret + `@127.0.0.1:1/x", "sha256": "` + strings.Repeat("0", 64) + `"}}`,
		},
		Secret:      secret,
		Demo:        map[string][]string{`{"script": "x"}`: {"rows", "total"}},
		DemoDiffers: true,
	}
}
