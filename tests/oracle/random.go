package oracle

import (
	"fmt"
	"math/rand/v2"
)

// Shape bounds what [Random] makes. Probabilities are from 0 to 1.
type Shape struct {
	Prefix   string // of all ids, so that they are unique in the cluster
	Tasks    int    // exactly that many, at least 1
	Fails    float64
	Optional float64 // of an edge
	Group    float64
	Hang     float64
	Gate     bool    // one task is a gate, and what waits for it may be cancelled
	Cancel   float64 // of a task behind the gate, or, without one, of any task: cancel those before the tree is started
	Beyond   float64 // how much the tree has that the protocol has not: 0 nothing, 1 a lot
	Without  Feature // of that, what it does not have
}

// Random makes a tree from the numbers of rng. The order of the tasks is not that of their dependencies.
func Random(rng *rand.Rand, s Shape) Tree {
	n := s.Tasks
	t := Tree{Tasks: make([]Task, n)}
	order := rng.Perm(n) // dependencies lead from later to earlier
	root := rng.IntN(n)
	parents := rng.Perm(n)
	place := make([]int, n)
	for at, i := range parents {
		place[i] = at
	}
	parents[0], parents[place[root]] = parents[place[root]], parents[0]
	for at, i := range parents {
		parent := -1
		if at > 0 {
			parent = parents[rng.IntN(at)]
		}
		t.Tasks[i] = Task{ID: fmt.Sprintf("%s-%d", s.Prefix, i), Parent: parent, MaxAttempts: 1 + rng.IntN(4)}
	}
	reach := []int{1, 5, 40, n}[rng.IntN(4)] // a chain, a pipeline, layers, anything
	most := []int{1, 3, 3, 12}[rng.IntN(4)]
	for at, i := range order {
		task := &t.Tasks[i]
		for range rng.IntN(most + 1) {
			back := min(reach, at)
			if back == 0 {
				break
			}
			on := order[at-1-rng.IntN(back)]
			if !task.dependsOn(on) {
				task.Deps = append(task.Deps, Dep{On: on, Optional: rng.Float64() < s.Optional})
				task.Deps[len(task.Deps)-1].Plain = rng.IntN(5) == 0 && !task.Deps[len(task.Deps)-1].Optional
			}
		}
		task.write(rng, s)
	}
	if s.Gate {
		gate := &t.Tasks[order[rng.IntN(1+n/3)]]
		gate.Deps, gate.Group, gate.MaxAttempts, gate.Script = nil, false, 1, Script{Add: 1, Gate: true}
	}
	if s.Beyond > 0 {
		t.beyond(rng, s, order)
	}
	t.cancel(rng, s)
	return t
}

func (t *Task) dependsOn(i int) bool {
	for _, d := range t.Deps {
		if d.On == i {
			return true
		}
	}
	return false
}

// write writes the task's script.
func (t *Task) write(rng *rand.Rand, s Shape) {
	t.Script = Script{Add: rng.IntN(1000), Millis: max(0, rng.IntN(12)-6), Value: Value(max(0, rng.IntN(8)-5))}
	t.Mapped = rng.IntN(5) == 0
	switch {
	case rng.Float64() < s.Group:
		t.Group, t.MaxAttempts, t.Script = true, 1, Script{}
	case rng.Float64() < s.Hang:
		t.Script.Hang, t.MaxAttempts = true, 1+rng.IntN(2)
	case rng.Float64() < s.Fails:
		t.Script.RetryAfter = max(0, rng.IntN(300)-150)
		switch rng.IntN(4) {
		case 0:
			t.Script.Fail, t.Script.Permanent = -1, true
		case 1:
			t.Script.Fail = -1
		default: // succeeds in the end, however many attempts are lost on the way
			t.Script.Fail = rng.IntN(t.MaxAttempts)
		}
	}
}

// cancel picks tasks that can't have started when the user cancels or skips them.
func (t Tree) cancel(rng *rand.Rand, s Shape) {
	if s.Cancel == 0 {
		return
	}
	idle, shut := t.Idle(), t.settle(false)
	for i := range t.Tasks {
		if (idle[i] || !s.Gate) && t.Tasks[i].By == 0 && t.Tasks[i].Imported == nil && rng.Float64() < s.Cancel {
			if s.Gate && s.Beyond > 0 && shut[i].State.Settled() { // it is blocked before the user comes, and edges tell that from cancelled
				continue
			}
			t.Tasks[i].Cancelled = true
			if s.Gate && s.Beyond > 0 && rng.IntN(2) == 0 {
				t.Tasks[i].Cancelled, t.Tasks[i].Skipped = false, true
			}
		}
	}
}

// Wide makes a tree with more dependents of one task than are unlocked at once, and a task that depends on all of them.
// A few of them fail or are optional.
func Wide(rng *rand.Rand, prefix string, width int) Tree {
	t := Tree{Tasks: make([]Task, width+2)}
	join := width + 1
	for i := range t.Tasks {
		task := &t.Tasks[i]
		*task = Task{ID: fmt.Sprintf("%s-%d", prefix, i), Parent: join, MaxAttempts: 1, Script: Script{Add: rng.IntN(1000)}}
		if i == 0 || i == join {
			continue
		}
		task.Deps = []Dep{{On: 0, Optional: rng.IntN(10) == 0}}
		d := Dep{On: i}
		if rng.IntN(50) == 0 {
			task.Script.Fail, d.Optional = -1, true
		}
		t.Tasks[join].Deps = append(t.Tasks[join].Deps, d)
	}
	t.Tasks[join].Parent = -1
	return t
}
