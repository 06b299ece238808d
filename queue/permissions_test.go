package queue_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/queue"
)

// intruder is a worker's bare connection, on which it may try anything. Refusals arrive on the channel.
func intruder(t *testing.T, url, worker string) (*nats.Conn, <-chan error) {
	t.Helper()
	refused := make(chan error, 100)
	nc, err := nats.Connect(url, nats.CustomInboxPrefix("tg.inbox."+worker),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	must(t, err)
	t.Cleanup(nc.Close)
	return nc, refused
}

// attempts are what a worker a may not do, each given what carries it out.
var attempts = map[string]func(nc *nats.Conn) error{
	"publish a result as another":   func(nc *nats.Conn) error { return nc.Publish("tg.result.b", nil) },
	"claim as another":              func(nc *nats.Conn) error { return nc.Publish("tg.claim.b", nil) },
	"beat as another":               func(nc *nats.Conn) error { return nc.Publish("tg.beat.b", nil) },
	"write logs as another":         func(nc *nats.Conn) error { return nc.Publish("tg.log.b.1", nil) },
	"offer work":                    func(nc *nats.Conn) error { return nc.Publish("tg.work.rest.0", nil) },
	"tell news":                     func(nc *nats.Conn) error { return nc.Publish("tg.news.b", nil) },
	"announce an event":             func(nc *nats.Conn) error { return nc.Publish("tg.event.ready", nil) },
	"answer another":                func(nc *nats.Conn) error { return nc.Publish("tg.inbox.b.x", nil) },
	"create a stream":               func(nc *nats.Conn) error { return nc.Publish("$JS.API.STREAM.CREATE.X", nil) },
	"delete a stream":               func(nc *nats.Conn) error { return nc.Publish("$JS.API.STREAM.DELETE.TG_WORK", nil) },
	"read a stored message":         func(nc *nats.Conn) error { return nc.Publish("$JS.API.STREAM.MSG.GET.TG_WORK", nil) },
	"create a consumer":             func(nc *nats.Conn) error { return nc.Publish("$JS.API.CONSUMER.CREATE.TG_RESULTS.x", nil) },
	"take results":                  func(nc *nats.Conn) error { return nc.Publish("$JS.API.CONSUMER.MSG.NEXT.TG_RESULTS.coordinators", nil) },
	"ack results":                   func(nc *nats.Conn) error { return nc.Publish("$JS.ACK.TG_RESULTS.coordinators.1.1.1.1.0", nil) },
	"read another's news":           func(nc *nats.Conn) error { return subscribe(nc, "tg.news.b") },
	"read everybody's news":         func(nc *nats.Conn) error { return subscribe(nc, "tg.news.*") },
	"read another's inbox":          func(nc *nats.Conn) error { return subscribe(nc, "tg.inbox.b.>") },
	"read a coordinator's inbox":    func(nc *nats.Conn) error { return subscribe(nc, "_INBOX.>") },
	"read another's claims":         func(nc *nats.Conn) error { return subscribe(nc, "tg.claim.b") },
	"read everything":               func(nc *nats.Conn) error { return subscribe(nc, ">") },
	"read work around the consumer": func(nc *nats.Conn) error { return subscribe(nc, "tg.work.>") },
}

func subscribe(nc *nats.Conn, subject string) error {
	_, err := nc.SubscribeSync(subject)
	return err
}

// groupAttempts are what a member of a group a may not do, besides.
var groupAttempts = map[string]func(nc *nats.Conn) error{
	"publish a result as another group":     func(nc *nats.Conn) error { return nc.Publish("tg.result.b.m", nil) },
	"claim as another group":                func(nc *nats.Conn) error { return nc.Publish("tg.claim.b.m", nil) },
	"write logs as another group":           func(nc *nats.Conn) error { return nc.Publish("tg.log.b.1", nil) },
	"tell another group news":               func(nc *nats.Conn) error { return nc.Publish("tg.news.b.m", nil) },
	"answer another group":                  func(nc *nats.Conn) error { return nc.Publish("tg.inbox.b.m.x", nil) },
	"claim as the worker called like it":    func(nc *nats.Conn) error { return nc.Publish("tg.claim.a", nil) },
	"claim as a member of a member":         func(nc *nats.Conn) error { return nc.Publish("tg.claim.a.m.x", nil) },
	"claim as a group that begins like it":  func(nc *nats.Conn) error { return nc.Publish("tg.claim.ab.m", nil) },
	"read another group's news":             func(nc *nats.Conn) error { return subscribe(nc, "tg.news.b.*") },
	"read every group's news":               func(nc *nats.Conn) error { return subscribe(nc, "tg.news.*.*") },
	"read another group's inbox":            func(nc *nats.Conn) error { return subscribe(nc, "tg.inbox.b.>") },
	"read every inbox":                      func(nc *nats.Conn) error { return subscribe(nc, "tg.inbox.>") },
	"read the claims of its own group":      func(nc *nats.Conn) error { return subscribe(nc, "tg.claim.a.*") },
	"read the pulls that are relayed":       func(nc *nats.Conn) error { return subscribe(nc, "tg.take.>") },
	"ask for work by the relay's own way":   func(nc *nats.Conn) error { return nc.Publish("tg.take.a.rest_p0", nil) },
	"take from pools that are not its own":  func(nc *nats.Conn) error { return nc.Publish("$JS.API.CONSUMER.MSG.NEXT.TG_WORK.gpu_p0", nil) },
	"ack the work of pools of other groups": func(nc *nats.Conn) error { return nc.Publish("$JS.ACK.TG_WORK.gpu_p0.1.1.1.1.0", nil) },
}

func TestWorkersAreKeptApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.coordinator("rest")
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}, Group: true},
		queue.ServerUser{Name: "b", Pools: []string{"gpu"}, Group: true})
	connect("c1")
	refuses := func(url, worker string, all map[string]func(nc *nats.Conn) error) {
		for name, attempt := range all {
			t.Run(worker+" "+name, func(t *testing.T) {
				t.Parallel()
				nc, refused := intruder(t, url, worker)
				must(t, attempt(nc))
				if err := want(t, "refusal", refused); !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("got %v, want a permission violation", err)
				}
			})
		}
	}
	refuses(h.server.WorkerURL("a"), "a", attempts)
	refuses(url("a"), "a.m", attempts)
	refuses(url("a"), "a.m", groupAttempts)
}

