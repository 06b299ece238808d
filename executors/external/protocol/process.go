package protocol

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
)

// Bounds for what nothing else is configured.
const (
	DefaultMaxLineBytes = 17 << 20 // a result of 16 MiB and what is around it
	DefaultStartWithin  = 10 * time.Second
	DefaultGrace        = 2 * time.Second

	killGrace   = 500 * time.Millisecond // from SIGTERM to SIGKILL, of a program that was asked already to end
	writeWithin = 30 * time.Second       // for one message to be read by the program
	drainWithin = 2 * time.Second        // for the rest of its output after its end
)

// Config says how a process is started and held to the protocol. Zero fields get their defaults.
type Config struct {
	// Launch runs the program until it and everything below it have ended, and ends all of that when ctx does.
	Launch       func(ctx context.Context, pipes Pipes) (exit string, err error)
	MaxLineBytes int           // of what the program writes; default 17 MiB
	StartWithin  time.Duration // until it has said hello, and until it has described itself; default 10 s
	Grace        time.Duration // from the word cancel, or the end of its input, until it is killed; default 2 s
	Log          *slog.Logger  // for what belongs to no attempt; default: nowhere
}

// Pipes are the program's ends. Launch closes none of them.
type Pipes struct {
	Stdin, Stdout, Stderr *os.File
	Lease                 guardian.Lease
	KillGrace             time.Duration // from SIGTERM to SIGKILL
}

// ExitOf is how a program under a guardian ended, in words.
func ExitOf(status guardian.Status) string {
	if status.Signal != 0 {
		return fmt.Sprintf("signal %d (%v)", int(status.Signal), status.Signal)
	}
	return fmt.Sprintf("exit code %d", status.Code)
}

// Process is a running program that speaks the protocol. Safe for concurrent use.
type Process struct {
	cfg        Config
	stop       context.CancelFunc // ends the program
	stdin      *os.File
	stderr     *stderr
	redactions *redactions
	writing    chan struct{} // of capacity 1: who writes holds it
	tenure     *tenure
	answers    chan *message // to hello and describe; of capacity 1, as each is asked for alone
	gone       chan struct{} // closed when nothing of the program is left
	version    atomic.Int64  // of the protocol, that it picked; 0: it has not yet

	mu       sync.Mutex
	attempts map[string]*attempt
	last     int   // number of the last attempt
	asked    bool  // an answer is waited for
	reason   error // why the program is ended; set once
	fault    bool  // it did what it must not: the next one starts later
}

// Start starts a program and waits until it has said hello, or ctx ends.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	cfg.MaxLineBytes = cmp.Or(cfg.MaxLineBytes, DefaultMaxLineBytes)
	cfg.StartWithin = cmp.Or(cfg.StartWithin, DefaultStartWithin)
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), theirIn.Close(), ourIn.Close())
	}
	kept := &redactions{}
	errs, theirErr, err := newStderr(workerLog{cfg.Log, kept})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), theirIn.Close(), ourIn.Close(), theirOut.Close(), ourOut.Close())
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Process{
		cfg: cfg, stop: stop, stdin: ourIn, stderr: errs, redactions: kept, writing: make(chan struct{}, 1), tenure: newTenure(),
		answers: make(chan *message, 1), gone: make(chan struct{}), attempts: map[string]*attempt{},
	}
	go p.live(life, Pipes{Stdin: theirIn, Stdout: theirOut, Stderr: theirErr, Lease: p.tenure, KillGrace: min(killGrace, cfg.Grace)}, ourOut)
	m, err := p.ask(ctx, hello{typeHello, versions, cfg.MaxLineBytes}, typeHello)
	if err == nil && !slices.Contains(versions, m.Version) {
		err = fmt.Errorf("it speaks version %d of the protocol, and this worker versions 1 to %d", m.Version, Version)
		p.end(err)
	}
	if err != nil {
		return nil, fmt.Errorf("the process of the executor did not start: %w", err)
	}
	p.version.Store(int64(m.Version))
	return p, nil
}

