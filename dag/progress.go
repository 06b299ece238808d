package dag

// Counts is the aggregate of one tree: how many of its tasks are in which state. Every task is in exactly one of Held,
// Unfinished and the settled ones, from Completed to Blocked.
type Counts struct {
	Tasks      int // all of them
	Held       int // in no execution yet
	Unfinished int // an execution still has to bring them to an end; those that run among them
	Running    int
	Completed  int
	Failed     int
	Allowed    int // part of Failed: whose failure does not make the tree fail (control 2)
	Cancelled  int
	Blocked    int

	Leaves          int // tasks that no other names as parent
	LeavesCompleted int // those of them that are completed
}

// Status is the tree's outcome (spec 3.9). While an execution has unfinished tasks it is in_progress, or pending as
// long as nothing has started, whatever failed already. After that: failed if any task failed whose failure is not allowed, the root included;
// else cancelled if any was cancelled; else completed. A tree of which only a part was executed, with
// success, is pending: it waits for the rest to be asked for. Blocked and skipped tasks never decide (control 13).
func (c Counts) Status() Status {
	switch {
	case c.Unfinished > 0 && c.started():
		return StatusInProgress
	case c.Unfinished > 0:
		return StatusPending
	case c.Failed > c.Allowed:
		return StatusFailed
	case c.Cancelled > 0:
		return StatusCancelled
	case c.Held > 0 || c.Tasks == 0:
		return StatusPending
	}
	return StatusCompleted
}

// started reports whether any task has left the ranks of those that wait.
func (c Counts) started() bool { return c.Running+c.Completed+c.Failed+c.Cancelled+c.Blocked > 0 }

// Progress is the share of the leaves that completed, 0 to 1. What running leaves report does not count.
func (c Counts) Progress() float64 {
	if c.Leaves <= 0 {
		return 0
	}
	return float64(c.LeavesCompleted) / float64(c.Leaves)
}

// Nodes are the figures of the nodes of a tree, or of a part of one, as spec 3.9 draws them together from the leaves up.
type Nodes struct {
	Progress []float64
	Status   []Status
}

// Roll gives each node its figures: a leaf its own; any other, whatever it says of itself, the mean of its children's
// progress, and completed if all children are, else failed if any is, else in_progress if any is, else pending.
// parent[i] is the index of i's parent; one that is outside the slice, as -1, makes i the root of what is listed.
// progress and status are the tasks' own, as long as parent, and are not changed. Parents that form a ring count as
// leaves. Linear, without recursion.
func Roll(parent []int32, progress []float64, status []Status) Nodes {
	type sum struct {
		children, open             int32 // open: children whose figures are not known yet
		completed, failed, running int32
		progress                   float64
	}
	n := len(parent)
	nodes := Nodes{append([]float64(nil), progress...), append([]Status(nil), status...)}
	inside := func(p int32) bool { return p >= 0 && int(p) < n }
	sums := make([]sum, n)
	for _, p := range parent {
		if inside(p) {
			sums[p].children++
			sums[p].open++
		}
	}
	ready := make([]int32, 0, n) // nodes whose figures are known
	for i := range sums {
		if sums[i].children == 0 {
			ready = append(ready, int32(i))
		}
	}
	for at := 0; at < len(ready); at++ {
		i := ready[at]
		if s := sums[i]; s.children > 0 {
			nodes.Progress[i] = s.progress / float64(s.children)
			switch {
			case s.completed == s.children:
				nodes.Status[i] = StatusCompleted
			case s.failed > 0:
				nodes.Status[i] = StatusFailed
			case s.running > 0:
				nodes.Status[i] = StatusInProgress
			default:
				nodes.Status[i] = StatusPending
			}
		}
		p := parent[i]
		if !inside(p) {
			continue
		}
		s := &sums[p]
		s.progress += nodes.Progress[i]
		switch nodes.Status[i] {
		case StatusCompleted:
			s.completed++
		case StatusFailed:
			s.failed++
		case StatusInProgress:
			s.running++
		}
		if s.open--; s.open == 0 {
			ready = append(ready, p)
		}
	}
	return nodes
}
