package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// runBeats keeps the leases of workers alive, and tells them in return what they must stop or may forget.
func (c *Coordinator) runBeats(ctx context.Context) error {
	return c.serve(ctx, queue.Beat, 200, c.beats)
}

// beating is one beat, decoded.
type beating struct {
	request
	m     *workerv1.Beat
	reply *workerv1.BeatReply
}

func (c *Coordinator) beats(ctx context.Context, batch []request) {
	var list []*beating
	for _, r := range batch {
		b, err := decodeBeat(r)
		if err != nil {
			c.log.Warn("a beat can't be read", "worker_id", r.worker, "error", err)
			continue
		}
		list = append(list, b)
	}
	byInstance := newest(list, func(worker, instance string) bool { return c.instances.of(ctx, worker, instance).Key != 0 })
	if err := c.extend(ctx, byInstance); err != nil {
		c.log.Warn("beats are not answered", "workers", len(byInstance), "error", err)
		return // the workers ask again
	}
	for _, b := range list {
		if n := byInstance[b.m.Instance]; n != nil && n != b && n.worker == b.worker && b.reply.Error == "" {
			b.reply.LeaseMs, b.reply.Error = n.reply.LeaseMs, n.reply.Error
		}
		data, err := proto.Marshal(b.reply)
		if err != nil {
			continue
		}
		answer := func() { b.request.reply(data) }
		// A new worker takes at once: its pools should be there by then. Others know how to wait.
		if b.reply.Error != "" || !c.announcePools(b.m, answer) {
			answer()
		}
	}
}

// announcement is that of pools whose consumers this process has not made yet.
type announcement struct {
	pools []string
	made  func() // called when they are made, or can't be
}

// maxAnnouncements is how many may wait; what comes then is announced by a later beat.
const maxAnnouncements = 1000

// announcePools has the consumers made of a worker's pools. It reports whether answer will be called by then, which is
// the case of the first beat of an instance.
func (c *Coordinator) announcePools(m *workerv1.Beat, answer func()) bool {
	a := announcement{made: func() {}}
	for _, p := range m.Pools {
		if _, done := c.ensured.Load(p.Pool); !done {
			a.pools = append(a.pools, p.Pool)
		}
	}
	first := m.Number == 1
	if first {
		a.made = answer
	}
	if len(a.pools) == 0 {
		return false
	}
	select {
	case c.announced <- a:
		return first
	default:
		return false
	}
}

// runPools makes the consumers of pools that workers announce, beside the beats: NATS may take its time, and leases must
// not wait for it.
func (c *Coordinator) runPools(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-c.announced:
			c.makePools(ctx, a)
		}
	}
}

func (c *Coordinator) makePools(ctx context.Context, a announcement) {
	defer a.made()
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for _, name := range a.pools {
		if err := c.ensurePool(ctx, name); err != nil {
			c.log.Warn("a pool could not be made ready", "pool", name, "error", err)
		}
	}
}

// decodeBeat reads a beat. The reply's error is set when it can't be taken.
func decodeBeat(r request) (*beating, error) {
	m := &workerv1.Beat{}
	if err := proto.Unmarshal(r.data, m); err != nil {
		return nil, err
	}
	b := &beating{request: r, m: m, reply: &workerv1.BeatReply{Number: m.Number}}
	if m.Version > workerv1.Version+1 {
		b.reply.Error = "this coordinator is too old for the worker"
	} else { // one that can't be stored would take those beside it along
		b.reply.Error = fault(m)
	}
	return b, nil
}

// newest picks the beat that counts of each instance, out of those that can be taken. See [workers.Newest].
func newest(list []*beating, owns func(worker, instance string) bool) map[string]*beating {
	var taken []*beating
	var beats []workers.Beat
	for _, b := range list {
		if b.reply.Error == "" {
			taken = append(taken, b)
			beats = append(beats, workers.Beat{Worker: b.worker, Instance: b.m.Instance, Number: b.m.Number, Leaving: b.m.Leaving})
		}
	}
	places, refused := workers.Newest(beats, owns)
	for _, i := range refused {
		taken[i].reply.Error = errNotYours
	}
	byInstance := make(map[string]*beating, len(places))
	for name, i := range places {
		byInstance[name] = taken[i]
	}
	return byInstance
}

// errNotYours refuses a beat for an instance that another worker registered.
const errNotYours = "the instance belongs to another worker"

// Bounds of what one worker may announce. They bound what a beat makes coordinators store and create.
const (
	maxName        = 128     // bytes of an instance's name and of an executor's
	maxPools       = 64      // of one worker; each has four consumers in NATS
	maxConcurrency = 100_000 // of one worker's pool
	maxAnnounced   = 1000    // executors
	maxListed      = 250_000 // attempts in one beat
)

