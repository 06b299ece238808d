package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of schedules.
const (
	MaxSchedules    = 10_000               // of a namespace
	MaxLastOutputs  = 64 << 10             // of what the last success gave, as a run is told of it
	fireLease       = 30 * time.Second     // how long a coordinator may take to store the tree of a run
	fireEndsAtOnce  = 500                  // ends of runs that one transaction writes down
	keepFires       = 366 * 24 * time.Hour // runs are known for so long, whatever becomes of their trees
	scheduleReason  = 4 << 10              // bytes of why a run has no tree
	forgetAtOnce    = 5000
	maxScheduleWait = 10 * time.Second // between two looks for what is due, if nothing wakes
)

// ErrTooManySchedules: a namespace has as many as may be.
var ErrTooManySchedules = fmt.Errorf("there are %d schedules in the namespace already, and no room for more", MaxSchedules)

// ErrFired says that a run has its tree already, or is to have none any more.
var ErrFired = errors.New("the run of the schedule has a tree, or needs none")

// firedRefusal makes [ErrFired] of the server's refusal to begin a run; another error stays as it is.
func firedRefusal(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "TG001" && strings.HasPrefix(e.Message, "begin runs of schedules:") {
		return ErrFired
	}
	return err
}

// Schedule is a row.
type Schedule struct {
	Key         int64
	Namespace   dag.NamespaceKey
	ID          string
	UserID      string // whose trees it submits; empty: nobody's
	Spec        []byte // JSON: what it says but for its tree and parameters
	Body        []byte // JSON: these; nil: not asked for
	Labels      []byte // JSON; nil: none
	Trigger     *int64 // the schedule whose runs start its own
	TriggerEnds dag.FireEnds
	Revision    int32
	CreatedBy   string
	CreatedAt   time.Time
	UpdatedBy   string
	UpdatedAt   time.Time
	PausedAt    *time.Time
	PausedBy    string
	PauseReason string
	DecidedAt   time.Time  // every instant up to this one is decided
	NextAt      *time.Time // when there is something to decide; nil: never, unless something happens
	Counted     int32      // runs that max_runs counts
	Owner       string     // who keeps it in files; empty: nobody
	SecretAt    *time.Time // when the newest secret of its webhook was made; nil: there is none
	SecretUntil *time.Time // until when the one before counts as well; nil: not at all
	Unhooked    bool       // it has no webhook: what secrets there are go with the change
	Level       dag.Level  // that coordinators need for what it says, where that is stored; 0: no more than for any

	sealed []byte
}

func (s *Schedule) scan(row pgx.Row) error {
	return row.Scan(&s.Key, &s.Namespace, &s.ID, &s.UserID, &s.Spec, &s.Body, &s.sealed, &s.Labels, &s.Trigger, &s.TriggerEnds, &s.Revision, &s.CreatedBy, &s.CreatedAt,
		&s.UpdatedBy, &s.UpdatedAt, &s.PausedAt, &s.PausedBy, &s.PauseReason, &s.DecidedAt, &s.NextAt, &s.Counted, &s.Owner, &s.SecretAt, &s.SecretUntil)
}

// Fire is a run of a schedule, or instants that have none.
type Fire struct {
	Key           int64
	Kind          dag.FireKind
	Instant       time.Time
	Cause         string // what makes it the only one of its kind and instant
	Backfill      int64  // that it is of; 0: none
	State         dag.FireState
	IntervalStart *time.Time
	Until         *time.Time // of many instants that were missed: the last
	N             int32      // how many; 0 stands for 1
	Reason        string
	Parameters    []byte // JSON, of a new run; nil: those of its backfill, or of the schedule
	RootID        string
	Tree          dag.TreeKey
	FlowID, RunID string // of its run of a flow; empty: its tree is of none
	FlowVersion   int32
	DueAt         *time.Time // late if it has not ended then
	Late          bool
	Stopped       bool // told to end, as a later one is to start
	DecidedAt     time.Time
	StartedAt     *time.Time
	EndedAt       *time.Time
}

