package dag_test

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// BenchmarkSchedules decides on an instant that is due, and on an outage of a month.
func BenchmarkSchedules(b *testing.B) {
	for name, since := range map[string]time.Duration{"one": 5 * time.Minute, "month": 30 * 24 * time.Hour} {
		b.Run(name, func(b *testing.B) {
			s := dag.ScheduleState{Schedule: schedule(), Decided: at("02:30").Add(-since)}
			for b.Loop() {
				s.Due(at("02:30"))
			}
		})
	}
}
