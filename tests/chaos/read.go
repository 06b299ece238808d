package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// read collects a history that has settled: the journal's runs, and what the cluster tells of tasks, attempts and events.
func (g *game) read(ctx context.Context) (h history.History, trees []oracle.Tree, err error) {
	h = history.History{Attempts: map[string][]history.Ended{}, Events: map[string][]history.Event{}, Ends: map[string]history.End{}, Slots: map[string]int{}}
	for _, pool := range faults.Pools {
		h.Slots[pool] = slots
	}
	g.places, g.kinds = nil, map[string]string{} // a history may be read again
	runs, err := faults.ReadJournal(g.c.base.JournalFile())
	if err != nil {
		return h, nil, err
	}
	for _, s := range g.plan.Trees {
		if s.How == Cached {
			continue
		}
		if s.How == Commands {
			if err := g.readCommands(ctx, s, &h); err != nil {
				return h, nil, err
			}
			continue
		}
		possible := g.trees[s.root()]
		if possible == nil {
			possible = []oracle.Tree{s.Tree}
		}
		if trees, err = g.readOne(ctx, possible, runs, &h, trees); err != nil {
			return h, nil, err
		}
	}
	for _, root := range g.copies {
		if trees, err = g.readOne(ctx, g.trees[root], runs, &h, trees); err != nil {
			return h, nil, err
		}
	}
	if trees, err = g.readTimed(ctx, runs, &h, trees); err != nil {
		return h, nil, err
	}
	return h, trees, nil
}

// readOne reads what became of a tree, and appends it as it is to be judged to trees: as that one of the possible ones which it can be.
func (g *game) readOne(ctx context.Context, possible []oracle.Tree, runs map[string][]*faults.Run, h *history.History, trees []oracle.Tree) ([]oracle.Tree, error) {
	possible = slices.Clone(possible)
	root := possible[0].Tasks[0].ID
	from := len(h.Runs)
	most := slices.MaxFunc(possible, func(a, b oracle.Tree) int { return len(a.Tasks) - len(b.Tasks) })
	there, poisoned, err := g.readTree(ctx, root, most, runs, h)
	if err != nil {
		return nil, err
	}
	g.readRuns(most, runs, h)
	if poisoned > 0 {
		g.out.Counts.Poisoned += poisoned
		return trees, nil
	}
	for i, t := range possible {
		possible[i] = g.deny(t, h)
	}
	own := *h
	own.Runs, own.Submits, own.Events = h.Runs[from:], []history.Submit{g.submits[root]}, map[string][]history.Event{}
	is := slices.IndexFunc(possible, func(t oracle.Tree) bool {
		problems, _ := history.Check(own, []oracle.Tree{t})
		return len(problems) == 0 && there == left(t)
	})
	tree := possible[max(0, is)]
	if there > 0 && there != left(tree) {
		g.problem("%s: tree %s has %d tasks, want %d", history.Outcomes, root, there, left(tree))
	}
	h.Submits = append(h.Submits, g.submits[root])
	return append(trees, tree), nil
}

// left is how many tasks a tree has that were not deleted, and that somebody found.
func left(t oracle.Tree) (n int) {
	ends := t.Run()
	for i, task := range t.Tasks {
		if !task.Deleted && !ends[i].Absent {
			n++
		}
	}
	return n
}

// tail keeps the journal from where a history begins, and returns the file.
func (c *cluster) tail(seed uint64) string {
	text, err := os.ReadFile(c.base.JournalFile())
	if err != nil {
		return ""
	}
	if at := bytes.LastIndex(text, fmt.Appendf(nil, "history of seed %d begins", seed)); at >= 0 {
		text = text[at:]
	}
	file, err := os.CreateTemp("", fmt.Sprintf("chaos-%d-*.journal", seed))
	if err != nil {
		return ""
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return ""
	}
	return file.Name()
}

// readRuns takes a tree's runs from the journal.
func (g *game) readRuns(tree oracle.Tree, runs map[string][]*faults.Run, h *history.History) {
	list := faults.RunsOf(tree, runs, g.c.leapt)
	g.out.Counts.Runs += len(list)
	h.Runs = append(h.Runs, list...)
}

// leapt reports whether a run was there when Postgres's clock went ahead, or began before its worker could know: for the
// store its lease may have ended at that moment.
func (c *cluster) leapt(r *faults.Run) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.jumps {
		if r.Began.Before(at.Add(lease)) && (r.Ended.IsZero() || r.Ended.After(at)) {
			return true
		}
	}
	return false
}

