package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	maxDispatch    = 2048                  // tasks in one dispatch
	backlogEvery   = 2 * time.Second       // how often Postgres is asked for backlogs that nobody told us of
	correctEvery   = 25 * time.Millisecond // how often at most NATS is asked how much of a lane it holds
	shareEvery     = 8                     // one dispatch in so many is shared among trees: the more are unfinished at once, the more each task costs
	publishTimeout = 10 * time.Second      // for one batch; what did not get through is republished by reconcile
)

// runDispatch moves waiting tasks to NATS as their pools get room.
func (c *Coordinator) runDispatch(ctx context.Context) error {
	d := dispatcher{Coordinator: c, corrected: map[dag.Lane]time.Time{}, after: map[dag.Lane]dag.ShareKey{}}
	var asked time.Time
	for ctx.Err() == nil {
		if c.lanes.askBacklog() || time.Since(asked) >= backlogEvery {
			asked = time.Now()
			c.contended.forget()
			if backlog, err := c.store.Backlog(ctx); err == nil {
				c.lanes.found(backlog)
			} else if ctx.Err() == nil {
				c.log.Warn("the backlog could not be read", "error", err)
			}
		}
		pause := backlogEvery
		if d.round(ctx) {
			pause = correctEvery
		}
		wait(ctx, c.lanes.wake, pause)
	}
	return nil
}

// dispatcher is what the dispatch loop keeps between rounds.
type dispatcher struct {
	*Coordinator
	corrected map[dag.Lane]time.Time    // when a lane's count was last set right
	after     map[dag.Lane]dag.ShareKey // the last share that was looked at, of lanes with more of them than are looked at together
}

// round dispatches from every lane as long as one has room. It reports whether a lane is full, by our count, and will
// have to be looked at again soon.
func (d *dispatcher) round(ctx context.Context) (full bool) {
	for more := true; more && ctx.Err() == nil; {
		more, full = false, false
		for _, l := range d.lanes.open() {
			var taken pg.Dispatched
			var err error
			switch {
			case l.room > 0:
				taken, err = d.take(ctx, l)
			case l.came:
				taken, err = d.pass(ctx, l.id)
			}
			work := taken.Work
			if l.room == 0 {
				d.correct(ctx, l.id)
				full = true
			}
			if again := taken.Several && !l.several && len(work) == 0; again && err == nil {
				more = true
				continue
			}
			if err == nil || len(work) > 0 {
				d.lanes.published(l.id, len(work), l.room > 0 && !taken.Took && len(work) == 0)
				more = more || taken.Took
			}
			if len(work) > 0 {
				failpoint.Hit("coordinator.after-dispatch-commit")
				more = true
				d.moved(work)
				d.publish(ctx, work)
			}
			if err != nil {
				if ctx.Err() == nil {
					d.log.Warn("ready tasks could not be dispatched", "error", err)
					sleep(ctx, 100*time.Millisecond)
				}
				return true
			}
		}
	}
	return full
}

// take takes what a lane has room for, as far as what operators hold back lets it start: by turns, if several shares wait.
func (d *dispatcher) take(ctx context.Context, l openLane) (out pg.Dispatched, err error) {
	n, shared := min(l.room, maxDispatch), rand.IntN(shareEvery) == 0
	if d.store.Gated(l.id.Pool) {
		return d.takeHeld(ctx, l.id, n)
	}
	if l.several {
		portions, express, err := d.portions(ctx, l.id, n)
		if err != nil {
			return out, err
		}
		if portions != nil {
			out, err = d.store.Dispatch(ctx, l.id, n, shared, portions)
			d.contended.published(l.id.Pool, out, express)
			return out, err
		}
	}
	out, err = d.store.Dispatch(ctx, l.id, n, shared, nil)
	only := dag.ShareKey(0)
	if len(out.Work) > 0 {
		only = out.Of[out.Work[0].Key.Tree()]
		d.contended.alone(l.id.Pool, only)
	}
	d.lanes.sharedBy(l.id, out.Several, only)
	return out, err
}

// takeHeld is take for a pool that operators hold back. Whose own limit is reached leaves a portion, so that what is taken then is what got ready first.
func (d *dispatcher) takeHeld(ctx context.Context, id dag.Lane, n int) (out pg.Dispatched, err error) {
	if n, err = d.store.HeldRoom(ctx, id.Pool, n); err != nil || n == 0 {
		return out, err
	}
	portions, _, err := d.portions(ctx, id, n)
	if err != nil {
		return out, err
	}
	if portions != nil {
		out, err = d.store.DispatchHeld(ctx, id, n, portions)
		d.contended.published(id.Pool, out, nil)
		if len(out.Work) > 0 || err != nil {
			return out, err
		}
	}
	return d.store.DispatchHeld(ctx, id, n, nil)
}

