package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Coordinator is one of any number of equal processes that bring trees to their end. It implements [Service].
//
//	Submit ─┐                       ┌─ claimer ◀─ tg.claim
//	        ├─▶ pg ─▶ after commit ─┼─ settler ◀─ RESULTS
//	clock ──┘     (dispatch, news,  ├─ beats   ◀─ tg.beat
//	               events, followups)  └─ payload ◀─ tg.chunk, tg.inputs, tg.progress, tg.catalogue
type Coordinator struct {
	*engine
	namespace string // whose calls this handle serves; see [Coordinator.In]
}

// engine is what all handles of one coordinator share.
type engine struct {
	cfg      Config
	instance string // this run of this process; random
	store    *pg.Store
	queue    *queue.Conn
	log      *slog.Logger

	tokens     *workers.Tokens
	secrets    secrets      // that tokens are made of
	sealing    atomic.Bool  // values travel sealed
	walkAfter  atomic.Int64 // nanoseconds; see walkAfter. Tests shorten it
	live       liveLimits
	lanes      *lanes
	grants     *granter
	contended  *contention
	demands    *demands
	instances  *instances
	executors  *executorIDs
	newcomers  newcomers
	catalogue  *catalogue
	inputs     *inputsCache
	modelKeys  modelkey.Keeper // by tree
	userKeys   *modelkey.Users // that users have stored
	keyStore   keyStore
	keyring    *sealed.Keyring // nil: there is no master key
	submitting chan struct{}   // one slot for each submission under way
	copying    chan struct{}   // one for each that takes a connection of its own
	ensured    sync.Map        // pool names whose consumers were made
	meter      *meter
	sampler    sampler
	feeds      *feeds
	snapshots  chan struct{} // one slot for each that is read
	webhooks   *deliverer
	keyFinder  *keyFinder
	bindings   *bindings
	spaces     *spaces
	artifacts  artifact.Store
	contents   contents     // rows of contents that are put or read
	vouch      []byte       // what receipts of blocks are made with
	recorder   *recorder    // nil: nothing is recorded
	rulesMu    sync.Mutex   // of reading the rules of pools
	level      atomic.Int32 // the lowest feature level of a live coordinator; 0: not known
	prepared   atomic.Bool  // announced; streams and consumers are there
	recordOnce sync.Once
	records    bool // spans go somewhere; set once by recordOnce
	writes     *writeCheck
	// keptSignals: signals that were kept are to be taken, by followups of this process
	keptSignals atomic.Bool
	fenced      atomic.Bool // the server of the database is not the newest that is known

	clocks     clocks
	violations seenViolations

	expansions   chan dag.Result // large ones that the expander is to settle
	expandingMu  sync.Mutex
	expandingNow map[attemptKey]bool // those that it has

	wakeTimers, wakeFollowups, wakeWorkers, wakeSchedules, wakeErasures chan struct{} // capacity 1: there may be work
	announced                                                           chan announcement
	conditionsDue                                                       atomic.Bool // there may be conditions to evaluate
}

var _ Service = (*Coordinator)(nil)

