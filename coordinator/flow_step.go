package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	uuids "github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/pg"
)

// childRuns makes the ids of runs that tasks begin.
var childRuns = uuids.MustParse("7a1c3a52-6f0e-5a58-9f0e-3f7f3b1e6d11")

// childRun is the id of the run that an attempt begins: the same, however often it is asked for.
func childRun(w *pg.SubtreeWork) string {
	return uuids.NewSHA1(childRuns, fmt.Appendf(nil, "%d %d %s", w.Task, w.Attempt, w.ID)).String()
}

// subtreeRun is the run of a flow that a task asks for: the tasks of its tree, and its row. Others' flows are not there, and no flow runs itself, directly or through others.
func (c *Coordinator) subtreeRun(ctx context.Context, w *pg.SubtreeWork, sub *dag.Subtree) (iter.Seq2[*dag.Task, error], *pg.FlowRun, error) {
	if dag.NamesSecret(sub.Params) { // it may come from a result
		return nil, nil, &InvalidArgumentError{Field: "params", Reason: "name a secret: a flow names the secrets that it needs itself"}
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, nil, err
	}
	info, err := c.Flow(ctx, sub.Flow, sub.Version)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && info.UserID != "" && info.UserID != w.UserID:
		return nil, nil, &InvalidArgumentError{Field: "flow", Reason: fmt.Sprintf("there is no flow %q, or no such version", cut(clean(sub.Flow)))}
	case err != nil:
		return nil, nil, err
	}
	above, err := c.store.FlowsAbove(ctx, w.Task)
	if err != nil {
		return nil, nil, err
	}
	if i := slices.Index(above, info.ID); i >= 0 {
		way := append([]string{info.ID}, above[:i+1]...)
		slices.Reverse(way)
		return nil, nil, &InvalidArgumentError{Field: "flow", Reason: "runs itself: " + strings.Join(way, " runs ")}
	}
	var has *pinned
	if info.Bundle != "" {
		if has, err = c.pinFor(ctx, here, info.Bundle, info.UserID, w.UserID); errors.Is(err, ErrNotFound) {
			return nil, nil, &InvalidArgumentError{Field: "flow", Reason: fmt.Sprintf("has the bundle %q, which is not there", cut(clean(info.Bundle)))}
		} else if err != nil {
			return nil, nil, err
		}
	}
	of := &flowText{name: info.ID, text: info.Text, flow: info.ID, version: int32(info.Version), bundle: info.Bundle}
	tree, _, body, err := c.compileRun(ctx, here, of, childRun(w), FlowCheck{FlowGiven: FlowGiven{Env: sub.Env, Params: sub.Params, Job: sub.Job}, has: has, user: w.UserID})
	if err != nil {
		return nil, nil, err
	}
	row := &pg.FlowRun{FlowID: tree.FlowID, RunID: tree.RunID, Revision: 1, Version: of.version, Bundle: has.row(), Stale: has != nil && has.stale, Body: body, CreatedBy: "task " + w.ID}
	if row.Text, err = c.store.PutFlowText(ctx, here, of.text); err != nil {
		return nil, nil, err
	}
	return c.tasksOfRun(tree, nil), row, nil
}

// runOfStep is what a run that a task began has come to, as the result of the task. problem: why there is none.
func (c *Coordinator) runOfStep(ctx context.Context, of *pg.SubtreeRun) (result []byte, problem string, err error) {
	in := &Coordinator{engine: c.engine, namespace: c.NamespaceName(ctx, of.Namespace)}
	info, err := in.FlowRun(ctx, of.FlowID+"/"+of.RunID)
	if errors.Is(err, ErrNotFound) {
		return nil, "the run is gone", nil
	}
	if err != nil {
		return nil, "", err
	}
	type job struct {
		Status  string                     `json:"status"`
		Outputs map[string]json.RawMessage `json:"outputs"`
	}
	out := struct {
		RunID   string         `json:"run_id"`
		FlowID  string         `json:"flow_id"`
		Outcome string         `json:"outcome"`
		Jobs    map[string]job `json:"jobs"`
	}{info.RunID, info.FlowID, info.Outcome, map[string]job{}}
	for _, j := range info.Jobs {
		one := job{j.Status, j.Outputs}
		if one.Outputs == nil {
			one.Outputs = map[string]json.RawMessage{}
		}
		out.Jobs[j.ID] = one
	}
	if result, err = json.Marshal(out); err != nil {
		return nil, "", err
	}
	if info.Truncated || len(result) > pg.MaxCollected {
		return nil, fmt.Sprintf("the outputs of the run have more than %d bytes", pg.MaxCollected), nil
	}
	return result, "", nil
}

// begun is how the wait of a task ends that does not wait for the end of its tree.
func begun(w *pg.SubtreeWork) (dag.Answer, error) {
	out := struct {
		RunID     string `json:"run_id,omitempty"`
		FlowID    string `json:"flow_id,omitempty"`
		SubtreeID string `json:"subtree_id"`
	}{SubtreeID: w.RootID}
	sub, err := w.Wait.Subtree()
	if err != nil {
		return dag.Answer{}, err
	}
	if sub.Flow != "" {
		out.RunID, out.FlowID = childRun(w), sub.Flow
	}
	text, err := json.Marshal(out)
	if err != nil {
		return dag.Answer{}, err
	}
	of := dag.Rendering{TaskID: w.ID, Name: w.Name, TreeID: w.TreeID, UserID: w.UserID, Attempt: int64(w.Attempt)}
	return expansion.RenderOutputs(sub.Outputs, sub.Values, &of, dag.Answer{Outcome: dag.OutcomeCompleted, Result: text}), nil
}

// flowsSeen is the key of the call that says whether the caller may see flows at all.
type flowsSeen struct{}

// unseenError is why a caller may see no flows. It is the policy's, and told as that.
type unseenError struct{ error }

func (e *unseenError) Unwrap() error { return e.error }

// seesFlows has tasks that run flows refused, in whatever way they come in, if the caller may see none. Which flows there are for their owner, is seen when a task runs one.
func (g *guarded) seesFlows(ctx context.Context) context.Context {
	return context.WithValue(ctx, flowsSeen{}, sync.OnceValue(func() error {
		if _, err := g.policy(ctx, g.caller, Call{Method: "Flows"}); err != nil {
			return &unseenError{err}
		}
		return nil
	}))
}

// mayRunFlows says why the caller of the context must not have the task; nil: it may.
func mayRunFlows(ctx context.Context, t *dag.Task) error {
	see, asked := ctx.Value(flowsSeen{}).(func() error)
	if !asked || t == nil || !t.RunsFlow() {
		return nil
	}
	return see()
}

// ofSeenFlows gives the tasks of a submission until there is one that the caller must not have.
func ofSeenFlows(ctx context.Context, tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	if ctx.Value(flowsSeen{}) == nil {
		return tasks
	}
	return func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if no := mayRunFlows(ctx, t); no != nil {
				yield(nil, no)
				return
			}
			if !yield(t, err) {
				return
			}
		}
	}
}
