package generate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestAClusterGenerates: from the requirement to a stored tree, with the executors that live workers have, and no key in what is stored.
func TestAClusterGenerates(t *testing.T) {
	s := modeltest.Start(t)
	t.Setenv("OPENAI_BASE_URL", s.OpenAI())
	t.Setenv("OPENAI_API_KEY", s.Key())
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: noURL}, {Text: good, Last: "inputs.url: is required"}, {Text: noURL, Times: 2}}})
	c := cluster.Start(t, cluster.Options{})
	c.Eventually("a worker has described itself", func() error {
		_, err := c.Service().Executor(t.Context(), "generate_executor")
		return err
	})
	got, err := c.Service().Generate(t.Context(), coordinator.GenerateOptions{Requirement: "orders and rates", UserID: "ann", Save: true})
	if err != nil {
		t.Fatal(err)
	}
	tasks := c.Tasks(got.RootTaskID)
	if len(tasks) != 3 || !got.Repaired || tasks[got.RootTaskID].UserID != "ann" || tasks[got.RootTaskID].State != dag.Held {
		t.Errorf("got %+v and tasks %+v", got, tasks)
	}
	generator, err := c.Service().Task(t.Context(), got.TaskID)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(generator); strings.Contains(string(text), s.Key()) {
		t.Error("the key is stored")
	}
	_, err = c.Service().Generate(t.Context(), coordinator.GenerateOptions{Requirement: "x", AllowCommands: true, Executors: []string{"rest"}})
	if err == nil || !strings.HasPrefix(err.Error(), "Task generation failed: Validation failed: tasks[0].inputs.url: is required") {
		t.Errorf("got %v", err)
	}
	_, err = c.Service().Generate(t.Context(), coordinator.GenerateOptions{Requirement: "x", Provider: "groq", Model: "llama"})
	if err == nil || !strings.HasPrefix(err.Error(), "LLM API key not found. Please provide X-LLM-API-KEY header") {
		t.Errorf("got %v", err)
	}
}
