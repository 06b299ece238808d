package coordinator

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// pendingMessages is how many messages of results may be in hand, unacked.
const pendingMessages = 256

// settleBytes is how large the values of one transaction may be: a single larger one goes alone. One that came in parts
// counts for chunkedBytes: it stays in Postgres.
const (
	settleBytes  = 4 << 20
	chunkedBytes = 1 << 20
)

// delivery is a message of results, decoded.
type delivery struct {
	message  *queue.ResultMessage
	instance string // of the worker that sent it
	results  []dag.Result
	parts    []pg.Chunk          // of large results
	bytes    int                 // of all values and parts
	refused  []*workerv1.Attempt // results of which count no more: they are to be forgotten
	again    bool                // whether some counts could not be told

	partsBefore map[pg.PartsOf]bool // results whose parts may lie before them in RESULTS
	incomplete  []pg.PartsOf        // those of them whose parts are not all stored: they are not in results any more
}

// runSettle takes results from RESULTS and records them, until ctx ends, and those in hand even then.
func (c *Coordinator) runSettle(ctx context.Context) error {
	arrived := make(chan delivery, pendingMessages)
	var g errgroup.Group
	g.Go(func() error {
		defer close(arrived)
		return c.queue.ConsumeResults(ctx, pendingMessages, func(m *queue.ResultMessage) {
			d := c.decodeResults(ctx, m)
			m.Data = nil // decoded values are copies
			select {
			case arrived <- d:
			case <-ctx.Done(): // not acked: it comes again
			}
		})
	})
	g.Go(func() error {
		for first := range arrived {
			batch := c.gather(first, arrived)
			c.settleBatch(ctx, batch)
		}
		return nil
	})
	return g.Wait()
}

// gather takes what has arrived, up to a batch; while there is a queue, and only then, it lingers a little for more.
func (c *Coordinator) gather(first delivery, arrived <-chan delivery) []delivery {
	batch, n, bytes, pressing := []delivery{first}, len(first.results), first.bytes, first.presses()
	var linger <-chan time.Time
	for n < c.cfg.Batch && bytes < settleBytes {
		select {
		case d, ok := <-arrived:
			if !ok {
				return batch
			}
			batch, n, bytes, pressing = append(batch, d), n+len(d.results), bytes+d.bytes, pressing || d.presses()
			continue
		default:
		}
		if n < 64 || pressing { // hardly a queue, or somebody waits for what a result unlocks or gives back
			return batch
		}
		if linger == nil {
			linger = time.After(c.cfg.Linger)
		}
		select {
		case d, ok := <-arrived:
			if !ok {
				return batch
			}
			batch, n, bytes, pressing = append(batch, d), n+len(d.results), bytes+d.bytes, pressing || d.presses()
		case <-linger:
			return batch
		}
	}
	return batch
}

// presses reports whether one of the results offers its slot, or is of a limited task, whose key others may wait for.
func (d *delivery) presses() bool {
	return slices.ContainsFunc(d.results, func(r dag.Result) bool { return r.Offer || r.Facts.Flags()&dag.FlagLimited != 0 })
}

// settling is a batch of results on its way into Postgres.
type settling struct {
	begin    time.Time
	results  []dag.Result
	recorded []settledPart
	handed   map[attemptKey]pg.Handover // by the result that offered a slot
}

// settledPart are results that one transaction recorded.
type settledPart struct {
	results    []dag.Result
	begin, end time.Time
}

// attemptKey names an attempt.
type attemptKey struct {
	task   dag.Key
	number int32
}

// settleBatch records a batch, then acks and sends receipts. It does not give up while Postgres is away, but when the
// process stops: what was not recorded comes again.
func (c *Coordinator) settleBatch(ctx context.Context, batch []delivery) {
	b := &settling{begin: time.Now(), handed: map[attemptKey]pg.Handover{}}
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(settleGrace, cancel) })
	defer stop()
	err := c.storeParts(grace, batch)
	if err == nil {
		err = c.withhold(grace, batch)
	}
	if err == nil {
		b.results, err = c.expanding(grace, batch)
	}
	if err == nil {
		err = c.record(grace, b)
	}
	if err == nil {
		failpoint.Hit("coordinator.before-ack")
	}
	for i := range batch {
		d := &batch[i]
		if err != nil {
			d.message.Nak(time.Second)
			continue
		}
		if d.again { // what is recorded of it changes nothing when it comes again
			d.message.Nak(time.Second)
		}
		c.receipt(grace, d, b.handed)
		c.answer(grace, d)
	}
	c.settled(grace, b, err)
}

