// Command bench measures a cluster of separate processes (coordinator, worker, NATS server, Postgres) on this machine, with
// production settings, and writes docs/performance.md. In the same run it measures what Postgres and NATS can do alone, with
// the limits programs.
//
//	go run ./tests/bench                  # everything, as `make bench` does
//	go run ./tests/bench -only flat -tasks 10000 -runs 1 -out ""
//	go run ./tests/bench -only flat,flat-slots -slots 16,1000 -out "" -results ""
//	go run ./tests/bench -only people     # the figures of the table of bars, beside River's
//	go run ./tests/bench -only start -sitting 2026-11-28T113612.json   # more figures of the sitting that has just been
//	go run ./tests/bench -only -          # nothing: writes the report again from the raw figures that it shows
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:generate go run . -only - -results results -out ../../docs/performance.md

// figure is one measured number of one run.
type figure struct {
	Name  string
	Unit  string
	Value float64
}

// measured is a figure, and with how many slots of each pool (0: the default) of how many worker processes it came about.
type measured struct {
	figure
	slots, workers int
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := runRole(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		return report(o, nil)
	}
	r, err := newResults(time.Now())
	if err != nil {
		return err
	}
	if o.sitting != "" {
		if r, err = resume(o.results, o.sitting, r); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "bench-programs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.programs, err = buildPrograms(ctx, o, chosen, dir); err != nil {
		return err
	}
	failed := measureAll(ctx, o, chosen, r)
	if ctx.Err() != nil {
		return failed
	}
	return errors.Join(failed, report(o, r))
}

// measureAll runs the suites and saves their figures as they come. A suite that fails does not keep the others from running.
func measureAll(ctx context.Context, o options, chosen []suite, r *results) (failed error) {
	began, first := time.Now(), r.nextRound()
	for n := range o.runs {
		if err := r.measureLimits(ctx, o, chosen, first+n); err != nil {
			return err
		}
		// Each round begins with another suite: a virtual machine that rested is faster for a while.
		turn := n * len(chosen) / o.runs
		for _, s := range slices.Concat(chosen[turn:], chosen[:turn]) {
			begin := time.Now()
			figures, err := measure(ctx, o, s)
			if ctx.Err() != nil {
				return err
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			}
			for _, f := range figures {
				r.add(f, first+n)
				fmt.Printf("%-60s %12.4g %-12s %s\n", f.Name, f.Value, f.Unit, setup(f.workers, f.slots))
			}
			fmt.Fprintf(os.Stderr, "%s, run %d of %d, took %.1f s\n", s.name, n+1, o.runs, time.Since(begin).Seconds())
			if err := r.save(o.results); err != nil { // an interrupted run loses nothing
				return err
			}
		}
	}
	fmt.Fprintf(os.Stderr, "all took %.0f s\n", time.Since(began).Seconds())
	return failed
}

// report prints the medians, and writes the report: of these results, if there are any, and of those that the flags name.
func report(o options, r *results) error {
	var shown []*results
	if r != nil {
		shown = append(shown, r)
		r.print()
	}
	if o.out == "" {
		return nil
	}
	names := o.with
	if r == nil && len(names) == 0 {
		old, err := os.ReadFile(o.out)
		if err != nil {
			return err
		}
		names = shownResults(string(old))
	}
	for _, name := range names {
		other, err := readResults(o.results, name)
		if err != nil {
			return err
		}
		shown = append(shown, other)
	}
	return writeReport(o.out, shown)
}

// print prints the medians and the bars.
func (r *results) print() {
	for _, name := range r.Order {
		v, _ := r.median(name)
		fmt.Printf("median %-53s %12.4g %-12s %-12s %s\n", name, v, r.Units[name], r.setup(name), r.against(name))
	}
	var b strings.Builder
	r.barsTable(&b)
	fmt.Print(b.String())
}

// choose picks suites by their names, separated by commas; none: all of them. "-" is no suite: only raw results are reported
// then.
func choose(only string) (chosen []suite, err error) {
	switch only {
	case "":
		return suites, nil
	case "people":
		only = people
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
		all = append(all, measured{f, o.concurrency, 1})
	}
	return all, err
}
