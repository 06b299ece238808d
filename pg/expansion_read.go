package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Expansion is what a task found, while it waits for that.
type Expansion struct {
	Tasks, Made, Unfinished int32
	Window                  int32 // items in progress at most; 0: all
}

// addExpansions adds to tasks that wait for what they found how much that is. Others cost nothing.
func (s *Store) addExpansions(ctx context.Context, list []*Shown) error {
	var keys []dag.Key
	for _, t := range list {
		if t.State == dag.Expanded {
			keys = append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sql("ExpansionsOf"), keys)
	if err != nil {
		return fmt.Errorf("read what %d tasks found: %w", len(keys), err)
	}
	type found struct {
		attempt int32
		Expansion
	}
	all := map[dag.Key]*found{}
	var k dag.Key
	var f found
	if _, err := pgx.ForEachRow(rows, []any{&k, &f.attempt, &f.Tasks, &f.Made, &f.Window, &f.Unfinished}, func() error {
		row := f
		all[k] = &row
		return nil
	}); err != nil {
		return fmt.Errorf("read what %d tasks found: %w", len(keys), err)
	}
	for _, t := range list {
		if f := all[t.Key]; f != nil && f.attempt == t.Attempt {
			t.Expansion = &f.Expansion
		}
	}
	return nil
}
