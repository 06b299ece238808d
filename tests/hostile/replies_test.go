package hostile

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// bus is a NATS server for coordinators and the workers mallory and bob, and for somebody else's stream, which lies in the
// coordinators' account.
type bus struct {
	mallory, bob string              // ids
	coordinator  string              // URL
	worker       func(string) string // URL
	spied        []string            // what spy may subscribe to
	spy          string              // URL of a user of the coordinators' account
	stranger     string              // the stream, with one message
	left         func() uint64       // the stranger's messages
}

// strangers is the prefix of a stranger's subjects: another Taskgrove that shares the account.
const strangers = "zz"

// embeddedBus is the server of dev.
func embeddedBus(t *testing.T, mallory, bob string) bus {
	dir := t.TempDir()
	start := func(prefix string) *natsserver.Server {
		s, err := natsserver.Start(natsserver.Config{StoreDir: dir, Prefix: prefix, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		t.Cleanup(s.Shutdown)
		return s
	}
	depth := func(s *natsserver.Server, put bool) int {
		c, err := queue.Connect(t.Context(), queue.Config{URL: s.CoordinatorURL(), Prefix: strangers})
		must(t, err)
		defer c.Close()
		if put {
			must(t, c.EnsureStreams(t.Context()))
			must(t, c.PublishWork(t.Context(), []queue.WorkMessage{{Pool: "p", Data: []byte("a stranger's")}}))
		}
		n, _, err := c.Depth(t.Context(), "p", 0)
		must(t, err)
		return n
	}
	first := start(strangers)
	depth(first, true)
	first.Shutdown()
	s := start("")
	return bus{
		mallory: mallory, bob: bob,
		coordinator: s.CoordinatorURL(), worker: s.WorkerURL, spy: s.CoordinatorURL(), spied: queue.CoordinatorPermissions("").Subscribe,
		stranger: strings.ToUpper(strangers) + "_WORK",
		left: func() uint64 {
			s.Shutdown() // its users see nothing of the stranger's
			return uint64(depth(start(strangers), false))
		},
	}
}

// externalBus is a server of its own, with the configuration that nats-config prints.
func externalBus(t *testing.T, mallory, bob string) bus {
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\n", dir) + queue.ServerConfig("", []queue.ServerUser{
		{Name: "coordinator", Password: "secret"},
		{Name: queue.User(mallory), Password: "secret", Pools: []string{"trap"}, Group: strings.Contains(mallory, ".")},
		{Name: queue.User(bob), Password: "secret", Pools: []string{"*"}, Group: strings.Contains(bob, ".")},
	})
	must(t, os.WriteFile(file, []byte(text), 0o600))
	options, err := server.ProcessConfigFile(file)
	must(t, err)
	options.NoLog, options.NoSigs = true, true
	main := slices.IndexFunc(options.Accounts, func(a *server.Account) bool { return a.Name == queue.CoordinatorAccount("") })
	options.Users = append(options.Users, &server.User{Username: "admin", Password: "secret", Account: options.Accounts[main]})
	s, err := server.NewServer(options)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("server is not ready")
	}
	url := func(id string) string { return "nats://" + queue.User(id) + ":secret@" + s.Addr().String() }
	js := jetStream(t, url("admin"))
	stranger := strings.ToUpper(strangers) + "_WORK"
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stranger, Subjects: []string{strangers + ".>"}})
	must(t, err)
	_, err = js.Publish(t.Context(), strangers+".work.p.0", []byte("a stranger's"))
	must(t, err)
	return bus{
		mallory: mallory, bob: bob,
		coordinator: url("coordinator"), worker: url, spy: url("admin"), spied: []string{">"}, stranger: stranger,
		left: func() uint64 { return stateOf(t, js, stranger).Msgs },
	}
}

func dialNATS(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(dialNATS(t, url))
	must(t, err)
	return js
}

// stateOf is a stream's state, with the number of messages of each subject. A missing stream has an empty one.
func stateOf(t *testing.T, js jetstream.JetStream, stream string) jetstream.StreamState {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Errorf("stream %s: %v", stream, err)
		return jetstream.StreamState{}
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	must(t, err)
	return info.State
}

// TestRepliesReachNobodyElse: a worker sends each message that it may send, with each reply subject of the system, and with
// each as the place for traces. Servers answer to whatever a request names, so answers must not leave the worker's account.
func TestRepliesReachNobodyElse(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) bus{
		"embedded":         func(t *testing.T) bus { return embeddedBus(t, "mallory", "bob") },
		"external":         func(t *testing.T) bus { return externalBus(t, "mallory", "bob") },
		"embedded, groups": func(t *testing.T) bus { return embeddedBus(t, "crooks.mallory", "others.bob") },
		"external, groups": func(t *testing.T) bus { return externalBus(t, "crooks.mallory", "others.bob") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAnswers(t, start(t))
			for _, reply := range a.replies() {
				for _, m := range a.messages() {
					must(t, a.mallory.PublishRequest(m.subject, reply, []byte(m.body)))
					must(t, a.mallory.PublishMsg(&nats.Msg{Subject: m.subject, Data: []byte(m.body), Header: nats.Header{"Nats-Trace-Dest": {reply}}}))
				}
				a.settle()
				a.check(reply)
			}
			time.Sleep(500 * time.Millisecond) // for what the server does later
			a.check("all of them")
			if n := a.bus.left(); n != 1 {
				t.Errorf("a stranger's stream has %d messages", n)
			}
		})
	}
}

