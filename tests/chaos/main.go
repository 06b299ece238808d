package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
)

// settings are the command line's.
type settings struct {
	seed      uint64
	histories int
	most      time.Duration
	clusters  int
	kinds     []kind
	mask      mask
	fresh     int
	shrink    bool
	keep      bool
	report    string
}

func main() {
	if code, part := faults.RunPart(); part {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sound, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if !sound {
		os.Exit(1)
	}
}

// run does what the arguments say. sound: no history broke a rule.
func run(ctx context.Context, args []string, out io.Writer) (sound bool, err error) {
	s, mutants, err := parse(args, out)
	if err != nil {
		return false, err
	}
	if mutants != "" {
		return prove(ctx, mutants, s, out)
	}
	r, err := s.play(ctx, out)
	if err != nil {
		return false, err
	}
	fmt.Fprint(out, r)
	if s.report != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return false, err
		}
		if err := os.WriteFile(s.report, append(text, '\n'), 0o644); err != nil {
			return false, err
		}
	}
	return len(r.Failures) == 0, nil
}

func parse(args []string, out io.Writer) (s settings, mutants string, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Uint64Var(&s.seed, "seed", 0, "of the first history; the next ones count on; 0: a new one")
	flags.IntVar(&s.histories, "histories", 20, "how many to play")
	flags.DurationVar(&s.most, "for", 0, "begin no history after this time; 0: play all")
	flags.IntVar(&s.clusters, "clusters", 2, "how many clusters play at a time")
	flags.IntVar(&s.fresh, "fresh", 25, "after how many histories a cluster is replaced by a new one")
	flags.DurationVar(&patience, "patience", patience, "how long after the last fault everything must have settled")
	flags.BoolVar(&s.shrink, "shrink", true, "make failing histories shorter, for at most "+shrinkTime.String()+" each")
	flags.BoolVar(&s.keep, "keep", false, "stop at the first failing history")
	flags.StringVar(&s.report, "json", "", "write a summary to this `file`")
	only := flags.String("kinds", "", "`names` of the faults to choose from, separated by commas (a name that ends in - is a prefix); empty: all")
	list := flags.Bool("list", false, "list the faults and end")
	trees := flags.String("trees", "", "`numbers` of the trees of each history to play; empty: all")
	faults := flags.String("faults", "", "`numbers` of the faults of each history to inject; empty: all; none: none")
	holds := flags.String("holds", "", "`numbers` of what operators hold back in each history; empty: all; none: nothing")
	flowing := flags.String("flows", "", "`numbers` of the flows of each history to run; empty: all; none: none")
	timed := flags.String("schedules", "", "`numbers` of the schedules of each history; empty: all; none: none")
	flags.StringVar(&mutants, "mutants", "", "build the program with one bug at a time, and look whether it is found: all, or `names` separated by commas")
	if err := flags.Parse(args); err != nil {
		return s, "", err
	}
	if flags.NArg() > 0 {
		return s, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.seed == 0 {
		s.seed = 1 + uint64(rand.Uint32())
	}
	if *list {
		for _, k := range kinds {
			fmt.Fprintf(out, "%-28s %s\n", k.name, k.what)
		}
		s.histories = 0
	}
	if s.kinds, err = choose(*only); err != nil {
		return s, "", fmt.Errorf("-kinds: %w", err)
	}
	if s.mask.trees, err = numbers(*trees); err != nil {
		return s, "", fmt.Errorf("-trees: %w", err)
	}
	if s.mask.faults, err = numbers(*faults); err != nil {
		return s, "", fmt.Errorf("-faults: %w", err)
	}
	if s.mask.holds, err = numbers(*holds); err != nil {
		return s, "", fmt.Errorf("-holds: %w", err)
	}
	if s.mask.timed, err = numbers(*timed); err != nil {
		return s, "", fmt.Errorf("-schedules: %w", err)
	}
	if s.mask.flows, err = numbers(*flowing); err != nil {
		return s, "", fmt.Errorf("-flows: %w", err)
	}
	return s, mutants, nil
}

// choose picks kinds by name or prefix.
func choose(names string) (chosen []kind, err error) {
	if names == "" {
		return kinds, nil
	}
	for _, name := range strings.Split(names, ",") {
		found := false
		for _, k := range kinds {
			if k.name == name || strings.HasSuffix(name, "-") && strings.HasPrefix(k.name, name) {
				chosen, found = append(chosen, k), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no fault %q; -list shows them", name)
		}
	}
	return chosen, nil
}

func numbers(text string) (out []int, err error) {
	if text == "" {
		return nil, nil
	}
	out = []int{}
	if text == "none" {
		return out, nil
	}
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// play plays the histories, on several clusters at a time.
func (s settings) play(ctx context.Context, out io.Writer) (*Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &Report{Seed: s.seed, Began: time.Now(), Injected: map[string]int{}, Skipped: map[string]int{}}
	var mu sync.Mutex // guards r, next and out
	next := 0
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		late := s.most > 0 && time.Since(r.Began) > s.most
		if next == s.histories || late || s.keep && len(r.Failures) > 0 || ctx.Err() != nil {
			return 0, false
		}
		next++
		return s.seed + uint64(next) - 1, true
	}
	add := func(p Plan, got Played) {
		mu.Lock()
		defer mu.Unlock()
		r.add(p, got)
		fmt.Fprintf(out, "history %d of %d, seed %d: %d trees, %d tasks, %d faults, %d trees beyond the protocol, %s, %d broken so far%s\n", r.Histories, s.histories, p.Seed, got.Counts.Trees, got.Counts.Tasks,
			len(p.Faults), got.Counts.Beyond, got.Took.Round(100*time.Millisecond), len(r.Failures), strings.Repeat(": BROKEN", min(1, len(got.Problems))))
		for _, problem := range got.Problems[:min(3, len(got.Problems))] {
			fmt.Fprintf(out, "  %s\n", problem)
		}
	}
	var players sync.WaitGroup
	for range s.clusters {
		players.Go(func() {
			if err := s.player(ctx, take, add); err != nil {
				cancel(err)
			}
		})
	}
	players.Wait()
	r.Took = time.Since(r.Began).Round(time.Second).String()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for i := range r.Failures {
		f := &r.Failures[i]
		if s.shrink {
			fmt.Fprintf(out, "history of seed %d is made shorter\n", f.plan.Seed)
			few, stop := context.WithTimeout(ctx, shrinkTime)
			var short Plan
			short, f.Problems = shrink(few, f.plan, f.Problems, 2)
			stop()
			f.Short = s.command(f.plan, short)
		}
	}
	return r, nil
}

// player plays histories on one cluster after the other.
func (s settings) player(ctx context.Context, take func() (uint64, bool), add func(Plan, Played)) error {
	var c *cluster
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	for n := 0; ; n++ {
		seed, ok := take()
		if !ok {
			return nil
		}
		plan, err := s.mask.of(newPlan(seed, s.kinds))
		if err != nil {
			return err
		}
		if n%s.fresh == 0 && c != nil {
			c.close()
			c = nil
		}
		if c == nil {
			if c, err = startCluster(ctx); err != nil {
				return err
			}
		}
		got := play(ctx, c, plan)
		if ctx.Err() != nil {
			return nil // it was not played to its end
		}
		if len(got.Problems) > 0 {
			got.Journal = c.tail(seed)
			c.close()
			c = nil
		}
		add(plan, got)
	}
}

// command is the command line that plays a shortened plan.
func (s settings) command(whole, short Plan) string {
	line := fmt.Sprintf("go run ./tests/chaos -histories 1 -seed %d", whole.Seed)
	if len(s.kinds) < len(kinds) {
		var names []string
		for _, k := range s.kinds {
			names = append(names, k.name)
		}
		line += " -kinds " + strings.Join(names, ",")
	}
	line += chosen("trees", whole.Trees, short.Trees, func(a, b Story) bool { return a.Prefix == b.Prefix })
	line += chosen("faults", whole.Faults, short.Faults, func(a, b Fault) bool { return a == b })
	line += chosen("holds", whole.Holds, short.Holds, func(a, b Hold) bool { return a == b })
	line += chosen("flows", whole.Flows, short.Flows, func(a, b Flow) bool { return a == b })
	return line + chosen("schedules", whole.Timed, short.Timed, func(a, b Timed) bool { return a.ID == b.ID })
}

// chosen is the flag for those of a list that are in a shorter one; empty: all are.
func chosen[T any](name string, whole, short []T, same func(a, b T) bool) string {
	var numbers []string
	for n, one := range whole {
		if slices.ContainsFunc(short, func(o T) bool { return same(one, o) }) {
			numbers = append(numbers, strconv.Itoa(n))
		}
	}
	switch len(numbers) {
	case len(whole):
		return ""
	case 0:
		return " -" + name + " none"
	}
	return " -" + name + " " + strings.Join(numbers, ",")
}

// Report is what a run found.
type Report struct {
	Seed      uint64
	Began     time.Time
	Took      string
	Histories int
	Counts    Counts
	Excused   history.Excused
	Injected  map[string]int // faults by kind
	Skipped   map[string]int // faults that could not be done: a kind that is not possible here, or a server that another fault had
	Failures  []Failure
}

// Failure is a history that broke a rule.
type Failure struct {
	Seed     uint64
	Problems []string
	Plan     string
	Short    string // the command that plays a shorter one which fails, too
	Journal  string // its file, with everything that was done and run, in order

	plan Plan
}

func (r *Report) add(p Plan, got Played) {
	r.Histories++
	r.Counts.sum(got.Counts)
	r.Excused.Frozen += got.Excused.Frozen
	r.Excused.Repeatable += got.Excused.Repeatable
	addAll(r.Injected, got.Injected)
	addAll(r.Skipped, got.Skipped)
	if len(got.Problems) > 0 {
		r.Failures = append(r.Failures, Failure{Seed: p.Seed, Problems: got.Problems, Plan: p.String(), Journal: got.Journal, plan: p})
	}
}

// shown is how many problems of a history are printed.
const shown = 12

// String is the report for people.
func (r *Report) String() string {
	var out strings.Builder
	if r.Histories == 0 {
		return ""
	}
	c := r.Counts
	fmt.Fprintf(&out, "\n%d histories from seed %d in %s: %d trees, %d tasks, %d attempts (%d lost or given back, %d of them unstarted), %d runs\n", r.Histories, r.Seed, r.Took, c.Trees, c.Tasks, c.Attempts, c.Lost, c.Unstarted, c.Runs)
	fmt.Fprintf(&out, "%d calls of clients, %d of them without an answer; %d changes and %d copies of stored trees\n", c.Calls, c.Unanswered, c.Edits, c.Copies)
	fmt.Fprintf(&out, "%d trees say more than the protocol: %d tasks were found by runs, %d attempts waited, %d repetitions; %d answers and %d skips of users; %d files of commands\n",
		c.Beyond, c.Found, c.Waits, c.Repeats, c.Answers, c.Skips, c.Artifacts)
	fmt.Fprintf(&out, "%d tasks asked for limits, locks or rates, and %d did not get their locks; %d pauses and limits of operators; %d times something came to be held\n", c.Limited, c.Denied, c.Holds, c.Held)
	fmt.Fprintf(&out, "%d schedules: %d runs by time and by calls, %d by ends of others, %d instants without a run\n", c.Schedules, c.Fired, c.Followed, c.Idle)
	fmt.Fprintf(&out, "%d revisions of runs of flows, %d of them of mended ones\n", c.Flows, c.Resumed)
	fmt.Fprintf(&out, "%d tasks ended by earlier successes, and %d ran that might have\n", c.Cached, c.Uncached)
	fmt.Fprintf(&out, "excused: %d overlaps of repeatable tasks, %d of work in frozen processes or below a jump of the clock, %d tasks that failed by lost workers\n",
		r.Excused.Repeatable, r.Excused.Frozen, c.Poisoned)
	if c.Crashes > 0 {
		fmt.Fprintf(&out, "the NATS server crashed %d times by itself, and was started again\n", c.Crashes)
	}
	if c.PostgresCrashes > 0 {
		fmt.Fprintf(&out, "processes of Postgres crashed %d times by themselves\n", c.PostgresCrashes)
	}
	for _, k := range kinds {
		if n, not := r.Injected[k.name], r.Skipped[k.name]; n+not > 0 {
			fmt.Fprintf(&out, "  %-28s %5d", k.name, n)
			if not > 0 {
				fmt.Fprintf(&out, "  (%d skipped)", not)
			}
			fmt.Fprintln(&out)
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&out, "\nBROKEN: %s\n", f.Plan)
		for n, p := range f.Problems {
			if n == shown {
				fmt.Fprintf(&out, "  and %d more\n", len(f.Problems)-n)
				break
			}
			fmt.Fprintf(&out, "  %s\n", p)
		}
		if f.Journal != "" {
			fmt.Fprintf(&out, "journal: %s\n", f.Journal)
		}
		if f.Short != "" {
			fmt.Fprintf(&out, "a short one: %s\n", f.Short)
		}
	}
	if len(r.Failures) == 0 {
		fmt.Fprintln(&out, "every rule was kept")
	}
	return out.String()
}
