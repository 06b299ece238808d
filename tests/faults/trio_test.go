package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue"
)

// trio is a cluster of three NATS servers, each a process of its own, with the accounts that nats-config prints.
type trio struct {
	t        *testing.T
	program  string
	dir      string
	clients  [3]int // ports
	routes   [3]int
	accounts string
	running  [3]*exec.Cmd // nil: down
}

func newTrio(t *testing.T, workers ...string) *trio {
	t.Helper()
	n := &trio{t: t, dir: t.TempDir()}
	n.program = filepath.Join(n.dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", n.program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v: %s", err, out)
	}
	users := []queue.ServerUser{{Name: "coordinator", Password: Password}}
	for _, w := range workers {
		user := queue.ServerUser{Name: queue.User(w), Password: Password, Pools: []string{"*"}, Group: strings.Contains(w, ".")}
		if !slices.ContainsFunc(users, func(u queue.ServerUser) bool { return u.Name == user.Name }) {
			users = append(users, user)
		}
	}
	n.accounts = queue.ServerConfig("", users)
	for i := range 3 {
		n.clients[i], n.routes[i] = porttest.Port(t), porttest.Port(t)
	}
	return n
}

func (n *trio) start(i int) {
	n.t.Helper()
	var routes []string
	for j := range 3 {
		if j != i { // a server that lists itself, too, waits for all three at the first start
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", n.routes[j]))
		}
	}
	file := filepath.Join(n.dir, fmt.Sprintf("nats-%d.conf", i))
	text := fmt.Sprintf("server_name: n%d\nhost: 127.0.0.1\nport: %d\nmax_payload: 4MB\njetstream { store_dir: %q, max_file_store: 10GB }\n"+
		"cluster { name: trio, host: 127.0.0.1, port: %d, routes: [%s] }\n%s", i, n.clients[i], filepath.Join(n.dir, fmt.Sprint(i)),
		n.routes[i], strings.Join(routes, ", "), n.accounts)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(n.dir, fmt.Sprintf("nats-%d.log", i)))
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(n.program, "-c", file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	_ = log.Close()
	n.running[i] = cmd
	n.t.Cleanup(func() { n.kill(i) })
	eventually(n.t, fmt.Sprintf("n%d listens", i), func() error {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.clients[i]))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

func (n *trio) kill(i int) {
	if cmd := n.running[i]; cmd != nil {
		n.running[i] = nil
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func (n *trio) signal(i int, s os.Signal) {
	n.t.Helper()
	if err := n.running[i].Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// url is for a user of any of the servers.
func (n *trio) url(user string) string {
	var urls []string
	for _, port := range n.clients {
		urls = append(urls, fmt.Sprintf("nats://%s:%s@127.0.0.1:%d", user, Password, port))
	}
	return strings.Join(urls, ",")
}

// complete waits until all streams have three copies that are up to date, and tells which server leads RESULTS.
func (n *trio) complete() (leader int) {
	n.t.Helper()
	nc, err := nats.Connect(n.url("coordinator"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, name := range []string{"TG_WORK", "TG_LOGS", "TG_RESULTS"} {
		eventually(n.t, name+" has three copies", func() error {
			s, err := js.Stream(n.t.Context(), name)
			if err != nil {
				return err
			}
			is := s.CachedInfo().Cluster
			if is == nil || len(is.Replicas) != 2 || !is.Replicas[0].Current || !is.Replicas[1].Current {
				return fmt.Errorf("it wants %d copies and has %+v", s.CachedInfo().Config.Replicas, is)
			}
			for c := range s.ListConsumers(n.t.Context()).Info() {
				if c.Cluster == nil || len(c.Cluster.Replicas) != 2 {
					return fmt.Errorf("its consumer %s has %+v", c.Name, c.Cluster)
				}
			}
			_, err = fmt.Sscanf(is.Leader, "n%d", &leader)
			return err
		})
	}
	return leader
}

// trioSite is a site on such a cluster.
type trioSite struct {
	*site
	*trio
	trees int
}

func (s *trioSite) process(role Role, name string) *Process {
	s.site.t.Helper()
	settings := s.base
	settings.Role, settings.Name = role, name
	settings.NATS, settings.Replicas = s.url("coordinator"), 3
	if role == WorkerRole {
		settings.NATS = s.url(queue.User(name))
	}
	p, err := StartProcess(settings, "")
	if err != nil {
		s.site.t.Fatal(err)
	}
	s.site.t.Cleanup(p.Kill)
	return p
}

// works submits a chain of tasks, and measures how long it takes to its end.
func (s *trioSite) works(when string) {
	s.site.t.Helper()
	s.trees++
	root := fmt.Sprintf("trio-%d", s.trees)
	tasks := []*dag.Task{{ID: root, Name: root}}
	for i := range 5 {
		task := &dag.Task{ID: fmt.Sprintf("%s-%d", root, i), Name: "step", ParentRef: root, Executor: noop.ID, Pool: Pools[0]}
		if i > 0 {
			task.Dependencies = []dag.Dependency{{Ref: fmt.Sprintf("%s-%d", root, i-1)}}
		}
		tasks = append(tasks, task)
	}
	began := time.Now()
	eventually(s.site.t, "submit "+root, func() error {
		_, err := s.front.Submit(s.site.t.Context(), coordinator.SubmitOptions{IdempotencyKey: root}, each(tasks))
		return err
	})
	if err := settled(s.site.t.Context(), s.front, root); err != nil {
		s.site.t.Fatalf("%s: %v%s", when, err, Explain(s.site.t.Context(), s.base.Postgres))
	}
	s.site.t.Logf("%s: a chain of 5 tasks took %s", when, time.Since(began).Round(10*time.Millisecond))
}

// newTrioSite starts a coordinator and workers while only the servers of up run.
func newTrioSite(t *testing.T, workers []string, up ...int) *trioSite {
	t.Helper()
	s := &trioSite{trio: newTrio(t, workers...), site: &site{t: t, base: Settings{Postgres: pgtest.Database(t), Dir: t.TempDir(), Lease: 10 * time.Second, Republish: 2 * time.Second, Concurrency: 8}}}
	if err := pg.Migrate(t.Context(), s.base.Postgres); err != nil {
		t.Fatal(err)
	}
	for _, i := range up {
		s.trio.start(i)
	}
	began := time.Now()
	parts := []*Process{s.process(CoordinatorRole, "coordinator")}
	for _, w := range workers {
		parts = append(parts, s.process(WorkerRole, w))
	}
	for _, p := range parts {
		eventually(t, p.Settings.Name+" is ready", p.Ready)
	}
	t.Logf("ready after %s with %d of 3 servers", time.Since(began).Round(10*time.Millisecond), len(up))
	settings := s.base
	settings.Role, settings.Name, settings.NATS, settings.Window, settings.Replicas = SubmitRole, "front", s.url("coordinator"), 1, 3
	part, err := settings.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = part.Close() })
	s.front, s.site.servers = part.Coordinator, s.url("coordinator")
	return s
}

// TestOneOfThreeNATSServersIsDown starts everything for the first time while one of three servers is down, and kills the leader of the
// streams later, when all are up.
func TestOneOfThreeNATSServersIsDown(t *testing.T) {
	t.Parallel()
	s := newTrioSite(t, []string{"worker"}, 0, 1)
	s.works("one of three has never been up")
	s.trio.start(2)
	s.works("all are up")
	leader := s.complete()
	s.trio.kill(leader)
	s.works("the leader of RESULTS was killed")
	s.trio.start(leader)
	s.works("it is back")
}
