package faults

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// site is a cluster of processes: the test's own process holds the servers, and submits and looks as a client would.
type site struct {
	t       *testing.T
	base    Settings
	nats    *natsserver.Server
	front   coordinator.Service
	servers string // URL of NATS for coordinators, where nats is nil
	port    int    // of NATS
	store   string // its directory
	trees   []oracle.Tree
	made    int // names given

	mu   sync.Mutex
	conn *pgx.Conn // nil: none yet. What looks again and again would take most of its time to connect.
}

func newSite(t *testing.T, postgres string) *site {
	t.Helper()
	key := ""
	if os.Getenv("TASKGROVE_SEALED") != "" { // every site seals
		key = sealed.NewKey()
	}
	return newSiteUnder(t, postgres, key)
}

// newSealedSite is a site on the shared Postgres whose coordinators seal values.
func newSealedSite(t *testing.T) *site {
	t.Helper()
	return newSiteUnder(t, pgtest.Prepared(t, pg.Migrate), sealed.NewKey())
}

// newSiteUnder is a site whose coordinators seal values under a key, if there is one.
func newSiteUnder(t *testing.T, postgres, key string) *site {
	t.Helper()
	s := &site{t: t, port: porttest.Port(t), store: t.TempDir(), base: Settings{Postgres: postgres, Dir: t.TempDir(), Lease: 3 * time.Second, Republish: time.Second, PoolIdle: time.Second, Concurrency: 8, SealKey: key}}
	if err := pg.Migrate(t.Context(), postgres); err != nil {
		t.Fatal(err)
	}
	s.startNATS(0)
	t.Cleanup(func() { s.nats.Shutdown() })
	settings := s.settings(SubmitRole)
	settings.Window = 1 // what is submitted goes by the coordinators' dispatchers
	part, err := settings.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = part.Close() })
	s.front = part.Coordinator
	return s
}

// ownDatabase is a site on the shared Postgres.
func newSharedSite(t *testing.T) *site {
	t.Helper()
	return newSite(t, pgtest.Prepared(t, pg.Migrate))
}

// db asks Postgres by a connection that is kept; where it broke meanwhile, once more by another.
func (s *site) db(ask func(*pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		kept := s.conn != nil && !s.conn.IsClosed()
		if !kept {
			conn, err := pgx.Connect(s.t.Context(), s.base.Postgres)
			if err != nil {
				return err
			}
			s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
			s.conn = conn
		}
		if err := ask(s.conn); err == nil || !kept || !s.conn.IsClosed() {
			return err
		}
	}
}

// startNATS starts the server, for messages of so many bytes at most (0: the usual).
func (s *site) startNATS(most int) {
	s.t.Helper()
	server, err := natsserver.Start(natsserver.Config{StoreDir: s.store, Port: s.port, CoordinatorPassword: Password, WorkerPassword: Password,
		MaxPayloadBytes: most, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.nats = server
}

func (s *site) settings(role Role) Settings {
	s.made++
	out := s.base
	out.Role, out.Name = role, fmt.Sprintf("%s-%d", role, s.made)
	out.NATS = s.nats.CoordinatorURL()
	if role == WorkerRole {
		out.NATS = s.nats.WorkerURL(out.Name)
	}
	return out
}

// start starts a process, armed or not, and waits until it takes work.
func (s *site) start(role Role, point string) *Process {
	s.t.Helper()
	p := s.launch(role, point)
	eventually(s.t, p.Settings.Name+" is ready", p.Ready)
	return p
}

func (s *site) launch(role Role, point string) *Process {
	s.t.Helper()
	p, err := StartProcess(s.settings(role), point)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	return p
}

// submit submits a tree; it is held against the oracle by [site.check].
func (s *site) submit(tree oracle.Tree) {
	s.t.Helper()
	tasks := TasksOf(tree, time.Now())
	eventually(s.t, "submit", func() error { // servers may be away
		_, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{IdempotencyKey: tree.Tasks[0].ID}, each(tasks))
		return err
	})
	s.trees = append(s.trees, tree)
}

// load submits random trees.
func (s *site) load(seed uint64, trees, tasks int) {
	s.t.Helper()
	for n := range trees {
		s.submit(randomLoad(seed+uint64(n), fmt.Sprintf("l%d", len(s.trees)), tasks))
	}
}

// dies waits until a process has killed itself.
func (s *site) dies(p *Process) {
	s.t.Helper()
	select {
	case <-p.ended:
		if p.err == nil || !strings.Contains(p.err.Error(), "killed") {
			s.t.Errorf("%s ended: %v; want killed", p.Settings.Name, p.err)
		}
	case <-time.After(patience):
		s.t.Fatalf("%s did not come to its fail point", p.Settings.Name)
	}
}

// check waits until all trees are settled and nothing is left over, and checks everything there is to check.
func (s *site) check() {
	s.t.Helper()
	s.settle()
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		s.t.Fatal(err)
	}
	record := NewRecord(false, s.base.Concurrency)
	for _, tree := range s.trees {
		if err := record.Tree(s.t.Context(), s.front, tree, history.Submit{}, true, runs); err != nil {
			s.t.Error(err)
		}
	}
	if len(record.Poisoned) > 0 {
		s.t.Logf("not judged are the ends of %q: this machine is so busy that workers were lost", record.Poisoned)
	}
	if err := record.Check(); err != nil {
		s.t.Error(err)
	}
	eventually(s.t, "nothing is left over", func() error { return CheckSettled(s.t.Context(), s.base.Postgres) })
	if err := CheckTimes(s.t.Context(), s.base.Postgres); err != nil {
		s.t.Error(err)
	}
	if err := CheckStore(s.t.Context(), s.front); err != nil {
		s.t.Error(err)
	}
}

