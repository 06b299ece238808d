package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Blocks of files that tasks make lie in a stream of their own, ARTIFACTS, one message for each under a subject of its own. It has no age: who
// puts blocks there drops them. It is JetStream's object store but for the metadata, which is in Postgres: an object of its needs three
// round trips where this needs one, leaves a marker for ever when it is deleted, and takes its parts from one writer in order. The stream is
// made with the first block. No worker reaches it: coordinators put and get for them.

// Errors of blocks.
var (
	// ErrNoBlock: there is no such block.
	ErrNoBlock = errors.New("no such block")
	// ErrOtherBlock: another one is stored in that place.
	ErrOtherBlock = errors.New("another block is stored in that place")
	// ErrBlocksFull: the stream, or the server, has no room.
	ErrBlocksFull = errors.New("the stream of artifacts is full")
)

const (
	wrongLastSequence = 10071 // JetStream's code for a message on a subject that was expected to be empty
	// blockStale is how long a block may be missing on a server that follows: a direct read may ask it.
	blockStale = 3 * time.Second
)

func (c *Conn) blocksConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              c.names.artifacts,
		Description:       "blocks of files that tasks made",
		Subjects:          []string{c.names.subject(block, ">")},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          c.cfg.Replicas,
		Duplicates:        dedupWindow,
		MaxBytes:          c.cfg.ArtifactBytes,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		AllowDirect:       true,
	}
}

func (c *Conn) blockSubject(content string, index int) string {
	return c.names.subject(block, content) + "." + strconv.Itoa(index)
}

// PutBlock stores a block of a content that is not there yet. The same block again is no error; [ErrOtherBlock], [ErrBlocksFull]. content is
// one token of a subject.
func (c *Conn) PutBlock(ctx context.Context, content string, index int, data []byte) error {
	subject := c.blockSubject(content, index)
	err := c.call(ctx, func(ctx context.Context) error {
		put := func() error {
			_, err := c.js.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithRetryAttempts(0))
			return err
		}
		err := put()
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			if err = c.ensureBlocks(ctx); err == nil {
				err = put()
			}
		}
		return err
	})
	if bad, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case bad.ErrorCode == wrongLastSequence:
			is, err := c.Block(ctx, content, index)
			if err == nil && !bytes.Equal(is, data) {
				err = ErrOtherBlock
			}
			return err
		case bad.ErrorCode == storeFailed, bad.ErrorCode == insufficientStorage:
			return fmt.Errorf("%w: %s", ErrBlocksFull, bad.Description)
		}
	}
	if err != nil {
		return fmt.Errorf("store block %d of %s: %w", index, content, err)
	}
	return nil
}

// ensureBlocks makes the stream.
func (c *Conn) ensureBlocks(ctx context.Context) error {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	return c.ensureFitting(ctx, c.blocksConfig())
}

// Block gives a block. [ErrNoBlock], also where the stream is not there.
func (c *Conn) Block(ctx context.Context, content string, index int) (data []byte, err error) {
	began := time.Now()
	for {
		err = c.call(ctx, func(ctx context.Context) error {
			stream, err := c.blocksHandle(ctx)
			if err != nil {
				return err
			}
			m, err := stream.GetLastMsgForSubject(ctx, c.blockSubject(content, index))
			if err == nil {
				data = m.Data
			}
			if errors.Is(err, nats.ErrNoResponders) { // no stream, or no leader
				if _, lacking := c.js.Stream(ctx, c.names.artifacts); lacking != nil {
					return lacking
				}
			}
			return err
		})
		missing := errors.Is(err, jetstream.ErrMsgNotFound)
		switch {
		case missing && c.cfg.Replicas > 1 && time.Since(began) < blockStale && ctx.Err() == nil:
			time.Sleep(blockStale / 20) // a server that follows may not have it yet
			continue
		case missing, errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, ErrNoBlock
		case err != nil:
			return nil, fmt.Errorf("read block %d of %s: %w", index, content, err)
		}
		return data, nil
	}
}

// blocksHandle is asked for once: a handle only names the stream.
func (c *Conn) blocksHandle(ctx context.Context) (jetstream.Stream, error) {
	c.mu.Lock()
	is := c.blocks
	c.mu.Unlock()
	if is != nil {
		return is, nil
	}
	is, err := c.js.Stream(ctx, c.names.artifacts)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.blocks = is
	c.mu.Unlock()
	return is, nil
}

// DropBlocks deletes all blocks of a content. It is idempotent.
func (c *Conn) DropBlocks(ctx context.Context, content string) error {
	err := c.call(ctx, func(ctx context.Context) error {
		stream, err := c.blocksHandle(ctx)
		if err != nil {
			return err
		}
		return stream.Purge(ctx, jetstream.WithPurgeSubject(c.names.subject(block, content)+".*"))
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("drop blocks of %s: %w", content, err)
	}
	return nil
}

// BlocksUsage is how many bytes the blocks take in one copy, and how many they may; most is 0 where the stream has no bound of its own.
func (c *Conn) BlocksUsage(ctx context.Context) (used, most int64, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		stream, err := c.blocksHandle(ctx)
		if err != nil {
			return err
		}
		info, err := stream.Info(ctx)
		if err == nil {
			used, most = int64(info.State.Bytes), max(info.Config.MaxBytes, 0)
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, c.cfg.ArtifactBytes, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look at stream %s: %w", c.names.artifacts, err)
	}
	return used, most, nil
}
