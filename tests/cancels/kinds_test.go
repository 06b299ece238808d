package cancels

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// object is a JSON object.
type object = map[string]any

// kind is work of one executor.
type kind struct {
	executor string
	// inputs are of work that takes so many seconds, and then has the task's id in its result.
	inputs func(id string, variant int, seconds float64) object
	silent bool // its result does not hold the id
	// left says what is left of a task's work right after its receipt. nil: nothing but processes.
	left func(id string) error
}

// builders make the kinds that this machine and this build have. They may change the settings, and leave a kind out, saying why.
var builders = []func(*testing.T, *site) ([]kind, error){local, remote, pythonKind, externalKind, servers, fileKind, farKind}

// errLacks leaves a kind out.
var errLacks = errors.New("left out")

// lacks fails in CI, which has all that is wanted.
func lacks(t *testing.T, what string) error {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must have %s (tools/need.sh)", what)
	}
	return fmt.Errorf("%w: there is no %s on this machine", errLacks, what)
}

// shells take a while and then say a word: alone, with a child, deaf to signals, with a child in a session of its own.
var shells = []string{
	"sleep %[2]v; echo %[1]s",
	"sleep %[2]v & wait; echo %[1]s",
	"(trap '' TERM; sleep %[2]v) & trap '' TERM; wait; echo %[1]s",
	"setsid sh -c 'trap \"\" TERM HUP; sleep %[2]v' & sleep %[2]v; wait; echo %[1]s",
}

func command(shells []string) func(id string, variant int, seconds float64) object {
	return func(id string, variant int, seconds float64) object {
		return object{"command": fmt.Sprintf(shells[variant%len(shells)], id, seconds), "timeout": long}
	}
}

func local(_ *testing.T, s *site) ([]kind, error) {
	s.worker.CommandAllow = true
	nap := func(_ string, _ int, seconds float64) object { return object{"seconds": seconds} }
	return []kind{{executor: "command_executor", inputs: command(shells)}, {executor: "sleep_executor", inputs: nap, silent: true}}, nil
}

func remote(t *testing.T, _ *site) ([]kind, error) {
	if _, err := sshtest.Program("sshd"); err != nil {
		return nil, lacks(t, "sshd")
	}
	host := sshtest.For(t)
	work := command(shells[:3]) // what a command puts into another session stays there: it is the way to leave something
	return []kind{{executor: "ssh_executor", inputs: func(id string, variant int, seconds float64) object {
		return host.Inputs(work(id, variant, seconds))
	}}}, nil
}

func pythonKind(t *testing.T, s *site) ([]kind, error) {
	if _, err := exec.LookPath("uv"); err != nil {
		return nil, lacks(t, "uv")
	}
	s.worker.PythonAllow, s.worker.PythonCache = true, t.TempDir()
	return []kind{{executor: "python_executor", inputs: func(id string, variant int, seconds float64) object {
		nap := []string{"subprocess.run(['sleep', '%[2]v'])", "time.sleep(%[2]v)"}[variant%2]
		return object{"script": fmt.Sprintf("import subprocess, time, taskgrove\n"+nap+"\ntaskgrove.result('%[1]s')", id, seconds), "timeout": long}
	}}}, nil
}

// externalKind is a program in Python beside the library of the example.
func externalKind(t *testing.T, s *site) ([]kind, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return nil, lacks(t, "python3")
	}
	library, err := filepath.Abs("../../examples/external-python")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "worker.yaml")
	text := fmt.Sprintf("executors:\n  - {command: [%q, nap.py], dir: %q, env: {PYTHONPATH: %q, PYTHONDONTWRITEBYTECODE: '1'}, keep_env: [PYENV_VERSION], start_within: 1m}\n", python, dir, library)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.worker.WorkerFile = file
	return []kind{{executor: "python_nap", inputs: func(id string, _ int, seconds float64) object {
		return object{"word": id, "seconds": seconds}
	}}}, nil
}

// farKind asks for a tree of another cluster, which is this one.
func farKind(t *testing.T, s *site) ([]kind, error) {
	return []kind{{executor: "apflow_api_executor", inputs: func(id string, _ int, seconds float64) object {
		task := object{"id": id + "-far", "name": "far", "schemas": object{"method": "sleep_executor"}, "inputs": object{"seconds": seconds}}
		return object{"base_url": s.c.Coordinators[0].P.HTTP, "method": "tasks.execute", "params": object{"tasks": []object{task}},
			"wait_for_completion": true, "poll_interval": 0.1, "timeout": long}
	}, left: func(id string) error {
		if id == "" {
			return nil // each was looked for
		}
		far, err := s.c.Service().Task(context.WithoutCancel(t.Context()), id+"-far")
		if errors.Is(err, coordinator.ErrNotFound) {
			return nil
		}
		if err == nil && !far.State.Settled() {
			err = fmt.Errorf("a task there is %s", far.State)
		}
		return err
	}}}, nil
}

// fileKind gets objects of a store that says the second half after a while.
func fileKind(t *testing.T, s *site) ([]kind, error) {
	store, root := newStore(t), t.TempDir()
	s.worker.FileRoot = root
	return []kind{{executor: "file_executor", inputs: func(id string, _ int, seconds float64) object {
		return object{"operation": "copy", "source": fmt.Sprintf("s3://naps/%s/%v", id, seconds), "destination": id + ".bin", "timeout": long,
			"endpoint": store.url, "access_key": "a", "secret_key": "b"}
	}, left: func(id string) error {
		if err := store.open.none(id); err != nil {
			return err
		}
		return onlyWhole(root, id)
	}}}, nil
}

// onlyWhole fails for a file of a task below root that is no whole object; for one of any task, if id is empty.
func onlyWhole(root, id string) error {
	entries, err := os.ReadDir(root)
	for _, e := range entries {
		info, bad := e.Info()
		if bad != nil || !strings.Contains(e.Name(), id) {
			continue
		}
		if !strings.HasSuffix(e.Name(), ".bin") || info.Size() != objectBytes {
			return fmt.Errorf("file %s of %d bytes", e.Name(), info.Size())
		}
	}
	return err
}

// processes fails while one has the task's id in its environment or command line: here, in a container, or behind the SSH server.
func processes(id string) error {
	if left := sshtest.With(id); len(left) > 0 {
		slices.Sort(left)
		return fmt.Errorf("processes %s", strings.Join(left, "; "))
	}
	return nil
}
