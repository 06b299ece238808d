package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/queue"
)

// external is a nats-server that knows the users from ServerConfig. Passwords that are not given are "secret " and the name. connect
// makes the connection of a coordinator's user or of a worker's id.
func external(t testing.TB, users ...queue.ServerUser) (connect func(id string) *queue.Conn, url func(user string) string) {
	t.Helper()
	return externalOf(t, func(text string) string { return text }, users...)
}

// externalOf is [external] with an edited configuration.
func externalOf(t testing.TB, edit func(string) string, users ...queue.ServerUser) (connect func(id string) *queue.Conn, url func(user string) string) {
	t.Helper()
	passwords := map[string]string{}
	for i, user := range users {
		if user.Password == "" {
			users[i].Password = "secret " + user.Name
		}
		passwords[user.Name] = os.ExpandEnv(users[i].Password)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	text := "host: 127.0.0.1\nport: -1\njetstream { store_dir: \"" + dir + "\" }\n" + edit(queue.ServerConfig("", users))
	must(t, os.WriteFile(file, []byte(text), 0o600))
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	options.NoLog, options.NoSigs = true, true
	nats, err := server.NewServer(options)
	must(t, err)
	nats.Start()
	t.Cleanup(func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	})
	if !nats.ReadyForConnections(patience) {
		t.Fatal("server is not ready")
	}
	url = func(user string) string {
		u := neturl.URL{Scheme: "nats", User: neturl.UserPassword(user, passwords[user]), Host: nats.Addr().String()}
		return u.String()
	}
	h := &house{t: t}
	connect = func(id string) *queue.Conn {
		t.Helper()
		user := queue.User(id)
		cfg := queue.Config{URL: url(user)}
		for _, u := range users {
			if u.Name == user && u.Pools != nil {
				cfg.Worker = id
			}
		}
		c := h.connect(cfg)
		if cfg.Worker == "" {
			must(t, c.EnsureStreams(h.context()))
		}
		return c
	}
	return connect, url
}

// An external server that is configured with ServerConfig lets a worker take from its pools only.
func TestServerConfigIsUnderstood(t *testing.T) {
	t.Setenv("SECRET_OF_B", "from-the-environment")
	connect, _ := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "c2"},
		queue.ServerUser{Name: "a", Pools: []string{"rest"}}, queue.ServerUser{Name: "b", Password: "$SECRET_OF_B", Pools: []string{"*"}})
	c := connect("c1")
	publish(t, c, "rest", 1, "one")
	publish(t, c, "gpu", 1, "two")
	a, b := connect("a"), connect("b")
	take(t, a.Taker("rest"), 1)
	take(t, b.Taker("gpu"), 1)
	eventually(t, "acks", func() bool {
		rest, _, err := c.Depth(t.Context(), "rest", 1)
		must(t, err)
		gpu, _, err := c.Depth(t.Context(), "gpu", 1)
		must(t, err)
		return rest+gpu == 0
	})

	publish(t, c, "gpu", 1, "three")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if taken, err := a.Taker("gpu").Take(ctx, 1); err == nil {
		t.Errorf("a pool that a does not serve: took %v", taken)
	}
}

// All that goes between coordinators and workers also goes from account to account.
func TestAccountsLetEverythingNeededPass(t *testing.T) {
	t.Parallel()
	connect, _ := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}}, queue.ServerUser{Name: "b", Pools: []string{"rest"}},
		queue.ServerUser{Name: "g", Pools: []string{"rest"}, Group: true})
	h := newHouse(t)
	for name, tt := range map[string]struct{ c, a *queue.Conn }{
		"a worker":                 {connect("c1"), connect("a")},
		"a member of a group":      {connect("c1"), connect("g.a")},
		"a group of the embedded":  {h.coordinator(), h.worker("g.a")},
		"a worker of the embedded": {h.coordinator(), h.worker("a")},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: coordinators share requests and results
			id := "a"
			if strings.Contains(name, "group") {
				id = "g.a"
			}
			everythingPasses(t, tt.c, tt.a, id)
		})
	}
}

