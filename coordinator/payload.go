package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// inputsPart is how much of large inputs one reply carries, at most.
const inputsPart = 512 << 10

// Loads of large inputs, each of which takes about twice [Config.MaxInputs] at most.
const (
	inputsAtOnce = 2
	inputsBatch  = 16
)

// partBytes is the most that a part of inputs may carry through this NATS.
func (c *Coordinator) partBytes() int { return min(inputsPart, c.queue.MaxPayload()*3/4) }

// inlineBytes is the most of inputs that travels with its work through this NATS.
func (c *Coordinator) inlineBytes() int { return min(c.cfg.InlineBytes, c.queue.MaxPayload()/2) }

// runInputs hands out inputs that are too large for a message.
func (c *Coordinator) runInputs(ctx context.Context) error {
	return c.serve(ctx, queue.Inputs, inputsBatch, func(ctx context.Context, batch []request) {
		var g errgroup.Group
		g.SetLimit(inputsAtOnce)
		for _, r := range batch {
			g.Go(func() error {
				reply := c.inputsFor(ctx, r)
				if data, err := proto.Marshal(reply); err == nil {
					failpoint.Hit("coordinator.before-inputs")
					r.reply(data)
				}
				return nil
			})
		}
		_ = g.Wait() // there are no errors
	})
}

// decodeInputs reads a request for a part of inputs. refusal: why it is none.
func (c *Coordinator) decodeInputs(ctx context.Context, data []byte) (m *workerv1.InputsRequest, k dag.Key, attempt int32, refusal *workerv1.InputsReply) {
	m = &workerv1.InputsRequest{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, 0, 0, &workerv1.InputsReply{Error: "the request can't be read", Final: true}
	}
	k, attempt = dag.Key(m.GetGrant().GetAttempt().GetTask()), int32(m.GetGrant().GetAttempt().GetNumber())
	switch c.proof(ctx, k, attempt, m.GetGrant().GetToken()) {
	case workers.Proved:
		return m, k, attempt, nil
	case workers.Unknown:
		return nil, 0, 0, &workerv1.InputsReply{Error: "the token can't be checked now", Busy: true}
	}
	return nil, 0, 0, &workerv1.InputsReply{Error: "wrong token", Final: true}
}

// partOf is the part of inputs from an offset on, of so many bytes at most.
func partOf(inputs []byte, offset uint64, most int) *workerv1.InputsReply {
	size := uint64(len(inputs))
	from := min(offset, size)
	return &workerv1.InputsReply{Data: inputs[from:min(from+uint64(most), size)], Size: size}
}

func (c *Coordinator) inputsFor(ctx context.Context, r request) *workerv1.InputsReply {
	m, k, n, refusal := c.decodeInputs(ctx, r.data)
	if refusal != nil {
		return refusal
	}
	inputs, err := c.inputs.get(k, n, c.partBytes(), func() (wholeInputs, error) {
		w, err := c.store.Work(ctx, k, n, c.cfg.MaxInputs)
		if err != nil {
			return wholeInputs{}, err
		}
		merged, err := c.merge(w)
		if err == nil && len(merged)+len(w.Scope) > c.cfg.MaxInputs {
			err = pg.ErrTooLarge
		}
		if err != nil {
			return wholeInputs{}, err
		}
		whole := wholeInputs{data: merged, references: dag.References(w.Executor, w.Control, w.Inputs, merged), control: controlOf(w, merged)}
		if whole.control != nil {
			whole.data, whole.scope = slices.Concat(merged, w.Scope), len(w.Scope)
		}
		return whole, nil
	})
	switch {
	case errors.Is(err, pg.ErrTooLarge):
		return &workerv1.InputsReply{Error: fmt.Sprintf("merge inputs: more than %d bytes", c.cfg.MaxInputs), Final: true}
	case errors.Is(err, errMerge), pg.Unreadable(err):
		return &workerv1.InputsReply{Error: err.Error(), Final: true}
	case errors.Is(err, pg.ErrNotFound):
		return &workerv1.InputsReply{Error: "the attempt is over", Final: true}
	case err != nil:
		c.log.Warn("inputs could not be sent", "task_key", int64(k), "error", err)
		return &workerv1.InputsReply{Error: "inputs can't be read, try again", Busy: pg.Unreachable(err)}
	}
	reply := inputs.part(m.Offset, c.partBytes())
	if !m.Keyed || !c.seals() {
		return reply
	}
	if key := c.attemptKey(k, n, m.Grant.Token); key == nil || envelope.SealInputs(key, m.Grant.Attempt, m.Offset, reply) != nil {
		return &workerv1.InputsReply{Error: "inputs can't be sealed, try again"}
	}
	return reply
}

