package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are the figures of one sitting: one program, on one machine, without long breaks. A sitting has rounds; in each round
// a suite runs once, beside the limits programs. Each file in tests/bench/results holds one sitting.
type results struct {
	At      time.Time            `json:"at"`
	Until   time.Time            `json:"until,omitzero"`    // when the last figure came; none in files of before 2026-11-28
	Machine string               `json:"machine"`           // processor, system, Go
	Commit  string               `json:"commit,omitempty"`  // for people
	Program string               `json:"program,omitempty"` // hash of the program that measured, which holds the whole engine
	Order   []string             `json:"order"`
	Units   map[string]string    `json:"units"`
	Slots   map[string]int       `json:"slots,omitempty"`   // of each pool of a worker, by figure; 0: what suits each executor
	Workers map[string]int       `json:"workers,omitempty"` // worker processes, by figure
	Runs    map[string][]float64 `json:"runs"`
	Limits  map[string]float64   `json:"limits,omitempty"` // medians, in files of before 2026-11-28
	// LimitRuns are the figures of the limits programs, by suite/figure.
	LimitRuns map[string][]float64 `json:"limit_runs,omitempty"`
	// Rounds are the rounds that the values of Runs and LimitRuns come from; none: the first value is of round 0, and so on.
	Rounds map[string][]int `json:"rounds,omitempty"`

	name string // of the file
}

// sittingBreak is how long a sitting may pause. The machine's speed changes from hour to hour.
const sittingBreak = 30 * time.Minute

// fileLayout is a results file's name, as a time's layout.
const fileLayout = "2006-01-02T150405.json"

// newResults begins a sitting.
func newResults(now time.Time) (*results, error) {
	program, err := programHash()
	return &results{At: now.UTC().Truncate(time.Second), Machine: machine(), Commit: commit(), Program: program, Units: map[string]string{},
		Slots: map[string]int{}, Workers: map[string]int{}, Runs: map[string][]float64{}, LimitRuns: map[string][]float64{},
		Rounds: map[string][]int{}, name: now.UTC().Format(fileLayout)}, err
}

// readResults reads a file of the directory.
func readResults(dir, name string) (*results, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	r := &results{name: name}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(r.Order) == 0 {
		r.Order = slices.Sorted(maps.Keys(r.Runs))
	}
	if r.LimitRuns == nil {
		r.LimitRuns = map[string][]float64{}
		for name, v := range r.Limits {
			r.LimitRuns[name] = []float64{v}
		}
	}
	return r, nil
}

// resume reads a file to add figures to it. It refuses figures of another program, machine or hour: ratios between those say
// nothing.
func resume(dir, name string, now *results) (*results, error) {
	r, err := readResults(dir, name)
	if err != nil {
		return nil, err
	}
	var why []error
	if r.Program != now.Program {
		why = append(why, fmt.Errorf("it was measured with another program (commit %s)", r.Commit))
	}
	if r.Machine != now.Machine {
		why = append(why, fmt.Errorf("it was measured on another machine (%s)", r.Machine))
	}
	if pause := now.At.Sub(r.Until); pause > sittingBreak {
		why = append(why, fmt.Errorf("its last figure is %v old, more than %v", pause.Round(time.Second), sittingBreak))
	}
	if len(why) > 0 {
		return nil, fmt.Errorf("%s is another sitting: %w", name, errors.Join(why...))
	}
	return r, nil
}

// save writes the file.
func (r *results) save(dir string) error {
	if dir == "" || len(r.Order) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.name), append(data, '\n'), 0o644)
}

// add adds a figure of a round.
func (r *results) add(f measured, round int) {
	if _, seen := r.Runs[f.Name]; !seen {
		r.Order = append(r.Order, f.Name)
		r.Units[f.Name], r.Slots[f.Name], r.Workers[f.Name] = f.Unit, f.slots, f.workers
	}
	r.Runs[f.Name] = append(r.Runs[f.Name], f.Value)
	r.Rounds[f.Name] = append(r.Rounds[f.Name], round)
	r.Until = time.Now().UTC().Truncate(time.Second)
}

// addLimit adds a figure of the limits programs.
func (r *results) addLimit(name string, value float64, round int) {
	r.LimitRuns[name] = append(r.LimitRuns[name], value)
	r.Rounds[name] = append(r.Rounds[name], round)
}

// nextRound is the first round that has no figures.
func (r *results) nextRound() (next int) {
	for _, rounds := range r.Rounds {
		for _, n := range rounds {
			next = max(next, n+1)
		}
	}
	return next
}

// values are what was measured, by round.
func (r *results) values(name string) map[int]float64 {
	runs, ok := r.Runs[name]
	if !ok {
		runs = r.LimitRuns[name]
	}
	byRound := map[int]float64{}
	for i, v := range runs {
		round := i
		if rounds := r.Rounds[name]; i < len(rounds) {
			round = rounds[i]
		}
		byRound[round] = v
	}
	return byRound
}

// median is the median of a figure's runs; ok is false if there are none.
func (r *results) median(name string) (v float64, ok bool) {
	values := r.values(name)
	if len(values) == 0 {
		return 0, false
	}
	return median(slices.Collect(maps.Values(values))), true
}

// ratio is the median of the ratios of one figure to another, each within its round. Where a round lacks the other figure, it is
// the ratio of the medians. ok is false if one of them was not measured.
func (r *results) ratio(name, to string) (v float64, ok bool) {
	above, below := r.values(name), r.values(to)
	if len(above) == 0 || len(below) == 0 {
		return 0, false
	}
	var each []float64
	for round, value := range above {
		other, ok := below[round]
		if !ok {
			return median(slices.Collect(maps.Values(above))) / median(slices.Collect(maps.Values(below))), true
		}
		each = append(each, value/other)
	}
	return median(each), true
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
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

// commit names the commit of the sources, and says whether they were changed since; empty without git.
func commit() string {
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return ""
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--", ":/*.go", ":/*.sql", ":/go.mod").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + ", changed"
	}
	return strings.TrimSpace(string(head))
}

// programHash tells this program from one of other sources.
func programHash() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
