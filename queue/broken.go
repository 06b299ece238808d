package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A server that could not write to a stream once, as its disk was full, stores none of that stream's messages from then on,
// until it is restarted, and answers their publishers with an error or not at all (nats-server 2.15: a file store keeps its
// first write error). A stream made again works, and nothing is lost that Postgres does not know: coordinators publish again
// what is gone, and workers keep results until the receipt.

const (
	// JetStream's codes for a message that could not be stored, also in a stream that is full, and for settings that could
	// not be.
	storeFailed  = 10077
	updateFailed = 10069
	// brokenAfter is how long a stream must have stored nothing that was published before it is made again: a server may
	// be slow, and a disk full for a moment only.
	brokenAfter = 10 * time.Second
	// probe stands for the worker in the subject of the empty messages that try whether RESULTS can store, probeWithin.
	probe       = "probe"
	probeWithin = 1500 * time.Millisecond
)

// noted keeps books on what publishing to a stream came to, and returns err.
func (c *Conn) noted(stream string, err error) error {
	bad, answered := errors.AsType[*jetstream.APIError](err)
	refused := errors.Is(err, errStalled) || errors.Is(err, context.DeadlineExceeded)
	if answered {
		full := strings.HasPrefix(bad.Description, "maximum") // it has room again some day
		refused = bad.ErrorCode == storeFailed && !full || bad.ErrorCode == updateFailed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.refusing, stream)
	case refused && c.refusing[stream].IsZero():
		c.refusing[stream] = time.Now()
	}
	return err
}

// refusingSince is since when a stream has stored nothing that this connection published; zero: the last was stored.
func (c *Conn) refusingSince(stream string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusing[stream]
}

// deleteBroken deletes the streams that have been refusing for long, to be made again. Workers are told by nobody that
// RESULTS refuses theirs, so that it is tried here.
func (c *Conn) deleteBroken(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, probeWithin)
	_, err := c.js.Publish(within, c.names.subject(result, probe), nil, jetstream.WithRetryAttempts(0))
	cancel()
	if c.noted(c.names.results, err) != nil && ctx.Err() != nil {
		return err
	}
	for _, name := range []string{c.names.work, c.names.results} {
		since := c.refusingSince(name)
		if since.IsZero() || time.Since(since) < brokenAfter {
			continue
		}
		stream, err := c.js.Stream(ctx, name)                        // who answers this can be reached
		if err == nil && stream.CachedInfo().Created.Before(since) { // else somebody has made it again
			c.log.Warn("a stream can't store messages any more: it is made again", "stream", name, "since", since)
			err = c.js.DeleteStream(ctx, name)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s, which can't store: %w", name, closedErr(err))
		}
		_ = c.noted(name, nil)
	}
	return nil
}
