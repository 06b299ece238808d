package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Sealing says whether the cluster's values are sealed.
type Sealing int16

// What Sealing may be.
const (
	SealingOff     Sealing = 0
	SealingOn      Sealing = 1
	SealingOpening Sealing = 2 // new values are not sealed any more, and those that are sealed are opened
)

// Sealing is whether values are sealed, and since when. What this process writes follows it from now on.
func (s *Store) Sealing(ctx context.Context) (state Sealing, since time.Time, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var at *time.Time // null: since ever
	if err := s.pool.QueryRow(ctx, sql("SealingState")).Scan(&state, &at); err != nil {
		return 0, since, fmt.Errorf("read whether values are sealed: %w", err)
	}
	if at != nil {
		since = *at
	}
	s.seals.on.Store(state == SealingOn && s.seals.ring.Can())
	return state, since, nil
}

// SetSealing has values sealed, or opened, from now on. *[dag.LevelError] while a process lives that could not read what is sealed.
func (s *Store) SetSealing(ctx context.Context, state Sealing) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	queueLevel(b, dag.AccessLevel, s.version)
	b.Queue(sql("SetSealing"), state)
	if err := s.pool.Send(ctx, b); err != nil {
		return levelRefusal(fmt.Errorf("seal values: %w", err), s.levels, dag.AccessLevel)
	}
	_, _, err := s.Sealing(ctx)
	return err
}