// everythingPasses makes a worker do all that workers do.
func everythingPasses(t *testing.T, c, a *queue.Conn, id string) {
	h := &house{t: t}
	publish(t, c, "rest", 1, "one", "two")
	takeAll(t, a.Taker("rest"), 2)
	must(t, a.CheckPermissions(t.Context(), []string{"rest"}))
	for _, kind := range []queue.Kind{queue.Claim, queue.Beat, queue.Chunk, queue.Inputs} {
		serve(t, c, kind, string(kind))
		if got, want := answered(t, h, a, kind), string(kind)+" "+id; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	progress, _ := serve(t, c, queue.Progress, "")
	eventually(t, "progress", func() bool {
		must(t, a.Send(queue.Progress, []byte("half")))
		return len(progress) > 0
	})
	news := make(chan string, 1000)
	go func() { _ = a.News(t.Context(), func(data []byte) { news <- string(data) }) }()
	eventually(t, "news", func() bool {
		must(t, c.Tell(id, []byte("new")))
		return len(news) > 0
	})
	arrived := consume(t, c, 10)
	must(t, a.PublishResults(h.context(), []byte("done")))
	if m := want(t, "result", arrived); m.Worker != id || string(m.Data) != "done" {
		t.Errorf("result: got %q of %s", m.Data, m.Worker)
	} else {
		m.Ack()
	}
	must(t, a.PublishLogs(7, []byte("line")))
	lines := make(chan string, 10)
	go func() {
		_ = c.ReadLogs(h.context(), queue.LogQuery{Tasks: []int64{7}, Follow: true}, func(data []byte, _ uint64) error {
			if len(data) > 0 { // nothing was stored yet
				lines <- string(data)
			}
			return nil
		})
	}()
	if got := want(t, "log line", lines); got != "line" {
		t.Errorf("logs: got %q", got)
	}
}

// A worker waits for work through a coordinator, and what it has withdrawn takes nothing from the others.
func TestRelayedPullsAreWithdrawn(t *testing.T) {
	t.Parallel()
	connect, _ := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}}, queue.ServerUser{Name: "b", Pools: []string{"rest"}})
	c, a, b := connect("c1"), connect("a"), connect("b")
	must(t, c.EnsurePools(t.Context(), "rest"))
	for i := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if taken, err := a.Taker("rest").Take(ctx, 1); err == nil { // it leaves waiting pulls of all priorities
			t.Fatalf("took %v of nothing", taken)
		}
		cancel()
		began := time.Now()
		publish(t, c, "rest", i%4, fmt.Sprint(i))
		take(t, b.Taker("rest"), 1)
		if waited := time.Since(began); waited > 10*time.Second { // a lost message comes again after 30 s
			t.Errorf("message %d came after %s", i, waited)
		}
	}
}

// A worker soon asks again when a coordinator that would relay its waiting pulls is frozen.
func TestPullsWithAFrozenCoordinatorAreRepeated(t *testing.T) {
	t.Parallel()
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}})
	c := connect("c1")
	must(t, c.EnsurePools(t.Context(), "rest"))
	taker := connect("a").Taker("rest")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if taken, err := taker.Take(ctx, 1); err == nil { // the taker learns that a coordinator confirms
		t.Fatalf("took %v of nothing", taken)
	}
	c.Close()

	h := &house{t: t}
	publisher := h.connect(queue.Config{URL: url("c1")}) // it relays nothing
	nc, _ := intruder(t, url("c1"), "none")
	var swallowed atomic.Int32
	_, err := nc.QueueSubscribe("tg.take.*.*", "coordinators", func(m *nats.Msg) {
		if strings.Contains(string(m.Data), "expires") && swallowed.Add(1) <= 4 {
			return
		}
		_ = nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TG_WORK."+m.Subject[len("tg.take.a."):], m.Reply, m.Data)
	})
	must(t, err)
	must(t, nc.Flush())
	began, taken := time.Now(), make(chan error, 1)
	go func() {
		_, err := taker.Take(t.Context(), 1)
		taken <- err
	}()
	eventually(t, "the waiting pulls", func() bool { return swallowed.Load() >= 4 })
	publish(t, publisher, "rest", 2, "one")
	must(t, want(t, "work", taken))
	if waited := time.Since(began); waited > 10*time.Second { // a waiting pull lasts 15 s
		t.Errorf("taken after %s", waited)
	}
}

