package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of one step.
const (
	schedulesAtOnce = 256      // decided in one transaction
	firesAtOnce     = 256      // runs that are taken up together; those whose trees are stored at the same time share transactions
	fireBytes       = 16 << 20 // of the trees that are read and stored at the same time
	fireTime        = 20 * time.Second
)

// runSchedules decides what is due of schedules, stores the trees of their runs, and writes down how these end. Each step is a transaction of its own that any coordinator may take
// up: an instant is decided by who holds its schedule, and a run has the one tree that finds it due.
func (c *Coordinator) runSchedules(ctx context.Context) error {
	for {
		more, err := c.scheduleStep(ctx)
		pause := schedulesFallback
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.Warn("schedules could not be looked after", "error", err)
		case more:
			continue
		default:
			if next, err := c.store.ScheduleWait(ctx); err == nil {
				pause = max(next, time.Millisecond)
			}
		}
		if !wait(ctx, c.wakeSchedules, pause) {
			return nil
		}
	}
}

// schedulesFallback is the pause after a failure.
const schedulesFallback = time.Second

func (c *Coordinator) scheduleStep(ctx context.Context) (more bool, err error) {
	ended, more, err := c.store.EndFires(ctx)
	if err != nil {
		return false, err
	}
	if ended > 0 {
		failpoint.Hit("coordinator.after-fire-ends")
	}
	decided, err := c.store.DecideSchedules(ctx, schedulesAtOnce, decideSchedule)
	if err != nil {
		return false, err
	}
	if decided.N > 0 {
		failpoint.Hit("coordinator.after-schedule-decision")
	}
	if decided.Stopped {
		wake(c.wakeFollowups)
	}
	if decided.Late > 0 {
		failpoint.Hit("coordinator.after-late-runs")
		c.late(decided)
	}
	begun, err := c.beginFires(ctx)
	return more || decided.N == schedulesAtOnce || begun == firesAtOnce, err
}

// decideSchedule is what package dag decides of a schedule.
func decideSchedule(f *pg.ScheduleFacts) (out pg.ScheduleDecision, err error) {
	rules, err := rulesOf(f.Of)
	if err != nil {
		return out, err
	}
	if out = decideBy(f, rules); len(out.Late) > 0 {
		failpoint.Hit("coordinator.before-late-runs")
	}
	return out, nil
}

// decideBy is what package dag decides of a schedule that has these rules.
func decideBy(f *pg.ScheduleFacts, rules *dag.Schedule) (out pg.ScheduleDecision) {
	state := stateOf(f, rules)
	d := state.Due(f.Now)
	out = decisionOf(&d)
	out.Decided, out.Counted = d.Decided, int32(d.Runs)
	if !d.Next.IsZero() {
		out.Next = &d.Next
	}
	for i := range f.Backfills {
		backfill(f, &f.Backfills[i], rules, &out)
	}
	return out
}

// rulesOf are the rules of a stored schedule.
func rulesOf(of *pg.Schedule) (*dag.Schedule, error) {
	spec, err := scheduledoc.ReadStored(of.ID, of.Spec)
	if err != nil {
		return nil, err
	}
	return spec.Rules(of.CreatedAt)
}

// stateOf is what is known of a schedule's own runs.
func stateOf(f *pg.ScheduleFacts, rules *dag.Schedule) *dag.ScheduleState {
	s := &dag.ScheduleState{Schedule: *rules, Decided: f.Of.DecidedAt, Paused: f.Of.PausedAt != nil, Runs: int(f.Of.Counted)}
	for i := range f.Open {
		r := &f.Open[i]
		if r.Backfill != 0 {
			continue
		}
		run := dag.ScheduleRun{Run: r.Key, Kind: r.Kind, Instant: r.Instant, Late: r.Late, Cancelled: r.Stopped}
		if r.DueAt != nil {
			run.Due = *r.DueAt
		}
		if r.State == dag.FireQueued {
			s.Waiting = append(s.Waiting, run)
		} else {
			s.Open = append(s.Open, run)
		}
	}
	s.Before = runOutcome(f.Last[0])
	return s
}

// runOutcome is how a run ended, as far as the next one asks.
func runOutcome(s dag.FireState) dag.RunOutcome {
	switch s {
	case 0:
		return dag.NoRun
	case dag.FireCompleted:
		return dag.RunSucceeded
	}
	return dag.RunFailed
}

// fireStates are the states that verdicts are stored as.
var fireStates = map[dag.FireVerdict]dag.FireState{
	dag.VerdictStarts: dag.FireDue, dag.VerdictWaits: dag.FireQueued, dag.VerdictMissed: dag.FireMissed, dag.VerdictSkipped: dag.FireSkipped,
}

