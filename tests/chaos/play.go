package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// patience is how long after the last fault everything must have settled; a flag.
var patience = 3 * time.Minute

// Played is what came of a plan.
type Played struct {
	Problems []string       // empty: every rule was kept
	Injected map[string]int // by kind of fault
	Skipped  map[string]int // could not be done here or then
	Excused  history.Excused
	Counts   Counts
	Took     time.Duration
	Journal  string // file with all that was done and run, of a history that broke a rule
}

// Counts say how much a history holds.
type Counts struct {
	Trees, Tasks, Runs, Attempts, Lost int
	Unstarted                          int // attempts that were handed back and never began
	Edits, Copies                      int // of stored trees, with their answers
	Beyond                             int // trees that say more than the protocol
	Waits, Repeats, Found              int // attempts that waited, or were followed by a repetition; tasks that runs found
	Artifacts                          int // that commands made
	Limited, Denied, Holds             int // tasks that ask for limits, locks or rates; that did not get their locks; what operators held back
	Held                               int // places of keys, pools and users that attempts came to hold, each looked at in that instant
	Answers, Skips                     int // of users, to what waited; calls that skip a task
	Calls, Unanswered                  int // of clients; Unanswered: it had no answer, or an error of the server
	Poisoned                           int // tasks that failed as their workers were lost too often; their trees are not judged
	Crashes                            int // of the NATS server, by itself
	PostgresCrashes                    int // processes of Postgres that crashed by themselves
	Cached, Uncached                   int // tasks that earlier successes ended, and others that they might have
	Flows, Resumed                     int // revisions of runs of flows, and those that are not the first
	Schedules, Fired, Followed, Idle   int // schedules; runs of time and calls, and those that began with ends of others, which have trees; instants without one
}

// game is a plan that is being played.
type game struct {
	c    *cluster
	plan Plan

	mu      sync.Mutex
	out     Played
	submits map[string]history.Submit // by root
	trees   map[string][]oracle.Tree  // by root: what a tree that was changed, or is a copy, may be
	copies  []string                  // roots
	held    []heldBack
	places  []place
	kinds   map[string]string // of the error of each task's last attempt

	probes    []Story // that look what successes end
	schedules []*storedSchedule
	revisions []*revision // of runs of flows
	flowTrees []string    // their roots
	restless  string      // what schedules have yet to do
}

// play plays a plan on a cluster that is whole, and judges it. The cluster is whole again afterwards, unless there are
// problems.
func play(ctx context.Context, c *cluster, plan Plan) Played {
	g := &game{c: c, plan: plan, submits: map[string]history.Submit{}, trees: map[string][]oracle.Tree{}, kinds: map[string]string{}}
	g.out.Injected, g.out.Skipped = map[string]int{}, map[string]int{}
	began, ofNATS, ofPostgres := time.Now(), c.natsCrashes(), c.postgresCrashes()
	g.remark("history of seed %d begins", plan.Seed)
	ctx, cancel := context.WithTimeout(ctx, window+patience)
	defer cancel()
	restless, rest := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { c.restart(restless) })
	defer watching.Wait()
	defer rest()
	broken := make(chan error, len(plan.Faults)+len(plan.Holds)+len(plan.Timed)+len(plan.Flows))
	var parties sync.WaitGroup
	for _, f := range plan.Faults {
		parties.Go(func() {
			if err := g.fault(ctx, f, began); err != nil {
				broken <- fmt.Errorf("%s: %w", f, err)
			}
		})
	}
	for _, h := range plan.Holds {
		parties.Go(func() {
			if err := g.holdBack(ctx, h, began); err != nil {
				broken <- fmt.Errorf("%s: %w", h, err)
			}
		})
	}
	for _, s := range plan.Timed {
		parties.Go(func() {
			if err := g.timer(ctx, s, began); err != nil {
				broken <- err
			}
		})
	}
	for _, f := range plan.Flows {
		parties.Go(func() {
			if err := g.runFlow(ctx, f, began); err != nil {
				broken <- err
			}
		})
	}
	for n := range plan.Trees {
		parties.Go(func() { g.story(ctx, n, began) })
	}
	parties.Wait()
	close(broken)
	for err := range broken {
		g.problem("%v", err)
	}
	if err := c.ready(ctx); err != nil {
		g.problem("the cluster does not come back: %v", err)
		return g.out
	}
	g.settle(ctx)
	g.lookAtHolds(context.WithoutCancel(ctx))
	if len(g.out.Problems) == 0 {
		err := g.judge(ctx)
		if err != nil && c.postgresCrashes() > ofPostgres {
			g.remark("Postgres crashed while the history was read: %v", err)
			err = until(ctx, startTime, "the history is read", func() error { return g.judge(ctx) })
		}
		if err != nil {
			g.problem("the history can't be read: %v", err)
		}
	}
	g.out.Counts.PostgresCrashes = c.postgresCrashes() - ofPostgres
	g.out.Counts.Crashes = c.natsCrashes() - ofNATS
	g.out.Took = time.Since(began)
	return g.out
}

