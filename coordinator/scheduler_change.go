package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// changeSchedule changes a schedule; once: what is asked for once. what is the operation, for errors.
func (c *Coordinator) changeSchedule(ctx context.Context, what, id string, once pg.Fire, f func(*pg.ScheduleFacts) (pg.ScheduleDecision, error)) (*pg.Schedule, *pg.Fire, error) {
	if !text(id) {
		return nil, nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, nil, err
	}
	of, run, err := c.store.ChangeSchedule(ctx, here, id, caller(ctx), once, f)
	if err != nil {
		return nil, nil, c.scheduleError(what, err)
	}
	failpoint.Hit("coordinator.after-schedule-commit")
	wake(c.wakeSchedules)
	wake(c.wakeFollowups)
	return of, run, nil
}

// UpdateSchedule changes a schedule; see [Scheduler].
func (c *Coordinator) UpdateSchedule(ctx context.Context, spec scheduledoc.Spec, revision int) (*ScheduleInfo, error) {
	was, err := c.schedule(ctx, spec.ID)
	if err != nil {
		return nil, err
	}
	of := spec
	of.UserID = was.UserID
	now := time.Now()
	if err := c.checkSchedule(ctx, was.Namespace, &of, was.CreatedAt, now); err != nil {
		return nil, err
	}
	if spec.Preview {
		if revision != 0 && int(was.Revision) != revision {
			return nil, otherRevision(was)
		}
		if err := c.previewCycle(ctx, was, &of); err != nil {
			return nil, err
		}
		is, err := c.showSchedule(was)
		if err != nil {
			return nil, err
		}
		return previewSchedule(&of, is, now)
	}
	if _, _, err := c.changeSchedule(ctx, "update schedule", spec.ID, pg.Fire{}, func(f *pg.ScheduleFacts) (d pg.ScheduleDecision, err error) {
		if f.Of.Key != was.Key || revision != 0 && int(f.Of.Revision) != revision {
			return d, otherRevision(f.Of)
		}
		if d, err = decideBefore(f, &of); err != nil {
			return d, err
		}
		if err := c.writeSpec(ctx, was.Namespace, f.Of, &of); err != nil {
			return d, err
		}
		switch {
		case of.Paused == nil: // as it is
		case !*of.Paused:
			f.Of.PausedAt, f.Of.PausedBy, f.Of.PauseReason = nil, "", ""
		case f.Of.PausedAt == nil:
			f.Of.PausedAt, f.Of.PausedBy, f.Of.PauseReason = &f.Now, caller(ctx), ""
		}
		return d, nil
	}); errors.Is(err, pg.ErrTriggerCycle) {
		return nil, cycleFault(&spec)
	} else if err != nil {
		return nil, err
	}
	return c.GetSchedule(ctx, spec.ID)
}

// cycleFault refuses runs that begin with their own ends.
func cycleFault(spec *scheduledoc.Spec) error {
	return &ScheduleFaultsError{Faults: []scheduledoc.Fault{{Field: "on.schedule", Reason: fmt.Sprintf("runs of %s begin, by others or at once, with ends of this schedule's", spec.On.Schedule)}}}
}

// previewCycle looks whether runs would begin with their own ends, as far as schedules go that are not beside.
func (c *Coordinator) previewCycle(ctx context.Context, was *pg.Schedule, spec *scheduledoc.Spec) error {
	if spec.On == nil || spec.On.Schedule == "" || slices.Contains(spec.Beside, spec.On.Schedule) {
		return nil
	}
	other, err := c.store.ScheduleKey(ctx, was.Namespace, spec.On.Schedule)
	if err != nil {
		return c.internal("look for a schedule", err)
	}
	switch leads, err := c.store.LeadsTo(ctx, other, was.Key, slices.DeleteFunc(slices.Clone(spec.Beside), func(id string) bool { return id == spec.ID })); {
	case err != nil:
		return c.internal("look for what begins runs", err)
	case leads:
		return cycleFault(spec)
	}
	return nil
}

// otherRevision refuses a change of a schedule that was changed before.
func otherRevision(of *pg.Schedule) error {
	return fmt.Errorf("%w: the schedule has revision %d", ErrConflict, of.Revision)
}

