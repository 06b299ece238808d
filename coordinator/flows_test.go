package coordinator_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows/flowtest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// spoil changes a text in one to three places: bytes, lines and words go, come twice, or come from elsewhere.
func spoil(r *rand.Rand, text []byte) []byte {
	words := []string{"{{", "}}", "${X}", "jobs", "steps", ":", "- ", "\t", "!!int", "&a", "*a", "null", "\x00", "{}", "[", "depends_on", "when", "é", "\"", "'", "{{steps.x.y}}", "{{secrets.a}}", "\n---\n", "id: id", "type: nothing"}
	for range 1 + r.IntN(3) {
		lines := bytes.SplitAfter(text, []byte("\n"))
		n, m := r.IntN(len(lines)), r.IntN(len(lines))
		switch r.IntN(5) {
		case 0:
			lines = slices.Delete(lines, n, n+1)
		case 1:
			lines = slices.Insert(lines, m, lines[n])
		case 2:
			lines[n], lines[m] = lines[m], lines[n]
		default:
			at := r.IntN(len(text) + 1)
			lines = [][]byte{text[:at], []byte(words[r.IntN(len(words))]), text[min(len(text), at+r.IntN(3)):]}
		}
		text = bytes.Join(lines, nil)
	}
	return text
}

// TestNoStepOfAnInvalidFlowRuns: flows that were spoilt are refused and leave no tree, no run and no task, or are taken as a whole.
func TestNoStepOfAnInvalidFlowRuns(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	files, err := filepath.Glob("../examples/flows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var texts [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	r := rand.New(rand.NewPCG(23, 9))
	for range 10 {
		texts = append(texts, flowtest.Random(r).Text(func(*flowtest.Job, int) (string, map[string]any) { return "noop", map[string]any{} }))
	}
	taken, refused := 0, 0
	for n := range 400 {
		text := spoil(r, texts[n%len(texts)])
		_, err := c.Service().RunFlow(t.Context(), coordinator.FlowRunSpec{Text: text, RunID: fmt.Sprint("run", n)})
		_, faults := errors.AsType[*coordinator.FlowFaultsError](err)
		_, argument := errors.AsType[*coordinator.InvalidArgumentError](err)
		switch {
		case err == nil:
			taken++
		case faults, argument:
			refused++
		default:
			t.Errorf("%v, for\n%s", err, text)
		}
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var trees, runs, tasks, counted int
	if err := conn.QueryRow(t.Context(), "select (select count(*) from tree), (select count(*) from flow_run), (select count(*) from task), (select sum(tasks) from tree)").
		Scan(&trees, &runs, &tasks, &counted); err != nil {
		t.Fatal(err)
	}
	if trees != taken || runs != taken || tasks != counted || refused < 100 {
		t.Errorf("%d were taken and %d refused; there are %d trees of %d tasks, %d runs, and %d tasks", taken, refused, trees, counted, runs, tasks)
	}
}

// TestJobsCalledLikeExecutors: the id of a job may be that of an executor, as tasks of trees are called that name none.
func TestJobsCalledLikeExecutors(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Workers: 1})
	run, err := c.Service().RunFlow(t.Context(), coordinator.FlowRunSpec{Text: []byte(`flow: {id: f, locks: {scope: job}, finally: {id: find_executor, steps: [{id: s, type: noop_executor}]}}
jobs:
- id: noop_executor
  steps: [{id: noop_executor, type: noop_executor, inputs: {value: 1}, outputs: {n: 1}}]
- id: next
  depends_on: [noop_executor]
  when: jobs.noop_executor.outputs.n == 1
  steps: [{id: s, type: noop_executor}]
- id: empty_executor
  steps: []
`)})
	if err != nil {
		t.Fatal(err)
	}
	c.Settled(run.TreeID)
	if run, err = c.Service().FlowRun(t.Context(), run.FlowID+"/"+run.RunID); err != nil || run.Outcome != "SUCCESS" || len(run.Jobs) != 4 {
		t.Fatal(run, err)
	}
	for _, j := range run.Jobs {
		if j.Status != "SUCCESS" || j.ID != "empty_executor" && len(j.Steps) != 1 {
			t.Errorf("%+v", j)
		}
	}
}
