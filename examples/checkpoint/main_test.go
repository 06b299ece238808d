package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/tests/cluster"

	"github.com/taskgrove/taskgrove/executors"
)

// workerVariable makes the test's program a worker.
const workerVariable = "CHECKPOINT_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	conformance.Test(t, func(*testing.T) executors.Executor { return sum }, conformance.Features{
		Quick: `{"numbers": [1, 2]}`, Slow: `{"numbers": [1], "seconds_each": 600}`,
		Missing: map[string]string{`{}`: "[sum] numbers"},
		Resumes: `{"numbers": [1, 2, 3], "seconds_each": 0.01}`,
	})
}

// TestGoesOnAfterAKill kills the worker with SIGKILL in the middle of the task. Another one goes on from the last note.
func TestGoesOnAfterAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	c := cluster.Start(t, cluster.Options{})
	start := func(id string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerVariable+"=1", "TASKGROVE_WORKER_ID="+id, "TASKGROVE_NATS_URL="+c.NATS.WorkerURL(id), "TASKGROVE_HTTP_ADDR=")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd
	}
	victim := start("sum-1")
	c.Eventually("the worker is known", func() error {
		workers, err := c.Service().Workers(t.Context())
		if err != nil {
			return err
		}
		for _, w := range workers {
			if w.ID == "sum-1" {
				return nil
			}
		}
		return errors.New("it is not")
	})
	const numbers = 10
	text := fmt.Sprintf(`{"tasks": [{"id": "sum", "name": "sum", "schemas": {"method": "sum"}, "inputs": {"numbers": [%s1], "seconds_each": 0.6}}]}`, strings.Repeat("1,", numbers-1))
	out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, treedoc.Read(strings.NewReader(text), treedoc.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("half of it is done", func() error {
		if done := c.Tasks(out.TreeID)["sum"].Progress; done < 0.5 {
			return fmt.Errorf("progress %v", done)
		}
		return nil
	})
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	start("sum-2")
	c.Settled(out.TreeID)
	var total Total
	task := c.Tasks(out.TreeID)["sum"]
	if err := json.Unmarshal(task.Result, &total); err != nil {
		t.Fatal(errors.Join(err, errors.New(task.Error)))
	}
	if total.Sum != numbers || total.Done != numbers || len(total.Began) != 2 || total.Began[1] < 3 {
		t.Errorf("got %+v", total)
	}
	t.Logf("the second attempt began with number %d", total.Began[1])
}
