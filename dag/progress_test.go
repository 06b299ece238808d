package dag

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTreeStatus(t *testing.T) {
	for name, c := range map[string]struct {
		counts Counts
		want   Status
	}{
		"nothing in it":                           {Counts{}, StatusPending},
		"only stored":                             {Counts{Tasks: 3, Held: 3}, StatusPending},
		"executed, nothing started":               {Counts{Tasks: 3, Unfinished: 3}, StatusPending},
		"something runs":                          {Counts{Tasks: 3, Unfinished: 3, Running: 1}, StatusInProgress},
		"something is done, something waits":      {Counts{Tasks: 3, Unfinished: 2, Completed: 1}, StatusInProgress},
		"failed, but the rest goes on":            {Counts{Tasks: 3, Unfinished: 1, Failed: 1, Blocked: 1}, StatusInProgress},
		"cancelled, but one still waits":          {Counts{Tasks: 2, Unfinished: 1, Cancelled: 1}, StatusInProgress},
		"all completed":                           {Counts{Tasks: 3, Completed: 3}, StatusCompleted},
		"one failed":                              {Counts{Tasks: 3, Completed: 2, Failed: 1}, StatusFailed},
		"one failed, one cancelled":               {Counts{Tasks: 3, Completed: 1, Failed: 1, Cancelled: 1}, StatusFailed},
		"one failed, another blocked by it":       {Counts{Tasks: 2, Failed: 1, Blocked: 1}, StatusFailed},
		"one cancelled, another blocked by it":    {Counts{Tasks: 2, Cancelled: 1, Blocked: 1}, StatusCancelled},
		"one cancelled, the rest completed":       {Counts{Tasks: 2, Cancelled: 1, Completed: 1}, StatusCancelled},
		"blocked never decides":                   {Counts{Tasks: 2, Blocked: 1, Completed: 1}, StatusCompleted},
		"an allowed failure":                      {Counts{Tasks: 3, Completed: 1, Failed: 1, Allowed: 1, Blocked: 1}, StatusCompleted},
		"an allowed failure beside another":       {Counts{Tasks: 2, Failed: 2, Allowed: 1}, StatusFailed},
		"an allowed failure, one cancelled":       {Counts{Tasks: 2, Failed: 1, Allowed: 1, Cancelled: 1}, StatusCancelled},
		"a part was executed":                     {Counts{Tasks: 3, Held: 1, Completed: 2}, StatusPending},
		"a part was executed and failed":          {Counts{Tasks: 3, Held: 1, Completed: 1, Failed: 1}, StatusFailed},
		"a part was executed and cancelled":       {Counts{Tasks: 2, Held: 1, Cancelled: 1}, StatusCancelled},
		"a part is executed, nothing started yet": {Counts{Tasks: 2, Held: 1, Unfinished: 1}, StatusPending},
		"a part is executed":                      {Counts{Tasks: 2, Held: 1, Unfinished: 1, Running: 1}, StatusInProgress},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.counts.Status(); got != c.want {
				t.Errorf("Status = %s, want %s", got, c.want)
			}
		})
	}
}

func TestTreeStatusIsFinalExactlyWhenNothingIsUnfinished(t *testing.T) {
	final := []Status{StatusCompleted, StatusFailed, StatusCancelled}
	rapid.Check(t, func(t *rapid.T) {
		few := func(label string) int { return rapid.IntRange(0, 2).Draw(t, label) }
		c := Counts{Held: few("held"), Unfinished: few("unfinished"), Completed: few("completed"), Failed: few("failed"), Cancelled: few("cancelled")}
		if c.Failed+c.Cancelled > 0 {
			c.Blocked = few("blocked")
		}
		c.Running = rapid.IntRange(0, c.Unfinished).Draw(t, "running")
		c.Tasks = c.Held + c.Unfinished + c.Completed + c.Failed + c.Cancelled + c.Blocked
		got := c.Status()
		pending := c.Failed+c.Cancelled == 0 && (c.Held > 0 || c.Tasks == 0)
		if want := c.Unfinished == 0 && !pending; slices.Contains(final, got) != want {
			t.Fatalf("%+v is %s, want it final: %v", c, got, want)
		}
	})
}

func TestTreeProgress(t *testing.T) {
	for name, c := range map[string]struct {
		counts Counts
		want   float64
	}{
		"no leaves":      {Counts{}, 0},
		"none completed": {Counts{Leaves: 4}, 0},
		"half completed": {Counts{Leaves: 4, LeavesCompleted: 2}, 0.5},
		"all completed":  {Counts{Leaves: 4, LeavesCompleted: 4}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.counts.Progress(); math.Abs(got-c.want) > 1e-9 {
				t.Errorf("Progress = %v, want %v", got, c.want)
			}
		})
	}
}