// Backfill is a range of instants that somebody has asked for.
type Backfill struct {
	Key        int64
	From, To   time.Time // To is not included
	Concurrent int32
	Decided    *time.Time // the last instant that has started; nil: none
	Ended      bool       // all have started
	Parameters []byte     // JSON; nil: those of the schedule
	CreatedBy  string
}

// ScheduleFacts are a schedule, as it stands, and the time by which it is decided.
type ScheduleFacts struct {
	Now       time.Time
	Of        *Schedule
	Open      []Fire // in the order of the line; those of backfills, too
	Backfills []Backfill
	Last      map[int64]dag.FireState // how the run ended that started last, by the backfill; 0: of none
}

// ScheduleDecision is what is decided of a schedule.
type ScheduleDecision struct {
	New       []Fire // runs, and instants that have none
	Moved     []Fire // runs that waited: Key, State, Reason
	Late      []int64
	Stop      []int64 // runs that are to end
	Backfills []Backfill
	Backfill  *Backfill  // a new one, which gets its key
	Decided   time.Time  // every instant up to this one is
	Next      *time.Time // when there is something to decide again
	Counted   int32

	stop []dag.TreeKey // trees of Stop
	void bool          // some of Stop had none
}

// stopReason is why trees of runs are cancelled.
const stopReason = "a later run of the schedule is to start"

// DecidedSchedules is what came of a decision on schedules.
type DecidedSchedules struct {
	N       int            // schedules that were decided
	Due     bool           // trees are to be stored
	Stopped bool           // trees are to be cancelled
	Late    int            // runs that are late and were not
	Trees   []TreeSequence // of these runs, whose events advanced
}

// lateRow reads a run that was marked, and where its tree stands.
func (d *DecidedSchedules) lateRow(rows pgx.Rows) error {
	var t TreeSequence
	_, err := pgx.ForEachRow(rows, []any{&t.Tree, &t.Sequence, &t.Hooked}, func() error {
		if d.Late++; t.Tree != 0 {
			d.Trees = append(d.Trees, t)
		}
		return nil
	})
	return err
}

// DecideSchedules asks what is to be done of schedules that have something to decide, at most limit, and writes it down, in one transaction on Postgres's clock.
func (s *Store) DecideSchedules(ctx context.Context, limit int, decide func(*ScheduleFacts) (ScheduleDecision, error)) (out DecidedSchedules, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		out = DecidedSchedules{}
		var all []*ScheduleFacts
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("DueSchedules"), limit).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				f := &ScheduleFacts{Of: &Schedule{}}
				if err := rows.Scan(&f.Of.Key, &f.Of.Namespace, &f.Of.ID, &f.Of.UserID, &f.Of.Spec, &f.Of.CreatedAt, &f.Of.PausedAt, &f.Of.DecidedAt, &f.Of.Counted, &f.Now); err != nil {
					return err
				}
				all = append(all, f)
			}
			return rows.Err()
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if len(all) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		if err := addFacts(ctx, c, all); err != nil {
			return err
		}
		var w scheduleRows
		for _, f := range all {
			d, err := decide(f)
			if err != nil {
				return fmt.Errorf("schedule %s: %w", f.Of.ID, err)
			}
			again, err := stopFires(ctx, c, &d)
			if err != nil {
				return err
			}
			if again {
				d.Next = &f.Now
			}
			w.add(f.Of, &d)
		}
		b = &pgx.Batch{}
		w.queue(b, &out)
		b.Queue("commit")
		out.N, out.Due, out.Stopped = len(all), w.due, len(w.stop) > 0
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return DecidedSchedules{}, fmt.Errorf("decide schedules: %w", err)
	}
	return out, nil
}