// correct asks NATS how much of a lane it holds: other coordinators' workers may have taken it.
func (d *dispatcher) correct(ctx context.Context, id dag.Lane) {
	if time.Since(d.corrected[id]) < correctEvery {
		return
	}
	d.corrected[id] = time.Now()
	name, err := d.store.PoolName(ctx, id.Pool)
	if err != nil {
		return
	}
	var is inNATS
	if is.messages, is.oldest, err = d.queue.Depth(ctx, name, int(id.Priority)); err != nil {
		return
	}
	if is.shared = d.lanes.shared(id); is.shared { // else slots need not be free
		if is.asked, err = d.queue.Asked(ctx, name, int(id.Priority)); err != nil {
			return
		}
	}
	d.lanes.correct(id, is)
}

// publish sends attempts that are published on record. What does not get through is found by reconcile.
func (c *Coordinator) publish(ctx context.Context, work []*pg.Work) {
	if len(work) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if err := c.freshSecrets(ctx); err != nil {
		c.published(len(work), err)
		return
	}
	c.loadValues(ctx, work)
	messages := make([]queue.WorkMessage, 0, len(work))
	for part := range c.bundles(work) {
		m, err := c.bundle(ctx, part)
		if err != nil {
			for _, w := range part {
				c.notDispatched(w, err)
			}
			continue
		}
		messages = append(messages, m)
	}
	failpoint.Hit("coordinator.before-publish")
	begin := time.Now()
	err := c.queue.PublishWork(ctx, messages)
	failpoint.Hit("coordinator.after-publish")
	c.sent(ctx, messages, begin, err)
	c.published(len(work), err)
}

// mostBundled is the most attempts in one message, and bundledBytes how many bytes of payload they may have.
const (
	mostBundled  = 32
	bundledBytes = 64 << 10
)

// bundles yields what goes into one message each: adjacent attempts of a lane, as many as its workers start within milliseconds; of those that are granted what
// they hold, as many as surely have slots, as they hold it while they wait for one. What is traced goes alone, as its message carries the trace.
func (c *Coordinator) bundles(work []*pg.Work) iter.Seq[[]*pg.Work] {
	return func(yield func([]*pg.Work) bool) {
		alone := c.recording()
		for len(work) > 0 {
			same := adjacent(work)
			most := 1
			switch {
			case alone:
			case limited(work[0]):
				most = c.lanes.bundleGranted(work[0].Lane(), same, c.grants.unclaimed(work[0].Pool))
			default:
				most = c.lanes.bundle(work[0].Lane(), same)
			}
			for lane := work[:same]; len(lane) > 0; {
				n := fits(lane, most)
				if !yield(lane[:n]) {
					return
				}
				lane = lane[n:]
			}
			work = work[same:]
		}
	}
}

// adjacent is how many of the attempts, from the first on, are of its lane, and limited as it is.
func adjacent(work []*pg.Work) int {
	first := work[0]
	n := slices.IndexFunc(work, func(w *pg.Work) bool {
		return w.Lane() != first.Lane() || w.Express != first.Express || limited(w) != limited(first)
	})
	if n < 0 {
		return len(work)
	}
	return n
}

// fits is how many of a lane's attempts go into one message, from the first on, which goes whatever its size.
func fits(lane []*pg.Work, most int) int {
	bytes := 0
	for n, w := range lane {
		bytes += w.Size()
		if n > 0 && (n == most || bytes > bundledBytes || !sharesMessage(w) || !sharesMessage(lane[0])) {
			return n
		}
	}
	return len(lane)
}

func limited(w *pg.Work) bool { return w.Flags&dag.FlagLimited != 0 }

// sharesMessage reports whether an attempt may be in a message with others, although it may have to wait there for a slot.
func sharesMessage(w *pg.Work) bool {
	return dag.MayBeClaimedAhead(w.Attempt, w.Run, w.Flags&^dag.FlagLimited)
}

// bundle makes the message of attempts of one lane.
func (c *Coordinator) bundle(ctx context.Context, part []*pg.Work) (queue.WorkMessage, error) {
	first := part[0]
	pool, err := c.store.PoolName(ctx, first.Pool)
	if err == nil {
		err = c.ensurePool(ctx, pool)
	}
	if err != nil {
		return queue.WorkMessage{}, err
	}
	m, err := c.message(first)
	for _, w := range part[1:] {
		more, failed := c.message(w)
		m.More, err = append(m.More, more), cmp.Or(err, failed)
	}
	if err != nil {
		return queue.WorkMessage{}, err
	}
	data, err := proto.Marshal(m)
	way := int(first.Priority)
	if first.Express {
		way-- // see [lanes.express]
	}
	return queue.WorkMessage{Pool: pool, Priority: way, Data: data, Header: c.dispatched(ctx, first)}, err
}

// message is what a worker is told of an attempt, sealed if the cluster seals.
func (c *Coordinator) message(w *pg.Work) (*workerv1.Work, error) {
	m := c.plainMessage(w)
	if !c.seals() {
		return m, nil
	}
	key := c.attemptKey(w.Key, w.Attempt, m.Token)
	if key == nil {
		return m, errors.New("its key can't be made")
	}
	return m, envelope.SealWork(key, m)
}

