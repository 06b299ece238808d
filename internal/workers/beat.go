package workers

import (
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// Beat is what decides which beat of an instance counts.
type Beat struct {
	Worker, Instance string
	Number           uint64
	Leaving          bool // the worker's farewell
}

// Newest picks the beat that counts of each instance: the newest, but for the farewell, as what another goroutine of the
// worker sent beside it must not hide that. Of two workers who beat for one instance, the one that does not own it is
// refused. Both answers are places in the list.
func Newest(list []Beat, owns func(worker, instance string) bool) (byInstance map[string]int, refused []int) {
	byInstance = map[string]int{}
	for i, b := range list {
		at, found := byInstance[b.Instance]
		switch {
		case !found:
			byInstance[b.Instance] = i
		case list[at].Worker != b.Worker && owns(b.Worker, b.Instance):
			refused = append(refused, at)
			byInstance[b.Instance] = i
		case list[at].Worker != b.Worker:
			refused = append(refused, i)
		case b.Leaving && !list[at].Leaving || b.Leaving == list[at].Leaving && list[at].Number < b.Number:
			byInstance[b.Instance] = i
		}
	}
	return byInstance, refused
}

// Instance is one run of a worker.
type Instance struct {
	Key    dag.WorkerKey   // 0: not registered
	Before []dag.WorkerKey // the worker's other runs
}

// owns reports whether a run is one of the worker's.
func (i Instance) owns(w dag.WorkerKey) bool {
	return w != 0 && (w == i.Key || slices.Contains(i.Before, w))
}

// TaskState is where a task stands.
type TaskState struct {
	Key     dag.Key
	State   dag.State
	Attempt int32
	Worker  dag.WorkerKey // that has its open attempt; 0: none
}

// Fate is what a worker is told of an attempt that it believes to run.
type Fate uint8

// The fates.
const (
	GoesOn Fate = iota
	Cancelled
	Disowned // it is not this instance's
)

// Running tells what becomes of an attempt that an instance believes to run. found is false when there is no such task.
func Running(t TaskState, found bool, attempt int32, who Instance) Fate {
	same := found && t.Attempt == attempt
	switch {
	case same && t.State == dag.Cancelled && who.owns(t.Worker):
		return Cancelled
	case same && t.State == dag.Running && t.Worker == who.Key:
		return GoesOn
	case same && t.State == dag.Ready: // started early, its claim is on its way
		return GoesOn
	}
	return Disowned
}

// Settled reports whether nobody waits for the result of an attempt that an instance has reported (any more).
func Settled(t TaskState, found bool, attempt int32, who Instance) bool {
	return !found || t.Attempt != attempt || t.State != dag.Ready && t.State != dag.Running && !who.owns(t.Worker)
}

// Held is an open attempt.
type Held struct {
	Key     dag.Key
	Attempt int32
	Worker  dag.WorkerKey
}

// Missed picks out of the attempts that may have been handed over a while ago those that the instance holds and does not
// list: the message that told of them was lost. The worker hands them back, and never starts them any more.
func Missed(handed []Held, who dag.WorkerKey, listed func(yield func(dag.Key) bool)) (missed []Held) {
	known := map[dag.Key]bool{}
	for k := range listed {
		known[k] = true
	}
	for _, h := range handed {
		if h.Worker == who && !known[h.Key] {
			known[h.Key] = true // it may depend on several
			missed = append(missed, h)
		}
	}
	return missed
}
