package grpcserver

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonCodec is protobuf's JSON: fields that are empty are left out, and keys that are not known are passed over, as in binary messages.
type jsonCodec struct{ vanguard.JSONCodec }

func newJSONCodec(resolver vanguard.TypeResolver) jsonCodec {
	return jsonCodec{vanguard.JSONCodec{
		MarshalOptions:   protojson.MarshalOptions{Resolver: resolver},
		UnmarshalOptions: protojson.UnmarshalOptions{Resolver: resolver, DiscardUnknown: true},
	}}
}

// Unmarshal says what is wrong without the library's name before it.
func (c jsonCodec) Unmarshal(data []byte, msg proto.Message) error {
	err := c.JSONCodec.Unmarshal(data, msg)
	if err == nil {
		return nil
	}
	text := strings.TrimLeftFunc(strings.TrimPrefix(err.Error(), "proto:"), unicode.IsSpace)
	if strings.HasSuffix(text, "EOF") {
		text = "it ends too early"
	}
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the request is no JSON of its message: %s", shorten(text, maxReasonBytes)))
}

func newCompressor() connect.Compressor { return gzip.NewWriter(io.Discard) }

// newDecompressor makes readers that give up beyond a number of bytes.
func newDecompressor(most int) func() connect.Decompressor {
	return func() connect.Decompressor { return &boundedGzip{most: most} }
}

type boundedGzip struct {
	gzip.Reader
	most, left int
}

var errUnpacked = errors.New("the request is too large when it is unpacked")

// Read gives at most one byte more than the bound.
func (g *boundedGzip) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, connect.NewError(connect.CodeResourceExhausted, errUnpacked)
	}
	n, err := g.Reader.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// Reset begins with another stream.
func (g *boundedGzip) Reset(r io.Reader) error {
	g.left = g.most + 1
	return g.Reader.Reset(r)
}
