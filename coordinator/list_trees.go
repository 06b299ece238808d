package coordinator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// A list of which few trees are selected is read in steps, and gives a short page with a cursor to go on from when it has looked
// at many trees, or when their labels are long.
const (
	stepTrees  = 1000
	mostTrees  = 100_000
	labelBytes = 1 << 20
)

// maxLabelFilters is how many labels a list asks for at once.
const maxLabelFilters = 16

// Trees lists trees; see [Service].
func (c *Coordinator) Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error) {
	var page Page[*TreeStatus]
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	if err := f.Check(); err != nil {
		return page, err
	}
	if !text(f.UserID) || !text(f.Name) {
		return page, nil
	}
	from, below, err := c.between(ctx, f.Since, f.Before)
	if err != nil {
		return page, err
	}
	if f.Cursor != "" {
		var place int64
		if err := cursorFrom("r", f.Cursor, &place); err != nil {
			return page, err
		}
		below = min(below, dag.TreeKey(place))
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	step := limit
	if f.Status != "" || f.Name != "" || f.Part != "" || len(f.Labels) > 0 {
		step = stepTrees
	}
	for looked, bytes := 0, 0; looked < mostTrees; looked += stepTrees {
		list, more, err := c.treesBelow(ctx, here, below, f, step)
		if err != nil {
			return page, c.internal("list trees", err)
		}
		for _, t := range list {
			if below = t.Key; below < from {
				return page, nil
			}
			if st := c.showTree(t); f.selects(st) {
				page.Items = append(page.Items, st)
				bytes += sizeOf(st.Labels)
			}
			if len(page.Items) == limit || bytes > labelBytes {
				page.Next = cursorTo("r", int64(below))
				return page, nil
			}
		}
		if more == 0 || more <= from {
			return page, nil
		}
		below = more
	}
	page.Next = cursorTo("r", int64(below))
	return page, nil
}

// treesBelow are the next trees to look at, newest first, and below which there may be more; 0: there are none. Those that run are few, and
// looked through for labels; else the labels' own index leads to the trees.
func (c *Coordinator) treesBelow(ctx context.Context, here dag.NamespaceKey, below dag.TreeKey, f TreeFilter, step int) (list []*pg.Tree, more dag.TreeKey, err error) {
	switch {
	case f.Running:
		list, err = c.store.OpenTrees(ctx, here, below, f.UserID, step)
	case len(f.Labels) > 0:
		return c.store.LabelledTrees(ctx, here, below, f.Labels, step, step)
	default:
		list, err = c.store.Trees(ctx, here, below, f.UserID, step, stepTrees)
	}
	switch {
	case err != nil:
	case len(list) == step:
		more = list[step-1].Key
	case !f.Running:
		more, err = c.store.TreeBelow(ctx, here, below, 0, stepTrees)
	}
	return list, more, err
}

// selects reports whether the filter lets a tree through that was found by time.
func (f *TreeFilter) selects(t *TreeStatus) bool {
	return (f.UserID == "" || t.UserID == f.UserID) && (f.Status == "" || t.Status == f.Status) && (f.Name == "" || t.Name == f.Name) &&
		HasPart(t.Name, f.Part) && (!f.Running || t.Unfinished > 0) && Labelled(t.Labels, f.Labels)
}

// HasPart reports whether a name has a part, in upper or lower case; each has the empty one.
func HasPart(name, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(name), strings.ToLower(part))
}

// Labelled reports whether labels have all those of a filter, in which an empty value stands for any.
func Labelled(labels, filter map[string]string) bool {
	for key, want := range filter {
		if got, ok := labels[key]; !ok || want != "" && got != want {
			return false
		}
	}
	return true
}

func sizeOf(labels map[string]string) (n int) {
	for key, value := range labels {
		n += len(key) + len(value)
	}
	return n
}

// Check refuses what is no filter, as an [InvalidArgumentError].
func (f TreeFilter) Check() error {
	if len(f.Labels) > maxLabelFilters {
		return &InvalidArgumentError{Field: "labels", Reason: fmt.Sprintf("must be at most %d", maxLabelFilters)}
	}
	return checkLabels(f.Labels)
}

// checkLabels refuses labels that no tree can have.
func checkLabels(labels map[string]string) error {
	if faults := dag.CheckLabels(labels); len(faults) > 0 {
		return &InvalidArgumentError{Field: "labels", Reason: faults[0]}
	}
	return nil
}

// withLabels adds labels to the root of a submission; they win over its own.
func withLabels(labels map[string]string, t *dag.Task) {
	if t.ParentRef != "" || len(labels) == 0 {
		return
	}
	all := maps.Clone(labels)
	for _, key := range slices.Collect(maps.Keys(t.Labels)) {
		if _, given := labels[key]; !given {
			all[key] = t.Labels[key]
		}
	}
	t.Labels = all
}
