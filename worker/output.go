package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	logEvery        = 100 * time.Millisecond
	logBatchBytes   = 64 << 10 // text in one message, and the longest line
	logBufferBytes  = 32 << 20 // text that waits in the whole worker
	logLineOverhead = 64       // what a line counts for beside its text
	progressEvery   = 500 * time.Millisecond
	progressBatch   = 500
	maxProgressText = 1 << 10
)

// voices collects what running executors say, of all attempts: lines to be stored, the latest progress, and pieces for those who watch.
type voices struct {
	w         *Worker
	buffered  atomic.Int64 // bytes of lines that wait
	liveBytes atomic.Int64 // bytes of pieces that wait

	mu         sync.Mutex
	talking    []*output // have lines to be stored
	moving     []*output // have progress to be sent
	telling    []*output // have pieces to be sent
	noting     []*output // have noted something that is not stored
	hasLines   chan struct{}
	hasMoving  chan struct{}
	hasTelling chan struct{}
	hasNoting  chan struct{} // all of capacity 1: there may be something
}

func (v *voices) init(w *Worker) {
	v.w, v.hasLines, v.hasMoving, v.hasTelling, v.hasNoting = w, make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
}

// output is one attempt's voice. It implements [github.com/taskgrove/taskgrove/executors.Reporter]; its methods don't
// block, drop what exceeds the bounds and do nothing after the attempt's end.
type output struct {
	w *Worker
	a *attempt

	redactor atomic.Pointer[secrets.Redactor] // of what the attempt was given: see redact
	span     trace.SpanContext                // of the attempt; set before its executor runs

	mu       sync.Mutex
	closed   bool
	lines    []*workerv1.LogLine
	bytes    int    // of lines
	total    int    // text accepted so far
	number   uint64 // of the last line
	silenced bool   // over MaxLogBytes; said so
	queued   bool   // in voices.talking
	kept     []byte // what is archived at the end: see archive

	fraction float64
	message  string
	moved    bool // in voices.moving

	live  live
	notes notes
}

func (o *output) init(w *Worker, a *attempt) { o.w, o.a = w, a }

// redact takes out what the attempt was given: what its inputs named, before its executor runs, and the key of a model once that is there. nil
// changes nothing.
func (o *output) redact() *secrets.Redactor { return o.redactor.Load() }

// text is a text without what the attempt was given.
func (o *output) text(text string) string { return o.redact().Text(text) }

// hide has further secrets taken out from now on.
func (o *output) hide(texts ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishSpeeches() // those to come are read with the secrets
	o.redactor.Store(o.redact().With(texts...))
}

// Log records a line of output.
func (o *output) Log(stream, line string) {
	v := &o.w.voices
	line = clean(o.redact().Text(line), logBatchBytes)
	size := len(line) + logLineOverhead
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed || o.silenced:
		return
	case o.total+size > o.w.cfg.MaxLogBytes:
		o.silenced = true
		stream, line = "log", "the rest of this attempt's output is dropped: it exceeds the limit"
		size = len(line) + logLineOverhead
	}
	now := time.Now()
	o.number++
	o.tellOutside(stream, line, now)
	if v.buffered.Load()+int64(size) > logBufferBytes {
		o.w.metrics.linesDropped.Add(context.Background(), 1)
		return // the gap shows
	}
	if o.bytes+size > logBatchBytes && len(o.lines) > 0 {
		o.flush()
	}
	o.lines = append(o.lines, &workerv1.LogLine{
		Attempt: o.a.work.Attempt, UnixUs: now.UnixMicro(), Stream: stream, Text: line, Number: o.number,
	})
	o.bytes += size
	o.total += size
	v.buffered.Add(int64(size))
	if !o.queued {
		o.queued = true
		v.mu.Lock()
		v.talking = append(v.talking, o)
		v.mu.Unlock()
		signal(v.hasLines)
	}
}

