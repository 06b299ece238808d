package coordinator

import (
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Logs yields what executors wrote; see [Watcher].
func (c *Coordinator) Logs(ctx context.Context, f LogFilter) iter.Seq2[*LogLine, error] {
	return func(yield func(*LogLine, error) bool) {
		source, err := c.logSource(ctx, f)
		if err != nil {
			yield(nil, err)
			return
		}
		r := &logReader{filter: f, open: c.openLogs(ctx), labels: source.labels, kept: tail{most: f.Tail}, yield: func(l *LogLine) bool { return yield(l, nil) }}
		told, err := c.archivedLogs(ctx, source, f, func(l *workerv1.LogLine) bool { r.take(l); return !r.left })
		if r.left || ctx.Err() != nil {
			return
		}
		if err != nil {
			yield(nil, c.internal("read logs", err))
			return
		}
		r.told = told
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if f.Follow {
			go c.cancelWhenEnded(ctx, source.ended, cancel)
		}
		q := queue.LogQuery{Tasks: source.keys, Follow: f.Follow}
		if !f.Since.IsZero() {
			q.Since = f.Since.Add(-clockSkew)
		}
		if err := c.queue.ReadLogs(ctx, q, r.batch); err != nil && !r.left && ctx.Err() == nil {
			yield(nil, unavailable(err))
			return
		}
		if !r.left {
			r.flush() // there is no stream
		}
	}
}

// clockSkew is by how much a line's time, which its worker gives, may be behind that of NATS, which stores it.
const clockSkew = time.Minute

// logSource is whose lines are read.
type logSource struct {
	keys   []int64
	labels map[dag.Key]pg.Label
	ended  func(ctx context.Context) (bool, error) // whether no more lines come

	from, end dag.Key   // range of keys
	since     time.Time // when the tree was made: there are no older lines
}

// logSource finds the tasks that a filter selects, and checks the filter.
func (c *Coordinator) logSource(ctx context.Context, f LogFilter) (*logSource, error) {
	switch {
	case f.Attempt < 0:
		return nil, &InvalidArgumentError{Field: "attempt", Reason: "must not be negative"}
	case f.Attempt > 0 && f.Tree:
		return nil, &InvalidArgumentError{Field: "attempt", Reason: "is of one task, and not of a whole tree"}
	case f.Tail < 0 || f.Tail > MaxTail:
		return nil, &InvalidArgumentError{Field: "tail", Reason: fmt.Sprintf("must be 0 to %d", MaxTail)}
	case f.Tree:
		return c.treeLogs(ctx, f.TaskID)
	}
	return c.taskLogs(ctx, f.TaskID, f.Attempt)
}

func (c *Coordinator) taskLogs(ctx context.Context, id string, attempt int) (*logSource, error) {
	t, err := c.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	begun := t.Attempt
	if t.StartedAt.IsZero() {
		begun--
	}
	if attempt > max(begun, 0) {
		return nil, &InvalidArgumentError{Field: "attempt", Reason: fmt.Sprintf("attempt %d of %s has not begun: there are %d", attempt, id, max(begun, 0))}
	}
	return &logSource{
		from: t.Key, end: t.Key + 1, since: t.CreatedAt,
		keys: []int64{int64(t.Key)}, labels: map[dag.Key]pg.Label{t.Key: {ID: t.ID, Name: t.Name}},
		ended: func(ctx context.Context) (bool, error) {
			t, err := c.shownTask(ctx, id)
			return err == nil && t.State.Settled(), err
		},
	}, nil
}

func (c *Coordinator) treeLogs(ctx context.Context, id string) (*logSource, error) {
	k, err := c.keyOf(ctx, id)
	if err != nil {
		return nil, err
	}
	tree, err := c.store.Tree(ctx, k.Tree())
	if err != nil {
		return nil, c.internal("read tree", err)
	}
	if tree.Tasks > MaxLogTasks {
		return nil, &InvalidArgumentError{Field: "tree", Reason: fmt.Sprintf(
			"%s has %d tasks; logs of whole trees are read up to %d tasks: name a task", tree.ID, tree.Tasks, MaxLogTasks)}
	}
	from, end := k.Tree().Range()
	source := &logSource{from: from, end: end, since: tree.CreatedAt, ended: func(ctx context.Context) (bool, error) {
		t, err := c.store.Tree(ctx, k.Tree())
		return err == nil && t.Unfinished == 0, err
	}}
	keys, labels, err := c.store.LabelsIn(ctx, k.Tree(), MaxLogTasks)
	if err != nil {
		return nil, c.internal("read tree", err)
	}
	source.labels = labels
	for _, k := range keys {
		source.keys = append(source.keys, int64(k))
	}
	return source, nil
}

// logsGrace is how long after its task settled the last lines of a log may arrive.
const logsGrace = 500 * time.Millisecond

// cancelWhenEnded ends a followed log once no more lines come. It ends with ctx.
func (c *Coordinator) cancelWhenEnded(ctx context.Context, ended func(context.Context) (bool, error), cancel context.CancelFunc) {
	for {
		if over, err := ended(ctx); err == nil && over {
			sleep(ctx, logsGrace)
			cancel()
			return
		}
		if !sleep(ctx, logsGrace) {
			return
		}
	}
}

// logReader makes lines of batches.
type logReader struct {
	filter LogFilter
	open   func(*workerv1.LogBatch) error
	labels map[dag.Key]pg.Label
	kept   tail                  // until all stored lines are read
	read   bool                  // they are
	left   bool                  // who reads wants no more
	told   map[attemptOfLog]bool // that are kept with the tree, and were told
	yield  func(*LogLine) bool
}

// batch takes one batch; left is how many stored ones follow.
func (r *logReader) batch(data []byte, left uint64) error {
	b := &workerv1.LogBatch{}
	if err := proto.Unmarshal(data, b); err != nil {
		b = &workerv1.LogBatch{} // not ours
	}
	if err := r.open(b); err != nil {
		b = unreadable(b)
	}
	for _, l := range b.Lines {
		if !r.told[attemptOfLog{dag.Key(l.GetAttempt().GetTask()), int32(l.GetAttempt().GetNumber())}] {
			r.take(l)
		}
	}
	if left == 0 {
		r.flush()
	}
	if r.left {
		return context.Canceled
	}
	return nil
}

// flush tells the last lines of those that are stored.
func (r *logReader) flush() {
	if r.read {
		return
	}
	r.read = true
	for _, l := range r.kept.lines {
		r.tell(l)
	}
	r.kept.lines = nil
}

// take takes a line as its worker sent it.
func (r *logReader) take(l *workerv1.LogLine) {
	label := r.labels[dag.Key(l.GetAttempt().GetTask())]
	r.line(&LogLine{TaskID: label.ID, Name: label.Name, Attempt: int(l.GetAttempt().GetNumber()), Number: int64(l.Number), Stream: l.Stream,
		Text: l.Text, At: time.UnixMicro(l.UnixUs)})
}

func (r *logReader) line(l *LogLine) {
	switch {
	case r.filter.Attempt != 0 && l.Attempt != r.filter.Attempt, l.At.Before(r.filter.Since):
	case r.filter.Tail > 0 && !r.read:
		r.kept.add(l)
	default:
		r.tell(l)
	}
}

func (r *logReader) tell(l *LogLine) { r.left = r.left || !r.yield(l) }

// tailBytes bounds the text of the lines that are kept for a reader who wants the last ones.
const tailBytes = 16 << 20

// tail keeps the last lines.
type tail struct {
	most  int
	lines []*LogLine
	bytes int
}

func (t *tail) add(l *LogLine) {
	t.lines, t.bytes = append(t.lines, l), t.bytes+len(l.Text)
	for len(t.lines) > t.most || t.bytes > tailBytes {
		t.bytes -= len(t.lines[0].Text)
		t.lines = t.lines[1:]
	}
}
