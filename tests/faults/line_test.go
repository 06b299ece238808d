package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// lineSlots are the slots of a worker that is to have a line.
const lineSlots = 2

// queueTree is a tree of one pool: short tasks, so that workers claim ahead, then some that hold all slots until their gates open,
// and short ones again, which stand in line then.
func queueTree(id string, gates int) (oracle.Tree, []*dag.Task) {
	const size, middle = 240, 120
	tree := oracle.Tree{Tasks: []oracle.Task{{ID: id, Parent: -1, Group: true, MaxAttempts: 1}}}
	for i := 1; i < size; i++ {
		script := oracle.Script{Add: i, Millis: 3}
		if i >= middle && i < middle+gates {
			script = oracle.Script{Add: i, Gate: true}
		}
		tree.Tasks = append(tree.Tasks, oracle.Task{ID: fmt.Sprintf("%s-%d", id, i), MaxAttempts: 1, Script: script})
	}
	tasks := TasksOf(tree, time.Now())
	for i, t := range tasks {
		t.Priority, t.NotBefore = dag.Normal, time.Time{}
		if i == 0 {
			continue
		}
		t.Pool = Pools[0]
		if gate := tree.Tasks[i].Script.Gate; gate {
			t.Repeatable = false
		} else if i%5 == 0 {
			t.OnLost = dag.FailLost
		}
	}
	return tree, tasks
}

