package disasters

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/tests/cluster"
	"github.com/taskgrove/taskgrove/tests/faults"
)

// TestAReplicaTakesOver kills the primary under load and promotes its replica. One coordinator has both servers in its URL, the other an address
// that is led from one to the other. Then the old primary returns, which both could reach: nobody uses it.
func TestAReplicaTakesOver(t *testing.T) {
	if full() {
		t.Run("synchronous", func(t *testing.T) { takeOver(t, true) })
	}
	t.Run("asynchronous", func(t *testing.T) { takeOver(t, false) })
}

// full reports whether there is time for all of it ("make disasters").
func full() bool { return os.Getenv("TASKGROVE_FULL") != "" }

func takeOver(t *testing.T, synchronous bool) {
	p := newPair(t, synchronous)
	address, err := faults.NewProxy(hostOf(p.primary.URL()), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(address.Close)
	c := cluster.Start(t, cluster.Options{Postgres: p.both(), Coordinators: 2, Workers: 2, Pools: []string{"noop_executor"},
		Worker: func(s *config.Worker) { s.Beat = time.Second },
		Coordinator: func(s *config.Coordinator) {
			s.Lease, s.Republish = 6*time.Second, 2*time.Second
			if s.Name != "coordinator-1" {
				s.PostgresURL.Secret = config.Secret(address.URL(p.primary.URL()))
			}
		}})
	l := startLoad(t, c, 4)
	l.after(time.Now(), 50)

	if !synchronous { // what is committed from here on is lost
		p.stream.Hold(true)
		l.after(time.Now(), 20)
	}
	if err := p.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	p.stream.Close()
	p.promote()
	promoted := time.Now()
	address.Lead(hostOf(p.replica.URL()))
	first := l.after(promoted, 1)
	l.after(promoted, 50)

	// The old primary returns, first in the URL of the one, and at the address of the other.
	if err := p.primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := ask(t, p.primary.URL(), "select count(*) || ' ' || coalesce(max(key), 0) from tree")
	if err != nil {
		t.Fatal(err)
	}
	address.Lead(hostOf(p.primary.URL()))
	second := c.Coordinators[1].P
	eventually(t, "the coordinator at the old primary says so", func() error {
		err := second.Ready(t.Context())
		if former, ok := errors.AsType[*pg.FormerError](err); !ok || former.Standby || strings.Contains(err.Error(), "\n") {
			return errors.Join(errors.New("ready says otherwise"), err)
		}
		if reason := readiness.Reason(err); reason != "Postgres is a former primary, and the present one is not found yet" {
			return errors.New("the reason that anybody may see is " + reason)
		}
		return nil
	})
	_, refusal := second.Tree(t.Context(), "load-0-1")
	if !errors.Is(refusal, coordinator.ErrUnavailable) {
		t.Errorf("call while the server is refused: got %v, want it to be unavailable", refusal)
	}
	if err := c.Coordinators[0].P.Ready(t.Context()); err != nil {
		t.Errorf("the coordinator that knows both servers is not ready: %v", err)
	}
	l.after(time.Now(), 20) // by the other coordinator

	// One that starts knows from NATS.
	eventually(t, "NATS knows", func() error {
		hint, err := second.Queue.Hint(t.Context())
		if err == nil && !strings.Contains(hint, `"timeline":2`) {
			err = errors.New("the hint is " + hint)
		}
		return err
	})
	late := make(chan error, 1)
	go func() {
		_, err := c.TryCoordinator(node.Options{})
		late <- err
	}()
	select {
	case err := <-late:
		t.Fatalf("a coordinator that finds only the old primary: got %v, want it to wait", err)
	case <-time.After(3 * time.Second):
	}
	if after, err := ask(t, p.primary.URL(), "select count(*) || ' ' || coalesce(max(key), 0) from tree"); err != nil || after != before {
		t.Errorf("trees of the old primary: got %s, %v, want %s as before", after, err, before)
	}
	address.Lead(hostOf(p.replica.URL()))
	eventually(t, "the coordinator heals", func() error { return second.Ready(t.Context()) })
	if err := <-late; err != nil {
		t.Errorf("the coordinator that waited: got %v", err)
	}
	l.end()

	lost := l.settled(c.Coordinators[0].P)
	t.Logf("synchronous %v: %d trees accepted, %d lost; after the kill, promoted after %s, the next tree accepted after %s",
		synchronous, len(l.trees()), len(lost), promoted.Sub(killed).Round(time.Millisecond), first.Sub(killed).Round(time.Millisecond))
	if synchronous && len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
	if !synchronous && len(lost) < 20 {
		t.Errorf("%d trees were lost, want 20 at least: else nothing was shown", len(lost))
	}
	sound(t, c, p.replica.URL())
}

// sound checks that nothing is left over, and that the rows keep the rules.
func sound(t *testing.T, c *cluster.Cluster, at string) {
	t.Helper()
	eventually(t, "no attempt is open, nothing waits", func() error {
		return expect(t, at, "select (select count(*) from task where worker is not null) + (select count(*) from ready) + (select count(*) from published)", "0")
	})
	eventually(t, "no worker lists an attempt", func() error {
		return expect(t, at, "select count(*) from worker where attempts not in ('{}', '{-1}')", "0")
	})
	for v, err := range c.Coordinators[0].P.Verify(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("the auditor found %+v", v)
	}
}
