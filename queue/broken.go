package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// If a server fails to write to a stream, for instance because its disk is full, it stores no more messages of that stream
// until it is restarted, and answers publishers with an error or not at all (nats-server 2.15: a file store keeps its first
// write error). A stream that is made again works. This loses nothing: coordinators publish missing work again from
// Postgres, and workers keep results until the receipt.

const (
	// JetStream's codes for a message that could not be stored, because the stream is full or otherwise, and for settings
	// that could not be stored.
	storeFailed  = 10077
	updateFailed = 10069
	// brokenAfter is how long a stream must have refused all messages before it is made again: a server may be slow, and a
	// disk may be full only for a moment.
	brokenAfter = 10 * time.Second
	// probe takes the worker's place in the subject of the empty messages that test if RESULTS can store; probeWithin bounds
	// such a test.
	probe       = "probe"
	probeWithin = 1500 * time.Millisecond
)

// noted records whether publishing to a stream succeeded, and returns err.
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

// refusingSince tells since when a stream has refused everything that this connection published. Zero: it stored the last
// message.
func (c *Conn) refusingSince(stream string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusing[stream]
}

// deleteBroken deletes streams that have refused for long, so that they are made again. Workers publish results without
// hearing of refusals, so deleteBroken tests RESULTS itself.
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
		stream, err := c.js.Stream(ctx, name)                        // an answer shows that the server can be reached
		if err == nil && stream.CachedInfo().Created.Before(since) { // otherwise somebody has already made it again
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
