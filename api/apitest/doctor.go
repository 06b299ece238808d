package apitest

import (
	"context"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Diagnose finds a problem and something in order.
func (s *Service) Diagnose(context.Context) (*coordinator.Diagnosis, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Diagnose"); err != nil {
		return nil, err
	}
	return &coordinator.Diagnosis{Coordinator: "c1", Version: "1.2.3", At: time.Now(), Findings: []coordinator.Finding{
		{Check: "pools-served", Severity: "problem", Subject: "gpu", Found: "pool gpu has 3 ready tasks and no worker", Mend: []string{"TASKGROVE_POOLS=gpu taskgrove worker"}, Link: "docs/doctor.md#pools-served"},
		{Check: "pg-reach", Severity: "ok", Found: "answers", Link: "docs/doctor.md#pg-reach"},
	}}, nil
}

// diagnosing are the scenarios of [coordinator.Doctor].
var diagnosing = map[string]func(*site){
	"a diagnosis has findings, with what to do": func(s *site) {
		s.has("Diagnose")
		got, err := s.svc.Diagnose(s.Context())
		got = must(s, got, err)
		if got.Coordinator == "" || got.Version == "" || time.Since(got.At).Abs() > time.Minute || len(got.Findings) == 0 {
			s.Fatalf("got %+v", got)
		}
		for _, f := range got.Findings {
			if f.Check == "" || f.Found == "" || f.Link == "" || (f.Severity != "ok") != (len(f.Mend) > 0) {
				s.Errorf("got %+v", f)
			}
			if !slices.Contains([]string{"ok", "note", "warning", "problem"}, string(f.Severity)) {
				s.Errorf("severity %q", f.Severity)
			}
		}
		if !slices.IsSortedFunc(got.Findings, func(a, b coordinator.Finding) int {
			order := []string{"problem", "warning", "note", "ok"}
			return slices.Index(order, string(a.Severity)) - slices.Index(order, string(b.Severity))
		}) {
			s.Errorf("the worst are not first: %+v", got.Findings)
		}
	},
}