// fault says why a beat can't be taken, or nothing.
func fault(m *workerv1.Beat) string {
	switch {
	case m.Instance == "" || len(m.Instance) > maxName || strings.IndexByte(m.Instance, 0) >= 0:
		return fmt.Sprintf("instance: want 1 to %d bytes, none of them NUL", maxName)
	case m.Number > math.MaxInt64:
		return "number: too large"
	case len(m.Pools) > maxPools:
		return fmt.Sprintf("pools: %d, the most is %d", len(m.Pools), maxPools)
	case len(m.Executors) > maxAnnounced:
		return fmt.Sprintf("executors: %d, the most is %d", len(m.Executors), maxAnnounced)
	case len(m.Asked)+len(m.Running)+len(m.Reported) > maxListed:
		return fmt.Sprintf("attempts: more than %d", maxListed)
	}
	for _, p := range m.Pools {
		switch {
		case !dag.ValidPool(p.Pool):
			return fmt.Sprintf("pools: %.64q is no name of a pool", p.Pool)
		case p.Concurrency > maxConcurrency:
			return fmt.Sprintf("pools: %s with %d slots, the most is %d", p.Pool, p.Concurrency, maxConcurrency)
		}
	}
	for _, id := range m.Executors {
		if id == "" || len(id) > maxName || strings.IndexByte(id, 0) >= 0 {
			return fmt.Sprintf("executors: want 1 to %d bytes each, none of them NUL", maxName)
		}
	}
	return ""
}

func (c *Coordinator) extend(ctx context.Context, beats map[string]*beating) error {
	if len(beats) == 0 {
		return nil
	}
	var rows []pg.Beat
	var listed []dag.Key
	for _, b := range beats {
		if b.reply.Error = c.learn(ctx, b.worker, b.m); b.reply.Error != "" {
			continue
		}
		row := b.row()
		listed = append(listed, row.Attempts...)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b pg.Beat) int { return cmp.Compare(a.Instance, b.Instance) })
	keys, err := c.store.ExtendLeases(ctx, rows, c.cfg.Lease)
	if err != nil {
		return err
	}
	states, err := c.store.TaskStates(ctx, listed)
	if err != nil {
		return err
	}
	fresh := false
	for name, b := range beats {
		if b.reply.Error != "" {
			continue
		}
		key, ok := keys[name]
		if !ok {
			b.reply.Error = "the lease of this instance has ended"
			c.outdated(ctx, b)
		} else {
			b.reply.LeaseMs = c.cfg.Lease.Milliseconds()
		}
		fresh = fresh || b.m.Number == 1 || b.m.Draining
		who := c.instances.of(ctx, b.worker, name)
		if who.Key == 0 {
			who.Key = key
		}
		b.compare(states, who.Instance)
	}
	if fresh {
		wake(c.wakeWorkers)
	}
	return c.missed(ctx, beats, keys)
}

// missed names what was handed over to a worker with a receipt that it does not have: its result is settled, and the
// worker still waits for the receipt a while later. The worker knows best: it hands back what it has not heard of, and
// never starts that any more.
func (c *Coordinator) missed(ctx context.Context, beats map[string]*beating, keys map[string]dag.WorkerKey) error {
	var settled []dag.Key
	for _, b := range beats {
		for _, a := range b.reply.Settled {
			settled = append(settled, dag.Key(a.Task))
		}
	}
	if len(settled) == 0 {
		return nil
	}
	held, err := c.store.HandedOver(ctx, settled)
	if err != nil || len(held) == 0 {
		return err
	}
	handed := make([]workers.Held, len(held))
	for i, h := range held {
		handed[i] = workers.Held(h)
	}
	for name, b := range beats {
		key, ok := keys[name]
		if !ok {
			continue
		}
		for _, h := range workers.Missed(handed, key, b.listed) {
			b.reply.Missed = append(b.reply.Missed, &workerv1.Grant{Attempt: attemptOf(h.Key, h.Attempt), Token: c.tokens.Of(h.Key, h.Attempt)})
		}
	}
	return nil
}

// listed yields the tasks of the attempts that a beat lists.
func (b *beating) listed(yield func(dag.Key) bool) {
	for _, part := range [][]*workerv1.Attempt{b.m.Asked, b.m.Running, b.m.Reported} {
		for _, a := range part {
			if !yield(dag.Key(a.Task)) {
				return
			}
		}
	}
}

