package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/pg"
)

// smallMessages makes NATS carry so little in a message that results of a few hundred KiB travel in parts, and so do
// the inputs of what depends on them.
func (s *site) smallMessages() {
	s.t.Helper()
	s.nats.Shutdown()
	s.startNATS(128 << 10)
}

// bulk is a value of some 300 KiB that no other number has.
func bulk(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"n":%d,"bulk":%q}`, n, strings.Repeat(fmt.Sprint(n, "ünïcode;"), 300<<10/11)))
}

// bulky submits a tree of pairs: a task with a large result, and one that depends on it and so has large inputs.
func (s *site) bulky(root string, pairs int) {
	s.t.Helper()
	tasks := []*dag.Task{{ID: root, Name: root}}
	for n := range pairs {
		first, second := fmt.Sprintf("%s-%d", root, n), fmt.Sprintf("%s-%d-next", root, n)
		inputs, _ := json.Marshal(map[string]any{"value": bulk(n)})
		tasks = append(tasks,
			&dag.Task{ID: first, Name: first, ParentRef: root, Executor: noop.ID, Pool: Pools[n%2], Inputs: inputs, Repeatable: n%4 == 3},
			&dag.Task{ID: second, Name: second, ParentRef: root, Executor: noop.ID, Pool: Pools[n%2],
				Dependencies: []dag.Dependency{{Ref: first}}})
	}
	eventually(s.t, "submit "+root, func() error {
		_, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{IdempotencyKey: root}, each(tasks))
		return err
	})
}

// bulkyEnds waits until a tree of pairs is settled, and holds each result against what it must be.
func (s *site) bulkyEnds(root string, pairs int) {
	s.t.Helper()
	s.ends(root)
	for n := range pairs {
		id := fmt.Sprintf("%s-%d", root, n)
		first, err := s.front.Task(s.t.Context(), id)
		if err != nil || first.State != dag.Completed || !bytes.Equal(first.Result, bulk(n)) {
			s.t.Errorf("%s: got %v with %d bytes, error %v, %v; want all of its %d", id, first.State, len(first.Result), first.Error, err, len(bulk(n)))
		}
		next, err := s.front.Task(s.t.Context(), id+"-next")
		if err != nil || next.State != dag.Completed {
			s.t.Errorf("%s-next: got %v, error %v, %v", id, next.State, next.Error, err)
		}
	}
}

// parts is how many parts of results lie in the store.
func (s *site) parts() (n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context()) //nolint:errcheck // it only looked
	if err := conn.QueryRow(s.t.Context(), "select count(*) from chunk").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// noParts checks that what coordinators do every minute leaves no part of a result behind.
func (s *site) noParts() {
	s.t.Helper()
	store, err := pg.Open(s.t.Context(), pg.Config{URL: s.base.Postgres, MaxConns: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	eventually(s.t, "no parts of results are left", func() error {
		if err := store.Tidy(s.t.Context()); err != nil {
			return err
		}
		if n := s.parts(); n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// TestKilledCoordinatorWithLargePayloads kills the only coordinator between the steps by which large results come in and
// large inputs go out.
func TestKilledCoordinatorWithLargePayloads(t *testing.T) {
	t.Parallel()
	const pairs = 12
	s := newSharedSite(t)
	s.smallMessages()
	spare := s.start(CoordinatorRole, "")
	for range 2 {
		s.start(WorkerRole, "")
	}
	for n, point := range rounds(seedOf(t), []string{
		"coordinator.before-chunk-commit=kill@2",
		"coordinator.after-chunk-commit=kill@2",
		"coordinator.before-inputs=kill@3",
		"coordinator.before-settle-commit=kill@2",
		"coordinator.after-settle-commit=kill@2",
		"coordinator.before-ack=kill@3",
	}) {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		began := time.Now()
		root := fmt.Sprintf("bulky-%d", n)
		s.bulky(root, pairs)
		s.dies(victim)
		died := time.Since(began)
		spare = s.start(CoordinatorRole, "")
		s.bulkyEnds(root, pairs)
		t.Logf("%s: died after %s, all settled after %s", point, died, time.Since(began))
	}
	s.check()
	s.noParts()
}

// TestKilledWorkersWithLargePayloads kills workers in the middle of sending a result in parts and of fetching inputs,
// and with a result that is stored and has no receipt. Others do the work anew; what the dead have sent goes.
func TestKilledWorkersWithLargePayloads(t *testing.T) {
	t.Parallel()
	const pairs = 24
	s := newSharedSite(t)
	s.smallMessages()
	s.start(CoordinatorRole, "")
	var victims []*Process
	for _, point := range []string{"worker.after-chunk=kill@4", "worker.after-inputs-part=kill@3", "worker.after-result=kill@2"} {
		victims = append(victims, s.launch(WorkerRole, point))
	}
	for _, v := range victims {
		eventually(t, "worker is ready", v.Ready)
	}
	s.bulky("bulky", pairs)
	for n, v := range victims {
		// Whoever is left may take all there is and die, and then there is nobody: each needs work of its own.
		for extra := 0; ; extra++ {
			select {
			case <-v.Ended():
			case <-time.After(2 * time.Second):
				root := fmt.Sprintf("more-%d-%d", n, extra)
				s.bulky(root, 4)
				continue
			}
			break
		}
		s.dies(v)
	}
	s.start(WorkerRole, "")
	s.start(WorkerRole, "")
	s.bulkyEnds("bulky", pairs)
	s.check()
	s.noParts()
}

// TestPartsOfACancelledTreeGo cancels a tree whose worker died with half of a result sent.
func TestPartsOfACancelledTreeGo(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.smallMessages()
	s.start(CoordinatorRole, "")
	victim := s.start(WorkerRole, "worker.after-chunk=kill@2")
	s.bulky("bulky", 4)
	s.dies(victim)
	if s.parts() == 0 {
		t.Error("no parts were stored: the worker died too early")
	}
	if _, err := s.front.Cancel(t.Context(), "bulky", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is cancelled and nothing runs", func() error {
		st, err := s.front.Tree(t.Context(), "bulky")
		if err == nil && (st.Unfinished > 0 || st.Running > 0) {
			err = fmt.Errorf("%d are unfinished, %d run", st.Unfinished, st.Running)
		}
		return err
	})
	s.noParts()
}