// live runs the program, and ends when nothing of it is left.
func (p *Process) live(ctx context.Context, pipes Pipes, ourOut *os.File) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(ourOut)
	}()
	exit, err := p.cfg.Launch(ctx, pipes)
	_ = pipes.Stdin.Close()
	_ = pipes.Stdout.Close()
	_ = pipes.Stderr.Close()
	for _, ours := range []*os.File{ourOut, p.stderr.r} {
		_ = ours.SetReadDeadline(time.Now().Add(drainWithin)) // a process of another user may hold it open
	}
	<-read
	_ = ourOut.Close()
	_ = p.stdin.Close()
	p.stop()
	p.tenure.end()

	p.mu.Lock()
	busy := len(p.attempts)
	p.fault = p.fault || p.reason == nil
	switch {
	case errors.Is(err, guardian.ErrLeaseEnded), errors.Is(err, executors.ErrLeaseLost):
		p.reason, p.fault = executors.ErrLeaseLost, false
	case p.reason == nil && err != nil:
		p.reason = err
	case p.reason == nil:
		p.reason = fmt.Errorf("it ended with %s", exit)
	}
	reason := p.reason
	p.mu.Unlock()
	tail := p.stderr.end()
	if p.fault {
		p.cfg.Log.Warn("process of an executor has ended", "reason", p.redactions.text(p.tell(reason, tail, true)), "attempts", busy)
	}
	p.mu.Lock()
	p.reason = p.retell(reason, tail, busy)
	p.mu.Unlock()
	close(p.gone)
}

// retell is a reason as attempts show it. What the program wrote is shown only if it can be of no other attempt.
func (p *Process) retell(reason error, tail string, busy int) error {
	if errors.Is(reason, executors.ErrLeaseLost) {
		return reason
	}
	err := errors.New(p.tell(reason, tail, busy <= 1))
	if executors.IsPermanent(reason) && busy <= 1 { // else it may be another attempt's fault
		return executors.Permanent(err)
	}
	return err
}

func (p *Process) tell(reason error, tail string, quote bool) string {
	text := reason.Error()
	if !quote {
		return text
	}
	if bad, ok := errors.AsType[*notJSONError](reason); ok {
		text += ": " + bad.line
	}
	if tail != "" {
		text += "; the end of its stderr: " + tail
	}
	return text
}

// kill ends the program for a reason; the first one counts. fault: it did what it must not.
func (p *Process) kill(reason error, fault bool) {
	p.mu.Lock()
	if p.reason == nil {
		p.reason, p.fault = reason, fault
	}
	p.mu.Unlock()
	p.stop()
}

// end is kill for a fault, and waits until nothing is left.
func (p *Process) end(reason error) {
	p.kill(reason, true)
	<-p.gone
}

// Stop lets the program end: its input ends, and after the grace time it is killed. It returns when nothing of it is left.
func (p *Process) Stop() {
	p.mu.Lock()
	if p.reason == nil {
		p.reason = errors.New("its process is no longer needed")
	}
	p.mu.Unlock()
	_ = p.stdin.Close()
	grace := time.NewTimer(p.cfg.Grace)
	defer grace.Stop()
	select {
	case <-p.gone:
	case <-grace.C:
		p.stop()
		<-p.gone
	}
}

// Gone is closed when nothing of the program is left.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Faulty reports, of a program that has ended or is being ended, whether it did what it must not.
func (p *Process) Faulty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// Usable reports whether attempts may begin.
func (p *Process) Usable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason == nil && !isClosed(p.gone)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Describe asks the program what executor it is.
func (p *Process) Describe(ctx context.Context) (*Description, error) {
	m, err := p.ask(ctx, map[string]string{"type": typeDescribe}, typeDescription)
	if err != nil {
		return nil, fmt.Errorf("the process of the executor did not describe itself: %w", err)
	}
	return ParseDescription(m.line)
}

// ask sends a question that the program answers by one message. If it does not, it is ended.
func (p *Process) ask(ctx context.Context, question any, answer string) (*message, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.StartWithin, fmt.Errorf("no %s within %v (does it flush each message?)", answer, p.cfg.StartWithin))
	defer cancel()
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	if _, err := p.send(ctx, question); err != nil {
		p.kill(err, true)
	}
	select {
	case m := <-p.answers:
		if m.Type == answer {
			return m, nil
		}
		if m.Type == typeError {
			p.end(fmt.Errorf("it answers: %s", cmp.Or(m.Error, "an error without a text")))
		} else {
			p.end(fmt.Errorf("it answered %q instead of %q", m.Type, answer))
		}
	case <-ctx.Done():
		p.end(context.Cause(ctx))
	case <-p.gone:
	}
	return nil, p.reason
}

