package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

const (
	topInterval = 2 * time.Second
	topLeast    = 500 * time.Millisecond
	topWithin   = 10 * time.Second // for the answers to one refresh
	topTrees    = 1000             // that run, of which the longest are shown
	rateWindow  = 15 * time.Second // beats come every 5 s
)

func topCommand() *cobra.Command {
	var once bool
	var interval time.Duration
	var cmd *cobra.Command
	cmd = clientCommand("top", "Show pools, workers and rates, live",
		"Shows on a terminal, again and again: pools with what is ready and runs there and how much begins and ends a second, workers, coordinators, and the trees\n"+
			"that have run longest. Rates are those of the last 15 s, as beats of workers tell them. Each refresh asks four bounded questions; a cluster that nobody looks at\n"+
			"pays nothing. It outlives coordinators: what it showed last stays until one answers.\n\n"+
			"Keys: 1 to 4 show one table, 0 all; s sorts by the next column, r turns the order; / filters by a text, Esc ends that; arrows, PgUp, PgDn, g and G move;\n"+
			"p or space stops and goes on; + and - change the interval; ? shows this; q ends.\n\n"+
			"Where output is no terminal, with --once or with -o json or yaml, it prints what there is once. Rates then take two looks, --interval apart, if that is given.",
		cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
			if interval < topLeast {
				return usage("--interval takes %s or more", topLeast)
			}
			screen, live := s.screenOf()
			if once || !live {
				return s.topOnce(ctx, cmd.Flags().Changed("interval"), interval)
			}
			return s.topLive(ctx, screen, interval)
		})
	cmd.Flags().BoolVar(&once, "once", false, "print what there is, once")
	cmd.Flags().DurationVar(&interval, "interval", topInterval, "time between two looks")
	return cmd
}

// overview is what top shows.
type overview struct {
	At           time.Time
	Pools        []poolNow
	Workers      []client.Worker
	Coordinators []client.Coordinator
	Trees        []*client.Tree // that have run longest
	More         bool           // more trees run than were looked at
	TreesHidden  bool           // the caller may not see them
}

// poolNow is a pool with what runs there. Rates are of attempts; nil: not known.
type poolNow struct {
	Name                             string
	Ready, Queued, Running           int
	Capacity, Workers                int
	Oldest                           time.Duration // how long the oldest ready task has waited
	StartedPerSecond, EndedPerSecond *float64
}

// topOnce prints one overview; with rates, after a second look.
func (s *session) topOnce(ctx context.Context, rates bool, interval time.Duration) error {
	r := &rateMeter{}
	o, err := s.overview(ctx, r)
	if err == nil && rates {
		if err = pause(ctx, interval); err == nil {
			o, err = s.overview(ctx, r)
		}
	}
	if err != nil {
		return err
	}
	return s.print(o, func(w io.Writer) {
		for i, t := range topTables {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, t.name)
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, tabbed(t.head))
				for _, row := range t.rows(o) {
					fmt.Fprintln(w, tabbed(row.cells))
				}
			})
			if note := t.note(o); note != "" {
				fmt.Fprintln(w, note)
			}
		}
	})
}

func tabbed(cells []string) string {
	out := ""
	for i, c := range cells {
		if i > 0 {
			out += "\t"
		}
		out += c
	}
	return out
}

