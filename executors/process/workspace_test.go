package process_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// flowRun is a run whose steps share directories.
type flowRun struct {
	*cluster.Cluster
	work string // of all workers
	root string
}

// step is one of a job, as flows compile it.
func (f *flowRun) step(job, id, pool, inputs string, after ...string) *dag.Task {
	schemas, _ := json.Marshal(map[string]string{"method": process.ID})
	params := fmt.Sprintf(`{"flow_id":"flow","run_id":%q,"job_id":%q,"step_id":%q,"workspace":{"layout":{"artifacts":"artifacts"},"cleanup_policy":"on_success"}}`, f.root, job, id)
	t := &dag.Task{ID: f.root + "-" + id, Name: id, ParentRef: f.root, Executor: process.ID, Pool: pool, Schemas: schemas, Params: json.RawMessage(params), Inputs: json.RawMessage(inputs)}
	for _, ref := range after {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: f.root + "-" + ref})
	}
	return t
}

func shell(line string) string {
	text, _ := json.Marshal(map[string]any{"command": line, "shell": true})
	return string(text)
}

// directories are those of the run's jobs, on all workers.
func (f *flowRun) directories() []string {
	found, _ := filepath.Glob(filepath.Join(f.work, "worker-*", "flows", "flow", "*", f.root))
	return found
}

func startFlows(t *testing.T, opts cluster.Options, root string) *flowRun {
	t.Helper()
	f := &flowRun{work: t.TempDir(), root: root}
	more := opts.Worker
	opts.Worker = func(s *config.Worker) {
		s.CommandAllow, s.WorkDir = true, f.work
		if more != nil {
			more(s)
		}
	}
	f.Cluster = cluster.Start(t, opts)
	return f
}

// Steps of a job that run on two workers in turn find what the steps before them have left, those of other jobs read it, and when the run has ended, it is
// gone from both.
func TestStepsOnTwoWorkers(t *testing.T) {
	f := startFlows(t, cluster.Options{Pools: []string{"one"}}, "run")
	f.AddWorkerOf(4, "two")
	atomic := `{"command":"printf 3 > $TASKGROVE_OUTPUT_DIR/part","shell":true,"idempotency":{"strategy":"atomic_dir","temp_output_dir":"tmp","final_output_dir":"final"},"success":{"require_files":["final/part"]}}`
	f.Submit(coordinator.SubmitOptions{UserID: "ann"}, &dag.Task{ID: "run", Name: "run"},
		f.step("extract", "s1", "one", shell(`printf 1 > a.txt && mkdir out && printf b > out/b.txt && head -c 300000 /dev/zero > large && echo path=$TASKGROVE_ARTIFACTS_DIR/a.txt > $TASKGROVE_RESULT_FILE`)),
		f.step("extract", "s2", "two", shell(`[ $(cat a.txt) = 1 ] && [ $(wc -c < large) = 300000 ] && printf 2 > a.txt && rm out/b.txt && touch done`), "s1"),
		f.step("extract", "s3", "one", `{"command":"exit 9","shell":true,"idempotency":{"strategy":"marker","marker_path":"done"}}`, "s2"),
		f.step("extract", "s4", "two", atomic, "s3"),
		f.step("extract", "s5", "one", shell(`[ $(cat a.txt) = 2 ] && [ ! -e out/b.txt ] && [ $(cat final/part) = 3 ] && [ "$AETHERFLOW_RUN_ID" = run ]`), "s4"),
		f.step("load", "s6", "two", `{"command":"cat artifact:extract/a.txt","shell":true,"log":{"stdout":"capture"},"outputs":{"from":"artifact:extract/final"}}`, "s5"),
		&dag.Task{ID: "run-hold", Name: "hold", ParentRef: "run", Executor: process.ID, Pool: "later", Inputs: json.RawMessage(`{"command":"true"}`), Schemas: json.RawMessage(`{"method":"external.process"}`), Dependencies: []dag.Dependency{{Ref: "run-s6"}}})
	f.Eventually("the steps have ended", func() error {
		if got := f.Tasks("run")["run-s6"]; !got.State.Settled() {
			return fmt.Errorf("the last is %s", got.State)
		}
		return nil
	})
	for id, want := range map[string]struct {
		state  dag.State
		result string
	}{
		"s1": {dag.Completed, `{"attempts":1,"exit_code":0,"path":"artifact:extract/a.txt"}`},
		"s2": {dag.Completed, `{"attempts":1,"exit_code":0}`},
		"s3": {dag.Skipped, `{"marker":"artifact:extract/done","reason":"marker_present","skipped":true}`},
		"s5": {dag.Completed, `{"attempts":1,"exit_code":0}`},
		"s6": {dag.Completed, `{"attempts":1,"exit_code":0,"from":"artifact:extract/final","stdout":"2"}`},
	} {
		got := f.Tasks("run")["run-"+id]
		var result any
		_ = json.Unmarshal(got.Result, &result)
		if text, _ := json.Marshal(result); got.State != want.state || string(text) != want.result {
			t.Errorf("%s: %s %s (%s), want %s", id, got.State, text, got.Error, want.result)
		}
	}
	if dirs := f.directories(); len(dirs) != 3 {
		t.Errorf("directories while the run goes on: %v", dirs)
	}
	page, err := f.Service().Artifacts(t.Context(), coordinator.ArtifactFilter{TaskID: "run", Tree: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range page.Items {
		names = append(names, a.TaskID+"/"+a.Name)
	}
	slices.Sort(names) // some are saved at the same time
	if want := "[run-s1/a.txt run-s1/large run-s1/out/b.txt run-s2/a.txt run-s2/done run-s4/final/part]"; fmt.Sprint(names) != want {
		t.Errorf("artifacts: %v\nwant %s", names, want)
	}
	f.AddWorkerOf(4, "later")
	f.Settled("run")
	f.Eventually("the directories are gone", func() error {
		if left := f.directories(); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// A worker that dies in the middle of a step leaves nothing behind that another attempt, on another worker, could take for the truth.
func TestAStepMovesToAnotherWorker(t *testing.T) {
	f := startFlows(t, cluster.Options{Pools: []string{"one"}, Coordinator: func(s *config.Coordinator) { s.Lease = 3 * time.Second },
		Worker: func(s *config.Worker) { s.Beat, s.KillGrace = 200*time.Millisecond, 500*time.Millisecond }}, "moved")
	begun := filepath.Join(t.TempDir(), "begun")
	f.Submit(coordinator.SubmitOptions{UserID: "ann"}, &dag.Task{ID: "moved", Name: "moved"},
		f.step("job", "s1", "one", shell(`printf good > a`)),
		f.step("job", "s2", "one", shell(`if [ $TASKGROVE_ATTEMPT = 1 ]; then printf evil > a; touch left `+begun+`; sleep 600; fi; [ $(cat a) = good ] && [ ! -e left ] && printf better > a`), "s1"),
		f.step("job", "s3", "one", shell(`[ $(cat a) = better ]`), "s2"))
	f.Eventually("the step has begun", func() error { _, err := os.Stat(begun); return err })
	f.Workers[0].Cut()
	f.AddWorkerOf(4, "one")
	f.Settled("moved")
	for id, got := range f.Tasks("moved") {
		if id != "moved" && got.State != dag.Completed {
			t.Errorf("%s: %s: %s", id, got.State, got.Error)
		}
	}
	if got := f.Tasks("moved")["moved-s2"]; got.Attempt < 2 {
		t.Error(errors.New("the step did not move"))
	}
}
