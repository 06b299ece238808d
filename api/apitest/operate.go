package apitest

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Workers shows one worker.
func (s *Service) Workers(context.Context) ([]coordinator.Worker, error) {
	return []coordinator.Worker{{ID: "w1", Instance: "i1", Host: "here", State: coordinator.WorkerAlive, Pools: map[string]int{"default": 14},
		Running: 17, InLine: 3, Counts: map[string]coordinator.PoolCounts{"default": {Running: 14, Started: 100, Ended: 86}}, Faults: []string{"executor x is off: it has no device", "executor y is off: it is not allowed"}, Unasked: 1,
		LeaseUntil: time.Now().Add(time.Minute)}}, nil
}

// Coordinators shows one coordinator, which began an hour ago.
func (s *Service) Coordinators(context.Context) ([]coordinator.LiveCoordinator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Coordinators"); err != nil {
		return nil, err
	}
	return []coordinator.LiveCoordinator{{Name: "c1", Instance: "i1", Version: "1.2.3", Level: 2,
		StartedAt: time.Now().Add(-time.Hour), LeaseUntil: time.Now().Add(time.Minute)}}, nil
}

// Pools shows one pool.
func (s *Service) Pools(context.Context) ([]coordinator.Pool, error) {
	return []coordinator.Pool{{Name: "default", Ready: 1, Queued: 2, Capacity: 4, Workers: 1, Oldest: time.Second}}, nil
}

// Demand is some of each pool that is named, with 4 slots of a worker.
func (s *Service) Demand(_ context.Context, pools []string) ([]coordinator.Demand, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Demand"); err != nil {
		return nil, err
	}
	var out []coordinator.Demand
	for _, name := range pools {
		d := s.demand[name]
		d.Pool, d.Slots = name, 4
		out = append(out, d)
	}
	return out, nil
}

// WatchDemand tells Demand again whenever SetDemand was called.
func (s *Service) WatchDemand(ctx context.Context, pools []string) iter.Seq2[[]coordinator.Demand, error] {
	return func(yield func([]coordinator.Demand, error) bool) {
		for {
			s.mu.Lock()
			changed := s.demandChange
			s.mu.Unlock()
			if !yield(s.Demand(ctx, pools)) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// SetDemand says what Demand tells of a pool from now on.
func (s *Service) SetDemand(d coordinator.Demand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand[d.Pool] = d
	close(s.demandChange)
	s.demandChange = make(chan struct{})
}

// Ready is nil unless told otherwise.
func (s *Service) Ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault("Ready")
}

// operating are the scenarios of [coordinator.Operator].
var operating = map[string]func(*site){
	"workers are shown": func(s *site) {
		s.has("Workers")
		workers, err := s.svc.Workers(s.Context())
		if workers = must(s, workers, err); len(workers) == 0 || workers[0].State != coordinator.WorkerAlive || len(workers[0].Pools) == 0 {
			s.Errorf("got workers %+v", workers)
		}
		want, err := s.backend.Workers(s.Context())
		want = must(s, want, err)
		if got, want := workers[0], want[0]; !slices.Equal(got.Faults, want.Faults) || got.Unasked != want.Unasked || got.InLine != want.InLine || got.Running < got.InLine || len(want.Counts) > 0 && len(got.Counts) == 0 {
			s.Errorf("got %+v, want %+v", got, want)
		}
	},
	"coordinators are shown": func(s *site) {
		want, err := s.backend.Coordinators(s.Context())
		want = must(s, want, err)
		got := through[[]coordinator.LiveCoordinator](s, "Coordinators")
		if len(got) == 0 || len(got) != len(want) {
			s.Fatalf("got %+v, want %+v", got, want)
		}
		for i, c := range got { // leases are extended meanwhile
			if w := want[i]; c.Name != w.Name || c.Instance != w.Instance || c.Version != w.Version || c.Level != w.Level ||
				time.Until(c.LeaseUntil) <= 0 || time.Since(c.StartedAt) < 0 || c.StartedAt.IsZero() {
				s.Errorf("got %+v, want %+v", c, w)
			}
		}
	},
	"the demand of pools is told": func(s *site) {
		s.has("Demand", "WatchDemand")
		s.start("root")
		list, err := s.svc.Demand(s.Context(), []string{HandExecutor, "no-such-pool"})
		if list = must(s, list, err); len(list) != 2 || list[0].Pool != HandExecutor || list[1].Pool != "no-such-pool" {
			s.Errorf("got %+v", list)
		}
		for list, err := range s.svc.WatchDemand(s.Context(), []string{HandExecutor}) {
			if list = must(s, list, err); len(list) != 1 || list[0].Pool != HandExecutor {
				s.Errorf("got %+v", list)
			}
			break
		}
	},
	"pools are shown": func(s *site) {
		s.start("root")
		pools := through[[]coordinator.Pool](s, "Pools")
		if !slices.ContainsFunc(pools, func(p coordinator.Pool) bool { return p.Workers > 0 && p.Capacity > 0 }) {
			s.Errorf("got pools %+v", pools)
		}
	},
}