func (g *game) remark(format string, args ...any) { _ = g.c.journal.Remark(format, args...) }

func (g *game) problem(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out.Problems = append(g.out.Problems, fmt.Sprintf(format, args...))
}

// fault injects and heals one.
func (g *game) fault(ctx context.Context, f Fault, began time.Time) error {
	time.Sleep(time.Until(began.Add(f.At)))
	g.remark("fault: %s", f)
	heal, err := kindOf(f.Kind).inject(ctx, g.c, f)
	g.mu.Lock()
	if errors.Is(err, errNot) {
		g.out.Skipped[f.Kind]++
	} else {
		g.out.Injected[f.Kind]++
	}
	g.mu.Unlock()
	if errors.Is(err, errNot) {
		g.remark("skipped: %s: %v", f, err)
		return nil
	}
	if err != nil {
		return err
	}
	time.Sleep(f.For)
	g.remark("heals: %s", f)
	return heal(ctx)
}

// any is a client of one of the coordinators.
func (g *game) any() *client.Client { return g.c.clients[rand.IntN(len(g.c.clients))] }

// call makes a call until it has an answer, through any coordinator.
func (g *game) call(ctx context.Context, what string, f func(context.Context, *client.Client) error) error {
	for {
		err := g.once(ctx, what, f)
		if err == nil || !errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (g *game) once(ctx context.Context, what string, f func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	g.remark("call: %s", what)
	err := f(ctx, g.any())
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out.Counts.Calls++
	if err != nil {
		g.out.Counts.Unanswered++
		g.remark("answer: %s: %v", what, err)
	}
	return err
}

// roots are what all trees are called by, copies and those of schedules last.
func (g *game) roots() (out []string) {
	for _, s := range g.plan.Trees {
		out = append(out, s.root())
	}
	for _, s := range g.probes {
		out = append(out, s.root())
	}
	return slices.Concat(out, g.copies, g.treesOfRuns(), g.flowTrees)
}

// settle waits until all that was accepted has ended and nothing is left over.
func (g *game) settle(ctx context.Context) {
	if err := g.settleSchedules(ctx); err != nil {
		g.problem("%s: %v%s", history.Settles, err, faults.Explain(context.WithoutCancel(ctx), g.c.direct))
		return
	}
	for _, root := range g.roots() {
		err := g.call(ctx, "wait for "+root, func(ctx context.Context, c *client.Client) error {
			tree, err := c.Tree(ctx, root)
			if errors.Is(err, client.ErrNotFound) && g.submits[root].Answer != history.Accepted {
				return nil
			}
			if err == nil && tree.Unfinished > 0 {
				_, err = c.Wait(ctx, root)
			}
			return err
		})
		if err != nil {
			g.problem("%s: tree %s: %v%s", history.Settles, root, err, faults.Explain(context.WithoutCancel(ctx), g.c.direct))
			return
		}
	}
	if err := g.probe(ctx); err != nil {
		g.problem("%v", err)
		return
	}
	left := func() error { return faults.CheckSettled(ctx, g.c.direct) }
	if err := until(ctx, patience, "nothing is left over in the store", left); err != nil {
		g.problem("%s: %v%s", history.Settles, err, faults.Explain(context.WithoutCancel(ctx), g.c.direct))
		return
	}
	if err := g.countTrees(ctx); err != nil {
		g.problem("%v", err)
	}
	moved := g.c.clockMoved() // for what is stored of earlier histories, too
	if err := faults.CheckTimes(ctx, g.c.direct); err != nil && !moved {
		g.problem("%v", err)
	}
	for v, err := range g.c.clients[0].Verify(ctx, "") {
		if err != nil {
			g.problem("verify: %v", err)
			break
		}
		if v.Kind == "times" && moved {
			continue
		}
		g.problem("the auditor: %s: tree %s, task %s: %s", v.Kind, v.TreeID, v.TaskID, v.Text)
	}
}

// countTrees checks that submissions which were repeated stored one tree each.
func (g *game) countTrees(ctx context.Context) error {
	stored := g.c.trees
	for _, root := range g.roots() {
		if _, err := g.c.clients[0].Tree(ctx, root); err == nil {
			g.c.trees++
		} else if !errors.Is(err, client.ErrNotFound) {
			return fmt.Errorf("tree %s: %w", root, err)
		}
	}
	got := 0
	for _, err := range g.c.clients[0].Trees(ctx, client.TreeFilter{}) {
		if err != nil {
			return fmt.Errorf("list trees: %w", err)
		}
		got++
	}
	if got != g.c.trees {
		return fmt.Errorf("%d trees are stored by submissions of %d", got-stored, g.c.trees-stored)
	}
	return nil
}

// judge reads what happened and holds it against the rules.
func (g *game) judge(ctx context.Context) error {
	counts := g.out.Counts
	h, trees, err := g.read(ctx)
	if err != nil {
		g.out.Counts = counts
		return err
	}
	if !g.c.clockMoved() {
		g.judgeHolds()
	}
	if err := g.judgeCached(ctx); err != nil {
		g.out.Counts = counts
		return err
	}
	if err := g.judgeFlows(ctx); err != nil {
		g.out.Counts = counts
		return err
	}
	g.judgeSchedules()
	problems, excused := history.Check(h, trees)
	g.out.Excused = excused
	for _, p := range problems {
		g.problem("%s", p)
	}
	return nil
}

// states are all states by name.
var states = func() map[string]dag.State {
	m := map[string]dag.State{}
	for s := dag.Held; dag.AllStates.Has(s); s++ {
		m[s.String()] = s
	}
	return m
}()

// sum adds what another history holds.
func (a *Counts) sum(b Counts) {
	a.Trees += b.Trees
	a.Tasks += b.Tasks
	a.Runs += b.Runs
	a.Attempts += b.Attempts
	a.Lost += b.Lost
	a.Unstarted += b.Unstarted
	a.Edits += b.Edits
	a.Copies += b.Copies
	a.Beyond += b.Beyond
	a.Waits += b.Waits
	a.Repeats += b.Repeats
	a.Found += b.Found
	a.Artifacts += b.Artifacts
	a.Limited += b.Limited
	a.Denied += b.Denied
	a.Holds += b.Holds
	a.Held += b.Held
	a.Answers += b.Answers
	a.Skips += b.Skips
	a.Calls += b.Calls
	a.Unanswered += b.Unanswered
	a.Poisoned += b.Poisoned
	a.Crashes += b.Crashes
	a.PostgresCrashes += b.PostgresCrashes
	a.Cached += b.Cached
	a.Uncached += b.Uncached
	a.Flows += b.Flows
	a.Resumed += b.Resumed
	a.Schedules += b.Schedules
	a.Fired += b.Fired
	a.Followed += b.Followed
	a.Idle += b.Idle
}

func addAll(to, from map[string]int) {
	for k, n := range maps.All(from) {
		to[k] += n
	}
}