// decideBefore decides what has come by the rules that a schedule had, as the new ones count from now on. An instant that only its jitter keeps from running stays for the new
// rules if they have the same instants; else it runs at once.
func decideBefore(f *pg.ScheduleFacts, by *scheduledoc.Spec) (d pg.ScheduleDecision, err error) {
	old, err := scheduledoc.ReadStored(f.Of.ID, f.Of.Spec)
	if err != nil {
		return d, err
	}
	rules, err := old.Rules(f.Of.CreatedAt)
	if err != nil { // of a later version, or of a zone that is known no more: nothing can be decided by them
		pass(f)
		return d, nil
	}
	same := old.SameInstants(by)
	if !same {
		rules.Jitter, rules.MisfireGrace = 0, rules.MisfireGrace+rules.Jitter
	}
	d = decideBy(f, rules)
	f.Of.Counted, f.Of.NextAt, f.Of.DecidedAt = d.Counted, &f.Now, d.Decided
	if !same {
		pass(f)
	}
	return d, nil
}

// PauseSchedule stops the start of runs; see [Scheduler].
func (c *Coordinator) PauseSchedule(ctx context.Context, id, reason string) (*ScheduleInfo, error) {
	var faults faultList
	if faults.text("reason", dag.ReasonFault(reason)); faults != nil {
		return nil, faults.err()
	}
	if _, _, err := c.changeSchedule(ctx, "pause schedule", id, pg.Fire{}, func(f *pg.ScheduleFacts) (d pg.ScheduleDecision, err error) {
		if f.Of.PausedAt == nil {
			if d, err = decideSchedule(f); err != nil { // what has come before the pause
				return d, err
			}
			f.Of.DecidedAt, f.Of.Counted, f.Of.NextAt = d.Decided, d.Counted, &f.Now
			f.Of.PausedAt, f.Of.PausedBy, f.Of.PauseReason = &f.Now, caller(ctx), reason
		}
		return d, nil
	}); err != nil {
		return nil, err
	}
	return c.GetSchedule(ctx, id)
}

// ResumeSchedule lets runs start again; see [Scheduler].
func (c *Coordinator) ResumeSchedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	if _, _, err := c.changeSchedule(ctx, "resume schedule", id, pg.Fire{}, func(f *pg.ScheduleFacts) (d pg.ScheduleDecision, err error) {
		resume(f)
		return d, nil
	}); err != nil {
		return nil, err
	}
	return c.GetSchedule(ctx, id)
}

// resume ends the pause of a schedule: instants that have passed stay as they are, those too that were decided when the clock was ahead of what it is now.
func resume(f *pg.ScheduleFacts) {
	if f.Of.PausedAt == nil {
		return
	}
	f.Of.PausedAt, f.Of.PausedBy, f.Of.PauseReason = nil, "", ""
	pass(f)
}

// pass leaves all instants that have passed as they are. What was decided stays so, also where the clock was ahead of what it is now.
func pass(f *pg.ScheduleFacts) {
	f.Of.NextAt = &f.Now
	if f.Now.After(f.Of.DecidedAt) {
		f.Of.DecidedAt = f.Now
	}
}

