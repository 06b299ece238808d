package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// Scheduler submits trees when it is time, or when something has happened (control 8). Ids of schedules are the namespace's. Whatever is stored needs
// [dag.SchedulesLevel]: a *[dag.LevelError] while a live process is below it.
type Scheduler interface {
	// CreateSchedule stores a schedule. *[ScheduleFaultsError]: all that is wrong with it, its tree included; [ErrConflict]: there is one of that id, or as many as may be. A
	// preview stores nothing, and is answered by the schedule as it would be, of revision 0.
	CreateSchedule(ctx context.Context, spec scheduledoc.Spec) (*ScheduleInfo, error)
	// GetSchedule shows a schedule. [ErrNotFound].
	GetSchedule(ctx context.Context, id string) (*ScheduleInfo, error)
	// Schedules lists schedules by id, without their trees and parameters.
	Schedules(ctx context.Context, f ScheduleFilter) (Page[*ScheduleInfo], error)
	// UpdateSchedule puts a schedule in the place of the one of its id, if that has the revision, unless that is 0. What has run stays, and so do instants that have passed; its
	// pause stays too, unless the schedule says what is to become of it. A preview changes nothing, and is answered by the schedule as it would be.
	// [ErrNotFound]; [ErrConflict]: it has another revision; *[ScheduleFaultsError].
	UpdateSchedule(ctx context.Context, spec scheduledoc.Spec, revision int) (*ScheduleInfo, error)
	// PauseSchedule stops the start of runs, but for those that are triggered. What runs goes on. One that is paused stays so, by who paused it first. [ErrNotFound].
	PauseSchedule(ctx context.Context, id, reason string) (*ScheduleInfo, error)
	// ResumeSchedule lets runs start again, from the next instant on. [ErrNotFound].
	ResumeSchedule(ctx context.Context, id string) (*ScheduleInfo, error)
	// TriggerSchedule begins a run now, also of a paused schedule. [ErrNotFound]; *[InvalidArgumentError].
	TriggerSchedule(ctx context.Context, t ScheduleTrigger) (*ScheduleRun, error)
	// BackfillSchedule has the instants of a range run, whatever became of them before. [ErrNotFound]; *[InvalidArgumentError].
	BackfillSchedule(ctx context.Context, b ScheduleBackfill) (*ScheduleBackfill, error)
	// DeleteSchedule deletes a schedule that has the revision, or whatever it has (0), and what is known of its runs, whose trees go on. [ErrNotFound]; [ErrConflict]: it has
	// another revision, or another schedule begins with ends of its runs.
	DeleteSchedule(ctx context.Context, id string, revision int) error
	// RenewScheduleSecret gives the webhook of a schedule another secret, and shows it, once. [ErrNotFound]; [ErrConflict]: the schedule has no webhook; *[InvalidArgumentError]: also
	// where there is no key to seal it with.
	RenewScheduleSecret(ctx context.Context, r SecretRenewal) (*ScheduleSecret, error)
	// TakeEvent takes a call of a schedule's webhook: its run is stored, or that of the first call with its id found. [ErrUnsigned], of whatever is not there, too; *[InvalidArgumentError]:
	// of a call that is late, or with what gives no parameters; [ErrConflict]: the schedule is paused; [ErrEventsWait]. Then nothing is stored.
	TakeEvent(ctx context.Context, e ScheduleEvent) (*ScheduleRun, error)
	// ScheduleRuns lists runs, and instants that had none, the latest first. [ErrNotFound].
	ScheduleRuns(ctx context.Context, f ScheduleRunFilter) (Page[*ScheduleRun], error)
}

// ScheduleInfo is a schedule as shown.
type ScheduleInfo struct {
	scheduledoc.Spec
	Revision    int
	CreatedBy   string // empty: nobody was asked
	CreatedAt   time.Time
	UpdatedBy   string
	UpdatedAt   time.Time
	PausedBy    string
	PausedAt    time.Time // zero: it is not paused
	PauseReason string
	Next        time.Time // its next instant; zero: none is to come by time
	Runs        int       // that instants have started

	WebhookPath string    // of the HTTP listener; empty: it has no webhook
	WebhookURL  string    // empty: it has none, or the coordinator does not know by which name it is reached
	SecretAt    time.Time // when the newest secret of the webhook was made; zero: there is none, and nobody can call it
	SecretUntil time.Time // until when the secret before counts as well; zero: not at all
}

