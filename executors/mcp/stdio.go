package mcp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
)

// mostNoise bounds the lines on stdout that are no messages, before the program is left.
const mostNoise = 10_000

// process is a server that is a program of this host.
type process struct {
	in, out *os.File // our ends of its stdin and stdout
	errors  *executors.Output
	most    int
	patient time.Duration // for the answer to server/discover
	report  executors.Reporter

	life   context.Context // of the connection
	close  context.CancelFunc
	stop   context.CancelFunc // of the program
	gone   chan struct{}      // closed when nothing of it is left
	status guardian.Status    // once gone is closed
	err    error              // likewise

	noise    atomic.Int64 // lines that are no messages
	first    string       // the first one, once noise is above 0
	messages chan jsonrpc.Message
	read     chan struct{} // closed when all of stdout is read
	fault    error         // why no more is read, once read is closed

	writing chan struct{}              // of capacity 1: who writes holds it
	rest    []byte                     // of a message that the program took a part of; of who writes
	probe   atomic.Pointer[time.Timer] // injects an answer to server/discover
	guessed atomic.Pointer[jsonrpc.ID] // of the question that an answer was injected to
	wrongly atomic.Bool                // the program has given another answer since
}

// start starts the program. It is in order, as [Opener.faults] has looked.
func (o *Opener) start(ctx context.Context, call *executors.Call, server *Server, w *wire) (*process, error) {
	env, err := o.environment(call, server)
	if err != nil {
		return nil, executors.Invalid(ID, err.Error())
	}
	path, err := o.programs.Program(server.Command, env, server.Cwd)
	if err != nil {
		return nil, executors.Invalid(ID, "command: "+err.Error())
	}
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), theirIn.Close(), ourIn.Close())
	}
	p := &process{
		in: ourIn, out: ourOut, errors: executors.NewOutput(o.cfg.MaxOutputBytes, w.reporter, "stderr"), most: o.cfg.MaxMessageBytes, patient: o.cfg.Patience,
		report: w.reporter, gone: make(chan struct{}), messages: make(chan jsonrpc.Message), read: make(chan struct{}), writing: make(chan struct{}, 1),
	}
	p.life, p.close = context.WithCancel(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // until it has been told
	p.stop = stop
	go p.run(running, guardian.Command{
		Path: path, Args: server.Command, Env: env, Dir: server.Cwd, Stdin: theirIn, Stdout: theirOut, Stderr: p.errors,
		Lease: call.Lease, Grace: o.cfg.Grace,
	}, theirIn, theirOut)
	go p.listen()
	return p, nil
}

// run runs the program until nothing of it is left.
func (p *process) run(ctx context.Context, cmd guardian.Command, theirs ...*os.File) {
	defer close(p.gone)
	p.status, p.err = guardian.Run(ctx, cmd)
	for _, f := range theirs {
		_ = f.Close()
	}
	_ = p.errors.Close()
	_ = p.out.SetReadDeadline(time.Now().Add(partWithin)) // a process of another user may hold it open
}

// listen reads stdout: a message in each line. All else is noise, which is logged, as it is by the clients of the SDKs.
func (p *process) listen() {
	defer close(p.read)
	lines := bufio.NewReaderSize(p.out, 64<<10)
	for {
		line, err := p.line(lines)
		if line = bytes.TrimSpace(line); len(line) > 0 {
			msg, bad := jsonrpc.DecodeMessage(line)
			if bad != nil {
				bad = p.noisy(line)
			} else {
				select {
				case p.messages <- msg:
				case <-p.life.Done():
					bad = io.EOF
				}
			}
			if bad != nil {
				err = bad
			}
		}
		if err != nil {
			p.fault = err
			return
		}
	}
}

// line reads one, up to the bound.
func (p *process) line(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > p.most+1 {
			return nil, tooLargeError(p.most)
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, os.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			err = io.EOF
		}
		return line, err
	}
}

// noisy logs a line that is no message.
func (p *process) noisy(line []byte) error {
	text := cut(string(line), maxLine)
	if p.noise.Load() == 0 {
		p.first = text
	}
	p.report.Log("stdout", text)
	if p.noise.Add(1) > mostNoise {
		return errNoise
	}
	return nil
}