// record records a batch, in as many transactions as it takes.
func (c *Coordinator) record(ctx context.Context, b *settling) error {
	for from, to := 0, 0; from < len(b.results); from = to {
		to = c.cut(b.results, from)
		if err := c.settle(ctx, b.results[from:to], b); err != nil {
			return err
		}
	}
	return nil
}

// cut tells where the transaction ends that begins with results[from].
func (c *Coordinator) cut(results []dag.Result, from int) int {
	bytes := 0
	for to := from; to < min(len(results), from+c.cfg.Batch); to++ {
		bytes += len(results[to].Value)
		if results[to].Chunked {
			bytes += chunkedBytes
		}
		if bytes > settleBytes && to > from {
			return to
		}
	}
	return min(len(results), from+c.cfg.Batch)
}

// settleGrace is how long results in hand may take to be recorded after the process was told to stop.
const settleGrace = 10 * time.Second

// settle records results in one transaction. When one of them can't be stored, the batch is halved until it is alone;
// it becomes its attempt's failure. b hears what was recorded and handed over.
func (c *Coordinator) settle(ctx context.Context, results []dag.Result, b *settling) error {
	if len(results) == 0 {
		return nil
	}
	begin := time.Now()
	var eff *pg.Effects
	failpoint.Hit("coordinator.before-settle-commit")
	err := c.persist(ctx, "settle", func(ctx context.Context) (err error) {
		_, eff, err = c.store.Settle(ctx, results, c.lanes.room)
		return err
	})
	if err == nil {
		failpoint.Hit("coordinator.after-settle-commit")
		for _, h := range eff.Handed {
			b.handed[attemptKey{h.After, h.AfterAttempt}] = h
		}
		c.after(ctx, eff)
		b.recorded = append(b.recorded, settledPart{results, begin, time.Now()})
		return nil
	}
	if !pg.Lasting(err) {
		return err
	}
	if half := len(results) / 2; half > 0 {
		if err := c.settle(ctx, results[:half], b); err != nil {
			return err
		}
		return c.settle(ctx, results[half:], b)
	}
	r := results[0]
	c.unstorable(&r, r.Detail == rejected, err)
	if r.Detail == rejected { // others' results must not wait for it: without a receipt that counts, its attempt is taken back
		return nil
	}
	return c.settle(ctx, []dag.Result{{Task: r.Task, Attempt: r.Attempt, Worker: r.Worker, Before: r.Before, Early: r.Early, Used: r.Used,
		Outcome: dag.OutcomeFailed, Permanent: true, Error: "the result can't be stored", Detail: rejected}}, b)
}

// rejected is the detail of a failure that stands in for a result that can't be stored.
const rejected = "Postgres rejected the result"

// decodeResults reads a message. Results and parts with a wrong token are left out: nobody who may report them sent them.
func (c *Coordinator) decodeResults(ctx context.Context, m *queue.ResultMessage) delivery {
	d := delivery{message: m, bytes: len(m.Data)}
	b := &workerv1.ResultBatch{}
	if err := proto.Unmarshal(m.Data, b); err != nil {
		c.log.Warn("results can't be read", "worker_id", m.Worker, "error", err)
		return d
	}
	who := c.instances.of(ctx, m.Worker, b.Instance)
	d.instance = b.Instance
	d.results = make([]dag.Result, 0, len(b.Results))
	forged := 0
	for _, r := range b.Results {
		k, n := dag.Key(r.GetAttempt().GetTask()), int32(r.GetAttempt().GetNumber())
		switch c.proof(ctx, k, n, r.Token) {
		case workers.Proved:
		case workers.Unknown:
			d.again = true
			continue
		case workers.Retired:
			d.refused = append(d.refused, r.Attempt)
			continue
		default:
			forged++
			continue
		}
		res := c.resultOf(r, k, n, who)
		d.results = append(d.results, res)
		if res.Chunked && r.PartsBefore {
			if d.partsBefore == nil {
				d.partsBefore = map[pg.PartsOf]bool{}
			}
			d.partsBefore[pg.PartsOf{Task: k, Attempt: n}] = true
		}
	}
	c.forged("results", m.Worker, forged)
	forged = 0
	for _, p := range b.Parts {
		part, refusal, final := c.part(ctx, p)
		switch {
		case refusal == "":
			d.parts = append(d.parts, part)
		case final:
			forged++
		default:
			d.again = true
		}
	}
	c.forged("parts of results", m.Worker, forged)
	return d
}