// A worker of a version that asks for no confirmation takes as well.
func TestOlderWorkersPullsAreRelayed(t *testing.T) {
	t.Parallel()
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}})
	c := connect("c1")
	publish(t, c, "rest", 2, "one", "two")
	nc, refused := intruder(t, url("a"), "a")
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox + ".*")
	must(t, err)
	for _, tt := range []struct{ body, data, status string }{
		{`{"batch":1,"no_wait":true}`, "one", ""},
		{`{"batch":1,"expires":15000000000}`, "two", ""},
		{`{"batch":1,"no_wait":true}`, "", "404"},
	} {
		must(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TG_WORK.rest_p2", inbox+".2", []byte(tt.body)))
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatalf("%s: %v", tt.body, err)
		}
		if got := m.Header.Get("Status"); string(m.Data) != tt.data || got != tt.status || !strings.HasSuffix(m.Subject, "2") {
			t.Errorf("%s: got %q, status %q, subject %s", tt.body, m.Data, got, m.Subject)
		}
		if m.Reply != "" {
			must(t, m.Respond([]byte("+ACK")))
		}
	}
	eventually(t, "acks", func() bool {
		left, _, err := c.Depth(t.Context(), "rest", 2)
		must(t, err)
		return left == 0
	})
	if len(refused) > 0 {
		t.Errorf("refused: %v", <-refused)
	}
}

// What a coordinator is asked to relay goes nowhere but to the worker's own inbox.
func TestPullsWithForeignRepliesAreNotRelayed(t *testing.T) {
	t.Parallel()
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}}, queue.ServerUser{Name: "b", Pools: []string{"rest"}})
	c := connect("c1")
	must(t, c.EnsurePools(t.Context(), "rest"))
	nc, _ := intruder(t, url("a"), "a")
	victim, _ := intruder(t, url("b"), "b")
	heard, err := victim.SubscribeSync("tg.inbox.b.>")
	must(t, err)
	must(t, victim.Flush())
	own, err := nc.SubscribeSync("tg.inbox.a.>")
	must(t, err)
	for _, reply := range []string{"tg.inbox.b.x", "tg.inbox.ab.x", "tg.inbox.a", "tg.news.b", "$JS.API.STREAM.DELETE.TG_LOGS", "tg.inbox.a.own"} {
		must(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TG_WORK.rest_p2", reply, []byte(`{"batch":1,"no_wait":true}`)))
	}
	if m, err := own.NextMsg(patience); err != nil || m.Subject != "tg.inbox.a.own" { // all before it have been relayed or not
		t.Fatalf("own inbox: got %v, %v", m, err)
	}
	if m, err := heard.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("another's inbox got %v", m.Header)
	}
	must(t, c.PublishWork(t.Context(), []queue.WorkMessage{{Pool: "rest", Priority: 2, Data: []byte("x")}}))
	if m, err := own.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("a pull that found nothing and did not wait got %q", m.Data)
	}
}

// A server takes more workers than a search for cycles between accounts may visit (1024).
func TestServerConfigWithManyWorkers(t *testing.T) {
	t.Parallel()
	users := []queue.ServerUser{{Name: "c1"}}
	for i := range 1500 {
		users = append(users, queue.ServerUser{Name: fmt.Sprint("w", i), Pools: []string{"rest"}})
	}
	began := time.Now()
	connect, _ := external(t, users...)
	t.Logf("started after %s", time.Since(began))
	c := connect("c1")
	publish(t, c, "rest", 1, "one")
	take(t, connect("w1499").Taker("rest"), 1)
}

// ServerAccounts and ServerConfig say the same: the text is the accounts in the server's own language.
func TestServerAccountsAreInTheConfig(t *testing.T) {
	t.Parallel()
	users := []queue.ServerUser{{Name: "c1", Password: "x"}, {Name: "a", Password: "y", Pools: []string{"rest"}}, {Name: "b", Password: "z", Pools: []string{"*"}}}
	text := queue.ServerConfig("x", users)
	names := []string{}
	for _, account := range queue.ServerAccounts("x", users) {
		names = append(names, account.Name)
		for _, object := range append(lines(t, account.Exports), lines(t, account.Imports)...) {
			if !strings.Contains(text, object) {
				t.Errorf("%s: %s is not in the text", account.Name, object)
			}
		}
	}
	if got, want := fmt.Sprint(names), "[X X_WORKER_a X_WORKER_b]"; got != want {
		t.Errorf("accounts: got %s, want %s", got, want)
	}
}

// lines are the objects in JSON.
func lines[T any](t *testing.T, objects []T) []string {
	t.Helper()
	var out []string
	for _, object := range objects {
		var b strings.Builder
		to := json.NewEncoder(&b)
		to.SetEscapeHTML(false)
		must(t, to.Encode(object))
		out = append(out, b.String())
	}
	return out
}
