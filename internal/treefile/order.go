package treefile

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// need is one of what a task needs.
type need struct {
	name  string // of the task that is needed
	value *node  // as the protocol has it
	at    int    // where the name stands
	path  string
}

// waiting is a task of a tree as the file has it: what it needs itself, and what it is in.
type waiting struct {
	name    string
	needs   []need
	group   int     // whose needs it has, too; -1: none
	content []*node // of a group: the names of those for whose ends it waits
}

// order tells what is wrong with what the tasks of a tree need: names that nobody has, and circles. Both are told in the words of the file, where a
// group with tasks is one thing, whatever dependencies the protocol has for it.
func (r *renderer) order(t *tree) {
	if r.full {
		return
	}
	at := make(map[string]int, len(t.waits))
	names := make([]string, 0, len(t.waits))
	for i, w := range t.waits {
		if _, twice := at[w.name]; !twice {
			at[w.name] = i
			names = append(names, w.name)
		}
	}
	for _, w := range t.waits {
		for _, n := range w.needs {
			if _, known := at[n.name]; !known && !r.unclear(n.path) {
				r.fault(n.at, n.path, "%s", unknownTask(n.name, names))
				t.disordered = true
			}
		}
	}
	c := &circles{renderer: r, tree: t, at: at}
	c.look()
}

// maxCompared is in how large a tree a name that nobody has is compared with what there is.
const maxCompared = 1000

func unknownTask(name string, names []string) string {
	text := "there is no task " + treedoc.Short(name)
	if len(names) > maxCompared {
		return text
	}
	if near := dag.Nearest(name, names); near != "" {
		return text + "; did you mean " + treedoc.Short(near) + "?"
	}
	return text + ": a task can need only tasks of the same tree"
}

// circles looks for tasks that wait for each other. Each task has two events: its end, and, if it is a group, the start of what is in it.
type circles struct {
	*renderer
	*tree
	at    map[string]int
	after [][]wait // by event
}

// wait says that an event comes after another one.
type wait struct {
	event int
	need  *need // nil: as one of them is in the other
}

func end(task int) int   { return 2 * task }
func start(task int) int { return 2*task + 1 }

// look finds every circle that an event closes which waits for one on the path to it. Each event is visited once.
func (c *circles) look() {
	c.after = make([][]wait, 2*len(c.waits))
	for i := range c.waits {
		w := &c.waits[i]
		event := end(i)
		if w.content != nil {
			for _, name := range w.content {
				if in, ok := c.at[name.text]; ok {
					c.after[event] = append(c.after[event], wait{end(in), nil})
				}
			}
			event = start(i)
		}
		for k := range w.needs {
			if on, ok := c.at[w.needs[k].name]; ok {
				c.after[event] = append(c.after[event], wait{end(on), &w.needs[k]})
			}
		}
		if w.group >= 0 {
			c.after[event] = append(c.after[event], wait{start(w.group), nil})
		}
	}
	const (
		fresh = iota
		onPath
		done
	)
	type step struct{ event, next int } // next of what it waits for
	state := make([]uint8, len(c.after))
	var path []step
	for first := range c.after {
		if state[first] != fresh {
			continue
		}
		path = append(path[:0], step{first, 0})
		state[first] = onPath
		for len(path) > 0 {
			top := &path[len(path)-1]
			if top.next == len(c.after[top.event]) {
				state[top.event] = done
				path = path[:len(path)-1]
				continue
			}
			on := c.after[top.event][top.next].event
			top.next++
			switch state[on] {
			case fresh:
				state[on] = onPath
				path = append(path, step{on, 0})
			case onPath:
				from := len(path) - 1
				for path[from].event != on {
					from--
				}
				var circle []circled
				for _, s := range path[from:] {
					circle = append(circle, circled{s.event, c.after[s.event][s.next-1].need})
				}
				c.tell(circle)
			}
		}
	}
}

// circled is an event of a circle, and why it waits for the next.
type circled struct {
	event int
	need  *need
}

// maxCircle is how many tasks of a circle are named.
const maxCircle = 20

// tell tells a circle at the first of its needs in the file.
func (c *circles) tell(circle []circled) {
	first := -1
	for i := range circle {
		if n := circle[i].need; n != nil && (first < 0 || n.at < circle[first].need.at) {
			first = i
		}
	}
	if first < 0 { // what only lies in each other does not wait
		return
	}
	c.disordered = true
	type named struct {
		event int
		need  bool // it is needed by the one before
	}
	var line []named
	before := true
	for i := range len(circle) + 1 {
		one := circle[(first+i)%len(circle)]
		is := named{one.event, before}
		before = one.need != nil
		// what is in a group, and waits for what the group needs, is the group
		for k := len(line) - 1; k >= 0 && one.event%2 == 1 && !is.need; k-- {
			if line[k].event/2 == one.event/2 {
				line, is = line[:k], line[k]
				break
			}
			if line[k].need {
				break
			}
		}
		line = append(line, is)
	}
	var names []string
	for i, one := range line {
		if i > 0 && !one.need && line[i-1].event/2 == one.event/2 {
			continue
		}
		names = append(names, treedoc.Short(c.waits[one.event/2].name))
	}
	if more := len(names) - maxCircle; more > 0 {
		names = append(append(names[:maxCircle/2:maxCircle/2], fmt.Sprintf("… %d more …", more)), names[len(names)-maxCircle/2:]...)
	}
	n := circle[first].need
	c.fault(n.at, n.path, "Circular dependency detected: %s. Each of these waits for the next, so that none could ever start: remove one of these needs",
		strings.Join(names, " -> "))
}
