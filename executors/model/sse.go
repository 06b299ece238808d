package model

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent bounds one event of a stream.
const maxEvent = 1 << 20

// event is one of a stream of server-sent events.
type event struct {
	name string
	data []byte // valid until the next one
}

var errLongEvent = errors.New("an event of the stream is larger than 1 MiB")

// events reads server-sent events (WHATWG HTML 9.2).
type events struct {
	in   *bufio.Reader
	data []byte
	some bool // data was there
	name string
	read bool // something was
}

func newEvents(r io.Reader) *events { return &events{in: bufio.NewReaderSize(r, 16<<10)} }

// next is the next event with data. io.EOF: the stream ended between two events; [io.ErrUnexpectedEOF]: within one.
func (e *events) next() (event, error) {
	e.data, e.some, e.name = e.data[:0], false, ""
	for {
		line, err := e.line()
		if err != nil {
			if err == io.EOF && (e.some || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return event{}, err
		}
		if len(line) == 0 {
			if e.some {
				return event{e.name, e.data}, nil
			}
			e.name = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "data":
			if e.some {
				e.data = append(e.data, '\n')
			}
			e.some = true
			e.data = append(e.data, value...)
			if len(e.data) > maxEvent {
				return event{}, errLongEvent
			}
		case "event":
			e.name = string(value[:min(len(value), 100)])
		}
	}
}

// line is the next line without its end: LF or CRLF. (A CR alone, which the standard also has, no service sends.)
func (e *events) line() ([]byte, error) {
	var long []byte
	for {
		part, err := e.in.ReadSlice('\n')
		if !e.read && len(part) > 0 {
			e.read = true
			part = bytes.TrimPrefix(part, []byte("\xef\xbb\xbf"))
		}
		if err == bufio.ErrBufferFull || long != nil {
			if long = append(long, part...); len(long) > maxEvent {
				return nil, errLongEvent
			}
			part = long
		}
		switch err {
		case nil:
			return bytes.TrimSuffix(part[:len(part)-1], []byte("\r")), nil
		case bufio.ErrBufferFull:
		default:
			return part, err
		}
	}
}
