package schedulefile_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/schedulefile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// FuzzScheduleFile: whatever a file holds, it is refused with faults that have places, or its schedules are sound, and written down as they were read they are read the same.
func FuzzScheduleFile(f *testing.F) {
	for _, text := range []string{
		"taskgrove: 1\nschedules:\n- id: a\n  cron: '@daily'\n  timezone: Europe/Berlin\n  tree: {taskgrove: 1, name: a, tasks: [{name: x, executor: noop}]}\n  due: 06:00\n",
		"taskgrove: 1\nschedules: [{id: b, every: 1h, tree: [{name: b}], overlap: allow, jitter: 3m, misfire_grace: 90, labels: {a: b}, start_at: 2026-01-01T00:00:00+01:00, end_at: 2027-01-01T00:00:00Z}]\n",
		`{"taskgrove":1,"schedules":[{"id":"c","on":{"schedule":"b","outcome":["failed","cancelled"]},"tree":"taskgrove: 1\nname: t\ntasks: []","parameters":{"n":1.50},"coalesce":false}]}`,
		"taskgrove: 1\nschedules: [{id: d, on: {schedule: b, outcome: any}, tree: {}, max_runs: 3, after_success: true, paused: true, user_id: u, description: é}, {id: d}]",
		"taskgrove: 2\nschedule: []", "[]", "", "taskgrove: 1\nschedules: &a [*a]\n", "taskgrove: 1\nschedules: [{id: \"\\0\", every: 1e9, tree: 3}, 7, null]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := schedulefile.Read("s.yaml", text)
		if err != nil {
			refused, ok := errors.AsType[*treefile.Error](err)
			if !ok || len(refused.Faults) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, fault := range refused.Faults {
				if !strings.HasPrefix(fault.Place, "s.yaml") || fault.Text == "" || len(fault.Text) > 2000 || strings.ContainsRune(fault.Text, 0) {
					t.Errorf("%q: %+v", text, fault)
				}
			}
			return
		}
		written, err := json.Marshal(map[string]any{"taskgrove": 1, "schedules": file.Schedules})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := schedulefile.Read("s.json", written)
		if err != nil {
			t.Fatalf("%q is written %s, which is refused: %v", text, written, err)
		}
		if len(again.Schedules) != len(file.Schedules) || len(file.Schedules) == 0 || len(file.Schedules) > schedulefile.MaxSchedules {
			t.Fatalf("%d schedules, and %d", len(file.Schedules), len(again.Schedules))
		}
		ids := map[string]bool{}
		for i, s := range file.Schedules {
			if ids[s.ID] || s.ID == "" {
				t.Fatalf("the id %q is there twice, or empty", s.ID)
			}
			ids[s.ID] = true
			if got, want := plain(t, again.Schedules[i]), plain(t, s); !reflect.DeepEqual(got, want) {
				t.Fatalf("%q is read as %v, and as %v when it is written down", text, want, got)
			}
			now := time.Now()
			if _, faults := s.Check(now, now.Add(-time.Hour)); len(faults) > 0 {
				t.Fatalf("%q is taken with the faults %v", text, faults)
			}
		}
	})
}

// plain is a schedule as a reader of JSON sees it.
func plain(t *testing.T, s *scheduledoc.Spec) (v any) {
	raw, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}
