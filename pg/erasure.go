package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// ErasureStep is how far an erasure has come.
type ErasureStep int16

// The steps.
const (
	EraseTrees    ErasureStep = 1 // trees with all that belongs to them
	EraseMessages ErasureStep = 2 // what NATS has of them
	EraseContents ErasureStep = 3 // what the store of artifacts has of them
	Erased        ErasureStep = 4 // it is done
)

// Erasure is a row.
type Erasure struct {
	Key                  int64
	ID                   string
	Namespace            dag.NamespaceKey
	UserID               string
	Cancel               bool // what runs is cancelled
	AskedBy              string
	AskedAt              time.Time
	Step                 ErasureStep
	MovedAt              time.Time // when it last came further
	FinishedAt           *time.Time
	Counts               map[string]int64 // what is gone, by kind, and held_trees at last
	Upto                 dag.TreeKey
	Marked, MarkedStream int64 // see [Store.MarkErasure]
}

func (e *Erasure) scan(row pgx.CollectableRow) (err error) {
	var counts []byte
	if err := row.Scan(&e.Key, &e.ID, &e.Namespace, &e.UserID, &e.Cancel, &e.AskedBy, &e.AskedAt, &e.Step, &e.MovedAt, &e.FinishedAt, &counts, &e.Upto, &e.Marked, &e.MarkedStream); err != nil {
		return err
	}
	return json.Unmarshal(counts, &e.Counts)
}

// RunningTreesError refuses an erasure: trees of the user run, and nobody has said that they are to be cancelled.
type RunningTreesError struct{ Trees int }

// Error says how many.
func (e *RunningTreesError) Error() string { return fmt.Sprintf("%d trees of the user run", e.Trees) }

// NeededScheduleError refuses an erasure: a schedule of somebody else begins with the ends of one of the user's.
type NeededScheduleError struct{ Schedule, By string }

// Error says which.
func (e *NeededScheduleError) Error() string {
	return fmt.Sprintf("schedule %s begins with the ends of the user's schedule %s", e.By, e.Schedule)
}

// StartErasure begins to erase what there is of a user in a namespace; where that is under way already, for all trees that there are, it gives that, which with cancel cancels
// what runs from then on. Schedules, flows, bundles and profiles go at once. *[RunningTreesError];
// *[NeededScheduleError]; *[dag.LevelError].
func (s *Store) StartErasure(ctx context.Context, namespace dag.NamespaceKey, user string, cancel bool, by string) (*Erasure, error) {
	id, runs, schedules, flows := "", 0, 0, 0
	var needed NeededScheduleError
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueCoordinators(b, dag.KeepingLevel, s.version)
		b.Queue(sql("LockErasures"))
		b.Queue(sql("EraseSchedules"), namespace, user).QueryRow(func(row pgx.Row) error { return row.Scan(&schedules, &needed.Schedule, &needed.By) })
		b.Queue(sql("EraseFlows"), namespace, user).QueryRow(func(row pgx.Row) error { return row.Scan(&flows) })
		b.Queue(sql("EraseBundles"), namespace, user)
		b.Queue(sql("EraseProfiles"), namespace, user)
		b.Queue(sql("InsertErasure"), uuid.NewString(), namespace, user, cancel, by).QueryRow(func(row pgx.Row) error { return row.Scan(&id, &runs) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.KeepingLevel)
		}
		if id == "" || needed.By != "" {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		b = &pgx.Batch{}
		b.Queue(sql("CountKeptErased"), id, schedules, flows)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("begin an erasure: %w", err)
	case needed.By != "":
		return nil, &needed
	case id == "":
		return nil, &RunningTreesError{runs}
	}
	return s.Erasure(ctx, namespace, id)
}

// Erasure shows one. [ErrNotFound].
func (s *Store) Erasure(ctx context.Context, namespace dag.NamespaceKey, id string) (*Erasure, error) {
	list, err := s.erasures(ctx, "ErasureByID", id, namespace)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Erasures lists those of a namespace below a key (0: from the newest), the newest first.
func (s *Store) Erasures(ctx context.Context, namespace dag.NamespaceKey, below int64, limit int) ([]*Erasure, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	return s.erasures(ctx, "Erasures", namespace, below, limit)
}

// OpenErasures are those that are not done, the oldest first.
func (s *Store) OpenErasures(ctx context.Context) ([]*Erasure, error) {
	return s.erasures(ctx, "OpenErasures")
}

func (s *Store) erasures(ctx context.Context, statement string, args ...any) ([]*Erasure, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Erasure, error) {
		e := &Erasure{}
		return e, e.scan(row)
	})
}

// Erasable is what an erasure would find.
type Erasable struct {
	Trees   int64
	Held    int64 // of these: they stay
	Running int64 // of these
	Tasks   int64 // of all that would go

	Schedules, Flows int64
}

// Erasable counts what an erasure of a user of a namespace would find.
func (s *Store) Erasable(ctx context.Context, namespace dag.NamespaceKey, user string) (e Erasable, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("CountErasable"), namespace, user).Scan(&e.Trees, &e.Held, &e.Running, &e.Tasks, &e.Schedules, &e.Flows); err != nil {
		return e, fmt.Errorf("count what there is of a user: %w", err)
	}
	return e, nil
}

// ToErase is a tree that an erasure is about.
type ToErase struct {
	Tree      dag.TreeKey
	Root      dag.Key
	Open      bool // tasks of it have not ended
	Running   bool // attempts are open
	Stored    bool // it has never been executed
	Cancelled bool
	Held      bool // by an operator: it stays
}

