package coordinator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// CreateSchedule stores a schedule; see [Scheduler].
func (c *Coordinator) CreateSchedule(ctx context.Context, spec scheduledoc.Spec) (*ScheduleInfo, error) {
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := c.checkSchedule(ctx, here, &spec, now, now); err != nil {
		return nil, err
	}
	if spec.Preview {
		switch _, err := c.store.ScheduleKey(ctx, here, spec.ID); {
		case err == nil:
			return nil, errTakenSchedule
		case !errors.Is(err, pg.ErrNotFound):
			return nil, c.internal("look for a schedule", err)
		}
		return previewSchedule(&spec, &ScheduleInfo{CreatedBy: caller(ctx), CreatedAt: now}, now)
	}
	of := &pg.Schedule{Namespace: here, ID: spec.ID, CreatedBy: caller(ctx)}
	if err := c.writeSpec(ctx, here, of, &spec); err != nil {
		return nil, c.scheduleError("create schedule", err)
	}
	if spec.IsPaused() {
		of.PausedAt, of.PausedBy = &now, of.CreatedBy
	}
	switch err := c.gone(c.store.CreateSchedule(ctx, of)); {
	case errors.Is(err, pg.ErrTaken):
		return nil, errTakenSchedule
	case err != nil:
		return nil, c.scheduleError("create schedule", err)
	}
	failpoint.Hit("coordinator.after-schedule-commit")
	wake(c.wakeSchedules)
	return c.GetSchedule(ctx, spec.ID)
}

// errTakenSchedule refuses the id of a schedule that is there.
var errTakenSchedule = fmt.Errorf("%w: there is a schedule of that id", ErrConflict)

// previewSchedule is a schedule, which was checked, as it would be in the place of another one.
func previewSchedule(spec *scheduledoc.Spec, of *ScheduleInfo, now time.Time) (*ScheduleInfo, error) {
	out := *of
	paused := of.IsPaused()
	out.Spec, out.Next = *spec, time.Time{}
	switch {
	case spec.Paused == nil:
		out.Paused = &paused
	case !*spec.Paused:
		out.PausedBy, out.PausedAt, out.PauseReason = "", time.Time{}, ""
	case !paused:
		out.PausedBy, out.PausedAt, out.PauseReason = "", now, ""
	}
	rules, err := spec.Rules(of.CreatedAt)
	if err == nil && !out.IsPaused() && (rules.MaxRuns == 0 || out.Runs < rules.MaxRuns) {
		out.Next = rules.Upcoming(now)
	}
	return &out, err
}

// scheduleError is why a schedule could not be changed, in the service's words.
func (c *Coordinator) scheduleError(what string, err error) error {
	switch {
	case isLevel(err):
		return err
	case errors.Is(err, pg.ErrTriggerCycle):
		return err
	case errors.Is(err, pg.ErrTooManySchedules):
		return fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManySchedules)
	case errors.Is(err, ErrConflict):
		return err
	case errors.Is(err, pg.ErrChanged):
		return errChanged
	}
	if isA[*InvalidArgumentError](err) || isA[*ScheduleFaultsError](err) {
		return err
	}
	return c.internal(what, err)
}

// writeSpec puts what a schedule says into its row.
func (c *Coordinator) writeSpec(ctx context.Context, here dag.NamespaceKey, of *pg.Schedule, spec *scheduledoc.Spec) (err error) {
	of.UserID, of.Spec = spec.UserID, spec.Stored()
	if spec.Owner != nil {
		of.Owner = *spec.Owner
	}
	body := bodyOfSpec(spec)
	if spec.Flow != nil {
		owner, err := c.store.OwnerOfFlow(ctx, here, spec.Flow.ID)
		if errors.Is(err, pg.ErrNotFound) { // since it was looked at
			return (&scheduledFlow{name: *flowNameOf(here, spec)}).missing(nil)
		}
		if err != nil {
			return err
		}
		body.FlowOf = &owner
	}
	if of.Body, err = json.Marshal(body); err != nil {
		return err
	}
	if of.Labels = nil; len(spec.Labels) > 0 {
		if of.Labels, err = json.Marshal(spec.Labels); err != nil {
			return err
		}
	}
	if of.Level = 0; spec.Retention != "" {
		of.Level = dag.KeptRunsLevel
	}
	if spec.Flow != nil {
		of.Level = dag.FlowSchedulesLevel
	}
	of.Trigger, of.TriggerEnds, of.Unhooked = nil, 0, spec.On == nil || spec.On.Webhook == nil
	if spec.On != nil && spec.On.Schedule != "" {
		other, err := c.store.ScheduleKey(ctx, here, spec.On.Schedule)
		if err != nil {
			return err
		}
		of.Trigger, of.TriggerEnds = &other, spec.On.Ends()
	}
	return nil
}