func TestRoll(t *testing.T) {
	const p, r, c, f, x = StatusPending, StatusInProgress, StatusCompleted, StatusFailed, StatusCancelled
	for name, row := range map[string]struct {
		parent   []int32
		progress []float64
		status   []Status
		want     Nodes
	}{
		"a leaf has its own":                   {[]int32{-1}, []float64{0.3}, []Status{f}, Nodes{[]float64{0.3}, []Status{f}}},
		"a parent's own does not count":        {[]int32{-1, 0, 0}, []float64{1, 1, 0}, []Status{f, c, p}, Nodes{[]float64{0.5, 1, 0}, []Status{p, c, p}}},
		"all completed":                        {[]int32{-1, 0, 0}, []float64{0, 1, 1}, []Status{p, c, c}, Nodes{[]float64{1, 1, 1}, []Status{c, c, c}}},
		"any failed wins over running":         {[]int32{-1, 0, 0}, []float64{0, 0, 0}, []Status{p, r, f}, Nodes{[]float64{0, 0, 0}, []Status{f, r, f}}},
		"any running":                          {[]int32{-1, 0, 0}, []float64{0, 0, 1}, []Status{p, r, c}, Nodes{[]float64{0.5, 0, 1}, []Status{r, r, c}}},
		"cancelled counts as pending":          {[]int32{-1, 0, 0}, []float64{0, 0, 1}, []Status{c, x, c}, Nodes{[]float64{0.5, 0, 1}, []Status{p, x, c}}},
		"mean of means, children listed first": {[]int32{2, 2, 3, -1, 3}, []float64{1, 0, 0, 0, 1}, []Status{c, f, p, p, c}, Nodes{[]float64{1, 0, 0.5, 0.75, 1}, []Status{c, f, f, f, c}}},
		"a part of a tree":                     {[]int32{7, 0}, []float64{0, 1}, []Status{p, c}, Nodes{[]float64{1, 1}, []Status{c, c}}},
		"a ring stays as it is":                {[]int32{1, 0}, []float64{0.5, 0.25}, []Status{r, p}, Nodes{[]float64{0.5, 0.25}, []Status{r, p}}},
		"nothing":                              {nil, nil, nil, Nodes{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Roll(row.parent, row.progress, row.status); !reflect.DeepEqual(got, row.want) {
				t.Errorf("Roll = %v, want %v", got, row.want)
			}
		})
	}
}

func TestRollAgreesWithRecursion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "nodes")
		parent, progress, status := make([]int32, n), make([]float64, n), make([]Status, n)
		for i := range n {
			parent[i] = int32(rapid.IntRange(-1, i-1).Draw(t, "parent"))
			progress[i] = rapid.Float64Range(0, 1).Draw(t, "progress")
			status[i] = rapid.SampledFrom([]Status{StatusPending, StatusInProgress, StatusCompleted, StatusFailed, StatusCancelled}).Draw(t, "status")
		}
		var figures func(i int) (float64, Status)
		figures = func(i int) (sum float64, s Status) {
			count := map[Status]int{}
			children := 0
			for k, p := range parent {
				if int(p) == i {
					children++
					progress, status := figures(k)
					sum += progress
					count[status]++
				}
			}
			switch {
			case children == 0:
				return progress[i], status[i]
			case count[StatusCompleted] == children:
				s = StatusCompleted
			case count[StatusFailed] > 0:
				s = StatusFailed
			case count[StatusInProgress] > 0:
				s = StatusInProgress
			default:
				s = StatusPending
			}
			return sum / float64(children), s
		}
		got := Roll(parent, progress, status)
		for i := range n {
			p, s := figures(i)
			if math.Abs(got.Progress[i]-p) > 1e-9 || got.Status[i] != s {
				t.Fatalf("node %d = %v %s, want %v %s", i, got.Progress[i], got.Status[i], p, s)
			}
		}
	})
}

func TestRollAMillionDeep(t *testing.T) {
	parent, progress, status := make([]int32, manyTasks), make([]float64, manyTasks), make([]Status, manyTasks)
	for i := range parent {
		parent[i] = int32(i) - 1
	}
	progress[manyTasks-1], status[manyTasks-1] = 1, StatusCompleted
	if got := Roll(parent, progress, status); got.Progress[0] != 1 || got.Status[0] != StatusCompleted {
		t.Errorf("root = %v %s, want 1 completed", got.Progress[0], got.Status[0])
	}
}