// New makes a coordinator. The caller closes store and conn after Run has returned.
func New(cfg Config, store *pg.Store, conn *queue.Conn) *Coordinator {
	cfg = cfg.orDefaults()
	if cfg.Seal.Values { // an older worker could read nothing
		cfg.Levels = cfg.Levels.Requiring(dag.AccessLevel)
	}
	c := &Coordinator{namespace: DefaultNamespace, engine: &engine{
		cfg: cfg, instance: rand.Text(), store: store, queue: conn, log: cfg.Log,
		tokens:        workers.NewTokens(store.Secret()),
		secrets:       firstSecrets(store.Secret()),
		instances:     newInstances(store),
		inputs:        newInputsCache(),
		submitting:    make(chan struct{}, readers*cfg.Submissions),
		copying:       make(chan struct{}, cfg.Submissions),
		wakeTimers:    make(chan struct{}, 1),
		expansions:    make(chan dag.Result, largeExpansions),
		expandingNow:  map[attemptKey]bool{},
		wakeFollowups: make(chan struct{}, 1), wakeSchedules: make(chan struct{}, 1),
		wakeErasures: make(chan struct{}, 1),
		wakeWorkers:  make(chan struct{}, 1),
		announced:    make(chan announcement, maxAnnouncements),
		demands:      newDemands(),
	}}
	box, _ := cfg.Seal.box() // a process checks it before; see Check
	c.keyring = cfg.Seal.keyring(box, store.DataKeys())
	store.SetKeyring(c.keyring)
	c.userKeys = modelkey.NewUsers(c.instance)
	store.SetKnown(cfg.Known)
	store.SetLevels(cfg.Levels, cfg.Version)
	c.executors = &executorIDs{store: store, known: cfg.Known, ids: map[string]bool{}, seen: map[string]time.Time{}}
	c.catalogue = newCatalogue(store, &c.newcomers, cfg.Log)
	if cfg.Catalogue != nil {
		c.catalogue.builtIn = cfg.Catalogue()
	}
	if c.artifacts = cfg.Artifacts.Store; c.artifacts == nil {
		c.artifacts = onStream(conn)
	}
	c.vouch = store.VouchSecret()
	store.OnPoolsChanged(c.poolsChanged)
	c.lanes, c.contended = newLanes(cfg.Window), newContention()
	c.grants = newGranter(c.lanes)
	c.meter = newMeter(c)
	c.writes = newWriteCheck(store.CheckWrite)
	c.webhooks = newDeliverer(cfg.Webhooks, seals{box, c.keyring}, cfg.Version, store, cfg.Log, c.meter)
	c.keyFinder = newKeyFinder(store)
	c.bindings = &bindings{store: store}
	if cfg.Record.On {
		c.recorder = newRecorder(cfg, store, func() { _ = conn.PublishEvent(recordTopic, nil) }) // a hint
		c.recorder.meter = c.meter
		c.webhooks.recorder = c.recorder
	}
	c.snapshots = make(chan struct{}, snapshotsAtOnce)
	c.feeds = newFeeds(store, conn.SubscribeEvents, c.internal)
	c.feeds.key = func(a *workerv1.Attempt, sealed []byte) *attemptkey.Key {
		return c.openKey(context.Background(), a, sealed)
	}
	c.spaces = newSpaces(store, c.internal)
	c.feeds.spaces, c.webhooks.spaces = c.spaces, c.spaces
	c.webhooks.telling = c.telling
	return c
}

// In is the service of a namespace: what has a name is found there only. It needs no closing, and shares all else with c, whose loops serve every
// namespace. Calls in a namespace that there is not fail with [ErrNotFound].
func (c *Coordinator) In(namespace string) Service {
	return &Coordinator{engine: c.engine, namespace: namespace}
}

