package main

import (
	"slices"

	"github.com/taskgrove/taskgrove/client"
)

// deepest is how many levels are indented: a chain of a million tasks is to stay readable, and short enough to print.
const deepest = 20

// branch is a task's place in a printed tree.
type branch struct {
	task   *client.Task
	parent int // index of its parent's branch, which comes before; -1: it stands at the top
	indent int // levels
}

// branches orders tasks as a tree: each below its parent, siblings by priority, then in the order given. Those whose
// parent is not among them stand at the top.
func branches(tasks []*client.Task) []branch {
	known := make(map[string]bool, len(tasks))
	for _, t := range tasks {
		known[t.ID] = true
	}
	children := map[string][]*client.Task{}
	for _, t := range tasks {
		parent := t.ParentID
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], t)
	}
	out := make([]branch, 0, len(tasks))
	var stack []branch // not by recursion: a tree may be a chain
	push := func(id string, parent, indent int) {
		below := children[id]
		slices.SortStableFunc(below, func(a, b *client.Task) int { return int(a.Priority) - int(b.Priority) })
		for _, t := range slices.Backward(below) {
			stack = append(stack, branch{t, parent, min(indent, deepest)})
		}
	}
	push("", -1, 0)
	for len(stack) > 0 {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		out = append(out, b)
		push(b.task.ID, len(out)-1, b.indent+1)
	}
	return out
}

// fitting are the branches to show where there is room for so many: the most interesting tasks, each with what stands
// above it, in the order of the tree.
func fitting(all []branch, room int, rank func(*client.Task) int) []branch {
	if len(all) <= room {
		return all
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(all[a].task) - rank(all[b].task) })
	chosen := make([]bool, len(all))
	for _, i := range order {
		needed := 0
		for at := i; at >= 0 && !chosen[at] && needed <= room; at = all[at].parent {
			needed++
		}
		if needed > room {
			continue
		}
		room -= needed
		for at := i; at >= 0 && !chosen[at]; at = all[at].parent {
			chosen[at] = true
		}
		if room == 0 {
			break
		}
	}
	var out []branch
	for i, b := range all {
		if chosen[i] {
			out = append(out, b)
		}
	}
	return out
}