// stopFires tells runs to end. A decision may have seen one without a tree that has one by now: it is looked at again, and no tree is stored for what had none. again: such a one has
// ended, so that there is more to decide.
func stopFires(ctx context.Context, c *pgx.Conn, d *ScheduleDecision) (again bool, err error) {
	if len(d.Stop) == 0 {
		return false, nil
	}
	rows, err := c.Query(ctx, sql("StopFires"), d.Stop)
	if err != nil {
		return false, err
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	d.stop = slices.DeleteFunc(trees, func(tree dag.TreeKey) bool { return tree == 0 })
	d.void = len(d.stop) < len(trees)
	return d.void, err
}

// addFacts reads what schedules are decided by, which are locked.
func addFacts(ctx context.Context, c *pgx.Conn, all []*ScheduleFacts) error {
	of := make(map[int64]*ScheduleFacts, len(all))
	keys := make([]int64, len(all))
	for i, f := range all {
		f.Last = map[int64]dag.FireState{}
		keys[i], of[f.Of.Key] = f.Of.Key, f
	}
	schedules, backfills := slices.Clone(keys), make([]int64, len(keys)) // of each its own runs, and those of backfills
	b := &pgx.Batch{}
	b.Queue(sql("OpenFires"), keys).Query(func(rows pgx.Rows) error {
		var schedule int64
		var f Fire
		_, err := pgx.ForEachRow(rows, []any{&schedule, &f.Key, &f.Kind, &f.Instant, &f.Backfill, &f.State, &f.Tree, &f.DueAt, &f.Late, &f.Stopped}, func() error {
			of[schedule].Open = append(of[schedule].Open, f)
			f = Fire{}
			return nil
		})
		return err
	})
	b.Queue(sql("OpenBackfills"), keys).Query(func(rows pgx.Rows) error {
		var schedule int64
		var f Backfill
		_, err := pgx.ForEachRow(rows, []any{&schedule, &f.Key, &f.From, &f.To, &f.Concurrent, &f.Decided}, func() error {
			of[schedule].Backfills = append(of[schedule].Backfills, f)
			schedules, backfills = append(schedules, schedule), append(backfills, f.Key)
			f = Backfill{}
			return nil
		})
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	rows, err := c.Query(ctx, sql("LastRuns"), schedules, backfills)
	if err != nil {
		return err
	}
	var schedule, backfill int64
	var state dag.FireState
	_, err = pgx.ForEachRow(rows, []any{&schedule, &backfill, &state}, func() error {
		of[schedule].Last[backfill] = state
		return nil
	})
	return err
}

// scheduleRows are the rows that come of decisions.
type scheduleRows struct {
	due bool

	schedules []int64
	kinds     []dag.FireKind
	instants  []time.Time
	causes    []string
	backfills []int64
	states    []dag.FireState
	starts    []*time.Time
	reasons   []string
	dueAt     []*time.Time
	until     []*time.Time
	n         []int32

	moved    []int64
	movedTo  []dag.FireState
	movedWhy []string

	late []int64
	stop []dag.TreeKey
	void []int64 // runs that are to end, of which some had no tree

	ranges      []int64
	rangesTo    []*time.Time
	rangesEnded []bool

	decided []int64
	upTo    []time.Time
	next    []*time.Time
	counted []int32
}

func (w *scheduleRows) add(of *Schedule, d *ScheduleDecision) {
	w.fires(of, d)
	w.decided, w.upTo, w.next, w.counted = append(w.decided, of.Key), append(w.upTo, d.Decided), append(w.next, d.Next), append(w.counted, d.Counted)
}

// fires adds what becomes of runs.
func (w *scheduleRows) fires(of *Schedule, d *ScheduleDecision) {
	for _, f := range d.New {
		w.due = w.due || f.State == dag.FireDue
		w.schedules, w.kinds, w.instants, w.causes, w.backfills = append(w.schedules, of.Key), append(w.kinds, f.Kind), append(w.instants, f.Instant), append(w.causes, f.Cause), append(w.backfills, f.Backfill)
		w.states, w.starts, w.reasons, w.dueAt = append(w.states, f.State), append(w.starts, f.IntervalStart), append(w.reasons, f.Reason), append(w.dueAt, f.DueAt)
		w.until, w.n = append(w.until, f.Until), append(w.n, max(1, f.N))
	}
	for _, f := range d.Moved {
		w.due = w.due || f.State == dag.FireDue
		w.moved, w.movedTo, w.movedWhy = append(w.moved, f.Key), append(w.movedTo, f.State), append(w.movedWhy, f.Reason)
	}
	w.late = append(w.late, d.Late...)
	w.stop = append(w.stop, d.stop...)
	if d.void {
		w.void = append(w.void, d.Stop...)
	}
	for _, r := range d.Backfills {
		w.ranges, w.rangesTo, w.rangesEnded = append(w.ranges, r.Key), append(w.rangesTo, r.Decided), append(w.rangesEnded, r.Ended)
	}
}

// queue writes them; out gets what comes of runs that are late. What cancellations are to do is done by followups.
func (w *scheduleRows) queue(b *pgx.Batch, out *DecidedSchedules) {
	if len(w.moved) > 0 {
		b.Queue(sql("MoveFires"), w.moved, w.movedTo, w.movedWhy)
	}
	if len(w.schedules) > 0 {
		b.Queue(sql("InsertFires"), w.schedules, w.kinds, w.instants, w.causes, w.backfills, w.states, w.starts, w.reasons, w.dueAt, w.until, w.n)
	}
	if len(w.stop) > 0 {
		b.Queue(sql("ExpectCancellations"), w.stop)
		for _, tree := range w.stop {
			b.Queue(sql("CancelTree"), tree, stopReason, 0)
		}
		b.Queue(sql("DropVoidCancellations"), w.stop)
	}
	if len(w.late) > 0 {
		b.Queue(sql("LockLateFires"), w.late)
		b.Queue(sql("LockLateTrees"), w.late)
		b.Queue(sql("MarkFires"), w.late).Query(out.lateRow)
	}
	if len(w.ranges) > 0 {
		b.Queue(sql("MoveBackfills"), w.ranges, w.rangesTo, w.rangesEnded)
	}
	if len(w.decided) > 0 {
		b.Queue(sql("DecideSchedules"), w.decided, w.upTo, w.next, w.counted)
	}
	if len(w.void) > 0 { // last: one of these schedules may have been decided just now
		b.Queue(sql("BeginAfterStops"), w.void)
	}
}

// ScheduleWait is how long there is nothing to decide and no tree of a run to be stored, at most [maxScheduleWait], if nothing happens.
func (s *Store) ScheduleWait(ctx context.Context) (time.Duration, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	wait := maxScheduleWait
	sooner := func(rows pgx.Rows) error {
		var seconds float64
		_, err := pgx.ForEachRow(rows, []any{&seconds}, func() error {
			wait = min(wait, time.Duration(math.Max(0, seconds)*float64(time.Second)))
			return nil
		})
		return err
	}
	b := &pgx.Batch{}
	b.Queue(sql("NextSchedule")).Query(sooner)
	b.Queue(sql("NextFire")).Query(sooner)
	if err := s.pool.Send(ctx, b); err != nil {
		return 0, fmt.Errorf("look for the next instant: %w", err)
	}
	return wait, nil
}

// DueFire is a run whose tree is to be stored, with what its schedule says.
type DueFire struct {
	Fire
	Parameters []byte // JSON; nil: those of the schedule
	Of         Schedule
	Last       LastSuccess // of the schedule; only what [Store.LastSuccesses] has read
}

// LastSuccess is the last run of a schedule that succeeded.
type LastSuccess struct {
	Instant  *time.Time // nil: none has succeeded, or it was not read
	Outputs  []byte     // JSON: what the root of its tree names as outputs, else its result; nil: none, or the tree is gone, or runs again
	TooLarge bool       // these have over [MaxLastOutputs]
}

// ClaimFires takes up to limit runs whose trees are to be stored, for a while in which nobody else does.
func (s *Store) ClaimFires(ctx context.Context, limit int) (all []*DueFire, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ClaimFires"), limit, fireLease.Seconds())
	if err != nil {
		return nil, fmt.Errorf("take runs of schedules: %w", err)
	}
	var sealed [][]byte
	if all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*DueFire, error) {
		f := &DueFire{Fire: Fire{State: dag.FireDue}}
		var envelope []byte
		err := row.Scan(&f.Key, &f.Of.Key, &f.Kind, &f.Instant, &f.IntervalStart, &f.Parameters, &envelope, &f.Of.Namespace, &f.Of.ID, &f.Of.UserID, &f.Of.Spec, &f.Of.Body, &f.Of.sealed, &f.Of.Labels, &f.Of.CreatedAt)
		sealed = append(sealed, envelope)
		return f, err
	}); err != nil {
		return nil, fmt.Errorf("take runs of schedules: %w", err)
	}
	for i, f := range all {
		if err := errors.Join(s.openBody(ctx, f.Of.Namespace, f.Of.sealed, &f.Of.Body), s.openBody(ctx, f.Of.Namespace, sealed[i], &f.Parameters)); err != nil {
			return nil, fmt.Errorf("open schedule %s: %w", f.Of.ID, err)
		}
	}
	return all, nil
}

// lastAttempt is what is stored of what the root of a tree gave.
type lastAttempt struct {
	tree            dag.TreeKey
	result, outputs []byte
	envelope        []byte // of both; nil: they are not sealed
}

// LastSuccesses gives runs the last success of their schedules, as it is now: up to [MaxLastOutputs] of each schedule are read.
func (s *Store) LastSuccesses(ctx context.Context, all []*DueFire) error {
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	runs := map[int64][]*DueFire{}
	for _, f := range all {
		runs[f.Of.Key] = append(runs[f.Of.Key], f)
	}
	rows, err := s.pool.Query(ctx, sql("LastSuccesses"), slices.Collect(maps.Keys(runs)), MaxLastOutputs)
	if err != nil {
		return fmt.Errorf("read the last success of schedules: %w", err)
	}
	var key int64
	var last LastSuccess
	var of lastAttempt
	if _, err := pgx.ForEachRow(rows, []any{&key, &last.Instant, &of.tree, &last.TooLarge, &of.result, &of.outputs, &of.envelope}, func() error {
		if err := s.openLast(ctx, &last, &of); err != nil {
			return fmt.Errorf("open what the last success of schedule %s gave: %w", runs[key][0].Of.ID, err)
		}
		for _, f := range runs[key] {
			f.Last = last
		}
		last, of = LastSuccess{}, lastAttempt{}
		return nil
	}); err != nil {
		return fmt.Errorf("read the last success of schedules: %w", err)
	}
	return nil
}

// openLast opens what the last success gave. What can't be read any more, as its key was taken away, is as if it were gone.
func (s *Store) openLast(ctx context.Context, last *LastSuccess, of *lastAttempt) error {
	if err := s.seals.open(ctx, of.tree, kindAttempt, of.envelope, &of.result, new([]byte), new([]byte), &of.outputs); err != nil {
		if Unreadable(err) {
			return nil
		}
		return err
	}
	if last.Outputs = of.outputs; last.Outputs == nil {
		last.Outputs = of.result
	}
	if len(last.Outputs) > MaxLastOutputs {
		last.Outputs, last.TooLarge = nil, true
	}
	return nil
}

// RefuseFire writes down why a run has no tree, which has failed then or is skipped. One that has its tree already stays as it is.
func (s *Store) RefuseFire(ctx context.Context, key int64, state dag.FireState, reason string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("RefuseFire"), key, state, cutText(reason, scheduleReason))
	return err
}

