// Command bench measures a cluster of separate processes (coordinator, worker, NATS server, Postgres) on this machine, with
// production settings, and writes docs/performance.md. In the same run it measures what Postgres and NATS can do alone, with
// the limits programs.
//
//	go run ./tests/bench                  # everything, as `make bench` does
//	go run ./tests/bench -only flat -tasks 10000 -runs 1 -out ""
//	go run ./tests/bench -only flat,flat-slots -slots 16,1000 -results ""
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	runs, tasks, hops, wide int
	concurrency             int   // slots of each pool of a worker
	slots                   []int // the same, for each point of the suite flat-slots
	coordinators            int
	largest, curve          int
	only                    string
	limits                  string   // directory of the limits programs; empty: not measured
	out                     string   // markdown file; empty: none
	results                 string   // directory for raw results; empty: none
	dir                     string   // parent of the data directories; its disk is measured
	profile                 string   // directory for CPU profiles of coordinator and worker; empty: none
	with                    []string // raw results of other runs, reported beside these
	without                 step     // what is left out
	program                 string   // of coordinators; empty: this one
}

// figure is one measured number of one run.
type figure struct {
	Name  string
	Unit  string
	Value float64
}

// measured is a figure, and with how many slots of each pool of a worker it came about.
type measured struct {
	figure
	slots int
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := runRole(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.runs, "runs", 5, "how often to run each suite; medians are reported")
	flag.IntVar(&o.tasks, "tasks", 100_000, "tasks of the large flat tree")
	flag.IntVar(&o.hops, "hops", 1000, "steps of the chain")
	flag.IntVar(&o.wide, "wide", 100_000, "tasks that one task waits for in the fan-in")
	flag.IntVar(&o.concurrency, "concurrency", 4000, "slots of each pool of a worker, in all suites but flat-slots")
	slots := flag.String("slots", "16,64,256,1000", "slots to measure the flat tree with in the suite flat-slots, separated by commas; a worker has 16 by default")
	flag.IntVar(&o.coordinators, "coordinators", 1, "coordinator processes")
	flag.IntVar(&o.largest, "largest", 1_000_000, "tasks of the curve's largest tree")
	flag.IntVar(&o.curve, "curve", 20_000, "tasks of each point of the other curves")
	flag.StringVar(&o.only, "only", "", "suites, separated by commas; - for none: "+strings.Join(suiteNames(), ", "))
	flag.StringVar(&o.limits, "limits", "../shared/limits", "directory of the limits programs")
	flag.StringVar(&o.out, "out", "docs/performance.md", "report; empty for none")
	flag.StringVar(&o.results, "results", "tests/bench/results", "directory for the raw figures; empty for none")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "parent of the data directories")
	flag.StringVar(&o.profile, "profile", "", "directory for CPU profiles")
	quick := flag.Bool("quick", false, "one run at small size, to see that every suite works; its figures say little")
	with := flag.String("with", "", "raw results of other runs, separated by commas, to be reported beside these")
	flag.Parse()
	if *quick {
		o.runs, o.tasks, o.hops, o.wide, o.largest, o.curve = 1, 5000, 100, 5000, 10_000, 2000
		o.limits, o.out, o.results = "", "", ""
	}
	var err error
	if o.slots, err = numbers(*slots); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -slots:", err)
		os.Exit(2)
	}
	if *with != "" {
		o.with = strings.Split(*with, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// numbers reads positive numbers that are separated by commas.
func numbers(list string) (all []int, err error) {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", text)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, o options) error {
	r := report{options: o, started: time.Now(), values: map[string][]float64{}, unit: map[string]string{},
		slots: map[string]int{}, limits: map[string][]float64{}}
	limits, cleanup, err := buildLimits(ctx, o.limits)
	if err != nil {
		return err
	}
	defer cleanup()
	var failed error
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	for n := range o.runs {
		if err := r.measureLimits(ctx, limits); err != nil {
			return err
		}
		// Each run begins with another suite: a virtual machine that rested is faster for a while.
		first := n * len(chosen) / o.runs
		for _, s := range slices.Concat(chosen[first:], chosen[:first]) {
			figures, err := measure(ctx, o, s)
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil { // the other suites are worth their time all the same
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			}
			for _, f := range figures {
				r.add(f)
				fmt.Printf("%-60s %12.4g %s\n", f.Name, f.Value, f.Unit)
			}
			if err := r.writeRaw(); err != nil { // an interrupted run loses nothing
				return err
			}
		}
	}
	for _, name := range o.with {
		if err := r.read(name); err != nil {
			return err
		}
	}
	return errors.Join(failed, r.write())
}

// choose picks suites by their names, separated by commas; none: all of them. "-" is no suite: only raw results of other
// runs are reported then.
func choose(only string) (chosen []suite, err error) {
	if only == "" {
		return suites, nil
	}
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 && name != "-" {
			return nil, fmt.Errorf("no suite is called %q: there are %s", name, strings.Join(suiteNames(), ", "))
		}
		if i >= 0 {
			chosen = append(chosen, suites[i])
		}
	}
	return chosen, nil
}

// measure runs one suite on a fresh cluster, unless the suite starts its own.
func measure(ctx context.Context, o options, s suite) (all []measured, err error) {
	if s.alone != nil {
		return s.alone(ctx, o)
	}
	if s.coordinators > 0 {
		o.coordinators = s.coordinators
	}
	c, err := startCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	figures, err := s.run(ctx, c, o)
	for _, f := range figures {
		all = append(all, measured{f, o.concurrency})
	}
	return all, err
}

// buildLimits builds the limits programs. program is empty when there are none to be measured.
func buildLimits(ctx context.Context, dir string) (program string, cleanup func(), err error) {
	cleanup = func() {}
	if dir == "" {
		return "", cleanup, nil
	}
	if _, err := os.Stat(dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: no limits at %s: figures come without ratios\n", dir)
		return "", cleanup, nil
	}
	tmp, err := os.MkdirTemp("", "bench-limits-")
	if err != nil {
		return "", cleanup, err
	}
	cleanup = func() { os.RemoveAll(tmp) }
	program = filepath.Join(tmp, "limits")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir, build.Stderr = dir, os.Stderr
	if err := build.Run(); err != nil {
		return "", cleanup, fmt.Errorf("build limits: %w", err)
	}
	return program, cleanup, nil
}

// measureLimits runs the limits programs once, beside each run of the suites, so that an hour in which the machine is slow
// moves both sides alike.
func (r *report) measureLimits(ctx context.Context, program string) error {
	if program == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, program, "-json", "-runs", "1", "-dir", r.options.dir, "combined", "hop", "postgres")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	var figures map[string]float64
	if err := json.Unmarshal(out, &figures); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	for name, v := range figures {
		r.limits[name] = append(r.limits[name], v)
	}
	return nil
}