// settle waits until all trees are settled.
func (s *site) settle() {
	s.t.Helper()
	for _, tree := range s.trees {
		s.ends(tree.Tasks[0].ID)
	}
}

// ends waits until nothing of a tree is unfinished.
func (s *site) ends(root string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := settled(ctx, s.front, root); err != nil {
		s.t.Fatalf("tree %s: %v%s", root, err, Explain(s.t.Context(), s.base.Postgres)+s.depths())
	}
}

// depths tells what lies in NATS.
func (s *site) depths() (out string) {
	js := s.jetstream()
	for _, name := range []string{"TG_WORK", "TG_RESULTS"} {
		stream, err := js.Stream(s.t.Context(), name)
		if err != nil {
			out += fmt.Sprintf("\n%s: %v", name, err)
			continue
		}
		out += fmt.Sprintf("\n%s: %+v", name, stream.CachedInfo().State)
		for c := range stream.ListConsumers(s.t.Context()).Info() {
			if c.NumPending > 0 || c.NumAckPending > 0 {
				out += fmt.Sprintf("\n  %s: pending %d, unacknowledged %d, waiting %d, redelivered %d", c.Name, c.NumPending, c.NumAckPending, c.NumWaiting, c.NumRedelivered)
			}
		}
	}
	return out
}

// runs is how many attempts of a task its workers brought to an end, or to a wait: a kill may interrupt others, or on a slow machine the end of a lease
// while no coordinator is there.
func (s *site) runs(id string) (n int) {
	s.t.Helper()
	attempts, err := s.front.Attempts(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	goesOn := dag.WaitAnswer{}.Ends(dag.Await{Resume: true}).Error
	for _, a := range attempts {
		if a.Outcome != dag.OutcomeLost && (a.Outcome != dag.OutcomeReturned || a.Error == goesOn) {
			n++
		}
	}
	return n
}

// ran waits until so many attempts were started.
func (s *site) ran(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d attempts were started", n), func() error {
		text, err := os.ReadFile(s.base.JournalFile())
		if err != nil {
			return err
		}
		if got := strings.Count(string(text), "start "); got < n {
			return fmt.Errorf("%d were", got)
		}
		return nil
	})
}

// jetstream is an operator's connection to NATS.
func (s *site) jetstream() jetstream.JetStream {
	s.t.Helper()
	url := s.servers
	if s.nats != nil {
		url = s.nats.CoordinatorURL()
	}
	nc, err := nats.Connect(url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// processesWith are the processes that have the text in their command line.
func processesWith(text string) (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), text) {
			found = append(found, filepath.Dir(file)+": "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
