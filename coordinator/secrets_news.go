package coordinator

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// newsKey seals what coordinators tell one another of an attempt; nil: the cluster does not seal.
func (c *Coordinator) newsKey(k dag.Key, attempt int32) *attemptkey.Key {
	if !c.seals() {
		return nil
	}
	return c.attemptKey(k, attempt, c.tokens.Of(k, attempt))
}

// openKey is the key of an envelope that another coordinator, or a worker, has sealed for an attempt, if that is known.
func (c *Coordinator) openKey(ctx context.Context, a *workerv1.Attempt, sealed []byte) *attemptkey.Key {
	number, ok := attemptkey.Generation(sealed)
	if !ok {
		return nil
	}
	k, n := dag.Key(a.GetTask()), int32(a.GetNumber())
	key := c.tokens.KeyIn(number, k, n)
	if key == nil && c.lookForSecrets(ctx, time.Now().Add(-lookPause)) == nil {
		key = c.tokens.KeyIn(number, k, n)
	}
	return key
}

// openLogs opens the lines of a batch.
func (c *Coordinator) openLogs(ctx context.Context) func(*workerv1.LogBatch) error {
	return func(b *workerv1.LogBatch) error {
		if len(b.Sealed) == 0 {
			return nil
		}
		return envelope.OpenLogs(c.openKey(ctx, b.Attempt, b.Sealed), b)
	}
}

// unreadable stands for lines that can't be opened.
func unreadable(b *workerv1.LogBatch) *workerv1.LogBatch {
	return &workerv1.LogBatch{Lines: []*workerv1.LogLine{{Attempt: b.GetAttempt(), Number: b.GetFirst(), Stream: "log", UnixUs: time.Now().UnixMicro(),
		Text: "lines of this attempt can't be opened: they are damaged, or the secret that sealed them is gone"}}}
}
