package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxPools is how many pools the streams have room for.
const MaxPools = 1000

const (
	// maxAckPending must never limit a pool, as JetStream's default of 1000 would.
	maxAckPending = 1 << 20
	// maxWaiting must exceed the workers of a pool, each with one pull; JetStream's default is 512.
	maxWaiting = 1 << 16
	// maxConsumers is how many consumers WORK may have: [priorities] for each pool. A server's default is 1000.
	maxConsumers = priorities * MaxPools
	// dedupWindow is the shortest that JetStream accepts: we don't need deduplication, and it costs memory.
	dedupWindow = 100 * time.Millisecond
	// deletionTime is how long a server may take to remove a stream's files after it has announced the deletion or released
	// the subjects. If the stream is made again earlier, the server removes the new files.
	deletionTime = 100 * time.Millisecond
	// repairMost bounds the growing pause between attempts to make deleted streams and consumers again.
	repairMost = 5 * time.Second
)

// EnsureStreams creates or updates WORK, RESULTS and LOGS, the RESULTS consumer, and the consumers of every pool for which
// EnsurePools was called. It makes a stream again that has refused messages for long. It is idempotent, and several
// processes may call it at the same time. It reports settings that can't be changed. From then on, the connection repairs
// deletions that it hears of, and relays the pulls of workers that have accounts of their own. Call EnsureStreams now and then anyway, for deletions that it missed.
func (c *Conn) EnsureStreams(ctx context.Context) error {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	if err := c.call(ctx, c.deleteBroken); err != nil {
		return err
	}
	return c.call(ctx, c.ensureStreams)
}

// makeAgain makes missing streams and consumers.
func (c *Conn) makeAgain(ctx context.Context) error {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	return c.call(ctx, c.ensureStreams)
}

func (c *Conn) ensureStreams(ctx context.Context) error {
	if err := c.watchDeletions(); err != nil {
		return err
	}
	if err := c.RelayPulls("*"); err != nil {
		return err
	}
	for _, cfg := range c.streamConfigs() {
		if err := c.ensureFitting(ctx, cfg); err != nil {
			return err
		}
	}
	if err := c.ensureConsumer(ctx, c.names.results, c.resultsConsumerConfig()); err != nil {
		return err
	}
	return c.ensurePools(ctx, c.knownPools())
}

// ensureFitting makes a stream as the servers have room for it.
func (c *Conn) ensureFitting(ctx context.Context, cfg jetstream.StreamConfig) error {
	err := c.ensureStream(ctx, cfg)
	if lacksRoom(err) {
		err = c.ensureSmaller(ctx, cfg)
	}
	if bad, ok := errors.AsType[*jetstream.APIError](err); ok && bad.ErrorCode == noSuitablePeers && cfg.Replicas > 1 {
		err = c.ensureFewer(ctx, cfg)
	}
	if err != nil {
		return fmt.Errorf("ensure stream %s: %w", cfg.Name, closedErr(err))
	}
	return nil
}

// noSuitablePeers is JetStream's code for a stream that asks for more copies than there are servers up.
const noSuitablePeers = 10005

// ensureFewer makes a stream with one copy, as long as there are too few servers for its replicas: a quorum of two copies would need
// both of two servers. A stream that is there keeps its copies. The next look tries to give it all.
func (c *Conn) ensureFewer(ctx context.Context, cfg jetstream.StreamConfig) error {
	wanted := cfg.Replicas
	is, err := c.js.Stream(ctx, cfg.Name)
	switch {
	case err == nil:
		cfg.Replicas = is.CachedInfo().Config.Replicas
	case errors.Is(err, jetstream.ErrStreamNotFound):
		cfg.Replicas = 1
		c.log.Warn("a stream is made with one copy, for now: too few NATS servers are up for its replicas", "stream", cfg.Name, "replicas", wanted)
	default:
		return err
	}
	return c.ensureStream(ctx, cfg)
}

// insufficientStorage is JetStream's code for a stream that may grow beyond what the server has.
const insufficientStorage = 10047

func lacksRoom(err error) bool {
	bad, ok := errors.AsType[*jetstream.APIError](err)
	return ok && bad.ErrorCode == insufficientStorage
}