// gatesOf are the tasks of a tree that wait at gates.
func gatesOf(tree oracle.Tree) (ids []string) {
	for _, t := range tree.Tasks {
		if t.Script.Gate {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// line submits trees until attempts stand in line behind gates, and gives those attempts' tasks.
func (s *site) line(gates int) (tree oracle.Tree, inLine []string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for range 20 {
		s.made++
		tree, tasks := queueTree(fmt.Sprintf("q%d", s.made), gates)
		if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			s.t.Fatal(err)
		}
		s.trees = append(s.trees, tree)
		if inLine := s.behind(conn, gatesOf(tree)); len(inLine) > 0 {
			return tree, inLine
		}
		s.open(tree)
		s.settle()
	}
	s.t.Fatal("nothing ever stands in line")
	return oracle.Tree{}, nil
}

// behind waits until gates have begun, and gives what is claimed then and has not begun. None: it has been handed back already.
func (s *site) behind(conn *pgx.Conn, gates []string) (ids []string) {
	s.t.Helper()
	since := time.Time{} // the gates have begun
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		journal, err := os.ReadFile(s.base.JournalFile()) // its last line may not be whole
		if err != nil {
			s.t.Fatal(err)
		}
		waits := func(id string) bool { return !bytes.Contains(journal, []byte("start "+id+" ")) }
		if slices.ContainsFunc(gates, waits) {
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		rows, err := conn.Query(s.t.Context(), "select s.id from task t join spec s on s.key = t.key where t.worker is not null")
		if err != nil {
			s.t.Fatal(err)
		}
		open, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			s.t.Fatal(err)
		}
		ids = slices.DeleteFunc(open, func(id string) bool { return !waits(id) })
		if len(ids) > 0 || time.Since(since) > 200*time.Millisecond {
			return ids
		}
	}
	s.t.Fatal("the gates never begin")
	return nil
}

func (s *site) open(tree oracle.Tree) {
	s.t.Helper()
	for _, id := range gatesOf(tree) {
		if err := OpenGate(s.base.Dir, id); err != nil {
			s.t.Fatal(err)
		}
	}
}

// count is what a query counts.
func (s *site) count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db(func(c *pgx.Conn) error { return c.QueryRow(s.t.Context(), query, args...).Scan(&n) }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// unstarted counts the attempts that were handed back, uncounted, and never began.
func (s *site) unstarted() int {
	return s.count("select count(*) from attempt where outcome = $1 and started_at is null and not counted", int(dag.OutcomeReturned))
}

// TestLines lets things go wrong for workers while attempts stand in their lines. In the end all trees are as they had to be, and no
// task failed: not even those that must not be lost, as these are not claimed before they can start.
func TestLines(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.base.Concurrency, s.base.Lease = lineSlots, 10*time.Second // none may be lost that was not killed, however busy the machine is
	s.base.LineWait = 3 * time.Second                            // a line is seen, however slow the runs of a busy machine are
	s.start(CoordinatorRole, "")
	worker := s.start(WorkerRole, "")
	s.cancelledInLine()
	s.drainedInLine(worker)
	s.killedInLine(s.start(WorkerRole, ""))
	s.start(WorkerRole, "")
	s.start(WorkerRole, "")
	s.behindLongRuns()
	s.check()
	if n := s.count("select count(*) from attempt where counted and outcome <> $1", int(dag.OutcomeCompleted)); n > 0 {
		t.Errorf("%d attempts count that were interrupted", n)
	}
}

// cancelledInLine cancels a tree while attempts stand in line: none of them starts.
func (s *site) cancelledInLine() {
	s.t.Helper()
	tree, inLine := s.line(lineSlots)
	root := tree.Tasks[0].ID
	if _, err := s.front.Cancel(s.t.Context(), root, coordinator.CancelOptions{}); err != nil {
		s.t.Fatal(err)
	}
	cancelled := time.Now()
	eventually(s.t, "all attempts have stopped", func() error {
		if n := s.count("select count(*) from task where worker is not null"); n > 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, id := range inLine {
		if r := runs[id]; len(r) > 0 && r[0].Began.After(cancelled) {
			s.t.Errorf("%s stood in line, was cancelled, and started %s later", id, r[0].Began.Sub(cancelled))
		}
	}
	s.trees = slices.DeleteFunc(s.trees, func(t oracle.Tree) bool { return t.Tasks[0].ID == root })
}

// drainedInLine drains the worker while attempts stand in line: they are handed back as unstarted, and nothing is lost.
func (s *site) drainedInLine(worker *Process) {
	s.t.Helper()
	for range 20 {
		tree, _ := s.line(lineSlots)
		if err := worker.Stop(); err != nil {
			s.t.Error(err)
		}
		s.open(tree)
		if n := s.count("select count(*) from attempt where outcome = $1", int(dag.OutcomeLost)); n > 0 {
			s.t.Fatalf("%d attempts were lost", n)
		}
		drained := s.count("select count(*) from attempt where error = $1 and outcome = $2 and started_at is null and not counted",
			executors.ErrDraining.Error(), int(dag.OutcomeReturned))
		if drained > 0 {
			return
		}
		worker = s.start(WorkerRole, "") // the line was handed back before the worker heard of it
		s.settle()
	}
	s.t.Error("nothing is in line when the worker drains")
}

// killedInLine kills the worker while attempts stand in line: all that it had are lost, each once.
func (s *site) killedInLine(worker *Process) {
	s.t.Helper()
	for range 20 {
		s.settle()
		before := s.count("select count(*) from attempt where outcome = $1", int(dag.OutcomeLost))
		tree, _ := s.line(lineSlots)
		worker.Kill()
		s.open(tree)
		eventually(s.t, "what it had is lost", func() error {
			if open := s.count("select count(*) from task where worker is not null"); open > 0 {
				return fmt.Errorf("%d are open", open)
			}
			return nil
		})
		if n := s.count("select count(*) from task where crashes > 1"); n > 0 {
			s.t.Errorf("%d tasks were lost more than once", n)
		}
		if s.count("select count(*) from attempt where outcome = $1", int(dag.OutcomeLost)) > before+lineSlots {
			return
		}
		worker = s.start(WorkerRole, "") // the line was handed back before the worker was killed
	}
	s.t.Error("nothing is in line when the worker is killed")
}

// behindLongRuns has runs turn long at one of two workers at least: what stands in line there starts elsewhere before long.
func (s *site) behindLongRuns() {
	s.t.Helper()
	s.settle()
	for range 20 {
		before := s.unstarted()
		tree, _ := s.line(2*lineSlots - 1)
		eventually(s.t, "all others have ended", func() error {
			if n := s.count("select count(*) from task where state in (1, 2, 3, 4)"); n > 2*lineSlots { // the gates and their root
				return fmt.Errorf("%d tasks have not", n)
			}
			return nil
		})
		late := s.count(`select count(*) from attempt where outcome = $1 and started_at is null
			and finished_at > (select max(started_at) from task where worker is not null) + interval '15 seconds'`, int(dag.OutcomeReturned))
		if late > 0 {
			s.t.Errorf("%d were handed back late", late)
		}
		s.open(tree)
		s.settle()
		if s.unstarted() > before {
			return
		}
	}
	s.t.Error("nothing is ever handed back")
}
