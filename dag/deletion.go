package dag

import (
	"fmt"
	"strings"
)

// Deletion collects why tasks can't be deleted (spec 2.4). See and SeeDependent come first.
type Deletion struct {
	Force bool // whatever state they are in, also what others depend on; but nothing that has not stopped
	Alone bool // not together with children

	self               seen
	children, open     []seen // with another status than pending; with an open attempt
	below              int    // how many are deleted with the task
	dependents         []Key  // outside
	dependentsNotEnded []seen
}

// seen is a task and its state.
type seen struct {
	Key
	State
}

// See hands in a task that is to be deleted; self: it is the one that was asked for, and the others are below it. open: an attempt has not ended.
func (d *Deletion) See(k Key, self bool, s State, open bool) {
	if self {
		d.self = seen{k, s}
	} else if d.below++; s.Status() != StatusPending {
		d.children = append(d.children, seen{k, s})
	}
	if open {
		d.open = append(d.open, seen{k, s})
	}
}

// SeeDependent hands in a task that stays and depends on one that is to be deleted. It may come for each of these.
func (d *Deletion) SeeDependent(k Key, s State, open bool) {
	if n := len(d.dependents); n > 0 && d.dependents[n-1] == k {
		return
	}
	d.dependents = append(d.dependents, k)
	if open {
		d.dependentsNotEnded = append(d.dependentsNotEnded, seen{k, s})
	}
}

// stopped reports whether all that a deletion touches has.
func (d *Deletion) stopped() bool { return len(d.open)+len(d.dependentsNotEnded) == 0 }

// Refused reports whether there are reasons.
func (d *Deletion) Refused() bool {
	return d.Alone && d.below > 0 || d.Force && !d.stopped() || !d.Force && (len(d.children)+len(d.dependents) > 0 || d.self.Status() != StatusPending)
}

// Named are the tasks that reasons name.
func (d *Deletion) Named() (keys []Key) {
	for _, list := range [][]seen{d.children, d.open, d.dependentsNotEnded} {
		for _, s := range list[:min(len(list), maxListed)] {
			keys = append(keys, s.Key)
		}
	}
	return append(keys, d.dependents[:min(len(d.dependents), maxListed)]...)
}

// Reasons are in the words of spec 2.4; id tells what the tasks of [Deletion.Named] are called.
func (d *Deletion) Reasons(id func(Key) string) (reasons []string) {
	add := func(format string, args ...any) { reasons = append(reasons, printable(fmt.Sprintf(format, args...))) }
	if d.Alone && d.below > 0 {
		add("task has %d children", d.below)
	}
	if d.Force {
		if open := append(d.open[:len(d.open):len(d.open)], d.dependentsNotEnded...); len(open) > 0 {
			add("%d tasks have not stopped: [%s]; cancel them first", len(open), listSeen(open, id))
		}
		return reasons
	}
	if n := len(d.children); n > 0 {
		add("task has %d non-pending children: [%s]", n, listSeen(d.children, id))
	}
	if s := d.self.Status(); s != StatusPending {
		add("task status is '%s' (must be 'pending')", s)
	}
	if n := len(d.dependents); n > 0 {
		var ids []string
		for _, k := range d.dependents[:min(n, maxListed)] {
			ids = append(ids, id(k))
		}
		if n > maxListed {
			ids = append(ids, "…")
		}
		add("%d tasks depend on this task: [%s]", n, strings.Join(ids, ", "))
	}
	return reasons
}

// listSeen is "id: status, id: status".
func listSeen(list []seen, id func(Key) string) string {
	var words []string
	for _, s := range list[:min(len(list), maxListed)] {
		words = append(words, id(s.Key)+": "+string(s.Status()))
	}
	if len(list) > maxListed {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}
