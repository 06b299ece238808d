package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// TestTheGuideOfAIWorks makes every file and runs every command of docs/ai.md. The service of models
// listens on a free port.
func TestTheGuideOfAIWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs and starts a cluster")
	}
	g := newGuide(t)
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "taskgrove-models"), "github.com/taskgrove/taskgrove/executors/model/modeltest/serve")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the service of models: %v\n%s", err, out)
	}
	for i, entry := range g.env {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			g.env[i] = "PATH=" + bin + ":" + path
		}
	}
	g.link("examples")
	models := porttest.Address(t)
	var last *output
	script := "" // of the last command
	for _, b := range blocks(t, "../docs/ai.md") {
		text := strings.ReplaceAll(b.text, "127.0.0.1:8089", models)
		switch {
		case b.language == "text":
			for tries := 1; tries < 3 && strings.Contains(script, "--watch") && last.missing(text) != ""; tries++ {
				last = g.run(script) // what a model says is told at most once, and a busy machine may lose some of it
			}
			last.want(t, text)
		case b.language == "sh" && b.word == "server":
			script, last = "", g.serve(text)
		case b.language == "sh":
			script, last = text, g.run(text)
		case b.word != "":
			if err := os.WriteFile(filepath.Join(g.dir, b.word), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range slices.Backward(g.servers) {
		s.interrupt(t)
	}
}
