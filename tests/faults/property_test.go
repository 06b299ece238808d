package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// patience is how long a tree may take; nothing takes that long unless it is stuck.
const patience = 5 * time.Minute

func full() bool { return os.Getenv("TASKGROVE_FULL") != "" }

// seedOf is the seed of a run: a new one each time, unless TASKGROVE_SEED names it.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("TASKGROVE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("TASKGROVE_SEED: %v", err)
		}
	}
	t.Logf("TASKGROVE_SEED=%d", seed)
	return seed
}

// rounds are those of a kill test that are played, with their numbers: half of them, by the seed, and all with TASKGROVE_FULL=1. None may need one before.
func rounds[T any](seed uint64, all []T) iter.Seq2[int, T] {
	play := rand.New(rand.NewPCG(seed, 11)).Perm(len(all))
	if !full() {
		play = play[:(len(all)+1)/2]
	}
	slices.Sort(play)
	return func(yield func(int, T) bool) {
		for _, n := range play {
			if !yield(n, all[n]) {
				return
			}
		}
	}
}

// longer is the pause after this one, between two looks at what is waited for: a dozen tests that look every moment leave it no processor.
func longer(pause time.Duration) time.Duration { return min(pause*5/4, 50*time.Millisecond) }

// eventually waits until f is nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	pause := 10 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		if err = f(); err == nil {
			return
		}
		pause = longer(pause)
	}
	t.Fatalf("not within %s: %s: %v", patience, what, err)
}

// startNATS starts a server that ends with the test.
func startNATS(t testing.TB) *natsserver.Server {
	t.Helper()
	server, err := natsserver.Start(natsserver.Config{StoreDir: t.TempDir(), Logger: Settings{Name: "nats"}.log()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

// startPart runs a part in this process until the test ends. A coordinator is ready when it returns.
func startPart(t testing.TB, s Settings) *Part {
	t.Helper()
	p, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("%s did not end well: %v", s.Name, err)
		}
	})
	if p.Coordinator != nil {
		eventually(t, s.Name+" is ready", func() error { return p.Ready(t.Context()) })
	}
	return p
}

// story is how one tree of the property test lives.
type story int

const (
	straight  story = iota // submitted, and left alone
	gated                  // tasks that wait for a gate are cancelled before it opens
	held                   // tasks are cancelled before the tree is started
	cancelled              // the whole tree is cancelled while it runs
	picked                 // some tasks are cancelled while it runs
	wide                   // one task has more dependents than are unlocked at once
	stories
)

func (s story) String() string {
	return [...]string{"straight", "gated", "held", "cancelled", "picked", "wide"}[s]
}

// life is one tree of the property test.
type life struct {
	seed  uint64
	story story
	tree  oracle.Tree
	rng   *rand.Rand
}

func newLife(seed uint64, n, most int) *life {
	l := &life{seed: seed, rng: rand.New(rand.NewPCG(seed, uint64(n)))}
	l.story = [...]story{straight, gated, held, straight, gated, cancelled, picked, straight}[n%8]
	if n%60 == 15 {
		l.story = wide
		l.tree = oracle.Wide(l.rng, fmt.Sprintf("w%d", n), 1050)
		return l
	}
	shape := oracle.Shape{Prefix: fmt.Sprintf("t%d", n), Tasks: 1 + l.rng.IntN(most), Fails: 0.25 * l.rng.Float64(), Optional: l.rng.Float64(),
		Group: 0.1 * l.rng.Float64(), Hang: 0.03 * l.rng.Float64(), Gate: l.story == gated}
	if l.story == gated || l.story == held {
		shape.Cancel = 0.2 * l.rng.Float64()
	}
	if l.rng.IntN(2) == 0 { // it says more than the protocol has
		shape.Beyond = l.rng.Float64()
		if l.story == cancelled || l.story == picked { // nobody knows what is found
			shape.Without = oracle.Expansions
		}
	}
	l.tree = oracle.Random(l.rng, shape)
	return l
}

