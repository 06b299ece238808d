package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report gathers the figures of all runs.
type report struct {
	options options
	started time.Time
	limits  map[string][]float64 // of the limits programs, by suite/figure; one a run, or only their median
	order   []string
	values  map[string][]float64
	unit    map[string]string
	slots   map[string]int // of each pool of a worker, by figure
	others  []rawResults
}

// rawResults is what a run leaves in tests/bench/results.
type rawResults struct {
	At      string               `json:"at"`
	Machine string               `json:"machine"`
	Limits  map[string]float64   `json:"limits"`
	Order   []string             `json:"order"`
	Units   map[string]string    `json:"units"`
	Slots   map[string]int       `json:"slots,omitempty"` // none in results of before 2026-11-28
	Runs    map[string][]float64 `json:"runs"`

	LimitRuns map[string][]float64 `json:"limit_runs,omitempty"`
}

func (r *report) add(f measured) {
	if _, seen := r.values[f.Name]; !seen {
		r.order = append(r.order, f.Name)
		r.unit[f.Name] = f.Unit
		r.slots[f.Name] = f.slots
	}
	r.values[f.Name] = append(r.values[f.Name], f.Value)
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// The figures of the limits programs that ours are held against.
const (
	floorRate   = "combined/END TO END, split"
	floorHop    = "hop/hop p50"
	floorHopP99 = "hop/hop p99"
	floorCopy   = "postgres/insert task+edge (COPY), split, 1 conn"
)

// ratio is what a figure is of its floor, as text: the median of the runs' ratios, each to the floor of that run.
func (r *report) ratio(name string) string {
	values, floor, what := r.values[name], "", ""
	switch {
	case name == "hop p99":
		floor, what = floorHopP99, "× the hop floor's p99"
	case strings.HasPrefix(name, "hop") && r.unit[name] == "ms":
		floor, what = floorHop, "× the hop floor"
	case strings.HasPrefix(name, "submit") && r.unit[name] == "tasks/s":
		floor, what = floorCopy, "of the COPY rate"
	case r.unit[name] == "tasks/s":
		floor, what = floorRate, "of the combined floor"
	}
	if len(r.limits[floor]) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f %s", ratios(values, r.limits[floor]), what)
}

// ratios is the median of the runs' ratios. Where the one was not measured as often as the other, its median stands for all.
func ratios(values, to []float64) float64 {
	if len(to) != len(values) {
		return median(values) / median(to)
	}
	each := slices.Clone(values)
	for i := range each {
		each[i] /= to[i]
	}
	return median(each)
}

// read adds the figures of another run, as ratios to the floors of that run where they have one.
func (r *report) read(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var raw rawResults
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(raw.Order) == 0 {
		raw.Order = slices.Sorted(maps.Keys(raw.Runs))
	}
	if raw.LimitRuns == nil { // an older run, of which only the medians were kept
		raw.LimitRuns = map[string][]float64{}
		for name, v := range raw.Limits {
			raw.LimitRuns[name] = []float64{v}
		}
	}
	r.others = append(r.others, raw)
	return nil
}

func (r *report) write() error {
	for _, name := range r.order {
		fmt.Printf("median %-53s %12.4g %-8s %s\n", name, median(r.values[name]), r.unit[name], r.ratio(name))
	}
	if r.options.out == "" {
		return nil
	}
	return r.writeReport()
}

// writeRaw saves what was measured so far.
func (r *report) writeRaw() error {
	if r.options.results == "" || len(r.order) == 0 {
		return nil
	}
	if err := os.MkdirAll(r.options.results, 0o755); err != nil {
		return err
	}
	limits := map[string]float64{}
	for name, runs := range r.limits {
		limits[name] = median(runs)
	}
	data, err := json.MarshalIndent(rawResults{At: r.started.UTC().Format(time.RFC3339), Machine: machine(), Limits: limits,
		Order: r.order, Units: r.unit, Slots: r.slots, Runs: r.values, LimitRuns: r.limits}, "", "  ")
	if err != nil {
		return err
	}
	name := r.started.UTC().Format(rawName)
	return os.WriteFile(filepath.Join(r.options.results, name), append(data, '\n'), 0o644)
}

// rawName is the raw figures' file name, as a time's layout.
const rawName = "2006-01-02T150405.json"

// marks of the generated part of the report; what stands around it is kept.
const (
	beginMark = "<!-- begin: written by make bench -->"
	endMark   = "<!-- end -->"
)

func (r *report) writeReport() error {
	var b strings.Builder
	b.WriteString(beginMark + "\n")
	if len(r.order) > 0 {
		if err := r.section(&b); err != nil {
			return err
		}
	}
	for _, o := range r.others {
		at, _ := time.Parse(time.RFC3339, o.At)
		other := &report{options: r.options, started: at, limits: o.LimitRuns, order: o.Order, values: o.Runs, unit: o.Units, slots: o.Slots}
		if err := other.section(&b); err != nil {
			return err
		}
	}
	b.WriteString("\n" + endMark)
	old, err := os.ReadFile(r.options.out)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	text := string(old)
	from, to := strings.Index(text, beginMark), strings.Index(text, endMark)
	if from >= 0 && to > from {
		text = text[:from] + b.String() + text[to+len(endMark):]
	} else {
		text = strings.TrimRight(text, "\n") + "\n\n" + b.String() + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(r.options.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.options.out, []byte(text), 0o644)
}

// bars are what is asked of figures (the prefix of their names), as it stands in the issue.
var bars = []struct{ prefix, text string }{
	{"flat 1000000, claimed: peak memory of coordinator", "under 512 MiB"},
	{"flat 1000000, claimed: peak memory of worker", "under 128 MiB"},
	{"flat 1000000, claimed: cpu", ""},
	{"flat 1000000, claimed: peak", ""},
	{"flat 1000000, claimed", "within 20 % of flat 100000"},
	{"flat 100000, claimed: ", ""},
	{"flat 100000, repeatable: ", ""},
	{"flat 100000, claimed", "0.4 of the combined floor"},
	{"flat 100000, repeatable", "0.5 of the combined floor"},
	{"submit 100000, claimed", "0.5 of the COPY rate"},
	{"submit 99000 through JSON-RPC: ", ""},
	{"submit 99000 through JSON-RPC, with a key: ", ""},
	{"submit 99000 through JSON-RPC, stored and shown: ", ""},
	{"submit 99000 through JSON-RPC", "70 000 tasks/s"},
	{"1000 trees of 100 tasks: ", ""},
	{"1000 trees of 100 tasks", "0.8 of flat 100000"},
	{"hop at half load p99", "under 100 ms"},
	{"hop p50", "within 2.5 × the hop floor"},
	{"hop p99", "under 10 ms"},
	{"fan-in of 100000", "at least 1/1.3 of flat 100000"},
	{"idle: cpu of postgres", ""},
	{"idle: cpu", "under 1 %"},
	{"dev start, ephemeral: ", ""},
	{"dev start, ephemeral", "2 s"},
	{"dev start, data directory again: ", ""},
	{"dev start, data directory again", "0.5 s"},
}

// bar is what is asked of a figure; several coordinators and reads are held against other figures of the same run.
func (r *report) bar(name string) string {
	for _, b := range bars {
		if strings.HasPrefix(name, b.prefix) {
			return b.text
		}
	}
	switch {
	case strings.HasSuffix(name, "coordinators"):
		return "at least 0.9 of one coordinator"
	case strings.HasSuffix(name, "deadlocks"):
		return "0"
	case strings.HasPrefix(name, "read, 10000 trees"):
		return "within 20 % of 100 trees"
	}
	return ""
}

// beside is a figure's ratio to the figure of ours that its bar names.
func (r *report) beside(name string) string {
	other := ""
	switch {
	case name == "flat 1000000, claimed", name == "1000 trees of 100 tasks", name == "fan-in of 100000", strings.HasSuffix(name, "coordinators"):
		other = "flat 100000, claimed"
	case strings.HasPrefix(name, "read, 10000 trees"):
		other = strings.Replace(name, "10000", "100", 1)
	}
	to := r.values[other]
	if len(to) == 0 || median(to) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f × %s", ratios(r.values[name], to), other)
}

// section writes the figures of one run.
func (r *report) section(b *strings.Builder) error {
	fmt.Fprintf(b, "\nMeasured on %s at %s, %s, with `make bench`. Raw figures: %s.\n\n", r.started.UTC().Format("2006-01-02"), r.started.UTC().Format("15:04"),
		machine(), r.started.UTC().Format(rawName))
	b.WriteString("| what | slots | median | unit | ratio | bar | spread | runs |\n|---|---:|---:|---|---|---|---|---|\n")
	for _, name := range r.order {
		var runs []string
		for _, v := range r.values[name] {
			runs = append(runs, human(v))
		}
		held := slices.DeleteFunc([]string{r.ratio(name), r.beside(name)}, func(s string) bool { return s == "" })
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s–%s | %s |\n", name, r.slotsOf(name), human(median(r.values[name])), r.unit[name], strings.Join(held, "; "), r.bar(name),
			human(slices.Min(r.values[name])), human(slices.Max(r.values[name])), strings.Join(runs, " "))
	}
	if err := r.plots(b); err != nil {
		return err
	}
	if len(r.limits) > 0 {
		b.WriteString("\nThe floors, from the limits programs in the same run:\n\n| floor | median |\n|---|---:|\n")
		for _, name := range []string{floorRate, floorHop, floorHopP99, floorCopy} {
			fmt.Fprintf(b, "| %s | %s |\n", name, human(median(r.limits[name])))
		}
	}
	return nil
}

// slotsOf is the number of slots that a figure was measured with, as text; ? if it was not recorded.
func (r *report) slotsOf(name string) string {
	if n := r.slots[name]; n > 0 {
		return strconv.Itoa(n)
	}
	return "?"
}

// plots draws the curves that were measured, next to the report.
func (r *report) plots(b *strings.Builder) error {
	for _, curve := range []string{curveTasks, curveWorkers, curveEdges, curveBytes} {
		var xs, ys []float64
		for _, name := range r.order {
			if x, ok := strings.CutPrefix(name, "curve, "+curve+": "); ok {
				n, _ := strconv.Atoi(x)
				xs, ys = append(xs, float64(n)), append(ys, median(r.values[name]))
			}
		}
		if len(xs) < 2 || r.options.out == "" {
			continue
		}
		dir := strings.TrimSuffix(r.options.out, ".md")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		file := strings.ReplaceAll(curve, " ", "-") + ".svg"
		if err := os.WriteFile(filepath.Join(dir, file), []byte(plot(curve, xs, ys)), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(b, "\n![cost per task by %s](%s/%s)\n", curve, filepath.Base(dir), file)
	}
	return nil
}

func human(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// machine says what this was measured on.
func machine() string {
	cpu := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%d cores of %s, %s, %s", runtime.NumCPU(), cpu, strings.TrimSpace(string(kernel)), runtime.Version())
}

// parseCPU reads the processor time of a process from its stat line, in clock ticks of 10 ms.
func parseCPU(stat string) time.Duration {
	_, rest, ok := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