// EndFires writes down how runs have ended whose trees have, a bounded number, and reports whether there may be more.
func (s *Store) EndFires(ctx context.Context) (n int, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var roots []dag.Key
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeFireEnds"), fireEndsAtOnce).Query(func(rows pgx.Rows) (err error) {
			roots, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		n, more = len(roots), len(roots) == fireEndsAtOnce
		b = &pgx.Batch{}
		if n > 0 {
			b.Queue(sql("EndFires"), roots)
		}
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, false, fmt.Errorf("write down how runs of schedules ended: %w", err)
	}
	return n, more, nil
}

// sealBody gives what is stored of a JSON value of a schedule of a namespace: itself, or its envelope.
func (s *Store) sealBody(ctx context.Context, namespace dag.NamespaceKey, body []byte) (plain *string, envelope []byte, err error) {
	return s.sealAs(ctx, kindSchedule, namespace, body)
}

// sealAs gives what is stored of a JSON value of a kind that belongs to a namespace: itself, or its envelope.
func (s *Store) sealAs(ctx context.Context, kind string, namespace dag.NamespaceKey, body []byte) (plain *string, envelope []byte, err error) {
	if body == nil {
		return nil, nil, nil
	}
	itself := namespaceItself(namespace)
	z, err := s.seals.sealer(ctx, itself)
	if err != nil {
		return nil, nil, err
	}
	if z == nil {
		text := string(body)
		return &text, nil, nil
	}
	if err := storableJSON(body); err != nil {
		return nil, nil, err
	}
	return nil, z.seal(itself, kind, body), nil
}