// run lives the life, and returns what was wrong.
func (l *life) run(ctx context.Context, services []coordinator.Service, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*patience) // the trees of others are in its way, of which some are large
	defer cancel()
	s := func() coordinator.Service { return services[l.rng.IntN(len(services))] }
	out, err := s().Submit(ctx, coordinator.SubmitOptions{Hold: l.story == held}, each(TasksOf(l.tree, time.Now())))
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	users := make(chan error, 1)
	rng := rand.New(rand.NewPCG(l.rng.Uint64(), 0))
	service := services[l.rng.IntN(len(services))]
	go func() {
		err := Users(ctx, rng, l.tree, near{service})
		if err != nil { // what waits for them does not end
			cancel()
		}
		users <- err
	}()
	if err := l.steer(ctx, s, out.TreeID); err != nil {
		return err
	}
	if l.story == gated {
		for _, t := range l.tree.Tasks {
			if t.Script.Gate {
				if err := OpenGate(dir, t.ID); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(settled(ctx, s(), out.TreeID), <-users)
}

// near is an [Outside] of a coordinator of this process.
type near struct{ coordinator.Service }

func outsideError(err error) error {
	switch {
	case errors.Is(err, coordinator.ErrConflict):
		return ErrOver
	case errors.Is(err, coordinator.ErrUnavailable):
		return ErrAway
	}
	return err
}

// Signal implements [Outside].
func (n near) Signal(ctx context.Context, task, name string, payload json.RawMessage, key string) (string, error) {
	got, err := n.Service.Signal(ctx, task, coordinator.Signal{Name: name, Payload: payload, IdempotencyKey: key})
	if err != nil {
		return "", outsideError(err)
	}
	return string(got.Status), nil
}

// Approve implements [Outside].
func (n near) Approve(ctx context.Context, task, choice, comment string) error {
	_, err := n.Service.Approve(ctx, task, coordinator.Approval{Choice: choice, Comment: comment})
	return outsideError(err)
}

// State implements [Outside].
func (n near) State(ctx context.Context, task string) (dag.State, error) {
	got, err := n.Service.Task(ctx, task)
	if err != nil {
		return 0, outsideError(err)
	}
	return got.State, nil
}

// record notes how the tree ended, and what it told.
func (l *life) record(ctx context.Context, s coordinator.Service, r *Record, runs map[string][]*Run) error {
	how := history.Submit{Steered: l.story == cancelled || l.story == picked}
	// When nothing was left to start there was no execution to tell of.
	told := l.story != held || slices.ContainsFunc(l.tree.Tasks, func(t oracle.Task) bool { return !t.Cancelled })
	return r.Tree(ctx, s, l.tree, how, told, runs)
}

// steer does what the user does to the tree.
func (l *life) steer(ctx context.Context, s func() coordinator.Service, root string) error {
	no := false
	switch l.story {
	case gated, held:
		for _, i := range l.tree.Cancellations() {
			id := l.tree.Tasks[i].ID
			if l.tree.Tasks[i].Skipped {
				if got, err := s().Skip(ctx, id); err != nil || got.State != dag.Skipped {
					return fmt.Errorf("skip %s: %+v, %v", id, got, err)
				}
				continue
			}
			got, err := s().Cancel(ctx, id, coordinator.CancelOptions{Cascade: &no})
			if err != nil || got.Outcome != coordinator.Cancelled {
				return fmt.Errorf("cancel %s: %+v, %v", id, got, err)
			}
		}
		if l.story == gated {
			return nil
		}
		if _, err := s().Execute(ctx, root, coordinator.ExecuteOptions{}); err != nil {
			return fmt.Errorf("execute: %w", err)
		}
	case cancelled:
		pause(ctx, time.Duration(l.rng.IntN(200))*time.Millisecond)
		_, err := s().Cancel(ctx, root, coordinator.CancelOptions{})
		return err
	case picked:
		for range 1 + l.rng.IntN(8) {
			pause(ctx, time.Duration(l.rng.IntN(40))*time.Millisecond)
			cascade := l.rng.IntN(3) == 0
			id := l.tree.Tasks[l.rng.IntN(len(l.tree.Tasks))].ID
			if !l.tree.Plain() && l.rng.IntN(3) == 0 {
				if _, err := s().Skip(ctx, id); err != nil && !errors.Is(err, coordinator.ErrConflict) {
					return fmt.Errorf("skip %s: %w", id, err)
				}
				continue
			}
			if _, err := s().Cancel(ctx, id, coordinator.CancelOptions{Cascade: &cascade}); err != nil {
				return fmt.Errorf("cancel %s: %w", id, err)
			}
		}
	}
	return nil
}

// settled waits until nothing of a tree is unfinished.
func settled(ctx context.Context, s coordinator.Service, id string) error {
	for d := 10 * time.Millisecond; ; d = longer(d) {
		st, err := s.Tree(ctx, id)
		if err == nil && st.Unfinished == 0 {
			return nil
		}
		if !pause(ctx, d) {
			return fmt.Errorf("not settled: %+v, %w", st, err)
		}
	}
}

// TestRandomTreesEndAsTheOracleSays: random trees on three coordinators and three workers, each behind a network that
// delays and breaks, with messages delivered twice, end as the oracle says.
func TestRandomTreesEndAsTheOracleSays(t *testing.T) {
	t.Parallel()
	trees, most, width := 60, 80, 12 // most: tasks in a tree
	if full() {
		trees, most = 500, 200
	}
	seed := seedOf(t)
	nats := startNATS(t)
	proxy, err := NewProxy(nats.Address(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	s := Settings{Postgres: pgtest.Database(t), Dir: t.TempDir(), Lease: 10 * time.Second, Republish: time.Second, Concurrency: 12}
	if err := pg.Migrate(t.Context(), s.Postgres); err != nil {
		t.Fatal(err)
	}
	var services []coordinator.Service
	for i := range 3 {
		s.Role, s.Name, s.NATS = CoordinatorRole, fmt.Sprintf("coordinator-%d", i), proxy.URL(nats.CoordinatorURL())
		services = append(services, startPart(t, s).Coordinator)
	}
	for i := range 3 {
		s.Role, s.Name = WorkerRole, fmt.Sprintf("worker-%d", i)
		s.NATS = proxy.URL(nats.WorkerURL(s.Name))
		p := startPart(t, s)
		eventually(t, "worker has a lease", p.Worker.Ready)
	}
	copier, err := StartCopier(nats.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(copier.Stop)

	lives := make([]*life, trees)
	var next atomic.Int64
	var users sync.WaitGroup
	for range width {
		users.Go(func() {
			for n := int(next.Add(1)) - 1; n < trees && !t.Failed(); n = int(next.Add(1)) - 1 {
				l := newLife(seed, n, most)
				if err := l.run(t.Context(), services, s.Dir); err != nil {
					t.Errorf("tree %d (%s, %d tasks) of seed %d: %v%s", n, l.story, len(l.tree.Tasks), seed, err, Explain(t.Context(), s.Postgres))
				}
				lives[n] = l
			}
		})
	}
	ended := make(chan struct{})
	go func() { users.Wait(); close(ended) }()
	looks := 0
	for done := false; !done; looks++ {
		select {
		case <-ended:
			done = true
		case <-time.After(200 * time.Millisecond):
		}
		if looks == 20 || looks%300 == 299 {
			proxy.Cut() // shorter than a lease: no worker is lost, but what was on its way comes again only after 30 s
		}
		if err := CheckStore(t.Context(), services[0]); err != nil {
			t.Errorf("while it runs: %v", err)
			break
		}
	}
	<-ended
	if t.Failed() {
		return
	}
	t.Logf("%d trees; %d copies of work, %d of results; %d looks at the store", trees, copier.Work.Load(), copier.Results.Load(), looks)
	if copier.Work.Load() == 0 || copier.Results.Load() == 0 {
		t.Error("nothing was delivered twice")
	}
	eventually(t, "nothing is left over", func() error { return CheckSettled(t.Context(), s.Postgres) })
	if err := CheckTimes(t.Context(), s.Postgres); err != nil {
		t.Error(err)
	}
	runs, err := ReadJournal(s.JournalFile())
	if err != nil {
		t.Fatal(err)
	}
	record := NewRecord(true, 0) // all workers are in this process
	for n, l := range lives {
		if err := l.record(t.Context(), services[0], record, runs); err != nil {
			t.Errorf("tree %d (%s) of seed %d: %v", n, l.story, seed, err)
		}
	}
	if err := record.Check(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}