// ScheduleFilter selects schedules.
type ScheduleFilter struct {
	UserID string // of this owner only; empty: of all
	Limit  int    // default 100, at most 1000
	Cursor string
}

// ScheduleTrigger is a run that somebody asks for.
type ScheduleTrigger struct {
	ID             string
	Parameters     json.RawMessage // an object, laid over the schedule's
	Overlap        string          // in place of the schedule's, for this run; empty: allow
	IdempotencyKey string          // a second trigger with it is answered by the first one's run

	by string
}

// ScheduleBackfill is a range of instants that is to run.
type ScheduleBackfill struct {
	ID            string // of the schedule
	From, To      time.Time
	MaxConcurrent int // runs at once; 0: 1
	Parameters    json.RawMessage
	// Of the answer:
	Key      int64 // of the backfill
	Instants int   // in the range

	by string
}

// ScheduleRun is a run, or instants that had none.
type ScheduleRun struct {
	Schedule      string
	Kind          string // instant, trigger, backfill or event
	FireTime      time.Time
	IntervalStart time.Time // zero: there is none
	Status        string    // queued, due, running, completed, failed, cancelled, missed, skipped or failed_to_start
	Reason        string    // why it has no tree, or waits
	TreeID        string    // of its tree; empty: none yet, or none at all
	FlowID        string    // of its run of a flow; empty: its tree is of none, or it has none
	FlowVersion   int
	RunID         string
	Backfill      int64     // 0: of none
	Until         time.Time // of many instants that were missed: the last; zero: it is one
	Count         int       // how many
	Due           time.Time // late if it has not ended then; zero: never
	Late          bool
	DecidedAt     time.Time
	StartedAt     time.Time // zero: it has not
	EndedAt       time.Time // zero: it has not
}

// FailedToStart is the status of a run that could have no tree: what it was to run was refused. It counts as failed.
const FailedToStart = "failed_to_start"

// ScheduleRunFilter selects runs.
type ScheduleRunFilter struct {
	ID     string // of the schedule
	Limit  int    // default 100, at most 1000
	Cursor string
}

// ScheduleFaultsError are all faults of a schedule, with their fields: "cron", "tree[2].inputs". Its text is safe to show.
type ScheduleFaultsError struct {
	Faults []scheduledoc.Fault
	More   int // that are not named
}

// Error names all.
func (e *ScheduleFaultsError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = strings.TrimPrefix(f.Field+": ", ": ") + f.Reason
	}
	if e.More > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(texts, "; ")
}

// Problems are the faults as surfaces tell them, each of no task.
func (e *ScheduleFaultsError) Problems() []*dag.InvalidTaskError {
	out := make([]*dag.InvalidTaskError, len(e.Faults))
	for i, f := range e.Faults {
		out[i] = &dag.InvalidTaskError{Code: dag.InvalidField, Index: -1, Field: f.Field, Reason: f.Reason}
	}
	return out
}

func scheduleCall(method, id string, details Details) Call {
	return Call{Method: method, Schedule: id, Details: details}
}

// begins is what a call asks for that has runs begin with ends of another schedule's.
func begins(spec *scheduledoc.Spec) part {
	if spec.On == nil || spec.On.Schedule == "" || spec.Preview && slices.Contains(spec.Beside, spec.On.Schedule) {
		return part{}
	}
	return part{there: true, schedule: spec.On.Schedule}
}

// CreateSchedule has the schedule belong to the caller, unless that may have it belong to whom it names.
func (g *guarded) CreateSchedule(ctx context.Context, spec scheduledoc.Spec) (*ScheduleInfo, error) {
	return askFor(ctx, g, Call{Method: "CreateSchedule", UserID: spec.UserID, Details: aboutSpec(detail("schedule", spec.ID), &spec)}, func(owner string) (*ScheduleInfo, error) {
		spec.UserID = cmp.Or(spec.UserID, owner)
		return g.next.CreateSchedule(g.seesFlows(by(ctx, g.caller.Name)), spec)
	}, begins(&spec), runsFlow(&spec))
}

