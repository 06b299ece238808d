package ssh

import (
	"context"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// session is a command on a host, in the host's own sense: one exec request.
type session struct {
	*channel
	exited chan struct{} // closed when the host has said how it ended
	read   chan struct{} // closed when all output is read
	done   chan struct{} // closed when, besides, the host has closed the channel

	// Before exited is closed, nobody reads these.
	code   int
	signal string // its name, such as KILL; empty: none
}

type execPayload struct{ Command string }

// start runs a command. Writers get its output; what they are is closed at the end if it is an io.Closer.
func (c *conn) start(ctx context.Context, command string, stdout, stderr io.Writer) (*session, error) {
	return c.exec(ctx, request{name: "exec", payload: execPayload{command}}, stdout, stderr)
}

func (c *conn) exec(ctx context.Context, r request, stdout, stderr io.Writer) (*session, error) {
	ch, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	s := &session{channel: ch, exited: make(chan struct{}), read: make(chan struct{}), done: make(chan struct{})}
	go s.follow(c, stdout, stderr) // ends with the connection at the latest
	return s, nil
}

// follow reads everything that a session says.
func (s *session) follow(c *conn, stdout, stderr io.Writer) {
	var streams sync.WaitGroup
	for _, stream := range []struct {
		to   io.Writer
		from io.Reader
	}{{stdout, s.Channel}, {stderr, s.Channel.Stderr()}} {
		streams.Go(func() {
			_, _ = io.Copy(stream.to, stream.from)
			if closer, ok := stream.to.(io.Closer); ok {
				_ = closer.Close()
			}
		})
	}
	go func() { // ends with the streams
		streams.Wait()
		close(s.read)
	}()
	said := false
	for r := range s.requests {
		switch {
		case said:
		case r.Type == "exit-status":
			var status struct{ Code uint32 }
			if said = ssh.Unmarshal(r.Payload, &status) == nil; said {
				s.code = int(status.Code)
				close(s.exited)
			}
		case r.Type == "exit-signal":
			var status struct {
				Signal     string
				CoreDumped bool
				Message    string
				Language   string
			}
			if said = ssh.Unmarshal(r.Payload, &status) == nil; said {
				s.signal = status.Signal
				close(s.exited)
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
	<-s.read
	_ = s.Channel.Close() // the host closed it; we must too
	c.count(-1)
	close(s.done)
}

// hasExited reports whether the host said how the command ended.
func (s *session) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// signals are the numbers of the signals that the protocol names (RFC 4254, 6.10), as on Linux.
var signals = map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
	"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}

// returnCode is how the command ended; valid once exited is closed.
func (s *session) returnCode() int {
	if s.signal == "" {
		return s.code
	}
	if number, ok := signals[s.signal]; ok {
		return -number
	}
	return -1
}
