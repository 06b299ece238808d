package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Watch yields the events of the current execution of a task's tree with sequence numbers greater than after (0: all), and
// ends with the final one. After a lost connection it resumes automatically until ctx ends, and misses no event that has a
// sequence number. Any other error is yielded and ends it.
func (c *Client) Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for try := 0; ; try++ {
			before := after
			done, err := c.watch(ctx, id, &after, func(e *Event) bool { return yield(e, nil) })
			switch {
			case done:
				return
			case err == nil:
				return // the server had nothing more to tell
			case !lost(err):
				yield(nil, wrap(ctx, err, "watch %s", id))
				return
			}
			if after > before {
				try = 0
			}
			if err := c.pause(ctx, try, err); err != nil {
				yield(nil, wrap(ctx, err, "watch %s", id))
				return
			}
		}
	}
}

// watch handles events until the final one or until handle has enough (done), or the stream ends.
func (c *Client) watch(ctx context.Context, id string, after *int64, handle func(*Event) bool) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := c.rpc.Watch(ctx, &pb.WatchRequest{Id: id, After: *after})
	if err != nil {
		return false, err
	}
	for {
		got, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if got.Sequence > 0 {
			*after = got.Sequence
		}
		if !handle(eventOf(got)) || EventType(got.Type) == EventFinal {
			return true, nil
		}
	}
}

// Wait blocks until the tree of a task is not executing, and returns it. The tree's Status says how it ended; a failed tree is
// not an error. A tree that was only stored (see [Hold]) would not end by waiting: [ErrConflict].
func (c *Client) Wait(ctx context.Context, id string) (*Tree, error) {
	for {
		tree, err := c.Tree(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case tree.Held == tree.Tasks:
			return nil, &Error{Op: "wait for " + id, Err: ErrConflict, Text: "the tree is held: nobody has executed it"}
		case tree.Ended():
			return tree, nil
		}
		for event, err := range c.Watch(ctx, id, tree.Sequence) {
			if err != nil {
				return nil, err
			}
			if event.Type == EventFinal && event.Tree != nil && event.Tree.Ended() {
				return event.Tree, nil
			}
		}
		if err := c.pause(ctx, 0, nil); err != nil { // the events ended before the tree
			return nil, wrap(ctx, err, "wait for %s", id)
		}
	}
}

// SubmitAndWait is [Client.Submit] and [Client.Wait] in one. [Submitted.ID] gives the ids of the tasks, for [Result]. An error
// without Submitted means that the tree may not have been accepted; with it, that waiting failed. [Hold] is an [InvalidError].
func (c *Client) SubmitAndWait(ctx context.Context, tasks []NewTask, options ...SubmitOption) (*Submitted, *Tree, error) {
	if newSubmission(options).options.Hold {
		const reason = "a held tree does not start, so there is nothing to wait for"
		return nil, nil, &Error{Op: "submit and wait", Err: &InvalidError{Text: reason, Faults: []Fault{{Field: "hold", Reason: reason}}}}
	}
	sub, err := c.Submit(ctx, tasks, options...)
	if err != nil {
		return nil, nil, err
	}
	tree, err := c.Wait(ctx, sub.TreeID)
	return sub, tree, err
}

// Result decodes the result of a task. It does not wait: it returns a [*TaskError] if the task has not completed.
func Result[T any](ctx context.Context, c *Client, taskID string) (T, error) {
	var out T
	task, err := c.Task(ctx, taskID)
	if err != nil {
		return out, err
	}
	if task.Status != StatusCompleted {
		return out, &TaskError{task}
	}
	if len(task.Result) == 0 { // null
		return out, nil
	}
	if err := json.Unmarshal(task.Result, &out); err != nil {
		return out, fmt.Errorf("result of %s: %w", taskID, err)
	}
	return out, nil
}
