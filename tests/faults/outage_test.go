package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// outageLease is the lease of sites that lose coordinators or Postgres while work ends: the commands, which wait for nothing more, must
// end before it does, on any machine.
const outageLease = 12 * time.Second

// outageParts is in how many parts the result of an outage's task travels, at least.
const outageParts = 3

// gated submits a tree of commands that print some 250 KiB each once their gate is open, and waits until they run.
func (s *site) gated(root string, tasks int) {
	s.t.Helper()
	tree := []*dag.Task{{ID: root, Name: root}}
	for n := range tasks {
		id := fmt.Sprintf("%s-%d", root, n)
		inputs, _ := json.Marshal(map[string]any{"timeout": 600, "command": fmt.Sprintf(
			"echo start >> %[1]s/ran-%[2]s; while ! [ -e %[3]s ]; do sleep 0.02; done; yes %[2]s | head -c 250000", s.base.Dir, id, gateFile(s.base.Dir, root))})
		tree = append(tree, &dag.Task{ID: id, Name: id, ParentRef: root, Executor: command.ID, Inputs: inputs})
	}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{}, each(tree)); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, root+": all run", func() error {
		st, err := s.front.Tree(s.t.Context(), root)
		if err == nil && st.Running < tasks {
			err = fmt.Errorf("%d of %d do", st.Running, tasks)
		}
		return err
	})
}

// inResults waits until the parts of so many results, and the results, lie in RESULTS. It returns the messages.
func (s *site) inResults(js jetstream.JetStream, parts, results int) (messages []*jetstream.RawStreamMsg) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d parts and %d results lie in RESULTS", parts, results), func() error {
		stream, err := js.Stream(s.t.Context(), "TG_RESULTS")
		if err != nil {
			return err
		}
		messages = nil
		type part struct {
			task  int64
			index uint32
		}
		gotParts, gotResults := map[part]bool{}, map[int64]bool{}
		state := stream.CachedInfo().State
		for n := state.FirstSeq; n <= state.LastSeq; n++ {
			m, err := stream.GetMsg(s.t.Context(), n)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			b := &workerv1.ResultBatch{}
			if err == nil {
				err = proto.Unmarshal(m.Data, b)
			}
			if err != nil {
				return err
			}
			messages = append(messages, m)
			for _, p := range b.Parts {
				gotParts[part{p.Grant.Attempt.Task, p.Index}] = true
			}
			for _, r := range b.Results {
				if r.GetCompletedInChunks() == 0 {
					s.t.Fatalf("a command did not end as it should: %v", r)
				}
				gotResults[r.Attempt.Task] = true
			}
		}
		if len(gotParts) < parts || len(gotResults) < results {
			return fmt.Errorf("%d and %d do", len(gotParts), len(gotResults))
		}
		return nil
	})
	return messages
}

// attemptsOf checks that a tree's tasks are completed with their whole results, each after so many attempts.
func (s *site) attemptsOf(root string, tasks, attempts int) {
	s.t.Helper()
	s.attemptsFrom(root, tasks, attempts, attempts)
}

// attemptsFrom is the same where some tasks may need fewer attempts than most, which at least one needs.
func (s *site) attemptsFrom(root string, tasks, least, most int) {
	s.t.Helper()
	needed := 0
	s.ends(root)
	for n := range tasks {
		id := fmt.Sprintf("%s-%d", root, n)
		task, err := s.front.Task(s.t.Context(), id)
		if err != nil || task.State != dag.Completed || len(task.Result) < 250_000 || !bytes.Contains(task.Result, []byte(id)) {
			s.t.Errorf("%s: got %v with %d bytes, error %q, %v", id, task.State, len(task.Result), task.Error, err)
			continue
		}
		list, err := s.front.Attempts(s.t.Context(), id)
		needed = max(needed, len(list))
		if err != nil || len(list) < least || len(list) > most {
			s.t.Errorf("%s: got attempts %+v, %v; want %d to %d", id, list, err, least, most)
		}
	}
	if needed != most {
		s.t.Errorf("%s: no task needed %d attempts", root, most)
	}
}