// row is what the store is told.
func (b *beating) row() pg.Beat {
	row := pg.Beat{Instance: b.m.Instance, ID: b.worker, Host: clean(b.m.Host), Build: clean(b.m.Build), Pools: map[string]int{},
		Level: b.level(), State: pg.WorkerAlive, Number: int64(b.m.Number)}
	for _, p := range b.m.Pools {
		row.Pools[p.Pool] = int(p.Concurrency)
	}
	switch {
	case b.m.Leaving:
		row.State = pg.WorkerGone
	case b.m.Draining:
		row.State = pg.WorkerDraining
	}
	row.Attempts = slices.Collect(b.listed)
	return row
}

// compare holds what the worker believes against what is recorded.
func (b *beating) compare(states map[dag.Key]pg.TaskState, who workers.Instance) {
	for _, a := range b.m.Running {
		st, found := states[dag.Key(a.Task)]
		switch workers.Running(workers.TaskState(st), found, int32(a.Number), who) {
		case workers.Cancelled:
			b.reply.Cancel = append(b.reply.Cancel, a)
		case workers.Disowned:
			b.reply.Disowned = append(b.reply.Disowned, a)
		}
	}
	for _, a := range b.m.Reported {
		st, found := states[dag.Key(a.Task)]
		if workers.Settled(workers.TaskState(st), found, int32(a.Number), who) {
			b.reply.Settled = append(b.reply.Settled, a)
		}
	}
}

// learn makes what a worker announces known: its pools get numbers, its executors are no longer unknown. It says why
// that is too much; what fails otherwise is tried again with the next beat.
func (c *Coordinator) learn(ctx context.Context, worker string, m *workerv1.Beat) (refusal string) {
	pools := map[string]bool{}
	for _, p := range m.Pools {
		if !c.store.HasPool(p.Pool) {
			pools[p.Pool] = true
		}
	}
	fresh := c.executors.fresh(m.Executors)
	if refusal := c.newcomers.admit(worker, len(pools), len(fresh)); refusal != "" {
		return refusal
	}
	err := c.store.EnsurePools(ctx, pools)
	if errors.Is(err, pg.ErrTooManyPools) {
		return "pools: " + pg.ErrTooManyPools.Error()
	}
	if err != nil {
		c.log.Warn("pools of a worker could not be recorded", "worker_id", worker, "error", err)
	}
	if err := c.executors.learn(ctx, fresh); err != nil {
		c.log.Warn("executors of workers could not be recorded", "error", err)
	}
	return ""
}

// executorIDs are the executors that exist: built in, or announced by a worker at any time.
type executorIDs struct {
	store *pg.Store
	known dag.Known

	mu   sync.Mutex
	ids  map[string]bool
	read time.Time
}

// refreshExecutors is how old a "no" may be before the store is asked again.
const refreshExecutors = time.Second

// has reports whether the executor exists.
func (e *executorIDs) has(ctx context.Context, id string) bool {
	if e.known.Has(id) {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ids[id] && time.Since(e.read) > refreshExecutors {
		if all, err := e.store.Executors(ctx); err == nil {
			e.read = time.Now()
			for _, id := range all {
				e.ids[id] = true
			}
		}
	}
	return e.ids[id]
}

// fresh are the ids that are not known here yet.
func (e *executorIDs) fresh(ids []string) (fresh []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if !e.known.Has(id) && !e.ids[id] && !slices.Contains(fresh, id) {
			fresh = append(fresh, id)
		}
	}
	return fresh
}

func (e *executorIDs) learn(ctx context.Context, fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	if err := e.store.AddExecutors(ctx, fresh); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range fresh {
		e.ids[id] = true
	}
	return nil
}

// tellStops sends workers the news that attempts are cancelled or timed out.
func (c *Coordinator) tellStops(ctx context.Context, stops []dag.Stop) {
	if len(stops) == 0 {
		return
	}
	byWorker := map[dag.WorkerKey]*workerv1.News{}
	for _, s := range stops {
		n := byWorker[s.Worker]
		if n == nil {
			n = &workerv1.News{}
			byWorker[s.Worker] = n
		}
		n.Cancel = append(n.Cancel, attemptOf(s.Task, s.Attempt))
	}
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		c.log.Warn("cancellations reach their workers with the next beat", "error", err)
		return
	}
	for _, w := range workers {
		if n := byWorker[w.Key]; n != nil {
			c.tell(w.ID, n)
		}
	}
}

// refreshCapacity counts the slots of live workers for each pool.
func (c *Coordinator) refreshCapacity(ctx context.Context) {
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("the capacity of pools could not be read", "error", err)
		}
		return
	}
	capacity := map[int32]int{}
	for _, w := range workers {
		for name, n := range w.Pools {
			if w.State != pg.WorkerAlive || !dag.ValidPool(name) {
				continue
			}
			if id, err := c.store.PoolID(ctx, name); err == nil {
				capacity[id] += n
			}
		}
	}
	c.lanes.setCapacity(capacity)
}
