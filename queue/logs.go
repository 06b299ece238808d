package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	logsRetry     = 500 * time.Millisecond // before a reader tries again after something broke
	logsPoll      = 30 * time.Second       // how long a reader's request waits in the server
	logsHeartbeat = 5 * time.Second        // of such a request
	logsInactive  = time.Minute            // how long the server keeps the consumer of a reader that died
)

// PublishLogs stores log lines of a task (by its internal key), without waiting for an answer. For workers.
func (c *Conn) PublishLogs(task int64, data []byte) error {
	if err := c.nc.Publish(c.names.logSubject(c.cfg.Worker, task), data); err != nil {
		return fmt.Errorf("publish logs of task %d: %w", task, closedErr(err))
	}
	return nil
}

// LogsBegin is when the oldest stored batch was stored. Zero: there is none.
func (c *Conn) LogsBegin(ctx context.Context) (begins time.Time, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, c.names.logs)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err == nil && stream.CachedInfo().State.Msgs > 0 {
			begins = stream.CachedInfo().State.FirstTime
		}
		return err
	})
	if err != nil {
		return begins, fmt.Errorf("look where logs begin: %w", err)
	}
	return begins, nil
}

// LogQuery selects what [Conn.ReadLogs] reads.
type LogQuery struct {
	Tasks  []int64   // internal keys; at least one, each once
	Since  time.Time // only batches that were stored then or later; zero: all
	Follow bool      // also what is stored from now on
}

// ReadLogs calls handle for each stored batch of the tasks' lines, oldest first, with the number of stored ones that follow;
// with an empty batch if there are none. Without Follow it returns after the last one; with it it goes on with new ones until
// ctx ends. A missing stream counts as empty, and a follower makes it again: the server does not always announce a deletion. If handle returns an error, ReadLogs returns it.
func (c *Conn) ReadLogs(ctx context.Context, q LogQuery, handle func(batch []byte, left uint64) error) error {
	r := &logReader{conn: c, LogQuery: q, handle: handle}
	for {
		err := r.run(ctx)
		stop, stopped := errors.AsType[*handlerError](err)
		switch {
		case err == nil:
			return nil
		case stopped:
			return stop.error
		case ctx.Err() != nil:
			return fmt.Errorf("read logs of %s: %w", r.what(), ctx.Err())
		case !q.Follow && errors.Is(err, jetstream.ErrStreamNotFound):
			return nil
		case !q.Follow, errors.Is(err, ErrClosed):
			return fmt.Errorf("read logs of %s: %w", r.what(), err)
		}
		select {
		case <-ctx.Done():
		case <-c.closed:
			return fmt.Errorf("read logs of %s: %w", r.what(), ErrClosed)
		case <-time.After(logsRetry):
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) && ctx.Err() == nil {
			if err := c.makeAgain(ctx); err != nil {
				c.log.Error("make the stream of logs again", "error", err)
			}
		}
	}
}

// logReader reads batches in order and without gaps, even if connections break or consumers are deleted.
type logReader struct {
	conn *Conn
	LogQuery
	handle  func(batch []byte, left uint64) error
	begun   bool      // handle was called
	created time.Time // when the stream was created to which last belongs
	last    uint64    // sequence of the last handled message
}

func (r *logReader) what() string {
	if len(r.Tasks) == 1 {
		return fmt.Sprintf("task %d", r.Tasks[0])
	}
	return fmt.Sprintf("%d tasks", len(r.Tasks))
}

// run reads until the end, or until something breaks. It may then be called again.
func (r *logReader) run(ctx context.Context) error {
	var consumer jetstream.Consumer
	err := r.conn.call(ctx, func(ctx context.Context) (err error) {
		consumer, err = r.consumer(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer r.remove(ctx, consumer)
	left := consumer.CachedInfo().NumPending
	if left == 0 && !r.begun {
		if err := r.handle(nil, 0); err != nil {
			return &handlerError{err}
		}
	}
	r.begun = true
	if left == 0 && !r.Follow {
		return nil
	}
	batches, err := consumer.Messages(jetstream.PullHeartbeat(logsHeartbeat), jetstream.PullExpiry(logsPoll))
	if err != nil {
		return closedErr(err)
	}
	defer batches.Stop()
	epoch := r.conn.currentEpoch() // a restarted server has forgotten the consumer, and would not say so soon
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(epoch, cancel)()
	for expected := uint64(1); ; expected++ {
		batch, err := batches.Next(jetstream.NextContext(alive))
		if err != nil {
			return cmp.Or(context.Cause(epoch), closedErr(err))
		}
		at, err := batch.Metadata()
		if err != nil {
			return err
		}
		if at.Sequence.Consumer != expected {
			return fmt.Errorf("delivery %d came when %d was due", at.Sequence.Consumer, expected)
		}
		if err := r.handle(batch.Data(), at.NumPending); err != nil {
			return &handlerError{err}
		}
		r.last = at.Sequence.Stream
		if at.NumPending == 0 && !r.Follow {
			return nil
		}
	}
}

// consumer makes a short-lived consumer that begins after the last handled message.
func (r *logReader) consumer(ctx context.Context) (jetstream.Consumer, error) {
	stream, err := r.conn.js.Stream(ctx, r.conn.names.logs)
	if err != nil {
		return nil, err
	}
	if created := stream.CachedInfo().Created; !created.Equal(r.created) {
		r.created, r.last = created, 0
	}
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: logsInactive,
	}
	for _, task := range r.Tasks {
		cfg.FilterSubjects = append(cfg.FilterSubjects, r.conn.names.logSubject("*", task))
	}
	switch {
	case r.last > 0:
		cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		cfg.OptStartSeq = r.last + 1
	case !r.Since.IsZero():
		cfg.DeliverPolicy = jetstream.DeliverByStartTimePolicy
		cfg.OptStartTime = &r.Since
	}
	return stream.CreateConsumer(ctx, cfg)
}

// remove deletes the consumer, even after ctx has ended. If that fails, the server does it later.
func (r *logReader) remove(ctx context.Context, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.conn.call(ctx, func(ctx context.Context) error {
		return r.conn.js.DeleteConsumer(ctx, r.conn.names.logs, consumer.CachedInfo().Name)
	})
}

// handlerError marks an error of the caller's handler.
type handlerError struct{ error }