// TriggerSchedule begins a run; see [Scheduler].
func (c *Coordinator) TriggerSchedule(ctx context.Context, t ScheduleTrigger) (*ScheduleRun, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	overlap, _ := dag.ParseOverlap(t.Overlap)
	if overlap == dag.OverlapDefault {
		overlap = dag.OverlapAllow
	}
	parameters := given(t.Parameters)
	cause := "key " + t.IdempotencyKey
	if t.IdempotencyKey == "" {
		cause = "once " + rand.Text()
	}
	flow, err := c.flowOfStored(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	of, run, err := c.changeSchedule(by(ctx, t.by), "trigger schedule", t.ID, pg.Fire{Kind: dag.FireTrigger, Cause: cause}, func(f *pg.ScheduleFacts) (out pg.ScheduleDecision, err error) {
		rules, err := rulesOf(f.Of)
		if err != nil {
			return out, err
		}
		if err := c.checkRunParameters(ctx, f, dag.FireTrigger, parameters, flow); err != nil {
			return out, err
		}
		d := stateOf(f, rules).Trigger(f.Now, overlap)
		out = decisionOf(&d)
		for i := range out.New {
			if out.New[i].Kind == dag.FireTrigger {
				out.New[i].Cause, out.New[i].Parameters = cause, parameters
			}
		}
		if next := d.Next; !next.IsZero() && (f.Of.NextAt == nil || next.Before(*f.Of.NextAt)) { // it is due
			f.Of.NextAt = &next
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return showRun(of.ID, run), nil
}

// Check refuses what can't be triggered, with all that is wrong in one *[InvalidArgumentError].
func (t ScheduleTrigger) Check() error {
	var faults faultList
	if _, known := dag.ParseOverlap(t.Overlap); !known {
		faults.add("overlap", "must be skip, queue_one, allow or cancel_other")
	}
	checkParameters(&faults, t.Parameters)
	if len(t.IdempotencyKey) > 255 || !text(t.IdempotencyKey) {
		faults.add("idempotency_key", "must be at most 255 bytes of UTF-8 without NUL")
	}
	return faults.err()
}

// Check refuses what can't be a range, with all that is wrong in one *[InvalidArgumentError].
func (b ScheduleBackfill) Check() error {
	var faults faultList
	if b.From.IsZero() {
		faults.add("from", "is required")
	}
	if !b.From.Before(b.To) {
		faults.add("to", "must be after from")
	}
	if !b.From.IsZero() {
		faults.text("from", scheduledoc.YearFault(b.From))
	}
	if !b.To.IsZero() {
		faults.text("to", scheduledoc.YearFault(b.To))
	}
	if b.MaxConcurrent < 0 || b.MaxConcurrent > dag.MaxConcurrent {
		faults.add("max_concurrent", "must be 1 to %d", dag.MaxConcurrent)
	}
	checkParameters(&faults, b.Parameters)
	return faults.err()
}

// Count is how many instants lie in the range: one more than the most of a backfill if there are more.
func (b ScheduleBackfill) Count(rules *dag.Schedule) int {
	return dag.CountInstants(rules.Instants, b.From, b.To, dag.MaxBackfill+1)
}

// given are parameters; nil: there are none.
func given(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// checkParameters looks whether parameters are an object.
func checkParameters(faults *faultList, raw json.RawMessage) {
	var object map[string]json.RawMessage
	switch {
	case given(raw) == nil:
	case len(raw) > scheduledoc.MaxParametersBytes:
		faults.add("parameters", "have %d bytes, the most is %d", len(raw), scheduledoc.MaxParametersBytes)
	case json.Unmarshal(raw, &object) != nil:
		faults.add("parameters", "must be an object")
	}
}

// checkRunParameters looks whether a tree can be made with the parameters of a run; flow is the one that was read of the schedule. *[InvalidArgumentError], *[ScheduleFaultsError].
func (c *Coordinator) checkRunParameters(ctx context.Context, f *pg.ScheduleFacts, kind dag.FireKind, parameters json.RawMessage, flow *scheduledFlow) error {
	spec, err := scheduledoc.ReadStored(f.Of.ID, f.Of.Spec)
	if err != nil {
		return err
	}
	var body scheduleBody
	if err := json.Unmarshal(f.Of.Body, &body); err != nil {
		return err
	}
	due := &pg.DueFire{Fire: pg.Fire{Kind: kind, Instant: f.Now, IntervalStart: &f.Now}, Of: *f.Of}
	roots := template.Scope{"schedule": aboutRun(due, spec)}
	all, err := body.with(kind, parameters, roots)
	if err != nil {
		return err
	}
	var tree *runTree
	switch {
	case spec.Flow == nil:
		tree, err = c.treeOfRun(body.Tree, f.Of.UserID, all, roots)
	case flow == nil || flow.name != *flowNameOf(f.Of.Namespace, spec): // the schedule was changed just now: the run tells what is wrong
		return nil
	default:
		if tree, err = c.flowOfRun(ctx, flow, due, spec, &body, all); kind == dag.FireEvent {
			err = ofParams(err) // whoever calls can't help what is wrong with the flow: the run tells that
		}
	}
	if tree == nil && err == nil {
		return nil
	}
	if err != nil {
		return err
	}
	return tree.filled()
}

// BackfillSchedule has instants of a range run; see [Scheduler].
func (c *Coordinator) BackfillSchedule(ctx context.Context, b ScheduleBackfill) (*ScheduleBackfill, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	parameters := given(b.Parameters)
	out := b
	out.MaxConcurrent = max(1, b.MaxConcurrent)
	flow, err := c.flowOfStored(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	var made *pg.Backfill
	if _, _, err := c.changeSchedule(by(ctx, b.by), "backfill schedule", b.ID, pg.Fire{}, func(f *pg.ScheduleFacts) (d pg.ScheduleDecision, err error) {
		rules, err := rulesOf(f.Of)
		if err != nil {
			return d, err
		}
		if b.To.After(f.Now) {
			return d, &InvalidArgumentError{Field: "to", Reason: "must not be in the future: what is to come runs by itself"}
		}
		switch out.Instants = b.Count(rules); {
		case out.Instants == 0:
			return d, &InvalidArgumentError{Field: "from", Reason: "the schedule has no instant from there up to to"}
		case out.Instants > dag.MaxBackfill:
			return d, &InvalidArgumentError{Field: "to", Reason: fmt.Sprintf("the range has over %d instants, the most of one backfill", dag.MaxBackfill)}
		}
		if err := c.checkRunParameters(ctx, f, dag.FireTrigger, parameters, flow); err != nil {
			return d, err
		}
		made = &pg.Backfill{From: b.From, To: b.To, Concurrent: int32(out.MaxConcurrent), Parameters: parameters}
		d.Backfill, f.Of.NextAt = made, &f.Now
		return d, nil
	}); err != nil {
		return nil, err
	}
	out.Key = made.Key
	return &out, nil
}

// DeleteSchedule deletes a schedule; see [Scheduler].
func (c *Coordinator) DeleteSchedule(ctx context.Context, id string, revision int) error {
	if !text(id) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	switch other, err := c.store.DeleteSchedule(ctx, here, id, int32(revision)); {
	case errors.Is(err, pg.ErrTaken):
		return fmt.Errorf("%w: runs of the schedule %s begin with ends of its runs", ErrConflict, other)
	case err != nil:
		return c.scheduleError("delete schedule", err)
	}
	failpoint.Hit("coordinator.after-schedule-commit")
	return nil
}

// ScheduleRuns lists runs; see [Scheduler].
func (c *Coordinator) ScheduleRuns(ctx context.Context, f ScheduleRunFilter) (page Page[*ScheduleRun], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	var after *pg.Fire
	if f.Cursor != "" {
		var micros, key int64
		if err := cursorFrom("run", f.Cursor, &micros, &key); err != nil {
			return page, err
		}
		after = &pg.Fire{Key: key, Instant: time.UnixMicro(micros)}
	}
	of, err := c.schedule(ctx, f.ID)
	if err != nil {
		return page, err
	}
	list, err := c.store.Fires(ctx, of.Key, after, limit+1)
	if err != nil {
		return page, c.internal("list runs", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = cursorTo("run", list[limit-1].Instant.UnixMicro(), list[limit-1].Key)
	}
	for _, run := range list {
		page.Items = append(page.Items, showRun(of.ID, run))
	}
	return page, nil
}

// showRun is a run as shown.
func showRun(schedule string, r *pg.Fire) *ScheduleRun {
	out := &ScheduleRun{Schedule: schedule, Kind: r.Kind.Word(), FireTime: r.Instant, Status: r.State.Word(), Reason: r.Reason, TreeID: r.RootID, Backfill: r.Backfill, Count: int(r.N),
		Late: r.Late, DecidedAt: r.DecidedAt, FlowID: r.FlowID, FlowVersion: int(r.FlowVersion), RunID: r.RunID}
	if r.State == dag.FireFailed && r.RootID == "" {
		out.Status = FailedToStart
	}
	for into, at := range map[*time.Time]*time.Time{&out.IntervalStart: r.IntervalStart, &out.Until: r.Until, &out.Due: r.DueAt, &out.StartedAt: r.StartedAt, &out.EndedAt: r.EndedAt} {
		if at != nil {
			*into = *at
		}
	}
	return out
}