// flush publishes the lines that wait; lines that can't be published are lost. The caller holds mu: publishing only
// writes to the connection's buffer.
func (o *output) flush() {
	if len(o.lines) == 0 {
		return
	}
	o.kept = o.w.archive.add(o.kept, o.lines)
	batch := &workerv1.LogBatch{Version: workerv1.Version, Lines: o.lines}
	var err error
	if k := o.a.key.Load(); k != nil {
		err = envelope.SealLogs(k, o.a.work.Attempt, batch)
	}
	var data []byte
	if err == nil {
		data, err = proto.Marshal(batch)
	}
	if err == nil {
		err = o.w.conn.PublishLogs(o.a.Key.Task, data)
	}
	if err != nil {
		o.w.metrics.linesDropped.Add(context.Background(), int64(len(o.lines)))
		o.w.quiet.warn("logs", "lines are lost", "task_id", o.a.work.TaskId, "lines", len(o.lines), "error", err)
	}
	o.w.voices.buffered.Add(-int64(o.bytes))
	o.lines, o.bytes = nil, 0
}

// Progress records how much is done; the latest is what counts.
func (o *output) Progress(fraction float64, message string) {
	if !(fraction >= 0) { // NaN too
		fraction = 0
	}
	v := &o.w.voices
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.fraction, o.message = min(fraction, 1), clean(o.redact().Text(message), maxProgressText)
	if !o.moved {
		o.moved = true
		v.mu.Lock()
		v.moving = append(v.moving, o)
		v.mu.Unlock()
		signal(v.hasMoving)
	}
}

// close publishes the last lines and pieces, so that they precede the result, and ends the voice. Progress that was not sent is
// dropped: the result says more.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.flush()
	o.closeLive()
	o.w.archive.end(o.a, o.kept)
	o.kept = nil
	o.notes.awake()
}

// flushLogs publishes lines every [logEvery] while there are any, until ctx ends.
func (v *voices) flushLogs(ctx context.Context) error {
	return v.every(ctx, logEvery, logEvery, v.hasLines, func() {
		v.mu.Lock()
		talking := v.talking
		v.talking = nil
		v.mu.Unlock()
		for _, o := range talking {
			o.mu.Lock()
			o.queued = false
			o.flush()
			o.mu.Unlock()
		}
	})
}

// flushProgress sends progress at once, then at most every [progressEvery], until ctx ends.
func (v *voices) flushProgress(ctx context.Context) error {
	return v.every(ctx, 0, progressEvery, v.hasMoving, func() {
		v.mu.Lock()
		moving := v.moving
		v.moving = nil
		v.mu.Unlock()
		bySession := map[*session][]*workerv1.Progress{}
		for _, o := range moving {
			o.mu.Lock()
			o.moved = false
			if !o.closed {
				p := &workerv1.Progress{Attempt: o.a.work.Attempt, Token: o.a.work.Token, Fraction: o.fraction, Message: o.message}
				if k := o.a.key.Load(); k != nil {
					envelope.SealProgress(k, p)
				}
				bySession[o.a.session] = append(bySession[o.a.session], p)
			}
			o.mu.Unlock()
		}
		for s, all := range bySession {
			for len(all) > 0 {
				n := min(len(all), progressBatch)
				v.send(s, all[:n])
				all = all[n:]
			}
		}
	})
}

func (v *voices) send(s *session, progress []*workerv1.Progress) {
	data, err := proto.Marshal(&workerv1.ProgressBatch{Version: workerv1.Version, Instance: s.instance, Progress: progress})
	if err == nil {
		err = v.w.conn.Send(queue.Progress, data)
	}
	if err != nil {
		v.w.quiet.warn("progress", "progress is lost", "attempts", len(progress), "error", err)
	}
}

// every flushes whenever there is something: after the delay, and at least the interval apart.
func (v *voices) every(ctx context.Context, delay, interval time.Duration, has <-chan struct{}, flush func()) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause := func(d time.Duration) bool {
		timer.Reset(d)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		select {
		case <-has:
		case <-ctx.Done():
			return nil
		}
		if delay > 0 && !pause(delay) {
			return nil
		}
		flush()
		if delay < interval && !pause(interval-delay) {
			return nil
		}
	}
}

// signal says "there may be something" on a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