// A server with the permissions of 0.8, which know no groups, serves single workers as before, and the coordinator says what is missing.
func TestPermissionsWithoutGroupsServeSingleWorkers(t *testing.T) {
	t.Parallel()
	connect, url := externalOf(t, func(text string) string {
		var kept []string
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(strings.TrimSpace(line), `.*.*"`) || strings.Contains(line, "tg.take") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}})
	h := &house{t: t}
	var said logLines
	c := h.connect(queue.Config{URL: url("c1"), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	must(t, c.EnsureStreams(t.Context()))
	everythingPasses(t, c, connect("a"), "a")
	eventually(t, "a line about groups", func() bool { return strings.Contains(said.String(), "workers in groups are not heard") })
}

// logLines is a log that may be read while it is written.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A worker may name any reply subject, but a coordinator sends its answers to the worker's own inbox only.
func TestAnswersGoToTheOwnInboxOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	serve(t, h.coordinator(), queue.Claim, "yes")
	b := h.worker("b")
	answered(t, h, b, queue.Claim)
	victim, _ := intruder(t, h.server.WorkerURL("b"), "b")
	heard, err := victim.SubscribeSync("tg.inbox.b.>")
	must(t, err)
	must(t, victim.Flush())

	a, _ := intruder(t, h.server.WorkerURL("a"), "a")
	must(t, a.PublishRequest("tg.claim.a", "tg.inbox.b.forged", []byte("?")))
	must(t, a.PublishRequest("tg.claim.a", "tg.inbox.a.own", []byte("?")))
	own, err := a.SubscribeSync("tg.inbox.a.>")
	must(t, err)
	must(t, a.PublishRequest("tg.claim.a", "tg.inbox.a.own", []byte("?")))
	if _, err := own.NextMsg(patience); err != nil { // the forged one has been served before it
		t.Fatalf("own answer: %v", err)
	}
	if m, err := heard.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("another's inbox got %q", m.Data)
	}
}

// On a server that keeps everybody in one account, a delivery goes wherever a pull wants it, under its own subject. One that
// is led to a subject of coordinators is no request of anybody, and one that is led into RESULTS must not stay there: nothing is
// taken back before all results are settled.
func TestDeliveriesAreNeitherRequestsNorResults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("x") // a short name: the subject of its work is shorter than those of requests
	served := map[queue.Kind]<-chan string{}
	w := h.worker("b")
	for _, kind := range []queue.Kind{queue.Claim, queue.Beat, queue.Chunk, queue.Inputs, queue.Progress} {
		served[kind], _ = serve(t, c, kind, "yes")
		answered(t, h, w, kind)
	}
	consume(t, c, 10)
	nc, _ := intruder(t, h.server.CoordinatorURL(), "a") // for it is in the account of the streams
	for kind, requests := range served {
		publish(t, c, "x", 1, "bait")
		must(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TG_WORK.x_p1", "tg."+string(kind)+".a", []byte("1")))
		must(t, nc.Publish("tg."+string(kind)+".a", []byte("after")))
		for got := ""; got != "after"; {
			if got = want(t, string(kind), requests); got == "bait" {
				t.Errorf("%s: the work was taken for a request", kind)
			}
		}
	}
	publish(t, c, "x", 1, "bait")
	must(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TG_WORK.x_p1", "tg.result.a", []byte("1")))
	eventually(t, "the work among the results", func() bool {
		last, settled, _, err := c.ResultsEnd(h.context())
		must(t, err)
		return last > 0 && last == settled
	})
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	address := h.server.Address()
	for name, url := range map[string]string{
		"no password":                              "nats://" + address,
		"a wrong password":                         "nats://w1:guess@" + address,
		"a worker with no proper id":               "nats://a.b.c:worker-secret@" + address,
		"a worker with half an id":                 "nats://a.:worker-secret@" + address,
		"a coordinator with the workers' password": "nats://coordinator.x:worker-secret@" + address,
		"a worker with the coordinators' password": "nats://w1:coordinator-secret@" + address,
	} {
		if nc, err := nats.Connect(url); err == nil {
			nc.Close()
			t.Errorf("%s: was let in", name)
		}
	}
}

func TestPermissionsNameOnlyWhatIsOurs(t *testing.T) {
	t.Parallel()
	for name, granted := range map[string]queue.Permissions{
		"worker":      queue.WorkerPermissions("x", "w1", []string{"rest", "gpu"}),
		"group":       queue.WorkerPermissions("x", "w.*", []string{"rest", "gpu"}),
		"coordinator": queue.CoordinatorPermissions("x"),
	} {
		for _, subject := range append(granted.Publish, granted.Subscribe...) {
			ours := strings.HasPrefix(subject, "x.") || strings.Contains(subject, ".X_") ||
				name == "coordinator" && slices.Contains([]string{"_INBOX.>", "_R_.>", "$JS.API.INFO"}, subject)
			if !ours {
				t.Errorf("%s: %s is not below the prefix", name, subject)
			}
		}
	}
}
