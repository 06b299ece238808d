package pg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of what is said of tasks that were found.
const (
	whyFound      = 10 // that an expanded task waits for and that are named
	whyFoundBelow = 3  // likewise, of one of those that is expanded itself
	whyFoundDepth = 4  // expansions within one another that are looked into
)

// WhyExpansion is what an expanded task waits for.
type WhyExpansion struct {
	Tasks      int // that it found
	Unmade     int // that are yet to be made
	Unfinished int // that have not ended, those that are not made among them
	Window     int // items in progress at most; 0: all
	Named      []WhyFound
}

// WhyFound is a task that has not ended and that an expanded task waits for.
type WhyFound struct {
	ID, Name string
	State    dag.State
	Found    *WhyExpansion // Expanded: what it waits for itself; nil: that is too deep
}

// expansionAt reads what an expanded task waits for; nil: there is no such expansion any more.
func expansionAt(ctx context.Context, tx pgx.Tx, k dag.Key, depth int) (*WhyExpansion, error) {
	var first, made int32
	out := &WhyExpansion{}
	err := tx.QueryRow(ctx, sql("WhyExpansion"), k).Scan(&first, &out.Tasks, &made, &out.Window, &out.Unfinished)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out.Unmade = out.Tasks - int(made)
	named := whyFound
	if depth > 0 {
		named = whyFoundBelow
	}
	from := k.Tree().Key(int(first))
	rows, err := tx.Query(ctx, sql("WhyFound"), from, from+dag.Key(made), named)
	if err != nil {
		return nil, err
	}
	var key dag.Key
	var f WhyFound
	var keys []dag.Key
	if _, err := pgx.ForEachRow(rows, []any{&key, &f.ID, &f.Name, &f.State}, func() error {
		out.Named, keys = append(out.Named, f), append(keys, key)
		return nil
	}); err != nil {
		return nil, err
	}
	for i := range out.Named {
		if out.Named[i].State != dag.Expanded || depth+1 == whyFoundDepth {
			continue
		}
		if out.Named[i].Found, err = expansionAt(ctx, tx, keys[i], depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}
