package coordinator

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// request is one request of a worker that waits for its batch.
type request struct {
	worker string
	data   []byte
	reply  func([]byte)
}

// serve collects requests of a kind and hands them to handle in batches: all that have arrived while the batch before
// was handled. What waits is bounded, in all and for each worker (see [room]); above that a request is dropped, and its
// worker asks again.
func (c *Coordinator) serve(ctx context.Context, kind queue.Kind, most int, handle func(context.Context, []request)) error {
	waiting := make(chan request, 4096)
	room := newRoom()
	var done sync.WaitGroup
	done.Go(func() {
		for first := range waiting {
			batch, bytes := []request{first}, len(first.data)
		fill:
			for len(batch) < most && bytes < batchBytes {
				select {
				case r, ok := <-waiting:
					if !ok {
						break fill
					}
					batch, bytes = append(batch, r), bytes+len(r.data)
				default:
					break fill
				}
			}
			for _, r := range batch {
				room.give(r.worker, len(r.data))
			}
			work, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			handle(work, batch)
			cancel()
		}
	})
	err := c.queue.Serve(ctx, kind, func(worker string, data []byte, reply func([]byte)) {
		if room.take(worker, len(data)) {
			select {
			case waiting <- request{worker, data, reply}:
				return
			default:
				room.give(worker, len(data))
			}
		}
		c.dropped(kind)
		busy(kind, reply)
	})
	close(waiting)
	done.Wait()
	return err
}

func (c *Coordinator) runClaims(ctx context.Context) error {
	return c.serve(ctx, queue.Claim, 64, c.claim)
}

// asked is a claim request, decoded, and where its grants lie in the batch.
type asked struct {
	request
	grants   []*workerv1.Grant
	verdicts []workerv1.Verdict
	index    []int // of each grant in the batch's claims; -1: decided already
}

// claim answers a batch of claim requests in as few transactions as its size allows.
func (c *Coordinator) claim(ctx context.Context, batch []request) {
	begin := time.Now()
	if err := c.freshSecrets(ctx); err != nil {
		c.claimed(0, time.Since(begin), err) // the workers ask again
		return
	}
	var all []asked
	var claims []dag.Claim
	for _, r := range batch {
		a, more := c.decodeClaim(ctx, r, len(claims))
		all = append(all, a)
		claims = append(claims, more...)
	}
	verdicts := make([]dag.Verdict, 0, len(claims))
	var failed error
	for from := 0; from < len(claims) && failed == nil; from += c.cfg.Batch {
		part := claims[from:min(from+c.cfg.Batch, len(claims))]
		got, eff, err := c.store.Claim(ctx, part)
		if err != nil {
			failed = err
			break
		}
		failpoint.Hit("coordinator.after-claim-commit")
		verdicts = append(verdicts, got...)
		defer c.after(ctx, eff)
	}
	for _, a := range all {
		for i, at := range a.index {
			if at >= 0 && at < len(verdicts) {
				a.verdicts[i] = verdictOf(verdicts[at])
			}
		}
		reply := &workerv1.ClaimReply{Verdicts: a.verdicts, Keys: c.keysOf(&a)}
		if data, err := proto.Marshal(reply); err == nil {
			a.reply(data)
		}
	}
	c.claimed(len(claims), time.Since(begin), failed)
	c.answered(ctx, all, begin)
}

// keysOf are the keys of the attempts that are granted; nil: the cluster does not seal.
func (c *Coordinator) keysOf(a *asked) [][]byte {
	if !c.seals() {
		return nil
	}
	keys := make([][]byte, len(a.grants))
	for i, g := range a.grants {
		if a.verdicts[i] == workerv1.Verdict_VERDICT_YES {
			keys[i] = c.keyFor(dag.Key(g.GetAttempt().GetTask()), int32(g.GetAttempt().GetNumber()), g.Token)
		}
	}
	return keys
}

func verdictOf(v dag.Verdict) workerv1.Verdict {
	switch v {
	case dag.Yes:
		return workerv1.Verdict_VERDICT_YES
	case dag.No:
		return workerv1.Verdict_VERDICT_NO
	}
	return workerv1.Verdict_VERDICT_UNSPECIFIED
}

func (c *Coordinator) decodeClaim(ctx context.Context, r request, base int) (asked, []dag.Claim) {
	a := asked{request: r}
	m := &workerv1.ClaimRequest{}
	if err := proto.Unmarshal(r.data, m); err != nil {
		c.log.Warn("a claim can't be read", "worker_id", r.worker, "error", err)
		return a, nil
	}
	a.grants, a.verdicts = m.Grants, make([]workerv1.Verdict, len(m.Grants))
	a.index = make([]int, len(m.Grants))
	who := c.instances.of(ctx, r.worker, m.Instance)
	var claims []dag.Claim
	forged := 0
	for i, g := range m.Grants {
		k, n := dag.Key(g.GetAttempt().GetTask()), int32(g.GetAttempt().GetNumber())
		a.index[i] = -1
		v, decided := c.judge(ctx, k, n, g.Token, who)
		if decided {
			a.verdicts[i] = verdictOf(v)
			if v == dag.No {
				forged++
			}
			continue
		}
		a.index[i] = base + len(claims)
		claims = append(claims, dag.Claim{Task: k, Attempt: n, Worker: who.Key, Facts: dag.Facts(g.GetFacts())})
	}
	c.forged("claims", r.worker, forged)
	return a, claims
}

// judge answers a claim that needs no look at its row; see [workers.Tokens.Claim].
func (c *Coordinator) judge(ctx context.Context, k dag.Key, attempt int32, token []byte, who instance) (v dag.Verdict, decided bool) {
	v, decided = c.tokens.Claim(k, attempt, token, who.Instance)
	if !decided || v != dag.Undecided || who.Key == 0 {
		return v, decided
	}
	switch c.proof(ctx, k, attempt, token) { // its generation was not known
	case workers.Unknown:
		return dag.Undecided, true
	case workers.Forged:
		return dag.No, true
	}
	return c.tokens.Claim(k, attempt, token, who.Instance)
}

// instances remembers which worker an instance belongs to.
type instances struct {
	store *pg.Store

	mu    sync.Mutex
	known map[string]instance
}

// instance is one run of a worker.
type instance struct {
	workers.Instance
	worker string // the worker's id
}

// maxInstances bounds the memory of instances; when it is full, all are looked up anew.
const maxInstances = 10_000

func newInstances(store *pg.Store) *instances {
	return &instances{store: store, known: map[string]instance{}}
}

// of looks an instance up. An instance that says it belongs to another worker than the one whose subject it used is
// nobody.
func (i *instances) of(ctx context.Context, worker, name string) instance {
	i.mu.Lock()
	found, ok := i.known[name]
	i.mu.Unlock()
	if !ok {
		list, err := i.store.Instances(ctx, name)
		if err != nil || len(list) == 0 {
			return instance{}
		}
		for _, in := range list {
			if in.Instance == name {
				found.Key, found.worker = in.Key, in.ID
			} else {
				found.Before = append(found.Before, in.Key)
			}
		}
		i.mu.Lock()
		if len(i.known) >= maxInstances {
			clear(i.known)
		}
		i.known[name] = found
		i.mu.Unlock()
	}
	if found.worker != worker {
		return instance{}
	}
	return found
}
