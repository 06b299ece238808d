package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// lines reads a stream line by line, each of a bounded length.
type lines struct {
	r    *bufio.Reader
	most int    // bytes of a line
	long []byte // a line that the reader's buffer can't hold
}

func newLines(r io.Reader, most int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), most: most}
}

// next is the next line that is not blank, without its end; it is valid until the next call. After the last one, which may lack an end,
// the error is [io.EOF].
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.read()
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *lines) read() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) && len(line) <= l.most {
		return line, err
	}
	if cap(l.long) > 1<<20 { // one large result must not keep its room for ever
		l.long = nil
	}
	l.long = l.long[:0]
	for {
		l.long = append(l.long, line...)
		if len(l.long) > l.most {
			return nil, fmt.Errorf("it wrote a line of more than %d bytes", l.most)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.long, err
		}
		line, err = l.r.ReadSlice('\n')
	}
}

// A program may write messages that end no attempt as fast as it likes for a while, and so many for good.
const (
	floodBurst     = 50_000
	floodPerSecond = 5_000
)

// meter counts messages that end no attempt.
type meter struct {
	left float64
	at   time.Time
}

// count reports whether one more is within the bounds.
func (m *meter) count(now time.Time) bool {
	if m.at.IsZero() {
		m.left = floodBurst
	} else {
		m.left = min(floodBurst, m.left+now.Sub(m.at).Seconds()*floodPerSecond)
	}
	m.at = now
	m.left--
	return m.left >= 0
}
