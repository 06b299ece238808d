package coordinator

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	modelKeysAtOnce = 16          // requests for keys that are looked at; workers ask again for what is over
	endedKeysEvery  = time.Minute // how often keys of executions that have ended are looked for
)

// keepKey keeps the key that came with a tree, for its first execution.
func (c *Coordinator) keepKey(ctx context.Context, out *pg.Submitted, key modelkey.Key) {
	tree := out.Tree
	if out.Replayed { // the key may have been lost with another coordinator
		k, err := c.keyOf(ctx, out.RootID)
		if err != nil {
			return
		}
		tree = k.Tree()
	}
	c.modelKeys.Put(int64(tree), 1, key)
}

// runModelKeys gives workers the keys of models that came with requests to this coordinator. Of what others were given it is silent, and so it
// is to workers that may not have a key.
func (c *Coordinator) runModelKeys(ctx context.Context) error {
	slots := make(chan struct{}, modelKeysAtOnce)
	var done sync.WaitGroup
	defer done.Wait()
	return c.queue.ServeAll(ctx, queue.ModelKey, func(worker string, data []byte, reply func([]byte)) {
		m := &workerv1.ModelKeyRequest{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		tree := int64(dag.Key(m.GetGrant().GetAttempt().GetTask()).Tree())
		if _, _, has := c.modelKeys.Get(tree); !has && c.userKeys.Empty() {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			return
		}
		done.Go(func() {
			defer func() { <-slots }()
			if data := c.sealedKeys(context.WithoutCancel(ctx), worker, m); data != nil {
				reply(data)
			}
		})
	})
}

// sealedKeys is the answer to a worker that runs the attempt for which it asks: the key that came with the request, then those that the owner of
// the tree has stored; nil: there are none, or the worker may not have them.
func (c *Coordinator) sealedKeys(ctx context.Context, worker string, m *workerv1.ModelKeyRequest) []byte {
	k, n := dag.Key(m.GetGrant().GetAttempt().GetTask()), int32(m.GetGrant().GetAttempt().GetNumber())
	if !c.proves(ctx, k, n, m.GetGrant().GetToken()) {
		return nil
	}
	run, err := c.store.KeyedRun(ctx, k, n, worker)
	if err != nil {
		c.log.Warn("whether a worker may have a key could not be read", "worker_id", worker, "error", err)
	}
	if run == nil {
		return nil
	}
	keys := c.userKeys.Of(keeper(c.spaces.name(ctx, run.Namespace), run.Owner))
	came, execution, has := c.modelKeys.Get(int64(k.Tree()))
	switch {
	case has && execution == run.Execution:
		keys = append([]modelkey.Key{came}, keys...)
	case len(keys) == 0 || !sleep(ctx, storedWait):
		return nil
	}
	reply := &workerv1.ModelKeyReply{}
	for i, key := range keys {
		sealed, err := modelkey.Seal(key, m.PublicKey)
		if err != nil {
			return nil
		}
		if i == 0 {
			reply.Sealed = sealed
		} else {
			reply.More = append(reply.More, sealed)
		}
	}
	data, err := proto.Marshal(reply)
	if err != nil {
		return nil
	}
	return data
}

// runEndedModelKeys drops keys of executions that have ended.
func (c *Coordinator) runEndedModelKeys(ctx context.Context) error {
	for sleep(ctx, endedKeysEvery) {
		before := time.Now()
		trees := c.modelKeys.Before(before)
		if len(trees) == 0 {
			continue
		}
		ended, err := c.store.EndedTrees(ctx, trees)
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("which keys are no longer needed could not be read", "error", err)
			}
			continue
		}
		c.modelKeys.Drop(ended, before)
	}
	return nil
}
