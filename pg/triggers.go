package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// CalledSchedule is what tells whether a call of a schedule's webhook is one.
type CalledSchedule struct {
	Key     int64
	Spec    []byte // JSON
	Secrets []byte // sealed; nil: there are none
	Before  bool   // the secret before the newest counts as well
	Now     time.Time
}

// CalledSchedule reads what tells whether a call of the webhook of a schedule is one. [ErrNotFound]. It reads neither a tree nor parameters: anybody may ask for it.
func (s *Store) CalledSchedule(ctx context.Context, namespace dag.NamespaceKey, id string) (*CalledSchedule, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := &CalledSchedule{}
	if err := s.pool.QueryRow(ctx, sql("CalledSchedule"), namespace, id).Scan(&out.Key, &out.Spec, &out.Secrets, &out.Before, &out.Now); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	return out, nil
}

// TakeEvent has f decide of a new run of a schedule, of the kind and cause of once, and gives the run; f is not asked if there is one already, of whatever call. The run is stored with what
// says that the event was taken, in one transaction: it is both. [ErrNotFound]: there is no schedule of the key any more; [ErrChanged]: it has another revision; errors of f as they are.
// f may neither change facts.Of, whose body is not read, nor begin backfills.
func (s *Store) TakeEvent(ctx context.Context, schedule int64, revision int32, once Fire, f func(facts *ScheduleFacts) (ScheduleDecision, error)) (run *Fire, err error) {
	err = s.changeSchedules(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		run = nil
		of := &Schedule{}
		facts := &ScheduleFacts{Of: of}
		if err := c.QueryRow(ctx, sql("LockCalled"), schedule).Scan(&of.Key, &of.Namespace, &of.ID, &of.Spec, &of.CreatedAt, &of.PausedAt, &of.DecidedAt, &of.Counted, &of.Revision, &facts.Now); err != nil {
			return orNone(err, ErrNotFound)
		}
		if run, err = fireOf(ctx, c, of.Key, once); run != nil || err != nil {
			return err
		}
		if of.Revision != revision {
			return ErrChanged
		}
		if err := addFacts(ctx, c, []*ScheduleFacts{facts}); err != nil {
			return err
		}
		d, err := f(facts)
		if err != nil {
			return err
		}
		if _, err := stopFires(ctx, c, &d); err != nil {
			return err
		}
		var w scheduleRows
		w.fires(of, &d)
		b := &pgx.Batch{}
		w.queue(b, &DecidedSchedules{})
		for i := range d.New {
			if err := s.giveParameters(ctx, b, of, &d.New[i]); err != nil {
				return err
			}
		}
		b.Queue(sql("WakeSchedule"), of.Key)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		run, err = fireOf(ctx, c, of.Key, once)
		return err
	})
	return run, err
}

// giveParameters stores those of a new run, if it has some.
func (s *Store) giveParameters(ctx context.Context, b *pgx.Batch, of *Schedule, f *Fire) error {
	if f.Parameters == nil {
		return nil
	}
	plain, sealed, err := s.sealBody(ctx, of.Namespace, f.Parameters)
	if err != nil {
		return err
	}
	b.Queue(sql("GiveFireParameters"), of.Key, f.Kind, f.Instant, f.Cause, plain, sealed)
	return nil
}

// ScheduleSecrets are the secrets of a schedule's webhook, sealed.
type ScheduleSecrets struct {
	Schedule int64
	Spec     []byte     // JSON
	Sealed   []byte     // nil: there are none
	At       *time.Time // when the newest was made; nil: there is none
}

// SecretsOfSchedule reads the secrets of a schedule's webhook. [ErrNotFound].
func (s *Store) SecretsOfSchedule(ctx context.Context, namespace dag.NamespaceKey, id string) (*ScheduleSecrets, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	out := &ScheduleSecrets{}
	if err := s.pool.QueryRow(ctx, sql("SecretsOfSchedule"), namespace, id).Scan(&out.Schedule, &out.Spec, &out.Sealed, &out.At); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	return out, nil
}

// RenewSecrets puts others in the place of secrets that were read; the one before the newest counts for so long, 0: not at all. It gives when they were stored, and until when the one before
// counts. [ErrChanged]: there are others meanwhile, or no schedule.
func (s *Store) RenewSecrets(ctx context.Context, was *ScheduleSecrets, sealed []byte, keep time.Duration) (at time.Time, until *time.Time, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("RenewSecrets"), was.Schedule, sealed, was.At, keep.Seconds()).Scan(&at, &until)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, nil, ErrChanged
	}
	if err != nil {
		return at, nil, fmt.Errorf("store secrets of a schedule's webhook: %w", err)
	}
	return at, until, nil
}