// wholeInputs are the merged inputs of an attempt, and behind them the values that its templates name.
type wholeInputs struct {
	data       []byte
	references []string          // see [dag.References]
	control    *workerv1.Control // nil: the task says nothing beyond the protocol
	scope      int               // how much of data's end are values for templates
}

// part is what a reply carries of them, from an offset on.
func (w wholeInputs) part(offset uint64, most int) *workerv1.InputsReply {
	reply := partOf(w.data, offset, most)
	reply.References, reply.Control, reply.ScopeSize = w.references, w.control, uint64(w.scope)
	return reply
}

// inputsCache keeps merged inputs while their parts are asked for: a few, and not for long.
type inputsCache struct {
	mu    sync.Mutex
	kept  []keptInputs // the oldest first
	bytes int
}

type keptInputs struct {
	task    dag.Key
	attempt int32
	inputs  wholeInputs
	until   time.Time
}

const (
	keepInputs    = 64 << 20 // bytes; a single larger one is kept alone
	keepInputsFor = 30 * time.Second
)

func newInputsCache() *inputsCache { return &inputsCache{} }

// drop forgets the oldest n. The caller holds mu.
func (ic *inputsCache) drop(n int) {
	for _, kept := range ic.kept[:n] {
		ic.bytes -= len(kept.inputs.data)
	}
	left := copy(ic.kept, ic.kept[n:])
	clear(ic.kept[left:])
	ic.kept = ic.kept[:left]
}

// get loads what is not kept; what fits in one part is not.
func (ic *inputsCache) get(k dag.Key, attempt int32, part int, load func() (wholeInputs, error)) (wholeInputs, error) {
	ic.mu.Lock()
	now := time.Now()
	old := 0
	for old < len(ic.kept) && !ic.kept[old].until.After(now) {
		old++
	}
	ic.drop(old)
	for _, kept := range ic.kept {
		if kept.task == k && kept.attempt == attempt {
			ic.mu.Unlock()
			return kept.inputs, nil
		}
	}
	ic.mu.Unlock()
	inputs, err := load()
	if err != nil || len(inputs.data) <= part {
		return inputs, err
	}
	ic.mu.Lock()
	defer ic.mu.Unlock()
	for len(ic.kept) > 0 && ic.bytes+len(inputs.data) > keepInputs {
		ic.drop(1)
	}
	ic.kept = append(ic.kept, keptInputs{k, attempt, inputs, now.Add(keepInputsFor)})
	ic.bytes += len(inputs.data)
	return inputs, nil
}

// runProgress records what running executors report, and tells those who watch.
func (c *Coordinator) runProgress(ctx context.Context) error {
	return c.serve(ctx, queue.Progress, 256, func(ctx context.Context, batch []request) {
		latest := map[dag.Key]*workerv1.Progress{}
		for _, r := range batch {
			c.announceLive(r.worker, c.decodeProgress(ctx, r.data, latest))
		}
		var all []pg.Progress
		for k, p := range latest {
			all = append(all, pg.Progress{Task: k, Attempt: int32(p.Attempt.Number), Fraction: p.Fraction})
			c.announceProgress(k, p)
		}
		if len(all) == 0 {
			return
		}
		if err := c.store.SetProgress(ctx, all); err != nil {
			c.log.Warn("progress could not be recorded", "error", err)
		}
	})
}

// decodeProgress adds what a message reports, if it may, in place of what was reported of the same tasks before, and gives what it tells
// live.
func (c *Coordinator) decodeProgress(ctx context.Context, data []byte, latest map[dag.Key]*workerv1.Progress) (told []*workerv1.Live) {
	m := &workerv1.ProgressBatch{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil
	}
	for _, p := range m.Progress {
		k, n := dag.Key(p.GetAttempt().GetTask()), int32(p.GetAttempt().GetNumber())
		if c.proves(ctx, k, n, p.Token) && p.Fraction >= 0 && p.Fraction <= 1 && envelope.OpenProgress(c.attemptKey(k, n, p.Token), p) == nil {
			latest[k] = p
		}
	}
	for _, l := range m.Live {
		if l = c.checkedLive(ctx, l); l != nil {
			told = append(told, l)
		}
	}
	return told
}
