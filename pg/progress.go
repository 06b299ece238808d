package pg

import (
	"context"

	"github.com/taskgrove/taskgrove/dag"
)

// Progress is what a running attempt reports.
type Progress struct {
	Task     dag.Key
	Attempt  int32
	Fraction float64
}

// SetProgress records what running attempts report; of attempts that do not run it changes nothing.
func (s *Store) SetProgress(ctx context.Context, all []Progress) error {
	n := len(all)
	keys, attempts, fractions := make([]int64, n), make([]int32, n), make([]float32, n)
	for i, p := range all {
		keys[i], attempts[i], fractions[i] = int64(p.Task), p.Attempt, float32(p.Fraction)
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("SetProgress"), keys, attempts, fractions)
	return err
}