// decisionOf are the rows that come of a decision on runs.
func decisionOf(d *dag.Fires) (out pg.ScheduleDecision) {
	if m := d.Missed; m != nil {
		out.New = append(out.New, pg.Fire{Kind: dag.FireInstant, Instant: m.First, Until: &m.Last, N: int32(m.Count), State: dag.FireMissed, Reason: dag.MissedGrace})
	}
	for _, one := range d.Fires {
		if one.Run != 0 {
			out.Moved = append(out.Moved, pg.Fire{Key: one.Run, State: fireStates[one.Verdict], Reason: one.Reason})
			continue
		}
		out.New = append(out.New, newFire(&one))
	}
	out.Late, out.Stop = d.Late, d.Cancel
	return out
}

// newFire is the row of a new run.
func newFire(of *dag.Fire) pg.Fire {
	r := pg.Fire{Kind: of.Kind, Instant: of.Instant, State: fireStates[of.Verdict], Reason: of.Reason}
	if !of.From.IsZero() {
		r.IntervalStart = &of.From
	}
	if !of.Due.IsZero() {
		r.DueAt = &of.Due
	}
	return r
}

// backfill adds what is to be done of a backfill.
func backfill(f *pg.ScheduleFacts, of *pg.Backfill, rules *dag.Schedule, out *pg.ScheduleDecision) {
	b := dag.Backfill{Instants: rules.Instants, From: of.From, To: of.To, AfterSuccess: rules.AfterSuccess, Concurrent: int(of.Concurrent), Before: runOutcome(f.Last[of.Key])}
	if of.Decided != nil {
		b.Decided = *of.Decided
	}
	for _, r := range f.Open {
		if r.Backfill == of.Key {
			b.Open++
		}
	}
	d := b.Due()
	for _, one := range d.Fires {
		r := newFire(&one)
		r.Backfill, r.Cause = of.Key, fmt.Sprint(of.Key)
		out.New = append(out.New, r)
	}
	if len(d.Fires) > 0 || d.Ended {
		done := pg.Backfill{Key: of.Key, Decided: of.Decided, Ended: d.Ended}
		if !d.Decided.IsZero() {
			done.Decided = &d.Decided
		}
		out.Backfills = append(out.Backfills, done)
	}
}

// dueRun is a run whose tree is to be stored.
type dueRun struct {
	*pg.DueFire
	spec *scheduledoc.Spec
	body scheduleBody
	flow *scheduledFlow // that it is a run of; nil: of none
	err  error          // spec or body can't be read
}

// read reads what the schedule says.
func (f *dueRun) read() (err error) {
	if f.spec, err = scheduledoc.ReadStored(f.Of.ID, f.Of.Spec); err != nil {
		return err
	}
	if err := json.Unmarshal(f.Of.Body, &f.body); err != nil {
		return fmt.Errorf("read tree of schedule %s: %w", f.Of.ID, err)
	}
	return nil
}

// beginFires stores the trees of runs that are due, and gives how many it has taken up.
func (c *Coordinator) beginFires(ctx context.Context) (int, error) {
	claimed, err := c.store.ClaimFires(ctx, firesAtOnce)
	if err != nil || len(claimed) == 0 {
		return 0, err
	}
	failpoint.Hit("coordinator.after-fire-claim")
	due := make([]dueRun, len(claimed))
	var asking []*pg.DueFire
	var names []pg.FlowName
	for i, f := range claimed {
		due[i].DueFire = f
		if due[i].err = due[i].read(); due[i].err != nil {
			continue
		}
		if due[i].body.asksLast(f) {
			asking = append(asking, f)
		}
		if name := flowNameOf(f.Of.Namespace, due[i].spec); name != nil {
			names = append(names, *name)
		}
	}
	if err := c.store.LastSuccesses(ctx, asking); err != nil {
		return 0, err
	}
	flows, err := c.scheduledFlows(ctx, names)
	if err != nil {
		return 0, err
	}
	for i := range due {
		if due[i].err == nil && due[i].spec.Flow != nil {
			due[i].flow = flows[*flowNameOf(due[i].Of.Namespace, due[i].spec)]
		}
	}
	for begun := 0; begun < len(due); {
		var wg sync.WaitGroup
		for bytes := 0; begun < len(due) && bytes < fireBytes; begun++ {
			f := &due[begun]
			if bytes += len(f.Of.Body); f.flow != nil && f.flow.is != nil {
				bytes += len(f.flow.is.Text)
			}
			wg.Go(func() {
				if err := c.beginFire(ctx, f); err != nil && ctx.Err() == nil {
					c.log.Warn("the tree of a run could not be stored, which is tried again", "schedule", f.Of.ID, "instant", f.Instant, "error", err)
				}
			})
		}
		wg.Wait()
	}
	return len(due), nil
}

