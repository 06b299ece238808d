package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// What an attempt wrote is compressed on its way into LOGS, and when it has ended, all of it goes to a coordinator, which keeps it with the attempt's
// tree. That is not in the way of the result, and costs an attempt without lines nothing. What a worker that is killed has not sent is in LOGS only.

const (
	archiveEvery      = 200 * time.Millisecond // between requests with small logs
	archiveSmall      = 16 << 10               // up to this size, logs of several attempts go in one request
	archiveBatch      = 256 << 10              // bytes in such a request
	archiveMost       = 4 << 20                // compressed, of one attempt; what comes after is in LOGS only
	archiveBytes      = 64 << 20               // compressed, in the whole worker
	archiveTries      = 5
	archiveWithin     = 30 * time.Second // of a large one
	archiveOffPause   = time.Minute      // for which nothing is archived where no coordinator takes it
	archiveAfterDrain = 3 * time.Second
)

// archived is the log of an attempt that has ended.
type archived struct {
	a     *attempt
	data  []byte
	tries int
}

// archive sends logs of attempts that have ended.
type archive struct {
	w     *Worker
	bytes atomic.Int64
	off   atomic.Int64 // until when nothing is archived, in Unix nanoseconds
	has   chan struct{}

	encoder func() *zstd.Encoder

	mu    sync.Mutex
	ended []*archived
}

func (r *archive) init(w *Worker) {
	r.w, r.has = w, make(chan struct{}, 1)
	r.encoder = sync.OnceValue(func() *zstd.Encoder {
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true)) // of these options none fails
		return e
	})
}

// add appends lines to what is kept of an attempt.
func (r *archive) add(kept []byte, lines []*workerv1.LogLine) []byte {
	if len(kept) >= archiveMost || r.bytes.Load() >= archiveBytes || r.off.Load() > time.Now().UnixNano() {
		return kept
	}
	short := make([]*workerv1.LogLine, len(lines))
	for i, l := range lines {
		short[i] = &workerv1.LogLine{UnixUs: l.UnixUs, Stream: l.Stream, Text: l.Text, Number: l.Number}
	}
	plain, err := proto.Marshal(&workerv1.LogBatch{Lines: short})
	if err != nil {
		return kept
	}
	frame := r.encoder().EncodeAll(plain, nil)
	before := len(kept)
	kept = append(binary.AppendUvarint(kept, uint64(len(frame))), frame...)
	r.bytes.Add(int64(len(kept) - before))
	return kept
}

// end takes the log of an attempt that has ended.
func (r *archive) end(a *attempt, data []byte) {
	if len(data) == 0 {
		return
	}
	r.mu.Lock()
	r.ended = append(r.ended, &archived{a: a, data: data})
	r.mu.Unlock()
	signal(r.has)
}

// run sends what there is, until ctx ends, and then once more.
func (r *archive) run(ctx context.Context) error {
	err := r.w.voices.every(ctx, archiveEvery, archiveEvery, r.has, func() { r.send(ctx) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), archiveAfterDrain)
	defer cancel()
	r.send(last)
	return err
}

// send sends all logs that wait: the small ones together.
func (r *archive) send(ctx context.Context) {
	r.mu.Lock()
	waiting := r.ended
	r.ended = nil
	r.mu.Unlock()
	var batch []*archived
	size := 0
	for _, one := range waiting {
		if len(one.data) > archiveSmall {
			r.done(ctx, []*archived{one}, r.sendLarge(ctx, one))
			continue
		}
		if size+len(one.data) > min(archiveBatch, r.w.blockBytes()) && len(batch) > 0 {
			r.done(ctx, batch, r.sendSmall(ctx, batch))
			batch, size = nil, 0
		}
		batch, size = append(batch, one), size+len(one.data)+64
	}
	if len(batch) > 0 {
		r.done(ctx, batch, r.sendSmall(ctx, batch))
	}
}

func (r *archive) sendSmall(ctx context.Context, batch []*archived) error {
	logs := &workerv1.ArtifactLogs{}
	for _, one := range batch {
		l := &workerv1.ArtifactLog{Attempt: one.a.work.Attempt, Token: one.a.work.Token, Data: one.data}
		if k := one.a.key.Load(); k != nil {
			envelope.SealArchivedLog(k, l)
		}
		logs.Logs = append(logs.Logs, l)
	}
	request := &workerv1.ArtifactRequest{Version: workerv1.Version, Grant: batch[0].a.grant(), Ask: &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Logs{Logs: logs}}}
	reply := &workerv1.ArtifactReply{}
	failpoint.Hit("worker.before-archive")
	err := r.w.requestWithin(ctx, r.w.cfg.AskWithin, queue.Artifact, request, reply)
	if err == nil {
		err = refusal(reply.Error, reply.Final, reply.Busy, false)
	}
	return err
}

func (r *archive) sendLarge(ctx context.Context, one *archived) error {
	ctx, cancel := context.WithTimeout(ctx, archiveWithin)
	defer cancel()
	sum := sha256.New()
	return r.w.put(ctx, one.a, &workerv1.ArtifactKeep{Kind: fileLog}, int64(len(one.data)), io.TeeReader(bytes.NewReader(one.data), sum), sum)
}

// done lets go of logs that were sent. Others are tried again a few times, unless nobody takes any.
func (r *archive) done(ctx context.Context, batch []*archived, err error) {
	again := err != nil && ctx.Err() == nil
	if again && slices.ContainsFunc(r.w.conn.Refused(), func(what string) bool { return strings.Contains(what, "."+string(queue.Artifact)+".") }) {
		r.off.Store(time.Now().Add(archiveOffPause).UnixNano())
		again = false
	}
	if err != nil {
		r.w.quiet.warn("archive", "logs of attempts that ended are not kept with their trees", "attempts", len(batch), "error", err)
	}
	for _, one := range batch {
		if one.tries++; again && one.tries < archiveTries {
			r.mu.Lock()
			r.ended = append(r.ended, one)
			r.mu.Unlock()
			signal(r.has)
			continue
		}
		r.bytes.Add(-int64(len(one.data)))
	}
}
