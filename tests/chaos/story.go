package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/tests/faults"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// root is what the story's tree is called by: the id of its first task, as package history does it.
func (s Story) root() string { return s.Prefix + "-0" }

// top is the task that has no parent.
func (s Story) top() string {
	i := slices.IndexFunc(s.Tree.Tasks, func(t oracle.Task) bool { return t.Parent < 0 })
	return s.Tree.Tasks[i].ID
}

// mark is in the command line of every process that the story's commands start, and of no other on this machine.
func (s Story) mark() string { return fmt.Sprintf("%s@%d", s.Prefix, os.Getpid()) }

// tasks are the story's tasks as a client submits them.
func (s Story) tasks() (out []client.NewTask) {
	if s.How == Commands {
		return s.commands()
	}
	for _, t := range faults.TasksOf(s.Tree, time.Now()) {
		out = append(out, newTask(t, s.Tree.Plain()))
	}
	return out
}

// newTask is a task as a client submits it. plain: nothing in its tree is beyond the protocol.
func newTask(t *dag.Task, plain bool) client.NewTask {
	n := client.NewTask{ID: t.ID, Name: t.Name, Parent: t.ParentRef, Priority: client.Priority(t.Priority - dag.Normal), Pool: t.Pool,
		Repeatable: t.Repeatable, Timeout: t.Timeout, ScheduleToStart: t.ScheduleToStart, NotBefore: t.NotBefore,
		Retry: client.RetryPolicy{MaxAttempts: t.Retry.MaxAttempts, Backoff: client.Backoff(t.Retry.Backoff), InitialDelay: t.Retry.InitialDelay, MaxDelay: t.Retry.MaxDelay,
			RetryOn: words(t.Retry.RetryOn), NoRetryOn: words(t.Retry.NoRetryOn)}}
	if t.Inputs != nil {
		n.Inputs = t.Inputs
	}
	n.Fold, n.AllowFailure = t.Fold, t.AllowFailure
	if c := t.Control; c != nil {
		n.When = c.When
		if c.Repeat != nil {
			n.Repeat = &client.Repeat{Until: c.Repeat.Until, Max: c.Repeat.Max, Delay: c.Repeat.Delay}
		}
	}
	if i := t.Imported; i != nil {
		n.Imported = &client.Imported{Outcome: i.State.Outcome(), Attempts: int(i.Attempts)}
		if i.Result != nil {
			n.Imported.Result = i.Result
		}
	}
	if l := t.Limiting; l != nil {
		limited(&n, l)
	}
	for _, d := range t.Dependencies {
		if !plain { // in their order
			n.Dependencies = append(n.Dependencies, client.Dependency{Ref: d.Ref, Optional: d.Optional, Accept: d.Mode.Accept(), Otherwise: d.Mode.Otherwise(),
				OrderOnly: d.Mode.OrderOnly(), Skips: d.Mode.Skips()})
			continue
		}
		if d.Optional {
			n.Wants = append(n.Wants, d.Ref)
		} else {
			n.Needs = append(n.Needs, d.Ref)
		}
	}
	if t.Executor != "" {
		schemas := map[string]any{"method": t.Executor}
		if t.Schemas != nil {
			schemas["input_schema"] = map[string]any{"properties": map[string]any{"sum": map[string]any{"type": "integer"}, "keys": map[string]any{"type": "array"}}}
		}
		n.Schemas = schemas
	}
	return n
}

// limited has a task ask for what it waits for before it starts.
func limited(n *client.NewTask, l *dag.Limiting) {
	for _, k := range l.Limits {
		n.Limits = append(n.Limits, client.TaskLimit{Key: k.Key, Max: int(k.Max), Cost: int(k.Cost)})
	}
	if l.Lock != nil {
		n.Lock = &client.TaskLock{Key: l.Lock.Key, OnContention: faults.Contentions[l.Lock.OnContention], WaitTimeout: l.Lock.WaitTimeout, Hold: l.Lock.Hold.Word()}
	}
	for _, r := range l.Rates {
		n.Rates = append(n.Rates, client.TaskRate{Key: r.Key, Per: "second", Max: int(r.Max), Burst: int(r.Burst)})
	}
}

func words(kinds []dag.Kind) (out []string) {
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

// made is the file that each command makes.
const made = "made.txt"

// commands start processes that outlive their shell, unless somebody ends them.
func (s Story) commands() (out []client.NewTask) {
	for n := range s.Commands {
		t := client.NewTask{ID: fmt.Sprintf("%s-%d", s.Prefix, n), Name: "command", Schemas: map[string]any{"method": command.ID}, Inputs: map[string]any{
			"timeout": 60, "command": fmt.Sprintf("sh -c 'sleep 600; : %[1]s' & setsid sh -c 'sleep 600; : %[1]s' & echo %[1]s > %[2]s; sleep 0.4; : %[1]s", s.mark(), made),
		}, Artifacts: []string{made}, Retry: client.RetryPolicy{MaxAttempts: 100}} // a store that is away fails attempts
		if n > 0 {
			t.Parent, t.Needs = fmt.Sprintf("%s-%d", s.Prefix, 0), []string{out[n-1].ID}
		}
		out = append(out, t)
	}
	return out
}
