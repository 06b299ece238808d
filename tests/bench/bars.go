package main

import (
	"fmt"
	"slices"
	"strings"
)

// bar is what is asked of a figure, or of its ratio to another figure of the same sitting.
type bar struct {
	figure string
	of     string // the figure that it is divided by; empty: it stands for itself
	most   bool   // the limit is the most that is allowed, not the least
	limit  float64
	unit   string // of the limit; empty for ratios
	aside  bool   // only beside the figure, not in the table of bars
}

// The figures of the limits programs that ours are held against.
const (
	floorRate   = "combined/END TO END, split"
	floorHop    = "hop/hop p50"
	floorHopP99 = "hop/hop p99"
	floorCopy   = "postgres/insert task+edge (COPY), split, 1 conn"
)

// floorWords are what these are called in the report.
var floorWords = map[string]string{floorRate: "the combined floor", floorHop: "the hop floor", floorHopP99: "the hop floor's p99", floorCopy: "the COPY rate"}

const flatClaimed = "flat 100000, claimed" // with the slots of -concurrency, which are 4000

var bars = slices.Concat([]bar{
	{figure: flatName(100_000, 16), of: flatClaimed, limit: 0.7},
	{figure: flatName(100_000, 64), of: flatClaimed, limit: 0.85},
	{figure: flatName(100_000, 256), of: flatClaimed, limit: 0.95},
	{figure: flatName(100_000, 16), of: riverName(riverJobs, 16), limit: 1.5},
	{figure: flatName(100_000, 64), of: riverName(riverJobs, 64), limit: 1.5},
	{figure: flatName(100_000, 256), of: riverName(riverJobs, 256), limit: 1.5},
	{figure: flatName(100_000, 2000), of: riverName(riverJobs, 2000), limit: 1.5},
	{figure: flatClaimed, of: floorRate, limit: 0.75},
	{figure: sleepsName + ": of the ideal", limit: 0.95},
	{figure: "hop p50", of: floorHop, most: true, limit: 2},
	{figure: "hop p99", of: floorHopP99, most: true, limit: 2.8},
	{figure: "hop at half load p99", most: true, limit: 15, unit: "ms"},
	{figure: "flat 100000, 2 coordinators", of: flatClaimed, limit: 0.97},
	{figure: "flat 100000, 3 coordinators", of: flatClaimed, limit: 0.97},
	{figure: jsonName(jsonTasks, plainly), limit: 70_000, unit: "tasks/s"},
	{figure: "dev start, ephemeral", most: true, limit: 2, unit: "s"},
	{figure: "dev start, data directory again", most: true, limit: 0.5, unit: "s"},

	{aside: true, figure: "submit 100000, claimed", of: floorCopy, limit: 0.5},
	{aside: true, figure: "flat 100000, repeatable", of: floorRate, limit: 0.5},
	{aside: true, figure: "fan-in of 100000", of: flatClaimed, limit: 0.77},
	{aside: true, figure: "1000 trees of 100 tasks", of: flatClaimed, limit: 0.8},
	{aside: true, figure: "flat 100000, 2 coordinators: deadlocks", most: true, limit: 0},
	{aside: true, figure: "flat 100000, 3 coordinators: deadlocks", most: true, limit: 0},
	{aside: true, figure: "flat 1000000, claimed", of: flatClaimed, limit: 0.8},
	{aside: true, figure: "flat 1000000, claimed: peak memory of coordinator", most: true, limit: 512, unit: "MiB"},
	{aside: true, figure: "flat 1000000, claimed: peak memory of worker", most: true, limit: 128, unit: "MiB"},
}, idleBars(), readBars(), executorBars())

func idleBars() (all []bar) {
	for _, process := range []string{"nats", "coordinator", "worker"} {
		all = append(all, bar{aside: true, figure: "idle: cpu of " + process, most: true, limit: 1, unit: "% of a core"})
	}
	return all
}

func readBars() (all []bar) {
	for _, read := range reads {
		all = append(all, bar{aside: true, figure: "read, 10000 trees: " + read.what, of: "read, 100 trees: " + read.what, most: true, limit: 1.2})
	}
	return all
}

// words say what is asked.
func (b bar) words() string {
	side := "at least"
	if b.most {
		side = "at most"
	}
	text := fmt.Sprintf("%s %g", side, b.limit)
	switch {
	case b.of != "":
		return text + " × " + nameOf(b.of)
	case b.unit != "":
		return text + " " + b.unit
	}
	return text
}

// nameOf is what a figure is called in the report.
func nameOf(figure string) string {
	if words, ok := floorWords[figure]; ok {
		return words
	}
	return figure
}

// measured is the number that the bar is about; ok is false if it was not measured.
func (b bar) measured(r *results) (v float64, ok bool) {
	if b.of == "" {
		return r.median(b.figure)
	}
	return r.ratio(b.figure, b.of)
}

// reached says whether a number is as asked.
func (b bar) reached(v float64) bool {
	if b.most {
		return v <= b.limit
	}
	return v >= b.limit
}

// floorOf is the floor that a figure is held against whether or not there is a bar; empty: none.
func (r *results) floorOf(name string) string {
	switch {
	case name == "hop p99":
		return floorHopP99
	case strings.HasPrefix(name, "hop") && r.Units[name] == "ms":
		return floorHop
	case r.Units[name] == "tasks/s" && strings.HasPrefix(name, "submit"):
		return floorCopy
	case r.Units[name] == "tasks/s" && !strings.HasPrefix(name, sleepsName):
		return floorRate
	}
	return ""
}

// against is what a figure is of those that it is held against, as text.
func (r *results) against(name string) string {
	others := []string{r.floorOf(name)}
	for _, b := range bars {
		if b.figure == name && b.of != "" && !slices.Contains(others, b.of) {
			others = append(others, b.of)
		}
	}
	var texts []string
	for _, other := range others {
		if v, ok := r.ratio(name, other); ok {
			texts = append(texts, fmt.Sprintf("%.2f × %s", v, nameOf(other)))
		}
	}
	return strings.Join(texts, "; ")
}

// asked is what is asked of a figure, as text.
func (r *results) asked(name string) string {
	var texts []string
	for _, b := range bars {
		if b.figure == name {
			texts = append(texts, b.words())
		}
	}
	return strings.Join(texts, "; ")
}

// barsTable writes which bars the sitting reaches.
func (r *results) barsTable(b *strings.Builder) {
	b.WriteString("\n| what | workers × slots | measured | asked | reached |\n|---|---|---|---|---|\n")
	river := false
	for _, bar := range bars {
		if bar.aside {
			continue
		}
		v, ok := bar.measured(r)
		with, text, reached := "", "not measured", ""
		if ok {
			with = r.setup(bar.figure)
			text, reached = r.barText(bar, v), "no"
			river = river || strings.HasPrefix(bar.of, "River")
			if bar.reached(v) {
				reached = "yes"
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", bar.figure, with, text, bar.words(), reached)
	}
	if !river {
		b.WriteString("\nRiver was not measured in this sitting.\n")
	}
}

// barText is a bar's number, and for a ratio what it comes from.
func (r *results) barText(b bar, v float64) string {
	unit := strings.TrimRight(" "+r.Units[b.figure], " ")
	if b.of == "" {
		return human(v) + unit
	}
	above, _ := r.median(b.figure)
	below, _ := r.median(b.of)
	return fmt.Sprintf("%.3f (%s against %s%s)", v, human(above), human(below), unit)
}