// openBody is the value of an envelope; body, if there is none.
func (s *Store) openBody(ctx context.Context, namespace dag.NamespaceKey, envelope []byte, body *[]byte) error {
	return s.seals.open(ctx, namespaceItself(namespace), kindSchedule, envelope, body)
}

// CreateSchedule stores a schedule, which gets its Key and CreatedAt. If it has no DecidedAt or NextAt, they are now. [ErrTaken]; [ErrTooManySchedules]; *[dag.LevelError] while a live process knows no schedules;
// [ErrNoNamespace].
func (s *Store) CreateSchedule(ctx context.Context, of *Schedule) error {
	err := s.changeSchedules(ctx, func(ctx context.Context, c *pgx.Conn) error {
		body, envelope, err := s.sealBody(ctx, of.Namespace, of.Body)
		if err != nil {
			return err
		}
		if err := s.useLevel(ctx, c, of.Level); err != nil {
			return err
		}
		err = c.QueryRow(ctx, sql("InsertSchedule"), of.Namespace, of.ID, of.UserID, string(of.Spec), body, envelope, jsonOrNull(of.Labels), of.Trigger, of.CreatedBy, unlessZeroTime(of.DecidedAt), of.NextAt,
			MaxSchedules, of.PausedAt != nil, of.TriggerEnds, nilIfEmpty(of.PauseReason), of.Owner).Scan(&of.Key, &of.CreatedAt)
		if isUnique(err, "schedule_id") {
			return ErrTaken
		}
		return orNone(err, ErrTooManySchedules)
	})
	if err != nil {
		return fmt.Errorf("store schedule: %w", err)
	}
	return nil
}