// checkSchedule finds all that is wrong with a schedule, its tree included, which is looked at as its next run would have it. The time is this process's: whatever is decided is
// decided later.
func (c *Coordinator) checkSchedule(ctx context.Context, here dag.NamespaceKey, spec *scheduledoc.Spec, created, now time.Time) error {
	rules, faults := spec.Check(created, now)
	out := &ScheduleFaultsError{Faults: faults}
	if of := spec.On; of != nil && of.Webhook == nil && of.Schedule != "" && of.Schedule != spec.ID && !(spec.Preview && slices.Contains(spec.Beside, of.Schedule)) {
		err := pg.ErrNotFound
		if text(of.Schedule) {
			_, err = c.store.ScheduleKey(ctx, here, of.Schedule)
		}
		if errors.Is(err, pg.ErrNotFound) {
			out.Faults = append(out.Faults, scheduledoc.Fault{Field: "on.schedule", Reason: fmt.Sprintf("there is no schedule %q", cut(clean(spec.On.Schedule)))})
		} else if err != nil {
			return c.internal("look for a schedule", err)
		}
	}
	if fault := c.retentionFault(spec); fault != "" && !slices.ContainsFunc(faults, func(f scheduledoc.Fault) bool { return f.Field == "retention" }) {
		out.Faults = append(out.Faults, scheduledoc.Fault{Field: "retention", Reason: fault})
	}
	runs := (len(spec.Tree) > 0 || spec.Flow != nil) && !slices.ContainsFunc(faults, func(f scheduledoc.Fault) bool {
		return f.Field == "tree" || f.Field == "flow" || strings.HasPrefix(f.Field, "flow.")
	})
	if runs && !(spec.Flow != nil && spec.Preview && slices.Contains(spec.BesideFlows, spec.Flow.ID)) {
		if err := c.checkRunTree(ctx, here, spec, rules, now, out); err != nil {
			return err
		}
	}
	if len(out.Faults) > 0 {
		return out
	}
	return nil
}

// checkRunTree adds what is wrong with the tree of a schedule.
func (c *Coordinator) checkRunTree(ctx context.Context, here dag.NamespaceKey, spec *scheduledoc.Spec, rules *dag.Schedule, now time.Time, out *ScheduleFaultsError) error {
	instant := now
	if rules != nil {
		if next := rules.Instants.Next(now); !next.IsZero() {
			instant = next
		}
	}
	start := instant.Add(-time.Hour)
	f := &pg.DueFire{Fire: pg.Fire{Instant: instant, IntervalStart: &start}, Of: pg.Schedule{ID: spec.ID, UserID: spec.UserID}}
	body := bodyOfSpec(spec)
	roots := template.Scope{"schedule": aboutRun(f, spec)}
	parameters, err := body.with(dag.FireInstant, nil, roots)
	if bad, ok := errors.AsType[*InvalidArgumentError](err); ok {
		field := bad.Field
		if spec.Flow != nil && field == "parameters" {
			field = "flow.params"
		}
		out.Faults = append(out.Faults, scheduledoc.Fault{Field: field, Reason: bad.Reason})
		return nil
	}
	if err != nil {
		return err
	}
	flow, err := c.scheduledFlow(ctx, here, spec)
	if err != nil {
		return c.internal("read the flow of a schedule", err)
	}
	var tree *runTree
	if flow != nil {
		tree, err = c.flowOfRun(ctx, flow, f, spec, body, parameters)
	} else {
		tree, err = c.treeOfRun(spec.Tree, spec.UserID, parameters, roots)
	}
	if err == nil {
		err = c.store.CheckTree(ctx, here, pg.Submission{UserID: spec.UserID, Limits: c.cfg.Limits, Levels: c.cfg.Levels, Known: func(id string) bool { return c.executors.has(ctx, id) },
			Tasks: c.checked(ctx, ofSeenFlows(ctx, tree.tasks))})
	}
	if unseen, ok := errors.AsType[*unseenError](err); ok {
		return unseen.error
	}
	if bad := tree.faults(err); bad != nil {
		out.Faults, out.More = append(out.Faults, bad.Faults...), out.More+bad.More
		return nil
	}
	if err != nil {
		return c.submitError(err)
	}
	return nil
}

