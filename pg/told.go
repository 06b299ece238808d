package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// judgedAtOnce is the most dependencies that are looked at, of all tasks together, in the transaction that ended the last of them. Followups judge the other tasks.
const judgedAtOnce = 5000

// judgeAtOnce decides about tasks whose last dependencies the decision has ended: one round trip for all of them, none if there are none.
func (s *Store) judgeAtOnce(ctx context.Context, c *pgx.Conn, d *dag.Decision) error {
	told, err := s.told(ctx, c, d, d.ToJudgeAtOnce(), judgedAtOnce)
	if err != nil {
		return err
	}
	d.JudgeAtOnce(told)
	return nil
}

// told reads on c how the dependencies of tasks have ended, as [dag.Decision.Judge] needs it, in one statement for all: of as many tasks, those with few dependencies first, as
// have so many of these together. Those that the decision settles are in the states that it says. The tasks are locked. Dependencies that are alike are told once, by the first
// of them, which decides whatever they decide together.
func (s *Store) told(ctx context.Context, c *pgx.Conn, d *dag.Decision, keys []dag.Key, most int64) (map[dag.Key][]dag.Told, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	all := map[dag.Key][]dag.Told{}
	type closed struct {
		task             dag.Key
		at               int
		result, envelope []byte
	}
	var rest []closed
	settled, states := d.SettledHere()
	rows, err := c.Query(ctx, sql("ToldOf"), keys, settled, states, most)
	if err != nil {
		return nil, fmt.Errorf("read how the dependencies of %d tasks ended: %w", len(keys), err)
	}
	if err := eachRow(rows, func(v *values) {
		k := v.key()
		t := dag.Told{Ref: v.text(), Task: v.key(), Attempt: v.integer(), Required: v.boolean(), Mode: dag.EdgeMode(v.smallint()),
			State: dag.State(v.smallint()), Allowed: v.boolean(), Cause: v.key(), Error: v.text(), Kind: dag.Kind(v.text())}
		z := closed{k, len(all[k]), v.json(), v.bytea()}
		if t.At = v.timestamp(); z.result != nil || z.envelope != nil {
			rest = append(rest, z)
		}
		all[k] = append(all[k], t)
	}); err != nil {
		return nil, fmt.Errorf("read how the dependencies of %d tasks ended: %w", len(keys), err)
	}
	for _, z := range rest {
		t := &all[z.task][z.at]
		if err := s.seals.openText(ctx, z.task.Tree(), z.envelope, &z.result, &t.Error, nil); err != nil {
			if !Unreadable(err) {
				return nil, err
			}
			t.Error, z.result = "", nil // what it ended with can't be read, how it ended can
		}
		if t.State == dag.Skipped {
			t.Reason = dag.SkipReason(z.result)
		}
	}
	return all, nil
}