// answers is a bus on which everything has something to lose.
type answers struct {
	t       *testing.T
	bus     bus
	c       *queue.Conn
	js      jetstream.JetStream // as coordinator
	mallory *nats.Conn
	own     *nats.Subscription // mallory's inbox
	victims []*nats.Subscription
	spies   []*nats.Subscription
	acks    []string // of deliveries that others hold
	offered uint64   // messages in mallory's pool
	before  map[string]time.Time
}

var ourStreams = []string{"TG_WORK", "TG_RESULTS", "TG_LOGS"}

func newAnswers(t *testing.T, b bus) *answers {
	a := &answers{t: t, bus: b, js: jetStream(t, b.coordinator), before: map[string]time.Time{}}
	var err error
	a.c, err = queue.Connect(t.Context(), queue.Config{URL: b.coordinator})
	must(t, err)
	t.Cleanup(a.c.Close)
	must(t, a.c.EnsureStreams(t.Context()))
	must(t, a.c.EnsurePools(t.Context(), "trap", "gpu"))
	for _, kind := range []queue.Kind{queue.Claim, queue.Beat, queue.Chunk, queue.Inputs, queue.Progress} {
		go func() {
			_ = a.c.Serve(t.Context(), kind, func(_ string, _ []byte, reply func([]byte)) { reply([]byte("answer")) })
		}()
	}
	a.hold("gpu", b.bob)
	bob := dialNATS(t, b.worker(b.bob), nats.CustomInboxPrefix("tg.inbox."+b.bob))
	a.victims = a.listen(bob, "tg.inbox."+b.bob+".>", "tg.news."+b.bob)
	a.spies = a.listen(dialNATS(t, b.spy), b.spied...)
	a.mallory = dialNATS(t, b.worker(b.mallory), nats.CustomInboxPrefix("tg.inbox."+b.mallory))
	a.own = a.listen(a.mallory, "tg.inbox."+b.mallory+".>")[0]
	for _, stream := range ourStreams {
		s, err := a.js.Stream(t.Context(), stream)
		must(t, err)
		a.before[stream] = s.CachedInfo().Created
	}
	return a
}

// hold lets a worker have two messages of a pool, one delivered and not acknowledged, and a result and a line stored; the
// result is delivered, too.
func (a *answers) hold(pool, id string) {
	w, err := queue.Connect(a.t.Context(), queue.Config{URL: a.bus.worker(id), Worker: id})
	must(a.t, err)
	a.t.Cleanup(w.Close)
	for range 2 {
		must(a.t, a.c.PublishWork(a.t.Context(), []queue.WorkMessage{{Pool: pool, Priority: 1, Data: []byte("work")}}))
	}
	must(a.t, w.PublishResults(a.t.Context(), []byte("result")))
	must(a.t, w.PublishLogs(1, []byte("line")))
	for stream, consumer := range map[string]string{"TG_WORK": pool + "_p1", "TG_RESULTS": "coordinators"} {
		c, err := a.js.Consumer(a.t.Context(), stream, consumer)
		must(a.t, err)
		m, err := c.Next()
		must(a.t, err)
		a.acks = append(a.acks, m.Reply())
	}
}

func (a *answers) listen(nc *nats.Conn, subjects ...string) (subs []*nats.Subscription) {
	for _, subject := range subjects {
		sub, err := nc.SubscribeSync(subject)
		must(a.t, err)
		subs = append(subs, sub)
	}
	must(a.t, nc.Flush())
	return subs
}

type message struct{ subject, body string }

// messages are all that mallory may publish: each subject, with the bodies that make a server answer in different ways.
func (a *answers) messages() (messages []message) {
	must(a.t, a.c.PublishWork(a.t.Context(), []queue.WorkMessage{{Pool: "trap", Priority: 1, Data: []byte("bait")}}))
	a.offered++
	worker := a.bus.mallory
	if group := queue.User(worker); group != worker {
		worker = group + ".*"
	}
	for _, subject := range queue.WorkerPermissions("", worker, []string{"trap"}).Publish {
		bodies := []string{"garbage", ""}
		switch {
		case strings.Contains(subject, ".MSG.NEXT."):
			bodies = []string{`{"batch":1,"no_wait":true}`, `{"batch":1,"expires":1000000}`, `{"batch":1,"confirm":true,"no_wait":true}`, "garbage", ""}
		case strings.HasPrefix(subject, "$JS.ACK."):
			subject = strings.Replace(subject, "$JS.ACK.*.*.", "$JS.ACK._.x.", 1)
			subject = strings.Replace(subject, ".>", ".1.1.1.1.0", 1)
			bodies = []string{"+WPI", "-NAK", `+NXT {"batch":1,"no_wait":true}`}
		}
		for _, body := range bodies {
			messages = append(messages, message{strings.Replace(subject, "*", "1", 1), body})
		}
	}
	return messages
}

