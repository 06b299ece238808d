// Package demand tells how many slots each pool has use for: the figure that autoscalers go by.
//
// It owns what counts in that figure, what is foreseen of the graph, and how long tasks last by what was learned. It must not know where tasks are
// kept, who asks, or what the time is: moments are durations from the one that is looked at.
package demand

import "github.com/taskgrove/taskgrove/dag"

// Figure is how many slots a pool has use for.
type Figure struct {
	Running int // attempts that run, but for those of workers that drain: they need no slot of another
	Ready   int // tasks that may start
	Soon    int // that many more at the most within the horizon: what gets ready, less what ends
}

// Total is all of it.
func (f Figure) Total() int { return f.Running + f.Ready + f.Soon }

// Seen is a task of which something was heard of late: its worker lists it, or it was sent to workers.
type Seen struct {
	Key      dag.Key
	Pool     int32
	State    dag.State
	Open     bool // it has an open attempt
	Draining bool // whose worker drains
	Sent     bool // Ready: its attempt was sent, and is not claimed
}

// Tree is what a tree's row tells.
type Tree struct {
	Running   int     // its open attempts
	Pools     []int32 // that its tasks name; nil: not known
	Cancelled bool
}

// Running counts the attempts that run, by pool, and the tasks that were sent and may start.
//
// A worker goes on with a task that its last one unlocked without anybody hearing of it for up to a beat. Trees count their open attempts exactly, so
// what a tree has more than was seen is taken to run where tasks of it were seen that have ended.
func Running(seen []Seen, trees map[dag.TreeKey]Tree) (running, sent map[int32]int) {
	running, sent = map[int32]int{}, map[int32]int{}
	unseen := make(map[dag.TreeKey]int, len(trees)) // open attempts
	for key, t := range trees {
		unseen[key] = t.Running
	}
	for _, s := range seen {
		tree := s.Key.Tree()
		if s.Open {
			unseen[tree]--
		}
		if t, ok := trees[tree]; !ok || t.Cancelled {
			continue
		}
		switch {
		case s.State == dag.Running && !s.Draining:
			running[s.Pool]++
		case s.State == dag.Ready && s.Sent:
			sent[s.Pool]++
		}
	}
	for _, s := range seen { // where the rest is, by what has ended
		tree := s.Key.Tree()
		if s.State.Settled() && !s.Open && unseen[tree] > 0 && !trees[tree].Cancelled {
			unseen[tree]--
			running[s.Pool]++
		}
	}
	for key, t := range trees {
		if n := unseen[key]; n > 0 && !t.Cancelled && len(t.Pools) == 1 {
			running[t.Pools[0]] += n
		}
	}
	return running, sent
}
