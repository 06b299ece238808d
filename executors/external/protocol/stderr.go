package protocol

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// tailBytes is how much of the end of stderr an error shows.
const tailBytes = 2 << 10

// drainMost bounds what is read of stderr at the end of an attempt, from a program that goes on writing.
const drainMost = 1 << 20

// stderr passes a program's error output on by lines: to the log of its attempt while there is exactly one, else to the worker's. It keeps
// the end of what was written since the last attempt began.
type stderr struct {
	r      *os.File
	worker executors.Reporter
	read   chan struct{} // closed at the end of the output

	mu    sync.Mutex
	fd    int // of r; -1: closed
	buf   []byte
	tail  []byte
	out   *executors.Output // of whom it goes to
	ended bool
}

// newStderr makes a pipe and gives the program's end of it.
func newStderr(worker executors.Reporter) (*stderr, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	s := &stderr{
		r: r, worker: worker, read: make(chan struct{}), fd: -1, buf: make([]byte, 16<<10), out: executors.NewOutput(1, worker, "stderr"),
	}
	conn, err := r.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { s.fd = int(fd) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	go func() {
		defer close(s.read)
		_ = conn.Read(func(uintptr) bool { // waits until there is something, or for the deadline
			s.mu.Lock()
			defer s.mu.Unlock()
			return !s.pull(drainMost)
		})
	}()
	return s, w, nil
}

// pull passes on what the pipe holds, up to about so many bytes, and reports whether more may come. The caller holds mu.
func (s *stderr) pull(most int) (more bool) {
	for total := 0; total < most && !s.ended && s.fd >= 0; {
		n, err := syscall.Read(s.fd, s.buf) // never blocks: the pipe is ours
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return true
		case err != nil || n <= 0:
			s.ended = true
			return false
		}
		total += n
		s.keep(s.buf[:n])
	}
	return !s.ended
}

func (s *stderr) keep(p []byte) {
	s.tail = append(s.tail, p...)
	if extra := len(s.tail) - tailBytes; extra > 0 {
		s.tail = append(s.tail[:0], s.tail[extra:]...)
	}
	_, _ = s.out.Write(p)
}

// direct passes on to another reporter from here, which did not see what has been written until now; nil: to the worker's.
func (s *stderr) direct(to executors.Reporter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pull(drainMost)
	_ = s.out.Close()
	if to == nil {
		to = s.worker
	}
	s.out = executors.NewOutput(1, to, "stderr")
	s.tail = s.tail[:0]
}

// end reads what is left and closes the pipe. It gives the end of what was written, as text that begins with a line.
func (s *stderr) end() string {
	<-s.read
	s.mu.Lock()
	s.pull(drainMost)
	s.fd = -1
	_ = s.out.Close()
	text := executors.Text(s.tail)
	full := len(s.tail) == tailBytes
	s.mu.Unlock()
	_ = s.r.Close()
	if full {
		if _, whole, ok := strings.Cut(text, "\n"); ok {
			text = "…" + whole
		}
	}
	return strings.TrimSpace(text)
}
