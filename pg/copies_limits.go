package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// rekey renders the keys anew that tasks of the copy ask for and that name a task or a tree: the originals' would be shared with them. What the copy carries
// is what the original does.
func (r *copiedRows) rekey(ctx context.Context, c *pgx.Conn) error {
	var originals, copies []dag.Key
	for at, i := range r.plan.Tasks {
		if r.flags[i]&dag.FlagLimited == 0 {
			continue
		}
		originals, copies = append(originals, r.tree.Key(int(i))), append(copies, r.copy.Key(at))
		if len(copies) == rulesAtOnce {
			if err := r.rekeyTasks(ctx, c, originals, copies); err != nil {
				return err
			}
			originals, copies = originals[:0], copies[:0]
		}
	}
	if len(copies) == 0 {
		return nil
	}
	return r.rekeyTasks(ctx, c, originals, copies)
}

// limitsToCopy is a task of the copy that asks for something.
type limitsToCopy struct {
	key              dag.Key
	id               dag.Identity
	name             string
	inputs, envelope []byte
	limiting         *dag.Limiting
}

func (r *copiedRows) rekeyTasks(ctx context.Context, c *pgx.Conn, originals, copies []dag.Key) error {
	var tasks []limitsToCopy
	rows, err := c.Query(ctx, sql("CopiedLimits"), originals, copies, r.copy.Key(r.plan.Root))
	if err != nil {
		return fmt.Errorf("read limits of a copy: %w", err)
	}
	var unread error
	if err := eachRow(rows, func(v *values) {
		t := limitsToCopy{key: v.key(), id: dag.Identity{Task: v.text(), Tree: v.text(), User: r.user}, name: v.text()}
		limiting, err := dag.ReadLimiting(v.json())
		if err != nil {
			unread = err
		}
		t.inputs, t.envelope = v.json(), v.bytea()
		if t.limiting = limiting; limiting.NamesIdentity() {
			tasks = append(tasks, t)
		}
	}); err != nil || unread != nil {
		return fmt.Errorf("read limits of a copy: %w", errors.Join(err, unread))
	}
	var keys []dag.Key
	var texts []string
	for _, t := range tasks {
		skip := new([]byte)
		if err := r.s.seals.open(ctx, r.tree, kindPayload, t.envelope, &t.inputs, skip, skip, skip, skip); err != nil {
			return err
		}
		task := &dag.Task{Name: t.name, Inputs: t.inputs, Limiting: t.limiting.AsSubmitted()}
		rendered, faults := task.LimitFaults(t.id)
		if len(faults) > 0 { // as they were when the original was stored, or by what was changed since
			continue
		}
		keys, texts = append(keys, t.key), append(texts, string(rendered.Stored()))
	}
	if len(keys) == 0 {
		return nil
	}
	if _, err := c.Exec(ctx, sql("RekeyCopies"), keys, texts); err != nil {
		return fmt.Errorf("write limits of a copy: %w", err)
	}
	return nil
}