// leastLogsBytes is the smallest bound that LOGS gets on a server with little room.
const leastLogsBytes = 1 << 20

// ensureSmaller makes a stream on a server that lacks room for its bound. One that refuses new messages goes without a bound of its own:
// the server's does the same. LOGS must drop old messages before that, so it gets what there is, by halves. The next look
// tries to give it all.
func (c *Conn) ensureSmaller(ctx context.Context, cfg jetstream.StreamConfig) error {
	wanted := cfg.MaxBytes
	if cfg.Discard == jetstream.DiscardNew {
		cfg.MaxBytes = -1
		c.log.Warn("a stream has no bound of its own: the server has not that much room for it", "stream", cfg.Name, "bytes", wanted)
		return c.ensureStream(ctx, cfg)
	}
	var err error
	for {
		cfg.MaxBytes = max(cfg.MaxBytes/2, leastLogsBytes)
		if err = c.ensureStream(ctx, cfg); !lacksRoom(err) || cfg.MaxBytes == leastLogsBytes {
			break
		}
	}
	if err == nil {
		c.log.Warn("a stream is smaller than it should be: the server has not that much room for it", "stream", cfg.Name, "bytes", wanted, "has", cfg.MaxBytes)
	}
	return err
}

// ensureStream does not touch a stream whose settings are right: an update writes files, and servers up to 2.15 read the
// changed settings without a lock while they make a consumer.
// ensureStream makes a stream, or gives it its settings. A server that is busy may lose a request, so one without an answer is sent again as
// long as ctx has time.
func (c *Conn) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	for {
		once, cancel := context.WithTimeout(ctx, apiTimeout)
		err := c.tryStream(once, cfg)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

func (c *Conn) tryStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	is, err := c.js.Stream(ctx, cfg.Name)
	if err == nil && sameStream(is.CachedInfo().Config, cfg) {
		return nil
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = c.js.CreateStream(ctx, cfg) // no error if another coordinator has just made the same
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		is, err = c.js.Stream(ctx, cfg.Name)
	}
	if err != nil {
		return err
	}
	was := is.CachedInfo().Config.Replicas
	cfg.Metadata = is.CachedInfo().Config.Metadata // with the hint
	if is, err = c.js.UpdateStream(ctx, cfg); err != nil || cfg.Replicas <= was {
		return err
	}
	return c.deleteConsumers(ctx, is)
}

// deleteConsumers deletes the consumers of a stream that got more copies; they are made again. Made before, they had no leader any more
// when the leader of the stream was killed (nats-server 2.15). Messages that were delivered and not acknowledged come again.
func (c *Conn) deleteConsumers(ctx context.Context, stream jetstream.Stream) error {
	all := stream.ConsumerNames(ctx)
	for name := range all.Name() {
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return all.Err()
}

// sameStream compares the settings from streamConfigs. The server adds others, and writes "no bound" as -1.
func sameStream(a, b jetstream.StreamConfig) bool {
	bound := func(n int64) int64 { return max(n, 0) }
	return a.Description == b.Description && slices.Equal(a.Subjects, b.Subjects) && a.Retention == b.Retention && a.Storage == b.Storage &&
		a.Replicas == max(b.Replicas, 1) && a.Duplicates == b.Duplicates && a.Discard == b.Discard && a.MaxAge == b.MaxAge &&
		bound(a.MaxBytes) == bound(b.MaxBytes) && bound(int64(a.MaxConsumers)) == bound(int64(b.MaxConsumers))
}

func (c *Conn) streamConfigs() []jetstream.StreamConfig {
	queue := func(name string, kind Kind, about string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name:        name,
			Description: about,
			Subjects:    []string{c.names.subject(kind, ">")},
			Retention:   jetstream.WorkQueuePolicy,
			Storage:     jetstream.FileStorage,
			Replicas:    c.cfg.Replicas,
			Duplicates:  dedupWindow,
			MaxBytes:    c.cfg.QueueBytes,
			Discard:     jetstream.DiscardNew, // publishers keep refused messages and try again
		}
	}
	workConfig := queue(c.names.work, work, "attempts offered to workers")
	workConfig.MaxConsumers = maxConsumers
	return []jetstream.StreamConfig{
		workConfig,
		queue(c.names.results, result, "outcomes of attempts, until they are settled"),
		{
			Name:        c.names.logs,
			Description: "lines that tasks wrote",
			Subjects:    []string{c.names.subject(logs, ">")},
			Retention:   jetstream.LimitsPolicy,
			Storage:     jetstream.FileStorage,
			Replicas:    c.cfg.Replicas,
			Duplicates:  dedupWindow,
			MaxAge:      c.cfg.LogsAge,
			MaxBytes:    c.cfg.LogsBytes,
		},
	}
}