// changeSchedules runs f in a transaction. *[dag.LevelError] while a live process knows no schedules.
func (s *Store) changeSchedules(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueLevel(b, dag.SchedulesLevel, s.version)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.SchedulesLevel)
		}
		if err := f(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
}

// useLevel makes a transaction fail while a live coordinator is below a level, which it uses from then on; 0: none. *[dag.LevelError].
func (s *Store) useLevel(ctx context.Context, c *pgx.Conn, level dag.Level) error {
	if level == 0 {
		return nil
	}
	b := &pgx.Batch{}
	queueCoordinators(b, level, s.version)
	return levelRefusal(c.SendBatch(ctx, b).Close(), s.editLevels(), level)
}

// unlessZeroTime is a time as a parameter: null if it is zero.
func unlessZeroTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// jsonOrNull is a value as a parameter.
func jsonOrNull(raw []byte) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// nilIfEmpty is a text as a parameter: null if it is empty.
func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Schedule reads a schedule with its body. [ErrNotFound].
func (s *Store) Schedule(ctx context.Context, namespace dag.NamespaceKey, id string) (*Schedule, error) {
	all, err := s.readSchedules(ctx, namespace, &id, "", "", true, 1)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNotFound
	}
	return all[0], s.openBody(ctx, namespace, all[0].sealed, &all[0].Body)
}

// ScheduleKey is the key of the schedule of an id. [ErrNotFound].
func (s *Store) ScheduleKey(ctx context.Context, namespace dag.NamespaceKey, id string) (key int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("ScheduleKey"), namespace, id).Scan(&key); err != nil {
		return 0, orNone(err, ErrNotFound)
	}
	return key, nil
}