// GetSchedule shows a schedule; see [Scheduler].
func (c *Coordinator) GetSchedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	of, err := c.schedule(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.showSchedule(of)
}

func (c *Coordinator) schedule(ctx context.Context, id string) (*pg.Schedule, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	of, err := c.store.Schedule(ctx, here, id)
	if err != nil {
		return nil, c.internal("read schedule", err)
	}
	return of, nil
}

// showSchedule is a schedule as shown.
func (c *Coordinator) showSchedule(of *pg.Schedule) (*ScheduleInfo, error) {
	spec, err := scheduledoc.ReadStored(of.ID, of.Spec)
	if err != nil {
		return nil, err
	}
	out := &ScheduleInfo{Spec: *spec, Revision: int(of.Revision), CreatedBy: of.CreatedBy, CreatedAt: of.CreatedAt, UpdatedBy: of.UpdatedBy, UpdatedAt: of.UpdatedAt,
		PausedBy: of.PausedBy, PauseReason: of.PauseReason, Runs: int(of.Counted)}
	paused := of.PausedAt != nil
	out.UserID, out.Paused = of.UserID, &paused
	if of.Owner != "" {
		out.Owner = &of.Owner
	}
	if paused {
		out.PausedAt = *of.PausedAt
	}
	if spec.On != nil && spec.On.Webhook != nil {
		out.WebhookPath = PathOfTrigger(c.namespace, of.ID)
		out.WebhookURL = c.triggerURL(out.WebhookPath)
		if of.SecretAt != nil {
			out.SecretAt = *of.SecretAt
		}
		if of.SecretUntil != nil {
			out.SecretUntil = *of.SecretUntil
		}
	}
	if of.Labels != nil {
		if err := json.Unmarshal(of.Labels, &out.Labels); err != nil {
			return nil, fmt.Errorf("read labels of schedule %s: %w", of.ID, err)
		}
	}
	if of.Body != nil {
		var body scheduleBody
		if err := json.Unmarshal(of.Body, &body); err != nil {
			return nil, fmt.Errorf("read tree of schedule %s: %w", of.ID, err)
		}
		if out.Tree, out.Parameters = body.Tree, body.Parameters; out.Flow != nil {
			out.Flow.Params, out.Flow.Env, out.Flow.JobOutputs, out.Parameters = body.Parameters, body.Env, body.JobOutputs, nil
		}
	}
	rules, err := spec.Rules(of.CreatedAt)
	if err != nil {
		return nil, err
	}
	if !paused && (rules.MaxRuns == 0 || out.Runs < rules.MaxRuns) {
		out.Next = rules.Upcoming(of.DecidedAt)
	}
	return out, nil
}

// Schedules lists schedules; see [Scheduler].
func (c *Coordinator) Schedules(ctx context.Context, f ScheduleFilter) (page Page[*ScheduleInfo], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	after := ""
	if f.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		id, ours := strings.CutPrefix(string(raw), "schedule ")
		if err != nil || !ours || !text(id) {
			return page, &InvalidArgumentError{Field: "cursor", Reason: "is not a cursor of this list"}
		}
		after = id
	}
	if !text(f.UserID) {
		return page, nil
	}
	here, err := c.here(ctx)
	if err != nil {
		return page, err
	}
	list, err := c.store.Schedules(ctx, here, after, f.UserID, limit+1)
	if err != nil {
		return page, c.internal("list schedules", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte("schedule " + list[limit-1].ID))
	}
	for _, of := range list {
		info, err := c.showSchedule(of)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, info)
	}
	return page, nil
}
