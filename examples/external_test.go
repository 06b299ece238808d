package examples

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestExternalExamples runs the executors in other languages beside the stock worker, as its file names them.
func TestExternalExamples(t *testing.T) {
	for language, command := range map[string][]string{"python": {"python3", "words.py"}, "node": {"node", "words.mjs"}} {
		t.Run(language, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("CI must have %s (tools/need.sh)", command[0])
				}
				t.Skipf("there is no %s on this machine", command[0])
			}
			dir, err := filepath.Abs("external-" + language)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "worker.yaml")
			text := fmt.Sprintf("executors:\n  - {command: [%s, %s], dir: %q}\n  - {id: missing, command: [no-such-program]}\n", command[0], command[1], dir)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := cluster.Start(t, cluster.Options{Worker: func(s *config.Worker) { s.WorkerFile = file }})
			c.Eventually("the list of workers says why the other one is off", func() error {
				workers, err := c.Service().Workers(t.Context())
				if err != nil {
					return err
				}
				if text := fmt.Sprint(workers[0].Faults); !strings.Contains(text, `no-such-program: "no-such-program" was not found in PATH`) {
					return errors.New(text)
				}
				return nil
			})
			for range 2 {
				runs(t, c, document(t, "external-"+language+"/tree.yaml"), "external-"+language+"/expected.json")
			}
			slow := fmt.Sprintf(`{"tasks": [{"id": "slow", "name": "slow", "schemas": {"method": "%s_words"}, "inputs": {"text": "a b", "seconds_per_word": 600}}]}`, language)
			cancelled(t, c, slow)
		})
	}
}

// cancelled cancels a tree of one task while it runs: it ends with what was done until then.
func cancelled(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: node.Known()}))
	if err != nil {
		t.Fatal(err)
	}
	task := func() (one *coordinator.Task) {
		for _, one = range c.Tasks(out.TreeID) {
		}
		return one
	}
	c.Eventually("the task has made progress", func() error {
		if progress := task().Progress; progress == 0 {
			return fmt.Errorf("progress %v", progress)
		}
		return nil
	})
	if _, err := c.Service().Cancel(t.Context(), out.TreeID, coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the task has its partial result", func() error {
		one := task()
		if got := strings.ReplaceAll(string(one.Result), " ", ""); one.State.Status() != "cancelled" || !strings.Contains(got, `"words":`) {
			return fmt.Errorf("%s, result %s", one.State, got)
		}
		return nil
	})
}
