package coordinator

import (
	"cmp"
	"context"
	"math"
	"slices"
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
		c.clocks.hear(b.m.Instance, b.m.SentUnixMs, time.Now())
	}
	byInstance := newest(list, func(worker, instance string) bool { return c.instances.of(ctx, worker, instance).Key != 0 })
	keys, err := c.extend(ctx, byInstance)
	if err != nil {
		c.log.Warn("beats are not answered", "workers", len(byInstance), "error", err)
		return // the workers ask again
	}
	c.keepNotes(ctx, list, keys)
	for _, b := range list {
		if n := byInstance[b.m.Instance]; n != nil && n != b && n.worker == b.worker && b.reply.Error == "" {
			b.reply.LeaseMs, b.reply.Error, b.reply.PartsInResults = n.reply.LeaseMs, n.reply.Error, n.reply.PartsInResults
			b.reply.Ends = n.reply.Ends
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

// extend extends the leases of instances, and gives the keys of those that have one.
func (c *Coordinator) extend(ctx context.Context, beats map[string]*beating) (map[string]dag.WorkerKey, error) {
	if len(beats) == 0 {
		return nil, nil
	}
	var rows []pg.Beat
	var listed []dag.Key
	for _, b := range beats {
		refused := c.learn(ctx, b.worker, b.m)
		b.reply.Refused = faultTexts(refused)
		b.reply.Describe = c.catalogue.learn(ctx, b.worker, b.m)
		row := b.row()
		row.Faults = append(row.Faults, refused...)
		listed = append(listed, row.Attempts...)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b pg.Beat) int { return cmp.Compare(a.Instance, b.Instance) })
	keys, err := c.store.ExtendLeases(ctx, rows, c.cfg.Lease)
	if err != nil {
		return nil, err
	}
	states, err := c.store.TaskStates(ctx, listed)
	if err != nil {
		return nil, err
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
			b.reply.PartsInResults, b.reply.Ends = c.haveAll(dag.RunsLevel), c.haveAll(dag.ControlLevel)
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
	return keys, c.missed(ctx, beats, keys)
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
			token := c.tokens.Of(h.Key, h.Attempt)
			b.reply.Missed = append(b.reply.Missed, &workerv1.Grant{Attempt: attemptOf(h.Key, h.Attempt), Token: token, Key: c.keyFor(h.Key, h.Attempt, token)})
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
	row := pg.Beat{Instance: b.m.Instance, ID: b.worker, Host: clean(b.m.Host), Build: clean(b.m.Build), Pools: map[string]int{}, Counts: map[string]pg.PoolCounts{},
		Level: b.level(), State: pg.WorkerAlive, Number: int64(b.m.Number)}
	inLine := 0
	for _, p := range b.m.Pools {
		row.Pools[p.Pool] = int(p.Concurrency)
		if p.Running > 0 || p.Started > 0 {
			row.Counts[p.Pool] = pg.PoolCounts{Running: int(p.Running), Started: int64(min(p.Started, math.MaxInt64)), Ended: int64(min(p.Ended, math.MaxInt64))}
		}
		inLine += int(p.InLine)
	}
	switch {
	case b.m.Leaving:
		row.State = pg.WorkerGone
	case b.m.Draining:
		row.State = pg.WorkerDraining
	}
	for _, f := range b.m.Faults {
		row.Faults = append(row.Faults, pg.WorkerFault{Pool: f.Pool, Executor: clean(f.Executor), Text: clean(f.Text), Unasked: f.Unasked})
	}
	row.Described = b.m.Described
	row.Attempts = slices.Collect(b.listed)
	row.InLine = min(inLine, len(row.Attempts)) // those that nobody was asked for are not listed
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
