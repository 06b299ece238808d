// Package tasklog takes what tasks write out of a worker: as JSON lines on its stdout, or by OTLP.
//
// It owns the form of a line, and the bounds of what waits. It must not know where lines come from, or where else they go.
package tasklog

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Mode is where lines go.
type Mode string

// The modes.
const (
	Off    Mode = "off"
	Stdout Mode = "stdout"
	OTLP   Mode = "otlp"
)

// Line is a line that a task wrote. Secrets have been taken out of its text.
type Line struct {
	Time      time.Time
	Stream    string // stdout, stderr or log
	Text      string
	Seq       uint64 // from 1, within the attempt; those that are missing were lost
	Tree      string // id of the root task
	Task      string // its id
	Name      string // of the task
	Attempt   int
	User      string // who owns the tree; empty: nobody
	Namespace string // empty: not known, as the coordinator is older than 0.9
	Executor  string
	Pool      string
	Worker    string
	Span      trace.SpanContext // of the attempt; invalid: it is not traced
}

// size is what a line counts for in the bound of what waits.
func (l *Line) size() int {
	return len(l.Text) + len(l.Tree) + len(l.Task) + len(l.Name) + len(l.User) + lineOverhead
}

// Outcome is what became of lines.
type Outcome string

// The outcomes.
const (
	Sent    Outcome = "sent"
	Dropped Outcome = "dropped" // too many waited
	Failed  Outcome = "failed"  // stdout or the collector did not take them
)

// Config says where lines go.
type Config struct {
	Mode    Mode
	Version string                       // of the program, for the resource of OTLP
	Worker  string                       // its id, likewise
	To      io.Writer                    // for Stdout; nil: os.Stdout
	Count   func(outcome Outcome, n int) // is called for all lines, by several goroutines
	Log     *slog.Logger                 // of what goes wrong, at most once a minute
	// For tests; zero: by Mode, and [closeWait].
	sending  func(context.Context) (sender, error)
	patience time.Duration
}

const (
	lineOverhead = 256      // of a line, besides its texts
	waitingBytes = 16 << 20 // of lines that wait
	batchLines   = 512      // handed over at once
	gatherFor    = 200 * time.Millisecond
	closeWait    = 5 * time.Second // for what waits when the worker ends
	complainEach = time.Minute
)

// sender gives lines away. One goroutine calls it.
type sender interface {
	// send returns when the lines are given away, or can't be. It returns how many were given away.
	send(ctx context.Context, lines []Line) (sent int, err error)
	close(ctx context.Context) error
}

// Log takes lines. Its methods may be called by any goroutine.
type Log struct {
	cfg    Config
	sender sender
	cancel context.CancelFunc
	ended  chan struct{}

	mu         sync.Mutex
	waiting    []Line
	bytes      int // of waiting, and of what is being sent
	closed     bool
	wake       chan struct{} // capacity 1: something waits, or the log was closed
	complained time.Time
}

// Open starts to give lines away. It is nil, which takes every line and drops it, where the mode says so. OTLP without an endpoint in
// OpenTelemetry's variables is an error.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.sending == nil {
		switch cfg.Mode {
		case Off, "":
			return nil, nil
		case Stdout:
			cfg.sending = cfg.stdout
		case OTLP:
			cfg.sending = cfg.otlp
		default:
			return nil, fmt.Errorf("logs of tasks: no such mode: %q", cfg.Mode)
		}
	}
	cfg.patience = cmp.Or(cfg.patience, closeWait)
	s, err := cfg.sending(ctx)
	if err != nil {
		return nil, fmt.Errorf("logs of tasks: %w", err)
	}
	l := &Log{cfg: cfg, sender: s, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.run(ctx)
	return l, nil
}

// Add takes a line, and never blocks: one that finds no room is dropped and counted.
func (l *Log) Add(line Line) {
	if l == nil {
		return
	}
	l.mu.Lock()
	fits := !l.closed && l.bytes+line.size() <= waitingBytes
	if fits {
		l.waiting = append(l.waiting, line)
		l.bytes += line.size()
	}
	l.mu.Unlock()
	if !fits {
		l.cfg.Count(Dropped, 1)
		return
	}
	l.signal()
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close gives away what waits, for some seconds at most, and ends. A writer that blocks for ever keeps its goroutine.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	defer l.cancel()
	wait := time.NewTimer(l.cfg.patience)
	defer wait.Stop()
	select {
	case <-l.ended:
		return nil
	case <-wait.C:
		l.mu.Lock()
		left := len(l.waiting)
		l.waiting = nil
		l.mu.Unlock()
		l.cfg.Count(Dropped, left)
		return fmt.Errorf("logs of tasks: they were not taken within %s", l.cfg.patience)
	}
}

// run gives lines away until the log is closed and nothing waits, or ctx ends.
func (l *Log) run(ctx context.Context) {
	defer close(l.ended)
	for ctx.Err() == nil {
		lines, closed := l.take()
		if len(lines) == 0 {
			if closed {
				break
			}
			<-l.wake
			l.gather()
			continue
		}
		size := 0
		for i := range lines {
			size += lines[i].size()
		}
		sent, err := l.sender.send(ctx, lines)
		l.mu.Lock()
		l.bytes -= size
		l.mu.Unlock()
		if sent > 0 {
			l.cfg.Count(Sent, sent)
		}
		if sent < len(lines) {
			l.cfg.Count(Failed, len(lines)-sent)
			l.complain(len(lines)-sent, err)
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	if err := l.sender.close(ending); err != nil {
		l.complain(0, err)
	}
}

// gather waits a little for more lines, unless many wait or the log was closed.
func (l *Log) gather() {
	l.mu.Lock()
	few := len(l.waiting) < batchLines && !l.closed
	l.mu.Unlock()
	if !few {
		return
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-l.wake:
			l.mu.Lock()
			few = len(l.waiting) < batchLines && !l.closed
			l.mu.Unlock()
			if !few {
				return
			}
		}
	}
}

// take gives the next batch.
func (l *Log) take() (lines []Line, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), batchLines)
	lines = l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil // so that what was sent is freed
	}
	return lines, l.closed
}

// complain logs that lines are lost, now and then.
func (l *Log) complain(lines int, err error) {
	if time.Since(l.complained) < complainEach {
		return
	}
	l.complained = time.Now()
	l.cfg.Log.Warn("logs of tasks could not be given away, and are lost outside the cluster", "to", string(l.cfg.Mode), "lines", lines, "error", err)
}
