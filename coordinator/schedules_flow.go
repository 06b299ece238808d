package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	uuids "github.com/google/uuid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/pg"
)

// scheduledFlow is a flow that runs of a schedule are of.
type scheduledFlow struct {
	name pg.FlowName
	is   *pg.NamedFlow // nil: there is none
	has  *pinned       // its bundle, as it is now; nil: none
	lost error         // why the bundle that it names can't be had
}

// flowNameOf is which flow the runs of a schedule are of; nil: they are of none.
func flowNameOf(namespace dag.NamespaceKey, spec *scheduledoc.Spec) *pg.FlowName {
	if spec.Flow == nil {
		return nil
	}
	return &pg.FlowName{Namespace: namespace, ID: spec.Flow.ID, Version: int32(spec.Flow.Version)}
}

// scheduledFlows reads the flows of runs, each once.
func (c *Coordinator) scheduledFlows(ctx context.Context, names []pg.FlowName) (map[pg.FlowName]*scheduledFlow, error) {
	out := map[pg.FlowName]*scheduledFlow{}
	var once []pg.FlowName
	for _, name := range names {
		if out[name] == nil {
			out[name] = &scheduledFlow{name: name}
			once = append(once, name)
		}
	}
	found, err := c.store.FlowsToRun(ctx, once)
	if err != nil {
		return nil, err
	}
	for name, is := range found {
		out[name].is = is
		if is.Bundle == "" {
			continue
		}
		has, err := c.pinFor(ctx, name.Namespace, is.Bundle, is.UserID)
		_, bad := errors.AsType[*FlowFaultsError](err)
		switch {
		case errors.Is(err, ErrNotFound):
			err = flowFault("flow.id", "the flow names the bundle %s, which is not there", is.Bundle)
		case bad:
			err = flowFaults(err)
		case err != nil:
			return nil, err
		}
		out[name].has, out[name].lost = has, err
	}
	return out, nil
}

// scheduledFlow reads the flow of one schedule; nil: it runs trees.
func (c *Coordinator) scheduledFlow(ctx context.Context, namespace dag.NamespaceKey, spec *scheduledoc.Spec) (*scheduledFlow, error) {
	name := flowNameOf(namespace, spec)
	if name == nil {
		return nil, nil
	}
	all, err := c.scheduledFlows(ctx, []pg.FlowName{*name})
	return all[*name], err
}

// flowOfStored reads the flow of a stored schedule, of which runs are asked for; nil: it runs trees. [ErrNotFound].
func (c *Coordinator) flowOfStored(ctx context.Context, id string) (*scheduledFlow, error) {
	of, err := c.schedule(ctx, id)
	if err != nil {
		return nil, err
	}
	spec, err := scheduledoc.ReadStored(of.ID, of.Spec)
	if err != nil {
		return nil, err
	}
	flow, err := c.scheduledFlow(ctx, of.Namespace, spec)
	if err != nil {
		return nil, c.internal("read the flow of a schedule", err)
	}
	return flow, nil
}

// missing is why there is no flow to run; nil: there is one. One that another user has registered since, by the name of one that was deleted, is not the one that the schedule names: of is whose that was.
func (s *scheduledFlow) missing(of *string) error {
	switch {
	case s.is != nil && (of == nil || s.is.UserID == *of):
		return s.lost
	case s.name.Version != 0:
		return flowFault("flow.version", "there is no version %d of a flow %s", s.name.Version, cut(clean(s.name.ID)))
	}
	return flowFault("flow.id", "there is no flow %s", cut(clean(s.name.ID)))
}

func flowFault(field, reason string, args ...any) error {
	return &ScheduleFaultsError{Faults: []scheduledoc.Fault{{Field: field, Reason: fmt.Sprintf(reason, args...)}}}
}

// flowOfRun makes the run of a flow that a firing is, and its tree. *[ScheduleFaultsError]: there is no such flow, or what is wrong with it.
func (c *Coordinator) flowOfRun(ctx context.Context, flow *scheduledFlow, f *pg.DueFire, spec *scheduledoc.Spec, body *scheduleBody, parameters map[string]any) (*runTree, error) {
	if err := flow.missing(body.FlowOf); err != nil {
		return nil, err
	}
	if namesSecret(parameters) {
		return nil, flowFault("flow.params", "a value names a secret, which only the flow may")
	}
	given := FlowGiven{Env: body.Env, Job: spec.Flow.Job, Priority: spec.Flow.Priority, Timeout: spec.Flow.Timeout, NoDeps: spec.Flow.NoDeps, JobOutputs: body.JobOutputs}
	if len(parameters) > 0 {
		raw, err := json.Marshal(parameters)
		if err != nil {
			return nil, err
		}
		given.Params = raw
	}
	id, err := uuids.NewV7()
	if err != nil {
		return nil, err
	}
	from := &FlowSchedule{f.Of.ID, f.Instant}
	of := &flowText{name: flow.name.ID, text: flow.is.Text, flow: flow.name.ID, version: flow.is.Version}
	tree, _, stored, err := c.compileRun(ctx, flow.name.Namespace, of, id.String(), FlowCheck{FlowGiven: given, from: from, has: flow.has, user: f.Of.UserID})
	if err != nil {
		return nil, flowFaults(err)
	}
	row := &pg.FlowRun{FlowID: tree.FlowID, RunID: tree.RunID, Revision: 1, Version: flow.is.Version, Text: flow.is.Key, Bundle: flow.has.row(), Body: stored, CreatedBy: "schedule " + f.Of.ID}
	from.put(row)
	return &runTree{tasks: c.tasksOfRun(tree, nil), run: row}, nil
}

// flowFaults are what is wrong with a flow, or with what it is given, as faults of the schedule.
func flowFaults(err error) error {
	out := &ScheduleFaultsError{}
	if bad, ok := errors.AsType[*FlowFaultsError](err); ok {
		for _, f := range bad.Report.Errors {
			at := "flow"
			switch {
			case f.Loc == "job", f.Loc == "no_deps", f.Loc == "job_outputs", strings.HasPrefix(f.Loc, "job_outputs["):
				at = "flow." + f.Loc
			case f.Code == flows.CodeParameter:
				at = "flow.params"
			case f.Code == flows.CodeSecretValue && f.Line == 0:
				at = "flow.env"
			}
			out.Faults = append(out.Faults, scheduledoc.Fault{Field: at, Reason: f.Text(bad.Report.FlowYAML)})
		}
		out.More = bad.Report.More
		return out
	}
	if bad, ok := errors.AsType[*InvalidArgumentError](err); ok {
		return flowFault("flow."+bad.Field, "%s", bad.Reason)
	}
	return err
}

// ofParams keeps of what is wrong with a flow that is to run what is wrong with its parameters; nil: nothing.
func ofParams(err error) error {
	bad, ok := errors.AsType[*ScheduleFaultsError](err)
	if !ok {
		return err
	}
	out := &ScheduleFaultsError{}
	for _, f := range bad.Faults {
		if strings.HasPrefix(f.Field, "flow.params") {
			out.Faults = append(out.Faults, f)
		}
	}
	if len(out.Faults) == 0 {
		return nil
	}
	return out
}
