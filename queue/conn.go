package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how to reach NATS, and how to name and bound our streams there.
type Config struct {
	URL       string        // nats://user:password@host:port, several separated by commas
	Login     Login         // besides what the URL says
	Domain    string        // of JetStream, where the streams are; empty: that of the server; coordinators pass it on for workers, which have none
	Name      string        // of the connection, for operators: "coordinator-1"
	Prefix    string        // of subjects and streams; default "tg"
	Replicas  int           // of streams; 1 in dev, 3 in production; default 1
	LogsAge   time.Duration // how long LOGS keeps lines; default 24 h
	LogsBytes int64         // how much LOGS keeps; default 1 GiB
	// ArtifactBytes bounds ARTIFACTS; default 10 GiB. A full one refuses new blocks. If the server has less room, its own bound holds.
	ArtifactBytes int64
	// AckWait is how long an unacknowledged message waits before it is delivered to another consumer; default 30 s. Claimed
	// work is acked within milliseconds, and the wait of results begins anew while their coordinator lives, so if it runs out,
	// the process has died or stalls. All coordinators must use the same value; workers have none.
	AckWait time.Duration
	// QueueBytes bounds WORK and RESULTS, each; default 1 GiB. A full stream refuses new messages and keeps the old ones. If
	// the server has less room, its own bound holds.
	QueueBytes int64
	// ResultsBytes bounds the unanswered results of one [Conn.ConsumeResults]; default 64 MiB, at least twice the size of
	// NATS's largest message.
	ResultsBytes int64
	Worker       string                     // a worker's id, which its subjects and inboxes contain; empty for a coordinator
	Within       nats.InProcessConnProvider // a server in this process, which takes the connection without a socket; nil: none
	Logger       *slog.Logger               // of what happens to the connection; default slog.Default
}

// Errors that callers test for.
var (
	// ErrNoCoordinator: nobody answered a request; try again later.
	ErrNoCoordinator = errors.New("no coordinator answers")
	// ErrClosed: the connection was closed by its owner.
	ErrClosed = errors.New("queue is closed")
)

// How the connection notices a dead peer, and reconnects.
const (
	dialTimeout   = 2 * time.Second
	warnEvery     = 5 * time.Second // while the first connection fails
	redialWait    = 100 * time.Millisecond
	redialJitter  = 100 * time.Millisecond
	pingInterval  = 5 * time.Second // two unanswered ones end the connection
	closeTimeout  = 2 * time.Second
	apiTimeout    = 5 * time.Second // of requests whose context has no deadline
	writeDeadline = 10 * time.Second
)

// Conn is one process's connection. Safe for concurrent use.
type Conn struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	cfg   Config
	names names
	log   *slog.Logger

	reconnected chan struct{} // capacity 1
	closed      chan struct{} // closed by Close
	closeOnce   sync.Once
	running     group // goroutines that Close ends

	ensuring sync.Mutex // held while streams and consumers are made; taken before mu
	relay    *relay

	mu       sync.Mutex
	epoch    context.Context // see currentEpoch
	turn     context.CancelCauseFunc
	pools    map[string]time.Time // when a pool's consumers were last seen to exist
	watched  bool                 // deletions are watched and repaired
	refused  map[string]bool      // what the server does not allow; see noteRefusal
	refusing map[string]time.Time // by stream: since when it stores nothing; see noted
	acks     *ackInbox            // nil until the first PublishWork

	workStream jetstream.Stream // nil until the first Depth
	blocks     jetstream.Stream // nil until the first block

	slow atomic.Int64 // how often messages came faster than they were taken
}

// Connect tries to connect until ctx ends, with a warning every 5 s; its error then names the last failure. It gives up earlier on
// an address that can be none, and on a user that the server has refused for 5 s. Once connected, the connection reconnects by
// itself for ever.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	cfg = withDefaults(cfg)
	if cfg.Prefix != "" && !ValidName(cfg.Prefix) {
		return nil, fmt.Errorf("connect to nats: prefix %q: want 1 to 64 letters, digits, _ and -", cfg.Prefix)
	}
	if cfg.Worker != "" && !ValidWorker(cfg.Worker) {
		return nil, fmt.Errorf("connect to nats: worker %q: want 1 to 64 letters, digits, _ and -, or a group and a member with a dot between", cfg.Worker)
	}
	if strings.Trim(cfg.URL, ", ") == "" {
		return nil, errors.New("connect to nats: the URL is empty: want nats://user:password@host:port, several separated by commas")
	}
	c := &Conn{
		cfg:         cfg,
		names:       namesOf(cfg.Prefix).at(cfg.Domain),
		log:         cfg.Logger.With("component", "queue"),
		reconnected: make(chan struct{}, 1),
		closed:      make(chan struct{}),
		pools:       make(map[string]time.Time),
		refused:     make(map[string]bool),
		refusing:    make(map[string]time.Time),
	}
	if cfg.Domain != "" && !ValidName(cfg.Domain) {
		return nil, fmt.Errorf("connect to nats: domain %q: want 1 to 64 letters, digits, _ and -", cfg.Domain)
	}
	if err := cfg.Login.check(); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	c.epoch, c.turn = context.WithCancelCause(context.Background())
	if err := c.dial(ctx); err != nil {
		c.turn(ErrClosed)
		return nil, err
	}
	js, err := jetstream.NewWithAPIPrefix(c.nc, c.names.api())
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	c.js = js
	c.relay = newRelay(c)
	return c, nil
}