// overview asks for all that is shown, side by side.
func (s *session) overview(ctx context.Context, r *rateMeter) (*overview, error) {
	ctx, cancel := context.WithTimeout(ctx, topWithin)
	defer cancel()
	o := &overview{At: time.Now()}
	var pools []client.Pool
	var page *client.Page[*client.Tree]
	errs := make([]error, 4)
	var all sync.WaitGroup
	all.Go(func() { pools, errs[0] = s.Pools(ctx) })
	all.Go(func() { o.Workers, errs[1] = s.Workers(ctx) })
	all.Go(func() { o.Coordinators, errs[2] = s.Coordinators(ctx) })
	all.Go(func() { page, errs[3] = s.TreesPage(ctx, client.TreeFilter{Running: true, PageSize: topTrees}) })
	all.Wait()
	if errors.Is(errs[3], client.ErrDenied) {
		o.TreesHidden, errs[3] = true, nil
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if page != nil {
		o.Trees, o.More = page.Items, page.Next != ""
		slices.SortStableFunc(o.Trees, func(a, b *client.Tree) int { return began(a).Compare(began(b)) })
	}
	r.hear(o.Workers, time.Now())
	for _, p := range pools {
		now := poolNow{Name: p.Name, Ready: p.Ready, Queued: p.Queued, Capacity: p.Capacity, Workers: p.Workers, Oldest: p.Oldest}
		for i := range o.Workers {
			if w := &o.Workers[i]; w.State == "alive" || w.State == "draining" {
				now.Running += w.Counts[p.Name].Running
			}
		}
		now.StartedPerSecond, now.EndedPerSecond = r.of(p.Name)
		o.Pools = append(o.Pools, now)
	}
	return o, nil
}

// began is when a tree's execution did.
func began(t *client.Tree) time.Time {
	if t.StartedAt.IsZero() {
		return t.CreatedAt
	}
	return t.StartedAt
}

// rateMeter makes rates of what workers have counted. Each worker counts from the start of its process, so nothing is counted twice or backwards when one
// begins anew.
type rateMeter struct {
	seen map[string][]sample // by instance, oldest first, those of the window
}

type sample struct {
	at     time.Time
	counts map[string]client.PoolCounts
}

// hear takes note of what workers have counted.
func (r *rateMeter) hear(workers []client.Worker, now time.Time) {
	seen := make(map[string][]sample, len(workers))
	for i := range workers {
		w := &workers[i]
		old := r.seen[w.Instance]
		if old == nil && now.Sub(w.StartedAt) < rateWindow && !w.StartedAt.After(now) {
			old = []sample{{at: w.StartedAt}} // it had counted nothing
		}
		for len(old) > 1 && now.Sub(old[1].at) >= rateWindow { // the one before the window stays
			old = old[1:]
		}
		seen[w.Instance] = append(old, sample{now, w.Counts})
	}
	r.seen = seen
}

// of are the rates of a pool; nil: there was one look only.
func (r *rateMeter) of(pool string) (*float64, *float64) {
	starting, ending, known := 0.0, 0.0, false
	for _, list := range r.seen {
		first, last := list[0], list[len(list)-1]
		passed := last.at.Sub(first.at).Seconds()
		if len(list) < 2 || passed <= 0 {
			continue
		}
		known = true
		a, b := first.counts[pool], last.counts[pool]
		starting += max(0, float64(b.Started-a.Started)) / passed
		ending += max(0, float64(b.Ended-a.Ended)) / passed
	}
	if !known {
		return nil, nil
	}
	return &starting, &ending
}

// topRow is a row of a table: what is shown, and what it is sorted by.
type topRow struct {
	cells []string
	keys  []any // of each cell: string, int, float64 or time.Duration
}

// topTable is one of the tables of top.
type topTable struct {
	name string
	head []string
	sort int  // column at first
	down bool // largest first
	rows func(o *overview) []topRow
	note func(o *overview) string
}

func noNote(*overview) string { return "" }

var topTables = []topTable{
	{name: "POOLS", head: []string{"POOL", "READY", "QUEUED", "RUNNING", "SLOTS", "WORKERS", "IN/S", "OUT/S", "OLDEST"}, sort: 3, down: true, note: noNote,
		rows: func(o *overview) (rows []topRow) {
			for i := range o.Pools {
				p := &o.Pools[i]
				oldest := "-"
				if p.Oldest > 0 {
					oldest = lasted(p.Oldest)
				}
				rows = append(rows, topRow{[]string{oneLine(p.Name), strconv.Itoa(p.Ready), strconv.Itoa(p.Queued), strconv.Itoa(p.Running), strconv.Itoa(p.Capacity), strconv.Itoa(p.Workers), perSecond(p.StartedPerSecond), perSecond(p.EndedPerSecond), oldest},
					[]any{p.Name, p.Ready, p.Queued, p.Running, p.Capacity, p.Workers, value(p.StartedPerSecond), value(p.EndedPerSecond), p.Oldest}})
			}
			return rows
		}},
	{name: "WORKERS", head: []string{"WORKER", "STATE", "RUNNING", "IN LINE", "SLOTS", "BEAT DUE", "VERSION", "AGE", "POOLS"}, sort: 2, down: true, note: noNote,
		rows: func(o *overview) (rows []topRow) {
			for i := range o.Workers {
				w := &o.Workers[i]
				slots, running := 0, w.Running-w.InLine
				for _, n := range w.Pools {
					slots += n
				}
				left := w.LeaseUntil.Sub(o.At)
				due := "-"
				if w.State == "alive" || w.State == "draining" {
					due = max(left, 0).Round(time.Second).String()
				}
				rows = append(rows, topRow{[]string{oneLine(w.ID), oneLine(w.State), strconv.Itoa(running), strconv.Itoa(w.InLine), strconv.Itoa(slots), due, oneLine(w.Build), age(w.StartedAt, o.At), poolNames(w)},
					[]any{w.ID, w.State, running, w.InLine, slots, left, w.Build, o.At.Sub(w.StartedAt), len(w.Pools)}})
			}
			return rows
		}},
	{name: "COORDINATORS", head: []string{"COORDINATOR", "VERSION", "LEVEL", "LEASE", "AGE"}, note: noNote,
		rows: func(o *overview) (rows []topRow) {
			for i := range o.Coordinators {
				c := &o.Coordinators[i]
				left := c.LeaseUntil.Sub(o.At)
				rows = append(rows, topRow{[]string{oneLine(c.Name), oneLine(c.Version), strconv.Itoa(c.Level), max(left, 0).Round(time.Second).String(), age(c.StartedAt, o.At)},
					[]any{c.Name, c.Version, c.Level, left, o.At.Sub(c.StartedAt)}})
			}
			return rows
		}},
	{name: "TREES THAT RUN LONGEST", head: []string{"TREE", "ID", "FOR", "DONE", "TASKS", "RUNNING", "FAILED", "USER"}, sort: 2, down: true,
		note: func(o *overview) string {
			switch {
			case o.TreesHidden:
				return "you may not see trees"
			case o.More:
				return fmt.Sprintf("of the newest %d trees that run", topTrees)
			}
			return ""
		},
		rows: func(o *overview) (rows []topRow) {
			for _, t := range o.Trees {
				took := max(o.At.Sub(began(t)), 0)
				rows = append(rows, topRow{[]string{oneLine(cmp.Or(t.Name, t.ID)), oneLine(t.ID), lasted(took), fmt.Sprintf("%.0f%%", 100*t.Progress), strconv.Itoa(t.Tasks), strconv.Itoa(t.Running), strconv.Itoa(t.Failed), oneLine(t.UserID)},
					[]any{t.Name, t.ID, took, t.Progress, t.Tasks, t.Running, t.Failed, t.UserID}})
			}
			return rows
		}},
}

// perSecond is a rate for people.
func perSecond(rate *float64) string {
	switch {
	case rate == nil:
		return "-"
	case *rate < 10:
		return strconv.FormatFloat(*rate, 'f', 1, 64)
	}
	return strconv.FormatFloat(*rate, 'f', 0, 64)
}

func value(rate *float64) float64 {
	if rate == nil {
		return 0
	}
	return *rate
}

// poolNames are the pools of a worker, as far as a column holds.
func poolNames(w *client.Worker) string {
	var names []string
	for name := range w.Pools {
		names = append(names, oneLine(name))
	}
	slices.Sort(names)
	return some(names, poolsWidth)
}
