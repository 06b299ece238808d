package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of what an explanation reads.
const (
	// MaxWhyDependencies is how many unfinished dependencies of a task are named; the others are counted.
	MaxWhyDependencies = 100

	whyLate      = 20_000  // tasks that were published last and are looked at
	whyStretches = 100_000 // waiting stretches that are summed up
	whyFaults    = 3       // workers whose faults are named
)

// Why is what the store knows of a task's waiting, as of one moment.
type Why struct {
	At            time.Time // that moment
	Key           dag.Key
	ID            string
	TreeID        string `db:"tree_id"`
	Name          string
	State         dag.State
	Flags         dag.Flags
	OnLost        dag.OnLost `db:"on_lost"`
	Run           int32      // the first attempt of its current run
	Priority      dag.Priority
	PoolID        int32 `db:"pool_id"`
	Pool          string
	Attempt       int32
	Remaining     int32 // dependencies that it was not told of yet
	Failures      int32 // in this execution
	Dependencies  int
	Open          bool      // an attempt is open: Running, or Cancelled and not yet stopped
	Worker        string    // that holds it
	WorkerLevel   dag.Level `db:"worker_level"`
	StartedAt     *time.Time
	FinishedAt    *time.Time
	Error         string     // of the attempt that settled it
	CancelledAt   *time.Time `db:"cancelled_at"` // of its tree
	CancelMessage string     `db:"cancel_message"`
	DueAt         *time.Time `db:"due_at"`       // Delayed: until when
	TreeLate      *time.Time `db:"tree_late"`    // of a root whose tree has not ended: since when it was late
	TreeDue       *time.Time `db:"tree_due"`     // by when the tree is to have ended
	ErrorBefore   string     `db:"error_before"` // of the attempt before this one
	Again         bool       // the attempt before this one completed, and the task runs once more, as it repeats
	Cause         string     // Blocked: the task whose end is the cause
	CauseName     string     `db:"cause_name"`
	CauseState    dag.State  `db:"cause_state"`
	CauseError    string     `db:"cause_error"`

	Sealed, SealedBefore, SealedCause []byte // until they are opened

	Steps      []WhyStep       `db:"-"` // Blocked, Skipped, or with a condition: itself, then what has led to its end, see [WhyStep]
	Unfinished []WhyDependency `db:"-"` // Waiting: the first of the dependencies that have not ended
	Total      int             `db:"-"` // how many have not ended
	Workers    WhyWorkers      `db:"-"` // Ready: of its pool
	Owner      string          // of its tree
	Lines      []WhyLine       `db:"-"` // Ready, and limited: what it waits for; none: it was granted that
	Rules      []WhyRule       `db:"-"` // Ready: operators' limits that hold it back, its pool's first
	Place      *WhyPlace       `db:"-"` // Ready: where it stands; nil: it is in no stretch, which no transaction leaves behind
	Expansion  *WhyExpansion   `db:"-"` // Expanded: what it waits for; nil: nothing says that
}

// MayBeInLine reports whether the open attempt may still wait for a slot of its worker: it was claimed so lately, and may be
// claimed ahead. Only the worker knows.
func (w *Why) MayBeInLine() bool {
	ahead := dag.MayBeClaimedAhead(w.Attempt, w.Run, w.Flags) && w.OnLost != dag.FailLost // version 0.3 stored no flag for that
	return w.State == dag.Running && ahead && w.WorkerLevel >= dag.AheadLevel && w.StartedAt != nil && w.At.Sub(*w.StartedAt) < dag.LineWait
}

// WhyDependency is a dependency that has not ended.
type WhyDependency struct {
	ID, Name string
	State    dag.State
	Required bool
	Mode     dag.EdgeMode
}

// WhyWorkers are the workers of a pool.
type WhyWorkers struct {
	Capacity int        // slots of those that are alive and take tasks
	Workers  int        // how many those are
	Draining int        // alive, but take nothing any more
	Since    *time.Time // since when others were the last that served it; nil: none in the last day
	Faults   []string   // "worker: fault" of the first live ones that don't count, as a fault keeps them from its tasks
}

// WhyPlace is where a ready task stands in its pool.
type WhyPlace struct {
	Sent  *time.Time // when it was published; nil: it waits in Postgres
	Ahead int        // ready tasks that start before it
	More  bool       // so many wait that not all were counted
	Busy  int        // attempts that the pool's live workers hold: more than slots, if some are claimed ahead
}

// Why reads what a task waits for, in one snapshot. lease is that of workers. [ErrNotFound].
func (s *Store) Why(ctx context.Context, namespace dag.NamespaceKey, id string, lease time.Duration) (*Why, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var out *Why
	err := s.pool.snapshot(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql("WhyTask"), id, namespace)
		if err != nil {
			return err
		}
		out, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Why])
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if out.State == dag.Blocked || out.State == dag.Skipped || out.Flags&dag.FlagWhen != 0 {
			if err := out.addSteps(ctx, tx, s.seals); err != nil {
				return err
			}
		}
		switch out.State {
		case dag.Waiting:
			return out.addDependencies(ctx, tx)
		case dag.Ready:
			if out.Flags&dag.FlagLimited != 0 {
				if err := out.addLines(ctx, tx); err != nil {
					return err
				}
			}
			if err := out.addRules(ctx, tx, namespace); err != nil {
				return err
			}
			return out.addPlace(ctx, tx, lease)
		case dag.Expanded:
			out.Expansion, err = expansionAt(ctx, tx, out.Key, 0)
			return err
		}
		return nil
	})
	if err == nil {
		err = out.open(ctx, s.seals)
	}
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", id, err)
	}
	return out, nil
}

// open opens the errors.
func (w *Why) open(ctx context.Context, x *seals) error {
	for _, e := range []struct {
		envelope *[]byte
		message  *string
	}{{&w.Sealed, &w.Error}, {&w.SealedBefore, &w.ErrorBefore}, {&w.SealedCause, &w.CauseError}} {
		if err := x.openText(ctx, w.Key.Tree(), *e.envelope, new([]byte), e.message, nil); err != nil {
			return err
		}
		*e.envelope = nil
	}
	return nil
}

// addDependencies adds what a waiting task waits for.
func (w *Why) addDependencies(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, sql("WhyDependencies"), w.Key, MaxWhyDependencies)
	if err != nil {
		return err
	}
	var d WhyDependency
	_, err = pgx.ForEachRow(rows, []any{&d.ID, &d.Name, &d.State, &d.Required, &d.Mode, &w.Total}, func() error {
		w.Unfinished = append(w.Unfinished, d)
		return nil
	})
	return err
}

// addPlace adds where a ready task stands, and who could take it.
func (w *Why) addPlace(ctx context.Context, tx pgx.Tx, lease time.Duration) error {
	rows, err := tx.Query(ctx, sql("WhyWorkers"), w.Pool, lease.Seconds(), whyFaults)
	if err != nil {
		return err
	}
	if w.Workers, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[WhyWorkers]); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, sql("WhyAhead"), w.PoolID, int16(w.Priority), w.Key, w.Attempt, whyLate, whyStretches); err != nil {
		return err
	}
	w.Place, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[WhyPlace])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