// send writes a message. It reports whether anything of it was written. When ctx ends meanwhile, the program has the grace time to read it.
func (p *Process) send(ctx context.Context, m any) (wrote bool, err error) {
	line, err := json.Marshal(m)
	if err != nil {
		return false, executors.Permanent(fmt.Errorf("message can't be encoded: %w", err))
	}
	line = append(line, '\n')
	select {
	case p.writing <- struct{}{}:
		defer func() { <-p.writing }()
	case <-p.gone:
		return false, p.reason
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	_ = p.stdin.SetWriteDeadline(time.Now().Add(writeWithin))
	if ctx.Done() != nil {
		release := context.AfterFunc(ctx, func() { _ = p.stdin.SetWriteDeadline(time.Now().Add(p.cfg.Grace)) })
		defer release()
	}
	n, err := p.stdin.Write(line)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errors.New("it does not read its input")
	}
	return n > 0, err
}

// read handles what the program writes until the end of its output.
func (p *Process) read(out *os.File) {
	in := newLines(out, p.cfg.MaxLineBytes)
	var signs meter
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return
		}
		var m *message
		if err == nil {
			m, err = parse(line)
		}
		if err == nil {
			err = p.handle(m)
		}
		if err == nil && !m.ends() && !signs.count(time.Now()) {
			err = fmt.Errorf("it floods its worker with messages: more than %d, and %d a second", floodBurst, floodPerSecond)
		}
		if err != nil {
			p.kill(err, true)
			_, _ = io.Copy(io.Discard, out) // so that its end does not hang on a full pipe
			return
		}
	}
}

// handle takes one message. An error is a breach of the protocol.
func (p *Process) handle(m *message) error {
	if m.AttemptID == "" {
		return p.handleOwn(m)
	}
	p.mu.Lock()
	a := p.attempts[m.AttemptID]
	last := p.last
	p.mu.Unlock()
	if a == nil {
		n, err := strconv.Atoi(strings.TrimPrefix(m.AttemptID, idPrefix))
		if err == nil && n >= 1 && n <= last {
			return fmt.Errorf("it wrote %q for an attempt after its end", m.Type)
		}
		return fmt.Errorf("it wrote %q for an attempt that it was not given", m.Type)
	}
	a.sign()
	if from := later[m.Type]; int(p.version.Load()) < from {
		return executors.Permanent(fmt.Errorf("it wrote a message of the type %q, which is of version %d of the protocol, and picked version %d", m.Type, from, p.version.Load()))
	}
	if m.ends() {
		p.forget(a)
		a.end <- m // of capacity 1, and this is the only message
		return nil
	}
	switch m.Type {
	case typeHeartbeat:
	case typeProgress:
		a.call.Reporter.Progress(min(max(m.Fraction, 0), 1), m.Message)
	case typeLog:
		return a.log(m)
	case typeCheckpoint:
		if err := a.call.Reporter.Checkpoint(m.Data); err != nil {
			return executors.Permanent(fmt.Errorf("it wrote a bad checkpoint: %w", err))
		}
	default:
		return fmt.Errorf("it wrote a message of the unknown type %q", beginning([]byte(m.Type)))
	}
	return nil
}

// handleOwn takes a message that is of no attempt.
func (p *Process) handleOwn(m *message) error {
	switch m.Type {
	case typeLog:
		p.cfg.Log.Info("an executor says", "text", beginning([]byte(m.Text)))
		return nil
	case typeHello, typeDescription, typeError:
		p.mu.Lock()
		asked := p.asked
		p.asked = false
		p.mu.Unlock()
		if !asked {
			if m.Type == typeError {
				return fmt.Errorf("it says: %s", beginning([]byte(m.Error)))
			}
			return fmt.Errorf("it wrote %q unasked", m.Type)
		}
		p.answers <- m
		return nil
	case typeHeartbeat, typeProgress, typeResult, typeCheckpoint, typeSkip, typeExpand, typeAwait:
		return fmt.Errorf("it wrote %q without an attempt_id", m.Type)
	}
	return fmt.Errorf("it wrote a message of the unknown type %q", beginning([]byte(m.Type)))
}

// workerLog is the worker's log as a reporter, for what may be of any attempt.
type workerLog struct {
	log        *slog.Logger
	redactions *redactions
}

// Log implements [executors.Reporter].
func (w workerLog) Log(stream, line string) {
	w.log.Debug("an executor says", "stream", stream, "text", w.redactions.text(line))
}

// Progress implements [executors.Reporter].
func (workerLog) Progress(float64, string) {}

func (workerLog) Checkpoint(data json.RawMessage) error { return nil }
