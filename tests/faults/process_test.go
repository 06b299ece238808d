package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestKilledCoordinator kills the only coordinator on the line between two durable steps, under load, starts another,
// and holds what comes of the trees against the oracle.
func TestKilledCoordinator(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	for range 2 {
		s.start(WorkerRole, "")
	}
	for n, point := range rounds(seed, []string{
		"coordinator.after-dispatch-commit=kill",
		"coordinator.before-publish=kill@3",
		"coordinator.after-publish=kill@3",
		"coordinator.after-claim-commit=kill@2",
		"coordinator.before-settle-commit=kill@3",
		"coordinator.after-settle-commit=kill@4",
		"coordinator.before-handover=kill",
		"coordinator.before-ack=kill@5",
		"coordinator.after-timer-commit=kill",
		"coordinator.after-followup-commit=kill",
	}) {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		began := time.Now()
		s.load(seed+uint64(n)*10, 2, 100)
		s.dies(victim)
		died := time.Since(began)
		spare = s.start(CoordinatorRole, "")
		s.settle()
		t.Logf("%s: died after %s, all settled after %s", point, died, time.Since(began))
	}
	s.check()
}

// TestKilledSubmission kills a coordinator after it has committed a tree, or two together, and before it has answered: the client asks
// again, with its idempotency key, and gets the same tree.
func TestKilledSubmission(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.after-submit-commit=kill", "coordinator.before-publish=kill", "coordinator.after-submit-commit=kill"} {
		settings := s.settings(SubmitRole)
		settings.Seed, settings.Together = seed%1000+uint64(n), n == 2
		settings.Window = 1000 // it publishes what it can itself
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		out, err := settings.submit(t.Context(), s.front)
		if err != nil || !out.Replayed || out.Tasks != 60 {
			t.Errorf("%s: submitted again: got %+v, %v", point, out, err)
		}
		s.trees = append(s.trees, settings.tree())
		if settings.Together {
			if err == nil && (len(out.More) != 1 || !out.More[0].Replayed) {
				t.Errorf("%s: the second tree: got %+v", point, out.More)
			}
			s.trees = append(s.trees, settings.second())
		}
	}
	s.check()
}

// TestKilledWhileUsingALevel kills a coordinator that has just committed the first tree of a feature level and has not
// answered: the level is used, a coordinator below it ends when it begins, and the client that asks again gets the tree.
func TestKilledWhileUsingALevel(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	settings := s.settings(SubmitRole)
	settings.NextLevel = true
	low := s.start(CoordinatorRole, "")
	refused, err := StartProcess(settings, "")
	if err != nil {
		t.Fatal(err)
	}
	<-refused.Ended()
	if !refused.Crashed() {
		t.Error("a tree was stored that a live coordinator can't handle")
	}
	if err := low.Stop(); err != nil {
		t.Error(err)
	}
	victim, err := StartProcess(settings, "coordinator.after-submit-commit=kill")
	if err != nil {
		t.Fatal(err)
	}
	s.dies(victim)
	late := s.launch(CoordinatorRole, "")
	<-late.Ended()
	if !late.Crashed() || late.WasReady() {
		t.Error("a coordinator below the level used works")
	}
	part, err := settings.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	if out, err := settings.submit(t.Context(), part.Coordinator); err != nil || !out.Replayed {
		t.Errorf("submitted again: got %+v, %v", out, err)
	}
	for v, err := range part.Coordinator.Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// TestKilledWorkers kills workers on the lines between two durable steps, under load.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	var victims []*Process
	for _, point := range []string{"worker.before-claim=kill@3", "worker.after-claim=kill@3", "worker.mid-task=kill@5", "worker.after-result=kill@3", "worker.handed-over=kill"} {
		victims = append(victims, s.launch(WorkerRole, point))
	}
	for _, v := range victims {
		eventually(t, "worker is ready", v.Ready)
	}
	s.load(seed, 6, 100)
	for _, v := range victims {
		s.dies(v)
	}
	s.start(WorkerRole, "")
	s.start(WorkerRole, "")
	s.check()
}

// TestKilledWhileTakingBack kills a coordinator that has just taken the attempts of a lost worker back.
func TestKilledWhileTakingBack(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	victim := s.start(CoordinatorRole, "coordinator.after-takeback-commit=kill")
	lost := s.start(WorkerRole, "worker.mid-task=kill@20")
	s.load(seed, 4, 100)
	s.dies(lost)
	s.dies(victim)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	s.check()
}

// TestKilledWhileReconciling kills a coordinator that has found out that messages are gone, and has not published them
// again yet.
func TestKilledWhileReconciling(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	victim := s.start(CoordinatorRole, "coordinator.after-reconcile-commit=kill")
	s.load(seed, 2, 100)
	js := s.jetstream()
	eventually(t, "work is published", func() error {
		stream, err := js.Stream(t.Context(), "TG_WORK")
		if err != nil {
			return err
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return errors.New("nothing is")
		}
		return js.DeleteStream(t.Context(), "TG_WORK")
	})
	s.dies(victim)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	s.check()
}

// TestFrozenWorker freezes a worker for longer than its lease, and lets it go on: others have its attempts by then, and
// what it still says of them changes nothing.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	frozen := s.start(WorkerRole, "")
	s.load(seed, 4, 100)
	s.ran(30)
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	s.start(WorkerRole, "")
	s.settle()
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.load(seed+100, 2, 100) // it works again
	s.check()
}

