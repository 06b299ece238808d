package process

import (
	"bytes"
	"os"
	"sync"
)

// maxLine is where a line without end goes into a log file in parts.
const maxLine = 64 << 10

// logFile takes outputs, line by line, without secrets. Where there are none (redact is nil), programs write into the file themselves. Safe for
// concurrent use.
type logFile struct {
	file   *os.File
	redact func(string) string

	mu   sync.Mutex
	line []byte // that has not ended
	err  error
}

// Write never fails, so that a full disk does not end the program; Close tells.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, p...)
	if end := bytes.LastIndexByte(l.line, '\n') + 1; end > 0 {
		l.put([]byte(l.redact(string(l.line[:end]))))
		l.line = append(l.line[:0], l.line[end:]...)
	}
	if len(l.line) > maxLine {
		l.flush()
	}
	return len(p), nil
}

func (l *logFile) put(p []byte) {
	if l.err == nil && len(p) > 0 {
		_, l.err = l.file.Write(p)
	}
}

func (l *logFile) flush() {
	if len(l.line) > 0 {
		l.put([]byte(l.redact(string(l.line))))
		l.line = l.line[:0]
	}
}

// Close writes what is left. Its error is the first of all.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}