// TestLargeResultsWaitForCoordinators takes all coordinators away for longer than a lease while commands end with large results:
// nothing of it is done again.
func TestLargeResultsWaitForCoordinators(t *testing.T) {
	t.Parallel()
	const tasks = 3
	s := newSharedSite(t)
	s.base.Lease = outageLease
	s.smallMessages()
	js := s.jetstream()
	coordinators := []*Process{s.start(CoordinatorRole, "")}
	away := func(root string, worker *Process, meanwhile func()) {
		coordinators = append(coordinators, s.start(CoordinatorRole, ""))
		eventually(t, "worker is ready", worker.Ready)
		s.gated(root, tasks)
		for _, c := range coordinators {
			c.Kill()
		}
		if err := OpenGate(s.base.Dir, root); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		time.Sleep(s.base.Lease + time.Second/2)
		coordinators = []*Process{s.start(CoordinatorRole, "")}
	}
	all := func() []*jetstream.RawStreamMsg { return s.inResults(js, tasks*outageParts, tasks) }

	worker := s.launch(WorkerRole, "")
	away("copied", worker, func() { // each part and each result comes twice
		nc, err := nats.Connect(s.nats.CoordinatorURL())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for _, m := range all() {
			if err := nc.Publish(m.Subject, m.Data); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	})
	s.attemptsOf("copied", tasks, 1)

	away("left", worker, func() { // the worker is dead by the time that coordinators are back
		all()
		worker.Kill()
	})
	s.attemptsOf("left", tasks, 1)

	victim := s.launch(WorkerRole, "worker.after-part-in-results=kill@2")
	away("half", victim, func() { s.dies(victim) })
	s.start(WorkerRole, "")
	s.attemptsFrom("half", tasks, 1, 2) // while it dies, the victim may still send what another result lacks
	s.noParts()
	eventually(t, "nothing is left over", func() error { return CheckSettled(t.Context(), s.base.Postgres) })
	if err := CheckStore(t.Context(), s.front); err != nil {
		t.Error(err)
	}
}

// TestLargeResultsWaitForPostgres takes Postgres away for longer than a lease while commands end with large results, and kills the
// coordinator that has their parts in hand.
func TestLargeResultsWaitForPostgres(t *testing.T) {
	t.Parallel()
	const tasks = 3
	server := pgtest.Own(t)
	s := newSite(t, server.URL())
	s.base.Lease = outageLease
	s.smallMessages()
	victim := s.start(CoordinatorRole, "coordinator.before-part-commit=kill@2")
	s.start(WorkerRole, "")
	s.gated("waits", tasks)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := OpenGate(s.base.Dir, "waits"); err != nil {
		t.Fatal(err)
	}
	s.inResults(s.jetstream(), tasks*outageParts, tasks)
	time.Sleep(s.base.Lease + time.Second/2)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.dies(victim) // some parts are stored
	s.start(CoordinatorRole, "")
	s.attemptsOf("waits", tasks, 1)
	s.noParts()
	eventually(t, "nothing is left over", func() error { return CheckSettled(t.Context(), s.base.Postgres) })
	if err := CheckStore(t.Context(), s.front); err != nil {
		t.Error(err)
	}
}

// TestLostPartsOfResultsAreSentAgain has NATS forget parts of results that waited there, and not the results: their worker, which
// lives, is asked for them. The lease does not end meanwhile.
func TestLostPartsOfResultsAreSentAgain(t *testing.T) {
	t.Parallel()
	const tasks = 3
	s := newSharedSite(t)
	s.base.Lease = time.Minute
	s.smallMessages()
	js := s.jetstream()
	coordinator := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	s.gated("lost", tasks)
	coordinator.Kill()
	if err := OpenGate(s.base.Dir, "lost"); err != nil {
		t.Fatal(err)
	}
	messages := s.inResults(js, tasks*outageParts, tasks)
	stream, err := js.Stream(t.Context(), "TG_RESULTS")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		b := &workerv1.ResultBatch{}
		if err := proto.Unmarshal(m.Data, b); err != nil {
			t.Fatal(err)
		}
		if len(b.Parts) > 0 && i%2 == 0 {
			if err := stream.DeleteMsg(t.Context(), m.Sequence); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.start(CoordinatorRole, "")
	s.attemptsOf("lost", tasks, 1)
	s.noParts()
}