// transport implements way.
func (p *process) transport() sdk.Transport { return p }

// Connect implements [sdk.Transport].
func (p *process) Connect(context.Context) (sdk.Connection, error) { return p, nil }

// SessionID implements [sdk.Connection].
func (p *process) SessionID() string { return "" }

// Read implements [sdk.Connection].
func (p *process) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case msg := <-p.messages:
		if probe := p.probe.Load(); probe != nil {
			probe.Stop()
		}
		p.mind(msg)
		return msg, nil
	case <-p.read:
		return nil, p.fault
	case <-p.life.Done():
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Write implements [sdk.Connection].
func (p *process) Write(ctx context.Context, msg jsonrpc.Message) error {
	text, err := jsonrpc.EncodeMessage(msg)
	if err != nil {
		return err
	}
	if req, ok := msg.(*jsonrpc.Request); ok && req.Method == "server/discover" {
		p.probe.Store(time.AfterFunc(p.patient, func() { p.inject(req.ID) }))
	}
	select {
	case p.writing <- struct{}{}:
		defer func() { <-p.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_ = p.in.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = p.in.SetWriteDeadline(time.Now()) })
	defer stop()
	owed := len(p.rest)
	whole := slices.Concat(p.rest, text, []byte{'\n'})
	n, err := p.in.Write(whole)
	switch {
	case n < owed: // this message is not begun
		p.rest = p.rest[n:]
	case n == owed || n == len(whole):
		p.rest = nil
	default:
		p.rest = whole[n:]
	}
	return err
}

// mind notes an answer that came after one was injected for it: the program was slow, and knows the question.
func (p *process) mind(msg jsonrpc.Message) {
	id := p.guessed.Load()
	if answer, ok := msg.(*jsonrpc.Response); ok && id != nil && answer.ID == *id && answer.Error == nil {
		p.wrongly.Store(true)
	}
}

// inject answers server/discover for a program that does not.
func (p *process) inject(id jsonrpc.ID) {
	p.guessed.Store(&id)
	select {
	case p.messages <- &jsonrpc.Response{ID: id, Error: &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "no answer"}}:
	case <-p.life.Done():
	case <-p.read:
	}
}

// Close implements [sdk.Connection]. The end of its input tells the program to end.
func (p *process) Close() error {
	p.close()
	if probe := p.probe.Load(); probe != nil {
		probe.Stop()
	}
	_ = p.in.Close()
	return nil
}

// version implements way.
func (p *process) version(string) {}

// end implements way.
func (p *process) end(soon bool) {
	_ = p.Close()
	if !soon {
		select {
		case <-p.gone:
		case <-time.After(leaveWithin):
		}
	}
	p.stop()
	<-p.gone
	<-p.read
	_ = p.out.Close()
}

// exitError reports that the program ended while it was needed.
type exitError struct {
	status guardian.Status
	stderr string
	noise  string // the first line that was no message
}

// Error is the text of spec 8.9.
func (e *exitError) Error() string {
	switch {
	case e.stderr != "":
		const most = 1000
		if tail := e.stderr; len(tail) > most {
			return "MCP server error: …" + executors.Text([]byte(tail[len(tail)-most:]))
		}
		return "MCP server error: " + e.stderr
	case e.status.Signal != 0:
		return fmt.Sprintf("MCP server error: ended by signal %d (%v)", int(e.status.Signal), e.status.Signal)
	case e.noise != "":
		return fmt.Sprintf("Invalid JSON response: %.200q", e.noise)
	case e.status.Code != 0:
		return fmt.Sprintf("MCP server error: ended with exit code %d", e.status.Code)
	}
	return "Empty response from MCP server"
}

// ended implements way. A program whose output has ended is about to end.
func (p *process) ended() error {
	select {
	case <-p.read:
		if p.fault != nil && !errors.Is(p.fault, io.EOF) {
			return nil // it is we who left it
		}
	default:
		return nil
	}
	select {
	case <-p.gone:
	case <-time.After(partWithin):
		return nil
	}
	if p.err != nil {
		return p.err
	}
	e := &exitError{status: p.status, stderr: p.errors.String()}
	if p.noise.Load() > 0 {
		e.noise = p.first
	}
	return e
}
