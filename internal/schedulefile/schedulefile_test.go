package schedulefile_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/schedulefile"
)

// TestRead: a file's schedules are read in its order, and all its faults are told where they stand.
func TestRead(t *testing.T) {
	t.Parallel()
	f, err := schedulefile.Read("s.yaml", []byte("taskgrove: 1\nschedules:\n- id: a\n  cron: '@daily'\n  tree: {taskgrove: 1, name: a, tasks: []}\n- {id: b, every: 1h, tree: [{name: b}], overlap: allow}\n"))
	if err != nil || len(f.Schedules) != 2 || f.Schedules[0].ID != "a" || f.Schedules[1].Every != "1h" || !strings.HasPrefix(string(f.Schedules[0].Tree), `{"taskgrove":1`) {
		t.Fatal(f, err)
	}
	if got := f.FaultOf(1, "tree[0].name", "is bad"); got.Place != "s.yaml:6:30" || got.Text != "schedules[1].tree[0].name: is bad" {
		t.Errorf("got %+v", got)
	}
	f, err = schedulefile.Read("s.yaml", []byte("taskgrove: 1\nschedules:\n- {id: c, on: {schedule: b}, tree: [{name: a}]}\n- {id: a, every: 1h, tree: [{name: a}]}\n- {id: b, on: {schedule: a}, tree: [{name: a}]}\n"))
	if err != nil || !slices.Equal(f.InOrder(), []int{1, 2, 0}) || !slices.Equal(f.IDs(), []string{"c", "a", "b"}) {
		t.Fatal(f.InOrder(), f.IDs(), err)
	}
	for text, want := range map[string][]string{
		"":                        {"s.yaml: the file is empty"},
		"[]":                      {"s.yaml:1:1: must be an object with taskgrove: 1 and schedules"},
		"taskgrove: 1\ntasks: []": {"s.yaml:2:1: tasks: is no key of a file of schedules", "schedules: must be a list of schedules"},
		"taskgrove: 1\nschedules:\n- {id: a, on: {schedule: c}, tree: [{name: a}]}\n- {id: b, on: {schedule: a}, tree: [{name: a}]}\n- {id: c, on: {schedule: b}, tree: [{name: a}]}\n": {
			"s.yaml:3:16: schedules[0].on.schedule: runs of c begin, by others or at once, with ends of this schedule's"},
		"taskgrove: 2\nschedule:": {"s.yaml:1:1: taskgrove: must be there, and 1", "s.yaml:2:1: schedule: is no key of a file of schedules: write schedules"},
		"taskgrove: 1\nschedules:\n- {id: a, crn: '@daily', tree: [{name: a}]}\n- {id: a, cron: '61 * * * *', timezone: utc, tree: 3, overlap: maybe, end_at: tomorrow}\n- 7\n": {
			"s.yaml:3:11: schedules[0].crn: is no key of a schedule: write cron",
			"s.yaml:4:11: schedules[1].cron: minute \"61\"", "s.yaml:4:31: schedules[1].timezone: \"utc\" is not", "s.yaml:4:46: schedules[1].tree: must be a list of tasks, a task, or a tree file",
			"s.yaml:4:55: schedules[1].overlap: must be skip", "s.yaml:4:71: schedules[1].end_at: must be a time", "s.yaml:4:4: schedules[1].id: schedules[0] has this id, too",
			"s.yaml:5:3: schedules[2]: a schedule must be an object",
		},
	} {
		_, err := schedulefile.Read("s.yaml", []byte(text))
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		if n := strings.Count(err.Error(), "s.yaml"); n != len(want) {
			t.Errorf("%s: %d faults, want %d:\n%v", text, n, len(want), err)
		}
		for _, one := range want {
			if !strings.Contains(err.Error(), one) {
				t.Errorf("%s: %q is not told in\n%v", text, one, err)
			}
		}
	}
}