// TreesToErase are trees of an erasure after one, by key.
func (s *Store) TreesToErase(ctx context.Context, e *Erasure, after dag.TreeKey, limit int) ([]ToErase, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("TreesToErase"), e.Namespace, e.UserID, after, e.Upto, limit)
	if err != nil {
		return nil, fmt.Errorf("look for trees to erase: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ToErase])
}

// AllErasedStored reports whether all trees of an erasure are stored by now that may ever be: none is on its way.
func (s *Store) AllErasedStored(ctx context.Context, e *Erasure) (all bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("WritersEndedSince"), e.Key).Scan(&all); err != nil {
		return false, fmt.Errorf("look for trees on their way: %w", err)
	}
	return all, nil
}

// EraseTree deletes a tree for an erasure, and counts what goes in the transactions in which it does. done: it is gone; else something of it runs, or it is held.
func (s *Store) EraseTree(ctx context.Context, e *Erasure, t dag.TreeKey) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	k, end := t.Range()
	for more := true; more; k += expireStep {
		if err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
			done, more, err = eraseStep(ctx, c, e.Key, t, k, end)
			return err
		}); err != nil {
			return false, fmt.Errorf("erase tree %d: %w", t, err)
		}
	}
	s.resident.drop(t)
	return done, nil
}

// eraseStep deletes the tasks from k on, and reports whether there are more; the tree with the last of them. Neither: it can't be.
func eraseStep(ctx context.Context, c *pgx.Conn, erasure int64, t dag.TreeKey, k, end dag.Key) (done, more bool, err error) {
	tasks := -1
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue(sql("LockExecution"), t)
	b.Queue(sql("ErasableTree"), t).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&tasks}, func() error { return nil })
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return false, false, err
	}
	if tasks < 0 {
		_, err := c.Exec(ctx, "rollback")
		return false, false, err
	}
	b = &pgx.Batch{}
	last := min(end, t.Key(0)+dag.Key(tasks))
	to := min(k+expireStep, last)
	b.Queue(sql("CountTasksErased"), erasure, k, to)
	queueDeletion(b, k, to)
	switch {
	case to == last:
		b.Queue(sql("CountTreeErased"), erasure, t)
		queueTreeDeletion(b, t)
	case k == t.Key(0):
		b.Queue(sql("EraseFurther"), t)
	}
	b.Queue("commit")
	return to == last, to < last, c.SendBatch(ctx, b).Close()
}

// EraseUser deletes what is kept of an erasure's user beside trees. Its messages are next.
func (s *Store) EraseUser(ctx context.Context, e *Erasure, namespace string) error {
	return s.erasing(ctx, "erase what is of the user", "EraseUser", e.Key, e.UserID, namespace)
}

// MarkErasure notes what an erasure waits for in a step.
func (s *Store) MarkErasure(ctx context.Context, e *Erasure, marked, stream int64) error {
	return s.erasing(ctx, "mark an erasure", "MarkErasure", e.Key, e.Step, marked, stream)
}

// ErasedAmong are those of the trees that an erasure has deleted.
func (s *Store) ErasedAmong(ctx context.Context, e *Erasure, trees []dag.TreeKey) (map[dag.TreeKey]bool, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ErasedAmong"), e.Key, trees)
	if err != nil {
		return nil, fmt.Errorf("look for erased trees: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return nil, fmt.Errorf("look for erased trees: %w", err)
	}
	out := make(map[dag.TreeKey]bool, len(list))
	for _, t := range list {
		out[t] = true
	}
	return out, nil
}

// CountMessagesErased counts messages and batches of log lines that were deleted.
func (s *Store) CountMessagesErased(ctx context.Context, e *Erasure, messages, logs int) error {
	if messages+logs == 0 {
		return nil
	}
	return s.erasing(ctx, "count erased messages", "CountMessagesErased", e.Key, messages, logs)
}

// CountArchivedErased counts the archived trees that an erasure is about to delete, unless it has counted them before.
func (s *Store) CountArchivedErased(ctx context.Context, e *Erasure, trees int) error {
	return s.erasing(ctx, "count archived trees", "CountArchivedErased", e.Key, trees)
}

// ErasureToContents says that the messages of an erasure are gone, deletes what came late, and has the contents looked at that were being put.
func (s *Store) ErasureToContents(ctx context.Context, e *Erasure) error {
	return s.erasing(ctx, "go on with an erasure", "ErasureToContents", e.Key)
}

// ErasedContentsDue reports whether contents are still to be looked at that were when the erasure came to them.
func (s *Store) ErasedContentsDue(ctx context.Context, e *Erasure) (due bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("ContentsDue"), e.Key).Scan(&due); err != nil {
		return false, fmt.Errorf("look for contents of an erasure: %w", err)
	}
	return due, nil
}

// FinishErasure says that an erasure is done, and counts what is held back. first: this call did.
func (s *Store) FinishErasure(ctx context.Context, e *Erasure) (first bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var counts []byte
	err = s.pool.QueryRow(ctx, sql("FinishErasure"), e.Key).Scan(nil, &counts)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finish an erasure: %w", err)
	}
	return true, json.Unmarshal(counts, &e.Counts)
}

// StuckErasure is an erasure that does not come further.
type StuckErasure struct {
	ID, UserID string
	Step       ErasureStep
	MovedAt    time.Time
}

// StuckErasures are some of those that have not come further for so long.
func (s *Store) StuckErasures(ctx context.Context, age time.Duration) ([]StuckErasure, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("StuckErasures"), age.Seconds())
	if err != nil {
		return nil, fmt.Errorf("look for erasures that stand still: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[StuckErasure])
}

func (s *Store) erasing(ctx context.Context, what, statement string, args ...any) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql(statement), args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