// OwnerOfSchedule is whose trees a schedule submits; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOfSchedule(ctx context.Context, namespace dag.NamespaceKey, id string) (user string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("OwnerOfSchedule"), namespace, id).Scan(&user); err != nil {
		return "", orNone(err, ErrNotFound)
	}
	return user, nil
}

// Schedules lists those of a namespace with ids after one, of a user unless that is empty, without bodies.
func (s *Store) Schedules(ctx context.Context, namespace dag.NamespaceKey, after, user string, limit int) ([]*Schedule, error) {
	return s.readSchedules(ctx, namespace, nil, after, user, false, limit)
}

func (s *Store) readSchedules(ctx context.Context, namespace dag.NamespaceKey, id *string, after, user string, bodies bool, limit int) (all []*Schedule, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("Schedules"), namespace, id, after, user, limit, bodies)
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Schedule, error) {
			of := &Schedule{}
			return of, of.scan(row)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", err)
	}
	return all, nil
}

// ChangeSchedule changes a schedule as f says, which changes facts.Of and may decide of runs, and gives it as it is then. If once has a cause, run is the run of its kind and cause
// after that; f is not asked if there was one before. [ErrNotFound]; errors of f as they are; *[dag.LevelError].
func (s *Store) ChangeSchedule(ctx context.Context, namespace dag.NamespaceKey, id, by string, once Fire, f func(facts *ScheduleFacts) (ScheduleDecision, error)) (of *Schedule, run *Fire, err error) {
	err = s.changeSchedules(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		run = nil
		facts := &ScheduleFacts{}
		if facts.Of, facts.Now, err = s.lockSchedule(ctx, c, namespace, id); err != nil {
			return err
		}
		of = facts.Of
		if once.Cause != "" {
			if run, err = fireOf(ctx, c, of.Key, once); run != nil || err != nil {
				return err
			}
		}
		if err := addFacts(ctx, c, []*ScheduleFacts{facts}); err != nil {
			return err
		}
		before := of.Trigger
		d, err := f(facts)
		if err != nil {
			return err
		}
		again, err := stopFires(ctx, c, &d)
		if err != nil {
			return err
		}
		if again {
			of.NextAt = &facts.Now
		}
		if of.Trigger != nil && (before == nil || *before != *of.Trigger) {
			if err := noCycle(ctx, c, of); err != nil {
				return err
			}
		}
		if err := s.useLevel(ctx, c, of.Level); err != nil {
			return err
		}
		body, envelope, err := s.sealBody(ctx, namespace, of.Body)
		if err != nil {
			return err
		}
		if d.Backfill != nil {
			plain, sealed, err := s.sealBody(ctx, namespace, d.Backfill.Parameters)
			if err != nil {
				return err
			}
			if err := c.QueryRow(ctx, sql("InsertBackfill"), of.Key, d.Backfill.From, d.Backfill.To, d.Backfill.Concurrent, plain, sealed, by).Scan(&d.Backfill.Key); err != nil {
				return err
			}
		}
		var w scheduleRows
		w.fires(of, &d)
		b := &pgx.Batch{}
		b.Queue(sql("UpdateSchedule"), of.Key, of.UserID, string(of.Spec), body, envelope, jsonOrNull(of.Labels), of.Trigger, by, of.DecidedAt, of.NextAt, of.PausedAt, of.PausedBy, of.PauseReason, of.TriggerEnds, of.Owner, of.Counted, !of.Unhooked)
		w.queue(b, &DecidedSchedules{})
		for i := range d.New {
			if err := s.giveParameters(ctx, b, of, &d.New[i]); err != nil {
				return err
			}
		}
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if once.Cause != "" {
			run, err = fireOf(ctx, c, of.Key, once)
		}
		return err
	})
	return of, run, err
}