func (c *Coordinator) plainMessage(w *pg.Work) *workerv1.Work {
	m := &workerv1.Work{
		Version: workerv1.Version, Attempt: &workerv1.Attempt{Task: int64(w.Key), Number: uint32(w.Attempt)},
		Token: c.tokens.Of(w.Key, w.Attempt), TaskId: w.ID, TreeId: w.TreeID, Name: w.Name, Executor: w.Executor,
		Params: w.Params, Schemas: w.Schemas, TimeoutMs: w.TimeoutMS, Repeatable: w.Flags&(dag.FlagRepeatable|dag.FlagKeyed|dag.FlagLimited) == dag.FlagRepeatable && !c.store.Ruled(w.Pool),
		IdempotencyKey: idempotencyKey(w), UserId: w.UserID, Namespace: c.spaces.name(context.Background(), w.Namespace), // the store bounds it
		Demo:    w.Flags&dag.FlagDemo != 0,
		Passes:  w.Express,
		Keyed:   w.Flags&dag.FlagKeyed != 0,
		Spent:   sentUsage(w.Spent),
		Unlocks: w.Flags.Unlocks(), Facts: uint64(w.Facts()), Checkpoint: w.Checkpoint,
		Answer: sentAnswer(w.Answer),
		Ahead:  w.MayBeClaimedAhead() && c.haveAll(dag.AheadLevel),
	}
	if w.Lock != nil {
		m.Lock = &workerv1.Lock{Key: w.Lock.Key, Token: w.Lock.Token}
	}
	if w.Deps > pg.MaxInlineDeps || w.Flags&dag.FlagMore != 0 && (w.Control == nil || w.Large) {
		m.InputsSize = 1 // not known before it is asked for
		return m
	}
	inputs, err := c.merge(w)
	switch {
	case err != nil: // the worker hears why when it asks for them, and fails the attempt
		m.InputsSize = 1
	case len(inputs)+len(w.Params)+len(w.Schemas)+len(w.Scope) > c.inlineBytes():
		m.InputsSize = uint64(len(inputs) + len(w.Scope))
	default:
		m.Inputs, m.References, m.Control = inputs, dag.References(w.Executor, w.Control, w.Inputs, inputs), controlOf(w, inputs)
		if m.Control != nil {
			m.Control.Scope = w.Scope
		}
	}
	return m
}

// idempotencyKey is the same for all attempts of one run of a task, and for no other run of any task, in whichever cluster, as
// the tree's UID is random. At most 55 characters: hexadecimal digits, - and dots.
//
// Trees from before that have none. They keep the key of old: another one would let a service do again what it did.
func idempotencyKey(w *pg.Work) string {
	if w.UID == uuid.Nil {
		return fmt.Sprintf("%s.%d", w.ID, w.Execution)
	}
	return fmt.Sprintf("%s.%d.%d", w.UID, w.Key.Index(), w.Run)
}

// errMerge: the inputs of a task can't be put together, however often it is tried.
var errMerge = errors.New("merge inputs")

func (c *Coordinator) merge(w *pg.Work) ([]byte, error) {
	if w.Unreadable != nil {
		return nil, fmt.Errorf("%w: %w", errMerge, w.Unreadable)
	}
	inputs, err := dag.Merge(w.Inputs, w.Schemas, w.Results)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMerge, err)
	}
	if len(inputs) > c.cfg.MaxInputs {
		return nil, fmt.Errorf("%w: %d bytes, the most is %d", errMerge, len(inputs), c.cfg.MaxInputs)
	}
	return inputs, nil
}

// after does what is left once a transaction has committed. Nothing of it must happen for correctness: reconcile, beats
// and the next look bring it about too, later.
func (c *Coordinator) after(ctx context.Context, eff *pg.Effects) {
	if eff == nil {
		return
	}
	c.happened(eff)
	c.contended.left(eff.Flights)
	for _, r := range eff.Waiting {
		if c.contended.newcomer(r.Pool, r.Share) {
			c.lanes.came(dag.Lane{Pool: r.Pool, Priority: r.Priority}, r.Share)
		}
	}
	c.lanes.settle(eff.Taken, eff.Flights, eff.Waiting)
	c.grants.note(eff.Keys, eff.Freed, eff.Claimed)
	c.lanes.freed(eff.Freed)
	if len(eff.Publish)+len(eff.Waiting) > 0 {
		c.gotWork()
	}
	c.publish(ctx, eff.Publish)
	if eff.Conditions > 0 {
		c.conditionsDue.Store(true)
	}
	if eff.Kept > 0 {
		c.keptSignals.Store(true)
	}
	if eff.Followups+eff.Conditions > 0 {
		wake(c.wakeFollowups)
	}
	if len(eff.Timers) > 0 || slices.ContainsFunc(eff.Keys, func(k dag.LimitKey) bool { return k.Kind == dag.KindLock }) { // locks may have timers
		wake(c.wakeTimers)
	}
	c.tellStops(ctx, eff.Stops)
	if slices.ContainsFunc(eff.Trees, func(t pg.TreeSequence) bool { return t.Final && t.Fired }) {
		wake(c.wakeSchedules)
	}
	c.announce(eff.Trees)
	c.webhooks.nudge(eff.Trees)
}
