package pgserver

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
)

// maxLogBytes bounds the log file; what is older is in log.1, as large at most, and what is older still is gone.
const maxLogBytes = 8 << 20

// maxTailBytes is how much of the log an error quotes.
const maxTailBytes = 2 << 10

// readyText is what the server says once it takes connections.
const readyText = "database system is ready to accept connections"

// serverLog keeps what the server says: in a file, and its end in memory for error texts. The server's statements are
// in it when they fail, which is why the file is readable by its owner only.
type serverLog struct {
	path  string
	ready chan struct{} // closed when the server has said readyText; never, where its settings keep that out of the log

	mu   sync.Mutex
	file *os.File
	size int64
	end  []byte // the last maxTailBytes
}

func openLog(path string) (*serverLog, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &serverLog{path: path, ready: make(chan struct{}), file: file, size: info.Size()}, nil
}

// Write takes what the server said. It never fails: a full disk must not stop the server through its log.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p...)
	l.lookForReady()
	if over := len(l.end) - maxTailBytes; over > 0 {
		l.end = append(l.end[:0], l.end[over:]...)
	}
	if l.size+int64(len(p)) > maxLogBytes {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// lookForReady looks for readyText in the end of the log. l.mu is held.
func (l *serverLog) lookForReady() {
	select {
	case <-l.ready:
	default:
		if bytes.Contains(l.end, []byte(readyText)) {
			close(l.ready)
		}
	}
}

// rotate makes the file log.1 and begins a new one; without a new one, the log goes on in memory only.
func (l *serverLog) rotate() {
	if l.file != nil {
		l.file.Close()
	}
	_ = os.Rename(l.path, l.path+".1")
	l.file, _ = os.OpenFile(l.path, os.O_TRUNC|os.O_CREATE|os.O_WRONLY, 0o600)
	l.size = 0
}

// Close closes the file.
func (l *serverLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// tail is what was said last, on one line.
func (l *serverLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.end)), "\n")
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	return strings.Join(lines, "; ")
}