// resultsConsumerConfig has no filter: a message that a worker got into the stream under a foreign subject must go, too.
func (c *Conn) resultsConsumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       resultsConsumer,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
		MaxWaiting:    maxWaiting,
	}
}

// EnsurePools creates the consumers of pools, one for each priority, after making WORK if that is missing. It is idempotent,
// and several processes may call it at the same time. The connection remembers the pools. On an error, some consumers may
// already be made.
func (c *Conn) EnsurePools(ctx context.Context, pools ...string) error {
	for _, pool := range pools {
		if !ValidName(pool) {
			return fmt.Errorf("ensure pool %q: want 1 to 64 letters, digits, _ and -", pool)
		}
	}
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	for _, pool := range pools {
		c.markPool(pool, time.Time{}) // known from here on, even if it can't be made yet
	}
	return c.call(ctx, func(ctx context.Context) error {
		err := c.ensurePools(ctx, pools)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = c.ensureStreams(ctx) // this also makes the known pools
		}
		return err
	})
}

// ensurePools makes consumers that are missing or have other settings. For more than one pool it first lists the existing
// ones, 256 per request: listing those of 500 pools takes 0.1 s, making them 5 s.
func (c *Conn) ensurePools(ctx context.Context, pools []string) error {
	there := map[string]jetstream.ConsumerConfig{}
	if len(pools) > 1 {
		stream, err := c.js.Stream(ctx, c.names.work)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", c.names.work, closedErr(err))
		}
		all := stream.ListConsumers(ctx)
		for info := range all.Info() {
			there[info.Name] = info.Config
		}
		if err := all.Err(); err != nil {
			return fmt.Errorf("list the consumers of %s: %w", c.names.work, closedErr(err))
		}
	}
	for _, pool := range pools {
		for priority := range priorities {
			cfg := c.takingConfig(pool, priority)
			if is, ok := there[cfg.Durable]; ok && sameConsumer(is, cfg) {
				continue
			}
			if err := c.ensureConsumer(ctx, c.names.work, cfg); err != nil {
				return err
			}
		}
		c.markPool(pool, time.Now())
	}
	return nil
}

// takingConfig configures the consumer from which workers take a pool's tasks of one priority.
func (c *Conn) takingConfig(pool string, priority int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       consumerName(pool, priority),
		FilterSubject: c.names.workSubject(pool, priority),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.cfg.AckWait,
		MaxDeliver:    -1, // beyond a limit, a message would stay stored and never be delivered
		MaxAckPending: maxAckPending,
		MaxWaiting:    maxWaiting,
	}
}

// sameConsumer compares the settings from takingConfig. The server adds others.
func sameConsumer(a, b jetstream.ConsumerConfig) bool {
	return a.FilterSubject == b.FilterSubject && a.AckPolicy == b.AckPolicy && a.AckWait == b.AckWait &&
		a.MaxDeliver == b.MaxDeliver && a.MaxAckPending == b.MaxAckPending && a.MaxWaiting == b.MaxWaiting
}

func (c *Conn) ensureConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) error {
	if _, err := c.js.CreateOrUpdateConsumer(ctx, stream, cfg); err != nil {
		return fmt.Errorf("ensure consumer %s of %s: %w", cfg.Durable, stream, closedErr(err))
	}
	return nil
}

// Pools are the pools that have consumers in WORK, known to this connection or not.
func (c *Conn) Pools(ctx context.Context) (pools []string, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		pools = nil
		stream, err := c.workHandle(ctx)
		if err != nil {
			return err
		}
		all := stream.ConsumerNames(ctx)
		for name := range all.Name() {
			if i := strings.LastIndex(name, "_p"); i > 0 && !slices.Contains(pools, name[:i]) {
				pools = append(pools, name[:i])
			}
		}
		return all.Err()
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the consumers of %s: %w", c.names.work, closedErr(err))
	}
	return pools, nil
}

