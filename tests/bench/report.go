package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Marks of the generated part of the report; what stands around it is kept. The first one names the results that it shows.
const (
	beginMark = "<!-- begin: written by make bench from "
	endMark   = "<!-- end -->"
)

var beginPattern = regexp.MustCompile(regexp.QuoteMeta(beginMark) + `(.*) -->\n`)

// shownResults are the names of the results files that a report shows.
func shownResults(text string) []string {
	m := beginPattern.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	return strings.Fields(m[1])
}

// document is a report: its text, and the plots by their file names.
type document struct {
	text  string
	plots map[string]string
}

// render writes the results into a report, in place of its generated part. dir is the plots' directory as links name it.
func render(old, dir string, shown []*results) (document, error) {
	from, to := beginPattern.FindStringIndex(old), strings.Index(old, endMark)
	if from == nil || to < from[1] {
		return document{}, fmt.Errorf("the report has no line %q…, or no line %q after it", beginMark, endMark)
	}
	if len(shown) == 0 {
		return document{}, fmt.Errorf("no results to show")
	}
	d := document{plots: map[string]string{}}
	var b strings.Builder
	var names []string
	for _, r := range shown {
		names = append(names, r.name)
	}
	fmt.Fprintf(&b, "%s%s%s -->\n", old[:from[0]], beginMark, strings.Join(names, " "))
	for i, r := range shown {
		r.head(&b)
		if i == 0 {
			r.barsTable(&b)
		}
		r.plots(&b, dir, d.plots)
		r.table(&b)
	}
	b.WriteString("\n" + old[to:])
	d.text = b.String()
	return d, nil
}

// writeReport shows the results in the report at path.
func writeReport(path string, shown []*results) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dir := strings.TrimSuffix(path, ".md")
	d, err := render(string(old), filepath.Base(dir), shown)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, svg := range d.plots {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	if bytes.Equal(old, []byte(d.text)) {
		return nil
	}
	return os.WriteFile(path, []byte(d.text), 0o644)
}

// head says where and when a sitting was.
func (r *results) head(b *strings.Builder) {
	fmt.Fprintf(b, "\nMeasured on %s at %s UTC, %s", r.At.Format("2006-01-02"), r.At.Format("15:04"), r.Machine)
	if r.Commit != "" {
		fmt.Fprintf(b, ", commit %s", r.Commit)
	}
	fmt.Fprintf(b, ". Raw figures: %s.\n", r.name)
}

// table writes all figures of a sitting.
func (r *results) table(b *strings.Builder) {
	b.WriteString("\n| what | workers × slots | median | unit | ratio | asked | spread | runs |\n|---|---|---:|---|---|---|---|---|\n")
	for _, name := range r.Order {
		var runs []string
		for _, v := range r.Runs[name] {
			runs = append(runs, human(v))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s–%s | %s |\n", name, r.setup(name), human(median(r.Runs[name])), r.Units[name], r.against(name), r.asked(name),
			human(slices.Min(r.Runs[name])), human(slices.Max(r.Runs[name])), strings.Join(runs, " "))
	}
	var floors []string
	for _, name := range []string{floorRate, floorHop, floorHopP99, floorCopy} {
		if v, ok := r.median(name); ok {
			floors = append(floors, fmt.Sprintf("| %s (%s) | %s |\n", nameOf(name), name, human(v)))
		}
	}
	if len(floors) > 0 {
		b.WriteString("\nThe floors, from the limits programs in the same sitting:\n\n| floor | median |\n|---|---:|\n" + strings.Join(floors, ""))
	}
}

// setup is with how many worker processes, and how many slots of each pool, a figure came about; ? if it was not recorded.
func (r *results) setup(name string) string {
	workers, ok := r.Workers[name]
	if !ok {
		return "?"
	}
	return setup(workers, r.Slots[name])
}

func setup(workers, slots int) string {
	switch {
	case workers == 0:
		return "none"
	case slots == 0:
		return strconv.Itoa(workers) + " × default"
	}
	return fmt.Sprintf("%d × %d", workers, slots)
}

// plots draws the curves that were measured, for the directory dir, into files.
func (r *results) plots(b *strings.Builder, dir string, files map[string]string) {
	if p := r.slotsPlot(); len(p.curves) > 0 {
		files["slots.svg"] = p.svg()
		fmt.Fprintf(b, "\n![%s. %s](%s/slots.svg)\n", p.title, p.description(), dir)
	}
	for _, grows := range []string{curveTasks, curveWorkers, curveEdges, curveBytes} {
		c := r.curve("", "curve, "+grows+": ", "")
		if len(c.xs) < 2 {
			continue
		}
		file := strings.ReplaceAll(grows, " ", "-") + ".svg"
		files[file] = plot{title: "Cost per task by " + grows, xLabel: grows, yLabel: "µs per task", curves: []curve{c}}.svg()
		fmt.Fprintf(b, "\n![cost per task by %s](%s/%s)\n", grows, dir, file)
	}
}

// slotsPlot is the flat tree's rate over slots, beside River's over its workers.
func (r *results) slotsPlot() plot {
	p := plot{title: "No-op tasks per second by slots of one worker", xLabel: "slots (River: workers)", yLabel: "tasks/s"}
	ours := r.curve("Taskgrove", "flat 100000, ", " slots")
	if v, ok := r.median(flatClaimed); ok {
		ours.add(float64(r.Slots[flatClaimed]), v)
	}
	for _, c := range []curve{ours, r.curve("River", fmt.Sprintf("River %d, ", riverJobs), " workers")} {
		if len(c.xs) > 1 {
			p.curves = append(p.curves, c)
		}
	}
	return p
}

// curve is the figures whose names are a number between before and after, as points.
func (r *results) curve(name, before, after string) curve {
	c := curve{name: name}
	for _, figure := range r.Order {
		rest, begins := strings.CutPrefix(figure, before)
		number, ends := strings.CutSuffix(rest, after)
		if x, err := strconv.ParseFloat(number, 64); begins && ends && err == nil {
			c.add(x, median(r.Runs[figure]))
		}
	}
	return c
}

// add adds a point at its place; a curve has one for each x.
func (c *curve) add(x, y float64) {
	i, found := slices.BinarySearch(c.xs, x)
	if found {
		return
	}
	c.xs, c.ys = slices.Insert(c.xs, i, x), slices.Insert(c.ys, i, y)
}

func human(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
