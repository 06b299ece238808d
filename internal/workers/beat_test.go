package workers_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

func TestNewest(t *testing.T) {
	beat := func(worker, instance string, number uint64) workers.Beat {
		return workers.Beat{Worker: worker, Instance: instance, Number: number}
	}
	farewell := func(worker, instance string, number uint64) workers.Beat {
		return workers.Beat{Worker: worker, Instance: instance, Number: number, Leaving: true}
	}
	owns := func(worker, instance string) bool { return worker == "w" } // w has all instances
	for _, row := range []struct {
		fact    string
		list    []workers.Beat
		want    map[string]int
		refused []int
	}{
		{"nobody beats", nil, map[string]int{}, nil},
		{"each instance has its own", []workers.Beat{beat("w", "i", 2), beat("w", "j", 1)}, map[string]int{"i": 0, "j": 1}, nil},
		{"the newest, come last", []workers.Beat{beat("w", "i", 1), beat("w", "i", 2)}, map[string]int{"i": 1}, nil},
		{"the newest, come first", []workers.Beat{beat("w", "i", 2), beat("w", "i", 1)}, map[string]int{"i": 0}, nil},
		{"a repeat changes nothing", []workers.Beat{beat("w", "i", 2), beat("w", "i", 2)}, map[string]int{"i": 0}, nil},
		{"a farewell before a newer beat", []workers.Beat{farewell("w", "i", 1), beat("w", "i", 2)}, map[string]int{"i": 0}, nil},
		{"a farewell after a newer beat", []workers.Beat{beat("w", "i", 2), farewell("w", "i", 1)}, map[string]int{"i": 1}, nil},
		{"the newer of two farewells", []workers.Beat{farewell("w", "i", 1), farewell("w", "i", 2)}, map[string]int{"i": 1}, nil},
		{"the older of two farewells", []workers.Beat{farewell("w", "i", 2), farewell("w", "i", 1)}, map[string]int{"i": 0}, nil},
		{"the owner, come first", []workers.Beat{beat("w", "i", 1), beat("crook", "i", 9)}, map[string]int{"i": 0}, []int{1}},
		{"the owner, come last", []workers.Beat{beat("crook", "i", 9), beat("w", "i", 1)}, map[string]int{"i": 1}, []int{0}},
		{"a crook's farewell", []workers.Beat{beat("w", "i", 1), farewell("crook", "i", 9)}, map[string]int{"i": 0}, []int{1}},
		{"two whom nobody knows", []workers.Beat{beat("a", "i", 1), beat("b", "i", 2)}, map[string]int{"i": 0}, []int{1}},
	} {
		got, refused := workers.Newest(row.list, owns)
		if !maps.Equal(got, row.want) || !slices.Equal(refused, row.refused) {
			t.Errorf("%s: got %v and refused %v, want %v and %v", row.fact, got, refused, row.want, row.refused)
		}
	}
}

// The worker of the tables: its instance, a run of it before that, and somebody else.
const (
	mine, former, other dag.WorkerKey = 3, 2, 9
)

var who = workers.Instance{Key: mine, Before: []dag.WorkerKey{former}}

func TestRunning(t *testing.T) {
	for _, row := range []struct {
		fact  string
		task  workers.TaskState // of attempt 2 unless told
		found bool
		who   workers.Instance
		want  workers.Fate
	}{
		{"it runs here", workers.TaskState{State: dag.Running, Attempt: 2, Worker: mine}, true, who, workers.GoesOn},
		{"another worker runs it", workers.TaskState{State: dag.Running, Attempt: 2, Worker: other}, true, who, workers.Disowned},
		{"a former run of the worker has it", workers.TaskState{State: dag.Running, Attempt: 2, Worker: former}, true, who, workers.Disowned},
		{"an earlier attempt ran here", workers.TaskState{State: dag.Running, Attempt: 3, Worker: mine}, true, who, workers.Disowned},
		{"it started early", workers.TaskState{State: dag.Ready, Attempt: 2}, true, who, workers.GoesOn},
		{"the next attempt is ready", workers.TaskState{State: dag.Ready, Attempt: 3}, true, who, workers.Disowned},
		{"it was cancelled here", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: mine}, true, who, workers.Cancelled},
		{"it was cancelled in a former run", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: former}, true, who, workers.Cancelled},
		{"it was cancelled elsewhere", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: other}, true, who, workers.Disowned},
		{"a later attempt was cancelled", workers.TaskState{State: dag.Cancelled, Attempt: 3, Worker: mine}, true, who, workers.Disowned},
		{"its cancelled attempt is closed", workers.TaskState{State: dag.Cancelled, Attempt: 2}, true, workers.Instance{}, workers.Disowned},
		{"it completed", workers.TaskState{State: dag.Completed, Attempt: 2}, true, who, workers.Disowned},
		{"there is no such task", workers.TaskState{State: dag.Running, Attempt: 2, Worker: mine}, false, who, workers.Disowned},
	} {
		if got := workers.Running(row.task, row.found, 2, row.who); got != row.want {
			t.Errorf("%s: got %v, want %v", row.fact, got, row.want)
		}
	}
}

func TestSettled(t *testing.T) {
	for _, row := range []struct {
		fact  string
		task  workers.TaskState // the result is of attempt 2
		found bool
		want  bool
	}{
		{"it runs here", workers.TaskState{State: dag.Running, Attempt: 2, Worker: mine}, true, false},
		{"its claim is on its way", workers.TaskState{State: dag.Ready, Attempt: 2}, true, false},
		{"it completed", workers.TaskState{State: dag.Completed, Attempt: 2}, true, true},
		{"it failed", workers.TaskState{State: dag.Failed, Attempt: 2}, true, true},
		{"it was cancelled, and the attempt is open here", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: mine}, true, false},
		{"it was cancelled, and the attempt is open in a former run", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: former}, true, false},
		{"it was cancelled, and the attempt is open elsewhere", workers.TaskState{State: dag.Cancelled, Attempt: 2, Worker: other}, true, true},
		{"another attempt runs here", workers.TaskState{State: dag.Running, Attempt: 3, Worker: mine}, true, true},
		{"another attempt is ready", workers.TaskState{State: dag.Ready, Attempt: 3}, true, true},
		{"there is no such task", workers.TaskState{State: dag.Running, Attempt: 2, Worker: mine}, false, true},
	} {
		if got := workers.Settled(row.task, row.found, 2, who); got != row.want {
			t.Errorf("%s: got %v, want %v", row.fact, got, row.want)
		}
	}
}

func TestMissed(t *testing.T) {
	held := func(k dag.Key, w dag.WorkerKey) workers.Held { return workers.Held{Key: k, Attempt: 1, Worker: w} }
	for _, row := range []struct {
		fact   string
		handed []workers.Held
		listed []dag.Key
		want   []workers.Held
	}{
		{"nothing was handed over", nil, []dag.Key{1}, nil},
		{"all is listed", []workers.Held{held(1, mine)}, []dag.Key{1}, nil},
		{"one is not listed", []workers.Held{held(1, mine), held(2, mine)}, []dag.Key{1}, []workers.Held{held(2, mine)}},
		{"one is told twice", []workers.Held{held(2, mine), held(2, mine)}, nil, []workers.Held{held(2, mine)}},
		{"another worker holds one", []workers.Held{held(1, other), held(2, mine)}, nil, []workers.Held{held(2, mine)}},
		{"another worker held it before", []workers.Held{held(1, former)}, nil, nil},
	} {
		if got := workers.Missed(row.handed, mine, slices.Values(row.listed)); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.fact, got, row.want)
		}
	}
}