// readTree takes what the cluster tells of a tree. It returns how many tasks it has, and how many of them failed by lost workers.
func (g *game) readTree(ctx context.Context, root string, tree oracle.Tree, runs map[string][]*faults.Run, h *history.History) (there, poisoned int, err error) {
	c := g.c.clients[0]
	if _, err := c.Tree(ctx, root); errors.Is(err, client.ErrNotFound) {
		return 0, 0, nil
	}
	counts, named := &g.out.Counts, faults.Named(tree)
	counts.Trees++
	for _, t := range tree.Tasks {
		if t.Limiting != nil {
			counts.Limited++
		}
	}
	if !tree.Plain() {
		counts.Beyond++
	}
	for t, err := range c.Tasks(ctx, client.TaskFilter{TreeOf: root}) {
		if err != nil {
			return 0, 0, err
		}
		there++
		counts.Tasks++
		name := named(t.ID, t.Name)
		if name != t.ID {
			counts.Found++
		}
		faults.Rename(runs, t.ID, name)
		if h.Ends[name], err = faults.EndOf(states[string(t.State)], t.Result, t.Inputs); err != nil {
			return 0, 0, fmt.Errorf("task %s: %w", t.ID, err)
		}
		rests := slices.ContainsFunc(tree.Tasks, func(o oracle.Task) bool {
			return o.ID == name && (o.Script.Wait != nil || o.Script.Collect != "" || o.Script.Map != nil)
		})
		lost, err := g.readAttempts(ctx, t, name, root, rests, h)
		if err != nil {
			return 0, 0, err
		}
		if h.Ends[name].State == dag.Failed && lost >= dag.PoisonLimit {
			poisoned++
		}
	}
	for e, err := range c.Watch(ctx, root, 0) {
		if err != nil {
			return 0, 0, err
		}
		if e.Sequence == 0 {
			continue
		}
		if e.Type == client.EventAwaiting {
			counts.Waits++
		}
		completes := e.Type == client.EventCompleted
		h.Events[root] = append(h.Events[root], history.Event{Sequence: e.Sequence, Task: e.TaskID, Attempt: e.Attempt, Starts: e.Type == client.EventStart,
			Ends: completes || e.Type == client.EventFailed || e.Type == client.EventCancelled || e.Type == client.EventSkipped, Completes: completes, Final: e.Type == client.EventFinal})
	}
	return there, poisoned, nil
}

func (g *game) readAttempts(ctx context.Context, t *client.Task, task, root string, rests bool, h *history.History) (crashes int, err error) {
	attempts, err := g.c.clients[0].Attempts(ctx, t.ID)
	if err != nil {
		return 0, err
	}
	g.note(t, task, root, rests, attempts)
	for _, a := range attempts {
		lost := a.Outcome == client.OutcomeLost || a.Outcome == client.OutcomeReturned
		outcome := states[string(a.Outcome)]
		switch a.Outcome {
		case client.OutcomeTimedOut:
			outcome = dag.Failed
		case client.OutcomeRepeated:
			outcome = dag.Completed
		}
		if lost {
			g.out.Counts.Lost++
		}
		if a.Outcome == client.OutcomeRepeated {
			g.out.Counts.Repeats++
		}
		if a.Outcome == client.OutcomeReturned && a.StartedAt.IsZero() {
			g.out.Counts.Unstarted++
		}
		if a.Outcome == client.OutcomeLost {
			crashes++
		}
		h.Attempts[task] = append(h.Attempts[task], history.Ended{Number: a.Number, Outcome: outcome, Counted: a.Counted, Lost: lost, Resumes: faults.Resumes(a.Error), Repeats: a.Outcome == client.OutcomeRepeated})
	}
	g.out.Counts.Attempts += len(attempts)
	return crashes, nil
}

// readCommands looks whether commands completed, and for processes of theirs.
func (g *game) readCommands(ctx context.Context, s Story, h *history.History) error {
	tree, err := g.c.clients[0].Tree(ctx, s.root())
	if err != nil {
		return err
	}
	if tree.Completed != s.Commands {
		g.problem("%s: %d of %d commands completed", history.Outcomes, tree.Completed, s.Commands)
	}
	for _, task := range s.commands() {
		files, err := g.c.clients[0].Artifacts(ctx, task.ID, client.ArtifactFilter{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(files, func(a *client.Artifact) bool { return a.Name == made && a.Size == int64(len(s.mark())+1) }) {
			g.problem("%s: command %s completed, and its file is not kept: %+v", history.Outcomes, task.ID, files)
		}
		g.out.Counts.Artifacts += len(files)
	}
	var left []int
	gone := func() error {
		if left = processesWith(s.mark()); len(left) > 0 {
			return errors.New("processes are there")
		}
		return nil
	}
	if err := until(ctx, time.Minute, "no process is left", gone); err != nil {
		for _, pid := range left {
			h.Left = append(h.Left, history.Leftover{Task: s.root(), Process: pid})
		}
	}
	return nil
}

// address is the host and port of a URL.
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u.Host
}
