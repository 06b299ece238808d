package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// options are the flags.
type options struct {
	runs, tasks, hops, wide int
	concurrency             int   // slots of each pool of a worker
	slots                   []int // the same, for each point of the suite flat-slots
	riverJobs               int
	riverWorkers            []int // of each point of the suite river
	sleeps                  int
	coordinators            int
	sealed                  bool // they seal values
	commands                bool // workers run commands, too
	access                  bool // they ask callers who they are, and record changes
	largest, curve          int
	calls                   int // of each executor, and of the library that it uses
	only                    string
	limits, peers           string   // directories of the programs; empty: not measured
	programs                programs // built from these
	out                     string   // markdown file; empty: none
	results                 string   // directory for raw results; empty: none
	dir                     string   // parent of the data directories; its disk is measured
	profile                 string   // directory for CPU profiles of coordinator and worker; empty: none
	sitting                 string   // raw results to add to; empty: a new file
	with                    []string // raw results of other sittings, reported below
	without                 step     // what is left out
	coordinator             string   // program of coordinators; empty: this one
}

// parse reads the flags.
func parse() (o options, err error) {
	flag.IntVar(&o.runs, "runs", 5, "how often to run each suite; medians are reported")
	flag.IntVar(&o.tasks, "tasks", 100_000, "tasks of the large flat tree")
	flag.IntVar(&o.hops, "hops", 1000, "steps of the chain")
	flag.IntVar(&o.wide, "wide", 100_000, "tasks that one task waits for in the fan-in")
	flag.IntVar(&o.concurrency, "concurrency", 4000, "slots of each pool of a worker, in all suites but flat-slots and sleeps")
	slots := flag.String("slots", "16,64,256,2000", "slots to measure the flat tree with in the suite flat-slots, separated by commas; a worker has 16 by default")
	flag.IntVar(&o.riverJobs, "river-jobs", riverJobs, "jobs of the suite river; each of its points does them twice")
	workers := flag.String("river-workers", "16,64,256,2000", "workers to measure River with, separated by commas")
	flag.IntVar(&o.sleeps, "sleeps", 32_000, "tasks of the suite sleeps, 10 s at least")
	flag.IntVar(&o.coordinators, "coordinators", 1, "coordinator processes")
	flag.BoolVar(&o.sealed, "sealed", false, "coordinators seal values, in Postgres and in NATS")
	flag.IntVar(&o.largest, "largest", 1_000_000, "tasks of the curve's largest tree")
	flag.IntVar(&o.curve, "curve", 20_000, "tasks of each point of the other curves")
	flag.IntVar(&o.calls, "calls", 500, "attempts of each executor in the suite executors, and as many calls of the library that it uses")
	flag.BoolVar(&o.access, "access", false, "coordinators ask callers who they are, by tokens, and record what is changed")
	flag.StringVar(&o.only, "only", "", "suites, separated by commas; - for none; people for those of the table of bars, "+people+": "+strings.Join(suiteNames(), ", "))
	flag.StringVar(&o.limits, "limits", "../shared/limits", "directory of the limits programs")
	flag.StringVar(&o.peers, "peers", "../shared/peers", "directory of the peers program, which runs River")
	flag.StringVar(&o.out, "out", "docs/performance.md", "report; empty for none")
	flag.StringVar(&o.results, "results", "tests/bench/results", "directory for the raw figures; empty for none")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "parent of the data directories")
	flag.StringVar(&o.profile, "profile", "", "directory for CPU profiles")
	quick := flag.Bool("quick", false, "one run at small size, to see that every suite works; its figures say little")
	flag.StringVar(&o.sitting, "sitting", "", "raw figures, a file in -results, to add to: of this program, at most 30 minutes old")
	with := flag.String("with", "", "raw figures of other sittings, files in -results separated by commas, to be reported below these; with -only -, none are those that the report shows")
	flag.Parse()
	if *quick {
		o.runs, o.tasks, o.hops, o.wide, o.largest, o.curve, o.sleeps, o.riverJobs = 1, 5000, 100, 5000, 10_000, 2000, 2000, 5000
		o.calls, o.limits, o.out, o.results = 20, "", "", ""
	}
	if o.slots, err = numbers(*slots); err != nil {
		return o, fmt.Errorf("-slots: %w", err)
	}
	if o.riverWorkers, err = numbers(*workers); err != nil {
		return o, fmt.Errorf("-river-workers: %w", err)
	}
	if *with != "" {
		o.with = strings.Split(*with, ",")
	}
	if o.results == "" && (o.sitting != "" || *with != "") {
		return o, errors.New("-sitting and -with name files in -results, which is empty")
	}
	return o, nil
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