// withDefaults fills in what the configuration leaves open.
func withDefaults(cfg Config) Config {
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.LogsAge == 0 {
		cfg.LogsAge = 24 * time.Hour
	}
	if cfg.LogsBytes == 0 {
		cfg.LogsBytes = 1 << 30
	}
	if cfg.ArtifactBytes == 0 {
		cfg.ArtifactBytes = 10 << 30
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 30 * time.Second
	}
	if cfg.QueueBytes == 0 {
		cfg.QueueBytes = 1 << 30
	}
	if cfg.ResultsBytes == 0 {
		cfg.ResultsBytes = 64 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return cfg
}

func (c *Conn) dial(ctx context.Context) error {
	options := []nats.Option{
		nats.Name(c.cfg.Name),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(redialWait),
		nats.ReconnectJitter(redialJitter, redialJitter),
		nats.IgnoreAuthErrorAbort(), // passwords change while we run
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(writeDeadline),
		// While disconnected, publishing must fail at once: the publisher knows better than a buffer whether the message still
		// matters later.
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(c.onReconnect),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.nextEpoch()
			if err != nil {
				c.log.Warn("disconnected from nats", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			c.noteRefusal(err)
			if errors.Is(err, nats.ErrSlowConsumer) {
				c.slow.Add(1)
			}
			if sub != nil {
				c.log.Error("nats reports an error", "error", err, "subject", sub.Subject)
				return
			}
			c.log.Error("nats reports an error", "error", err)
		}),
	}
	login, dialled := c.cfg.Login.options(c.cfg.URL)
	options = append(options, login...)
	if c.cfg.Within != nil {
		options = append(options, nats.InProcessServer(c.cfg.Within))
	}
	if c.cfg.Worker != "" {
		options = append(options, nats.CustomInboxPrefix(c.names.inbox(c.cfg.Worker)))
	}
	warnAt := time.Now().Add(warnEvery)
	var refused time.Time // since when the user is
	for {
		nc, err := nats.Connect(c.cfg.Login.servers(c.cfg.URL), options...)
		if err == nil {
			dialled(nc)
			c.nc = nc
			return nil
		}
		if bad, ok := errors.AsType[*url.Error](err); ok {
			return fmt.Errorf("connect to nats: url: %w", bad.Err) // without the URL, which holds a password
		}
		switch {
		case !errors.Is(err, nats.ErrAuthorization):
			refused = time.Time{}
		case refused.IsZero():
			refused = time.Now()
		case time.Since(refused) > loginPatience:
			return fmt.Errorf("connect to nats: %s is refused: %w", c.cfg.Login.what(c.cfg.URL), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to nats: %w: %w", ctx.Err(), err)
		case <-time.After(redialWait):
		}
		if time.Now().After(warnAt) {
			c.log.Warn("waiting for NATS", "as", c.cfg.Name, "error", err)
			warnAt = time.Now().Add(warnEvery)
		}
	}
}

func (c *Conn) onReconnect(*nats.Conn) {
	c.log.Info("reconnected to nats")
	c.nextEpoch()
	select {
	case c.reconnected <- struct{}{}:
	default:
	}
}

// currentEpoch is a context that ends when the connection breaks, reconnects or is closed: requests made before then are
// never answered. Its cause is [ErrClosed] or errBroken.
func (c *Conn) currentEpoch() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

func (c *Conn) nextEpoch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.refused) // perhaps it is allowed after a reconnection
	c.turn(errBroken)
	c.epoch, c.turn = context.WithCancelCause(context.Background())
	select {
	case <-c.closed:
		c.turn(ErrClosed)
	default:
	}
}

// errBroken: the connection broke, and so did every pending request.
var errBroken = errors.New("connection to nats broke")

// call runs a function that waits for answers. It adds a deadline if ctx has none, and ends the wait when the connection
// breaks, which NATS's own requests would not notice.
func (c *Conn) call(ctx context.Context, do func(context.Context) error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(apiTimeout)
	}
	inner, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	epoch := c.currentEpoch()
	defer context.AfterFunc(epoch, cancel)()
	err := do(inner)
	if err != nil && ctx.Err() == nil && epoch.Err() != nil {
		return context.Cause(epoch)
	}
	return closedErr(err)
}

// Close flushes and closes the connection. Waiting calls return [ErrClosed]. A second Close does nothing.
func (c *Conn) Close() {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.mu.Lock()
		c.turn(ErrClosed)
		c.mu.Unlock()
		if c.nc.IsConnected() {
			_ = c.nc.FlushTimeout(closeTimeout) // best effort: a lost ack only causes a redelivery
		}
		c.nc.Close()
		c.running.end()
	})
}

// Connected reports whether there is a connection at the moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Reconnected has a value after each reconnection (capacity 1: "it may have happened").
func (c *Conn) Reconnected() <-chan struct{} { return c.reconnected }

// LogsAge is how long LOGS keeps lines.
func (c *Conn) LogsAge() time.Duration { return c.cfg.LogsAge }

// Settings are those of the streams, by variable, as all coordinators should have them.
func (c *Conn) Settings() map[string]string {
	return map[string]string{
		"TASKGROVE_NATS_REPLICAS": strconv.Itoa(c.cfg.Replicas), "TASKGROVE_LOGS_AGE": c.cfg.LogsAge.String(),
		"TASKGROVE_LOGS_BYTES": strconv.FormatInt(c.cfg.LogsBytes, 10), "TASKGROVE_NATS_DOMAIN": c.cfg.Domain,
	}
}

// MaxPayload is how many bytes one message may carry.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// closedErr turns NATS's error about a closed connection into ours.
func closedErr(err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return ErrClosed
	}
	return err
}
