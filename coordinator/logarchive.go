package coordinator

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Logs of attempts that have ended are kept with their tree, compressed. Where LOGS has dropped something since the tree was made, they are read instead.

const (
	archivedAtOnce = 1000
	maxFrame       = 1 << 20 // of an archive
	maxFramePlain  = 4 << 20
)

var logDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxFramePlain), zstd.WithDecoderConcurrency(0)) // of these options none fails
	return d
})

// attemptOfLog names an attempt whose log was read.
type attemptOfLog struct {
	task   dag.Key
	number int32
}

// archivedLogs tells the lines of attempts whose logs are kept with the tree, if LOGS may lack some of them, attempt by attempt, and which attempts
// these are.
func (c *Coordinator) archivedLogs(ctx context.Context, source *logSource, f LogFilter, tell func(*workerv1.LogLine) bool) (told map[attemptOfLog]bool, err error) {
	begins, err := c.queue.LogsBegin(ctx)
	if err != nil || !begins.IsZero() && begins.Before(source.since.Add(-clockSkew)) {
		return nil, nil //nolint:nilerr // what reads the stream tells
	}
	from, end := source.from, source.end
	after := &pg.Artifact{}
	for {
		list, err := c.store.ArtifactsIn(ctx, from, end, after, []int16{pg.ArtifactLog}, archivedAtOnce)
		if err != nil {
			return nil, err
		}
		for i := range list {
			a := &list[i]
			if f.Attempt != 0 && a.Attempt != int32(f.Attempt) {
				continue
			}
			if err := c.archivedLog(ctx, a, tell); err != nil {
				if ctx.Err() != nil || errors.Is(err, errLeft) {
					return told, err
				}
				c.log.Warn("a log that is kept with its tree can't be read", "task_id", a.TaskID, "attempt", a.Attempt, "error", err)
				continue // the stream may have it
			}
			if told == nil {
				told = map[attemptOfLog]bool{}
			}
			told[attemptOfLog{a.Task, a.Attempt}] = true
		}
		if len(list) < archivedAtOnce {
			return told, nil
		}
		after = &list[len(list)-1]
	}
}

// archivedLog tells the lines of one attempt.
func (c *Coordinator) archivedLog(ctx context.Context, a *pg.Artifact, tell func(*workerv1.LogLine) bool) error {
	var content io.Reader
	if a.Content == nil {
		data, err := c.store.ArtifactData(ctx, a)
		if err != nil {
			return err
		}
		content = artifact.NewReader(ctx, int64(len(data)), max(len(data), 1), 0, func(context.Context, int) ([]byte, error) { return data, nil })
	} else {
		content = artifact.NewReader(ctx, a.Size, a.Content.Block, 0, func(ctx context.Context, index int) ([]byte, error) { return c.blockOf(ctx, a.Content, index) })
	}
	return eachArchived(content, func(b *workerv1.LogBatch) error {
		for _, l := range b.Lines {
			l.Attempt = attemptOf(a.Task, a.Attempt)
			if !tell(l) {
				return errLeft
			}
		}
		return nil
	})
}

// errArchive: it is not what a worker makes.
var errArchive = errors.New("the log can't be read")

// eachArchived reads an archive: frames of zstd, each behind its length, each a LogBatch.
func eachArchived(content io.Reader, do func(*workerv1.LogBatch) error) error {
	r := bufio.NewReaderSize(content, 32<<10)
	for {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n > maxFrame {
			return errArchive
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return errors.Join(errArchive, err)
		}
		plain, err := logDecoder().DecodeAll(frame, nil)
		if err != nil {
			return errors.Join(errArchive, err)
		}
		b := &workerv1.LogBatch{}
		if err := proto.Unmarshal(plain, b); err != nil {
			return errors.Join(errArchive, err)
		}
		if err := do(b); err != nil {
			return err
		}
	}
}