// replies are the reply subjects: all that the system listens to, and where others listen.
func (a *answers) replies() []string {
	mallory, bob := a.bus.mallory, a.bus.bob
	replies := []string{
		"$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.LIST", "$JS.API.STREAM.MSG.GET.TG_RESULTS", "$JS.API.STREAM.NAMES", "$JS.API.INFO",
		"$JS.API.CONSUMER.DELETE.TG_RESULTS.coordinators", "$JS.API.CONSUMER.DELETE.TG_WORK.gpu_p1", "$JS.API.CONSUMER.CREATE.TG_RESULTS.x",
		"$JS.API.CONSUMER.MSG.NEXT.TG_RESULTS.coordinators", "$JS.API.CONSUMER.MSG.NEXT.TG_WORK.gpu_p1",
		"$JS.EVENT.ADVISORY.STREAM.DELETED.TG_LOGS", "$JS.ACK.TG_RESULTS.coordinators.1.1.1.1.0", "$JS.ACK._.x.TG_WORK.gpu_p1.1.1.1.1.0",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.USER.INFO", "$SYS.ACCOUNT.TG.CONNECT",
		"tg.work.gpu.1", "tg.work.trap.2", "tg.result." + bob, "tg.result." + mallory, "tg.log." + queue.User(bob) + ".1", "tg.news." + bob, "tg.inbox." + bob + ".x", "tg.event.ready",
		"tg.take." + queue.User(bob) + ".gpu_p1",
		"_INBOX.x", "_R_.x", "_GR_.x", strangers + ".work.p.0", strangers + ".log.x.1",
	}
	for _, kind := range []queue.Kind{queue.Claim, queue.Beat, queue.Chunk, queue.Inputs, queue.Progress} {
		replies = append(replies, "tg."+string(kind)+"."+bob, "tg."+string(kind)+"."+mallory)
	}
	for _, stream := range append(slices.Clone(ourStreams), a.bus.stranger) {
		replies = append(replies, "$JS.API.STREAM.DELETE."+stream, "$JS.API.STREAM.PURGE."+stream)
	}
	return append(replies, a.acks...)
}

// settle waits until the server has done what mallory asked for: answers to requests come in their order.
func (a *answers) settle() {
	a.t.Helper()
	pull := "$JS.API.CONSUMER.MSG.NEXT.TG_WORK.trap_p"
	for i, subject := range []string{"tg.result." + a.bus.mallory, "tg.claim." + a.bus.mallory, "tg.chunk." + a.bus.mallory, pull + "0", pull + "1", pull + "2", pull + "3"} {
		must(a.t, a.mallory.PublishRequest(subject, fmt.Sprint("tg.inbox.", a.bus.mallory, ".", i), []byte(`{"batch":1,"no_wait":true}`)))
		for {
			m, err := a.own.NextMsg(20 * time.Second)
			if err != nil {
				a.t.Fatalf("%s: %v", subject, err)
			}
			if strings.HasSuffix(m.Subject, fmt.Sprint(".", i)) || m.Reply != "" {
				break
			}
		}
	}
}

// check holds what is there against what was there.
func (a *answers) check(reply string) {
	a.t.Helper()
	kept := map[string]uint64{"tg.work.gpu.1": 2, "tg.work.trap.1": a.offered, "tg.result." + a.bus.bob: 1, "tg.log." + queue.User(a.bus.bob) + ".1": 1}
	for _, stream := range ourStreams {
		s, err := a.js.Stream(a.t.Context(), stream)
		if err != nil || !s.CachedInfo().Created.Equal(a.before[stream]) {
			a.t.Fatalf("%s: stream %s was deleted (%v)", reply, stream, err)
		}
		for subject, n := range stateOf(a.t, a.js, stream).Subjects {
			if strings.Contains(subject, "."+queue.User(a.bus.mallory)) || stream == "TG_RESULTS" && subject == "tg.work.trap.1" {
				continue // mallory's own results; a delivery that it leads there is one, and keeps its subject
			}
			if n != kept[subject] {
				a.t.Errorf("%s: %d messages of %s, want %d", reply, n, subject, kept[subject])
			}
			delete(kept, subject)
		}
	}
	for subject := range kept {
		a.t.Errorf("%s: nothing of %s is left", reply, subject)
	}
	for _, sub := range a.victims {
		if m, err := sub.NextMsg(time.Millisecond); err == nil {
			a.t.Errorf("%s: bob got %s %q %v", reply, m.Subject, m.Data, m.Header)
		}
	}
	for _, sub := range a.spies {
		for {
			m, err := sub.NextMsg(time.Millisecond)
			if err != nil {
				break
			}
			if m.Subject == reply && !strings.HasSuffix(reply, "."+a.bus.mallory) {
				a.t.Errorf("%s: got %q %v there", reply, m.Data, m.Header)
			}
		}
	}
}
