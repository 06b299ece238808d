package coordinator

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Events are stored with the change that they tell of, in one transaction, and read from there. What goes over NATS is
// only the news that there are more: when it is lost, the next look finds them.

func topic(t dag.TreeKey) string { return fmt.Sprintf("tree.%d", t) }

// announce tells all coordinators that trees have new events.
func (c *Coordinator) announce(trees []pg.TreeSequence) {
	for _, t := range trees {
		if err := c.queue.PublishEvent(topic(t.Tree), nil); err != nil {
			c.log.Debug("the news of events could not be published", "tree_key", int64(t.Tree), "error", err)
			return
		}
	}
}

// announceProgress passes on what an executor reports.
func (c *Coordinator) announceProgress(k dag.Key, p *workerv1.Progress) {
	p.Token = nil
	if key := c.newsKey(k, int32(p.Attempt.Number)); key != nil {
		envelope.SealProgress(key, p)
	}
	if data, err := proto.Marshal(p); err == nil {
		_ = c.queue.PublishEvent(topic(k.Tree()), data) // at most once
	}
}
