package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// TestAuditReadsByIndex: no statement of the audit goes through a whole table or index, but for runs, followups, what is held and what operators have
// set, of which there are few, and for the indexes of runs of schedules that are open.
func TestAuditReadsByIndex(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	trees, first, end := []dag.TreeKey{1}, []dag.Key{1 << 24}, []dag.Key{2 << 24}
	args := map[string][]any{"AuditOpenTrees": {0, 0, 10}, "AuditAllTrees": {0, 0, 10}, "AuditOneTree": {1, 0, 10},
		"AuditTaskWorkers": {first, end, 60, 10}, "AuditGaps": {trees, trees, 10}, "AuditEvents": {trees},
		"AuditAnyTimers": {0, 1, 60, 10}, "AuditAnyPublished": {0, 1, 60, 10}, "AuditFollowups": {10}, "AuditHolds": {10}, "AuditWebhooks": {60.0, 10}, "AuditSchedules": {60.0, 10}, "AuditNames": {trees, first}}
	open := []string{" using fire_due on ", " using fire_open on "}
	whole := []string{"ready", "published", "followup", "hold", "limit_rule"}
	for name := range statements {
		if !strings.HasPrefix(name, "Audit") || name == "AuditTurn" || name == "AuditWorkers" || name == "AuditLevels" {
			continue
		}
		a := args[name]
		switch {
		case a != nil:
		case strings.HasPrefix(name, "AuditTree"):
			a = []any{trees, 10}
		default:
			a = []any{first, end, 10}
		}
		for i := range a {
			if n, ok := a[i].(int); ok && i == 0 {
				a[i] = int64(n)
			}
		}
		plan := explain(t, s, name, a)
		for i, line := range plan {
			if slices.ContainsFunc(whole, func(table string) bool { return strings.Contains(line+" ", " on "+table+" ") }) {
				continue
			}
			if strings.Contains(line, "Seq Scan") {
				t.Errorf("%s: %s\n%s", name, strings.TrimSpace(line), strings.Join(plan, "\n"))
			}
			if slices.ContainsFunc(open, func(index string) bool { return strings.Contains(line, index) }) {
				continue
			}
			byIndex := strings.Contains(line, "Index Scan") || strings.Contains(line, "Index Only Scan")
			if byIndex && (i+1 == len(plan) || !strings.Contains(plan[i+1], "Index Cond")) {
				t.Errorf("%s: reads a whole index: %s\n%s", name, strings.TrimSpace(line), strings.Join(plan, "\n"))
			}
		}
	}
}

func explain(t *testing.T, s *Store, name string, args []any) []string {
	t.Helper()
	tx, err := s.pool.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it only read
	if _, err := tx.Exec(t.Context(), "set local max_parallel_workers_per_gather = 0"); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), "explain (costs off) "+sql(name), args...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return plan
}

// TestAuditCutsLargeTrees: slices cover every key of each tree once, whatever the trees' sizes.
func TestAuditCutsLargeTrees(t *testing.T) {
	for _, sizes := range [][]int{{1}, {auditSlice}, {auditSlice + 1}, {3*auditSlice - 1, 1, 1}, {1, 2 * auditSlice, 5}, {dag.MaxTreeTasks}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			var trees []audited
			for i, n := range sizes {
				trees = append(trees, audited{Key: dag.TreeKey(i + 1), Tasks: n})
			}
			at := dag.TreeKey(1).Key(0)
			for _, part := range slicesOf(trees) {
				for i, first := range part.first {
					if first != at {
						t.Fatalf("a range begins at %d, want %d", first, at)
					}
					if at = part.end[i]; (at - 1).Tree() != first.Tree() {
						t.Fatalf("a range leads from %d to %d, out of its tree", first, at)
					}
				}
			}
			if _, want := dag.TreeKey(len(sizes)).Range(); at != want {
				t.Errorf("the last range ends at %d, want %d", at, want)
			}
		})
	}
}