// TestDeletedStreams deletes streams and consumers under load, again and again.
func TestDeletedStreams(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	for range 2 {
		s.start(CoordinatorRole, "")
		s.start(WorkerRole, "")
	}
	js := s.jetstream()
	for n, delete := range []func(context.Context) error{
		func(ctx context.Context) error { return js.DeleteStream(ctx, "TG_WORK") },
		func(ctx context.Context) error { return js.DeleteStream(ctx, "TG_RESULTS") },
		func(ctx context.Context) error { return js.DeleteConsumer(ctx, "TG_RESULTS", "coordinators") },
		func(ctx context.Context) error { return js.DeleteConsumer(ctx, "TG_WORK", Pools[0]+"_p1") },
		func(ctx context.Context) error {
			if err := js.DeleteStream(ctx, "TG_RESULTS"); err != nil {
				return err
			}
			_ = js.DeleteStream(ctx, "TG_WORK") // if it is there
			return nil
		},
	} {
		s.load(seed+uint64(n)*10, 2, 100)
		s.ran(60*n + 20)
		// What was deleted just before may not be there again yet.
		eventually(t, fmt.Sprintf("deletion %d", n), func() error { return delete(t.Context()) })
	}
	s.check()
}

// TestServersStopAndStart stops Postgres and NATS under load, in order and by kill, and starts them again.
func TestServersStopAndStart(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	server := pgtest.Own(t)
	s := newSite(t, server.URL())
	for range 2 {
		s.start(CoordinatorRole, "")
		s.start(WorkerRole, "")
	}
	for n, outage := range []func() error{
		func() error {
			if err := server.Stop(); err != nil {
				return err
			}
			time.Sleep(500 * time.Millisecond) // an outage has a length
			return server.Start(t.Context())
		},
		func() error {
			s.nats.Shutdown()
			time.Sleep(500 * time.Millisecond)
			s.startNATS(0)
			return nil
		},
		func() error {
			if err := server.Kill(); err != nil {
				return err
			}
			return server.Start(t.Context())
		},
		func() error { // longer than a lease
			s.nats.Shutdown()
			time.Sleep(s.base.Lease + 500*time.Millisecond)
			s.startNATS(0)
			return nil
		},
	} {
		s.load(seed+uint64(n)*10, 2, 100)
		s.ran(60*n + 20)
		if err := outage(); err != nil {
			t.Fatalf("outage %d: %v", n, err)
		}
	}
	s.check()
}

// TestNoProcessOutlivesItsAttempt: what commands started is gone when their worker was killed, frozen past its lease,
// or their task cancelled.
func TestNoProcessOutlivesItsAttempt(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	for _, tt := range []struct {
		fact string
		end  func(w *Process, task string)
	}{
		{"killed", func(w *Process, _ string) { w.Kill() }},
		{"frozen", func(w *Process, _ string) {
			if err := w.Freeze(); err != nil {
				t.Error(err)
			}
		}},
		{"cancelled", func(_ *Process, task string) {
			if _, err := s.front.Cancel(t.Context(), task, coordinator.CancelOptions{}); err != nil {
				t.Error(err)
			}
		}},
	} {
		w := s.start(WorkerRole, "")
		mark := fmt.Sprintf("7%d%d", os.Getpid(), time.Now().UnixNano()%1e6)
		inputs, _ := json.Marshal(map[string]any{"timeout": 600,
			"command": fmt.Sprintf("sleep 1%[1]s & setsid sleep 2%[1]s & (setsid sh -c 'trap \"\" TERM; sleep 3%[1]s; sleep 4%[1]s' &) ; sleep 5%[1]s", mark)})
		task := &dag.Task{ID: "command-" + tt.fact, Name: "command", Executor: command.ID, Inputs: inputs, OnLost: dag.FailLost}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all children run", func() error {
			if got := processesWith(mark); len(got) < 6 {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
		tt.end(w, task.ID)
		eventually(t, tt.fact+": all children are gone", func() error {
			if got := processesWith(mark); len(got) > 0 {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := settled(ctx, s.front, task.ID); err != nil {
			t.Errorf("%s: %v", tt.fact, err)
		}
		cancel()
		w.Kill()
	}
}

// TestAFrozenProcessStandsStill: when Freeze returns nothing of the process runs any more, so that whatever it notes comes
// before the note that it is frozen.
// TestStoppedWhileItOpens: a worker that is stopped while it looks for NATS ends in order.
func TestStoppedWhileItOpens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := StartProcess(Settings{Role: WorkerRole, Name: "worker", Dir: t.TempDir(), NATS: "nats://worker:x@" + l.Addr().String()}, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept() // it opens
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAFrozenProcessStandsStill(t *testing.T) {
	t.Parallel()
	journal, err := OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p := &Process{cmd: cmd, journal: journal}
	for range 1000 {
		if err := p.Freeze(); err != nil {
			t.Fatal(err)
		}
		if !p.stopped() {
			t.Fatal("it runs after Freeze")
		}
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		for p.stopped() {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestCrashed tells a process that failed by itself from one that was killed, and one that was asked to end.
func TestCrashed(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]bool{"exit 2": true, "kill -9 $$": false, "exit 0": false} {
		p := &Process{cmd: exec.Command("sh", "-c", script), ended: make(chan struct{})}
		if p.Crashed() {
			t.Errorf("%s: crashed before it ended", script)
		}
		p.err = p.cmd.Run()
		close(p.ended)
		if got := p.Crashed(); got != want {
			t.Errorf("%s: crashed %v (%v), want %v", script, got, p.err, want)
		}
	}
}