// noCycle refuses that runs of a schedule begin, by others or at once, with ends of its own. [ErrTriggerCycle].
func noCycle(ctx context.Context, c *pgx.Conn, of *Schedule) error {
	if _, err := c.Exec(ctx, sql("LockTriggers")); err != nil {
		return err
	}
	var cycle bool
	if err := c.QueryRow(ctx, sql("LeadsTo"), *of.Trigger, of.Key, []string{}).Scan(&cycle); err != nil {
		return err
	}
	if cycle {
		return ErrTriggerCycle
	}
	return nil
}

// LeadsTo reports whether runs of a schedule begin, by others or at once, with ends of runs of another one. What begins those of the ids without is not looked at.
func (s *Store) LeadsTo(ctx context.Context, from, to int64, without []string) (leads bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("LeadsTo"), from, to, append([]string{}, without...)).Scan(&leads)
	return leads, err
}

// ErrTriggerCycle: runs of a schedule would begin with ends of its own for ever.
var ErrTriggerCycle = errors.New("runs would begin with their own ends")

// lockSchedule locks a schedule, and reads it with the time. [ErrNotFound].
func (s *Store) lockSchedule(ctx context.Context, c *pgx.Conn, namespace dag.NamespaceKey, id string) (*Schedule, time.Time, error) {
	of, now := &Schedule{}, time.Time{}
	b := &pgx.Batch{}
	b.Queue(sql("LockSchedule"), namespace, id).QueryRow(of.scan)
	b.Queue("select now()").QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, now, orNone(err, ErrNotFound)
	}
	return of, now, s.openBody(ctx, namespace, of.sealed, &of.Body)
}

// fireOf is the run of a kind and cause; nil: there is none.
func fireOf(ctx context.Context, c *pgx.Conn, schedule int64, f Fire) (*Fire, error) {
	rows, err := c.Query(ctx, sql("FireOf"), schedule, f.Kind, f.Cause)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, scanFire)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

func scanFire(row pgx.CollectableRow) (*Fire, error) {
	f := &Fire{}
	return f, row.Scan(&f.Key, &f.Kind, &f.Instant, &f.Cause, &f.Backfill, &f.State, &f.IntervalStart, &f.Reason, &f.RootID, &f.Until, &f.N, &f.DueAt, &f.Late, &f.DecidedAt, &f.StartedAt, &f.EndedAt,
		&f.FlowID, &f.FlowVersion, &f.RunID)
}

// DeleteSchedule deletes a schedule, that has the revision or whatever it has (0), and what is known of its runs, whose trees stay. [ErrNotFound]; [ErrChanged]; [ErrTaken]: the runs of another one begin with the ends of its own, whose id by is.
func (s *Store) DeleteSchedule(ctx context.Context, namespace dag.NamespaceKey, id string, revision int32) (by string, err error) {
	err = s.changeSchedules(ctx, func(ctx context.Context, c *pgx.Conn) error {
		of, _, err := s.lockSchedule(ctx, c, namespace, id)
		if err != nil {
			return err
		}
		if revision != 0 && revision != of.Revision {
			return ErrChanged
		}
		switch err := c.QueryRow(ctx, sql("TriggersOf"), of.Key).Scan(&by); {
		case err == nil:
			return ErrTaken
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		_, err = c.Exec(ctx, sql("DeleteSchedule"), of.Key)
		return err
	})
	return by, err
}

// Fires lists runs of a schedule, the newest first, after one; nil: from the newest.
func (s *Store) Fires(ctx context.Context, schedule int64, after *Fire, limit int) ([]*Fire, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var instant *time.Time
	var key int64
	if after != nil {
		instant, key = &after.Instant, after.Key
	}
	rows, err := s.pool.Query(ctx, sql("Fires"), schedule, instant, key, limit)
	if err != nil {
		return nil, fmt.Errorf("read runs of schedule: %w", err)
	}
	return pgx.CollectRows(rows, scanFire)
}

// ForgetFires deletes runs that ended long ago, a bounded number, and reports whether there may be more.
func (s *Store) ForgetFires(ctx context.Context) (more bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("ForgetFires"), keepFires.Seconds(), forgetAtOnce)
	if err != nil {
		return false, fmt.Errorf("forget runs of schedules: %w", err)
	}
	return tag.RowsAffected() == forgetAtOnce, nil
}
