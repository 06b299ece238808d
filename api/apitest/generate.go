package apitest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Generate does as the coordinator does, by the service's other calls.
func (s *Service) Generate(ctx context.Context, opts coordinator.GenerateOptions) (*coordinator.Generated, error) {
	return coordinator.Generate(ctx, s, opts)
}

// generatedTree is what the task that generates is said to have made.
const generatedTree = `{"status":"completed","tasks":[{"id":"{a}","name":"first","priority":2,"inputs":{}},{"id":"{b}","name":"second","parent_id":"{a}","dependencies":[{"id":"{a}","required":true}],"inputs":{"n":1}}],"count":2,"model":"m-1","warnings":["tasks[0].pool was left out"]}`

// generating are the scenarios of trees that a model makes.
var generating = map[string]func(*site){
	"a tree is generated": func(s *site) {
		got, err := s.generate(coordinator.GenerateOptions{Requirement: "two steps", UserID: s.id("ann"), Model: "m", MaxTokens: 9, MaxTasks: 3, Temperature: new(0.5),
			Executors: []string{"noop_executor"}, AllowCommands: true, Budget: json.RawMessage(`{"calls":2}`)}, func(id string) {
			task, err := s.backend.Task(s.Context(), id)
			want := `{"allow_commands":true,"budget":{"calls":2},"executors":["noop_executor"],"max_tasks":3,"max_tokens":9,"model":"m","requirement":"two steps","temperature":0.5,"user_id":"` + s.id("ann") + `"}`
			if task = must(s, task, err); ordered(task.Inputs) != want || task.UserID != s.id("ann") || task.Executor != "generate_executor" {
				s.Errorf("the task that generates is %+v with inputs %s", task, task.Inputs)
			}
			s.backend.Complete(id, s.generated())
		})
		if got = must(s, got, err); got.Count != 2 || got.Message != "Successfully generated 2 task(s)" || got.RootTaskID != "" || got.TaskID == "" || got.Model != "m-1" || len(got.Warnings) != 1 {
			s.Errorf("got %+v", got)
		}
		var tasks []struct{ Name string }
		if err := json.Unmarshal(got.Tasks, &tasks); err != nil || len(tasks) != 2 || tasks[1].Name != "second" {
			s.Errorf("got tasks %s, %v", got.Tasks, err)
		}
	},
	"a generated tree is stored": func(s *site) {
		got, err := s.generate(coordinator.GenerateOptions{Requirement: "two steps", Save: true}, func(id string) { s.backend.Complete(id, s.generated()) })
		got = must(s, got, err)
		root, err := s.svc.Task(s.Context(), got.RootTaskID)
		if root = must(s, root, err); root.Name != "first" || got.Message != "Successfully generated 2 task(s) and saved to database (root_task_id: "+got.RootTaskID+")" {
			s.Errorf("got %+v, root %+v", got, root)
		}
		if tree, err := s.backend.Tree(s.Context(), got.RootTaskID); err != nil || tree.Tasks != 2 || tree.Status != dag.StatusPending {
			s.Errorf("the stored tree is %+v, %v", tree, err)
		}
	},
	"a generation that fails": func(s *site) {
		for text, want := range map[string]string{
			"Validation failed: No root task found": "Task generation failed: Validation failed: No root task found",
			"Failed to create LLM client: LLM API key not found. Set one": "LLM API key not found. Please provide X-LLM-API-KEY header, or set OPENAI_API_KEY or ANTHROPIC_API_KEY " +
				"environment variable or in a .env file.",
		} {
			_, err := s.generate(coordinator.GenerateOptions{Requirement: "x"}, func(id string) { s.backend.Fail(id, text) })
			s.wantGenerateFault(err, want)
		}
		_, err := s.generate(coordinator.GenerateOptions{Requirement: "x"}, func(id string) { s.backend.Complete(id, `{"tasks":[]}`) })
		s.wantGenerateFault(err, "No tasks were generated")
		_, err = s.generate(coordinator.GenerateOptions{Requirement: "x"}, func(id string) {
			if _, err := s.backend.Cancel(s.Context(), id, coordinator.CancelOptions{}); err != nil {
				s.Error(err)
			}
		})
		s.wantGenerateFault(err, "Task generation incomplete. Status: cancelled")
	},
	"a generation that takes too long is cancelled": func(s *site) {
		s.has("Generate")
		_, err := s.svc.Generate(s.Context(), coordinator.GenerateOptions{Requirement: "x", UserID: s.id("late"), Timeout: 300 * time.Millisecond})
		s.wantGenerateFault(err, "Task generation incomplete. Status: ")
		if task := s.generator(s.id("late")); task == nil || task.State != dag.Cancelled {
			s.Errorf("it goes on: %+v", task)
		}
	},
	"a requirement is required": func(s *site) {
		s.has("Generate")
		_, err := s.svc.Generate(s.Context(), coordinator.GenerateOptions{Requirement: " "})
		s.wantFault("generate", err, api.Invalid)
	},
}

// ordered is a JSON object with its members in the order of their names.
func ordered(object json.RawMessage) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members)
	out, _ := json.Marshal(members)
	return string(out)
}

// generated is what the task that generates is said to have made, with ids of the scenario.
func (s *site) generated() string {
	return strings.NewReplacer("{a}", s.id("a"), "{b}", s.id("b")).Replace(generatedTree)
}

// generate generates through the surface, and lets the task that does be ended by hand.
func (s *site) generate(opts coordinator.GenerateOptions, end func(id string)) (got *coordinator.Generated, err error) {
	s.Helper()
	s.has("Generate")
	if opts.UserID == "" {
		opts.UserID = s.id(rand.Text())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		got, err = s.svc.Generate(s.Context(), opts)
	}()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if task := s.generator(opts.UserID); task != nil {
			end(task.ID)
			<-ended
			return got, err
		}
		select {
		case <-ended:
			s.Fatalf("it ended by itself: %+v, %v", got, err)
		default:
		}
		if time.Now().After(deadline) {
			s.Fatal("no task generates")
		}
	}
}

// generator is the task that generates for a user; nil: there is none.
func (s *site) generator(user string) *coordinator.Task {
	s.Helper()
	page, err := s.backend.Tasks(s.Context(), coordinator.TaskFilter{UserID: user, RootOnly: true, Limit: 10})
	page = must(s, page, err)
	for _, task := range page.Items {
		if task.Executor == "generate_executor" {
			return task
		}
	}
	return nil
}

// wantGenerateFault checks the text with which no tree came of a requirement.
func (s *site) wantGenerateFault(err error, want string) {
	s.Helper()
	if f := s.wantFault("generate", err, api.Conflict); !strings.Contains(f.Text, want) {
		s.Errorf("got %q, want %q", f.Text, want)
	}
}
