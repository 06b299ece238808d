package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestWhatWaitsIsCountedInTasks: in Postgres and in NATS, whatever the messages hold; what is claimed waits no more.
func TestWhatWaitsIsCountedInTasks(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	exec := func(statement string) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, waitingTree("tree", 100)); err != nil {
		t.Fatal(err)
	}
	lanes, err := s.Backlog(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	dispatch := func() {
		t.Helper()
		if work, err := takeReady(t.Context(), s, lanes[0], 30, false); err != nil || len(work) != 30 {
			t.Fatal(len(work), err)
		}
	}
	for _, step := range []struct {
		fact        string
		do          func()
		ready, sent int
		age         time.Duration // of the oldest that was sent, at least
	}{
		{"all wait in Postgres", func() {}, 100, 0, 0},
		{"a stretch is sent", dispatch, 70, 30, 0},
		{"another one, an hour later", func() {
			exec("update published set sent = now() - interval '1 hour'")
			dispatch()
		}, 40, 60, time.Hour},
		{"some of the first are claimed", func() { exec("update task set state = 4 where key & 16777215 < 10") }, 40, 50, time.Hour},
		{"all of the first are", func() { exec("update task set state = 4 where key & 16777215 < 30") }, 40, 30, 0},
		{"one was interrupted, and its next attempt is not sent yet", func() { exec("update task set attempt = 2 where key & 16777215 = 30") }, 40, 29, 0},
		{"their pool is closed", func() { exec("update pool set open = false") }, 0, 0, 0},
	} {
		step.do()
		var ready, sent PoolDepth
		for got, read := range map[*PoolDepth]func() ([]PoolDepth, error){
			&ready: func() ([]PoolDepth, error) { return s.PoolDepths(t.Context()) },
			&sent:  func() ([]PoolDepth, error) { return s.PoolsSent(t.Context()) },
		} {
			list, err := read()
			if err != nil || len(list) > 1 {
				t.Fatal(list, err)
			}
			if len(list) == 1 {
				*got = list[0]
			}
		}
		if ready.Ready != step.ready || sent.Ready != step.sent || sent.Oldest < step.age || sent.Oldest > step.age+time.Minute {
			t.Errorf("%s: got %+v and %+v, want %d and %d of at least %s", step.fact, ready, sent, step.ready, step.sent, step.age)
		}
	}
}
