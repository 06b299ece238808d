package dag

import (
	"cmp"
	"slices"
	"strings"
)

// place orders faults as they are reported: as the checks of spec 2.1 are numbered, after the owners (2.2 rule 2).
type place int

const (
	atOwner         place = iota
	atLarge               // beyond a bound of the tree
	atEmpty               // 1
	atName                // 2
	atField               // bounds and types, which 2.1 has no number for
	atMixed               // 3
	atDuplicateID         // 4
	atDuplicateName       // 5
	atParent              // 6
	atReference           // 7
	atDependency          // 8
	atCycle               // 9
	atNoRoot              // 11
	atManyRoots           // 12
	atUnreachable         // 13
	places
)

// faults collects what is wrong with a tree, bounded however much that is.
type faults struct {
	kept  [places][]*InvalidTaskError // at most MaxProblems each
	total int
}

// room counts a fault and reports whether it will be kept, so that no text is made in vain.
func (f *faults) room(at place) bool {
	f.total++
	return len(f.kept[at]) < MaxProblems
}

// keep adds a fault for which there is room. Its texts quote what was submitted, which may be anything.
func (f *faults) keep(at place, e *InvalidTaskError) {
	e.Task, e.Reason = printable(e.Task), printable(e.Reason)
	for i, name := range e.Cycle {
		e.Cycle[i] = printable(name)
	}
	f.kept[at] = append(f.kept[at], e)
}

// printable replaces what can't be encoded or stored.
func printable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// err is all faults in order. What is wrong with fields is found at different times, and told by task.
func (f *faults) err() error {
	slices.SortStableFunc(f.kept[atField], func(a, b *InvalidTaskError) int { return cmp.Compare(a.Index, b.Index) })
	e := &InvalidTreeError{}
	for _, some := range f.kept {
		e.Problems = append(e.Problems, some[:min(len(some), MaxProblems-len(e.Problems))]...)
	}
	e.More = f.total - len(e.Problems)
	return e
}
