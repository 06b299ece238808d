package coordinator

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Parts of large results come as requests, and in RESULTS when no coordinator could store them: there they wait, as small results
// do, and nothing is taken back from their worker before they are stored.

const (
	partsAtOnce = 64                     // the most parts of results in one transaction
	partsPause  = 200 * time.Millisecond // after which a result is looked at again whose parts are on their way
	maxParts    = 1 << 16                // rows that one result may take; 1 GiB in parts of workers' usual size are 2048
)

// runChunks stores parts of large results, those that wait in one transaction.
func (c *Coordinator) runChunks(ctx context.Context) error {
	return c.serve(ctx, queue.Chunk, partsAtOnce, func(ctx context.Context, batch []request) {
		for i, reply := range c.chunks(ctx, batch) {
			if data, err := proto.Marshal(reply); err == nil {
				batch[i].reply(data)
			}
		}
	})
}

// chunks stores the parts that are fit to be stored and answers all.
func (c *Coordinator) chunks(ctx context.Context, batch []request) []*workerv1.ChunkReply {
	replies := make([]*workerv1.ChunkReply, len(batch))
	var parts []pg.Chunk
	var at []int // in batch
	for i, r := range batch {
		part, refusal := c.decodeChunk(ctx, r)
		if refusal != nil {
			replies[i] = refusal
			continue
		}
		parts, at = append(parts, part), append(at, i)
	}
	if len(parts) == 0 {
		return replies
	}
	failpoint.Hit("coordinator.before-chunk-commit")
	stored, err := c.store.PutChunks(ctx, parts)
	if err == nil {
		failpoint.Hit("coordinator.after-chunk-commit")
	} else {
		c.log.Warn("parts of results could not be stored", "parts", len(parts), "error", err)
	}
	for j, i := range at {
		switch {
		case err != nil:
			away := pg.Unreachable(err)
			replies[i] = &workerv1.ChunkReply{Error: "not stored, try again", Busy: away, Away: away}
		case !stored[j]:
			replies[i] = &workerv1.ChunkReply{Error: "the attempt is over", Final: true}
		default:
			replies[i] = &workerv1.ChunkReply{}
		}
	}
	return replies
}

// decodeChunk reads a request for a part, or says why it is refused.
func (c *Coordinator) decodeChunk(ctx context.Context, r request) (pg.Chunk, *workerv1.ChunkReply) {
	m := &workerv1.ChunkRequest{}
	if err := proto.Unmarshal(r.data, m); err != nil {
		return pg.Chunk{}, &workerv1.ChunkReply{Error: "the request can't be read", Final: true}
	}
	part, refusal, final := c.part(ctx, m)
	if refusal != "" {
		return pg.Chunk{}, &workerv1.ChunkReply{Error: refusal, Final: final, Busy: !final}
	}
	return part, nil
}

// part checks a part and opens it, and says why it is refused; final: for good.
func (c *Coordinator) part(ctx context.Context, m *workerv1.ChunkRequest) (part pg.Chunk, refusal string, final bool) {
	k, n := dag.Key(m.GetGrant().GetAttempt().GetTask()), int32(m.GetGrant().GetAttempt().GetNumber())
	switch c.proof(ctx, k, n, m.GetGrant().GetToken()) {
	case workers.Proved:
	case workers.Unknown:
		return pg.Chunk{}, "the token can't be checked now", false
	default:
		return pg.Chunk{}, "wrong token", true
	}
	if err := envelope.OpenPart(c.attemptKey(k, n, m.Grant.Token), m); err != nil {
		return pg.Chunk{}, err.Error(), true
	}
	// Parts of one size, as workers send them, make up a result of at most that many bytes.
	if size := uint64(len(m.Data)); m.Index >= m.Count || uint64(m.Count-1)*size > uint64(c.cfg.MaxResult) {
		return pg.Chunk{}, fmt.Sprintf("part %d of %d with %d bytes: a result has at most %d bytes in all", m.Index, m.Count, size, c.cfg.MaxResult), true
	}
	if len(m.Data) == 0 && m.Count > 1 || m.Count > maxParts {
		return pg.Chunk{}, fmt.Sprintf("%d parts of %d bytes: send at most %d, none of them empty", m.Count, len(m.Data), maxParts), true
	}
	return pg.Chunk{Task: k, Attempt: n, Index: int32(m.Index), Count: int32(m.Count), Data: m.Data}, "", false
}

// storeParts stores the parts of a batch from RESULTS, and waits for a Postgres that is away. What Postgres rejects is left out:
// its result is found incomplete.
func (c *Coordinator) storeParts(ctx context.Context, batch []delivery) error {
	var parts []pg.Chunk
	for _, d := range batch {
		parts = append(parts, d.parts...)
	}
	for from := 0; from < len(parts); from += partsAtOnce {
		some := parts[from:min(from+partsAtOnce, len(parts))]
		failpoint.Hit("coordinator.before-part-commit")
		err := c.persist(ctx, "store parts of results", func(ctx context.Context) error {
			_, err := c.store.PutChunks(ctx, some) // those of attempts that are over are of no use
			return err
		})
		switch {
		case err == nil:
			failpoint.Hit("coordinator.after-part-commit")
		case pg.Lasting(err):
			c.log.Error("parts of results can't be stored and are left out", "parts", len(some), "error", err)
		default:
			return err
		}
	}
	return nil
}

// withhold takes the results out of a batch whose parts are not all stored, into their delivery's incomplete.
func (c *Coordinator) withhold(ctx context.Context, batch []delivery) error {
	asked := map[pg.PartsOf]bool{}
	var list []pg.PartsOf
	for _, d := range batch {
		for of := range d.partsBefore {
			if !asked[of] {
				asked[of] = true
				list = append(list, of)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	var lacking []pg.PartsOf
	err := c.persist(ctx, "look for parts of results", func(ctx context.Context) (err error) {
		lacking, err = c.store.Incomplete(ctx, list)
		return err
	})
	if err != nil {
		return err
	}
	lacks := map[pg.PartsOf]bool{}
	for _, of := range lacking {
		lacks[of] = true
	}
	for i := range batch {
		d := &batch[i]
		kept := make([]dag.Result, 0, len(d.results))
		for _, r := range d.results {
			if of := (pg.PartsOf{Task: r.Task, Attempt: r.Attempt}); d.partsBefore[of] && lacks[of] {
				d.incomplete = append(d.incomplete, of)
			} else {
				kept = append(kept, r)
			}
		}
		d.results = kept
	}
	return nil
}

// answer acks a message whose results are recorded. One with a result that lacks parts comes again while they may still come: all
// results that lie before it are settled first. After that its worker is asked for them; if that is gone, the attempt goes back
// when its lease ends.
func (c *Coordinator) answer(ctx context.Context, d *delivery) {
	if len(d.incomplete) == 0 {
		d.message.Ack()
		return
	}
	_, settled, _, err := c.queue.ResultsEnd(ctx)
	if err != nil || settled+1 < d.message.Sequence {
		d.message.Nak(partsPause)
		return
	}
	news := &workerv1.News{}
	for _, of := range d.incomplete {
		news.Incomplete = append(news.Incomplete, attemptOf(of.Task, of.Attempt))
	}
	c.log.Warn("parts of results were lost: their worker is asked for them", "worker_id", d.message.Worker, "results", len(news.Incomplete))
	c.tell(d.message.Worker, news)
	d.message.Ack()
}
