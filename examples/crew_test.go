package examples

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestACrewGoesOnAtAnotherWorker cuts a worker off in the middle of a crew. Another one goes on there: no question that was answered is asked again, and
// the task's usage has each once.
func TestACrewGoesOnAtAnotherWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	models := modeltest.Start(t)
	turn := func(when, text string) modeltest.Turn {
		return modeltest.Turn{When: when, Text: text, Delay: 1500 * time.Millisecond, Usage: &modeltest.Usage{Prompt: 10, Completion: 2}}
	}
	last := turn("Do four\nTHREE", "FOUR")
	last.Times = 2 // the one that is under way may be asked again
	models.Play("m", modeltest.Script{Turns: []modeltest.Turn{turn("Do one", "ONE"), turn("Do two\nONE", "TWO"), turn("Do three\nTWO", "THREE"), last}})
	t.Setenv("OPENAI_BASE_URL", models.OpenAI())
	t.Setenv("OPENAI_API_KEY", models.Key())
	short := func(s *config.Coordinator) { s.Lease = 3 * time.Second }
	c := cluster.Start(t, cluster.Options{Coordinator: short, Worker: func(s *config.Worker) { s.Beat, s.KillGrace = 300*time.Millisecond, 500*time.Millisecond }})
	text := `{"tasks": [{"id": "crew", "name": "crew", "schemas": {"method": "crewai_executor", "model": "m"}, "params": {"works": {"agents": {"a": {"role": "R"}},
		"tasks": {"one": {"description": "Do one"}, "two": {"description": "Do two"}, "three": {"description": "Do three"}, "four": {"description": "Do four"}}}}}]}`
	out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: node.Known()}))
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("three tasks of the crew are done", func() error {
		if n := len(models.Requests()); n < 4 {
			return fmt.Errorf("%d questions", n)
		}
		return nil
	})
	c.Workers[0].Cut()
	c.AddWorker()
	c.Settled(out.TreeID)
	task := c.Tasks(out.TreeID)["crew"]
	if !strings.Contains(string(task.Result), "FOUR") || task.Attempt < 2 {
		t.Fatalf("attempt %d gives %s, %s", task.Attempt, task.Result, task.Error)
	}
	asked := map[string]int{}
	for _, r := range models.Requests() {
		for _, what := range []string{"Do one", "Do two", "Do three", "Do four"} {
			if strings.Contains(r.Messages[len(r.Messages)-1].Text, "Your task:\n"+what) {
				asked[what]++
			}
		}
	}
	if asked["Do one"] != 1 || asked["Do two"] != 1 || asked["Do three"] != 1 {
		t.Errorf("asked %v", asked)
	}
	if !strings.Contains(string(task.Result), `"successful_requests":4`) {
		t.Errorf("the result says %s", task.Result)
	}
}
