package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// DropWork deletes the messages of WORK of which is says so, and overwrites them where they lie, and says how many. Workers that have one already get no other. A missing
// stream has none.
func (c *Conn) DropWork(ctx context.Context, is func(data []byte) bool) (dropped int, err error) {
	var stream jetstream.Stream
	err = c.call(ctx, func(ctx context.Context) (err error) {
		stream, err = c.js.Stream(ctx, c.names.work)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look through work: %w", err)
	}
	last := stream.CachedInfo().State.LastSeq
	for next := uint64(1); next <= last; next++ {
		var message *jetstream.RawStreamMsg
		err := c.call(ctx, func(ctx context.Context) (err error) {
			message, err = stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(c.names.subject(work, ">")))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return dropped, nil
		}
		if err != nil {
			return dropped, fmt.Errorf("look through work: %w", err)
		}
		next = message.Sequence
		if next > last || !is(message.Data) {
			continue
		}
		err = c.call(ctx, func(ctx context.Context) error { return stream.SecureDeleteMsg(ctx, message.Sequence) })
		switch {
		case err == nil:
			dropped++
		case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful): // it was acknowledged since
		default:
			return dropped, fmt.Errorf("delete a message of work: %w", err)
		}
	}
	return dropped, nil
}

// LoggedTasks calls look with the tasks (their internal keys) that have stored lines, and how many batches of them each has.
func (c *Conn) LoggedTasks(ctx context.Context, look func(task int64, batches uint64)) error {
	subjects := c.names.logSubject("*", 0)
	subjects = strings.TrimSuffix(subjects, "0") + "*"
	var found map[string]uint64
	err := c.call(ctx, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, c.names.logs)
		if err != nil {
			return err
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subjects))
		if err == nil {
			found = info.State.Subjects
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look which tasks have logs: %w", err)
	}
	for subject, batches := range found {
		if task, err := strconv.ParseInt(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64); err == nil {
			look(task, batches)
		}
	}
	return nil
}

// DropLogs deletes the stored lines of a task.
func (c *Conn) DropLogs(ctx context.Context, task int64) error {
	err := c.call(ctx, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, c.names.logs)
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(c.names.logSubject("*", task)))
		}
		return err
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete logs of task %d: %w", task, err)
	}
	return nil
}
