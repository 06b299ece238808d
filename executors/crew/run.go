package crew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors/agent"
)

// run is one run of a crew.
type run struct {
	crew        *crew
	number      int // of the crew in its batch
	session     *agent.Session
	room        *room
	finished    func(t *task) // is called when a task is done
	delegations atomic.Int64

	mu      sync.Mutex
	outputs []*TaskOutput // of the tasks that are done, in the order of the tasks
}

const maxAtOnce = 8 // tasks of a crew that run at the same time

// all does the tasks in their order. Those that are asynchronous run beside one another, up to the next one that is not.
func (r *run) all(ctx context.Context) error {
	r.outputs = make([]*TaskOutput, len(r.crew.tasks))
	for i := 0; i < len(r.crew.tasks); {
		if !r.crew.tasks[i].async {
			if err := r.one(ctx, i, r.earlier(i)); err != nil {
				return err
			}
			i++
			continue
		}
		from := i
		for i++; i < len(r.crew.tasks) && r.crew.tasks[i].async && !r.waits(i, from); {
			i++
		}
		if err := r.beside(ctx, from, i); err != nil {
			return err
		}
	}
	return nil
}

// beside does the tasks from one place in their order up to another, beside one another.
func (r *run) beside(ctx context.Context, from, to int) error {
	known := r.earlier(from)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	waits := make([]error, to) // what waits for people ends nothing that goes on beside it
	for i := from; i < to; i++ {
		group.Go(func() error {
			err := r.one(ctx, i, known)
			if waiting(err) != nil {
				waits[i] = err
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	for i := from; i < to && err == nil; i++ {
		err = waits[i]
	}
	return err
}

// waiting is what an attempt waits for, if that is why it ends.
func waiting(err error) *agent.Waits {
	w, _ := errors.AsType[*agent.Waits](err)
	return w
}

// waits reports whether a task needs the result of one of those from another on, which run now.
func (r *run) waits(i, from int) bool {
	return slices.ContainsFunc(r.crew.tasks[i].context, func(t *task) bool { return slices.Index(r.crew.tasks, t) >= from })
}

// earlier are the results that a task builds on, which were there before the given place in the order of tasks.
func (r *run) earlier(before int) []*TaskOutput {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.outputs[:before]), func(o *TaskOutput) bool { return o == nil })
}

// handed are those of the known results that a task shall get.
func (t *task) handed(known []*TaskOutput) []*TaskOutput {
	if t.bare {
		return nil
	}
	if t.context == nil {
		return known
	}
	return slices.DeleteFunc(slices.Clone(known), func(o *TaskOutput) bool {
		return !slices.ContainsFunc(t.context, func(c *task) bool { return c.key == o.Task })
	})
}

// one does one task.
func (r *run) one(ctx context.Context, i int, known []*TaskOutput) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := r.crew.tasks[i]
	who, kit, list := t.agent, t.kit, r.crew.members
	switch manager := r.crew.manager; {
	case manager != nil && t.agent != nil:
		who, list = manager, []*member{t.agent}
	case manager != nil:
		who = manager
	case kit == nil:
		kit = who.kit
	}
	answer, err := r.workWith(agent.At(ctx, fmt.Sprintf("%d.%d", r.number, i)), who, kit, []*member{who}, list, agent.Job{
		Name: "task " + t.key, Prompt: t.prompt(who, t.handed(known)), Schema: t.schema,
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.outputs[i] = newOutput(t, who, answer, r.room)
	r.mu.Unlock()
	r.finished(t)
	return nil
}

// work lets an agent do a job, with its coworkers at hand if it may delegate.
func (r *run) work(ctx context.Context, who *member, kit agent.Tools, chain []*member, j agent.Job) (*agent.Answer, error) {
	return r.workWith(ctx, who, kit, chain, r.crew.members, j)
}

func (r *run) workWith(ctx context.Context, who *member, kit agent.Tools, chain, list []*member, j agent.Job) (*agent.Answer, error) {
	if who.delegates || who == r.crew.manager {
		kit = r.withTeam(kit, chain, list)
	}
	if who.limit > 0 {
		inner, cancel := context.WithTimeoutCause(ctx, who.limit, fmt.Errorf("%s, %s: execution timed out after %d seconds (max_execution_time)",
			who.name(), j.Name, int(who.limit.Seconds())))
		defer cancel()
		ctx = inner
	}
	return r.session.Work(ctx, &agent.Agent{
		Name: who.name(), Models: who.llm.models, System: who.system(time.Now()), Tools: kit, Turns: who.turns, Verbose: who.verbose,
		Temperature: who.llm.temperature, MaxTokens: who.llm.maxTokens, Extra: who.llm.extra, Pace: who.pace.wait,
	}, j)
}

// name is what people call a member: its role, on one line.
func (m *member) name() string { return cut(oneLine(m.role), 120) }

// done are the results so far.
func (r *run) done() []*TaskOutput {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.outputs), func(o *TaskOutput) bool { return o == nil })
}
