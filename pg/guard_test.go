package pg

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// TestAWriteThatFindsAnotherStateIsGivenUp: the commit travels with the writes, so that the server must refuse it.
func TestAWriteThatFindsAnotherStateIsGivenUp(t *testing.T) {
	s, _ := openStore(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, Submission{Known: func(string) bool { return true },
		Tasks: func(yield func(*dag.Task, error) bool) { yield(&dag.Task{ID: "a", Name: "a", Executor: "e"}, nil) }})
	if err != nil {
		t.Fatal(err)
	}
	k := out.Tree.Key(0)
	err = s.transaction(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		d, view, err := load{keys: []dag.Key{k}}.lock(ctx, c, newResidentTrees())
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "update task set attempt = 2 where key = $1", k); err != nil {
			return err
		}
		d.Cancel(k, "no more", false)
		_, err = s.apply(ctx, c, &pgx.Batch{}, d, view, nil)
		return err
	})
	if err == nil {
		t.Error("the write was taken")
	}
	var state, attempt, history int
	row := s.pool.QueryRow(t.Context(), "select state, attempt, (select count(*) from attempt) from task where key = $1", k)
	if err := row.Scan(&state, &attempt, &history); err != nil {
		t.Fatal(err)
	}
	if dag.State(state) != dag.Ready || attempt != 1 || history != 0 {
		t.Errorf("task is %s in attempt %d, with %d attempts on record", dag.State(state), attempt, history)
	}
}
