package executors

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Text is bytes of unknown origin as text that can be stored: invalid UTF-8 and NUL, which jsonb can't hold, become
// U+FFFD.
func Text(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

// Base64 is the encoding that [Faithful] names.
const Base64 = "base64"

// Faithful is bytes of unknown origin as a string that can be stored and loses nothing: text as it is, with an empty encoding, and
// anything else (invalid UTF-8, NUL) as [Base64]. If the bytes were cut, text may lose a last character of which only a part is left.
func Faithful(b []byte, cut bool) (text, encoding string) {
	if cut {
		for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
			if start := b[len(b)-i:]; utf8.RuneStart(start[0]) {
				if !utf8.FullRune(start) && utf8.Valid(b[:len(b)-i]) {
					b = b[:len(b)-i]
				}
				break
			}
		}
	}
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), Base64
}

// DefaultOutputBytes is how much of an output an executor keeps when nothing else is configured: 1 MiB.
const DefaultOutputBytes = 1 << 20

// maxLineBytes is where a line without end is reported in parts.
const maxLineBytes = 8 << 10

// Output keeps the beginning of a stream and reports its lines while they come. Safe for concurrent use; the zero
// value keeps nothing and reports nothing.
type Output struct {
	max      int
	reporter Reporter
	stream   string

	mu        sync.Mutex
	kept      []byte // at most max
	truncated bool
	line      []byte // not ended yet, at most maxLineBytes; unused without reporter
}

// NewOutput keeps up to max bytes (0: [DefaultOutputBytes]) and reports each line as one of the stream ("stdout",
// "stderr", "log"); reporter may be nil.
func NewOutput(max int, reporter Reporter, stream string) *Output {
	if max <= 0 {
		max = DefaultOutputBytes
	}
	return &Output{max: max, reporter: reporter, stream: stream}
}

// Write never fails: what exceeds the bound is reported, but not kept.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	keep := min(len(p), o.max-len(o.kept))
	o.kept = append(o.kept, p[:keep]...)
	o.truncated = o.truncated || keep < len(p)
	if o.reporter != nil {
		o.report(p)
	}
	return len(p), nil
}

func (o *Output) report(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end >= 0 && len(o.line)+end <= maxLineBytes {
			o.line = append(o.line, p[:end]...)
			p = p[end+1:]
			o.flush()
			continue
		}
		take := min(len(p), maxLineBytes-len(o.line))
		o.line = append(o.line, p[:take]...)
		p = p[take:]
		if len(o.line) == maxLineBytes && len(p) > 0 && p[0] != '\n' {
			o.flush()
		}
	}
}

func (o *Output) flush() {
	o.reporter.Log(o.stream, Text(bytes.TrimSuffix(o.line, []byte{'\r'})))
	o.line = o.line[:0]
}

// Close reports a last line that has no end.
func (o *Output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.flush()
	}
	return nil
}

// String is what was kept, as [Text], without white space around it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(Text(o.kept))
}

// Bytes is what was kept, as it was written. The caller owns it.
func (o *Output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.kept)
}

// TruncatedFields is what a result says under truncated_fields: the names of its members of which it has only a part, though the task did not ask for
// one. Templates of other tasks don't take such a value for the whole. nil: there are none.
func TruncatedFields(cut map[string]bool) (names []string) {
	for name, is := range cut {
		if is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Truncated reports whether more was written than was kept.
func (o *Output) Truncated() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.truncated
}
