package faults

import (
	"context"
	"testing"
)

// rotate begins another generation of the secret of tokens, by a coordinator that does nothing else.
func (s *site) rotate() {
	s.t.Helper()
	front := s.front.(interface {
		RotateTokens(ctx context.Context) (int, error)
	})
	eventually(s.t, "the secret of tokens changes", func() error {
		_, err := front.RotateTokens(s.t.Context())
		return err
	})
}

// TestKilledWhileSealing: where values are sealed, and the secret of tokens changes again and again, coordinators and workers are killed between the
// change and its news, between a claim and its answer, before a handover and before an acknowledgement, and streams are deleted; trees
// end as the oracle says.
func TestKilledWhileSealing(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSealedSite(t)
	s.dies(s.launch(CoordinatorRole, "coordinator.after-secret-commit=kill"))
	spare := s.start(CoordinatorRole, "")
	for range 2 {
		s.start(WorkerRole, "")
	}
	for n, point := range []string{
		"coordinator.after-claim-commit=kill@2",
		"coordinator.before-handover=kill",
		"coordinator.before-ack=kill@3",
	} {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		s.load(seed+uint64(n)*10, 1, 60)
		s.rotate()
		s.load(seed+uint64(n)*10+1, 1, 60)
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		s.settle()
	}
	victim := s.start(WorkerRole, "worker.after-claim=kill@2")
	s.load(seed+100, 2, 60)
	s.rotate()
	s.dies(victim)
	js := s.jetstream()
	for _, name := range []string{"TG_WORK", "TG_RESULTS"} {
		s.load(seed+200, 1, 60)
		eventually(t, "delete "+name, func() error { return js.DeleteStream(t.Context(), name) })
	}
	s.check()
}