// runsFlow is what a call asks for that has a flow run.
func runsFlow(spec *scheduledoc.Spec) part {
	if spec.Flow == nil || spec.Flow.ID == "" || spec.Preview && slices.Contains(spec.BesideFlows, spec.Flow.ID) {
		return part{}
	}
	return part{there: true, flow: spec.Flow.ID}
}

// ownedBy adds to what the record keeps whom something is given to that is kept in files; nil: to nobody.
func ownedBy(d Details, owner *string) Details {
	if owner == nil {
		return d
	}
	return d.with("owner", *owner)
}

// aboutSpec adds to what the record keeps what a call does with a schedule.
func aboutSpec(d Details, spec *scheduledoc.Spec) Details {
	if d = ownedBy(d, spec.Owner); spec.Preview {
		d = d.with("preview", true)
	}
	return d
}

func (g *guarded) GetSchedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	return ask(ctx, g, scheduleCall("GetSchedule", id, nil), func() (*ScheduleInfo, error) { return g.next.GetSchedule(ctx, id) })
}

func (g *guarded) Schedules(ctx context.Context, f ScheduleFilter) (Page[*ScheduleInfo], error) {
	return askFor(ctx, g, Call{Method: "Schedules", UserID: f.UserID}, func(owner string) (Page[*ScheduleInfo], error) {
		f.UserID = owner
		return g.next.Schedules(ctx, f)
	})
}

func (g *guarded) UpdateSchedule(ctx context.Context, spec scheduledoc.Spec, revision int) (*ScheduleInfo, error) {
	return ask(ctx, g, scheduleCall("UpdateSchedule", spec.ID, aboutSpec(nil, &spec)), func() (*ScheduleInfo, error) {
		return g.next.UpdateSchedule(g.seesFlows(by(ctx, g.caller.Name)), spec, revision)
	}, begins(&spec), runsFlow(&spec))
}

func (g *guarded) PauseSchedule(ctx context.Context, id, reason string) (*ScheduleInfo, error) {
	return ask(ctx, g, scheduleCall("PauseSchedule", id, detail("reason", reason)), func() (*ScheduleInfo, error) {
		return g.next.PauseSchedule(by(ctx, g.caller.Name), id, reason)
	})
}

func (g *guarded) ResumeSchedule(ctx context.Context, id string) (*ScheduleInfo, error) {
	return ask(ctx, g, scheduleCall("ResumeSchedule", id, nil), func() (*ScheduleInfo, error) { return g.next.ResumeSchedule(by(ctx, g.caller.Name), id) })
}

func (g *guarded) TriggerSchedule(ctx context.Context, t ScheduleTrigger) (*ScheduleRun, error) {
	t.by = g.caller.Name
	return ask(ctx, g, scheduleCall("TriggerSchedule", t.ID, detail("overlap", t.Overlap)), func() (*ScheduleRun, error) { return g.next.TriggerSchedule(ctx, t) })
}

func (g *guarded) BackfillSchedule(ctx context.Context, b ScheduleBackfill) (*ScheduleBackfill, error) {
	b.by = g.caller.Name
	return ask(ctx, g, scheduleCall("BackfillSchedule", b.ID, detail("from", moment(b.From), "to", moment(b.To))), func() (*ScheduleBackfill, error) { return g.next.BackfillSchedule(ctx, b) })
}

func (g *guarded) DeleteSchedule(ctx context.Context, id string, revision int) error {
	_, err := ask(ctx, g, scheduleCall("DeleteSchedule", id, nil), func() (struct{}, error) { return struct{}{}, g.next.DeleteSchedule(ctx, id, revision) })
	return err
}

func (g *guarded) ScheduleRuns(ctx context.Context, f ScheduleRunFilter) (Page[*ScheduleRun], error) {
	return ask(ctx, g, scheduleCall("ScheduleRuns", f.ID, nil), func() (Page[*ScheduleRun], error) { return g.next.ScheduleRuns(ctx, f) })
}

// callerName is the key of the context under which it is noted who makes a call.
type callerName struct{}

// by notes who makes a call.
func by(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerName{}, name)
}

// caller is who makes a call; empty: nobody was asked.
func caller(ctx context.Context) string {
	name, _ := ctx.Value(callerName{}).(string)
	return name
}

// made is what the record keeps of a new schedule.
func (i *ScheduleInfo) made() Details { return detail("revision", i.Revision) }