// resultOf is the result as it is recorded. One that can't be opened fails the attempt, as its task's policy has it.
func (c *Coordinator) resultOf(r *workerv1.Result, k dag.Key, attempt int32, who instance) dag.Result {
	if len(r.Sealed) == 0 { // its key would be made for nothing
		return plainResult(r, k, attempt, who)
	}
	if err := envelope.OpenResult(c.attemptKey(k, attempt, r.Token), r); err != nil {
		c.log.Warn("a result can't be opened", "task_key", int64(k), "attempt", attempt, "error", err)
		r.End, r.Error, r.Detail = &workerv1.Result_Failed{Failed: &workerv1.Failed{}}, "the attempt's result can't be opened", err.Error()
	}
	return plainResult(r, k, attempt, who)
}

func plainResult(r *workerv1.Result, k dag.Key, attempt int32, who instance) dag.Result {
	res := dag.Result{Task: k, Attempt: attempt, Worker: who.Key, Before: who.Before, Error: clean(r.Error), Detail: clean(r.Detail),
		Early: r.Early, Offer: r.Offer, UnlocksNothing: r.UnlocksNothing, Facts: dag.Facts(r.Facts)}
	if r.StartedUnixUs > 0 && r.FinishedUnixUs > r.StartedUnixUs {
		res.Ran = time.Duration(min(r.FinishedUnixUs-r.StartedUnixUs, longestRun)) * time.Microsecond
	}
	res.Waited = time.Duration(min(max(r.WaitedUs, 0), longestRun)) * time.Microsecond
	res.Unstarted = r.GetReturned().GetUnstarted() || r.GetCancelled().GetUnstarted()
	res.Used = readUsage(r.Usage)
	readEnd(&res, r)
	readNote(&res, r)
	return res
}

// longestRun is 100 years, in microseconds: more can't be true.
const longestRun = 100 * 365 * 24 * 3600 * 1_000_000

// clean makes a text fit for Postgres: valid UTF-8 without NUL, bounded.
func clean(s string) string {
	const most = 64 << 10
	if len(s) > most {
		s = s[:most] + "… (truncated)"
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// receipt tells a worker that its results are recorded, or of no use (any more): it may forget them.
// What it was handed over with them goes along, as much as one message carries.
func (c *Coordinator) receipt(ctx context.Context, d *delivery, handed map[attemptKey]pg.Handover) {
	const most = 512 << 10
	news, size := &workerv1.News{Receipts: d.refused}, 0
	fresh := c.freshSecrets(ctx)
	for _, r := range d.results {
		news.Receipts = append(news.Receipts, attemptOf(r.Task, r.Attempt))
		h, ok := handed[attemptKey{r.Task, r.Attempt}]
		if !ok {
			continue
		}
		failpoint.Hit("coordinator.before-handover")
		m, err := c.handover(ctx, h, d.instance)
		if err = cmp.Or(fresh, err); err != nil {
			c.notDispatched(h.Work, err)
			continue
		}
		news.Handovers = append(news.Handovers, m)
		if size += proto.Size(m); size > most {
			c.tell(d.message.Worker, news)
			news, size = &workerv1.News{}, 0
		}
	}
	if len(news.Receipts) > 0 {
		c.tell(d.message.Worker, news)
	}
}

// handover makes the message of an attempt that was claimed for the worker that offered a slot.
func (c *Coordinator) handover(ctx context.Context, h pg.Handover, instance string) (*workerv1.Handover, error) {
	pool, err := c.store.PoolName(ctx, h.Work.Pool)
	if err != nil {
		return nil, err
	}
	header := map[string]string{}
	for name, values := range c.dispatched(ctx, h.Work) {
		header[name] = values[0]
	}
	c.loadValues(ctx, []*pg.Work{h.Work})
	work, err := c.message(h.Work)
	if err != nil {
		return nil, err
	}
	return &workerv1.Handover{After: attemptOf(h.After, h.AfterAttempt), Instance: instance, Pool: pool, Work: work, Header: header,
		Key: c.keyFor(h.Work.Key, h.Work.Attempt, work.Token)}, nil
}