// beginFire stores the tree of a run. What is wrong with it ends the run, which has failed then, or is skipped if another tree has its unique key.
func (c *Coordinator) beginFire(ctx context.Context, f *dueRun) error {
	ctx, cancel := context.WithTimeout(ctx, fireTime)
	defer cancel()
	in := &Coordinator{engine: c.engine, namespace: c.NamespaceName(ctx, f.Of.Namespace)}
	options, tree, err := in.runTree(ctx, f)
	if err == nil {
		failpoint.Hit("coordinator.before-fire-submit")
		options.fire, options.run = f.Key, tree.run
		err = in.submitNew(ctx, options, tree.tasks)
	}
	if err == nil {
		failpoint.Hit("coordinator.after-fire-submit")
		return nil
	}
	if errors.Is(err, pg.ErrFired) { // another coordinator was quicker
		return nil
	}
	if state, text := runRefusal(tree, err); text != "" {
		if err := c.store.RefuseFire(ctx, f.Key, state, clean(text)); err != nil {
			return err
		}
		failpoint.Hit("coordinator.after-fire-refusal")
		wake(c.webhooks.wake)
		wake(c.wakeSchedules)
		return nil
	}
	return err
}

// runRefusal is why a run has no tree for good, and what has become of it; empty: it may have one later. tree may be nil.
func runRefusal(tree *runTree, err error) (dag.FireState, string) {
	if bad := tree.faults(err); bad != nil {
		return dag.FireFailed, cutBytes(bad.Error(), subtreeFaults)
	}
	if taken, ok := errors.AsType[*UniqueError](err); ok {
		return dag.FireSkipped, taken.Error()
	}
	_, text := subtreeRefusal(err)
	return dag.FireFailed, text
}

// runTree makes the tree of a run. What is wrong with its templates is an *[InvalidArgumentError], with a tree file a *[ScheduleFaultsError].
func (c *Coordinator) runTree(ctx context.Context, f *dueRun) (options SubmitOptions, tree *runTree, err error) {
	if f.err != nil {
		return options, nil, f.err
	}
	spec := f.spec
	options.UserID, options.Retention = f.Of.UserID, spec.RetentionOf()
	if fault := c.retentionFault(spec); fault != "" { // it was taken when the operator let trees be kept for longer
		return options, nil, &InvalidArgumentError{Field: "retention", Reason: fault}
	}
	if f.Of.Labels != nil {
		if err := json.Unmarshal(f.Of.Labels, &options.Labels); err != nil {
			return options, nil, fmt.Errorf("read labels of schedule %s: %w", f.Of.ID, err)
		}
	}
	if err := refuseLast(f.DueFire); err != nil {
		return options, nil, err
	}
	roots := template.Scope{"schedule": aboutRun(f.DueFire, spec)}
	parameters, err := f.body.with(f.Kind, f.Parameters, roots)
	if err != nil {
		return options, nil, err
	}
	if f.flow != nil {
		tree, err = c.flowOfRun(ctx, f.flow, f.DueFire, spec, &f.body, parameters)
	} else {
		tree, err = c.treeOfRun(f.body.Tree, f.Of.UserID, parameters, roots)
	}
	return options, tree, err
}

// retentionFault is why the trees of a schedule may not be kept as it says, which was checked otherwise; empty: they may.
func (c *Coordinator) retentionFault(spec *scheduledoc.Spec) string {
	return dag.RetentionFault(spec.RetentionOf(), c.cfg.Limits.Retention)
}

// scheduleBody is what is stored of a schedule's tree and parameters, or of what its flow is given.
type scheduleBody struct {
	Tree       json.RawMessage   `json:"tree,omitempty"`
	Parameters json.RawMessage   `json:"parameters,omitempty"`   // of a flow: its params
	Env        map[string]string `json:"env,omitempty"`          // of a flow
	JobOutputs []string          `json:"job_outputs,omitempty"`  // of a flow
	FlowOf     *string           `json:"flow_of,omitempty"`      // whose the flow was when the schedule was stored; nil: it runs none
	Last       *bool             `json:"last_success,omitempty"` // whether one of them names it; nil: version 0.12 stored them, which did not look
}

// bodyOfSpec is what is stored of what a schedule runs.
func bodyOfSpec(spec *scheduledoc.Spec) *scheduleBody {
	b := &scheduleBody{Tree: spec.Tree, Parameters: spec.Parameters}
	if spec.Flow != nil {
		b.Parameters, b.Env, b.JobOutputs = given(spec.Flow.Params), spec.Flow.Env, spec.Flow.JobOutputs
	}
	last := namesLast(fileText(b.Tree)) || namesLast(b.Parameters)
	b.Last = &last
	return b
}

