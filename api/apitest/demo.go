package apitest

import (
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// demoResult is what a demonstrated task shows whose executor has no result of its own.
const demoResult = `{"demo_mode":true,"result":"Demo execution result"}`

// demonstrate ends the tasks of a tree that are ready, as workers do without running them. The caller holds mu.
func (s *Service) demonstrate(tr *tree) {
	for _, t := range tr.tasks {
		if t.State == dag.Ready {
			t.Result = json.RawMessage(demoResult)
			s.settle(t, dag.Completed, coordinator.Event{Type: coordinator.EventCompleted, Result: t.Result})
		}
	}
}

// demonstrating are the scenarios of trees of which nothing runs.
var demonstrating = map[string]func(*site){
	"a tree is demonstrated": func(s *site) {
		s.submit(coordinator.SubmitOptions{Demo: true}, s.task("root", ""))
		s.wantDemo("root")
	},
	"a held tree is demonstrated": func(s *site) {
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""))
		got, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{Demo: true})
		if must(s, got, err).Outcome != coordinator.Started {
			s.Errorf("got %+v", got)
		}
		s.wantDemo("root")
	},
	"what was demonstrated runs later": func(s *site) {
		s.submit(coordinator.SubmitOptions{Demo: true}, s.task("root", ""))
		s.wantDemo("root")
		_, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{Force: true})
		if err != nil {
			s.Fatal(err)
		}
		s.backend.Start(s.id("root"))
		s.backend.Complete(s.id("root"), `{"real":true}`)
		shown, err := s.svc.Task(s.Context(), s.id("root"))
		if got := must(s, shown, err).Result; string(got) != `{"real":true}` {
			s.Errorf("got result %s", got)
		}
	},
}

// wantDemo waits until a task shows a demonstrated result.
func (s *site) wantDemo(name string) {
	s.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		shown, err := s.svc.Task(s.Context(), s.id(name))
		if must(s, shown, err).State.Status() == dag.StatusCompleted {
			if string(dag.AppendCanonical(nil, shown.Result)) != string(dag.AppendCanonical(nil, []byte(demoResult))) {
				s.Errorf("got result %s", shown.Result)
			}
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("got %+v", shown)
		}
	}
}
