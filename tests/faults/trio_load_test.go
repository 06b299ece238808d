package faults

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// trioLoad submits random trees to a trioSite all the time, so that faults meet work.
type trioLoad struct {
	*trioSite
	stop  chan struct{}
	ended sync.WaitGroup
	mu    sync.Mutex
	trees []oracle.Tree // that were submitted
	err   error
}

const (
	loadTasks = 20                     // of a tree
	loadEvery = 400 * time.Millisecond // a tree
)

func (s *trioSite) underLoad() *trioLoad {
	l := &trioLoad{trioSite: s, stop: make(chan struct{})}
	l.ended.Go(l.run)
	return l
}

func (l *trioLoad) run() {
	for n := 0; ; n++ {
		tree := randomLoad(uint64(n), fmt.Sprintf("l%d", n), loadTasks)
		tasks := TasksOf(tree, time.Now())
		for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) { // a coordinator may be cut off from NATS for a moment
			_, err := l.front.Submit(l.site.t.Context(), coordinator.SubmitOptions{IdempotencyKey: tree.Tasks[0].ID}, each(tasks))
			if err == nil {
				break
			}
			if time.Since(begin) > patience {
				l.err = err
				return
			}
		}
		l.mu.Lock()
		l.trees = append(l.trees, tree)
		l.mu.Unlock()
		select {
		case <-l.stop:
			return
		case <-time.After(loadEvery):
		}
	}
}

// done ends the load, and checks that every tree settled once.
func (l *trioLoad) done() {
	l.site.t.Helper()
	close(l.stop)
	l.ended.Wait()
	if l.err != nil {
		l.site.t.Fatalf("submit: %v", l.err)
	}
	l.site.trees = l.trees
	began := time.Now()
	l.check()
	l.site.t.Logf("%d trees of %d tasks settled, the last %s after the load's end; %d attempts started", len(l.trees), loadTasks, time.Since(began).Round(time.Millisecond), len(l.starts(time.Time{})))
}

// starts are the moments, from one on, at which attempts began.
func (l *trioLoad) starts(from time.Time) (at []time.Time) {
	l.site.t.Helper()
	f, err := os.Open(l.base.JournalFile())
	if err != nil {
		l.site.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var what, task string
		var attempt, pid int
		var nano int64
		if n, _ := fmt.Sscan(lines.Text(), &what, &task, &attempt, &pid, &nano); n == 5 && what == "start" {
			if t := time.Unix(0, nano); t.After(from) {
				at = append(at, t)
			}
		}
	}
	return at
}

// flows waits until so many attempts have begun since a moment, and tells the longest pause between two of them since then. The log has it
// with the time until the first one.
func (l *trioLoad) flows(what string, from time.Time, attempts int) (longest time.Duration) {
	l.site.t.Helper()
	var at []time.Time
	eventually(l.site.t, what+": attempts begin", func() error {
		if at = l.starts(from); len(at) < attempts {
			time.Sleep(100 * time.Millisecond)
			return fmt.Errorf("%d did", len(at))
		}
		return nil
	})
	last := from
	for _, t := range at {
		longest, last = max(longest, t.Sub(last)), t
	}
	l.site.t.Logf("%s: the first attempt began after %s; the longest pause of the next %s was %s", what, at[0].Sub(from).Round(time.Millisecond), last.Sub(from).Round(100*time.Millisecond), longest.Round(time.Millisecond))
	return longest
}

// TestThreeNATSServersUnderLoad kills the server that leads RESULTS, freezes it, kills two of three, and gives one an empty disk, while trees
// are submitted and run by two workers of one group. Every tree settles once, and the log says how long dispatch stood still.
func TestThreeNATSServersUnderLoad(t *testing.T) {
	if !full() {
		t.Skip("takes two minutes: make nats-faults")
	}
	t.Parallel()
	s := newTrioSite(t, []string{"pool.1", "pool.2"}, 0, 1, 2)
	second := s.process(CoordinatorRole, "second")
	eventually(t, "the second coordinator is ready", second.Ready)
	leader := s.complete()
	l := s.underLoad()
	l.flows("nothing is broken", time.Now(), 200)
	const hold = 8 * time.Second

	at := time.Now()
	s.trio.kill(leader)
	time.Sleep(hold)
	l.flows("the leader of RESULTS is killed", at, 100)
	at = time.Now()
	s.trio.start(leader)
	leader = s.complete()
	l.flows("it is back", at, 50)

	at = time.Now()
	s.trio.signal(leader, syscall.SIGSTOP)
	time.Sleep(2 * hold) // until the other servers and all clients have noticed
	l.flows("the leader of RESULTS is frozen", at, 100)
	at = time.Now()
	s.trio.signal(leader, syscall.SIGCONT)
	leader = s.complete()
	l.flows("it goes on", at, 50)

	s.trio.kill(leader)
	s.trio.kill((leader + 1) % 3)
	time.Sleep(s.base.Lease + 5*time.Second) // an outage has a length
	at = time.Now()
	s.trio.start(leader)
	l.flows("two were killed for 15 s, and one of them is back", at, 100)
	at = time.Now()
	s.trio.start((leader + 1) % 3)
	leader = s.complete()
	l.flows("both are back", at, 50)

	at = time.Now()
	s.trio.kill(leader)
	if err := os.RemoveAll(filepath.Join(s.trio.dir, fmt.Sprint(leader))); err != nil {
		t.Fatal(err)
	}
	s.trio.start(leader)
	l.flows("the leader of RESULTS comes back with an empty disk", at, 100)
	now := s.complete()
	l.flows(fmt.Sprintf("all copies are there again after %s, n%d leads", time.Since(at).Round(10*time.Millisecond), now), at, 100)
	l.done()
	if lines := l.complaints(); lines != "" {
		t.Logf("the servers said:\n%s", lines)
	}
}

// complaints are the servers' lines about streams that lost something.
func (n *trio) complaints() (out string) {
	files, _ := filepath.Glob(filepath.Join(n.dir, "nats-*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "[ERR]") && len(out) < 4000 {
				out += filepath.Base(file) + ": " + line
			}
		}
	}
	return out
}