// asksLast reports whether a run is to be told of the last success. What an event brings names nothing of the run.
func (b *scheduleBody) asksLast(f *pg.DueFire) bool {
	return b.Last == nil || *b.Last || f.Kind != dag.FireEvent && namesLast(f.Parameters)
}

// namesLast reports whether a document names the last success, or all that a run knows of itself. One that can't be looked at as a whole counts as if it did.
func namesLast(raw json.RawMessage) (named bool) {
	if !bytes.Contains(raw, []byte("{{")) && !bytes.Contains(raw, []byte(`\u`)) {
		return false
	}
	var document any
	if json.Unmarshal(raw, &document) != nil {
		return true
	}
	faults := runRules.Check(document, func(r template.Ref) string {
		named = named || r.Path[0] == "schedule" && (len(r.Path) == 1 || r.Path[1] == "last_success")
		return ""
	})
	return named || len(faults) > 0
}

// with are the parameters of a run of a kind: those of the schedule, and over them its own, with what they name of the run. What an event brings names nothing of it: strangers wrote it.
func (b *scheduleBody) with(kind dag.FireKind, own []byte, roots template.Scope) (map[string]any, error) {
	all, err := addMembers(map[string]any{}, b.Parameters)
	if err != nil {
		return nil, err
	}
	if kind != dag.FireEvent {
		if all, err = addMembers(all, own); err != nil {
			return nil, err
		}
	}
	filled, err := runRules.Fill(all, roots, scheduledoc.MaxParametersBytes)
	if err != nil {
		return nil, &InvalidArgumentError{Field: "parameters", Reason: err.Error()}
	}
	if all = filled.(map[string]any); kind == dag.FireEvent {
		return addMembers(all, own)
	}
	return all, nil
}

// addMembers lays an object over others. *[InvalidArgumentError].
func addMembers(all map[string]any, raw json.RawMessage) (map[string]any, error) {
	if raw == nil {
		return all, nil
	}
	var some map[string]any
	if err := json.Unmarshal(raw, &some); err != nil {
		return nil, &InvalidArgumentError{Field: "parameters", Reason: "must be an object"}
	}
	maps.Copy(all, some)
	return all, nil
}

// forgetFires deletes what is known of runs that are over for a year.
func (c *Coordinator) forgetFires(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.store.ForgetFires(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("runs of schedules from long ago could not be deleted", "error", err)
		}
		if !more || err != nil {
			return
		}
	}
}

// aboutRun is what templates of a run name of it.
func aboutRun(f *pg.DueFire, spec *scheduledoc.Spec) map[string]any {
	about := map[string]any{"id": f.Of.ID, "fire_time": moment(f.Instant), "interval_end": moment(f.Instant), "local_date": f.Instant.In(spec.Zone()).Format(time.DateOnly)}
	if f.IntervalStart != nil {
		about["interval_start"] = moment(*f.IntervalStart)
	}
	about["last_success"] = lastSuccess(f)
	return about
}

// lastSuccess is what templates name of the last run that completed.
func lastSuccess(f *pg.DueFire) map[string]any {
	last := map[string]any{"fire_time": nil, "outputs": nil}
	if f.Last.Instant != nil {
		last["fire_time"] = moment(*f.Last.Instant)
	}
	switch outputs, why := lastOutputs(f); {
	case why != "":
		delete(last, "outputs")
	default:
		last["outputs"] = outputs
	}
	return last
}

// lastOutputs are what the last run that completed gave; nil: nothing. why says why no tree can have them.
func lastOutputs(f *pg.DueFire) (outputs any, why string) {
	if f.Last.TooLarge {
		return nil, fmt.Sprintf("has over %d bytes, the most that a tree is told", pg.MaxLastOutputs)
	}
	if f.Last.Outputs == nil {
		return nil, ""
	}
	d := json.NewDecoder(bytes.NewReader(f.Last.Outputs))
	d.UseNumber()
	switch err := d.Decode(&outputs); {
	case err != nil:
		return nil, "can't be read"
	case namesSecret(outputs):
		return nil, "names a secret, which only the tree may"
	}
	return outputs, ""
}

// refuseLast refuses a tree that names what the last run gave, if no tree can have that. A default does not stand for it: it would be taken for the first run.
func refuseLast(f *pg.DueFire) error {
	const named = "schedule.last_success.outputs"
	if _, why := lastOutputs(f); why != "" && (bytes.Contains(f.Of.Body, []byte(named)) || bytes.Contains(f.Parameters, []byte(named))) {
		return &InvalidArgumentError{Field: named, Reason: why}
	}
	return nil
}

// moment is a time as templates show it.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
