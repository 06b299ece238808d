package grpcserver

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/vanguard"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api"
)

// webBody reads a request under two bounds: its own, and that of all requests in memory, unpacked.
type webBody struct {
	bodies *semaphore.Weighted
	taken  int64
	once   sync.Once
}

// firstBody is how much room a request gets before any of it has come.
const firstBody = 64 << 10

func (b *webBody) release() { b.once.Do(func() { b.bodies.Release(b.taken) }) }

func (b *webBody) take(bytes int64) error {
	if !b.bodies.TryAcquire(bytes) {
		return api.ErrOverload
	}
	b.taken += bytes
	return nil
}

// read reads a request.
func (b *webBody) read(w http.ResponseWriter, r *http.Request, most int) (data []byte, refusal error) {
	tooLarge := &api.Fault{Kind: api.Exhausted, Text: fmt.Sprintf("the request is larger than %d bytes", most)}
	if r.ContentLength > int64(most) {
		return nil, tooLarge
	}
	room := int64(most)
	if r.ContentLength >= 0 {
		room = r.ContentLength
	}
	data, err := b.fill(http.MaxBytesReader(w, r.Body, int64(most)), room+1)
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case err == nil, errors.Is(err, api.ErrOverload):
		return data, err
	case large:
		return nil, tooLarge
	}
	return nil, api.ErrStalled
}

// fill reads to the end, which must come before so many bytes. It takes room for as much again as has come: who merely announces much takes
// nothing from others.
func (b *webBody) fill(from io.Reader, room int64) (data []byte, err error) {
	for {
		if len(data) == cap(data) {
			more := min(max(firstBody, int64(cap(data))), room-int64(cap(data)))
			if err := b.take(more); err != nil {
				return nil, err
			}
			data = append(make([]byte, 0, int64(len(data))+more), data...)
		}
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}

// packings are the headers that name how a request is compressed.
var packings = []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"}

// packingOf is how a request is compressed, empty: it is not. refusal: not in a way that is known here.
func packingOf(header http.Header) (packing string, refusal error) {
	for _, name := range packings {
		switch value := header.Get(name); value {
		case "", "identity":
		case vanguard.CompressionGzip:
			packing = value
		default:
			return "", status.Errorf(codes.Unimplemented, "a request may be packed by gzip only, not by %.100q", value)
		}
	}
	return packing, nil
}

// unpack gives a request that is packed as it would be if it were not, and takes the room for that, too: the library behind would unpack any
// number of requests at once.
func (b *webBody) unpack(r *http.Request, kind string, data []byte, most int) (_ []byte, refusal error) {
	packing, refusal := packingOf(r.Header)
	switch {
	case refusal != nil:
		return nil, refusal
	case r.Method == http.MethodGet: // the message is in the query, and may grow to the largest
		if packing := r.URL.Query().Get("compression"); packing == "" || packing == "identity" {
			return data, nil
		}
		return data, b.take(int64(most))
	case packing == "":
		return data, nil
	case !enveloped(kind):
		r.Header.Del(packings[0])
		if len(data) == 0 {
			return data, nil
		}
		return b.gunzip(data, most)
	}
	const head, packed = 5, 1 // bytes before each message: flags, and its length; the flag of a packed one
	if len(data) < head || int64(binary.BigEndian.Uint32(data[1:])) != int64(len(data)-head) {
		return nil, &api.Fault{Kind: api.Invalid, Text: "a request is one message, with its length before it"}
	}
	if data[0]&packed == 0 {
		return data, nil
	}
	message, refusal := b.gunzip(data[head:], most)
	if refusal != nil {
		return nil, refusal
	}
	out := binary.BigEndian.AppendUint32([]byte{data[0] &^ packed}, uint32(len(message)))
	return append(out, message...), nil
}

// gunzip unpacks a message of at most so many bytes.
func (b *webBody) gunzip(data []byte, most int) ([]byte, error) {
	from, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		data, err = b.fill(io.LimitReader(from, int64(most)+1), int64(most)+1)
	}
	switch {
	case errors.Is(err, api.ErrOverload):
		return nil, err
	case err != nil:
		return nil, &api.Fault{Kind: api.Invalid, Text: "the request is not packed by gzip as it says"}
	case len(data) > most:
		return nil, &api.Fault{Kind: api.Exhausted, Text: errUnpacked.Error()}
	}
	return data, nil
}