// Run works until ctx ends, and finishes what is in hand even then. It returns nil when ctx ended it, and a
// *[dag.OutdatedError] when the store has used a feature level that this process does not have.
func (c *Coordinator) Run(ctx context.Context) error {
	defer c.leave(ctx)
	g, gctx := errgroup.WithContext(ctx)
	start := func(name string, run func(context.Context) error) {
		g.Go(func() error {
			err := run(gctx)
			if err != nil && gctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	start("start", func(ctx context.Context) error {
		if err := c.Announce(ctx); err != nil {
			return err
		}
		start("announcer", c.runAnnounce)
		start("server", c.runServer)
		if err := c.insist(ctx, c.prepare); err != nil {
			return err
		}
		for name, run := range c.loops() {
			start(name, run)
		}
		return nil
	})
	return g.Wait()
}

// loops are what a prepared coordinator does, by name.
func (c *Coordinator) loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"claimer": c.runClaims, "settler": c.runSettle, "beats": c.runBeats, "pools": c.runPools, "dispatcher": c.runDispatch, "grants": c.runGrants, "idle grants": c.runIdleGrants,
		"artifacts": c.runArtifacts, "sweep": c.runSweep,
		"chunks": c.runChunks, "inputs": c.runInputs, "progress": c.runProgress, "catalogue": c.runCatalogue,
		"model keys": c.runModelKeys, "stored model keys": c.runStoredKeys, "ended model keys": c.runEndedModelKeys,
		"expander": c.runExpander, "timers": c.runTimers, "followups": c.runFollowups, "reconcile": c.runReconcile, "demand": c.runDemand, "pod costs": c.runPodCosts, "workers": c.runWorkers, "idle pools": c.runIdlePools,
		"secrets": c.runSecrets, "retention": c.runRetention, "erasures": c.runErasures, "audit": c.runAudit, "sealing": c.runSealing, "webhooks": c.webhooks.run, "API keys": c.runAPIKeys, "bindings": c.runBindings,
		"record": c.runRecord, "record retention": c.runRecordRetention, "record heads": c.runRecordHeads,
		"pool rules": c.runPoolRules, "gates": c.runGates, "walker": c.runWalker, "schedules": c.runSchedules, "namespaces": c.runNamespaces, "roll calls": c.runRollCalls,
	}
}

// insist takes a step of the start until it succeeds, waiting for servers that are not there yet. The error is ctx's, or a
// *[dag.OutdatedError].
func (c *Coordinator) insist(ctx context.Context, step func(context.Context) error) error {
	for {
		err := step(ctx)
		switch {
		case err == nil || isOutdated(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		c.log.Warn("the coordinator waits for NATS and Postgres", "error", err)
		sleep(ctx, time.Second)
	}
}

// prepare makes streams and consumers.
func (c *Coordinator) prepare(ctx context.Context) error {
	if err := c.keepSecrets(ctx); err != nil && !isLevel(err) {
		return err
	}
	if err := c.loadModelKeys(ctx); err != nil {
		return err
	}
	if err := c.readRules(ctx); err != nil {
		return err
	}
	if err := c.queue.EnsureStreams(ctx); err != nil {
		return err
	}
	pools, err := c.store.Pools(ctx)
	if err != nil {
		return err
	}
	names := slices.Collect(maps.Values(pools))
	if err := c.queue.EnsurePools(ctx, names...); err != nil {
		return err
	}
	for _, name := range names {
		c.ensured.Store(name, true)
	}
	c.refreshCapacity(ctx)
	c.prepared.Store(true)
	return nil
}

// NATS has room for the pools that Postgres allows, and some: coordinators may exceed its bound a little.
var _ [queue.MaxPools - pg.MaxPools - 100]struct{}

// ensurePool makes a pool's consumers, once in the life of this process; the queue makes them again when they vanish.
func (c *Coordinator) ensurePool(ctx context.Context, name string) error {
	if _, done := c.ensured.Load(name); done {
		return nil
	}
	if err := c.queue.EnsurePools(ctx, name); err != nil {
		return err
	}
	c.ensured.Store(name, true)
	return nil
}

var errStarting = unready("the coordinator is starting")

// takesWork is [errStarting] until the coordinator may begin what it has to bring to an end.
func (c *Coordinator) takesWork() error {
	if c.cfg.Resting || c.prepared.Load() {
		return nil
	}
	return errStarting
}

// unready is [ErrUnavailable] for a reason that anybody may see.
func unready(reason string) error {
	return &readiness.Fault{Reason: reason, Err: fmt.Errorf("%w: %s", ErrUnavailable, reason)}
}

// Ready is nil when NATS can be reached, Postgres takes writes, and what Run needs in them is there.
func (c *Coordinator) Ready(ctx context.Context) error {
	if !c.prepared.Load() {
		return errStarting
	}
	if !c.queue.Connected() {
		return unready("NATS can't be reached")
	}
	if err := c.store.Ping(ctx); err != nil {
		return unwritable(err)
	}
	return c.writes.ready(ctx)
}

// wake says that there may be work, without ever blocking.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// sleep waits, and reports whether it was not cut short by ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wait waits for a wake-up, at most d, and reports whether ctx lives.
func wait(ctx context.Context, ch <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// persist calls f until it succeeds, with growing pauses, as long as ctx lives: for work in hand that must not be lost
// while Postgres or NATS is away.
func (c *Coordinator) persist(ctx context.Context, what string, f func(context.Context) error) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := f(ctx)
		if err == nil || pg.Lasting(err) {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		c.log.Warn("a step failed and is tried again", "what", what, "error", err)
		if !sleep(ctx, pause) {
			return err
		}
	}
}
