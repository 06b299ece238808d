package apitest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// NextInstants lists instants, as a coordinator does.
func (s *Service) NextInstants(_ context.Context, q coordinator.InstantsQuery) ([]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("NextInstants"); err != nil {
		return nil, err
	}
	return q.Instants(time.Now())
}

// scheduling are the scenarios of [coordinator.Scheduling].
var scheduling = map[string]func(*site){
	"instants are listed as clocks of their zone read": func(s *site) {
		s.has("NextInstants")
		list, err := s.svc.NextInstants(s.Context(), coordinator.InstantsQuery{Cron: "30 2 * * *", Timezone: "Europe/Berlin", Count: 3,
			After: time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)})
		var got []string
		for _, at := range must(s, list, err) {
			got = append(got, at.Format(time.RFC3339))
		}
		if want := []string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}; !slices.Equal(got, want) {
			s.Errorf("got %q, want %q", got, want)
		}
		list, err = s.svc.NextInstants(s.Context(), coordinator.InstantsQuery{Cron: "@hourly"})
		if list = must(s, list, err); len(list) != 5 || time.Until(list[0]) > time.Hour+time.Minute || time.Until(list[0]) < -time.Minute || list[4].Sub(list[0]) != 4*time.Hour {
			s.Errorf("the next hours: %v", list)
		}
	},
	"instants that can't be are refused with all that is wrong": func(s *site) {
		s.has("NextInstants")
		_, err := s.svc.NextInstants(s.Context(), coordinator.InstantsQuery{Cron: "61 25 * * *", Timezone: "Mars/Olympus"})
		fault := s.wantFault("wrong fields and zone", err, api.Invalid)
		for _, part := range []string{`cron: minute "61": must be`, `cron: hour "25": must be`, `timezone: "Mars/Olympus" is not the name of a time zone`} {
			if !strings.Contains(fault.Text, part) {
				s.Errorf("got %s, want %s", fault.Text, part)
			}
		}
		_, err = s.svc.NextInstants(s.Context(), coordinator.InstantsQuery{Cron: "0 0 30 2 *"})
		if fault = s.wantFault("the 30th of February", err, api.Invalid); !strings.Contains(fault.Text, "cron: never fires") {
			s.Errorf("got %s", fault.Text)
		}
		_, err = s.svc.NextInstants(s.Context(), coordinator.InstantsQuery{Cron: "@daily", Count: 1001})
		if fault = s.wantFault("too many", err, api.Invalid); !strings.Contains(fault.Text, "1000") {
			s.Errorf("got %s", fault.Text)
		}
	},
}