// ForgetPools makes the connection forget pools: it does not make their consumers again until [Conn.EnsurePools] is called.
func (c *Conn) ForgetPools(pools ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pool := range pools {
		delete(c.pools, pool)
	}
}

// RemovePool deletes a pool's consumers, and the messages that are left of it. It forgets the pool. It is idempotent.
func (c *Conn) RemovePool(ctx context.Context, pool string) error {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	c.ForgetPools(pool)
	return c.call(ctx, func(ctx context.Context) error {
		stream, err := c.workHandle(ctx)
		for priority := range priorities {
			if err == nil {
				err = stream.Purge(ctx, jetstream.WithPurgeSubject(c.names.workSubject(pool, priority)))
			}
			if err == nil {
				if err = stream.DeleteConsumer(ctx, consumerName(pool, priority)); errors.Is(err, jetstream.ErrConsumerNotFound) {
					err = nil
				}
			}
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return closedErr(err)
	})
}

// ---- known pools ----

func (c *Conn) markPool(pool string, seen time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[pool] = seen
}

// never is longer ago than anything.
const never = time.Duration(math.MaxInt64)

// poolSeen tells how long ago the pool's consumers were last seen.
func (c *Conn) poolSeen(pool string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.pools[pool]
	if seen.IsZero() {
		return never
	}
	return time.Since(seen)
}

func (c *Conn) knownPools() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	pools := make([]string, 0, len(c.pools))
	for pool := range c.pools {
		pools = append(pools, pool)
	}
	return pools
}

// ---- repair ----

// watchDeletions subscribes once to the server's announcements of deleted streams and consumers, and starts the goroutine
// that makes ours again. Close ends both. Every coordinator does this, as the calls are idempotent.
func (c *Conn) watchDeletions() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched {
		return nil
	}
	deleted := make(chan struct{}, 1) // only says that something was deleted: the repair makes everything that is missing
	for _, stream := range []string{c.names.work, c.names.results, c.names.logs} {
		for _, subject := range []string{streamDeleted + stream, consumerDeleted + stream + ".>"} {
			_, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
				if !c.isOurs(m.Subject) {
					return
				}
				select {
				case deleted <- struct{}{}:
				default:
				}
			})
			if err != nil {
				return fmt.Errorf("watch stream %s: %w", stream, closedErr(err))
			}
		}
	}
	if err := c.running.start(func() { c.repair(deleted) }); err != nil {
		return err
	}
	c.watched = true
	return nil
}

// The prefixes of advisories; the names of the stream and the consumer follow.
const (
	streamDeleted   = "$JS.EVENT.ADVISORY.STREAM.DELETED."
	consumerDeleted = "$JS.EVENT.ADVISORY.CONSUMER.DELETED."
)

// isOurs reports whether an advisory is about a stream or a durable consumer that this connection repairs. Consumers of log
// readers come and go.
func (c *Conn) isOurs(advisory string) bool {
	name, ok := strings.CutPrefix(advisory, consumerDeleted)
	if !ok {
		return true
	}
	stream, consumer, _ := strings.Cut(name, ".")
	switch stream {
	case c.names.results:
		return consumer == resultsConsumer
	case c.names.work:
		i := max(0, strings.LastIndex(consumer, "_p"))
		c.mu.Lock()
		defer c.mu.Unlock()
		_, known := c.pools[consumer[:i]]
		return known
	default:
		return false
	}
}

// repair makes streams and consumers again when their deletion is reported, until the connection is closed.
func (c *Conn) repair(deleted chan struct{}) {
	pause := deletionTime
	for {
		select {
		case <-c.closed:
			return
		case <-deleted:
		}
		select {
		case <-c.closed:
			return
		case <-time.After(pause):
		}
		c.log.Warn("making again what was deleted in nats")
		err := c.makeAgain(context.Background())
		if err == nil {
			pause = deletionTime
			continue
		}
		if !errors.Is(err, ErrClosed) {
			c.log.Error("make again what was deleted in nats", "error", err)
		}
		pause = min(2*pause, repairMost)
		select {
		case deleted <- struct{}{}:
		default:
		}
	}
}
