package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func workersCommand() *cobra.Command {
	cmd := clientCommand("workers", "List workers",
		"Lists the workers that are alive, or left within the last hour. -o wide shows more of each, all of its pools, and why executors that it was not told to have are off.\n"+
			"IN HAND are attempts that run or are not settled yet; 14+3: and 3 that are in line for a slot.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			workers, err := s.Workers(ctx)
			if err != nil {
				return err
			}
			now := time.Now()
			if err := s.print(workers, func(w io.Writer) {
				table(w, func(w io.Writer) {
					for _, row := range s.workerRows(workers, now) {
						fmt.Fprintln(w, row)
					}
				})
				s.printFaults(w, workers)
			}); err != nil {
				return err
			}
			return s.noteNone(len(workers), "worker")
		})
	takesWide(cmd)
	return cmd
}

// printFaults prints what keeps workers from work. Executors that are off without anybody having asked for them are only counted.
func (s *session) printFaults(w io.Writer, workers []client.Worker) {
	for _, x := range workers {
		shown := x.Faults
		if !s.wide() {
			shown = shown[:max(0, len(shown)-x.Unasked)]
		}
		for _, f := range shown {
			fmt.Fprintf(w, "%s: %s\n", oneLine(x.ID), oneLine(f))
		}
		if left := len(x.Faults) - len(shown); left > 0 {
			are := "are"
			if left == 1 {
				are = "is"
			}
			fmt.Fprintf(w, "%s: %s %s off: -o wide says why\n", oneLine(x.ID), counted(left, "executor"), are)
		}
	}
}

// tableWidth is what rows of usual data fit into; their last column gets what the others leave, and poolsWidth at least.
const (
	tableWidth = 120
	poolsWidth = 30
)

// workerRows are the rows of workers, below the headings.
func (s *session) workerRows(workers []client.Worker, now time.Time) (rows []string) {
	cells := [][]string{{"ID", "STATE", "VERSION", "IN HAND", "SLOTS", "AGE"}}
	for _, x := range workers {
		slots := 0
		for _, n := range x.Pools {
			slots += n
		}
		cells = append(cells, []string{oneLine(x.ID), oneLine(x.State), oneLine(x.Build), inHand(x), strconv.Itoa(slots), age(x.StartedAt, now)})
	}
	room := tableWidth
	for column := range cells[0] {
		widest := 0
		for _, row := range cells {
			widest = max(widest, columns(row[column]))
		}
		room -= widest + len("  ")
	}
	rows = append(rows, s.row(append(cells[0], "POOLS"), "LEVEL", "HOST", "SINCE"))
	for i, x := range workers {
		rows = append(rows, s.row(append(cells[i+1], s.poolsOf(x, max(room, poolsWidth))), strconv.Itoa(x.Level), oneLine(x.Host), shownTime(x.StartedAt)))
	}
	return rows
}

// poolsOf are a worker's pools: those that fit into so many columns, or all with their slots.
func (s *session) poolsOf(x client.Worker, width int) string {
	var names, each []string
	for _, name := range slices.Sorted(maps.Keys(x.Pools)) {
		names = append(names, oneLine(name))
		each = append(each, fmt.Sprintf("%s=%d", oneLine(name), x.Pools[name]))
	}
	if s.wide() {
		return strings.Join(each, ",")
	}
	return some(names, width)
}

// some are those of the words that fit into so many columns, and how many others there are.
func some(words []string, width int) string {
	all := strings.Join(words, ",")
	if columns(all) <= width {
		return all
	}
	text := ""
	for i, word := range words {
		rest := fmt.Sprintf(",+%d", len(words)-i-1)
		switch next := strings.TrimPrefix(text+","+word, ","); {
		case columns(next)+len(rest) <= width:
			text = next
		case i == 0 && len(words) == 1:
			return cut(word, width)
		case i == 0:
			return cut(word, width-len(rest)) + rest
		default:
			return fmt.Sprintf("%s,+%d", text, len(words)-i)
		}
	}
	return text
}

// inHand is how many attempts a worker has; apart, those that are in line for a slot.
func inHand(w client.Worker) string {
	if w.InLine == 0 {
		return strconv.Itoa(w.Running)
	}
	return fmt.Sprintf("%d+%d", w.Running-w.InLine, w.InLine)
}

func poolsCommand() *cobra.Command {
	cmd := clientCommand("pools", "List pools",
		"Lists the pools: how many ready tasks wait for room (READY) or were sent and are not claimed (QUEUED), the slots of the live workers, "+
			"and how long the oldest task has waited, in Postgres or, once it was sent, in NATS. Below stands what is paused.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			pools, err := s.Pools(ctx)
			if err != nil {
				return err
			}
			pauses := s.pausesOf(ctx, func(p *client.Pause) bool { return p.TreeID == "" })
			shown := plain(reflect.ValueOf(pools))
			for i, one := range shown.([]any) {
				own := func(p *client.Pause) bool { return p.Pool == pools[i].Name }
				if paused := pausedValue(slices.DeleteFunc(slices.Clone(pauses), func(p *client.Pause) bool { return !p.Everything && !own(p) }), own); paused != nil {
					one.(map[string]any)["paused"] = paused
				}
			}
			if err := s.print(shown, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "POOL\tREADY\tQUEUED\tSLOTS\tWORKERS\tOLDEST")
					for _, p := range pools {
						fmt.Fprintln(w, poolRow(p))
					}
				})
				writePaused(w, pauses)
			}); err != nil {
				return err
			}
			return s.noteNone(len(pools), "pool")
		})
	cmd.AddCommand(poolsAllowCommand(), poolsRulesCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

func poolRow(p client.Pool) string {
	oldest := "-" // nothing waits
	if p.Oldest > 0 {
		oldest = lasted(p.Oldest)
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%s", oneLine(p.Name), p.Ready, p.Queued, p.Capacity, p.Workers, oldest)
}
