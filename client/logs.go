package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// LogFilter selects lines of logs; zero fields don't filter.
type LogFilter struct {
	Tree    bool      // of all tasks of the task's tree, 1000 at most
	Attempt int       // only this one, which must have begun; not with Tree
	Tail    int       // only so many of the lines that are there, the last ones; at most 10000
	Since   time.Time // only lines that were written then or later
	Follow  bool      // then also what is written until the task, or with Tree the tree's execution, has ended
}

// Logs yields what a task's executor wrote. It stops after an error, and does not resume.
func (c *Client) Logs(ctx context.Context, taskID string, f LogFilter) iter.Seq2[*LogLine, error] {
	return func(yield func(*LogLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		stream, err := c.rpc.Logs(ctx, &pb.LogsRequest{TaskId: taskID, Tree: f.Tree, Attempt: int32(f.Attempt), Tail: int32(f.Tail),
			Since: stampOf(f.Since), Follow: f.Follow})
		for err == nil {
			var got *pb.LogLine
			if got, err = stream.Recv(); err != nil {
				break
			}
			line := &LogLine{TaskID: got.TaskId, Name: got.Name, Attempt: int(got.Attempt), Number: got.Number, Stream: got.Stream,
				Text: got.Text, At: at(got.At)}
			if !yield(line, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, wrap(ctx, err, "logs of %s", taskID))
		}
	}
}
